"""Generated matrix products: every way against float64 NumPy, fixed bits, refusals, memory,
threads."""

import ctypes
import os
import struct
import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from rushlight.compiler.templates import gemm as g
from rushlight.compiler.templates.gemm_driver import INDEX, SIZE
from rushlight.runtime import allocator, threadpool

RNG = np.random.default_rng(20)

# (m, n, k): ones that take each way (dot products, in place, strips, shared packing, one column,
# one row) and the edges of tiles, vectors and blocks.
SIZES = [
    (1, 1, 1),
    (8, 8, 8),
    (3, 5, 7),
    (1, 100, 64),
    (1, 300, 40),
    (2, 33, 70),
    (3, 129, 5),
    (4, 9, 100),
    (7, 31, 600),
    (14, 32, 16),
    (15, 33, 17),
    (32, 128, 784),
    (60, 20, 700),
    (100, 1, 50),
    (64, 64, 64),
    (130, 70, 300),
    (257, 515, 900),
    (300, 20, 5),
    (50, 300, 1),
    (20, 130, 3),
]


def operand(rows, columns, dtype, layout):
    def normal(*shape):
        return RNG.standard_normal(shape).astype(dtype)

    if layout == "rows":
        return normal(rows, columns)
    if layout == "columns":
        return normal(columns, rows).T
    if layout == "spread":
        return normal(2 * rows, 3 * columns)[::2, ::3]
    if layout == "reversed":
        return normal(rows, columns)[::-1, ::-1]
    raise ValueError(layout)


def reference(a, b, bias=None, alpha=1.0, start=None):
    """The product in float64 and a bound on the error of a sum in the operands' dtype."""
    a, b = a.astype("f8"), b.astype("f8")
    value, size = alpha * (a @ b), abs(alpha) * (abs(a) @ abs(b))
    for term in (bias, start):
        if term is not None:
            value, size = value + term, size + abs(term)
    return value, size


def assert_product(c, a, b, **more):
    value, size = reference(a, b, **more)
    bound = (a.shape[-1] + 4) * np.finfo(c.dtype).eps
    assert (abs(c - value) <= bound * size).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("m, n, k", SIZES)
def test_layouts_and_epilogues(m, n, k, dtype):
    for a_layout in ("rows", "columns", "spread", "reversed"):
        for b_layout in ("rows", "columns", "spread", "reversed"):
            a, b = operand(m, k, dtype, a_layout), operand(k, n, dtype, b_layout)
            c = np.full((m, n), np.nan, dtype)
            g.gemm(c, a, b)
            assert_product(c, a, b)
            bias = RNG.standard_normal(n).astype(dtype)
            start = RNG.standard_normal((m, n)).astype(dtype)
            c = start.copy()
            g.gemm(c, a, b, bias, -0.5, True)
            assert_product(c, a, b, bias=bias, alpha=-0.5, start=start)


@pytest.mark.parametrize(
    "m, n, k", [(0, 4, 4), (4, 0, 4), (4, 4, 0), (1, 40, 0), (40, 40, 0), (0, 0, 0)]
)
def test_empty(m, n, k):
    a, b, bias = np.ones((m, k), "f4"), np.ones((k, n), "f4"), np.arange(n, dtype="f4")
    c = np.full((m, n), 7, "f4")
    g.gemm(c, a, b, None, 1.0, True)
    assert (c == 7).all()
    g.gemm(c, a, b, bias)
    assert (c == (bias if k == 0 else bias + k)).all()


def test_rows_of_a_larger_array():
    whole = np.full((40, 100), 7, "f4")
    a, b = operand(40, 30, "f4", "rows"), operand(30, 50, "f4", "rows")
    g.gemm(whole[:, 20:70], a, b)
    assert_product(whole[:, 20:70], a, b)
    assert (whole[:, :20] == 7).all() and (whole[:, 70:] == 7).all()


