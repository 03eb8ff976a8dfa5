"""``torch.compiler``: machine code as bytes, functions in C that are declared pure."""

import os
import subprocess
import sys
import warnings
from heapq import heapreplace

import pytest

import rushlight as torch

PROGRAM = """
import sys, rushlight as torch
from rushlight.compiler import engine
if len(sys.argv) > 1:
    info = torch.compiler.load_cache_artifacts(open(sys.argv[1], "rb").read())
    print(len(info.artifacts["kernel"]))
x = torch.arange(12.0).reshape(3, 4)
assert torch.allclose((x.softmax(-1) * 2).sum(-1), torch.full((3,), 2.0))
print(engine.statistics["compiled"])
if len(sys.argv) == 1:
    data, info = torch.compiler.save_cache_artifacts()
    assert not info.empty()
    open("artifacts", "wb").write(data)
"""


def test_code_moves_to_another_cache(tmp_path):
    def run(cache, *args):
        env = {**os.environ, "RUSHLIGHT_CACHE": str(tmp_path / cache)}
        out = subprocess.run([sys.executable, "-c", PROGRAM, *args], env=env, cwd=tmp_path, capture_output=True,
                             text=True, timeout=120)
        assert out.returncode == 0, out.stderr
        return [int(x) for x in out.stdout.split()]
    made, = run("first")
    kernels, made_again = run("second", "artifacts")
    assert made > 0 and kernels >= made and made_again == 0


def test_damaged_code_is_left_alone():
    torch.ones(3).sin()
    data, _ = torch.compiler.save_cache_artifacts()
    for bad in (b"", data[:-1], data[:30] + b"x" + data[31:], b"RLKA" + bytes(12) + data[16:]):
        with pytest.warns(UserWarning, match="nothing was loaded"):
            assert torch.compiler.load_cache_artifacts(bad) is None


def test_functions_that_are_declared_pure():
    def f(x):
        return x * 2 + heapreplace([1, 2], 4)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = torch.compile(f)
        for _ in range(4):
            assert before(torch.ones(1)).item() == 3
    assert not before.entries and "heap" in next(iter(before.refusals.values()))

    @torch.compiler.substitute_in_graph(heapreplace, skip_signature_check=True)
    def same(heap, item):
        first, heap[0] = heap[0], item
        return first
    after = torch.compile(f)
    for _ in range(4):
        assert after(torch.ones(1)).item() == 3
    assert after.entries, after.refusals
    with pytest.raises(TypeError, match="expects a function"):
        torch.compiler.substitute_in_graph(3)
    with pytest.raises(TypeError, match="Signature mismatch"):
        torch.compiler.substitute_in_graph(lambda a: a)(lambda b: b)
