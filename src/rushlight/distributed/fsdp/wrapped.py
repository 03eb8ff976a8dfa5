"""`FullyShardedDataParallel`: a wrapper that keeps a module's parameters in shares."""

import contextlib
from collections import OrderedDict

import rushlight as torch
from rushlight.distributed.groups import default_group
from rushlight.nn import Module

from .options import FullStateDictConfig, ShardingStrategy, StateDictSettings, StateDictType
from .sharding import ShardedParameter, ShardGroup, total_norm

_PREFIX = "_fsdp_wrapped_module."


class FullyShardedDataParallel(Module):
    """Calls `module`, whose parameters are whole only while it runs.

    Each parameter is cut by itself (PyTorch joins them in one flat parameter first): names and order stay.

    Args:
        process_group: None for all processes.
        sharding_strategy: FULL_SHARD (the default), SHARD_GRAD_OP; others raise NotImplementedError.
        auto_wrap_policy: ``policy(module=, recurse=, nonwrapped_numel=)``; modules for which it is true with
            ``recurse=False`` are wrapped for themselves.
        mixed_precision: dtypes, see `MixedPrecision`.
        ignored_modules: modules whose parameters are left alone.
        sync_module_states: copy rank 0's parameters and buffers first.
        device_id, backward_prefetch, forward_prefetch, limit_all_gathers, cpu_offload, use_orig_params: taken; nothing
            depends on them here.
    """

    def __init__(self, module, process_group=None, sharding_strategy=None, cpu_offload=None, auto_wrap_policy=None,
                 backward_prefetch=None, mixed_precision=None, ignored_modules=None, param_init_fn=None, device_id=None,
                 sync_module_states=False, forward_prefetch=False, limit_all_gathers=True, use_orig_params=False,
                 ignored_states=None, device_mesh=None):
        super().__init__()
        strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        if strategy not in (ShardingStrategy.FULL_SHARD, ShardingStrategy.SHARD_GRAD_OP):
            raise NotImplementedError(f"FullyShardedDataParallel: {strategy}")
        if param_init_fn is not None:
            raise NotImplementedError("FullyShardedDataParallel: param_init_fn")
        group = default_group() if process_group is None else process_group
        if device_mesh is not None:
            group = device_mesh.get_group(0)
        self.process_group, self.sharding_strategy, self.mixed_precision = group, strategy, mixed_precision
        ignored = {m for top in ignored_modules or () for m in top.modules()}
        options = dict(process_group=process_group, sharding_strategy=sharding_strategy,
                       mixed_precision=mixed_precision, ignored_modules=ignored_modules, device_mesh=device_mesh)
        if sync_module_states:
            with torch.no_grad():
                for t in module.state_dict(keep_vars=True).values():
                    group.broadcast([t.detach()], 0, async_op=False)
        if auto_wrap_policy is not None:
            self._wrap_inside(module, auto_wrap_policy, options, ignored)
        self._fsdp_wrapped_module = module
        owners = {}
        for m in self._own_modules(module):
            for name, p in m._parameters.items():
                if p is not None and m not in ignored and not isinstance(p, ShardedParameter) and p.ndim:
                    owners.setdefault(p, []).append((m, name))
        mp = mixed_precision
        self._shards = ShardGroup(owners, group, mp.param_dtype if mp else None, mp.reduce_dtype if mp else None,
                                  strategy is ShardingStrategy.SHARD_GRAD_OP) if owners else None
        self._settings = StateDictSettings(StateDictType.FULL_STATE_DICT, FullStateDictConfig(), None)

    @classmethod
    def _wrap_inside(cls, module, policy, options, ignored):
        for name, child in list(module.named_children()):
            if child in ignored or isinstance(child, FullyShardedDataParallel):
                continue
            n = sum(p.numel() for p in child.parameters())
            if policy(module=child, recurse=True, nonwrapped_numel=n):
                cls._wrap_inside(child, policy, options, ignored)
            if policy(module=child, recurse=False, nonwrapped_numel=n) and n:
                setattr(module, name, cls(child, **options))

    @staticmethod
    def _own_modules(module):
        yield module
        for child in module.children():
            if not isinstance(child, FullyShardedDataParallel):
                yield from FullyShardedDataParallel._own_modules(child)

    @property
    def module(self):
        """The wrapped module."""
        return self._fsdp_wrapped_module

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_fsdp_wrapped_module"), name)

    def __getitem__(self, key):
        return self._fsdp_wrapped_module[key]

    def forward(self, *args, **kwargs):
        mp = self.mixed_precision
        if mp is not None and mp.param_dtype is not None:
            from .fully_shard import _cast, tree_map
            args, kwargs = tree_map(lambda x: _cast(x, mp.param_dtype), (args, kwargs))
        if self._shards is None:
            return self._fsdp_wrapped_module(*args, **kwargs)
        hooks = self._shards.enter()
        try:
            return self._fsdp_wrapped_module(*args, **kwargs)
        finally:
            self._shards.leave(hooks)

    @staticmethod
    def fsdp_modules(module, root_only=False):
        """The wrapped modules in `module`."""
        found = [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]
        return found[:1] if root_only else found

    @contextlib.contextmanager
    def no_sync(self):
        """Context in which backward keeps whole gradients here; they are reduced in the next pass outside."""
        groups = [m._shards for m in self.fsdp_modules(self) if m._shards is not None]
        for g in groups:
            g.sync = False
        try:
            yield
        finally:
            for g in groups:
                g.sync = True

    def clip_grad_norm_(self, max_norm, norm_type=2.0):
        """Scale all gradients so that their norm over all processes is `max_norm` at most; returns the norm."""
        parameters = list(self.parameters())
        total = total_norm(parameters, norm_type)
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, total)
        return total

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(module, recurse=True, writeback=True, rank0_only=False, offload_to_cpu=False,
                           with_grads=False):
        """Context in which parameters are whole; with `writeback` changes are kept. All processes enter it."""
        if with_grads:
            raise NotImplementedError("summon_full_params: with_grads")
        opened = []
        for m in FullyShardedDataParallel.fsdp_modules(module):
            if m._shards is not None and (recurse or m is module):
                fulls = [torch.nn.Parameter(t, s.requires_grad)
                         for t, s in zip(m._shards.gather(), m._shards.shards)]
                m._shards._place(fulls)
                opened.append((m._shards, fulls))
        try:
            yield
        finally:
            for shards, fulls in opened:
                if writeback:
                    rank, n = shards.group.rank(), shards.group.size()
                    with torch.no_grad():
                        for s, full in zip(shards.shards, fulls):
                            rows = -(-full.shape[0] // n)
                            s.copy_(full[rank * rows:(rank + 1) * rows])
                shards._place(shards.shards)

    # ------------------------------------------------------------ state

    @staticmethod
    def set_state_dict_type(module, state_dict_type, state_dict_config=None, optim_state_dict_config=None):
        """Choose what `state_dict` gives; returns the settings before."""
        if state_dict_type is StateDictType.SHARDED_STATE_DICT:
            raise NotImplementedError("FullyShardedDataParallel: SHARDED_STATE_DICT")
        found = FullyShardedDataParallel.fsdp_modules(module)
        before = found[0]._settings
        for m in found:
            m._settings = StateDictSettings(state_dict_type, state_dict_config or FullStateDictConfig(),
                                            optim_state_dict_config)
        return before

    @staticmethod
    @contextlib.contextmanager
    def state_dict_type(module, state_dict_type, state_dict_config=None, optim_state_dict_config=None):
        """Context in which `state_dict` gives another type."""
        before = FullyShardedDataParallel.set_state_dict_type(module, state_dict_type, state_dict_config,
                                                              optim_state_dict_config)
        try:
            yield
        finally:
            FullyShardedDataParallel.set_state_dict_type(module, before.state_dict_type, before.state_dict_config,
                                                         before.optim_state_dict_config)

    def state_dict(self, *args, **kwargs):
        """Whole parameters under the module's own names, or the shares (LOCAL_STATE_DICT). All processes call this."""
        if self._settings.state_dict_type is StateDictType.LOCAL_STATE_DICT:
            return super().state_dict(*args, **kwargs)
        with self.summon_full_params(self, writeback=False):
            found = super().state_dict(*args, **kwargs)
            items = [(k.replace(_PREFIX, ""), v.clone()) for k, v in found.items()]
        alone = getattr(self._settings.state_dict_config, "rank0_only", False)
        return OrderedDict() if alone and self.process_group.rank() else OrderedDict(items)

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Take whole parameters, or shares, as `state_dict` gives them. All processes call this."""
        names = [n for n in super().state_dict()]
        plain = {n.replace(_PREFIX, ""): n for n in names}
        renamed = {plain.get(k, k): v for k, v in state_dict.items()}
        if self._settings.state_dict_type is StateDictType.LOCAL_STATE_DICT:
            return super().load_state_dict(renamed, strict)
        with self.summon_full_params(self):
            return super().load_state_dict(renamed, strict)
