"""Compiled forward passes whose backward pass comes later: both are captured, the second from ones as gradients.

Where gradients of gradients are asked for (``create_graph=True``), a third program computes the gradients and keeps
what a fourth needs to differentiate these, and so on (`Second`). The first time that happens, the call is done again
eagerly (`again`), and the programs are made with the next call of its form.
"""

from numpy import ndarray as _ndarray

from ..autograd.modes import state
from ..autograd.node import FREED, Node, edge_of, next_seq
from ..ops.registry import function
from ..random import default_generator
from ..tensor.tensor import Tensor, shallow
from .again import gradients
from .decisions import is_sized
from .program import program
from .tape import Tape


class CompiledBackward(Node):
    """History of the results of a compiled call: its backward pass is one program.

    saved: (tensors kept of the forward pass, versions of what must not have changed since); ends: the edges of the
    call's arguments; call: what there is to do it again; numbers: those in places that the program takes as operands,
    by index, or None.
    """

    __slots__ = ("plan", "ends", "call", "numbers")

    def apply(self, grads):
        if self.saved is None:
            raise RuntimeError(FREED)
        plan, (kept, versions) = self.plan, self.saved
        for (t, _, _), version in zip(plan.known if state.grad else plan.memory, versions):
            if t._storage.version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[{t.type()} {list(t.shape)}] is at version {t._storage.version}; expected version {version} "
                    "instead: change it before the forward pass or after the backward pass")
        if state.grad:
            wanted = self._wanted()
            if plan.second is None or not all(c or not w for c, w in zip(plan.second.wanted, wanted)):
                plan.ask(plan.order + 1, [x for x, w in zip(plan.leaves, wanted) if w])
                return gradients(plan.again(*self.call), self.edges, grads, True)
        if not all(t._storage is s and s.owner is owner for t, s, owner in plan.known):
            raise RuntimeError("the memory of a parameter was replaced between the forward and the backward pass of a "
                               "compiled call")
        incoming = [_laid_out(g, like) for g, like in zip(grads, plan.like)]
        if state.grad:
            found = plan.second.run_of(self, incoming, kept)
        else:
            made = iter(plan.run.call(*incoming, *kept[:plan.saved], *[self.numbers[i] for i in plan.live]))
            found = [next(made) if there else None for there in plan.there]
        if any(g is None for g in grads):
            there = {i for i, g in enumerate(grads) if g is not None}
            found = [None if there.isdisjoint(of) else g for g, of in zip(found, plan.sources)]
        return found

    def _wanted(self):
        """For which edges there will be a use of the gradients."""
        now = state.backward
        return [e is not None and (now is None or now.reaches(e)) for e in self.edges]

    def release(self):
        self.saved = self.call = self.ends = None


def _laid_out(g, like):
    """A gradient in the memory layout it was captured with; zeros for None."""
    if g is None:
        return like.new_zeros(like.shape) if like.is_contiguous() else like * 0
    if g._a.strides == like._a.strides and not g._offset and not g._bits:
        return g
    return like.new_empty_strided(like.shape, like.stride()).copy_(g)


