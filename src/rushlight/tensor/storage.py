"""Storage: the bytes that tensors share, and the version number of their contents.

A tensor is a window (sizes, strides, offset) on a storage. ``Storage`` is what tensors hold;
``UntypedStorage`` and ``TypedStorage`` are the public faces made on request.
"""

import sys

import numpy as np

from ..devices import CPU, META

_ndarray = np.ndarray
_U8 = np.dtype(np.uint8)


class Storage:
    """Owner of a block of bytes, with the counter that in-place changes raise.

    `owner` is the array that keeps the memory alive and spans it whole (None on ``meta``). Aliases
    made by ``.data`` share bytes through `root` but count versions by themselves.
    """

    __slots__ = ("owner", "version", "root", "_bytes", "__weakref__")

    @property
    def nbytes(self):
        """Size in bytes."""
        return self.owner.nbytes

    def bytes(self):
        """The whole block as a flat uint8 array (made once)."""
        b = self._bytes
        if b is None:
            o = self.owner
            if o.flags.c_contiguous:
                b = o.reshape(-1).view(_U8) if o.size else np.empty(0, np.uint8)
            else:
                b = _span(o)
            self._bytes = b
        return b

    def block(self):
        """The storage that really owns the bytes (itself, or the one `.data` aliased)."""
        return self if self.root is None else self.root.block()

    def resize(self, nbytes):
        """Grow or shrink to `nbytes`, keeping the common prefix; tensors' windows are remade by use."""
        old = self.bytes() if self.nbytes else np.empty(0, np.uint8)
        new = np.empty(nbytes, np.uint8)
        n = min(nbytes, old.size)
        new[:n] = old[:n]
        self.owner = self._bytes = new


class LentStorage(Storage):
    """Memory that others can change without raising the version: shown as an array, an address, or by ``.data``."""

    __slots__ = ()


def lend(storage):
    """Note that others see the memory of a storage."""
    storage = storage.block()
    if type(storage) is Storage:
        storage.__class__ = LentStorage


class BorrowedStorage(Storage):
    """Memory of somebody else's array or buffer, which can't be exchanged for a larger block."""

    __slots__ = ()

    def resize(self, nbytes):
        raise RuntimeError("Trying to resize storage that is not resizable")


