"""What stands in the places of Python's state that a call changes, while its tape is written.

Numbers are replaced by `numbers.Seen`, which write down how the new numbers come of the old ones; lists, dicts and
deques that grow by objects which write down what is put in and tell when anybody looks into them. Afterwards everything
is put back as the call left it, and the changes are known as `Change`: what a program has to do after its kernels.
"""

import gc
import sys
import types
from collections import deque

from ..tensor.tensor import Tensor
from .codes import where
from .numbers import KINDS, Seen, expression, is_seen, plain
from .places import MISSING, look, mark, put, same, short, twin


class Change:
    """``store``: `place` (container, how, key) gets `values[0]`; ``append``, ``set``, ``clear`` of a container."""

    __slots__ = ("kind", "container", "how", "key", "values")

    def __init__(self, kind, container, how, key, values):
        self.kind, self.container, self.how, self.key, self.values = kind, container, how, key, values


class _Growing:
    """What list, dict and deque stand-ins share: `real` is the container, `log` what was put in."""

    def _set_up(self, real, tape, places):
        self.real, self.tape, self.log, self.size, self.places = real, tape, [], len(real), places
        self.texts = self.told = False  # whether there are some that are made later; whether anybody looked

    def _tell(self):
        if self.tape is not None:
            self.tape.fail(f"Python looks into a {type(self.real).__name__} that grows from call to call")
            self.told = True
            self.uncover()

    def _settled(self, x):
        """What is put in: texts that are made later are `Seen` ones from then on."""
        outside = getattr(self.tape, "outside", None)
        if outside is None or not outside.pieces:
            return x
        settled, found = outside.settled(x)
        self.texts = self.texts or found
        return settled

    def uncover(self):
        """Put plain numbers and texts where `Seen` ones are: somebody may look at them who doesn't ask."""
        _uncover(self.real)
        self.texts = False
        self._again()

    def __reduce_ex__(self, protocol):
        self._tell()
        return self.real.__reduce_ex__(protocol)

    def __array_ufunc__(self, ufunc, method, *inputs, **more):
        return getattr(ufunc, method)(*map(self._opened, inputs), **more)

    def __array_function__(self, function, types, args, more):
        if len(args) == 1 and args[0] is self and not more and isinstance(self, _Sequence) and \
                function.__name__ in _OF_ARRAYS:
            return self.reduced(function.__name__, function)
        return function(*map(self._opened, args), **{k: self._opened(x) for k, x in more.items()})

    def _opened(self, x):
        """An argument of NumPy's functions, which look into containers."""
        if not isinstance(x, _Growing):
            return x
        x._tell()
        return x.real


_OF_ARRAYS = {"mean", "sum", "std", "var", "median", "amin", "amax", "min", "max"}      # numbers of many


class _Sequence(_Growing):
    """What lists and deques share: how many there are, and the last of them, are numbers that programs can find.

    added: what was put in since the call began or cleared it; whole: what there was before is still in it.
    """

    def _set_up(self, real, tape, places):
        _Growing._set_up(self, real, tape, places)
        self.added, self.whole = [], True

    def _place(self, how, key, value):
        found = next((i for i, p in enumerate(self.places) if p[0] is self.real and p[1:3] == (how, key)), None)
        if found is None:
            found = len(self.places)
            self.places.append((self.real, how, key, type(value)))
        return Seen(value, ("place", found), self.tape, False)

    def length(self):
        """How many there are, as a number that may be seen."""
        if self.tape is None:
            return len(self.real)
        n = len(self.added)
        if self.whole:
            n = self._place("length", None, self.size) + n
        most = getattr(self.real, "maxlen", None)
        # (written down even where there are fewer: the next call has more)
        return n if most is None else n if n < most else most

    def __bool__(self):
        return bool(self.length() > 0)

    def append(self, x):
        x = self._settled(x)
        self.real.append(x)
        self._base.append(self, x)
        self.added.append(x)
        self.log.append(("append", x))

    def reduced(self, name, f):
        """``f(self)``, where `f` is the builtin function of that name: a number if there are numbers only."""
        if self.tape is None or not all(type(plain(x)) in KINDS for x in self.real):
            self._tell()
            return f(self.real)
        if name != "sum" and not self:
            return f(self.real)
        value = f([plain(x) for x in self.real])
        if type(value) not in KINDS:
            self._tell()
            return value
        found = [x for x in self.added]
        if self.whole:
            found.insert(0, self._place("copy", None, [*self.real]))
        most = getattr(self.real, "maxlen", None)
        part = "" if most is None else f"[-{most}:]" if most else "[:0]"
        form = f"{{}}([{', '.join(['*{}' if self.whole and i == 0 else '{}' for i in range(_len(found))])}]{part})"
        made = "of", form, [expression(x) for x in (f, *found)]
        return Seen(value, made, self.tape, any(is_seen(x) and x.read for x in self.added))

    def __getitem__(self, i):
        if self.texts:
            self._tell()
            return self.real[plain(i)]
        if type(i) is slice and i.stop is None and i.step is None and type(i.start) is int and i.start < 0 and \
                self.tape is not None and isinstance(self.real, list):
            if self.length() >= -i.start:
                return [self[k] for k in range(i.start, 0)]
            self._tell()
        if is_seen(i) and type(i.value) is int:
            i = i.pin()
        if type(i) is int and self.tape is not None and -len(self.real) <= i < len(self.real):
            if -len(self.added) <= i < 0:
                return self.added[i]
            k = i + len(self.added) if i < 0 else i
            older = self.whole and (i < 0 or i < self.size and isinstance(self.real, list))
            if older and type(self.real[i]) in (int, float):
                return self._place("index", k, self.real[i])
        self._tell()
        return self.real[i]


