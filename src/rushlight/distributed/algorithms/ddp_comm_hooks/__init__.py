"""Hooks for `DistributedDataParallel.register_comm_hook`: ready ones by name."""

from enum import Enum
from functools import partial

from . import default_hooks

__all__ = ["DDPCommHookType", "register_ddp_comm_hook"]


class DDPCommHookType(Enum):
    """Ready hooks; the values register them on a model."""

    ALLREDUCE = partial(lambda hook, model, state: model.register_comm_hook(state, hook), default_hooks.allreduce_hook)
    FP16_COMPRESS = partial(lambda hook, model, state: model.register_comm_hook(state, hook),
                            default_hooks.fp16_compress_hook)
    BF16_COMPRESS = partial(lambda hook, model, state: model.register_comm_hook(state, hook),
                            default_hooks.bf16_compress_hook)


def register_ddp_comm_hook(comm_hook_type, model, state=None):
    """Register the hook `comm_hook_type` on `model` with `state` (a process group, or None for the default one)."""
    comm_hook_type.value(model=model, state=state)
