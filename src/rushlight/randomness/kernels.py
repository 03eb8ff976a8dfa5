"""The compiled kernels of the random streams, loaded on first use."""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["kernel"]


def module_ir():
    """The whole module as LLVM IR: engine and transforms."""
    from rushlight.randomness import engine, transforms

    return "\n".join([transforms.DECLARATIONS, engine.twist_ir(), engine.words_ir(), *transforms.all_kernels()])


@cache
def _addresses():
    import re

    from rushlight.runtime import native

    ir = module_ir()
    return native.load("random", ir, re.findall(r"define void @(\w+)\(", ir))


@cache
def kernel(name):
    """The kernel `rl_<name>` as a callable of (state, out, n, a, b): two addresses, a count and two doubles.

    The interpreter lock is held during the call, so a draw from a generator is one indivisible step.
    """
    signature = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_double,
                                  ctypes.c_double)
    return signature(_addresses()["rl_" + name])
