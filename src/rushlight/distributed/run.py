"""The launcher: ``python -m rushlight.distributed.run --nproc-per-node 2 script.py args``.

Each process finds RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR and MASTER_PORT in its
environment, so that ``init_process_group("gloo")`` needs nothing else. When one fails all are ended, and started again
up to ``--max-restarts`` times. The launcher serves the store, which outlives the processes.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

from rushlight.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from rushlight.distributed.errors import DistNetworkError
from rushlight.distributed.tcp_store import TCPStore


def parser():
    """The options, spelled with dashes or underscores."""
    p = argparse.ArgumentParser(prog="rushlight-run", description="Runs a script in several processes.")

    def add(name, *others, **kwargs):
        spelled = {f"--{name}": None, f"--{name.replace('-', '_')}": None}
        default = os.environ.get(f"PET_{name.replace('-', '_').upper()}")
        if default is not None and "action" not in kwargs:
            kwargs["default"] = kwargs.get("type", str)(default)
        p.add_argument(*others, *spelled, **kwargs)
    add("nnodes", default="1", help="number of machines")
    add("nproc-per-node", default="1", help="processes on this machine: a number, or auto or cpu for one a core")
    add("node-rank", type=int, default=0, help="the number of this machine, with --rdzv-backend static")
    add("master-addr", default="127.0.0.1", help="address of machine 0")
    add("master-port", type=int, default=29500, help="port of machine 0's store")
    add("rdzv-backend", default="static", help="static, or c10d: machines number themselves as they come")
    add("rdzv-endpoint", default="", help="host:port of the store")
    add("rdzv-id", default="none", help="the job's name")
    add("rdzv-conf", default="", help="key=value pairs: timeout, in seconds")
    add("standalone", action="store_true", help="one machine, any free port")
    add("max-restarts", type=int, default=0, help="how often to start again after a failure")
    add("monitor-interval", type=float, default=0.1, help="seconds between looks at the processes")
    add("role", default="default", help="a name for the processes, in log prefixes")
    add("log-dir", default=None, help="where files with the processes' output go")
    add("redirects", "-r", default="0", help="0 none, 1 stdout, 2 stderr, 3 both into files")
    add("tee", "-t", default="0", help="as --redirects, but shown, too, with a prefix")
    add("local-ranks-filter", default="", help="show the output of these local ranks only")
    add("shutdown-timeout", type=float, default=30.0, help="seconds between asking a process to end and killing it")
    add("start-method", default="spawn", help="taken for compatibility: scripts are always started anew")
    add("local-addr", default=None, help="address of this machine")
    p.add_argument("-m", "--module", action="store_true", help="the script is a module's name")
    p.add_argument("--no-python", "--no_python", action="store_true", help="the script is a program of its own")
    p.add_argument("training_script", help="the script")
    p.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return p


def _machines(text):
    low, _, high = str(text).partition(":")
    if high and high != low:
        raise NotImplementedError(f"--nnodes {text}: jobs whose number of machines changes")
    return int(low)


def _processes(text):
    if text in ("auto", "cpu"):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"Unsupported nproc_per_node value: {text}") from None


class Agent:
    """The processes of one machine."""

    def __init__(self, args):
        self.args = args
        self.machines, self.count = _machines(args.nnodes), _processes(args.nproc_per_node)
        if self.machines > 1 and args.max_restarts:
            raise NotImplementedError("--max-restarts with several machines")
        self.run_id = args.rdzv_id if args.rdzv_id != "none" else uuid.uuid4().hex
        self.logs = args.log_dir or tempfile.mkdtemp(prefix="rushlight_run_")
        self._meet()
        self.processes, self.files, self.pumps, self.stopped = [], [], [], None

    def _meet(self):
        """Serve or find the store, and learn this machine's number."""
        a = self.args
        host, port = a.master_addr, a.master_port
        if a.rdzv_endpoint:
            host, _, text = a.rdzv_endpoint.rpartition(":") if ":" in a.rdzv_endpoint else (a.rdzv_endpoint, "", "")
            port = int(text) if text else 29400
        conf = dict(pair.split("=") for pair in a.rdzv_conf.split(",") if "=" in pair)
        from datetime import timedelta
        limit = timedelta(seconds=float(conf.get("timeout", 300)))
        self.node = a.node_rank
        if a.standalone or self.machines == 1 and not a.rdzv_endpoint and a.master_port == 29500:
            self.store = TCPStore("127.0.0.1", 0, None, True, limit)
        elif a.rdzv_backend == "static":
            self.store = TCPStore(host, port, None, self.node == 0, limit)
        elif a.rdzv_backend == "c10d":
            try:
                self.store = TCPStore(host, port, None, True, limit)
            except DistNetworkError:    # another machine, or another launcher here, serves it
                self.store = TCPStore(host, port, None, False, limit)
            self.node = self.store.add(f"{self.run_id}/machines", 1) - 1
            if self.node >= self.machines:
                raise RuntimeError(f"the job {self.run_id!r} has its {self.machines} machines already")
        else:
            raise NotImplementedError(f"--rdzv-backend {a.rdzv_backend}")
        self.store.set(f"{self.run_id}/count{self.node}", str(self.count))
        counts = [int(self.store.get(f"{self.run_id}/count{i}")) for i in range(self.machines)]
        self.first, self.total = sum(counts[:self.node]), sum(counts)

    def _environment(self, local, attempt):
        a = self.args
        env = dict(os.environ)
        if self.count > 1:
            env.setdefault("OMP_NUM_THREADS", "1")
        rank = self.first + local
        env.update(
            RANK=rank, LOCAL_RANK=local, GROUP_RANK=self.node, ROLE_RANK=rank, ROLE_NAME=a.role,
            LOCAL_WORLD_SIZE=self.count, WORLD_SIZE=self.total, GROUP_WORLD_SIZE=self.machines,
            ROLE_WORLD_SIZE=self.total, MASTER_ADDR=self.store.host, MASTER_PORT=self.store.port,
            TORCHELASTIC_RESTART_COUNT=attempt, TORCHELASTIC_MAX_RESTARTS=a.max_restarts,
            TORCHELASTIC_RUN_ID=self.run_id, TORCHELASTIC_USE_AGENT_STORE=True,
            TORCHELASTIC_ERROR_FILE=os.path.join(self._place(local, attempt), "error.json"))
        return {key: str(value) for key, value in env.items()}

    def _place(self, local, attempt):
        path = os.path.join(self.logs, self.run_id, f"attempt_{attempt}", str(local))
        os.makedirs(path, exist_ok=True)
        return path

    def _mode(self, text, local):
        """The bits of --redirects or --tee for one process: a number, or pairs such as 0:3,1:1."""
        if ":" not in text:
            return int(text)
        return next((int(m) for r, _, m in (pair.partition(":") for pair in text.split(",")) if int(r) == local), 0)

    def _start(self, attempt):
        a = self.args
        if a.no_python:
            command = [a.training_script]
        else:
            command = [sys.executable, "-u", *(["-m"] if a.module else []), a.training_script]
        shown = {int(r) for r in a.local_ranks_filter.split(",")} if a.local_ranks_filter else None
        for local in range(self.count):
            redirect, tee = self._mode(a.redirects, local), self._mode(a.tee, local)
            outputs, place = [], self._place(local, attempt)
            for bit, name in ((1, "stdout"), (2, "stderr")):
                if tee & bit:
                    outputs.append(subprocess.PIPE)
                elif redirect & bit or shown is not None and local not in shown:
                    self.files.append(open(os.path.join(place, f"{name}.log"), "wb"))
                    outputs.append(self.files[-1])
                else:
                    outputs.append(None)
            process = subprocess.Popen([*command, *a.training_script_args], env=self._environment(local, attempt),
                                       stdout=outputs[0], stderr=outputs[1])
            self.processes.append(process)
            for stream, name, to in ((process.stdout, "stdout", sys.stdout), (process.stderr, "stderr", sys.stderr)):
                if stream is not None:
                    visible = shown is None or local in shown
                    pump = threading.Thread(target=self._pump, daemon=True,
                                            args=(stream, os.path.join(place, f"{name}.log"), to if visible else None,
                                                  f"[{a.role}{local}]:"))
                    pump.start()
                    self.pumps.append(pump)

    @staticmethod
    def _pump(stream, path, to, prefix):
        with open(path, "wb") as file:
            for line in stream:
                file.write(line)
                file.flush()
                if to is not None:
                    to.write(prefix + line.decode(errors="replace"))
                    to.flush()

    def _end(self, number=signal.SIGTERM):
        """End all processes."""
        for p in self.processes:
            if p.poll() is None:
                p.send_signal(number)
        limit = time.monotonic() + self.args.shutdown_timeout
        for p in self.processes:
            try:
                p.wait(max(0.0, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for pump in self.pumps:
            pump.join(2)
        for file in self.files:
            file.close()
        self.files, self.pumps = [], []

    def _watch(self):
        """Wait until all are done or one fails; the local ranks that failed."""
        while True:
            codes = [p.poll() for p in self.processes]
            failed = [i for i, code in enumerate(codes) if code]
            if failed or all(code == 0 for code in codes):
                return failed
            time.sleep(self.args.monitor_interval)

    def run(self):
        """Start, watch, start again; ChildFailedError when it failed for good."""
        def stop(number, frame):
            self.stopped = number
            raise KeyboardInterrupt
        before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            for attempt in range(self.args.max_restarts + 1):
                self.processes = []
                self._start(attempt)
                failed = self._watch()
                if not failed:
                    self._end()
                    return
                failures = {self.first + i: ProcessFailure(i, self.processes[i].pid, self.processes[i].returncode,
                                                           os.path.join(self._place(i, attempt), "error.json"))
                            for i in failed}
                self._end()
                if attempt < self.args.max_restarts:
                    print(f"rushlight-run: local ranks {failed} failed, starting again "
                          f"({self.args.max_restarts - attempt} of {self.args.max_restarts} restarts left)",
                          file=sys.stderr, flush=True)
            raise ChildFailedError(self.args.training_script, failures)
        finally:
            self._end(self.stopped or signal.SIGTERM)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._leave()

    def _leave(self):
        """Machine 0 serves the store until the others are done with it."""
        try:
            self.store.add(f"{self.run_id}/gone", 1)
            if self.node == 0 and self.machines > 1 and self.stopped is None:
                end = time.monotonic() + 60
                while self.store.add(f"{self.run_id}/gone", 0) < self.machines and time.monotonic() < end:
                    time.sleep(0.1)
        except RuntimeError:
            pass
        if self.args.log_dir is None:
            shutil.rmtree(self.logs, ignore_errors=True)


def main(args=None):
    """Run the launcher on command-line arguments; the exit code."""
    agent = Agent(parser().parse_args(args))
    try:
        agent.run()
    except ChildFailedError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + (agent.stopped or signal.SIGINT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
