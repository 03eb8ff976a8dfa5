"""Running a function's source in several fresh processes that share a store."""

import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import datetime, os, sys, time
import numpy as np
import rushlight as torch
import rushlight.distributed as dist
from rushlight import nn

rank, size, port = map(int, sys.argv[1:4])
rest = sys.argv[4:]

def begin(seconds=20):
    store = dist.TCPStore("127.0.0.1", port, None, False, datetime.timedelta(seconds=seconds))
    dist.init_process_group("gloo", None, datetime.timedelta(seconds=seconds), size, rank, store)

def raises(kind, words, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except kind as error:
        assert words in str(error), str(error)
        return
    raise AssertionError(f"{function} did not raise {kind}")

"""


@pytest.fixture
def processes():
    """``processes(function, n)`` runs its body in `n` processes; returns their exit codes and outputs.

    The body sees `rank`, `size`, `torch`, `dist`, `nn`, `np`, ``begin(seconds)`` and ``raises``.
    """
    import rushlight.distributed as dist

    def run(function, n=2, transport=None, codes=0, args=()):
        store = dist.TCPStore("127.0.0.1", 0, None, True)
        text = PROGRAM + textwrap.dedent(inspect.getsource(function)) + f"\n{function.__name__}()\n"
        env = dict(os.environ, PYTHONPATH=str(SOURCE), OMP_NUM_THREADS="1")
        if transport:
            env["RUSHLIGHT_DISTRIBUTED_TRANSPORT"] = transport
        started = [subprocess.Popen([sys.executable, "-c", text, str(rank), str(n), str(store.port), *map(str, args)],
                                    env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for rank in range(n)]
        try:
            outputs = [p.communicate(timeout=60)[0] for p in started]
        finally:
            for p in started:
                p.kill()
        found = [p.returncode for p in started]
        expected = [codes] * n if isinstance(codes, int) else codes
        assert found == expected, "\n".join(f"--- rank {r}: {c}\n{o}" for r, (c, o) in enumerate(zip(found, outputs)))
        return outputs
    return run
