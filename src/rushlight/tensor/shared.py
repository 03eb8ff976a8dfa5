"""Storages in memory that several processes map: an anonymous file each, passed by descriptor.

Nothing is named, so nothing is left behind when processes die. A storage that moves takes all its tensors along.
"""

import gc
import mmap
import os
import sys

import numpy as np

from .storage import BorrowedStorage, MetaArray, Storage, make_storage, window
from .tensor import Tensor, assemble


class SharedBlock(mmap.mmap):
    """A mapped anonymous file; `fd` is its descriptor, closed with the mapping."""

    fd = None

    def __del__(self):
        if self.fd is not None:
            os.close(self.fd)


def anonymous_file(size):
    """Descriptor of a nameless file of `size` bytes in memory (or, where there are none, on disk)."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rushlight-storage", os.MFD_CLOEXEC)
    else:
        import tempfile
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def map_file(fd, size):
    """The first `size` bytes of a file as a flat uint8 array; the descriptor is the mapping's from now on."""
    block = SharedBlock(fd, max(size, 1))
    block.fd = fd
    return np.frombuffer(block, np.uint8, size)


def block_of(storage):
    """The `SharedBlock` that a storage lies in, or None."""
    a = storage.block().owner
    while isinstance(a, (np.ndarray, memoryview)):
        a = a.base if isinstance(a, np.ndarray) else a.obj
    return a if isinstance(a, SharedBlock) else None


def new_shared(size):
    """A storage of `size` zero bytes in shared memory."""
    storage = make_storage(map_file(anonymous_file(max(size, 1)), size))
    storage.__class__ = BorrowedStorage
    return storage


def _references(t):
    """References to the storage of `t`, counted always from the same place."""
    return sys.getrefcount(t._storage)


def share(storage, only=None):
    """Move a storage into shared memory, with all tensors on it; nothing happens where it is there.

    only: the tensor on it, where it is known that there is no other: they need not be looked for.
    """
    root = storage.block()
    if block_of(root) is not None or type(root.owner) is MetaArray:
        return
    size = root.nbytes
    to = map_file(anonymous_file(max(size, 1)), size)
    if size:
        to[:] = root.bytes()
    aliases = [root] if only is not None else [root, *_aliases(root)]
    for s in aliases:
        s.owner = s._bytes = to
        s.__class__ = BorrowedStorage               # other processes don't see a larger block
    for s in aliases:
        for t in gc.get_referrers(s) if only is None else (only,):
            if isinstance(t, Tensor) and t._storage is s and type(t._a) is np.ndarray:
                t._a = window(s, t._a.dtype, t._a.shape, t.stride(), t._offset)


def _aliases(storage):
    """Storages that show the bytes of `storage` under other version counters."""
    found = [s for s in gc.get_referrers(storage) if isinstance(s, Storage) and s.root is storage]
    return [*found, *(a for s in found for a in _aliases(s))]


def share_tensor(t):
    """Move the storage of `t`, or those of its parts, into shared memory; returns `t`."""
    if type(t._a) is np.ndarray:
        other = assemble(t._a, t.dtype, make_storage(t._a), 0)
        alone = _references(t) == _references(other) and t._storage.root is None
        share(t._storage, t if alone else None)
    elif hasattr(type(t._a), "in_parts"):
        for name in ("indices", "values", "compressed", "plain", "codes"):
            part = getattr(t._a, name, None) if name in _slots(type(t._a)) else None
            if isinstance(part, Tensor):
                share(part._storage)
    return t


def _slots(cls):
    return {name for k in cls.__mro__ for name in getattr(k, "__slots__", ())}
