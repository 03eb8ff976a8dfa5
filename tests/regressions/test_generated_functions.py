"""Generated functions must refuse what they can't serve: sizes and indices beyond 64 bits, threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

import rushlight as torch


@pytest.fixture(autouse=True)
def generated():
    """Have the generated functions installed."""
    x = torch.ones(2)
    x + x


@pytest.mark.parametrize("sizes", [(2 ** 32, 2 ** 32, -1), (2 ** 39, 2 ** 39, 2 ** 39, -1), (-1, 4),
                                   (2 ** 64 + 6,), (7,), (-1, -1)])
def test_view_refuses_sizes_that_do_not_fit(sizes):
    with pytest.raises(RuntimeError):
        torch.arange(6.0).view(*sizes)


@pytest.mark.parametrize("sizes, shape", [((2, 3), (2, 3)), ((-1,), (6,)), ((3, -1, 1), (3, 2, 1)),
                                          (((6, 1),), (6, 1)), ((1, 6, -1), (1, 6, 1))])
def test_view_takes_sizes_that_fit(sizes, shape):
    x = torch.arange(6.0)
    assert x.view(*sizes).shape == shape
    assert x.view(*sizes).reshape(-1).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("index", [2 ** 64, 2 ** 64 + 1, -2 ** 64, 2 ** 63, 4, -5])
def test_select_refuses_indices_out_of_range(index):
    with pytest.raises((IndexError, ValueError, OverflowError, RuntimeError)):
        torch.arange(4.0)[index]


RACE = """
import threading
import rushlight as torch
barrier, errors = threading.Barrier(4), []
def work():
    try:
        barrier.wait()
        w = torch.ones(8, 8)
        assert ((w @ w) * 2 + 1).sum().item() == 8 * 8 * 17
    except BaseException as e:
        errors.append(repr(e))
threads = [threading.Thread(target=work) for _ in range(3)]
for t in threads:
    t.start()
work()
for t in threads:
    t.join()
assert not errors, errors
x = torch.ones(2, 2)
assert (x @ x).tolist() == [[2, 2], [2, 2]]
"""


def test_threads_that_use_a_function_first_at_the_same_time():
    subprocess.run([sys.executable, "-c", RACE], check=True, timeout=120)


EARLY = """
import threading
import rushlight as torch
def work():
    x = torch.ones(2, 2)
    x + x, x @ x, x.sum()
t = threading.Thread(target=work)
t.start()
t.join()
x = torch.ones(2, 2)
x - x
from rushlight.ops.native import install
if install.ready():
    for name in ("__add__", "__matmul__", "sum", "__sub__"):
        assert type(torch.Tensor.__dict__[name]).__name__ == "instancemethod", name
"""


def test_functions_used_first_by_another_thread_are_generated_too():
    subprocess.run([sys.executable, "-c", EARLY], check=True, timeout=120)


def test_numpy_array_of_a_tensor_is_a_copy():
    t = torch.zeros(3)
    a = np.array(t)
    a[0] = 5
    assert t.tolist() == [0, 0, 0]
    shared = np.asarray(t)
    shared[1] = 7
    assert t.tolist() == [0, 7, 0]
    assert np.array(t, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError):
        np.array(t, dtype=np.float64, copy=False)


def test_default_dtype_reaches_ops_that_ran_before():
    i = torch.arange(3)
    before = [torch.sin(i).dtype, (i + 1.5).dtype, (i / 2).dtype]
    assert before == [torch.float32] * 3
    torch.set_default_dtype(torch.float64)
    try:
        assert [torch.sin(i).dtype, (i + 1.5).dtype, (i / 2).dtype] == [torch.float64] * 3
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.sin(i).dtype is torch.float32


FORK = """
import os
import sys
import threading
import rushlight as torch
x = torch.ones(2, requires_grad=True)
x + x
def child():
    with torch.no_grad():
        quiet = (x * 2).requires_grad
    found = []
    t = threading.Thread(target=lambda: found.append((x * 2).requires_grad))
    t.start()
    t.join()
    return not quiet and (x * 2).requires_grad and found == [True]
def fork():
    pid = os.fork()
    if not pid:
        os._exit(0 if child() else 3)
    status.append(os.waitpid(pid, 0)[1])
status = []
with torch.no_grad():
    t = threading.Thread(target=fork)
    t.start()
    t.join()
sys.exit(status != [0])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_modes_in_the_child_of_a_thread():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)
