"""``torch.nn.functional.pad``: constant, reflect, replicate and circular borders."""

import math
from functools import lru_cache

import numpy as np

from ..runtime.allocator import empty as alloc
from ..tensor import watch
from .copy import fill_array, fresh
from .creation import number_for
from .dispatch import primitive
from .gather import add_slices
from .nn.kernels import name_of
from .nn.separable import Plan, Taps, supported
from .reduce_common import compiled
from .registry import public
from .slicing import zeros_array

# ---------------------------------------------------------------- constant

def _pairs(pad, ndim):
    """(before, after) for every dimension, from PyTorch's last-dimension-first list."""
    out = [(0, 0)] * ndim
    for i in range(len(pad) // 2):
        out[ndim - 1 - i] = (pad[2 * i], pad[2 * i + 1])
    return out


@lru_cache(256)
def _constant_rows(shape, pad):
    """Where the rows and columns of the last dimensions come from; None where nothing is left of them."""
    numbers = []
    for d, n in enumerate(shape):
        p, q = pad[2 * (len(shape) - 1 - d):][:2]
        k = np.arange(-p, n + q)
        if not len(k) or not ((k >= 0) & (k < n)).any():
            return None
        numbers.append(np.where((k >= 0) & (k < n), k, -1))
    return _Rows(shape, numbers)


class _Rows:
    """Tables of ``compiler.templates.borders`` for dimensions whose elements have these numbers."""

    __slots__ = ("shape", "out", "rows", "left", "right", "start", "middle", "words")

    def __init__(self, shape, numbers):
        self.shape, self.out = shape, tuple([len(k) for k in numbers])
        *outer, columns = numbers
        rows = np.zeros(1, np.int64)
        for n, k in zip(shape, outer):
            rows = np.where((rows[:, None] < 0) | (k < 0), -1, rows[:, None] * n + k).reshape(-1)
        # The longest stretch of columns that follow each other.
        begin = longest = 0
        ends = np.flatnonzero((np.diff(columns) != 1) | (columns[:-1] < 0))
        at = 0
        for end in (*ends, len(columns) - 1):
            if end + 1 - at > longest and columns[at] >= 0:
                begin, longest = at, end + 1 - at
            at = end + 1
        self.rows, self.start, self.middle = rows, int(columns[begin]), int(longest)
        self.left, self.right = columns[:begin], columns[begin + longest:]
        for name in ("rows", "left", "right"):
            setattr(self, name, watch.fixed(np.array(getattr(self, name), np.int64)))
        self.words = {}

    def __call__(self, a, constant, value=0):
        """The array with its borders."""
        from ..compiler.templates.borders import border_words, borders
        lead = a.shape[:a.ndim - len(self.shape)]
        y = alloc(lead + self.out, a.dtype)
        key = lead, a.itemsize, value
        words = self.words.get(key)
        if words is None:
            words = self.words[key] = border_words(math.prod(lead), a.itemsize, self.shape, self.out, len(self.left),
                                                   len(self.right), self.start, self.middle, value)
        if y.size:
            watch.launch(borders(a.itemsize, constant), y, a if a.flags.c_contiguous else fresh(a), self.rows,
                         self.left, self.right, words)
        return y


def _bits(value, np_dtype):
    """The constant's bytes as an integer."""
    if value == 0 and str(value)[0] != "-":
        return 0
    return int.from_bytes(np.array(value).astype(np_dtype).tobytes().ljust(8, b"\0"), "little", signed=True)


def _by_rows(a):
    """Whether there is a kernel for the elements, and they lie in C order or need a copy to."""
    return a.size and a.itemsize <= 8 and compiled() and not _channels_last(a)


def _channels_last(a):
    return a.ndim > 3 and not a.flags.c_contiguous and np.moveaxis(a, 1, -1).flags.c_contiguous


@lru_cache(64)
def _zeros_around(shape, pad, np_dtype):
    """The compiled map from the last dimensions to those with borders of zeros; None where nothing is left."""
    maps = []
    for d, n in enumerate(shape):
        p, q = pad[2 * (len(shape) - 1 - d):][:2]
        kept = np.arange(max(-p, 0), n - max(-q, 0))
        if not len(kept):
            return None
        maps.append(Taps(n, n + p + q, kept + p, kept))
    return Plan(maps, name_of(np_dtype))


@primitive("constant_pad_nd(Tensor self, int[] pad, Scalar value) -> Tensor",
           vjp={"self": lambda g, pad: _constant(g, tuple(-p for p in pad), 0)})
def _constant(a, pad, value):
    n = len(pad) // 2
    if 0 < n <= 4 and _by_rows(a) and not a.dtype.names:
        rows = _constant_rows(a.shape[a.ndim - n:], tuple(pad))
        if rows is not None:
            return rows(a, True, _bits(value, a.dtype))
    if value == 0 and a.size and 0 < n <= 3 and supported(a.dtype):
        y = _zeros_around(a.shape[a.ndim - n:], tuple(pad), a.dtype)
        if y is not None:
            return y(a)
    pairs = _pairs(pad, a.ndim)
    shape = tuple([n + p + q for n, (p, q) in zip(a.shape, pairs)])
    inner, source = [], []
    for n, m, (p, q) in zip(a.shape, shape, pairs):
        inner.append(slice(max(p, 0), m - max(q, 0)))
        source.append(slice(max(-p, 0), n - max(-q, 0)))
    out = alloc(shape, a.dtype)
    if any(p > 0 or q > 0 for p, q in pairs):
        fill_array(out, value)
    out[tuple(inner)] = a[tuple(source)]
    return out


@public(method=False)
def constant_pad_nd(input, pad, value=0):
    """A copy with borders of `value`; negative amounts cut off."""
    pad = tuple(pad)
    n = input._a.ndim
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) // 2 > n:
        raise RuntimeError("Length of pad should be no more than twice the number of dimensions of the "
                           f"input. Pad length is {len(pad)} while the input has {n} dimensions.")
    for d, (s, (p, q)) in enumerate(zip(input._a.shape, _pairs(pad, n))):
        if s + p + q < 0:
            raise RuntimeError(f"The input size {s}, plus negative padding {p} and {q} resulted in a "
                               f"negative output size, which is invalid. Check dimension {d} of your "
                               "input.")
        if s + min(p, 0) + min(q, 0) < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
    return _constant(input, pad, number_for(input.dtype, value))


