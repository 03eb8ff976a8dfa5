"""Schedules that multiply the learning rate by a factor."""

from bisect import bisect_right
from collections import Counter

from rushlight.optim.lr_scheduler.base import LRScheduler


class _LambdaScheduler(LRScheduler):
    """A schedule given by one function for all groups, or by one for each."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        if isinstance(lr_lambda, (list, tuple)):
            if len(lr_lambda) != groups:
                raise ValueError(f"Expected {groups} lr_lambdas, but got {len(lr_lambda)}")
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * groups
        super().__init__(optimizer, last_epoch)

    def state_dict(self):
        """All attributes but the optimizer and the functions (of objects, their attributes)."""
        hidden = ("optimizer", "lr_lambdas")
        state = {key: value for key, value in self.__dict__.items() if key not in hidden}
        state["lr_lambdas"] = [
            None if isinstance(fn, _FUNCTION) else fn.__dict__.copy() for fn in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict):
        """Take over a state made by ``state_dict``; functions stay those given here."""
        state = dict(state_dict)
        for fn, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=False):
            if attributes is not None:
                fn.__dict__.update(attributes)
        self.__dict__.update(state)


_FUNCTION = type(lambda: None)


class LambdaLR(_LambdaScheduler):
    """lr(t) = initial lr * lr_lambda(t).

    Args:
        optimizer (Optimizer): whose groups to change.
        lr_lambda (function or list of functions): step index -> factor; a list has one a group.
        last_epoch (int): index of the last step done, -1 to start.
    """

    def get_lr(self):
        self._warn_outside_step()
        return [
            lr * factor(self.last_epoch)
            for factor, lr in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_LambdaScheduler):
    """lr(t) = lr(t - 1) * lr_lambda(t).

    Args:
        optimizer (Optimizer): whose groups to change.
        lr_lambda (function or list of functions): step index -> factor; a list has one a group.
        last_epoch (int): index of the last step done, -1 to start.
    """

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self._is_initial:
            return lrs
        return [
            lr * factor(self.last_epoch) for factor, lr in zip(self.lr_lambdas, lrs, strict=True)
        ]


class StepLR(LRScheduler):
    """lr(t) = initial lr * gamma^floor(t / step_size).

    Args:
        optimizer (Optimizer): whose groups to change.
        step_size (int): number of steps between two decays.
        gamma (float): factor of a decay.
        last_epoch (int): index of the last step done, -1 to start.
    """

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return lrs
        return [lr * self.gamma for lr in lrs]

    def _get_closed_form_lr(self):
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr(t) = initial lr * gamma^(number of milestones <= t).

    Args:
        optimizer (Optimizer): whose groups to change.
        milestones (iterable of int): step indices of the decays; one given twice counts twice.
        gamma (float): factor of a decay.
        last_epoch (int): index of the last step done, -1 to start.
    """

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self.last_epoch not in self.milestones:
            return lrs
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in lrs]

    def _get_closed_form_lr(self):
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """lr(t) = initial lr * factor for t < total_iters, then the initial lr.

    Args:
        optimizer (Optimizer): whose groups to change.
        factor (float): in (0, 1].
        total_iters (int): number of steps with the factor.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: a factor above 1 or below 0.
    """

    def __init__(self, optimizer, factor=1.0 / 3, total_iters=5, last_epoch=-1):
        if factor > 1.0 or factor < 0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self.last_epoch == 0:
            return [lr * self.factor for lr in lrs]
        if self.last_epoch != self.total_iters:
            return lrs
        return [lr * (1.0 / self.factor) for lr in lrs]

    def _get_closed_form_lr(self):
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [lr * factor for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """lr(t) = initial lr * f(t), f going straight from start_factor to end_factor.

    Args:
        optimizer (Optimizer): whose groups to change.
        start_factor (float): in (0, 1].
        end_factor (float): in [0, 1].
        total_iters (int): number of steps from one to the other.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: a factor out of its range.
    """

    def __init__(
        self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5, last_epoch=-1
    ):
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1."
            )
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in lrs]
        if self._is_initial or self.last_epoch > self.total_iters:
            return lrs
        rise = self.end_factor - self.start_factor
        growth = 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)
        return [lr * growth for lr in lrs]

    def _get_closed_form_lr(self):
        rise = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch)
        return [lr * (self.start_factor + rise * done / self.total_iters) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr(t) = initial lr * gamma^t.

    Args:
        optimizer (Optimizer): whose groups to change.
        gamma (float): factor of a step.
        last_epoch (int): index of the last step done, -1 to start.
    """

    def __init__(self, optimizer, gamma, last_epoch=-1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        return lrs if self._is_initial else [lr * self.gamma for lr in lrs]

    def _get_closed_form_lr(self):
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr(t) = initial lr * (1 - min(t, total_iters) / total_iters)^power.

    Args:
        optimizer (Optimizer): whose groups to change.
        total_iters (int): number of steps down to zero.
        power (float): exponent.
        last_epoch (int): index of the last step done, -1 to start.
    """

    def __init__(self, optimizer, total_iters=5, power=1.0, last_epoch=-1):
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self._is_initial or self.last_epoch > self.total_iters:
            return lrs
        left = 1.0 - self.last_epoch / self.total_iters
        left_before = 1.0 - (self.last_epoch - 1) / self.total_iters
        factor = (left / left_before) ** self.power
        return [lr * factor for lr in lrs]

    def _get_closed_form_lr(self):
        done = min(self.total_iters, self.last_epoch)
        return [lr * (1.0 - done / self.total_iters) ** self.power for lr in self.base_lrs]
