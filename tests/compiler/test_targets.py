"""Kernels made for older CPUs (AVX2, plain SSE) give right results too."""

import os
import subprocess
import sys

import pytest

from rushlight.compiler import available, cache
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(
    not available() or cpu.machine() != "x86_64", reason="needs llvmlite on x86-64"
)

PROGRAM = """
import sys
import numpy as np
from rushlight.compiler import pointwise_kernel, reduce_kernel, row, scan_kernel, softmax_kernel
from rushlight.compiler import scalar as s
from rushlight.compiler.codegen import targets

host = targets.host()
host.cpu, host.features = sys.argv[1], sys.argv[2]
host.vector_bytes, host.has_scalef = int(sys.argv[3]), False

rng = np.random.default_rng(0)
x = rng.standard_normal((37, 53), "f4")
out = np.empty_like(x)
v = s.input(0)
references = {"exp": np.exp, "tanh": np.tanh, "sin": np.sin, "log1p": np.log1p, "atan": np.arctan}
for name, reference in references.items():
    for array in (x, x.T, x[:, ::3], x * 1e6):
        y = np.empty(array.shape, "f4")
        pointwise_kernel(getattr(s, name)(v), ["float32"], [], ["float32"], "float32")(y, array)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(y, reference(array.astype("f8")).astype("f4"), rtol=3e-7)
half = x.astype("f2")
low = np.empty(x.shape, "f2")
pointwise_kernel(v * 2.0, ["float16"], [], ["float16"], "float32")(low, half)
np.testing.assert_array_equal(low, half * np.float16(2))
byte = rng.integers(0, 255, (30, 41)).astype("u1")
kept = np.empty(41, "u1")
reduce_kernel("max", "uint8", "uint8")(kept, byte, 1)
np.testing.assert_array_equal(kept, byte.max(0))
for axis in (0, 1):
    total = np.empty(x.shape[1 - axis], "f4")
    reduce_kernel("sum", "float32", "float32")(total, x, 1 << axis)
    np.testing.assert_allclose(total, x.sum(axis), rtol=1e-5, atol=1e-5)
    softmax_kernel("softmax", "float32")(out, x, 1 << axis)
    e = np.exp(x)
    np.testing.assert_allclose(out, e / e.sum(axis, keepdims=True), rtol=1e-5)
    scan_kernel("cumsum", "float32", "float32")(out, x, 1 << axis)
    np.testing.assert_allclose(out, x.cumsum(axis), rtol=1e-4, atol=1e-5)
print("ok")
"""


@pytest.mark.parametrize(
    ("name", "features", "width", "needed"),
    [("haswell", "", "32", ("avx2", "fma")), ("x86-64-v3", "-avx2", "16", ("avx", "fma"))],
)
def test_older_cpu(name, features, width, needed):
    if not cpu.has(*needed):
        pytest.skip("this CPU can't run the code")
    path = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))
    environment = {**os.environ, "RUSHLIGHT_CACHE": "off", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", PROGRAM, name, features, width], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "ok"
