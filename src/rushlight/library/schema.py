"""Signatures of operators: written ``ns::name(Tensor x, int k=1, *, bool flag=False) -> Tensor``, read, inferred."""

import inspect
import typing
from collections.abc import Sequence

import rushlight as torch

__all__ = ["Argument", "FunctionSchema", "infer_schema", "parse"]

_SCALAR_TYPES = {torch.uint8: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.int64: 4, torch.float16: 5,
                 torch.float32: 6, torch.float64: 7, torch.complex64: 9, torch.complex128: 10, torch.bool: 11,
                 torch.bfloat16: 15}
_ELEMENTS = {torch.Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", torch.dtype: "ScalarType",
             torch.device: "Device", typing.Union[int, float, bool]: "Scalar"}     # noqa: UP007
_RETURNS = {"Tensor", "SymInt", "float", "bool", "Scalar", "Tensor[]"}
REQUIRED = inspect.Parameter.empty


class Argument:
    """One argument: type as written, name, default, whether keyword-only and whether written to."""

    __slots__ = ("type", "name", "default", "kwarg_only", "is_write", "alias")

    def __init__(self, type, name, default=REQUIRED, kwarg_only=False):
        self.alias = type[type.index("("):type.index(")") + 1] if "(" in type else ""
        self.type, self.name, self.default, self.kwarg_only = type.replace(self.alias, ""), name, default, kwarg_only
        self.is_write = "!" in self.alias

    @property
    def default_value(self):
        """The default, None where there is none."""
        return None if self.default is REQUIRED else self.default

    def has_default_value(self):
        """Whether the argument may be left out."""
        return self.default is not REQUIRED

    @property
    def is_list(self):
        """Whether a sequence is expected."""
        return "[" in self.type

    def __str__(self):
        base, rest = self.type, ""
        if self.alias:
            cut = len("Tensor")
            base, rest = self.type[:cut] + self.alias, self.type[cut:]
        head = f"{base}{rest} {self.name}".rstrip()
        return head if self.default is REQUIRED else f"{head}={_written(self.default)}"

    __repr__ = __str__


def _written(value):
    if isinstance(value, torch.dtype):
        return str(_SCALAR_TYPES[value])
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:g}" + ("." if value == int(value) and abs(value) < 1e6 else "")
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, torch.device):
        return f'"{value}"'
    return str(value)


class FunctionSchema:
    """A signature: `name`, `overload_name`, `arguments` and `returns`."""

    __slots__ = ("name", "overload_name", "arguments", "returns", "one")

    def __init__(self, name, overload_name, arguments, returns, one):
        self.name, self.overload_name = name, overload_name
        self.arguments, self.returns, self.one = arguments, returns, one

    @property
    def is_mutable(self):
        """Whether an argument is written to."""
        return any(a.is_write for a in self.arguments)

    def __str__(self):
        args, starred = [], False
        for a in self.arguments:
            if a.kwarg_only and not starred:
                args.append("*")
                starred = True
            args.append(str(a))
        returns = ", ".join(str(r) for r in self.returns)
        full = self.name + (f".{self.overload_name}" if self.overload_name else "")
        return f"{full}({', '.join(args)}) -> {returns if self.one else f'({returns})'}"

    __repr__ = __str__

    def bind(self, args, kwargs):
        """(values of the positional arguments, {name: value} of the others), complete and of the right types.

        RuntimeError names what is missing, unknown or of another type.
        """
        positional, named = [], {}
        kwargs = dict(kwargs)
        order = [a for a in self.arguments if not a.kwarg_only]
        if len(args) > len(order):
            raise RuntimeError(f"{self.name}() expected at most {len(order)} argument(s) but received {len(args)} "
                               f"argument(s). Declaration: {self}")
        for i, a in enumerate(self.arguments):
            if not a.kwarg_only and i < len(args):
                value = args[i]
            elif a.name in kwargs:
                value = kwargs.pop(a.name)
            elif a.default is REQUIRED:
                raise RuntimeError(f"{self.name}() is missing value for argument '{a.name}'. Declaration: {self}")
            else:
                value = a.default
            if not _fits(value, a.type):
                raise RuntimeError(f"{self.name}() Expected a value of type '{a.type}' for argument '{a.name}' but "
                                   f"instead found type '{type(value).__name__}'.\nPosition: {i}\nValue: {value!r}\n"
                                   f"Declaration: {self}")
            if a.kwarg_only:
                named[a.name] = value
            else:
                positional.append(value)
        if kwargs:
            raise RuntimeError(f"Unknown keyword argument '{next(iter(kwargs))}' for operator '{self.name}'. Schema: "
                               f"{self}")
        return positional, named


