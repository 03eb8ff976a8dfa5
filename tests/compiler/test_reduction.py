"""Reduction kernels against NumPy, over shapes, layouts, dimensions and dtypes."""

from itertools import combinations

import numpy as np
import pytest

from rushlight.compiler import available, reduce_kernel
from rushlight.compiler import scalar as s

ml_dtypes = pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")

SHAPES = [(), (1,), (5,), (100,), (3, 5), (64, 100), (7, 1), (1, 7), (33, 65), (1000, 3), (3, 1000),
          (4, 5, 6), (10, 1, 20), (2, 3, 4, 5), (100000,), (200000, 3), (70, 70, 30), (0, 3), (3, 0)]  # fmt: skip


def layouts(x):
    yield x
    if x.ndim > 1:
        yield x.T
        yield x[:, ::2]
        yield x[::-1]
    if x.ndim > 2:
        yield x.transpose(1, 2, 0, *range(3, x.ndim))
        yield np.broadcast_to(x[:1], x.shape)


def all_axes(ndim):
    return [axes for r in range(ndim + 1) for axes in combinations(range(ndim), r)]


def mask(axes):
    return sum(1 << a for a in axes)


@pytest.mark.parametrize("shape", SHAPES)
def test_sum_over_any_dimensions(shape):
    base = np.asarray(np.random.default_rng(0).standard_normal(shape, "f4"))
    k = reduce_kernel("sum", "float32", "float32")
    for x in layouts(base):
        for axes in all_axes(x.ndim):
            for keep in (False, True):
                want = np.asarray(x.astype("f8").sum(axis=axes, keepdims=keep))
                out = np.full(want.shape, np.nan, "f4")
                k(out, x, mask(axes))
                np.testing.assert_allclose(out, want.astype("f4"), rtol=1e-6, atol=3e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("kind", ["max", "min"])
def test_extrema(kind, dtype):
    rng = np.random.default_rng(1)
    k = reduce_kernel(kind, dtype, dtype)
    for shape in [(5,), (64, 100), (100, 3), (3, 1000), (4, 5, 6), (100000,)]:
        base = rng.integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)
        for x in layouts(base):
            for axes in all_axes(x.ndim):
                want = np.asarray(getattr(np, kind)(x, axis=axes))
                out = np.empty(want.shape, dtype)
                k(out, x, mask(axes))
                np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("kind", ["max", "min", "sum", "prod", "mean"])
def test_nan_and_infinity(kind):
    k = reduce_kernel(kind, "float32", "float32")
    for values in ([1, np.nan, 3], [np.inf, 1, 2], [-np.inf, np.inf], [np.nan], [-np.inf, -np.inf]):
        for n in (1, 50):
            x = np.array(values * n, "f4")
            out = np.empty((), "f4")
            k(out, x, 1)
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(out, getattr(np, kind)(x))
    x = np.array([np.inf, 1.0, 2.0] * 20)
    out = np.empty(())
    reduce_kernel("sum", "float64", "float64")(out, x, 1)
    assert out == np.inf


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_first_index_wins_and_nan_wins(kind):
    rng = np.random.default_rng(2)
    for dtype in ("float32", "float64", "int64", "int8"):
        k = reduce_kernel(kind, dtype, "int64")
        for shape in [(5,), (64, 100), (100, 3), (2, 1000), (4, 5, 6), (100000,), (3, 70000)]:
            base = rng.integers(-5, 5, shape).astype(dtype)
            if dtype[0] == "f":
                base[rng.random(shape) < 0.005] = np.nan
            for x in layouts(base):
                for axis in range(x.ndim):
                    want = np.asarray(getattr(np, kind)(x, axis=axis))
                    out = np.empty(want.shape, "i8")
                    k(out, x, 1 << axis)
                    np.testing.assert_array_equal(out, want)
                out = np.empty((), "i8")
                k(out, x, (1 << x.ndim) - 1)
                assert out == getattr(np, kind)(x)
    x = np.full(77, -np.inf, "f4")
    out = np.empty((), "i8")
    reduce_kernel("argmax", "float32", "int64")(out, x, 1)
    assert out == 0


def test_value_and_index():
    x = np.random.default_rng(3).integers(0, 20, (6, 50, 7)).astype("f4")
    for axis in range(3):
        want = x.max(axis=axis)
        values, indices = np.empty(want.shape, "f4"), np.empty(want.shape, "i8")
        reduce_kernel("max_index", "float32", ["float32", "int64"])(values, indices, x, 1 << axis)
        np.testing.assert_array_equal(values, want)
        np.testing.assert_array_equal(indices, x.argmax(axis=axis))


