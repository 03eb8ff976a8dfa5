"""A program's text as words that one native function runs (``ops.native.programs``).

    translated(text, scope) -> (builtin function, what it refers to), or None where there is no native code

Every statement of the text becomes one instruction or a few; an expression that has none of its own becomes a call of a
small function of the variables in it. Python remains where its own functions are called, for ops that have no kernel
in one piece.
"""

import ast
import ctypes
import sys
from types import BuiltinFunctionType

import numpy as np

from ..compiler.pointwise import METH_FASTCALL, builtin, method
from ..ops.native import install, modules, programs
from ..ops.native.programs import CODES, NOWHERE
from ..runtime import native
from ..runtime.allocator import empty
from ..tensor.storage import make_storage
from ..tensor.tensor import assemble

_ndarray = np.ndarray
_POINTER, _FUNCTION, _FLAGS, _SELF = 16, 8, 16, 24      # of PyCFunctionObject.m_ml, PyMethodDef, m_self


def translated(text, scope):
    """The function that does what the text's ``run`` does, with the objects of its scope, and what it refers to."""
    address = _runner()
    if not address:
        return None
    words = _Words(scope)
    function = ast.parse(text).body[0]
    words.arguments = [a.arg for a in function.args.args]
    for statement in function.body:
        words.statement(statement)
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

    def __init__(self, scope):
        self.scope, self.arguments = scope, []
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
        self.instructions.append((CODES.index(code), words))

    # ------------------------------------------------------------ statements

    def statement(self, s):
        match s:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=None)) if name in self.variables:
                self.emit("FREE", 1, self.variables[name])
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.value(value, lambda: self.variable(name))
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                source = self.value(value)
                self.emit("PARTS", len(targets), source,
                          *[NOWHERE if t.id == "_" else self.variable(t.id) for t in targets])
            case ast.Assign(targets=[ast.Attribute(value=leaf, attr="_grad")], value=value):
                self.emit("GRAD", self.value(leaf), self.value(value))
            case ast.AugAssign(target=ast.Attribute(value=ast.Attribute(value=t, attr="_storage"), attr="version"),
                               op=ast.Add(), value=ast.Constant(value=n)):
                self.emit("OWN", self.value(t), self.literal(n))
            case ast.AugAssign(target=ast.Attribute(value=storage, attr="version"), op=ast.Add(),
                               value=ast.Constant(value=n)):
                self.emit("VERSION", self.value(storage), self.literal(n))
            case ast.Expr(value=value):
                self.value(value, lambda: NOWHERE)
            case ast.With(body=calls):
                self._together([c.value for c in calls])
            case ast.If():
                self.emit("STOP", self._function(s, ast.unparse(s) + "\nreturn True"))
            case ast.Return(value=ast.List(elts=items)):
                found = [self.value(x) for x in items]
                self.emit("RETURN", len(found), *found)
            case _:
                raise NotImplementedError(f"a program can't do `{ast.unparse(s)}` natively")
        if self.temporary:
            self.emit("FREE", len(self.temporary), *self.temporary)
            self.spare += self.temporary
            self.temporary = []

    # ------------------------------------------------------------ expressions

    def value(self, x, to=None):
        """The place of an expression's value. `to`: a function that gives the place it has to have."""
        match x:
            case ast.Name(id=name) if to is None:
                return self._named(name)
            case ast.Name(id=name):
                return self._into(to, "MOVE", self._named(name))
            case ast.Attribute(value=ast.Name(id=name), attr="_a") if name in self.arguments:
                return self._into(to, "ARRAY", self._named(name))
            case ast.Attribute(value=ast.Name(id=name), attr="T") if name in self.variables:
                return self._into(to, "TURN", self._named(name))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="reshape"), args=[shape]) \
                    if name in self.variables:
                shape = ast.literal_eval(shape)
                return self._into(to, "WINDOW", self._named(name), 0, 0, len(shape), self._sizes(shape), 0)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(x, self.scope[name], args, to)
        known, value = _literal(x)
        if known and to is None:
            return self.literal(value)
        return self._function(x, "return " + ast.unparse(x), to)

    def _named(self, name):
        if name in self.variables:
            return self.variables[name]
        if name in self.arguments:
            return "argument", self.arguments.index(name)
        return self.constant(self.scope[name])

    def _into(self, to, code, *words):
        place = self._between() if to is None else to()
        self.emit(code, place, *words)
        return place

    def _sizes(self, numbers):
        block = (ctypes.c_int64 * max(len(numbers), 1))(*numbers)
        self.kept.append(block)
        return ctypes.addressof(block)

    def _call(self, x, callee, args, to):
        if callee is empty:
            shape, descr = ast.literal_eval(args[0]), self.scope[args[1].id]
            self.constant(descr)
            return self._into(to, "NEW", id(descr), len(shape), self._sizes(shape))
        if callee is make_storage:
            return self._into(to, "STORAGE", self.value(args[0]))
        if callee is assemble:
            return self._into(to, "TENSOR", *[self.value(a) for a in args])
        if callee is self.scope["view"]:
            window = self._window(args)
            if window is not None:
                return self._into(to, "WINDOW", *window)
        places = [self.value(a) for a in args]
        self.most = max(self.most, len(places))
        addresses = fast(callee)
        if addresses is None:
            return self._into(to, "CALL", self.constant(callee), len(places), *places)
        self.constant(callee)
        return self._into(to, "METHOD", *addresses, len(places), *places)

    def _together(self, calls):
        """Calls that run at the same time."""
        found = []
        for c in calls:
            callee = self.scope[c.func.id]
            self.constant(callee)
            places = [self.value(a) for a in c.args]
            self.most = max(self.most, len(places))
            found.append((*fast(callee), len(places), *places))
        width = max(map(len, found))
        code, rest = CODES.index("METHOD"), [(NOWHERE,) * (width - len(words)) for words in found]
        words = [w for f, r in zip(found, rest, strict=True) for w in (code, 0, NOWHERE, *f, *r)]
        self.emit("TOGETHER", len(found), 8 * (width + 3), *words)

    def _window(self, args):
        """The words of ``view(memory, dtype, shape, strides, offset)`` on memory whose array is known."""
        memory, descr, shape, steps, offset = args
        descr, shape, steps = self.scope[descr.id], ast.literal_eval(shape), ast.literal_eval(steps)
        match memory:
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="storage"), args=[ast.Name(id=name)]),
                                             attr="bytes")) if isinstance(offset, ast.Constant):
                base, shift = self._named(name), offset.value
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=name), attr="_storage"),
                                             attr="bytes")):
                # An argument's array begins at its offset.
                match offset:
                    case ast.BinOp(left=ast.Attribute(value=ast.Name(id=same), attr="_offset"), op=ast.Add(),
                                   right=right) if same == name and name in self.arguments:
                        base, shift = self._into(None, "ARRAY", self._named(name)), ast.literal_eval(right)
                    case _:
                        return None
            case _:
                return None
        self.constant(descr)
        item = descr.itemsize
        shift = 0 if 0 in shape else shift * item
        return base, shift, id(descr), len(shape), self._sizes(shape), self._sizes([s * item for s in steps])

    def _function(self, x, body, to=None):
        """A call of a Python function that has the body, of the names in the node that are variables or arguments."""
        names = sorted({n.id for n in ast.walk(x) if isinstance(n, ast.Name)} & {*self.variables, *self.arguments})
        scope = dict(self.scope)
        lines = "\n    ".join(body.split("\n"))
        exec(compile(f"def part({', '.join(names)}):\n    {lines}", f"{__file__}: part", "exec"), scope)
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


def _literal(x):
    try:
        return True, ast.literal_eval(x)
    except ValueError:
        return False, None
