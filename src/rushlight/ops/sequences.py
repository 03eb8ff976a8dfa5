"""Tensors from a rule: ranges, grids, index patterns and window functions."""

import math
import warnings

import numpy as np

from .. import devices, dtypes
from ..autograd.modes import state
from ..compiler import available
from ..dtypes import of_number, promote_types, scalar_name
from ..runtime.allocator import empty
from ..tensor import watch
from ..tensor.tensor import Tensor, wrap
from .construct import as_dtype, check_options, finish, to_meta
from .copy import converted
from .creation import number_for
from .registry import public

_SCALARS = (bool, int, float, complex)
_MANY = 4096                # elements from which a kernel is worth its call
_FAR = 1 << 40              # numbers this large go the long way
_LLVM = {dtypes.int64: "i64", dtypes.float32: "float", dtypes.float64: "double"}


def _python(x, name, arg):
    """A number argument; 0-dim tensors and array scalars become Python numbers."""
    if type(x) in _SCALARS:
        return x
    if isinstance(x, Tensor):
        if x._a.size != 1:
            raise RuntimeError(f"a Tensor with {x._a.size} elements cannot be converted to Scalar")
        return x.item()
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, _SCALARS):         # (a subclass, or what claims to be one)
        return x.__index__() if isinstance(x, int) else complex(x) if isinstance(x, complex) else float(x)
    raise TypeError(f"{name}(): argument '{arg}' must be Number, not {type(x).__name__}")


def _deliver(name, a, d, out, device, layout, pin_memory, requires_grad):
    """Array `a` as the result of a factory, or written to `out`."""
    if out is not None:
        if out._a.shape != a.shape:
            if out._a.size:
                warnings.warn(
                    f"The number of elements in the out tensor of shape {list(out.shape)} is "
                    f"{out._a.size} which does not match the computed number of elements {a.size}. "
                    f"Note that this may occur as a result of rounding error. The out tensor will be "
                    f"resized to a tensor of shape ({a.size},).", UserWarning, stacklevel=3)
            out.resize_(a.shape)
        out.copy_(wrap(a))
        return out
    check_options(name, layout, pin_memory)
    a = a.astype(d.np, copy=False)
    if devices.usable(device) is devices.META:
        a = to_meta(a)
    return finish(a, requires_grad)


# ---------------------------------------------------------------- ranges

def _check_range(start, end, step):
    if step == 0:
        raise RuntimeError("step must be nonzero")
    for v in (start, end):
        if isinstance(v, complex):
            raise RuntimeError("value cannot be converted to type double without overflow")
        if v - v != 0:
            raise RuntimeError(f"unsupported range: {_g(start)} -> {_g(end)}")
    if (step > 0) != (end >= start) and end != start:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def _g(v):
    return f"{v:g}" if isinstance(v, float) else str(v)


def _progression(n, start, step, d):
    """``start + i * step`` in the precision PyTorch accumulates in."""
    if (n >= _MANY or watch.observer is not None) and available():
        made = dtypes.int64 if d.category == dtypes.INT else dtypes.float32 if d.is_low_precision else d
        if made in _LLVM:
            from ..compiler.templates.ramp import kernel
            out = empty((n,), made.np)
            number = int if made is dtypes.int64 else float
            watch.launch(kernel("ramp", _LLVM[made]), out, n, number(start), number(step))
            return out if made is d else converted(out, d.np)
    if d.category == dtypes.INT:
        with np.errstate(all="ignore"):
            return (int(start) + np.arange(n, dtype=np.int64) * int(step)).astype(d.np)
    # The vector kernel adds i * step to the start in double precision and rounds once.
    return (float(start) + np.arange(n, dtype=np.float64) * float(step)).astype(
        np.float32 if d.is_low_precision else d.np).astype(d.np)


