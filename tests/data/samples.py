"""Datasets that the worker tests use; at module level so that spawned workers can import them."""

import os
import random
import signal
import time

import numpy as np

import rushlight as torch
from rushlight.utils.data import Dataset, IterableDataset, get_worker_info


class Numbers(Dataset):
    def __init__(self, n=6):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i


class WorkerFacts(Numbers):
    """What a worker was seeded with and draws."""

    def __getitem__(self, i):
        info = get_worker_info()
        return (info.id, info.num_workers, info.seed, torch.initial_seed(), random.random(),
                float(np.random.rand()), torch.rand(1).item(), torch.get_num_threads())


class Misbehaving(Numbers):
    """Does something bad at index 3."""

    def __init__(self, deed):
        super().__init__(6)
        self.deed = deed

    def __getitem__(self, i):
        if i == 3:
            getattr(self, self.deed)()
        return i

    def value_error(self):
        raise ValueError("bad sample")

    def key_error(self):
        raise KeyError("no such key")

    def local_error(self):
        class LocalError(Exception):
            def __init__(self, first, second):
                super().__init__(first, second)
        raise LocalError(1, 2)

    def leave(self):
        os._exit(3)

    def get_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def dawdle(self):
        time.sleep(30)


class Images(Numbers):
    """Large samples, with the index in every element."""

    def __getitem__(self, i):
        return torch.full((3, 64, 64), float(i)), np.full((100,), i), {"label": i, "name": str(i)}


class Forking(Numbers):
    """Leaves a process behind that holds the worker's descriptors, and dies."""

    def __getitem__(self, i):
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        os._exit(5)


class Mixed(Dataset):
    """One sample with arrays and tensors of many kinds."""

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return {"array": np.arange(10000.).reshape(100, 100).T, "text": "x" * 100000,
                "bf16": torch.ones(20000).to(torch.bfloat16), "empty": torch.zeros(0, 3),
                "cols": torch.arange(20000).reshape(100, 200).t(), "scalar": torch.tensor(3.5),
                "parameter": torch.nn.Parameter(torch.ones(3)), "none": None}


class Graph(Numbers):
    """Samples that are part of a graph."""

    def __getitem__(self, i):
        return torch.zeros(2, requires_grad=True) * 2


class Stream(IterableDataset):
    """Worker w gives 10 w, 10 w + 1, ... (5 - 2 w of them)."""

    def __iter__(self):
        w = get_worker_info().id
        yield from range(10 * w, 10 * w + 5 - 2 * w)


class Unpicklable(Numbers):
    def __init__(self):
        super().__init__()
        self.transform = lambda x: x


def as_is(batch):
    return batch


def function_batch(batch):
    return lambda: batch


def failing_start(worker_id):
    raise ValueError("worker does not start")
