"""The loader's side of worker processes: hand out work, collect batches, notice deaths."""

import os
import pickle
import selectors
import signal
import time

from rushlight.utils.data.channel import ChannelClosed, socket_pair
from rushlight.utils.data.dataloader import BaseIterator, _DatasetKind
from rushlight.utils.data.transfer import BlockMap
from rushlight.utils.data.worker import (
    EXHAUSTED,
    FAILURE,
    RESULT,
    WorkerSpec,
    worker_main,
)

_LIVENESS_INTERVAL = 1.0    # seconds between looks at the processes while no message comes
_EXIT_GRACE = 5.0           # seconds a worker has to finish its sample before it is terminated


class _Worker:
    """A process, its channel and its shared blocks."""

    def __init__(self, process, channel, number):
        self.process = process
        self.channel = channel
        self.number = number
        self.blocks = BlockMap()
        self.outgoing = []          # (batch number, index) not yet sent
        self.unanswered = 0
        self.active = True          # gets work (a stream's worker stops at its end)
        self.closed = False

    def send_tasks(self):
        if self.outgoing and not self.closed:
            freed, self.blocks.freed[:] = list(self.blocks.freed), []
            self.channel.queue(pickle.dumps(("tasks", self.outgoing, freed), 5))
            self.outgoing = []
        self.push()

    def push(self):
        """Send what is queued as far as the socket takes it; a dead worker is noticed on receipt."""
        if not self.closed:
            try:
                self.channel.flush()
            except ChannelClosed:
                self.channel.pending.clear()

    def hang_up(self):
        if not self.closed:
            self.closed = True
            self.channel.close()