@pytest.mark.parametrize("m, n, k", [(4, 6, 5), (40, 48, 33), (200, 150, 120), (3, 200, 400)])
@pytest.mark.parametrize("kinds", ["BB", "B1", "1B", "B2", "2B", "BT"])
def test_batches(m, n, k, kinds):
    batch = 5
    shapes = {"B": (batch,), "1": (1,), "2": (), "T": (batch,)}
    a = RNG.standard_normal((*shapes[kinds[0]], m, k)).astype("f4")
    b = RNG.standard_normal((*shapes[kinds[1]], k, n)).astype("f4")
    if kinds == "BT":
        b = np.ascontiguousarray(b.transpose(0, 2, 1)).transpose(0, 2, 1)
        a = np.repeat(a, 2, axis=0)[::2]
    c = np.empty((batch, m, n), "f4")
    g.gemm(c, a, b)
    assert_product(c, a, b)
    bias = RNG.standard_normal(n).astype("f4")
    g.gemm(c, a, b, bias, 2.0)
    assert_product(c, a, b, bias=bias, alpha=2.0)


@pytest.mark.parametrize(
    "m, n, k", [(200, 300, 400), (300, 300, 1000), (33, 129, 900), (1, 2000, 900), (230, 2060, 1024), (230, 2050, 1030)]
)
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_bits_do_not_depend_on_threads(m, n, k, layout):
    a, b = operand(m, k, "f4", "rows"), operand(k, n, "f4", layout)
    before, results = threadpool.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            threadpool.set_num_threads(threads)
            for _ in range(3):
                c = np.empty((m, n), "f4")
                g.gemm(c, a, b)
                results.append(c.tobytes())
    finally:
        threadpool.set_num_threads(before)
    assert len(set(results)) == 1
    assert_product(c, a, b)


def test_non_finite_values_stay_in_their_rows_and_columns():
    a, b = np.ones((40, 50), "f4"), np.ones((50, 70), "f4")
    a[3, 4], b[6, 8] = np.nan, np.inf
    for right in (b, np.asfortranarray(b)):
        c = np.empty((40, 70), "f4")
        g.gemm(c, a, right)
        assert np.isnan(c[3]).all() and np.isinf(c[np.arange(40) != 3, 8]).all()
        rest = np.delete(np.delete(c, 3, 0), 8, 1)
        assert (rest == 50).all()


def test_refusals():
    a, b, c = np.ones((4, 5), "f4"), np.ones((5, 6), "f4"), np.ones((4, 6), "f4")
    call = g.kernel("float32")
    with pytest.raises(ValueError, match="shapes"):
        call(c, a, np.ones((4, 6), "f4"))
    with pytest.raises(ValueError, match="shapes"):
        call(c, a, b, np.ones(5, "f4"))
    with pytest.raises(ValueError, match="shapes"):
        call(np.ones((2, 4, 6), "f4"), np.ones((3, 4, 5), "f4"), b)
    with pytest.raises(ValueError, match="up to 4 dimensions"):
        call(np.ones(6, "f4"), a, b)
    with pytest.raises(ValueError, match="up to 4 dimensions"):
        call(np.ones(4, "f4"), a, b)
    with pytest.raises(ValueError, match="up to 4 dimensions"):
        call(np.ones((), "f4"), a, b[:, 0])
    with pytest.raises(ValueError, match="adjacent"):
        call(np.ones((4, 12), "f4")[:, ::2], a, b)
    frozen = c.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        call(frozen, a, b)
    for bad in (b.astype("f8"), b.astype(">f4"), b.tolist(), None):
        with pytest.raises(TypeError, match="dtype"):
            call(c, a, bad)
    with pytest.raises(TypeError):
        call(c, a)
    with pytest.raises(TypeError):
        call(c, a, b, None, "x")
    with pytest.raises(TypeError, match="no kernel for uint64"):
        g.gemm(c.astype("u8"), a, b)
    assert not g.supported("uint64") and g.supported("float32")


