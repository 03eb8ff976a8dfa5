"""Numbers among the arguments of calls: inputs of programs where calls differ in them.

A number that is given by position or name (not within a list) counts as a constant first, and as an input once a
call has another one; with ``dynamic=True`` at once, with ``dynamic=False`` never. While the tape is written a `Seen` is
in its place: a kernel may take it as an operand, comparisons become conditions. A number that Python needs itself, as a
size or an index, is a constant for good, as are all numbers of functions that ask for `type`, which a `Seen` can't
deceive.
"""

from .forms import ANY, form
from .numbers import Seen, places_of
from .places import same
from .tree import top_level


class Varying:
    """What is known of the numbers in calls of one form: the `key` of the first, with its numbers; the `positions` of
    those that were others later, and of those that have to be constants (`fixed`)."""

    __slots__ = ("key", "positions", "fixed")

    def __init__(self, key, positions):
        self.key, self.positions, self.fixed = key, positions, set()


class Given:
    """The numbers of one compiled function's calls."""

    def __init__(self, always, limit):
        self.always, self.limit = always, limit
        self.spots, self.known = {}, {}

    def loosen(self, key, leaves, observed):
        """Change the list `key` where a number is an input."""
        spots = self.spots.get(key[0])
        if spots is None:
            spots = self.spots[key[0]] = tuple([i for i, *_ in top_level(key[0])])
        at = [i + 3 for i in spots if type(leaves[i]) in (int, float)]
        if not at:
            return
        skeleton = self.skeleton(key, at)
        known = self.known.get(skeleton)
        if known is None:
            if len(self.known) >= self.limit:
                return
            known = self.known[skeleton] = Varying(tuple(key), set(at) if self.always else set())
        for i in at:
            if i not in known.fixed and (i in known.positions or not same(known.key[i][1], leaves[i - 3])):
                known.positions.add(i)
                key[i] = type(leaves[i - 3]), ANY
        if form(known.key) in observed:
            observed.add(form(key))

    @staticmethod
    def skeleton(key, at):
        """A key without the numbers at some positions."""
        bare = list(key)
        for i in at:
            bare[i] = bare[i][0], ANY
        return tuple(bare)

    def fix(self, key, positions):
        """Numbers at these positions of `key` are constants from now on."""
        at = [i + 3 for i in self.spots[key[0]] if type(key[i + 3]) is tuple and key[i + 3][0] in (int, float)]
        known = self.known[self.skeleton(key, at)]
        known.fixed |= positions
        known.positions -= positions


def positions(key):
    """Where numbers are inputs in a key."""
    return [i for i in range(3, len(key)) if type(key[i]) is tuple and key[i][-1] is ANY]


def numbers(key, leaves):
    """The numbers that are inputs."""
    return [leaves[i - 3] for i in positions(key)]


def in_place(key, leaves, args, kwargs, tape, first):
    """(args, kwargs) with `Seen` for the numbers that are inputs: places with indices from `first`."""
    at = positions(key)
    if not at:
        return args, kwargs
    args, kwargs = list(args), dict(kwargs)
    for leaf, where, name in top_level(key[0]):
        if leaf + 3 in at:
            seen = Seen(leaves[leaf], ("place", first + at.index(leaf + 3)), tape, False)
            (args if where == "args" else kwargs)[name] = seen
    return args, kwargs


def pinned(tape, first, key):
    """Positions of inputs whose numbers Python needed themselves; `first`: the first input's index among places."""
    found = set()
    for expression, _, itself in tape.conditions:
        if itself:
            places_of(expression, found)
    at = positions(key)
    return {at[i - first] for i in found if first <= i < first + len(at)}
