"""A structured writer of LLVM IR text.

Kernels and native entry points are written in Python with typed values, operators and ``with`` blocks
for control flow; the result is text for LLVM's parser (several times faster to make than a tree of
IR objects).  Mutable variables are stack slots, which LLVM turns into registers.

    f = module.function("dot", "float", [("ptr", "a"), ("ptr", "b"), ("i64", "n")])
    a, b, n = f.args
    total = f.var("float", 0.0)
    with f.range(n) as i:
        total.set(total.get() + f.load("float", a + i * 4) * f.load("float", b + i * 4))
    f.ret(total.get())

Adding an integer to a ``ptr`` moves it by bytes.  Comparisons are signed (ordered for floats);
``u*`` methods are the unsigned ones.  A Python number next to a value takes the value's type.
"""

import struct
from contextlib import contextmanager

FLOATS = {"float": 4, "double": 8, "half": 2}


def vector(element, lanes):
    """The LLVM type of ``lanes`` elements (the element itself for one lane)."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def split(type_):
    """(element type, lanes); lanes is 0 for a scalar type."""
    if type_[0] == "<":
        lanes, element = type_[1:-1].split(" x ")
        return element, int(lanes)
    return type_, 0


def retype(type_, element):
    """The type with another element type and as many lanes."""
    _, lanes = split(type_)
    return f"<{lanes} x {element}>" if lanes else element


def _suffix(type_):
    """What intrinsics' names call a type."""
    element, lanes = split(type_)
    short = {"float": "f32", "double": "f64", "half": "f16"}.get(element, element)
    return f"v{lanes}{short}" if lanes else short


def literal(type_, value):
    """The text of a constant."""
    element, lanes = split(type_)
    if element == "float":
        value = struct.unpack("f", struct.pack("f", _clip(value)))[0]
    if element in FLOATS:
        text = f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"
        if element == "half":
            text = f"0xH{struct.unpack('H', struct.pack('e', value))[0]:04X}"
    elif element == "i1":
        text = "true" if value else "false"
    elif element == "ptr":
        text = "null"
    else:
        text = str(int(value))
    return f"splat ({element} {text})" if lanes else text


def _clip(value):
    # struct refuses what rounds beyond the largest float32; C gives infinity.
    if abs(value) >= 3.4028235677973366e38 and value - value == 0:
        return float("inf") if value > 0 else float("-inf")
    return value


class Value:
    """An SSA value or a constant: the text that names it and its LLVM type."""

    __slots__ = ("f", "name", "type")

    def __init__(self, f, name, type_):
        self.f, self.name, self.type = f, name, type_

    @property
    def is_float(self):
        return split(self.type)[0] in FLOATS

    def _binary(self, other, float_op, int_op):
        other = self.f.value(other, self.type)
        return self.f.binary(float_op if self.is_float else int_op, self, other)

    def __add__(self, other):
        if self.type == "ptr":
            return self.f.offset(self, other)
        return self._binary(other, "fadd", "add")

    def __radd__(self, other):
        return self.f.value(other, self.type) + self

    def __sub__(self, other):
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other):
        return self.f.value(other, self.type) - self

    def __mul__(self, other):
        return self._binary(other, "fmul", "mul")

    def __rmul__(self, other):
        return self.f.value(other, self.type) * self

    def __truediv__(self, other):
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other):
        return self.f.value(other, self.type) / self

    def __floordiv__(self, other):
        return self._binary(other, "", "sdiv")

    def __mod__(self, other):
        return self._binary(other, "frem", "srem")

    def udiv(self, other):
        return self._binary(other, "", "udiv")

    def urem(self, other):
        return self._binary(other, "", "urem")

    def __and__(self, other):
        return self._binary(other, "", "and")

    def __or__(self, other):
        return self._binary(other, "", "or")

    def __xor__(self, other):
        return self._binary(other, "", "xor")

    def __invert__(self):
        return self ^ (1 if split(self.type)[0] == "i1" else -1)

    def __lshift__(self, other):
        return self._binary(other, "", "shl")

    def __rshift__(self, other):
        return self._binary(other, "", "ashr")

    def lshr(self, other):
        return self._binary(other, "", "lshr")

    def __neg__(self):
        if self.is_float:
            return self.f.emit(self.type, f"fneg {self.type} {self.name}")
        return self.f.value(0, self.type) - self

    def compare(self, float_op, int_op, other):
        """LLVM's comparison of this kind: an i1, or a vector of them."""
        other = self.f.value(other, self.type)
        op = f"fcmp {float_op}" if self.is_float else f"icmp {int_op}"
        return self.f.emit(
            retype(self.type, "i1"), f"{op} {self.type} {self.name}, {other.name}"
        )

    def __lt__(self, other):
        return self.compare("olt", "slt", other)

    def __le__(self, other):
        return self.compare("ole", "sle", other)

    def __gt__(self, other):
        return self.compare("ogt", "sgt", other)

    def __ge__(self, other):
        return self.compare("oge", "sge", other)

    def ult(self, other):
        return self.compare("ult", "ult", other)

    def ugt(self, other):
        return self.compare("ugt", "ugt", other)

    def ule(self, other):
        return self.compare("ule", "ule", other)

    def uge(self, other):
        return self.compare("uge", "uge", other)

    def eq(self, other):
        return self.compare("oeq", "eq", other)

    def ne(self, other):
        return self.compare("une", "ne", other)

    def isnan(self):
        return self.compare("uno", "", self)

    def cast(self, op, element):
        """LLVM conversion ``op`` (sext, fptrunc, bitcast ...) to another element type."""
        to = retype(self.type, element)
        if to == self.type:
            return self
        return self.f.emit(to, f"{op} {self.type} {self.name} to {to}")

    def bits(self):
        """A float's bits as an integer, and back."""
        element, _ = split(self.type)
        other = {"float": "i32", "double": "i64", "i32": "float", "i64": "double"}[element]
        return self.cast("bitcast", other)


