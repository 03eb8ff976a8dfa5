"""Steps that take sums over parameters: all phases for a group's parameters in one native call, its plan found once.

An optimizer lists the parameters that are plain (``split``), and asks for the plan of those (``plan_for``), which
holds as long as parameters and states are the same arrays. Gradients are looked at anew in each step.
"""

from weakref import WeakKeyDictionary

from numpy import ndarray

from rushlight import dtypes
from rushlight.autograd.modes import state as modes
from rushlight.optim.fused import _is_plain, _plain
from rushlight.tensor import watch

MOST_PLANS = 4      # of a group: memory of states that have been replaced goes with the plans for it
_plans = WeakKeyDictionary()


def listening():
    """(whether native calls may serve, whether a capture is to be told of the step)."""
    from rushlight import compiler

    watched = watch.listener is not None and modes.special == 1
    if watched:
        watch.listener.settle()
    return (not modes.special or watched) and compiler.available(), watched and getattr(watch.listener, "captures",
                                                                                         True)


def is_plain(p, g):
    """Whether a parameter and its gradient are arrays of float32 or float64 in C order."""
    a, b, dtype = p._a, g._a, p.dtype
    return (type(a) is ndarray and type(b) is ndarray and (_plain.get(type(p)) or _is_plain(type(p)))
            and not p._bits and not g._bits and g.dtype is dtype and a.shape == b.shape and a.size > 0
            and (dtype is dtypes.float32 or dtype is dtypes.float64)
            and a.flags.c_contiguous and b.flags.c_contiguous)


def are_plain(p, tensors, shapes):
    """Whether state tensors are arrays of the parameter's dtype in C order, of these shapes."""
    dtype = p._a.dtype
    return all(type(t._a) is ndarray and t._a.dtype is dtype and t._a.shape == tuple(shape) and
               t._a.flags.c_contiguous and not t._bits for t, shape in zip(tensors, shapes, strict=True))


class Plan:
    """What a step of some parameters runs.

    ``words`` for ``phases.runner()``, ``numbers`` (float64) to be filled in before each call; ``kept`` are the arrays
    in whose memory it works.
    """

    def __init__(self, words, numbers, *kept):
        from rushlight.compiler.templates import phases

        self.words, self.numbers, self.kept, self.call = words, numbers, kept, phases.runner()

    def run(self, grads):
        """Do the step with these gradients' arrays; False where one doesn't fit."""
        return self.call(self.words, grads)


def plan_for(optimizer, group, tag, arrays, make):
    """The plan for these arrays of a group, or ``make()``; ``tag`` tells what it depends on besides (hashable)."""
    of_groups = _plans.get(optimizer)
    if of_groups is None:
        of_groups = _plans[optimizer] = {}
    plans = of_groups.get(id(group))
    if plans is None:
        # Loading a state puts other dicts in the groups' places.
        now = {id(g) for g in optimizer.param_groups}
        for gone in of_groups.keys() - now:
            del of_groups[gone]
        plans = of_groups[id(group)] = {}
    key = (tag, *map(id, arrays))
    found = plans.get(key)
    if found is None:
        while len(plans) >= MOST_PLANS:
            del plans[next(iter(plans))]
        # The arrays live as long as the plan, so that their ids are theirs.
        found = plans[key] = make(), arrays
    return found[0]


def tell(optimizer, group, members, rest, changes, again):
    """Let a capture know of the step of (parameter, gradient) members just done: it is ``again()``, with whatever
    numbers there are then; ``rest`` are those that took tensor operations."""
    from rushlight.optim.planned import moves, unplanned

    if rest:
        watch.listener.fail("an optimizer steps parameters that aren't plain tensors")
    if moves([p for p, _ in members]):
        again = unplanned(lambda: optimizer._step_group(group), changes)
    watch.listener.thunk(f"{type(optimizer).__name__}.step", again, [g for _, g in members], changes)


def tell_rows(optimizer, group, members, changed, step):
    """Do ``step()``, which nobody hears of, and let a capture know that the step of `members`, some of whose gradients
    are sparse rows, changes the tensors ``changed()``: done again it is the group's step as it is then."""
    from rushlight.optim.planned import unplanned

    listener = watch.set_listener(None)
    modes.special -= 1
    try:
        step()
    finally:
        modes.special += 1
        watch.set_listener(listener)
    changes = changed()
    again = unplanned(lambda: optimizer._step_group(group), changes)
    again.counts = True                 # (numbers of Python's that can't be put back)
    listener.thunk(f"{type(optimizer).__name__}.step", again, [g for _, g in members], changes)


def planned(optimizer, group, members, plan, numbers, counts=()):
    """``again()`` for programs, which run only while parameters and states are the same arrays: only gradients,
    numbers and counts are found anew. ``numbers(t)`` gives those of step t, or None where the plan isn't theirs;
    ``counts`` are the arrays of step counts."""
    from rushlight.optim.planned import _gradients

    gradients = _gradients(group, [p for p, _ in members])

    def again():
        t = counts[0].item() + 1 if counts else None
        found, now = gradients(), numbers(t)
        if found is None or now is None or any(c.item() + 1 != t for c in counts):
            optimizer._step_group(group)
            return
        plan.numbers[:] = now
        if not plan.run(found):
            optimizer._step_group(group)
            return
        for c in counts:
            c[()] = t
    return again
