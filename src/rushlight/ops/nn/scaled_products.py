"""Matrix products of scaled 8-bit floats, and products of groups of rows with a matrix each (mixtures of experts)."""

from enum import IntEnum

from ... import dtypes
from ...tensor.tensor import Tensor
from ..registry import FUNCTIONS, function, public

_NN = ("torch.nn.functional",)


class _ScalingType(IntEnum):
    """What one scale is for: the tensor, a row, or a block of it."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class _SwizzleType(IntEnum):
    """The order in which the scales of blocks are kept."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


for _kind in (_ScalingType, _SwizzleType):
    _kind.__str__ = lambda self: f"{type(self).__name__}.{self.name}"
    FUNCTIONS.setdefault("torch.nn.functional", {})[_kind.__name__[1:]] = _kind


def _single(x, what):
    if isinstance(x, (list, tuple)):
        if len(x) != 1:
            raise NotImplementedError(f"{what}: several scales for one operand are for block formats, which need CUDA")
        return x[0]
    return x


def _is_float8(t):
    return t.dtype in dtypes.FLOAT8


def _widened(a, scale, recipe, shape, name):
    """`a` in float32, times its scale of this shape (for RowWise) or of one element."""
    whole = recipe == _ScalingType.TensorWise and scale.numel() == 1
    rows = recipe == _ScalingType.RowWise and tuple(scale.shape) in shape
    if not _is_float8(a) or scale.dtype is not dtypes.float32 or not (whole or rows):
        raise ValueError(f"Invalid scaling configuration of {name}. For TensorWise scaling it should be float8 and the "
                         "scale a float32 tensor of one element; for RowWise scaling the scale should be float32 of "
                         f"shape {shape[0]}. Got {name}.dtype={a.dtype}, scale.dtype={scale.dtype}, scale of shape "
                         f"{tuple(scale.shape)} for {_ScalingType(recipe).name}.")
    return a.to(dtypes.float32) * (scale.reshape(()) if whole else scale.reshape(shape[0]))


def _product(a, b, bias, output_dtype):
    r = function("mm")(a, b)
    if bias is not None:
        r = r + bias.to(dtypes.float32)
    return r.to(output_dtype or dtypes.bfloat16)


@public(namespaces=_NN, method=False)
def scaled_mm(mat_a, mat_b, scale_a, scale_recipe_a, scale_b, scale_recipe_b, swizzle_a=None, swizzle_b=None, bias=None,
              output_dtype=dtypes.bfloat16, contraction_dim=(), use_fast_accum=False):
    """``(scale_a * mat_a) @ (scale_b * mat_b) + bias`` of 8-bit floats, added up in float32.

    Args:
        mat_a, mat_b: float8 (M, K) and (K, N).
        scale_a, scale_b: float32. One element for ``ScalingType.TensorWise``; (M, 1) and (1, N) for ``RowWise``.
        scale_recipe_a, scale_recipe_b: `ScalingType`. ValueError for scales of blocks, which need CUDA.
        swizzle_a, swizzle_b: of scales of blocks only.
        bias: (N,), or None.
        output_dtype: of the result.
        contraction_dim, use_fast_accum: accepted as PyTorch's; they change nothing here.
    """
    m, n = mat_a.shape[0], mat_b.shape[1]
    a = _widened(mat_a, _single(scale_a, "scaled_mm"), _single(scale_recipe_a, "scaled_mm"), ((m, 1),), "mat_a")
    b = _widened(mat_b, _single(scale_b, "scaled_mm"), _single(scale_recipe_b, "scaled_mm"), ((1, n),), "mat_b")
    return _product(a, b, bias, output_dtype)


@public("_scaled_mm", method=False)
def _scaled_mm(input, mat2, scale_a, scale_b, bias=None, scale_result=None, out_dtype=None, use_fast_accum=False):
    """`scaled_mm` whose recipes follow from the shapes of the scales."""
    recipes = [_ScalingType.TensorWise if s.numel() == 1 else _ScalingType.RowWise for s in (scale_a, scale_b)]
    r = scaled_mm(input, mat2, scale_a, recipes[0], scale_b, recipes[1], bias=bias,
                  output_dtype=out_dtype or input.dtype)
    return r if scale_result is None else (r.to(dtypes.float32) * scale_result).to(r.dtype)


def _bounds(offs, total):
    if offs.dtype is not dtypes.int32:
        raise RuntimeError("Offsets have to be int32")
    if offs.dim() != 1:
        raise RuntimeError("offs has to be 1D")
    ends = offs.tolist()
    starts = [0, *ends[:-1]]
    if any(s > e for s, e in zip(starts, ends)) or ends and ends[-1] > total:
        raise RuntimeError(f"offs must increase and end within the {total} entries of the dimension, got {ends}")
    return list(zip(starts, ends))


