"""Choosing, op by op, what a checkpointed region keeps: the rest is computed again in backward."""

from enum import Enum

import rushlight as torch
from rushlight.autograd.modes import state
from rushlight.tensor import watch

__all__ = ["CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]

# Operators behind kernels that go by other names here: ``(args) -> name``.
_NAMES = {
    "linear": lambda args: "mm" if args[2] is None else "addmm",
    "_matmul_fold": lambda args: "mm",
    "_matmul_nt": lambda args: "mm" if args[0].dim() == 2 else "bmm",
    "_matmul_tn": lambda args: "mm" if args[0].dim() == 2 else "bmm",
    "convolution_transposed": lambda args: "convolution",
    "_max_pool2d": lambda args: "max_pool2d_with_indices",
}


class CheckpointPolicy(Enum):
    """What to do with an op's result: keep it for backward, or compute it again. There is no other place to keep it."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_KEPT = frozenset((CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE, CheckpointPolicy.MUST_CPU_OFFLOAD,
                   CheckpointPolicy.PREFER_CPU_OFFLOAD))


class SelectiveCheckpointContext:
    """What a policy is told beside the op: its result `op_output`. `is_recompute` is False always."""

    def __init__(self, *, is_recompute, op_output=None):
        self.is_recompute, self.op_output = is_recompute, op_output


def operator_of(rec, args):
    """``torch.ops.aten.name.overload`` of a record called with `args`; its name as text where there is no operator."""
    key = rec.schema.partition("(")[0]
    name, _, overload = key.partition(".")
    if name in _NAMES:
        name, overload = _NAMES[name](args), ""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return f"aten.{key}"
    if not overload and rec.kind == "pointwise" and len(args) == 2:
        overload = "Tensor" if isinstance(args[1], torch.Tensor) else "Scalar"
    return getattr(packet, overload or "default", None) or packet.default


class _Listener:
    """Hears of the ops of this context, and lets the listener around hear of them, too."""

    def __enter__(self):
        self.outer = watch.set_listener(self)
        if self.outer is not None:
            self.outer.fail("a checkpoint chooses what to keep")
        state.special += 1
        return self

    def __exit__(self, *exc):
        state.special -= 1
        watch.set_listener(self.outer)
        self.outer = None

    def number(self, t, value):
        return value if self.outer is None else self.outer.number(t, value)

    def aside(self, label, call, *numbers):
        return call(*numbers)

    def current(self, label, values):
        return values()

    def keeps(self, storage):
        return False

    def __getattr__(self, name):
        if name.startswith("_") or name == "outer":
            raise AttributeError(name)
        return _ignore if self.outer is None else getattr(self.outer, name)


def _ignore(*args):
    """What nobody is interested in."""


class _Choosing(_Listener):
    """The first run: asks the policy of each op."""

    def __init__(self, policy, entries):
        self.policy, self.entries, self.op = policy, entries, None

    def compute(self, rec, kernel, args, arrays):
        self.op = operator_of(rec, args), args
        return kernel(*arrays)

    def _made(self, out):
        if self.op is None:
            return
        (op, args), self.op = self.op, None
        choice = self.policy(SelectiveCheckpointContext(is_recompute=False, op_output=out), op, *args)
        if isinstance(choice, bool):
            choice = CheckpointPolicy.MUST_SAVE if choice else CheckpointPolicy.PREFER_RECOMPUTE
        kept = None
        if choice in _KEPT:
            outs = out if isinstance(out, tuple) else (out,)
            kept = [None if t is None else (t.detach(), t._version) for t in outs], isinstance(out, tuple)
        self.entries.append([op, kept])

    def ran(self, label, kernel, args, outs, direct=None):
        self._made(outs)
        if self.outer is not None:
            self.outer.ran(label, kernel, args, outs, direct)

    def pointwise(self, rec, launch, operands, scalars, out, fresh):
        self._made(out)
        if self.outer is not None:
            self.outer.pointwise(rec, launch, operands, scalars, out, fresh)


class _Replaying(_Listener):
    """The run in backward: gives what was kept in the place of computing it."""

    def __init__(self, entries, allow_mutation):
        self.entries, self.allow_mutation, self.used = entries, allow_mutation, False

    def __enter__(self):
        if self.used:
            raise RuntimeError("Trying to backward an extra time. You are only allowed to backward once on any region "
                               "computed under selective activation checkpoint.")
        self.used, self.next, self.ran_now = True, 0, True
        return super().__enter__()

    def __exit__(self, *exc):
        self.entries.clear()
        super().__exit__(*exc)

    def compute(self, rec, kernel, args, arrays):
        i, self.next = self.next, self.next + 1
        op = operator_of(rec, args)
        if i >= len(self.entries) or self.entries[i][0] != op:
            raise RuntimeError(f"{op} encountered during backward, but not found in storage: the region ran other ops "
                               "in forward")
        kept = self.entries[i][1]
        self.ran_now = kept is None
        if self.ran_now:
            return kernel(*arrays)
        self.entries[i][1] = None
        values, many = kept
        for entry in values:
            if entry is not None and entry[0]._version != entry[1] and not self.allow_mutation:
                raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        found = tuple(None if entry is None else entry[0]._a for entry in values)
        return found if many else found[0]

    def ran(self, *told):
        if self.ran_now and self.outer is not None:
            self.outer.ran(*told)

    def pointwise(self, *told):
        if self.ran_now and self.outer is not None:
            self.outer.pointwise(*told)


def create_selective_checkpoint_contexts(policy_fn_or_list, allow_cache_entry_mutation=False):
    """The two contexts for ``checkpoint(..., context_fn=...)`` under which a policy says what is kept.

    Args:
        policy_fn_or_list: ``policy(ctx, op, *args) -> CheckpointPolicy`` is asked once for each op of the forward run
            (``op`` is ``torch.ops.aten.name.overload``, ``ctx.op_output`` its result), or a list of operators to keep
            (`CheckpointPolicy.MUST_SAVE`; the others are computed again).
        allow_cache_entry_mutation (bool): allow in-place changes of what is kept; else RuntimeError in backward.

    Views and ops that make tensors or draw random numbers always run again. ValueError for a list with anything but
    operators' overloads, TypeError for other arguments.
    """
    if isinstance(policy_fn_or_list, (list, tuple)):
        from rushlight.library.operators import OpOverload
        for op in policy_fn_or_list:
            if not isinstance(op, OpOverload):
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}.")
        kept = list(policy_fn_or_list)

        def policy(ctx, op, *args, **kwargs):
            return CheckpointPolicy.MUST_SAVE if op in kept else CheckpointPolicy.PREFER_RECOMPUTE
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    entries = []
    return _Choosing(policy, entries), _Replaying(entries, allow_cache_entry_mutation)
