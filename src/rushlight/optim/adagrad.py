"""Adagrad."""

import functools

import rushlight as torch
from rushlight.optim.fused import COUNTED
from rushlight.optim.optimizer import _check_at_least_zero, _check_lr, _number, _scalar_dtype
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    number_unless,
)

__all__ = ["Adagrad"]


@functools.cache
def _formula(decay, maximize):
    def update(s, p, g, total, lr, weight_decay, eps):
        if maximize:
            g = -g
        if decay:
            g = g + weight_decay * p
        total = total + g * g
        return p - lr * (g / (s.sqrt(total) + eps)), total

    return Formula(update, ("sum",), "lr weight_decay eps")


class Adagrad(PointwiseOptimizer):
    r"""Adagrad: each gradient is divided by the root of the sum of all its squares so far.

    At step t: s <- s + g^2 and p <- p - lr' g / (sqrt(s) + eps) with
    lr' = lr / (1 + (t - 1) lr_decay).

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        lr_decay (float): see above, >= 0.
        weight_decay (float): factor of the L2 penalty, >= 0.
        initial_accumulator_value (float): s before the first step, >= 0.
        eps (float): keeps the denominator from zero, >= 0.
        foreach, maximize, differentiable, fused: as in Adam.

    Raises:
        ValueError: an option out of its range.
        RuntimeError: ``fused`` together with ``foreach`` or ``differentiable``.

    Source: Duchi et al., Adaptive subgradient methods for online learning and stochastic
    optimization, 2011.
    """

    _sparse_message = "Adagrad does not support sparse gradients yet"
    _later = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        _check_lr(lr)
        _check_at_least_zero(
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        super().__init__(
            params,
            dict(
                lr=lr,
                lr_decay=lr_decay,
                eps=eps,
                weight_decay=weight_decay,
                initial_accumulator_value=initial_accumulator_value,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
                fused=fused,
            ),
        )
        self._check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._init_state(group, p, self.state[p])

    def share_memory(self):
        """Move the state to shared memory, for training by several processes."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def _init_state(self, group, p, state):
        start = group["initial_accumulator_value"]
        state["step"] = torch.tensor(0.0, dtype=_scalar_dtype(group["fused"]))
        state["sum"] = torch.full_like(
            p, complex(start, start) if p.is_complex() else start,
            memory_format=torch.preserve_format,
        )

    def _takes_sparse(self, group):
        if group["fused"]:
            raise RuntimeError("`fused` does not support sparse gradients")
        return True

    def _step_sparse(self, group, p, g, state, first):
        """The same step where the gradient has entries."""
        if group["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        with torch.no_grad():
            state["step"] += 1
            lr = _number(group["lr"]) / (1 + (state["step"].item() - 1) * group["lr_decay"])
            g = (-g if group["maximize"] else g).coalesce()
            rows, values, shape = g.indices(), g.values(), p.shape
            state["sum"].add_(torch.sparse_coo_tensor(rows, values.pow(2), shape))
            deviation = state["sum"].sparse_mask(g).values().sqrt().add_(group["eps"])
            p.add_(torch.sparse_coo_tensor(rows, values / deviation, shape), alpha=-lr)

    def _memory(self, group):
        return ("sum",), COUNTED

    def _rule(self, group, t):
        lr = number_unless(group["differentiable"], group["lr"])
        weight_decay = group["weight_decay"]
        lr = lr / (1 + (t - 1) * group["lr_decay"])
        formula = _formula(weight_decay != 0, group["maximize"])
        return formula, (lr, weight_decay, group["eps"])
