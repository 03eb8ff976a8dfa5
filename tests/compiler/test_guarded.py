"""A few draws of `guarded_ops.py`; many more: ``RUSHLIGHT_GUARD=after python guarded_ops.py --apart --count 200``."""

import os
import subprocess
import sys

import pytest

from rushlight.compiler import available, cache
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(not available() or not cpu.is_linux(), reason="needs llvmlite on Linux")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))


@pytest.mark.parametrize(("guard", "seed"), [("after", 0), ("before", 2)])
def test_no_access_beyond_arrays(guard, seed):
    environment = {**os.environ, "RUSHLIGHT_GUARD": guard, "PYTHONPATH": SOURCE}
    script = os.path.join(os.path.dirname(__file__), "guarded_ops.py")
    done = subprocess.run([sys.executable, script, "--count", "2", "--seed", str(seed)], env=environment, text=True,
                          capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
