"""The stand-in for ``import torch``, in processes of its own."""

import os
import subprocess
import sys


def fresh(code):
    """Output of a new interpreter that runs `code`; its errors fail the test."""
    path = os.pathsep.join(p for p in sys.path if p)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                         env={**os.environ, "PYTHONPATH": path})
    assert out.returncode == 0, out.stderr
    return out.stdout.split("\n")[:-1]


def test_torch_is_rushlight():
    assert fresh("""
from rushlight.compat import install_as_torch
got = install_as_torch()
import torch, rushlight
print(torch is rushlight, got is rushlight)
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torch.autograd import Function
from torch import optim
print(nn is rushlight.nn, F is rushlight.nn.functional, nn.Linear is rushlight.nn.Linear)
print(Function is rushlight.autograd.Function, DataLoader.__name__, optim is rushlight.optim)
print(torch.ones(2))
""") == ["True True", "True True True", "True DataLoader True", "tensor([1., 1.])"]


def test_missing_modules_are_missing():
    assert fresh("""
from rushlight.compat import install_as_torch
install_as_torch()
try:
    import torch.no_such_module
except ModuleNotFoundError as error:
    print(error.name)
""") == ["torch.no_such_module"]


def test_installing_twice_and_removing():
    assert fresh("""
import sys
from rushlight import compat
compat.install_as_torch()
compat.install_as_torch()
import torch
print(len([f for f in sys.meta_path if type(f).__name__ == "_Finder"]))
compat.uninstall()
print("torch" in sys.modules, len([f for f in sys.meta_path if type(f).__name__ == "_Finder"]))
""") == ["1", "False 0"]


def test_a_loaded_torch_is_left_alone():
    assert fresh("""
import sys, types
sys.modules["torch"] = types.ModuleType("torch")
from rushlight.compat import install_as_torch
try:
    install_as_torch()
except RuntimeError as error:
    print("PyTorch itself is loaded already" in str(error))
""") == ["True"]


def test_a_script_trains_unchanged():
    assert fresh("""
from rushlight.compat import install_as_torch
install_as_torch()
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
x = torch.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]])
y = x.sum(1, keepdim=True)
first = None
for _ in range(50):
    opt.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    opt.step()
    first = loss.item() if first is None else first
print(loss.item() < first / 10)
""") == ["True"]
