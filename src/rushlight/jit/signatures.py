"""The operators' signatures: read from a table when first needed, and matched against the types of arguments.

A call tries the overloads of a name in order, first without conversions, then allowing those of tensors to numbers.
"""

import functools
from pathlib import Path

from .types import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    SCALAR,
    STR,
    TENSOR,
    CodeType,
    DictType,
    FutureType,
    ListType,
    OptionalType,
    TupleType,
    VariableType,
    is_subtype,
    read_notation,
    unify,
)

REQUIRED = object()


class Argument:
    """One argument of a signature."""

    __slots__ = ("name", "type", "default", "kwonly", "written")

    def __init__(self, name, type, default, kwonly, written):
        self.name, self.type, self.default, self.kwonly, self.written = name, type, default, kwonly, written


class Signature:
    """An overload: ``name``, ``overload``, ``arguments``, ``returns``; ``str`` writes it."""

    __slots__ = ("text", "name", "overload", "arguments", "returns", "variadic")

    def __init__(self, text):
        self.text = text
        head, _, rest = text.partition("(")
        self.name, _, self.overload = head.partition(".")
        body, _, returns = rest.rpartition(" -> ")
        body = body[:-1]
        self.variadic = body.endswith("...")
        self.arguments, kwonly = [], False
        for part in () if self.variadic else split(body):
            if part == "*":
                kwonly = True
                continue
            declared, equals, default = part.partition("=")
            type_, _, name = declared.rpartition(" ")
            t = read_notation(type_)
            self.arguments.append(Argument(name, t, _default(default, t) if equals else REQUIRED, kwonly, "!" in type_))
        if returns == "...":
            self.returns = None
        elif returns.startswith("(") and not returns.endswith("]") or returns == "()":
            inner = returns[1:-1]
            if inner.startswith("("):
                self.returns = [read_notation(inner)]
            else:
                self.returns = [read_notation(_unnamed(r)) for r in split(inner)]
        else:
            self.returns = [read_notation(_unnamed(returns))]

    def __str__(self):
        return self.text

    @property
    def mutates(self):
        """Whether an argument is written to."""
        return any(a.written for a in self.arguments)


def _unnamed(text):
    """A return without its name."""
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] in ")]") - (text[i] in "([")
        if text[i] == " " and not depth:
            return text[:i]
    return text


def split(text):
    """Parts between commas that are in no brackets."""
    parts, depth, start, quote = [], 0, 0, False
    for i, ch in enumerate(text):
        if ch == '"':
            quote = not quote
        if quote:
            continue
        depth += (ch in "([") - (ch in ")]")
        if ch == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [p for p in parts if p]


def _default(text, t):
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    if text.startswith("["):
        inner = t.element if isinstance(t, (ListType, OptionalType)) else t
        if isinstance(inner, ListType):
            inner = inner.element
        values = [_default(p, inner) for p in split(text[1:-1])]
        return values
    if text.startswith('"'):
        return text[1:-1]
    base = t.element if isinstance(t, OptionalType) else t
    if isinstance(base, ListType):
        return [_default(text, base.element)] * (base.size or 1)
    if base == FLOAT:
        return float(text)
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


@functools.cache
def _table():
    found = {}
    for line in Path(__file__).with_name("signatures.txt").read_text().splitlines():
        name = line[:line.index("(")].partition(".")[0]
        found.setdefault(name, []).append(line)
    return found


@functools.cache
def overloads(name):
    """The signatures of an operator in the order in which they are tried."""
    return tuple(Signature(line) for line in _table().get(name, ()))


def exists(name):
    """Whether an operator is in the table."""
    return name in _table()


@functools.cache
def overload(name, which):
    """The signature of one overload."""
    for s in overloads(name):
        if s.overload == which:
            return s
    raise RuntimeError(f"no signature {name}.{which}")


