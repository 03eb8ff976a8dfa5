"""Adam for sparse gradients."""

import rushlight as torch
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
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not p.grad.is_sparse:
                    raise RuntimeError(
                        "SparseAdam does not support dense gradients, please consider Adam instead"
                    )
                self._step_parameter(group, p, p.grad)
        return loss

    def _step_parameter(self, group, p, g):
        with torch.no_grad():
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                state["exp_avg_sq"] = torch.zeros_like(p, memory_format=torch.preserve_format)
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
            number = state["step"]
            size = float(group["lr"]) * (1 - beta2 ** number) ** 0.5 / (1 - beta1 ** number)
            denominator = (old_second + step_second).sqrt_().add_(group["eps"])
            p.add_(entries((old_first + step_first).div_(denominator)), alpha=-size)
