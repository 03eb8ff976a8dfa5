"""examples/checkpoint_interchange.py between the libraries, in both directions."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


def example(*arguments):
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    done = subprocess.run([sys.executable, str(ROOT / "examples" / "checkpoint_interchange.py"), *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("writer, reader", [("rushlight", "torch"), ("torch", "rushlight")])
def test_the_other_library_reads_on(writer, reader, tmp_path):
    path = tmp_path / "model.pth"
    example("write", path, "--library", writer)
    shown = example("read", path, "--library", reader)
    assert float(re.search(r"at most (\S+) from", shown)[1]) < 1e-5
    own = example("read", path, "--library", writer)
    losses = [float(re.search(r"step 4: ([\d.]+)", text)[1]) for text in (shown, own)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
