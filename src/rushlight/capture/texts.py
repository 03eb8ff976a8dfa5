"""Texts of numbers that a program computes: where they are made, and how they are kept.

While a tape is written, such a text is a mark, a few characters that stand for it, which may only go to where the text
can be put in later (see `destinations`): into prints and log records, results, attributes and items that nobody reads,
lists that grow. There `Seen` texts take the places of the marks (`Texts.settled`).
"""

import re
from collections import deque

from ..tensor.tensor import Tensor
from .codes import names_read, stores_only
from .numbers import Seen, expression, is_seen, plain
from .places import PLAIN, mark
from .standins import SeenDeque, SeenDict, SeenList

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"              # (characters for use inside of programs)
_MARKED = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_OF_NUMBERS = re.compile(r"(?:[^%]|%%|%[-+ #0]*\d*(?:\.\d+)?[deEfFgGi])*", re.DOTALL)


class Texts:
    """The texts of one call.

    pieces: the `Seen` ones that marks stand for; kept: [(object's or module's dict, name)] of places that may have got
    some; calls: the `effects.Calls` of the call.
    """

    def __init__(self, tape, stand):
        self.tape, self.stand = tape, stand
        self.pieces, self.kept, self.calls = [], [], None

    def marked(self, text):
        """A mark for a `Seen` text."""
        self.pieces.append(text)
        return f"{_OPEN}{len(self.pieces) - 1}{_CLOSE}"

    def text(self, text):
        """The `Seen` text of one with marks, any other as it is."""
        if text.__class__ is not str or type(text) is Seen or _OPEN not in text:
            return text
        parts = [self.pieces[int(x)] if i % 2 else x for i, x in enumerate(_MARKED.split(text))]
        parts = [x for x in parts if is_seen(x) or x]
        made = [x.expression if is_seen(x) else ("number", x) for x in parts]
        form = "".join(["''.join((", *["{}, "] * len(parts), "))"])
        return Seen("".join([plain(x) for x in parts]), ("of", form, made), self.tape,
                    any(is_seen(x) and x.read for x in parts))

    def true(self, x):
        """A text, or a number, as Python would see it."""
        return plain(self.text(x)) if type(x) is str else plain(x)

    def settled(self, x, change=None):
        """(what `x` is with `Seen` texts in the places of marks, whether there are any); lists and dicts in it stay the
        objects that they are. Others than that: ``change(text)``."""
        change, t = change or self.text, type(x)
        if t is str:
            return (change(x), True) if _OPEN in x else (x, False)
        if t is Seen:
            return x, type(x.value) is str
        found = False
        if t is list or t is deque:
            for i, y in enumerate(x):
                now, some = self.settled(y, change)
                found = found or some
                if now is not y:
                    x[i] = now
        elif t is dict:
            for k, y in x.items():
                now, some = self.settled(y, change)
                found = found or some
                if now is not y:
                    x[k] = now
        elif t is tuple:
            now = [self.settled(y, change) for y in x]
            found = any(some for _, some in now)
            if any(y is not z for (y, _), z in zip(now, x)):
                return tuple([y for y, _ in now]), True
        return x, found

    # ------------------------------------------------------------ places

    def codes(self):
        """The code that is known to run in the call."""
        own = [] if self.calls is None else [code for code, _ in self.calls.codes]
        return [*self.stand.before.codes, *own]

    def keeps(self, how, owner, name):
        """Whether a text may stay in a place (see `destinations.Asked`) till the call is over."""
        if how == "append":
            return isinstance(owner, (SeenList, SeenDeque)) and owner.tape is not None
        if how in ("item", "key"):
            return isinstance(owner, SeenDict) and owner.tape is not None
        place = getattr(owner, "__dict__", None)
        at = id(place), "item", name
        # (a place that isn't known to change is found when the call is over: it is captured again)
        if type(place) is not dict or all(mark(e) != at for e in self.stand.before.entries) or \
                not stores_only(owner, name, self.codes()):
            return False
        self.kept.append((place, name))
        return True

    def entered(self, code):
        """Code runs that may not have been known."""
        if self.kept:
            names = names_read(code)
            if names is None or any(name in names for _, name in self.kept):
                self.reveal()

    def reveal(self):
        """Put the texts and numbers themselves wherever somebody may look at them who doesn't ask."""
        self.tape.fail("Python may look at a text that is kept")
        for place, name in self.kept:
            if name in place:
                place[name], _ = self.settled(place[name], self.true)
        self.stand.uncover()


def formatted(form, values):
    """``form % values``: a mark where numbers that may be seen are among the values, and where it goes allows that."""
    given = values if type(values) is tuple else (values,)
    if any(type(x) is Tensor for x in given) and _OF_NUMBERS.fullmatch(form):
        given = [x.item() if type(x) is Tensor and x.numel() == 1 and not x.is_complex() else x for x in given]
    numbers = [x for x in given if type(x) is Seen and x.tape is not None]
    outside = getattr(numbers[0].tape, "outside", None) if numbers else None
    if outside is None:
        return form % (values if type(values) is not tuple else tuple(given))
    given = [outside.text(x) if type(x) is str else x for x in given]
    text = form % tuple(map(plain, given))
    if all(isinstance(plain(x), PLAIN) for x in given):
        made = "of", f"({{}} % ({'{}, ' * len(given)}))", [("number", form), *map(expression, given)]
        marked = outside.mark("__mod__", Seen(text, made, numbers[0].tape, any(x.read for x in given if is_seen(x))))
        if marked is not None:
            return marked
    for x in numbers:
        x.unmarked()
    return text
