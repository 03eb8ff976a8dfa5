"""Storages in shared memory, and tensors that other processes write to."""

import gc
import os
from multiprocessing.reduction import ForkingPickler

import pytest

import rushlight as torch
import rushlight.multiprocessing as mp
from rushlight.nn import Linear, Parameter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_all_tensors_move_along():
    x = torch.arange(6.)
    view, alias = x[2:], x.data
    assert not x.is_shared() and x.share_memory_() is x
    assert x.is_shared() and view.is_shared() and alias.is_shared() and x.storage().is_shared()
    assert x.tolist() == [0, 1, 2, 3, 4, 5]
    x[3] = 9
    assert view.tolist() == [2, 9, 4, 5] and alias[3] == 9
    assert view._base is x and x.untyped_storage().share_memory_() is not None
    assert not x.clone().is_shared()
    with pytest.raises(RuntimeError, match="not resizable"):
        x.resize_(100)


def test_modules_keep_their_history():
    net = Linear(3, 2)
    net.share_memory()
    assert all(p.is_shared() and p.is_leaf and p.requires_grad for p in net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    assert net.weight.grad.tolist() == [[1, 1, 1]] * 2


def test_descriptors_are_given_back():
    def descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    before = descriptors()
    kept = [torch.ones(4).share_memory_() for _ in range(20)]
    assert descriptors() > before
    del kept
    assert descriptors() == before


def test_forked_children_write_to_the_parents_tensors():
    x = torch.zeros(3).share_memory_()
    pid = os.fork()
    if not pid:
        x[1] = 5
        os._exit(0)
    os.waitpid(pid, 0)
    assert x.tolist() == [0, 5, 0]


def _double(queue, answer):
    pair = queue.get()
    pair[0].mul_(2)
    answer.put([pair[0].tolist(), pair[1].tolist(), type(pair[2]).__name__, pair[2].requires_grad])
    queue.get()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_queues_send_memory(method):
    context = mp.get_context(method)
    queue, answer = context.Queue(), context.Queue()
    process = context.Process(target=_double, args=(queue, answer), daemon=True)
    process.start()
    x = torch.arange(4.)
    queue.put([x, x[2:], Parameter(torch.ones(1))])
    assert answer.get(timeout=30) == [[0, 2, 4, 6], [4, 6], "Parameter", True]
    assert x.is_shared() and x.tolist() == [0, 2, 4, 6]
    queue.put(None)
    process.join(30)
    assert process.exitcode == 0


def test_computed_tensors_are_refused():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="non-leaf"):
        ForkingPickler.dumps(x * 2)