class SeenList(_Sequence, list):
    """Stands for a list."""

    def __init__(self, real, tape, places):
        list.__init__(self, real)
        self._set_up(real, tape, places)

    _base = list

    def extend(self, values):
        for x in list(values):
            self.append(x)

    def __iadd__(self, values):
        self.extend(values)
        return self

    def clear(self):
        self.real.clear()
        list.clear(self)
        self.added, self.whole = [], False
        self.log.append(("clear",))

    def _again(self):
        list.__init__(self, self.real)


class SeenDeque(_Sequence, deque):
    """Stands for a deque."""

    def __init__(self, real, tape, places):
        deque.__init__(self, real, real.maxlen)
        self._set_up(real, tape, places)

    _base = deque
    extend, __iadd__ = SeenList.extend, SeenList.__iadd__

    def clear(self):
        self.real.clear()
        deque.clear(self)
        self.added, self.whole = [], False
        self.log.append(("clear",))

    def _again(self):
        deque.__init__(self, self.real, self.real.maxlen)


class SeenDict(_Growing, dict):
    """Stands for a dict, whose items may be read by their keys as long as no text that is made later is among them."""

    def __init__(self, real, tape, places):
        dict.__init__(self, real)
        self._set_up(real, tape, places)
        self.first, self.added = dict(real), set()      # what there was, keys of what was put in

    def __setitem__(self, key, value):
        key, value = self._settled(key), self._settled(value)
        self.real[plain(key)] = value
        dict.__setitem__(self, plain(key), value)
        self.added.add(plain(key))
        self.log.append(("set", key, value))

    def __getitem__(self, key):
        if is_seen(key) and type(key.value) is int:
            key = key.pin()
        value = self.real.get(key) if type(key) in (str, int) else None
        if self.texts and _has_texts(value) or self.tape is None or not self._holds(key):
            self._tell()
            return self.real[plain(key)]
        return value

    def _holds(self, key):
        """Whether a program may find the item of a key: what the call put in, or what was there and is guarded."""
        if type(key) not in (str, int):
            return False
        if key in self.added:
            return True
        before = getattr(self.tape, "before", None)
        mark = id(self.real), "item", key
        if before is None or key not in self.first or mark in before.stored:
            return False
        before.looked.add(mark)
        return True

    def get(self, key, default=None):
        return self[key] if dict.__contains__(self, plain(key)) and not is_seen(key) else self._asked(key, default)

    def _asked(self, key, default):
        self._tell()
        return self.real.get(plain(key), default)

    def __contains__(self, key):
        if type(key) in (str, int) and dict.__contains__(self, key) and self.tape is not None and self._holds(key):
            return True
        self._tell()
        return plain(key) in self.real

    def update(self, *args, **more):
        for key, value in dict(*args, **more).items():
            self[key] = value

    def _again(self):
        dict.clear(self)
        dict.update(self, self.real)


def _has_texts(x):
    """Whether a value is, or holds, a text that is made later."""
    if is_seen(x):
        return type(x.value) is str
    return type(x) in (list, tuple, dict, deque) and any(map(_has_texts, x.values() if type(x) is dict else x))


def _uncover(x):
    """Put plain values in the places of `Seen` ones in lists, dicts and deques within each other."""
    if type(x) is dict:
        for k, y in list(x.items()):
            if is_seen(y):
                x[k] = plain(y)
            else:
                _uncover(y)
    elif type(x) in (list, deque):
        for i, y in enumerate(x):
            if is_seen(y):
                x[i] = plain(y)
            else:
                _uncover(y)


def _looking(cls, base, name):
    def method(self, *args, **kwargs):
        self._tell()
        result = getattr(self.real, name)(*[plain(x) if name == "__getitem__" else x for x in args], **kwargs)
        self._again()
        return self if result is self.real else result
    setattr(cls, name, method)


