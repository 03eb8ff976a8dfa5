"""Choices of `FullyShardedDataParallel`, as values."""

from dataclasses import dataclass, field
from enum import Enum, auto

import rushlight as torch


class ShardingStrategy(Enum):
    """What is kept in shares: parameters between passes (FULL_SHARD), gradients and optimizer state alone
    (SHARD_GRAD_OP: parameters stay whole from forward to backward), or nothing (NO_SHARD)."""

    FULL_SHARD = auto()
    SHARD_GRAD_OP = auto()
    NO_SHARD = auto()
    HYBRID_SHARD = auto()
    _HYBRID_SHARD_ZERO2 = auto()


class BackwardPrefetch(Enum):
    """When the next parameters are gathered in backward. Taken and ignored: they are gathered when they are used."""

    BACKWARD_PRE = auto()
    BACKWARD_POST = auto()


class StateDictType(Enum):
    """What `state_dict` gives: whole parameters, the flat shares, or shares by name."""

    FULL_STATE_DICT = auto()
    LOCAL_STATE_DICT = auto()
    SHARDED_STATE_DICT = auto()


class OptimStateKeyType(Enum):
    """What the keys of an optimizer's state are."""

    PARAM_NAME = auto()
    PARAM_ID = auto()


@dataclass
class MixedPrecision:
    """Dtypes of parameters while they are whole, of gradients while they are reduced, and of buffers."""

    param_dtype: torch.dtype | None = None
    reduce_dtype: torch.dtype | None = None
    buffer_dtype: torch.dtype | None = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: tuple = field(default=())


@dataclass
class CPUOffload:
    """Where shares are kept; they are in the CPU's memory in any case."""

    offload_params: bool = False


@dataclass
class StateDictConfig:
    """How state dicts are made."""

    offload_to_cpu: bool = False


@dataclass
class FullStateDictConfig(StateDictConfig):
    """rank0_only: other ranks get an empty dict."""

    rank0_only: bool = False


@dataclass
class LocalStateDictConfig(StateDictConfig):
    """For the flat shares."""


@dataclass
class ShardedStateDictConfig(StateDictConfig):
    """For shares by name."""

    _use_dtensor: bool = False


@dataclass
class OptimStateDictConfig:
    """How optimizers' state dicts are made."""

    offload_to_cpu: bool = True


@dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """rank0_only: other ranks get an empty dict."""

    rank0_only: bool = False


@dataclass
class LocalOptimStateDictConfig(OptimStateDictConfig):
    """For the flat shares."""

    offload_to_cpu: bool = False


@dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """For shares by name."""

    _use_dtensor: bool = False


@dataclass
class StateDictSettings:
    """A type of state dict with its configurations."""

    state_dict_type: StateDictType
    state_dict_config: StateDictConfig
    optim_state_dict_config: OptimStateDictConfig
