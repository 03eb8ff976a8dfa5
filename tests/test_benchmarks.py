"""The kernel benchmark and the tool that shows kernels work."""

import os
import subprocess
import sys

import pytest

from rushlight.compiler import available

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
pytestmark = pytest.mark.skipif(not os.path.isdir(os.path.join(TOP, "benchmarks")), reason="not in a checkout")


def run(*command):
    environment = {**os.environ, "PYTHONPATH": os.path.join(TOP, "src")}
    done = subprocess.run([sys.executable, *command], cwd=TOP, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_entries():
    entries = [line.split(maxsplit=1) for line in run("benchmarks/kernels.py", "--list").splitlines()]
    assert len(entries) > 100 and len({name for _, name in entries}) == len(entries)
    only = run("benchmarks/kernels.py", "--list", "--only", "norm").splitlines()
    assert only and all(line.startswith("norm ") for line in only)


SMALL = """
import sys
sys.path.insert(0, "benchmarks")
import rushlight as T
import rushlight.nn, rushlight.optim, rushlight.nn.utils
import kernels, kernel_cases, memory_cases
for name in ("linear 32x784x128", "add 64x64", "Adam, MLP", "SGD, MLP"):
    case = kernel_cases.CASES[name]
    a, b = (kernels.digest(case.make(kernel_cases.Env(T))()) for _ in range(2))
    assert kernels.differing(a, b, case.tol) is None, name
    b[0]["samples"][0] += 1
    assert "a value of result 0" in kernels.differing(a, b, case.tol)
seconds, foreign = kernels.window(lambda: sum(range(1000)), 10, 0.01)
assert 0 < seconds < 1 and foreign >= 0
limits = {"threads": {"2": {"f32": 100.0}}, "caches": (1 << 20, 16 << 20),
          "memory": [(1, {"copy": 100.0}), (2, {"copy": 50.0}), (3, {"copy": 10.0})]}
case = kernel_cases.Case("", "", None, 1e9, "f32", 30 << 20, 30 << 20, 0)
assert kernels.allowed_seconds(case, limits, 2) == (0.01, "f32")
case.reads = case.writes = 1e9
assert kernels.allowed_seconds(case, limits, 2) == (0.2, "memory")
"""


@pytest.mark.skipif(not available(), reason="needs llvmlite")
def test_measuring():
    run("-c", SMALL)


@pytest.mark.skipif(not available(), reason="needs llvmlite")
def test_show_kernel():
    text = run("tools/show_kernel.py", "s.tanh(x) * w")
    assert "%0 = tanh.f(x0:f)" in text and "derivative by w" in text and "assembly" in text
    assert "define void @inner" in run("tools/show_kernel.py", "x + 1.0", "--dtype", "bfloat16", "--all")
