"""Scalar expressions: an immutable, hash-consed DAG with operator overloading.

Every node has a *kind*: ``"f"`` float, ``"i"`` integer, ``"b"`` bool.  The concrete machine type of a
kind is chosen when a kernel is made.  Equal expressions are the same object, so a DAG shares common
sub-expressions by construction and identity is equality.
"""

from itertools import count
from weakref import WeakValueDictionary

_table = WeakValueDictionary()
_serial = count()
_RANK = {"b": 0, "i": 1, "f": 2}


class Expr:
    """One scalar operation.  Build it with operators and the functions of ``compiler.scalar``.

    Attributes: ``op`` (name), ``args`` (tuple of Expr), ``kind`` ("f", "i" or "b"), ``attr`` (the value
    of a constant, the index of an input or scalar, the order of a polygamma; else None), ``uid``
    (a number that grows with age: arguments have smaller ones).
    """

    __slots__ = ("op", "args", "kind", "attr", "uid", "__weakref__")

    def __bool__(self):
        raise TypeError(
            "a symbolic scalar has no truth value; use s.where and s.logical_and/or/not in formulas"
        )

    def __hash__(self):
        return self.uid

    def __repr__(self):
        return f"<{self.kind}: {to_text([self])}>"

    def __add__(self, other):
        return arith("add", self, other)

    def __radd__(self, other):
        return arith("add", other, self)

    def __sub__(self, other):
        return arith("sub", self, other)

    def __rsub__(self, other):
        return arith("sub", other, self)

    def __mul__(self, other):
        return arith("mul", self, other)

    def __rmul__(self, other):
        return arith("mul", other, self)

    def __truediv__(self, other):
        return arith("div", self, other)

    def __rtruediv__(self, other):
        return arith("div", other, self)

    def __floordiv__(self, other):
        return arith("floor_divide", self, other)

    def __rfloordiv__(self, other):
        return arith("floor_divide", other, self)

    def __mod__(self, other):
        return arith("remainder", self, other)

    def __rmod__(self, other):
        return arith("remainder", other, self)

    def __pow__(self, other):
        return power(self, other)

    def __rpow__(self, other):
        return power(other, self)

    def __neg__(self):
        return negate(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return self if self.kind == "b" else node("abs", (self,), self.kind)

    def __and__(self, other):
        return bitwise("and", self, other)

    def __rand__(self, other):
        return bitwise("and", other, self)

    def __or__(self, other):
        return bitwise("or", self, other)

    def __ror__(self, other):
        return bitwise("or", other, self)

    def __xor__(self, other):
        return bitwise("xor", self, other)

    def __rxor__(self, other):
        return bitwise("xor", other, self)

    def __invert__(self):
        if self.kind == "f":
            raise TypeError("bitwise not is not defined for floats")
        return node("not", (self,), self.kind)

    def __lshift__(self, other):
        return bitwise("shl", self, other)

    def __rshift__(self, other):
        return bitwise("shr", self, other)

    def __lt__(self, other):
        return compare("lt", self, other)

    def __le__(self, other):
        return compare("le", self, other)

    def __gt__(self, other):
        return compare("gt", self, other)

    def __ge__(self, other):
        return compare("ge", self, other)

    def __eq__(self, other):
        return compare("eq", self, other)

    def __ne__(self, other):
        return compare("ne", self, other)


def node(op, args, kind, attr=None):
    """The node for this operation, made unless it exists.  No simplification and no casts."""
    key = (op, kind, None if attr is None else (type(attr), repr(attr)), *[a.uid for a in args])
    found = _table.get(key)
    if found is not None:
        return found
    new = Expr.__new__(Expr)
    new.op, new.args, new.kind, new.attr, new.uid = op, tuple(args), kind, attr, next(_serial)
    # Two threads may build the same node at once: the first to be entered is the one.
    return _table.setdefault(key, new)


def constant(value, kind=None):
    """A literal.  Its kind is that of the Python type unless told."""
    if isinstance(value, Expr):
        return value if kind is None else cast(value, kind)
    if kind is None:
        kind = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"
    value = bool(value) if kind == "b" else int(value) if kind == "i" else float(value)
    return node("const", (), kind, value)


def input_(index, kind="f"):
    """The element of input array ``index``."""
    return node("input", (), kind, index)


def scalar(index, kind="f"):
    """The number passed as scalar argument ``index``, the same for all elements."""
    return node("scalar", (), kind, index)


def cast(value, kind):
    """Conversion between kinds: float to int truncates, anything to bool is ``!= 0``."""
    value = constant(value)
    if value.kind == kind:
        return value
    if value.op == "const" and not (kind == "i" and value.attr - value.attr != 0):
        return constant(value.attr, kind)
    return node("cast", (value,), kind)


def promote(*values):
    """The values as expressions of one kind, the highest among them."""
    values = [constant(v) for v in values]
    kind = max((v.kind for v in values), key=_RANK.__getitem__)
    return [cast(v, kind) for v in values], kind


def is_constant(e, value):
    return e.op == "const" and e.attr == value


def arith(op, a, b):
    """add, sub, mul, div and friends with promotion and the simplifications that are exact."""
    if not _operand(a) or not _operand(b):
        return NotImplemented
    (a, b), kind = promote(a, b)
    if op == "div" and kind != "f":
        a, b, kind = cast(a, "f"), cast(b, "f"), "f"
    elif kind == "b":
        a, b, kind = cast(a, "i"), cast(b, "i"), "i"
    if op == "mul":
        if is_constant(a, 1):
            return b
        if is_constant(b, 1):
            return a
        if is_constant(a, -1):
            return negate(b)
        if is_constant(b, -1):
            return negate(a)
    elif (op == "div" and is_constant(b, 1)) or (
        op == "sub" and is_constant(b, 0) and repr(b.attr) != "-0.0"
    ):
        return a
    if kind == "f" and a.op == b.op == "const" and op in ("add", "sub", "mul"):
        x, y = a.attr, b.attr
        return constant(x + y if op == "add" else x - y if op == "sub" else x * y)
    return node(op, (a, b), kind)


def _operand(value):
    return isinstance(value, (Expr, int, float)) or hasattr(value, "__index__")


def negate(a):
    a = constant(a)
    if a.kind == "b":
        a = cast(a, "i")
    if a.op == "neg":
        return a.args[0]
    if a.op == "const":
        return constant(-a.attr, a.kind)
    return node("neg", (a,), a.kind)


def power(a, b):
    """a ** b; exponents that PyTorch turns into products, roots and quotients become those."""
    if not _operand(a) or not _operand(b):
        return NotImplemented
    (a, b), kind = promote(a, b)
    if kind == "b":
        a, b, kind = cast(a, "i"), cast(b, "i"), "i"
    if b.op == "const":
        p = b.attr
        if p == 1:
            return a
        if p == 2:
            return a * a
        if p == 3:
            return a * a * a
        if kind == "f":
            if p == 0.5:
                return node("sqrt", (a,), "f")
            if p == -0.5:
                return node("rsqrt", (a,), "f")
            if p == -1:
                return 1.0 / a
            if p == -2:
                return 1.0 / (a * a)
    return node("pow", (a, b), kind)


def bitwise(op, a, b):
    """and, or, xor on ints or bools; shl, shr on ints."""
    if not _operand(a) or not _operand(b):
        return NotImplemented
    (a, b), kind = promote(a, b)
    if kind == "f":
        raise TypeError(f"bitwise {op} is not defined for floats")
    if kind == "b" and op in ("shl", "shr"):
        a, b, kind = cast(a, "i"), cast(b, "i"), "i"
    return node(op, (a, b), kind)


def compare(op, a, b):
    if not _operand(a) or not _operand(b):
        return NotImplemented
    (a, b), _ = promote(a, b)
    return node(op, (a, b), "b")


def trace(formula, kinds, scalar_kinds="", first_input=0, first_scalar=0):
    """Run ``formula`` on symbolic scalars: inputs of ``kinds``, then scalars of ``scalar_kinds``.

    Returns a tuple of expressions, one for each value the formula returns.
    """
    args = [input_(first_input + i, k) for i, k in enumerate(kinds)]
    args += [scalar(first_scalar + i, k) for i, k in enumerate(scalar_kinds)]
    result = formula(*args)
    if isinstance(result, (tuple, list)):
        return tuple(constant(r) for r in result)
    return (constant(result),)


def topological(outputs, known=()):
    """All nodes of the DAG, arguments before users, in an order that depends on structure only.

    ``known``: numbers of nodes to leave out, with what only they use.
    """
    order, seen, stack = [], set(), [(o, False) for o in reversed(list(outputs))]
    while stack:
        e, done = stack.pop()
        if done:
            order.append(e)
        elif e.uid not in seen and e.uid not in known:
            seen.add(e.uid)
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args) if a.uid not in seen)
    emitted, unique = set(), []
    for e in order:
        if e.uid not in emitted:
            emitted.add(e.uid)
            unique.append(e)
    return unique


