"""What programs go on to need, for ``compiler.ahead``: how calls run, then what layers, training and convolutions do.

Only what nearly every such program needs, of float32; the larger the module, the more it matters.
"""

from functools import partial


def _call(module, name, *args):
    from importlib import import_module

    return getattr(import_module(f"rushlight.{module}"), name)(*args)


def _native(group):
    from .native import install, modules

    return modules.make(group, install._offsets())


EXPECTED = (
    ("", (partial(_call, "runtime.threadpool", "parallel_for_address"),
          partial(_call, "compiler.pointwise", "_entries"))),
    ("rushlight.nn", (partial(_call, "compiler.templates.gemm", "kernel", "float32"),)),
    ("", tuple(partial(_native, group) for group in ("entry", "views", "facts", "calls", "making", "contents",
                                                     "plans"))),
    ("rushlight.nn", (partial(_native, "products"),)),
    ("rushlight.optim", (
        partial(_call, "compiler.reduction", "_entry"),
        partial(_call, "compiler.templates.runs", "kernels"),
        partial(_call, "compiler.reduction", "reduce_kernel", "sum", "float32", "float32"),
        partial(_call, "compiler.reduction", "reduce_kernel", "mean", "float32", "float32"))),
    ("conv product|float|", (partial(_call, "compiler.templates.conv_weight", "kernel", "float"),)),
)
