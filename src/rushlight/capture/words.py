"""A program's statements as words that one native function runs (``ops.native.programs``).

    translated(arguments, statements, scope) -> (builtin function, what it refers to), or None where there is no native
                                                code

Every statement becomes one instruction or a few; what is Python's text becomes a call of a small function of the
variables in it. Python remains where its own functions are called, for ops that have no kernel in one piece.
"""

import ctypes
import re
import sys
from types import BuiltinFunctionType

from ..compiler.pointwise import METH_FASTCALL, builtin, method
from ..ops.native import install, modules, programs
from ..ops.native.programs import CODES, NOWHERE
from ..runtime import native
from ..runtime.allocator import empty
from ..tensor.storage import make_storage
from ..tensor.tensor import assemble
from .statements import TOGETHER, code_of, text

_CODE = {name: k for k, name in enumerate(CODES)}
_NAMES = re.compile(r"[A-Za-z_]\w*")
_POINTER, _FUNCTION, _FLAGS, _SELF = 16, 8, 16, 24      # of PyCFunctionObject.m_ml, PyMethodDef, m_self


def translated(arguments, statements, scope):
    """The function that does what the statements say, with the objects of their scope, and what it refers to."""
    address = _runner()
    if not address:
        return None
    words = _Words(scope, arguments)
    beside = []                         # calls at the same time
    for s in statements:
        if type(s) is tuple and s[0] == "beside":
            beside.append(s[1])
            continue
        if beside:
            words.together(beside)
            beside = []
        if s != TOGETHER:
            words.statement(s)
    return words.finish(address)


_address = None


def _runner():
    """Address of ``rl_program``; 0 where there is no native code, or another thread than the main one asks first."""
    global _address
    if _address is None and install.ready():
        table = install._state.found_table()
        _address = modules.load("programs", install._offsets(), ("rl_program",), table,
                                {"rl_parallel_for": native.symbols()["rl_parallel_for"]})["rl_program"]
    return _address or 0


def fast(f):
    """(function, self) of a builtin that takes an array of arguments, addresses; None for other callables."""
    if type(f) is not BuiltinFunctionType:
        return None
    definition = ctypes.c_void_p.from_address(id(f) + _POINTER).value
    if ctypes.c_int.from_address(definition + _FLAGS).value != METH_FASTCALL:
        return None
    return (ctypes.c_void_p.from_address(definition + _FUNCTION).value,
            ctypes.c_void_p.from_address(id(f) + _SELF).value or 0)


