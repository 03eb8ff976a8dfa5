"""Saving and loading, step by step in all processes."""

import traceback

import rushlight as torch
from rushlight.distributed import groups, objects

from .filesystem import FileSystemReader, FileSystemWriter
from .metadata import CheckpointException
from .planner import DefaultLoadPlanner, DefaultSavePlanner


class _Together:
    """The processes of a checkpoint: one of them, or a group with its rank 0 as the coordinator."""

    def __init__(self, group, alone):
        self.group = None if alone or not groups.is_initialized() else groups.of(group)
        self.rank = 0 if self.group is None else self.group.rank()

    def step(self, function, central=None):
        """``function()`` everywhere; with `central` its results are changed by the coordinator, each gets its own."""
        mine, failed = None, {}
        try:
            mine = function()
        except Exception as error:
            failed = {self.rank: (error, traceback.format_exc())}
        every, failures = [mine], failed
        if self.group is not None:
            pairs = [None] * self.group.size()
            objects.all_gather_object(pairs, (mine if central is not None else None, failed), self.group)
            every = [pair[0] for pair in pairs]
            failures = {rank: f for _, told in pairs for rank, f in told.items()}
        if failures:
            raise CheckpointException(function.__name__, failures)
        if central is None:
            return mine
        result, failed = None, {}
        if self.rank == 0:
            try:
                result = central(every)
            except Exception as error:
                failed = {0: (error, traceback.format_exc())}
        if self.group is not None:
            told = [result, failed]
            objects.broadcast_object_list(told, group=self.group, group_src=0)
            result, failed = told
        if failed:
            raise CheckpointException(central.__name__, failed)
        return result[self.rank] if isinstance(result, list) else result


def _values(state_dict):
    """A state dict with the state dicts of its stateful objects in their places."""
    return {key: value.state_dict() if _stateful(value) else value for key, value in state_dict.items()}


def _stateful(value):
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def _writer(storage_writer, checkpoint_id):
    if storage_writer is None:
        if not checkpoint_id:
            raise RuntimeError("`checkpoint_id` must be specified if storage_writer is None.")
        return FileSystemWriter(checkpoint_id)
    storage_writer.reset(checkpoint_id)
    return storage_writer


def save(state_dict, *, checkpoint_id=None, storage_writer=None, planner=None, process_group=None, no_dist=False,
         use_collectives=True):
    """Save a state dict: all processes call this, each writes its part. Returns the `Metadata`.

    Args:
        state_dict: nested dicts and lists of tensors and objects; objects with a `state_dict` method stand for it.
            Sharded parameters are written by parts, other tensors, which have to be equal in all processes, once.
        checkpoint_id: the directory.
        no_dist: save from this process alone.

    Raises CheckpointException with the errors of all processes.
    """
    together = _Together(process_group, no_dist)
    writer, planner = _writer(storage_writer, checkpoint_id), planner or DefaultSavePlanner()
    values = _values(state_dict)
    metadata = None

    def local_plan():
        planner.set_up_planner(values, writer.storage_meta(), together.rank == 0)
        writer.set_up_storage_writer(together.rank == 0)
        return writer.prepare_local_plan(planner.create_local_plan())

    def global_plan(plans):
        nonlocal metadata
        plans, metadata = planner.create_global_plan(plans)
        return writer.prepare_global_plan(plans)
    plan = together.step(local_plan, global_plan)

    def write():
        return writer.write_data(planner.finish_plan(plan), planner).wait()

    def finish(results):
        writer.finish(metadata, results)
        return metadata
    return together.step(write, finish)


def async_save(state_dict, *, checkpoint_id=None, storage_writer=None, planner=None, process_group=None,
               async_checkpointer_type=None, async_stager=None, no_dist=False, use_collectives=True):
    """`save` in a thread, of a copy that is taken first; returns a Future of the metadata.

    The thread uses `process_group` for itself: give a group that nothing else uses meanwhile.
    """
    from concurrent.futures import ThreadPoolExecutor

    from rushlight.utils._pytree import tree_map

    def copied(value):
        if not isinstance(value, torch.Tensor):
            return value
        copy = value.detach().clone()
        if hasattr(value, "_shards"):
            from rushlight.distributed.fsdp import ShardedParameter
            copy = ShardedParameter(copy, False)
            copy.full_shape, copy._shards = value.full_shape, value._shards
        return copy
    staged = tree_map(copied, _values(state_dict))
    pool = ThreadPoolExecutor(1, thread_name_prefix="rushlight-checkpoint")
    future = pool.submit(save, staged, checkpoint_id=checkpoint_id, storage_writer=storage_writer, planner=planner,
                         process_group=process_group, no_dist=no_dist)
    pool.shutdown(wait=False)
    return future


def load(state_dict, *, checkpoint_id=None, storage_reader=None, planner=None, process_group=None, no_dist=False):
    """Fill a state dict from a checkpoint: tensors in place, other values replaced; stateful objects load theirs.

    All processes call this. Parts are read as this process needs them, however they were cut when they were saved.
    Raises CheckpointException with the errors of all processes.
    """
    together = _Together(process_group, no_dist)
    if storage_reader is None:
        if not checkpoint_id:
            raise RuntimeError("`checkpoint_id` must be specified if storage_reader is None.")
        storage_reader = FileSystemReader(checkpoint_id)
    else:
        storage_reader.reset(checkpoint_id)
    planner = planner or DefaultLoadPlanner()
    values = _values(state_dict)

    def local_plan():
        metadata = storage_reader.read_metadata()
        planner.set_up_planner(values, metadata, together.rank == 0)
        storage_reader.set_up_storage_reader(metadata, together.rank == 0)
        return storage_reader.prepare_local_plan(planner.create_local_plan())

    def global_plan(plans):
        return storage_reader.prepare_global_plan(planner.create_global_plan(plans))
    plan = together.step(local_plan, global_plan)

    def read():
        with torch.no_grad():
            storage_reader.read_data(planner.finish_plan(plan), planner).wait()
    together.step(read)
    for key, value in state_dict.items():
        if _stateful(value):
            value.load_state_dict(values[key])
        else:
            state_dict[key] = values[key]


def save_state_dict(state_dict, storage_writer, process_group=None, coordinator_rank=0, no_dist=False, planner=None):
    """The older name of `save`."""
    return save(state_dict, storage_writer=storage_writer, process_group=process_group, no_dist=no_dist,
                planner=planner)


def load_state_dict(state_dict, storage_reader, process_group=None, coordinator_rank=0, no_dist=False, planner=None):
    """The older name of `load`."""
    load(state_dict, storage_reader=storage_reader, process_group=process_group, no_dist=no_dist, planner=planner)
