"""Plans: who writes what, and what is read into where."""

import io
import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import rushlight as torch
from rushlight.distributed.fsdp.sharding import ShardedParameter

from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)


class WriteItemType(Enum):
    """A whole tensor, a part of one, or an object."""

    TENSOR = auto()
    SHARD = auto()
    BYTE_IO = auto()


class LoadItemType(Enum):
    """A tensor or an object."""

    TENSOR = auto()
    BYTE_IO = auto()


@dataclass(frozen=True)
class TensorWriteData:
    """A part of a tensor, and the whole's size. sample: some of its numbers, by which copies are compared."""

    chunk: ChunkStorageMetadata
    properties: TensorProperties
    size: torch.Size
    sample: bytes = b""


@dataclass(frozen=True)
class WriteItem:
    """Something to write."""

    index: MetadataIndex
    type: WriteItemType
    bytes_io_data: Any = None
    tensor_data: TensorWriteData | None = None

    def tensor_storage_size(self):
        """Bytes of the tensor; None for objects."""
        data = self.tensor_data
        return None if data is None else data.chunk.sizes.numel() * data.properties.dtype.itemsize


@dataclass(frozen=True)
class ReadItem:
    """A box to read: where it is in the checkpoint, and where it goes."""

    type: LoadItemType
    dest_index: MetadataIndex
    dest_offsets: torch.Size
    storage_index: MetadataIndex
    storage_offsets: torch.Size
    lengths: torch.Size


@dataclass(frozen=True)
class SavePlan:
    """What one process writes."""

    items: list
    storage_data: Any = None
    planner_data: Any = None
    usable: bool = True


@dataclass
class LoadPlan:
    """What one process reads."""

    items: list
    storage_data: Any = None
    planner_data: Any = None


class SavePlanner(ABC):
    """Decides what is written by whom. Override methods of `DefaultSavePlanner` to change something."""

    @abstractmethod
    def set_up_planner(self, state_dict, storage_meta=None, is_coordinator=False):
        """Called first, with what is to be saved."""

    @abstractmethod
    def create_local_plan(self):
        """The `SavePlan` of this process."""

    @abstractmethod
    def create_global_plan(self, all_plans):
        """The final plans of all processes, and the `Metadata`. Called by the coordinator."""

    @abstractmethod
    def finish_plan(self, new_plan):
        """Called with this process's final plan; returns it."""

    @abstractmethod
    def resolve_data(self, write_item):
        """The tensor, or the stream of bytes, of an item."""


class LoadPlanner:
    """Decides what is read into where. Override methods of `DefaultLoadPlanner` to change something."""

    @abstractmethod
    def set_up_planner(self, state_dict, metadata=None, is_coordinator=False):
        """Called first, with what is to be filled."""

    @abstractmethod
    def create_local_plan(self):
        """The `LoadPlan` of this process."""

    @abstractmethod
    def create_global_plan(self, global_plan):
        """The final plans of all processes. Called by the coordinator."""

    @abstractmethod
    def finish_plan(self, central_plan):
        """Called with this process's final plan; returns it."""

    @abstractmethod
    def load_bytes(self, read_item, value):
        """Take an object from a stream."""

    @abstractmethod
    def resolve_tensor(self, read_item):
        """The tensor that an item's box is copied into."""

    @abstractmethod
    def commit_tensor(self, read_item, tensor):
        """Called once it was."""


def flatten(state_dict):
    """Nested dicts and lists as {name: value}, and {name: path}. A list without tensors and dicts in it is a value."""
    flat, paths = {}, {}

    def holds_parts(value):
        return isinstance(value, (torch.Tensor, dict)) or isinstance(value, (list, tuple)) and any(
            map(holds_parts, value))

    def visit(path, value):
        if isinstance(value, dict) and value or isinstance(value, (list, tuple)) and holds_parts(value):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, v in pairs:
                visit((*path, key), v)
            return
        name = ".".join(map(str, path))
        if name in flat:
            raise ValueError(f"duplicated flatten key {name}")
        flat[name], paths[name] = value, path
    for key, value in state_dict.items():
        visit((key,), value)
    return flat, paths


