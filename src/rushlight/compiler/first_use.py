"""What all programs need, for ``ahead``: it is made while the op families are being imported.

Nothing here may import them: they wait for code, whose maker would wait for them.
"""

from functools import partial


def call(module, name, *args):
    """Call a function of a module of the package that need not have been imported."""
    from importlib import import_module

    return getattr(import_module(f"rushlight.{module}"), name)(*args)


EXPECTED = (
    ("", (partial(call, "runtime.allocator", "alloc_address"),
          partial(call, "runtime.threadpool", "parallel_for_address"),
          partial(call, "compiler.pointwise", "_entries"))),
    ("rushlight.nn", (partial(call, "compiler.templates.gemm", "kernel", "float32"),)),
)
