"""Functions that share their name with the file they live in."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", ["from rushlight.autograd import gradgradcheck",
                                   "from rushlight.autograd.gradcheck import GradcheckError",
                                   "import rushlight.autograd.gradcheck"])
def test_gradcheck_stays_a_function(first):
    code = f"{first}\nimport rushlight\nassert type(rushlight.autograd.gradcheck).__name__ == 'function'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
