"""The standard `multiprocessing`, plus `spawn` and PyTorch's names for sharing strategies.

Tensors that travel through queues, pipes and arguments of processes move to shared memory: both ends see the same
numbers. `DataLoader` moves its batches through shared memory by itself.
"""

import multiprocessing as _standard
from multiprocessing import *  # noqa: F403

from rushlight.multiprocessing._spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    spawn,
    start_processes,
)
from rushlight.multiprocessing.reductions import install

install()
_strategy = "file_descriptor"


def get_all_sharing_strategies():
    """Names that `set_sharing_strategy` takes."""
    return {"file_descriptor", "file_system"}


def get_sharing_strategy():
    """The strategy last set; blocks are always passed by descriptor, whichever it is."""
    return _strategy


def set_sharing_strategy(new_strategy):
    """Accept a strategy's name; ValueError if there is no such strategy."""
    global _strategy
    if new_strategy not in get_all_sharing_strategies():
        raise ValueError(f"unknown sharing strategy {new_strategy!r}; expected one of "
                         f"{sorted(get_all_sharing_strategies())}")
    _strategy = new_strategy


__all__ = [*_standard.__all__, "ProcessContext", "ProcessException", "ProcessExitedException",
           "ProcessRaisedException", "get_all_sharing_strategies", "get_sharing_strategy",
           "set_sharing_strategy", "spawn", "start_processes"]