def _fits(value, kind):
    """Whether a value is of a type of the notation."""
    if kind.endswith("?"):
        return value is None or _fits(value, kind[:-1])
    if kind.endswith("]"):
        inner = kind[:kind.rindex("[")]
        return isinstance(value, (list, tuple)) and all(_fits(v, inner) for v in value)
    if kind == "Tensor":
        return isinstance(value, torch.Tensor)
    if kind in ("int", "SymInt"):
        return hasattr(value, "__index__") and not isinstance(value, torch.Tensor)
    if kind in ("float", "Scalar"):
        number = (int, float, complex) if kind == "Scalar" else (int, float)
        return isinstance(value, number) or hasattr(value, "__float__") and not isinstance(value, torch.Tensor)
    expected = {"bool": bool, "str": str, "ScalarType": torch.dtype, "Device": (torch.device, str)}.get(kind)
    return expected is None or isinstance(value, expected)


def _split(text):
    parts, depth, start = [], 0, 0
    for i, ch in enumerate(text):
        depth += (ch in "([") - (ch in ")]")
        if ch == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [p for p in parts if p]


_LITERALS = {"None": None, "True": True, "False": False, "True_": True, "[]": []}


def _value(text, kind):
    if text in _LITERALS:
        return _LITERALS[text]
    if text[:1] in "\"'":
        return text[1:-1]
    if text[:1] == "[":
        return [_value(x, kind.split("[")[0]) for x in _split(text[1:-1])]
    if kind.startswith("ScalarType"):
        if text.lstrip("-").isdigit():
            return next(d for d, code in _SCALAR_TYPES.items() if code == int(text))
        return getattr(torch, text, None)
    try:
        return float(text) if kind.startswith("float") else int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def parse(text, namespace=None):
    """The schema written in `text`; RuntimeError where it can't be read."""
    head, bracket, rest = text.partition("(")
    body, arrow, returns = rest.rpartition("->")
    if not (bracket and arrow and body.strip().endswith(")")):
        raise RuntimeError(f"expected a schema of the form name(arguments) -> returns but found:\n{text}")
    name, _, overload = head.strip().partition(".")
    if namespace is not None and "::" not in name:
        name = f"{namespace}::{name}"
    arguments, kwarg_only = [], False
    for part in _split(body.strip()[:-1]):
        if part == "*":
            kwarg_only = True
            continue
        declared, equals, default = part.partition("=")
        kind, _, argument = declared.strip().rpartition(" ")
        if not kind:
            raise RuntimeError(f"expected a type and a name but found '{part}' in:\n{text}")
        arguments.append(Argument(kind, argument, _value(default.strip(), kind) if equals else REQUIRED, kwarg_only))
    returns = returns.strip()
    one = not returns.startswith("(")
    kinds = [returns] if one else _split(returns[1:-1])
    found = []
    for kind in kinds:
        kind, _, label = kind.partition(" ")
        found.append(Argument(kind, label))
    return FunctionSchema(name, overload, arguments, found, one)