@public(method=False)
def arange(*args, start=None, end=None, step=None, out=None, dtype=None, layout=None, device=None,
           requires_grad=False, pin_memory=False):
    """Values ``start, start + step, ...`` below `end`; int64 if all are integers, else default float."""
    if dtype is None and args and start is None and end is None and step is None and out is None and \
            device is None and layout is None and not pin_memory and not requires_grad:
        for v in args:
            if type(v) is not int or not -_FAR < v < _FAR:
                break
        else:
            n = len(args)
            first, last, by = (0, *args, 1) if n == 1 else (*args, 1) if n == 2 else args if n == 3 else (1, 0, 1)
            count = -((first - last) // by) if by else 0
            if 0 < count < _MANY and watch.observer is None and devices.usable(None) is devices.CPU:
                return finish(np.arange(first, last, by, np.int64), False)
    given = list(args)
    if len(given) > 3:
        raise TypeError(f"arange() takes at most 3 positional arguments ({len(given)} given)")
    if len(given) == 1 and end is None:
        end = given[0]
    elif given:
        names = {"start": start, "end": end, "step": step}
        free = iter([k for k in names if names[k] is None])
        for v in given:
            names[next(free)] = v
        start, end, step = names["start"], names["end"], names["step"]
    if end is None:
        raise TypeError("arange() received an invalid combination of arguments")
    start = 0 if start is None else _python(start, "arange", "start")
    end = _python(end, "arange", "end")
    step = 1 if step is None else _python(step, "arange", "step")
    if dtype is not None:
        d = as_dtype(dtype, "arange")
    elif out is not None:
        d = out.dtype
    elif type(start) is float or type(end) is float or type(step) is float:
        d = dtypes.default.float
    else:
        d = dtypes.int64
    _check_range(start, end, step)
    if d.category in (dtypes.BOOL, dtypes.COMPLEX):
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{scalar_name(d)}'")
    if d is dtypes.int64:
        s, e, k = int(start), int(end), int(step)
        if k == 0:
            raise ValueError("step must be nonzero")
        n = max(-((s - e) // k), 0)
    else:
        n = math.ceil((end - start) / step)
    return _deliver("arange", _progression(n, start, step, d), d, out, device, layout, pin_memory,
                    requires_grad)


@public("range", method=False)
def range_(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None,
           requires_grad=False, pin_memory=False):
    """Values ``start, start + step, ...`` up to and including `end` (deprecated; see arange)."""
    warnings.warn("torch.range is deprecated and will be removed in a future release because its "
                  "behavior is inconsistent with Python's range builtin. Instead, use torch.arange, "
                  "which produces values in [start, end).", UserWarning, stacklevel=2)
    start, end, step = (_python(x, "range", k) for x, k in ((start, "start"), (end, "end"),
                                                          (step, "step")))
    d = as_dtype(dtype, "range") or (out.dtype if out is not None else dtypes.default.float)
    _check_range(start, end, step)
    n = int((end - start) / step) + 1
    return _deliver("range", _progression(n, start, step, d), d, out, device, layout, pin_memory,
                    requires_grad)


def _end_point(name, x, which):
    if isinstance(x, Tensor):
        if x._a.ndim:
            raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got "
                               f"{which} with {x._a.ndim} dimension(s).")
        return x.item(), x.dtype if x.dtype.category >= dtypes.FLOAT else dtypes.default.float
    x = _python(x, name, which)
    d = of_number(x)
    return x, d if d.category >= dtypes.FLOAT else dtypes.default.float


def _count(name, steps):
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    steps = steps.__index__()
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    return steps


def _spaced_type(name, d0, d1, dtype):
    inferred = promote_types(d0, d1)
    if inferred.is_complex or dtype is None:
        if dtype is not None and not dtype.is_complex:
            cname = {"complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}
            raise RuntimeError(f"torch.{name}(): inferred dtype {cname.get(inferred.name, inferred)} "
                               f"can't be safely cast to passed dtype {scalar_name(dtype)}")
        return dtype or (inferred if inferred.is_complex else dtypes.default.float)
    return dtype


def _fused(a, b, c):
    """a * b + c of float64, all but rounded once (Dekker 1971)."""
    def halves(x):
        high = x * 134217729.0
        high = high - (high - x)
        return high, x - high
    p = a * b
    (a1, a0), (b1, b0) = halves(a), halves(b)
    low = ((a1 * b1 - p) + a1 * b0 + a0 * b1) + a0 * b0
    total = p + c
    part = total - p
    return total + (((p - (total - part)) + (c - part)) + low)


def _spaced(start, end, n, d):
    """n values from start to end, each computed from the nearer end (PyTorch's scheme)."""
    if n == 0:
        return np.empty(0, d.np)
    if d.is_complex:
        t = d.np
        s, e = t.type(start), t.type(end)
    elif d.category == dtypes.INT:
        s, e = float(number_for(d, start)), float(number_for(d, end))
        if n == 1:
            return np.array([s]).astype(d.np)
        step, i = np.float64((e - s) / (n - 1)), np.arange(n, dtype=np.float64)
        # Cut to integers, a rounding between product and sum would show.
        with np.errstate(all="ignore"):
            a = np.where(i < n // 2, _fused(step, i, s), _fused(-step, n - 1 - i, e))
            return a.astype(np.int64).astype(d.np)
    else:
        t = np.dtype(np.float32) if d.is_low_precision else d.np
        s, e = t.type(start), t.type(end)
    if n == 1:
        return np.array([s]).astype(d.np)
    step = (e - s) / t.type(n - 1)
    if available() and not d.is_complex:
        from ..compiler.templates.ramp import kernel
        out = empty((n,), t)
        watch.launch(kernel("spaced", "float" if t.itemsize == 4 else "double"), out, n, float(s), float(e),
                     float(step))
        return out if t == d.np else converted(out, d.np)
    i = np.arange(n).astype(t)
    low, high = s + step * i, e - step * (t.type(n - 1) - i)
    return np.where(np.arange(n) < n // 2, low, high).astype(d.np)


def _inside(*ends):
    """Whether a transform works on one of the end points."""
    return any(isinstance(x, Tensor) and hasattr(type(x._a), "outermost") for x in ends)


@public(method=False)
def linspace(start, end, steps=None, *, out=None, dtype=None, layout=None, device=None,
             requires_grad=False, pin_memory=False):
    """`steps` values evenly spaced from `start` to `end`, both included."""
    if steps is None:
        raise TypeError("linspace() missing 1 required positional arguments: \"steps\"")
    dtype = as_dtype(dtype, "linspace")
    if state.levels and _inside(start, end):
        from ..func.batched import per_sample
        return per_sample(lambda a, b: linspace(a, b, steps, dtype=dtype), start, end)
    start, d0 = _end_point("linspace", start, "start")
    end, d1 = _end_point("linspace", end, "end")
    steps = _count("linspace", steps)
    d = out.dtype if out is not None and dtype is None else _spaced_type("linspace", d0, d1, dtype)
    return _deliver("linspace", _spaced(start, end, steps, d), d, out, device, layout,
                    pin_memory, requires_grad)


@public(method=False)
def logspace(start, end, steps=None, base=10.0, *, out=None, dtype=None, layout=None, device=None,
             requires_grad=False, pin_memory=False):
    """``base ** linspace(start, end, steps)``."""
    if steps is None:
        raise TypeError("logspace() missing 1 required positional arguments: \"steps\"")
    dtype = as_dtype(dtype, "logspace")
    if state.levels and _inside(start, end):
        from ..func.batched import per_sample
        return per_sample(lambda a, b: logspace(a, b, steps, base, dtype=dtype), start, end)
    start, d0 = _end_point("logspace", start, "start")
    end, d1 = _end_point("logspace", end, "end")
    steps = _count("logspace", steps)
    d = out.dtype if out is not None and dtype is None else _spaced_type("logspace", d0, d1, dtype)
    with np.errstate(all="ignore"):
        if d.category == dtypes.INT:
            start, end = number_for(d, start), number_for(d, end)
            step = np.float32((end - start) / (steps - 1)) if steps > 1 else np.float32(0)
            i = np.arange(steps).astype(np.float32)
            e = np.where(np.arange(steps) < steps // 2, np.float32(start) + step * i,
                         np.float32(end) - step * (np.float32(steps) - i - 1)) if steps > 1 else \
                np.full(steps, start, np.float32)
            a = np.power(np.float32(base), e).astype(np.int64).astype(d.np)
        else:
            work = dtypes.float32 if d.is_low_precision else d
            e = _spaced(start, end, steps, work)
            a = np.power(work.np.type(base), e).astype(d.np)
    return _deliver("logspace", a, d, out, device, layout, pin_memory, requires_grad)


# ---------------------------------------------------------------- index patterns

def _corners(rows, columns, offset, upper, np_dtype):
    """The places (2, n) of a matrix below (or above) a diagonal and on it."""
    i = np.arange(rows, dtype=np.int64)
    edge = np.clip(i + (offset if upper else offset + 1), 0, columns)
    counts = columns - edge if upper else edge
    n = int(counts.sum())
    if available():
        from ..compiler.templates.corners import corners_kernel
        out = empty((2, n), np_dtype)
        corners_kernel("i64" if np_dtype == np.int64 else "i32")(out, n, rows, columns, int(offset),
                                                                  int(upper))
        return out
    column = np.arange(n) - np.repeat(np.cumsum(counts) - counts - (edge if upper else 0), counts)
    return np.stack([np.repeat(i, counts), column]).astype(np_dtype)


def _triangle(name, upper, row, col, offset, dtype, device, layout, pin_memory):
    d = as_dtype(dtype, name) or dtypes.int64
    for label, v in (("row", row), ("col", col)):
        if v < 0:
            raise RuntimeError(f"{label} must be non-negative, got{v}")
    check_options(name, layout, pin_memory)
    if d not in (dtypes.int64, dtypes.int32):
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")
    a = _corners(row, col, offset, upper, d.np)
    return finish(to_meta(a) if devices.usable(device) is devices.META else a, False)


@public(method=False)
def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None, pin_memory=False):
    """Row and column indices (2, n) of the lower triangle of a row-by-col matrix."""
    return _triangle("tril_indices", False, row, col, offset, dtype, device, layout, pin_memory)


@public(method=False)
def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None, pin_memory=False):
    """Row and column indices (2, n) of the upper triangle of a row-by-col matrix."""
    return _triangle("triu_indices", True, row, col, offset, dtype, device, layout, pin_memory)


_meshgrid_warned = False


@public(method=False)
def meshgrid(*tensors, indexing=None):
    """Coordinate grids (views) of 1-D tensors; indexing 'ij' (matrix) or 'xy' (first two swapped)."""
    global _meshgrid_warned
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        if not _meshgrid_warned:
            _meshgrid_warned = True
            warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the "
                          "indexing argument.", UserWarning, stacklevel=2)
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError("torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: "
                           f"{indexing}")
    for t in tensors:
        if t._a.ndim > 1:
            raise RuntimeError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                               f"{t}")
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    order = list(range(len(tensors)))
    swap = indexing == "xy" and len(tensors) > 1
    if swap:
        order[0], order[1] = 1, 0
    shape = [tensors[i]._a.size for i in order]
    grids = []
    for axis, i in enumerate(order):
        lead = [1] * len(shape)
        lead[axis] = -1
        grids.append(tensors[i].view(lead).expand(shape))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@public(method=False)
def cartesian_prod(*tensors):
    """All tuples with one element of each 1-D tensor, as rows."""
    from .joining import stack
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    for t in tensors:
        if t._a.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([g.flatten() for g in grids], 1)


@public(method=True)
def combinations(input, r=2, with_replacement=False):
    """Combinations of `r` elements of a 1-D tensor, as rows."""
    if input._a.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))
    n = input._a.shape[0]
    # All pairs, then all continuations of the combinations so far.
    skip = 0 if with_replacement else 1
    idx = _corners(n, n, skip, True, np.dtype(np.int64)).T if r > 1 else np.arange(n)[:, None]
    for _ in range(r - 2):
        first = idx[:, -1] + skip
        counts = n - first
        base = np.repeat(np.arange(len(idx)), counts)
        last = np.arange(len(base)) - (np.cumsum(counts) - counts - first)[base]
        idx = np.concatenate([idx[base], last[:, None]], 1)
    return input[wrap(np.ascontiguousarray(idx))]


