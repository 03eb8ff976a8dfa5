"""A compiled call done again, eagerly: where its backward pass is to be differentiated and no program can be.

The function runs once more on the call's arguments, with what the call has changed put back before and after: the
state of generators it drew from, older memory that it wrote (running statistics, say), what Python counted. What comes
of that is the graph that an eager call had left.
"""

from ..autograd.engine import _dependencies, _needed, _Pass, _propagate
from ..autograd.modes import state, switch_autocast
from ..autograd.node import edge_of
from ..tensor.tensor import Tensor
from . import tree
from .decisions import _generators
from .given import positions
from .places import look, put
from .program import _view as view
from .sources import _CLOCKS
from .tape import ARGUMENT, OLDER, windows

MOST = 1 << 22              # bytes that are kept of each call, to be put back
_WITHIN = ("length", "copy")       # what is known of containers that grow, besides what lies in them


class Again:
    """How the calls of one entry are done again; why: why they can't be, or None."""

    __slots__ = ("compiled", "entry", "key", "template", "positions", "memory", "storages", "generators", "places",
                 "grown", "why")

    def __init__(self, compiled, entry, key, leaves, recorded):
        self.compiled, self.entry, self.key = compiled, entry, key
        given, self.template, tape = {}, [], entry.tape
        for x in leaves:
            if isinstance(x, Tensor):
                given.setdefault(id(x), len(given))
        inputs = {i - 3: len(given) + n for n, i in enumerate(positions(key))}
        for i, x in enumerate(leaves):
            at = given[id(x)] if isinstance(x, Tensor) else inputs.get(i, -1)
            self.template.append((at, x if at < 0 else None))
        self.positions = [next((k for k, x in enumerate(entry.results) if x is t), None) for t in recorded]
        changed = {}
        for step in tape.steps:
            for w in windows(step.outs):
                changed.setdefault(w.key(), w)
        older = [w for w in changed.values() if w.buffer.origin is OLDER]
        self.memory = [view(w.buffer.tensor._storage.bytes(), w.dtype, w.shape, w.strides, w.offset) for w in older]
        self.storages = [b.tensor._storage for b in tape.older if not b.written]
        self.generators = _generators(tape.steps)
        places = [(c.container, c.how, c.key) for c in entry.changes if c.kind == "store"]
        places += [place[:3] for place in entry.places if place[1] not in ("argument", "draw", *_WITHIN)]
        places += [(c, *key[:2]) if how == "part" else (c, how, key) for _, c, how, key in entry.live]
        self.places = list({(id(c), how, key): (c, how, key) for c, how, key in places}.values())
        grown = [c.container for c in entry.changes if c.kind not in ("store", "call")]
        self.grown = list({id(c): c for c in grown}.values())
        self.why = self._obstacle(tape, changed)

    def _obstacle(self, tape, changed):
        if None in self.positions or any(how == "grad" for _, how, _ in self.places):
            return "the call changes what Python holds"
        if any(place[1] in (*_WITHIN, "index") for place in self.entry.places):
            return "the call looks into what it changes"
        if any(c.kind == "call" for c in self.entry.changes):
            return "the call tells the world something"
        if any(place[1] == "draw" for place in self.entry.places) or any(
                s.kind == "draw" and s.label.removesuffix("_ns") in _CLOCKS for s in tape.steps):
            return "the call asks for the time or for random numbers of Python's"
        if any(s.kind in ("grad", "thunk") for s in tape.steps):
            return "the call has a backward pass or an optimizer's step inside"
        if any(w.buffer.origin is ARGUMENT for w in changed.values()):
            return "the call changes an argument"
        if sum(a.nbytes for a in self.memory) > MOST:
            return "the call changes much memory"
        return None

    def before(self):
        """What a call is about to change."""
        return [a.copy() for a in self.memory], [g.state_bytes() for g in self.generators], [
            look(*place) for place in self.places]

    def changes(self):
        """Whether there is anything that a call changes."""
        return bool(self.memory or self.generators or self.places)

    def _put(self, contents):
        for a, was in zip(self.memory, contents[0]):
            a[...] = was
        for g, was in zip(self.generators, contents[1]):
            g.set_state_bytes(was)
        for place, was in zip(self.places, contents[2]):
            put(*place, was)

    def call(self, inputs, contents=None):
        """What there is to do a call again: what it was given, and what `before` said."""
        return inputs, contents, [s.version for s in self.storages], _versions(inputs, contents)

    def ask(self, order, wanted):
        """Have programs for derivatives of that order made with the next call of this form, at `wanted` leaves."""
        compiled, known = self.compiled, self.compiled.entries.get(self.key, ())
        before, also = compiled.orders.get(self.key, (compiled.order, [] if compiled.order == 1 else None))
        if also is not None and order == 2:
            wanted = also + [x for x in wanted if not any(x is y for y in also)]
        else:
            wanted = also if order > 2 else None
        if order <= before and (also is None or len(wanted) == len(also)):
            return
        compiled.orders[self.key] = max(order, before), wanted
        if any(e is self.entry for e in known):
            compiled.entries[self.key] = [e for e in known if e is not self.entry]
            if not compiled.entries[self.key]:
                del compiled.entries[self.key]
            compiled.quick = [c for c in compiled.quick if c is not self.entry.call]
            compiled.recompiles.append("gradients of gradients were asked for")

    def __call__(self, inputs=(), contents=None, older=(), versions=()):
        """The recorded results of the call with these inputs, with the whole graph."""
        why, entry = self.why, self.entry
        if why is None and not ((entry.unchanged() or entry.holds()) and all(
                t._storage is s and s.owner is owner for t, s, owner, _ in entry.memory)):
            why = "Python's state has changed since"
        if why is None and (_versions(inputs, contents) != versions or [s.version for s in self.storages] != older):
            why = "a tensor that it uses has been modified by an inplace operation"
        if why is not None:
            raise RuntimeError(f"{self.compiled.__name__}: this compiled call has no gradients of gradients, as it "
                               f"can't be done again: {why}. Later calls of this form have them.")
        leaves = [inputs[at] if at >= 0 else x for at, x in self.template]
        args, kwargs = tree.unflatten(leaves, self.key[0])
        now, autocast = self.before(), state.autocast
        grown = [(c, c.copy()) for c in self.grown]
        if autocast is not None:
            switch_autocast(None)
        if contents is not None:
            self._put(contents)
        try:
            result = tree.flatten(self.compiled.function(*args, **kwargs))[0]
        finally:
            self._put(now)
            for container, was in grown:
                container.clear()
                (container.update if isinstance(container, dict) else container.extend)(was)
            if autocast is not None:
                switch_autocast(autocast)
        return [result[k] for k in self.positions]


