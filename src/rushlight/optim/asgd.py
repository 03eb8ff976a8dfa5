"""Averaged stochastic gradient descent."""

import functools

import rushlight as torch
from rushlight.optim import fused
from rushlight.optim.fused import ASKED
from rushlight.optim.optimizer import (
    _check_at_least_zero,
    _check_lr,
    _number,
    _scalar_dtype,
)
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    new_step,
    zeros_like,
)

__all__ = ["ASGD"]


@functools.cache
def _formula(decay, averaging, maximize):
    def update(s, p, g, average, weight_decay, shrink, eta, mu):
        if maximize:
            g = -g
        if decay:
            g = g + weight_decay * p
        p = p * shrink - eta * g
        average = average + (p - average) * mu if averaging else p
        return p, average

    return Formula(update, ("ax",), "weight_decay shrink eta mu")


class ASGD(PointwiseOptimizer):
    r"""Averaged stochastic gradient descent.

    At step t: p <- p (1 - lambd eta) - eta g with eta = lr / (1 + lambd lr (t - 1))^alpha (at the
    first step lr), and the average ax <- ax + mu (p - ax) with mu = 1 / max(1, t - 1 - t0).

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): first step size, >= 0.
        lambd (float): decay term.
        alpha (float): power of the decay of eta.
        t0 (float): step at which averaging begins.
        weight_decay (float): factor of the L2 penalty, >= 0.
        foreach, maximize, differentiable, capturable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """

    _sparse_message = "ASGD does not support sparse gradients"
    _later = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}
    _counts = ("step", "eta", "mu")
    _capturable_tensors = "params, mus, etas, and state_steps"

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        _check_lr(lr)
        _check_at_least_zero(weight_decay=weight_decay)
        super().__init__(
            params,
            dict(
                lr=lr,
                lambd=lambd,
                alpha=alpha,
                t0=t0,
                weight_decay=weight_decay,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
                capturable=capturable,
            ),
        )

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["eta"] = torch.tensor(_number(group["lr"]), dtype=_scalar_dtype())
        state["mu"] = torch.ones((), dtype=_scalar_dtype())
        state["ax"] = zeros_like(p)

    def _tick(self, group, p, state):
        """eta and mu of this step; those of the next one go into the state."""
        if not state:
            self._init_state(group, p, state)
        t = super()._tick(group, p, state)
        eta, mu = state["eta"], state["mu"]
        tick = eta.item(), mu.item()
        lr = _number(group["lr"])
        fused.store(eta, lr / (1 + group["lambd"] * lr * t) ** group["alpha"])
        fused.store(mu, 1 / max(1, t - group["t0"]))
        return tick

    def _memory(self, group):
        return ("ax",), ASKED

    def _rule(self, group, tick):
        eta, mu = tick
        weight_decay = group["weight_decay"]
        formula = _formula(weight_decay != 0, mu != 1, group["maximize"])
        return formula, (weight_decay, 1 - group["lambd"] * eta, eta, mu)
