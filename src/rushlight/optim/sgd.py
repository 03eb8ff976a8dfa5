"""Stochastic gradient descent, with momentum."""

import functools

import rushlight as torch
from rushlight.optim.fused import ALIKE, ASKED
from rushlight.optim.optimizer import _check_lr, _number
from rushlight.optim.pointwise import Formula, PointwiseOptimizer, number_unless

__all__ = ["SGD"]


@functools.cache
def _formula(decay, momentum, first, nesterov, maximize):
    def update(s, p, g, *rest):
        if momentum:
            buffer, *rest = rest
        lr, weight_decay, mu, undamped = rest
        if maximize:
            g = -g
        if decay:
            g = g + weight_decay * p
        if not momentum:
            return (p - lr * g,)
        buffer = g if first else mu * buffer + undamped * g
        g = g + mu * buffer if nesterov else buffer
        return p - lr * g, buffer

    return Formula(
        update, ("momentum_buffer",) if momentum else (), "lr weight_decay momentum undamped"
    )


class SGD(PointwiseOptimizer):
    r"""Stochastic gradient descent: p <- p - lr g.

    With momentum mu and dampening tau the step is along b <- mu b + (1 - tau) g, where the first b
    is g itself; with ``nesterov`` along g + mu b.  ``weight_decay`` adds weight_decay * p to g.

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        momentum (float): mu, >= 0.
        dampening (float): tau.
        weight_decay (float or Tensor): factor of the L2 penalty, >= 0.
        nesterov (bool): look ahead along the momentum; needs momentum > 0 and dampening 0.
        maximize (bool): ascend instead of descend.
        foreach, fused (bool, optional): how to run; the results are the same.
        differentiable (bool): let gradients flow through the step.

    Raises:
        ValueError: an option out of its range.
        RuntimeError: ``fused`` together with ``foreach`` or ``differentiable``.

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning,
    2013.
    """

    _foreach_differentiable = True
    _sparse_message = "SGD does not support sparse gradients yet"
    _later = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        _check_lr(lr)
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            dict(
                lr=lr,
                momentum=momentum,
                dampening=dampening,
                weight_decay=weight_decay,
                nesterov=nesterov,
                maximize=maximize,
                foreach=foreach,
                differentiable=differentiable,
                fused=fused,
            ),
        )
        self._check_fused(fused, foreach, differentiable)

    def _memory(self, group):
        # Without momentum nothing is remembered, and checkpoints have no entry for the parameter.
        return (("momentum_buffer",), ASKED) if group["momentum"] != 0 else ((), ALIKE)

    _settles = True

    def _tick(self, group, p, state):
        """Whether this is the first step with momentum, which fills the buffer."""
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.empty_like(
                p, memory_format=torch.preserve_format, requires_grad=False
            )
            return True
        return False

    def _takes_sparse(self, group):
        if group["fused"]:
            raise RuntimeError("`_fused_sgd` does not support sparse gradients")
        return True

    def _step_sparse(self, group, p, g, state, first):
        """The same steps, the buffer sparse as well."""
        with torch.no_grad():
            if group["maximize"]:
                g = -g
            if group["weight_decay"] != 0:
                g = g.add(p, alpha=group["weight_decay"])
            momentum = group["momentum"]
            if momentum != 0:
                buffer = state.get("momentum_buffer")
                if first or buffer is None:
                    buffer = state["momentum_buffer"] = g.detach().clone()
                else:
                    buffer.mul_(momentum).add_(g, alpha=1 - group["dampening"])
                g = g.add(buffer, alpha=momentum) if group["nesterov"] else buffer
            p.add_(g, alpha=-_number(group["lr"]))

    def _rule(self, group, first):
        differentiable, momentum = group["differentiable"], group["momentum"]
        lr = number_unless(differentiable, group["lr"])
        weight_decay = number_unless(differentiable, group["weight_decay"])
        decay = isinstance(weight_decay, torch.Tensor) or weight_decay != 0
        formula = _formula(decay, momentum != 0, first, group["nesterov"], group["maximize"])
        return formula, (lr, weight_decay, momentum, 1 - group["dampening"])
