"""Running one function in several processes, with their errors raised in the parent."""

import multiprocessing
import multiprocessing.connection
import signal
import time
import traceback


class ProcessException(Exception):
    """A process of `spawn` failed."""

    def __init__(self, msg, error_index, pid):
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.pid = pid


class ProcessRaisedException(ProcessException):
    """A process raised; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """A process ended by a signal or with a non-zero exit code."""

    def __init__(self, msg, error_index, error_pid, exit_code, signal_name=None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name


def _entry(function, index, args, errors):
    try:
        function(index, *args)
    except KeyboardInterrupt:
        pass                            # the parent is interrupted as well
    except Exception:
        errors.send(traceback.format_exc())
        raise SystemExit(1) from None


class ProcessContext:
    """The processes that `spawn` started."""

    def __init__(self, processes, errors):
        self.processes = processes
        self._errors = errors

    def pids(self):
        """Process ids, in order."""
        return [process.pid for process in self.processes]

    def join(self, timeout=None, grace_period=5.0):
        """Wait until one fails or all are done; True when all are done.

        When one fails the others are terminated (killed after `grace_period` seconds), and its error
        is raised as ProcessRaisedException or ProcessExitedException.
        """
        waiting = {p.sentinel: i for i, p in enumerate(self.processes) if p.exitcode is None}
        ready = multiprocessing.connection.wait(waiting, timeout=timeout) if waiting else []
        for sentinel in ready:
            self.processes[waiting[sentinel]].join()
        failed = next((i for i, p in enumerate(self.processes) if p.exitcode), None)
        if failed is None:
            return all(p.exitcode == 0 for p in self.processes)
        self._stop(grace_period)
        self._raise(failed)

    def _stop(self, grace_period):
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + grace_period
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _raise(self, index):
        process = self.processes[index]
        if self._errors[index].poll():
            raise ProcessRaisedException(
                f"\n\n-- Process {index} terminated with the following error:\n"
                f"{self._errors[index].recv()}", index, process.pid)
        code = process.exitcode
        if code < 0:
            name = signal.Signals(-code).name
            raise ProcessExitedException(f"process {index} terminated with signal {name}", index,
                                         process.pid, code, name)
        raise ProcessExitedException(f"process {index} terminated with exit code {code}", index,
                                     process.pid, code)


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """Run ``fn(i, *args)`` in `nprocs` processes; wait for them, or return a `ProcessContext`."""
    context = multiprocessing.get_context(start_method)
    processes, errors = [], []
    for index in range(nprocs):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_entry, args=(fn, index, args, sender), daemon=daemon)
        process.start()
        sender.close()
        processes.append(process)
        errors.append(receiver)
    running = ProcessContext(processes, errors)
    if not join:
        return running
    while not running.join():
        pass
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """`start_processes` with fresh interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
