"""Orthogonal polynomials by degree (``torch.special.*_polynomial_*``) over NumPy arrays.

Degrees are cut to whole numbers; a negative one, and one beyond the range of int64 (NaN and infinities with it),
gives 0. Recurrences run in the operands' type, so that they overflow where that type does: two terms of infinity
leave NaN in all that follow. Within [-1, 1] Chebyshev polynomials of larger degree are cosines and sines.
"""

import numpy as np

# Recurrences of more steps than this are finished in closed form or by SciPy's native loops.
MANY = 4000


def degrees(n):
    """Whole degrees as int64; -1 where there is none."""
    with np.errstate(invalid="ignore"):
        n = np.trunc(n)
        known = (n >= 0) & (n < 2.0 ** 63)
        return np.where(known, n, -1.0).astype(np.int64) if n.dtype.kind == "f" else n.astype(np.int64)


def recurrence(x, n, first, step, rest):
    """P_n(x) from P_0 = 1, P_1 = first and P_{k+1} = step(k, x, P_k, P_{k-1}); `rest(x, n)` for degrees above MANY."""
    x, n = np.broadcast_arrays(x, n)
    out = np.where(n == 0, 1, np.where(n == 1, first(x), 0)).astype(x.dtype)
    flat, result = x.ravel(), out.reshape(-1)
    todo = np.flatnonzero(n.ravel() > 1)
    degree, x = n.ravel()[todo], flat[todo]
    q, p = np.ones_like(x), first(x)
    k = 1
    while todo.size:
        p, q = step(k, x, p, q), p
        k += 1
        done = (degree == k) | np.isnan(p)
        if done.any():
            result[todo[done]] = p[done]
            left = ~done
            todo, degree, x, p, q = todo[left], degree[left], x[left], p[left], q[left]
        if k == MANY and todo.size:
            far = np.asarray(rest(x.astype(np.float64), degree))
            # What has overflowed by now goes on to NaN.
            result[todo] = np.where(np.abs(far) <= np.finfo(x.dtype).max, far, np.nan)
            break
    return result.reshape(out.shape)


def _growing(kind, x, n):
    """Chebyshev polynomials outside of (-1, 1) by hyperbolic functions."""
    sign = np.where((x < 0) & (n % 2 == 1), -1.0, 1.0)
    if kind in "vw" and x.size:
        mirrored = x < 0
        kinds = np.where(mirrored, kind == "v", kind == "w")          # V_n(-x) = (-1)^n W_n(x)
        t = np.arccosh(np.abs(x))
        return sign * np.where(kinds, np.sinh((n + 0.5) * t) / np.sinh(t / 2), np.cosh((n + 0.5) * t) / np.cosh(t / 2))
    t = np.arccosh(np.abs(x))
    return sign * (np.cosh(n * t) if kind == "t" else np.sinh((n + 1) * t) / np.sinh(t))


def _wave(kind, x, n):
    """Chebyshev polynomials inside of (-1, 1): with x = cos t."""
    half = x.dtype.type(0.5)
    t, n = np.arccos(x), n.astype(x.dtype)
    if kind == "t":
        return np.cos(n * t)
    if kind == "u":
        return np.sin((n + 1) * t) / np.sin(t)
    if kind == "v":
        return np.cos((n + half) * t) / np.cos(t * half)
    return np.sin((n + half) * t) / np.sin(t * half)


def _at_end(kind, x, n):
    """Chebyshev polynomials at 1 and -1."""
    odd = np.where(n % 2 == 1, -1, 1)
    right = {"t": 1, "u": n + 1, "v": 1, "w": 2 * n + 1}[kind]
    left = {"t": 1, "u": n + 1, "v": 2 * n + 1, "w": 1}[kind]
    return np.where(x > 0, right, odd * left).astype(x.dtype)


_FIRST = {"t": lambda x: x, "u": lambda x: 2 * x, "v": lambda x: 2 * x - 1, "w": lambda x: 2 * x + 1}


def chebyshev(kind, shifted=False):
    """A polynomial of the first (t), second (u), third (v) or fourth (w) kind, of 2x - 1 where `shifted`."""
    # Below this degree the recurrence is as quick, and exact where waves are not.
    low = 6 if shifted or kind == "t" else 8

    def f(x, n):
        x, n = np.broadcast_arrays(2 * x - 1 if shifted else x, degrees(n))
        inner = (n > low) & (np.abs(x) < 1)
        ends = (n >= 0) & (np.abs(x) == 1)
        out = recurrence(x, np.where(inner | ends, -1, n), _FIRST[kind], lambda k, x, p, q: 2 * x * p - q,
                         lambda x, n: _growing(kind, x, n))
        out[inner] = _wave(kind, x[inner], n[inner])
        out[ends] = _at_end(kind, x[ends], n[ends])
        return out
    return f


def _nothing(x, n):
    return np.full(x.shape, np.nan)


def hermite_h(x, n):
    """Physicists' Hermite polynomials."""
    return recurrence(x, degrees(n), lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - 2 * k * q, _nothing)


def hermite_he(x, n):
    """Probabilists' Hermite polynomials."""
    return recurrence(x, degrees(n), lambda x: x, lambda k, x, p, q: x * p - k * q, _nothing)


def _native(name):
    def rest(x, n):
        import scipy.special
        return getattr(scipy.special, name)(n, x)
    return rest


def laguerre(x, n):
    """Laguerre polynomials, L_n(0) = 1."""
    x, n = np.broadcast_arrays(x, degrees(n))
    zero = (x == 0) & (n >= 0)
    out = recurrence(x, np.where(zero, 0, n), lambda x: 1 - x,
                     lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1), _native("eval_laguerre"))
    return out


def legendre(x, n):
    """Legendre polynomials; 1 and (-1)^n at 1 and -1."""
    x, n = np.broadcast_arrays(x, degrees(n))
    ends = (n >= 0) & (np.abs(x) == 1)
    out = recurrence(x, np.where(ends, -1, n), lambda x: x,
                     lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1), _native("eval_legendre"))
    out[ends] = _at_end("t", x[ends], n[ends])
    return out