_QUIET = {"__new__", "__class__", "__init__", "__getattribute__", "__doc__", "__init_subclass__", "__subclasshook__",
          "__setattr__", "__delattr__", "__dir__", "__sizeof__", "__class_getitem__", "__reduce_ex__", "__reduce__",
          "__hash__", "__getstate__", "__format__", "__str__"}
_KNOWN = {dict: {}, list: vars(_Sequence), deque: vars(_Sequence)}
for _cls, _base in ((SeenList, list), (SeenDict, dict), (SeenDeque, deque)):
    for _name in dir(_base):
        if _name not in _QUIET and _name not in {**vars(_cls), **_KNOWN[_base]} and callable(getattr(_base, _name)):
            _looking(_cls, _base, _name)


def _radd(self, other):
    self._tell()
    return other + self.real


SeenList.__radd__ = _radd
_STANDING = {list: SeenList, dict: SeenDict, deque: SeenDeque}


MOST_PARTS = 16                 # tensors in a tuple that is replaced (the state of a recurrent layer, say)


class StandIns:
    """Puts stand-ins in the places of `before` (a `State`) that are `changing` (mark -> how often they did).

    live: tensors in such places, also in tuples there, which are arguments of the program then; places: (container,
    how, key, type) of the numbers. Dicts that get texts have stand-ins as well, unless a call before looked into them.
    """

    def __init__(self, before, changing):
        self.before, self.changing = before, changing
        self.live, self.places, self.stands, self.grown = [], [], {}, {}
        self.tape, self.texts, self.again = None, {}, []
        for _, (container, how, key, value) in before.varying:
            held = {id(t) for t, *_ in self.live}
            if type(value) is Tensor and id(value) not in held:
                self.live.append((value, container, how, key))
            elif type(value) is tuple and value and all(type(x) is Tensor and id(x) not in held for x in value) and \
                    len({id(x) for x in value}) == len(value) <= MOST_PARTS:
                self.live += [(x, container, "part", (how, key, i, len(value))) for i, x in enumerate(value)]

    def put(self, tape):
        """Put them there; `tape` is told what they tell."""
        before, growing, texts, put_in = self.before, {}, {}, []
        self.tape, tape.before = tape, before
        for at, entry in before.varying:
            container, how, key, value = entry
            times = self.changing[at]
            if how == "length" and times > 1 and type(container) in _STANDING and id(container) not in before.inner:
                growing[id(container)] = container
            elif how == "item" and type(container) is dict and self._gets_texts(entry):
                texts[id(container)] = container
            elif how != "length" and type(value) in (int, float):
                self.stands[at] = Seen(value, ("place", len(self.places)), tape, False)
                self.places.append((container, how, key, type(value)))
                put_in.append(entry)
        if texts:
            held = {id(e[3]) for e in before.entries if e[1] != "length"}
            self.texts = {k: d for k, d in texts.items() if k in held and k not in growing}
            growing.update(self.texts)
        growing.update({id(d): d for d in before.deques})
        for entry in before.entries if growing else ():
            if entry[1] != "length" and id(entry[3]) in growing:
                real = entry[3]
                if id(real) not in self.grown:
                    self.grown[id(real)] = _STANDING[type(real)](real, tape, self.places)
                self.stands[mark(entry)] = self.grown[id(real)]
                put_in.append(entry)
        for at, entry in before.varying:
            if at in before.unread and id(entry[0]) in before.owners and id(entry[3]) not in growing:
                # (whether the call writes there, shows by another object, equal or not)
                self.stands[at] = twin(entry[3])
                put_in.append(entry)
        for entry in put_in:
            stand = self.stands[mark(entry)]
            if stand is not None:
                put(*entry[:3], stand)
        for at in before.stored:
            if at[0] not in self.grown:
                tape.fail("what is in a dict that changes was not looked into")
                self._leave_alone(at[0])

    def _gets_texts(self, entry):
        """Whether the item of a dict is one that calls replace by texts, or by what nobody looks at."""
        container, at = entry[0], mark(entry)
        return (type(entry[3]) in (str, bool, type(None)) or at in self.before.stored) and \
            id(container) not in self.before.inner and id(container) not in self.before.owners and \
            not self.changing.get((id(container), "looked", None))

    def uncover(self):
        """Put plain numbers and texts where `Seen` ones are: somebody may look at them who doesn't ask."""
        for entry in self.before.entries:
            now = look(*entry[:3])
            if is_seen(now):
                put(*entry[:3], plain(now))
        for stand in self.grown.values():
            stand.uncover()

    def take_back(self, outside=None):
        """([Change ...], marks of places that nobody knew to change, why the changes can't be repeated)."""
        changes, new, why = [], [], None
        told = outside is not None and outside.pieces
        # Most calls leave what isn't known to change as it is.
        entries = self.before.entries if self.grown or not self.before.reach.check()() else [
            e for _, e in self.before.varying]
        for entry in entries:
            container, how, key, value = entry
            at = mark(entry)
            now, stand = look(container, how, key), self.stands.get(at)
            if stand is not None and now is stand:
                put(container, how, key, value)
                continue
            if isinstance(now, _Growing):
                put(container, how, key, now.real)
                now = now.real
            twins = stand is not None and at in self.before.unread and type(stand) is not Seen and \
                not isinstance(stand, _Growing)
            if how in ("length", "index") and id(container) in self.grown or same(now, value) and not twins:
                continue                        # (what was done to lists that grow is in their logs)
            if twins and now is value and type(value) is not str:
                why = why or f"{key!r} is given what it held before"
            if told and how != "length" and now is not MISSING:
                now, _ = outside.settled(now)
                put(container, how, key, now)
            if type(now) is Seen:
                put(container, how, key, now.value)
            name = {"length": "the length of a container", "cell": "a variable of a closure"}.get(how, repr(key))
            said = f"{name} was changed from {short(value)} to {short(plain(now))}{where(key, self.before.codes)}"
            if id(container) in self.before.live:
                if how == "item" and type(now) in (float, tuple) and at not in self.changing and any(
                        container is g for x in self.before.optimizers for g in x.param_groups):
                    new.append(at)              # (a schedule moves the momentum, too)
                else:
                    why = why or said
            elif at not in self.changing or how == "length":
                if how == "length" and (type(container) not in _STANDING or id(container) in self.before.inner
                                        or self.changing.get(at, 0) > 1):
                    why = why or said
                new.append(at)
            elif now is MISSING:
                why = why or said
            elif type(container) is not dict or id(container) not in self.grown:
                changes.append(Change("store", container, how, key, [now]))
        for stand in self.grown.values():
            if type(stand.real).__len__(stand) != len(stand.real):
                why = why or f"a {type(stand.real).__name__} that grows is reached in two ways"
            for kind, *values in stand.log:
                values = [outside.settled(x)[0] for x in values] if told else values
                changes.append(Change(kind, stand.real, None, None, values))
            stand.tape = None
        self._settle_reading(new)
        return changes, new, why

    def _settle_reading(self, new):
        """Which items nobody has read: no program need ask for them. What was looked into is left alone next time."""
        for entry in self.before.entries if self.grown else ():
            stand = self.grown.get(id(entry[0]))
            if type(stand) is SeenDict and entry[1] != "length" and mark(entry) not in self.before.looked:
                self.before.unread.add(mark(entry))
        for k, stand in self.grown.items():
            if stand.told and k in self.texts and not self.changing.get((k, "looked", None)):
                self._leave_alone(k)
        new += self.again
        if self.tape is not None:
            self.tape.before = None

    def _leave_alone(self, k):
        """The next call finds no stand-in for the dict of that id."""
        self.changing[k, "looked", None] = 1
        self.again.append((k, "looked", None))


