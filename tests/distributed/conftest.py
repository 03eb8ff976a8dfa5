"""Running a function's source in several processes that share a store.

The processes are forked from one that has everything loaded: starting anew would cost more than the tests themselves.
"""

import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
NURSERY = """
import datetime, json, os, signal, sys, time, traceback
import numpy as np
import rushlight as torch
import rushlight.distributed as dist
import rushlight.distributed.checkpoint
import rushlight.distributed.fsdp
import rushlight.optim
from rushlight import nn
from rushlight.nn.parallel import DistributedDataParallel
model = nn.Linear(2, 2)
model(torch.ones(2, 2)).sum().backward()

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

def live():
    global rank, size, port, rest
    rank, size, port, rest = number, told["n"], told["port"], told["args"]
    os.environ.update(told["env"])
    fd = os.open(told["outputs"][number], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    code = 1
    try:
        exec(compile(told["text"], "program", "exec"), globals())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

for line in sys.stdin:
    told = json.loads(line)
    pids = []
    for number in range(told["n"]):
        pid = os.fork()
        if pid == 0:
            live()
        pids.append(pid)
    codes, end = {}, time.monotonic() + 60
    while len(codes) < len(pids):
        for pid in pids:
            if pid not in codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    print(json.dumps([codes[pid] for pid in pids]), flush=True)
"""


@pytest.fixture(scope="session")
def nursery():
    """The process that others are forked from."""
    env = dict(os.environ, PYTHONPATH=str(SOURCE), OMP_NUM_THREADS="1")
    started = subprocess.Popen([sys.executable, "-c", NURSERY], text=True, env=env, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    yield started
    started.stdin.close()
    started.wait(10)


@pytest.fixture
def processes(nursery, tmp_path):
    """``processes(function, n)`` runs its body in `n` processes, and checks their exit codes.

    The body sees `rank`, `size`, `rest` (`args` as text), `torch`, `dist`, `nn`, `np`, ``begin(seconds)``, ``raises``.
    """
    import rushlight.distributed as dist

    def run(function, n=2, transport=None, codes=0, args=()):
        store = dist.TCPStore("127.0.0.1", 0, None, True)
        outputs = [str(tmp_path / f"output{rank}") for rank in range(n)]
        told = {"text": textwrap.dedent(inspect.getsource(function)) + f"\n{function.__name__}()\n", "n": n,
                "port": store.port, "args": [str(a) for a in args], "outputs": outputs,
                "env": {"RUSHLIGHT_DISTRIBUTED_TRANSPORT": transport or ""}}
        nursery.stdin.write(json.dumps(told) + "\n")
        nursery.stdin.flush()
        found = json.loads(nursery.stdout.readline())
        expected = [codes] * n if isinstance(codes, int) else codes
        assert found == expected, "\n".join(f"--- rank {r}: {c}\n{Path(o).read_text()}"
                                            for r, (c, o) in enumerate(zip(found, outputs)))
    return run
