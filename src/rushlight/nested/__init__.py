"""``torch.nested``: batches of tensors whose sizes differ, without padding.

In the strided layout any dimension may vary; in the jagged one (``layout=torch.jagged``) exactly one does, and the
elements are joined along it. See ``arrays.py`` for how they are kept.
"""

import rushlight as torch
from rushlight import devices

from .arrays import Nested, bind, closed, is_nested, offsets_of
from .ops import to_padded_tensor


def _layout(layout):
    if layout in (None, torch.strided):
        return torch.strided
    if layout is not devices.jagged:
        raise RuntimeError(f"Specified layout is unsupported for nested tensors: {layout}")
    return layout


def _bound(tensors, layout):
    for i, t in enumerate(tensors):
        if t.dim() != tensors[0].dim():
            raise RuntimeError("All Tensors given to nested_tensor must have the same dimension. Found dimension "
                               f"{t.dim()} for Tensor at index {i} and dimension {tensors[0].dim()} for Tensor at "
                               "index 0.")
    if layout is not devices.jagged:
        return bind(tensors, layout=layout)
    if not tensors:
        raise RuntimeError("Cannot construct a nested tensor from an empty tensor list")
    differ = [d for d in range(tensors[0].dim()) if len({t.shape[d] for t in tensors}) > 1]
    if len(differ) > 1:
        raise RuntimeError("Cannot represent given tensor list as a nested tensor with the jagged layout. Note that "
                           "the jagged layout only allows for a single ragged dimension. For example: (B, *, D_0, D_1, "
                           "..., D_N), with ragged * dim.")
    return bind(tensors, layout=layout, ragged=differ[0] + 1 if differ else 1, name="NestedViewFromJaggedBackward0")


def nested_tensor(tensor_list, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    r"""A nested tensor, a leaf, of copies of the tensors (or nested lists of numbers) in `tensor_list`.

    Errors: TypeError for what is no list, RuntimeError for tensors of different ranks and, in the jagged layout, for
    sizes that differ in more than one dimension.
    """
    if not isinstance(tensor_list, (list, tuple)):
        raise TypeError("Only lists (List[Tensor] and List[List...[Scalar]]) are accepted in nested_tensor")
    layout = _layout(layout)
    with torch.no_grad():
        tensors = [t.detach() if isinstance(t, torch.Tensor) else torch.tensor(t) for t in tensor_list]
        common = dtype or (tensors[0].dtype if tensors else None)
        out = _bound([t.to(common) for t in tensors], layout)
    return out.requires_grad_() if requires_grad else out


def as_nested_tensor(ts, dtype=None, device=None, layout=None):
    r"""A nested tensor of a list of tensors, or of the rows of a tensor, through which gradients flow back."""
    layout = _layout(layout)
    if is_nested(ts):
        if ts._a.layout is layout:
            return ts if dtype is None else ts.to(dtype)
        ts = list(ts.unbind())
    if not isinstance(ts, (list, tuple, torch.Tensor)):
        raise TypeError("as_nested_tensor(): Expected first argument to be a tensor or a list / tuple of tensors")
    if isinstance(ts, (list, tuple)) and not all(isinstance(t, torch.Tensor) for t in ts):
        raise TypeError("as_nested_tensor(): Expected first argument to be a tensor or a list / tuple of tensors")
    tensors = list(ts.unbind(0)) if isinstance(ts, torch.Tensor) else list(ts)
    common = dtype or (tensors[0].dtype if tensors else None)
    return _bound([t.to(common) for t in tensors], layout)


def nested_tensor_from_jagged(values, offsets=None, lengths=None, jagged_dim=None, min_seqlen=None, max_seqlen=None):
    r"""A jagged tensor on `values`, whose dimension ``jagged_dim - 1`` holds the components from ``offsets[i]`` on.

    `lengths` tells how much of each counts; without `offsets` they follow each other. RuntimeError without both.
    """
    if offsets is None and lengths is None:
        raise RuntimeError("nested_tensor_from_jagged(): At least one of offsets or lengths is required.")
    ragged = 1 if jagged_dim is None else jagged_dim
    if offsets is None:
        sizes, offsets, lengths = lengths.tolist(), offsets_of(lengths.tolist()), None
    else:
        starts = offsets.tolist()
        sizes = [b - a for a, b in zip(starts, starts[1:])] if lengths is None else lengths.tolist()
    return _on_values(values, offsets, lengths, sizes, ragged)


def _on_values(values, offsets, lengths, sizes, ragged):
    shapes = [tuple(n if k == ragged - 1 else m for k, m in enumerate(values.shape)) for n in sizes]
    return closed(values, Nested(devices.jagged, values.detach(), shapes, offsets, lengths, ragged),
                  "NestedViewFromJaggedBackward0")


def narrow(tensor, dim, start, length, layout=torch.strided):
    r"""Row i of `tensor` from ``start[i]`` on, ``length[i]`` elements along dimension 1, as a nested tensor.

    The jagged result shares the elements of `tensor`. Errors: RuntimeError for other dimensions than 1.
    """
    if isinstance(start, int):
        start = torch.full((tensor.shape[0],), start, dtype=torch.int64)
    if isinstance(length, int):
        length = torch.full((tensor.shape[0],), length, dtype=torch.int64)
    if dim != 1:
        raise RuntimeError(f"jagged layout only supports dim=1, got {dim}")
    if layout is not devices.jagged:
        rows = [t.narrow(0, s, n) for t, s, n in zip(tensor.unbind(0), start.tolist(), length.tolist())]
        return _bound(rows, torch.strided)
    n = tensor.shape[1]
    flat = tensor.reshape(-1, *tensor.shape[2:])
    begin = torch.arange(tensor.shape[0]) * n + start
    offsets = torch.cat([begin, (begin[-1:] + length[-1:])])
    return _on_values(flat, offsets, length.clone(), length.tolist(), 1)


def masked_select(tensor, mask):
    r"""The elements of each row of `tensor` for which `mask` is True, as a jagged tensor."""
    if tensor.layout is not torch.strided:
        raise RuntimeError("torch.nested.masked_select requires a strided tensor")
    if mask.layout is not torch.strided:
        raise RuntimeError("torch.nested.masked_select requires a strided mask")
    values = tensor.masked_select(mask)
    counts = mask.expand(tensor.shape).reshape(tensor.shape[0], -1).sum(1).tolist()
    return _on_values(values, offsets_of(counts), None, counts, 1)


__all__ = ["as_nested_tensor", "masked_select", "narrow", "nested_tensor", "nested_tensor_from_jagged",
           "to_padded_tensor"]
