"""The groups of this process: the default one, and those made from it."""

import hashlib
from datetime import timedelta

from .backends import Backend, BackendConfig, plugin_group, refuse
from .constants import default_pg_timeout, seconds
from .engine import Engine
from .process_group import ProcessGroup
from .rendezvous import rendezvous
from .store import PrefixStore, Store

_UNINITIALIZED = "Default process group has not been initialized, please make sure to call init_process_group."


class GroupMember:
    """What `new_group` returns in processes that are not in the group."""

    WORLD = None
    NON_GROUP_MEMBER = -100


class _WorldOfGroup(type):
    @property
    def WORLD(cls):
        """The default group, None before `init_process_group`."""
        return GroupMember.WORLD

    @WORLD.setter
    def WORLD(cls, group):
        GroupMember.WORLD = group


class group(metaclass=_WorldOfGroup):
    """`group.WORLD` is the default group."""


def GroupName(name):
    """A group's name: text that is the same in all its processes."""
    return name


class _World:
    """All groups of this process."""

    def __init__(self):
        self.groups = {}                # group -> (Backend, BackendConfig)
        self.count, self.local_counts = 0, {}
        self.engine = self.store = None
        self.rank, self.size = -1, 0


_world = _World()
_initialized = 0                        # how often a default group was made: stores that are used again need new keys


def is_initialized():
    """Whether there is a default group."""
    return GroupMember.WORLD is not None


def default_group():
    """The default group; ValueError where there is none."""
    if GroupMember.WORLD is None:
        raise ValueError(_UNINITIALIZED)
    return GroupMember.WORLD


_get_default_group = default_group


def _timeout(timeout):
    if timeout is None:
        return default_pg_timeout
    if not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    return timeout


def init_process_group(backend=None, init_method=None, timeout=None, world_size=-1, rank=-1, store=None, group_name="",
                       pg_options=None, device_id=None, _ranks=None):
    """Make the default group of all processes of a job; they all call this, and wait for each other.

    Args:
        backend: "gloo"; also by device, ``cpu:gloo``. None means "gloo".
        init_method: ``env://`` (the default: environment variables MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE),
            ``tcp://host:port`` where rank 0 serves, or ``file:///path`` of a file that does not exist yet.
        timeout: a timedelta, how long an operation may take (30 minutes).
        world_size, rank: how many processes there are, and which this is.
        store: a `Store` that all processes share, in the place of `init_method`.

    Raises:
        ValueError: a default group is there, or something is missing or makes no sense.
        RuntimeError: the backend is not here (its name is told), or connecting failed.
    """
    global _initialized
    if GroupMember.WORLD is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    if store is not None and (world_size < 1 or rank < 0):
        raise AssertionError("world_size must be positive if using store" if world_size < 1 else
                             "rank must be non-negative if using store")
    timeout = _timeout(timeout)
    name = Backend(backend) if backend else Backend(Backend.UNDEFINED)
    config = BackendConfig(name if backend else Backend("gloo"))
    serving = config.get_device_backend_map().get("cpu")
    refuse(serving if serving is not None else str(name))
    if store is None:
        store, rank, world_size = next(rendezvous(init_method or "env://", rank, world_size, timeout=timeout))
        store.set_timeout(timeout)
    if not 0 <= rank < world_size:
        raise ValueError(f"init_process_group(): rank {rank} is not below world_size {world_size}")
    if not isinstance(store, Store):
        raise TypeError(f"init_process_group(): store must be a Store, got {type(store).__name__}")
    _initialized += 1
    store = PrefixStore("default_pg", store)
    ranks = list(range(world_size))
    own = PrefixStore(f"{_initialized}", store)
    made = plugin_group(serving, own, ranks, rank, "0", timeout)
    if made is None:
        _world.engine = Engine(own, rank, world_size, seconds(timeout))
        made = ProcessGroup(own, _world.engine, ranks, rank, group_name or "0", timeout, "default_pg")
    _world.store, _world.rank, _world.size = own, rank, world_size
    _world.count, _world.local_counts = 1, {}
    _world.groups[made] = Backend(serving) if backend is None else name, config
    GroupMember.WORLD = made