# ---------------------------------------------------------------- borders made of the input

def _reflect(n, p, q):
    i = np.abs(np.arange(-p, n + q))
    return np.where(i >= n, 2 * (n - 1) - i, i)


def _replicate(n, p, q):
    return np.clip(np.arange(-p, n + q), 0, max(n - 1, 0))


def _circular(n, p, q):
    # Negative amounts cut off first; what is left repeats.
    kept = np.arange(max(-p, 0), n - max(-q, 0))
    return kept[np.arange(-max(p, 0), len(kept) + max(q, 0)) % max(len(kept), 1)]


_SOURCES = {"reflection": _reflect, "replication": _replicate, "circular": _circular}


@lru_cache(64)
def _kernel(mode, shape, pad, np_dtype, adjoint):
    """The compiled map from the last dimensions to those with borders, or its adjoint."""
    maps = []
    for d, n in enumerate(shape):
        i = 2 * (len(shape) - 1 - d)
        taps = Taps.of_rows(n, _SOURCES[mode](n, pad[i], pad[i + 1])[None])
        maps.append(taps.transposed() if adjoint else taps)
    return Plan(maps, name_of(np_dtype))


@lru_cache(256)
def _border_rows(mode, shape, pad):
    """The tables of one mode."""
    last = len(shape) - 1
    return _Rows(shape, [np.asarray(_SOURCES[mode](n, pad[2 * (last - d)], pad[2 * (last - d) + 1]))
                         for d, n in enumerate(shape)])


