"""Products on AMX tiles. Emulated tiles serve on any CPU: arithmetic, packing, edges, threads, precision.
Where there are tiles the instructions must give the emulation's bits."""

import ctypes
import struct
import warnings

import ml_dtypes
import numpy as np
import pytest

llvm = pytest.importorskip("llvmlite.binding")
from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import gemm, gemm_amx, gemm_route, gemm_tiles
from rushlight.compiler.templates.amx import KINDS, Tiles
from rushlight.compiler.templates.gemm_pieces import Split
from rushlight.runtime import cpu, native, precision, threadpool
from rushlight.runtime.cpu import Caches

BF16 = ml_dtypes.bfloat16
RNG = np.random.default_rng(11)
FORMS = [True, pytest.param(False, marks=pytest.mark.skipif(not cpu.amx(), reason="no AMX"))]
FINISH = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)


# ----- single operations -----

def operation(kind, emulated):
    """``f(c, a, b)``: c += a b for arrays of 1024 bytes."""
    module = Module(host().triple)
    f = module.function("product", "void", [("ptr", "c"), ("ptr", "a"), ("ptr", "b")])
    tiles = Tiles(f, emulated)
    tiles.configure()
    for tile, at in zip((0, 4, 6), f.args, strict=True):
        tiles.load(tile, at)
    tiles.multiply(kind, 0, 4, 6)
    tiles.store(0, f.args[0])
    tiles.release()
    f.ret()
    text = module.text()
    address = engine.load(f"test-amx|{text}", lambda: text, ["product"])["product"]
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(address)
    return lambda c, a, b: call(c.ctypes.data, a.ctypes.data, b.ctypes.data)


def flushed(x):
    return np.where(abs(x) < 2.0**-126, np.copysign(np.float32(0), x), x).astype("f4")


def model(c, a, b):
    """TDPBF16PS as documented; float64 sums are exact for what the tests put in."""
    total = np.zeros((16, 16, 2), "f4")
    a, b = (flushed(x.astype("f4")) for x in (a, b.reshape(16, 16, 2)))
    for g in range(16):
        for h in range(2):
            products = np.multiply.outer(a[:, 2 * g + h].astype("f8"), b[g, :, h].astype("f8"))
            total[..., h] = flushed((total[..., h].astype("f8") + products).astype("f4"))
    return flushed(flushed(c) + flushed(total[..., 0] + total[..., 1]))


@pytest.mark.parametrize("emulated", FORMS)
def test_bfloat16_product_has_the_documented_bits(emulated):
    multiply = operation("bf16", emulated)
    for low, high in ((-6, 6), (-62, -50), (-70, -60)):
        # In the last two ranges sums, or pieces of them, are subnormal numbers.
        def draw(*shape, low=low, high=high):
            signs = RNG.choice([-1.0, 1.0], shape)
            return (signs * RNG.uniform(1, 2, shape) * 2.0 ** RNG.integers(low, high, shape)).astype(BF16)
        a, b = draw(16, 32), draw(16, 32)
        c = (RNG.standard_normal((16, 16)) * 2.0 ** (2 * low)).astype("f4")
        expected = model(c, a, b)
        multiply(c, a, b)
        assert c.tobytes() == expected.tobytes()


@pytest.mark.parametrize("emulated", FORMS)
def test_bfloat16_product_of_special_values(emulated):
    multiply = operation("bf16", emulated)
    a, b = np.ones((16, 32), BF16), np.ones((16, 32), BF16)
    a[1, 3], a[2, 4], a[3, 5], a[4, 6] = np.inf, np.nan, 1e-39, -np.inf
    a[5, :], b[7, 18:20] = 3e38, 0
    c = np.zeros((16, 16), "f4")
    multiply(c, a, b)
    assert (c[0] == 32 - 2 * (np.arange(16) == 9)).all()
    assert (c[1] == np.inf).all() and np.isnan(c[2]).all() and (c[4] == -np.inf).all() and (c[5] == np.inf).all()
    assert (c[3] == 31 - 2 * (np.arange(16) == 9)).all()
    a[1, 14] = np.inf
    multiply(c, a, b)
    assert np.isnan(c[1, 9]) and (np.delete(c[1], 9) == np.inf).all()


