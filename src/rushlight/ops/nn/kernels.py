"""Small compiled kernels that several ops of neural networks share."""

from ...dtypes import BY_NP, from_np

_cache = {}


def elementwise(key, formula, kinds, in_dtypes, out_dtypes, compute, scalar_dtypes=()):
    """A compiled pointwise kernel under `key`, made once; takes (out.., in.., scalars) arrays."""
    k = _cache.get(key)
    if k is None:
        from ...compiler import pointwise_kernel, trace
        exprs = trace(formula, kinds, "f" * len(scalar_dtypes))
        k = _cache[key] = pointwise_kernel(exprs, list(in_dtypes), list(scalar_dtypes),
                                           list(out_dtypes), compute).call
    return k


def name_of(np_dtype):
    """Rushlight's name of a NumPy dtype."""
    d = BY_NP.get(np_dtype)
    return (d if d is not None else from_np(np_dtype)).name


_SUM_FORMULAS = {
    "sum": lambda x: x,
    "square_deviation": lambda x, m: (x - m) * (x - m),
    "dot": lambda g, x, m: g * (x - m),
    "product": lambda g, w: g * w,
    "dot3": lambda g, x, m, w: g * (x - m) * w,
    "dot_scaled": lambda g, x, m, r: g * (x - m) * r,
}


def row_sums(name, arrays, axes):
    """Sum of a formula of broadcast arrays over `axes` (kept dimensions only), in float64.

    The formula is evaluated in the arrays' type; the first array has the full shape. See
    ``_SUM_FORMULAS``.
    """
    import numpy as np

    from ...compiler import available
    a = arrays[0]
    if not available() or not a.size:
        return np.sum(_SUM_FORMULAS[name](*arrays), axis=axes, dtype=np.float64)
    dtype = name_of(a.dtype)
    key = ("rows", name, dtype)
    k = _cache.get(key)
    if k is None:
        from ...compiler import reduce_kernel, trace
        pre, = trace(_SUM_FORMULAS[name], "f" * len(arrays))
        k = _cache[key] = reduce_kernel("sum", [dtype] * len(arrays), "float64", pre=pre).call
    out = np.empty([s for i, s in enumerate(a.shape) if i not in axes])
    mask = 0
    for i in axes:
        mask |= 1 << i
    k(out, *arrays, mask)
    return out
