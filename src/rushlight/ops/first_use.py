"""What programs go on to need, for ``compiler.ahead``: native calls, then what layers, training and convolutions do.

Only what nearly every such program needs, in float32; the larger the module, the more it matters.
"""

from functools import partial

from ..compiler.first_use import make


def _native(group):
    from .native import install, modules

    return modules.make(group, install._offsets())


EXPECTED = (
    ("", tuple(partial(_native, group) for group in ("entry", "views", "facts", "calls", "making", "contents",
                                                     "plans"))),
    ("rushlight.nn", (partial(_native, "products"),)),
    ("rushlight.optim", (
        partial(make, "compiler.reduction", "_entry"),
        partial(make, "compiler.reduction", "reduce_kernel", "sum", "float32", "float32"),
        partial(make, "compiler.templates.softmax", "forward", "log_softmax", "float32"),
        partial(make, "compiler.templates.likelihood", "loss", "float32"),
        partial(make, "compiler.templates.likelihood", "nll", "float32"),
        partial(make, "compiler.templates.runs", "kernel", "fill"),
        partial(make, "compiler.reduction", "reduce_kernel", "mean", "float32", "float32"),
        partial(make, "compiler.templates.copying", "kernel", 4))),
    ("array kernel batch norm float32", (partial(make, "compiler.templates.batchnorm", "backward", "float32"),)),
    ("conv product|float|", (partial(make, "compiler.templates.conv_weight", "kernel", "float"),
                             partial(make, "compiler.templates.conv_pixels", "kernel", "float"))),
)
