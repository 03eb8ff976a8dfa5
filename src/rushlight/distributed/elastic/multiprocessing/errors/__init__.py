"""How errors of launched processes reach the launcher: through a file that the environment names."""

import functools
import json
import os
import signal
import time
import traceback


class ProcessFailure:
    """How a process failed.

    Attributes: local_rank, pid, exitcode (negative: the signal that ended it), error_file, timestamp, and message, its
    traceback where it was recorded.
    """

    def __init__(self, local_rank, pid, exitcode, error_file):
        self.local_rank, self.pid, self.exitcode, self.error_file = local_rank, pid, exitcode, error_file
        self.timestamp, self.message = int(time.time()), "To enable traceback decorate the entry point with record"
        try:
            with open(error_file) as file:
                told = json.load(file)["message"]
            self.message, self.timestamp = told["message"], int(told["extraInfo"]["timestamp"])
            self.traceback = told["extraInfo"]["py_callstack"]
        except (OSError, ValueError, KeyError, TypeError):
            self.error_file = "<N/A>"
            self.traceback = self.message
            if exitcode < 0:
                self.message = f"Signal {-exitcode} ({self.signal_name()}) received by PID {pid}"

    def signal_name(self):
        """The name of the signal that ended it, or "<N/A>"."""
        try:
            return signal.Signals(-self.exitcode).name if self.exitcode < 0 else "<N/A>"
        except ValueError:
            return "<Invalid Signal>"


class ChildFailedError(Exception):
    """Launched processes failed. `failures`: a dict from global rank to `ProcessFailure`."""

    def __init__(self, name, failures):
        self.name, self.failures = name, failures
        super().__init__(self.format_msg())

    def get_first_failure(self):
        """(global rank, failure) of the first process that failed."""
        rank = min(self.failures, key=lambda r: (self.failures[r].timestamp, self.failures[r].exitcode < 0, r))
        return rank, self.failures[rank]

    def format_msg(self, boarder_delim="=", section_delim="-"):
        """The report: who failed first, and who else."""
        first, root = self.get_first_failure()
        others = [self._describe(i, r, f) for i, (r, f) in enumerate(self.failures.items(), 1) if r != first]
        width = 60
        return "\n".join(["", boarder_delim * width, f"{self.name} FAILED", section_delim * width, "Failures:",
                          *(others or ["  <NO_OTHER_FAILURES>"]), section_delim * width,
                          "Root Cause (first observed failure):", self._describe(0, first, root),
                          boarder_delim * width])

    @staticmethod
    def _describe(i, rank, f):
        when = time.strftime("%Y-%m-%d_%H:%M:%S", time.localtime(f.timestamp))
        text = str(f.traceback).strip().replace("\n", "\n    ")
        return (f"[{i}]:\n  time      : {when}\n  host      : {os.uname().nodename}\n  rank      : {rank} (local_rank: "
                f"{f.local_rank})\n  exitcode  : {f.exitcode} (pid: {f.pid})\n  error_file: {f.error_file}\n"
                f"  traceback : {text}")


def record(fn, error_handler=None):
    """Decorator of a script's entry point: writes its exception to the file that the launcher reads, and raises it."""
    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except SystemExit as error:
            if error.code:
                _write(error)
            raise
        except ChildFailedError:
            raise
        except Exception as error:
            if error_handler is not None:
                error_handler.record_exception(error)
            else:
                _write(error)
            raise
    return wrapped


def _write(error):
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        told = {"message": {"message": f"{type(error).__name__}: {error}", "extraInfo": {
            "py_callstack": traceback.format_exc(), "timestamp": str(int(time.time()))}}}
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w") as file:
            json.dump(told, file)


__all__ = ["ChildFailedError", "ProcessFailure", "record"]
