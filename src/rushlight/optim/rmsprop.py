"""RMSprop."""

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

__all__ = ["RMSprop"]


@functools.cache
def _slots(momentum, centered):
    return ("square_avg", *["momentum_buffer"] * momentum, *["grad_avg"] * centered)


@functools.cache
def _formula(decay, momentum, centered, maximize):
    def update(s, p, g, square, *rest):
        if momentum:
            buffer, *rest = rest
        if centered:
            mean, *rest = rest
        lr, weight_decay, alpha, one_minus_alpha, mu, eps = rest
        if maximize:
            g = -g
        if decay:
            g = g + weight_decay * p
        square = square * alpha + one_minus_alpha * g * g
        new = [square]
        if centered:
            mean = mean + one_minus_alpha * (g - mean)
            average = s.sqrt(square - mean * mean) + eps
        else:
            average = s.sqrt(square) + eps
        if momentum:
            buffer = mu * buffer + g / average
            new.append(buffer)
            p = p - lr * buffer
        else:
            p = p - lr * (g / average)
        if centered:
            new.append(mean)
        return (p, *new)

    return Formula(
        update, _slots(momentum, centered), "lr weight_decay alpha one_minus_alpha momentum eps"
    )


class RMSprop(PointwiseOptimizer):
    r"""RMSprop: each gradient is divided by the root of a running mean of its squares.

    v <- alpha v + (1 - alpha) g^2 and p <- p - lr g / (sqrt(v) + eps); ``centered`` takes the
    variance v - mean(g)^2 instead of v; with ``momentum`` mu the step is along b <- mu b + g /
    (sqrt(v) + eps).

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        alpha (float): how much of the running mean is kept, >= 0.
        eps (float): keeps the denominator from zero, >= 0.
        weight_decay (float): factor of the L2 penalty, >= 0.
        momentum (float): mu, >= 0.
        centered (bool): see above.
        capturable, foreach, maximize, differentiable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Tieleman and Hinton, lecture 6.5 of Neural networks for machine learning, 2012; Graves,
    Generating sequences with recurrent neural networks, 2013 (centered).
    """

    _sparse_message = "RMSprop does not support sparse gradients"
    _later = {"momentum": 0, "centered": False, "foreach": None, "maximize": False,
              "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        _check_lr(lr)
        _check_at_least_zero(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            dict(
                lr=lr,
                momentum=momentum,
                alpha=alpha,
                eps=eps,
                centered=centered,
                weight_decay=weight_decay,
                capturable=capturable,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
            ),
        )

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["square_avg"] = zeros_like(p)
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)

    def _memory(self, group):
        return _slots(group["momentum"] > 0, group["centered"]), COUNTED

    def _rule(self, group, _):
        lr = number_unless(group["differentiable"], group["lr"])
        weight_decay, alpha, momentum = group["weight_decay"], group["alpha"], group["momentum"]
        formula = _formula(weight_decay != 0, momentum > 0, group["centered"], group["maximize"])
        return formula, (lr, weight_decay, alpha, 1 - alpha, momentum, group["eps"])
