"""Threads that use ops, modules and compiled functions for the first time at once."""

import os
import subprocess
import sys

import pytest

import rushlight

PROGRAM = """
import faulthandler, random, sys, threading, traceback
faulthandler.dump_traceback_later(200, exit=True)
import rushlight as torch
import rushlight.nn

def linear():
    m = torch.nn.Linear(33, 17)
    m(torch.ones(5, 33)).sum().backward()
    assert float(m.bias.grad.sum()) == 85

def convolution():
    m = torch.nn.Conv2d(3, 8, 3)
    m(torch.ones(2, 3, 9, 9)).relu().mean().backward()
    assert m.weight.grad.shape == (8, 3, 3, 3)

def order():
    assert torch.tensor([3.0, 1.0, 2.0]).sort()[0].tolist() == [1, 2, 3]

def compiled():
    f = torch.compile(lambda x, y: (x * y + 1).sum())
    for i in range(4):
        got = f(torch.ones(40) * i, torch.ones(40))
    assert float(got) == 160

def activations():
    x = torch.linspace(-1, 1, 9, requires_grad=True)
    (x.sigmoid() * x.tanh() + torch.nn.functional.gelu(x)).square().sum().backward()
    assert x.grad.isfinite().all()

def indices():
    assert float(torch.arange(100.0)[torch.tensor([1, 2, 3])].sum()) == 6

failures, barrier = [], threading.Barrier(6)

def work(seed):
    uses = [linear, convolution, order, compiled, activations, indices]
    random.Random(seed).shuffle(uses)
    barrier.wait()
    for use in uses:
        try:
            use()
        except BaseException:
            failures.append(traceback.format_exc())

first = int(sys.argv[1])
threads = [threading.Thread(target=work, args=(first + i,)) for i in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(failures), *failures[:2])
"""


@pytest.mark.parametrize("seed", ["0", "6"])
def test_together(seed):
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(rushlight.__file__))}
    done = subprocess.run([sys.executable, "-c", PROGRAM, seed], env=environment, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stdout + done.stderr[-3000:]
