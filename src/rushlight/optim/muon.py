"""Muon."""

import rushlight as torch
from rushlight.optim import phased
from rushlight.optim.optimizer import Optimizer, _check_lr, _closure_loss, _number
from rushlight.optim.orthogonal import orthogonal_plan

__all__ = ["Muon"]

MAX_STEPS = 100


def orthogonalize(matrix, coefficients, steps, eps):
    """The nearest semi-orthogonal matrix U V^T of a matrix U S V^T, roughly, in bfloat16.

    Each Newton-Schulz iteration maps X to a X + (b X X^T + c (X X^T)^2) X, which pushes all
    singular values towards 1; with the default coefficients they end between about 0.7 and 1.2.

    Args:
        matrix (Tensor): shape (rows, columns).
        coefficients (tuple of 3 floats): a, b and c.
        steps (int): number of iterations, below 100.
        eps (float): least norm to divide by.
    """
    if steps >= MAX_STEPS:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if matrix.dim() != 2:
        raise ValueError("Input tensor gradient must be a 2D matrix")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    x = matrix.bfloat16()
    tall = matrix.size(0) > matrix.size(1)
    if tall:
        x = x.T.contiguous()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def adjusted_lr(lr, how, shape):
    """The step size for a matrix of this shape.

    None or ``"original"``: lr sqrt(max(1, rows / columns)); ``"match_rms_adamw"``:
    0.2 lr sqrt(max(rows, columns)), which makes steps about as long as AdamW's.
    """
    rows, columns = shape[:2]
    if how == "match_rms_adamw":
        return lr * 0.2 * max(rows, columns) ** 0.5
    return lr * max(1, rows / columns) ** 0.5


class Muon(Optimizer):
    r"""Muon: momentum whose steps are orthogonalized, for the matrices of hidden layers.

    b <- mu b + (1 - mu) g, then p <- p (1 - lr weight_decay) - lr' ortho(b), or with ``nesterov``
    ortho((1 - mu) g + mu b); lr' is ``lr`` adjusted to the matrix's shape.

    Args:
        params: 2-D real parameters, (name, parameter) pairs or parameter groups.
        lr (float or 1-element Tensor): step size, >= 0.
        weight_decay (float): decoupled, >= 0.
        momentum (float): mu, >= 0.
        nesterov (bool): see above.
        ns_coefficients (tuple of 3 floats), ns_steps (int), eps (float): the iteration that
            orthogonalizes.
        adjust_lr_fn (str, optional): None, ``"original"`` or ``"match_rms_adamw"``.

    Raises:
        ValueError: an option out of its range, or a parameter that is not 2-D.
        RuntimeError: a complex parameter or a sparse gradient, at ``step``.

    Source: Jordan, Muon: an optimizer for hidden layers in neural networks, 2024; Liu et al., Muon
    is scalable for LLM training, 2025.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.7750, 2.0315),
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        _check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(
            params,
            dict(
                lr=lr,
                weight_decay=weight_decay,
                momentum=momentum,
                nesterov=nesterov,
                ns_coefficients=ns_coefficients,
                eps=eps,
                ns_steps=ns_steps,
                adjust_lr_fn=adjust_lr_fn,
            ),
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with size: "
                        f"{p.size()}"
                    )

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
                raise RuntimeError("Muon does not support complex parameters")
            if g.is_sparse:
                raise RuntimeError("Muon does not support sparse gradients")
        native, told = phased.listening()
        batch, rest = [], []
        for p, g in members:
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(g, memory_format=torch.preserve_format)
            plain = native and p.dtype is torch.float32 and phased.is_plain(p, g)
            (batch if plain else rest).append((p, g))
        plan = self._step_plain(group, batch) if batch else None
        if plan is None:
            batch, rest = [], members
        with torch.no_grad():
            for p, g in rest:
                self._update(group, p, g)
        if told and batch:
            changes = [x for p, _ in members for x in (p, self.state[p]["momentum_buffer"])]
            form = self._form(group)
            again = phased.planned(self, group, members, plan, lambda t: (
                self._numbers(group) if self._form(group) == form else None))
            phased.tell(self, group, members, rest, changes, again)

    def _form(self, group):
        """What the plan of a step depends on."""
        return tuple(group["ns_coefficients"]), group["ns_steps"], group["adjust_lr_fn"]

    def _numbers(self, group):
        """The numbers of a step, as ``compiler/templates/orthogonal`` lists them."""
        momentum, lr = group["momentum"], _number(group["lr"])
        return (1 - momentum, momentum, 1 - momentum >= 0.5, momentum, 1 - momentum, momentum >= 0.5,
                bool(group["nesterov"]), group["eps"], 1 - lr * group["weight_decay"], -lr)

    def _step_plain(self, group, batch):
        """The step of plain parameters in one native call: its plan; None if that can't be."""
        buffers = [self.state[p]["momentum_buffer"] for p, _ in batch]
        form = coefficients, steps, how = self._form(group)
        if len(coefficients) != 3 or not 0 <= steps < MAX_STEPS:
            return None
        arrays = [x for (p, _), b in zip(batch, buffers, strict=True) for x in (p._a, b._a)]
        plan = phased.plan_for(self, group, ("muon", *form), arrays, lambda: orthogonal_plan(
            batch, buffers, coefficients, steps, lambda shape: adjusted_lr(1.0, how, shape)))
        if plan is None:
            return None
        plan.numbers[:] = self._numbers(group)
        if not plan.run([g._a for _, g in batch]):
            return None
        for (p, _), b in zip(batch, buffers, strict=True):
            p._storage.version += 1
            b._storage.version += 1
        return plan

    def _update(self, group, p, g):
        """The step of one parameter with tensor operations."""
        buffer, momentum = self.state[p]["momentum_buffer"], group["momentum"]
        buffer.lerp_(g, 1 - momentum)
        update = g.lerp(buffer, momentum) if group["nesterov"] else buffer
        update = orthogonalize(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        lr = _number(group["lr"])
        p.mul_(1 - lr * group["weight_decay"])
        p.add_(update, alpha=-adjusted_lr(lr, group["adjust_lr_fn"], p.shape))