@pytest.mark.parametrize("emulated", FORMS)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_byte_products_are_exact(kind, emulated):
    a, b = (RNG.integers(-128, 128, (16, 64)).astype("i1") for _ in range(2))
    a[0], b[0] = -128, -128
    c = RNG.integers(-2**31, 2**31, (16, 16)).astype("i4")
    wide = [x if sign == "s" else x.view("u1") for x, sign in zip((a, b), kind, strict=False)]
    right = wide[1].reshape(16, 16, 4).transpose(0, 2, 1).reshape(64, 16)
    expected = (c.astype("i8") + wide[0].astype("i8") @ right.astype("i8")).astype("i4")
    operation(kind, emulated)(c, a, b)
    assert (c == expected).all()


def test_tiles_are_numbered():
    module = Module(host().triple)
    tiles = Tiles(module.function("f", "void", []), False)
    with pytest.raises(ValueError, match="no tile 8"):
        tiles.zero(8)
    with pytest.raises(ValueError, match="bf17"):
        tiles.multiply("bf17", 0, 1, 2)


# ----- whole products -----

def caches():
    """Small ones, so that few rows make several tiles and few k's several blocks."""
    return Caches(16 << 10, 128 << 10, 1 << 20)


class Recorder:
    """Stands for the product by vectors: counts calls and passes them on."""

    def __init__(self, address=None):
        self.calls, self.failure = 0, 0
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
        inner = kind(address) if address else None

        def call(job):
            self.calls += 1
            return inner(job) if inner else 0
        self.function = kind(call)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value


