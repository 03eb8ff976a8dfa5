"""Kernels used and compiled from several threads, and after a fork."""

import os
import threading

import numpy as np
import pytest

from rushlight.compiler import available, pointwise_kernel, reduce_kernel
from rushlight.compiler import scalar as s

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")


def test_many_threads():
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for i in range(6):
            a, b = rng.standard_normal((2, 60_000)).astype("f4")
            out = np.empty_like(a)
            e = s.input(0) * float(i + seed % 3 + 0.25) + s.input(1)
            pointwise_kernel(e, ["float32"] * 2, [], ["float32"], "float32")(out, a, b)
            total = np.empty((), "f4")
            reduce_kernel("max", "float32", "float32")(total, out, 1)
            want = a * np.float32(i + seed % 3 + 0.25) + b
            if not np.array_equal(out, want) or total != want.max():
                failures.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork():
    x = np.arange(400_000, dtype="f4")
    out = np.empty_like(x)
    k = pointwise_kernel(s.input(0) + 1.0, ["float32"], [], ["float32"], "float32")
    k(out, x)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            other = pointwise_kernel(s.input(0) - 2.0, ["float32"], [], ["float32"], "float32")
            k(out, x)
            good = bool((out == x + 1).all())
            other(out, x)
            code = 0 if good and bool((out == x - 2).all()) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
