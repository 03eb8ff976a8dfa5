"""Facts about a tensor's memory and layout, and memory from files."""

from .registry import public


@public("get_device", method=False)
def get_device(input):
    """Device index of a tensor; -1 on the CPU."""
    return input.get_device()


@public("const_data_ptr", namespaces=())
def const_data_ptr(input):
    """Address of the first element, for reading."""
    return input.data_ptr()


@public("dim_order", namespaces=())
def dim_order(input, *, ambiguity_check=False):
    """The dimensions from the one with the largest stride to the one with the smallest.

    ambiguity_check: True, or a list of memory formats that the layout should be one of exactly; RuntimeError where
    another order would describe the layout as well.
    """
    shape, stride = input.shape, input.stride()
    order = tuple(sorted(range(len(shape)), key=lambda d: (-stride[d], d)))
    if ambiguity_check is False:
        return order
    if ambiguity_check is True:
        dense = all(stride[a] != stride[b] and shape[b] != 1 and shape[a] != 1 for a, b in zip(order, order[1:]))
        unique = dense or len(shape) < 2
    elif isinstance(ambiguity_check, list):
        unique = sum(input.is_contiguous(memory_format=f) for f in ambiguity_check) == 1
    else:
        raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
    if not unique:
        raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one of the given memory "
                           "formats.")
    return order


@public("storage_type", namespaces=())
def storage_type(input):
    """The class of storage that elements of this dtype had: ``torch.FloatStorage`` and so on."""
    import rushlight
    return getattr(rushlight, input.type().removeprefix("torch.").replace("Tensor", "Storage"), type(input.storage()))


@public("module_load", namespaces=())
def module_load(input, other, assign=False):
    """How ``load_state_dict`` puts `other` into this tensor: copied, or detached to stand for it (`assign`)."""
    return other.detach() if assign else input.copy_(other).detach()


@public("record_stream", namespaces=())
def record_stream(input, stream):
    """Tell the allocator that a stream uses this tensor: work is done when a call returns here."""


@public("grad_dtype", namespaces=())
@property
def grad_dtype(input):
    """The dtype of this tensor's gradient: its own."""
    return input.dtype


@public("set_flush_denormal", method=False)
def set_flush_denormal(mode):
    """Ask the CPU to treat numbers below the normal range as zero: False, it keeps computing with them here."""
    return False


@public("compiled_with_cxx11_abi", method=False)
def compiled_with_cxx11_abi():
    """Whether a C++ ABI of today was compiled against: there is no C++ here, so nothing older either."""
    return True


@public("from_file", method=False)
def from_file(filename, shared=None, size=0, *, dtype=None, layout=None, device=None, pin_memory=False):
    """A 1-D tensor of `size` elements on the memory map of a file.

    shared: changes are written to the file, which is made or extended as needed; otherwise they stay in memory.
    RuntimeError where the file is too short (and not shared) or the dtype has no fixed size.
    """
    import os

    import numpy as np

    from .. import dtypes
    from .construct import from_numpy
    d = dtypes.default.float if dtype is None else dtype
    need = size * d.np.itemsize
    if shared:
        with open(filename, "ab") as file:
            if file.tell() < need:
                file.truncate(need)
    elif os.path.getsize(filename) < need:
        raise RuntimeError(f"unable to mmap {need} bytes from file <{filename}>: it has "
                           f"{os.path.getsize(filename)} bytes only")
    if not size:
        return from_numpy(np.empty(0, d.np))
    mapped = np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(need,))
    return from_numpy(np.asarray(mapped)).view(d)