def _span(a):
    """All bytes that a dense but permuted array covers, as a flat array."""
    order = sorted(range(a.ndim), key=lambda i: -a.strides[i])
    t = a.transpose(order)
    if t.flags.c_contiguous:
        return t.reshape(-1).view(_U8)
    extent = a.itemsize + sum((s - 1) * t for s, t in zip(a.shape, a.strides)) if a.size else 0
    from numpy.lib.stride_tricks import as_strided
    flat = as_strided(a, (extent // a.itemsize,), (a.itemsize,)) if extent else np.empty(0, a.dtype)
    return flat.view(_U8)


_new = Storage.__new__


def make_storage(owner):
    """A fresh storage over the whole of `owner` (an ndarray, or a meta array)."""
    s = _new(Storage)
    s.owner = owner
    s.version = 0
    s.root = None
    s._bytes = None
    return s


def alias_storage(storage):
    """The same bytes under a version counter of their own."""
    s = _new(Storage)
    s.owner, s.version = storage.owner, 0
    s.root, s._bytes = storage, storage._bytes
    return s


class Shaped:
    """What has a shape and a dtype as arrays do; ``dtype`` is NumPy's."""

    __slots__ = ()

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def itemsize(self):
        return self.dtype.itemsize

    @property
    def nbytes(self):
        return self.size * self.dtype.itemsize


class MetaArray(Shaped):
    """The geometry of an array without its bytes; stands where a CPU tensor has an ndarray."""

    __slots__ = ("shape", "strides", "dtype")

    def __init__(self, shape, dtype, strides=None):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        if strides is None:
            acc, out = self.dtype.itemsize, []
            for s in reversed(self.shape):
                out.append(acc)
                acc *= max(s, 1)
            strides = tuple(reversed(out))
        self.strides = strides

    device = META


def window(storage, np_dtype, shape, strides, offset):
    """The array that shows `storage` with the given geometry (strides and offset in elements)."""
    item = np_dtype.itemsize
    if type(storage.owner) is MetaArray:
        return MetaArray(shape, np_dtype, tuple(s * item for s in strides))
    if 0 in shape:
        # NumPy also checks the offset of an array without elements.
        offset = min(offset, storage.nbytes // item)
    return _ndarray(shape, np_dtype, storage.bytes(), offset * item,
                    tuple([s * item for s in strides]))


class UntypedStorage:
    """Public face of a storage: a block of bytes that tensors share."""

    __slots__ = ("_storage", "__weakref__")

    def __init__(self, size=0, *, device=None):
        if isinstance(size, Storage):
            self._storage = size
        else:
            self._storage = make_storage(np.zeros(int(size), np.uint8))

    def __reduce__(self):
        return _untyped, (self._storage.bytes().tobytes(),)

    def nbytes(self):
        """Size in bytes."""
        return self._storage.nbytes

    size = __len__ = nbytes

    def data_ptr(self):
        """Address of the first byte (0 for an empty or a meta storage)."""
        s = self._storage
        if type(s.owner) is MetaArray or not s.nbytes:
            return 0
        return s.bytes().ctypes.data

    @property
    def device(self):
        return META if type(self._storage.owner) is MetaArray else CPU

    @property
    def _cdata(self):
        return id(self._storage.block())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return UntypedStorage(make_storage(self._storage.bytes()[i]))
        return int(self._storage.bytes()[i])

    def __setitem__(self, i, value):
        self._storage.bytes()[i] = value
        self._storage.version += 1

    def __iter__(self):
        return iter(self._storage.bytes().tolist())

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and \
            self._storage.block() is other._storage.block()

    def __hash__(self):
        return id(self._storage.block())

    def tolist(self):
        """The bytes as a list of ints."""
        return self._storage.bytes().tolist()

    def resize_(self, nbytes):
        """Change the size in bytes, keeping the common prefix."""
        self._storage.resize(int(nbytes))
        return self

    def copy_(self, source, non_blocking=False):
        """Copy another storage's bytes here."""
        self._storage.bytes()[:] = source._storage.bytes()
        self._storage.version += 1
        return self

    def fill_(self, value):
        """Set every byte."""
        self._storage.bytes()[:] = value
        self._storage.version += 1
        return self

    def clone(self):
        """A storage of its own with the same bytes."""
        return UntypedStorage(make_storage(self._storage.bytes().copy()))

    def cpu(self):
        return self

    def is_shared(self):
        """Whether the bytes lie in memory shared between processes."""
        shared = sys.modules.get(f"{__package__}.shared")           # nobody has shared anything before it is loaded
        return shared is not None and shared.block_of(self._storage) is not None

    def share_memory_(self):
        """Move the bytes, for all tensors on them, to memory that other processes can map; returns self.

        Such a storage can't be resized. Arrays that `numpy` made before keep the old bytes.
        """
        from .shared import share
        share(self._storage)
        return self

    @classmethod
    def _new_shared(cls, size, *, device="cpu"):
        """A storage of `size` bytes in shared memory."""
        from .shared import new_shared
        return cls(new_shared(int(size)))

    def untyped(self):
        return self

    def __deepcopy__(self, memo):
        memo = memo.setdefault("torch", {})
        key = id(self._storage.block())
        if key not in memo:
            memo[key] = self.clone()
        return memo[key]

    def __repr__(self):
        values = "\n ".join(map(str, self.tolist()))
        return f" {values}\n[torch.storage.UntypedStorage(device={self.device}) of size {len(self)}]"


class TypedStorage:
    """A storage seen as elements of one dtype (kept for old code and checkpoints)."""

    __slots__ = ("_untyped_storage", "dtype")

    def __init__(self, *args, wrap_storage=None, dtype=None, device=None):
        self._untyped_storage = wrap_storage if wrap_storage is not None else UntypedStorage(0)
        self.dtype = dtype

    def untyped(self):
        """The same bytes without a type."""
        return self._untyped_storage

    def _array(self):
        return self._untyped_storage._storage.bytes().view(self.dtype.np)

    def size(self):
        """Number of elements."""
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    __len__ = size

    def nbytes(self):
        return self._untyped_storage.nbytes()

    def element_size(self):
        return self.dtype.itemsize

    def data_ptr(self):
        return self._untyped_storage.data_ptr()

    @property
    def device(self):
        return self._untyped_storage.device

    def __getitem__(self, i):
        r = self._array()[i]
        return r.tolist() if isinstance(i, slice) else r.item()

    def __setitem__(self, i, value):
        self._array()[i] = value
        self._untyped_storage._storage.version += 1

    def __iter__(self):
        return iter(self.tolist())

    def tolist(self):
        return self._array().tolist()

    def is_shared(self):
        """Whether the bytes lie in memory shared between processes."""
        return self._untyped_storage.is_shared()

    def share_memory_(self):
        """Move the bytes to shared memory, see `UntypedStorage.share_memory_`."""
        self._untyped_storage.share_memory_()
        return self

    def resize_(self, n):
        self._untyped_storage.resize_(n * self.dtype.itemsize)
        return self

    def __eq__(self, other):
        return isinstance(other, TypedStorage) and self._untyped_storage == other._untyped_storage

    def __hash__(self):
        return hash(self._untyped_storage)

    def __repr__(self):
        values = "\n ".join(map(str, self.tolist()))
        return (f" {values}\n[torch.storage.TypedStorage(dtype={self.dtype!r}, "
                f"device={self.device}) of size {len(self)}]")


def _untyped(content):
    """A storage of these bytes, for unpickling."""
    return UntypedStorage(make_storage(np.frombuffer(bytearray(content), np.uint8)))


UntypedStorage.__module__ = TypedStorage.__module__ = "torch.storage"
