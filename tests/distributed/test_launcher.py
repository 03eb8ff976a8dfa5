"""The launcher: environment, restarts, reports."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
SCRIPT = """
import os, sys
import rushlight as torch, rushlight.distributed as dist
from rushlight.distributed.elastic.multiprocessing.errors import record

@record
def main():
    dist.init_process_group("gloo")
    x = torch.ones(1)
    dist.all_reduce(x)
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    assert dist.is_torchelastic_launched() and dist.get_node_local_rank() == int(os.environ["LOCAL_RANK"])
    print(f"rank {dist.get_rank()} of {dist.get_world_size()}: {x.item()}, attempt {attempt}, {sys.argv[1:]}")
    if dist.get_rank() == 1 and attempt < int(sys.argv[1]):
        raise ValueError("as asked")
    dist.destroy_process_group()
main()
"""


def launch(tmp_path, *args, wait=True):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    args = [str(script) if a == "SCRIPT" else str(a) for a in args]
    started = subprocess.Popen([sys.executable, "-m", "rushlight.distributed.run", *args], text=True,
                               env=dict(os.environ, PYTHONPATH=str(SOURCE)), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    if not wait:
        return started
    out, err = started.communicate(timeout=60)
    return started.returncode, out, err


def test_restart(tmp_path):
    code, out, err = launch(tmp_path, "--nproc-per-node", 2, "--max_restarts", 1, "--tee", 3, "SCRIPT", 1, "--flag")
    assert code == 0, err
    for rank in range(2):
        for attempt in range(2):
            assert f"[default{rank}]:rank {rank} of 2: 2.0, attempt {attempt}, ['1', '--flag']" in out
    assert "1 of 1 restarts left" in err


def test_failure(tmp_path):
    logs = tmp_path / "logs"
    code, out, err = launch(tmp_path, "--standalone", "--nproc-per-node=2", "-r", 3, "--log-dir", logs, "SCRIPT", 9)
    assert code == 1 and not out
    assert re.search(r"Root Cause.*rank      : 1 \(local_rank: 1\).*exitcode  : 1.*ValueError: as asked", err,
                     re.S), err
    assert "rank 1 of 2" in next(logs.glob("*/attempt_0/1/stdout.log")).read_text()


def test_two_machines(tmp_path):
    from rushlight.distributed import TCPStore
    port = TCPStore("127.0.0.1", 0, None, True).port
    args = ("--nnodes", 2, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "job",
            "SCRIPT", 0)
    both = [launch(tmp_path, *args, wait=False) for _ in range(2)]
    outputs = [p.communicate(timeout=60) for p in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    assert sorted(out.strip() for out, _ in outputs) == [f"rank {r} of 2: 2.0, attempt 0, ['0']" for r in range(2)]


def test_termination(tmp_path):
    script = tmp_path / "sleep.py"
    script.write_text("import os, time\nos.write(1, b'up\\n')\ntime.sleep(60)")
    started = launch(tmp_path, "--nproc-per-node", 2, script, wait=False)
    assert [started.stdout.readline() for _ in range(2)] == ["up\n"] * 2
    began = time.monotonic()
    started.send_signal(signal.SIGTERM)
    started.communicate(timeout=30)
    assert started.returncode == 128 + signal.SIGTERM and time.monotonic() - began < 10
