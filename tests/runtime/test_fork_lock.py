"""What a child finds of the lock of code when other threads waited for it as the process forked."""

import os
import threading
import time

import pytest

pytest.importorskip("llvmlite")
from rushlight.compiler import engine
from rushlight.runtime.native import _CodeLock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def child(work):
    """The exit status of a forked child that does `work`; None if it is not done in ten seconds."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


def test_other_threads_that_wait_to_fork():
    lock = _CodeLock()

    def use():
        with lock, lock.apart():
            pass

    leave, away = threading.Event(), threading.Event()

    def stay_away():
        with lock, lock.apart():
            away.set()
            leave.wait()

    def wait_to_fork():
        lock.before_fork()
        lock.after_fork()

    threads = [threading.Thread(target=stay_away), threading.Thread(target=wait_to_fork)]
    threads[0].start()
    away.wait()
    threads[1].start()
    while not lock._forks:
        time.sleep(0.001)
    lock.acquire()
    status = child(lambda: (lock.in_child(), use()))
    lock.release()
    leave.set()
    for thread in threads:
        thread.join()
    assert status == 0


def test_code_that_another_thread_had_begun():
    engine._making.add("a key of this test")
    try:
        status = child(lambda: os._exit(len(engine._making)))
    finally:
        engine._making.discard("a key of this test")
    assert status == 0
