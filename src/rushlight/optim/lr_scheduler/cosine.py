"""Cosine annealing, once and with restarts."""

import math

from rushlight.optim.lr_scheduler.base import LRScheduler, aside
from rushlight.tensor import watch


class CosineAnnealingLR(LRScheduler):
    r"""lr(t) = eta_min + (initial lr - eta_min) (1 + cos(pi t / T_max)) / 2.

    After T_max steps the lr rises again, with the period 2 T_max.

    Args:
        optimizer (Optimizer): whose groups to change.
        T_max (int): number of steps down to ``eta_min``.
        eta_min (float): least learning rate.
        last_epoch (int): index of the last step done, -1 to start.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017
    (without the restarts).
    """

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        lrs = self._current_lrs()
        if self._is_initial:
            return lrs
        t, period = self.last_epoch, self.T_max
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        if (t - 1 - period) % (2 * period) == 0:
            # The step before was at the minimum, from where no factor leads up.
            rise = (1 - math.cos(math.pi / period)) / 2
            return [
                lr + (base - self.eta_min) * rise
                for lr, base in zip(lrs, self.base_lrs, strict=True)
            ]
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in lrs]

    def _get_closed_form_lr(self):
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""Cosine annealing that starts again and again.

    lr = eta_min + (initial lr - eta_min) (1 + cos(pi T_cur / T_i)) / 2.

    T_cur counts the steps since the last restart; T_i is the length of the present period, at
    first T_0 and T_mult times as long after each restart.

    Args:
        optimizer (Optimizer): whose groups to change.
        T_0 (int): number of steps of the first period, > 0.
        T_mult (int): factor of its growth, >= 1.
        eta_min (float): least learning rate.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: an argument of another type or out of its range.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017.
    """

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(
                f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}"
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch=None):
        """Go to the next step, or to ``epoch``, which may have a fraction.

        Raises:
            ValueError: a negative epoch.
        """
        if watch.listener is not None:
            return aside(self, epoch)
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        elif epoch < self.T_0:
            self.T_i = self.T_0
            self.T_cur = epoch
        elif self.T_mult == 1:
            self.T_i = self.T_0
            self.T_cur = epoch % self.T_0
        else:
            # The n-th restart is at T_0 (T_mult^n - 1) / (T_mult - 1).
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
        self.last_epoch = math.floor(epoch)
        self._set_lr(self.get_lr)

    step.runs_aside = True
