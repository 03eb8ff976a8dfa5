"""The collective functions: arguments checked, then a method of the group called."""

import contextlib
import warnings

import rushlight as torch

from .groups import get_group_rank, of
from .process_group import _read
from .reducing import ReduceOp, kind_of, supports_complex


def _tensor(value, name):
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n"
                        f"             but got {type(value)} instead.")
    if value.layout is not torch.strided:
        raise NotImplementedError(f"torch.distributed: collectives of {value.layout} tensors")


def _tensors(values, name):
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
                        f"             but got {type(values)} instead.")
    for t in values:
        if not isinstance(t, torch.Tensor):
            raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
                            f"             but got {type(values)} with elements of type {type(t)}.")


def _one_dtype(*tensors):
    first = None
    for one in tensors:
        for t in one if isinstance(one, (list, tuple)) else (one,):
            first = t.dtype if first is None else first
            if t.dtype is not first:
                raise ValueError(f"Invalid usage of tensors with different dtypesFound {first} and  {t.dtype}")


def member(group, name):
    """The group, or None with a warning in processes outside of it."""
    found = of(group)
    if found is None:
        warnings.warn(f"Running {name} on global rank {of(None).rank()} which does not belong to the given group.",
                      UserWarning, stacklevel=3)
    return found


def rank_in(group, global_rank, group_rank, default=None):
    """The rank in `group` that one of two arguments names; ValueError for none or both."""
    if global_rank is not None and group_rank is not None:
        raise ValueError("Can't specify both group_rank and global_rank")
    if group_rank is not None:
        return group_rank
    if global_rank is None:
        if default is None:
            raise ValueError("Must specify global_rank or group_rank")
        return default
    return get_group_rank(group, global_rank)


def _meta(*tensors):
    """Whether there are no numbers to move."""
    for one in tensors:
        for t in one if isinstance(one, (list, tuple)) else (one,):
            if t.is_meta:
                return True
            _read(t)
    return False


def _done(group, function, async_op):
    """Run, or note down for the end of a `_coalescing_manager`, a call of the group; its Work if `async_op`."""
    batch = getattr(group, "_batch", None)
    if batch is not None:
        batch.append(function)
        return None
    work = function(async_op)
    return work if async_op else None


def _reduces_complex(op, tensor, name):
    if tensor.is_complex() and not supports_complex(op):
        raise ValueError(f"{name} does not support {kind_of(op)} on complex tensors")


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Copy `tensor` of rank `src` (a world rank; `group_src`: one of the group) to all ranks."""
    found = member(group, "broadcast")
    if found is None:
        return None
    root = rank_in(found, src, group_src)
    _tensor(tensor, "tensor")
    if _meta(tensor):
        return None
    return _done(found, lambda a: found.broadcast([tensor], root, async_op=a), async_op)


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op=False):
    """Replace `tensor` by the reduction over all ranks, with the same bits on each. Ranks are combined in order."""
    _tensor(tensor, "tensor")
    kind_of(op)
    found = member(group, "all_reduce")
    if found is None:
        return None
    _reduces_complex(op, tensor, "all_reduce")
    if _meta(tensor):
        return None
    return _done(found, lambda a: found.allreduce([tensor], op, async_op=a), async_op)


def all_reduce_coalesced(tensors, op=ReduceOp.SUM, group=None, async_op=False):
    """`all_reduce` of each of several tensors of one dtype."""
    warnings.warn("`torch.distributed.all_reduce_coalesced` will be deprecated.", FutureWarning, stacklevel=2)
    tensors = [tensors] if isinstance(tensors, torch.Tensor) else tensors
    _tensors(tensors, "tensor")
    _one_dtype(tensors)
    found = member(group, "all_reduce_coalesced")
    if found is None or _meta(tensors):
        return None
    for t in tensors:
        _reduces_complex(op, t, "all_reduce")
    return _done(found, lambda a: found.allreduce_coalesced(tensors, op, async_op=a), async_op)


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op=False, group_dst=None):
    """Replace `tensor` of rank `dst` by the reduction over all ranks; the others' stay as they are."""
    found = member(group, "reduce")
    if found is None:
        return None
    root = rank_in(found, dst, group_dst)
    _tensor(tensor, "tensor")
    _reduces_complex(op, tensor, "reduce")
    if _meta(tensor):
        return None
    return _done(found, lambda a: found.reduce([tensor], root, op, async_op=a), async_op)


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """Copy the tensor of rank i into ``tensor_list[i]``, on all ranks."""
    _tensors(tensor_list, "tensor_list")
    _tensor(tensor, "tensor")
    _one_dtype(tensor_list, tensor)
    found = member(group, "all_gather")
    if found is None or _meta(tensor_list, tensor):
        return None
    return _done(found, lambda a: found.allgather([tensor_list], [tensor], async_op=a), async_op)