class Variable:
    """A mutable local: a stack slot."""

    __slots__ = ("f", "slot", "type")

    def __init__(self, f, slot, type_):
        self.f, self.slot, self.type = f, slot, type_

    def get(self):
        return self.f.load(self.type, self.slot)

    def set(self, value):
        self.f.store(self.f.value(value, self.type), self.slot)


class Function:
    """One function being written; made by ``Module.function``."""

    def __init__(self, module, name, result, params, attributes):
        self.module, self.name, self.result, self.attributes = module, name, result, attributes
        self.head, self.lines, self.counter, self.open = [], [], 0, True
        self.args = [Value(self, f"%{n}", t) for t, n in params]

    def text(self):
        params = ", ".join(f"{a.type} {a.name}" for a in self.args)
        lines = [f"define {self.attributes[0]}{self.result} @{self.name}({params})"
                 f"{self.attributes[1]} {{", "entry:", *self.head, *self.lines, "}"]
        return "\n".join(lines)

    def fresh(self, prefix="v"):
        self.counter += 1
        return f"{prefix}{self.counter}"

    def line(self, text):
        """Write an instruction."""
        if not self.open:
            # Code after a return or branch: give it a block of its own, which LLVM drops.
            self.label(self.fresh("dead"))
        self.lines.append(f"  {text}")

    def label(self, name):
        """Begin a block, which what comes before runs into."""
        if self.open:
            self.lines.append(f"  br label %{name}")
        self.lines.append(f"{name}:")
        self.open = True

    def terminate(self, text):
        """Write an instruction that ends a block."""
        self.line(text)
        self.open = False

    def emit(self, type_, text):
        """Write an instruction and name its value."""
        name = f"%{self.fresh()}"
        self.line(f"{name} = {text}")
        return Value(self, name, type_)

    def value(self, x, type_="i64"):
        """A value as it is, or a Python number as a constant of ``type_``."""
        if isinstance(x, Value):
            return x
        if isinstance(x, Variable):
            return x.get()
        return Value(self, literal(type_, x), type_)

    @property
    def null(self):
        return Value(self, "null", "ptr")

    def symbol(self, name):
        """The address of a function or of data of this module."""
        return Value(self, f"@{name}", "ptr")

    def string(self, text):
        """The address of a zero-terminated string."""
        return Value(self, self.module.string(text), "ptr")

    def external(self, name):
        """The address of data outside, of the process or among a module's imports."""
        line = f"@{name} = external global i8"
        if line not in self.module.globals:
            self.module.globals.append(line)
        return self.symbol(name)

    def binary(self, op, a, b):
        return self.emit(a.type, f"{op} {a.type} {a.name}, {b.name}")

    def var(self, type_, initial=None):
        """A mutable local, which holds nothing yet without ``initial``."""
        name = f"%{self.fresh('slot')}"
        self.head.append(f"  {name} = alloca {type_}")
        variable = Variable(self, Value(self, name, "ptr"), type_)
        if initial is not None:
            variable.set(initial)
        return variable

    def buffer(self, nbytes, align=64):
        """Uninitialised bytes on the stack."""
        name = f"%{self.fresh('buf')}"
        self.head.append(f"  {name} = alloca [{nbytes} x i8], align {align}")
        return Value(self, name, "ptr")

    def offset(self, pointer, nbytes):
        nbytes = self.value(nbytes)
        return self.emit("ptr", f"getelementptr i8, ptr {pointer.name}, i64 {nbytes.name}")

    def load(self, type_, pointer, align=0):
        """What is at an address; ``align`` 0 promises the type's own alignment."""
        align = f", align {align}" if align else ""
        return self.emit(type_, f"load {type_}, ptr {pointer.name}{align}")

    def masked_load(self, type_, pointer, mask, other=None):
        """The elements whose mask bit is set; the others, which are not read, are those of ``other`` or zeros."""
        other = self.value(0, type_) if other is None else other
        return self.call(type_, f"llvm.masked.load.{_suffix(type_)}.p0", pointer, mask, other)

    def masked_store(self, value, pointer, mask):
        """Store the elements whose mask bit is set; memory of the others is not touched."""
        self.call("void", f"llvm.masked.store.{_suffix(value.type)}.p0", value, pointer, mask)

    def prefetch(self, pointer, write=0, near=3):
        """Fetch the line at ``pointer`` (any address) ahead: into the nearest cache or, for 2, the second."""
        flags = (Value(self, str(x), "i32") for x in (write, near, 1))
        self.call("void", "llvm.prefetch.p0", pointer, *flags)

    def store(self, value, pointer, align=0, past=False):
        """Store a value; ``past`` the cache for whole, aligned vectors that are not read soon."""
        align = f", align {align}" if align else ""
        if past:
            self.module.metadata.add("!0 = !{i32 1}")
        self.line(f"store {value.type} {value.name}, ptr {pointer.name}{align}{', !nontemporal !0' if past else ''}")

    def copy(self, to, source, nbytes):
        """Copy bytes between places that don't overlap."""
        self.call("void", "llvm.memcpy.p0.p0.i64", to, source, self.value(nbytes), self.value(False, "i1"))

    def select(self, condition, a, b):
        """a where the condition holds, else b."""
        return self.emit(
            a.type, f"select {condition.type} {condition.name}, {a.type} {a.name}, "
            f"{b.type} {b.name}"
        )

    def splat(self, value, lanes):
        """A vector with all elements equal."""
        to = vector(value.type, lanes)
        one = self.emit(to, f"insertelement {to} poison, {value.type} {value.name}, i64 0")
        return self.emit(
            to, f"shufflevector {to} {one.name}, {to} poison, <{lanes} x i32> zeroinitializer"
        )

    def iota(self, lanes, element="i32"):
        """The vector 0, 1, 2, ..."""
        return Value(self, "<" + ", ".join(f"{element} {i}" for i in range(lanes)) + ">", vector(element, lanes))

    def below(self, n, lanes, first=0):
        """The mask of the lanes l with first + l < n, an i64 of at most 31 bits and a sign."""
        places = ", ".join(f"i32 {first + i}" for i in range(lanes))
        return Value(self, f"<{places}>", vector("i32", lanes)) < self.splat(self.value(n).cast("trunc", "i32"), lanes)

    def extract(self, value, index):
        """An element of a vector."""
        element, _ = split(value.type)
        index = self.value(index)
        return self.emit(
            element, f"extractelement {value.type} {value.name}, i64 {index.name}"
        )

    def insert(self, value, element, index):
        """The vector with one element replaced."""
        index = self.value(index)
        return self.emit(
            value.type, f"insertelement {value.type} {value.name}, {element.type} "
            f"{element.name}, i64 {index.name}"
        )

    def shuffle(self, a, b, indices):
        """The elements of these numbers among a's, then b's."""
        element, _ = split(a.type)
        n = len(indices)
        mask = ", ".join(f"i32 {i}" for i in indices)
        return self.emit(
            vector(element, n), f"shufflevector {a.type} {a.name}, {a.type} {b.name}, "
            f"<{n} x i32> <{mask}>"
        )

    def call(self, result, callee, *args, declare=True):
        """Call a function by name (declared in the module) or through a ``ptr`` value."""
        text = ", ".join(f"{a.type} {a.name}" for a in args)
        if isinstance(callee, Value):
            target = callee.name
        else:
            target = f"@{callee}"
            if declare:
                self.module.declare(result, callee, [a.type for a in args])
        if result == "void":
            self.line(f"call void {target}({text})")
            return None
        return self.emit(result, f"call {result} {target}({text})")

    def intrinsic(self, name, *args, result=None):
        """``llvm.name`` overloaded on the type of the first argument."""
        return self.call(result or args[0].type, f"llvm.{name}.{_suffix(args[0].type)}", *args)

    def fma(self, a, b, c):
        """a * b + c rounded once; the operands may be numbers next to a value."""
        type_ = next(x.type for x in (a, b, c) if isinstance(x, Value))
        return self.intrinsic("fma", *(self.value(x, type_) for x in (a, b, c)))

    def minimum(self, a, b):
        """The smaller integer."""
        b = self.value(b, a.type)
        return self.select(a < b, a, b)

    def ret(self, value=None):
        self.terminate("ret void" if value is None else f"ret {value.type} {value.name}")

    def branch(self, condition, yes, no):
        self.terminate(f"br i1 {condition.name}, label %{yes}, label %{no}")

    @contextmanager
    def if_(self, condition):
        """``with f.if_(c): ...``: the block runs where the condition holds."""
        yes, end = self.fresh("then"), self.fresh("endif")
        self.branch(condition, yes, end)
        self.lines.append(f"{yes}:")
        self.open = True
        yield
        self._join(end)

    @contextmanager
    def if_else(self, condition):
        """``with f.if_else(c) as (then, otherwise): with then: ... ; with otherwise: ...``"""
        yes, no, end = self.fresh("then"), self.fresh("else"), self.fresh("endif")
        self.branch(condition, yes, no)

        @contextmanager
        def arm(name):
            self.lines.append(f"{name}:")
            self.open = True
            yield
            if self.open:
                self.terminate(f"br label %{end}")

        yield arm(yes), arm(no)
        self.lines.append(f"{end}:")
        self.open = True

    def _join(self, end):
        if self.open:
            self.lines.append(f"  br label %{end}")
        self.lines.append(f"{end}:")
        self.open = True

    @contextmanager
    def loop(self):
        """Endless loop; leave it with ``l.break_if(condition)``."""
        head, end = self.fresh("loop"), self.fresh("done")
        self.label(head)
        yield Loop(self, end)
        if self.open:
            self.terminate(f"br label %{head}")
        self.lines.append(f"{end}:")
        self.open = True

    @contextmanager
    def range(self, *bounds, step=1):
        """Counted loop over [0, end) or [begin, end)."""
        begin, end = (0, bounds[0]) if len(bounds) == 1 else bounds
        end = self.value(end)
        i = self.var("i64", begin)
        with self.loop() as loop:
            now = i.get()
            loop.break_if(now >= end)
            yield now
            i.set(now + step)


