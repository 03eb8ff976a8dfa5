"""Activation checkpointing: recompute parts of the forward pass in backward instead of keeping them.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
"""

import contextlib
import warnings

import rushlight as torch
from rushlight.autograd.function import Function
from rushlight.autograd.hooks import saved_tensors_hooks
from rushlight.autograd.modes import enable_grad, no_grad, state
from rushlight.utils.selective_checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

__all__ = ["CheckpointError", "CheckpointFunction", "CheckpointPolicy", "DefaultDeviceType", "GraphExecGroup",
           "SelectiveCheckpointContext", "check_backward_validity", "checkpoint", "checkpoint_sequential",
           "create_selective_checkpoint_contexts", "detach_variable", "get_device_states", "noop_context_fn",
           "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states"]


class CheckpointError(RuntimeError):
    """A recomputation that did not save what the first forward saved."""


def detach_variable(inputs):
    """The inputs as fresh leaves with the same ``requires_grad``."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: ",
                           type(inputs).__name__)
    out = []
    for x in inputs:
        if isinstance(x, torch.Tensor):
            y = x.detach()
            y.requires_grad = x.requires_grad
            out.append(y)
        else:
            out.append(x)
    return tuple(out)


def check_backward_validity(inputs):
    """Warn when no input requires a gradient, so that nothing would be computed."""
    if not any(isinstance(x, torch.Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def noop_context_fn():
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class CheckpointFunction(Function):
    """The re-entrant variant: a node that runs the function again inside backward."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        ctx.run_function, ctx.preserve = run_function, preserve_rng_state
        ctx.rng = torch.get_rng_state() if preserve_rng_state else None
        ctx.casting = _casting()
        ctx.slots = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]
        ctx.others = [None if i in ctx.slots else a for i, a in enumerate(args)]
        ctx.save_for_backward(*(args[i] for i in ctx.slots))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        if state.backward is not None and not state.backward.accumulates:
            raise RuntimeError("When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                               "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                               "either set use_reentrant=False, or call .backward() without passing the "
                               "`inputs` argument.")
        args = list(ctx.others)
        for i, t in zip(ctx.slots, ctx.saved_tensors):
            args[i] = t
        with _replayed(ctx.rng):
            leaves = detach_variable(tuple(args))
            with enable_grad(), _cast_as(ctx.casting):
                outputs = ctx.run_function(*leaves)
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads)
                 if isinstance(o, torch.Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not "
                               "necessary")
        torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x._grad if isinstance(x, torch.Tensor) else None for x in leaves))


@contextlib.contextmanager
def _replayed(rng):
    """The random stream as it was; afterwards as it is now."""
    if rng is None:
        yield
        return
    now = torch.get_rng_state()
    torch.set_rng_state(rng)
    try:
        yield
    finally:
        torch.set_rng_state(now)


def _casting():
    """What autocast does at this moment: (whether it is on, dtype, whether it keeps cast weights); None: nothing."""
    if state.__dict__.get("autocast") is None:
        return None
    return True, torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()


def _cast_as(casting):
    """The context in which autocast does so again."""
    if casting == _casting():
        return contextlib.nullcontext()
    enabled, dtype, caches = casting or (False, None, None)
    return torch.autocast("cpu", dtype, enabled, caches)


_early_stop = True


class set_checkpoint_early_stop:
    """Context that says whether recomputation stops once everything needed is there."""

    def __init__(self, enable):
        self.enable = enable

    def __enter__(self):
        global _early_stop
        self._prev, _early_stop = _early_stop, self.enable

    def __exit__(self, *exc):
        global _early_stop
        _early_stop = self._prev


_debug = None


class set_checkpoint_debug_enabled:
    """Context that says whether checkpoints tell, when a recomputation differs, which ops ran in both runs.

    enabled: True or False goes before the argument `debug` of `checkpoint`; None leaves it to that.
    """

    def __init__(self, enabled):
        self.enabled = enabled

    def __enter__(self):
        global _debug
        self._prev, _debug = _debug, self.enabled

    def __exit__(self, *exc):
        global _debug
        _debug = self._prev


class DefaultDeviceType:
    """The type of device whose generators are kept where the inputs are on none but the CPU: ``"cpu"`` at first."""

    _type = "cpu"

    @staticmethod
    def set_device_type(device="cpu"):
        """Set the type."""
        DefaultDeviceType._type = device

    @staticmethod
    def get_device_type():
        """The type."""
        return DefaultDeviceType._type


def get_device_states(*args):
    """(indices, states of the generators) of the devices that the inputs are on, beside the CPU: there are none."""
    return [], []


