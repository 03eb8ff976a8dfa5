"""Programs of further sizes, made of those of two others without the passes.

The trace of a call of another size often differs from known ones in sizes only: the same kernels, the same memory. The
passes then come to the same steps. So what two known programs of different sizes agree on serves the sizes between
them: their steps after the passes, with each number as the traces show it to be.

    trace of size 20      linear (20, 32) x (64, 32)    relu (20, 64)  ...      steps    group (20, 64) ...
    trace of size 24      linear (24, 32) x (64, 32)    relu (24, 64)  ...      steps    group (24, 64) ...
    trace of size 23      linear (23, 32) x (64, 32)    relu (23, 64)  ...      steps    group (23, 64) ...

Traces unify if they are alike but for numbers, each number lies between those of the known two, and numbers that grow
alike from the one to the other (pairs such as (20, 24) and (640, 768), in lowest terms (5, 6)) are in the same
proportion in the new trace. A number of a step is then that of the trace that grows as it does. What is equal in two
known traces is the same between; what is 0 or 1 in one only isn't followed, as sizes of 1 broadcast. Nothing is guessed
beyond the known sizes: what passes decide by thresholds they have decided alike at both ends.

Parts of steps that are made for their sizes are made anew, by `Step.source`. Steps that have such parts and don't say
how they were made come from the passes every time.
"""

from math import gcd
from types import FunctionType

import numpy as np

from ..runtime.threadpool import get_num_threads
from ..tensor.tensor import Tensor
from .numbers import Live
from .passes.flow import own
from .tape import CONSTANT, MADE, Step, Window

MOST = 16                   # references of one form
LARGEST = 1 << 31           # number that is followed: products of two stay exact

_WINDOW, _INT, _FLOAT, _LIST, _STEP, _SOURCE, _OBJECT, _PLAIN, _TRACED = range(9)
_AS_THEY_ARE = (bool, str, type(None))
_DECISIONS = __name__.rpartition(".")[0] + ".decisions"


class Reading:
    """Steps as forms without numbers: nested tuples that are equal where steps are alike, with what they leave out.

    numbers: sizes, strides, offsets and whole numbers; floats; objects: kernels and whatever else; buffers: in the
    order in which they are met. traced: {id: index} of steps of the trace, which others are made of. constants: forms
    of the sources of constants that passes made, by their buffers' numbers; inside: whether there are no others, nor
    memory from elsewhere.
    """

    __slots__ = ("numbers", "floats", "objects", "buffers", "at", "traced", "constants", "inside", "forms")

    def __init__(self, steps, traced, buffers=(), at=()):
        self.numbers, self.floats, self.objects = [], [], []
        self.constants, self.inside = {}, True
        self.buffers, self.at, self.traced = list(buffers), dict(at), traced
        self.forms = [self._step(s) for s in steps]

    def _step(self, s):
        i = self.traced.get(id(s))
        if i is not None:
            return _TRACED, i
        if s.source is not None:
            return _SOURCE, self._value(s.source)
        return (_STEP, s.kind, s.label, self._object(s.call), self._value(s.args), self._value(s.outs),
                self._value(s.detail))

    def _object(self, x):
        self.objects.append(x)
        return _OBJECT, len(self.objects) - 1

    def _value(self, x):
        kind = type(x)
        if kind is Window:
            i = self.at.get(id(x.buffer))
            if i is None:
                i = self._met(x.buffer)
            numbers, at = self.numbers, len(self.numbers)
            numbers += x.shape
            numbers += x.strides
            numbers.append(x.offset)
            return _WINDOW, i, x.dtype, x.bits, len(x.shape), at
        if kind is list or kind is tuple:
            return _LIST, kind, tuple([self._value(y) for y in x])
        if kind is int:
            self.numbers.append(x)
            return _INT, len(self.numbers) - 1
        if kind is float:
            self.floats.append(x)
            return _FLOAT, len(self.floats) - 1
        if kind in _AS_THEY_ARE or isinstance(x, np.dtype):
            return _PLAIN, x
        if kind is Step:
            return self._step(x)
        return self._object(x)

    def _met(self, b):
        """The number of a buffer that is new."""
        i = self.at[id(b)] = len(self.buffers)
        self.buffers.append(b)
        source = getattr(b, "source", None)
        if source is not None:
            self.constants[i] = self._value(source)
        elif b.origin is not MADE:
            self.inside = False
        return i