def product(name, inner, emulated=True):
    kinds = {"bfloat16": gemm_amx.BFLOAT16, "int8": gemm_amx.BYTES}
    text = gemm_amx.TileDriver(kinds.get(name) or Split(name), caches(), host().triple, emulated).write().text()
    symbols = native.symbols()
    imports = {s: symbols[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free")} | {"rl_inner": inner}
    exports = ["rl_gemm", "rl_gemm_fused", "rl_gemm_added"]
    found = engine.load(f"test-amx|{inner}|{emulated}|{text}", lambda: text, exports, imports)
    return {key: ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(value) for key, value in found.items()}


def job_of(c, a, b, **more):
    """A job for matrices or batches of them."""
    job = (ctypes.c_int64 * gemm_amx.SIZE)()

    def batch(x):
        return x.strides[-3] if x.ndim > 2 else 0
    one = 1 if c.dtype.kind == "i" else struct.unpack("q", struct.pack("d", more.pop("scale", 1.0)))[0]
    words = dict(outer=1, batch=c.shape[0] if c.ndim > 2 else 1, m=c.shape[-2], n=c.shape[-1], k=a.shape[-1],
                 a=a.ctypes.data, a_batch=batch(a), a_row=a.strides[-2], a_col=a.strides[-1],
                 b=b.ctypes.data, b_batch=batch(b), b_row=b.strides[-2], b_col=b.strides[-1],
                 c=c.ctypes.data, c_batch=batch(c), c_row=c.strides[-2], alpha=one) | more
    for name, value in words.items():
        job[gemm_amx.INDEX[name]] = value
    return job


def operand(rows, columns, dtype, layout):
    def draw(*shape):
        if dtype == np.int8:
            return RNG.integers(-128, 128, shape).astype(dtype)
        return RNG.standard_normal(shape).astype(dtype)

    if layout == "rows":
        return draw(rows, columns)
    if layout == "columns":
        return draw(columns, rows).T
    return draw(2 * rows, 3 * columns)[::2, ::-3]


def vectors(name):
    """Address of the product by vectors for bfloat16 or float32, on any machine."""
    return bf16_by_vectors()["rl_gemm_added"] if name == "bfloat16" else plain("rl_gemm_added")


def bf16_by_vectors():
    inner = "pairs" if gemm._pairs("bfloat16") else "float32"
    gemm.complete(inner)
    imports = {"PyArray_Type": native.symbols()["PyArray_Type"], "rl_inner": gemm.driver(inner)["rl_gemm"],
               "rl_prepare": gemm.driver(inner)["rl_prepare"]}
    return gemm._code("bfloat16", np.dtype(BF16).num, ["rl_gemm", "rl_gemm_added", "rl_call"], imports)


def plain(symbol):
    return gemm.vectors("float32")[symbol]


KIND_DTYPES = {"bfloat16": (BF16, BF16), "int8": (np.int8, np.int32), "highest": (np.float32, np.float32),
               "high": (np.float32, np.float32), "medium": (np.float32, np.float32)}
OWN_ERROR = {"bfloat16": 0, "int8": 0, "highest": 0, "high": 2.0**-15, "medium": 2.0**-7}


def assert_close(name, c, a, b, bias=0, row_bias=0, start=0, scale=1.0):
    a, b = a.astype("f8"), b.astype("f8")
    more = [np.asarray(x, "f8") for x in (bias, row_bias, start)]
    value = scale * (a @ b) + sum(more)
    if name == "int8":
        assert (c == value.astype("i8").astype("i4")).all()
        return
    size = abs(scale) * (abs(a) @ abs(b)) + sum(map(abs, more))
    unit = 2.0**-8 if name == "bfloat16" else 0
    bound = ((a.shape[-1] + 20) * 2.0**-24 + OWN_ERROR[name]) * size + unit * abs(value)
    assert (abs(c.astype("f8") - value) <= bound).all()


SIZES = [(96, 96, 64), (97, 115, 65), (81, 130, 77), (97, 111, 800), (200, 80, 129)]


@pytest.mark.parametrize("emulated", FORMS)
@pytest.mark.parametrize("name", KIND_DTYPES)
@pytest.mark.parametrize("m, n, k", SIZES)
def test_edges_layouts_and_epilogues(m, n, k, name, emulated):
    inner = Recorder()
    fused = product(name, inner.address, emulated)["rl_gemm_fused"]
    dtype, result = KIND_DTYPES[name]
    for a_layout in ("rows", "columns", "spread"):
        for b_layout in ("rows", "columns", "spread"):
            a, b = operand(m, k, dtype, a_layout), operand(k, n, dtype, b_layout)
            whole = np.full((m, n + 5), 7, result)
            c = whole[:, 2 : n + 2]
            assert fused(job_of(c, a, b)) == 0
            assert_close(name, c, a, b)
            assert (whole[:, :2] == 7).all() and (whole[:, n + 2 :] == 7).all()
    bias, row_bias, start = (operand(r, s, np.float32 if name != "int8" else np.int8, "rows").astype(result)
                             for r, s in ((1, n), (m, 1), (m, n)))
    c = start.copy()
    more = {} if name == "int8" else {"scale": -0.5}
    assert fused(job_of(c, a, b, bias=bias.ctypes.data, row_bias=row_bias.ctypes.data, beta=1, **more)) == 0
    assert_close(name, c, a, b, bias, row_bias, start, **more)
    assert inner.calls == 0


@pytest.mark.parametrize("name", ["bfloat16", "highest", "int8"])
def test_another_matrix_is_added(name):
    calls = product(name, Recorder().address)
    dtype, result = KIND_DTYPES[name]
    a, b, d = (operand(3 * rows, columns, dtype, "rows").reshape(3, rows, columns)
               for rows, columns in ((97, 70), (70, 100), (97, 130)))
    d = d.astype(result)[..., 7:107]
    c = np.full((3, 97, 100), 7, result)
    factor = 3 if name == "int8" else struct.unpack("q", struct.pack("d", 3.0))[0]
    assert calls["rl_gemm_added"](job_of(c, a, b, d=d.ctypes.data, d_batch=d.strides[0], d_row=d.strides[1],
                                         factor=factor)) == 0
    for i in range(3):
        assert_close(name, c[i], a[i], b[i], start=3 * d[i].astype("f8"))


@pytest.mark.parametrize("name", KIND_DTYPES)
def test_small_products_are_left_to_vectors(name):
    inner = Recorder()
    least = {"bfloat16": gemm_amx.BFLOAT16, "int8": gemm_amx.BYTES}.get(name) or Split(name)
    dtype, result = KIND_DTYPES[name]
    call = product(name, inner.address)["rl_gemm"]
    for i in range(3):
        m, n, k = (x - 1 if i == j else x + 2 * least.balance for j, x in enumerate(least.least))
        a, b, c = operand(m, k, dtype, "rows"), operand(k, n, dtype, "rows"), np.zeros((m, n), result)
        assert call(job_of(c, a, b)) == 0 and inner.calls == i + 1
    empty = np.zeros((0, n), result)
    assert call(job_of(empty, a[:0], b)) == 0 and inner.calls == 4


@pytest.mark.parametrize("name", ["highest", "int8"])
def test_sums_over_many_ks_in_slabs(name):
    fused = product(name, Recorder().address)["rl_gemm_fused"]
    dtype, result = KIND_DTYPES[name]
    k = 2 * gemm_amx.K_SLAB + 77
    a, b = operand(99, k, dtype, "columns"), operand(k, 97, dtype, "rows")
    bias, c = np.arange(97).astype(result), np.zeros((99, 97), result)
    seen = []
    finish = FINISH(lambda *args: seen.append(args[3:]))
    assert fused(job_of(c, a, b, bias=bias.ctypes.data, finish=ctypes.cast(finish, ctypes.c_void_p).value)) == 0
    assert_close(name, c, a, b, bias)
    assert sum(rows * columns for *_, rows, columns in seen) == c.size


@pytest.mark.parametrize("name", ["bfloat16", "highest"])
def test_slabs_of_rows_and_columns(name, monkeypatch):
    monkeypatch.setattr(gemm_amx, "SLAB_BYTES", 40_000)
    dtype, result = KIND_DTYPES[name]
    a, b, c = operand(130, 100, dtype, "rows"), operand(100, 170, dtype, "rows"), np.zeros((130, 170), result)
    assert product(name, Recorder().address)["rl_gemm"](job_of(c, a, b)) == 0
    assert_close(name, c, a, b)


@pytest.mark.parametrize("name", ["bfloat16", "highest"])
@pytest.mark.parametrize("kinds", ["BB", "B1", "1B"])
def test_batches_and_finishing(name, kinds):
    dtype, result = KIND_DTYPES[name]
    fused = product(name, Recorder().address)["rl_gemm_fused"]
    batch, m, n, k = 5, 97, 100, 70
    shapes = {"B": (batch,), "1": ()}
    a = RNG.standard_normal((*shapes[kinds[0]], m, k)).astype(dtype)
    b = RNG.standard_normal((*shapes[kinds[1]], k, n)).astype(dtype)
    c = np.zeros((batch, m, n), result)
    assert fused(job_of(c, a, b)) == 0
    for i in range(batch):
        assert_close(name, c[i], a if kinds[0] == "1" else a[i], b if kinds[1] == "1" else b[i])
    seen = np.zeros((batch, m, n), int)

    @FINISH
    def finish(context, address, c_row, matrix, row, column, rows, columns):
        assert address == c.ctypes.data + matrix * c.strides[0] + row * c_row + column * c.itemsize
        seen[matrix, row : row + rows, column : column + columns] += 1
    before = c.copy()
    assert fused(job_of(c, a, b, finish=ctypes.cast(finish, ctypes.c_void_p).value)) == 0
    assert (seen == 1).all() and (c == before).all()


@pytest.mark.parametrize("name", ["bfloat16", "highest"])
def test_bits_do_not_depend_on_threads_or_layout(name):
    dtype, result = KIND_DTYPES[name]
    call = product(name, Recorder().address)["rl_gemm"]
    a, b = operand(250, 300, dtype, "rows"), operand(300, 260, dtype, "rows")
    before, results = threadpool.get_num_threads(), set()
    try:
        for threads in (1, 2, 5):
            threadpool.set_num_threads(threads)
            for left, right in ((a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b))):
                c = np.zeros((250, 260), result)
                assert call(job_of(c, left, right)) == 0
                results.add(c.tobytes())
    finally:
        threadpool.set_num_threads(before)
    assert len(results) == 1


@pytest.mark.parametrize("name", ["bfloat16", "highest"])
def test_non_finite_values_stay_in_their_rows_and_columns(name):
    dtype, result = KIND_DTYPES[name]
    inner = Recorder(vectors(name))
    a, b, c = np.ones((97, 100), dtype), np.ones((100, 120), dtype), np.zeros((97, 120), result)
    a[3, 4], b[6, 8] = np.nan, np.inf
    assert product(name, inner.address)["rl_gemm"](job_of(c, a, b)) == 0
    assert np.isnan(c[3]).all() and (np.delete(c[:, 8], 3) == np.inf).all()
    assert (np.delete(np.delete(c, 3, 0), 8, 1) == 100).all()
    assert inner.calls == (name == "highest")


# ----- float32 in pieces -----

DATA = ["normal", "positive", "wide", "cancelling", "large", "sparse", "whole"]


def data(kind, m, n, k):
    a, b = RNG.standard_normal((m, k)), RNG.standard_normal((k, n))
    if kind == "positive":
        a, b = abs(a), abs(b)
    elif kind == "wide":
        a, b = (x * np.exp(4 * RNG.standard_normal(x.shape)) for x in (a, b))
    elif kind == "cancelling":
        a[:, 1::2], b[1::2] = -a[:, ::2] * (1 + 1e-6), b[::2]
    elif kind == "large":
        a, b = a * 1e30, b * 1e-25
    elif kind == "sparse":
        a, b = (np.where(RNG.random(x.shape) < 0.05, x, 0) for x in (a, b))
    elif kind == "whole":
        a, b = np.round(a * 1000), np.round(b * 1000)
    return a.astype("f4"), b.astype("f4")


def errors(product_, a, b):
    c = np.zeros((a.shape[0], b.shape[1]), "f4")
    assert product_(job_of(c, a, b)) == 0
    value, size = a.astype("f8") @ b.astype("f8"), abs(a.astype("f8")) @ abs(b.astype("f8"))
    error = abs(c - value) / np.where(size == 0, 1, size)
    return error.max(), np.sqrt((error**2).mean())


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("k", [64, 200, 1500])
def test_six_products_are_as_accurate_as_fused_multiply_adds(kind, k):
    a, b = data(kind, 100, 100, k)
    inner = Recorder()
    worst, usual = errors(product("highest", inner.address)["rl_gemm"], a, b)
    reference = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(plain("rl_gemm"))
    plain_worst, plain_usual = errors(reference, a, b)
    assert inner.calls == 0
    # Sums of one or two products may lose a unit by the pieces' products that are left out; they show, too,
    # where cancelling keeps sums, and with them the roundings of both, small.
    unit = 2.0**-24
    slack = {"sparse": unit, "cancelling": unit / 4}.get(kind, 0)
    assert worst <= 1.1 * plain_worst + slack and usual <= 1.1 * plain_usual + slack / 8
    # The bound of gemm_pieces, with blocks as small as the test's caches make them.
    step = gemm_amx.TileDriver(Split("highest"), caches(), "", True).block_steps
    rounds = 17 + 1.05 * step + np.ceil(k / 32 / step)
    assert worst <= rounds * (1 + 2.0**-6) * unit


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 2.0**127, 2.0**-104, 1e-40])
@pytest.mark.parametrize("side", [0, 1])
def test_extreme_values_take_the_vectors(value, side):
    operands = [RNG.standard_normal((97, 70)).astype("f4"), RNG.standard_normal((70, 100)).astype("f4")]
    operands[side][-1, -1] = value
    operands[1 - side] *= np.float32(1e-3)
    inner = Recorder(plain("rl_gemm_added"))
    c, expected = np.zeros((97, 100), "f4"), np.zeros((97, 100), "f4")
    assert product("highest", inner.address)["rl_gemm"](job_of(c, *operands)) == 0
    ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(plain("rl_gemm"))(job_of(expected, *operands))
    assert inner.calls == 1 and c.tobytes() == expected.tobytes()


