"""Fourier transforms of arrays by generated kernels: which serves which length and dimension.

    complex_transform(a, axes, forward, scale)      complex to complex
    half_spectrum(a, axes, scale, kind="half")      real to the half ("full": all) of the last axis's coefficients
    real_signal(a, axes, points, scale)             halves of spectra to `points` real numbers

and their adjoints: ``half_spectrum`` of kind "doubled" counts twice what has a mirror image, ``real_signal`` of kind
"adjoint" once.

Results are fresh and in C order. Lengths with prime factors up to 127 (odd real ones as complex ones) and up to 2^20
complex numbers have kernels: ``fft_lanes`` for short rows and for other dimensions than the last, ``fft_rows`` for
longer ones. Other lengths are convolutions with a chirp (Bluestein, "A linear filtering approach to the computation of
the discrete Fourier transform", 1970) up to 2^19, NumPy's above; without a compiler all are NumPy's.
"""

from functools import cache, lru_cache

import numpy as np

from ..runtime.allocator import empty
from ..tensor import watch
from .copy import copy_array
from .reduce_common import compiled

_ELEMENT = {"f": "float", "d": "double", "F": "float", "D": "double"}
_SHORT = 64                     # rows of so many complex numbers go side by side where there are enough of them
_MOST_ROWS = 1024               # points of transforms side by side along other dimensions
_CHIRP_END = 1 << 19


# ---------------------------------------------------------------- tables

