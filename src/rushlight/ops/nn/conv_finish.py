"""Convolutions whose results are finished while they are cached: an activation, a residual, a conversion.

    relu_plus = finishing(s.maximum(s.input(0), 0.0) + s.input(1), ["float32", "float32"], "float32")
    call = Convolution((1, 1), (1, 1), (1, 1), 1, relu_plus)            # stride, padding, dilation, groups
    call(out, x, w, bias, residual)                     # out = relu(conv(x, w) + bias) + residual

``finishing`` is that of ``compiler.templates.gemm_finish``: the address of a formula of the finished sums, which are
input 0, and of further arrays that broadcast to the result: numbers for each channel have shape (channels, 1, 1) in two
dimensions. The sums (with the bias, which may be None) are float64 for float64 and float32 for all other dtypes, so
with 16-bit operands the first of the formula's dtypes is float32; the result's dtype is ``out``'s, whatever it is.

``out`` is an array of the result's shape in C order, or channels-last (whatever the layout of x). It may overlap no
operand: a result is computed again where the first way meets an infinity. ``finish`` 0 stores the sums, in out's dtype.
The kernels of products and of minimal filtering call the function for every piece they complete; with other kernels
(depthwise, steps between pixels of a transposed convolution, AMX, NumPy) it runs over the stored sums.

Batch normalization in evaluation is a formula with two arrays, s.fma(s.input(0), s.input(1), s.input(2)) for scales
and offsets of shape (channels, 1, 1), or is folded into weights and bias, which costs nothing.
"""

import numpy as np

from ...runtime.allocator import empty
from ..copy import converted, copy_array
from ..products import kernel_for
from . import conv_fallback, conv_maps, conv_pixels, conv_points

_AT_ONCE = 1 << 15              # elements of a tile


class End:
    """A finishing function, where its results go, and what else it reads."""

    __slots__ = ("out", "planes", "_function", "_inputs", "_words", "_kept")

    def __init__(self, out, finish, inputs):
        self.out, self._function, self._words = out, finish, None
        self._inputs = [np.broadcast_to(x, out.shape) for x in inputs]
        self.planes = out.flags.c_contiguous

    def words(self, first=0):
        """The int64 array of ``conv_product``'s ``finish`` for the images from ``first`` on."""
        if self._words is None:
            n, o = self.out.shape[:2]
            self._words = self._context((n, o, -1), lambda a: a)
        if self._words[2] != first:
            self._words = self._words.copy()
            self._words[2] = first
        return self._words

    def _context(self, shape, turn):
        """Words for matrices, rows and columns of the sums of ``shape``; ``turn`` orders an array's dimensions so."""
        out = turn(self.out).reshape(shape)
        if not np.may_share_memory(out, self.out):
            raise ValueError("conv: results must be in C order or channels-last")
        words, self._kept = [self._function, 1, 0, out.ctypes.data, *out.strides[:2]], []
        for x in self._inputs:
            x = turn(x).reshape(shape)
            steps = [0 if n == 1 else step for n, step in zip(x.shape, x.strides)]
            if steps[2] not in (0, x.itemsize):
                x = np.ascontiguousarray(x)
                steps = [0 if n == 1 else step for n, step in zip(x.shape, x.strides)]
            self._kept.append(x)
            words += [x.ctypes.data, *steps]
        return np.array(words, np.int64)

    def pixels(self):
        """The same for matrices of pixels by channels, of a channels-last result."""
        return self._context((1, -1, self.out.shape[1]), lambda a: np.moveaxis(a, 1, -1))

    def apply(self, y):
        """Finish the sums y, which are stored; the result."""
        from ...compiler.templates import conv_finish

        out = self.out
        if self.planes:
            words, sizes = self.words(), [y.shape[0], y.shape[1], y[0, 0].size]
        else:
            words, sizes = self.pixels(), [1, y[:, 0].size, y.shape[1]]
            last = np.moveaxis(y, 1, -1)
            if not last.flags.c_contiguous:
                laid = empty(last.shape, y.dtype)
                copy_array(laid, last)
                y = np.moveaxis(laid, -1, 1)
        if out.size:
            sizes.append(max(1, min(sizes[1], _AT_ONCE // sizes[2])))
            conv_finish.kernel("double" if y.dtype.itemsize == 8 else "float")(y, words, np.array(sizes, np.int64))
        return out


class Convolution:
    """The call (out, x, w, bias, *inputs) -> out for a stride, padding, dilation, number of groups and finish."""

    __slots__ = ("_finish", "_geometry")

    def __init__(self, stride, padding, dilation, groups=1, finish=0):
        self._geometry, self._finish = (tuple(stride), tuple(padding), tuple(dilation), groups), finish

    def __call__(self, out, x, w, bias, *inputs):
        return _finished("forward", out, self._finish, inputs, x, w, bias, self._geometry)


class Transposed(Convolution):
    """The same for the transposed convolution: x (n, c, *s), w (c, o / groups, *k)."""

    __slots__ = ()

    def __call__(self, out, x, w, bias, *inputs):
        return _finished("adjoint_input", out, self._finish, inputs, x, w, bias, (out.shape[2:], *self._geometry))


def rounding(out):
    """The `End` that rounds float32 sums to the dtype of ``out``."""
    return End(out, _plain("float32", out.dtype.name), ())


def _finished(name, out, finish, inputs, x, w, bias, geometry):
    if not finish:
        finish, inputs = _plain("float64" if x.dtype.name == "float64" else "float32", out.dtype.name), ()
    end = End(out, finish, inputs)
    if getattr(conv_pixels, name)(x, w, bias, *geometry, end) is not None:
        return out
    x, w, bias = _sums(x), _sums(w), bias if bias is None else _sums(bias)
    if not end.planes and name == "forward" and _product(end, x, w, bias, *geometry):
        return out
    if getattr(conv_maps, name)(x, w, bias, *geometry, end) is None:
        end.apply(np.ascontiguousarray(getattr(conv_fallback, name)(x, w, bias, *geometry)))
    return out


def _sums(a):
    return converted(a, np.dtype(np.float32)) if a.dtype.itemsize == 2 else a


def _plain(dtype, out_dtype):
    """Stores the sums as they are, in the result's dtype."""
    from ...compiler import scalar as s
    from ...compiler.templates.gemm_finish import finishing

    return finishing(s.input(0), [dtype], out_dtype)


def _product(end, x, w, bias, stride, padding, dilation, groups):
    """Whether it was a product of channels-last pixels by weights, which is done."""
    if not conv_points.serves(w.shape[2:], stride, padding, groups) or not w.size:
        return False
    call, rows = kernel_for(x.dtype), conv_points.rows_of(x)
    if call is None or rows is None:
        return False
    words, to = end.pixels(), end.out
    sums = np.moveaxis(to, 1, -1).reshape(-1, w.shape[0]) if to.dtype == x.dtype else empty(
        (rows.shape[0], w.shape[0]), x.dtype)
    bias = bias if bias is None else np.ascontiguousarray(bias)
    call(sums, rows, w.reshape(w.shape[:2]).T, bias, 1.0, False, None, 0.0, int(words[0]), words.ctypes.data + 24)
    return True
