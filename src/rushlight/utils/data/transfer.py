"""Moving a batch from a worker to the loader without copying its arrays through the socket.

The batch is pickled with its arrays and tensors out of band (pickle protocol 5). All buffers of
one batch are laid out in *one* block: behind the message when small, else in shared memory. The
worker owns a few shared blocks (`BlockPool`) and reuses one as soon as the loader's batch is gone,
so pages stay warm; the loader maps each block once (`BlockMap`). Blocks are anonymous files passed
by descriptor: nothing is named, so nothing is left when a process dies.
"""

import io
import itertools
import mmap
import os
import pickle
import struct
import weakref

import numpy as np

import rushlight as torch
from rushlight.tensor.shared import anonymous_file
from rushlight.utils.data.channel import _CAN_PASS_FDS

_ALIGN = 64
_INLINE_LIMIT = 1 << 14     # below this a copy through the socket is cheaper than a block
_HEAD = struct.Struct("<iQI")


def _aligned(n):
    return (n + _ALIGN - 1) & -_ALIGN


# -- pickling ---------------------------------------------------------------------------------


def _rebuild_tensor(buffer, dtype, size, stride, requires_grad, parameter):
    """A tensor on the bytes of `buffer`, which it keeps alive; `dtype` by name."""
    dtype = getattr(torch, dtype)
    if memoryview(buffer).nbytes:
        tensor = torch.frombuffer(buffer, dtype=dtype).as_strided(size, stride)
    else:
        tensor = torch.empty(size, dtype=dtype)
    if parameter:
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_() if requires_grad else tensor


def _dense_order(size, stride):
    """Dimensions from the slowest to the fastest if the layout has no gaps or overlaps, else None."""
    order = sorted(range(len(size)), key=lambda d: (-stride[d], -size[d]))
    expected = 1
    for d in reversed(order):
        if size[d] != 1 and stride[d] != expected:
            return None
        expected *= size[d]
    return order


def _reduce_tensor(tensor):
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue).")
    parameter = type(tensor) is not torch.Tensor
    data = tensor.detach().resolve_conj().resolve_neg()
    size, stride = tuple(data.shape), data.stride()
    order = None if data.is_contiguous() else _dense_order(size, stride)
    if order is not None:
        data = data.permute(order)
    else:
        data = data.contiguous()
        stride = data.stride()
    raw = data.reshape(-1).view(torch.uint8).numpy() if data.numel() else np.empty(0, np.uint8)
    dtype = str(tensor.dtype).removeprefix("torch.")
    return _rebuild_tensor, (pickle.PickleBuffer(raw), dtype, size, stride,
                             tensor.requires_grad, parameter)


class _BatchPickler(pickle.Pickler):
    def reducer_override(self, obj):
        # `nn` is only looked at for subclasses: plain data doesn't need it imported.
        if isinstance(obj, torch.Tensor) and obj.layout == torch.strided \
                and obj.device.type == "cpu" \
                and (type(obj) is torch.Tensor or type(obj) is torch.nn.Parameter):
            return _reduce_tensor(obj)
        return NotImplemented


def _dump(obj):
    """``[pickle stream, buffer, buffer, ...]`` for `obj`."""
    buffers, stream = [], io.BytesIO()
    _BatchPickler(stream, 5, buffer_callback=buffers.append).dump(obj)
    return [stream.getbuffer(), *(b.raw() for b in buffers)]


# -- blocks -----------------------------------------------------------------------------------


class BlockPool:
    """A worker's shared blocks: `encode` puts batches into free ones, `release` frees them."""

    def __init__(self):
        self._ids = itertools.count()
        self._maps = {}
        self._free = {}

    def release(self, ids):
        """The loader is done with these blocks."""
        for i in ids:
            if i in self._maps:
                self._free[i] = self._maps[i]

    def encode(self, obj):
        """``(payload, fds)`` of a message that carries `obj`; the caller closes the fds."""
        parts = _dump(obj)
        total = sum(_aligned(part.nbytes) for part in parts)
        block, fds, memory = -1, (), None
        if total > _INLINE_LIMIT and _CAN_PASS_FDS:
            block, fds, memory = self._block_for(total)
        head = _HEAD.pack(block, len(fds) and len(memory), len(parts))
        sizes = struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
        if memory is None:
            padded = [bytes(part) + bytes(_aligned(part.nbytes) - part.nbytes) for part in parts]
            return b"".join([head, sizes, *padded]), fds
        view, offset = memoryview(memory), 0
        for part in parts:
            view[offset:offset + part.nbytes] = part
            offset += _aligned(part.nbytes)
        view.release()
        return head + sizes, fds

    def _block_for(self, total):
        fitting = [(len(m), i) for i, m in self._free.items() if len(m) >= total]
        if fitting:
            block = min(fitting)[1]
            return block, (), self._free.pop(block)
        for i in list(self._free):      # all too small: batches have grown
            del self._free[i], self._maps[i]
        capacity = -(-total // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = anonymous_file(capacity)
        block, memory = next(self._ids), mmap.mmap(fd, capacity)
        self._maps[block] = memory
        return block, (fd,), memory


class BlockMap:
    """The loader's view of one worker's blocks."""

    def __init__(self):
        self._maps = {}
        self._leases = {}
        self.freed = []         # blocks to hand back with the next message

    def decode(self, payload, fds):
        """The object that a message of `BlockPool.encode` carries."""
        block, capacity, count = _HEAD.unpack_from(payload)
        sizes = struct.unpack_from(f"<{count}Q", payload, _HEAD.size)
        if fds:
            try:
                self._maps[block] = mmap.mmap(fds[0], capacity)
            finally:
                os.close(fds[0])
        if block < 0:
            data = memoryview(payload)[_HEAD.size + 8 * count:]
            if count == 1:
                return pickle.loads(data)
            memory = _aligned_copy(data)
        else:
            memory = self._lease(block)
        view, parts, offset = memoryview(memory), [], 0
        for size in sizes:
            parts.append(view[offset:offset + size])
            offset += _aligned(size)
        return pickle.loads(parts[0], buffers=parts[1:])

    def _lease(self, block):
        """The block's bytes as an array; when nothing refers to it any more, the block is free."""
        array = np.frombuffer(self._maps[block], np.uint8)
        freed, leases = self.freed, self._leases

        def done(_):
            leases.pop(block, None)
            freed.append(block)

        leases[block] = weakref.ref(array, done)
        return array


def _aligned_copy(data):
    """A copy of `data` that starts on an `_ALIGN` boundary."""
    spare = np.empty(data.nbytes + _ALIGN, np.uint8)
    start = -spare.ctypes.data % _ALIGN
    array = spare[start:start + data.nbytes]
    array[:] = np.frombuffer(data, np.uint8)
    return array
