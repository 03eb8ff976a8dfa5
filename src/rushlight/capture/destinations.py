"""Where a value goes that code has just made: only into calls of certain functions, or who knows where.

The stack of a code object is followed instruction by instruction, each entry known by the instruction that made it. A
value may be put into a text, kept in a local variable, and handed on to Python functions, which are followed likewise.
What isn't understood counts as a place where anything may happen to the value.
"""

import dis
import functools
import sys
import types
from collections import deque
from string import Formatter

_JUMPS = {*dis.hasjrel, *dis.hasjabs}
_ENDS = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "INTERPRETER_EXIT"}
_ALWAYS = {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE"}
_NOTHING = {"PRECALL", "KW_NAMES", "NOP", "RESUME", "CACHE", "EXTENDED_ARG", "MAKE_CELL", "COPY_FREE_VARS",
            "NOT_TAKEN", *_ALWAYS}
_EFFECTS = {"PUSH_NULL": (0, 1), "POP_TOP": (1, 0), "STORE_FAST": (1, 0), "STORE_NAME": (1, 0), "STORE_GLOBAL": (1, 0),
            "STORE_DEREF": (1, 0), "STORE_ATTR": (2, 0), "STORE_SUBSCR": (3, 0), "BINARY_OP": (2, 1),
            "BINARY_SUBSCR": (2, 1), "COMPARE_OP": (2, 1), "IS_OP": (2, 1), "CONTAINS_OP": (2, 1), "TO_BOOL": (1, 1),
            "FORMAT_SIMPLE": (1, 1), "FORMAT_WITH_SPEC": (2, 1), "CONVERT_VALUE": (1, 1), "GET_ITER": (1, 1),
            "LIST_APPEND": (1, 0), "YIELD_VALUE": (1, 1), "RETURN_GENERATOR": (0, 1), "DICT_MERGE": (1, 0),
            "DICT_UPDATE": (1, 0), "LIST_EXTEND": (1, 0), "LIST_TO_TUPLE": (1, 1),
            "LOAD_METHOD": (1, 2), "RETURN_VALUE": (1, 0), "STORE_FAST_LOAD_FAST": (1, 1),
            "STORE_FAST_STORE_FAST": (2, 0)}
_ADDS, _MODULOS = (0, 13), (6, 19)              # of BINARY_OP: +, +=, %, %=
_TEXTS = {"BUILD_STRING", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "FORMAT_VALUE"}
_MAKING = ("BUILD_LIST", "BUILD_MAP", "BUILD_CONST_KEY_MAP")
_COMPREHENSIONS = ("<listcomp>", "<genexpr>")
_DEEP = 4                       # functions that call each other are followed so far
_REVEALING = {"locals", "vars", "exec", "eval", "dir", "globals"}


def _effect(i):
    """(how many entries an instruction takes off the stack, how many it puts there); None where that isn't known."""
    name, n = i.opname, i.arg or 0
    if name in _NOTHING:
        return 0, 0
    if name in _EFFECTS:
        return _EFFECTS[name]
    if name == "MAKE_FUNCTION":
        return 1 - dis.stack_effect(i.opcode, i.arg), 1
    if name == "LOAD_ATTR":
        return 1, 1 + dis.stack_effect(i.opcode, i.arg)
    if name.startswith("LOAD_") and name != "LOAD_SUPER_ATTR":
        return 0, dis.stack_effect(i.opcode, i.arg)
    if name.startswith("UNARY_"):
        return 1, 1
    if name == "FORMAT_VALUE":
        return (2 if n & 4 else 1), 1
    if name in ("BUILD_STRING", "BUILD_TUPLE", "BUILD_LIST", "BUILD_SET", "BUILD_SLICE"):
        return n, 1
    if name == "UNPACK_SEQUENCE":
        return 1, n
    if name == "BUILD_MAP":
        return 2 * n, 1
    if name == "BUILD_CONST_KEY_MAP":
        return n + 1, 1
    if name == "CALL_FUNCTION_EX":
        return 1 - dis.stack_effect(i.opcode, i.arg), 1
    if name in ("CALL", "CALL_KW"):
        return n + (2 if name == "CALL" else 3), 1
    if name.startswith("POP_JUMP"):
        return 1, 0
    return None


class Format(str):
    """A text whose ``%`` keeps numbers that may be seen (see `conversions`)."""

    __slots__ = ()

    def __mod__(self, values):
        from .texts import formatted
        return formatted(str(self), values)


class _Flow:
    """A code object's instructions, and the stack before each: `stacks[i]`, a tuple of (instruction that made an entry,
    which of its results) or None; `lost`: entries whose further way isn't known."""

    def __init__(self, code):
        self.code, self.all = code, list(dis.get_instructions(code))
        self.at = {i.offset: k for k, i in enumerate(self.all)}
        self.stacks, self.lost = {}, set()
        work = [(0, ())]
        while work:
            k, stack = work.pop()
            while k < len(self.all):
                known = self.stacks.get(k)
                if known is not None:
                    merged = self._merged(known, stack)
                    if merged == known:
                        break
                    stack = merged
                self.stacks[k] = stack
                i = self.all[k]
                if i.opcode in _JUMPS:
                    work.append((self.at[i.argval], self._after(k, stack, True)))
                if i.opname in _ENDS:
                    self.lost |= set(stack[:-1] if i.opname == "RETURN_VALUE" else stack)
                if i.opname in _ENDS or i.opname in _ALWAYS:
                    break
                stack, k = self._after(k, stack, False), k + 1

    def _merged(self, a, b):
        if len(a) != len(b):
            raise ValueError("two depths")
        self.lost |= {x for x, y in zip(a, b) if x != y} | {y for x, y in zip(a, b) if x != y}
        return tuple([x if x == y else None for x, y in zip(a, b)])

    def _after(self, k, stack, jump):
        i = self.all[k]
        if i.opname == "SWAP" and i.arg <= len(stack):
            found = list(stack)
            found[-1], found[-i.arg] = found[-i.arg], found[-1]
            return tuple(found)
        if i.opname == "COPY" and i.arg <= len(stack):
            self.lost.add(stack[-i.arg])
            return (*stack, None)
        if i.opname in ("FOR_ITER", "END_FOR"):         # the iterator stays below the item, and goes at the end
            depth = len(stack) + dis.stack_effect(i.opcode, i.arg, jump=jump)
            return (*stack[:depth], *[(k, j) for j in range(depth - len(stack))])
        found = _effect(i)
        if found is None or found[0] > len(stack):
            depth = len(stack) + dis.stack_effect(i.opcode, i.arg, jump=jump)
            if depth < 0:
                raise ValueError("the stack isn't understood")
            # It may have to do with what lies on top.
            kept = max(0, min(depth, len(stack)) - 4)
            self.lost |= set(stack[kept:])
            return (*stack[:kept], *[None] * (depth - kept))
        taken, put = found
        return (*stack[:len(stack) - taken], *[(k, j) for j in range(put)])

    def taken(self, k):
        """The entries that instruction `k` takes off the stack."""
        found = _effect(self.all[k])
        stack = self.stacks.get(k)
        return () if found is None or stack is None else stack[len(stack) - found[0]:]


@functools.lru_cache(512)
def _flow(code):
    try:
        return _Flow(code)
    except (ValueError, KeyError):
        return None


class Asked:
    """One question: whether a value goes into calls of functions that ``is_end(callable)`` accepts, and to where
    ``keeps(how, owner, name)`` accepts that it stays, and nowhere else. `how`: ``item`` or ``key`` of `owner`,
    ``append`` to it, its attribute (``slot``).

    known: objects that local variables are known to hold, by name; returned: tells whether what the code returns goes
    to ends only; comprehended: whether what a comprehension, which the code is, puts into its result does.
    """

    def __init__(self, code, scope, is_end, known, closure=(), deep=0, returned=None, keeps=None):
        self.code, self.scope, self.is_end, self.known, self.deep = code, scope, is_end, known, deep
        self.keeps = keeps or (lambda how, owner, name: False)
        self.closure, self.returned = closure, None if code.co_flags & 0x2A0 else returned
        self.comprehended = returned
        self.flow, self.followed = _flow(code), set()

    def instruction(self, offset):
        """Index of the instruction that is being executed at an offset; None if the code isn't understood."""
        if self.flow is None:
            return None
        found = [k for k, i in enumerate(self.flow.all) if i.offset <= offset]
        return found[-1] if found and found[-1] in self.flow.stacks else None

    def value(self, entry):
        """Whether the value at a stack's `entry` goes to ends only."""
        flow = self.flow
        if entry in flow.lost:
            return False
        for k in flow.stacks:
            taken = flow.taken(k)
            if entry in taken and not self._use(k, taken, entry):
                return False
        return True

    def _use(self, k, taken, entry):
        i = self.flow.all[k]
        if i.opname == "POP_TOP":
            return True
        if i.opname == "BUILD_STRING" or i.opname == "FORMAT_SIMPLE" or i.opname == "FORMAT_VALUE" and not i.arg:
            return self.value((k, 0))
        if i.opname == "RETURN_VALUE":
            return self.returned is not None and self.returned()
        if i.opname in ("LIST_APPEND", "YIELD_VALUE") and self.code.co_name in _COMPREHENSIONS:
            return self.comprehended is not None and self.comprehended()
        if i.opname == "LIST_APPEND":                   # of a comprehension that the compiler has put here
            gathered = self.flow.stacks[k][-1 - i.arg]
            return gathered not in (None, entry) and self.value(gathered)
        if i.opname == "STORE_FAST":
            return self.variable(i.argval)
        if i.opname == "STORE_FAST_LOAD_FAST":
            return self.variable(i.argval[0])
        if i.opname == "STORE_FAST_STORE_FAST":
            return all(self.variable(name) for name, x in zip(i.argval, reversed(taken)) if x == entry)
        if i.opname in ("CALL", "CALL_KW"):
            return self._handed(k, taken, entry)
        if i.opname in ("BUILD_LIST", "BUILD_TUPLE"):
            return self.value((k, 0))
        if i.opname in ("BUILD_MAP", "BUILD_CONST_KEY_MAP"):
            keys = taken[::2] if i.opname == "BUILD_MAP" else taken[-1:]
            return entry not in keys and self.value((k, 0))
        if i.opname == "STORE_ATTR":
            owner = None if entry == taken[1] or taken[1] is None else self.held(taken[1])
            return owner is not None and self.keeps("slot", owner, i.argval)
        if i.opname == "STORE_SUBSCR":
            return self._put(*taken, entry)
        if i.opname == "BINARY_OP" and i.arg in _ADDS and self._is_gathered((k, 0)):
            return self.value((k, 0))
        if i.opname == "BINARY_OP" and i.arg in _ADDS:
            return all(x is not None and self._is_text(x) for x in taken) and self.value((k, 0))
        if i.opname == "BINARY_OP" and i.arg in _MODULOS:
            return entry == taken[1] != taken[0] and taken[0] is not None and \
                isinstance(self.held(taken[0]), Format) and self.value((k, 0))
        if i.opname == "LOAD_METHOD" or i.opname == "LOAD_ATTR" and sys.version_info >= (3, 12) and i.arg & 1:
            return i.argval == "append" and self._is_made(entry, ("BUILD_LIST",))
        return False

    def _put(self, value, owner, key, entry):
        """Whether an item may be stored: the entry is the item, its key, or the container (made here)."""
        if owner is None or entry == owner:
            return entry == owner not in (value, key)
        if self._is_made(owner, _MAKING):
            return entry == value != key and self.value(owner)
        held = self.held(owner)
        return held is not None and (entry == value and self.keeps("item", held, None)) if entry != key else \
            entry != value and self.keeps("key", held, None)

    def _is_made(self, entry, how):
        """Whether an entry of the stack is a container that this code has made itself, by one of such instructions."""
        return self._is_built(entry, how, ())

    def _is_built(self, entry, how, known):
        i = self.flow.all[entry[0]]
        if i.opname in how:
            return True
        if i.opname == "BINARY_OP" and i.arg in _ADDS and how == ("BUILD_LIST",):
            parts = self.flow.taken(entry[0])
            return all(x is not None and (self._is_built(x, how, known) or self.comprehends(x)) for x in parts)
        if i.opname not in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"):
            return False
        if i.argval in known:
            return True
        stored, known = self._stored(i.argval), (*known, i.argval)
        return bool(stored) and all(x is not None and self._is_built(x, how, known) for x in stored) and \
            self.variable(i.argval)

    def _stored(self, name):
        """The entries that a local variable is given; None if they aren't all known."""
        flow, found = self.flow, []
        if name in self.code.co_cellvars or name in self.code.co_varnames[:_parameters(self.code)]:
            return None
        for k, i in enumerate(flow.all):
            if i.opname.startswith(("STORE_FAST", "DELETE_FAST")) and name in _several(i.argval):
                if not i.opname.startswith("STORE_FAST") or k not in flow.stacks:
                    return None
                found += [x for at, x in zip(_several(i.argval), reversed(flow.taken(k))) if at == name]
        return found

    def _is_text(self, entry, known=()):
        """Whether an entry of the stack is a text for sure."""
        i = self.flow.all[entry[0]]
        if i.opname in _TEXTS or i.opname == "LOAD_CONST" and isinstance(i.argval, str):
            return True
        taken = self.flow.taken(entry[0])
        if i.opname == "BINARY_OP":
            return i.arg in _ADDS and all(x is not None and self._is_text(x, known) for x in taken) or \
                i.arg in _MODULOS and taken[0] is not None and isinstance(self.held(taken[0]), str)
        if i.opname == "CALL":
            f = self.called(taken)
            return f is str or f is format or type(getattr(f, "__self__", None)) is str and \
                f.__name__ in ("format", "join")
        names = _loaded(i)
        if names and names[entry[1]] not in known:
            stored = self._stored(names[entry[1]])
            return bool(stored) and all(x is not None and self._is_text(x, (*known, names[entry[1]])) for x in stored)
        return bool(names) or type(self.held(entry)) is str

    def variable(self, name):
        """Whether all that a local variable may hold goes to ends only."""
        flow = self.flow
        if flow is None or name is None or name in self.code.co_cellvars or set(self.code.co_names) & _REVEALING:
            return False
        if name in self.followed:
            return True                 # (it is being looked into)
        self.followed.add(name)
        for k, i in enumerate(flow.all):
            for j, loaded in enumerate(_loaded(i)):
                if loaded == name and (k not in flow.stacks or not self.value((k, j))):
                    return False
        return True

    def _handed(self, k, taken, entry):
        """Whether a call hands its argument on to ends only."""
        flow = self.flow
        named = flow.all[k].opname == "CALL_KW" or any(
            flow.all[j].opname == "KW_NAMES" for j in range(max(0, k - 2), k))
        at = [j for j, x in enumerate(taken[2:]) if x == entry]
        f = self.called(taken)
        if f is None:
            method = flow.all[taken[0][0]] if taken[0] is not None else None
            if method is None or named or at != [0] or len(taken) != 3 or method.argval != "append" or \
                    method.opname not in ("LOAD_METHOD", "LOAD_ATTR"):
                return False
            base = flow.taken(taken[0][0])[0]
            return base is not None and self._is_made(base, ("BUILD_LIST",))
        if self.is_end(f):
            return True
        if not at:
            return False
        if getattr(f, "__name__", "") == "append" and self.keeps("append", getattr(f, "__self__", None), None):
            return not named and at == [0] and len(taken) == 3
        if getattr(f, "__name__", "") == "update" and self.keeps("item", getattr(f, "__self__", None), None):
            return True
        if type(getattr(f, "__self__", None)) is str and f.__name__ == "join":
            return not named and at == [0] and len(taken) == 3 and self._is_gathered(entry) and self.value((k, 0))
        if type(getattr(f, "__self__", None)) is str:
            return not named and fields(f) is not None and self.value((k, 0)) and \
                all(j < len(fields(f)) and not fields(f)[j] for j in at)
        owner = getattr(f, "__self__", None)
        function = getattr(f, "__func__", f)
        if type(function) is not types.FunctionType or self.deep >= _DEEP:
            return False
        code = function.__code__
        if code.co_flags & 0x2A0:                       # generators, coroutines
            return False
        shift = 1 if owner is not None else 0
        inner = Asked(code, function.__globals__, self.is_end, {}, function.__closure__ or (), self.deep + 1,
                      lambda: self.value((k, 0)), self.keeps)
        if shift and code.co_argcount:
            inner.known[code.co_varnames[0]] = owner
        names = self._names(k) if named else ()
        count = len(taken) - 2 - len(names)             # (those given by position)
        if flow.all[k].opname == "CALL_KW":
            count -= 1
        return all(inner.variable(name) for name in [_parameter(code, j + shift if j < count else names[j - count])
                                                     for j in at])

    def _names(self, k):
        """The names of arguments that are given by name in a call."""
        flow = self.flow
        if flow.all[k].opname == "CALL_KW":
            last = flow.taken(k)[-1]
            return self.held(last) or () if last is not None else ()
        return next(self.code.co_consts[i.arg] for i in flow.all[max(0, k - 2):k] if i.opname == "KW_NAMES")

    def _is_gathered(self, entry):
        """Whether an entry of the stack is a list or a tuple made here, or what a comprehension gives."""
        return any(self._is_made(entry, (how,)) for how in ("BUILD_LIST", "BUILD_TUPLE")) or self.comprehends(entry)

    def comprehends(self, entry):
        """Whether an entry of the stack is what a comprehension made here gives."""
        flow = self.flow
        if flow.all[entry[0]].opname != "CALL":
            return False
        made = [x[0] for x in flow.taken(entry[0])[:2] if x is not None and flow.all[x[0]].opname == "MAKE_FUNCTION"]
        codes = [flow.all[x[0]].argval for k in made for x in flow.taken(k) if x is not None]
        return any(getattr(code, "co_name", None) in _COMPREHENSIONS for code in codes)

    def _repeats(self, k):
        """Whether instruction `k` may run more than once, or only in one branch."""
        return any(i.opcode in _JUMPS and (n < k < self.flow.at[i.argval] or self.flow.at[i.argval] <= k <= n)
                   for n, i in enumerate(self.flow.all))

    def called(self, taken):
        """The callable of a call that takes these entries: found by its name and by attributes; None if it isn't."""
        for entry in taken[:2]:
            if entry is not None and self.flow.all[entry[0]].opname != "PUSH_NULL":
                found = self.held(entry)
                if callable(found):
                    return found
        return None

    def held(self, entry):
        """The object that was loaded onto the stack as `entry`; None if that isn't plain to see."""
        k, j = entry
        i = self.flow.all[k]
        if i.opname == "LOAD_GLOBAL":
            return self.scope.get(i.argval, _builtin(self.scope, i.argval))
        if i.opname == "LOAD_DEREF" and i.argval in self.code.co_freevars:
            n = self.code.co_freevars.index(i.argval)
            try:
                return self.closure[n].cell_contents if n < len(self.closure) else self.known.get(i.argval)
            except ValueError:
                return None
        if i.opname == "LOAD_DEREF" or "FAST" in i.opname:
            names = [i.argval] if i.opname == "LOAD_DEREF" else _loaded(i)
            stored = [n for n, x in enumerate(self.flow.all) if x.opname.startswith(("STORE", "DELETE"))
                      and names[j] in _several(x.argval)]
            return None if len(stored) > 1 or stored and self._repeats(stored[0]) else self.known.get(names[j])
        if i.opname == "LOAD_CONST":
            return i.argval
        if i.opname == "BINARY_SUBSCR" or i.opname == "BINARY_OP" and i.argrepr == "[]":
            base, key = [None if x is None else self.held(x) for x in self.flow.taken(k)]
            # (what stands for a dict knows the real one)
            return dict.get(getattr(base, "real", base), key) if isinstance(base, dict) and type(key) in (str, int) \
                else None
        if i.opname == "BINARY_OP" and i.arg in _ADDS:
            parts = [None if x is None else self.held(x) for x in self.flow.taken(k)]
            return "".join(parts) if all(type(x) is str for x in parts) else None
        if i.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            taken = self.flow.taken(k)
            base = None if not taken or taken[0] is None else self.held(taken[0])
            return None if base is None else _attribute(base, i.argval)
        return None


def _parameters(code):
    """How many of a code object's variables are parameters."""
    return code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)


