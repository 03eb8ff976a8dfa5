"""The pickles of TorchScript archives: objects of classes in the archive's code, typed containers, tensors."""

import enum
import io
import pickle
import struct

import rushlight as torch
from rushlight.serialization.rebuild import _rebuild_tensor_v2

from .types import (
    BOOL,
    FLOAT,
    INT,
    TENSOR,
    ClassType,
    DictType,
    InterfaceType,
    ListType,
    OptionalType,
    TupleType,
    UnionType,
)

_STORAGES = {"uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "float16": "Half",
             "float32": "Float", "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
             "bool": "Bool", "bfloat16": "BFloat16"}
_DTYPES = {v + "Storage": getattr(torch, k) for k, v in _STORAGES.items()}
_LISTS = {"int": "build_intlist", "float": "build_doublelist", "bool": "build_boollist", "Tensor": "build_tensorlist"}


class Pickler:
    """Writes values of known types as protocol 2."""

    def __init__(self, deps):
        self.out, self.deps, self.storages, self.keys, self.memo = bytearray(), deps, [], {}, {}
        self.kept, self.count = [], 0

    def dump(self, value, t):
        """The pickle of a value."""
        self.out += b"\x80\x02"
        self.put(value, t)
        self.out += b"."
        return bytes(self.out)

    def dump_tuple(self, tensors):
        """The pickle of a tuple of tensors."""
        self.out += b"\x80\x02("
        for t in tensors:
            self.tensor(t)
        self.out += b"t."
        return bytes(self.out)

    def text(self, s):
        data = s.encode("utf-8", "surrogatepass")
        self.out += b"X" + struct.pack("<I", len(data)) + data

    def name(self, module, name):
        self.out += f"c{module}\n{name}\n".encode()

    def integer(self, n):
        if 0 <= n < 256:
            self.out += b"K" + bytes([n])
        elif -(1 << 31) <= n < 1 << 31:
            self.out += b"J" + struct.pack("<i", n)
        else:
            data = n.to_bytes(8, "little", signed=True)
            self.out += b"\x8a\x08" + data

    def remember(self, value):
        """Put what was just made in the memo, so that it is the same object when met again."""
        self.memo[id(value)] = self.count
        self.kept.append(value)
        self.out += b"r" + struct.pack("<I", self.count)
        self.count += 1

    def recall(self, value):
        n = self.memo.get(id(value))
        if n is None:
            return False
        self.out += b"j" + struct.pack("<I", n)
        return True

    def put(self, v, t):
        """Write a value of type `t`."""
        if isinstance(t, OptionalType) and v is not None:
            t = t.element
        if v is None:
            self.out += b"N"
        elif isinstance(v, bool):
            self.out += b"\x88" if v else b"\x89"
        elif isinstance(v, enum.Enum):
            raise NotImplementedError("saving a module with an enumeration's member as attribute")
        elif isinstance(v, int):
            self.integer(v)
        elif isinstance(v, float):
            self.out += b"G" + struct.pack(">d", v)
        elif isinstance(v, complex):
            self.name("builtins", "complex")
            self.out += b"("
            self.put(v.real, FLOAT)
            self.put(v.imag, FLOAT)
            self.out += b"tR"
        elif isinstance(v, str):
            self.text(v)
        elif isinstance(v, torch.Tensor):
            self.tensor(v)
        elif isinstance(v, torch.device):
            self.name("torch", "device")
            self.text(v.type)
            if v.index is not None:
                self.integer(v.index)
                self.out += b"\x86R"
            else:
                self.out += b"\x85R"
        elif isinstance(v, (torch.dtype, torch.layout, torch.memory_format)):
            from .codes import code
            self.integer(code(v))
        elif hasattr(v, "_jit_type"):
            self.object(v, v._jit_type)
        elif isinstance(t, UnionType):
            from .execution import is_instance
            self.put(v, next(m for m in t.members if is_instance(v, [m])))
        elif isinstance(v, tuple):
            self.tuple(v, t)
        elif isinstance(v, list):
            self.list(v, t)
        elif isinstance(v, dict):
            self.dict(v, t)
        else:
            raise RuntimeError(f"Could not save a value of type '{type(v).__name__}'")

    def tuple(self, v, t):
        if isinstance(t, TupleType) and t.qualified:
            self.deps.type(t)
            head, _, tail = t.qualified.rpartition(".")
            self.name(head, tail)
        self.out += b"("
        for x, e in zip(v, t.elements):
            self.put(x, e)
        self.out += b"t"
        if isinstance(t, TupleType) and t.qualified:
            self.out += b"R"

    def list(self, v, t):
        if self.recall(v):
            return
        element = t.element
        maker = _LISTS.get(str(element))
        self.name("torch.jit._pickle", maker or "restore_type_tag")
        self.out += b"(](" if maker else b"("
        if not maker:
            self.out += b"]("
        for x in v:
            self.put(x, element)
        self.out += b"e"
        if not maker:
            self.text(self.deps.type(t))
        self.out += b"tR"
        self.remember(v)

    def dict(self, v, t):
        if self.recall(v):
            return
        self.name("torch.jit._pickle", "restore_type_tag")
        self.out += b"(}("
        for k, x in v.items():
            self.put(k, t.of)
            self.put(x, t.element)
        self.out += b"u"
        self.text(self.deps.type(t))
        self.out += b"tR"
        self.remember(v)

    def object(self, v, t):
        if self.recall(v):
            return
        self.deps.type(t)
        head, _, tail = t.name.rpartition(".")
        self.name(head, tail)
        self.out += b")\x81"
        self.remember(v)
        self.out += b"}("
        for name, kind in t.attributes.items():
            self.text(name)
            if name == "_is_full_backward_hook" and t.module:
                self.out += b"N"
                continue
            self.put(getattr(v, name) if t.module else v.__dict__.get(name), kind)
        self.out += b"ub"

    def tensor(self, t):
        if t.layout != torch.strided or t.is_quantized:
            raise NotImplementedError(f"saving a {t.layout} tensor in a TorchScript archive")
        if self.recall(t):
            return
        kept = t.detach().cpu() if t.device.type != "cpu" else t.detach()
        if kept.is_conj() or kept.is_neg():
            kept = kept.resolve_conj().resolve_neg()
        block = kept._storage.block()
        key = self.keys.get(id(block))
        if key is None:
            key = self.keys[id(block)] = len(self.storages)
            self.storages.append(kept.untyped_storage())
            self.kept.append(block)
        word = _STORAGES.get(str(t.dtype).rpartition(".")[2])
        if word is None:
            raise NotImplementedError(f"saving a tensor of dtype {t.dtype} in a TorchScript archive")
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.out += b"(("
        self.text("storage")
        self.name("torch", word + "Storage")
        self.text(str(key))
        self.text(str(t.device))
        self.integer(kept.untyped_storage().nbytes() // t.dtype.itemsize)
        self.out += b"tQ"
        self.integer(kept.storage_offset())
        for numbers in (kept.shape, kept.stride()):
            self.out += b"("
            for n in numbers:
                self.integer(int(n))
            self.out += b"t"
        self.out += b"\x88" if t.requires_grad else b"\x89"
        self.name("collections", "OrderedDict")
        self.out += b")RtR"
        self.remember(t)


class Stub:
    """An object of a class that the archive's code defines, before that is compiled."""

    qualified = ""

    def __new__(cls, *args):
        new = object.__new__(cls)
        new.state, new.args = {}, args
        return new

    def __setstate__(self, state):
        self.state = state


class Tagged:
    """A container with the type that the archive says it has."""

    __slots__ = ("value", "kind")

    def __init__(self, value, kind):
        self.value, self.kind = value, kind


def _same(value):
    return value


class _Unpickler(pickle.Unpickler):
    """Finds nothing but what archives are made of; names of classes become stubs."""

    def __init__(self, data, storage):
        super().__init__(io.BytesIO(data))
        self.storage, self.stubs = storage, {}

    def find_class(self, module, name):
        if module == "__torch__" or module.startswith("__torch__."):
            full = f"{module}.{name}"
            if full not in self.stubs:
                self.stubs[full] = type(name, (Stub,), {"qualified": full})
            return self.stubs[full]
        found = _ALLOWED.get((module, name))
        if found is None and module == "torch" and name in _DTYPES:
            return _Storage(_DTYPES[name])
        if found is None:
            raise pickle.UnpicklingError(f"unsupported name in a TorchScript archive: {module}.{name}")
        return found

    def persistent_load(self, pid):
        if type(pid) is not tuple or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], _Storage) or (
                type(pid[2]) is not str or type(pid[3]) is not str or type(pid[4]) is not int or pid[4] < 0):
            raise pickle.UnpicklingError("malformed id of a storage")
        from rushlight.serialization.rebuild import StorageView
        return StorageView(self.storage(pid[1].dtype, pid[2], pid[3], pid[4]), pid[1].dtype)


class _Storage:
    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


def _ordered(*args):
    return {}


def _tensor(storage, offset, size, stride, requires_grad, hooks, *rest):
    return _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, {})


def _device(kind, index=None):
    return torch.device(kind) if index is None else torch.device(kind, index)


_ALLOWED = {("torch._utils", "_rebuild_tensor_v2"): _tensor, ("collections", "OrderedDict"): _ordered,
            ("torch", "device"): _device, ("builtins", "complex"): complex,
            **{("torch.jit._pickle", n): _same for n in _LISTS.values()},
            ("torch.jit._pickle", "restore_type_tag"): Tagged}


def read_pickle(data, storage):
    """The value of a pickle of an archive; UnpicklingError for anything that archives do not hold."""
    return _Unpickler(data, storage).load()


__all__ = ["BOOL", "INT", "TENSOR", "ClassType", "DictType", "InterfaceType", "ListType", "Pickler", "read_pickle"]
