"""What a file may build with ``weights_only=True``: one rule for each allowed name.

A rule says which arguments it takes; the interpreter calls nothing else. Arguments are checked by
exact type, so that no object in a file can smuggle a method in.
"""

from collections import Counter, OrderedDict

import rushlight as torch
from rushlight.serialization import rebuild
from rushlight.serialization._names import TYPED_STORAGES
from rushlight.serialization.rebuild import StorageView


class Refused(Exception):
    """An argument that a rule does not take."""


class Rule:
    """A name in a file that may be called; `call` checks its arguments and builds the value."""

    __slots__ = ("call", "name")

    def __init__(self, name, call):
        self.name = name
        self.call = call


class StorageType:
    """The name of a storage class; stands in the persistent id of a storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


class UserGlobal:
    """A class or function that the user allowed."""

    __slots__ = ("target",)

    def __init__(self, target):
        self.target = target


_ANY = object
# Element types, layouts and memory formats are values, saved by name.
_PLAIN_NAMES = (
    "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 bfloat16 "
    "complex32 complex64 complex128 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu float4_e2m1fn_x2 strided sparse_coo sparse_csr contiguous_format "
    "channels_last channels_last_3d preserve_format qint8 quint8 qint32 per_tensor_affine per_channel_affine "
    "per_tensor_symmetric per_channel_symmetric per_channel_affine_float_qparams").split()
_MAX_KEY_DEPTH = 16


def _match(value, spec):
    if spec is _ANY:
        return True
    if isinstance(spec, tuple):
        return any(_match(value, one) for one in spec)
    if spec == "ints":
        return type(value) in (tuple, list, torch.Size) and all(type(v) is int for v in value)
    if spec == "tensor":
        return isinstance(value, torch.Tensor)
    return type(value) is spec


def _rule(name, function, *specs, optional=0):
    """A rule whose positional arguments have exactly the types of `specs`."""
    def call(args):
        if not len(specs) - optional <= len(args) <= len(specs):
            raise Refused(f"{name} takes {len(specs)} arguments, the file gives {len(args)}")
        for i, (value, spec) in enumerate(zip(args, specs)):
            if not _match(value, spec):
                raise Refused(f"argument {i} of {name} can't be a {type(value).__name__}")
        return function(*args)
    return Rule(name, call)


def require_key(value, depth=0):
    """Raise Refused unless `value` is safe to hash: plain data, shallow."""
    if isinstance(value, (str, int, float, bytes, complex, type(None), torch.dtype, torch.device,
                          torch.Size)):
        return
    if type(value) in (tuple, frozenset) and depth < _MAX_KEY_DEPTH:
        for item in value:
            require_key(item, depth + 1)
        return
    raise Refused(f"a {type(value).__name__} can't be a key or an element of a set here")


def _ordered_dict(pairs=()):
    out = OrderedDict()
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise Refused("OrderedDict takes a list of pairs")
        require_key(pair[0])
        out[pair[0]] = pair[1]
    return out


def _elements(kind):
    def build(items=()):
        for item in items:
            require_key(item)
        return kind(items)
    return build


def _counter(counts=None):
    out = Counter()
    for key, count in (counts or {}).items():
        if type(count) is not int:
            raise Refused("counts must be integers")
        out[key] = count
    return out


def _encode(text, encoding):
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise Refused(f"unknown encoding {encoding!r}")
    return text.encode(encoding)


def _layout(name):
    name = name.removeprefix("torch.")
    if name not in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"):
        raise Refused(f"unknown layout {name!r}")
    return getattr(torch, name)


def _bytearray(data=b"", encoding=None):
    if type(data) is str:
        return bytearray(_encode(data, encoding))
    return bytearray(data)


def _from_type(function, kind, args, state):
    """`_rebuild_from_type_v2` with a rule for the function and an allowed class."""
    if not isinstance(function, Rule) or not function.name.startswith("_rebuild"):
        raise Refused("_rebuild_from_type_v2 takes a rebuild function")
    tensor = function.call(args)
    if isinstance(kind, TensorType):
        kind = kind.target
        _require_attributes(state)
        return rebuild._set_state(tensor, state)
    if isinstance(kind, UserGlobal) and isinstance(kind.target, type) and \
            issubclass(kind.target, torch.Tensor):
        return rebuild._rebuild_from_type_v2(lambda: tensor, kind.target, (), state)
    raise Refused("_rebuild_from_type_v2 takes a tensor class")


def _require_attributes(state):
    """Attributes for a plain tensor: a dict of names that are not the tensor's own."""
    if state is None:
        return
    if type(state) is not dict:
        raise Refused("a tensor's attributes must be a dict")
    for name in state:
        if type(name) is not str or hasattr(torch.Tensor, name):
            raise Refused(f"a file may not set the attribute {name!r} of a tensor")