class MultiProcessIterator(BaseIterator):
    """A pass by worker processes, each with up to `prefetch_factor` batches in hand."""

    def __init__(self, loader):
        self._workers = []
        self.closed = False
        self._owner = os.getpid()
        super().__init__(loader)
        self._epoch = 0
        self._selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        try:
            for number in range(loader.num_workers):
                self._start_worker(number)
            self._begin_pass()
        except BaseException:
            self.shutdown()
            raise

    # -- starting -----------------------------------------------------------------------------

    def _start_worker(self, number):
        import multiprocessing

        loader = self._loader
        context = loader.multiprocessing_context or multiprocessing.get_context()
        ours, theirs = socket_pair()
        spec = WorkerSpec(
            worker_id=number, num_workers=loader.num_workers, base_seed=self._base_seed,
            dataset=loader.dataset, iterable=self._dataset_kind == _DatasetKind.Iterable,
            fetcher_class=self._fetcher_class, auto_collation=loader._auto_collation,
            collate_fn=loader.collate_fn, drop_last=loader.drop_last,
            init_fn=loader.worker_init_fn)
        process = context.Process(target=worker_main, args=(spec, theirs), daemon=True)
        try:
            process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            ours.close()
            _explain_unpicklable(loader, process, error)
            raise
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = _Worker(process, ours, number)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _begin_pass(self):
        self._sent = self._received = 0
        self._tasks = {}            # batch number -> worker, while it is not given out
        self._results = {}          # batch number -> (kind, value)
        self._turn = 0
        for worker in self._workers:
            worker.outgoing.clear()
            worker.unanswered = 0
            worker.active = True
        for _ in range(self._loader.prefetch_factor * self._num_workers):
            self._assign_next()
        self._send_all()

    def reset(self):
        """Start another pass with the same, persistent, workers."""
        self._sampler_iter = iter(self._index_sampler)
        self._num_yielded = 0
        self._promised_length = self._loader._IterableDataset_len_called
        self._epoch += 1
        for worker in self._workers:
            worker.channel.queue(pickle.dumps(("resume", self._epoch, ()), 5))
            worker.push()
        self._begin_pass()

    # -- handing out --------------------------------------------------------------------------

    def _assign_next(self):
        """Give the sampler's next index to the next worker with room; nothing if there is none."""
        limit = self._loader.prefetch_factor
        for _ in self._workers:
            worker = self._workers[self._turn]
            self._turn = (self._turn + 1) % len(self._workers)
            if worker.active and (self._loader.in_order or worker.unanswered < limit):
                break
        else:
            return
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            return
        worker.outgoing.append((self._sent, index))
        worker.unanswered += 1
        self._tasks[self._sent] = worker
        self._sent += 1

    def _send_all(self):
        for worker in self._workers:
            worker.send_tasks()

    # -- collecting ---------------------------------------------------------------------------

    def _next_data(self):
        if self.closed:
            raise StopIteration
        try:
            return self._next_result()
        except (KeyboardInterrupt, SystemExit):
            self.shutdown()
            raise

    def _next_result(self):
        while True:
            number = self._next_ready()
            if number is not None:
                kind, value = self._results.pop(number)
                del self._tasks[number]
                if kind == EXHAUSTED:
                    continue
                self._assign_next()
                self._send_all()
                if kind == FAILURE:
                    value.reraise()
                return value
            if not self._tasks:
                if not self._loader.persistent_workers:
                    self.shutdown()
                raise StopIteration
            self._receive_some()

    def _next_ready(self):
        """The number of the batch to give out now, or None if it must be waited for."""
        if not self._loader.in_order:
            return next(iter(self._results), None)
        while self._received < self._sent and self._received not in self._tasks:
            self._received += 1
        return self._received if self._received in self._results else None

    def _receive_some(self):
        """Wait for at least one message of this pass; raises on time-out or a worker's death."""
        limit = self._loader.timeout
        deadline = time.monotonic() + limit if limit > 0 else None
        while True:
            for worker in self._workers:
                if worker.channel.pending:
                    self._selector.modify(worker.channel, _READ_WRITE, worker)
            pause = _LIVENESS_INTERVAL
            if deadline is not None:
                pause = min(pause, max(0.0, deadline - time.monotonic()))
            ready = self._selector.select(pause)
            got = False
            for key, events in ready:
                worker = key.data
                if events & selectors.EVENT_WRITE:
                    worker.push()
                    if not worker.channel.pending:
                        self._selector.modify(worker.channel, selectors.EVENT_READ, worker)
                if events & selectors.EVENT_READ:
                    got = self._drain(worker) or got
            if got:
                return
            if not ready:
                self._check_alive()
                if deadline is not None and time.monotonic() >= deadline:
                    self.shutdown(grace=0.0)
                    raise RuntimeError(f"DataLoader timed out after {limit} seconds")

    def _drain(self, worker):
        """Take in all messages that have come from `worker`; True if any is of this pass."""
        got = False
        while True:
            try:
                frame = worker.channel.receive()
            except ChannelClosed:
                frame = _END
            if frame is _END:
                self._report_death(worker)
            if frame is None:
                return got
            payload, fds = frame
            kind, epoch, number = RESULT.unpack_from(payload)
            value = worker.blocks.decode(payload[RESULT.size:], fds)
            if epoch != self._epoch or number in self._results or number not in self._tasks:
                continue            # of an abandoned pass, or past the end of its stream
            got = True
            worker.unanswered -= 1
            if kind == EXHAUSTED and worker.active:
                worker.active = False
                self._retire(worker)
                self._results[number] = (kind, value)
                self._assign_next()
                self._send_all()
                if worker.closed:
                    return got
            else:
                self._results[number] = (kind, value)

    def _retire(self, worker):
        """A stream's worker came to its end: forget what it was still asked for."""
        for number, owner in list(self._tasks.items()):
            if owner is worker and number not in self._results:
                self._results[number] = (EXHAUSTED, None)
        worker.outgoing.clear()
        worker.unanswered = 0
        if not self._loader.persistent_workers:
            self._selector.unregister(worker.channel)
            worker.hang_up()

    # -- endings ------------------------------------------------------------------------------

    def _check_alive(self):
        for worker in self._workers:
            if not worker.closed and not worker.process.is_alive():
                self._drain(worker)
                self._report_death(worker)

    def _report_death(self, worker):
        process = worker.process
        process.join(_EXIT_GRACE)
        code, pid = process.exitcode, process.pid
        self.shutdown()
        if code is not None and code < 0:
            try:
                name = f"{signal.strsignal(-code)} ({signal.Signals(-code).name})"
            except ValueError:
                name = f"signal {-code}"
            raise RuntimeError(f"DataLoader worker (pid {pid}) is killed by signal: {name}. "
                               "If the system ran out of memory, use smaller batches or fewer "
                               "workers.")
        raise RuntimeError(f"DataLoader worker (pid {pid}) exited unexpectedly with exit code "
                           f"{code}. Rerunning with num_workers=0 may give better error trace.")

    def shutdown(self, grace=_EXIT_GRACE):
        """Stop all workers: close their channels, wait up to `grace` seconds, then terminate."""
        if self.closed or self._owner != os.getpid():
            return
        self.closed = True
        for worker in self._workers:
            worker.hang_up()
        deadline = time.monotonic() + grace
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        late = [worker.process for worker in self._workers if worker.process.is_alive()]
        for process in late:
            process.terminate()
        for process in late:
            process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join()
        if hasattr(self, "_selector"):
            self._selector.close()

    def __del__(self):
        self.shutdown()


_END = object()
_READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE


def _explain_unpicklable(loader, process, error):
    """Raise a PicklingError that names the part that can't be sent to a worker, if one is found."""
    from multiprocessing.reduction import ForkingPickler

    parts = {"dataset": loader.dataset, "collate_fn": loader.collate_fn,
             "worker_init_fn": loader.worker_init_fn}
    for name, part in parts.items():
        try:
            ForkingPickler.dumps(part)
        except Exception as cause:
            raise pickle.PicklingError(
                f"DataLoader can't send its {name} ({type(part).__name__}) to a worker process: "
                f"{cause}. This start method pickles what workers need: define classes and "
                "functions at module level instead of lambdas or local ones, or use "
                "multiprocessing_context='fork' or num_workers=0.") from error
