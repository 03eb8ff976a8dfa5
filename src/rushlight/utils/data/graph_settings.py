"""Settings for all pipes that a pipe reads from: shards of workers, shuffling, seeds."""

import sys
import warnings

import rushlight as torch


def is_pipe(dataset):
    """Whether `dataset` is a pipe; loads nothing."""
    loaded = sys.modules.get("rushlight.utils.data.datapipes.datapipe")
    return loaded is not None and isinstance(dataset, (loaded.IterDataPipe, loaded.MapDataPipe))


def get_all_graph_pipes(datapipe):
    """The pipe, and those it reads from, each once, from the end to the sources."""
    found, pending = {}, [datapipe]
    while pending:
        x = pending.pop(0)
        if isinstance(x, (list, tuple)):
            pending.extend(x)
        elif isinstance(x, dict):
            pending.extend(x.values())
        elif is_pipe(x):
            if id(x) not in found:
                found[id(x)] = x
                pending.extend(vars(x).values())
        elif hasattr(x, "hand_out"):                # what `fork` and `demux` read with
            pending.append(x.datapipe)
    return list(found.values())


def apply_sharding(datapipe, num_of_instances, instance_id):
    """Tell every `sharding_filter` its number; RuntimeError where one reads from another."""
    sharded = []
    for pipe in get_all_graph_pipes(datapipe):
        if hasattr(type(pipe), "apply_sharding"):
            below = get_all_graph_pipes(list(vars(pipe).values()))
            if any(hasattr(type(p), "apply_sharding") for p in below):
                raise RuntimeError("Sharding twice on a single pipeline is likely unintended and will cause data loss. "
                                   f"Sharding already applied below {pipe}")
            sharded.append(pipe)
    for pipe in sharded:
        pipe.apply_sharding(num_of_instances, instance_id)
    return datapipe


def _shufflers(datapipe):
    return [p for p in get_all_graph_pipes(datapipe)
            if hasattr(type(p), "set_shuffle") and hasattr(type(p), "set_seed")]


def apply_shuffle_settings(datapipe, shuffle=None):
    """Switch every shuffling pipe on or off (None: leave them); one is added where there is none to switch on."""
    if shuffle is None:
        return datapipe
    shufflers = _shufflers(datapipe)
    if shuffle and not shufflers:
        warnings.warn("`shuffle=True` was set, but the datapipe does not contain a `Shuffler`. Adding one at the end. "
                      "Be aware that the default buffer size might not be sufficient for your task.", stacklevel=3)
        datapipe = datapipe.shuffle()
        shufflers = _shufflers(datapipe)[:1]
    for pipe in shufflers:
        pipe.set_shuffle(shuffle)
    return datapipe


def apply_random_seed(datapipe, rng):
    """Seed every shuffling pipe for its next iteration, from generator `rng`."""
    for pipe in _shufflers(datapipe):
        pipe.set_seed(int(torch.empty((), dtype=torch.int64).random_(generator=rng).item()))
    return datapipe


def seed_pipes(datapipe, seed):
    """`apply_random_seed` from a generator with this seed."""
    return apply_random_seed(datapipe, torch.Generator().manual_seed(seed))
