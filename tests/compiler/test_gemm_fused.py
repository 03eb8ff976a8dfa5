"""The matrix product's C ABI for other templates: biases of rows, finishing functions."""

import ctypes
import struct

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from rushlight.compiler import scalar as s
from rushlight.compiler.templates import gemm as g
from rushlight.compiler.templates import gemm_finish as gf
from rushlight.compiler.templates.gemm_driver import INDEX, SIZE
from rushlight.runtime import threadpool

RNG = np.random.default_rng(7)
WORDS = ctypes.c_int64
FINISH = ctypes.CFUNCTYPE(None, *[WORDS] * 8)


def function(address, count):
    return ctypes.CFUNCTYPE(None, *[WORDS] * count)(address)


def normal(dtype, *shape):
    return RNG.standard_normal(shape).astype(dtype)


def bound(a, b, *more):
    size = abs(a.astype("f8")) @ abs(b.astype("f8")) + sum(abs(x.astype("f8")) for x in more)
    return (a.shape[-1] + 4) * np.finfo(a.dtype).eps * size


def job_of(c, a, b, **more):
    """A job for matrices or batches of them."""
    job = (WORDS * SIZE)()

    def batch(x):
        return x.strides[-3] if x.ndim > 2 else 0
    one = struct.unpack("q", struct.pack("d", 1.0))[0]
    words = dict(outer=1, batch=c.shape[0] if c.ndim > 2 else 1, m=c.shape[-2], n=c.shape[-1], k=a.shape[-1],
                 a=a.ctypes.data, a_batch=batch(a), a_row=a.strides[-2], a_col=a.strides[-1],
                 b=b.ctypes.data, b_batch=batch(b), b_row=b.strides[-2], b_col=b.strides[-1],
                 c=c.ctypes.data, c_batch=batch(c), c_row=c.strides[-2], alpha=one) | more
    for name, value in words.items():
        job[INDEX[name]] = value
    return job


def fused(dtype):
    return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(g.fused_address(dtype))


# Shapes that take each of the driver's ways.
WAYS = [(1, 1, 1), (1, 50, 70), (3, 129, 5), (9, 40, 64), (50, 1, 30), (50, 1, 0), (30, 40, 50), (70, 90, 600),
        (300, 260, 500), (20, 40, 9000), (2, 600, 300)]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("m, n, k", WAYS)
def test_biases_of_rows(m, n, k, dtype):
    for left in ("rows", "columns"):
        for right in ("rows", "columns"):
            a = normal(dtype, m, k) if left == "rows" else normal(dtype, k, m).T
            b = normal(dtype, k, n) if right == "rows" else normal(dtype, n, k).T
            rows, bias = normal(dtype, m), normal(dtype, n)
            c = np.full((m, n), np.nan, dtype)
            assert fused(dtype)(job_of(c, a, b, row_bias=rows.ctypes.data)) == 0
            value = a.astype("f8") @ b.astype("f8") + rows[:, None]
            assert (abs(c - value) <= bound(a, b, rows[:, None])).all()
            assert fused(dtype)(job_of(c, a, b, row_bias=rows.ctypes.data, bias=bias.ctypes.data)) == 0
            assert (abs(c - value - bias) <= bound(a, b, rows[:, None], bias)).all()


@pytest.mark.parametrize("m, n, k", WAYS)
@pytest.mark.parametrize("batch", [0, 3])
def test_finish_sees_each_element_once_and_complete(m, n, k, batch):
    a = normal("f4", *([batch] if batch else []), m, k)
    b = normal("f4", k, n)
    c = np.full((*a.shape[:-1], n), np.nan, "f4")
    counts = np.zeros((max(batch, 1), m, n), int)

    def finish(context, piece, c_row, matrix, row, column, rows, columns):
        assert context == 77 and c_row == c.strides[-2]
        start = c.ctypes.data + matrix * (c.strides[0] if batch else 0) + row * c_row + column * 4
        assert piece == start
        counts[matrix, row:row + rows, column:column + columns] += 1
        view = c[matrix] if batch else c
        view[row:row + rows, column:column + columns] *= 2
    callback = FINISH(finish)
    before = threadpool.get_num_threads()
    threadpool.set_num_threads(1)
    try:
        job = job_of(c, a, b, finish=ctypes.cast(callback, ctypes.c_void_p).value, context=77)
        assert fused("f4")(job) == 0
    finally:
        threadpool.set_num_threads(before)
    assert (counts == 1).all()
    value = a.astype("f8") @ b.astype("f8")
    assert (abs(c - 2 * value) <= 2 * bound(a, b)).all()


def test_refusals():
    with pytest.raises(TypeError, match="bfloat16"):
        g.fused_address(np.dtype(pytest.importorskip("ml_dtypes").bfloat16))
    with pytest.raises(TypeError, match="bool"):
        g.fused_address("bool")


