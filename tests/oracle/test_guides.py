"""The guides' own code, block by block in document order, with PyTorch and with Rushlight in its place.

Blocks build on each other, so each guide runs in one namespace and one process a framework. A block on which
PyTorch itself fails is left out; the others must print the same, random numbers included.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch")

BLOCKS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "seeds" / "blocks"
GUIDES = sorted({p.name.split("_")[0] for p in BLOCKS.glob("*.py")}) if BLOCKS.is_dir() else []

# Belong to later work: TorchScript, ONNX, mobile, quantization, distributed, vision, audio and text packages.
LATER = re.compile(r"\bjit\b|onnx|torchvision|torchaudio|torchtext|quantiz|mobile|distributed|lightning|"
                   r"cpp_extension|DataParallel|prune|tensorflow|cuda\.amp|profiler|\bmodels\.")

RUNNER = r"""
import contextlib, io, json, random, sys, warnings
warnings.simplefilter("ignore")
if sys.argv[1] == "rushlight":
    import rushlight.compat
    rushlight.compat.install_as_torch()
import numpy, torch
torch.manual_seed(0); numpy.random.seed(0); random.seed(0)
space, results = {"__name__": "guide"}, {}
for path in sys.argv[2:]:
    out = io.StringIO()
    torch.manual_seed(0)
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(open(path).read(), path, "exec"), space)
        results[path] = ["ok", out.getvalue()]
    except BaseException as e:
        results[path] = ["failed", f"{type(e).__name__}: {e}"]
print("\n@@" + json.dumps(results))
"""


def run(framework, paths, folder):
    env = dict(os.environ, MPLBACKEND="Agg", OMP_NUM_THREADS="2")
    p = subprocess.run([sys.executable, "-c", RUNNER, framework, *map(str, paths)], capture_output=True, text=True,
                       cwd=folder, env=env, timeout=300, stdin=subprocess.DEVNULL)
    assert "@@" in p.stdout, p.stderr[-2000:]
    return json.loads(p.stdout.rsplit("@@", 1)[1])


def same(a, b):
    """Equal text, with numbers equal to 1e-3 (training steps round differently)."""
    number = re.compile(r"-?\d+\.\d*(?:e[-+]\d+)?")
    xs, ys = number.findall(a), number.findall(b)
    return number.sub("#", a) == number.sub("#", b) and all(
        abs(float(x) - float(y)) <= 1e-3 * max(1, abs(float(x))) for x, y in zip(xs, ys))


def plain(text):
    """Without addresses, times and the speed-ups computed from them."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    return re.sub(r"(?im)^.*(time|speed|second|ms\b|faster).*$", "", text)


@pytest.mark.parametrize("guide", GUIDES)
def test_prints_the_same(guide, tmp_path):
    paths = [p for p in sorted(BLOCKS.glob(f"{guide}_*.py")) if not LATER.search(p.read_text())]
    for name in ("torch", "rushlight"):
        (tmp_path / name).mkdir()
    theirs = run("torch", paths, tmp_path / "torch")
    ours = run("rushlight", paths, tmp_path / "rushlight")
    wrong = {}
    compared = 0
    for path, (state, text) in theirs.items():
        if state != "ok":
            continue
        compared += 1
        if ours[path][0] != "ok" or not same(plain(ours[path][1]), plain(text)):
            wrong[pathlib.Path(path).name] = (text[-400:], ours[path][1][-400:])
    assert compared, "PyTorch ran none of the guide's blocks"
    assert not wrong, f"{len(wrong)} of {compared} blocks differ: " + json.dumps(wrong, indent=1)