class Plan:
    """The backward program of an entry: `leaves` receive gradients where `there`; the call's first `saved` are its.

    memory: [(tensor, storage, owner)] of older tensors that must be as they were; order: of the derivatives that `run`
    computes; second: the program of the same pass that keeps a history (`Second`), or None; keeps: what the call has to
    return for `run`, then for `second`; known: `memory`, and what `second` reads; again: a function of what the call
    left that does it again; ask: a function that asks for programs of derivatives of an order; sources: for each leaf,
    indices of the results that depend on it; live: which numbers in places `run` takes; wants: with those of `second`.
    """

    __slots__ = ("run", "live", "wants", "leaves", "sources", "there", "saved", "memory", "like", "tape", "order",
                 "second", "keeps", "known", "again", "ask")

    def attach(self, results, kept, arguments, numbers=None, *call):
        """Give tensors made by the forward program their history."""
        ends = [edge_of(x) for x in arguments] if self.second is not None else None
        edges = tuple([edge_of(arguments[x] if type(x) is int else x) for x in self.leaves])
        self.hang(results, kept, edges, ends, numbers, call)

    def hang(self, results, kept, edges, ends, numbers, call):
        """`attach`, with edges that are known."""
        node = CompiledBackward()
        node.plan, node.ext, node.edges, node.ends, node.call = self, None, edges, ends, call
        node.numbers = numbers
        node.outs = tuple([(t._a.shape, t.dtype) for t in results])
        node.seq = next_seq()
        node.saved = kept, [t._storage.version for t, _, _ in self.known]
        for i, t in enumerate(results):
            t._grad_fn, t._out_nr, t._requires_grad = node, i, True

    def may(self, again):
        """Let the call be done again by an `Again`."""
        self.again = self.again or again
        self.ask = again.ask
        if self.second is not None and self.second.plan is not None:
            self.second.plan.may(again)

    def most(self):
        """The highest order of derivatives that there are programs for."""
        if self.second is None:
            return self.order
        return self.order + 1 if self.second.plan is None else self.second.plan.most()

    def tapes(self):
        """The tapes of all backward passes."""
        return [self.tape] if self.second is None else [self.tape, *self.second.tapes()]


class Second:
    """A backward pass as a program that keeps a history: its own backward pass is the program of `plan`.

    wanted: for which leaves it is; recorded: which of the gradients it makes have a history.
    """

    __slots__ = ("run", "live", "wanted", "there", "tape", "recorded", "plan", "leaving")

    def tapes(self):
        return [self.tape] if self.plan is None else [self.tape, *self.plan.tapes()]

    def run_of(self, node, incoming, kept):
        """The gradients for the edges of a `CompiledBackward` whose forward pass kept `kept`."""
        given = [*incoming, *kept[node.plan.saved:]]
        made = self.run.call(*given, *[node.numbers[i] for i in self.live])
        if self.recorded:
            for i in self.recorded:
                if any(made[i] is x for x in given):
                    made[i] = shallow(made[i])
            ends = [*[edge_of(g) for g in incoming], *node.ends]
            edges = tuple([ends[x] if type(x) is int else edge_of(x) for x in self.plan.leaves])
            self.plan.hang([made[i] for i in self.recorded], made[self.leaving:], edges, ends,
                           node.numbers, (node.plan, node.call, node.edges, incoming))
        made = iter(made)
        return [next(made) if there else None for there in self.there]

    def again(self, plan, call, edges, incoming):
        """The gradients with a history, made by ops."""
        found = gradients(plan.again(*call), edges, incoming, True)
        found = [g for g, there in zip(found, self.there) if there]
        return [found[i] for i in self.recorded]


SPENT = "spent"


def plan_backward(tape, results, order=1, wanted=None, derivative=1, *, kin):
    """(plan, why there is none) for the backward pass from `results` of the call on `tape`.

    The reason is `SPENT` when the pass was part of the call. order: of the derivatives that programs are made for, as
    far as they can be; wanted: the leaves (tensors, or indices of arguments) for whose gradients that is, or None;
    derivative: the order of those that this one computes; kin: see `sizes`.
    """
    leaves, ends, why = _leaves(results, tape)
    if why:
        return None, why
    plan = Plan()
    plan.order, plan.second, plan.again, plan.ask = derivative, None, None, None
    plan.tape, plan.there, made, plan.like, why = _captured(tape, results, leaves, False)
    if why:
        return None, why
    positions = {id(t): i for i, t in enumerate(ends)}
    plan.leaves = [positions.get(id(t), t) for t in leaves]
    if order > derivative:
        chosen = [wanted is None or any(x is y or type(x) is int and x == y for y in wanted) for x in plan.leaves]
        plan.second = _second(tape, results, leaves, order, chosen, derivative, kin)
    plan.run = program(plan.tape, made, True, kin[derivative])         # (which may meet more that has to be saved)
    plan.live, plan.wants = sorted(plan.tape.live), set().union(*[x.live for x in plan.tapes()])
    plan.keeps, plan.saved = [*plan.tape.saved], len(plan.tape.saved)
    if plan.second is not None:
        plan.keeps += plan.second.tape.saved
    reached = [{id(t) for t in _leaves([r], tape)[0]} for r in results] if len(results) > 1 else []
    plan.sources = [{i for i, r in enumerate(reached) if id(t) in r} for t in leaves]
    older = {id(b.tensor): b.tensor for x in plan.tapes() for b in x.older}
    plan.known = [(t, t._storage, t._storage.owner) for t in older.values()]
    plan.memory = plan.known[:len(plan.tape.older)]
    return plan, None