def test_work_memory_is_not_live():
    a = RNG.standard_normal((600, 600)).astype("f4")
    c = np.empty_like(a)
    g.gemm(c, a, a)
    allocator.reset_peak()
    before = allocator.memory_stats()
    g.gemm(c, a, a)
    after = allocator.memory_stats()
    assert after["live_bytes"] == before["live_bytes"] == after["peak_live_bytes"]
    assert after["reserved_bytes"] == before["reserved_bytes"]


@pytest.mark.parametrize("name, pairs", [("bfloat16", 0), ("bfloat16", 1), ("float16", 0)])
def test_sixteen_bit_floats_round_once(name, pairs, monkeypatch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    if not g.supported(dtype):
        pytest.skip(f"no conversion instructions for {name}")
    if pairs and not g._pairs(name):
        pytest.skip("no instructions for pairs")
    if not pairs:
        monkeypatch.setattr(g, "_pairs", lambda name: False)
    monkeypatch.setattr(g, "_kernels", {})
    layouts = ("rows", "columns", "spread", "reversed")
    for m, n, k in [(1, 1, 1), (8, 8, 8), (33, 70, 130), (5, 200, 300), (300, 200, 100), (4, 4, 0)]:
        for a_layout in layouts:
            for b_layout in layouts:
                a = operand(m, k, "f4", a_layout).astype(dtype, order="K")
                b = operand(k, n, "f4", b_layout).astype(dtype, order="K")
                if a_layout == "spread":
                    a = np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2]
                bias, start = (
                    operand(1, n, "f4", "rows")[0].astype(dtype),
                    operand(m, n, "f4", "rows"),
                )
                c, wide = start.astype(dtype), start.astype(dtype).astype("f4")
                g.gemm(c, a, b, bias, 0.5, True)
                g.gemm(wide, a.astype("f4"), b.astype("f4"), bias.astype("f4"), 0.5, True)
                size = reference(a, b, bias, 0.5, start)[1]
                rounding = 2.0 ** (-8 if name == "bfloat16" else -11)
                smallest = 0.0 if name == "bfloat16" else 2.0**-25
                bound = rounding * abs(wide) + (k + 4) * 2.0**-24 * size + smallest
                assert (abs(c.astype("f8") - wide) <= bound).all()


