"""One call of a function while a tape is written: what it finds, what it does, and whether that can be repeated."""

from time import perf_counter

from numpy import ndarray

from ..tensor.tensor import Tensor
from . import tree
from .breaks import start
from .conversions import Converted
from .effects import Calls
from .given import in_place, numbers, pinned, positions
from .groups import Groups
from .moves import Memory, moving
from .numbers import plain
from .outside import Outside
from .places import PLAIN
from .standins import StandIns, release
from .state import State
from .tape import Tape


class Attempt:
    """A call with these arguments; `key`: their form, with `leaves` and the `tensors` among them (see `Compiled.key`).

    before: the `State` that it finds; tape, stand: what listens, and what stands in places that change. Then ``run()``
    makes the call, and there are `calls` (an `effects.Calls`), `results` and `structure` (what it returned), `changes`
    (of Python's state, as programs repeat them), `new` (marks of places that weren't known to change), `codes` (code
    that wasn't known) and `why`: why no program can stand for the call, or None. `close` it afterwards.
    """

    def __init__(self, compiled, key, leaves, tensors, args, kwargs):
        self.begin = perf_counter()
        self.compiled, self.key, self.leaves, self.args, self.kwargs = compiled, key, leaves, args, kwargs
        self.given, self.changing = tensors, compiled.changing
        roots = [*compiled.roots, *tree.classes(key[0]), *[x for x in leaves if not isinstance(x, (Tensor, *PLAIN))]]
        self.before = State(roots, list(compiled.known.items()), tensors, self.changing, compiled.reach)
        self.tape = self.stand = self.writer = self.why = None

    def set_up(self):
        """Make the tape; returns whether the arguments share memory with tensors that the call may read otherwise."""
        before, tensors = self.before, self.given
        self.memory = Memory(before, tensors)
        self.stand = stand = StandIns(before, self.changing)
        stand.live += moving(before, self.changing, tensors)
        if any(leaf._grad is not g is not None is not leaf._grad for e in self.compiled.entries.get(self.key, ())
               for leaf, g in e.gradients):
            stand.live += [(t._grad, t, "grad", None) for t in before.tensors if type(t._grad) is Tensor and
                           type(t._grad._a) is ndarray]
        self.tape = tape = Tape([*tensors, *[t for t, *_ in stand.live]])
        met = tape.meets(before.tensors)
        if met:
            tape.fail("an argument shares memory with a tensor that the call may read otherwise")
        return met

    def run(self):
        """What the call returns."""
        tape, stand, key = self.tape, self.stand, self.key
        stand.put(tape)
        tape.moving = {id(t) for t, x, *_ in stand.live if t is x}
        tape.groups = Groups(tape, self.before.group_numbers, stand.places)
        own = [(None, "argument", j, key[i][0]) for j, i in enumerate(positions(key))]
        args, kwargs = in_place(key, self.leaves, self.args, self.kwargs, tape, len(stand.places))
        self.first = len(stand.places)
        stand.places += own                     # (more may come)
        try:
            tape.outside = outside = Outside(tape, stand)
            converted = Converted(self.before.reach)
            listing = None if self.compiled.sizes.known_form(key) else self.compiled.listing
            with Calls(tape, listing, converted.originals) as self.calls, tape, outside, converted:
                result = start(self.compiled.function, args, kwargs)
        finally:
            tape.groups.settle()
            self.changes, self.new, self.why = stand.take_back(tape.outside)
            self.changes += outside.changes
        result, _ = outside.settled(result)
        self.results, self.structure = tree.flatten(result)
        result = tree.converted(result, plain)
        self._look_around(result)
        return result

    def _look_around(self, result):
        """Whether the call did what only Python can do."""
        tape, memory, why = self.tape, self.memory, self.why
        # Another branch was taken than when the functions were listed: what it calls may read more.
        self.codes = {code: scope for code, scope in self.calls.codes if code not in self.compiled.known}
        why = why or memory.untold(tape)
        moved, self.moved, odd = memory.changes(tape, self.changing)
        self.changes, why = self.changes + moved, why or odd
        now, form_now = tree.flatten((self.args, self.kwargs))
        if self.key[0] != form_now or any(x is not y for x, y in zip(now, self.leaves)):
            why = why or "a list or dict among the arguments was changed"
        given = tree.containers((*self.args, *self.kwargs.values()))
        if given and tree.shared(given, [result, *[c.values for c in self.changes]]):
            why = why or "a list or dict among the arguments is returned or kept"
        self.why = self.calls.impure or self.before.obstacle or why

    def found(self):
        """Whether the call has shown what wasn't known: it has to be captured again."""
        return bool(self.codes or self.new or self.moved)

    def constants(self):
        """Positions in the key of numbers that Python needed themselves."""
        return pinned(self.tape, self.first, self.key)

    def numbers(self):
        """The numbers among the arguments that are inputs."""
        return numbers(self.key, self.leaves)

    def tensors(self):
        """The tensors that are known when the call is over."""
        tensors = self.before.tensors
        return [*tensors, *[t._grad for t in tensors], *[g for _, g in self.memory.gradients()],
                *[x for optimizer in self.before.optimizers for values in optimizer.state.values()
                  for x in values.values() if isinstance(x, Tensor)]]

    def close(self):
        """Put plain numbers where the call has left others, and forget what it used."""
        self.stand.stands.clear()
        self.changes = self.results = self.writer = self.calls = None       # (which hold numbers not for users)
        release(self.tape.numbers)
        self.tape.let_go()
