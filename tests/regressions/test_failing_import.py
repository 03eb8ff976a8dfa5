"""A family that can't be imported says so at every use, and is imported once it can be."""

import os
import subprocess
import sys

import pytest

import rushlight

SOURCE = os.path.dirname(os.path.dirname(rushlight.__file__))
PROGRAM = """
import sys
from importlib.abc import MetaPathFinder
import rushlight as torch

class Failing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "rushlight.ops." + sys.argv[1]:
            raise kind("broken on purpose")

kind = KeyboardInterrupt if len(sys.argv) > 2 else ImportError
sys.meta_path.insert(0, Failing())
for use in (lambda: torch.add, lambda: torch.ones(2), lambda: torch.Tensor.sum, lambda: torch.nn.Linear(2, 2),
            lambda: torch.nn.functional.relu, lambda: dir(torch)):
    try:
        use()
    except kind as error:
        assert str(error) == "broken on purpose", error
    else:
        raise AssertionError("no error")
del sys.meta_path[0]
print(torch.ones(2).add(1).sum().item(), torch.nn.Linear(2, 2)(torch.ones(1, 2)).shape)
"""


FAMILIES = [["views"], ["pointwise.arithmetic"], ["statistics"], ["nn.attention", "interrupt"]]


@pytest.mark.parametrize("arguments", FAMILIES)
def test_first_error_is_raised_again(arguments):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": SOURCE})
    assert (done.returncode, done.stdout) == (0, "4.0 torch.Size([1, 2])\n"), done.stderr[-2000:]
