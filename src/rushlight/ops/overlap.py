"""Memory that an op would read and write at once, or write in several places: refused, in PyTorch's words.

Only dense tensors are told apart for certain; others pass, and ops that write read copies then.
"""

import numpy as np

from ..tensor.geometry import has_overlap
from .pointwise.core import partly_shared

_SEVERAL = ("unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation.")
_SHARED = ("unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
           "memory location. Please clone() the tensor before performing the operation.")


def single(t):
    """RuntimeError where an element of `t`, which is written to, is in several places."""
    a = t._a
    if 0 in a.strides and type(a) is np.ndarray and a.size > 1 and has_overlap(a.shape, t.stride()):
        raise RuntimeError(_SEVERAL)


def one_block(t, x):
    """Whether two tensors share a storage."""
    return x._storage is t._storage or x._storage.block() is t._storage.block()


def refuse_part(t, x):
    """RuntimeError where `x` is read, `t` written, and they share memory without being the same window."""
    if x is not t and one_block(t, x) and type(t._a) is np.ndarray and partly_shared(t, x):
        raise RuntimeError(_SHARED)


def refuse(t, x):
    """RuntimeError where `x` is read, `t` written, and they share memory."""
    if one_block(t, x) and type(t._a) is np.ndarray and type(x._a) is np.ndarray:
        same = x._offset == t._offset and x._a.nbytes == t._a.nbytes and t._a.size and x.stride() == t.stride()
        if same or partly_shared(t, x):
            raise RuntimeError(_SHARED)


def writable_apart(t, *read):
    """Checks of an op that writes `t` by index while it reads others."""
    single(t)
    for x in read:
        refuse(t, x)


def check_out(outs, args, whole):
    """Checks of ``out=``: no argument shares a part of a result's memory (nor, with `whole`, all of it)."""
    test = refuse if whole else refuse_part
    for o in outs:
        if not hasattr(o, "_a"):
            continue
        for x in args:
            if hasattr(x, "_a"):
                test(o, x)
            elif type(x) in (list, tuple):
                for y in x:
                    if hasattr(y, "_a"):
                        test(o, y)