@pytest.mark.parametrize("beta", [0, 1])
def test_small_factors_matter_in_small_sums_only(beta):
    a, b = (RNG.uniform(1, 2, s).astype("f4") for s in ((97, 70), (70, 100)))
    a[:, :5] *= np.float32(1e-20)
    b[:5] *= np.float32(1e-15)
    inner = Recorder(plain("rl_gemm_added"))
    fused = product("highest", inner.address)["rl_gemm_fused"]
    start = np.ones((97, 100), "f4")
    c, bias = start.copy(), np.arange(100, dtype="f4")
    assert fused(job_of(c, a, b, beta=beta, bias=bias.ctypes.data)) == 0
    # The old C can't be had back once it is overwritten.
    assert inner.calls == beta
    assert_close("highest", c, a, b, bias, start=start if beta else 0)
    a[3, 5:] = 0
    inner.calls, c = 0, start.copy()
    assert fused(job_of(c, a, b, beta=beta, bias=bias.ctypes.data)) == 0 and inner.calls == 1
    assert_close("highest", c, a, b, bias, start=start if beta else 0)


def test_small_and_large_products_take_the_vectors():
    inner = Recorder(plain("rl_gemm_added"))
    call = product("highest", inner.address)["rl_gemm"]
    for scale_a, scale_b, taken in ((1e-20, 1e-12, 1), (1e25, 1e14, 1), (1e-20, 1e20, 0), (1e18, 1e17, 0)):
        a, b = (RNG.uniform(1, 2, s).astype("f4") for s in ((97, 70), (70, 100)))
        a, b, c = a * np.float32(scale_a), b * np.float32(scale_b), np.zeros((97, 100), "f4")
        inner.calls = 0
        assert call(job_of(c, a, b)) == 0 and inner.calls == taken
        if scale_a * scale_b < 1e36:
            assert_close("highest", c, a, b)
        else:
            assert (c == np.inf).all()


