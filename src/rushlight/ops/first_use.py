"""What programs go on to need, for ``compiler.ahead``: native calls, then what layers, training and convolutions do.

Only what nearly every such program needs, of float32; the larger the module, the more it matters.
"""

from functools import partial

from ..compiler.first_use import call


def _native(group):
    from .native import install, modules

    return modules.make(group, install._offsets())


def _sum():
    from ..compiler import reduction

    reduction.complete(reduction.reduce_kernel("sum", "float32", "float32").descriptor)


EXPECTED = (
    ("", tuple(partial(_native, group) for group in ("entry", "views", "facts", "calls", "making", "contents",
                                                     "plans"))),
    ("rushlight.nn", (partial(_native, "products"),)),
    ("rushlight.optim", (
        partial(call, "compiler.reduction", "_entry"),
        partial(call, "compiler.templates.runs", "kernel", "fill"),
        _sum,
        partial(call, "compiler.reduction", "reduce_kernel", "mean", "float32", "float32"))),
    ("conv product|float|", (partial(call, "compiler.templates.conv_weight", "kernel", "float"),)),
)
