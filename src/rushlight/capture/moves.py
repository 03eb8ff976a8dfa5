"""Tensors that get other memory from call to call: ``p.data = p.data - rate * p.grad``.

A program knows the memory of what is older than the call by address. A tensor that gets other memory is an argument
instead, whose memory is looked up anew, and the program's call does the assignment again, with memory that it has made.
"""

from numpy import ndarray

from ..tensor.tensor import assemble
from .standins import Change
from .tape import MADE

HOW = "data"                    # of places: the tensor's own memory


def moving(before, changing, given):
    """The tensors of a `State` whose memory calls are known to exchange, as `StandIns.live` has them."""
    others = {id(t) for t in given}
    return [(t, t, HOW, None) for t in before.tensors if (id(t), HOW, None) in changing and id(t) not in others]


class Memory:
    """What the tensors of a `State` were before the call: where their memory was and how old, whether they needed
    gradients, and these; `given`: arguments."""

    def __init__(self, before, given):
        self.known = [(t, t._a, t._storage.owner, t._bits, t._offset, t._storage.version) for t in before.tensors]
        self.more = [(t, t._grad, t._requires_grad) for t in before.tensors]
        self.given = {id(t) for t in given}

    def gradients(self):
        """[(tensor, its gradient)] of those that had one."""
        return [(t, g) for t, g, _ in self.more if g is not None]

    def untold(self, tape):
        """What has changed that the tape doesn't know of: in memory, it fails; otherwise, why there is no program."""
        why = None
        for (t, *_, version), (_, _, flag) in zip(self.known, self.more):
            s = t._storage
            if s.version != version and id(s) not in tape.versions:
                tape.fail("an op that can't be captured changed a tensor in place")
            if t._requires_grad is not flag and t._grad_fn is None:
                why = why or f"requires_grad of a tensor of shape {tuple(t.shape)} was changed"
        return why

    def changes(self, tape, changing):
        """([Change ...] for tensors that got other memory, those of which that wasn't known, why there is no program
        for that)."""
        found, new, why = [], [], None
        for t, a, owner, bits, offset, version in self.known:
            alike = t._offset == offset and t._bits == bits and (
                t._a is a or t._a.shape == a.shape and t._a.strides == a.strides)
            if alike and t._storage.owner is owner:
                continue
            if not alike or id(t) in self.given:
                why = why or f"a tensor of shape {a.shape} got other memory or another shape"
            elif (id(t), HOW, None) not in changing:
                new.append(t)
            elif tape.failure is None:
                now = assemble(t._a, t.dtype, t._storage, t._offset)
                now._bits = t._bits
                if tape.buffer(now).origin is not MADE:
                    why = why or f"a tensor of shape {a.shape} got the memory of another one"
                else:
                    raised = sum(n for b in tape.buffers.values() if b.tensor is t for storage, n in b.raised.values()
                                 if storage is b.first)
                    found.append(Change(HOW, t, None, None, [now, t._storage.version - version - raised]))
        return found, new, why


def named(older, known):
    """Let the buffers that are older than a call be those of tensors that are known, and still on them: others are
    gone, or elsewhere, when the call is over. Returns whether all of them are."""
    ids, others = set(map(id, known)), []
    for b in older:
        t = b.tensor
        if id(t) not in ids or t._storage.block() is not b.storage or any(k != id(t._storage) for k in b.raised):
            others.append(b)
    tensors = {id(b.storage): {} for b in others}
    for t in known if others else ():
        if type(getattr(t, "_a", None)) is ndarray:
            there = tensors.get(id(t._storage.block()))
            if there is not None:
                there[id(t)] = t
    for b in others:
        there = tensors[id(b.storage)]
        if not there:
            return False
        if id(b.tensor) not in there:
            b.tensor = next(iter(there.values()))
        own = {id(t._storage) for t in there.values()}
        b.raised = {k: x for k, x in b.raised.items() if k in own}
    return True