def test_zeros_are_not_small():
    inner = Recorder()
    a, b, c = np.zeros((97, 70), "f4"), RNG.standard_normal((70, 100)).astype("f4"), np.ones((97, 100), "f4")
    call = product("highest", inner.address)["rl_gemm"]
    assert call(job_of(c, a, b)) == 0 and (c == 0).all()
    a[7] = -0.0
    assert call(job_of(c, a, a.T.repeat(2, 1)[:, :100].copy())) == 0 and (c == 0).all()
    assert inner.calls == 0


# ----- packed operands -----

class Packed:
    """The functions of gemm_tiles on arrays."""

    def __init__(self, emulated):
        driver = gemm_amx.TileDriver(Split("highest"), caches(), host().triple, emulated)
        text = gemm_tiles.write_tiles(driver).text()
        found = engine.load(f"test-amx|packed|{emulated}|{text}", lambda: text, list(gemm_tiles.NAMES))
        rows, columns, multiply = (found[name] for name in gemm_tiles.NAMES)
        word, self.step_bytes = ctypes.c_int64, driver.step_bytes
        self._rows, self._columns = (ctypes.CFUNCTYPE(None, *[word] * 7)(x) for x in (rows, columns))
        self._multiply = ctypes.CFUNCTYPE(ctypes.c_int32, *[word] * 13)(multiply)

    def _pack(self, function, x, minors, k):
        dst = aligned(-(-minors // 32) * -(-k // 32) * self.step_bytes)
        facts = np.array([-1, 0])
        function(x.ctypes.data, *x.strides, *x.shape, dst.ctypes.data, facts.ctypes.data)
        assert (dst[-64:] == 0xFF).all()
        return dst, facts

    def rows(self, a):
        return self._pack(self._rows, a, *a.shape)

    def columns(self, b):
        return self._pack(self._columns, b, *b.shape[::-1])

    def multiply(self, a, k, first, depth, b, c, beta=0, row_bias=None):
        return self._multiply(*(x.ctypes.data for x in a), k, first, c.shape[0], depth, *(x.ctypes.data for x in b),
                              c.shape[1], c.ctypes.data, c.strides[0], beta,
                              0 if row_bias is None else row_bias.ctypes.data)


def aligned(nbytes):
    whole = np.full(nbytes + 128, 0xFF, "u1")
    start = -whole.ctypes.data % 64
    return whole[start : start + nbytes + 64]


@pytest.mark.parametrize("emulated", FORMS)
@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (16, 33, 64), (40, 100, 130), (33, 16, 31), (64, 64, 96)])
@pytest.mark.parametrize("layout", ["rows", "columns", "spread"])
def test_packed_rows_by_packed_columns(m, n, k, layout, emulated):
    tiles = Packed(emulated)
    a, b = operand(m, k, np.float32, layout), operand(k, n, np.float32, layout)
    row_bias, whole = np.arange(m, dtype="f4"), np.full((m, n + 3), 7, "f4")
    c, packed = whole[:, :n], tiles.rows(a)
    for first in range(0, k, 64):
        part = b[first : first + 64]
        bias = None if first else row_bias
        assert tiles.multiply(packed, k, first, len(part), tiles.columns(part), c, first > 0, bias) == 0
    assert_close("highest", c, a, b, row_bias=row_bias[:, None])
    assert (whole[:, n:] == 7).all()


