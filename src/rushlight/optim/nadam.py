"""NAdam."""

import functools

import rushlight as torch
from rushlight.optim import fused
from rushlight.optim.adam import lerp
from rushlight.optim.fused import ASKED
from rushlight.optim.optimizer import (
    _check_at_least_zero,
    _check_betas,
    _check_lr,
    _scalar_dtype,
)
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    new_step,
    number_unless,
    zeros_like,
)

__all__ = ["NAdam"]


@functools.cache
def _formula(decay, decoupled, maximize, fast_average):
    def update(
        s, p, g, m, v,
        weight_decay, one_minus_beta1, beta2, one_minus_beta2, correction2,
        grad_size, average_size, eps,
    ):  # fmt: skip
        if maximize:
            g = -g
        if decay and decoupled:
            p = p * weight_decay
        elif decay:
            g = g + weight_decay * p
        m = lerp(m, g, one_minus_beta1, fast_average)
        v = v * beta2 + one_minus_beta2 * g * g
        denominator = s.sqrt(v / correction2) + eps
        p = p - grad_size * (g / denominator)
        return p - average_size * (m / denominator), m, v

    return Formula(
        update,
        ("exp_avg", "exp_avg_sq"),
        "weight_decay one_minus_beta1 beta2 one_minus_beta2 correction2 grad_size average_size eps",
    )


class NAdam(PointwiseOptimizer):
    r"""Adam with Nesterov momentum.

    At step t, with mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2) and M_t the product of mu_1 to
    mu_t: p <- p - lr [(1 - mu_t) / (1 - M_t) g + mu_{t+1} / (1 - M_{t+1}) m] / (sqrt(v') + eps),
    where m and v' are Adam's.

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        betas (pair of floats): beta1 and beta2, in [0, 1).
        eps (float): keeps the denominator from zero, >= 0.
        weight_decay (float): see Adam, >= 0.
        momentum_decay (float): how fast mu approaches beta1, >= 0.
        decoupled_weight_decay (bool): weight decay as in AdamW.
        foreach, maximize, capturable, differentiable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Dozat, Incorporating Nesterov momentum into Adam, 2016.
    """

    _sparse_message = "NAdam does not support sparse gradients"
    _later = {"maximize": False, "foreach": None, "capturable": False,
              "differentiable": False, "decoupled_weight_decay": False}
    _counts = ("step", "mu_product")
    _capturable_tensors = "params, mu_products and state_steps"

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
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
        _check_at_least_zero(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                momentum_decay=momentum_decay,
                decoupled_weight_decay=decoupled_weight_decay,
                maximize=maximize,
                foreach=foreach,
                capturable=capturable,
                differentiable=differentiable,
            ),
        )

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["mu_product"] = torch.ones((), dtype=_scalar_dtype())
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)

    @staticmethod
    def _mu(group, t):
        return group["betas"][0] * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"]))

    def _tick(self, group, p, state):
        """The step count and the product of the momenta up to now."""
        if not state:
            self._init_state(group, p, state)
        t = super()._tick(group, p, state)
        product = state["mu_product"]
        return t, fused.store(product, product.item() * self._mu(group, t))

    def _memory(self, group):
        return ("exp_avg", "exp_avg_sq"), ASKED

    def _rule(self, group, tick):
        t, product = tick
        lr = number_unless(group["differentiable"], group["lr"])
        beta1, beta2 = group["betas"]
        weight_decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        formula = _formula(weight_decay != 0, decoupled, group["maximize"], beta1 <= 0.5)
        if decoupled:
            weight_decay = 1 - lr * weight_decay
        next_mu = self._mu(group, t + 1)
        grad_size = lr * (1 - self._mu(group, t)) / (1 - product)
        average_size = lr * next_mu / (1 - product * next_mu)
        return formula, (
            weight_decay, 1 - beta1, beta2, 1 - beta2, 1 - beta2**t,
            grad_size, average_size, group["eps"],
        )  # fmt: skip
