"""Writing the object tree of a checkpoint as a pickle with PyTorch's names.

Storages are pulled out: the pickle holds their ids, the archive their bytes. Python's own pickler
class is the base because names must be chosen, which the C one does not allow.
"""

import pickle
from types import FunctionType

import rushlight as torch
from rushlight.serialization._names import (
    STORAGE_OF_DTYPE,
    GlobalRef,
    global_ref,
    is_ours,
    name_in_file,
)
from rushlight.serialization.rebuild import StorageView, reduce_tensor


class StorageTable:
    """The distinct storages met so far, in order, with a key for each."""

    def __init__(self):
        self.storages = []
        self._keys = {}
        self._dtypes = {}

    def key(self, storage, dtype):
        """The key of `storage`, new or known. Raises RuntimeError if it was seen as another dtype."""
        identity = storage.data_ptr() or ("empty", len(self.storages))
        known = self._dtypes.setdefault(identity, dtype)
        if known is not None and dtype is not None and known != dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as "
                               "different types")
        if identity not in self._keys:
            self._keys[identity] = str(len(self.storages))
            self.storages.append(storage)   # kept alive: its address is its identity
        return self._keys[identity]

    def itemsize(self, storage):
        """Bytes an element of a storage in the table has."""
        dtype = self._dtypes.get(storage.data_ptr())
        return 1 if dtype is None else dtype.itemsize


def _location(storage):
    device = torch.device(storage.device)
    return str(device) if device.type == "meta" else "cpu"


def _pickler_base(pickle_module):
    """The pure-Python pickler class of `pickle_module`, or of `pickle`."""
    for name in ("_Pickler", "Pickler"):
        base = getattr(pickle_module, name, None)
        if isinstance(base, type) and issubclass(base, pickle._Pickler):
            return base
    return pickle._Pickler


def make_pickler(stream, protocol, table, pickle_module=pickle, legacy=False):
    """A pickler that writes to `stream` and enters storages in `table`."""
    base = _pickler_base(pickle_module)

    class CheckpointPickler(base):
        dispatch = dict(base.dispatch)

        def persistent_id(self, obj):
            if isinstance(obj, torch.TypedStorage):
                obj = StorageView(obj.untyped(), obj.dtype)
            if isinstance(obj, StorageView):
                kind = global_ref("torch", STORAGE_OF_DTYPE[obj.dtype])
                storage, dtype = obj.untyped, obj.dtype
                count = storage.nbytes() // dtype.itemsize
            elif isinstance(obj, torch.UntypedStorage):
                kind = global_ref("torch.storage", "UntypedStorage")
                storage, dtype, count = obj, torch.uint8, obj.nbytes()
            else:
                return None
            entry = ("storage", kind, table.key(storage, dtype), _location(storage), count)
            return (*entry, None) if legacy else entry

        def reducer_override(self, obj):
            if isinstance(obj, torch.Tensor):
                if type(obj).__reduce_ex__ is not torch.Tensor.__reduce_ex__ and \
                        type(obj) is not torch.nn.Parameter:
                    return NotImplemented
                return reduce_tensor(obj, typed=STORAGE_OF_DTYPE)
            return NotImplemented

        def save_ref(self, ref):
            if self.proto >= 4:
                self.save(ref.module)
                self.save(ref.name)
                self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{ref.module}\n{ref.name}\n".encode())
            self.memoize(ref)

        def save_global(self, obj, name=None):
            module = getattr(obj, "__module__", None)
            qualname = name or getattr(obj, "__qualname__", None)
            if qualname and "<locals>" not in qualname and is_ours(obj, module, qualname):
                ref = global_ref(*name_in_file(module, qualname))
                if id(ref) in self.memo:
                    self.write(self.get(self.memo[id(ref)][0]))
                else:
                    self.save_ref(ref)
                return
            super().save_global(obj, name)

        def save_dtype(self, obj):
            self.save(global_ref("torch", str(obj).removeprefix("torch.")))

        def save_size(self, obj):
            self.save_reduce(global_ref("torch", "Size"), (tuple(obj),), obj=obj)

        def save_device(self, obj):
            args = (obj.type,) if obj.index is None else (obj.type, obj.index)
            self.save_reduce(global_ref("torch", "device"), args, obj=obj)

        def save_layout(self, obj):
            self.save_reduce(global_ref("torch.serialization", "_get_layout"), (str(obj),), obj=obj)

        dispatch[GlobalRef] = save_ref
        dispatch[FunctionType] = save_global
        dispatch[torch.dtype] = save_dtype
        dispatch[torch.Size] = save_size
        dispatch[torch.device] = save_device
        dispatch[torch.layout] = save_layout
        dispatch[torch.memory_format] = save_dtype
        dispatch[torch.qscheme] = save_dtype

    return CheckpointPickler(stream, protocol)