class _Words:
    """The instructions of one program; registers are named ``(kind, number)`` until all are known."""

    def __init__(self, scope, arguments):
        self.scope, self.arguments = scope, {name: ("argument", i) for i, name in enumerate(arguments)}
        self.constants, self.numbers, self.literals = [], {}, {}
        self.variables, self.spare, self.temporary = {}, [], []
        self.count = 0                  # variables and temporary places
        self.instructions, self.kept, self.most = [], [], 1

    # ------------------------------------------------------------ registers

    def constant(self, x):
        if id(x) not in self.numbers:
            self.numbers[id(x)] = len(self.constants)
            self.constants.append(x)
        return "constant", self.numbers[id(x)]

    def literal(self, x):
        """A constant of a value; equal ones of one type share a place."""
        return self.constant(self.literals.setdefault(repr(x), x))

    def variable(self, name):
        if name not in self.variables:
            self.variables[name] = self._place()
        return self.variables[name]

    def _place(self):
        if self.spare:
            return self.spare.pop()
        self.count += 1
        return "variable", self.count - 1

    def _between(self):
        """A place for a value within a statement."""
        place = self._place()
        self.temporary.append(place)
        return place

    def emit(self, code, *words):
        self.instructions.append((_CODE[code], words))

    # ------------------------------------------------------------ statements

    def statement(self, s):
        if type(s) is str:
            self.emit("STOP", self._function(s + "\nreturn True"))
        else:
            getattr(self, f"_{s[0]}")(*s[1:])
        self._end()

    def _end(self):
        if self.temporary:
            self.emit("FREE", len(self.temporary), *self.temporary)
            self.spare += self.temporary
            self.temporary = []

    def _set(self, name, value):
        self.value(value, lambda: self.variable(name))

    def _parts(self, names, value, comma):
        source = self.value(value)
        self.emit("PARTS", len(names), source, *[NOWHERE if n == "_" else self.variable(n) for n in names])

    def _do(self, call):
        self.value(call, lambda: NOWHERE)

    def _free(self, name):
        if name in self.variables:
            self.emit("FREE", 1, self.variables[name])

    def _gradient(self, leaf, value):
        self.emit("GRAD", self.value(leaf), self.value(value))

    def _changed(self, storage, times):
        self.emit("VERSION", self.value(storage), self.literal(times))

    def _given(self, argument, times):
        self.emit("OWN", self.value(argument), self.literal(times))

    def _return(self, values):
        found = [self.value(x) for x in values]
        self.emit("RETURN", len(found), *found)

    # ------------------------------------------------------------ expressions

    def value(self, x, to=None):
        """The place of an expression's value. `to`: a function that gives the place it has to have."""
        if type(x) is str:
            if not x.isidentifier():
                return self._function("return " + x, to)
            return self._named(x) if to is None else self._into(to, "MOVE", self._named(x))
        kind = x[0]
        if kind == "call":
            return self._call(x[1], x[2], to)
        if kind == "literal":
            return self.literal(x[1]) if to is None else self._into(to, "MOVE", self.literal(x[1]))
        if kind == "window":
            return self._window(self._named(x[1]), x, to)
        if kind == "within":                    # (an argument's array begins at its offset)
            return self._window(self._into(None, "ARRAY", self._named(x[1])), x, to)
        if kind == "array":
            return self._into(to, "ARRAY", self._named(x[1]))
        if kind == "turned":
            return self._into(to, "TURN", self._named(x[1]))
        if kind == "reshaped":
            return self._into(to, "WINDOW", self._named(x[1]), 0, 0, len(x[2]), self._sizes(x[2]), 0)
        return self._function("return " + text(x), to)

    def _named(self, name):
        return self.variables.get(name) or self.arguments.get(name) or self.constant(self.scope[name])

    def _into(self, to, code, *words):
        place = self._between() if to is None else to()
        self.emit(code, place, *words)
        return place

    def _sizes(self, numbers):
        block = (ctypes.c_int64 * max(len(numbers), 1))(*numbers)
        self.kept.append(block)
        return ctypes.addressof(block)

    def _call(self, name, args, to):
        callee = self.scope[name]
        if callee is empty:
            shape, descr = args[0][1], self.scope[args[1]]
            self.constant(descr)
            return self._into(to, "NEW", id(descr), len(shape), self._sizes(shape))
        if callee is make_storage:
            return self._into(to, "STORAGE", self.value(args[0]))
        places = [self.value(a) for a in args]
        if callee is assemble:
            return self._into(to, "TENSOR", *places)
        self.most = max(self.most, len(places))
        addresses = fast(callee)
        if addresses is None:
            return self._into(to, "CALL", self.constant(callee), len(places), *places)
        self.constant(callee)
        return self._into(to, "METHOD", *addresses, len(places), *places)

    def together(self, calls):
        """Calls that run at the same time."""
        found = []
        for _, name, args in calls:
            callee = self.scope[name]
            self.constant(callee)
            places = [self.value(a) for a in args]
            self.most = max(self.most, len(places))
            found.append((*fast(callee), len(places), *places))
        width = max(map(len, found))
        code, rest = _CODE["METHOD"], [(NOWHERE,) * (width - len(words)) for words in found]
        words = [w for f, r in zip(found, rest, strict=True) for w in (code, 0, NOWHERE, *f, *r)]
        self.emit("TOGETHER", len(found), 8 * (width + 3), *words)
        self._end()

    def _window(self, base, x, to):
        """A window on the memory of an array."""
        _, _, descr, shape, steps, shift = x
        descr = self.scope[descr]
        self.constant(descr)
        item = descr.itemsize
        return self._into(to, "WINDOW", base, 0 if 0 in shape else shift * item, id(descr), len(shape),
                          self._sizes(shape), self._sizes([s * item for s in steps]))

    def _function(self, body, to=None):
        """A call of a Python function that has the body, of the names in it that are variables or arguments."""
        names = sorted(set(_NAMES.findall(body)) & {*self.variables, *self.arguments})
        scope = dict(self.scope)
        lines = "\n    ".join(body.split("\n"))
        exec(code_of(f"def part({', '.join(names)}):\n    {lines}", f"{__file__}: part"), scope)
        places = [self._named(n) for n in names]
        self.most = max(self.most, len(places))
        return self._into(to, "CALL", self.constant(scope["part"]), len(places), *places)

    # ------------------------------------------------------------ the words

    def finish(self, address):
        """The builtin function; it keeps what the words refer to."""
        first = {"constant": 0, "argument": len(self.constants), "variable": len(self.constants) + len(self.arguments)}
        objects = (ctypes.c_uint64 * max(len(self.constants), 1))(*map(id, self.constants))
        total = programs.HEAD + sum(2 + len(words) for _, words in self.instructions)
        block = (ctypes.c_int64 * total)()
        begin = ctypes.addressof(block)
        block[:programs.HEAD] = [len(self.constants) + len(self.arguments) + self.count, len(self.constants),
                                 len(self.arguments), ctypes.addressof(objects), self.most]
        at = programs.HEAD
        for code, words in self.instructions:
            end = at + 2 + len(words)
            block[at:end] = [code, begin + 8 * end, *[8 * (first[x[0]] + x[1]) if type(x) is tuple else x
                                                      for x in words]]
            at = end
        run = builtin(method(address, "rl_program"), begin.to_bytes(8, sys.byteorder))
        return run, (block, objects, self.constants, self.kept)
