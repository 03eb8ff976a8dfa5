"""The forms of arguments: keys of programs, and how two of them differ.

A key is (structure, gradients are recorded, default float, then for each leaf a tensor's (type, dtype, shape, strides,
requires_grad, bits), a plain value's (type, value), or another object's (`OBJECT`, type, id); ("argument", i) stands
for a tensor that is the i-th leaf again).
"""


class _Any:
    def __repr__(self):
        return "any number"


ANY = _Any()                # in the place of a number that is an input


def form(key):
    """A key without sizes: calls of one form are taken to run the same Python."""
    return tuple([x if type(x) is not tuple else (x[0], x[1], len(x[2]), x[4]) if len(x) == 6 else
                  x[:2] if x[0] is OBJECT else x for x in key])


OBJECT = "object"


_WORDS = ("type", "dtype", "shape", "strides", "requires_grad", "pending bits")


def difference(key, entries):
    """In words, how `key` differs from the nearest of the keys of `entries` (key -> list of programs)."""
    if key in entries:
        return _state(entries[key][0])
    if not entries:
        return "none of them could be captured"
    near = min(entries, key=lambda other: sum(x != y for x, y in zip(key[1:], other[1:])) + 100 * (key[0] != other[0]))
    if key[0] != near[0] or len(key) != len(near):
        return "other arguments were given"
    if key[1] != near[1]:
        return f"gradients are {'' if key[1] else 'not '}recorded"
    for i, (new, old) in enumerate(zip(key[3:], near[3:])):
        if new == old:
            continue
        name = f"argument {i}"
        if type(new) is not tuple or type(old) is not tuple or len(new) != len(old):
            return f"{name} is another object"
        if new[0] is OBJECT or old[0] is OBJECT:
            return f"{name} is another object"
        if "argument" in (new[0], old[0]):
            return f"{name} is another argument, too, or no longer"
        if len(new) == 2:
            return f"{name} is {new[1]!r}, was {old[1]!r}"
        for word, a, b in zip(_WORDS, new, old):
            if a == b:
                continue
            if word == "shape" and len(a) == len(b):
                axis = next(j for j in range(len(a)) if a[j] != b[j])
                return f"{name} has size {a[axis]} along axis {axis}, had {b[axis]}"
            return f"{name} has {word} {a}, had {b}"
    return "the default dtype changed"


def fits(entry):
    """Whether Python's state is what it was for a program, numbers apart."""
    return _state(entry) == _NUMBERS


_NUMBERS = "a condition on a number that the call changes doesn't hold"


def _state(entry):
    """Which part of Python's state isn't what it was for a program."""
    from .places import look, same, short
    for container, how, key, value in entry.entries:
        now = look(container, how, key)
        if not same(now, value):
            name = {"length": "the length of a container", "cell": "a variable of a closure"}.get(how, repr(key))
            return f"{name} is {short(now)}, was {short(value)}"
    for t, s, owner, flag in entry.memory:
        if t._storage is not s or s.owner is not owner:
            return f"a tensor of shape {tuple(t.shape)} is in other memory"
        if t._requires_grad is not flag:
            return f"requires_grad of a tensor of shape {tuple(t.shape)} is {t._requires_grad}, was {flag}"
    for leaf, g in entry.gradients:
        if leaf._grad is not g:
            now, was = ["None" if x is None else "a tensor" for x in (leaf._grad, g)]
            return f"the gradient of a tensor of shape {tuple(leaf.shape)} is {now}, was {was}"
    return _NUMBERS