def test_sums_of_bfloat16_products_as_they_are():
    """Float32 results, bias and addend; operands of any layout, odd depths, batches."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16)
    multiply = g.pairs_kernel(dtype)
    if multiply is None:
        pytest.skip("no products of pairs here")
    rng = np.random.default_rng(5)
    for m, n, k in [(1, 1, 1), (3, 40, 7), (17, 5, 33), (70, 65, 130)]:
        for order in ("CC", "FC", "CF", "FF"):
            a, b = (np.array(rng.standard_normal(s), dtype, order=o) for s, o in zip(((m, k), (k, n)), order))
            bias, c = rng.standard_normal(n).astype("f"), np.full((m, n), np.nan, "f")
            exact, bound = a.astype("d") @ b.astype("d"), 1e-6 * (np.abs(a.astype("d")) @ np.abs(b.astype("d"))) + 1e-6
            multiply(c, a, b)
            assert (np.abs(c - exact) <= bound).all()
            multiply(c, a, b, bias, 2.0, True)
            assert (np.abs(c - (3 * exact + bias)) <= 3 * bound).all()
    a, b = (rng.standard_normal(s).astype(dtype) for s in ((3, 20, 31), (1, 31, 8)))
    c = np.empty((3, 20, 8), "f")
    multiply(c, a, b)
    assert np.abs(c - a.astype("d") @ b.astype("d")).max() < 1e-5
    with pytest.raises(TypeError):
        multiply(c.astype(dtype), a, b)
    with pytest.raises(ValueError):
        multiply(c, a, b[:, :30])


def test_bfloat16_specials():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16)
    # Instructions for bfloat16 take subnormal numbers for zero.
    tiny = 1e-37 if g._pairs("bfloat16") else 1e-40
    values = np.array([[np.nan, np.inf, -np.inf, tiny, -0.0, 3.38e38, 1.0]], "f4")
    a, b = np.ones((1, 1), dtype), values.astype(dtype)
    c = np.empty((1, 7), dtype)
    g.gemm(c, a, b)
    np.testing.assert_array_equal(c.astype("f4"), b.astype("f4"))
    # Halfway cases go to even: 1 + 2**-8 -> 1, 1 + 3 * 2**-8 -> 1 + 2**-6.
    a = np.array([[1, 1], [1, 3]], "f4").astype(dtype)
    b = np.array([[1], [2.0**-8]], "f4").astype(dtype)
    c = np.empty((2, 1), dtype)
    g.gemm(c, a, b)
    assert c.astype("f4").ravel().tolist() == [1.0, 1 + 2.0**-6]


def test_sixteen_bit_batches():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16)
    a = RNG.standard_normal((6, 40, 50)).astype(dtype)
    b = RNG.standard_normal((6, 30, 50)).astype(dtype).transpose(0, 2, 1)
    for left, right in ((a, b), (a, b[:1]), (a[0], b), (a, b[0])):
        c = np.empty((6, 40, 30), dtype)
        g.gemm(c, left, right)
        exact = left.astype("f8") @ right.astype("f8")
        assert (abs(c.astype("f8") - exact) <= 2.0**-8 * abs(exact) + 1e-4).all()


def test_several_python_threads():
    a, b = operand(200, 300, "f4", "rows"), operand(300, 250, "f4", "columns")
    expected = np.empty((200, 250), "f4")
    g.gemm(expected, a, b)
    bad = []

    def work():
        c = np.empty((200, 250), "f4")
        for _ in range(30):
            g.gemm(c, a, b)
            if not np.array_equal(c, expected):
                bad.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_a_forked_child():
    a, b = operand(200, 300, "f4", "rows"), operand(300, 250, "f4", "columns")
    expected, c = np.empty((200, 250), "f4"), np.empty((200, 250), "f4")
    g.gemm(expected, a, b)
    pid = os.fork()
    if pid == 0:
        g.gemm(c, a, b)
        os._exit(0 if np.array_equal(c, expected) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    g.gemm(c, a, b)
    assert np.array_equal(c, expected)


def fresh(monkeypatch, dtype):
    """The kernel of a driver whose table of heights holds one row only, and that driver's addresses."""
    placed = []
    load = g.engine.load

    def again(key, build, symbols, *rest, **more):
        if key.startswith("gemm|"):
            g.engine._loaded.pop(key, None)
        else:
            placed.append(key)
        return load(key, build, symbols, *rest, **more)

    monkeypatch.setattr(g, "_kernels", {})
    monkeypatch.setattr(g, "_drivers", {})
    monkeypatch.setattr(g.engine, "load", again)
    call = g.kernel(dtype)
    return call, g.driver(np.dtype(dtype).name), placed