def _filled_up(parts, dim, size, like):
    """Parts joined along `dim`, with zeros behind them up to `size`."""
    missing = size - sum(p.shape[dim] for p in parts)
    if missing:
        shape = list(like)
        shape[dim] = missing
        parts = [*parts, parts[0].new_zeros(shape)]
    return function("cat")(parts, dim)


@public(namespaces=_NN, method=False)
def grouped_mm(mat_a, mat_b, *, offs=None, bias=None, out_dtype=None):
    """A matrix product for each group: groups are parts of a dimension, up to the entries of `offs`, or slices.

    Args:
        mat_a, mat_b: of one floating dtype.

            - (M, K) and (G, K, N): group g of the rows with matrix g; (M, N).
            - (G, M, K) and (K, N): matrix g with group g of the columns; (M, N).
            - (M, K) and (K, N): groups of the inner dimension; (G, M, N).
            - (G, M, K) and (G, K, N): all whole; (G, M, N).
        offs: int32 (G,), where groups end; what is behind the last one gives zeros. None for the last form.

    Differentiable. RuntimeError for other shapes, dtypes and offsets.
    """
    for name, t in (("mat_a", mat_a), ("mat_b", mat_b)):
        if t.dim() not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d")
        if t.dtype not in (dtypes.float32, dtypes.bfloat16, dtypes.float16):
            raise RuntimeError(f"Expected {name} to be Float32, BFloat16 or Float16 matrix, got "
                               f"{dtypes.scalar_name(t.dtype)}")
    if (mat_a.dim() == 2 or mat_b.dim() == 2) != (offs is not None):
        raise RuntimeError("Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d")
    if out_dtype is not None and out_dtype is not mat_a.dtype:
        raise RuntimeError("Grouped gemm output dtype must match `mat_a` dtype")
    if bias is not None:
        raise RuntimeError("Bias not supported yet")
    if mat_a.shape[-1] != mat_b.shape[-2]:
        raise RuntimeError("contraction dimension of mat_a and mat_b must match")
    return _grouped(mat_a, mat_b, offs)


def _grouped(a, b, offs):
    if offs is None:
        return function("bmm")(a, b)
    if a.dim() == 2 and b.dim() == 2:
        spans = _bounds(offs, a.shape[1])
        return function("stack")([a[:, s:e] @ b[s:e] for s, e in spans])
    count = (b if a.dim() == 2 else a).shape[0]
    if offs.numel() != count:
        raise RuntimeError(f"matrix batch sizes have to match: {count} matrices, {offs.numel()} offsets")
    if a.dim() == 2:
        parts = [a[s:e] @ b[g] for g, (s, e) in enumerate(_bounds(offs, a.shape[0]))]
        return _filled_up(parts, 0, a.shape[0], (0, b.shape[2]))
    parts = [a[g] @ b[:, s:e] for g, (s, e) in enumerate(_bounds(offs, b.shape[1]))]
    return _filled_up(parts, 1, b.shape[1], (a.shape[1], 0))


@public(namespaces=_NN, method=False)
def scaled_grouped_mm(mat_a, mat_b, scale_a, scale_recipe_a, scale_b, scale_recipe_b, swizzle_a=None, swizzle_b=None,
                      bias=None, offs=None, output_dtype=dtypes.bfloat16, contraction_dim=(), use_fast_accum=False):
    """`grouped_mm` of 8-bit floats with a scale for each row of `mat_a` and column of `mat_b`.

    Args:
        mat_a, mat_b: float8, shapes as in `grouped_mm`.
        scale_a, scale_b: float32 (M,) or (G, M), and (N,) or (G, N), with ``ScalingType.RowWise``.
        output_dtype: of the result; sums are float32.
        others: as in `scaled_mm` and `grouped_mm`.
    """
    scale_a, scale_b = _single(scale_a, "scaled_grouped_mm"), _single(scale_b, "scaled_grouped_mm")
    recipes = [_single(r, "scaled_grouped_mm") for r in (scale_recipe_a, scale_recipe_b)]
    if bias is not None:
        raise RuntimeError("Bias not supported yet")
    for t, scale, recipe, shape in ((mat_a, scale_a, recipes[0], mat_a.shape[:-1]),
                                    (mat_b, scale_b, recipes[1], (*mat_b.shape[:-2], mat_b.shape[-1]))):
        if not isinstance(scale, Tensor) or recipe != _ScalingType.RowWise or tuple(scale.shape) != tuple(shape) or \
                not _is_float8(t):
            raise ValueError("Invalid scaling configuration: scaled_grouped_mm takes float8 matrices with a scale for "
                             f"each row of mat_a and column of mat_b (RowWise), here of shape {tuple(shape)}")
    a = mat_a.to(dtypes.float32) * scale_a.unsqueeze(-1)
    b = mat_b.to(dtypes.float32) * scale_b.unsqueeze(-2)
    return _grouped(a, b, offs).to(output_dtype or dtypes.bfloat16)
