"""What the op table holds: one record a primitive, with everything that is known about it.

A record is plain data. ``ops/dispatch.py`` makes the callable from it, ``ops/registry.py`` the public
functions and methods; tests and documentation walk ``RECORDS``.

Gradient rules are small functions whose *argument names* say what they need, and thereby what is saved
(the notation of derivative tables):

    g            gradient of the output (g0, g1, ... of several outputs; gs: the tuple of all);
                 maybe0, maybe1, ...: None instead of zeros for an output that nobody used
    out          the output (out0, out1, ... of several)
    <input>      a tensor argument, or the value of any other argument
    <input>_shape, <input>_dtype     facts about a tensor argument, without keeping its data
    needs        tuple of bools: which tensor arguments want a gradient

``vjp={"self": lambda g, other: g * other, ...}`` gives one rule an argument; a rule saves only when
its argument needs a gradient. ``vjp=Joint(fn)`` computes all at once: `fn` returns one gradient (or
None) a tensor argument. For a ``Tensor[]`` argument the gradient is a list.

``direct(out, *arguments)`` says how a compiled program runs a kernel into memory that is there, in terms of arrays:
(native function, its operands), or None where that can't be.
"""

RECORDS = {}
REPEATED = set()        # keys that may be given again: the import of all families has failed after them


class NoGradient:
    """Written where an op has no gradient, with the reason."""

    __slots__ = ("reason", "raises")

    def __init__(self, reason, raises=False):
        self.reason, self.raises = reason, raises


def NONDIFF(reason):
    """The outputs never require a gradient (integer results, for instance)."""
    return NoGradient(reason)


def NOT_IMPLEMENTED(reason="no rule yet"):
    """A gradient exists but has no rule: backward raises NotImplementedError naming the op."""
    return NoGradient(reason, True)


class Joint:
    """One rule for all inputs together."""

    __slots__ = ("rule",)

    def __init__(self, rule):
        self.rule = rule


class Arg:
    """One argument of a schema: its type as written there, name, default and whether keyword-only."""

    __slots__ = ("type", "name", "default", "kwonly", "is_tensor", "is_list")

    def __init__(self, type, name, default, kwonly):
        self.type, self.name, self.default, self.kwonly = type, name, default, kwonly
        base = type.split("(")[0] if "(" in type else type.rstrip("?")
        self.is_list = base.startswith("Tensor[") or "[]" in type and base.startswith("Tensor")
        self.is_tensor = base.startswith("Tensor") and not self.is_list


REQUIRED = object()


def parse_schema(schema):
    """``name.overload(args) -> returns`` as (name, overload, [Arg], number of outputs or None)."""
    head, _, rest = schema.partition("(")
    body, _, returns = rest.rpartition("->")
    body = body.strip()
    body = body[:-1]
    name, _, overload = head.partition(".")
    args, kwonly = [], False
    for part in _split(body):
        if part == "*":
            kwonly = True
            continue
        decl, eq, default = part.partition("=")
        type_, _, arg = decl.strip().rpartition(" ")
        args.append(Arg(type_, arg, default.strip() if eq else REQUIRED, kwonly))
    returns = returns.strip()
    if returns.startswith("("):
        n = len(_split(returns[1:-1]))
    elif "[]" in returns:
        n = None
    else:
        n = 1
    return name, overload, args, n


def _split(text):
    parts, depth, cur = [], 0, ""
    for ch in text:
        if ch in "([":
            depth += 1
        elif ch in ")]":
            depth -= 1
        if ch == "," and depth == 0:
            parts.append(cur.strip())
            cur = ""
        else:
            cur += ch
    if cur.strip():
        parts.append(cur.strip())
    return parts


class Record:
    """One primitive: signature, kernel or formula, gradient, reference, mappings, samples, doc."""

    __slots__ = ("schema", "name", "overload", "args", "n_out", "kind", "kernel", "geometry", "formula",
                 "promote", "saves", "vjp", "jvp", "meta", "reference", "samples", "onnx", "doc",
                 "node_name", "tensor_args", "_node", "plans", "tolerance", "module", "call", "extra", "native",
                 "direct")

    def __init__(self, schema, kind, *, vjp, kernel=None, geometry=None, formula=None, promote=None,
                 saves="self", jvp=None, meta=None, reference=None, samples=None, onnx=None, doc="",
                 node=None, tolerance=None, direct=None):
        self.schema, self.kind = schema, kind
        self.name, self.overload, self.args, self.n_out = parse_schema(schema)
        self.kernel, self.geometry, self.formula = kernel, geometry, formula
        self.promote, self.saves = promote, saves
        self.vjp, self.jvp, self.meta = vjp, jvp, meta
        self.reference, self.samples, self.onnx, self.doc = reference, samples, onnx, doc
        self.node_name = node or _camel(self.name) + "Backward0"
        self.tensor_args = [i for i, a in enumerate(self.args) if a.is_tensor or a.is_list]
        self._node = None
        self.plans = {}
        self.tolerance, self.direct = tolerance, direct
        self.call = self.extra = self.native = None
        key = schema.partition("(")[0]
        if key in RECORDS and key not in REPEATED and not key.startswith("_derived"):
            raise ValueError(f"two records are called {key}")
        RECORDS[key] = self

    def __repr__(self):
        return f"<Record {self.schema}>"


def _camel(name):
    return "".join(p[:1].upper() + p[1:] for p in name.strip("_").split("_"))