def set_device_states(devices, states, *, device_type=None):
    """Set the generators of devices; RuntimeError for any, as there is none beside the CPU."""
    if len(list(devices)):
        raise RuntimeError(f"set_device_states: there is no device of type "
                           f"{device_type or DefaultDeviceType.get_device_type()}")


class GraphExecGroup:
    """Context of backward calls that share recomputed values: each region is run again at most once.

    Recomputed values that one backward leaves are there for the next in any case; RuntimeError where groups nest.
    """

    _current = None

    def __enter__(self):
        if GraphExecGroup._current is not None:
            raise RuntimeError("GraphExecGroup contexts cannot be nested. Already inside group "
                               f"{GraphExecGroup._current}")
        GraphExecGroup._current = self

    def __exit__(self, *exc):
        GraphExecGroup._current = None


class _Stop(Exception):
    """Ends a recomputation early."""


class _Frame:
    """One checkpointed call: what its forward saved, and the values once recomputed."""

    def __init__(self, rerun, early_stop, log=None):
        self.rerun, self.early_stop, self.log = rerun, early_stop, log
        self.count = 0
        self.meta = []
        self.values = None

    def pack(self, t):
        self.meta.append((t.shape, t.dtype))
        self.count += 1
        return self.count - 1

    def unpack(self, index):
        if self.log is None:
            return self.value(index)
        try:
            return self.value(index)
        except CheckpointError as error:
            raise CheckpointError(self.log.report()) from error

    def value(self, index):
        if self.values is None or index not in self.values:
            self.recompute()
        if index not in self.values:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original "
                f"forward and recomputation.\nNumber of tensors saved during forward: {self.count}\n"
                f"Number of tensors saved during recomputation: {len(self.values)}.")
        return self.values.pop(index)

    def recompute(self):
        values, seen = {}, [0]

        def pack(t):
            i = seen[0]
            seen[0] += 1
            values[i] = t.detach()
            if i < self.count and (t.shape, t.dtype) != self.meta[i]:
                raise CheckpointError(
                    "torch.utils.checkpoint: Recomputed values for the following tensors have "
                    "different metadata than during the forward pass.\n"
                    f"tensor at position {i}:\nsaved metadata: {self.meta[i]}\n"
                    f"recomputed metadata: {(t.shape, t.dtype)}")
            if self.early_stop and seen[0] == self.count:
                raise _Stop
            return t.detach()
        try:
            with saved_tensors_hooks(pack, lambda x: x), enable_grad():
                self.rerun()
        except _Stop:
            pass
        self.values = values


def checkpoint(function, *args, use_reentrant=None, context_fn=noop_context_fn,
               determinism_check="default", debug=False, early_stop=True, **kwargs):
    """Run ``function(*args, **kwargs)`` without keeping its intermediates; backward runs it again.

    use_reentrant=False (recommended) records the graph and drops saved tensors; True records one node.
    preserve_rng_state (default True) replays the random stream, so that dropout draws the same masks.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting "
            "in PyTorch 2.9, calling checkpoint without use_reentrant will raise an exception. "
            "use_reentrant=False is recommended, but if you need to preserve the current default "
            "behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
            "differences between the two variants.", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs and use_reentrant:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant:
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when "
                             "use_reentrant=False.")
        check_backward_validity(args)
        return CheckpointFunction.apply(function, preserve, *args)
    if not state.grad:
        return function(*args, **kwargs)
    if _debug if _debug is not None else debug:
        from rushlight.utils.checkpoint_log import logging_contexts
        if context_fn is not noop_context_fn:
            raise ValueError("debug=True is incompatible with non-default context_fn")
        log = logging_contexts()
        context_fn = log.contexts
    else:
        log = None
    first, again = context_fn()
    rng = torch.get_rng_state() if preserve else None
    casting = _casting()

    def rerun():
        with _replayed(rng), _cast_as(casting), again:
            function(*args, **kwargs)
    frame = _Frame(rerun, early_stop and _early_stop, log)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Run a sequence of modules in `segments` pieces, all but the last one checkpointed."""
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should "
                      "be passed explicitly.", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if isinstance(functions, torch.nn.Sequential):
        functions = list(functions.children())

    def piece(start, end):
        def forward(x):
            for f in functions[start:end + 1]:
                x = f(x)
            return x
        return forward
    size = len(functions) // segments
    end = -1
    for start in range(0, size * (segments - 1), size):
        end = start + size - 1
        input = checkpoint(piece(start, end), input, use_reentrant=use_reentrant,
                           preserve_rng_state=preserve)
    return piece(end + 1, len(functions) - 1)(input)
