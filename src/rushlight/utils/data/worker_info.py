"""What a worker process knows about itself."""


class WorkerInfo:
    """Facts about one worker process: its `id` (from 0), `num_workers`, `seed` and its `dataset` copy."""

    __slots__ = ("id", "num_workers", "seed", "dataset", "rng", "worker_method")

    def __init__(self, id, num_workers, seed, dataset):
        self.id = id
        self.num_workers = num_workers
        self.seed = seed
        self.dataset = dataset
        self.rng = None
        self.worker_method = "multiprocessing"

    def __repr__(self):
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"WorkerInfo({fields})"


_current = None


def get_worker_info():
    """The `WorkerInfo` of this worker process; None in the process that owns the loader."""
    return _current


def set_worker_info(info):
    """Make `info` what `get_worker_info` answers in this process."""
    global _current
    _current = info