def _vander(x, n, increasing):
    n = x._a.shape[-1] if n is None else n
    from .joining import stack
    powers = [x.new_ones(x.shape)] if n else []
    for _ in range(1, n):
        powers.append(powers[-1] * x)
    if not powers:
        return x.new_empty((*x.shape, 0))
    return stack(powers if increasing else powers[::-1], -1)


@public(method=False)
def vander(x, N=None, increasing=False):
    """The Vandermonde matrix of a 1-D tensor: columns are powers, falling unless `increasing`."""
    if x._a.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    if N is not None and N < 0:
        raise RuntimeError("N must be non-negative.")
    if x.dtype.category < dtypes.INT:
        x = x.to(dtypes.int64)
    return _vander(x, N, increasing)


@public("vander", namespaces=("torch.linalg",), method=False)
def linalg_vander(x, *, N=None):
    """Vandermonde matrices with rising powers of the last dimension."""
    if not x._a.ndim:
        x = x.reshape(1)
    if (x._a.shape[-1] if N is None else N) <= 1:
        raise RuntimeError("N must be greater than 1.")
    if x.dtype is dtypes.bool_:
        x = x.to(dtypes.int64)
    return _vander(x, N, True)


# ---------------------------------------------------------------- windows

def _window(name, length, periodic, dtype, layout, device, requires_grad, pin_memory, formula):
    d = as_dtype(dtype, name) or dtypes.default.float
    if d.category < dtypes.FLOAT:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {d!r}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    check_options(name, layout, pin_memory)
    dev = devices.usable(device)
    if length == 0:
        a = np.empty(0, d.np)
    elif length == 1:
        a = np.ones(1, d.np)
    else:
        n = length + 1 if periodic else length
        a = formula(np.arange(n, dtype=np.float64), n)[:length].astype(d.np)
    return finish(to_meta(a) if dev is devices.META else a, requires_grad)