class Loop:
    __slots__ = ("f", "end")

    def __init__(self, f, end):
        self.f, self.end = f, end

    def break_if(self, condition):
        """Leave the loop here where the condition holds."""
        go_on = self.f.fresh("body")
        self.f.branch(condition, self.end, go_on)
        self.f.lines.append(f"{go_on}:")
        self.f.open = True


class Module:
    """LLVM IR of one compilation: functions, declarations, constant tables."""

    def __init__(self, triple, layout=""):
        self.triple, self.layout = triple, layout
        self.functions, self.globals, self.declared = [], [], {}
        self.metadata = set()

    def function(self, name, result, params, linkage="", attributes=""):
        """Begin a function; ``params`` are (type, name)."""
        f = Function(self, name, result, params,
                     (linkage + " " if linkage else "", " " + attributes if attributes else ""))
        self.functions.append(f)
        self.declared[name] = None
        return f

    def declare(self, result, name, types):
        """Declare a function from elsewhere, once."""
        if name not in self.declared:
            self.declared[name] = f"declare {result} @{name}({', '.join(types)})"

    def table(self, name, element, values):
        """A constant array; returns its symbol as a pointer literal usable as a Value name."""
        text = ", ".join(f"{element} {literal(element, v)}" for v in values)
        line = (f"@{name} = internal unnamed_addr constant [{len(values)} x {element}] "
                f"[{text}], align 64")
        if line not in self.globals:
            self.globals.append(line)
        return f"@{name}"

    def string(self, text):
        """A zero-terminated string constant; returns its symbol."""
        data = text.encode() + b"\0"
        symbol = f"@text.{len(self.globals)}"
        body = "".join(f"\\{byte:02X}" for byte in data)
        self.globals.append(
            f'{symbol} = internal unnamed_addr constant [{len(data)} x i8] c"{body}"'
        )
        return symbol

    def text(self):
        parts = [f'target triple = "{self.triple}"']
        if self.layout:
            parts.insert(0, f'target datalayout = "{self.layout}"')
        parts += self.globals
        parts += [f.text() for f in self.functions]
        parts += [d for d in self.declared.values() if d]
        parts += sorted(self.metadata)
        return "\n".join(parts) + "\n"