def all_gather_coalesced(output_tensor_lists, input_tensor_list, group=None, async_op=False):
    """Copy tensor j of rank i into ``output_tensor_lists[i][j]``, on all ranks."""
    warnings.warn("`torch.distributed.all_gather_coalesced` will be deprecated.", FutureWarning, stacklevel=2)
    if not isinstance(output_tensor_lists, list):
        raise TypeError("Invalid function argument: output_tensor_lists should be a list")
    _tensors(input_tensor_list, "input_tensor_list")
    for row in output_tensor_lists:
        _tensors(row, "output_tensor_lists")
    found = member(group, "all_gather_coalesced")
    if found is None or _meta(input_tensor_list, *output_tensor_lists):
        return None
    if len(output_tensor_lists) != found.size():
        raise RuntimeError(f"all_gather_coalesced: {len(output_tensor_lists)} lists for {found.size()} ranks")
    by_tensor = [list(column) for column in zip(*output_tensor_lists)]
    return _done(found, lambda a: found.allgather_coalesced(by_tensor, list(input_tensor_list), async_op=a), async_op)


def all_gather_single(output_tensor, input_tensor, group=None, async_op=False):
    """Copy the tensors of all ranks into one tensor, one behind the other (or stacked), on all ranks."""
    _tensor(input_tensor, "input_tensor")
    _tensor(output_tensor, "output_tensor")
    found = member(group, "all_gather_single")
    if found is None or _meta(input_tensor, output_tensor):
        return None
    return _done(found, lambda a: found.all_gather_single(output_tensor, input_tensor, async_op=a), async_op)


def _renamed(old, new):
    warnings.warn(f"`torch.distributed.{old}` is deprecated. Please use `torch.distributed.{new}` instead.",
                  FutureWarning, stacklevel=3)


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """The older name of `all_gather_single`."""
    _renamed("all_gather_into_tensor", "all_gather_single")
    return all_gather_single(output_tensor, input_tensor, group, async_op)


_all_gather_base = all_gather_into_tensor