def test_sizes_of_packed_operands():
    driver = gemm_amx.TileDriver(Split("highest"), caches(), host().triple, True)
    assert gemm_route.PACKED_SIZES == (gemm_amx.BLOCK, driver.kind.step_k, driver.step_bytes)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e-32, 1e-25])
@pytest.mark.parametrize("side", [0, 1])
def test_packed_operands_that_need_vectors(value, side):
    tiles = Packed(True)
    a, b, c = operand(20, 30, np.float32, "rows"), operand(30, 40, np.float32, "rows"), np.full((20, 40), 7, "f4")
    (a, b)[side][3, 3] = value
    (b, a)[side][3, 3] = 1e-5
    assert tiles.multiply(tiles.rows(a), 30, 0, 30, tiles.columns(b), c) == 1
    assert (c == 7).all()


# ----- code and choice -----

INSTRUCTIONS = {"highest": "tdpbf16ps", "bfloat16": "tdpbf16ps", "int8": "tdpbssd", "packed": "tdpbf16ps"}


@pytest.mark.parametrize("name, instruction", INSTRUCTIONS.items())
def test_instructions_for_a_cpu_with_tiles(name, instruction):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "x86_64-unknown-linux-gnu"
    kinds = {"bfloat16": gemm_amx.BFLOAT16, "int8": gemm_amx.BYTES}
    kind = Split("highest") if name == "packed" else kinds.get(name) or Split(name)
    driver = gemm_amx.TileDriver(kind, Caches(48 << 10, 2 << 20, 1 << 20), triple)
    written = gemm_tiles.write_tiles(driver) if name == "packed" else driver.write()
    module = llvm.parse_assembly(written.text())
    for level in (0, 1, 3):
        machine = llvm.Target.from_triple(triple).create_target_machine(
            cpu="sapphirerapids", features="-prefer-256-bit", opt=level, reloc="pic", codemodel="small")
        text = machine.emit_assembly(module)
        lines = [line.split() for line in text.splitlines()]

        def count(mnemonic, lines=lines):
            return sum(line[:1] == [mnemonic] for line in lines)
        passes = [len(x) for x in driver.kind.passes]
        blocks = 1 + 2 + 2 + 4  # tiles of the sums in the four kernels
        assert count(instruction) == blocks * sum(passes)
        assert count("ldtilecfg") == count("tilerelease") == 1 and count("sttilecfg") == 0
        # Each sum is stored once and begun once, by zeros or by a load: nothing else moves, so nothing spills.
        assert count("tilestored") == count("tilezero") == blocks
        loads = 0
        for products in driver.kind.passes:
            for side in (0, 1):
                pieces = [p[side] for p in products]
                loads += 1 + sum(x != y for x, y in zip(pieces, pieces[1:], strict=False))
        assert count("tileloadd") == blocks + 6 * loads
        # Nothing from outside but what the process provides.
        calls = {line[1].removesuffix("@PLT") for line in lines if line[:1] == ["callq"] and line[1][0] != "*"}
        assert {c for c in calls if c.startswith(("mem", "__"))} == set()