def substitute(outputs, mapping):
    """The expressions with nodes replaced: ``mapping`` is a list of (old, new) pairs."""
    single = isinstance(outputs, Expr)
    outputs = [outputs] if single else list(outputs)
    table = {old.uid: new for old, new in mapping}
    done = {}
    stack = list(reversed(outputs))
    while stack:
        e = stack[-1]
        if e.uid in done:
            stack.pop()
        elif e.uid in table:
            done[e.uid] = table[e.uid]
            stack.pop()
        elif missing := [a for a in e.args if a.uid not in done]:
            stack.extend(reversed(missing))
        else:
            args = [done[a.uid] for a in e.args]
            same = all(x is y for x, y in zip(args, e.args, strict=True))
            done[e.uid] = e if same else node(e.op, args, e.kind, e.attr)
            stack.pop()
    result = tuple(done[e.uid] for e in outputs)
    return result[0] if single else result


def to_text(outputs):
    """A stable text of the DAG: one line an operation, then the outputs.  Equal text, equal DAG."""
    names, lines = {}, []
    for e in topological(outputs):
        if e.op in ("input", "scalar"):
            names[e.uid] = f"{'x' if e.op == 'input' else 'p'}{e.attr}:{e.kind}"
        elif e.op == "const":
            names[e.uid] = repr(e.attr)
        else:
            attr = "" if e.attr is None else f"[{e.attr!r}]"
            text = f"{e.op}{attr}.{e.kind}({', '.join(names[a.uid] for a in e.args)})"
            names[e.uid] = f"%{len(lines)}"
            lines.append(f"{names[e.uid]} = {text}")
    lines.append("-> " + ", ".join(names[e.uid] for e in outputs))
    return "; ".join(lines)
