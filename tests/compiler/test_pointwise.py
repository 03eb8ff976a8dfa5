"""Pointwise kernels against the NumPy interpreter, over shapes, strides, dtypes and ops."""

import numpy as np
import pytest

from rushlight.compiler import available, evaluate, pointwise_kernel, trace
from rushlight.compiler import scalar as s

ml_dtypes = pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

DTYPES = ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "bfloat16", "float32", "float64"]  # fmt: skip


def np_dtype(name):
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def add32():
    return pointwise_kernel(
        trace(lambda x, y: x + y, "ff"), ["float32"] * 2, [], ["float32"], "float32"
    )


@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (15,), (16,), (33,), (1000,), (3, 5), (4, 0, 2), (70, 1100), (2, 3, 4, 5)]
)
def test_contiguous(shape):
    rng = np.random.default_rng(0)
    a, b = (np.asarray(rng.standard_normal(shape, "f4")) for _ in "ab")
    out = np.empty(shape, "f4")
    assert add32()(out, a, b) is None
    np.testing.assert_array_equal(out, np.broadcast_to(a + b, out.shape))


def test_strides_and_broadcasting():
    rng = np.random.default_rng(1)
    base = rng.standard_normal((6, 5, 4, 3), "f4")
    operands = [
        base,
        base.transpose(3, 2, 1, 0).copy().transpose(3, 2, 1, 0),
        base[:, :, ::-1],
        base[:, :1],
        base[0, 0, 0],
        base[:, :, :, :1],
        np.full((), 2.5, "f4"),
        np.broadcast_to(base[:1, :, :1], base.shape),
        np.repeat(base, 2, axis=3)[..., ::2],
    ]
    for a in operands:
        for b in operands:
            for out in (np.empty_like(base), np.empty((4, 6, 3, 5), "f4").transpose(1, 3, 0, 2),
                        np.empty((6, 5, 4, 9), "f4")[..., ::3]):
                add32()(out, a, b)
                np.testing.assert_array_equal(out, np.broadcast_to(a + b, out.shape))


def test_in_place_and_large():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 300_007)).astype("f4")
    expected = a + b
    add32()(a, a, b)
    np.testing.assert_array_equal(a, expected)
    big = rng.standard_normal((2048, 700), "f4")
    out = np.empty((700, 2048), "f4")
    add32()(out, big.T, big[:, 0])
    np.testing.assert_array_equal(out, big.T + big[:, 0])


def test_streaming_store_beyond_cache():
    n = (32 << 20) // 4 + 13
    a = np.arange(n, dtype="f4")
    out = np.empty(n, "f4")
    add32()(out, a, a)
    np.testing.assert_array_equal(out, a * 2)


def test_errors():
    k, a = add32(), np.zeros((2, 3), "f4")
    with pytest.raises(ValueError, match="shapes"):
        k(a, a, np.zeros(2, "f4"))
    with pytest.raises(ValueError, match="dimensions"):
        k(a, a, np.zeros((1, 2, 3), "f4"))
    with pytest.raises(TypeError, match="dtype"):
        k(a, a, np.zeros((2, 3)))
    with pytest.raises(TypeError, match="number"):
        k(a, a)
    with pytest.raises(TypeError, match="ndarray"):
        k(a, a, [1.0])


@pytest.mark.parametrize("source", DTYPES)
def test_conversions(source):
    values = [0, 1, 2, 100, 127] + ([] if source[0] in "ub" and source != "bfloat16" else [-1, -77])
    if "float" in source:
        values += [0.5, -1.5, 2.5]
    a = np.array(values * 5).astype(np_dtype(source))
    for target in DTYPES:
        if "float" in source and target[0] == "u" and (np.array(values) < 0).any():
            a = np.abs(a.astype("f4")).astype(np_dtype(source))
        compute = target if target != "bool" else source
        kind = "f" if "float" in compute else "b" if compute == "bool" else "i"
        k = pointwise_kernel(trace(lambda x: x, kind), [source], [], [target], compute)
        out = np.empty(a.shape, np_dtype(target))
        k(out, a)
        if target == "bool":
            expected = a != 0
        elif "float" in source and "float" not in target:
            expected = np.trunc(a.astype("f8")).astype("i8").astype(np_dtype(target))
        else:
            expected = a.astype(np_dtype(target))
        np.testing.assert_array_equal(out.astype("f8"), expected.astype("f8"), err_msg=target)


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan():
    bits = np.random.default_rng(3).integers(0, 1 << 32, 200_000, dtype=np.uint64).astype("u4")
    x = bits.view("f4")
    out = np.empty(x.shape, ml_dtypes.bfloat16)
    pointwise_kernel(trace(lambda x: x, "f"), ["float32"], [], ["bfloat16"], "float32")(out, x)
    nan = np.isnan(x)
    with np.errstate(all="ignore"):
        expected = x.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(out.view("u2")[~nan], expected.view("u2")[~nan])
    assert np.isnan(out[nan].astype("f4")).all()


