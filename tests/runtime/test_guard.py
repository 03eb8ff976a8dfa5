"""RUSHLIGHT_GUARD: accesses beyond an array end the process, at once or when the array is freed."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(not cpu.is_linux(), reason="needs mmap")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(cpu.__file__)))


def run(mode, program, *arguments):
    environment = {**os.environ, "RUSHLIGHT_GUARD": mode, "PYTHONPATH": SOURCE}
    program = "import ctypes, sys\nimport numpy as np\nimport rushlight as torch\n" + program
    done = subprocess.run([sys.executable, "-c", program, *arguments], env=environment, text=True, capture_output=True)
    return done.returncode, done.stdout, done.stderr


WRITE = """
x, size = torch.zeros(7), int(sys.argv[1])
x = torch.zeros(size)
x.add(1)
at = int(sys.argv[2])
ctypes.memset(x.data_ptr() + (at if at < 0 else 4 * size + at), 0, 1)
print("written", flush=True)
del x
print("freed", flush=True)
"""


@pytest.mark.parametrize("mode", ["after", "before"])
@pytest.mark.parametrize("at", [-1, 0])
@pytest.mark.parametrize("size", ["7", "20001"])
def test_writes_beyond_an_array(mode, at, size):
    code, out, error = run(mode, WRITE, size, str(at))
    assert code < 0 and "freed" not in out
    if (at < 0) == (mode == "before"):
        assert not out
    else:
        assert out == "written\n" and "bytes next to an array were written" in error


def test_new_memory_is_nan_and_zeros_are_zeros():
    code, out, error = run("after", """
print(bool(np.isnan(torch.empty(5).numpy()).all()), float(np.zeros(5).sum()), float(np.ones(20000).sum()))
a = np.arange(3)
a.resize(2000)
print(a[:4].tolist(), float((torch.ones(300, 300) @ torch.ones(300, 300)).sum()))
""")
    assert (code, out) == (0, "True 0.0 20000.0\n[0, 1, 2, 0] 27000000.0\n"), error


def test_other_words_are_refused():
    code, _, error = run("both", "")
    assert code == 1 and "'both' is neither after nor before" in error