def _cosines(*coefficients):
    def formula(i, n):
        x = i * (2 * math.pi / (n - 1))
        return sum(c * (-1) ** k * np.cos(k * x) for k, c in enumerate(coefficients))
    return formula


@public(method=False)
def hann_window(window_length, periodic=True, *, dtype=None, layout=None, device=None,
                requires_grad=False, pin_memory=False):
    """``0.5 - 0.5 cos(2 pi i / (n - 1))``; periodic: n is one more and the last value is dropped."""
    return _window("hann_window", window_length, periodic, dtype, layout, device, requires_grad,
                   pin_memory, _cosines(0.5, 0.5))


@public(method=False)
def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None,
                   device=None, requires_grad=False, pin_memory=False):
    """``alpha - beta cos(2 pi i / (n - 1))``."""
    return _window("hamming_window", window_length, periodic, dtype, layout, device, requires_grad,
                   pin_memory, _cosines(alpha, beta))


@public(method=False)
def blackman_window(window_length, periodic=True, *, dtype=None, layout=None, device=None,
                    requires_grad=False, pin_memory=False):
    """``0.42 - 0.5 cos(x) + 0.08 cos(2 x)`` with ``x = 2 pi i / (n - 1)``."""
    return _window("blackman_window", window_length, periodic, dtype, layout, device, requires_grad,
                   pin_memory, _cosines(0.42, 0.5, 0.08))


@public(method=False)
def bartlett_window(window_length, periodic=True, *, dtype=None, layout=None, device=None,
                    requires_grad=False, pin_memory=False):
    """The triangle ``1 - |2 i / (n - 1) - 1|``."""
    return _window("bartlett_window", window_length, periodic, dtype, layout, device, requires_grad,
                   pin_memory, lambda i, n: 1 - np.abs(2 * i / (n - 1) - 1))


@public(method=False)
def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None,
                  requires_grad=False, pin_memory=False):
    """``I0(beta sqrt(1 - (2 i / (n - 1) - 1)^2)) / I0(beta)``."""
    def formula(i, n):
        return np.i0(beta * np.sqrt(np.maximum(1 - (2 * i / (n - 1) - 1) ** 2, 0))) / np.i0(beta)
    return _window("kaiser_window", window_length, periodic, dtype, layout, device, requires_grad,
                   pin_memory, formula)
