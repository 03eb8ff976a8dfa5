"""Autocast of functions that were generated, then made overridable, before it was first used."""

import subprocess
import sys

PROGRAM = """
import pickle
import rushlight as torch
import rushlight.nn.functional as F
from rushlight import overrides

def warm():
    for _ in range(3):
        torch.cat([torch.ones(2, 2)] * 2), F.linear(torch.ones(2, 2), torch.ones(2, 2))

warm()
seen = []

class Logged(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        seen.append(overrides.resolve_name(func))
        return super().__torch_function__(func, types, args, kwargs or {})

warm()
x = torch.ones(2, 2)
s = x.as_subclass(Logged)
with torch.autocast("cpu", dtype=torch.bfloat16):
    assert F.linear(x, x).dtype is torch.bfloat16 and torch.cat([x, x.bfloat16()]).dtype is torch.float32
    seen.clear()
    assert F.linear(s, s).dtype is (s @ s).dtype is torch.bfloat16
assert seen == ["torch.nn.functional.linear", "torch.Tensor.matmul"], seen
assert F.linear(x, x).dtype is torch.float32
for f in (torch.cat, F.linear, torch.Tensor.mm):
    assert pickle.loads(pickle.dumps(f)) is f
"""


def test_any_order():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