@pytest.mark.parametrize("dtype", [d for d in DTYPES if "float" not in d and d != "bool"])
def test_integer_ops(dtype):
    rng = np.random.default_rng(4)
    info = np.iinfo(dtype)
    edge = np.array([0, 1, 2, 3, info.min, info.max, info.max - 1, 7], dtype)
    pool = np.concatenate([edge, rng.integers(info.min, info.max, 30, dtype=dtype)])
    a, b = (x.ravel().copy() for x in np.meshgrid(pool, pool))

    def formula(x, y):
        return (x + y, x - y, x * y, x // y, x % y, s.fmod(x, y), s.trunc_divide(x, y), x & y, x | y,
                x ^ y, ~x, -x, abs(x), s.sign(x), s.minimum(x, y), s.maximum(x, y),
                s.where(x < y, x, y), s.where(x >= y, x, y), s.where(x == y, x, -y))  # fmt: skip

    exprs = trace(formula, "ii")
    outs = [np.empty_like(a) for _ in exprs]
    pointwise_kernel(exprs, [dtype] * 2, [], [dtype] * len(exprs), dtype)(*outs, a, b)
    for e, got, want in zip(exprs, outs, evaluate(exprs, [a, b], dtype=dtype), strict=True):
        np.testing.assert_array_equal(got, want, err_msg=repr(e))
    small = rng.integers(0, 70, a.size).astype(dtype)
    exprs = trace(lambda x, y: (x**y, s.left_shift(x, y), s.right_shift(x, y)), "ii")
    outs = [np.empty_like(a) for _ in exprs]
    pointwise_kernel(exprs, [dtype] * 2, [], [dtype] * 3, dtype)(*outs, a, small)
    for e, got, want in zip(exprs, outs, evaluate(exprs, [a, small], dtype=dtype), strict=True):
        np.testing.assert_array_equal(got, want, err_msg=repr(e))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exact_float_ops(dtype):
    special = [0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-40, 3, -7.25]
    pool = np.array([*special, *np.random.default_rng(5).standard_normal(20) * 10], dtype)
    a, b = (x.ravel().copy() for x in np.meshgrid(pool, pool))

    def formula(x, y):
        return (x + y, x - y, x * y, x / y, -x, abs(x), s.sqrt(x), s.floor(x), s.ceil(x), s.trunc(x),
                s.round(x), s.sign(x), s.copysign(x, y), s.minimum(x, y), s.maximum(x, y),
                s.fmin(x, y), s.fmax(x, y), s.where(s.isnan(x), y, x), s.frac(x), s.fmod(x, y),
                x % y, x // y, s.nextafter(x, y), s.clamp(x, -1, 1))  # fmt: skip

    exprs = trace(formula, "ff")
    outs = [np.empty_like(a) for _ in exprs]
    pointwise_kernel(exprs, [dtype] * 2, [], [dtype] * len(exprs), dtype)(*outs, a, b)
    for e, got, want in zip(exprs, outs, evaluate(exprs, [a, b], dtype=dtype), strict=True):
        np.testing.assert_array_equal(got, want, err_msg=repr(e))


def test_comparisons_and_predicates():
    pool = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan], "f4")
    a, b = (x.ravel().copy() for x in np.meshgrid(pool, pool))

    def formula(x, y):
        return (x < y, x <= y, x > y, x >= y, x == y, x != y, s.isnan(x), s.isinf(x), s.isfinite(x),
                s.signbit(x), s.logical_and(x, y), s.logical_or(x, y), s.logical_xor(x, y),
                s.logical_not(x))  # fmt: skip

    exprs = trace(formula, "ff")
    outs = [np.empty(a.shape, bool) for _ in exprs]
    pointwise_kernel(exprs, ["float32"] * 2, [], ["bool"] * len(exprs), "float32")(*outs, a, b)
    for e, got, want in zip(exprs, outs, evaluate(exprs, [a, b]), strict=True):
        np.testing.assert_array_equal(got, want, err_msg=repr(e))


