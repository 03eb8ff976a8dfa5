"""What all programs need, for ``ahead``: it is made while the op families are being imported.

Nothing here may import them: they wait for code, whose maker would wait for them.
"""

from functools import partial


def load(module, name, *args):
    """Call a function of a module of the package that need not have been imported."""
    from importlib import import_module

    return getattr(import_module(f"rushlight.{module}"), name)(*args)


def make(module, name, *args):
    """The same, but only until it has made code: the kernel itself is left to who needs it."""
    from rushlight.compiler import engine

    with engine.only_making():
        load(module, name, *args)


EXPECTED = (
    ("", (partial(load, "runtime.allocator", "alloc_address"),
          partial(load, "runtime.threadpool", "parallel_for_address"),
          partial(make, "compiler.pointwise", "_entries"))),
    ("rushlight.nn", (partial(make, "compiler.templates.gemm", "kernel", "float32"),)),
)
