"""Numbers of optimizers' groups that a call reads or changes: learning rates above all, and pairs that schedules move.

They are inputs of programs: each call finds others. While a tape is written, `Seen` numbers are in their places; before
an optimizer or a scheduler looks at them, the plain numbers are put there, and if the call has put in others, the
program does so at the same point. What a scheduler leaves is read anew by the program.
"""

import math
import operator

import numpy as np

from ..tensor.tensor import wrap
from .numbers import Live, Seen, is_seen, places_of, plain, reads_of, text
from .places import MISSING
from .tape import Step

UNLESS_READ = "unless read"             # detail of steps that are of no use unless what they read is asked for


class Place:
    """An entry of a dict, to be kept and put back."""

    __slots__ = ("container", "key")

    def __init__(self, container, key):
        self.container, self.key = container, key

    @property
    def value(self):
        return self.container[self.key]

    @value.setter
    def value(self, new):
        self.container[self.key] = new


class Groups:
    """The `held` numbers, [(group, key)], of one call; `places` gets them as inputs of the program."""

    def __init__(self, tape, held, places):
        self.tape, self.settled = tape, False
        self.held, self.last, self.values = held, [], []
        for group, key in held:
            value = group[key]
            self.values.append(value)
            if type(value) is tuple:
                self.last.append(tuple([self._placed(x, (group, "part", ("item", key, i, len(value))), places)
                                        for i, x in enumerate(value)]))
            else:
                self.last.append(self._placed(value, (group, "item", key), places))
        self.put_back()

    def _placed(self, value, place, places):
        places.append((*place, type(value)))
        return Seen(value, ("place", len(places) - 1), self.tape, False)

    def settle(self):
        """Put the plain numbers into the groups; the program gets to do what the call has done to them so far."""
        if self.settled:
            return
        self.settled = True
        for i, (group, key) in enumerate(self.held):
            now = group.get(key, MISSING)
            if type(self.last[i]) is tuple:
                if now is not self.last[i]:
                    self.tape.fail(f"{key!r} of an optimizer's group was changed")
                    self.values[i] = tuple(map(plain, now)) if type(now) is tuple else now
                group[key] = self.values[i]
                continue
            if now is not self.last[i]:
                if type(plain(now)) not in (int, float):
                    self.tape.fail(f"{key!r} of an optimizer's group was changed to what is no number")
                    continue
                store(self.tape, f"{key} of a group", operator.setitem, (group, key, now), [Place(group, key)])
                self.last[i] = now
            group[key] = plain(now)

    def put_back(self):
        """Put `Seen` numbers there again."""
        self.settled = False
        for (group, key), seen in zip(self.held, self.last, strict=True):
            group[key] = seen

    def read_again(self):
        """Something else has changed the groups: whatever is there now, is there when the program comes to it."""
        for i, (group, key) in enumerate(self.held):
            value = self.values[i] = group[key]
            if type(value) is tuple is type(self.last[i]) and len(value) == len(self.last[i]) and all(
                    type(x) in (int, float) for x in value):
                self.last[i] = tuple([self.reading(key, x, lambda group=group, key=key, k=k: group[key][k])
                                      for k, x in enumerate(value)])
            elif type(value) is not float:
                self.tape.fail(f"{key!r} of an optimizer's group is no float")
            else:
                self.last[i] = self.reading(key, value, lambda group=group, key=key: group[key])
        self.put_back()

    def reading(self, label, value, call):
        """A number that the program finds by ``call()`` at this point; `value` now."""
        return reading(self.tape, label, value, call)

    def fetch(self, i):
        """Have the program put the number that was read as the i-th where kernels find it."""
        tape = self.tape
        if i not in tape.fetched:
            tape.fetched[i] = None
            if tape.written_since(*tape.reads[i]):
                tape.fail("a tensor is overwritten after its number was read")
            found = tape.fetched

            def put(a):
                found[i] = _number(a)
            tape.steps.append(Step("thunk", "number", put, [tape.window(tape.reads[i][0])], [], Given([])))

    def following(self, x):
        """See `Seen.followed`: the program leaves the number where the function finds it."""
        tape, held = self.tape, [x.value]

        def keep(value):
            held[0] = value
        if tape.failure is None:
            tape.live |= places_of(x.expression, set())
            tape.steps.append(Step("thunk", "number", keep, [Live(x.expression, plain)], [], Given([])))
        return lambda: held[0]

    def done(self, label, call, numbers):
        """Something has run by itself that may change groups; given numbers that the program computes."""
        store(self.tape, label, call, numbers)
        self.read_again()


def reading(tape, label, value, call):
    """See `Groups.reading`."""
    if tape.failure is not None:
        return value
    kind = np.float64 if type(value) is float else np.int64
    t = wrap(np.asarray(value, kind))
    tape.drawn(label, lambda: np.asarray(call(), kind), t)
    tape.steps[-1].detail = UNLESS_READ
    tape.reads.append((t, len(tape.steps)))
    return Seen(value, ("read", len(tape.reads) - 1), tape, True)


def store(tape, label, f, values, kept=None):
    """A step that does ``f(*values)``, where values may be numbers that the program computes.

    kept: the places that it changes; None where that can't be undone.
    """
    if tape.failure is not None:
        return
    found = [x.expression for x in values if is_seen(x)]
    places, reads = set(), set()
    for e in found:
        places_of(e, places)
        reads_of(e, reads)
    if any(tape.written_since(*tape.reads[i]) for i in reads):
        tape.fail("a tensor is overwritten after its number was read")
    places, reads = sorted(places), sorted(reads)
    scope = {"f": f, "number": _number, "math": math}

    def known(x):
        scope[f"k{len(scope)}"] = x
        return f"k{len(scope) - 1}"
    inner = [text(x.expression, "p{}".format, "r{}".format, known) if is_seen(x) else known(x) for x in values]
    names = [*[f"a{i}" for i in reads], *[f"p{i}" for i in places]]
    lines = [*[f"    r{i} = number(a{i})" for i in reads], f"    f({', '.join(inner)})"]
    exec("\n".join([f"def done({', '.join(names)}):", *lines]), scope)
    tape.live |= set(places)
    args = [*[tape.window(tape.reads[i][0]) for i in reads], *[Live(("place", i), plain) for i in places]]
    tape.steps.append(Step("thunk", label, scope["done"], args, [], Given(kept)))


class Given:
    """The detail of a ``thunk`` that is given its arguments, and changes the places `kept` only (None: who knows)."""

    __slots__ = ("kept",)

    def __init__(self, kept):
        self.kept = kept


def _number(a):
    x = a.item()
    return x if type(x) in (float, int, bool) else float(x)


def prune(tape, read):
    """Leave out steps that find numbers which nobody asks for; `read`: indices of reads that are."""
    if all(s.detail is not UNLESS_READ for s in tape.steps):
        return
    used = {id(w.buffer) for s in tape.steps for w in s.windows() if w not in s.outs}
    for expression, *_ in tape.decisions:
        read = reads_of(expression, set(read))
    used |= {id(tape.buffer(tape.reads[i][0])) for i in read}
    tape.only(lambda s: s.detail is not UNLESS_READ or id(s.outs[0].buffer) in used)