def _border(mode, rank):
    """The record pair of one mode and number of padded dimensions."""
    source = _SOURCES[mode]
    name = f"{mode}_pad{rank}d"
    node = "".join(w.capitalize() for w in mode.split("_")) + f"Pad{rank}D"

    @primitive(f"{name}_backward(Tensor grad, int[] shape, int[] pad) -> Tensor",
               node=node + "BackwardBackward0", vjp={"grad": lambda g, pad: forward(g, pad)})
    def backward(grad, shape, pad):
        ndim = len(shape)
        if grad.size and supported(grad.dtype):
            return _kernel(mode, tuple(shape[ndim - rank:]), tuple(pad), grad.dtype, True)(grad)
        for i in range(len(pad) // 2):
            d = ndim - 1 - i
            index = source(shape[d], pad[2 * i], pad[2 * i + 1])
            out = zeros_array((*grad.shape[:d], shape[d], *grad.shape[d + 1:]), grad.dtype)
            add_slices(out, d, index, grad)
            grad = out
        return grad

    @primitive(f"{name}(Tensor self, int[] pad) -> Tensor", node=node + "Backward0",
               vjp={"self": lambda g, self_shape, pad: backward(g, self_shape, pad)})
    def forward(a, pad):
        if _by_rows(a):
            return _border_rows(mode, a.shape[a.ndim - rank:], tuple(pad))(a, False)
        if a.size and supported(a.dtype):
            return _kernel(mode, a.shape[a.ndim - rank:], tuple(pad), a.dtype, False)(a)
        for i in range(len(pad) // 2):
            d = a.ndim - 1 - i
            index = source(a.shape[d], pad[2 * i], pad[2 * i + 1])
            out = alloc((*a.shape[:d], len(index), *a.shape[d + 1:]), a.dtype)
            a = np.take(a, index, d, out, "clip") if a.size else out
        return np.ascontiguousarray(a)
    return forward


_BORDERS = {(mode, rank): _border(mode, rank) for mode in _SOURCES for rank in (1, 2, 3)}
_MODES = {"reflect": "reflection", "replicate": "replication", "circular": "circular"}


@public(namespaces=("torch.nn.functional", "torch._C._nn"), method=False)
def pad(input, pad, mode="constant", value=None):
    """`input` with borders: `pad` lists (before, after) of the last dimension first.

    mode: constant (`value`, default 0), reflect (without the edge), replicate (the edge), circular.
    """
    pad = tuple(p.__index__() for p in pad)
    n = input._a.ndim
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) // 2 > n:
        raise RuntimeError("Padding length should be less than or equal to two times the input "
                           f"dimension but got padding length {len(pad)} and input of dimension {n}")
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f"Padding mode \"{mode}\" doesn't take in value argument")
    rank = len(pad) // 2
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if rank not in (1, 2, 3) or n not in (rank + 1, rank + 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported "
                                  "for now")
    for i in range(rank):
        d = n - 1 - i
        s, p, q = input._a.shape[d], pad[2 * i], pad[2 * i + 1]
        if mode == "reflect" and (p >= s or q >= s):
            raise RuntimeError("Argument #4: Padding size should be less than the corresponding input "
                               f"dimension, but got: padding ({p}, {q}) at dimension {d} of input "
                               f"{list(input.shape)}")
        if mode == "circular" and (p > s or q > s):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if s == 0:
            raise RuntimeError(f"Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with possibly 0 "
                               "batch size and other non-zero dimensions for input, but got: "
                               f"{list(input.shape)}")
        if s + p + q < (0 if mode == "circular" else 1):
            raise RuntimeError(f"input (size: {s}) is too small for the padding ({p}, {q})")
    return _BORDERS[_MODES[mode], rank](input, pad)
