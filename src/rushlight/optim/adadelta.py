"""Adadelta."""

import functools

from rushlight.optim.fused import COUNTED
from rushlight.optim.optimizer import _check_at_least_zero, _check_lr
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    new_step,
    number_unless,
    zeros_like,
)

__all__ = ["Adadelta"]


@functools.cache
def _formula(decay, maximize):
    def update(s, p, g, square, delta_square, lr, weight_decay, rho, one_minus_rho, eps):
        if maximize:
            g = -g
        if decay:
            g = g + weight_decay * p
        square = square * rho + one_minus_rho * g * g
        delta = s.sqrt(delta_square + eps) / s.sqrt(square + eps) * g
        delta_square = delta_square * rho + one_minus_rho * delta * delta
        return p - lr * delta, square, delta_square

    return Formula(update, ("square_avg", "acc_delta"), "lr weight_decay rho one_minus_rho eps")


class Adadelta(PointwiseOptimizer):
    r"""Adadelta: steps in the unit of the parameter, without a rate to choose.

    v <- rho v + (1 - rho) g^2, d = g sqrt(u + eps) / sqrt(v + eps), u <- rho u + (1 - rho) d^2 and
    p <- p - lr d.

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): factor of the step, >= 0.
        rho (float): how much of the running means is kept, in [0, 1].
        eps (float): keeps the roots from zero, >= 0.
        weight_decay (float): factor of the L2 penalty, >= 0.
        foreach, capturable, maximize, differentiable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Zeiler, ADADELTA: an adaptive learning rate method, 2012.
    """

    _sparse_message = "Adadelta does not support sparse gradients"
    _later = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}
    _capturable_devices = ("cuda", "xpu", "hpu", "privateuseone")

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        _check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        _check_at_least_zero(eps=eps, weight_decay=weight_decay)
        super().__init__(
            params,
            dict(
                lr=lr,
                rho=rho,
                eps=eps,
                weight_decay=weight_decay,
                maximize=maximize,
                capturable=capturable,
                foreach=foreach,
                differentiable=differentiable,
            ),
        )

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["square_avg"] = zeros_like(p)
        state["acc_delta"] = zeros_like(p)

    def _memory(self, group):
        return ("square_avg", "acc_delta"), COUNTED

    def _rule(self, group, _):
        lr = number_unless(group["differentiable"], group["lr"])
        weight_decay, rho = group["weight_decay"], group["rho"]
        formula = _formula(weight_decay != 0, group["maximize"])
        return formula, (lr, weight_decay, rho, 1 - rho, group["eps"])