def bind_variables(formal, actual, bound):
    """Fit `actual` to a type with variables; None where it does not, else the type that is meant."""
    if isinstance(formal, VariableType):
        known = bound.get(formal.name)
        if known is None:
            bound[formal.name] = actual
            return actual
        if is_subtype(actual, known):
            return known
        wider = unify(known, actual, wide=False)
        if wider is not None:
            bound[formal.name] = wider
        return wider
    if isinstance(formal, ListType):
        if isinstance(actual, ListType):
            inner = bind_variables(formal.element, actual.element, bound)
            return None if inner is None else ListType(inner)
        if isinstance(actual, TupleType) and _has_variable(formal):
            inner = None
            for e in actual.elements:
                inner = bind_variables(formal.element, e, bound)
                if inner is None:
                    return None
            return None if inner is None else ListType(inner)
        return formal if not _has_variable(formal) and is_subtype(actual, formal) else None
    if isinstance(formal, OptionalType):
        if actual == NONE:
            return formal if not _has_variable(formal) else NONE
        inner = bind_variables(formal.element, actual.element if isinstance(actual, OptionalType) else actual, bound)
        return None if inner is None else OptionalType(inner)
    if isinstance(formal, DictType) and isinstance(actual, DictType):
        k = bind_variables(formal.of, actual.of, bound)
        v = bind_variables(formal.element, actual.element, bound)
        return None if k is None or v is None else DictType(k, v)
    if isinstance(formal, FutureType) and isinstance(actual, FutureType):
        inner = bind_variables(formal.element, actual.element, bound)
        return None if inner is None else FutureType(inner, actual.word)
    if isinstance(formal, TupleType) and isinstance(actual, TupleType) and len(formal.elements) == len(actual.elements):
        inner = [bind_variables(f, a, bound) for f, a in zip(formal.elements, actual.elements)]
        return None if None in inner else TupleType(inner)
    return formal if not _has_variable(formal) and is_subtype(actual, formal) else None


def _has_variable(t):
    return isinstance(t, VariableType) or any(_has_variable(p) for p in t.parts())


def substitute(t, bound):
    """A type with its variables replaced by what they were found to be."""
    if isinstance(t, VariableType):
        return bound.get(t.name, t)
    if not _has_variable(t):
        return INT if isinstance(t, CodeType) else t
    if isinstance(t, ListType):
        return ListType(substitute(t.element, bound))
    if isinstance(t, OptionalType):
        inner = substitute(t.element, bound)
        return inner if isinstance(inner, OptionalType) else OptionalType(inner)
    if isinstance(t, DictType):
        return DictType(substitute(t.of, bound), substitute(t.element, bound))
    if isinstance(t, FutureType):
        return FutureType(substitute(t.element, bound), t.word)
    if isinstance(t, TupleType):
        return TupleType([substitute(e, bound) for e in t.elements])
    return t


# What a tensor may be turned into where a number is expected, and the operator that does it.
IMPLICIT = {INT: "aten::IntImplicit", FLOAT: "aten::FloatImplicit", COMPLEX: "aten::ComplexImplicit",
            SCALAR: "aten::ScalarImplicit"}


def conversion(formal, actual, convert):
    """How `actual` becomes `formal`: "" as it is, an operator's name, "list", "repeat", "device"; None if it can't."""
    bare = formal.element if isinstance(formal, OptionalType) else formal
    if is_subtype(actual, formal):
        return ""
    if isinstance(bare, ListType):
        if isinstance(actual, TupleType) and all(
                conversion(bare.element, e, convert) is not None for e in actual.elements):
            return "list"
        if isinstance(actual, ListType) and actual.element is TENSOR and convert and bare.element in (INT, FLOAT):
            return None
        if bare.size and conversion(bare.element, actual, False) == "" and bare.element in (INT, FLOAT, BOOL):
            return "repeat"
    if bare == DEVICE and actual == STR and convert:
        return "device"
    if bare == INT and actual == TENSOR and isinstance(bare, CodeType):
        return None
    if convert:
        if actual == TENSOR:
            return next((op for t, op in IMPLICIT.items() if bare == t), None)
        if actual == SCALAR and bare in (INT, FLOAT):
            return "aten::Int" if bare == INT else "aten::Float"
    return None
