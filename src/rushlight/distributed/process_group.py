"""`ProcessGroup`: processes that communicate, and what they can do together on bare tensors."""

import hashlib
import threading
import time
from datetime import timedelta

import rushlight as torch
from rushlight.tensor import watch

from . import exchange
from .constants import default_pg_timeout, seconds
from .engine import Mismatch
from .exchange import describe, raw, signature
from .reducing import ReduceOp, Reduction
from .work import MessageWork, Work, Worker

_P2P = 1 << 63
_P2P_PIECE = exchange.SLOT


class ProcessGroup:
    """Some of a job's processes, numbered from 0.

    Made by `init_process_group` and `new_group`. Its methods take lists of tensors and return `Work`; the functions of
    `torch.distributed` are the usual way to them.

    Args:
        engine: what moves the messages; None for a group of one process.
        ranks: world ranks of its members, in order.
        world_rank: that of this process.
    """

    def __init__(self, store, engine, ranks, world_rank, name, timeout=default_pg_timeout, desc=""):
        self.engine, self.ranks, self.group_name, self.group_desc = engine, list(ranks), name, desc or "undefined"
        self._store, self._rank = store, self.ranks.index(world_rank)
        self.context = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
        self._timeout = timeout
        self._tags, self._guard, self._worker = 0, threading.Lock(), None
        self.bound_device_id, self._reductions = None, {}
        self._batch = None              # operations that wait for the end of `_coalescing_manager`

    # ------------------------------------------------------------ facts

    def rank(self):
        """The number of this process in the group."""
        return self._rank

    def size(self):
        """How many processes it has."""
        return len(self.ranks)

    def name(self):
        """The backend's name."""
        return "gloo"

    _get_backend_name = name

    @property
    def _device_types(self):
        return [torch.device("cpu")]

    def _get_backend(self, device):
        if torch.device(device).type != "cpu":
            raise RuntimeError(f"No backend type associated with device type {torch.device(device).type}")
        return self

    def get_group_store(self):
        """The store of this group's own keys."""
        return self._store

    def set_timeout(self, timeout):
        """Have operations take `timeout` at most."""
        seconds(timeout)
        self._timeout = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)

    def _get_sequence_number_for_group(self):
        return self._tags

    # ------------------------------------------------------------ for exchanges

    def next_tag(self):
        """The tag of the next operation: the same number on all ranks, as all call the same operations."""
        with self._guard:
            self._tags += 1
            return self._tags << 3

    def deadline(self, timeout=None):
        """The moment at which an operation that begins now is late."""
        return time.monotonic() + seconds(self._timeout if timeout is None else timeout)

    def late(self, operation, ranks):
        """The error of an operation that took too long."""
        who = f" from rank {', '.join(map(str, ranks))}" if ranks else ""
        return RuntimeError(f"[Rank {self._rank}] Timed out waiting {round(seconds(self._timeout) * 1000)}ms for "
                            f"{operation} operation to complete: nothing came{who} of {self.size()} ranks in group "
                            f"{self.group_name!r}")

    def in_words(self, error):
        """An error as callers see it."""
        if isinstance(error, Mismatch):
            peer = self.ranks.index(error.peer) if error.peer in self.ranks else error.peer
            if error.ours == error.theirs:
                return RuntimeError(f"[Rank {self._rank}] Mismatch in {describe(error.ours)}: rank {peer} sends "
                                    f"another number of bytes")
            return RuntimeError(f"[Rank {self._rank}] Mismatch between ranks: {describe(error.ours)} here, "
                                f"{describe(error.theirs)} on rank {peer}")
        return error

    def wait_messages(self, requests, operation, timeout=None):
        """Wait until all `requests` are done."""
        deadline = self.deadline(timeout)
        if not self.engine.wait_for(lambda: all(r.done for r in requests), deadline):
            self.engine.cancel(requests)
            error = self.late(operation, [])
            for r in requests:
                if not r.done:
                    r.error, r.done = error, True

    def _run(self, function, result, kind, async_op):
        """``function()`` now, or in the group's thread, which gives a `Work`."""
        if watch.listener is not None:
            watch.listener.read(None, f"torch.distributed: {kind}")
        if not async_op:
            with torch.no_grad():
                function()
            return None
        work = Work(result, kind)
        with self._guard:
            if self._worker is None:
                self._worker = Worker(f"rushlight-group-{self.group_name}")
        return self._worker.submit(work, function)

    # ------------------------------------------------------------ collectives

    def allreduce(self, tensors, op=ReduceOp.SUM, async_op=True, timeout=None):
        """Reduce each of `tensors` over all ranks, in place."""
        tensors = _list(tensors)
        op = getattr(op, "reduceOp", op)
        reductions = [self._reduction(op, t.dtype) for t in tensors]
        tags = self._reserve(len(tensors))

        def run():
            for t, reduction, tag in zip(tensors, reductions, tags):
                with Contiguous(t, counted=False) as (own,):
                    exchange.all_reduce(tag, own, reduction)
        return self._run(run, tensors, "allreduce", async_op)

    allreduce_coalesced = allreduce

    def broadcast(self, tensors, root=0, async_op=True):
        """Copy each tensor of rank `root` to all others."""
        tensors = _list(tensors)
        root = getattr(root, "rootRank", root)
        self._check_root("broadcast", root)
        tags = self._reserve(len(tensors))

        def run():
            for t, tag in zip(tensors, tags):
                with Contiguous(t, counted=False) as (own,):
                    exchange.broadcast(tag, own, root)
        return self._run(run, tensors, "broadcast", async_op)

    def reduce(self, tensors, root=0, op=ReduceOp.SUM, async_op=True):
        """Reduce into the tensor of rank `root`."""
        tensors = _list(tensors)
        self._check_root("reduce", root)
        reductions = [self._reduction(op, t.dtype) for t in tensors]
        tags = self._reserve(len(tensors))

        def run():
            for t, reduction, tag in zip(tensors, reductions, tags):
                with Contiguous(t, counted=False) as (own,):
                    exchange.reduce(tag, own, root, reduction)
        return self._run(run, tensors, "reduce", async_op)

    def allgather(self, outputs, inputs, async_op=True):
        """Copy input j of rank i into ``outputs[j][i]`` on all ranks."""
        inputs = _list(inputs)
        if isinstance(outputs[0], torch.Tensor):
            outputs = [outputs]
        for k, (rows, t) in enumerate(zip(outputs, inputs)):
            if len(rows) != self.size():
                raise RuntimeError(f"ProcessGroupGloo::allgather: invalid output tensor list at index {k} (expected "
                                   f"length {self.size()}, got {len(rows)})")
            _alike("allgather", rows, t)
        tags = self._reserve(len(inputs))

        def run():
            for rows, t, tag in zip(outputs, inputs, tags):
                with Contiguous(*rows) as own:
                    exchange.all_gather(tag, own, t.contiguous())
        return self._run(run, outputs[0] if len(outputs) == 1 else outputs, "allgather", async_op)

    allgather_coalesced = allgather

    def all_gather_single(self, output, tensor, async_op=True):
        """Copy the tensors of all ranks, one behind the other, into `output`."""
        tags = self._reserve(1)
        if output.dtype is not tensor.dtype:
            raise RuntimeError(f"ProcessGroupGloo::allgather: invalid tensor type at index 0 (expected {tensor.dtype}, "
                               f"got {output.dtype})")
        if output.numel() != tensor.numel() * self.size():
            raise RuntimeError(f"ProcessGroupGloo::allgather: output of {output.numel()} elements for {self.size()} "
                               f"tensors of {tensor.numel()}")

        def run():
            with Contiguous(output) as (own,):
                exchange.all_gather(tags[0], list(own.reshape(self.size(), -1).unbind(0)), tensor.contiguous())
        return self._run(run, output, "allgather", async_op)

    _allgather_base = all_gather_single

    def gather(self, outputs, inputs, root=0, async_op=True):
        """Copy the tensor of rank i into ``outputs[0][i]`` of rank `root`."""
        tensor = _list(inputs)[0]
        self._check_root("gather", root)
        rows = outputs[0] if outputs else []
        if self._rank == root:
            if len(rows) != self.size():
                raise RuntimeError(f"ProcessGroupGloo::gather: Incorrect output list size {len(rows)}. Output list "
                                   f"size should be {self.size()}, same as size of the process group.")
            _alike("gather", rows, tensor)
        tags = self._reserve(1)

        def run():
            with Contiguous(*rows) as own:
                exchange.gather(tags[0], own, tensor.contiguous(), root)
        return self._run(run, list(rows), "gather", async_op)

    def scatter(self, outputs, inputs, root=0, async_op=True):
        """Copy ``inputs[0][i]`` of rank `root` into the output of rank i."""
        output = _list(outputs)[0]
        self._check_root("scatter", root)
        rows = inputs[0] if inputs else []
        if self._rank == root:
            if len(rows) != self.size():
                raise RuntimeError(f"ProcessGroupGloo::scatter: Incorrect input list size {len(rows)}. Input list size "
                                   f"should be {self.size()}, same as size of the process group.")
            _alike("scatter", rows, output)
        tags = self._reserve(1)

        def run():
            with Contiguous(output) as (own,):
                exchange.scatter(tags[0], own, [t.contiguous() for t in rows], root)
        return self._run(run, output, "scatter", async_op)

    def reduce_scatter(self, outputs, inputs, op=ReduceOp.SUM, async_op=True):
        """Reduce ``inputs[j][i]`` of all ranks into ``outputs[j]`` of rank i."""
        outputs = _list(outputs)
        if isinstance(inputs[0], torch.Tensor):
            inputs = [inputs]
        for out, rows in zip(outputs, inputs):
            if len(rows) != self.size():
                raise RuntimeError("invalid input tensor list size, must be world size")
            if rows[self._rank].numel() != out.numel():
                raise RuntimeError(f"reduce_scatter: the output has {out.numel()} elements, the input for this rank "
                                   f"{rows[self._rank].numel()}")
        reductions = [self._reduction(op, t.dtype) for t in outputs]
        tags = self._reserve(len(outputs))

        def run():
            for out, rows, reduction, tag in zip(outputs, inputs, reductions, tags):
                with Contiguous(out) as (own,):
                    exchange.reduce_scatter(tag, own.view(-1), [t.contiguous().view(-1) for t in rows], reduction)
        return self._run(run, outputs, "reduce_scatter", async_op)

    def reduce_scatter_single(self, output, tensor, op=ReduceOp.SUM, async_op=True):
        """Reduce the parts of `tensor`, one a rank, into `output`."""
        if output.dtype is not tensor.dtype:
            raise RuntimeError(f"reduce_scatter: output of {output.dtype}, input of {tensor.dtype}")
        if output.numel() * self.size() != tensor.numel():
            raise RuntimeError(f"reduce_scatter: an input of {tensor.numel()} elements is not {self.size()} times "
                               f"the output's {output.numel()}")
        rows = [row for row in tensor.contiguous().reshape(self.size(), -1).unbind(0)]
        return self.reduce_scatter([output], [rows], op, async_op)

    _reduce_scatter_base = reduce_scatter_single

    def alltoall(self, outputs, inputs, async_op=True):
        """Copy ``inputs[j]`` of rank i into ``outputs[i]`` of rank j."""
        for name, rows in (("output", outputs), ("input", inputs)):
            if len(rows) != self.size():
                raise RuntimeError(f"ProcessGroupGloo::alltoall: {name} tensor list size {len(rows)} does not match "
                                   f"world size {self.size()}")
        tags = self._reserve(1)

        def run():
            with Contiguous(*outputs) as own:
                exchange.all_to_all(tags[0], own, [t.contiguous() for t in inputs])
        return self._run(run, outputs, "alltoall", async_op)

    def alltoall_base(self, output, tensor, output_sizes, input_sizes, async_op=True):
        """`alltoall` of the parts of `tensor` into those of `output`, cut along dimension 0."""
        def cut(t, sizes):
            if not sizes:
                if t.shape[0] % self.size():
                    raise RuntimeError("Tensor's dim 0 does not divide equally across group size")
                sizes = [t.shape[0] // self.size()] * self.size()
            elif len(sizes) != self.size():
                raise RuntimeError("Number of tensor splits not equal to group size")
            elif sum(sizes) != t.shape[0]:
                raise RuntimeError("Split sizes doesn't match total dim 0 size")
            return list(t.split(list(sizes)))
        ins = cut(tensor.contiguous(), input_sizes)
        cut(output, output_sizes)
        tags = self._reserve(1)

        def run():
            with Contiguous(output) as (own,):
                exchange.all_to_all(tags[0], cut(own, output_sizes), ins)
        return self._run(run, output, "alltoall", async_op)

    all_to_all_single = alltoall_base

    def barrier(self, async_op=True, timeout=None):
        """Wait until all ranks have come here."""
        tags = self._reserve(1)
        return self._run(lambda: exchange.barrier(tags[0], timeout), None, "barrier", async_op)

    def monitored_barrier(self, timeout=None, wait_all_ranks=False):
        """`barrier`, in which rank 0 names those who did not come within `timeout`."""
        tag = self._reserve(1)[0]
        if self.size() > 1:
            exchange.monitored_barrier(tag, self._timeout if timeout is None else timeout, wait_all_ranks)

    # ------------------------------------------------------------ single messages

    def send(self, tensors, rank, tag=0, wait=False):
        """Send a tensor to a rank."""
        tensor = _list(tensors)[0]
        view = raw(_read(tensor).contiguous())
        sig = signature("send/recv", None, len(view))
        sent = []
        try:
            for a, b in exchange.pieces(len(view), _P2P_PIECE):
                sent += self.engine.send([self.ranks[rank]], self.context, _P2P | tag, sig, view[a:b], patient=wait)
        except RuntimeError as error:
            raise self.in_words(error) from None
        work = MessageWork(self, sent, tensors, "send", -1, self.in_words)
        return self._begin(work, wait)

    def recv(self, tensors, rank, tag=0, wait=False):
        """Receive a tensor from a rank."""
        return self._receive(tensors, [rank], tag, wait)

    def recv_anysource(self, tensors, tag=0, wait=False):
        """Receive a tensor from whichever rank sends one."""
        return self._receive(tensors, [r for r in range(self.size()) if r != self._rank], tag, wait)

    def _receive(self, tensors, ranks, tag, wait):
        tensor = _list(tensors)[0]
        if watch.listener is not None:
            watch.listener.read(tensor, "torch.distributed: recv")
        whole = tensor if tensor.is_contiguous() else torch.empty(tensor.shape, dtype=tensor.dtype)
        view = raw(whole)
        sig = signature("send/recv", None, len(view))
        targets = [view[a:b] for a, b in exchange.pieces(len(view), _P2P_PIECE)]
        if len(ranks) == 1:
            requests = [self.engine.receive(self.ranks[ranks[0]], self.context, _P2P | tag, sig, t) for t in targets]
        else:
            requests = self.engine.receive_anywhere([self.ranks[r] for r in ranks], self.context, _P2P | tag, sig,
                                                    targets)
        work = MessageWork(self, requests, tensors, "recv", ranks[0] if len(ranks) == 1 else -1, self.in_words)
        work.copy = None if whole is tensor else (tensor, whole)
        changed(tensor)
        return self._begin(work, wait)

    def _begin(self, work, wait):
        if wait:
            work.wait()
        elif not work.is_completed():
            self.engine.watch(work)
        return work

    # ------------------------------------------------------------ helpers

    def _reduction(self, op, dtype):
        if type(op) is ReduceOp:
            return Reduction(op, dtype, self.size())        # it may have a factor
        found = self._reductions.get((op, dtype))
        if found is None:
            found = self._reductions[op, dtype] = Reduction(op, dtype, self.size())
        return found

    def _check_root(self, name, root):
        if not 0 <= root < self.size():
            raise RuntimeError(f"ProcessGroupGloo::{name}: invalid root rank: {root}")

    def _reserve(self, n):
        """Turns for `n` exchanges, taken when the caller calls, whichever thread runs them."""
        return [Turn(self) for _ in range(n)]

    def shutdown(self):
        """Let what was started end, and end the group's thread."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    abort = shutdown


ProcessGroup.__module__ = "torch.distributed.distributed_c10d"


class Turn:
    """A group as one exchange sees it: with the tag that was next when the caller called."""

    def __init__(self, group):
        self._group, self._tag = group, group.next_tag()

    def next_tag(self):
        return self._tag

    def __getattr__(self, name):
        return getattr(self._group, name)


class Contiguous:
    """Contiguous stand-ins for tensors that are about to be written; on leaving, strided ones are copied back.

    counted: writing counts as a change in place. Reductions and broadcasts do not count, as in PyTorch.
    """

    def __init__(self, *tensors, counted=True):
        self._tensors, self._counted = tensors, counted

    def __enter__(self):
        self._own = [t if _plain(t) else t.detach().contiguous() for t in self._tensors]
        return self._own

    def __exit__(self, kind, error, traceback):
        if kind is None:
            for t, own in zip(self._tensors, self._own):
                if own is not t:
                    with torch.no_grad():
                        t.detach().copy_(own)
                elif self._counted:
                    changed(t)


def _plain(t):
    return t.is_contiguous() and not t.is_conj() and not t.is_neg()


def _read(t):
    """Note that a tensor's numbers leave the program."""
    if watch.listener is not None:
        watch.listener.read(t, "torch.distributed")
    return t.detach()


def changed(t):
    """Note that a tensor's numbers have been written."""
    t._storage.version += 1


def _list(tensors):
    return [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)


def _alike(name, rows, tensor):
    for i, t in enumerate(rows):
        if t.shape != tensor.shape and t.numel() != tensor.numel():
            raise RuntimeError(f"ProcessGroupGloo::{name}: invalid tensor size at index {i} (expected "
                               f"({', '.join(map(str, tensor.shape))}), got ({', '.join(map(str, t.shape))}))")
