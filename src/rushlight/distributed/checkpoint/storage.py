"""What writes and reads checkpoints."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from .metadata import MetadataIndex


@dataclass
class WriteResult:
    """Where something was written."""

    index: MetadataIndex
    size_in_bytes: int
    storage_data: Any


class StorageWriter(ABC):
    """Writes what planners decide. Methods are called in the order in which they stand here."""

    @abstractmethod
    def reset(self, checkpoint_id=None):
        """A new checkpoint begins."""

    @abstractmethod
    def set_up_storage_writer(self, is_coordinator):
        """Called first in all processes."""

    @abstractmethod
    def prepare_local_plan(self, plan):
        """This process's plan, changed as needed."""

    @abstractmethod
    def prepare_global_plan(self, plans):
        """All plans, changed as needed. Called by the coordinator."""

    @abstractmethod
    def write_data(self, plan, planner):
        """Write all items; a Future of a list of `WriteResult`."""

    @abstractmethod
    def finish(self, metadata, results):
        """Write the metadata, with the results of all processes. Called by the coordinator."""

    @classmethod
    @abstractmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        """Whether it names a place this can write to."""

    def storage_meta(self):
        """Facts for the metadata, or None."""
        return None


class StorageReader(ABC):
    """Reads what planners decide."""

    @abstractmethod
    def reset(self, checkpoint_id=None):
        """Another checkpoint is read."""

    @abstractmethod
    def read_metadata(self, *args, **kwargs):
        """The checkpoint's `Metadata`."""

    @abstractmethod
    def set_up_storage_reader(self, metadata, is_coordinator):
        """Called first in all processes."""

    @abstractmethod
    def prepare_local_plan(self, plan):
        """This process's plan, changed as needed."""

    @abstractmethod
    def prepare_global_plan(self, plans):
        """All plans, changed as needed. Called by the coordinator."""

    @abstractmethod
    def read_data(self, plan, planner):
        """Read all items; a Future of None."""

    @classmethod
    @abstractmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        """Whether it names a place this can read from."""
