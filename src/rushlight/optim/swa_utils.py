"""Averages of models over training, and the schedule that goes with them."""

import itertools
import math
from copy import deepcopy

import rushlight as torch
from rushlight.nn import Module
from rushlight.optim.lr_scheduler.base import LRScheduler, copy_of, one_per_group

__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay):
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _can_average(x):
    return x.is_floating_point() or x.is_complex()


def get_ema_multi_avg_fn(decay=0.999):
    """A function (averages, values, count): average <- decay * average + (1 - decay) * value.

    Raises:
        ValueError: ``decay`` outside [0, 1].
    """
    _check_decay(decay)

    @torch.no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, value in zip(ema_param_list, current_param_list, strict=True):
            if _can_average(average):
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(average * decay + value * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn():
    """A function (averages, values, count): average <- (count * average + value) / (count + 1)."""

    @torch.no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        weight = 1 / (num_averaged + 1)
        for average, value in zip(averaged_param_list, current_param_list, strict=True):
            if average.dtype in (torch.float32, torch.float64):
                # (A number that Python doesn't read, so that compiled steps can compute it.)
                average.lerp_(value, weight.to(average.dtype))
            elif _can_average(average):
                average.lerp_(value, float(weight))
            else:
                average.copy_(average + (value - average) * weight)

    return swa_update


def get_ema_avg_fn(decay=0.999):
    """A function (average, value, count) -> decay * average + (1 - decay) * value.

    Raises:
        ValueError: ``decay`` outside [0, 1].
    """
    _check_decay(decay)

    @torch.no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """A function (average, value, count) -> average + (value - average) / (count + 1)."""

    @torch.no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are running averages of the model's.

    Args:
        model (Module): what to average.
        device (optional): where the averages are kept.
        avg_fn (function, optional): (average, value, count) -> new average, tensor by tensor;
            default the equal mean.
        multi_avg_fn (function, optional): (averages, values, count), in place, for all tensors at
            once.
        use_buffers (bool): average the buffers too; otherwise they are copied from the model.

    Attributes:
        module: the averaged copy.
        n_averaged (Tensor): number of models averaged so far, int64.

    Raises:
        AssertionError: both functions are given.

    Source: Izmailov et al., Averaging weights leads to wider optima and better generalization,
    2018.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", torch.tensor(0, dtype=torch.long, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def _values(self, module):
        if self.use_buffers:
            return itertools.chain(module.parameters(), module.buffers())
        return module.parameters()

    def update_parameters(self, model):
        """Take the present parameters of ``model`` into the averages."""
        averages = list(self._values(self.module))
        values = [
            value.detach().to(average.device)
            for average, value in zip(averages, self._values(model), strict=True)
        ]
        averages = [average.detach() for average in averages]
        count = self.n_averaged
        if count == 0:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(averages, values, count.to(averages[0].device))
        elif self.avg_fn is not None:
            for average, value in zip(averages, values, strict=True):
                average.copy_(self.avg_fn(average, value, count.to(average.device)))
        else:
            get_swa_multi_avg_fn()(averages, values, count.to(averages[0].device))
        if not self.use_buffers:
            for mine, other in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(other.detach().to(mine.device))
        self.n_averaged += 1


@torch.no_grad()
def update_bn(loader, model, device=None):
    """Recompute the running statistics of batch normalization from all batches of a loader.

    Args:
        loader: iterable of batches; of a list or tuple the first element is the input.
        model (Module): run in train mode; its mode is restored.
        device (optional): where to move each batch.
    """
    from rushlight.nn.modules.batchnorm import _BatchNorm

    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # a cumulative mean
    for batch in loader:
        if isinstance(batch, (list, tuple)):
            batch = batch[0]
        if device is not None:
            batch = batch.to(device)
        model(batch)
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Go from the present learning rate to ``swa_lr`` in ``anneal_epochs`` steps, and stay there.

    Args:
        optimizer (Optimizer): whose groups to change.
        swa_lr (float or list of float): the lr to reach; a list has one a group.
        anneal_epochs (int): number of steps, >= 0.
        anneal_strategy (str): ``"cos"`` or ``"linear"``.
        last_epoch (int): index of the last step done, -1 to start.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1
    ):
        for lr, group in zip(
            one_per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True
        ):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(
                f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}"
            )
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t):
        """How far the way is done, from 0 to 1, after the share t of the steps."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def _weight(self, step):
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self):
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, weight = self._weight(step - 1), self._weight(step)
        lrs = []
        for group in self.optimizer.param_groups:
            lr, target = group["lr"], group["swa_lr"]
            # Where this way began, were the present lr on it.
            start = target if before == 1 else (lr - before * target) / (1 - before)
            lrs.append(copy_of(target * weight + start * (1 - weight)))
        return lrs
