"""Messages from one process to one other: `send`, `recv`, `isend`, `irecv`, and batches of them."""

from .calls import _tensor, member, rank_in
from .groups import get_global_rank, of


def isend(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Begin to send `tensor` to rank `dst`; it must not change before the Work is done."""
    found = member(group, "isend")
    if found is None:
        return None
    rank = rank_in(found, dst, group_dst)
    _tensor(tensor, "tensor")
    if tensor.is_meta:
        return None
    return found.send([tensor], _other(found, rank, "destination"), tag)


def irecv(tensor, src=None, group=None, tag=0, group_src=None):
    """Begin to receive into `tensor` from rank `src`, or from whichever rank sends first."""
    found = member(group, "irecv")
    if found is None:
        return None
    _tensor(tensor, "tensor")
    if tensor.is_meta:
        return None
    if src is None and group_src is None:
        return found.recv_anysource([tensor], tag)
    return found.recv([tensor], _other(found, rank_in(found, src, group_src), "source"), tag)


def send(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Send `tensor` to rank `dst`."""
    found = of(group)
    if found is None:
        raise ValueError("Invalid process group specified")
    rank = _other(found, rank_in(found, dst, group_dst), "destination")
    _tensor(tensor, "tensor")
    if not tensor.is_meta:
        found.send([tensor], rank, tag, wait=True)


def recv(tensor, src=None, group=None, tag=0, group_src=None):
    """Receive into `tensor` from rank `src`, or from any; returns the world rank it came from, -1 outside the group."""
    found = member(group, "recv")
    if found is None:
        return -1
    _tensor(tensor, "tensor")
    if src is None and group_src is None:
        if tensor.is_meta:
            return 0
        return get_global_rank(found, found.recv_anysource([tensor], tag, wait=True).source_rank())
    rank = _other(found, rank_in(found, src, group_src), "source")
    if not tensor.is_meta:
        found.recv([tensor], rank, tag, wait=True)
    return get_global_rank(found, rank)


def _other(group, rank, what):
    if rank == group.rank():
        raise ValueError(f"Invalid {what} rank: {what} rank should not be the same as the rank of the current process.")
    if not 0 <= rank < group.size():
        raise ValueError(f"Invalid {what} rank: {rank} in a group of {group.size()}")
    return rank


class P2POp:
    """One message of a batch: `op` is `isend` or `irecv`, `peer` a world rank (`group_peer`: one of the group)."""

    def __init__(self, op, tensor, peer=None, group=None, tag=0, group_peer=None):
        if op not in (isend, irecv):
            raise ValueError("Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                             "``torch.distributed.irecv``.")
        _tensor(tensor, "tensor")
        self.op, self.tensor, self.tag = op, tensor, tag
        self.group = of(group)
        self.group_peer = rank_in(self.group, peer, group_peer)
        self.peer = get_global_rank(self.group, self.group_peer)

    def __repr__(self):
        me = self.group.rank()
        src, dst = (me, self.group_peer) if self.op is isend else (self.group_peer, me)
        return (f"P2POp({self.op.__name__} pg={self.group.group_name}, group_src={src}, group_dst={dst},  "
                f"{self.tensor.shape}, {self.tensor.dtype})")


def batch_isend_irecv(p2p_op_list):
    """Begin all messages of a list of `P2POp`; returns their Works in order."""
    for op in p2p_op_list:
        if not isinstance(op, P2POp):
            raise ValueError("Invalid ``p2p_op_list``. Each op is expected to to be of type "
                             "``torch.distributed.P2POp``.")
    if not p2p_op_list:
        raise IndexError("batch_isend_irecv(): the list is empty")
    works = []
    for op in p2p_op_list:
        kwargs = {"group_dst" if op.op is isend else "group_src": op.group_peer}
        work = op.op(op.tensor, group=op.group, tag=op.tag, **kwargs)
        if work is not None:
            works.append(work)
    return works


P2POp.__module__ = "torch.distributed.distributed_c10d"
