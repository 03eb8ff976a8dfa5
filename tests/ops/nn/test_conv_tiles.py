"""Convolutions on emulated AMX tiles: shapes, strides, groups, their adjoints, values that need vectors."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from rushlight.compiler import engine
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import gemm_amx, gemm_tiles
from rushlight.compiler.templates.gemm_pieces import Split
from rushlight.compiler.templates.gemm_route import Packed
from rushlight.ops.nn import conv_maps, conv_plans, tile_plans
from rushlight.runtime import cpu, threadpool

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def emulated_tiles(monkeypatch):
    """What is chosen on a CPU with tiles, and how often it was used."""
    driver = gemm_amx.TileDriver(Split("highest"), cpu.caches(), host().triple, True)
    text = gemm_tiles.write_tiles(driver).text()
    found = engine.load(f"test-conv|{text}", lambda: text, list(gemm_tiles.NAMES))
    tiles = Packed(32, driver.kind.step_k, driver.step_bytes, *(found[name] for name in gemm_tiles.NAMES))
    monkeypatch.setattr(tile_plans, "_tiles", lambda: tiles)
    monkeypatch.setattr(cpu, "amx", lambda: True)
    results, call = [], conv_maps._call

    def recorded(y, x, w, bias, end, first, count, plan):
        done = call(y, x, w, bias, end, first, count, plan)
        results.append((plan.call.__name__, done))
        return done
    monkeypatch.setattr(conv_maps, "_call", recorded)
    for made in (conv_plans.forward, conv_plans.adjoint, conv_plans.weight):
        made.cache_clear()
    yield results
    for made in (conv_plans.forward, conv_plans.adjoint, conv_plans.weight):
        made.cache_clear()


def normal(*shape):
    return RNG.standard_normal(shape).astype("f4")


def assert_close(found, function, first, w, *more):
    """The error against float64, relative to the product of magnitudes."""
    value = function(first.astype("f8"), w.astype("f8"), None, *more)
    size = function(abs(first).astype("f8"), abs(w).astype("f8"), None, *more)
    assert found.shape == value.shape
    assert (abs(found - value) <= 40 * 2.0**-24 * size).all()


CASES = [
    # n, channels, rows, groups, size, kernel, stride, padding, dilation
    (2, 64, 100, 1, (9, 10), (1, 1), (1, 1), (0, 0), (1, 1)),
    (9, 70, 64, 1, (7, 8), (1, 1), (2, 2), (0, 0), (1, 1)),
    (1, 7, 65, 1, (20, 21), (5, 4), (2, 1), (2, 1), (1, 2)),
    (5, 70, 140, 2, (6, 7), (2, 3), (1, 1), (1, 1), (1, 1)),
    (2, 40, 64, 1, (90,), (3,), (1,), (1,), (1,)),
    (1, 12, 70, 1, (5, 6, 7), (2, 2, 2), (1, 1, 1), (0, 1, 0), (1, 1, 1)),
    (3, 64, 96, 1, (12, 13), (3, 3), (1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("n, channels, rows, groups, size, kernel, stride, padding, dilation", CASES)
def test_forward(n, channels, rows, groups, size, kernel, stride, padding, dilation, emulated_tiles):
    x, w, bias = normal(n, channels, *size), normal(rows, channels // groups, *kernel), normal(rows)
    plan = stride, padding, dilation, groups
    if rows // groups < 64:
        pytest.skip("too few rows")
    y = conv_maps.forward(x, w, bias, *plan)
    assert emulated_tiles and set(emulated_tiles) == {("rl_convolve_tiles", False)}
    assert_close(y - bias.reshape(-1, *[1] * len(size)), conv_maps.forward, x, w, *plan)


@pytest.mark.parametrize("n, channels, rows, groups, size, kernel, stride, padding, dilation", [
    (2, 64, 64, 1, (9, 10), (1, 1), (1, 1), (0, 0), (1, 1)),
    (4, 64, 66, 1, (13, 14), (3, 3), (2, 2), (1, 1), (1, 1)),
    (2, 128, 130, 2, (8, 9), (2, 3), (1, 1), (1, 1), (1, 1)),
])
def test_adjoint(n, channels, rows, groups, size, kernel, stride, padding, dilation, emulated_tiles):
    w = normal(rows, channels // groups, *kernel)
    out = conv_maps.forward(normal(n, channels, *size), w, None, stride, padding, dilation, groups).shape
    emulated_tiles.clear()
    y = normal(*out)
    x = conv_maps.adjoint_input(y, w, None, size, stride, padding, dilation, groups)
    assert emulated_tiles and set(emulated_tiles) == {("rl_convolve_tiles", False)}
    assert_close(x, conv_maps.adjoint_input, y, w, size, stride, padding, dilation, groups)


SQUARES = [
    (7, 64, 100, 1, (9, 10), (1, 1)),
    (3, 70, 64, 1, (17, 15), (0, 1)),
    (1, 140, 130, 2, (30, 33), (2, 0)),
    (13, 64, 64, 1, (7, 7), (1, 1)),
]


@pytest.mark.parametrize("n, channels, rows, groups, size, padding", SQUARES)
def test_minimal_filtering(n, channels, rows, groups, size, padding, emulated_tiles):
    x, w, bias = normal(n, channels, *size), normal(rows, channels // groups, 3, 3), normal(rows)
    more = (1, 1), padding, (1, 1), groups
    before, results = threadpool.get_num_threads(), set()
    try:
        for threads in (1, 2, 5):
            threadpool.set_num_threads(threads)
            y = conv_maps.forward(x, w, bias, *more)
            results.add(y.tobytes())
    finally:
        threadpool.set_num_threads(before)
    assert len(results) == 1 and set(emulated_tiles) == {("rl_winograd_tiles", False)}
    assert_close(y - bias.reshape(-1, 1, 1), conv_maps.forward, x, w, *more)
    emulated_tiles.clear()
    g = normal(*y.shape)
    found = conv_maps.adjoint_input(g, w, None, size, *more)
    assert set(emulated_tiles) == {("rl_winograd_tiles", False)}
    assert_close(found, conv_maps.adjoint_input, g, w, size, *more)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e-33])
@pytest.mark.parametrize("where", ["x", "w"])
def test_minimal_filtering_of_values_that_need_vectors(value, where, emulated_tiles):
    x, w = normal(4, 64, 12, 13), normal(66, 64, 3, 3)
    expected = conv_maps.forward(x.astype("f8"), w.astype("f8"), None, (1, 1), (1, 1), (1, 1), 1)
    emulated_tiles.clear()
    if value == 1e-33:
        (x if where == "x" else w)[:] *= np.float32(value)
        expected *= np.float32(value)
    else:
        (x if where == "x" else w)[0, 0, 2, 2] = value
        at = np.s_[0, :, 1:4, 1:4] if where == "x" else np.s_[:, 0]
        expected[at] = np.nan
    y = conv_maps.forward(x, w, None, (1, 1), (1, 1), (1, 1), 1)
    assert emulated_tiles[0] == ("rl_winograd_tiles", True) and len(emulated_tiles) == 2
    there = np.isfinite(expected)
    size = np.float32(value) if value == 1e-33 else 1
    assert (abs(y - expected)[there] <= 1e-3 * size).all()
    assert there.all() or not np.isfinite(y[~there]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e-33])
@pytest.mark.parametrize("where", ["x", "w"])
def test_values_that_need_vectors(value, where, emulated_tiles):
    x, w = normal(2, 64, 12, 13), normal(66, 64, 1, 1)
    (x if where == "x" else w)[1, 2] = value
    y = conv_maps.forward(x, w, None, (1, 1), (0, 0), (1, 1), 1)
    assert emulated_tiles[0] == ("rl_convolve_tiles", True) and emulated_tiles[-1][0] != "rl_convolve_tiles"
    expected = np.einsum("oc,nchw->nohw", w[:, :, 0, 0].astype("f8"), x.astype("f8"))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_bits_do_not_depend_on_threads():
    x, w = normal(3, 80, 17, 15), normal(96, 80, 2, 2)
    before, results = threadpool.get_num_threads(), set()
    try:
        for threads in (1, 2, 5):
            threadpool.set_num_threads(threads)
            results.add(conv_maps.forward(x, w, None, (1, 1), (1, 1), (1, 1), 1).tobytes())
    finally:
        threadpool.set_num_threads(before)
    assert len(results) == 1


@pytest.mark.parametrize("n, channels, rows, groups, size, kernel, stride, padding, dilation", [
    (5, 64, 100, 1, (19, 20), (1, 1), (1, 1), (0, 0), (1, 1)),
    (8, 70, 96, 1, (27, 28), (1, 1), (2, 2), (0, 0), (1, 1)),
    (1, 7, 129, 1, (46, 51), (5, 4), (2, 1), (2, 1), (1, 2)),
    (16, 70, 194, 2, (9, 8), (2, 3), (1, 1), (1, 1), (1, 1)),
    (3, 33, 97, 1, (390,), (3,), (1,), (1,), (1,)),
    (5, 32, 128, 1, (15, 16), (3, 3), (1, 1), (1, 1), (1, 1)),
    (6, 60, 130, 1, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
])
def test_gradient_of_weights(n, channels, rows, groups, size, kernel, stride, padding, dilation):
    shape = rows, channels // groups, *kernel
    x = normal(n, channels, *size)
    g = normal(*conv_maps.forward(x, normal(*shape), None, stride, padding, dilation, groups).shape)
    plan = conv_plans.weight("float32", n, groups, rows // groups, channels // groups, kernel, size, g.shape[2:],
                             stride, padding, dilation)
    assert plan.call.__name__ == "rl_weight_tiles"
    before, results = threadpool.get_num_threads(), set()
    try:
        for threads in (1, 2, 5):
            threadpool.set_num_threads(threads)
            dw = np.full(shape, np.nan, "f4")
            assert plan.call(dw, x, g, np.full(plan.partial, np.nan, "f4"), plan.words) is False
            results.add(dw.tobytes())
    finally:
        threadpool.set_num_threads(before)
    assert len(results) == 1
    more = kernel, stride, padding, dilation, groups
    value = conv_maps.adjoint_weight(x.astype("f8"), g.astype("f8"), *more)
    bound = conv_maps.adjoint_weight(abs(x).astype("f8"), abs(g).astype("f8"), *more)
    assert (abs(dw - value) <= 40 * 2.0**-24 * bound).all()
    x[0, 0] = np.inf
    assert plan.call(dw, x, g, np.empty(plan.partial, "f4"), plan.words) is True
    wrong = conv_maps.adjoint_weight(x, g, *more)
    assert not np.isfinite(wrong[0]).all() and np.isfinite(wrong[:, 1:]).all()