def _stands_for(x):
    """Equal for objects of two traces where one may stand for the other: what they hold is the trace's own."""
    kind = type(x)
    if kind is FunctionType:
        return x.__code__
    if kind is Live:
        return repr(x.expression), x.convert
    if kind is np.ndarray:
        return kind, x.dtype, x.ndim
    return kind if isinstance(x, Tensor) or kind.__module__ == _DECISIONS else x


class Trace:
    """The steps of a tape before the passes, read; `key` is equal for traces that are alike but for numbers.

    visible: ids of the buffers that leave the call. within: whether the numbers can be followed.
    """

    __slots__ = ("steps", "reading", "key", "numbers", "within")

    def __init__(self, steps, visible):
        self.steps, self.reading = steps, Reading(steps, {})
        constants, memory = {}, []
        for i, b in enumerate(self.reading.buffers):
            first = constants.setdefault(b.initial.tobytes(), i) if b.origin is CONSTANT else None
            memory.append((b.origin, id(b) in visible, bool(b.written), first))
        self.key = memory, [_stands_for(x) for x in self.reading.objects], self.reading.forms, get_num_threads()
        numbers = self.reading.numbers
        self.within = not numbers or -LARGEST < min(numbers) and max(numbers) < LARGEST
        self.numbers = np.array(numbers, np.int64) if self.within else None


class Reference:
    """A program whose steps came from the passes: the numbers of its trace and its steps, without their memory.

    objects: of the steps, (index in the trace, None) or (None, object).
    """

    __slots__ = ("key", "numbers", "floats", "steps", "groups", "objects")

    def __init__(self, trace, steps, groups):
        of, traced = trace.reading, {id(s): i for i, s in enumerate(trace.steps)}
        self.key, self.numbers, self.floats, self.groups = trace.key, trace.numbers, of.floats, groups
        self.steps = Reading(steps, traced, of.buffers, of.at)
        known = {id(x): i for i, x in enumerate(of.objects)}
        self.objects = [(known.get(id(x)), None if id(x) in known else x) for x in self.steps.objects]
        self.steps.objects = self.steps.buffers = self.steps.at = self.steps.traced = None


