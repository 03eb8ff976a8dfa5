"""Types of annotations, comments and Python values."""

import ast
import enum
import inspect
import types as pytypes
import typing

import rushlight as torch

from .frontend import ErrorReport, FrontendTypeError
from .graph import constant_type
from .types import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    GENERATOR,
    INT,
    NONE,
    SCALAR,
    STORAGE,
    STR,
    TENSOR,
    DictType,
    EnumType,
    FutureType,
    ListType,
    TupleType,
    Type,
    optional,
    union,
)

FinalType = typing.Final


class BroadcastingList:
    """``BroadcastingList2[int]``: a list, or one number that is repeated."""

    def __init__(self, size):
        self.size = size

    def __getitem__(self, element):
        return _Broadcast(element, self.size)


class _Broadcast:
    def __init__(self, element, size, optional=False):
        self.element, self.size, self.optional = element, size, optional

    def __call__(self):
        """(`typing` takes only what can be called.)"""

    def __or__(self, other):
        return _Broadcast(self.element, self.size, True)


_PLAIN = {int: INT, float: FLOAT, bool: BOOL, str: STR, complex: COMPLEX, type(None): NONE, None: NONE,
          typing.Any: ANY, torch.Tensor: TENSOR, torch.device: DEVICE, torch.dtype: INT, torch.layout: INT,
          torch.memory_format: INT, torch.Size: ListType(INT), inspect.Parameter.empty: TENSOR,
          torch.nn.Parameter: TENSOR, torch.UntypedStorage: STORAGE, list: None, dict: None, tuple: None}
_WORDS = {"Tensor": TENSOR, "int": INT, "float": FLOAT, "bool": BOOL, "str": STR, "complex": COMPLEX, "None": NONE,
          "NoneType": NONE, "Device": DEVICE, "device": DEVICE, "number": SCALAR, "Any": ANY, "Scalar": SCALAR,
          "Generator": GENERATOR, "Storage": STORAGE}


def type_of_annotation(annotation, scope=None, where=None):
    """The type that an annotation (an object, or text) means; FrontendTypeError where there is none."""
    if isinstance(annotation, Type):
        return annotation
    if isinstance(annotation, str):
        try:
            from .resolve import _Scope
            annotation = eval(annotation, _Scope(scope or {}))
        except Exception as error:
            raise ErrorReport(f"Unknown type name '{annotation}'", where) from error
        return type_of_annotation(annotation, scope, where)
    if isinstance(annotation, typing.ForwardRef):
        return type_of_annotation(annotation.__forward_arg__, scope, where)
    if isinstance(annotation, _Broadcast):
        found = ListType(type_of_annotation(annotation.element, scope, where), annotation.size)
        return optional(found) if annotation.optional else found
    try:
        known = _PLAIN.get(annotation)
    except TypeError:
        known = None
    if known is not None:
        return known
    if annotation in (list, dict, tuple) or annotation in (list, dict, tuple):
        word = getattr(annotation, "__name__", None) or str(annotation).rpartition(".")[2]
        word = word.capitalize()
        raise ErrorReport(f"Attempted to use {word} without a contained type. Please add a contained type, e.g. "
                          f"{word}[int]", where)
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list,):
        return ListType(type_of_annotation(inside[0], scope, where))
    if origin is dict:
        return DictType(*[type_of_annotation(a, scope, where) for a in inside])
    if origin is tuple:
        return TupleType([type_of_annotation(a, scope, where) for a in inside if a != ()])
    if origin in (typing.Union, pytypes.UnionType):
        return union([type_of_annotation(a, scope, where) for a in inside])
    if origin in (typing.Final, typing.ClassVar):
        return type_of_annotation(inside[0], scope, where)
    if annotation is torch.futures.Future or origin is torch.futures.Future:
        return FutureType(type_of_annotation(inside[0], scope, where) if inside else ANY)
    if isinstance(annotation, type):
        found = type_of_class(annotation)
        if found is not None:
            return found
    raise FrontendTypeError(where, f"Unknown type annotation: '{_named(annotation)}'")


