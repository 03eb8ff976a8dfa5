"""Optimizers whose update is the same scalar formula at every element of a parameter.

An update is written once, as a Python function of scalars (a ``Formula``).  Called with tensors it
*is* the readable step, which serves every case (complex, mixed dtypes, differentiable, any
device).  Called with symbolic scalars it becomes a kernel that updates all parameters of a group
in one native call.
"""

import rushlight as torch
from rushlight.optim import fused
from rushlight.optim.optimizer import Optimizer, _closure_loss, _number, _scalar_dtype

_FUSED_DEVICES = ["mps", "cuda", "xpu", "hpu", "cpu", "mtia", "privateuseone"]


class Formula:
    """One variant of an update rule.

    ``update(s, p, g, *slots, *scalars)`` returns the new p and the new slots.  ``s`` has the
    functions (``s.sqrt``, ``s.maximum`` ...), ``p`` is the parameter, ``g`` its gradient,
    ``slots`` name the state tensors of the parameter's shape and ``scalars`` the numbers, in the
    order of the arguments.
    """

    def __init__(self, update, slots, scalars):
        self.update = update
        self.slots = tuple(slots.split())
        self.scalars = tuple(scalars.split())
        self.kernels = {}  # dtype -> native call, made when first needed

    def apply(self, p, g, state, scalars, differentiable):
        """One step of one parameter, with tensor operations."""
        slots = [state[name] for name in self.slots]
        values = [p, g, *slots]
        if p.is_complex():
            # An update acts on real and imaginary parts as on separate parameters.
            values = [torch.view_as_real(x) for x in values]
        with torch.set_grad_enabled(differentiable):
            new_p, *new_slots = self.update(torch, *values, *scalars)
            if differentiable:
                # In-place changes of the state would spoil what autograd saved of it.
                for name, new in zip(self.slots, new_slots, strict=True):
                    state[name] = torch.view_as_complex(new) if p.is_complex() else new
            else:
                for old, new in zip(values[2:], new_slots, strict=True):
                    if new is not old:
                        old.copy_(new)
            values[0].copy_(new_p)


class PointwiseOptimizer(Optimizer):
    """Base of the optimizers with a ``Formula``.

    A subclass says what a new parameter's state is (``_init_state``), what distinguishes the step
    of one parameter from that of another in the same group (``_tick``: usually the step count) and
    which formula with which numbers that means (``_rule``).
    """

    _sparse_message = None  # what to say about a sparse gradient
    _capturable_tensors = "params and state_steps"
    _capturable_devices = ("cuda", "xpu", "hpu", "privateuseone", "xla")
    _foreach_differentiable = False

    def _init_state(self, group, p, state):
        raise NotImplementedError

    def _state_of(self, group, p):
        """What is remembered of a parameter, made at its first step."""
        state = self.state[p]
        if not state:
            self._init_state(group, p, state)
        return state

    def _tick(self, group, p, state):
        """Advance the step count; what is returned selects the rule."""
        return fused.count_up(state["step"])

    def _rule(self, group, tick):
        """(formula, scalars) of this group at this tick."""
        raise NotImplementedError

    def step(self, closure=None):
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = None if closure is None else _closure_loss(closure)
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group):
        members = {}  # tick -> what steps alike
        last = same = None
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            if g.is_sparse:
                raise RuntimeError(self._sparse_message)
            state = self._state_of(group, p)
            tick = self._tick(group, p, state)
            if same is None or tick != last:
                same, last = members.setdefault(tick, []), tick
            same.append((p, g, state))
        if not members:
            return
        self._check_modes(group)
        differentiable = group["differentiable"]
        for tick, same in members.items():
            formula, scalars = self._rule(group, tick)
            rest = same if differentiable else fused.update(formula, same, scalars)
            for p, g, state in rest:
                formula.apply(p, g, state, scalars, differentiable)

    def _check_modes(self, group):
        """Refuse what cannot work."""
        if group["differentiable"] and group["foreach"] and not self._foreach_differentiable:
            raise AssertionError("_foreach ops don't support autograd")
        if group.get("fused"):
            for p in group["params"]:
                if p.grad is not None and not p.is_floating_point():
                    raise RuntimeError(
                        "`fused=True` requires all the params to be floating point Tensors of "
                        f"supported devices: {_FUSED_DEVICES} but {p.dtype} and {p.device.type}"
                    )
        if group.get("capturable"):
            for p in group["params"]:
                if p.grad is not None and p.device.type not in self._capturable_devices:
                    raise AssertionError(
                        f"If capturable=True, {self._capturable_tensors} must be on supported "
                        f"devices: {list(self._capturable_devices)}."
                    )

    def _check_fused(self, fused, foreach, differentiable):
        if fused:
            if differentiable:
                raise RuntimeError("`fused` does not support `differentiable`")
            if foreach:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
            self._step_supports_amp_scaling = True


def number_unless(differentiable, option):
    """An option as a Python number; in a differentiable step a tensor stays one."""
    return option if differentiable or type(option) is float else _number(option)


def new_step(group, device=None):
    """A zero step count."""
    if group.get("capturable") or group.get("fused"):
        return torch.zeros((), dtype=_scalar_dtype(group.get("fused")), device=device)
    return torch.tensor(0.0, dtype=_scalar_dtype())


def step_to_tensor(state, group):
    """Checkpoints of old versions hold the step count as a number: make it a tensor."""
    step = state.get("step")
    if step is not None and not isinstance(step, torch.Tensor):
        state["step"] = torch.tensor(float(step), dtype=_scalar_dtype(group.get("fused")))


def zeros_like(p):
    """A zero tensor of the parameter's shape, dtype and memory layout."""
    return torch.zeros_like(p, memory_format=torch.preserve_format)