def _second(tape, results, leaves, order, wanted, derivative, kin):
    """The `Second` of the backward pass from `results`; None if there can be none."""
    second = Second()
    second.wanted = wanted
    second.tape, there, made, _, why = _captured(tape, results, [t for t, w in zip(leaves, wanted) if w], True)
    if why:
        return None
    there = iter(there)
    second.there = [w and next(there) for w in wanted]
    second.recorded = [i for i, g in enumerate(made) if g.grad_fn is not None]
    second.plan = None
    if second.recorded:
        recorded = [made[i] for i in second.recorded]
        second.plan, why = plan_backward(second.tape, recorded, order, None, derivative + 1, kin=kin)
        if why:
            return None
        second.plan.again = second.again
    second.leaving, second.live = len(made), sorted(second.tape.live)
    leaving = [*made, *(second.plan.keeps if second.plan else ())]
    second.run = program(second.tape, leaving, False, kin["second", derivative])
    return None if second.tape.failure else second


def _captured(tape, results, leaves, create_graph):
    """(tape, which leaves get gradients, the gradients, the gradients it began with, why that can't be used)."""
    ones_like, generator = function("ones_like"), default_generator.get_state()
    starts = [ones_like(t.detach()).requires_grad_(create_graph) for t in results]
    backward = Tape(starts, tape)
    try:
        with backward:
            found = gradients(results, [edge_of(t) for t in leaves], starts, create_graph)
    except RuntimeError as error:
        return None, None, None, None, f"its backward pass fails: {error}"
    finally:
        default_generator.set_state(generator)
    made, why = [g for g in found if g is not None], None
    if not all(backward.inherits(b) for b in backward.older):
        why = "its backward pass uses a tensor of unknown origin"
    elif any(map(is_sized, backward.steps)):
        why = "sizes in its backward pass depend on contents"
    elif any(type(g._a) is not _ndarray for g in made):
        why = "its backward pass gives sparse gradients"
    elif backward.failure:
        why = f"in its backward pass, {backward.failure}"
    return backward, [g is not None for g in found], made, [t.detach() for t in starts], why


def _leaves(results, tape):
    """(tensors that wait for gradients from `results`, all those that are given, why there is no going on)."""
    given, first = [*tape.given], tape
    while first.forward is not None:
        first = first.forward
        given += first.given
    ends = {edge_of(t): t for t in given if edge_of(t) is not None}
    seen, stack, leaves = set(), [edge_of(t) for t in results], []
    while stack:
        edge = stack.pop()
        if edge in seen:
            continue
        seen.add(edge)
        node = edge[0]
        if edge in ends:
            leaves.append(ends[edge])
        elif isinstance(node, Tensor):
            leaves.append(node)
        elif node.seq < first.began:
            return None, given, "a tensor with history that is no argument is used"
        elif node.saved is None:
            return None, given, SPENT
        elif node.ext is not None:
            return None, given, "there are hooks on results inside it"
        else:
            stack.extend(e for e in node.edges if e is not None)
    return leaves, given, None