def _versions(inputs, contents):
    """The versions of the tensors that a call is given, in its places as well."""
    held = contents[2] if contents is not None else ()
    return [t._storage.version for t in (*inputs, *held) if isinstance(t, Tensor)]


def gradients(results, edges, starts, create_graph=False):
    """The gradients at `edges` by the kernels of ``backward()``, which joins some that ``autograd.grad`` doesn't.

    Hooks of the leaves and nodes there are left alone: they run when the gradients arrive.
    """
    capture = dict.fromkeys(e for e in edges if e is not None)
    quiet = [(x, "_meta" if isinstance(x, Tensor) else "ext") for x, _ in capture]
    quiet = [(x, name, getattr(x, name)) for x, name in quiet if getattr(x, name) is not None]
    for x, name, _ in quiet:
        setattr(x, name, None)
    try:
        # (Gradients of gradients that nothing asked for may have no history.)
        starts = [(edge_of(t), g) for t, g in zip(results, starts)
                  if g is not None and t is not None and edge_of(t) is not None]
        roots = [edge for edge, _ in starts]
        deps, order = _dependencies(roots)
        needed = _needed(order, capture)
        with _Pass(deps, roots, needed, capture, False):
            _propagate(roots, [g for _, g in starts], True, create_graph, capture, False, deps, needed)
    finally:
        for x, name, hooks in quiet:
            setattr(x, name, hooks)
    return [None if e is None else capture[e] for e in edges]
