"""Numbers that stand for others while a tape is written: read from tensors, or held by places that the call changes.

A `Seen` number computes as the number would, and writes down how: ``total + loss.item()`` is a `Seen` again, with the
expression ``place + read``, which a program can compute anew. Whoever needs the number itself makes it tell: a
comparison becomes a condition under which the program holds (``step % 100 == 0`` is false), anything else (an index, a
size) the condition that the number is what it was. Comparisons of what was read from a tensor become decisions, which
the program asks for on its way (see `decisions`), and so do whole numbers that are needed themselves; whoever needs
another such number gets no program. Texts may be made later (see `outside`): a `Seen` may stand for a text as well.

They are no ints or floats but claim to be (``isinstance`` believes them), so that functions in C have to ask for the
number through ``__index__`` or ``__float__``: nothing looks at it unseen.

An expression is ``("place", i)``, ``("read", i)``, ``("number", x)`` or ``("of", format, expressions)``.
"""

import math
import operator

import numpy as np

_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
KINDS = (int, float, np.float64, np.int64)
DEEPEST = 80                    # (Python's compiler takes 200 parentheses within each other)
_ASKING = {f: f for f in (math.isfinite, math.isinf, math.isnan)}
_ALIKE = {int: ("bit_length", "conjugate", "to_bytes", "as_integer_ratio", "real", "imag", "numerator", "denominator"),
          float: ("is_integer", "as_integer_ratio", "conjugate", "hex", "real", "imag")}


class Seen:
    """A number with its expression; `tape` is None once the tape is written."""

    __slots__ = ("value", "expression", "tape", "read", "depth", "__weakref__")

    def __init__(self, value, expression, tape, read, depth=0):
        self.value, self.expression, self.tape, self.read, self.depth = value, expression, tape, read, depth
        if tape is not None:
            tape.numbers.append(self)

    __class__ = property(lambda self: type(self.value))

    def pin(self):
        """The number itself, which becomes a condition; a whole number that was read from a tensor a decision."""
        if self.tape is not None:
            if not self.read:
                self.tape.condition(self.expression, self.value, True)
            elif type(self.value) is int:
                self.tape.decided(("of", "({} == {})", [self.expression, ("number", self.value)]), True)
            else:
                self.tape.fail("Python computes with a number that was read from a tensor")
        return self.value

    def captured(self, dtype=None):
        """The tensor that ``torch.tensor`` makes of it."""
        from ..ops.registry import function
        return function("full")((), self, dtype=dtype)

    def followed(self):
        """A function that gives the number: this one now, and in a program what it is then."""
        groups = getattr(self.tape, "groups", None)
        if self.read or groups is None:
            value = self.pin()
            return lambda: value
        return groups.following(self)

    def _worded(self, text, how, form, *more):
        """The text of the number: a mark in its place where it only goes to where texts may be made later."""
        outside = getattr(self.tape, "outside", None)
        if outside is not None:
            made = "of", form, [self.expression, *[("number", x) for x in more]]
            mark = outside.mark(how, Seen(text, made, self.tape, self.read))
            if mark is not None:
                return mark
        self.unmarked()
        return text

    def unmarked(self):
        """The number becomes a text that somebody may look at."""
        if self.read and self.tape is not None:
            self.tape.fail("Python turns a number that was read from a tensor into text")
        else:
            self.pin()

    def _told(self, truth, form, *operands):
        """The outcome of a comparison, which becomes a condition."""
        if self.tape is not None:
            answer, truth = truth, bool(truth)
            if type(answer) is not bool:
                form = f"bool({form})"          # (NumPy has its own)
            if any(type(x) is Seen and x.read for x in operands):
                self.tape.decided(("of", form, [expression(x) for x in operands]), truth)
            else:
                self.tape.condition(("of", form, [expression(x) for x in operands]), truth, False)
            return answer
        return truth

    def _made(self, value, form, *operands):
        """The outcome of arithmetic."""
        if type(value) not in KINDS or self.tape is None:
            for x in operands:
                if type(x) is Seen:
                    x.pin()
            return value
        depth = 1 + max([x.depth for x in operands if type(x) is Seen])
        if depth > DEEPEST:
            self.tape.fail(f"a number comes of more than {DEEPEST} steps of arithmetic")
            return value
        return Seen(value, ("of", form, [expression(x) for x in operands]), self.tape,
                    any(type(x) is Seen and x.read for x in operands), depth)

    def __bool__(self):
        return self._told(bool(self.value), "bool({})", self)

    def __round__(self, digits=None):
        return self._made(round(self.value, plain(digits)), "round({}, {})", self, digits)

    def __abs__(self):
        return self._made(abs(self.value), "abs({})", self)

    def __neg__(self):
        return self._made(-self.value, "(-{})", self)

    def __pos__(self):
        return self._made(+self.value, "(+{})", self)

    def __invert__(self):
        return ~self.pin()

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def __index__(self):
        return operator.index(self.pin())

    def __float__(self):
        asked = _ASKING.get(getattr(self.tape, "asking", None))
        if asked is not None and type(self.value) is float:
            # The function says yes or no: that is all that comes of the number.
            self._told(asked(self.value), f"math.{asked.__name__}({{}})", self)
            return self.value
        return float(self.pin())

    def __int__(self):
        return int(self.pin())

    __trunc__ = __int__

    def __floor__(self):
        return math.floor(self.pin())

    def __ceil__(self):
        return math.ceil(self.pin())

    def __complex__(self):
        return complex(self.pin())

    def __hash__(self):
        return hash(self.pin())

    def __str__(self):
        return self._worded(str(self.value), "__str__", "str({})")

    def __repr__(self):
        return self._worded(repr(self.value), "__repr__", "repr({})")

    def __format__(self, form):
        return self._worded(format(self.value, form), "__format__", "format({}, {})", form)

    def __reduce_ex__(self, protocol):
        return _itself, (self.pin(),)

    def __array_ufunc__(self, ufunc, method, *inputs, **more):
        if method != "__call__" or more or not all(type(x) in _NUMBERS or isinstance(x, np.generic) for x in inputs):
            return getattr(ufunc, method)(*_pinned_all(inputs), **_pinned_all(more))
        value = ufunc(*map(plain, inputs))
        form = f"{{}}({', '.join(['{}'] * len(inputs))})"
        if type(value) is np.bool_:
            return self._told(value, form, ufunc, *inputs)
        return self._made(value, form, ufunc, *inputs)

    def __array_function__(self, function, types, args, more):
        return function(*_pinned_all(args), **_pinned_all(more))

    def __getattr__(self, name):
        if isinstance(self.value, np.generic) and not name.startswith("__"):
            return getattr(self.pin(), name)
        if name in _ALIKE.get(type(self.value), ()):
            return getattr(self.pin(), name)
        raise AttributeError(f"{type(self.value).__name__!r} object has no attribute {name!r}")


