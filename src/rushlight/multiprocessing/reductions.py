"""How tensors travel to other processes: their storages move to shared memory, and descriptors are sent.

Two tensors on one storage are on one storage at the other end, and both ends see each other's writes.
"""

import os
import weakref
from multiprocessing import reduction

import rushlight as torch
from rushlight.tensor.shared import block_of, map_file, share, share_tensor
from rushlight.tensor.storage import BorrowedStorage, UntypedStorage, make_storage

_received = weakref.WeakValueDictionary()       # (device, inode) of a file -> the storage on it


def _reduce_storage(storage):
    inner = storage._storage.block()
    share(inner)
    block = block_of(inner)
    return _rebuild_storage, (reduction.DupFd(block.fd), inner.nbytes)


def _rebuild_storage(descriptor, size):
    fd = descriptor.detach()
    status = os.fstat(fd)
    key = status.st_dev, status.st_ino
    storage = _received.get(key)
    if storage is None:
        storage = _received[key] = make_storage(map_file(fd, size))
        storage.__class__ = BorrowedStorage
    else:
        os.close(fd)
    return UntypedStorage(storage)


def _reduce_tensor(tensor):
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does "
                           "not support crossing process boundaries.  If you just want to transfer the data, call "
                           "detach() on the tensor before serializing (e.g., putting it on the queue).")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu" or tensor.is_conj() \
            or tensor.is_neg():
        return tensor.__reduce_ex__(2)
    geometry = tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
    share_tensor(tensor)
    return _rebuild_tensor, (UntypedStorage(tensor._storage.block()), *geometry, type(tensor) is torch.nn.Parameter,
                             tensor.requires_grad, tensor.__dict__)


def _rebuild_tensor(storage, dtype, size, stride, offset, parameter, requires_grad, attributes):
    with torch.no_grad():
        tensor = torch.empty(0, dtype=dtype).set_(storage, offset, size, stride)
    tensor = torch.nn.Parameter(tensor, requires_grad) if parameter else tensor.requires_grad_(requires_grad)
    tensor.__dict__.update(attributes)
    return tensor


def install():
    """Have the picklers of `multiprocessing` send tensors and storages by descriptor."""
    for kind in (torch.Tensor, torch.nn.Parameter):
        reduction.ForkingPickler.register(kind, _reduce_tensor)
    reduction.ForkingPickler.register(UntypedStorage, _reduce_storage)
