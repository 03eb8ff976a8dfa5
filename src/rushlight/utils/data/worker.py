"""What runs in a worker process: fetch what is asked for, send it back, stop when the loader is gone."""

import os
import pickle
import random
import select
import signal
import struct
import sys
import time
import traceback

from rushlight.utils.data.channel import ChannelClosed, close_inherited
from rushlight.utils.data.worker_info import WorkerInfo, set_worker_info

# How often a waiting worker looks whether its loader still lives (seconds).
_WATCH_INTERVAL = 2.0

RESULT = struct.Struct("<BIQ")          # kind, epoch, batch number
DATA, FAILURE, EXHAUSTED = 0, 1, 2


class WorkerFailure:
    """An exception of a worker, as its type, text and traceback: exceptions themselves may not travel."""

    def __init__(self, where):
        kind, value, trace = sys.exc_info()
        self.where = where
        self.text = "".join(traceback.format_exception(kind, value, trace))
        self.name = kind.__name__
        self.key_error = issubclass(kind, KeyError)
        try:
            self.kind = pickle.dumps(kind)
        except Exception:               # a class made inside a function, say
            self.kind = None

    def reraise(self):
        """Raise the original type with the worker's traceback as its text."""
        message = f"Caught {self.name} {self.where}.\nOriginal {self.text}"
        try:
            kind = pickle.loads(self.kind)
        except Exception:
            kind = RuntimeError
        if self.key_error:
            message = _Verbatim(message)
        elif getattr(kind, "message", None):
            raise kind(message=message)
        try:
            error = kind(message)
        except Exception:               # a constructor with other arguments
            raise RuntimeError(message) from None
        raise error


class _Verbatim(str):
    """Text whose repr is itself: KeyError shows the repr of its argument."""

    def __repr__(self):
        return str(self)


class _ParentGone(Exception):
    """The loader's process no longer exists."""


class WorkerSpec:
    """Everything that a worker needs, sent to it at its start."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


def seed_worker(base_seed, worker_id):
    """Seed Rushlight, `random` and NumPy for worker `worker_id`, as PyTorch seeds its workers."""
    import numpy as np

    import rushlight as torch

    seed = base_seed + worker_id
    random.seed(seed)
    torch.manual_seed(seed)
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))
    return seed


def worker_main(spec, channel):
    """Body of a worker process; returns when the loader closes the channel or dies."""
    close_inherited()
    _reset_signals()
    try:
        _Worker(spec, channel).run()
    except (KeyboardInterrupt, ChannelClosed, _ParentGone):
        pass                            # the loader reports interrupts; without it nobody listens
    finally:
        channel.close()


def _reset_signals():
    """Undo handlers that fork copied from the loader: SIGTERM must end a worker."""
    if callable(signal.getsignal(signal.SIGTERM)):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Worker:
    def __init__(self, spec, channel):
        self.spec = spec
        self.channel = channel
        self.parent = os.getppid()
        self.epoch = 0
        self.fetcher = None
        self.failure = None
        self.exhausted = False

    def run(self):
        import rushlight as torch
        from rushlight.utils.data.transfer import BlockPool

        torch.set_num_threads(1)
        self.pool = BlockPool()
        self._prepare(self._initialize)
        while True:
            command, argument, freed = pickle.loads(self._receive())
            self.pool.release(freed)
            if command == "resume":
                self.epoch, self.exhausted = argument, False
                self._reseed()
                self._prepare(self._open)
                continue
            for number, index in argument:
                self._answer(number, index)

    def _reseed(self):
        """Have all workers shuffle alike in a further pass: then their shards fit together."""
        from rushlight.utils.data.graph_settings import is_pipe, seed_pipes

        if is_pipe(self.spec.dataset):
            seed_pipes(self.spec.dataset, self.spec.base_seed + self.epoch)

    # -- work ---------------------------------------------------------------------------------

    def _prepare(self, step):
        self.failure = None
        try:
            step()
        except Exception:
            self.failure = WorkerFailure(self._where())

    def _where(self):
        return f"in DataLoader worker process {self.spec.worker_id}"

    def _initialize(self):
        spec = self.spec
        seed = seed_worker(spec.base_seed, spec.worker_id)
        set_worker_info(WorkerInfo(spec.worker_id, spec.num_workers, seed, spec.dataset))
        from rushlight.utils.data.graph_settings import apply_sharding, is_pipe

        if is_pipe(spec.dataset):
            apply_sharding(spec.dataset, spec.num_workers, spec.worker_id)
        if spec.init_fn is not None:
            spec.init_fn(spec.worker_id)
        self._open()

    def _open(self):
        spec = self.spec
        self.fetcher = spec.fetcher_class(spec.dataset, spec.auto_collation, spec.collate_fn,
                                          spec.drop_last)

    def _answer(self, number, index):
        if self.failure is not None:
            return self._send(FAILURE, number, self.failure)
        if self.exhausted:
            return self._send(EXHAUSTED, number, None)
        try:
            batch = self.fetcher.fetch(index)
            # Pickled here, not in a helper thread, so that a batch that can't be pickled is an
            # error of this batch.
            payload, fds = self.pool.encode(batch)
        except StopIteration as stop:
            if self.spec.iterable:
                self.exhausted = True
                return self._send(EXHAUSTED, number, None)
            return self._send_failure(number, stop)
        except Exception as error:
            return self._send_failure(number, error)
        self._deliver(DATA, number, payload, fds)

    def _send_failure(self, number, error):
        self._send(FAILURE, number, WorkerFailure(self._where()))
        error.__traceback__ = None      # frames would keep the batch's samples alive

    # -- messages -----------------------------------------------------------------------------

    def _send(self, kind, number, obj):
        payload, fds = self.pool.encode(obj)
        self._deliver(kind, number, payload, fds)

    def _deliver(self, kind, number, payload, fds):
        try:
            self.channel.queue(RESULT.pack(kind, self.epoch, number) + payload, fds)
            while not self.channel.flush():
                self._wait(write=True)
        finally:
            for fd in fds:
                os.close(fd)

    def _receive(self):
        while (frame := self.channel.receive()) is None:
            self._wait(write=False)
        return frame[0]

    def _wait(self, write):
        """Sleep until the channel is ready; raise if the loader's process has gone."""
        sock = [self.channel.sock]
        deadline = time.monotonic() + _WATCH_INTERVAL
        while not any(select.select([] if write else sock, sock if write else [], [],
                                    max(0.0, deadline - time.monotonic()))):
            if os.getppid() != self.parent:
                raise _ParentGone
            deadline = time.monotonic() + _WATCH_INTERVAL
