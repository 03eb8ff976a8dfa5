"""Adam for sparse gradients."""

import rushlight as torch
from rushlight.optim import phased
from rushlight.optim.optimizer import Optimizer, _check_betas, _closure_loss

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    r"""Adam that updates only the rows for which a sparse gradient has entries.

    Args:
        params: dense real parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, > 0.
        betas (pair of floats): beta1 and beta2, in [0, 1).
        eps (float): keeps the denominator from zero, > 0.
        maximize (bool): ascend instead of descend.

    Raises:
        ValueError: an option out of its range, a sparse or a complex parameter.
        RuntimeError: a dense gradient, at ``step``.

    Moments are kept for all rows, and move only where a gradient has entries; the bias correction counts steps of the
    parameter. Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        if isinstance(lr, torch.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 < lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        _check_betas(betas)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))
        sparse, complex_ = [], []
        for i, group in enumerate(self.param_groups):
            for j, p in enumerate(group["params"]):
                if p.is_sparse:
                    sparse.append([i, j])
                if p.is_complex():
                    complex_.append([i, j])
        if sparse:
            raise ValueError(
                f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors"
            )
        if complex_:
            raise ValueError(
                f"Complex params at indices {complex_}: SparseAdam does not support complex "
                "parameters"
            )

    def step(self, closure=None):
        """Refuse dense gradients; returns the closure's loss, or None."""
        loss = _closure_loss(closure)
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group):
        from rushlight.optim import touched

        members = [(p, p.grad) for p in group["params"] if p.grad is not None]
        for _, g in members:
            if not g.is_sparse:
                raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        native, told = phased.listening()
        batches, rest = {}, []
        for p, g in members:
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                state["exp_avg_sq"] = torch.zeros_like(p, memory_format=torch.preserve_format)
            if native and touched.is_plain(p, g) and phased.are_plain(
                    p, [state["exp_avg"], state["exp_avg_sq"]], [p._a.shape] * 2):
                batches.setdefault(p.dtype, []).append((p, g._a, state))
            else:
                rest.append((p, g))
        for batch in batches.values():
            if not self._step_plain(group, batch):
                rest += [(p, p.grad) for p, _, _ in batch]
        if told:
            changes = [x for p, _ in members for x in (p, self.state[p]["exp_avg"], self.state[p]["exp_avg_sq"])]
            phased.tell_rows(self, group, members, lambda: changes, lambda: self._step_rest(group, rest))
        else:
            self._step_rest(group, rest)

    def _step_rest(self, group, members):
        for p, g in members:
            self._step_parameter(group, p, g)

    def _step_size(self, group, step):
        beta1, beta2 = group["betas"]
        return float(group["lr"]) * (1 - beta2 ** step) ** 0.5 / (1 - beta1 ** step)

    def _step_plain(self, group, batch):
        """The step of plain parameters of one dtype in one native call; False if that can't be."""
        from rushlight.optim import touched

        sets = [(p._a, state["exp_avg"]._a, state["exp_avg_sq"]._a, c.sparse_dim) for p, c, state in batch]
        plan = phased.plan_for(self, group, ("touched", tuple(dims for *_, dims in sets)),
                               [a for arrays in sets for a in arrays[:3]], lambda: touched.TouchedPlan(sets))
        beta1, beta2 = group["betas"]
        plan.numbers[:] = 1 - beta1, 1 - beta2, group["eps"], -1.0 if group["maximize"] else 1.0
        sizes = [self._step_size(group, state["step"] + 1) for _, _, state in batch]
        if not plan.step([c for _, c, _ in batch], sizes):
            return False
        for p, c, state in batch:
            state["step"] += 1
            if c.nnz:
                for x in (p, state["exp_avg"], state["exp_avg_sq"]):
                    x._storage.version += 1
        return True

    def _step_parameter(self, group, p, g):
        with torch.no_grad():
            state = self.state[p]
            state["step"] += 1
            g = (-g if group["maximize"] else g).coalesce()
            if not g.values().numel():
                return
            rows, values, shape = g.indices(), g.values(), p.shape
            beta1, beta2 = group["betas"]
            first, second = state["exp_avg"], state["exp_avg_sq"]

            def entries(v):
                return torch.sparse_coo_tensor(rows, v, shape, is_coalesced=True)
            old_first, old_second = first.sparse_mask(g).values(), second.sparse_mask(g).values()
            step_first = (values - old_first) * (1 - beta1)
            step_second = (values * values - old_second) * (1 - beta2)
            first.add_(entries(step_first))
            second.add_(entries(step_second))
            size = self._step_size(group, state["step"])
            denominator = (old_second + step_second).sqrt_().add_(group["eps"])
            p.add_(entries((old_first + step_first).div_(denominator)), alpha=-size)
