"""`GradBucket`: gradients that travel together, as communication hooks see them."""

from enum import IntEnum


class BuiltinCommHookType(IntEnum):
    """Communication hooks that `DistributedDataParallel` brings along."""

    ALLREDUCE = 1
    FP16_COMPRESS = 2


class GradBucket:
    """Some parameters' gradients in one flat tensor."""

    def __init__(self, index, buffer, parameters, is_last):
        self._index, self._buffer, self._parameters, self._is_last = index, buffer, parameters, is_last

    def index(self):
        """The bucket's number; low numbers are sent first."""
        return self._index

    def buffer(self):
        """All gradients as one tensor of one dimension."""
        return self._buffer

    def set_buffer(self, buffer):
        """Exchange the tensor that `buffer` gives."""
        self._buffer = buffer

    def gradients(self):
        """The buffer's parts in the shapes of the parameters."""
        return cut(self._buffer, self._parameters)

    def parameters(self):
        """The parameters, in the order of the buffer."""
        return list(self._parameters)

    def is_last(self):
        """Whether it is the last bucket of a pass."""
        return self._is_last


def cut(buffer, parameters):
    """Views of a flat tensor in the shapes of `parameters`."""
    return [part.view(p.shape) for part, p in zip(buffer.split([p.numel() for p in parameters]), parameters)]


def assign(parameters, caps):
    """Lists of parameters of one dtype each: a list ends when its bytes reach its cap (the last cap holds on)."""
    buckets, open_ = [], {}
    for p in parameters:
        mine, size, turn = open_.get(p.dtype, ([], 0, 0))
        mine.append(p)
        size += p.numel() * p.element_size()
        if size >= caps[min(turn, len(caps) - 1)]:
            buckets.append(mine)
            open_[p.dtype] = ([], 0, turn + 1)
        else:
            open_[p.dtype] = (mine, size, turn)
    return buckets + [mine for mine, _, _ in open_.values() if mine]


GradBucket.__module__ = BuiltinCommHookType.__module__ = "torch._C._distributed_c10d"