@pytest.mark.parametrize("on_disk", [True, False])
def test_heights_are_made_when_it_pays(on_disk, monkeypatch):
    call, driver, placed = fresh(monkeypatch, "f4")
    monkeypatch.setattr(g.engine, "known", lambda key: on_disk)
    most = g._rows(g._registers(g.cpu.vector_bytes()))

    def met(m, n=40, k=50):
        before = len(placed)
        call(np.empty((m, n), "f4"), np.ones((m, k), "f4"), np.ones((k, n), "f4"))
        return sorted(int(key.rsplit("|", 1)[1]) for key in placed[before:])
    assert met(1) == []
    if not on_disk:
        # 28000 multiply-adds a call are not worth it; many calls are, and a large one is.
        assert met(most) == met(most) == []
        assert met(most, 4000, 5000) == [most]
        assert met(9) == []
        lost = ctypes.c_int64.from_address(driver["rl_lost"] + 8 * 9)
        assert 1000 < lost.value < 10_000
        lost.value = g._HEIGHT_NS
        assert met(9) == [9]
        assert met(9) == []
        g.complete("float32")
        assert met(64) == []
        return
    assert met(most) == [most]
    assert met(most) == []
    assert met(10 * most) == []
    if most == 14:
        assert met(29) == [9, 10]
        assert met(64) == [8]
        assert met(85) == [7, 13]       # 6 x 14 and 1 would be slower
    g.complete("float32")
    assert all(met(m) == [] for m in range(1, 40))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_missing_heights_are_stood_in_for(dtype, monkeypatch):
    """Calls that nothing prepared give the same bits, row by row."""
    monkeypatch.setattr(g.engine, "known", lambda key: True)
    call, driver, placed = fresh(monkeypatch, dtype)
    expected, operands = {}, {}
    for m, n, k in [(5, 40, 30), (14, 33, 300), (29, 70, 600), (90, 50, 40)]:
        a, b, d = operand(m, k, dtype, "rows"), operand(k, n, dtype, "rows"), operand(m, n, dtype, "rows")
        operands[m] = a, b, np.ones(n, dtype), d
        expected[m] = np.empty((m, n), dtype)
        call(expected[m], *operands[m][:3], 0.5, False, d, 2.0)
    call, driver, placed = fresh(monkeypatch, dtype)
    product = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(driver["rl_gemm_added"])
    for m, (a, b, bias, d) in operands.items():
        c = np.empty_like(d)
        assert product(job(c, a, b, bias, 0.5, d, 2.0)) == 0
        np.testing.assert_array_equal(c, expected[m])
    assert placed == []
    # What was missed is asked for by the next call.
    call(np.empty((1, 1), dtype), np.ones((1, 1), dtype), np.ones((1, 1), dtype))
    assert len(placed) >= 3


def test_limits_agree():
    from rushlight.compiler.templates import gemm_heights
    assert g._HEIGHT_NS == gemm_heights.LIMIT


def job(c, a, b, bias, alpha, d, factor):
    """A job of the driver for matrices."""
    words = dict(outer=1, batch=1, m=c.shape[0], n=c.shape[1], k=a.shape[1], a=a.ctypes.data, a_row=a.strides[0],
                 a_col=a.strides[1], b=b.ctypes.data, b_row=b.strides[0], b_col=b.strides[1], c=c.ctypes.data,
                 c_row=c.strides[0], bias=bias.ctypes.data, d=d.ctypes.data, d_row=d.strides[0])
    words["alpha"], words["factor"] = (struct.unpack("q", struct.pack("d", x))[0] for x in (alpha, factor))
    made = (ctypes.c_int64 * SIZE)()
    for name, value in words.items():
        made[INDEX[name]] = value
    return made


@pytest.mark.parametrize("width, registers", [(32, 16), (16, 32), (16, 16)])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_narrower_vectors(width, registers, name, monkeypatch):
    """The code for CPUs with AVX2 or 128-bit vectors, run here."""
    if width > g.cpu.vector_bytes():
        pytest.skip("needs wider vectors than this CPU has")
    monkeypatch.setattr(g, "_kernels", {})
    monkeypatch.setattr(g.cpu, "vector_bytes", lambda: width)
    monkeypatch.setattr(g, "_registers", lambda width: registers)
    call = g.kernel(name)
    dtype = np.dtype(name)
    for m, n, k in [(8, 8, 8), (1, 70, 33), (7, 31, 300), (33, 45, 100), (150, 140, 300)]:
        for layout in ("rows", "columns", "spread"):
            a, b = operand(m, k, dtype, "rows"), operand(k, n, dtype, layout)
            c = np.empty((m, n), dtype)
            call(c, a, b)
            assert_product(c, a, b)
    # Columns of A whole pages apart are packed, several panels at a time.
    a, b, c = operand(512, 1024, dtype, "rows").T, operand(512, 300, dtype, "rows"), np.empty((1024, 300), dtype)
    call(c, a, b)
    assert_product(c, a, b)


