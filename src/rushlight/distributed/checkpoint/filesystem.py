"""Checkpoints in a directory: a safetensors file a process, and ``.metadata``, which is JSON.

Nothing in it is code: objects are kept as `torch.save` writes them, and read with ``weights_only=True``. PyTorch's own
directories, whose metadata is a pickle, are not read.
"""

import io
import json
import os
import struct
from pathlib import Path

import rushlight as torch
from rushlight.futures import Future

from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import LoadItemType, WriteItemType, narrowed
from .storage import StorageReader, StorageWriter, WriteResult

_FORMAT = "rushlight distributed checkpoint 1"


def _done(value):
    future = Future()
    future.set_result(value)
    return future


class FileSystemWriter(StorageWriter):
    """Writes to the directory `path`.

    sync_files: have the system bring each file to the disk. overwrite: False refuses a directory with a checkpoint.
    """

    def __init__(self, path, single_file_per_rank=True, sync_files=True, thread_count=1,
                 per_thread_copy_ahead=10_000_000, cache_staged_state_dict=False, overwrite=True):
        self.path, self.sync_files, self.overwrite = Path(path), sync_files, overwrite
        self._prefix = "__0"

    def reset(self, checkpoint_id=None):
        if checkpoint_id:
            self.path = Path(checkpoint_id)

    def set_up_storage_writer(self, is_coordinator, *args, **kwargs):
        self._coordinator = is_coordinator

    def prepare_local_plan(self, plan):
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / ".metadata").exists() and not self.overwrite:
            raise RuntimeError(f"Checkpoint already exists and self.overwrite={self.overwrite}.")
        return plan

    def prepare_global_plan(self, plans):
        from dataclasses import replace
        return [replace(plan, storage_data=f"__{i}_0.safetensors") for i, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        from rushlight.serialization.safetensors import save_file
        tensors, results = {}, []
        for i, item in enumerate(plan.items):
            data = planner.resolve_data(item)
            if item.type is WriteItemType.BYTE_IO:
                data = torch.frombuffer(bytearray(data.getvalue()), dtype=torch.uint8)
            key = f"{i}:{item.index.fqn}"
            tensors[key] = data.contiguous().clone()
            results.append(WriteResult(item.index, data.numel() * data.element_size(), [plan.storage_data, key]))
        if tensors:
            path = self.path / plan.storage_data
            save_file(tensors, str(path))
            if self.sync_files:
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
        return _done(results)

    def finish(self, metadata, results):
        places = {(r.index.fqn, r.index.offset): r.storage_data for row in results for r in row}
        contents = {}
        for name, entry in metadata.state_dict_metadata.items():
            path = list(metadata.planner_data[name])
            if isinstance(entry, BytesStorageMetadata):
                contents[name] = {"path": path, "place": places[name, None]}
            else:
                contents[name] = {"path": path, "dtype": str(entry.properties.dtype).removeprefix("torch."),
                                  "size": list(entry.size),
                                  "chunks": [{"offsets": list(c.offsets), "sizes": list(c.sizes),
                                              "place": places[name, c.offsets]} for c in entry.chunks]}
        text = json.dumps({"format": _FORMAT, "contents": contents}, indent=1)
        part = self.path / ".metadata.part"
        part.write_text(text)
        os.replace(part, self.path / ".metadata")      # a checkpoint is there once its metadata is

    @property
    def checkpoint_id(self):
        return self.path

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return isinstance(checkpoint_id, Path) or "://" not in str(checkpoint_id)


class FileSystemReader(StorageReader):
    """Reads from the directory `path`."""

    def __init__(self, path):
        self.reset(path)

    def reset(self, checkpoint_id=None):
        if checkpoint_id:
            self.path = Path(checkpoint_id)
        self._places, self._headers = {}, {}

    def read_metadata(self, *args, **kwargs):
        with open(self.path / ".metadata", "rb") as file:
            data = file.read()
        try:
            told = json.loads(data)
            if told["format"] != _FORMAT:
                raise KeyError
        except (ValueError, KeyError, TypeError):
            raise NotImplementedError(f"{self.path}: not a checkpoint of this library's format") from None
        contents, paths, places = {}, {}, {}
        for name, entry in told["contents"].items():
            paths[name] = tuple(entry["path"])
            if "place" in entry:
                contents[name] = BytesStorageMetadata()
                places[MetadataIndex(name)] = entry["place"]
                continue
            chunks = [ChunkStorageMetadata(torch.Size(c["offsets"]), torch.Size(c["sizes"])) for c in entry["chunks"]]
            contents[name] = TensorStorageMetadata(TensorProperties(getattr(torch, entry["dtype"])),
                                                   torch.Size(entry["size"]), chunks)
            for chunk, c in zip(chunks, entry["chunks"]):
                places[MetadataIndex(name, chunk.offsets)] = c["place"]
        return Metadata(contents, paths, places)

    def set_up_storage_reader(self, metadata, is_coordinator, *args, **kwargs):
        self._places = metadata.storage_data

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return plans

    def _tensor(self, place):
        """What was written at a place."""
        from rushlight.serialization.safetensors import _NAMES
        name, key = place
        if os.path.basename(name) != name:
            raise ValueError(f"a checkpoint's file is not in its directory: {name!r}")
        with open(self.path / name, "rb") as file:
            if name not in self._headers:
                size = struct.unpack("<Q", file.read(8))[0]
                if size > 100 << 20:
                    raise ValueError(f"{name}: a header of {size} bytes")
                self._headers[name] = json.loads(file.read(size)), 8 + size
            header, start = self._headers[name]
            entry = header[key]
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            data = bytearray(file.read(end - begin))
        if len(data) != end - begin:
            raise ValueError(f"{name} is shorter than its header says")
        dtype = getattr(torch, _NAMES[entry["dtype"]])
        if not data:
            return torch.empty(entry["shape"], dtype=dtype)
        return torch.frombuffer(data, dtype=dtype).view(entry["shape"])

    def read_data(self, plan, planner):
        last = None, None
        for item in sorted(plan.items, key=lambda i: tuple(self._places[i.storage_index])):
            place = tuple(self._places[item.storage_index])
            if last[0] != place:
                last = place, self._tensor(place)
            if item.type is LoadItemType.BYTE_IO:
                planner.load_bytes(item, io.BytesIO(last[1].numpy().tobytes()))
                continue
            target = planner.resolve_tensor(item)
            target.copy_(narrowed(last[1], item.storage_offsets, item.lengths))
            planner.commit_tensor(item, target)
        return _done(None)

    @property
    def checkpoint_id(self):
        return self.path

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return isinstance(checkpoint_id, Path) or "://" not in str(checkpoint_id)