def test_any_all():
    rng = np.random.default_rng(4)
    for dtype in ("bool", "float32", "int64", "uint8"):
        for density in (0.001, 0.999):
            x = (rng.random((70, 300)) < density).astype(dtype)
            for kind in ("any", "all"):
                for axes in all_axes(2):
                    want = np.asarray(getattr(np, kind)(x, axis=axes))
                    out = np.empty(want.shape, bool)
                    reduce_kernel(kind, dtype, "bool")(out, x, mask(axes))
                    np.testing.assert_array_equal(out, want)


def test_integers_and_bools_sum_in_int64():
    x = np.random.default_rng(5).integers(-100, 100, (30, 40)).astype("i1")
    out = np.empty(30, "i8")
    reduce_kernel("sum", "int8", "int64", compute="int64")(out, x, 2)
    np.testing.assert_array_equal(out, x.sum(axis=1))
    out = np.empty((), "i8")
    reduce_kernel("sum", "bool", "int64", compute="int64")(out, x > 0, 3)
    assert out == (x > 0).sum()
    y = x[:, :5].astype("i8")
    out = np.empty(30, "i8")
    reduce_kernel("prod", "int64", "int64")(out, y, 2)
    np.testing.assert_array_equal(out, y.prod(axis=1))


def test_mean_and_norm():
    x = np.random.default_rng(6).standard_normal((40, 1000), "f4")
    out = np.empty(40, "f4")
    reduce_kernel("mean", "float32", "float32")(out, x, 2)
    np.testing.assert_allclose(out, x.astype("f8").mean(axis=1), rtol=2e-6, atol=1e-8)
    v = s.input(0)
    norm = reduce_kernel("sum", "float32", "float32", pre=v * v, post=s.sqrt(v))
    norm(out, x, 2)
    np.testing.assert_allclose(out, np.sqrt((x.astype("f8") ** 2).sum(axis=1)), rtol=2e-7)


