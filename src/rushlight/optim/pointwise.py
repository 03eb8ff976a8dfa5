"""Optimizers whose update is the same scalar formula at every element of a parameter.

An update is written once, as a Python function of scalars (a ``Formula``).  Called with tensors it
*is* the readable step, which serves every case (complex, mixed dtypes, differentiable, any
device).  Called with symbolic scalars it becomes a kernel that updates all parameters of a group
in one native call.
"""

from numpy import ndarray

import rushlight as torch
from rushlight.autograd.modes import state as modes
from rushlight.optim import fused
from rushlight.optim.optimizer import Optimizer, _closure_loss, _number, _scalar_dtype
from rushlight.tensor import watch

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
        self.slots = slots
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
    _settles = False  # whether `_tick` gives False from the second step on
    _later = {}  # options that checkpoints of older versions lack, with what they were
    _counts = ("step",)  # what of the state these hold as numbers

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self._later.items():
                group.setdefault(name, value)
            for p in group["params"]:
                self._counts_to_tensors(self.state.get(p, {}), group)

    def _counts_to_tensors(self, state, group):
        for name in self._counts:
            value = state.get(name)
            if value is not None and not isinstance(value, torch.Tensor):
                state[name] = torch.tensor(float(value), dtype=_scalar_dtype(group.get("fused")))

    def _init_state(self, group, p, state):
        """Fill the empty state of a parameter at its first step."""
        raise NotImplementedError

    def _tick(self, group, p, state):
        """Advance the step count; what is returned selects the rule."""
        step = state["step"]
        return fused.store(step, step.item() + 1)

    def _memory(self, group):
        """(names of the state tensors of the parameters' shape, how the rule is found)."""
        raise NotImplementedError

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
        differentiable = group["differentiable"]
        slots, how = self._memory(group)
        if group["foreach"] or group.get("capturable"):
            self._check_modes(group)
        watched = watch.listener is not None and modes.special == 1
        if watched:
            watch.listener.settle()
        if differentiable or modes.special and not watched:
            rest = [(p, p.grad, None) for p in group["params"] if p.grad is not None]
            asked = False
        else:
            batches, rest = fused.gatherer(slots, how)(self, group)
            asked = how == fused.ASKED
            for tick, dtype, batch in batches:
                formula, scalars = self._rule(group, tick)
                kernel = formula.kernels.get(dtype)
                if kernel is None:
                    kernel = formula.kernels[dtype] = fused.make_kernel(formula, dtype)
                kernel(batch, scalars)
            if watched and getattr(watch.listener, "captures", True):
                if any(g.is_sparse for _, g, _ in rest):
                    return self._tell_sparse(group, slots, how, rest, asked)
                self._tell(group, slots, how, rest)
        if rest:
            self._step_one_by_one(group, rest, how, asked)

    def _tell_sparse(self, group, slots, how, rest, asked):
        """As `_tell`, where sparse gradients are among the `rest`, whose step hasn't been done."""
        from rushlight.optim import phased

        if not all(g.is_sparse for _, g, _ in rest):
            watch.listener.fail("an optimizer steps parameters that aren't plain tensors")
        members = [(p, p.grad) for p in group["params"] if p.grad is not None]
        phased.tell_rows(self, group, members, lambda: self._changed(members, slots, how),
                         lambda: self._step_one_by_one(group, rest, how, asked))

    def _changed(self, members, slots, how):
        """The dense tensors that a step of (parameter, gradient) members changes."""
        changes = [p for p, _ in members]
        if how != fused.ALIKE:
            names = slots if how != fused.COUNTED else (*slots, "step")
            for p, _ in members:
                state = self.state[p]
                changes += [state[name] for name in names]
        return [t for t in changes if type(t._a) is ndarray or not t.is_sparse]

    def _tell(self, group, slots, how, rest):
        """Let a capture know of the step just done: done again it is the step of whatever numbers there are then."""
        if rest:
            watch.listener.fail("an optimizer steps parameters that aren't plain tensors")
        members = [(p, p.grad) for p in group["params"] if p.grad is not None]
        changes = self._changed(members, slots, how)
        from rushlight.optim.planned import planned, unplanned

        step = planned(self, group, slots, how) or unplanned(lambda: self._step_group(group), changes)
        watch.listener.thunk(f"{type(self).__name__}.step", step, [g for _, g in members], changes)

    def _step_one_by_one(self, group, members, how, asked):
        """Step (parameter, gradient, tick) members with tensor operations."""
        for p, g, _ in members:
            if g.is_sparse and not self._takes_sparse(group):
                raise RuntimeError(self._sparse_message)
            if group.get("fused") and not p.is_floating_point():
                raise RuntimeError(
                    "`fused=True` requires all the params to be floating point Tensors of "
                    f"supported devices: {_FUSED_DEVICES} but {p.dtype} and {p.device.type}"
                )
        for p, g, tick in members:
            if g.is_sparse:
                self._step_sparse(group, p, g, self.state[p], asked and tick)
                continue
            state = self.state[p] if how != fused.ALIKE else {}
            if not state and how == fused.COUNTED:
                self._init_state(group, p, state)
            if how != fused.ALIKE and not asked:
                tick = self._tick(group, p, state)
            formula, scalars = self._rule(group, tick)
            formula.apply(p, g, state, scalars, group["differentiable"])

    def _takes_sparse(self, group):
        """Whether sparse gradients can be followed with these options."""
        return False

    def _check_modes(self, group):
        """Refuse what cannot work once there is something to do."""
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        if group["foreach"] and group["differentiable"] and not self._foreach_differentiable:
            raise AssertionError("_foreach ops don't support autograd")
        if group.get("capturable"):
            for p in params:
                if p.device.type not in self._capturable_devices:
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


def number_unless(differentiable, option):
    """An option as a Python number; in a differentiable step a tensor stays one."""
    return option if differentiable or type(option) is float else _number(option)


def new_step(group, device=None):
    """A zero step count."""
    if group.get("capturable") or group.get("fused"):
        return torch.zeros((), dtype=_scalar_dtype(group.get("fused")), device=device)
    return torch.tensor(0.0, dtype=_scalar_dtype())


def zeros_like(p):
    """A zero tensor of the parameter's shape, dtype and memory layout."""
    return torch.zeros_like(p, memory_format=torch.preserve_format)