def test_finishing_by_the_call():
    """The same bits by Python's entry; a D beside it; addresses must be numbers."""
    address = gf.finishing(s.maximum(s.input(0), 0.0), ["float32"], "float32")
    call, where = g.kernel("f4"), gf.context(None)
    for m, n, k in WAYS:
        a, b, bias, start = normal("f4", m, k), normal("f4", k, n), normal("f4", n), normal("f4", m, n)
        plain, c = np.empty((m, n), "f4"), np.empty((m, n), "f4")
        call(plain, a, b, bias)
        call(c, a, b, bias, 1.0, False, None, 0.0, address, ctypes.addressof(where))
        np.testing.assert_array_equal(c, np.maximum(plain, 0))
        call(plain, a, b, bias, 2.0, False, start, -1.0)
        call(c, a, b, bias, 2.0, False, start, -1.0, address, ctypes.addressof(where))
        np.testing.assert_array_equal(c, np.maximum(plain, 0))
    with pytest.raises(TypeError):
        call(c, a, b, None, 1.0, False, None, 0.0, None, 0)
    with pytest.raises(TypeError, match="takes"):
        call(c, a, b, None, 1.0, False, None, 0.0, address)


def gelu(x):
    from scipy.special import erf
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


FORMULAS = {
    "relu": (lambda x: s.where(x < 0, 0.0, x), lambda x: np.maximum(x, 0)),
    "gelu": (lambda x: 0.5 * x * (1 + s.erf(x * 0.7071067811865476)), gelu),
    "silu": (lambda x: x * s.sigmoid(x), lambda x: x / (1 + np.exp(-x))),
    "tanh": (s.tanh, np.tanh),
    "sigmoid": (s.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("m, n, k", WAYS)
def test_activations(name, m, n, k):
    pytest.importorskip("scipy")
    formula, expected = FORMULAS[name]
    address = gf.finishing(formula(s.input(0)), ["float32"], "float32")
    a, b, bias, rows = normal("f4", m, k), normal("f4", k, n), normal("f4", n), normal("f4", m)
    c = np.full((m, n + 3), 7, "f4")
    gf.multiply(c[:, :n], a, b, bias=bias, row_bias=rows, finish=address, context=gf.context(None))
    value = a.astype("f8") @ b.astype("f8") + bias + rows[:, None]
    assert (abs(c[:, :n] - expected(value)) <= 1.2 * bound(a, b, bias, rows[:, None]) + 1e-6).all()
    assert (c[:, n:] == 7).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_residuals_broadcast(dtype):
    name = np.dtype(dtype).name
    x, r = s.input(0), s.input(1)
    address = gf.finishing(s.where(x < 0, 0.0, x) + r, [name, name], name)
    a, b = normal(dtype, 3, 40, 50), normal(dtype, 3, 50, 70)
    for shape in ((3, 40, 70), (40, 70), (70,), (40, 1), (1, 1, 70), (3, 1, 1), ()):
        residual = normal(dtype, *shape) if shape else np.array(1.5, dtype)
        c = np.empty((3, 40, 70), dtype)
        where = gf.context(None, residual)
        gf.multiply(c, a, b, finish=address, context=where)
        value = np.maximum(a.astype("f8") @ b.astype("f8"), 0) + residual
        assert (abs(c - value) <= bound(a, b, residual)).all()
    with pytest.raises(ValueError, match="adjacent"):
        gf.context(None, normal(dtype, 70, 40).T)


def test_results_of_another_dtype():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    address = gf.finishing(s.input(0) * 2.0, ["float32"], "bfloat16")
    for m, n, k in WAYS:
        a, b, sums = normal("f4", m, k), normal("f4", k, n), np.empty((m, n), "f4")
        out = np.full((m, n + 1), 7, ml_dtypes.bfloat16)
        gf.multiply(sums, a, b, finish=address, context=gf.context(out[:, :n]))
        np.testing.assert_array_equal(out[:, :n], (2 * sums).astype(ml_dtypes.bfloat16))
        assert (out[:, n:].astype("f4") == 7).all()


def test_refused_operands():
    a, b, c = np.ones((4, 5), "f4"), np.ones((5, 6), "f4"), np.ones((4, 6), "f4")
    for bad in (dict(bias=np.ones(4, "f4")), dict(row_bias=np.ones(6, "f4")), dict(bias=np.ones(12, "f4")[::2])):
        with pytest.raises(ValueError, match="shapes"):
            gf.multiply(c, a, b, **bad)
    with pytest.raises(ValueError, match="shapes"):
        gf.multiply(c, b, a)
    with pytest.raises(TypeError, match="one dtype"):
        gf.multiply(c, a, b.astype("f8"))