def test_two_inputs_broadcast():
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((20, 30, 40), "f4"), rng.standard_normal((30, 1), "f4")
    k = reduce_kernel("sum", ["float32"] * 2, "float32", pre=s.input(0) * s.input(1))
    for axes in all_axes(3):
        want = np.asarray((x.astype("f8") * y).sum(axis=axes))
        out = np.empty(want.shape, "f4")
        k(out, x, y, mask(axes))
        np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    p = s.scalar(0)
    k = reduce_kernel("sum", "float32", "float32", ["float64"], pre=s.pow(abs(s.input(0)), p),
                      post=s.pow(s.input(0), 1 / p))
    out = np.empty((), "f4")
    k(out, x, 7, 3.0)
    np.testing.assert_allclose(out, (np.abs(x.astype("f8")) ** 3).sum() ** (1 / 3), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_variance_far_from_zero(dtype):
    rng = np.random.default_rng(8)
    k = reduce_kernel("var_mean", dtype, [dtype, dtype], ["float64"])
    for shape, axes in [((50,), (0,)), ((30, 1000), (1,)), ((1000, 30), (0,)), ((20, 30, 7), (0, 2)),
                        ((200000,), (0,))]:
        x = (1000 + rng.standard_normal(shape)).astype(dtype)
        for correction in (0.0, 1.0):
            want = x.astype("f8").var(axis=axes, ddof=correction)
            var, mean = np.empty(want.shape, dtype), np.empty(want.shape, dtype)
            k(var, mean, x, mask(axes), correction)
            np.testing.assert_allclose(var, want, rtol=1e-6 if dtype == "float32" else 1e-11)
            np.testing.assert_allclose(mean, x.astype("f8").mean(axis=axes), rtol=1e-6)
    var = mean = np.empty((), dtype)
    k(var, np.empty((), dtype), np.ones(1, dtype), 1, 1.0)
    assert np.isnan(var)


def test_float64_sum_keeps_errors_of_blocks_only():
    rng = np.random.default_rng(9)
    x = rng.standard_normal(100001) * 10.0 ** rng.integers(0, 16, 100001)
    from math import fsum

    out = np.empty(())
    terms = np.concatenate([x, -x[::-1], [1.0]])
    reduce_kernel("sum", "float64", "float64")(out, terms, 1)
    assert abs(out - 1.0) <= 16 * 2.0 ** -53 * fsum(abs(terms))
    # Far better than that: blocks' errors are independent, and those of adding the blocks are carried along.
    assert abs(out - 1.0) <= 4 * 2.0 ** -53 * fsum(terms * terms) ** 0.5 * 16 ** 0.5
    reduce_kernel("sum", "float64", "float64")(out, x, 1)
    assert out == pytest.approx(fsum(x), rel=1e-15)


def test_low_precision_floats():
    x = np.random.default_rng(10).standard_normal((30, 500), "f4")
    for name, dtype in (("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)):
        low = x.astype(dtype)
        out = np.empty(30, dtype)
        reduce_kernel("sum", name, name)(out, low, 2)
        unit = np.finfo(dtype).eps if name == "float16" else 2.0**-7
        np.testing.assert_allclose(out.astype("f8"), low.astype("f8").sum(axis=1), rtol=0.51 * unit)


def test_float32_sum_is_nearly_exact():
    x = np.random.default_rng(12).random(3_000_000, "f4")
    out = np.empty((), "f8")
    reduce_kernel("sum", "float32", "float64")(out, x, 1)
    assert abs(out - x.sum(dtype="f8")) / out < 1e-9


def test_bits_do_not_depend_on_threads():
    from rushlight.runtime import threadpool

    x = np.random.default_rng(11).standard_normal((300, 2000), "f4")
    before, results = threadpool.get_num_threads(), []
    try:
        for n in (1, 2):
            threadpool.set_num_threads(n)
            for axes in all_axes(2):
                out = np.empty(x.sum(axis=axes).shape, "f8")
                reduce_kernel("sum", "float32", "float64")(out, x, mask(axes))
                results.append((n, out))
    finally:
        threadpool.set_num_threads(before)
    half = len(results) // 2
    for (_, a), (_, b) in zip(results[:half], results[half:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors():
    k, x = reduce_kernel("sum", "float32", "float32"), np.zeros((2, 3), "f4")
    with pytest.raises(ValueError, match="shapes"):
        k(np.zeros(4, "f4"), x, 1)
    with pytest.raises(TypeError, match="dtype"):
        k(np.zeros(3), x, 1)
    with pytest.raises(TypeError, match="number"):
        k(np.zeros(3, "f4"), x)


# Shapes that take the forms of their own: few outputs in a row, short rows, wide columns.
FORMS = [((1000, 3), (0,)), ((999, 10), (0,)), ((3000, 2), (0,)), ((700, 16), (0,)), ((64, 1), (0,)), ((500, 8), (1,)),
         ((37, 192), (1,)), ((37, 193), (1,)), ((33, 17), (1,)), ((40, 5000), (0,)), ((5, 64, 3), (1,)),
         ((9, 20, 100), (0, 2)), ((2, 5000, 2), (1,)), ((300, 3, 3), (1,)), ((65, 4, 4), (1,)),
         ((97, 2, 3, 5), (1, 2)), ((33, 7, 1, 2), (1,)), ((5, 130, 3, 2), (2,))]  # fmt: skip


@pytest.mark.parametrize("shape,axes", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64"])
def test_forms_of_dense_loops(shape, axes, dtype):
    rng = np.random.default_rng(20)
    x = (rng.standard_normal(shape) * 50).astype(dtype)
    exact = x.astype("f8")
    rest = [n for i, n in enumerate(shape) if i not in axes]
    flat = np.moveaxis(exact, axes, range(len(rest), len(shape))).reshape(*rest, -1)

    def run(kind, outs, *scalars):
        k = reduce_kernel(kind, dtype, outs, ("float64",) * len(scalars))
        results = [np.full(rest, 99).astype(o) for o in outs]
        k.call(*results, x, mask(axes), *scalars)
        return results

    total, = run("sum", ["float64" if dtype[0] == "f" else "int64"])
    # Blocks of 16 float32 additions: 15 roundings of at most the sum of magnitudes.
    np.testing.assert_array_less(np.abs(total - flat.sum(-1)), 15 * 2.0 ** -24 * np.abs(flat).sum(-1) + 1e-300)
    np.testing.assert_array_equal(run("max", [dtype])[0], flat.max(-1))
    np.testing.assert_array_equal(run("argmin", ["int64"])[0], flat.argmin(-1))
    np.testing.assert_array_equal(run("any", ["bool"])[0], (flat != 0).any(-1))
    if dtype[0] == "f":
        variance, mean = run("var_mean", ["float64", "float64"], 0.0)
        np.testing.assert_allclose(mean, flat.mean(-1), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(variance, flat.var(-1), rtol=1e-11, atol=1e-18)


def test_forms_keep_nan_of_their_own_outputs_only():
    x = np.ones((200, 10), "f4")
    x[77, 4] = np.nan
    for kind in ("sum", "max", "min", "prod"):
        k = reduce_kernel(kind, "float32", "float32")
        for axis, where in ((0, 4), (1, 77)):
            out = np.empty(x.shape[1 - axis], "f4")
            k(out, x, 1 << axis)
            assert np.isnan(out[where]) and np.isnan(out).sum() == 1


@pytest.mark.parametrize("shape", [(300_000,), (70_000, 3), (4096, 40), (300, 4100), (40_000, 20), (20_000, 3, 3)])
def test_bits_are_the_same_with_one_and_two_threads(shape):
    from rushlight.runtime import threadpool

    x = np.random.default_rng(21).standard_normal(shape).astype("f4")
    before = threadpool.get_num_threads()
    for kind in ("sum", "mean"):
        k = reduce_kernel(kind, "float32", "float32")
        for axis in range(x.ndim):
            results = []
            for threads in (1, 2, 1):
                threadpool.set_num_threads(threads)
                out = np.empty(x.sum(axis).shape, "f4")
                k(out, x, 1 << axis)
                results.append(out.tobytes())
            threadpool.set_num_threads(before)
            assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "int64"])
@pytest.mark.parametrize("shape", [(7, 3), (33, 65), (400, 3), (3, 400), (2, 3, 50, 5), (2, 70000)], ids=str)
def test_where_nothing_beats_the_worst(dtype, shape):
    # All elements are what an extremum starts from: the first one is it, not a lane that holds no element.
    kind = np.dtype(dtype).kind
    low, high = (-np.inf, np.inf) if kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for worst, name in ((low, "argmax"), (high, "argmin")):
        a = np.full(shape, worst, dtype)
        kernel = reduce_kernel(name, dtype, "int64")
        for view in (a, a.swapaxes(0, -1)):
            for axis in range(a.ndim):
                out = np.full(np.delete(view.shape, axis), -1)
                kernel.call(out, view, 1 << axis)
                assert not out.any()


def test_columns_are_made_when_they_are_needed(monkeypatch):
    from rushlight.compiler import reduction

    x = np.arange(40 * 4096, dtype="f4").reshape(40, 4096) % 7
    k = reduce_kernel("sum", "float32", "float32", pre=s.input(0) * 3.25)
    along, down = np.empty((40, 1), "f4"), np.empty((1, 4096), "f4")

    def address():
        return int.from_bytes(k.descriptor[64:72], "little")
    k.call(along, x, 0b10)
    assert address() == 0
    np.testing.assert_array_equal(along, (x * 3.25).sum(1, keepdims=True))
    with monkeypatch.context() as m:
        m.setattr(reduction, "_unfinished", {})
        with pytest.raises(KeyError):
            k.call(down, x, 0b01)
    k.call(down, x, 0b01)
    assert address() != 0
    np.testing.assert_array_equal(down, (x * 3.25).sum(0, keepdims=True))


@pytest.mark.parametrize("kind", ["plain", "first far off", "large mean"])
@pytest.mark.parametrize("n", [2, 37, 5003])
def test_variance_of_float64_to_the_last_bits(n, kind):
    """Within some units of the exact value, however far the first number is from the others."""
    import rushlight as torch
    x = np.random.default_rng(n).standard_normal((n, 9))
    if kind == "first far off":
        x[0] *= 1e7
    if kind == "large mean":
        x += 1e6
    want = np.asarray(x.astype(np.longdouble).var(0, ddof=1), dtype="f8")
    for a, dim in ((x, 0), (np.ascontiguousarray(x.T), 1)):
        np.testing.assert_allclose(torch.from_numpy(a).var(dim).numpy(), want, rtol=4 * 2.0 ** -52)


def test_variance_beyond_all_numbers():
    import rushlight as torch
    x = torch.tensor([[1e200, -1e200, 3.0], [1e200, 1e200, 1e200], [1.0, float("inf"), 2.0]], dtype=torch.float64)
    assert str(x.var(1).tolist()) == "[inf, 0.0, nan]"


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
def test_short_rows(dtype):
    """Rows of all lengths that are reduced together, dense and with gaps, the same bits with one and two threads."""
    import rushlight as torch

    rng = np.random.default_rng(0)
    kernels = [reduce_kernel(kind, dtype, out) for kind, out in (
        ("max", dtype), ("argmin", "int64"), ("any", "bool"), ("sum", dtype), ("prod", dtype))]
    numpy_of = [np.max, np.argmin, np.any, np.sum, np.prod]
    threads = torch.get_num_threads()
    try:
        for n in (2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 192, 600):
            for rows in (8, 33, 515):
                wide = rng.integers(0, 3 if n < 12 else 2, (rows, n + 3)).astype(dtype)
                for x in (np.ascontiguousarray(wide[:, :n]), wide[:, :n]):
                    for k, reference in zip(kernels, numpy_of):
                        results = []
                        for count in (1, 2):
                            torch.set_num_threads(count)
                            out = np.zeros(2 * rows, np.dtype({np.argmin: "i8", np.any: "?"}.get(reference, dtype)))
                            k(out[::2] if n % 2 else out[:rows], x, 0b10)
                            results.append(out[::2] if n % 2 else out[:rows])
                        want = reference(x, 1) if reference in (np.argmin, np.any) else reference(x, 1, dtype=dtype) \
                            if reference is not np.max else reference(x, 1)
                        np.testing.assert_array_equal(results[0], want)
                        np.testing.assert_array_equal(results[1], results[0])
    finally:
        torch.set_num_threads(threads)


def test_short_rows_with_nan():
    """A NaN wins wherever it is in a row; the number beside it never does."""
    for n in (3, 8, 40):
        x = np.zeros((40, n), "f4")
        x[np.arange(40), np.arange(40) % n] = np.nan
        x[::2, 0] = np.inf
        for kind, reference in (("max", np.max), ("min", np.min)):
            out = np.empty(40, "f4")
            reduce_kernel(kind, "float32", "float32")(out, x, 0b10)
            np.testing.assert_array_equal(out, reference(x, 1))
        out = np.empty(40, "i8")
        reduce_kernel("argmax", "float32", "int64")(out, x, 0b10)
        np.testing.assert_array_equal(out, np.argmax(x, 1))


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "argmin", "any", "var_mean"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_whole_rows_of_outputs(kind, dtype):
    """Lines, strips and tiles taken together, with ends of every kind; the same bits for one and two threads."""
    if kind == "var_mean" and not dtype.startswith("float"):
        pytest.skip("a kind of floats")
    import rushlight as torch

    outs = {"argmin": ["int64"], "any": ["bool"], "var_mean": [dtype] * 2}.get(kind, [dtype])
    if kind in ("sum", "prod") and not dtype.startswith("float"):
        outs = ["int64"]
    kernel = reduce_kernel(kind, dtype, tuple(outs), ("float64",) if kind == "var_mean" else ())
    reference = {"sum": np.sum, "prod": np.prod, "max": np.max, "argmin": np.argmin, "any": np.any}
    rng = np.random.default_rng(3)
    threads = torch.get_num_threads()
    try:
        for shape in ((9, 8, 200), (3, 16, 333), (5, 1, 64), (70, 17, 33), (4, 40, 150), (2, 3, 40000), (12, 1000),
                      (300, 231), (2, 64, 129)):
            axis = 1 if len(shape) == 3 else len(shape) - 1
            a = (rng.integers(0, 3, shape) - (0 if kind in ("any", "prod") or dtype == "uint8" else 1)).astype(dtype)
            if kind == "prod":
                a[a == 0] = 1
                a[rng.random(shape) > 20 / shape[axis]] = 1
            if dtype.startswith("float") and kind in ("max", "argmin"):
                a.reshape(-1)[::7001] = np.nan
            kept = tuple(np.delete(shape, axis))
            for gap in (0, 3):          # results side by side, and apart
                found = []
                for count in (1, 2):
                    torch.set_num_threads(count)
                    room = [np.full((*kept[:-1], kept[-1] * (1 + gap)), 77).astype(o) for o in outs]
                    results = [r[..., ::1 + gap] for r in room]
                    kernel.call(*results, a, 1 << axis,
                                *((0.0,) if kind == "var_mean" else ()))
                    found.append([r.copy() for r in results])
                for x, y in zip(*found):
                    np.testing.assert_array_equal(x, y)
                if kind == "var_mean":
                    np.testing.assert_allclose(found[0][0], np.var(a.astype("f8"), axis), rtol=1e-6, atol=1e-7)
                    np.testing.assert_allclose(found[0][1], np.mean(a.astype("f8"), axis), rtol=1e-6, atol=1e-7)
                else:
                    np.testing.assert_array_equal(found[0][0], reference[kind](a, axis).astype(outs[0]))
                for r in room if gap else ():
                    assert (r[..., 1::1 + gap] == np.array(77).astype(r.dtype)).all()
    finally:
        torch.set_num_threads(threads)
