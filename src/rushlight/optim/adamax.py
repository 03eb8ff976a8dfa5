"""Adamax."""

import functools

from rushlight.optim.adam import lerp
from rushlight.optim.fused import COUNTED
from rushlight.optim.optimizer import _check_at_least_zero, _check_betas, _check_lr
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    new_step,
    number_unless,
    zeros_like,
)

__all__ = ["Adamax"]


@functools.cache
def _formula(decay, maximize, fast_average):
    def update(s, p, g, m, norm, step_size, weight_decay, one_minus_beta1, beta2, eps):
        if maximize:
            g = -g
        if decay:
            g = g + weight_decay * p
        m = lerp(m, g, one_minus_beta1, fast_average)
        norm = s.maximum(norm * beta2, abs(g) + eps)
        return p - step_size * (m / norm), m, norm

    return Formula(
        update, ("exp_avg", "exp_inf"), "step_size weight_decay one_minus_beta1 beta2 eps"
    )


class Adamax(PointwiseOptimizer):
    r"""Adam with the infinity norm: u <- max(beta2 u, \|g\| + eps) in place of sqrt(v).

    At step t: m <- beta1 m + (1 - beta1) g and p <- p - lr / (1 - beta1^t) m / u.

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        betas (pair of floats): beta1 and beta2, in [0, 1).
        eps (float): keeps u from zero, >= 0.
        weight_decay (float): factor of the L2 penalty, >= 0.
        foreach, maximize, differentiable, capturable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, section 7.1.
    """

    _sparse_message = "Adamax does not support sparse gradients"
    _later = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        _check_lr(lr)
        _check_at_least_zero(eps=eps)
        _check_betas(betas)
        _check_at_least_zero(weight_decay=weight_decay)
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
                capturable=capturable,
            ),
        )

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["exp_avg"] = zeros_like(p)
        state["exp_inf"] = zeros_like(p)

    def _memory(self, group):
        return ("exp_avg", "exp_inf"), COUNTED

    def _rule(self, group, t):
        lr = number_unless(group["differentiable"], group["lr"])
        beta1, beta2 = group["betas"]
        weight_decay = group["weight_decay"]
        formula = _formula(weight_decay != 0, group["maximize"], beta1 <= 0.5)
        step_size = lr / (1 - beta1**t)
        return formula, (step_size, weight_decay, 1 - beta1, beta2, group["eps"])