def destroy_process_group(group=None):
    """Close a group; the default group (or None) with all others and the connections."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    group = GroupMember.WORLD if group is None else group
    if group is None:
        raise AssertionError("Process group cannot be None")
    if group not in _world.groups:
        raise ValueError("Invalid process group specified")
    if group is not GroupMember.WORLD:
        group.shutdown()
        del _world.groups[group]
        return
    for g in [*_world.groups][::-1]:
        if hasattr(g, "shutdown"):
            g.shutdown()
    _world.groups.clear()
    GroupMember.WORLD = None
    engine, _world.engine, _world.store = _world.engine, None, None
    if engine is not None:
        engine.close()


def of(group):
    """The group an argument `group` stands for (None: the default), or None in processes outside of it."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    if group is None or group is GroupMember:
        return default_group()
    if hasattr(group, "get_group") and not isinstance(group, ProcessGroup):
        return group.get_group()        # a mesh of one dimension
    return group


def get_rank(group=None):
    """The number of this process in a group; -1 outside of it."""
    found = of(group)
    return -1 if found is None or found not in _world.groups else found.rank()


def get_world_size(group=None):
    """How many processes a group has; -1 outside of it."""
    found = of(group)
    return -1 if found is None or found not in _world.groups else found.size()


def _record(group):
    found = of(group)
    if found is None or found not in _world.groups:
        raise ValueError("Invalid process group specified")
    return _world.groups[found]


def get_backend(group=None):
    """The name of a group's backend."""
    return _record(group)[0]


def get_backend_config(group=None):
    """The backends of a group by device, as text."""
    return str(_record(group)[1])


def get_pg_count():
    """How many groups have been made."""
    return _world.count


def get_process_group_ranks(group):
    """The world ranks of a group's processes, in the group's order."""
    found = of(group)
    if found is None:
        raise ValueError("Invalid process group specified")
    return list(found.ranks) if hasattr(found, "ranks") else list(range(found.size()))


def get_group_rank(group, global_rank):
    """The rank in `group` of the process with a world rank; ValueError where it is not in it."""
    ranks = get_process_group_ranks(group)
    if of(group) is GroupMember.WORLD:
        return global_rank
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return ranks.index(global_rank)


def get_global_rank(group, group_rank):
    """The world rank of a rank of `group`; ValueError where there is none."""
    ranks = get_process_group_ranks(group)
    if of(group) is GroupMember.WORLD:
        return group_rank
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def new_group(ranks=None, timeout=None, backend=None, pg_options=None, use_local_synchronization=False, group_desc=None,
              device_id=None, sort_ranks=True):
    """A group of the processes with the world ranks `ranks` (None: all); NON_GROUP_MEMBER outside of it.

    All processes of the job call this in the same order, or with `use_local_synchronization` only its members.

    Args:
        sort_ranks: number its members by world rank; otherwise as they are listed.
    """
    world = default_group()
    timeout = _timeout(timeout) if timeout is not None else getattr(world, "_timeout", default_pg_timeout)
    name = Backend(backend) if backend else _world.groups[world][0]
    config = BackendConfig(Backend("gloo") if name == Backend.UNDEFINED else name)
    serving = config.get_device_backend_map().get("cpu")
    refuse(serving if serving is not None else str(name))
    ranks = list(range(_world.size)) if ranks is None else list(ranks)
    if len(set(ranks)) != len(ranks):
        raise ValueError(f"ranks list must not contain duplicate entries, got {ranks}")
    for r in ranks:
        if not isinstance(r, int) or not 0 <= r < _world.size:
            raise ValueError(f"Rank {r} is out of range. Valid ranks are 0 to {_world.size - 1} "
                             f"(world_size={_world.size})")
    if sort_ranks:
        ranks.sort()
    if use_local_synchronization:
        if _world.rank not in ranks:
            return GroupMember.NON_GROUP_MEMBER
        members = hashlib.sha1(",".join(map(str, ranks)).encode()).hexdigest()
        turn = _world.local_counts[members] = _world.local_counts.get(members, -1) + 1
        group_name = f"{members}_{turn}"
    else:
        group_name = str(_world.count)  # the same in all processes, as all make this group
        _world.count += 1
    if _world.rank not in ranks:
        return GroupMember.NON_GROUP_MEMBER
    store = PrefixStore(f"group{group_name}", _world.store)
    made = plugin_group(serving, store, ranks, _world.rank, group_name, timeout)
    if made is None:
        made = ProcessGroup(store, _world.engine, ranks, _world.rank, group_name, timeout, group_desc)
    _world.groups[made] = name, config
    return made


