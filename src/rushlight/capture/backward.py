"""Compiled forward passes whose backward pass comes later: both are captured, the second from ones as gradients."""

from ..autograd import engine
from ..autograd.modes import state
from ..autograd.node import FREED, Node, edge_of, next_seq
from ..ops.registry import function
from ..random import default_generator
from ..tensor.tensor import Tensor
from .decisions import is_sized
from .program import program
from .tape import Tape


class CompiledBackward(Node):
    """History of the results of a compiled call: its backward pass is one program.

    saved: (tensors kept of the forward pass, [(tensor, version)] of what must not have changed since).
    """

    __slots__ = ("plan",)

    def apply(self, grads):
        if self.saved is None:
            raise RuntimeError(FREED)
        if state.grad:
            raise NotImplementedError("a compiled call has no second derivatives (create_graph=True): call the "
                                      "function itself")
        kept, versions = self.saved
        for t, version in versions:
            if t._storage.version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[{t.type()} {list(t.shape)}] is at version {t._storage.version}; expected version {version} "
                    "instead: change it before the forward pass or after the backward pass")
        incoming = [_laid_out(g, like) for g, like in zip(grads, self.plan.like)]
        if not self.plan.holds():
            raise RuntimeError("the memory of a parameter was replaced between the forward and the backward pass of a "
                               "compiled call")
        made = iter(self.plan.run.call(*incoming, *kept))
        return [next(made) if there else None for there in self.plan.there]


def _laid_out(g, like):
    """A gradient in the memory layout it was captured with; zeros for None."""
    if g is None:
        return like.new_zeros(like.shape) if like.is_contiguous() else like * 0
    if g._a.strides == like._a.strides and not g._offset and not g._bits:
        return g
    return like.new_empty_strided(like.shape, like.stride()).copy_(g)


class Plan:
    """The backward program of an entry: `leaves` receive gradients where `there`; `saved` is kept for it."""

    __slots__ = ("run", "leaves", "there", "saved", "memory", "like", "tape")

    def holds(self):
        """Whether parameters are in the memory that the program knows."""
        return all(t._storage is s and s.owner is owner for t, s, owner in self.memory)

    def attach(self, results, kept, arguments):
        """Give tensors made by the forward program their history."""
        node = CompiledBackward()
        node.plan, node.ext = self, None
        node.edges = tuple([edge_of(arguments[x] if type(x) is int else x) for x in self.leaves])
        node.outs = tuple([(t._a.shape, t.dtype) for t in results])
        node.seq = next_seq()
        node.saved = kept, [(t, t._storage.version) for t, _, _ in self.memory]
        for i, t in enumerate(results):
            t._grad_fn, t._out_nr, t._requires_grad = node, i, True


SPENT = "spent"


def plan_backward(tape, results):
    """(plan, why there is none) for the backward pass from `results` of the call on `tape`.

    The reason is `SPENT` when the pass was part of the call.
    """
    leaves, why = _leaves(results, tape)
    if why:
        return None, why
    ones_like, generator = function("ones_like"), default_generator.get_state()
    starts = [ones_like(t.detach()) for t in results]
    backward = Tape(starts, tape)
    hooked = [(t, t._meta) for t in leaves if t._meta is not None]
    for t, _ in hooked:
        t._meta = None                      # hooks of leaves run when gradients arrive
    try:
        with backward:
            found = _gradients(results, leaves, starts)
    except RuntimeError as error:
        return None, f"its backward pass fails: {error}"
    finally:
        for t, hooks in hooked:
            t._meta = hooks
        default_generator.set_state(generator)
    made = [g for g in found if g is not None]
    for b in backward.older:
        if id(b.storage) not in tape.buffers:
            return None, "its backward pass uses a tensor of unknown origin"
    if any(map(is_sized, backward.steps)):
        return None, "sizes in its backward pass depend on contents"
    if backward.failure:
        return None, f"in its backward pass, {backward.failure}"
    plan = Plan()
    plan.tape, plan.saved = backward, backward.saved
    plan.there = [g is not None for g in found]
    plan.run = program(backward, made)
    positions = {id(t): i for i, t in enumerate(tape.arguments)}
    plan.leaves = [positions.get(id(t), t) for t in leaves]
    plan.memory = [(b.tensor, b.tensor._storage, b.tensor._storage.owner) for b in backward.older]
    plan.like = [t.detach() for t in starts]
    return plan, None


def _gradients(results, leaves, starts):
    """The gradients at `leaves` by the kernels of ``backward()``, which joins some that ``autograd.grad`` doesn't."""
    edges = [edge_of(t) for t in leaves]
    capture = dict.fromkeys(edges)
    roots = [edge_of(t) for t in results]
    deps, order = engine._dependencies(roots)
    engine._propagate(roots, list(starts), True, False, capture, False, deps, engine._needed(order, capture))
    return [capture[e] for e in edges]


def _leaves(results, tape):
    """(tensors that wait for gradients from `results`, why there is no going on)."""
    ends = {edge_of(t): t for t in tape.arguments if edge_of(t) is not None}
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
        elif node.seq < tape.began:
            return None, "a tensor with history that is no argument is used"
        elif node.saved is None:
            return None, SPENT
        elif node.ext is not None:
            return None, "there are hooks on results inside it"
        else:
            stack.extend(e for e in node.edges if e is not None)
    return leaves, None