def _itself(x):
    return x


def _pinned_all(x):
    """Numbers themselves for those that are seen, in lists, tuples and dicts as well."""
    if type(x) in (list, tuple):
        return type(x)(map(_pinned_all, x))
    if type(x) is dict:
        return {k: _pinned_all(y) for k, y in x.items()}
    return x.pin() if type(x) is Seen else x


def _arithmetic(name, sign):
    f, form, back = getattr(operator, name), f"({{}} {sign} {{}})", f"({{1}} {sign} {{0}})"
    divides = name in ("truediv", "floordiv", "mod")

    def forwards(self, other):
        if type(other) not in _NUMBERS:
            return NotImplemented
        if divides and type(other) is Seen and other.value:
            other._told(True, "bool({})", other)        # (a program must not come to where this raises)
        return self._made(f(self.value, plain(other)), form, self, other)

    def backwards(self, other):
        if type(other) not in _NUMBERS:
            return NotImplemented
        if divides and self.value:
            self._told(True, "bool({})", self)
        return self._made(f(plain(other), self.value), back, self, other)
    return forwards, backwards


def _pinned(name):
    f = getattr(operator, name)

    def forwards(self, other):
        return f(self.pin(), plain(other))

    def backwards(self, other):
        return f(plain(other), self.pin())
    return forwards, backwards


def _compared(name, sign):
    f, form = getattr(operator, name), f"({{}} {sign} {{}})"

    def compare(self, other):
        if type(other) not in _NUMBERS:
            return NotImplemented
        return self._told(f(self.value, plain(other)), form, self, other)
    return compare


_NUMBERS = (int, float, bool, Seen)
for _name, _sign in _ARITHMETIC.items():
    _forwards, _backwards = _arithmetic(_name, _sign)
    setattr(Seen, f"__{_name}__", _forwards)
    setattr(Seen, f"__r{_name}__", _backwards)
for _name in ("and_", "or_", "xor", "lshift", "rshift"):
    _forwards, _backwards = _pinned(_name)
    setattr(Seen, f"__{_name.rstrip('_')}__", _forwards)
    setattr(Seen, f"__r{_name.rstrip('_')}__", _backwards)
for _name, _sign in _COMPARE.items():
    setattr(Seen, f"__{_name}__", _compared(_name, _sign))


class Live:
    """A kernel's operand that a program computes anew each time: `convert` of an expression of places."""

    __slots__ = ("expression", "convert")

    def __init__(self, expression, convert):
        self.expression, self.convert = expression, convert

    def __repr__(self):
        return text(self.expression, "number{}".format, None, repr)


def is_seen(x):
    return type(x) is Seen


def plain(x):
    """The ordinary number in the place of a `Seen`; whatever else as it is."""
    return x.value if type(x) is Seen else x


def applied(function, value, args):
    """``function(*args)``, which is `value`, some of them seen; a program is for where it doesn't raise."""
    seen = [x for x in args if type(x) is Seen]
    form = f"{function}({', '.join(['{}'] * len(args))})"
    seen[0]._told(True, f"({form} is not None)", *args)
    return seen[0]._made(value, form, *args)


def expression(x):
    """The expression of a number, seen or ordinary."""
    return x.expression if type(x) is Seen else ("number", x)


def text(e, place, read, number):
    """An expression as Python's code; the three functions name its leaves."""
    kind = e[0]
    if kind == "of":
        return e[1].format(*[text(x, place, read, number) for x in e[2]])
    return {"place": place, "read": read, "number": number}[kind](e[1])


def reads_of(e, found):
    """Adds the indices of the reads in an expression to a set."""
    if e[0] == "of":
        for x in e[2]:
            reads_of(x, found)
    elif e[0] == "read":
        found.add(e[1])
    return found


def places_of(e, found):
    """Adds the numbers of the places in an expression to a set."""
    if e[0] == "of":
        for x in e[2]:
            places_of(x, found)
    elif e[0] == "place":
        found.add(e[1])
    return found
