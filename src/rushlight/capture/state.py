"""The Python state that a call finds: what can be reached (`reach`), and what is found out about it on the way."""

from .places import MISSING, mark, same
from .reach import Reach


class State:
    """What a call finds, from `roots`, in `codes` ([(code, its scope)]) and among the tensors `given`.

    last: the `Reach` of a call before, or None; it is taken again if nothing else can be reached by now. Most of what
    this has is the `reach`'s. entries: of numbers that calls change with the numbers that they are now; varying: these
    entries with their marks. unread: marks of places that nobody reads; stored: those among them that are items, which
    is certain once the call has been watched; looked: those in containers with stand-ins that the call did look at.
    """

    def __init__(self, roots, codes=(), given=(), changing=(), last=None):
        varying = None if last is None else last.again(roots, codes, given, changing)
        self.reach = reach = last if varying is not None else Reach(roots, codes, given, changing)
        self.varying = reach.varying if varying is None else varying
        self.changing, self.obstacle, self.codes = changing, reach.obstacle, reach.codes
        self.entries = [*reach.steady, *[e for _, e in self.varying]] if self.varying else reach.steady
        self.optimizers, self.deques, self.group_numbers = reach.optimizers, reach.deques, reach.group_numbers
        self.inner, self.live, self.owners = reach.inner, reach.live, reach.owners
        self.unread, self.stored, self.looked = set(reach.unread), set(reach.stored), set()
        self.known = [t for t in given if reach.met(t)] if varying is not None else reach.known
        others = [t for t in given if not reach.met(t)]
        self.tensors = [*reach.tensors, *others] if others else reach.tensors

    def others(self, places, live, grown):
        """The entries but for places that a call changes and what is in containers (ids) that grow."""
        free = {mark(p) for p in places} | {mark(p[1:]) for p in live} | self.unread
        if not grown and free.isdisjoint(self.reach.marks()) and all(at in free for at, _ in self.varying):
            return self.reach.steady
        return [e for e in self.entries if mark(e) not in free and (id(e[0]) not in grown or mark(e) in self.looked)]


def guard(entries):
    """A function that tells whether the places of `entries` hold what they held: straight code over them."""
    names, tests = {}, []

    def name(x):
        return names.setdefault(id(x), (f"x{len(names)}", x))[0]
    for container, how, key, value in entries:
        place = name(container)
        place = {"item": f"{place}.get({key!r}, missing)", "index": f"{place}[{key}]",
                 "length": f"len({place})", "cell": f"{place}.cell_contents",
                 "slot": f"getattr({place}, {key!r}, missing)"}[how]
        if isinstance(value, (bool, type(None), type(Ellipsis))):
            tests.append(f"{place} is {value!r}")
        elif type(value) in (int, str, bytes):
            tests.append(f"{place} == {value!r}")
        elif isinstance(value, (int, float, complex, str, bytes)):
            tests.append(f"same({place}, {name(value)})")
        else:
            tests.append(f"{place} is {name(value)}")
    # Lengths first: an index beyond the end must not be looked at.
    tests.sort(key=lambda t: not t.startswith("len("))
    scope = {n: x for n, x in names.values()}
    scope.update(missing=MISSING, same=same)
    text = " and\n        ".join(tests) or "True"
    arguments = "".join(f", {n}={n}" for n, _ in names.values())
    exec(f"def holds(*, missing=missing, same=same{arguments}):\n    return (\n        {text})", scope)
    return scope["holds"]
