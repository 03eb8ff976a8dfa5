"""Arguments of calls from Python: put in order, checked against the types of the parameters, converted."""

import enum

import rushlight as torch

from . import classes
from .codes import code
from .types import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    SCALAR,
    STR,
    TENSOR,
    ClassType,
    DictType,
    EnumType,
    FutureType,
    InterfaceType,
    ListType,
    OptionalType,
    TupleType,
    UnionType,
    plain,
)

_WRONG = object()


def bind(function, args, kwargs, bound=0):
    """The arguments of a call in order; the first `bound` parameters (self) are left out. RuntimeError names faults."""
    parameters = function.parameters[bound:] if bound else function.parameters
    if not kwargs and len(args) == len(parameters):
        for a, p in zip(args, parameters):
            if p.type is not TENSOR or not isinstance(a, torch.Tensor):
                break
        else:
            return args
    if len(args) > len(parameters):
        extra = 1 if bound else 0
        raise RuntimeError(f"{function.name}() expected at most {len(parameters) + extra} argument(s) but received "
                           f"{len(args) + extra} argument(s). Declaration: {function.schema()}")
    values, left = [], kwargs
    used = 0
    for i, p in enumerate(parameters):
        if i < len(args):
            value = args[i]
            if p.name in kwargs:
                raise RuntimeError(f"{function.name}() got multiple values for argument '{p.name}'")
        elif p.name in kwargs:
            value = left[p.name]
            used += 1
        elif p.default is not ...:
            value = p.default
        else:
            raise RuntimeError(f"{function.name}() is missing value for argument '{p.name}'. Declaration: "
                               f"{function.schema()}")
        converted = convert(value, p.type)
        if converted is _WRONG:
            raise RuntimeError(_mismatch(function, p, value, i + (1 if bound else 0)))
        values.append(converted)
    if used < len(kwargs):
        unknown = next(k for k in kwargs if all(k != p.name for p in parameters))
        raise RuntimeError(f"Unknown keyword argument '{unknown}' for operator '{function.name}'. Schema: "
                           f"{function.schema()}")
    return values


def _mismatch(function, p, value, i):
    shown = "Tensor (inferred)" if p.inferred else plain(p.type).source()
    text = (f"{function.name}() Expected a value of type '{shown}' for argument '{p.name}' but instead found type "
            f"'{type(value).__name__}'.\n")
    if p.inferred:
        text += f"Inferred '{p.name}' to be of type 'Tensor' because it was not annotated with an explicit type.\n"
    return text + (f"Position: {i}\nValue: {value}\nDeclaration: {function.schema()}\nCast error details: Unable to "
                   f"cast {value} to {plain(p.type).source()}")


def convert(x, t):
    """A Python value as one of type `t`, or `_WRONG`."""
    if t == TENSOR:
        return x if isinstance(x, torch.Tensor) else _WRONG
    if isinstance(t, OptionalType):
        return None if x is None else convert(x, t.element)
    if t == INT:
        if isinstance(x, int) and not isinstance(x, bool):
            return x
        n = code(x) if not isinstance(x, (bool, float, torch.Tensor)) else None
        if n is not None and not isinstance(x, (int, str)):
            return n
        return int(x) if hasattr(x, "__index__") and not isinstance(x, (bool, torch.Tensor)) else _WRONG
    if t == FLOAT:
        return float(x) if isinstance(x, (float, int)) and not isinstance(x, bool) else _WRONG
    if t == BOOL:
        return x if isinstance(x, bool) else _WRONG
    if t == STR:
        return x if isinstance(x, str) else _WRONG
    if t == SCALAR:
        return x if isinstance(x, (int, float, complex)) else _WRONG
    if t == COMPLEX:
        return complex(x) if isinstance(x, (int, float, complex)) else _WRONG
    if t == NONE:
        return None if x is None else _WRONG
    if t == DEVICE:
        return x if isinstance(x, torch.device) else torch.device(x) if isinstance(x, str) else _WRONG
    if isinstance(t, ListType):
        if isinstance(x, (list, tuple)):
            items = [convert(i, t.element) for i in x]
            return _WRONG if any(i is _WRONG for i in items) else items
        if t.size and isinstance(x, (int, float)):
            item = convert(x, t.element)
            return _WRONG if item is _WRONG else [item] * t.size
        return _WRONG
    if isinstance(t, TupleType):
        if not isinstance(x, (tuple, list)) or len(x) != len(t.elements):
            return _WRONG
        items = [convert(i, e) for i, e in zip(x, t.elements)]
        if any(i is _WRONG for i in items):
            return _WRONG
        if t.qualified:
            from .execution import named_class
            return named_class(t)(*items)
        return tuple(items)
    if isinstance(t, DictType):
        if not isinstance(x, dict):
            return _WRONG
        found = {convert(k, t.of): convert(v, t.element) for k, v in x.items()}
        return _WRONG if any(k is _WRONG or v is _WRONG for k, v in found.items()) else found
    if isinstance(t, UnionType):
        for m in t.members:
            found = convert(x, m)
            if found is not _WRONG and not (m == FLOAT and isinstance(x, int)):
                return found
        return _WRONG
    if isinstance(t, EnumType):
        return x if isinstance(x, enum.Enum) and type(x) is t.python else _WRONG
    if isinstance(t, ClassType):
        if getattr(x, "_jit_type", None) is t:
            return x
        if t.python is not None and not t.module and isinstance(x, t.python):
            return _object(x, t)
        return _WRONG
    if isinstance(t, InterfaceType):
        return x if hasattr(x, "_jit_type") else _WRONG
    if isinstance(t, FutureType) or t is ANY:
        return x
    return x


def _object(x, t):
    """A Python object of a script class as the compiled code's."""
    found = classes.ScriptObject(t)
    t.method("__init__")
    for name, kind in t.attributes.items():
        found.__dict__[name] = convert(getattr(x, name), kind)
    return found