@pytest.fixture
def emulated_tiles(monkeypatch):
    """The choice as it is made on a CPU with tiles."""
    def tiles(name, inner, type_num=None):
        symbols = native.symbols()
        imports = {s: symbols[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free", "PyArray_Type")}
        exports = ["rl_gemm", "rl_gemm_fused", "rl_gemm_added"] + (["rl_call"] if type_num is not None else [])
        text = gemm_route.module_text(name, type_num, emulated=True)
        return engine.load(f"test-route|{text}|{inner}", lambda: text, exports, imports | {"rl_inner": inner})
    monkeypatch.setattr(gemm_route, "_tiles", tiles)
    monkeypatch.setattr(cpu, "amx", lambda: True)
    monkeypatch.setattr(precision, "_choices", [])
    yield
    precision.set_float32_matmul_precision("highest")


def test_precision_chooses_the_product(emulated_tiles, monkeypatch):
    vectors_ = gemm.vectors("float32")
    monkeypatch.setattr(gemm_route, "_found", {})
    found = gemm_route.real(vectors_)
    assert found["rl_gemm"] != vectors_["rl_gemm"] and found["rl_gemm_fused"] != vectors_["rl_gemm_fused"]
    call = native.callable_from(found["rl_call"], "routed")
    a, b = data("normal", 97, 100, 200)
    value, size = a.astype("f8") @ b.astype("f8"), abs(a.astype("f8")) @ abs(b.astype("f8"))
    worst = {}
    for name in ("highest", "high", "medium", "highest"):
        precision.set_float32_matmul_precision(name)
        assert precision.get_float32_matmul_precision() == name
        c = np.zeros((97, 100), "f4")
        call(c, a, b)
        worst[name] = (abs(c - value) / size).max()
    assert worst["highest"] < 2.0**-22 < worst["high"] < 2.0**-16 < worst["medium"] < 2.0**-7


def test_bfloat16_takes_tiles(emulated_tiles):
    found = gemm_route.half(bf16_by_vectors(), np.dtype(BF16))
    call = native.callable_from(found["rl_call"], "routed")
    a, b, c = operand(97, 70, BF16, "rows"), operand(70, 100, BF16, "rows"), np.zeros((97, 100), BF16)
    call(c, a, b)
    assert_close("bfloat16", c, a, b)


def test_wrong_tiles_are_refused(emulated_tiles, monkeypatch):
    real_tiles = gemm_route._tiles
    monkeypatch.setattr(gemm_route, "_tiles", lambda name, *more: real_tiles("medium", *more))
    vectors_ = gemm.vectors("float32")
    monkeypatch.setattr(gemm_route, "_found", {})
    with pytest.warns(UserWarning, match="AMX gave a wrong float32"):
        assert gemm_route.real(vectors_) == vectors_
    monkeypatch.setattr(gemm_route, "_tiles", lambda *_: None)
    monkeypatch.setattr(gemm_route, "_found", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gemm_route.real(vectors_) == vectors_


@pytest.mark.skipif(not cpu.amx(), reason="no AMX")
@pytest.mark.parametrize("name", KIND_DTYPES)
def test_instructions_and_emulation_agree(name):
    dtype, result = KIND_DTYPES[name]
    a, b = operand(130, 300, dtype, "rows"), operand(300, 140, dtype, "columns")
    bits = set()
    for emulated in (True, False):
        c = np.zeros((130, 140), result)
        assert product(name, Recorder().address, emulated)["rl_gemm"](job_of(c, a, b)) == 0
        bits.add(c.tobytes())
    assert len(bits) == 1
