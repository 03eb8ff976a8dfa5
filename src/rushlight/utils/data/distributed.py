"""The sampler that gives each process of a group its own share of a dataset."""

import math

import rushlight as torch
from rushlight.utils.data.sampler import Sampler


def _process_group_value(name):
    """`rank` or `world_size` of the default process group; raises if there is none."""
    try:
        import rushlight.distributed as dist
    except ModuleNotFoundError:
        dist = None
    if dist is not None and not dist.is_available():
        raise RuntimeError("Requires distributed package to be available")
    if dist is None or not dist.is_initialized():
        raise ValueError("Default process group has not been initialized, "
                         "please make sure to call init_process_group.")
    return getattr(dist, f"get_{name}")()


class DistributedSampler(Sampler):
    """Every `num_replicas`-th index from `rank` on, after a shuffle that all processes share.

    The order depends on ``seed + epoch`` only (call `set_epoch` before each pass). Without
    `drop_last` indices repeat from the front so that all processes get equally many.
    """

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0,
                 drop_last=False):
        if num_replicas is None:
            num_replicas = _process_group_value("world_size")
        if rank is None:
            rank = _process_group_value("rank")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval "
                             f"[0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        n = len(dataset)
        if drop_last and n % num_replicas:
            self.num_samples = math.ceil((n - num_replicas) / num_replicas)
        else:
            self.num_samples = math.ceil(n / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self):
        n = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = torch.randperm(n, generator=generator).tolist()
        else:
            indices = list(range(n))
        if len(indices) < self.total_size and indices:
            indices *= math.ceil(self.total_size / len(indices))
        indices = indices[:self.total_size]
        return iter(indices[self.rank::self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """Choose the shuffle of the next pass."""
        self.epoch = epoch
