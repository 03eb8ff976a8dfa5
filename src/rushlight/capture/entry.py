"""A program with the conditions under which it may run, made of an `attempt.Attempt`."""

import functools
from threading import Lock
from time import perf_counter

from ..autograd.modes import state
from ..tensor.tensor import Tensor
from .again import Again
from .backends import filtered
from .backward import SPENT, plan_backward
from .decisions import ask_early, is_sized
from .given import numbers, pinned
from .groups import prune
from .moves import named
from .native_guard import Places, identical, members
from .numbers import is_seen
from .places import PLAIN
from .program import program
from .quick import Refused, quick
from .state import guard
from .tape import ANYTHING, OLDER


class Entry:
    """``call(tensors)`` checks the conditions and runs the program.

    unchanged, holds: whether Python's state, `entries`, is what it was (a quick answer and the true one); memory:
    (tensor, storage, owner, requires_grad) of older tensors; gradients: (leaf, its gradient); as_before: whether these
    two are what they were; places, conditions: numbers that the call changes, and what they must fulfil; live: (tensor,
    container, how, key) of tensors that calls replace; leaving: how many tensors the program returns; plan, recorded:
    the backward program, and which of them have a history; plain: the arguments are tensors, given by position; keep:
    objects among the arguments, whose ids are part of the key; known: tensors that must be the very arguments, as they
    are reached from elsewhere, too; decides: whether the program may find that it must not run; hits, misses: how often
    it did not, and did (`missed`); size: see `sizes`.
    """

    __slots__ = ("run", "call", "holds", "unchanged", "entries", "memory", "gradients", "places", "conditions", "live",
                 "changes", "results", "reads", "structure", "tape", "seconds", "lock", "plan", "recorded", "leaving",
                 "keep", "plain", "known", "first", "decides", "as_before", "hits", "misses", "missed", "size")

    def __init__(self, compiled, attempt):
        self.places, self.changes, self.first = attempt.stand.places, attempt.changes, attempt.first
        self.live, self.known = attempt.stand.live, attempt.before.known
        self.keep = [x for x in attempt.leaves if not isinstance(x, (Tensor, *PLAIN))]
        self.results, self.structure = attempt.results, attempt.structure
        self.tape, self.conditions, self.reads = attempt.tape, attempt.tape.conditions, attempt.tape.reads
        self.plan, self.lock = None, Lock()
        self.hits, self.misses = 0, 0
        self.size = compiled.sizes.of(attempt.key)
        self.missed = functools.partial(compiled.missed, attempt.key, self)

    def make(self, compiled, attempt):
        """Make the program and what asks whether it may run; returns why there can be none."""
        why = self._leave(attempt) or self._differentiate(compiled, attempt) or self._settle(attempt) or \
            self._program(attempt) or self._guard(compiled, attempt) or self._repeat(compiled, attempt)
        if why is None:
            self._finish(attempt)
        self.results = self.changes = self.reads = None
        return why

    def _finish(self, attempt):
        self.call = attempt.writer.function()
        given = [*self.tape.arguments[:len(self.tape.arguments) - len(self.live)],
                 *numbers(attempt.key, attempt.leaves)]
        self.plain = not attempt.kwargs and len(given) == len(attempt.args) and all(
            x is y for x, y in zip(attempt.args, given))
        if self.plan is not None:
            for tape in self.plan.tapes():
                tape.let_go()
        self.seconds = perf_counter() - attempt.begin

    # ------------------------------------------------------------ the parts, each of which returns why it can't be done

    def _leave(self, attempt):
        """What the program returns: the call's results, and what it leaves in Python's state."""
        tape = self.tape
        for x in self.results:
            if isinstance(x, Tensor):
                if type(x) is not Tensor and tape.buffer(x).origin is not OLDER:
                    return f"a result is a {type(x).__name__}"
            elif not is_seen(x) and not isinstance(x, PLAIN):
                return f"a result is a {type(x).__name__}"
        try:
            attempt.writer = writer = quick(self, len(tape.arguments) - len(self.live))
        except Refused as e:
            return str(e)
        if any(tape.written_since(*tape.reads[i]) for i in writer.reads):
            return "a tensor is overwritten after its number was read"
        prune(tape, writer.reads)
        for t in writer.leaving:
            tape.buffer(t)
        self.leaving = len(writer.leaving)
        if not named(tape.older, attempt.tensors()):
            return "a tensor of unknown origin is used"
        return tape.failure

    def _differentiate(self, compiled, attempt):
        """The backward program, where results have a history."""
        leaving, only_read = attempt.writer.leaving, attempt.writer.only_read
        self.recorded = [i for i, x in enumerate(leaving) if x.grad_fn is not None and i not in only_read]
        if not self.recorded or not state.grad:
            return None
        order, wanted = compiled.orders.get(attempt.key, (compiled.order, None))
        self.plan, why = plan_backward(self.tape, [leaving[i] for i in self.recorded], order, wanted,
                                       kin=self.size.form.kin)
        return None if why == SPENT else why

    def _settle(self, attempt):
        """Which steps the program has: leaves that the call makes are forgotten with it, and so are their gradients."""
        tape, there = self.tape, {id(t) for t in attempt.before.tensors}
        if any(t._grad is not None and id(t) not in there for t in attempt.writer.leaving):
            return "a tensor that the call makes leaves it with a gradient"
        if any(s.kind == "grad" and id(s.call) not in there for s in tape.steps):
            tape.only(lambda s: s.kind != "grad" or id(s.call) in there)
        tape.entry = {k: (leaf, g) for k, (leaf, g) in tape.entry.items() if id(leaf) in there}
        self.decides = bool(tape.decisions) or any(map(is_sized, tape.steps))
        return ask_early(tape)

    def _program(self, attempt):
        leaving, kin = attempt.writer.leaving, self.size.form.kin["call"]
        if self.plan is not None:
            self.run = program(self.tape, [*leaving, *self.plan.keeps], False, kin)
        else:
            self.run = program(self.tape, leaving, True, kin)
        return "a number is no input" if pinned(self.tape, self.first, attempt.key) else None

    def _guard(self, compiled, attempt):
        """What has to be as it was. Numbers and growing containers have conditions of their own."""
        before, tape = attempt.before, self.tape
        self.entries = before.others(self.places, self.live,
                                     {id(c.container) for c in self.changes if c.kind != "store"})
        if compiled.filter is not None:
            self.entries = filtered(self.entries, before.reach.objects, compiled.filter)
        self.holds = self.unchanged = lazily(guard, self.entries)
        check = before.reach.check() if self.entries is before.reach.steady else identical(self.entries)
        if type(check) is Places:
            self.unchanged = check
        live = {id(t) for t, x, *_ in self.live if t is not x}
        tape.entry = {k: (leaf, g) for k, (leaf, g) in tape.entry.items() if id(g) not in live}
        self.gradients = [(leaf, g) for leaf, g in tape.entry.values() if g is not ANYTHING]
        used = {id(b.tensor) for b in tape.older}
        self.gradients += [(t, g) for t, g in attempt.memory.gradients() if id(g) in used and id(t) not in live]
        if any(id(leaf) in live for leaf, _ in self.gradients):
            return "a tensor that the call replaces has gradients"
        self._remember([b.tensor for b in tape.older], before.reach)
        return None

    def _remember(self, older, reach):
        """Find what is asked of older tensors; other sizes mostly ask the same of the same ones."""
        tensors = [*map(id, older)]
        known, memory, check = reach.members
        if known == tensors and not self.gradients and check is not None and check():
            self.memory, self.as_before = memory, check
            return
        self.memory = [(t, t._storage, t._storage.owner, t._requires_grad) for t in older]
        self.as_before = members(self.memory, self.gradients)
        if not self.gradients:
            reach.members = tensors, self.memory, self.as_before

    def _repeat(self, compiled, attempt):
        """How the call is done again, should gradients of its gradients be asked for."""
        plan, tape = self.plan, self.tape
        if plan is None:
            return None
        blocks = {id(x.arguments[i]._storage.block()) for x in plan.tapes() for i in x.pinned}
        tape.pinned |= {i for i, t in enumerate(tape.arguments) if id(t._storage.block()) in blocks}
        again = Again(compiled, self, attempt.key, attempt.leaves, [attempt.writer.leaving[i] for i in self.recorded])
        order, _ = compiled.orders.get(attempt.key, (compiled.order, None))
        if again.why and plan.most() < order:
            return f"it has no gradients of gradients: {again.why}"
        plan.may(again)
        return None


def lazily(make, *args):
    """A function that ``make(*args)`` gives when it is first called."""
    made = []

    def call():
        if not made:
            made.append(make(*args))
        return made[0]()
    return call