def _notation(annotation):
    """How a Python annotation is written in schemas, or None."""
    if annotation in _ELEMENTS:
        return _ELEMENTS[annotation]
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, Sequence):
        element = _notation(inside[0])
        return None if element is None or "[" in element else f"{element}[]"
    if type(None) in inside:
        rest = tuple(t for t in inside if t is not type(None))
        element = _notation(typing.Union[rest])       # noqa: UP007
        return None if element is None or element == "Tensor[]" else f"{element}?"
    return None


def infer_schema(prototype_function, /, *, mutates_args, op_name=None, tags=()):
    """The schema of a function from its annotations; `mutates_args` names those written to, or is ``"unknown"``.

    ValueError for annotations that have no counterpart.
    """
    signature = inspect.signature(prototype_function)

    def fail(what):
        return ValueError(f"infer_schema(func): {what} Got func with signature {signature})")
    scope = {**vars(typing), **getattr(prototype_function, "__globals__", {})}

    def resolved(annotation):
        return eval(annotation, scope) if isinstance(annotation, str) else annotation
    parts, seen = [], set()
    starred = False
    for i, (name, p) in enumerate(signature.parameters.items()):
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            raise fail("We do not support positional-only args, varargs, or varkwargs.")
        if p.kind is p.KEYWORD_ONLY and not starred:
            starred = True
            parts.append("*")
        if p.annotation is p.empty:
            raise fail(f"Parameter {name} must have a type annotation.")
        annotation = resolved(p.annotation)
        kind = _notation(annotation)
        if kind is None:
            hint = ""
            if typing.get_origin(annotation) is tuple:
                inside = ", ".join(getattr(t, "__name__", str(t)) for t in dict.fromkeys(annotation.__args__))
                hint = (" We do not support Tuple inputs in schema. As a workaround, please try to use List instead. "
                        f"For example, list[{inside}].\n\n")
            raise fail(f"Parameter {name} has unsupported type {annotation}.{hint} The valid types are Tensor, int, "
                       "float, bool, str, torch.dtype, torch.device, int | float | bool, lists of them, and None "
                       "besides.")
        seen.add(name)
        if mutates_args == "unknown" and kind.startswith("Tensor") or mutates_args != "unknown" and \
                name in mutates_args:
            if not kind.startswith("Tensor"):
                raise fail(f"Parameter {name} is in mutable_args but only Tensors or collections of Tensors can be "
                           "mutated")
            kind = kind.replace("Tensor", f"Tensor(a{i}!)", 1)
        text = f"{kind} {name}"
        if p.default is not p.empty:
            text += f"={_default(name, p.default, fail)}"
        parts.append(text)
    if mutates_args != "unknown" and set(mutates_args) - seen:
        raise fail(f"{set(mutates_args) - seen} in mutates_args were not found in the custom op's signature. "
                   "mutates_args should contain the names of all args that the custom op mutates, or just the string "
                   "'unknown' if you don't know.")
    if signature.return_annotation is signature.empty:
        raise fail("No return type annotation was provided. Please add one.")
    body = f"({', '.join(parts)}) -> {_returned(resolved(signature.return_annotation), fail)}"
    return body if op_name is None else f"{op_name}{body}"


def _default(name, value, fail):
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, torch.device):
        return f'"{value}"'
    raise fail(f"Parameter {name} has an unsupported default value type {type(value)}. Give it None, a number, a str, "
               "a dtype or a device.")


def _returned(annotation, fail):
    if annotation is None or annotation is type(None):
        return "()"
    kind = _notation(annotation)
    if kind in _RETURNS:
        return kind
    if typing.get_origin(annotation) is tuple:
        kinds = [_notation(t) for t in typing.get_args(annotation)]
        if all(k in _RETURNS for k in kinds):
            return f"({', '.join(kinds)})"
    raise fail(f"Return has unsupported type {annotation}. The valid types are Tensor, list[Tensor], int, float, bool, "
               "int | float | bool, tuples of these, and None.")
