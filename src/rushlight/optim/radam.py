"""RAdam."""

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

__all__ = ["RAdam"]


@functools.cache
def _formula(decay, decoupled, rectified, maximize, fast_average):
    def update(
        s, p, g, m, v,
        weight_decay, one_minus_beta1, beta2, one_minus_beta2, step_size, factor, eps,
    ):  # fmt: skip
        if maximize:
            g = -g
        if decay and decoupled:
            p = p * weight_decay
        elif decay:
            g = g + weight_decay * p
        m = lerp(m, g, one_minus_beta1, fast_average)
        v = v * beta2 + one_minus_beta2 * g * g
        if rectified:
            return p - step_size * m * (factor / (s.sqrt(v) + eps)), m, v
        return p - step_size * m, m, v

    return Formula(
        update,
        ("exp_avg", "exp_avg_sq"),
        "weight_decay one_minus_beta1 beta2 one_minus_beta2 step_size factor eps",
    )


class RAdam(PointwiseOptimizer):
    r"""Adam with a rectified adaptive rate: plain momentum until the variance can be trusted.

    With rho_inf = 2 / (1 - beta2) - 1 and rho_t = rho_inf - 2 t beta2^t / (1 - beta2^t), a step
    with rho_t > 5 is Adam's times r_t, any other is p <- p - lr m', where r_t^2 is
    (rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t).

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        betas (pair of floats): beta1 and beta2, in [0, 1).
        eps (float): keeps the denominator from zero, >= 0.
        weight_decay (float): see Adam, >= 0.
        decoupled_weight_decay (bool): weight decay as in AdamW.
        foreach, maximize, capturable, differentiable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Liu et al., On the variance of the adaptive learning rate and beyond, 2020.
    """

    _sparse_message = "RAdam does not support sparse gradients"
    _later = {"foreach": None, "maximize": False, "differentiable": False,
              "decoupled_weight_decay": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
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
                maximize=maximize,
                foreach=foreach,
                capturable=capturable,
                decoupled_weight_decay=decoupled_weight_decay,
                differentiable=differentiable,
            ),
        )

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)

    def _memory(self, group):
        return ("exp_avg", "exp_avg_sq"), COUNTED

    def _rule(self, group, t):
        lr = number_unless(group["differentiable"], group["lr"])
        beta1, beta2 = group["betas"]
        weight_decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        correction2 = 1 - beta2**t
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / correction2
        factor = 0.0
        if length > 5:
            factor = correction2**0.5 * (
                ((length - 4) * (length - 2) * longest)
                / ((longest - 4) * (longest - 2) * length)
            ) ** 0.5
        formula = _formula(
            weight_decay != 0, decoupled, length > 5, group["maximize"], beta1 <= 0.5
        )
        if decoupled:
            weight_decay = 1 - lr * weight_decay
        step_size = lr / (1 - beta1**t)
        return formula, (
            weight_decay, 1 - beta1, beta2, 1 - beta2, step_size, factor, group["eps"],
        )  # fmt: skip
