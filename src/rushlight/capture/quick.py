"""The check and the call of one program as straight code, with what it does to Python's state.

    writer = quick(entry, n)            n: how many arguments are tensors
    writer.leaving                      tensors that the program has to return
    call = writer.function()            call(tensors) -> what the call returns, NO where the program may not run, BUSY
                                        where it runs already
"""

import math
from collections import OrderedDict

from numpy import ndarray

from .. import dtypes
from ..autograd.modes import state
from ..tensor import watch
from ..tensor.tensor import Tensor
from . import tree
from .numbers import is_seen, text
from .places import MISSING, PLAIN, part, same
from .sources import depends, drawn, states
from .statements import code_of

NO, BUSY = object(), object()


def _ordered(items, attributes):
    made = OrderedDict(items)
    vars(made).update(attributes)
    return made


class Refused(Exception):
    """A result or a change that no program can make; says why."""


class Scope:
    """Names for the objects that generated code uses."""

    def __init__(self, **first):
        self.scope, self.names = {"math": math, **first}, {}

    def name(self, x, hint="k"):
        """The name of an object, always the same."""
        if id(x) not in self.names:
            n = f"{hint}{len(self.names)}_"
            self.names[id(x)] = n, x
            self.scope[n] = x
        return self.names[id(x)][0]

    def number(self, x):
        """A plain value in code."""
        return repr(x) if type(x) in (int, bool, type(None), str) else self.name(x)

    def place(self, container, how, key):
        """Code for what a place holds."""
        if how == "part":
            self.scope["part"] = part
            return f"part({self.place(container, *key[:2])}, {key[2]}, {key[3]})"
        c = self.name(container, "c")
        return {"item": f"{c}.get({self.number(key)}, missing)", "index": f"{c}[{key}]",
                "length": f"len({c})", "copy": f"[*{c}]", "cell": f"{c}.cell_contents", "grad": f"{c}._grad", "data": c,
                "slot": f"getattr({c}, {key!r}, missing)"}[how]

    def tests(self, places, conditions):
        """Code that is true where numbers in places don't allow the program, one a condition."""
        found = []
        for i, (container, how, key, cls) in enumerate(places):
            if how == "draw":
                continue
            held = f"p{i}" if how == "argument" else f"(p{i} := {self.place(container, how, key)})"
            found.append(f"type({held}) is not {cls.__name__}")
        for expression, value, _ in conditions:
            now = text(expression, "p{}".format, None, self.number)
            if isinstance(value, bool):
                found.append(f"({now}) is not {value}")
            else:
                # Equal and of one sign: -0.0 and 0.0 aren't one number to divide by.
                found.append(f"not same({now}, {self.number(value)})")
        return found


def path(places, conditions):
    """A function of the numbers that are arguments; tells whether they and those in places fulfil the conditions."""
    s = Scope(missing=MISSING, same=same)
    tests = " or ".join(s.tests(places, conditions))
    numbers = ", ".join(_given(places))
    return _defined(["try:", f"    return not ({tests})", "except Exception:", "    return False"], numbers, s.scope)


def _given(places):
    """Names of the numbers that are arguments."""
    return [f"p{i}" for i, place in enumerate(places) if place[1] == "argument"]


def _defined(lines, arguments, scope):
    body = "\n    ".join(lines)
    exec(code_of(f"def call({arguments}):\n    {body}", f"{__file__}: call"), scope)
    return scope["call"]