@pytest.mark.parametrize("name", ["int64", "int32", "int16", "int8", "uint8"])
def test_integers_wrap(name):
    dtype = np.dtype(name)
    info = np.iinfo(dtype)

    def draw(*shape):
        return RNG.integers(max(info.min, -(2**40)), min(info.max, 2**40), shape, dtype, endpoint=True)

    def exact(a, b, bias, start):
        with np.errstate(over="ignore"):
            wide = [x.astype("i8") for x in (a, b, bias, start)]
            return (-3 * (wide[0] @ wide[1]) + wide[2] + wide[3]).astype(dtype)

    for m, n, k in [(1, 1, 1), (5, 7, 3), (33, 70, 50), (130, 1, 90), (1, 300, 400), (20, 30, 5000), (3, 4, 0)]:
        bias, start = draw(n), draw(m, n)
        for a in (draw(m, k), draw(k, m).T, draw(2 * m, 3 * k)[::2, ::3]):
            for b in (draw(k, n), draw(n, k).T):
                c = start.copy()
                g.gemm(c, a, b, bias, -3, True)
                np.testing.assert_array_equal(c, exact(a, b, bias, start))


BYTES = [(1, 1, 1), (8, 8, 8), (3, 5, 7), (1, 300, 40), (2, 33, 70), (4, 9, 100), (7, 31, 601), (100, 1, 50),
         (130, 70, 301), (50, 300, 1), (4, 4, 0), (3, 5000, 130), (20, 20, 9001)]


def draw(rows, columns, name, layout):
    """All values of a type of bytes, in a layout."""
    facts = np.iinfo(name)
    size = {"rows": (rows, columns), "columns": (columns, rows), "spread": (2 * rows, 3 * columns)}[layout]
    found = RNG.integers(facts.min, facts.max + 1, size).astype(name)
    return {"rows": found, "columns": found.T, "spread": found[::2, ::-3]}[layout]


@pytest.mark.parametrize("name", ["int8", "uint8"])
@pytest.mark.parametrize("way", ["best", "half as wide", "widened"])
def test_bytes(name, way, monkeypatch):
    """Every way to multiply bytes is exact modulo the result's range."""
    if way == "widened":
        monkeypatch.setattr(g, "_quads", lambda name: False)
    elif way == "half as wide":
        if not (g._quads(name) and g.cpu.has("avx512vl")):
            pytest.skip("needs sums of four products in registers of 32 bytes")
        monkeypatch.setattr(g.cpu, "vector_bytes", lambda: 32)
        monkeypatch.setattr(g, "_registers", lambda width: 16)
        monkeypatch.setattr(g, "_quads", lambda name: "int8" in name)
    monkeypatch.setattr(g, "_kernels", {})
    g.bytes_kernel.cache_clear()
    to_int32 = g.bytes_kernel(name)
    g.bytes_kernel.cache_clear()
    for m, n, k in BYTES:
        for a_layout in ("rows", "columns", "spread"):
            for b_layout in ("rows", "columns", "spread"):
                a, b = draw(m, k, name, a_layout), draw(k, n, name, b_layout)
                bias, d, exact = draw(1, n, name, "rows")[0], draw(m, n, name, "rows"), a.astype("i8") @ b.astype("i8")
                c = np.full((m, n), 77, name)
                g.gemm(c, a, b)
                np.testing.assert_array_equal(c, exact.astype(name))
                g.gemm(c, a, b, bias, 3, False, d, 5)
                np.testing.assert_array_equal(c, (3 * exact + bias + 5 * d.astype("i8")).astype(name))
                if to_int32 is not None:
                    signed, wide = b.astype("i1"), np.full((m, n), 77, "i4")
                    to_int32(wide, a, signed)
                    np.testing.assert_array_equal(wide, a.astype("i8") @ signed.astype("i8"))
    for a_shape, b_shape in (((3, 40, 50), (3, 50, 60)), ((3, 40, 50), (1, 50, 60)), ((1, 40, 50), (3, 50, 60)),
                             ((2, 3, 8, 9), (2, 3, 9, 4)), ((3, 200, 200), (3, 200, 210))):
        a, b = (draw(1, int(np.prod(s)), name, "rows").reshape(s) for s in (a_shape, b_shape))
        exact = a.astype("i8") @ b.astype("i8")
        c = np.empty(exact.shape, name)
        g.gemm(c, a, b)
        np.testing.assert_array_equal(c, exact.astype(name))


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_complex_numbers(name):
    dtype = np.dtype(name)

    def draw(*shape):
        return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(dtype)

    for m, n, k in [(1, 1, 1), (5, 7, 3), (33, 70, 50), (90, 1, 90), (1, 300, 40), (20, 30, 5000), (3, 4, 0)]:
        bias, start = draw(n), draw(m, n)
        for a in (draw(m, k), draw(k, m).T, draw(2 * m, 3 * k)[::2, ::3]):
            for b in (draw(k, n), draw(n, k).T):
                c = start.copy()
                g.gemm(c, a, b, bias, 0.5, True)
                value = 0.5 * (a.astype("c16") @ b.astype("c16")) + bias + start
                size = abs(a).astype("f8") @ abs(b).astype("f8") + abs(bias) + abs(start)
                assert (abs(c - value) <= (k + 8) * 2 * np.finfo(dtype).eps * size).all()
    a, b = draw(6, 40, 50), draw(6, 30, 50).transpose(0, 2, 1)
    for left, right in ((a, b), (a, b[:1]), (a[:1], b), (a[0], b), (a, b[0])):
        c = np.empty((6, 40, 30), dtype)
        g.gemm(c, left, right)
        np.testing.assert_allclose(c, left.astype("c16") @ right.astype("c16"), atol=1e-4)


