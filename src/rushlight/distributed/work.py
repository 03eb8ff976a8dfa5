"""Handles of operations that run while the caller goes on."""

import threading
import time
from datetime import timedelta

from rushlight.futures import Future

from .constants import seconds


class Work:
    """An operation between processes that was started.

    `wait` returns True once it is done, and raises what it failed with. A timeout names how long to wait at most.
    """

    def __init__(self, result=None, kind="", source=-1):
        self._result, self._kind, self._source = result, kind, source
        self._finished, self._error, self._future = threading.Event(), None, None
        self._guard = threading.Lock()
        self._begun = time.monotonic()
        self._took = 0.0

    def _finish(self, error=None):
        with self._guard:
            if self._finished.is_set():
                return
            self._error, self._took = error, time.monotonic() - self._begun
            self._finished.set()
            future = self._future
        if future is not None:
            self._tell(future)

    def _tell(self, future):
        if self._error is not None:
            future.set_exception(self._error)
        else:
            future.set_result(self._outputs())

    def _outputs(self):
        value = self._result
        return [] if value is None else value if isinstance(value, list) else [value]

    def is_completed(self):
        """Whether it is over, well or not."""
        return self._finished.is_set()

    def is_success(self):
        """Whether it ended well."""
        return self._finished.is_set() and self._error is None

    def exception(self):
        """What it failed with, or None."""
        return self._error

    def wait(self, timeout=timedelta(0)):
        """True, once it is done; raises its error, or RuntimeError after `timeout` (0: that of the group)."""
        limit = seconds(timeout)
        if not self._finished.wait(limit if limit > 0 else None):
            raise RuntimeError("Operation timed out!")
        if self._error is not None:
            raise self._error
        return True

    def synchronize(self):
        """`wait`; there is nothing else to order on the CPU."""
        self.wait()

    block_current_stream = synchronize

    def result(self):
        """The tensors it wrote, a list; RuntimeError before it is done."""
        if not self._finished.is_set():
            raise RuntimeError("Work needs to be completed before calling result(). Should call wait() before "
                               "result().")
        if self._error is not None:
            raise self._error
        return self._outputs()

    def source_rank(self):
        """The rank that a received message came from."""
        if self._source < 0:
            raise RuntimeError("sourceRank() may only be called on work objects that correspond to a recv or "
                               "recv-from-any call.")
        return self._source

    def _source_rank(self):
        return self.source_rank()

    def get_future(self):
        """A `torch.futures.Future` of the tensors it writes."""
        with self._guard:
            if self._future is None:
                self._future = Future()
                over = self._finished.is_set()
            else:
                return self._future
        if over:
            self._tell(self._future)
        return self._future

    get_future_result = get_future

    def _get_op_type(self):
        return self._kind

    def _get_duration(self):
        """Seconds it took."""
        return self._took

    def boxed(self):
        return self

    unbox = boxed


Work.__module__ = "torch.distributed.distributed_c10d"


class MessageWork(Work):
    """A send or receive of single messages; whoever waits for it moves messages on."""

    def __init__(self, group, requests, result, kind, source, complain):
        super().__init__(result, kind, source)
        self._group, self._requests, self._complain = group, requests, complain
        self.copy = None                # (strided tensor, contiguous one that was received in its place)

    def arrived(self):
        """Whether all its messages have gone."""
        return self._finished.is_set() or all(r.done for r in self._requests)

    def settle(self):
        """Finish with what came of the messages."""
        error = next((r.error for r in self._requests if r.error is not None), None)
        source = getattr(self._requests[0], "source", None) if self._requests else None
        if source is not None:
            self._source = self._group.ranks.index(source)
        if self.copy is not None and error is None:
            import rushlight as torch
            (to, whole), self.copy = self.copy, None
            with torch.no_grad():
                to.detach().copy_(whole)
        self._finish(self._complain(error) if error is not None else None)

    def is_completed(self):
        if not self._finished.is_set() and self.arrived():
            self.settle()
        return self._finished.is_set()

    def wait(self, timeout=timedelta(0)):
        if not self.is_completed():
            limit = seconds(timeout)
            self._group.wait_messages(self._requests, self._kind, limit if limit > 0 else None)
            self.settle()
        return super().wait()


class Worker:
    """The thread in which a group's operations run in their order while callers go on."""

    def __init__(self, name):
        import queue
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work, function):
        """Have ``function()`` run, and `work` finish with it."""
        self._jobs.put((work, function))
        return work

    def _run(self):
        import rushlight as torch
        with torch.no_grad():
            while True:
                job = self._jobs.get()
                if job is None:
                    return
                work, function = job
                try:
                    function()
                except Exception as error:
                    work._finish(error)
                else:
                    work._finish()
                del job, work, function

    def stop(self):
        """End the thread once what was submitted is done."""
        self._jobs.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(5)
