"""When calls of another size get a program, and whose makes room for it.

A call of a size that has no program can be captured, which takes longer than running it eagerly. That pays once the
size has come back so many times that programs would have saved as much: as often as a size came, it is expected to
come again, and at least as often as the others have come on average. So whatever sizes come, not much more time is
spent on capturing than programs save. The first `FREE` sizes of a form of arguments are captured when they come.

There are `MOST` programs at most. With more sizes, one that has come more often than the rarest takes its place; what
came long ago counts less (`OLD`), so that sizes that are in use now drive out those that were.
"""

from collections import defaultdict, deque
from statistics import median
from time import perf_counter

from .forms import form
from .unify import Kin

FREE = 4
MOST = 128
RECENT = 9                  # captures that are looked at, and sizes
GAIN = 0.5                  # of a call's time that a program saves, as long as nobody knows
OLD = 8192                  # calls after which all counts are halved


class _Form:
    """Calls of one form of arguments: how many of how many sizes, how many sizes were captured; of the latest, how long
    that took, in seconds, and which share of the time of their eager calls programs took. kin: what one size's programs
    tell others of (`unify.Kin`), of the call and of its backward passes."""

    __slots__ = ("calls", "sizes", "captured", "made", "shares", "kin")

    def __init__(self):
        self.kin = defaultdict(Kin)
        self.calls, self.sizes, self.captured = 0, 0, 0
        self.made, self.shares = deque(maxlen=RECENT), deque(maxlen=RECENT)


class Size:
    """One size: the `form` that it is of, how many `calls` there were, and the shortest time of an eager one."""

    __slots__ = ("form", "calls", "eager")

    def __init__(self, form):
        self.form, self.calls, self.eager = form, 0, None
        form.sizes += 1

    def came(self):
        """There is a call of it."""
        self.calls += 1
        self.form.calls += 1

    def ran(self, seconds):
        """A program of it ran."""
        self.came()
        if self.eager:
            self.form.shares.append(seconds / self.eager)


class Sizes:
    """What one compiled function knows of it; `always`: whether all sizes are to be captured when they come."""

    def __init__(self, always=False):
        self.always, self.known, self.forms = always, {}, {}

    def of(self, key):
        """The `Size` of a form of arguments."""
        if key not in self.known:
            self.known[key] = Size(self.forms.setdefault(form(key), _Form()))
        return self.known[key]

    def known_form(self, key):
        """Whether another size has been captured."""
        known = self.forms.get(form(key))
        return known is not None and known.captured > 0

    def captured(self, key, seconds):
        """A size was captured."""
        f = self.of(key).form
        f.captured += 1
        f.made.append(seconds)

    def waits(self, key, entries):
        """Whether a call of that size is to run eagerly, by `run`; `entries` has the programs."""
        size = self.of(key)
        size.came()
        f = size.form
        if f.calls > OLD:
            self._age(entries)
        if len(entries) >= MOST and size.calls <= self.known[self.rarest(entries)].calls:
            return True
        if self.always or f.captured < FREE:
            return False
        if size.eager is None:
            return True                         # (nothing to compare with yet)
        saved = size.eager * (1 - median(f.shares) if f.shares else GAIN)
        return max(size.calls, f.calls / f.sizes - size.calls) * saved < median(f.made) - size.eager

    def run(self, key, function, args, kwargs):
        """The call, and how long it takes."""
        begin = perf_counter()
        result = function(*args, **kwargs)
        size, seconds = self.of(key), perf_counter() - begin
        size.eager = min(seconds, size.eager or seconds)
        return result

    def rarest(self, entries):
        """The key of the programs that were called least, of these the first."""
        return min(entries, key=lambda key: self.of(key).calls)

    def _age(self, entries):
        for f in self.forms.values():
            f.calls = f.sizes = 0
        for key, size in list(self.known.items()):
            size.calls //= 2
            if size.calls or key in entries:
                size.form.sizes += 1
                size.form.calls += size.calls
            else:
                del self.known[key]