def _parameter(code, which):
    """The name of a parameter by position, or of that which takes a named argument; None if it isn't plain."""
    if type(which) is int:
        return code.co_varnames[which] if which < code.co_argcount else None
    if which in code.co_varnames[code.co_posonlyargcount:code.co_argcount + code.co_kwonlyargcount]:
        return which
    return code.co_varnames[_parameters(code) - 1] if code.co_flags & 8 else None


def _loaded(i):
    """Names of the local variables that an instruction puts on the stack, in order."""
    if "FAST" not in i.opname or i.opname in ("STORE_FAST", "DELETE_FAST", "STORE_FAST_STORE_FAST"):
        return ()
    return i.argval[1:] if i.opname.startswith("STORE") else _several(i.argval)


def _several(x):
    return x if isinstance(x, tuple) else (x,)


def fields(f):
    """How a text's method `format` formats what it is given, by position: one specification for each; None if `f` isn't
    that, or puts its fields in another way."""
    text = getattr(f, "__self__", None)
    if type(text) is not str or f.__name__ != "format":
        return None
    try:
        found = [x[1:] for x in Formatter().parse(text) if x[1] is not None]
    except ValueError:
        return None
    if any(name or conversion or "{" in spec for name, spec, conversion in found):
        return None
    return [spec for _, spec, _ in found]


def puts_in(f):
    """Whether `f` is a text's method `format` that puts in what the formats of its fields make, as it is."""
    text = getattr(f, "__self__", None)
    try:
        return type(text) is str and f.__name__ == "format" and not any(
            "{" in (spec or "") for _, _, spec, _ in Formatter().parse(text))
    except ValueError:
        return False


def _builtin(scope, name):
    b = scope.get("__builtins__")
    return (b if isinstance(b, dict) else vars(b)).get(name) if b is not None else None


_PLAINLY = (object.__getattribute__, list.__getattribute__, dict.__getattribute__, deque.__getattribute__)


def _attribute(x, name):
    """An attribute of a module or an object, as long as finding it runs no code."""
    if isinstance(x, types.ModuleType):
        return vars(x).get(name)
    if isinstance(x, str):
        return getattr(x, name, None)
    if type(x).__getattribute__ not in _PLAINLY:
        return None
    own = getattr(x, "__dict__", {})
    for c in type(x).__mro__:
        found = c.__dict__.get(name)
        if found is not None:
            if type(found) is types.FunctionType:
                return own[name] if name in own else types.MethodType(found, x)
            return own.get(name) if not hasattr(type(found), "__set__") else None
    return own.get(name)