def _of_root(group, root, tensor, tensors, name, end):
    """The list that the root has to give and no other rank may."""
    tensors = tensors or []
    _tensors(tensors, name)
    _one_dtype(tensor, tensors)
    if group.rank() == root and not tensors:
        raise ValueError(f"Argument ``{name}`` must be specified on {end} rank.")
    if group.rank() != root and tensors:
        raise ValueError(f"Argument ``{name}`` must NOT be specified on non-{end} ranks.")
    return tensors


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Copy the tensor of rank i into ``gather_list[i]`` of rank `dst` (0 by default), where alone it is given."""
    _tensor(tensor, "tensor")
    found = member(group, "gather")
    if found is None:
        return None
    root = rank_in(found, dst, group_dst, 0)
    gather_list = _of_root(found, root, tensor, gather_list, "gather_list", "destination")
    if _meta(tensor):
        return None
    outputs = [gather_list] if gather_list else []
    return _done(found, lambda a: found.gather(outputs, [tensor], root, async_op=a), async_op)


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Copy ``scatter_list[i]`` of rank `src` (0 by default), where alone it is given, into `tensor` of rank i."""
    _tensor(tensor, "tensor")
    found = member(group, "scatter")
    if found is None:
        return None
    root = rank_in(found, src, group_src, 0)
    scatter_list = _of_root(found, root, tensor, scatter_list, "scatter_list", "source")
    if _meta(tensor):
        return None
    inputs = [scatter_list] if scatter_list else []
    return _done(found, lambda a: found.scatter([tensor], inputs, root, async_op=a), async_op)


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduce ``input_list[i]`` of all ranks into `output` of rank i."""
    _tensor(output, "output")
    _tensors(input_list, "input_list")
    _one_dtype(output, input_list)
    found = member(group, "reduce_scatter")
    if found is None or _meta(output, input_list):
        return None
    _reduces_complex(op, output, "reduce_scatter")
    return _done(found, lambda a: found.reduce_scatter([output], [input_list], op, async_op=a), async_op)


def reduce_scatter_single(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduce the i-th of the equal parts of `input` of all ranks into `output` of rank i."""
    _tensor(output, "output")
    _tensor(input, "input")
    found = member(group, "reduce_scatter_single")
    if found is None or _meta(output, input):
        return None
    _reduces_complex(op, output, "reduce_scatter_single")
    return _done(found, lambda a: found.reduce_scatter_single(output, input, op, async_op=a), async_op)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """The older name of `reduce_scatter_single`."""
    _renamed("reduce_scatter_tensor", "reduce_scatter_single")
    return reduce_scatter_single(output, input, op, group, async_op)


_reduce_scatter_base = reduce_scatter_tensor


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Copy ``input_tensor_list[j]`` of rank i into ``output_tensor_list[i]`` of rank j."""
    _tensors(output_tensor_list, "output_tensor_list")
    _tensors(input_tensor_list, "input_tensor_list")
    _one_dtype(output_tensor_list, input_tensor_list)
    found = member(group, "all_to_all")
    if found is None or _meta(output_tensor_list, input_tensor_list):
        return None
    return _done(found, lambda a: found.alltoall(output_tensor_list, input_tensor_list, async_op=a), async_op)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """Cut `input` along dimension 0, equally or by `input_split_sizes`, send part j to rank j, and join in `output`."""
    _tensor(output, "output")
    _tensor(input, "input")
    _one_dtype(output, input)
    found = member(group, "all_to_all_single")
    if found is None or _meta(output, input):
        return None
    return _done(found, lambda a: found.alltoall_base(output, input, output_split_sizes or [], input_split_sizes or [],
                                                      async_op=a), async_op)


def barrier(group=None, async_op=False, device_ids=None, timeout=None):
    """Return once all ranks have called this."""
    found = member(group, "barrier")
    if found is None:
        return None
    if device_ids is not None and not isinstance(device_ids, list):
        raise TypeError("Invalid function argument: device_ids type should be List[int]")
    work = found.barrier(async_op=async_op, **({} if timeout is None else {"timeout": timeout}))
    return work if async_op else None


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """`barrier` in which rank 0 names a rank that does not come within `timeout`, with `wait_all_ranks` all such."""
    found = member(group, "monitored_barrier")
    if found is not None:
        found.monitored_barrier(timeout, wait_all_ranks)


@contextlib.contextmanager
def _coalescing_manager(group=None, device=None, async_ops=False):
    """Collectives inside begin together at the end; yields an object whose `wait` waits for them all."""
    found = of(group)
    manager = _CoalescingManager()
    found._batch = []
    try:
        yield manager
    finally:
        batch, found._batch = found._batch, None
    for call in batch:
        manager.append(call(True))
    if not async_ops:
        manager.wait()


class _CoalescingManager:
    """The operations of a `_coalescing_manager`."""

    def __init__(self):
        self.works = []

    def append(self, work):
        if work is not None:
            self.works.append(work)

    def wait(self):
        for work in self.works:
            work.wait()


@contextlib.contextmanager
def record_comm(name):
    """A region of communication under a name, for profiles."""
    yield


