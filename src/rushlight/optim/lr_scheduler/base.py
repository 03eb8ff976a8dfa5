"""What all learning rate schedules share."""

import functools
import warnings
import weakref

import rushlight as torch
from rushlight.optim.optimizer import Optimizer
from rushlight.tensor import watch

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. Until it is removed, a given "
    "epoch selects the closed form of the schedule, where there is one."
)


def aside(scheduler, epoch=None):
    """Let what watches calls know of ``scheduler.step(epoch)``: programs do that step as it is."""
    given = () if epoch is None else (epoch,)
    watch.listener.aside(f"{type(scheduler).__name__}.step", scheduler.step, *given)


def copy_of(x):
    """The value itself, or a copy of a tensor (which will change in place)."""
    return x if type(x) is float or not isinstance(x, torch.Tensor) else x.clone()


def set_option(group, key, value):
    """Set an option of a group; a tensor keeps its identity and is filled."""
    old = group[key]
    if type(old) is not float and isinstance(old, torch.Tensor):
        if isinstance(value, torch.Tensor):
            value = value.item()
        with torch.no_grad():
            old.fill_(value)
    else:
        group[key] = value


def one_per_group(name, optimizer, value):
    """A list with one value for each parameter group.

    Raises:
        ValueError: a list of another length.
    """
    if isinstance(value, (list, tuple)):
        if len(value) != len(optimizer.param_groups):
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups. {name} has "
                f"{len(value)} values, param_groups has {len(optimizer.param_groups)}."
            )
        return list(value)
    return [value] * len(optimizer.param_groups)


def check_optimizer(optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def _notice_steps(optimizer):
    """Make ``optimizer.step`` leave a mark, so that a wrong order of calls can be noticed."""
    step = optimizer.step
    if hasattr(step, "_wrapped_by_lr_sched"):
        return
    function = step.__func__
    reference = weakref.ref(optimizer)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        optimizer = reference()
        optimizer._opt_called = True
        return function(optimizer, *args, **kwargs)

    wrapper._wrapped_by_lr_sched = True
    optimizer.step = wrapper


class LRScheduler:
    """Base class of learning rate schedules.

    A subclass gives ``get_lr()``: the lr of each group at ``self.last_epoch``, usually from the
    group's present lr, so that schedules can be combined; ``_get_closed_form_lr()``, where there
    is one, gives it from ``self.base_lrs`` alone.

    Args:
        optimizer (Optimizer): whose groups to change.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        TypeError: not an Optimizer.
        KeyError: ``last_epoch`` is given, but the groups have no ``"initial_lr"``.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer, last_epoch=-1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", copy_of(group["lr"]))
        else:
            for i, group in enumerate(optimizer.param_groups):
                if "initial_lr" not in group:
                    raise KeyError(
                        f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                        f"scheduler with last_epoch >= 0.\n"
                        "It is set when a schedule starts: load the state of the optimizer first, "
                        "or leave last_epoch at -1 to start anew."
                    )
        self.base_lrs = [copy_of(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        _notice_steps(optimizer)
        self._initial_step()

    def _initial_step(self):
        """Set the learning rates of the first step."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self):
        """All attributes but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Take over a state made by ``state_dict``; the optimizer's lr is not changed."""
        self.__dict__.update(state_dict)

    def get_last_lr(self):
        """The learning rates last set, one a group."""
        if watch.listener is not None:
            return watch.listener.current("get_last_lr", lambda: self._last_lr)
        return self._last_lr

    def get_lr(self):
        """The learning rates at ``last_epoch``, one a group."""
        raise NotImplementedError

    def step(self, epoch=None):
        """Go to the next step (or to ``epoch``, deprecated) and set the learning rates."""
        if watch.listener is not None:
            return aside(self, epoch)
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    step.runs_aside = True      # what it changes is not for a capture to watch

    def _check_order(self):
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. Please, make sure to call `optimizer.step()` before "
                "`lr_scheduler.step()`.",
                UserWarning,
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call "
                "`optimizer.step()` first: otherwise the first value of the learning rate schedule "
                "is skipped.",
                UserWarning,
                stacklevel=3,
            )

    def _update_lr(self, epoch=None):
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr
        else:
            self.last_epoch = epoch
            values = getattr(self, "_get_closed_form_lr", None) or self.get_lr
        self._set_lr(values)

    def _set_lr(self, values):
        """Set what ``values()`` gives, known to come from within a step."""
        self._get_lr_called_within_step = True
        try:
            values = values()
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_option(group, "lr", lr)
        self._last_lr = self._current_lrs()

    def _warn_outside_step(self):
        """``get_lr`` computes the next value: outside ``step`` that is rarely what is meant."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _current_lrs(self):
        return [copy_of(group["lr"]) for group in self.optimizer.param_groups]


class _LRScheduler(LRScheduler):
    """The name of LRScheduler in old programs."""
