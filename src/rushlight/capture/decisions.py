"""Where Python decides by numbers that the call itself computes: ``if loss.item() < best``.

Such a decision is on the tape as an expression of what was read, with its outcome. A program asks as soon as the
numbers are there. Often that is before anything older than the call has changed: in early stopping the loss is known
before the backward pass, in a step of a `GradScaler` infinities are found before the optimizer steps. Where the outcome
is another, the program puts back what it has changed so far and gives way: to a program that was made with that
outcome, or to Python.

Sizes that depend on numbers, such as that of ``x[x > 0]``, are checked likewise.
"""

import math

import numpy as np

from ..random import Generator, default_generator
from .numbers import places_of, reads_of, text
from .tape import ARGUMENT, OLDER, Step, windows

MOST = 1 << 24              # bytes that a program keeps, to put them back
_SIZED = {"masked_select", "argwhere", "bincount", "_unique2", "unique_dim", "unique_consecutive",
          "_repeated_positions"}        # kernels whose results' sizes depend on contents


class Check:
    """What a step of the kind ``check`` asks: ``holds(*numbers, *places)``; places: which ones; sized: how many windows
    among the step's arguments follow the numbers', whose shapes have to be right."""

    __slots__ = ("holds", "places", "sized")

    def __init__(self, decisions, reads, sized):
        self.sized = sized
        places, lines = set(), []
        scope = {"math": math}

        def number(x):
            if type(x) is int:
                return repr(x)
            scope[f"k{len(scope)}"] = x
            return f"k{len(scope) - 1}"
        for expression, outcome in decisions:
            places_of(expression, places)
            lines.append(f"({text(expression, 'p{}'.format, lambda i: f'r{reads.index(i)}', number)}) is {outcome}")
        self.places = sorted(places)
        names = ", ".join([*[f"r{i}" for i in range(len(reads))], *[f"p{i}" for i in self.places]])
        exec(f"def holds({names}):\n    try:\n        return {' and '.join(lines) or 'True'}\n"
             "    except Exception:\n        return False\n", scope)
        self.holds = scope["holds"]


class Kept:
    """What a step of the kind ``keep`` keeps: the windows among its arguments, and the `leaves`' gradients, the
    `generators`' states, the `storages`' versions and the values of `places`."""

    __slots__ = ("leaves", "generators", "storages", "places")


def ask_early(tape):
    """Put checks (and what they need) among the steps of a tape; returns why that can't be done."""
    at = {}
    for expression, outcome, when in tape.decisions:
        position = 0
        for i in reads_of(expression, set()):
            b = tape.buffer(tape.reads[i][0])
            for k in range(min(when, tape.reads[i][1]), 0, -1):
                if any(w.buffer is b for w in windows(tape.steps[k - 1].outs)):
                    position = max(position, k)
                    break
        at.setdefault(position, []).append((expression, outcome))
        tape.live |= places_of(expression, set())
    sized = {k + 1: [w for w in s.outs if w is not None] for k, s in enumerate(tape.steps) if is_sized(s)}
    if not at and not sized:
        return None
    last = max([*at, *sized])
    before, after = tape.steps[:last], tape.steps[last:]
    kept, changed, late = Kept(), {}, []
    kept.leaves, kept.storages, kept.places = [], [], []
    stepped = any(s.kind == "thunk" for s in before)
    for s in before:
        if s.kind == "thunk" and getattr(s.detail, "kept", None) is not None:
            kept.places += s.detail.kept
        elif s.kind == "thunk" and (not s.outs or getattr(s.call, "counts", False)):
            return f"Python decides by a number that was read from a tensor after {s.label}"
        for w in windows(s.outs):
            if w.buffer.origin in (ARGUMENT, OLDER):
                changed.setdefault(w.key(), w)
                if s.kind == "thunk":
                    kept.storages.append(w.buffer.tensor._storage)
        if s.kind == "grad" and not stepped:
            late.append(s)                  # nothing but optimizers looks at gradients by their names
        elif s.kind == "grad" and not any(s.call is leaf for leaf in kept.leaves):
            kept.leaves.append(s.call)
    if sum(math.prod(w.shape) * w.dtype.itemsize for w in changed.values()) > MOST:
        return "Python decides by a number that was read from a tensor, after much memory has changed"
    kept.generators = _generators(before)
    if any(w.buffer.origin is ARGUMENT for w in changed.values()) and tape.forward is not None:
        return "Python decides in a backward pass"
    steps = []
    if changed or kept.leaves or kept.generators or kept.storages or kept.places:
        steps.append(Step("keep", "keep", None, list(changed.values()), [], kept))
    for k in range(last + 1):
        if k in at or k in sized:
            asked, shapes = at.get(k, ()), sized.get(k, [])
            reads = sorted(set().union(*[reads_of(e, set()) for e, _ in asked]))
            numbers = [tape.window(tape.reads[i][0]) for i in reads]
            check = Check(asked, reads, len(shapes))
            steps.append(Step("check", "decision", None, [*numbers, *shapes], [], check))
        if k < last and not any(before[k] is s for s in late):
            steps.append(before[k])
    tape.steps[:] = [*steps, *late, *after]
    return None


def is_sized(step):
    """Whether the sizes of a step's results depend on what its operands hold."""
    return step.kind == "kernel" and (step.label in _SIZED or step.label == "index" and any(
        w.dtype.kind == "b" or w.dtype == np.uint8 for w in windows(step.args[1:])))


def _generators(steps):
    """The generators that steps draw from."""
    found = [default_generator] if any(s.kind in ("draw", "write") for s in steps) else []
    for s in steps:
        cells = [c.cell_contents for c in getattr(s.call, "__closure__", None) or ()]
        for x in (*cells, *s.args):
            if type(x) is Generator and all(x is not g for g in found):
                found.append(x)
    return found


def number(a):
    """The only number in an array, as `Tensor.item` gives it."""
    x = a.item()
    return x if type(x) in (float, int, bool) else float(x)


def restore(arrays, gradients, states, versions, places):
    """Put back what was kept: pairs of where it belongs and what it was."""
    for to, was in arrays:
        to[...] = was
    for leaf, g in gradients:
        leaf._grad = g
    for generator, state in states:
        generator.set_state_bytes(state)
    for storage, version in versions:
        storage.version = version
    for place, value in reversed(places):
        place.value = value


class Rare:
    """Whether a call takes a path that can't be captured, where that shows in the course of the call only.

    ``holds()``: whether Python is as it was when such a path was met. The 2nd, 4th, 8th ... of these calls may be
    captured all the same, as they may take another path.
    """

    def __init__(self, holds):
        self.holds, self.calls, self.next = holds, 0, 2

    def __call__(self, *numbers):
        if not self.holds(*numbers):
            return False
        self.calls += 1
        if self.calls < self.next:
            return True
        self.next *= 2
        return False
