"""Arrays of complex32: pairs of float16, a type that NumPy knows as a record only.

Data moves as it is; arithmetic happens in complex64 (`widened`) and is rounded once (`store`).
"""

import numpy as np

_ndarray = np.ndarray


def is_half_complex(a):
    """Whether this array (or NumPy dtype) holds complex32."""
    return a.dtype.names is not None if isinstance(a, _ndarray) else a.names is not None


def widened(a):
    """A fresh complex64 array with the contents of a complex32 one."""
    out = np.empty(a.shape, np.complex64)
    out.real, out.imag = a["re"], a["im"]
    return out


def store(dst, src):
    """``dst[...] = src`` where either holds complex32."""
    with np.errstate(all="ignore"):
        if not is_half_complex(dst):
            wide = widened(src)
            np.copyto(dst, wide if dst.dtype.kind == "c" else wide != 0 if dst.dtype.kind == "b" else wide.real,
                      casting="unsafe")
        elif is_half_complex(src):
            dst[...] = src
        else:
            dst["re"] = src.real
            dst["im"] = src.imag if src.dtype.kind == "c" else 0


def narrowed(a):
    """A fresh complex32 array with the contents of `a`."""
    from ..dtypes import complex32
    out = np.empty(a.shape, complex32.np)
    store(out, a)
    return out


def fill(a, value):
    """Set every element of a complex32 array to a number."""
    value = complex(value)
    with np.errstate(all="ignore"):
        a["re"], a["im"] = value.real, value.imag
