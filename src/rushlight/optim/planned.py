"""A group's step for compiled programs: what it does each time, found once.

A program runs only while parameters and optimizer state are the objects that they were, with memory where it was; then
all that a step has to find anew are the gradients, the step count and the numbers of its rule.
"""

from functools import partial
from operator import is_
from threading import Lock
from weakref import ref

from numpy import ndarray

from rushlight.optim import fused
from rushlight.tensor import watch


def _gradients(group, members):
    """A function that gives the arrays of the members' gradients; None where others of the group's parameters than
    these have one, or one isn't a plain tensor of its parameter's dtype."""
    params, known = group["params"], {id(p) for p in members}
    scope = {f"p{i}": p for i, p in enumerate(params)} | {"params": params, "group": group, "dtype": members[0].dtype}
    tests = [f"group['params'] is not params or len(params) != {len(params)}"]
    tests += [f"(g := p{i}._grad) is None or g._bits or g.dtype is not dtype" if id(p) in known else
              f"p{i}._grad is not None" for i, p in enumerate(params)]
    arrays = [f"p{i}._grad._a" for i, p in enumerate(params) if id(p) in known]
    return eval(f"lambda: None if {' or '.join(tests)} else [{', '.join(arrays)}]", scope)


def moves(members):
    """Whether a capture says that some of the parameters have other memory in each call."""
    moving = getattr(watch.listener, "moving", ())
    return any(id(p) in moving for p in members)


def unplanned(step, changes):
    """``step()``, but for raising versions of the tensors `changes`."""
    def again():
        versions = [t._storage.version for t in changes]
        step()
        for t, version in zip(changes, versions, strict=True):
            t._storage.version = version
    return again


def planned(optimizer, group, slots, how):
    """``step()`` that does what ``optimizer._step_group(group)`` does, but for raising versions, which programs do.

    None where the parameters aren't float arrays in C order that are all at the same count, or get other memory from
    call to call.
    """
    from rushlight import compiler

    members = [p for p in group["params"] if p._grad is not None]
    counted = how == fused.COUNTED
    if not members or moves(members) or not counted and how != fused.ALIKE and not optimizer._settles or \
            not compiler.available():
        return None
    dtype = members[0].dtype
    states = [optimizer.state[p] for p in members] if how != fused.ALIKE else [{}] * len(members)
    sets = [(p._a, *[state[name]._a for name in slots]) for p, state in zip(members, states, strict=True)]
    grads = [p._grad._a for p in members]
    if any(type(a) is not ndarray or not a.flags.c_contiguous for a in grads) or any(
            p.dtype is not dtype or p._bits or p._grad._bits for p in members):
        return None
    counts = [state["step"]._a for state in states] if counted else []
    if any(type(c) is not ndarray or c.dtype.char != "f" for c in counts) or len({c.item() for c in counts}) > 1:
        return None
    tick = counts[0].item() if counted else False if slots else None
    formula = optimizer._rule(group, tick)[0]
    of = (optimizer, group, group["params"], formula, dtype), members, sets, counts
    known = _steps.get(id(group))
    step = known and known()
    if step is None or not _same(step.of, of):
        step = _step(tick, *of)
        if step is not None:
            step.of = of
            _steps[id(group)] = ref(step, partial(_forget, id(group)))
    return step


# Ids of groups -> their steps, while programs use them: programs for other sizes of batches share what was found.
_steps = {}


def _forget(key, step):
    if _steps.get(key) is step:
        del _steps[key]


def _same(a, b):
    """Whether steps are of the same objects: of one group, its members, their memory and their counters."""
    return _alike(a[0], b[0]) and _alike(a[1], b[1]) and _alike(a[3], b[3]) and all(map(_alike, a[2], b[2]))


def _alike(a, b):
    return len(a) == len(b) and all(map(is_, a, b))


def _step(tick, about, members, sets, counts):
    from rushlight.compiler.templates import updates

    optimizer, group, _, known, dtype = about
    if any(type(a) is not ndarray or not a.flags.c_contiguous or a.dtype is not sets[0][0].dtype or not a.size
           for arrays in sets for a in arrays) or not fused._supported(dtype):
        return None
    kernel = fused.kernel_of(known, dtype)
    # (the gradient comes with each call: now any array of its size does)
    operands = [(*arrays, arrays[0], *arrays) for arrays in sets]
    plan = updates.plan_of(kernel, operands, len(sets[0]) + 1, counts)
    run, rule, busy = updates.runner(), optimizer._rule, Lock()
    gradients = _gradients(group, members)

    def step():
        if not busy.acquire(False):             # (the plan holds the gradients of a step that is being done)
            return optimizer._step_group(group)
        try:
            now = counts[0].item() + 1.0 if counts else tick
            formula, numbers = rule(group, now)
            found = gradients()
            if found is None or formula is not known or not run(plan, numbers, now or 0.0, found):
                optimizer._step_group(group)
        finally:
            busy.release()
    return step
