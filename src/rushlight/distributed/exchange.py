"""The algorithms of collectives: who sends what to whom.

Everything goes directly from its owner to whom it is for. A reduction of much data gives each rank a part to compute,
in the order of ranks, and to send to all; so all ranks hold the same bits, whatever way messages took.
"""

import numpy as np

import rushlight as torch
from rushlight.dtypes import ALL
from rushlight.tensor.tensor import wrap

from .arena import SLOT
from .constants import seconds

DIRECT = 1 << 20            # reductions of fewer bytes (times other ranks) are computed by everybody
WINDOW = 12                 # pieces that a rank sends ahead of what it has reduced, to all others together

_OPERATIONS = ("all_reduce", "broadcast", "reduce", "all_gather", "gather", "scatter", "reduce_scatter", "all_to_all",
               "barrier", "send/recv")
_NUMBERS = {name: number for number, name in enumerate(_OPERATIONS)}
_KINDS = ("", "SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR", "PREMUL_SUM")
_CODES = {dtype: code for code, dtype in enumerate(ALL, 1)}


def signature(operation, dtype=None, numel=0, kind=None):
    """What a message belongs to, as a number that all ranks have to agree on."""
    code = _CODES[dtype] if dtype is not None else 0
    return _NUMBERS[operation] | (kind.value + 1 if kind is not None else 0) << 6 | code << 10 | numel << 18


def describe(number):
    """The words for a signature."""
    operation = number & 63
    name = _OPERATIONS[operation] if operation < len(_OPERATIONS) else "?"
    kind = _KINDS[number >> 6 & 15]
    code, numel = number >> 10 & 255, number >> 18
    if name == "send/recv":
        return f"a message of {numel} bytes"
    text = f"{name}({kind})"
    return f"{text} of {numel} element{'s' * (numel != 1)} of {ALL[code - 1]!r}" if code else text


def raw(tensor):
    """The bytes of a contiguous tensor as a memoryview."""
    a = tensor._a
    return memoryview(a.reshape(-1).view(np.uint8)) if a.size else memoryview(b"")


def over(view, dtype):
    """A tensor on the bytes of a memoryview."""
    return wrap(np.frombuffer(view, dtype.np))


def pieces(n, size=SLOT):
    """Starts and ends of the pieces in which `n` bytes travel; one empty piece where there are none."""
    return [(i, min(i + size, n)) for i in range(0, n, size)] or [(0, 0)]