def new_subgroups_by_enumeration(ranks_per_subgroup_list, timeout=None, backend=None, pg_options=None, group_desc=None):
    """A group for each list of ranks, which share no rank; returns the group of this process and all groups."""
    if not ranks_per_subgroup_list:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    seen, groups, own = {}, [], None
    for ranks in ranks_per_subgroup_list:
        made = new_group(ranks, timeout, backend, pg_options, group_desc=group_desc)
        groups.append(made)
        for r in ranks:
            if r in seen:
                raise ValueError(f"Rank {r} has appeared in both subgroup {seen[r]} and {ranks}")
            seen[r] = ranks
            if r == get_rank():
                own = made
    return own, groups


def new_subgroups(group_size=None, group=None, timeout=None, backend=None, pg_options=None, group_desc=None):
    """Groups of `group_size` consecutive ranks each; returns the group of this process and all groups."""
    if group_size is None:
        raise ValueError("new_subgroups(): group_size is needed where there are no devices to take it from")
    ranks = get_process_group_ranks(group)
    if group_size <= 0:
        raise ValueError(f"The arg 'group_size' ({group_size}) must be positive")
    if group_size > len(ranks):
        raise ValueError(f"The arg 'group_size' ({group_size}) must not exceed the world size ({len(ranks)})")
    if len(ranks) % group_size:
        raise ValueError(f"The world size ({len(ranks)}) must be divisible by 'group_size={group_size}'")
    return new_subgroups_by_enumeration([ranks[i:i + group_size] for i in range(0, len(ranks), group_size)], timeout,
                                        backend, pg_options, group_desc)


def split_group(parent_pg=None, split_ranks=None, timeout=None, pg_options=None, group_desc=None, backend=None):
    """The group of this process after `parent_pg` is split into the lists `split_ranks` of its ranks; None outside.

    All processes of the parent call this; others need not.
    """
    parent = of(parent_pg)
    if not split_ranks:
        raise ValueError("split_ranks cannot be None or empty")
    members = get_process_group_ranks(parent)
    flat = [r for ranks in split_ranks for r in ranks]
    if len(set(flat)) != len(flat):
        raise ValueError("the split group cannot have duplicate ranks")
    if any(not 0 <= r < len(members) for r in flat):
        raise ValueError("all ranks of split_ranks must be ranks of the parent group")
    for ranks in split_ranks:
        if parent.rank() in ranks:
            return new_group(sorted(members[r] for r in ranks), timeout, backend, pg_options, True,
                             group_desc or f"{parent.group_desc}:split:{parent.group_name}")
    return None


def shrink_group(ranks_to_exclude, group=None, shrink_flags=0, pg_options=None):
    """A group without some ranks of `group`; called by those that stay; the old one is closed (not the world)."""
    old = of(group)
    if not isinstance(ranks_to_exclude, (list, tuple)) or not ranks_to_exclude:
        raise ValueError("ranks_to_exclude cannot be empty")
    if old.rank() in ranks_to_exclude:
        raise RuntimeError(f"Rank {old.rank()} is to be excluded and must not call shrink_group")
    if any(not 0 <= r < old.size() for r in ranks_to_exclude):
        raise ValueError(f"shrink_group(): ranks {ranks_to_exclude} of a group of {old.size()}")
    made = new_group([w for r, w in enumerate(old.ranks) if r not in ranks_to_exclude], old._timeout,
                     use_local_synchronization=True, group_desc=f"{old.group_desc}:shrunken", sort_ranks=False)
    if old is not GroupMember.WORLD:
        destroy_process_group(old)
    return made
