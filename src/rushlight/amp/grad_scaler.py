"""``GradScaler``: losses multiplied up so that small gradients survive 16 bits, steps without infinities.

Micikevicius et al., "Mixed Precision Training", arXiv:1710.03740, section 3.2, with the scale found dynamically.
"""

import inspect
import warnings
from collections import abc, defaultdict
from enum import Enum

import numpy as np

import rushlight as torch
from rushlight.ops.reduce_common import wide
from rushlight.ops.reduction import _accumulate
from rushlight.tensor import watch
from rushlight.tensor.tensor import resolve_bits

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """What has been done for an optimizer since the last update."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _change(name, kernel, targets, others):
    """``kernel(*arrays)`` changes the first arrays, those of `targets`; a capture is told."""
    kernel(*[resolve_bits(t) if t._bits else t._a for t in (*targets, *others)])
    for t in targets:
        t._storage.version += 1
    if watch.listener is not None:
        watch.listener.wrote(name, kernel, targets, tuple(others))


def _mark_infinities(found, *gradients):
    """`found` becomes 1 where a number of `gradients` is not finite."""
    for g in gradients:
        # A sum shows infinities and NaN in one pass; it may also be infinite by itself.
        if g.size and not np.isfinite(_accumulate(g, None, False, g.dtype)) and not np.isfinite(wide(g)).all():
            found[...] = 1


def _adapt(growth, backoff, interval, scale, tracker, *found):
    """The next scale and the count of good steps, after steps that `found` infinities or none."""
    if any(f.item() for f in found):
        scale *= backoff
        tracker[...] = 0
    elif tracker + 1 == interval:
        with np.errstate(over="ignore"):
            grown = scale.dtype.type(scale * growth)
        if np.isfinite(grown):
            scale[...] = grown
        tracker[...] = 0
    else:
        tracker += 1


def _fresh_state():
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Scale losses, undo it in the gradients, and step only where those are finite.

    Args:
        device: type of the device that gradients are on; on ``"cuda"`` the scaler is off here.
        init_scale: first factor of the losses.
        growth_factor: what the scale is multiplied by after `growth_interval` good steps in a row; above 1.
        backoff_factor: what it is multiplied by when a gradient was infinite or NaN; below 1.
        enabled: False makes every method pass through.

    The loop: ``scaler.scale(loss).backward()``, ``scaler.step(optimizer)``, ``scaler.update()``; call
    ``scaler.unscale_(optimizer)`` before the step where gradients are looked at or clipped.
    """

    def __init__(self, device="cuda", init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5,
                 growth_interval=2000, enabled=True):
        self._device, self._enabled = device, enabled
        if device == "cuda" and enabled:
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale, self._scale = init_scale, None
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker, self._growth_tracker = 0, None
        self._per_optimizer_states = defaultdict(_fresh_state)

    def _ready(self, name):
        for what in ("_scale", "_growth_tracker"):
            if getattr(self, what) is None:
                raise AssertionError(f"Attempted {name} but {what} is None.  This may indicate your script did not "
                                     "use scaler.scale(loss or outputs) earlier in the iteration.")
        return self._scale, self._growth_tracker

    def _lazy_init_scale_growth_tracker(self, device):
        if self._growth_tracker is not None:
            raise AssertionError("_growth_tracker initialized before _scale")
        self._scale = torch.full((), self._init_scale, dtype=torch.float32, device=device)
        self._growth_tracker = torch.full((), self._init_growth_tracker, dtype=torch.int32, device=device)

    def scale(self, outputs):
        """`outputs` (a tensor, or nested lists and tuples of them) times the scale.

        ValueError for anything else; other iterables give a lazy map.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, torch.Tensor):
            if self._scale is None:
                self._lazy_init_scale_growth_tracker(outputs.device)
            return outputs * self._scale.to(outputs.device)
        if isinstance(outputs, abc.Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _unscale_grads_(self, optimizer, inv_scale, found_inf, allow_fp16):
        """Multiply an optimizer's gradients by `inv_scale`; `found_inf` becomes 1 where one is not finite."""
        by_device = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
                if not allow_fp16 and g.dtype is torch.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                by_device.setdefault(g.device, []).append(g._values() if g.is_sparse else g)
        with torch.no_grad():
            for at, grads in by_device.items():
                found = by_device[at] = found_inf.to(at, copy=True)
                _change("mark_infinities", _mark_infinities, (found,), grads)
                if inv_scale is not None:
                    for g in grads:
                        g.mul_(inv_scale)
        return by_device

    def unscale_(self, optimizer):
        """Divide the gradients of an optimizer's parameters by the scale, once before its step.

        RuntimeError when called twice since the last update, or after the step; ValueError for float16 gradients.
        """
        if not self._enabled:
            return
        self._ready("unscale_")
        own = self._per_optimizer_states[id(optimizer)]
        if own["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if own["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = self._scale.double().reciprocal().float()
        own["found_inf_per_device"] = self._unscale_grads_(optimizer, inverse, torch.full((), 0.0), False)
        own["stage"] = OptState.UNSCALED

    def step(self, optimizer, *args, **kwargs):
        """``optimizer.step(*args, **kwargs)`` on unscaled gradients, unless one of them is infinite or NaN.

        Returns what the step returns, None where it was left out. Closures are not supported (RuntimeError).
        An optimizer that handles scaled gradients itself says so by ``_step_supports_amp_scaling`` and finds them in
        its ``grad_scale`` and ``found_inf``.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._ready("step")
        own = self._per_optimizer_states[id(optimizer)]
        if own["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            return self._step_that_unscales(optimizer, own, args, kwargs)
        if own["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not own["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None
        if not sum(v.item() for v in own["found_inf_per_device"].values()):
            result = optimizer.step(*args, **kwargs)
        own["stage"] = OptState.STEPPED
        return result

    def _step_that_unscales(self, optimizer, own, args, kwargs):
        scaler = self._scale if own["stage"] is OptState.READY else None
        if own["stage"] is OptState.READY:
            self._check_inf_per_device(optimizer)
        found = sum(own["found_inf_per_device"].values())
        takes = "grad_scaler" in inspect.signature(optimizer.step).parameters
        if takes:
            kwargs = {**kwargs, "grad_scaler": self}
        else:
            optimizer.grad_scale, optimizer.found_inf = scaler, found
        try:
            result = optimizer.step(*args, **kwargs)
        finally:
            if not takes:
                del optimizer.grad_scale, optimizer.found_inf
        own["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale=None):
        """Adapt the scale to what the steps since the last update found, or set it to `new_scale`."""
        if not self._enabled:
            return
        scale, tracker = self._ready("update")
        if new_scale is not None:
            self._set(new_scale)
        else:
            found = [v for own in self._per_optimizer_states.values() for v in own["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            growth, backoff, interval = self._growth_factor, self._backoff_factor, self._growth_interval
            _change("update_scale", lambda *a: _adapt(growth, backoff, interval, *a), (scale, tracker), found)
        self._per_optimizer_states.clear()

    def _set(self, new_scale):
        if isinstance(new_scale, float):
            self._scale.fill_(new_scale)
            return
        if not (isinstance(new_scale, torch.Tensor) and new_scale.dtype is torch.float32 and new_scale.numel() == 1
                and not new_scale.requires_grad):
            raise AssertionError("new_scale should be a float or a 1-element torch.cuda.FloatTensor or "
                                 "torch.FloatTensor with requires_grad=False.")
        self._scale.copy_(new_scale.reshape(()))

    def _get_scale_async(self):
        return self._scale

    def get_scale(self):
        """The scale as a number; 1 where the scaler is off."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self):
        """What the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor):
        """Choose the factor of growth."""
        self._growth_factor = new_factor

    def get_backoff_factor(self):
        """What the scale is multiplied by after infinite gradients."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor):
        """Choose the factor after infinite gradients."""
        self._backoff_factor = new_factor

    def get_growth_interval(self):
        """How many good steps in a row let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval):
        """Choose how many good steps in a row let the scale grow."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self):
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else self._growth_tracker.item()

    def is_enabled(self):
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self):
        """Scale, factors, interval and count of good steps; empty where the scaler is off."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._get_growth_tracker()}

    def load_state_dict(self, state_dict):
        """Take over what `state_dict` gave; RuntimeError for the empty one of a scaler that was off."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled "
                               "instance of GradScaler.")
        self._init_scale = state_dict["scale"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        if self._growth_tracker is not None:
            self._growth_tracker.fill_(state_dict["_growth_tracker"])

    def __getstate__(self):
        own = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError("A GradScaler instance may only be pickled at the beginning of an iteration, or "
                                     "at the end after scaler.update().")
            own["_init_scale"], own["_scale"] = self.get_scale(), None
            own["_init_growth_tracker"], own["_growth_tracker"] = self._get_growth_tracker(), None
        return own

    def __setstate__(self, own):
        self.__dict__.update(own)

    def _check_inf_per_device(self, optimizer):
        self._ready("_check_inf_per_device")
        found = self._unscale_grads_(optimizer, None, torch.full((), 0.0), True)
        self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = found
        return found

    def _found_inf_per_device(self, optimizer):
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