class TensorType:
    """The name of a tensor class."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    @property
    def target(self):
        """The class; `nn` is not imported before a file asks for parameters."""
        return torch.Tensor if self.name == "Tensor" else torch.nn.Parameter


def _parameter_with_state(data, requires_grad, hooks, state):
    _require_attributes(state if type(state) is not tuple else (state[0] if state else None))
    if type(state) is tuple:
        raise Refused("a parameter's attributes must be a dict")
    return rebuild._rebuild_parameter_with_state(data, requires_grad, hooks, state)


def _rules():
    storage, hooks = (StorageView, torch.UntypedStorage), (OrderedDict, dict, type(None))
    flag = (bool, int)
    meta = (dict, type(None))
    utils = [
        _rule("_rebuild_tensor", rebuild._rebuild_tensor, StorageView, int, "ints", "ints"),
        _rule("_rebuild_tensor_v2", rebuild._rebuild_tensor_v2, StorageView, int, "ints", "ints",
              flag, hooks, meta, optional=1),
        _rule("_rebuild_tensor_v3", rebuild._rebuild_tensor_v3, storage, int, "ints", "ints", flag,
              hooks, torch.dtype, meta, optional=1),
        _rule("_rebuild_meta_tensor_no_storage", rebuild._rebuild_meta_tensor_no_storage,
              torch.dtype, "ints", "ints", flag),
        _rule("_rebuild_sparse_tensor", rebuild._rebuild_sparse_tensor, torch.layout, tuple),
        _rule("_rebuild_qtensor", rebuild._rebuild_qtensor, StorageView, int, "ints", "ints", tuple, flag, hooks),
        _rule("_rebuild_parameter", rebuild._rebuild_parameter, "tensor", flag, hooks),
        _rule("_rebuild_parameter_with_state", _parameter_with_state, "tensor", flag, hooks, _ANY),
    ]
    rules = {("torch._utils", rule.name): rule for rule in utils}
    rules["torch._tensor", "_rebuild_from_type_v2"] = _rule(
        "_rebuild_from_type_v2", _from_type, Rule, (TensorType, UserGlobal), tuple, _ANY)
    rules["torch", "Size"] = _rule("Size", torch.Size, "ints", optional=1)
    rules["torch", "device"] = _rule("device", torch.device, str, int, optional=1)
    rules["torch.torch_version", "TorchVersion"] = _rule("TorchVersion", str, str)
    rules["torch.serialization", "_get_layout"] = _rule("_get_layout", _layout, str)
    rules["collections", "OrderedDict"] = _rule("OrderedDict", _ordered_dict, (list, tuple),
                                                optional=1)
    rules["collections", "Counter"] = _rule("Counter", _counter, dict, optional=1)
    rules["_codecs", "encode"] = _rule("encode", _encode, str, str)
    for builtins in ("builtins", "__builtin__"):
        rules[builtins, "set"] = _rule("set", _elements(set), list, optional=1)
        rules[builtins, "frozenset"] = _rule("frozenset", _elements(frozenset), list, optional=1)
        rules[builtins, "bytearray"] = _rule("bytearray", _bytearray, (bytes, str), str, optional=2)
        rules[builtins, "complex"] = _rule("complex", complex, (float, int), (float, int))
    for name, dtype in TYPED_STORAGES.items():
        rules["torch", name] = StorageType(dtype)
    rules["torch.storage", "UntypedStorage"] = StorageType(None)
    rules["torch", "Tensor"] = rules["torch._tensor", "Tensor"] = TensorType("Tensor")
    rules["torch.nn.parameter", "Parameter"] = TensorType("Parameter")
    for name in _PLAIN_NAMES:
        value = getattr(torch, name, None)
        if value is not None:
            rules["torch", name] = value
    return rules


_table = None


def rule_for(module, name):
    """The rule (or plain value) for a name in a file, None if it isn't always allowed."""
    global _table
    if _table is None:
        _table = _rules()
    return _table.get((module, name))
