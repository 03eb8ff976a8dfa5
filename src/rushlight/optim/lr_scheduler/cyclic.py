"""Schedules that raise and lower the learning rate, and the momentum the other way."""

import math

from rushlight.optim.lr_scheduler.base import (
    LRScheduler,
    check_optimizer,
    copy_of,
    one_per_group,
    set_option,
)


def _momentum_key(optimizer):
    """Whether the momentum is ``betas[0]``.

    Raises:
        ValueError: the optimizer has neither momentum nor betas.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )
    return "betas" in optimizer.defaults


def _set_momentum(group, momentum, use_beta1):
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


class CyclicLR(LRScheduler):
    r"""A learning rate that goes up and down between two bounds.

    In each cycle of step_size_up + step_size_down steps the lr goes straight from base_lr to
    base_lr + (max_lr - base_lr) * scale and back.  scale is 1 (``"triangular"``), 2^(1 - cycle)
    (``"triangular2"``), gamma^step (``"exp_range"``) or given by ``scale_fn``.

    Args:
        optimizer (Optimizer): whose groups to change.
        base_lr, max_lr (float or list of float): the bounds; a list has one a group.
        step_size_up (int), step_size_down (int, optional): number of steps up and down.
        mode (str): see above; without effect where ``scale_fn`` is given.
        gamma (float): see above.
        scale_fn (function, optional): cycle or step -> scale.
        scale_mode (str): whether ``scale_fn`` is given the ``"cycle"`` or, with ``"iterations"``,
            the step.
        cycle_momentum (bool): also move the momentum, from max_momentum down to base_momentum and
            back.
        base_momentum, max_momentum (float or list of float): its bounds.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: an unknown mode, a list of another length, or an optimizer without momentum.

    Source: Smith, Cyclical learning rates for training neural networks, 2017.
    """

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up=2000,
        step_size_down=None,
        mode="triangular",
        gamma=1.0,
        scale_fn=None,
        scale_mode="cycle",
        cycle_momentum=True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch=-1,
    ):
        check_optimizer(optimizer)
        base_lrs = one_per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_option(group, "lr", lr)
        self.max_lrs = one_per_group("max_lr", optimizer, max_lr)
        step_size_up = float(step_size_up)
        step_size_down = step_size_up if step_size_down is None else float(step_size_down)
        self.total_size = step_size_up + step_size_down
        self.step_ratio = step_size_up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = _momentum_key(optimizer)
            self.base_momentums = one_per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = one_per_group("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                for most, least, group in zip(
                    self.max_momentums, self.base_momentums, optimizer.param_groups, strict=True
                ):
                    _set_momentum(group, most, self.use_beta1)
                    group["max_momentum"] = most
                    group["base_momentum"] = least
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x):
        """The height of a cycle, given its number or the step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        if self.mode == "triangular2":
            return 1 / (2.0 ** (x - 1))
        return self.gamma**x

    def get_lr(self):
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        if x <= self.step_ratio:
            height = x / self.step_ratio
        else:
            height = (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for least, most, group in zip(
                self.base_momentums, self.max_momentums, self.optimizer.param_groups, strict=True
            ):
                momentum = most - (most - least) * height * scale
                _set_momentum(group, momentum, self.use_beta1)
        return [
            base + (most - base) * height * scale
            for base, most in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self):
        """All attributes but the optimizer; of a ``scale_fn`` object its own attributes."""
        state = super().state_dict()
        custom = state.pop("_scale_fn_custom")
        plain = custom is None or isinstance(custom, type(_momentum_key))
        state["_scale_fn_custom"] = None if plain else custom.__dict__.copy()
        return state

    def load_state_dict(self, state_dict):
        """Take over a state made by ``state_dict``; a ``scale_fn`` stays the one given here."""
        state = dict(state_dict)
        attributes = state.pop("_scale_fn_custom", None)
        if attributes is not None:
            self._scale_fn_custom.__dict__.update(attributes)
        super().load_state_dict(state)


class OneCycleLR(LRScheduler):
    r"""One rise and a long fall of the learning rate: the 1cycle policy.

    The lr goes from max_lr / div_factor up to max_lr in pct_start of all steps, then down to
    max_lr / div_factor / final_div_factor; ``three_phase`` first falls as it rose.  Call ``step``
    after every batch.

    Args:
        optimizer (Optimizer): whose groups to change.
        max_lr (float or list of float): the peak; a list has one a group.
        total_steps (int, optional): number of steps, or else epochs * steps_per_epoch.
        epochs, steps_per_epoch (int, optional): see above.
        pct_start (float): share of the steps that rise, in [0, 1].
        anneal_strategy (str): ``"cos"`` or ``"linear"``.
        cycle_momentum (bool): also move the momentum, from max_momentum to base_momentum and back.
        base_momentum, max_momentum (float or list of float): its bounds.
        div_factor, final_div_factor (float): see above.
        three_phase (bool): see above.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: an argument out of its range, no number of steps, an optimizer without
            momentum, or (at ``step``) more steps than there are.

    Source: Smith and Topin, Super-convergence: very fast training of neural networks using large
    learning rates, 2018.
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
        last_epoch=-1,
    ):
        check_optimizer(optimizer)
        if total_steps is not None:
            _check_positive(total_steps=total_steps)
            self.total_steps = total_steps
        elif epochs is not None and steps_per_epoch is not None:
            _check_positive(epochs=epochs, steps_per_epoch=steps_per_epoch)
            self.total_steps = epochs * steps_per_epoch
        else:
            raise ValueError(
                "You must define either total_steps OR (epochs AND steps_per_epoch)"
            )
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        self._schedule_phases = _phases(float(pct_start * self.total_steps), three_phase)
        self._schedule_phases[-1]["end_step"] = self.total_steps - 1
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        max_lrs = one_per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for lr, group in zip(max_lrs, optimizer.param_groups, strict=True):
                group["initial_lr"] = lr / div_factor
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = _momentum_key(optimizer)
            largest = one_per_group("max_momentum", optimizer, max_momentum)
            least = one_per_group("base_momentum", optimizer, base_momentum)
            if last_epoch == -1:
                for most, base, group in zip(largest, least, optimizer.param_groups, strict=True):
                    _set_momentum(group, most, self.use_beta1)
                    group["max_momentum"] = most
                    group["base_momentum"] = base
        super().__init__(optimizer, last_epoch)

    def _anneal_func(self, start, end, share):
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def get_lr(self):
        self._warn_outside_step()
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(
                f"Tried to step {t} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        begin = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if t <= end:
                break
            if phase is not self._schedule_phases[-1]:
                begin = end
        share = (t - begin) / (end - begin)
        lrs = []
        for group in self.optimizer.param_groups:
            lr = self._anneal_func(group[phase["start_lr"]], group[phase["end_lr"]], share)
            lrs.append(copy_of(lr))
            if self.cycle_momentum:
                momentum = self._anneal_func(
                    group[phase["start_momentum"]], group[phase["end_momentum"]], share
                )
                _set_momentum(group, momentum, self.use_beta1)
        return lrs


def _check_positive(**counts):
    for name, count in counts.items():
        if not isinstance(count, int) or count <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {count}")


def _phases(rising, three_phase):
    """The phases as dicts: last step, and the group options between which lr and momentum go."""
    rows = [(rising - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
    if three_phase:
        rows.append((2 * rising - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        rows.append((None, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        rows.append((None, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    keys = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [dict(zip(keys, row, strict=True)) for row in rows]
