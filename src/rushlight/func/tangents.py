"""Tangent rules of primitives that are linear or products, or whose tangent needs less than the general way."""

from ..ops import registry
from ..ops.registry import function
from ..record import RECORDS
from ..tensor.tensor import Tensor
from .wrapped import invoke

registry.load()             # all records are there
RULES = {}


def _zeros(x):
    return function("zeros_like")(x)


def _linear(positions, reset=()):
    """Linear in the arguments at `positions` together; parameters at `reset` become zero for the tangent."""
    def rule(rec, inner, tangents):
        out = invoke(rec, *inner)
        args = list(inner)
        for p in positions:
            t, x = tangents[p], inner[p]
            if type(x) in (list, tuple):
                args[p] = [_zeros(y) if s is None else s for y, s in zip(x, t or [None] * len(x))]
            elif x is not None:
                args[p] = _zeros(x) if t is None else t
        for p in reset:
            args[p] = 0
        return out, invoke(rec, *args)
    return rule


def _bilinear(a, b, bias=None):
    """Linear in each of two arguments, plus a bias that is added as it is."""
    def rule(rec, inner, tangents):
        out = invoke(rec, *inner)
        base = list(inner)
        if bias is not None:
            base[bias] = None
        total = None
        for p in (a, b):
            if tangents[p] is not None:
                args = list(base)
                args[p] = tangents[p]
                term = invoke(rec, *args)
                total = term if total is None else total + term
        if bias is not None and tangents[bias] is not None:
            t = tangents[bias]
            if rec.name.startswith("conv"):
                t = t.reshape((-1,) + (1,) * (out.dim() - 2))
            total = t.expand(out.shape) if total is None else total + t
        return out, total
    return rule


LINEAR = {
    "sum": (0,), "sum.dim_IntList": (0,), "mean": (0,), "mean.dim": (0,), "trace": (0,),
    "clone": (0,), "_to_copy": (0,), "_conj_physical": (0,), "complex": (0, 1),
    "_fft_c2c": (0,), "_fft_r2c": (0,), "_fft_c2r": (0,), "_fft_r2c_backward": (0,), "_fft_c2r_backward": (0,),
    "gather": (0,), "index_select": (0,), "_index_select_backward": (0,), "take": (0,), "_take_backward": (0,),
    "masked_select": (0,), "index.Tensor": (0,), "_index_backward": (0,), "index_put": (0, 2),
    "cat": (0,), "stack": (0,), "block_diag": (0,), "repeat": (0,), "roll": (0,), "flip": (0,), "rot90": (0,),
    "tril": (0,), "triu": (0,), "cumsum": (0,), "masked_scatter": (0, 2),
    "select_scatter": (0, 1), "slice_scatter": (0, 1), "diagonal_scatter": (0, 1), "as_strided_scatter": (0, 1),
    "scatter.src": (0, 3), "scatter_add": (0, 3), "index_add": (0, 3), "index_copy": (0, 3), "put": (0, 2),
    "select_backward": (0,), "slice_backward": (0,), "diagonal_backward": (0,), "diag_embed": (0,),
    "unfold_backward": (0,), "im2col": (0,), "col2im": (0,),
    "embedding": (0,), "embedding_dense_backward": (0,),
    "adaptive_avg_pool_adjoint": (0,), "_adaptive_avg_pool": (0,), "_adaptive_avg_pool1d": (0,),
    "_adaptive_avg_pool2d": (0,), "_adaptive_avg_pool3d": (0,), "max_poolscatter": (0,), "max_pool_gather": (0,),
    "avg_pool_adjoint": (0,), "_avg_pool2d": (0,), "_avg_pool3d": (0,),
}
for _n in (1, 2, 3):
    for _kind in ("reflection", "replication", "circular"):
        LINEAR[f"{_kind}_pad{_n}d"] = LINEAR[f"{_kind}_pad{_n}d_backward"] = (0,)
BILINEAR = {
    "mm": (0, 1), "_matmul_nt": (0, 1), "_matmul_tn": (0, 1), "bmm": (0, 1), "_matmul_fold": (0, 1), "mv": (0, 1),
    "dot": (0, 1), "linear.bias": (0, 1, 2), "linear.matrix": (0, 1, 2), "linear": (0, 1, 2),
    "convolution": (0, 1, 2), "convolution_transposed": (0, 1, 2), "conv_input": (0, 1), "conv_weight": (0, 1),
    "linalg_cross": (0, 1),
}
RESET = {"constant_pad_nd": (2,), "masked_fill.Scalar": (2,), "scatter.value": (3,), "index_fill.int_Scalar": (3,)}

for _key, _where in LINEAR.items():
    RULES[_key] = _linear(_where)
for _key, _where in BILINEAR.items():
    RULES[_key] = _bilinear(*_where)
for _key, _where in RESET.items():
    RULES[_key] = _linear((0,), _where)
for _key in RECORDS:
    if _key.startswith("_Upsample"):
        RULES[_key] = _linear((0,))


def _softmax(rec, inner, tangents):
    out = invoke(rec, *inner)
    p = out * tangents[0]
    return out, p - out * p.sum(inner[1], True)


def _log_softmax(rec, inner, tangents):
    out = invoke(rec, *inner)
    t = tangents[0]
    return out, t - (out.exp() * t).sum(inner[1], True)


RULES["_softmax"], RULES["_log_softmax"] = _softmax, _log_softmax


def _picked(dim_at, keep_at=None):
    """(values, indices) along a dimension: the tangent is read at the indices."""
    def rule(rec, inner, tangents):
        out = invoke(rec, *inner)
        t, dim = tangents[0], inner[dim_at]
        if not isinstance(t, Tensor):
            return NotImplemented
        if not t.dim():
            return out, (t, None)
        index = out[1]
        squeezed = keep_at is not None and not inner[keep_at]
        if squeezed:
            index = index.unsqueeze(dim)
        g = t.gather(dim, index)
        return out, (g.squeeze(dim) if squeezed else g, None)
    return rule


for _key, _where in {"max.dim": (1, 2), "min.dim": (1, 2), "median.dim": (1, 2), "nanmedian.dim": (1, 2),
                     "mode": (1, 2), "kthvalue": (2, 3), "sort": (1,), "sort.stable": (1,), "topk": (2,),
                     "cummax": (1,), "cummin": (1,)}.items():
    RULES[_key] = _picked(*_where)
