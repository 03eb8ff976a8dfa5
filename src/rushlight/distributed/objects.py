"""Collectives of Python objects. Objects are pickled, and what arrives is unpickled: trust all processes."""

import io
import pickle

import rushlight as torch

from .calls import all_gather, broadcast, gather, member, rank_in, scatter
from .messages import recv, send


def to_tensor(obj):
    """A pickled object as bytes in a tensor, and their number in another."""
    stream = io.BytesIO()
    pickle.Pickler(stream).dump(obj)
    data = torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)
    return data, torch.tensor([data.numel()], dtype=torch.int64)


def to_object(data, n):
    """The object in the first `n` bytes of a tensor."""
    return pickle.loads(data[:int(n)].numpy().tobytes())


def all_gather_object(object_list, obj, group=None):
    """Put the object of rank i into ``object_list[i]``, on all ranks. Objects are pickled."""
    found = member(group, "all_gather_object")
    if found is None:
        return
    data, n = to_tensor(obj)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(found.size())]
    all_gather(sizes, n, found)
    largest = int(max(size.item() for size in sizes))
    data = torch.cat([data, data.new_zeros(largest - data.numel())])
    parts = [torch.empty(largest, dtype=torch.uint8) for _ in range(found.size())]
    all_gather(parts, data, found)
    for i, (part, size) in enumerate(zip(parts, sizes)):
        object_list[i] = to_object(part, size)


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None):
    """Put the object of rank i into ``object_gather_list[i]`` of rank `dst`. Objects are pickled."""
    found = member(group, "gather_object")
    if found is None:
        return
    root = rank_in(found, dst, group_dst, 0)
    if found.rank() == root and not object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
    if found.rank() != root and object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must NOT be specified on non-destination ranks.")
    data, n = to_tensor(obj)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(found.size())]
    all_gather(sizes, n, found)
    largest = int(max(size.item() for size in sizes))
    data = torch.cat([data, data.new_zeros(largest - data.numel())])
    here = found.rank() == root
    parts = [torch.empty(largest, dtype=torch.uint8) for _ in range(found.size())] if here else None
    gather(data, parts, group=found, group_dst=root)
    if here:
        for i, (part, size) in enumerate(zip(parts, sizes)):
            object_gather_list[i] = to_object(part, size)


def broadcast_object_list(object_list, src=None, group=None, device=None, group_src=None):
    """Replace the objects of all ranks' lists by those of rank `src`. Objects are pickled."""
    found = member(group, "broadcast_object_list")
    if found is None:
        return
    root = rank_in(found, src, group_src, 0)
    here = found.rank() == root
    pairs = [to_tensor(obj) for obj in object_list] if here else []
    sizes = torch.cat([n for _, n in pairs]) if pairs else torch.zeros(len(object_list), dtype=torch.int64)
    broadcast(sizes, group=found, group_src=root)
    data = torch.cat([d for d, _ in pairs]) if pairs else torch.empty(int(sizes.sum()), dtype=torch.uint8)
    broadcast(data, group=found, group_src=root)
    if not here:
        for i, part in enumerate(data.split(sizes.tolist())):
            object_list[i] = to_object(part, part.numel())


def scatter_object_list(scatter_object_output_list, scatter_object_input_list=None, src=None, group=None,
                        group_src=None):
    """Put object i of rank `src`'s list at the head of the output list of rank i. Objects are pickled."""
    found = member(group, "scatter_object_list")
    if found is None:
        return
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    root = rank_in(found, src, group_src, 0)
    here = found.rank() == root
    if here and (scatter_object_input_list is None or len(scatter_object_input_list) != found.size()):
        raise ValueError(f"scatter_object_list(): the source needs a list of {found.size()} objects")
    pairs = [to_tensor(obj) for obj in scatter_object_input_list] if here else []
    largest = torch.tensor([max((d.numel() for d, _ in pairs), default=0)])
    broadcast(largest, group=found, group_src=root)
    width = int(largest)
    data, n = torch.empty(width, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    padded = [torch.cat([d, d.new_zeros(width - d.numel())]) for d, _ in pairs] or None
    scatter(data, padded, group=found, group_src=root)
    scatter(n, [size for _, size in pairs] or None, group=found, group_src=root)
    scatter_object_output_list[0] = to_object(data, n)


def send_object_list(object_list, dst=None, group=None, device=None, group_dst=None, use_batch=False):
    """Send the objects of a list to rank `dst`. Objects are pickled."""
    found = member(group, "send_object_list")
    if found is None:
        return
    root = rank_in(found, dst, group_dst)
    pairs = [to_tensor(obj) for obj in object_list]
    send(torch.cat([n for _, n in pairs]), group=found, group_dst=root)
    send(torch.cat([d for d, _ in pairs]), group=found, group_dst=root)


def recv_object_list(object_list, src=None, group=None, device=None, group_src=None, use_batch=False):
    """Replace the objects of a list by those rank `src` (or any) sends; returns the world rank. Objects are pickled."""
    found = member(group, "recv_object_list")
    if found is None:
        return -1
    sizes = torch.zeros(len(object_list), dtype=torch.int64)
    if src is None and group_src is None:
        source = recv(sizes, group=found)
    else:
        source = recv(sizes, group=found, group_src=rank_in(found, src, group_src))
    data = torch.empty(int(sizes.sum()), dtype=torch.uint8)
    recv(data, source, found)
    for i, part in enumerate(data.split(sizes.tolist())):
        object_list[i] = to_object(part, part.numel())
    return source