def _named(annotation):
    return getattr(annotation, "__name__", None) or str(annotation)


def type_of_class(cls):
    """The type of instances of a class, or None."""
    from . import classes
    if issubclass(cls, torch.Tensor):
        return TENSOR
    if issubclass(cls, enum.Enum):
        return enum_type(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return named_tuple(cls)
    if issubclass(cls, torch.nn.Module):
        return getattr(cls, "_jit_interface", None) or (cls.__dict__.get("_jit_class"))
    if getattr(cls, "_jit_interface", None) is not None:
        return cls._jit_interface
    return classes.class_type(cls)


_enums, _tuples = {}, {}


def qualified(obj):
    """The name of a class or function in archives."""
    module = getattr(obj, "__module__", None) or "__main__"
    if module.startswith("rushlight.jit.forms"):
        module = "torch.nn.functional"
    elif module.startswith("rushlight"):
        module = "torch" + module[len("rushlight"):]
    name = getattr(obj, "_jit_override_qualname", None)
    if name:
        return "__torch__." + name
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", "function")
    name = name.rpartition("<locals>.")[2].replace("<lambda>", "_lambda")
    return f"__torch__.{name}" if module == "__main__" else f"__torch__.{module}.{name}"


def enum_type(cls):
    """The type of an enumeration's members."""
    if cls not in _enums:
        kinds = {constant_type(m.value) for m in cls}
        if len(kinds) != 1:
            raise RuntimeError(f"Could not unify type list for the values of the enumeration {cls.__name__}")
        _enums[cls] = EnumType(qualified(cls), cls, kinds.pop())
    return _enums[cls]


def named_tuple(cls):
    """The type of a NamedTuple class."""
    if cls not in _tuples:
        hints = getattr(cls, "__annotations__", {})
        scope = vars(inspect.getmodule(cls)) if inspect.getmodule(cls) else {}
        types = [type_of_annotation(hints[f], scope) if f in hints else TENSOR for f in cls._fields]
        _tuples[cls] = TupleType(types, tuple(cls._fields), qualified(cls), cls,
                                 tuple(cls._field_defaults.get(f, ...) for f in cls._fields))
    return _tuples[cls]


def type_of_value(value):
    """The type of a Python value, or None where it has none in the script language."""
    from . import classes
    if isinstance(value, torch.Tensor):
        return TENSOR
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return INT
    if isinstance(value, torch.Size):
        return ListType(INT)
    if isinstance(value, list):
        inner = [type_of_value(v) for v in value]
        if not inner:
            return ListType(TENSOR)
        first = inner[0]
        from .types import unify
        for t in inner[1:]:
            first = None if first is None or t is None else unify(first, t, True)
        return None if first is None else ListType(first)
    if isinstance(value, dict):
        keys, values = [type_of_value(k) for k in value], [type_of_value(v) for v in value.values()]
        if not keys:
            return None
        if None in keys or None in values or any(k != keys[0] for k in keys) or any(v != values[0] for v in values):
            return None
        return DictType(keys[0], values[0])
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return named_tuple(type(value))
        inner = [type_of_value(v) for v in value]
        return None if None in inner else TupleType(inner)
    if isinstance(value, enum.Enum):
        return enum_type(type(value))
    if isinstance(value, torch.device):
        return DEVICE
    simple = constant_type(value)
    if simple is not None:
        return simple
    if isinstance(value, classes.ScriptObject):
        return value._jit_type
    kind = classes.KNOWN.get(type(value))
    return kind


def signature_of_comment(tree, lines, first, scope):
    """(types of the parameters or None, type of the result or None) of a type comment of a function."""
    text = getattr(tree, "type_comment", None)
    if not text:
        return None, None
    left, _, right = text.partition("->")
    left = left.strip()
    types = ast.parse(left, mode="eval").body
    parts = types.elts if isinstance(types, ast.Tuple) else [types]
    read = [type_of_annotation(ast.unparse(p), scope) for p in parts] if left not in ("()", "(...)") else []
    return (None if left == "(...)" else read), type_of_annotation(right.strip(), scope)