class quick:
    """See the module's text. only_read: indices of tensors that leave for the numbers in them."""

    def __init__(self, entry, n):
        self.entry, self.n = entry, n
        self.leaving, self.only_read, self.reads = [], set(), {}
        self.scope = Scope(NO=NO, BUSY=BUSY, state=state, watch=watch, default=dtypes.default, missing=MISSING,
                           same=same, entry=entry, Tensor=Tensor, older=set(), changed=set())
        self.older = set()
        self.values = [self.value(x) for x in entry.results]
        self.effects = [line for c in entry.changes for line in self._effect(c)]

    def value(self, x):
        """Code for a value of the recorded call: its tensors and numbers made anew."""
        if isinstance(x, Tensor):
            return f"made[{self._leaves(x)}]"
        if is_seen(x):
            return text(x.expression, "p{}".format, self._read, self.scope.number)
        if isinstance(x, PLAIN):
            return self.scope.number(x)
        if id(x) in self.older:
            raise Refused(f"a {type(x).__name__} is kept in two places")
        self.older.add(id(x))
        if type(x) in (list, tuple):
            inner = ", ".join(map(self.value, x))
            return f"[{inner}]" if type(x) is list else f"({inner},)" if x else "()"
        if type(x) is dict:
            return f"{{{', '.join(f'{self.value(k)}: {self.value(v)}' for k, v in x.items())}}}"
        if type(x) is OrderedDict:
            self.scope.scope["ordered"] = _ordered
            inner = ", ".join([f"({self.value(k)}, {self.value(v)})" for k, v in x.items()])
            return f"ordered([{inner}], {self.value(vars(x))})"
        raise Refused(f"a {type(x).__name__} is kept")

    def _leaves(self, t, read=False):
        for i, x in enumerate(self.leaving):
            if x is t:
                self.only_read -= set() if read else {i}
                return i
        self.leaving.append(t)
        if read:
            self.only_read.add(len(self.leaving) - 1)
        return len(self.leaving) - 1

    def _read(self, i):
        """The number that was read as the i-th: its name, read once."""
        if i not in self.reads:
            self.reads[i] = self._leaves(self.entry.reads[i][0], True)
        return f"r{i}"

    def _effect(self, c):
        place = self.scope.name(c.container, "c")
        values = [self.value(x) for x in c.values]
        if c.kind == "data":
            return [f"{place}.data = {values[0]}", f"{place}._storage.version += {values[1]}"]
        if c.kind == "store" and c.how == "cell":
            return [f"{place}.cell_contents = {values[0]}"]
        if c.kind == "store" and c.how == "slot":
            self.scope.scope["put"] = object.__setattr__
            return [f"put({place}, {c.key!r}, {values[0]})"]
        if c.kind == "store":
            return [f"{place}[{self.scope.number(c.key)}] = {values[0]}"]
        if c.kind == "call":
            return [f"{place}({', '.join(values)})"]
        if c.kind == "set":
            return [f"{place}[{values[0]}] = {values[1]}"]
        return [f"{place}.{c.kind}({', '.join(values)})"]

    def _tensor_tests(self, n, x, i):
        s = self.scope.scope
        place = [f"{n}._offset != {x._offset}"] if i in self.entry.tape.pinned else []
        s |= {f"{n}_type": type(x), f"{n}_dtype": x.dtype, f"{n}_shape": x._a.shape, f"{n}_strides": x._a.strides,
              f"{n}_meta": x._meta}
        return [f"type({n}) is not {n}_type", f"{n}.dtype is not {n}_dtype", f"(m := {n}._a).shape != {n}_shape",
                f"m.strides != {n}_strides", *place, f"{n}._bits != {x._bits}",
                f"{n}._requires_grad is not {x._requires_grad}",
                *([f"{n}._meta is not {n}_meta"] if x._requires_grad else [])]

    def _apart(self, names):
        """Tests whether memory that the call changes is known by other names than when it was captured."""
        tape, s = self.entry.tape, self.scope.scope
        changed = tape.written()
        for b in tape.older:
            s["older" if not b.written else "changed"] |= {id(b.storage.owner)}
        s["older"] |= s["changed"]
        many = len(changed) > 4
        if many:
            yield f"len({{{', '.join(f'id({n}._storage.owner)' for n in names)}}}) != {len(names)}"
        for i, n in enumerate(names):
            if i in changed and not many:
                yield from [f"{n}._storage.owner is {x}._storage.owner" for j, x in enumerate(names)
                            if j < i or j > i and j not in changed]
            known = "older" if i in changed else "changed"
            if s[known]:
                yield f"id({n}._storage.owner) in {known}"

    def _older(self):
        """Tests whether older tensors are as they were, without native code (see `native_guard.members`)."""
        s = self.scope.scope
        for k, (t, storage, owner, flag) in enumerate(self.entry.memory):
            s |= {f"t{k}": t, f"s{k}": storage, f"o{k}": owner, f"h{k}": t._meta}
            yield from [f"t{k}._storage is not s{k}", f"s{k}.owner is not o{k}", f"t{k}._requires_grad is not {flag}"]
            if flag:
                yield f"t{k}._meta is not h{k}"
        for k, (leaf, g) in enumerate(self.entry.gradients):
            s |= {f"l{k}": leaf, f"g{k}": g}
            yield f"l{k}._grad is not g{k}"

    def _draws(self, draws, late):
        """Lines that draw random numbers of Python's and NumPy's, and put the generators back where these don't allow
        the program."""
        if draws and (late or self.entry.decides):
            before, back = states(self.entry.places)
            self.scope.scope |= {"now": before, "put_back": back}
            yield "    drawn = now()"
        for i in sorted(draws):
            f, _, _, cls = self.entry.places[i]
            given = ", ".join([text(x, "p{}".format, None, self.scope.number) for x in f.args])
            if cls is ndarray:
                yield f"    {self.scope.name(f.draw_array)}({given})"
            else:
                yield f"    p{i} = {self.scope.name(f if f.more else f.function)}({given})"
        if late:
            yield from ["    try:", f"        differs = {' or '.join(self.scope.tests((), late))}",
                        "    except Exception:", "        differs = True",
                        "    if differs:", "        put_back(drawn)", "        return NO"]

    def function(self):
        """The function; the entry is complete but for it."""
        entry, s = self.entry, self.scope.scope
        s |= {"grad": state.grad, "float_": dtypes.default.float, "lock": entry.lock, "unchanged": entry.unchanged,
              "holds": entry.holds}
        arguments = entry.tape.arguments
        names = [f"a{i}" for i in range(self.n)]
        inputs = [*names, *_given(entry.places)]
        lines = [f"if len(args) != {len(inputs)}: return NO"]
        if inputs:
            lines.append(f"{', '.join(inputs)}, = args")
        tests = ["state.special", "state.inference", "state.levels", "watch.listener is not None",
                 "state.grad is not grad", "default.float is not float_"]
        for i, (n, x) in enumerate(zip(names, arguments)):
            tests += self._tensor_tests(n, x, i)
            if any(x is t for t in entry.known):
                s[f"{n}_is"] = x
                tests.append(f"{n} is not {n}_is")
        s["as_before"] = entry.as_before
        tests += self._older() if s["as_before"] is None else ["not as_before()"]
        tests.append("not unchanged() and not holds()")
        for k, (t, container, how, key) in enumerate(entry.live):
            n = f"a{self.n + k}"
            names.append(n)
            own = self._tensor_tests(n, t, self.n + k)
            cls = "Tensor" if t is not container else f"{n}_type"
            tests += [f"type({n} := {self.scope.place(container, how, key)}) is not {cls}", *own[1:]]
        tests += self._apart(names)
        draws = drawn(entry.places)
        late = [c for c in entry.conditions if depends(c, draws)]
        more = self.scope.tests(entry.places, [c for c in entry.conditions if c not in late] if late else
                                entry.conditions)
        if any(entry.conditions) or any(how == "index" for _, how, *_ in entry.places):
            lines += ["try:", f"    if {' or '.join([*tests, *more])}: return NO", "except Exception:", "    return NO"]
        else:
            lines.append(f"if {' or '.join([*tests, *more])}: return NO")
        given = ", ".join([*names, *[f"p{i}" for i in sorted(entry.tape.live)]])
        again = entry.plan and entry.plan.again
        if again and again.why is None and again.changes():
            s["before"] = again.before
            lines.append("was = before()")
        lines += ["if not lock.acquire(False): return BUSY", "try:", *self._draws(draws, late),
                  f"    made = entry.run.call({given})", "finally:", "    lock.release()"]
        if entry.decides:
            back = ["    put_back(drawn)"] if draws else []
            lines += ["if made is None:", *back, "    entry.missed()", "    return NO", "entry.hits += 1"]
        if entry.plan is not None:
            s["plan"] = entry.plan
            recorded = ", ".join(f"made[{i}]" for i in entry.recorded)
            call = f", {{{', '.join(f'{i}: p{i}' for i in sorted(entry.plan.wants))}}}"
            if again.why is None:
                s["call_of"] = again.call
                call += f", *call_of(args{', was' if 'before' in s else ''})"
            lines.append(f"plan.attach([{recorded}], made[{entry.leaving}:], ({', '.join(names)},){call})"
                         .replace("(,)", "()"))
        lines += [f"r{i} = made[{at}].item()" for i, at in self.reads.items()]
        if entry.structure is None:
            result = self.values[0]
        else:
            s |= {"unflatten": tree.unflatten, "structure": entry.structure}
            result = f"unflatten([{', '.join(self.values)}], structure)"
        if self.effects:
            # Results first: they may be made of the numbers that the effects replace.
            lines += [f"result = {result}", *self.effects, "return result"]
        else:
            lines.append(f"return {result}")
        return _defined(lines, "args", s)

