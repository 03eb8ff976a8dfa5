"""Kernels for lesser CPUs than this one (RUSHLIGHT_CPU) give right results too."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from rushlight.compiler import available, cache
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(
    not available() or cpu.machine() != "x86_64", reason="needs llvmlite on x86-64"
)
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))


@pytest.fixture(scope="module", autouse=True)
def caching(tmp_path_factory):
    """Kernels are compiled once a level."""
    global CACHE
    CACHE = str(tmp_path_factory.mktemp("cache"))


def run(level, *command):
    environment = {**os.environ, "RUSHLIGHT_CPU": level, "RUSHLIGHT_CACHE": CACHE, "PYTHONPATH": SOURCE}
    return subprocess.run([sys.executable, *command], env=environment, text=True, capture_output=True)


LEVELS = [("sse", (), 16), ("avx2", ("avx2", "fma"), 32),
          ("avx512", ("avx512f", "avx512bw", "avx512vl", "avx512dq"), 64)]


@pytest.mark.parametrize(("level", "needed", "width"), LEVELS)
def test_sampled_ops(level, needed, width):
    if not cpu.has(*needed):
        pytest.skip("this CPU can't run the code")
    done = run(level, os.path.join(os.path.dirname(__file__), "sampled_ops.py"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert done.stdout.startswith(f"{width} bytes")


def results(level, folder):
    path = folder / f"{level or 'all'}.npz"
    done = run(level, os.path.join(os.path.dirname(__file__), "levels_ops.py"), str(path))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return dict(np.load(path))


@pytest.fixture(scope="module")
def unrestricted(tmp_path_factory):
    return results("", tmp_path_factory.mktemp("levels"))


@pytest.mark.parametrize(("level", "needed", "width"), LEVELS[:2])
def test_same_results(unrestricted, tmp_path, level, needed, width):
    """Integers and choices agree exactly, floating-point numbers but for roundings."""
    if not cpu.has(*needed):
        pytest.skip("this CPU can't run the code")
    got = results(level, tmp_path)
    assert got.keys() == unrestricted.keys()
    for name, want in unrestricted.items():
        if want.dtype.kind == "f":
            finite = np.isfinite(want)
            scale = np.abs(want[finite]).mean() if finite.any() else 0
            np.testing.assert_allclose(got[name], want, rtol=2e-5, atol=2e-5 * scale, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], want, err_msg=name)


def test_only_takes_away():
    program = "from rushlight.runtime import cpu; print(cpu.vector_bytes(), cpu.has('avx512f'), cpu.has('sse2'))"
    assert run("sse", "-c", program).stdout.split() == ["16", "False", "True"]
    assert run("avx2,-fma", "-c", program).stdout.split() == ["16", "False", "True"]
    plain = run("", "-c", program).stdout.split()
    assert run("neon", "-c", program).stdout.split() == plain
    assert "neither one of sse, avx2" in run("avx3", "-c", program).stderr


def test_restrictions_are_told_apart_in_the_cache():
    program = "from rushlight.compiler.codegen.targets import host; print(host().key())"
    keys = {run(level, "-c", program).stdout for level in ("", "avx2", "sse", "-sse4.1")}
    assert len(keys) == (4 if cpu.has("avx512f") else 3)


WRAPPER = """
declare half @__truncsfhf2(float)
declare half @__truncdfhf2(double)
declare float @__extendhfsf2(half)
define void @convert(ptr %x, ptr %y, ptr %a, ptr %b, ptr %c, i64 %n) {
entry: br label %loop
loop: %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %xp = getelementptr float, ptr %x, i64 %i
  %yp = getelementptr double, ptr %y, i64 %i
  %ap = getelementptr half, ptr %a, i64 %i
  %bp = getelementptr half, ptr %b, i64 %i
  %cp = getelementptr float, ptr %c, i64 %i
  %xv = load float, ptr %xp
  %yv = load double, ptr %yp
  %av = call half @__truncsfhf2(float %xv)
  %bv = call half @__truncdfhf2(double %yv)
  %cv = call float @__extendhfsf2(half %av)
  store half %av, ptr %ap
  store half %bv, ptr %bp
  store float %cv, ptr %cp
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done: ret void
}
"""


def test_half_conversions_bit_by_bit():
    """All halves, the points between them and those next to them, numbers of all magnitudes; as NumPy has them."""
    from rushlight.compiler import engine
    from rushlight.compiler.codegen.targets import host

    # The wrapper is compiled without half instructions' help: the conversions are plain calls by name.
    code = f'target triple = "{host().triple}"\n{WRAPPER}'
    function = engine.load("half conversions, tested", lambda: code, ["convert"])["convert"]
    halves = np.arange(65536, dtype="u2").view("f2")
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        bits = halves.astype("f4").view("u4").astype("u8")
        between = ((bits[:-1] + bits[1:]) // 2).astype("u4")
        some = (rng.standard_normal(200000) * 10.0 ** rng.uniform(-9, 6, 200000)).astype("f4").view("u4")
        random = rng.integers(0, 1 << 32, 100000, dtype="u4")
        x = np.concatenate([bits.astype("u4"), between, between + 1, between - 1, some, random]).view("f4")
        middles = (halves[1:].astype("f8") + halves[:-1].astype("f8")) / 2
        y = np.concatenate([middles, middles * (1 + 1e-12), middles * (1 - 1e-12), halves.astype("f8")])
        y = np.resize(y, x.size)
        want = x.astype("f2"), y.astype("f2"), x.astype("f2").astype("f4")
    got = np.empty(x.size, "f2"), np.empty(x.size, "f2"), np.empty(x.size, "f4")
    pointer = ctypes.c_void_p
    call = ctypes.CFUNCTYPE(None, *[pointer] * 5, ctypes.c_int64)(function)
    call(*(a.ctypes.data for a in (x, y, *got)), x.size)
    for a, b in zip(got, want):
        kind = f"u{a.itemsize}"
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        number = ~np.isnan(a)
        np.testing.assert_array_equal(a[number].view(kind), b[number].view(kind))