class Exchange:
    """One operation of a group: its messages, tags and deadline."""

    def __init__(self, group, operation, timeout=None):
        self.group, self.engine, self.operation = group, group.engine, operation
        self.deadline = group.deadline(timeout)
        self.tag = group.next_tag()
        self.receives, self.sent = [], []

    def fail(self, error):
        """Forget what is to come and raise `error`, in words where it is a mismatch."""
        self.engine.cancel(self.receives)
        raise self.group.in_words(error)

    def wait(self, ready):
        """Wait until ``ready()``; raises when a message failed or time is over."""
        engine, seen = self.engine, -1
        while True:
            if engine.failures != seen:
                seen = engine.failures
                for r in self.receives:
                    if r.error is not None:
                        self.fail(r.error)
            if not engine.wait_for(lambda: ready() or engine.failures != seen, self.deadline):
                late = sorted({self.group.ranks.index(r.link_rank) for r in self.receives if not r.done})
                self.fail(self.group.late(self.operation, late))
            if engine.failures == seen:
                return

    def send(self, ranks, phase, sig, view):
        """Send one piece to some ranks of the group."""
        world = self.group.ranks
        try:
            self.sent += self.engine.send([world[r] for r in ranks], self.group.context, self.tag + phase, sig, view)
        except RuntimeError as error:
            self.fail(error)

    def receive(self, rank, phase, sig, target=None):
        """Ask for one piece from a rank of the group."""
        peer = self.group.ranks[rank]
        request = self.engine.receive(peer, self.group.context, self.tag + phase, sig, target)
        request.link_rank = peer
        self.receives.append(request)
        return request

    def finish(self):
        """Wait for all that was asked for and sent."""
        at, requests = 0, self.receives + self.sent

        def all_done():
            nonlocal at
            while at < len(requests) and requests[at].done:
                at += 1
            return at == len(requests)
        self.wait(all_done)
        for s in self.sent:
            if s.error is not None:
                self.fail(s.error)

    # ------------------------------------------------------------ moving

    def move(self, outgoing, incoming, phase=0):
        """Send ``(ranks, signature, bytes)`` and receive ``(rank, signature, bytes)``, all at a time."""
        for rank, sig, view in incoming:
            for a, b in pieces(len(view)):
                self.receive(rank, phase, sig, view[a:b])
        plans = [(ranks, sig, view, pieces(len(view))) for ranks, sig, view in outgoing if ranks]
        for i in range(max((len(p[3]) for p in plans), default=0)):
            for ranks, sig, view, cuts in plans:
                if i < len(cuts):
                    self.send(ranks, phase, sig, view[slice(*cuts[i])])
        self.finish()

    # ------------------------------------------------------------ reducing

    def reduce_everywhere(self, data, dtype, reduction, sig):
        """Everybody sends all of `data` (bytes, in place) to all, and reduces it."""
        group = self.group
        me, n = group.rank(), group.size()
        own = over(data, dtype)
        mine = reduction.prepare(own)
        arrived = [None if r == me else self.receive(r, 0, sig) for r in range(n)]
        self.send([r for r in range(n) if r != me], 0, sig, raw(mine))
        self.finish()
        reduction.combine([mine if r is None else over(r.data, dtype) for r in arrived], own)
        for r in arrived:
            if r is not None:
                self.engine.release(r)

    def reduce_parts(self, parts, dtype, reduction, sig, share):
        """Rank i reduces part i of everybody's `parts` (bytes), in place; with `share` all parts then go to all.

        A part of no bytes is nobody's work.
        """
        group, engine = self.group, self.engine
        me, n = group.rank(), group.size()
        others = [r for r in range(n) if r != me]
        cuts = [pieces(len(part)) if len(part) else [] for part in parts]
        mine, own = cuts[me], parts[me]
        if share:
            for r in others:
                for a, b in cuts[r]:
                    self.receive(r, 1, sig, parts[r][a:b])
        arriving = [[self.receive(r, 0, sig) for _ in mine] for r in others]
        for requests in arriving:       # waited for piece by piece
            del self.receives[-len(requests):]
        steps, window = max(map(len, cuts)), max(3, WINDOW // (n - 1))
        sent = done = 0
        pending = [r for requests in arriving for r in requests]
        self.receives += pending
        while done < len(mine) or sent < steps:
            if done < len(mine) and all(requests[done].done for requests in arriving):
                requests = [requests[done] for requests in arriving]
                for r in requests:
                    if r.error is not None:
                        self.fail(r.error)
                piece = own[slice(*mine[done])]
                target = over(piece, dtype)
                tensors = [over(r.data, dtype) for r in requests]
                tensors.insert(me, reduction.prepare(target))
                reduction.combine(tensors, target)
                del tensors
                for r in requests:
                    engine.release(r)
                if share:
                    self.send(others, 1, sig, piece)
                done += 1
            elif sent < steps and (sent < done + window or done == len(mine)):
                for r in others:
                    if sent < len(cuts[r]):
                        part = parts[r][slice(*cuts[r][sent])]
                        if reduction._factor is not None:
                            part = raw(reduction.prepare(over(part, dtype)))
                        self.send([r], 0, sig, part)
                sent += 1
            else:
                k = done
                self.wait(lambda: all(requests[k].done for requests in arriving))
        self.finish()


def split_evenly(n, ranks, item):
    """Ends of `ranks` parts of `n` bytes, whole elements of `item` bytes each, a cache line's at least."""
    unit = max(item, 64 // item * item)
    step = -(-n // (ranks * unit)) * unit
    return [(min(i * step, n), min((i + 1) * step, n)) for i in range(ranks)]


def barrier(group, timeout=None):
    """Return once all ranks have come here: each tells the ranks 1, 2, 4 ... places on, in turn."""
    e = Exchange(group, "barrier", timeout)
    me, n, sig = group.rank(), group.size(), signature("barrier")
    step = 1
    while step < n:
        e.receive((me - step) % n, 0, sig, memoryview(b""))
        e.send([(me + step) % n], 0, sig, memoryview(b""))
        e.finish()
        step *= 2


def monitored_barrier(group, timeout, wait_all_ranks):
    """`barrier` around rank 0, which tells who did not come within `timeout`."""
    e = Exchange(group, "monitored_barrier", timeout)
    me, n, sig, nothing = group.rank(), group.size(), signature("barrier"), memoryview(b"")
    if me:
        e.send([0], 0, sig, nothing)
        e.receive(0, 1, sig, nothing)
        e.finish()
        return
    requests = {r: e.receive(r, 0, sig, nothing) for r in range(1, n)}
    late = []
    for r, request in requests.items():
        e.engine.wait_for(lambda: request.done, e.deadline)
        if not request.done or request.error is not None:
            late.append(r)
            if not wait_all_ranks:
                break
    if late:
        e.engine.cancel(e.receives)
        limit = round(seconds(timeout) * 1000)
        if wait_all_ranks:
            raise RuntimeError(f"[Rank 0]: Ranks {', '.join(map(str, late))} failed to pass monitoredBarrier in "
                               f"{limit} ms")
        raise RuntimeError(f"Rank {late[0]} failed to pass monitoredBarrier in {limit} ms")
    e.send(list(range(1, n)), 1, sig, nothing)
    e.finish()


def all_reduce(group, tensor, reduction):
    """Reduce a contiguous tensor in place, on all ranks."""
    e = Exchange(group, "all_reduce")
    n, data = group.size(), raw(tensor)
    sig = signature("all_reduce", tensor.dtype, tensor.numel(), reduction.kind)
    if n == 1:
        own = over(data, tensor.dtype) if len(data) else tensor
        reduction.combine([reduction.prepare(own)], own)
    elif len(data) * (n - 1) <= DIRECT:
        e.reduce_everywhere(data, tensor.dtype, reduction, sig)
    else:
        parts = [data[a:b] for a, b in split_evenly(len(data), n, tensor.dtype.itemsize)]
        e.reduce_parts(parts, tensor.dtype, reduction, sig, True)


def reduce(group, tensor, dst, reduction):
    """Reduce a contiguous tensor in place on rank `dst`; the others' tensors stay as they are."""
    e = Exchange(group, "reduce")
    me, n, data = group.rank(), group.size(), raw(tensor)
    sig = signature("reduce", tensor.dtype, tensor.numel(), reduction.kind)
    if me != dst:
        data = raw(reduction.prepare(over(data, tensor.dtype))) if len(data) else data
        e.move([([dst], sig, data)], [])
        return
    arriving = {r: [e.receive(r, 0, sig) for _ in pieces(len(data))] for r in range(n) if r != me}
    for i, (a, b) in enumerate(pieces(len(data))):
        e.wait(lambda: all(requests[i].done for requests in arriving.values()))
        own = over(data[a:b], tensor.dtype)
        reduction.combine([reduction.prepare(own) if r == me else over(arriving[r][i].data, tensor.dtype)
                           for r in range(n)], own)
        for requests in arriving.values():
            e.engine.release(requests[i])


def reduce_scatter(group, output, inputs, reduction):
    """Reduce tensor i of everybody's `inputs` into the `output` of rank i; all are contiguous, inputs stay."""
    e = Exchange(group, "reduce_scatter")
    me = group.rank()
    sig = signature("reduce_scatter", output.dtype, 0, reduction.kind)
    torch.Tensor.copy_(output, inputs[me])
    parts = [raw(output if r == me else t) for r, t in enumerate(inputs)]
    if group.size() == 1:
        reduction.combine([reduction.prepare(output)], output)
        return
    e.reduce_parts(parts, output.dtype, reduction, sig, False)


def broadcast(group, tensor, src):
    """Copy the contiguous tensor of rank `src` into those of all others."""
    e = Exchange(group, "broadcast")
    sig, data = signature("broadcast", tensor.dtype, tensor.numel()), raw(tensor)
    if group.rank() == src:
        e.move([([r for r in range(group.size()) if r != src], sig, data)], [])
    else:
        e.move([], [(src, sig, data)])


def all_gather(group, outputs, tensor):
    """Copy the contiguous tensor of rank i into ``outputs[i]`` (contiguous), everywhere."""
    e = Exchange(group, "all_gather")
    me, n = group.rank(), group.size()
    sig = signature("all_gather", tensor.dtype, tensor.numel())
    others = [r for r in range(n) if r != me]
    data = raw(tensor)
    mine = raw(outputs[me])
    if len(mine):
        mine[:] = data
    e.move([(others, sig, data)], [(r, sig, raw(outputs[r])) for r in others])


def gather(group, outputs, tensor, dst):
    """Copy the contiguous tensor of rank i into ``outputs[i]`` of rank `dst`."""
    e = Exchange(group, "gather")
    sig = signature("gather", tensor.dtype, tensor.numel())
    if group.rank() != dst:
        e.move([([dst], sig, raw(tensor))], [])
        return
    if tensor.numel():
        raw(outputs[dst])[:] = raw(tensor)
    e.move([], [(r, sig, raw(outputs[r])) for r in range(group.size()) if r != dst])


def scatter(group, output, inputs, src):
    """Copy ``inputs[i]`` of rank `src` into the contiguous `output` of rank i."""
    e = Exchange(group, "scatter")
    sig = signature("scatter", output.dtype, output.numel())
    if group.rank() != src:
        e.move([], [(src, sig, raw(output))])
        return
    if output.numel():
        raw(output)[:] = raw(inputs[src])
    e.move([([r], sig, raw(inputs[r])) for r in range(group.size()) if r != src], [])


def all_to_all(group, outputs, inputs):
    """Copy ``inputs[j]`` of rank i into ``outputs[i]`` of rank j; sizes may differ from pair to pair."""
    e = Exchange(group, "all_to_all")
    me, n = group.rank(), group.size()

    def sig(t):
        return signature("all_to_all", t.dtype, t.numel())
    if inputs[me].numel() != outputs[me].numel():
        raise RuntimeError(f"all_to_all(): rank {me} sends {inputs[me].numel()} elements to itself and expects "
                           f"{outputs[me].numel()}")
    if outputs[me].numel():
        raw(outputs[me])[:] = raw(inputs[me])
    turns = [(me + i) % n for i in range(1, n)]
    e.move([([r], sig(inputs[r]), raw(inputs[r])) for r in turns],
           [(r, sig(outputs[r]), raw(outputs[r])) for r in turns])