class Pair:
    """Two references that agree: what is between them follows; `forms` is None where nothing does.

    low, high: numbers of traces. Where they differ (`moves`), a number of the first is `times` / `base` of that at
    `lead`, the first that moves alike. last: for the steps' numbers, (constant, lead, base, times). floats: for the
    trace's, (value, None) or (None, index of the first that moves alike); last_floats: for the steps' likewise.
    """

    __slots__ = ("first", "second", "low", "high", "moves", "lead", "base", "times", "last", "floats", "last_floats",
                 "forms")

    def __init__(self, first, second):
        self.first, self.second, self.forms = first, second, None
        self.low, self.high = np.minimum(first.numbers, second.numbers), np.maximum(first.numbers, second.numbers)
        self.moves = np.flatnonzero(self.low != self.high)
        if first.steps.inside and second.steps.inside and first.steps.forms == second.steps.forms and \
                first.steps.constants == second.steps.constants and \
                first.groups == second.groups and len(self.moves) and self.low[self.moves].min() > 1 and all(
                    i == j and x is y for (i, x), (j, y) in zip(first.objects, second.objects, strict=True)) and \
                self._numbers(second) and self._floats(second):
            self.forms = first.steps.forms

    def _numbers(self, second):
        """Whether each number of the steps is constant or moves as one of the trace does."""
        a, b, directions, found = self.first.numbers, second.numbers, {}, []
        for i in self.moves.tolist():
            direction, times = _direction(int(a[i]), int(b[i]))
            found.append((*directions.setdefault(direction, (i, times)), times))
        self.lead, self.base, self.times = map(np.array, zip(*found))
        found = []
        for x, y in zip(self.first.steps.numbers, second.steps.numbers, strict=True):
            if x == y:
                found.append((x, 0, 1, 0))
                continue
            direction, times = _direction(x, y)
            if direction not in directions or not 1 < min(x, y) <= max(x, y) < LARGEST:
                return False
            found.append((0, *directions[direction], times))
        self.last = np.array(found, np.int64).reshape(-1, 4).T
        return True

    def _floats(self, second):
        """Whether each float of the steps is constant or moves as one of the trace does."""
        known, self.floats, self.last_floats = {}, [], []
        for i, (x, y) in enumerate(zip(self.first.floats, second.floats, strict=True)):
            self.floats.append((x, None) if x == y else (None, known.setdefault((x, y), i)))
        for x, y in zip(self.first.steps.floats, second.steps.floats, strict=True):
            if x != y and (x, y) not in known:
                return False
            self.last_floats.append((x, None) if x == y else (None, known[x, y]))
        return True

    def spans(self, other):
        """Whether another reference is between the two, and so of no use."""
        return self.forms is not None and other is not self.first and other is not self.second and \
            bool(((other.numbers >= self.low) & (other.numbers <= self.high)).all())

    def unify(self, trace, number, constants):
        """The steps of the program of a trace; None where it isn't between the two.

        ``number()`` gives new buffers' numbers; constants: the tape's, which grow.
        """
        numbers, given = trace.numbers, trace.reading.floats
        if ((numbers < self.low) | (numbers > self.high)).any() or \
                (numbers[self.moves] * self.base != numbers[self.lead] * self.times).any() or \
                any(x != (value if at is None else given[at])
                    for x, (value, at) in zip(given, self.floats, strict=True)):
            return None
        constant, lead, base, times = self.last
        moved = numbers[lead] * times
        if (moved % base).any():
            return None
        floats = [value if at is None else given[at] for value, at in self.last_floats]
        objects = [x if i is None else trace.reading.objects[i] for i, x in self.first.objects]
        making = _Making((constant + moved // base).tolist(), floats, objects, self.first.steps.constants, trace,
                         number, constants)
        try:
            return [making.value(form) for form in self.forms]
        except _OtherWays:
            return None


def _direction(x, y):
    """Two numbers in lowest terms, and their common factor."""
    g = gcd(x, y)
    return (x // g, y // g), g


class _OtherWays(Exception):
    """What is made for sizes isn't for these."""


class _Making:
    """Values of forms, with their numbers; `sources` are forms of those of constants, see `Reading`."""

    def __init__(self, numbers, floats, objects, sources, trace, number, constants):
        self.numbers, self.floats, self.objects, self.sources = numbers, floats, objects, sources
        self.number, self.constants = number, constants
        self.steps, self.buffers = trace.steps, dict(enumerate(trace.reading.buffers))

    def value(self, form):
        kind = form[0]
        if kind == _TRACED:
            return self.steps[form[1]]
        if kind == _WINDOW:
            _, i, dtype, bits, n, at = form
            numbers = self.numbers
            return Window(self._buffer(i), dtype, tuple(numbers[at:at + n]), tuple(numbers[at + n:at + 2 * n]),
                          numbers[at + 2 * n], bits)
        if kind == _LIST:
            return form[1]([self.value(x) for x in form[2]])
        if kind == _INT:
            return self.numbers[form[1]]
        if kind == _FLOAT:
            return self.floats[form[1]]
        if kind == _OBJECT:
            return self.objects[form[1]]
        if kind == _PLAIN:
            return form[1]
        if kind == _SOURCE:
            return self._made(form[1])
        return Step(form[1], form[2], *[self.value(x) for x in form[3:]])

    def _made(self, form):
        function, values = self.value(form)
        found = function(*values)
        if found is None:
            raise _OtherWays
        return found

    def _buffer(self, i):
        if i not in self.buffers:
            source = self.sources.get(i)
            if source is None:
                self.buffers[i] = own(self.number())
            else:
                self.buffers[i] = b = self._made(source)
                b.key = len(self.constants)
                self.constants.append(b)
        return self.buffers[i]


class Kin:
    """What is known of the programs for one form of arguments."""

    __slots__ = ("references", "pairs")

    def __init__(self):
        self.references, self.pairs = [], {}

    def unified(self, trace, number, constants):
        """(steps, groups) of a trace's program, by two known ones; None where there are none that it unifies with.

        See `Pair.unify` for what is given.
        """
        alike = [r for r in self.references if r.key == trace.key] if trace.within else ()
        for j in range(len(alike) - 1, 0, -1):
            for i in range(j):
                pair = self._pair(alike[i], alike[j])
                found = None if pair.forms is None else pair.unify(trace, number, constants)
                if found is not None:
                    return found, pair.first.groups
        return None

    def _pair(self, first, second):
        key = id(first), id(second)
        if key not in self.pairs:
            self.pairs[key] = Pair(first, second)
        return self.pairs[key]

    def learned(self, trace, steps, groups):
        """The passes have made these steps of a trace."""
        if not trace.within:
            return
        new = Reference(trace, steps, groups)
        alike = [r for r in self.references if r.key == new.key]
        between = {id(r) for r in alike for other in alike if self._pair(other, new).spans(r)}
        self.references = [*[r for r in self.references if id(r) not in between], new][-MOST:]
        there = {id(r) for r in self.references}
        self.pairs = {key: pair for key, pair in self.pairs.items() if there.issuperset(key)}
