"""What a checkpoint says about its contents."""

from dataclasses import dataclass, field
from typing import Any

import rushlight as torch


class CheckpointException(BaseException):
    """Saving or loading failed in some processes. `failures`: {rank: (exception, its traceback as text)}."""

    def __init__(self, msg, failures):
        super().__init__(msg, failures)
        self._failures = failures

    @property
    def failures(self):
        return self._failures

    def __str__(self):
        text = f"CheckpointException ranks:{self._failures.keys()}\n"
        for rank, (error, where) in self._failures.items():
            text += f"{where}(RANK {rank})\n{type(error).__name__}: {error}\n"
        return text


@dataclass
class ChunkStorageMetadata:
    """A box of a tensor: where it begins, and its sizes."""

    offsets: torch.Size
    sizes: torch.Size


@dataclass
class TensorProperties:
    """A tensor's dtype and what else was known of it."""

    dtype: torch.dtype = field(default_factory=torch.get_default_dtype)
    layout: Any = field(default=torch.strided)
    requires_grad: bool = False
    memory_format: Any = field(default=torch.contiguous_format)
    pin_memory: bool = False

    @staticmethod
    def create_from_tensor(tensor):
        """The properties of a tensor."""
        return TensorProperties(tensor.dtype, tensor.layout, tensor.requires_grad)


@dataclass
class TensorStorageMetadata:
    """A tensor: its size and the boxes it is stored in."""

    properties: TensorProperties
    size: torch.Size
    chunks: list


@dataclass
class BytesStorageMetadata:
    """An object that is no tensor."""


@dataclass(frozen=True)
class MetadataIndex:
    """A name, and where its box begins if there are several."""

    fqn: str
    offset: torch.Size | None = None
    index: int | None = field(hash=False, compare=False, default=None)


@dataclass
class Metadata:
    """All contents by name. planner_data: each name's path in nested dicts; storage_data: the writer's."""

    state_dict_metadata: dict
    planner_data: Any = None
    storage_data: Any = None
    storage_meta: Any = None
    version: str | None = None
