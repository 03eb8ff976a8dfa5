"""Checkpoints that all processes write and read together, each its part (`torch.distributed.checkpoint`)."""

from . import state_dict
from .filesystem import FileSystemReader, FileSystemWriter
from .huggingface import HuggingFaceStorageReader, HuggingFaceStorageWriter
from .metadata import (
    BytesStorageMetadata,
    CheckpointException,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from .saving import async_save, load, load_state_dict, save, save_state_dict
from .storage import StorageReader, StorageWriter

__all__ = [
    "BytesStorageMetadata", "CheckpointException", "ChunkStorageMetadata", "DefaultLoadPlanner",
    "DefaultSavePlanner", "FileSystemReader", "FileSystemWriter", "HuggingFaceStorageReader",
    "HuggingFaceStorageWriter", "LoadItemType", "LoadPlan", "LoadPlanner", "Metadata", "MetadataIndex", "ReadItem",
    "SavePlan", "SavePlanner", "StorageReader", "StorageWriter", "TensorProperties", "TensorStorageMetadata",
    "WriteItem", "WriteItemType", "async_save", "load", "load_state_dict", "save", "save_state_dict", "state_dict",
]
