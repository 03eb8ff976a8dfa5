"""Adafactor."""

from functools import partial

from numpy import ndarray

import rushlight as torch
from rushlight.optim import phased
from rushlight.optim.factored import factored_plan
from rushlight.optim.optimizer import (
    Optimizer,
    _check_lr,
    _closure_loss,
    _number,
    _scalar_dtype,
)

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    r"""Adafactor: Adam's second moment of a matrix, kept as its row and column means.

    At step t, with rho = min(lr, 1 / sqrt(t)) and alpha = max(eps2, RMS(p)) rho: the means R of
    g^2 over rows and C over columns are averaged with the weight t^beta2_decay, V = R C / mean(R),
    U = g / max(sqrt(V), eps1) and p <- p - alpha U / max(1, RMS(U) / d).  Vectors keep all of V.

    Args:
        params: real parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): largest relative step size, >= 0.
        beta2_decay (float): see above, <= 0.
        eps (pair of float or None and float): eps1 (None: the dtype's machine epsilon) and eps2,
            >= 0.
        d (float): largest root mean square of a step before it is scaled down, >= 1.
        weight_decay (float): decoupled, as in AdamW, >= 0.
        foreach (bool, optional): how to run; the results are the same.
        maximize (bool): ascend instead of descend.

    Raises:
        ValueError: an option out of its range.
        RuntimeError: a complex parameter or a sparse gradient, at ``step``.

    Source: Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory cost, 2018.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        foreach=None,
        maximize=False,
    ):
        _check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            dict(
                lr=lr,
                beta2_decay=beta2_decay,
                eps=eps,
                d=d,
                weight_decay=weight_decay,
                foreach=foreach,
                maximize=maximize,
            ),
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("foreach", None)
            for p in group["params"]:
                step = self.state.get(p, {}).get("step")
                if step is not None and not isinstance(step, torch.Tensor):
                    self.state[p]["step"] = torch.tensor(float(step), dtype=_scalar_dtype())

    def step(self, closure=None):
        """Update every parameter that has a gradient; returns the closure's loss, or None."""
        loss = _closure_loss(closure)
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group):
        members = [(p, p.grad) for p in group["params"] if p.grad is not None]
        for p, g in members:
            if p.is_complex():
                raise RuntimeError("Adafactor does not support complex parameters")
            if g.is_sparse:
                raise RuntimeError("Adafactor does not support sparse gradients")
        native, told = phased.listening()
        batches, rest = {}, []
        for p, g in members:
            state = self.state[p]
            if not state:
                self._init_state(g, state)
            if native and phased.is_plain(p, g) and type(state["step"]._a) is ndarray:
                batches.setdefault((state["step"]._a.item() + 1, p.dtype), []).append((p, g, state))
            else:
                rest.append(p)
        plan = None
        for (t, dtype), batch in batches.items():
            plan = self._step_plain(group, t, dtype, batch)
            if plan is None:
                rest += [p for p, _, _ in batch]
        with torch.no_grad():
            for p in rest:
                self._update(group, p)
        if told and members:
            again = partial(self._step_group, group)
            if not rest and len(batches) == 1:
                again = phased.planned(self, group, members, plan, lambda t: self._numbers(group, t, dtype),
                                       [self.state[p]["step"]._a for p, _ in members])
            changes = [x for p, _ in members for x in (p, *self.state[p].values())]
            phased.tell(self, group, members, rest, changes, again)

    def _init_state(self, g, state):
        state["step"] = torch.tensor(0.0, dtype=_scalar_dtype())
        if g.dim() > 1:
            row_shape, column_shape = list(g.shape), list(g.shape)
            row_shape[-1] = column_shape[-2] = 1
            state["row_var"] = g.new_zeros(row_shape)
            state["col_var"] = g.new_zeros(column_shape)
        else:
            state["variance"] = torch.zeros_like(g)

    def _step_plain(self, group, t, dtype, batch):
        """Step t of plain parameters in one native call: its plan; None if that can't be."""
        slots = [[state[name] for name in (("row_var", "col_var") if p._a.ndim > 1 else ("variance",))]
                 for p, _, state in batch]
        arrays = [x for (p, _, _), found in zip(batch, slots, strict=True) for x in (p._a, *[s._a for s in found])]
        plan = phased.plan_for(self, group, "adafactor", arrays, lambda: factored_plan(batch, slots))
        if plan is None:
            return None
        plan.numbers[:] = self._numbers(group, t, dtype)
        if not plan.run([g._a for _, g, _ in batch]):
            return None
        for (p, _, state), found in zip(batch, slots, strict=True):
            step = state["step"]
            step._a[()] = t
            for x in (p, step, *found):
                x._storage.version += 1
        return plan

    def _numbers(self, group, t, dtype):
        """The numbers of step t, as ``compiler/templates/factored`` lists them."""
        weight = t ** group["beta2_decay"]
        lr, (eps1, eps2) = _number(group["lr"]), group["eps"]
        if eps1 is None:
            eps1 = torch.finfo(dtype).eps
        rho = min(lr, 1 / t**0.5)
        return (weight, 1 - weight, weight >= 0.5, eps1, eps1 * eps1, eps2, rho if group["maximize"] else -rho,
                1 - lr * group["weight_decay"], group["d"])

    def _update(self, group, p):
        """The step of one parameter with tensor operations."""
        g, state = p.grad, self.state[p]
        if group["maximize"]:
            g = -g

        state["step"] += 1
        t = state["step"].item()
        lr = _number(group["lr"])
        eps1, eps2 = group["eps"]
        if eps1 is None:
            eps1 = torch.finfo(p.dtype).eps
        weight = t ** group["beta2_decay"]
        size = p.numel() ** 0.5
        alpha = max(eps2, p.norm(2).item() / size) * min(lr, 1 / t**0.5)
        if group["weight_decay"] != 0:
            p.mul_(1 - lr * group["weight_decay"])

        if g.dim() > 1:
            rows, columns = state["row_var"], state["col_var"]
            rows.lerp_(_mean_square(g, -1), weight)
            columns.lerp_(_mean_square(g, -2), weight)
            variance = rows @ columns
            variance.div_(rows.mean(dim=-2, keepdim=True).clamp_(min=eps1))
        else:
            state["variance"].lerp_(g * g, weight)
            variance = state["variance"].clone()
        update = variance.clamp_(min=eps1 * eps1).rsqrt_().mul_(g)
        too_large = max(1.0, update.norm(2).item() / (size * group["d"]))
        p.add_(update, alpha=-alpha / too_large)


def _mean_square(g, dim):
    """The mean of g^2 over a dimension, by way of the norm."""
    return torch.norm(g, dim=dim, keepdim=True).square_().div_(g.size(dim))
