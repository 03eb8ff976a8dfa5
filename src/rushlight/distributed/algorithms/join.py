"""`Join`: processes with fewer inputs go on taking part in the others' collectives."""

import warnings
from abc import ABC, abstractmethod

import rushlight as torch
from rushlight.distributed.calls import all_reduce
from rushlight.distributed.groups import get_rank


class JoinHook:
    """What a process does once it has no more input."""

    def main_hook(self):
        """Called once for each iteration of the others: shadows their collectives."""

    def post_hook(self, is_last_joiner):
        """Called when all have joined. is_last_joiner: this process was among the last."""


class Joinable(ABC):
    """Something whose collectives can be shadowed."""

    @abstractmethod
    def __init__(self):
        super().__init__()
        self._join_config = _JoinConfig.disabled()

    @abstractmethod
    def join_hook(self, **kwargs):
        """A `JoinHook` for this object."""

    @property
    @abstractmethod
    def join_device(self):
        """The device of its collectives."""

    @property
    @abstractmethod
    def join_process_group(self):
        """The group of its collectives."""


class _JoinConfig:
    """What a `Join` told a `Joinable`."""

    def __init__(self, enable, throw_on_early_termination, is_first_joinable):
        self.enable, self.is_first_joinable = enable, is_first_joinable
        self.throw_on_early_termination = throw_on_early_termination

    @staticmethod
    def disabled():
        return _JoinConfig(False, False, False)


class Join:
    """Context in which processes may have different numbers of inputs.

    Args:
        joinables: what communicates in each iteration; the first calls `notify_join_context` before its collectives.
        enable: False when inputs are known to be even.
        throw_on_early_termination: raise RuntimeError in all processes when the first has no more input.
    """

    def __init__(self, joinables, enable=True, throw_on_early_termination=False, **kwargs):
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables = joinables
        self._hooks = [j.join_hook(**kwargs) for j in joinables]
        self._enable, self._throw = enable, throw_on_early_termination
        groups = {id(j.join_process_group): j.join_process_group for j in joinables}
        if len(groups) != 1:
            raise ValueError("Using join context manager with multiple process groups")
        self._group = next(iter(groups.values()))
        for i, j in enumerate(joinables):
            j._join_config = _JoinConfig(enable, throw_on_early_termination, i == 0)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        for j in self._joinables:
            j._join_config = _JoinConfig.disabled()
        if not self._enable or kind:
            return
        all_joined, is_last, rounds = False, True, 0
        while not all_joined:
            if rounds == 1000:
                warnings.warn(f"Detected uneven input skew of greater than 1000. This means that rank "
                              f"{get_rank(self._group)} has at least 1000 fewer inputs than other currently-active "
                              f"ranks.", stacklevel=2)
            active = torch.zeros(1)
            all_reduce(active, group=self._group)
            if active.item() == 0:
                all_joined = True
                break
            if self._throw:
                all_reduce(torch.ones(1), group=self._group)
                raise RuntimeError(f"Rank {get_rank(self._group)} exhausted all inputs.")
            is_last = False
            for hook in self._hooks:
                hook.main_hook()
            rounds += 1
        for hook in self._hooks:
            hook.post_hook(is_last)

    @staticmethod
    def notify_join_context(joinable):
        """Tell joined processes that this one begins an iteration; returns a Work, or None outside of a `Join`."""
        if not hasattr(joinable, "_join_config"):
            raise AssertionError(f"Check that the {type(joinable)} constructor calls the ``Joinable`` constructor")
        config = joinable._join_config
        if not config.is_first_joinable or not config.enable:
            return None
        group = joinable.join_process_group
        work = all_reduce(torch.ones(1), group=group, async_op=True)
        if config.throw_on_early_termination:
            joined = torch.zeros(1)
            all_reduce(joined, group=group)
            if joined.item():
                raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return work


def last_joiner(group, is_last):
    """The highest rank of those that joined last: it has the final state."""
    candidate = torch.tensor([get_rank(group) if is_last else -1])
    from rushlight.distributed.reducing import ReduceOp
    all_reduce(candidate, ReduceOp.MAX, group=group)
    return int(candidate)


__all__ = ["Join", "JoinHook", "Joinable", "last_joiner"]