@pytest.mark.parametrize("m, n, k", [(3, 5, 5000), (60, 30, 70_000), (128, 256, 4096), (1, 1, 100_000), (30, 1, 9000)])
def test_many_terms_in_parts(m, n, k):
    before, bits = threadpool.get_num_threads(), set()
    for a_layout in ("rows", "columns"):
        for b_layout in ("rows", "columns"):
            a, b = operand(m, k, "f4", a_layout), operand(k, n, "f4", b_layout)
            bias, start = operand(1, n, "f4", "rows")[0], operand(m, n, "f4", "rows")
            value, size = reference(a, b, bias, 0.5, start)
            try:
                for threads in (1, 2, 5):
                    threadpool.set_num_threads(threads)
                    c = start.copy()
                    g.gemm(c, a, b, bias, 0.5, True)
                    bits.add(c.tobytes())
            finally:
                threadpool.set_num_threads(before)
            assert len(bits) == 1
            bits.clear()
            # Parts of the sum keep the error far below that of one long sum.
            assert (abs(c - value) <= 600 * 2.0**-24 * size).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "c8"])
@pytest.mark.parametrize("m, n, k", [(1, 1, 9), (5, 40, 30), (60, 1, 30), (2, 600, 300), (40, 50, 60), (90, 300, 700),
                                     (9, 20, 6000)])
