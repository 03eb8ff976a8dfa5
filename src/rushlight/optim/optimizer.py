"""The base class of optimizers: parameter groups, state, checkpoints, hooks.

A checkpoint (``state_dict``) holds plain containers, numbers and tensors with PyTorch's keys, so
it can be exchanged with PyTorch in both directions.
"""

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

import rushlight as torch
from rushlight.autograd.modes import state
from rushlight.optim import fused
from rushlight.utils.hooks import RemovableHandle

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]

_global_step_pre_hooks = OrderedDict()
_global_step_post_hooks = OrderedDict()

_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


def _type_name(x):
    cls = type(x)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


class _RequiredParameter:
    """Stands for a default that each parameter group has to give."""

    def __repr__(self):
        return "<required parameter>"


required = _RequiredParameter()


def _register(table, hook, prepend=False):
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook):
    """Call ``hook(optimizer, args, kwargs)`` before each ``step`` of every optimizer.

    A hook may return a pair of new (args, kwargs).  Returns a handle with ``remove()``.
    """
    return _register(_global_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """Call ``hook(optimizer, args, kwargs)`` after each ``step`` of every optimizer.

    Returns a handle with ``remove()``.
    """
    return _register(_global_step_post_hooks, hook)


def _hooked_step(step):
    """``step`` between the pre and post hooks."""

    @functools.wraps(step)
    def wrapper(*args, **kwargs):
        self = args[0]
        recorder = state.recorder
        event = None if recorder is None else recorder.annotate(f"Optimizer.step#{type(self).__name__}.step")
        if _global_step_pre_hooks or self._optimizer_step_pre_hooks:
            for hook in chain(
                list(_global_step_pre_hooks.values()),
                list(self._optimizer_step_pre_hooks.values()),
            ):
                result = hook(self, args, kwargs)
                if result is None:
                    continue
                if not isinstance(result, tuple) or len(result) != 2:
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {result}."
                    )
                args, kwargs = result
        out = step(*args, **kwargs)
        if _global_step_post_hooks or self._optimizer_step_post_hooks:
            for hook in chain(
                list(self._optimizer_step_post_hooks.values()),
                list(_global_step_post_hooks.values()),
            ):
                hook(self, args, kwargs)
        if event is not None:
            recorder.end(event)
        return out

    wrapper.hooked = True
    return wrapper