def test_scalars_and_many():
    def adam(p, m, v, g, lr, b1, b2, eps):
        m = m + (g - m) * (1 - b1)
        v = v * b2 + g * g * (1 - b2)
        return p - lr * m / (s.sqrt(v) + eps), m, v

    exprs = trace(adam, "ffff", "ffff")
    k = pointwise_kernel(exprs, ["float32"] * 4, ["float64"] * 4, ["float32"] * 3, "float32")
    rng = np.random.default_rng(6)
    sets, wants = [], []
    scalars = (0.1, 0.9, 0.999, 1e-8)
    for shape in [(3,), (40, 50), (), (17, 3, 2), (0, 3)]:
        p, m, v, g = (np.asarray(rng.random(shape), "f4") for _ in range(4))
        wants.append(evaluate(exprs, [p, m, v, g], scalars, dtype="f4"))
        sets.append((p, m, v, p, m, v, g))
    k.many(sets, scalars)
    for one, want in zip(sets, wants, strict=True):
        for got, w in zip(one[:3], want, strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-6)
    # Enough small sets to be shared among threads, and a large one.
    shapes = [(50, 70)] * 40 + [(300, 400)]
    sets = [tuple(rng.random(shape, "f4") for _ in range(4)) for shape in shapes]
    wants = [evaluate(exprs, one, scalars, dtype="f4") for one in sets]
    k.many([(p, m, v, p, m, v, g) for p, m, v, g in sets], scalars)
    for one, want in zip(sets, wants, strict=True):
        np.testing.assert_allclose(one[0], want[0], rtol=1e-5)
        np.testing.assert_allclose(one[2], want[2], rtol=1e-5)
    with pytest.raises(TypeError, match="operands"):
        k.many([sets[0]], scalars)
    for wrong in ((tuple(sets), scalars), ([list(sets[0])], scalars), ([], list(scalars)), ([],)):
        with pytest.raises(TypeError, match="list of tuples"):
            k.many(*wrong)
    with pytest.raises(TypeError, match="scalars"):
        k.many([], scalars[:2])
    double = pointwise_kernel(trace(lambda x, a: x * a, "i", "i"), ["int64"], ["int64"], ["int64"],
                              "int64")
    x = np.arange(5)
    double(x, x, -3)
    np.testing.assert_array_equal(x, np.arange(5) * -3)
    with pytest.raises(TypeError):
        double(x, x, "3")


def test_mixed_kinds():
    x = np.array([1.5, -2.5, 3.0], "f4")
    mask = np.array([True, False, True])
    index = np.array([3, 4, 5], "i4")
    k = pointwise_kernel(trace(lambda c, x, i: s.where(c, x, i), "bfi"),
                         ["bool", "float32", "int32"], [], ["float64"], "float32")
    out = np.empty(3)
    k(out, mask, x, index)
    np.testing.assert_array_equal(out, [1.5, 4, 3])


def test_short_rows_and_transposes():
    rng = np.random.default_rng(12)
    k = add32()
    for shape in [(5000, 3), (400, 7, 5), (300, 2, 63), (64, 64, 1), (3, 700, 2)]:
        a = rng.standard_normal(shape, "f4")
        for b in (a[0], a[..., :1], a[:1], a[:, :1], a[0, ..., :1], a[::-1]):
            out = np.empty(shape, "f4")
            k(out, a, b)
            np.testing.assert_array_equal(out, a + b)
            k(out, b, a)
            np.testing.assert_array_equal(out, a + b)
            wide = np.empty((*shape[:-1], shape[-1] * 2), "f4")[..., ::2]
            k(wide, a, b)
            np.testing.assert_array_equal(wide, a + b)
    for shape in [(300, 500), (70, 1000, 3), (2, 130, 40, 40)]:
        a = rng.standard_normal(shape, "f4")
        for axes in ((1, 0), (1, 0, 2), (2, 0, 1), (0, 2, 3, 1), (3, 1, 2, 0)):
            if len(axes) == a.ndim:
                b = a.transpose(axes)
                out = np.empty(b.shape, "f4")
                k(out, b, b[:1])
                np.testing.assert_array_equal(out, b + b[:1])
