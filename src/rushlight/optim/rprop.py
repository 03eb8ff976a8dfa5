"""Resilient backpropagation."""

import functools

import rushlight as torch
from rushlight.optim.fused import COUNTED
from rushlight.optim.optimizer import _check_lr, _number
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    new_step,
    zeros_like,
)

__all__ = ["Rprop"]


@functools.cache
def _formula(maximize):
    def update(s, p, g, previous, size, shrink, grow, smallest, largest):
        if maximize:
            g = -g
        agreement = g * previous
        size = s.where(agreement > 0, size * grow, s.where(agreement < 0, size * shrink, size))
        size = s.clamp(size, smallest, largest)
        # After a change of sign the step is left out, and the next one counts as a fresh start.
        g = s.where(agreement < 0, 0.0, g)
        return p - s.sign(g) * size, g, size

    return Formula(update, ("prev", "step_size"), "shrink grow smallest largest")


class Rprop(PointwiseOptimizer):
    r"""Resilient backpropagation: only the sign of a gradient counts.

    Each element has its own step size d.  Where the gradient keeps its sign d grows by eta+, where
    it changes d shrinks by eta- and the element waits; then p <- p - sign(g) d.

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): the first d, >= 0.
        etas (pair of floats): eta- in (0, 1) and eta+ > 1.
        step_sizes (pair of floats): least and largest d.
        capturable, foreach, maximize, differentiable: as in Adam.

    Raises:
        ValueError: an option out of its range.

    Source: Riedmiller and Braun, A direct adaptive method for faster backpropagation learning,
    1993.
    """

    _sparse_message = "Rprop does not support sparse gradients"
    _later = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=1e-2,
        etas=(0.5, 1.2),
        step_sizes=(1e-6, 50),
        *,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        _check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(
            params,
            dict(
                lr=lr,
                etas=etas,
                step_sizes=step_sizes,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
                capturable=capturable,
            ),
        )

    def _init_state(self, group, p, state):
        lr = _number(group["lr"])
        state["step"] = new_step(group, p.device)
        state["prev"] = zeros_like(p)
        state["step_size"] = torch.full_like(p.grad, complex(lr, lr) if p.is_complex() else lr)

    def _memory(self, group):
        return ("prev", "step_size"), COUNTED

    def _rule(self, group, _):
        return _formula(group["maximize"]), (*group["etas"], *group["step_sizes"])
