"""softmax, log_softmax and their gradients as row programs."""

from functools import cache

from rushlight.compiler import scalar as s
from rushlight.compiler.rowwise import kept, row, row_kernel

KINDS = ("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")


@cache
def softmax_kernel(kind, dtype, out_dtype=None):
    """Kernels ``call(y, x, mask)`` for ``softmax`` and ``log_softmax``, ``call(gx, g, y, mask)`` for
    ``softmax_backward`` and ``log_softmax_backward`` (y is the forward's result).

    ``mask`` has one bit set: the dimension.  16-bit floats are computed in float32.
    """
    if kind not in KINDS:
        raise ValueError(f"softmax_kernel: kind must be one of {KINDS}, got {kind!r}")
    compute = "float64" if dtype == "float64" else "float32"
    x, y = s.input(0), s.input(1)
    inputs = [dtype]
    if kind.endswith("backward"):
        inputs = [dtype, dtype]
        if kind == "softmax_backward":
            reductions, output = [("sum", x * y)], y * (x - row(0))
        else:
            reductions, output = [("sum", x)], x - s.exp(y) * row(0)
    else:
        reductions = [("max", x), ("sum", s.exp(x - row(0)), kind == "softmax")]
        if kind == "softmax":
            output = kept() * (1.0 / row(1))
        else:
            output = (x - row(0)) - s.log(row(1))
    return row_kernel(reductions, [output], inputs, [out_dtype or dtype], compute=compute)
