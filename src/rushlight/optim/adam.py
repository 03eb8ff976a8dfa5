"""Adam and AdamW."""

import functools

import rushlight as torch
from rushlight.optim.fused import COUNTED
from rushlight.optim.optimizer import _check_at_least_zero, _check_betas, _check_lr, _number
from rushlight.optim.pointwise import (
    Formula,
    PointwiseOptimizer,
    new_step,
    number_unless,
    zeros_like,
)

__all__ = ["Adam", "AdamW"]

_SLOTS = {
    False: ("exp_avg", "exp_avg_sq"),
    True: ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
}


@functools.cache
def _formula(decay, decoupled, amsgrad, maximize, fast_average):
    def update(s, p, g, m, v, *rest):
        if amsgrad:
            v_max, *rest = rest
        weight_decay, one_minus_beta1, beta2, one_minus_beta2, step_size, unroot, eps = rest
        if maximize:
            g = -g
        if decay and decoupled:
            p = p * weight_decay
        elif decay:
            g = g + weight_decay * p
        m = lerp(m, g, one_minus_beta1, fast_average)
        v = v * beta2 + one_minus_beta2 * g * g
        if amsgrad:
            v_max = s.maximum(v_max, v)
        denominator = s.sqrt(v_max if amsgrad else v) * unroot + eps
        p = p - step_size * (m / denominator)
        return (p, m, v, v_max) if amsgrad else (p, m, v)

    return Formula(
        update,
        _SLOTS[bool(amsgrad)],
        "weight_decay one_minus_beta1 beta2 one_minus_beta2 step_size unroot eps",
    )


def lerp(start, end, weight, near_end):
    """start + weight (end - start), computed from the nearer end (``near_end``: weight >= 1/2)."""
    if near_end:
        return end - (end - start) * (1 - weight)
    return start + weight * (end - start)


class Adam(PointwiseOptimizer):
    r"""Adam: steps along a running mean of gradients, scaled by a running mean of their squares.

    At step t: m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2 and
    p <- p - lr m' / (sqrt(v') + eps), with m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t).
    ``weight_decay`` adds weight_decay * p to g; decoupled it multiplies p by 1 - lr weight_decay.
    ``amsgrad`` uses the largest v seen.

    Args:
        params: parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        betas (pair of floats or of Tensors): beta1 and beta2, in [0, 1).
        eps (float): keeps the denominator from zero, >= 0.
        weight_decay (float): see above, >= 0.
        amsgrad (bool): see above.
        foreach, fused (bool, optional): how to run; the results are the same.
        maximize (bool): ascend instead of descend.
        capturable (bool): for steps recorded on a GPU; CPU parameters are refused.
        differentiable (bool): let gradients flow through the step.
        decoupled_weight_decay (bool): weight decay as in AdamW.

    Raises:
        ValueError: an option out of its range.
        RuntimeError: ``fused`` together with ``foreach`` or ``differentiable``.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015; Reddi et al., On the
    convergence of Adam and beyond, 2018 (amsgrad).
    """

    _sparse_message = (
        "Adam does not support sparse gradients, please consider SparseAdam instead"
    )
    _later = {"amsgrad": False, "maximize": False, "foreach": None, "capturable": False,
              "differentiable": False, "decoupled_weight_decay": False, "fused": None}

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        if isinstance(lr, torch.Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        _check_lr(lr)
        _check_at_least_zero(eps=eps)
        _check_betas(betas)
        _check_at_least_zero(weight_decay=weight_decay)
        tensors = [isinstance(beta, torch.Tensor) for beta in betas]
        if tensors[0] != tensors[1]:
            raise ValueError("betas must be either both floats or both Tensors")
        for i, beta in enumerate(betas):
            if tensors[i] and foreach and not capturable:
                raise ValueError(
                    f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True"
                )
            if tensors[i] and beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                amsgrad=amsgrad,
                maximize=maximize,
                foreach=foreach,
                capturable=capturable,
                differentiable=differentiable,
                fused=fused,
                decoupled_weight_decay=decoupled_weight_decay,
            ),
        )
        self._check_fused(fused, foreach, differentiable)

    def _init_state(self, group, p, state):
        state["step"] = new_step(group, p.device)
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(p)

    def _memory(self, group):
        return _SLOTS[bool(group["amsgrad"])], COUNTED

    def _rule(self, group, t):
        differentiable = group["differentiable"]
        lr = number_unless(differentiable, group["lr"])
        beta1, beta2 = group["betas"]
        if type(beta1) is not float and not differentiable:
            beta1, beta2 = _number(beta1), _number(beta2)
        weight_decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        formula = _formula(
            weight_decay != 0,
            decoupled,
            group["amsgrad"],
            group["maximize"],
            bool(beta1 <= 0.5),
        )
        if decoupled:
            weight_decay = 1 - lr * weight_decay
        unroot = (1 - beta2**t) ** -0.5
        step_size = lr / (1 - beta1**t)
        return formula, (weight_decay, 1 - beta1, beta2, 1 - beta2, step_size, unroot, group["eps"])


class AdamW(Adam):
    r"""Adam with decoupled weight decay: p <- p (1 - lr weight_decay), then the step of Adam.

    Args and errors are Adam's; ``weight_decay`` defaults to 0.01.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
        foreach=None,
        capturable=False,
        differentiable=False,
        fused=None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