class Optimizer:
    """Base class of all optimizers.

    Args:
        params: an iterable of tensors, of (name, tensor) pairs, or of dicts with a ``"params"`` key
            and options of that group.  The order must be reproducible.
        defaults (dict): options of groups that do not give their own.

    Attributes:
        param_groups (list of dict): ``"params"`` and the options of each group; changes take effect
            at the next ``step``.
        state (dict): parameter -> dict of what the optimizer remembers about it.

    Raises:
        TypeError: ``params`` is a tensor, a group's parameters are a set, or something is no
            tensor.
        ValueError: no parameters, a non-leaf tensor, a parameter in two groups, or only some named.
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        self._install_hooks()
        if isinstance(params, torch.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _install_hooks(self):
        """Empty tables for the hooks, and ``step`` wrapped so that they are called."""
        for table in _HOOK_TABLES:
            if table not in self.__dict__:
                setattr(self, table, OrderedDict())
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = _hooked_step(cls.step)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._install_hooks()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self):
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # ----- hooks -----

    def register_step_pre_hook(self, hook):
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ones."""
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """Call ``hook(optimizer)`` before ``state_dict`` is made; ``prepend`` puts it first."""
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """Call ``hook(optimizer, state_dict)`` after ``state_dict``; it may return another."""
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another state dict."""
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """Call ``hook(optimizer)`` after ``load_state_dict``."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # ----- checkpoints -----

    def state_dict(self):
        """The optimizer's state as ``{"state": {index: {...}}, "param_groups": [...]}``.

        Parameters are replaced by their position, counted through all groups.  The tensors are the
        optimizer's own, not copies.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        index = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            (index[id(key)] if isinstance(key, torch.Tensor) else key): value
            for key, value in self.state.items()
        }
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict):
        """Take over a state made by ``state_dict`` (of this class, here or in PyTorch).

        State tensors of another dtype or device are converted to their parameter's (``"step"``
        keeps its own dtype), others are taken as they are and so shared; options are copied.
        Parameters themselves are not changed.

        Raises:
            ValueError: the number of groups, or of the parameters of one, differs.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed

        saved_groups = deepcopy(state_dict["param_groups"])
        if len(self.param_groups) != len(saved_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(
            len(mine["params"]) != len(saved["params"])
            for mine, saved in zip(self.param_groups, saved_groups, strict=True)
        ):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        params = {}
        for mine, saved in zip(self.param_groups, saved_groups, strict=True):
            params.update(zip(saved["params"], mine["params"], strict=True))

        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = self._convert_state(params[key], value, key, saved_groups)
            else:
                state[key] = value

        groups = []
        for mine, saved in zip(self.param_groups, saved_groups, strict=True):
            saved["params"] = mine["params"]
            if "param_names" in mine and "param_names" not in saved:
                saved["param_names"] = mine["param_names"]
            groups.append(saved)
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _convert_state(self, param, value, param_id, groups, key=None):
        """A loaded value, its tensors moved to the parameter's dtype and device."""
        if isinstance(value, torch.Tensor):
            return self._process_value_according_to_param_policy(
                param, value, param_id, groups, key
            )
        if isinstance(value, dict):
            return {
                k: self._convert_state(param, v, param_id, groups, key=k) for k, v in value.items()
            }
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            return type(value)(self._convert_state(param, v, param_id, groups) for v in value)
        return value

    @staticmethod
    def _process_value_according_to_param_policy(param, value, param_id, param_groups, key=None):
        """A loaded state tensor in the dtype and on the device where the optimizer wants it."""
        if key == "step":
            # A count must not be rounded to the parameter's precision.
            group = next(g for g in param_groups if param_id in g["params"])
            if group.get("capturable") or group.get("fused"):
                return value.to(dtype=torch.float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)

    # ----- parameters -----

    def add_param_group(self, param_group):
        """Add a dict with ``"params"`` (a tensor or a list) and options; defaults fill the rest.

        Raises:
            TypeError: not a dict, an unordered collection, or something that is no tensor.
            ValueError: a non-leaf tensor, a parameter of another group, names here but not there.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, torch.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        else:
            params = list(params)
        named = [isinstance(p, tuple) for p in params]
        if any(named):
            if not all(named):
                raise ValueError(
                    "all optimizer params should be with/without names. "
                    "Some param names are missing"
                )
            param_group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        param_group["params"] = params

        for p in params:
            if not isinstance(p, torch.Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    + _type_name(p)
                )
            if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    + name
                )
            param_group.setdefault(name, default)

        ids = {id(p) for p in params}
        if len(ids) != len(params):
            import warnings

            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; each would be stepped "
                "more than once",
                stacklevel=3,
            )
        if not ids.isdisjoint(id(p) for group in self.param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in param_group) != (
            "param_names" in self.param_groups[0]
        ):
            kind = "with" if "param_names" in param_group else "without"
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{kind} names to the optimizer"
            )
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none=True):
        """Forget the gradients: set them to None, or with ``set_to_none=False`` to zeros."""
        recorder = state.recorder
        event = None if recorder is None else recorder.annotate(f"Optimizer.zero_grad#{type(self).__name__}.zero_grad")
        if set_to_none:
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad = None
        else:
            self._fill_grads()
        if event is not None:
            recorder.end(event)

    def _fill_grads(self):
        grads = []
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                if grad is not None:
                    if grad.grad_fn is not None:
                        grad.detach_()
                    elif grad.requires_grad:
                        grad.requires_grad_(False)
                    grads.append(grad)
        for grad in fused.map_(_zero, grads):
            grad.zero_()

    def step(self, closure=None):
        """Update the parameters once; ``closure`` re-evaluates the model and returns the loss."""
        raise NotImplementedError


def _zero(s, x):
    return 0.0


calling = None      # what calls closures while the parts of a call are compiled one by one, see `capture.breaks`


def _closure_loss(closure):
    """The loss of a closure that computes gradients (None without one)."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure() if calling is None else calling(closure)


def _number(x):
    """A Python number from an option that may be a one-element tensor."""
    return x.item() if isinstance(x, torch.Tensor) else x


def _check_lr(lr, message="Invalid learning rate: {}"):
    if isinstance(lr, torch.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(message.format(lr))


def _check_at_least_zero(**options):
    for name, value in options.items():
        if not 0.0 <= value:
            name = "epsilon" if name == "eps" else name
            raise ValueError(f"Invalid {name} value: {value}")


def _check_betas(betas):
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def _scalar_dtype(fused=False):
    """The dtype of counts kept in the state: float64 only where that is the default dtype."""
    if not fused and torch.get_default_dtype() == torch.float64:
        return torch.float64
    return torch.float32
