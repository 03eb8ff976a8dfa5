"""Execution traces: the ops of a run as a graph in JSON, for replay and analysis tools (the Chakra schema)."""

import gzip
import json
import os
import tempfile
import time

from rushlight.autograd.modes import state
from rushlight.serialization._atomic import atomic_write

from .recorder import Recorder


class ExecutionTraceObserver:
    """Writes the ops that run between `start` and `stop` to a file, as a graph.

    A node has an id, its name, the id of the event that it ran in (``ctrl_deps``), and shapes, types and strides of its
    inputs. Give one to `profile` to run along with it, or use `start` and `stop`, or use it as a context.
    """

    def __init__(self):
        self._path, self._registered, self._running = None, False, False
        self._recorder = self._own = None

    def register_callback(self, output_file_path):
        """Write to that file (compressed where the name ends in ``.gz``); returns self."""
        if not self._registered:
            directory = os.path.dirname(os.path.abspath(output_file_path))
            if not os.path.isdir(directory):
                raise RuntimeError(f"the directory of {output_file_path} does not exist")
            self._path, self._registered = os.fspath(output_file_path), True
        return self

    def unregister_callback(self):
        """Stop, and write nothing from now on."""
        self.stop()
        self._registered = False

    cleanup = unregister_callback

    @staticmethod
    def build_execution_trace_obs_from_env():
        """An observer where the environment variable ``ENABLE_PYTORCH_EXECUTION_TRACE`` is 1, None elsewhere."""
        if os.environ.get("ENABLE_PYTORCH_EXECUTION_TRACE", "0") != "1":
            return None
        fd, path = tempfile.mkstemp("_et.json", f"rushlight_{os.getpid()}_")
        os.close(fd)
        return ExecutionTraceObserver().register_callback(path)

    @property
    def is_registered(self):
        """Whether there is a file to write to."""
        return self._registered

    def is_running(self):
        """Whether ops are being written down."""
        return self._running

    def get_output_file_path(self):
        """The file, or None where none was registered."""
        return self._path if self._registered else None

    def get_resources_dir(self, can_create=False):
        """The directory for further files beside the trace, or None; made if `can_create`."""
        if self._path is None:
            return None
        path = self._path.removesuffix(".gz").removesuffix(".json") + "_resources"
        if can_create:
            os.makedirs(path, exist_ok=True)
        return path if os.path.isdir(path) else None

    def start(self):
        """Begin, on the recorder of the profiler that runs or one of its own."""
        if not self._registered or self._running:
            return
        self._running, self._begun = True, time.perf_counter_ns()
        if state.recorder is None:
            self._own = Recorder(shapes=True)
            self._own.start()
        self._recorder = state.recorder

    def stop(self):
        """End, and write the file."""
        if not self._running:
            return
        self._running = False
        if self._own is not None:
            self._own.stop()
            self._own = None
        self._write(time.perf_counter_ns())

    __enter__ = lambda self: (self.start(), self)[1]

    def __exit__(self, *exc):
        self.stop()

    def _write(self, now):
        root = {"id": 1, "name": "[pytorch|profiler|execution_trace|process]", **_node(0, 7, -1, 0)}
        thread = {"id": 2, "name": "[pytorch|profiler|execution_trace|thread]", **_node(1, 7, -1, 1)}
        nodes = [root, thread]
        stack = [(raw, 2) for raw in reversed(self._recorder.roots)]
        while stack:
            raw, parent = stack.pop()
            if raw.kind == "cpu_instant_event":
                continue
            number = len(nodes) + 1
            types = [f"Tensor({d})" if isinstance(s, list) and d and d not in _PLAIN else d or "None"
                     for s, d in zip(raw.shapes, raw.dtypes)]
            nodes.append({"id": number, "name": raw.name, **_node(parent, raw.scope, raw.sequence, 1, {
                "values": ["<None>" if x is None else x for x in raw.inputs], "shapes": list(raw.shapes),
                "types": types, "strides": list(raw.strides)})})
            stack.extend((c, number) for c in reversed(raw.children))
        content = {"schema": "1.1.1-chakra.0.0.4", "pid": os.getpid(),
                   "time": time.strftime("%Y-%m-%d %H:%M:%S"), "start_ts": self._begun // 1000,
                   "finish_ts": now // 1000, "nodes": nodes}
        text = json.dumps(content).encode()
        with atomic_write(self._path) as f:
            f.write(gzip.compress(text) if self._path.endswith(".gz") else text)


_PLAIN = ("Scalar", "ScalarList", "TensorList")


def _node(parent, scope, sequence, thread, inputs=None):
    empty = {"values": [], "shapes": [], "types": [], "strides": []}
    return {"ctrl_deps": parent, "inputs": inputs or empty, "outputs": dict(empty), "attrs": [
        {"name": "seq_id", "type": "int64", "value": sequence}, {"name": "scope", "type": "uint64", "value": scope},
        {"name": "tid", "type": "uint64", "value": thread}]}
