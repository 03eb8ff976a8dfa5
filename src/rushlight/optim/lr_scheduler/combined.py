"""Several schedules one after the other, or all at once."""

from bisect import bisect_right

from rushlight.optim.lr_scheduler.base import LRScheduler, aside, set_option
from rushlight.optim.lr_scheduler.plateau import ReduceLROnPlateau
from rushlight.tensor import watch


def _check_schedulers(combination, schedulers, optimizer):
    """Refuse schedules that take a metric, and those of another optimizer."""
    for i, scheduler in enumerate(schedulers):
        if combination == "SequentialLR" and not hasattr(scheduler, "optimizer"):
            raise TypeError(
                f"{combination} at index {i} should have `optimizer` as its attribute."
            )
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                f"{combination} does not support `ReduceLROnPlateau` scheduler as it requires "
                f"additional kwargs to be specified when calling `step`, but got one at index {i} "
                "in the given schedulers sequence."
            )
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                f"{combination} expects all schedulers to belong to the same optimizer, but got "
                f"scheduler {type(scheduler).__name__} at index {i} has {scheduler.optimizer}, "
                f"which is different from {type(optimizer).__name__}."
            )


class _Combination(LRScheduler):
    """A schedule made of others."""

    def state_dict(self):
        """All attributes but the optimizer, with the states of the schedules."""
        hidden = ("optimizer", "_schedulers")
        state = {key: value for key, value in self.__dict__.items() if key not in hidden}
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict):
        """Take over a state made by ``state_dict``."""
        state = dict(state_dict)
        for scheduler, part in zip(self._schedulers, state.pop("_schedulers"), strict=False):
            scheduler.load_state_dict(part)
        self.__dict__.update(state)


class SequentialLR(_Combination):
    """One schedule after the other: the i-th until step ``milestones[i]``.

    Args:
        optimizer (Optimizer): whose groups to change.
        schedulers (list of LRScheduler): in order, of the same optimizer.
        milestones (list of int): increasing, one fewer than the schedules.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: no schedules, another number of milestones, another optimizer, or a
            ReduceLROnPlateau.
        TypeError: something that has no optimizer.
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        _check_schedulers("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                f"the number of milestone points, but got number of schedulers {len(schedulers)} "
                f"and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Each schedule made its first step when it was made: take that back, but not the
        # first one's.
        for group in optimizer.param_groups:
            set_option(group, "lr", group["initial_lr"])
        self.recursive_undo()
        self._schedulers[0]._initial_step()
        self._last_lr = schedulers[0].get_last_lr()

    def recursive_undo(self, sched=None):
        """Take back one step of all schedules, also of those within combinations."""
        sched = self if sched is None else sched
        if hasattr(sched, "_schedulers"):
            for part in sched._schedulers:
                self.recursive_undo(part)
        elif hasattr(sched, "last_epoch"):
            sched.last_epoch -= 1

    def step(self):
        """Go to the next step of the schedule whose turn it is."""
        if watch.listener is not None:
            return aside(self)
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    step.runs_aside = True


class ChainedScheduler(_Combination):
    """Several schedules at once: their factors are multiplied.

    Args:
        schedulers (sequence of LRScheduler): of the same optimizer.
        optimizer (Optimizer, optional): that optimizer.

    Raises:
        ValueError: no schedules, another optimizer, or a ReduceLROnPlateau.
    """

    def __init__(self, schedulers, optimizer=None):
        if len(schedulers) < 1:
            raise ValueError(
                "ChainedScheduler expects at least one scheduler to be chained, but got no "
                "scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        _check_schedulers("ChainedScheduler", schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = self._current_lrs()

    def step(self):
        """Go to the next step of every schedule."""
        if watch.listener is not None:
            return aside(self)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current_lrs()

    step.runs_aside = True