def put(state_dict, path, value):
    """Put a value at its place in nested dicts and lists; tuples are replaced."""
    for i, key in enumerate(path[:-1]):
        inner = state_dict[key]
        if isinstance(inner, tuple):
            state_dict[key] = inner = list(inner)
        state_dict = inner
    state_dict[path[-1]] = value


def box(value):
    """Where the part that this process has of a tensor begins, its sizes, and the whole's size."""
    if isinstance(value, ShardedParameter):
        group, full = value._shards.group, value.full_shape
        rows = -(-full[0] // group.size())
        start = min(group.rank() * rows, full[0])
        return torch.Size((start, *[0] * (len(full) - 1))), torch.Size(value.shape), full
    return torch.Size([0] * value.ndim), torch.Size(value.shape), torch.Size(value.shape)


def _sample(t):
    """Bytes of some hundred numbers of a tensor."""
    flat = t.detach().reshape(-1)
    return flat[::max(1, flat.numel() // 256)].contiguous().view(torch.uint8).numpy().tobytes() if flat.numel() else b""


class DefaultSavePlanner(SavePlanner):
    """Each part is written once: by the process that has it, or, of those that do, by the one with least to write.

    Tensors under one name without shares have to be equal in all processes; ValueError where a sample tells otherwise.
    """

    def __init__(self, flatten_state_dict=True, flatten_sharded_tensors=True, dedup_replicated_tensors=None,
                 dedup_save_to_lowest_rank=False, enable_plan_caching=False):
        self.flatten_state_dict, self.lowest = flatten_state_dict, dedup_save_to_lowest_rank

    def set_up_planner(self, state_dict, storage_meta=None, is_coordinator=False):
        self.flat, self.paths = flatten(state_dict) if self.flatten_state_dict else (
            dict(state_dict), {k: (k,) for k in state_dict})
        self.is_coordinator = is_coordinator

    def create_local_plan(self):
        items = []
        for name, value in self.flat.items():
            if not isinstance(value, torch.Tensor):
                items.append(WriteItem(MetadataIndex(name), WriteItemType.BYTE_IO))
                continue
            offsets, sizes, whole = box(value)
            if not sizes.numel() and whole.numel():
                continue                # a part without rows
            shard = isinstance(value, ShardedParameter)
            data = TensorWriteData(ChunkStorageMetadata(offsets, sizes), TensorProperties(value.dtype), whole,
                                   b"" if shard else _sample(value))
            items.append(WriteItem(MetadataIndex(name, offsets), WriteItemType.SHARD if shard else WriteItemType.TENSOR,
                                   None, data))
        return SavePlan(items, planner_data=self.paths)

    def create_global_plan(self, all_plans):
        having, samples = {}, {}
        for rank, plan in enumerate(all_plans):
            for item in plan.items:
                having.setdefault(item.index, []).append((rank, item))
                if item.type is WriteItemType.TENSOR:
                    data = item.tensor_data
                    known = samples.setdefault(item.index.fqn, (rank, data.size, data.sample))
                    if known[1:] != (data.size, data.sample):
                        raise ValueError(f"{item.index.fqn} differs between ranks {known[0]} and {rank}, and is not "
                                         f"marked as a part of one tensor")
        load, items = [0] * len(all_plans), [[] for _ in all_plans]
        contents = {}
        for index, found in having.items():
            ranks = [rank for rank, _ in found]
            rank = ranks[0] if self.lowest or found[0][1].type is WriteItemType.BYTE_IO else min(
                ranks, key=lambda r: (load[r], r))
            item = found[0][1]
            load[rank] += item.tensor_storage_size() or 0
            items[rank].append(item)
            if item.type is WriteItemType.BYTE_IO:
                contents[index.fqn] = BytesStorageMetadata()
            else:
                data = item.tensor_data
                entry = contents.setdefault(index.fqn, TensorStorageMetadata(data.properties, data.size, []))
                if entry.size != data.size:
                    raise ValueError(f"{index.fqn} has sizes {tuple(entry.size)} and {tuple(data.size)}")
                entry.chunks.append(data.chunk)
        paths = {name: path for plan in all_plans for name, path in plan.planner_data.items()}
        return [replace(plan, items=mine) for plan, mine in zip(all_plans, items)], Metadata(contents, paths)

    def finish_plan(self, new_plan):
        return new_plan

    def resolve_data(self, write_item):
        value = self.flat[write_item.index.fqn]
        if write_item.type is WriteItemType.BYTE_IO:
            stream = io.BytesIO()
            torch.save(value, stream)
            return stream
        return value.detach()


class DefaultLoadPlanner(LoadPlanner):
    """Fills tensors in place and replaces other values.

    allow_partial_load: names that the checkpoint does not have keep their values; otherwise RuntimeError.
    """

    def __init__(self, flatten_state_dict=True, flatten_sharded_tensors=True, allow_partial_load=False):
        self.flatten_state_dict, self.allow_partial_load = flatten_state_dict, allow_partial_load

    def set_up_planner(self, state_dict, metadata=None, is_coordinator=False):
        self.original, self.metadata = state_dict, metadata
        self.flat, self.paths = flatten(state_dict) if self.flatten_state_dict else (
            dict(state_dict), {k: (k,) for k in state_dict})

    def create_local_plan(self):
        items = []
        for name, value in self.flat.items():
            known = self.metadata.state_dict_metadata.get(name)
            if known is None:
                if self.allow_partial_load:
                    continue
                raise RuntimeError(f"Missing key in checkpoint state_dict: {name}.")
            if isinstance(known, BytesStorageMetadata) or not isinstance(value, torch.Tensor):
                if isinstance(known, TensorStorageMetadata):
                    raise ValueError(f"{name} is a tensor in the checkpoint and {type(value).__name__} here")
                none = torch.Size([0])
                index = MetadataIndex(name)
                items.append(ReadItem(LoadItemType.BYTE_IO, index, none, index, none, none))
                continue
            offsets, sizes, whole = box(value)
            if known.size != whole:
                raise ValueError(f"Size mismatch between saved {known.size} and current: {whole} for {name}")
            for chunk in known.chunks:
                start = [max(a, b) for a, b in zip(offsets, chunk.offsets)]
                end = [min(a + n, b + m) for a, n, b, m in zip(offsets, sizes, chunk.offsets, chunk.sizes)]
                if all(e > s for s, e in zip(start, end)) or not whole.numel():
                    items.append(ReadItem(
                        LoadItemType.TENSOR, MetadataIndex(name, offsets),
                        torch.Size(s - o for s, o in zip(start, offsets)), MetadataIndex(name, chunk.offsets),
                        torch.Size(s - o for s, o in zip(start, chunk.offsets)),
                        torch.Size(e - s for s, e in zip(start, end))))
        return LoadPlan(items)

    def create_global_plan(self, global_plan):
        return global_plan

    def finish_plan(self, new_plan):
        return new_plan

    def load_bytes(self, read_item, value):
        name = read_item.dest_index.fqn
        put(self.original, self.paths[name], torch.load(value, weights_only=True))

    def resolve_tensor(self, read_item):
        return narrowed(self.flat[read_item.dest_index.fqn].detach(), read_item.dest_offsets, read_item.lengths)

    def commit_tensor(self, read_item, tensor):
        """Nothing: the tensor was filled in place."""


def narrowed(t, offsets, lengths):
    """A box of a tensor, as a view."""
    for dim, (start, n) in enumerate(itertools.zip_longest(offsets, lengths)):
        t = t.narrow(dim, start, n)
    return t
