"""Checkpoints as model hubs keep them: safetensors files with whole tensors under their own names, and an index."""

import json
import os
import struct
from dataclasses import replace

import rushlight as torch
from rushlight.serialization.safetensors import _NAMES, save_file

from .filesystem import FileSystemReader, FileSystemWriter, _done
from .metadata import ChunkStorageMetadata, Metadata, MetadataIndex, TensorProperties, TensorStorageMetadata
from .planner import WriteItemType
from .storage import WriteResult

_INDEX = "model.safetensors.index.json"


class HuggingFaceStorageWriter(FileSystemWriter):
    """Writes whole tensors to `path`, a file for each process that writes any, and ``model.safetensors.index.json``.

    Parts of tensors raise NotImplementedError: make them whole first. Objects raise ValueError, as the format has none.

    Args:
        fqn_to_index_mapping: the number of the file (from 1) for each name; without it files go by processes.
    """

    def __init__(self, path, fqn_to_index_mapping=None, thread_count=1, save_distributed=False,
                 enable_consolidation=False, thread_count_consolidation=1):
        if save_distributed or enable_consolidation:
            raise NotImplementedError("HuggingFaceStorageWriter: parts of tensors, and joining them")
        super().__init__(path)
        self.files = fqn_to_index_mapping

    def prepare_global_plan(self, plans):
        writing = [i for i, plan in enumerate(plans) if plan.items]
        count = max(self.files.values(), default=1) if self.files else max(len(writing), 1)
        if self.files:              # a file has one writer: all go to the first process
            items = [item for plan in plans for item in plan.items]
            plans = [replace(plan, items=items if i == 0 else []) for i, plan in enumerate(plans)]
        number = {rank: i for i, rank in enumerate(writing, 1)}
        return [replace(plan, storage_data=(number.get(i, 1), count)) for i, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        number, count = plan.storage_data
        files, results = {}, []
        for item in plan.items:
            name = item.index.fqn
            if item.type is WriteItemType.BYTE_IO:
                raise ValueError(f"{name}: no tensor, which the safetensors format cannot hold")
            if item.type is WriteItemType.SHARD:
                raise NotImplementedError(f"{name}: a part of a tensor")
            data = planner.resolve_data(item).contiguous()
            file = f"model-{self.files[name] if self.files else number:05}-of-{count:05}.safetensors"
            files.setdefault(file, {})[name] = data.clone()
            results.append(WriteResult(item.index, data.nbytes, file))
        for file, tensors in files.items():
            save_file(tensors, str(self.path / file), {"format": "pt"})
        return _done(results)

    def finish(self, metadata, results):
        every = [r for row in results for r in row]
        told = {"metadata": {"total_size": sum(r.size_in_bytes for r in every)},
                "weight_map": {r.index.fqn: r.storage_data for r in every}}
        part = self.path / f"{_INDEX}.part"
        part.write_text(json.dumps(told, indent=2))
        os.replace(part, self.path / _INDEX)


class HuggingFaceStorageReader(FileSystemReader):
    """Reads the tensors of all safetensors files in the directory `path`, each process what it needs of them."""

    def __init__(self, path, thread_count=1):
        super().__init__(path)

    def read_metadata(self, *args, **kwargs):
        contents, places = {}, {}
        for path in sorted(self.path.glob("*.safetensors")):
            with open(path, "rb") as file:
                size = struct.unpack("<Q", file.read(8))[0]
                if size > 100 << 20:
                    raise ValueError(f"{path.name}: a header of {size} bytes")
                header = json.loads(file.read(size))
            self._headers[path.name] = header, 8 + size
            for name, entry in header.items():
                if name == "__metadata__":
                    continue
                whole = torch.Size(entry["shape"])
                chunk = ChunkStorageMetadata(torch.Size([0] * len(whole)), whole)
                dtype = getattr(torch, _NAMES[entry["dtype"]])
                contents[name] = TensorStorageMetadata(TensorProperties(dtype), whole, [chunk])
                places[MetadataIndex(name, chunk.offsets)] = [path.name, name]
        if not contents:
            raise FileNotFoundError(f"{self.path}: no safetensors files with tensors")
        return Metadata(contents, {name: (name,) for name in contents}, places)
