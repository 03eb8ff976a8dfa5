"""DLPack under PyTorch's module name: tensors to and from other libraries without a copy."""

import rushlight as torch

from_dlpack = torch.from_dlpack


def to_dlpack(tensor):
    """A DLPack capsule that shares the memory of `tensor`; each capsule can be used once."""
    return tensor.__dlpack__()
