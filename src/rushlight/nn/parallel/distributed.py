"""`DistributedDataParallel`: one model trained by several processes, each with its own part of the data."""

import contextlib
import inspect

import rushlight as torch
import rushlight.distributed as dist
from rushlight.distributed.algorithms.join import Join, Joinable, JoinHook, last_joiner
from rushlight.distributed.buckets import BuiltinCommHookType
from rushlight.distributed.reducer import Reducer
from rushlight.nn.modules.module import Module

_MEGABYTE = 1 << 20


class _Shadow(JoinHook):
    """Shadows a `DistributedDataParallel`."""

    def __init__(self, ddp, divide_by_initial_world_size=True):
        self.ddp, self.by_initial = ddp, divide_by_initial_world_size

    def main_hook(self):
        ddp = self.ddp
        ddp._count_active(False, self.by_initial)
        if ddp.will_sync_module_buffers():
            ddp._sync_buffers()
        flag = torch.zeros(1)
        dist.all_reduce(flag, group=ddp.process_group)
        if flag.item():
            ddp.reducer.shadow()

    def post_hook(self, is_last_joiner):
        source = last_joiner(self.ddp.process_group, is_last_joiner)
        self.ddp._broadcast_state(source)
        self.ddp._active, self.ddp.reducer.divisor = None, self.ddp.process_group.size()