def roots(t, n):
    """(cos, -sin) of 2 pi t / n in float64, from angles of at most an eighth of a turn around quarters."""
    t = np.asarray(t, np.int64) % n
    quarter = (4 * t + n // 2) // n
    angle = 2 * np.pi * (4 * t - quarter * n) / (4 * n)
    c, s, quarter = np.cos(angle), np.sin(angle), quarter % 4
    return np.choose(quarter, (c, -s, -c, s)), -np.choose(quarter, (s, c, -s, -c))


def _lanes(real):
    from ..compiler.codegen.targets import host
    return host().lanes(real.itemsize)


def _padded(n, lanes):
    return -(-n // lanes) * lanes


@lru_cache(24)
def _twiddles(n, real):
    """For the first pass of rows: planes of each of its results' rows."""
    from ..compiler.templates.fft_rows import halves
    lanes = _lanes(real)
    n1, n2 = halves(n, lanes)
    out = np.zeros((n1, 2, _padded(n2, lanes)), real)
    for k in range(n1):
        out[k, 0, :n2], out[k, 1, :n2] = roots(np.arange(n2, dtype=np.int64) * k, n)
    return watch.fixed(out)


@lru_cache(24)
def _turns(n, real, planes):
    """exp(-2 pi i k / 2n) for k = 0 ... n, in planes or in pairs."""
    width = _padded(n + 1, _lanes(real))
    out = np.zeros((2, width), real)
    out[0, :n + 1], out[1, :n + 1] = roots(np.arange(n + 1), 2 * n)
    return watch.fixed(out if planes else np.ascontiguousarray(out.T))


# ---------------------------------------------------------------- one dimension

@cache
def way(n, real, rows):
    """How rows of n complex numbers are transformed: "lanes" (many short ones), "rows", "lanes", or None."""
    from ..compiler.templates.fft_rows import halves
    from ..compiler.templates.fft_stages import stages
    if n > 1 << 20:
        return None
    alone = n <= _MOST_ROWS and stages(n) is not None
    if alone and rows and n <= _SHORT:
        return "lanes"
    if halves(n, _lanes(real)) is not None:
        return "rows"
    return "lanes" if alone else None


@cache
def _zero(real):
    return watch.fixed(np.zeros((1,), real))


def _dense(a):
    if a.flags.c_contiguous and a.flags.aligned:
        return a
    out = empty(a.shape, a.dtype)
    copy_array(out, a)
    return out


def transform(a, axis, kind, n, scale, out=None):
    """Transforms of kind `kind` of n complex numbers along an axis of a dense array, or None where there is no kernel.

    `out`, which may be the operand itself for complex numbers, is where results may go.
    """
    from ..compiler.templates.fft_lanes import lanes_kernel
    from ..compiler.templates.fft_stages import stages
    real = np.dtype(a.dtype.char.lower())
    shape = a.shape
    gives_real = kind in ("real", "adjoint")
    points = n if kind in ("forward", "inverse") else n + 1 if kind in ("half", "doubled") else 2 * n
    inner = 1
    for k in shape[axis + 1:]:
        inner *= k
    lanes = _lanes(real)
    rows = a.size // shape[axis]
    element = _ELEMENT[a.dtype.char]
    dtype = real if gives_real else np.dtype("F" if real.char == "f" else "D")
    if inner > 1 and (inner < lanes // 2 or n > _MOST_ROWS or stages(n) is None):
        moved = transform(_dense(a.swapaxes(axis, -1)), a.ndim - 1, kind, n, scale)
        return None if moved is None else _dense(moved.swapaxes(axis, -1))
    if inner > 1:
        result = empty((*shape[:axis], points, *shape[axis + 1:]), dtype) if out is None else out
        blocks = -(-inner // lanes)
        watch.launch(lanes_kernel(element, n, kind, "columns"), result, a, _turns(n, real, False),
                     rows // inner * blocks, blocks, inner, scale)
        return result
    how = way(n, real, rows >= lanes // 2)
    if how is None:
        return None
    result = empty((*shape[:axis], points, *shape[axis + 1:]), dtype) if out is None else out
    if how == "lanes":
        tiles = -(-rows // lanes)
        watch.launch(lanes_kernel(element, n, kind, "rows"), result, a, _turns(n, real, False), tiles, tiles, rows,
                     scale)
    else:
        by_rows(result, a, kind, n, scale, None, rows, 1, 0, shape[axis] * a.itemsize)
    return result


def by_rows(out, a, kind, n, scale, window, rows, frames, frame_step, outer_step):
    """Launch ``fft_rows`` (which see)."""
    from ..compiler.templates.fft_rows import rows_kernel
    real = np.dtype(a.dtype.char.lower())
    twiddles = _twiddles(n, real)
    turns = twiddles if kind in ("forward", "inverse") else _turns(n, real, True)
    watch.launch(rows_kernel(_ELEMENT[a.dtype.char], n, kind, window is not None), out, a, twiddles, turns,
                 twiddles if window is None else window, rows, frames, frame_step, outer_step, scale)


# ---------------------------------------------------------------- lengths without kernels

@cache
def _smooth(least):
    """The cheapest length of a convolution of at least so many points: few bits, then."""
    best = 1 << (least - 1).bit_length()
    for odd in (3, 5, 9, 15):
        n = odd
        while n < least:
            n *= 2
        best = min(best, n) if n >= 128 else best
    return best


@lru_cache(8)
def _chirp(n, real):
    """(chirp, its convolution's spectrum, length) of a forward transform of n points."""
    from ..compiler.templates.fft_rows import halves
    m = _smooth(2 * n - 1)
    while halves(m, _lanes(real)) is None:
        m = _smooth(m + 1)
    k = np.arange(n, dtype=np.int64)
    c, s = roots(k * k, 2 * n)
    chirp = c + 1j * s
    kernel = np.zeros(m, np.complex128)
    kernel[:n] = chirp.conj()
    kernel[m - n + 1:] = chirp[:0:-1].conj()
    pair = np.dtype("F" if real.char == "f" else "D")
    spectrum = transform(kernel, 0, "forward", m, 1.0)
    return chirp.astype(pair), (spectrum / m).astype(pair), m


def _unseen():
    """Tell who writes the call down that NumPy works in it, too."""
    if watch.observer is not None:
        watch.observer.fail()


def _convolved(a, axis, forward, scale):
    """A complex transform of any length up to _CHIRP_END along an axis."""
    _unseen()
    n = a.shape[axis]
    rows = a.swapaxes(axis, -1)
    chirp, spectrum, m = _chirp(n, np.dtype(a.dtype.char.lower()))
    work = empty((*rows.shape[:-1], m), a.dtype)
    np.multiply(rows if forward else rows.conj(), chirp, out=work[..., :n])
    work[..., n:] = 0
    transform(work, work.ndim - 1, "forward", m, 1.0, work)
    np.multiply(work, spectrum, out=work)
    transform(work, work.ndim - 1, "inverse", m, 1.0, work)
    out = empty(rows.shape, a.dtype)
    np.multiply(work[..., :n], chirp if scale == 1 else chirp * chirp.real.dtype.type(scale), out=out)
    if not forward:
        np.conjugate(out, out=out)
    return out if axis == a.ndim - 1 else _dense(out.swapaxes(axis, -1))


def _by_numpy(a, axis, forward, scale):
    _unseen()
    r = np.fft.fft(a, axis=axis) if forward else np.fft.ifft(a, axis=axis, norm="forward")
    r = np.ascontiguousarray(r).astype(a.dtype, copy=False)
    return r if scale == 1 else np.multiply(r, r.real.dtype.type(scale), out=r)


def _complex_one(a, axis, forward, scale, fresh):
    """A complex transform along one axis; into the operand's memory where it is `fresh`."""
    if not a.size:
        return a if fresh else a.copy()
    if compiled():
        n = a.shape[axis]
        if n > 1 or scale != 1:
            a = _dense(a)
            r = transform(a, axis, "forward" if forward else "inverse", n, scale, a if fresh else None)
            if r is not None:
                return r
            if n <= _CHIRP_END:
                with np.errstate(all="ignore"):
                    return _convolved(a, axis, forward, scale)
    with np.errstate(all="ignore"):
        return _by_numpy(a, axis, forward, scale)


# ---------------------------------------------------------------- several dimensions

def complex_transform(a, axes, forward, scale=1.0, fresh=False):
    """``fftn`` (or its inverse without a factor) over `axes`, times `scale`."""
    for k, axis in enumerate(reversed(axes)):
        a = _complex_one(a, axis, forward, scale if k == len(axes) - 1 else 1.0, fresh)
        fresh = True
    return a


def _along(axis, *bounds):
    return (slice(None),) * axis + (slice(*bounds),)


def _alone(a, axis, points, factor):
    """The half spectrum of `points` real numbers, coefficients without a mirror image times `factor`; in place."""
    for at in (0, points // 2) if points % 2 == 0 else (0,):
        a[_along(axis, at, at + 1)] *= factor
    return a


def half_spectrum(a, axes, scale=1.0, kind="half"):
    """``rfftn`` over `axes`, the last of which has half of its coefficients, or all (`kind`, see above)."""
    last, n = axes[-1], a.shape[axes[-1]]
    more = axes[:-1]
    factor = 1.0 if more else scale
    pair = np.result_type(a.dtype, np.complex64)
    out = None
    if compiled() and a.size:
        if n % 2 == 0:
            out = transform(_dense(a), last, kind, n // 2, factor)
        if out is None:
            whole = empty(a.shape, pair)
            copy_array(whole.real, a)
            copy_array(whole.imag, _zero(a.dtype))
            out = _complex_one(whole, last, True, 2 * factor if kind == "doubled" else factor, True)
            if kind != "full":
                out = _dense(out[_along(last, 0, n // 2 + 1)])
            if kind == "doubled":
                _unseen()
                _alone(out, last, n, 0.5)
    else:
        out = np.fft.fft(a, axis=last) if kind == "full" else np.fft.rfft(a, axis=last)
        out = np.ascontiguousarray(out).astype(pair, copy=False)
        if kind == "doubled":
            factor = 2 * factor
            _alone(out, last, n, 0.5)
        out = out if factor == 1 else np.multiply(out, a.dtype.type(factor), out=out)
    return complex_transform(out, more, True, scale, True) if more else out


def real_signal(a, axes, points, scale=1.0, kind="real"):
    """``irfftn`` without a factor over `axes`, the last of which gets `points` points, times `scale`."""
    last = axes[-1]
    if len(axes) > 1:
        a = complex_transform(a, axes[:-1], False)
    real = a.real.dtype
    if compiled() and a.size and points % 2 == 0:
        out = transform(_dense(a), last, kind, points // 2, scale)
        if out is not None:
            return out
    _unseen()
    if kind == "adjoint":
        a, scale = _alone(a.copy(), last, points, 2), scale / 2
    if compiled() and a.size:
        # The other half mirrors the first; what is imaginary in the mean doesn't count.
        whole = empty((*a.shape[:last], points, *a.shape[last + 1:]), a.dtype)
        have = points // 2 + 1
        whole[_along(last, have)] = a
        whole[_along(last, 0, 1)].imag = 0
        if points % 2 == 0:
            whole[_along(last, have - 1, have)].imag = 0
        mirrored = whole[_along(last, 1, points - have + 1)]
        np.conjugate(np.flip(mirrored, last), out=whole[_along(last, have, None)])
        return np.ascontiguousarray(_complex_one(whole, last, False, scale, True).real)
    r = np.fft.irfft(a, points, last, norm="forward")
    r = np.ascontiguousarray(r).astype(real, copy=False)
    return r if scale == 1 else np.multiply(r, real.type(scale), out=r)