def test_adding_another_matrix(m, n, k, dtype):
    a, b = operand(m, k, dtype, "rows"), operand(k, n, dtype, "rows")
    a, b = (10 * a).astype(dtype), (10 * b).astype(dtype)
    wide = {"f": "f8", "i": "i8", "c": "c16"}[a.dtype.kind]
    beta = 3 if dtype == "i8" else -0.5
    for d in ((10 * operand(m, n, dtype, "rows")).astype(dtype), a[:1, :1] * np.ones((1, n), dtype)):
        c = np.full((m, n), 7, dtype)
        g.gemm(c, a, b, None, 2, False, d, beta)
        value = 2 * (a.astype(wide) @ b.astype(wide)) + (d.astype(wide) * beta).astype(wide)
        size = 2 * (abs(a).astype("f8") @ abs(b).astype("f8")) + abs(d)
        eps = 0 if dtype == "i8" else 2 * np.finfo(dtype).eps
        assert (abs(c - value) <= (k + 4) * eps * size).all()
    a3, d3 = np.stack([a, a + 1, a]), np.stack([d * np.ones((m, 1), dtype)] * 3)
    d3[1] += 1
    c = np.empty((3, m, n), dtype)
    for left, added in ((a3, d3), (a3, d3[:1]), (a, d3), (a3, d)):
        g.gemm(c, left, b, None, 1, False, added, 1)
        value = left.astype(wide) @ b.astype(wide) + added
        size = abs(left).astype("f8") @ abs(b).astype("f8") + abs(added)
        assert (abs(c - value) <= (k + 4) * eps * size).all()


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_sixteen_bit_sums_with_another_matrix_round_once(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    a, b, d = (operand(40, 40, "f4", "rows").astype(dtype) for _ in range(3))
    c = np.empty((40, 40), dtype)
    g.gemm(c, a, b, None, 0.5, False, d, 3.0)
    a, b, d = (x.astype("f8") for x in (a, b, d))
    value, size = 0.5 * (a @ b) + 3 * d, 0.5 * (abs(a) @ abs(b)) + 3 * abs(d)
    rounding = 2.0 ** (-8 if name == "bfloat16" else -11)
    assert (abs(c.astype("f8") - value) <= rounding * abs(value) + 44 * 2.0**-24 * size + 2.0**-25).all()


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 8, 13, 16])
def test_few_rows_with_a_large_matrix(m):
    for k, n, dtype in ((1030, 1100, "f4"), (700, 5000, "f4"), (515, 2050, "f8")):
        a, b, bias = operand(m, k, dtype, "rows"), operand(k, n, dtype, "rows"), operand(1, n, dtype, "rows")[0]
        c = np.full((m, n), np.nan, dtype)
        g.gemm(c, a, b)
        assert_product(c, a, b)
        one = np.empty_like(c)
        before = threadpool.get_num_threads()
        threadpool.set_num_threads(1)
        g.gemm(one, a, b)
        threadpool.set_num_threads(before)
        np.testing.assert_array_equal(c, one)
        g.gemm(c, a, b, bias, 0.5)
        assert_product(c, a, b, bias=bias, alpha=0.5)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 9, 16])
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_few_rows_with_a_large_matrix_of_sixteen_bits(m, name):
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name, name))
    if not g.supported(dtype):
        pytest.skip(f"no conversion instructions for {name}")
    a, b = operand(m, 515, "f4", "rows").astype(dtype), operand(515, 2050, "f4", "rows").astype(dtype)
    c = np.full((m, 2050), np.nan, dtype)
    g.gemm(c, a, b)
    exact, size = reference(a, b)
    assert (abs(c.astype("f8") - exact) <= 2.0**-8 * abs(exact) + 520 * 2.0**-24 * size).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "c8"])
def test_vectors(dtype):
    for m, k in ((1, 1), (7, 5), (300, 40), (40, 900), (2, 0), (1, 70_000), (1200, 1100)):
        a, x = (10 * operand(m, k, dtype, "rows")).astype(dtype), (10 * operand(2, k, dtype, "rows")).astype(dtype)[0]
        wide = {"f": "f8", "i": "i8", "c": "c16"}[a.dtype.kind]
        eps = 0 if dtype == "i8" else 2 * np.finfo(dtype).eps
        for left in (a, np.asfortranarray(a), np.repeat(a, 2, 1)[:, ::2]):
            for right in (x, np.repeat(x, 3)[::3]):
                c = np.full(2 * m, 7, dtype)
                g.gemm(c[::2], left, right)
                size = abs(a).astype("f8") @ abs(x).astype("f8")
                assert (abs(c[::2] - a.astype(wide) @ x.astype(wide)) <= (k + 4) * eps * size).all()
                assert (c[1::2] == 7).all()
        d = np.full((), 7, dtype)
        g.gemm(d, a[0], x)
        assert abs(d - a[0].astype(wide) @ x.astype(wide)) <= (k + 4) * eps * (abs(a[0]) @ abs(x))
