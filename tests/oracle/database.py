"""PyTorch's sample database seen from Rushlight: names looked up, inputs rebuilt with dtypes, strides and overlaps."""

from types import FunctionType

import numpy as np

import rushlight


def find(name):
    """The function of a dotted name in Rushlight, or None."""
    target = rushlight
    for part in name.split("."):
        target = getattr(target, part, None)
        if target is None:
            return None
    return target


def function_of(op):
    """Rushlight's function for an entry of the database, with the arrangement of arguments that the entry makes."""
    if op.op.__name__ == "<lambda>":
        names = {**op.op.__globals__, "torch": rushlight, "F": rushlight.nn.functional}
        return FunctionType(op.op.__code__, names, op.op.__name__, op.op.__defaults__, op.op.__closure__)
    found = find(op.name)
    return getattr(rushlight.Tensor, op.name) if isinstance(found, rushlight.dtype) else found


def dtype_of(d):
    """Rushlight's dtype of PyTorch's."""
    return getattr(rushlight, str(d).partition(".")[2])


def tensor_of(x, blocks=None):
    """A tensor of the same dtype, geometry and values; views of one storage stay so if `blocks` (a dict) is shared."""
    import torch
    if x.is_meta:
        return rushlight.empty(tuple(x.shape), dtype=dtype_of(x.dtype), device="meta")
    x = x.detach().resolve_conj().resolve_neg()
    blocks = {} if blocks is None else blocks
    key = x.untyped_storage().data_ptr(), x.dtype
    block = blocks.get(key)
    if block is None:
        whole = x.as_strided((x.untyped_storage().nbytes() // x.itemsize,), (1,), 0)
        # Types that NumPy lacks come in wider ones.
        wide = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}.get(x.dtype)
        low = wide is not None
        block = rushlight.from_numpy(np.array((whole.to(wide) if low else whole).numpy()))
        block = blocks[key] = block.to(dtype_of(x.dtype)) if low else block
    return block.as_strided(tuple(x.shape), x.stride(), x.storage_offset()) if block.numel() else \
        block.reshape(tuple(x.shape))


def ours(x, blocks=None):
    """Inputs of a sample for Rushlight."""
    import torch
    blocks = {} if blocks is None else blocks
    if isinstance(x, torch.Tensor):
        t = tensor_of(x, blocks)
        return t.requires_grad_() if x.requires_grad else t
    if isinstance(x, torch.dtype):
        return dtype_of(x)
    if isinstance(x, torch.device):
        return rushlight.device(str(x))
    if isinstance(x, torch.memory_format):
        return getattr(rushlight, str(x).partition(".")[2])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(ours(y, blocks) for y in x))
    if isinstance(x, (list, tuple)):
        return type(x)(ours(y, blocks) for y in x)
    if isinstance(x, dict):
        return {k: ours(v, blocks) for k, v in x.items()}
    return x