class DistributedDataParallel(Module, Joinable):
    """Calls `module`; its gradients are averaged over all processes during backward.

    All processes begin with the parameters and buffers of rank 0, and get the same gradients; so equal optimizers keep
    the parameters equal. Where losses are means over equally large batches, the gradients are those of the mean over
    all of them.

    Args:
        module: the model, the same in all processes.
        broadcast_buffers: copy rank 0's buffers to all before each forward.
        process_group: None for all processes.
        bucket_cap_mb: bytes of gradients that travel together, in 2**20 (25); the first bucket has 1 at most.
        find_unused_parameters: look for parameters on which the outputs do not depend; they count as zero.
        gradient_as_bucket_view: gradients are views of the buckets, which saves a copy.
        static_graph: the same parameters are used in all iterations.
        init_sync: compare shapes and copy rank 0's state at the start.

    Raises:
        RuntimeError: no parameter needs a gradient; shapes differ; an iteration begins before all gradients of the one
            before have come.
        ValueError: device ids for a model on the CPU.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0, broadcast_buffers=None, init_sync=True,
                 process_group=None, bucket_cap_mb=None, find_unused_parameters=False, check_reduction=False,
                 gradient_as_bucket_view=False, static_graph=False, delay_all_reduce_named_params=None,
                 param_to_hook_all_reduce=None, mixed_precision=None, device_mesh=None,
                 skip_all_reduce_unused_params=False, bucket_cap_mb_list=None, batched_grad_copy=False,
                 forward_sync_buffers=None):
        super().__init__()
        Joinable.__init__(self)
        for name, value in (("delay_all_reduce_named_params", delay_all_reduce_named_params),
                            ("mixed_precision", mixed_precision)):
            if value is not None:
                raise NotImplementedError(f"DistributedDataParallel: {name}")
        if process_group is not None and device_mesh is not None:
            raise RuntimeError("Cannot specify both process_group and device_mesh arguments.")
        if device_mesh is not None:
            if device_mesh.ndim != 1:
                raise RuntimeError(f"Only 1D device mesh is supported, but got {device_mesh}.")
            process_group = device_mesh.get_group(0)
        self.process_group = dist._get_default_group() if process_group is None else process_group
        self.parameters_to_ignore = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        named = [(n, p) for n, p in module.named_parameters() if n not in self.parameters_to_ignore]
        trained = [(n, p) for n, p in named if p.requires_grad]
        if not trained:
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that "
                               "requires a gradient.")
        if device_ids or output_device is not None:
            raise ValueError(f"DistributedDataParallel device_ids and output_device arguments only work with "
                             f"single-device/multiple-device GPU modules or CPU modules, but got device_ids "
                             f"{device_ids}, output_device {output_device}, and module parameters "
                             f"{({p.device for _, p in named})}.")
        self.module, self.dim = module, dim
        self.device_ids = self.output_device = None
        self.device, self.device_type = torch.device("cpu"), "cpu"
        self.is_multi_device_module = False
        self.broadcast_buffers = True if broadcast_buffers is None else broadcast_buffers
        self.forward_sync_buffers = self.broadcast_buffers if forward_sync_buffers is None else forward_sync_buffers
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self._buffer_hook, self._forwards = None, 0
        if bucket_cap_mb_list:
            caps = [int(mb * _MEGABYTE) for mb in bucket_cap_mb_list]
        else:
            caps = [_MEGABYTE, 25 * _MEGABYTE] if bucket_cap_mb is None else [int(bucket_cap_mb * _MEGABYTE)]
        self.bucket_bytes_cap = caps[-1]
        self.named_module_buffers = {n: b for n, b in module.named_buffers() if n not in self.parameters_to_ignore}
        self.modules_buffers = list(self.named_module_buffers.values())
        if init_sync:
            self._compare_shapes(named)
            self._broadcast_state(0)
        self.reducer = Reducer([p for _, p in trained], [n for n, _ in trained], self.process_group, caps,
                               find_unused_parameters, gradient_as_bucket_view, static_graph)

    # ------------------------------------------------------------ state of all processes

    def _compare_shapes(self, named):
        mine = [(name, tuple(p.shape), str(p.dtype), p.requires_grad) for name, p in named]
        found = [None] * self.process_group.size()
        dist.all_gather_object(found, mine, self.process_group)
        for rank, other in enumerate(found):
            if len(other) != len(mine):
                raise RuntimeError(f"DDP expects same model across all ranks, but Rank {self.process_group.rank()} has "
                                   f"{len(mine)} params, while rank {rank} has inconsistent {len(other)} params.")
            for a, b in zip(mine, other):
                if a != b:
                    raise RuntimeError(f"[{self.process_group.rank()}]: params[{mine.index(a)}] in this process "
                                       f"({a[0]}: {a[1]}, {a[2]}) does not match that of rank {rank} ({b[0]}: {b[1]}, "
                                       f"{b[2]})")

    def _broadcast(self, tensors, source):
        with torch.no_grad():
            for work in [self.process_group.broadcast([t.detach()], source) for t in tensors]:
                work.wait()

    def _broadcast_state(self, source):
        state = [t for n, t in self.module.state_dict(keep_vars=True).items() if n not in self.parameters_to_ignore
                 and isinstance(t, torch.Tensor)]
        self._broadcast(state, source)

    def will_sync_module_buffers(self):
        """Whether the next forward copies rank 0's buffers."""
        return bool(self.require_forward_param_sync and self.forward_sync_buffers and self.modules_buffers)

    def _sync_buffers(self):
        source = 0
        if self._join_config.enable:
            candidate = torch.tensor([self.process_group.rank() if self._active else -1])
            dist.all_reduce(candidate, dist.ReduceOp.MAX, group=self.process_group)
            source = int(candidate)
        elif self._active is not None and not self._active:
            candidate = torch.tensor([-1])
            dist.all_reduce(candidate, dist.ReduceOp.MAX, group=self.process_group)
            source = int(candidate)
        if self._buffer_hook is not None:
            state, hook = self._buffer_hook
            futures = hook(state, self.named_module_buffers)
            for f in futures or ():
                f.wait()
            return
        self._broadcast(self.modules_buffers, source)

    # ------------------------------------------------------------ forward

    _active = None                      # inside join(): whether this process has input yet

    def forward(self, *inputs, **kwargs):
        syncing = torch.is_grad_enabled() and self.require_backward_grad_sync
        if self._join_config.enable:
            self._active = True
            work = Join.notify_join_context(self)
            if work is not None:
                self._count_active(True, self._by_initial)
        if self.will_sync_module_buffers():
            self._sync_buffers()
        if self._join_config.enable:
            dist.all_reduce(torch.ones(1) if syncing else torch.zeros(1), group=self.process_group)
        if syncing:
            self.reducer.check_finished()
        output = self.module(*inputs, **kwargs)
        if syncing:
            self.require_forward_param_sync = True
            self.reducer.prepare(output)
            self._forwards += 1
        else:
            self.require_forward_param_sync = False
            self.reducer.skip()
        return output

    @contextlib.contextmanager
    def no_sync(self):
        """Context in which gradients stay in this process; they add up until the next backward pass outside."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    # ------------------------------------------------------------ hooks

    def register_comm_hook(self, state, hook):
        """Have ``hook(state, bucket)`` reduce each `GradBucket`: it returns a Future of the reduced tensor.

        It divides by the number of processes itself. RuntimeError for a second hook, TypeError for what is no hook.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        names = [p.name for p in inspect.signature(hook).parameters.values()]
        if len(names) < 2:
            raise ValueError("Communication hook: takes a state and a bucket.")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self.reducer.hook = state, hook

    def _register_builtin_comm_hook(self, comm_hook_type):
        from rushlight.distributed.algorithms.ddp_comm_hooks import default_hooks
        hooks = {BuiltinCommHookType.ALLREDUCE: default_hooks.allreduce_hook,
                 BuiltinCommHookType.FP16_COMPRESS: default_hooks.fp16_compress_hook}
        self.register_comm_hook(self.process_group, hooks[comm_hook_type])

    def _register_buffer_comm_hook(self, state, hook, comm_hook_location=None):
        self._buffer_hook = state, hook

    def _set_static_graph(self):
        """As `static_graph` at construction."""
        self.static_graph = self.reducer.static = True

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module, params_and_buffers_to_ignore):
        """Leave out parameters and buffers with these names when `module` is wrapped."""
        module._ddp_params_and_buffers_to_ignore = set(params_and_buffers_to_ignore)

    # ------------------------------------------------------------ uneven inputs

    _by_initial = True

    def join(self, divide_by_initial_world_size=True, enable=True, throw_on_early_termination=False):
        """Context for a loop over inputs of which processes have different numbers.

        divide_by_initial_world_size: gradients are sums over the processes with input, divided by the number of all
        processes; otherwise by the number of those with input.
        """
        self._by_initial = divide_by_initial_world_size
        return Join([self], enable, throw_on_early_termination,
                    divide_by_initial_world_size=divide_by_initial_world_size)

    def join_hook(self, **kwargs):
        """The `JoinHook` that shadows this model."""
        self._by_initial = kwargs.get("divide_by_initial_world_size", True)
        return _Shadow(self, self._by_initial)

    @property
    def join_device(self):
        return self.device

    @property
    def join_process_group(self):
        return self.process_group

    def _count_active(self, active, by_initial):
        """Have gradients divided by the number of processes that have input, or of all."""
        self._active = active
        if by_initial:
            self.reducer.divisor = self.process_group.size()
            return
        count = torch.tensor([1 if active else 0])
        dist.all_reduce(count, group=self.process_group)
        self.reducer.divisor = max(int(count), 1)


__all__ = ["DistributedDataParallel"]
