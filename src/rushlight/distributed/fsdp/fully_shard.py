"""`fully_shard`: a module whose parameters are kept in shares."""

from dataclasses import dataclass

import rushlight as torch
from rushlight.distributed.groups import default_group
from rushlight.utils._pytree import tree_map

from .sharding import ShardedParameter, ShardGroup, total_norm


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """Dtypes of whole parameters, of gradients on their way, of outputs; and whether inputs get the parameters'."""

    param_dtype: torch.dtype | None = None
    reduce_dtype: torch.dtype | None = None
    output_dtype: torch.dtype | None = None
    cast_forward_inputs: bool = True


@dataclass
class OffloadPolicy:
    """Shares stay where they are."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Shares are kept in the CPU's memory, as they are in any case."""

    pin_memory: bool = True


class UnshardHandle:
    """What `FSDPModule.unshard` returns."""

    def wait(self):
        """Return once the parameters are whole: they are."""


class FSDPModule:
    """What `fully_shard` adds to a module's class."""

    def __call__(self, *args, **kwargs):
        return _run(self, super().__call__, args, kwargs)

    def unshard(self, async_op=False):
        """Make this module's parameters whole, for looking at them, until `reshard`. All processes call this."""
        shards = self._fsdp_shards
        if shards is not None:
            shards._place([torch.nn.Parameter(t, s.requires_grad) for t, s in zip(shards.gather(), shards.shards)])
        return UnshardHandle() if async_op else None

    def reshard(self):
        """Put the shares back."""
        if self._fsdp_shards is not None:
            self._fsdp_shards._place(self._fsdp_shards.shards)

    def _each(self, recurse=True):
        for module in self.modules() if recurse else (self,):
            if isinstance(module, FSDPModule) and module._fsdp_shards is not None:
                yield module._fsdp_shards

    def set_requires_gradient_sync(self, requires_gradient_sync, *, recurse=True):
        """Whether backward reduces gradients; otherwise whole gradients add up here until it does."""
        for shards in self._each(recurse):
            shards.sync = requires_gradient_sync

    def set_reshard_after_forward(self, reshard_after_forward, recurse=True):
        """Whether parameters are kept in shares between forward and backward."""
        for shards in self._each(recurse):
            shards.keep = not reshard_after_forward

    def set_gradient_divide_factor(self, factor):
        """Divide summed gradients by `factor` in the place of the number of processes."""
        for shards in self._each(False):
            shards.divisor = factor

    set_reduce_scatter_divide_factor = set_gradient_divide_factor

    def clip_grad_norm_(self, max_norm, norm_type=2.0):
        """Scale all gradients so that their norm over all processes is `max_norm` at most; returns the norm."""
        parameters = list(self.parameters())
        total = total_norm(parameters, norm_type)
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, total)
        return total


def _run(module, function, args, kwargs):
    shards, policy = module._fsdp_shards, module._fsdp_policy
    if policy.param_dtype is not None and policy.cast_forward_inputs:
        args, kwargs = tree_map(lambda x: _cast(x, policy.param_dtype), (args, kwargs))
    if shards is None:
        out = function(*args, **kwargs)
    else:
        hooks = shards.enter()
        try:
            out = function(*args, **kwargs)
        finally:
            shards.leave(hooks)
    if policy.output_dtype is not None:
        out = tree_map(lambda x: _cast(x, policy.output_dtype), out)
    return out


def _cast(x, dtype):
    return x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x


_classes = {}


def fully_shard(module, *, mesh=None, reshard_after_forward=None, shard_placement_fn=None,
                mp_policy=MixedPrecisionPolicy(), offload_policy=OffloadPolicy(), ignored_params=None,
                dp_mesh_dims=None):
    """Keep a module's parameters in shares, in place; returns the module, whose class is now a `FSDPModule`, too.

    Submodules that went through this before keep their own; parameters of the others travel as one group. Apply it from
    the inside out: to blocks first, then to the whole.

    Args:
        module: a module or a list of modules that run one after the other.
        mesh: a `DeviceMesh` of one dimension; None for all processes.
        reshard_after_forward: False keeps parameters whole from forward to backward.
        mp_policy: dtypes, see `MixedPrecisionPolicy`.
        ignored_params: parameters to leave alone.

    Parameters become `ShardedParameter`: their shape is the part's (PyTorch's are DTensors with the whole shape).
    """
    for name, value in (("shard_placement_fn", shard_placement_fn), ("dp_mesh_dims", dp_mesh_dims)):
        if value is not None:
            raise NotImplementedError(f"fully_shard: {name}")
    if isinstance(module, (list, tuple)):
        raise NotImplementedError("fully_shard: a list of modules")
    if isinstance(module, (torch.nn.ModuleList, torch.nn.ModuleDict)) and not hasattr(module, "forward"):
        raise ValueError(f"fully_shard does not support containers that do not implement forward: {module}")
    if isinstance(module, FSDPModule):
        raise ValueError("fully_shard has been applied to this module already")
    if mesh is not None and mesh.ndim != 1:
        raise NotImplementedError(f"fully_shard: a mesh of {mesh.ndim} dimensions")
    group = default_group() if mesh is None else mesh.get_group(0)
    ignored = set(ignored_params or ())
    owners = {}
    for m in _unsharded(module):
        for name, p in m._parameters.items():
            if p is not None and p not in ignored and not isinstance(p, ShardedParameter):
                owners.setdefault(p, []).append((m, name))
    shards = ShardGroup(owners, group, mp_policy.param_dtype, mp_policy.reduce_dtype,
                        reshard_after_forward is False) if owners else None
    cls = type(module)
    if cls not in _classes:
        _classes[cls] = type(f"FSDP{cls.__name__}", (FSDPModule, cls), {"__module__": __name__})
    module.__class__ = _classes[cls]
    module._fsdp_shards, module._fsdp_policy = shards, mp_policy
    return module


def _unsharded(module):
    """`module` and what is below it, without modules that are sharded for themselves and what is below those."""
    yield module
    for child in module.children():
        if not isinstance(child, FSDPModule):
            yield from _unsharded(child)


def share_comm_ctx(modules):
    """Have sharded modules use the same connections: they do, as a process has one with each other.

    ValueError for modules that did not go through `fully_shard`.
    """
    for module in modules:
        if not isinstance(module, FSDPModule):
            raise ValueError(f"share_comm_ctx() expects list[FSDPModule] but got {module}")


def register_fsdp_forward_method(module, method_name):
    """Have another method of a sharded module run with whole parameters, as forward does."""
    if not isinstance(module, FSDPModule):
        return
    function = getattr(module, method_name)
    setattr(module, method_name, lambda *args, **kwargs: _run(module, function, args, kwargs))