_len = len                      # (`len` is `length` while a tape is written)


def reducing(name, real):
    """The builtin function of that name, `real`, for what grows as well."""
    def reduce(*args, **more):
        if _len(args) == 1 and not more and isinstance(args[0], _Sequence):
            return args[0].reduced(name, real)
        return real(*args, **more)
    return reduce


def length(x):
    """``len(x)``; a number that programs find anew where `x` stands for something that grows."""
    return x.length() if isinstance(x, _Sequence) else _len(x)


def release(numbers):
    """Put plain numbers where `numbers` are still held: in what the call made and left."""
    for s in numbers:
        s.tape = None
    s = None                                # (which would hold the last one)
    left = [x for x in numbers if sys.getrefcount(x) > 3]
    ours = {id(numbers), id(left)}
    for s in left:
        _replace(s, s.value, ours)


def _swapped(values, old, new):
    found = list(values)
    for i, x in enumerate(found):
        if x is old:
            found[i] = new
    return found


def _replace(old, new, ours):
    # No comprehension here may name `old`: it would be in a cell, which would be found among the holders.
    for holder in gc.get_referrers(old):
        t = type(holder)
        if id(holder) in ours or t is types.FrameType:
            continue
        if t is list or t is deque:
            for i, x in enumerate(holder):
                if x is old:
                    holder[i] = new
        elif t is tuple:
            again = tuple(_swapped(holder, old, new))
            _replace(holder, again, {*ours, id(again)})
        elif isinstance(holder, dict):
            keys, values = _swapped(holder, old, new), _swapped(holder.values(), old, new)
            holder.clear()
            holder.update(zip(keys, values))
        elif t is set:
            holder.discard(old)
            holder.add(new)
        elif t is types.CellType:
            holder.cell_contents = new
        elif hasattr(holder, "__dict__"):
            for k, v in list(vars(holder).items()):
                if v is old:
                    vars(holder)[k] = new
