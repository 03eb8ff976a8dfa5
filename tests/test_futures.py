"""Futures: values, exceptions, callbacks, and other threads."""

import threading

import pytest

import rushlight as torch
from rushlight.futures import Future, collect_all, wait_all


def test_value_and_callbacks():
    f, seen = Future(), []
    g = f.then(lambda x: x.wait() + 1)
    f.add_done_callback(lambda x: seen.append(x.value()))
    assert not f.done() and not g.done()
    with pytest.raises(RuntimeError, match="not there yet"):
        f.value()
    f.set_result(3)
    assert (f.wait(), g.wait(), seen) == (3, 4, [3])
    f.add_done_callback(lambda x: seen.append("late"))
    assert seen == [3, "late"]
    with pytest.raises(RuntimeError, match="mark a completed Future as complete again"):
        f.set_result(4)


def test_exceptions():
    f = Future()
    g = f.then(lambda x: x.wait())
    f.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        f.wait()
    with pytest.raises(RuntimeError, match="error when running the callback: ValueError: no"):
        g.wait()
    with pytest.raises(AssertionError, match="not an Exception"):
        Future().set_exception(3)


def test_many():
    fs = [Future() for _ in range(3)]
    whole = collect_all(fs)
    for i, f in enumerate(fs):
        assert not whole.done()
        threading.Thread(target=f.set_result, args=(i,)).start()
        f.wait()
    assert whole.wait() == fs and wait_all(fs) == [0, 1, 2] and collect_all([]).wait() == []
    assert torch.futures.Future is Future


def test_fork_keeps_the_result_or_the_exception():
    assert torch.wait(torch.fork(lambda a, b: a + b, 1, b=2)) == 3
    future = torch.fork(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        future.wait()
