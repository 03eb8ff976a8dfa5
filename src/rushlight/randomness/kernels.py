"""The kernels of the random streams as callables; each is compiled when it is first used."""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["kernel", "module_ir"]


def module_ir(name):
    """The module of the kernel `name`; `"engine"` is the generator itself, which the others call."""
    from rushlight.randomness import engine, transforms

    if name == "engine":
        return engine.words_ir()
    return "declare void @rl_mt_words(ptr, ptr, i64)\n" + transforms.KERNELS[name]()


@cache
def _digest():
    """A hash of the sources that kernels are made of, for the key of the code cache."""
    import os
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    here = os.path.dirname(os.path.abspath(__file__))
    for source in ("engine.py", "transforms.py", "kernels.py"):
        with open(os.path.join(here, source), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _load(name, symbol, imports):
    from rushlight.compiler import engine

    return engine.load(f"random {name} {_digest()}", lambda: module_ir(name), [symbol], imports)[
        symbol
    ]


@cache
def kernel(name):
    """The kernel `name` as a callable of (state, out, n, a, b): two addresses, a count and two doubles.

    The interpreter lock is held during the call, so a draw from a generator is one indivisible step.
    """
    address = _load(name, "rl_" + name, {"rl_mt_words": _load("engine", "rl_mt_words", None)})
    signature = ctypes.PYFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_double
    )
    return signature(address)
