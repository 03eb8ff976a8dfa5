"""A group's step for compiled programs: what it does each time, found once.

A program runs only while parameters and optimizer state are the objects that they were, with memory where it was; then
all that a step has to find anew are the gradients, the step count and the numbers of its rule.
"""

from numpy import float32, ndarray

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
    from rushlight.compiler.templates import updates

    members = [p for p in group["params"] if p._grad is not None]
    counted = how == fused.COUNTED
    if not members or moves(members) or not counted and how != fused.ALIKE and not optimizer._settles or \
            not compiler.available():
        return None
    dtype = members[0].dtype
    states = [optimizer.state[p] for p in members] if how != fused.ALIKE else [{}] * len(members)
    sets = [(p._a, *[state[name]._a for name in slots]) for p, state in zip(members, states, strict=True)]
    grads = [p._grad._a for p in members]
    if any(type(a) is not ndarray or not a.flags.c_contiguous or a.dtype is not sets[0][0].dtype or not a.size
           for arrays in (*sets, grads) for a in arrays) or not fused._supported(dtype) or \
            any(p.dtype is not dtype or p._bits or p._grad._bits for p in members):
        return None
    counts = [state["step"]._a for state in states] if counted else []
    if any(type(c) is not ndarray or c.dtype != float32 or c != counts[0] for c in counts):
        return None
    tick = counts[0].item() if counted else False if slots else None
    known = optimizer._rule(group, tick)[0]
    kernel = fused.kernel_of(known, dtype)
    operands = [(*arrays, arrays[0], g, *arrays[1:]) for arrays, g in zip(sets, grads, strict=True)]
    plan = updates.plan_of(kernel, operands, len(sets[0]) + 1, counts)
    run, rule, kept = updates.runner(), optimizer._rule, sets
    gradients = _gradients(group, members)

    def step():
        now = counts[0].item() + 1.0 if counted else tick
        formula, numbers = rule(group, now)
        found = gradients()
        if found is None or formula is not known or not run(plan, numbers, now or 0.0, found):
            optimizer._step_group(group)
    step.kept = kept
    return step
