"""Scalar expressions to vector instructions.

``Lowering`` emits the nodes of an expression DAG on vectors of a given number of lanes (or on plain
scalars, with no lanes).  Element types of memory are converted by ``load_element_type`` and
``to_memory``/``from_memory``.
"""

from rushlight.compiler.codegen import math
from rushlight.compiler.codegen.builder import split, vector
from rushlight.compiler.expr import topological

ITEMSIZE = {
    "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
    "int64": 8, "uint64": 8, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
}  # fmt: skip
# What an element is in memory.
MEMORY = {
    "bool": "i8", "uint8": "i8", "int8": "i8", "int16": "i16", "uint16": "i16", "int32": "i32",
    "uint32": "i32", "int64": "i64", "uint64": "i64", "float16": "half", "bfloat16": "i16",
    "float32": "float", "float64": "double",
}  # fmt: skip
FLOATING = frozenset(("float16", "bfloat16", "float32", "float64"))


class Types:
    """Machine types of the expression kinds for a compute dtype.

    ``f``: LLVM type of "f" expressions; ``i``: of "i"; ``signed``: whether "i" is signed;
    ``itemsize``: of the compute dtype itself.
    """

    __slots__ = ("f", "i", "signed", "itemsize", "floating")

    def __init__(self, compute):
        self.floating = compute in FLOATING
        if self.floating:
            self.f = "double" if compute == "float64" else "float"
            self.i, self.signed = "i64", True
            self.itemsize = 8 if compute == "float64" else 4
        else:
            self.i = MEMORY[compute]
            self.signed = compute[0] != "u" and compute != "bool"
            self.itemsize = ITEMSIZE[compute]
            self.f = "double" if self.itemsize == 8 else "float"

    def of(self, kind):
        return {"f": self.f, "i": self.i, "b": "i1"}[kind]


def is_signed(dtype):
    return dtype[0] != "u" and dtype != "bool"


def from_memory(f, v, dtype, kind, types):
    """A loaded element (or vector of them) as an expression of ``kind``."""
    if dtype == "bool":
        v = v.ne(0)
        return _from_bool(v, kind, types)
    if dtype in FLOATING:
        v = widen(v, dtype)
        if kind == "b":
            return v.ne(0.0)
        if kind == "i":
            return float_to_int(f, v, types.i, types.signed)
        return float_to_float(v, types.f)
    if kind == "b":
        return v.ne(0)
    if kind == "f":
        return int_to_float(v, is_signed(dtype), types.f)
    return int_to_int(v, is_signed(dtype), types.i)


def to_memory(f, v, kind, dtype, types):
    """An expression's value as the element to store."""
    if dtype == "bool":
        return (v if kind == "b" else v.ne(0)).cast("zext", "i8")
    if dtype in FLOATING:
        wide = "double" if dtype == "float64" else "float"
        if kind == "b":
            v = v.cast("uitofp", wide)
        elif kind == "i":
            v = int_to_float(v, types.signed, wide)
        else:
            v = float_to_float(v, wide)
        return narrow(f, v, dtype)
    to = MEMORY[dtype]
    if kind == "b":
        return v.cast("zext", to)
    if kind == "f":
        return float_to_int(f, v, to, is_signed(dtype))
    return int_to_int(v, types.signed, to)


def _from_bool(v, kind, types):
    if kind == "b":
        return v
    return v.cast("zext", types.i) if kind == "i" else v.cast("uitofp", types.f)


def int_to_int(v, signed, to):
    have, want = int(split(v.type)[0][1:]), int(to[1:])
    if want == have:
        return v
    return v.cast("trunc" if want < have else "sext" if signed else "zext", to)


def int_to_float(v, signed, to):
    return v.cast("sitofp" if signed else "uitofp", to)


def float_to_float(v, to):
    have = split(v.type)[0]
    if have == to:
        return v
    return v.cast("fptrunc" if to == "float" else "fpext", to)


def float_to_int(f, v, to, signed):
    """Truncation as C compilers do it on x86: via 32 bits for short types, 64 for unsigned ones."""
    if to == "i64" and not signed:
        big = v >= 9223372036854775808.0
        low = f.select(big, v - 9223372036854775808.0, v).cast("fptosi", "i64")
        top = f.select(big, f.value(-(1 << 63), low.type), f.value(0, low.type))
        return low ^ top
    if to == "i64" or (to == "i32" and signed):
        return v.cast("fptosi", to)
    via = "i64" if not signed and to != "i16" else "i32"
    return v.cast("fptosi", via).cast("trunc", to)


def widen(v, dtype):
    """A 16-bit float element as float32."""
    if dtype == "float16":
        return v.cast("fpext", "float")
    if dtype == "bfloat16":
        return (v.cast("zext", "i32") << 16).cast("bitcast", "float")
    return v


def narrow(f, v, dtype):
    """float32 rounded to the element type of a 16-bit float dtype."""
    if dtype == "float16":
        return v.cast("fptrunc", "half")
    if dtype == "bfloat16":
        # In integers: the conversion instruction would flush denormals.
        bits = v.cast("bitcast", "i32")
        rounded = (bits + 0x7FFF + (bits.lshr(16) & 1)).lshr(16)
        quiet = bits.lshr(16) | 0x40
        return f.select(v.isnan(), quiet, rounded).cast("trunc", "i16")
    return v


class Lowering:
    """Emits expressions into a function.

    ``inputs`` and ``scalars`` map leaf nodes to values: ``leaf(e)`` is called for each ``input`` and
    ``scalar`` node and returns its value, already of the node's kind.
    """

    def __init__(self, f, lanes, types, leaf):
        self.f, self.lanes, self.types, self.leaf = f, lanes, types, leaf
        self.values = {}

    def type_of(self, kind):
        return vector(self.types.of(kind), self.lanes)

    def emit(self, outputs):
        """Values of the output expressions."""
        for e in topological(outputs, self.values):
            self.values[e.uid] = self.node(e)
        return [self.values[e.uid] for e in outputs]

    def node(self, e):
        f, type_ = self.f, self.type_of(e.kind)
        if e.op in LEAVES:
            return self.leaf(e)
        if e.op == "const":
            return f.value(e.attr, type_)
        args = [self.values[a.uid] for a in e.args]
        if e.op == "cast":
            return self.cast(args[0], e.args[0].kind, e.kind)
        if e.op == "where":
            return f.select(*args)
        if e.op in COMPARE:
            return self.compare(e.op, e.args[0].kind, *args)
        if e.kind == "f":
            if e.op == "quantize":
                return self.quantize(args[0], e.attr)
            if e.op == "polygamma":
                return math.polygamma(f, args[0], e.attr)
            simple = FLOAT_OPS.get(e.op)
            return simple(f, *args) if simple else math.emit(f, e.op, args)
        if e.kind == "b":
            return self.boolean(e.op, args)
        return INT_OPS[e.op](f, self.types.signed, *args)

    def cast(self, v, have, want):
        types = self.types
        if want == "b":
            return v.ne(0)
        if have == "b":
            return _from_bool(v, want, types)
        if want == "f":
            return int_to_float(v, types.signed, types.f)
        return float_to_int(self.f, v, types.i, types.signed)

    def compare(self, op, kind, a, b):
        if kind == "f":
            return a.compare("une" if op == "ne" else "o" + op, "", b)
        signed = self.types.signed and kind == "i"
        prefix = "" if op in ("eq", "ne") else "s" if signed else "u"
        return a.compare("", prefix + op, b)

    def boolean(self, op, args):
        if op == "isnan":
            return args[0].isnan()
        if op == "signbit":
            return args[0].bits() < 0
        if op == "not":
            return ~args[0]
        if op in ("minimum", "fmin"):
            op = "and"
        elif op in ("maximum", "fmax"):
            op = "or"
        return self.f.binary(op, *args)

    def quantize(self, v, dtype):
        as_float = float_to_float(v, "float")
        return float_to_float(widen(narrow(self.f, as_float, dtype), dtype), self.types.f)


LEAVES = frozenset(("input", "scalar", "row", "kept"))
COMPARE = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))


def float_min(f, a, b):
    """The smaller; NaN if either is."""
    return f.select(a.isnan(), a, f.select(a < b, a, b))


def float_max(f, a, b):
    return f.select(a.isnan(), a, f.select(a > b, a, b))


def _sign(f, a):
    zero, one = f.value(0.0, a.type), f.value(1.0, a.type)
    return f.select(a > 0.0, one, f.select(a < 0.0, -one, zero))


def _copysign(f, a, b):
    return f.intrinsic("copysign", a, b)


def _float_remainder(f, a, b):
    r = math.emit(f, "fmod", [a, b])
    zero = f.value(0.0, a.type)
    wrong = r.ne(0.0) & ((b < zero) ^ (r < zero))
    return f.select(wrong, r + b, r)


def _float_floor_divide(f, a, b):
    """Python's //: the remainder is exact, so (a - r) / b is next to an integer."""
    r = math.emit(f, "fmod", [a, b])
    zero = f.value(0.0, a.type)
    q = (a - r) / b
    q = f.select(r.ne(0.0) & ((b < zero) ^ (r < zero)), q - 1.0, q)
    whole = f.intrinsic("floor", q)
    whole = f.select((q - whole) > 0.5, whole + 1.0, whole)
    ratio = a / b
    whole = f.select(q.eq(0.0), _copysign(f, zero, ratio), whole)
    return f.select(b.eq(0.0), ratio, whole)


def _nextafter(f, a, b):
    bits, zero = a.bits(), f.value(0.0, a.type)
    one = f.value(1, bits.type)
    away = (b > a).compare("", "eq", a > zero)
    step = f.select(away, one, f.value(-1, bits.type))
    moved = (bits + step).bits()
    tiny = _copysign(f, f.value(1, bits.type).cast("bitcast", split(a.type)[0]), b)
    moved = f.select(a.eq(0.0), tiny, moved)
    moved = f.select(a.eq(b), b, moved)
    return f.select(a.compare("uno", "", b), a + b, moved)


FLOAT_OPS = {
    "add": lambda f, a, b: a + b,
    "sub": lambda f, a, b: a - b,
    "mul": lambda f, a, b: a * b,
    "div": lambda f, a, b: a / b,
    "neg": lambda f, a: -a,
    "abs": lambda f, a: f.intrinsic("fabs", a),
    "sqrt": lambda f, a: f.intrinsic("sqrt", a),
    "rsqrt": lambda f, a: f.value(1.0, a.type) / f.intrinsic("sqrt", a),
    "fma": lambda f, a, b, c: f.fma(a, b, c),
    "floor": lambda f, a: f.intrinsic("floor", a),
    "ceil": lambda f, a: f.intrinsic("ceil", a),
    "trunc": lambda f, a: f.intrinsic("trunc", a),
    "round": lambda f, a: f.intrinsic("roundeven", a),
    "sign": _sign,
    "copysign": _copysign,
    "nextafter": _nextafter,
    "minimum": float_min,
    "maximum": float_max,
    "fmin": lambda f, a, b: f.select((a < b) | b.isnan(), a, b),
    "fmax": lambda f, a, b: f.select((a > b) | b.isnan(), a, b),
    "remainder": _float_remainder,
    "floor_divide": _float_floor_divide,
}


def _less(a, b, signed):
    return a.compare("", "slt" if signed else "ult", b)


def _int_min(f, signed, a, b):
    return f.select(_less(a, b, signed), a, b)


def _int_max(f, signed, a, b):
    return f.select(_less(b, a, signed), a, b)


def _divide(f, signed, a, b, op):
    """Division that never traps: x / 0 is 0 (the caller reports it), MIN / -1 wraps."""
    by_zero = b.eq(0)
    one, zero = f.value(1, a.type), f.value(0, a.type)
    safe = f.select(by_zero, one, b)
    if not signed:
        return f.select(by_zero, zero, f.binary("u" + op, a, safe)), safe, by_zero
    minus = safe.eq(-1)
    result = f.binary("s" + op, a, f.select(minus, one, safe))
    special = zero - a if op == "div" else zero
    return f.select(by_zero, zero, f.select(minus, special, result)), safe, by_zero


def _int_remainder(f, signed, a, b):
    r, safe, by_zero = _divide(f, signed, a, b, "rem")
    if signed:
        wrong = r.ne(0) & ((r ^ safe) < 0)
        r = f.select(wrong, r + safe, r)
    return f.select(by_zero, f.value(0, a.type), r)


def _int_floor_divide(f, signed, a, b):
    q, safe, by_zero = _divide(f, signed, a, b, "div")
    if signed:
        inexact = (q * safe).ne(a) & ((a ^ safe) < 0)
        q = f.select(inexact & ~by_zero, q - 1, q)
    return q


def _shift(op):
    def shift(f, signed, a, b):
        width = int(split(a.type)[0][1:])
        inside = b.ult(width)
        safe = f.select(inside, b, f.value(0, b.type))
        kind = "shl" if op == "shl" else "ashr" if signed else "lshr"
        zero = f.value(0, a.type)
        outside = (a >> (width - 1)) if kind == "ashr" else zero
        return f.select(inside, f.binary(kind, a, safe), outside)

    return shift


def _int_abs(f, signed, a):
    return f.select(a < 0, f.value(0, a.type) - a, a) if signed else a


def _int_sign(f, signed, a):
    one, zero = f.value(1, a.type), f.value(0, a.type)
    positive = f.select(a.ne(0), one, zero)
    return f.select(a < 0, f.value(-1, a.type), positive) if signed else positive


def _int_pow(f, signed, a, b):
    """Square and multiply; a negative exponent gives 1 / a ** |b| cut to an integer."""
    lanes = split(a.type)[1]
    result = f.var(a.type, f.value(1, a.type))
    base, exponent = f.var(a.type, a), f.var(a.type, b)
    if signed:
        exponent.set(f.select(b < 0, f.value(0, b.type), b))
    with f.loop() as loop:
        left = exponent.get()
        any_left = f.intrinsic("vector.reduce.or", left, result=split(a.type)[0]) if lanes else left
        loop.break_if(any_left.eq(0))
        odd = (left & 1).ne(0)
        factor = base.get()
        result.set(f.select(odd, result.get() * factor, result.get()))
        base.set(factor * factor)
        exponent.set(left.lshr(1))
    y = result.get()
    if signed:
        one, zero, minus = (f.value(c, a.type) for c in (1, 0, -1))
        sign = f.select((b & 1).ne(0), minus, one)
        inverse = f.select(a.eq(1), one, f.select(a.eq(-1), sign, zero))
        y = f.select(b < 0, inverse, y)
    return y


INT_OPS = {
    "add": lambda f, signed, a, b: a + b,
    "sub": lambda f, signed, a, b: a - b,
    "mul": lambda f, signed, a, b: a * b,
    "neg": lambda f, signed, a: f.value(0, a.type) - a,
    "abs": _int_abs,
    "sign": _int_sign,
    "not": lambda f, signed, a: ~a,
    "and": lambda f, signed, a, b: a & b,
    "or": lambda f, signed, a, b: a | b,
    "xor": lambda f, signed, a, b: a ^ b,
    "shl": _shift("shl"),
    "shr": _shift("shr"),
    "minimum": _int_min,
    "maximum": _int_max,
    "fmin": _int_min,
    "fmax": _int_max,
    "pow": _int_pow,
    "fmod": lambda f, signed, a, b: _divide(f, signed, a, b, "rem")[0],
    "trunc_divide": lambda f, signed, a, b: _divide(f, signed, a, b, "div")[0],
    "remainder": _int_remainder,
    "floor_divide": _int_floor_divide,
}


def broadcast(f, v, lanes):
    """A scalar value in all lanes."""
    return f.splat(v, lanes) if lanes > 1 else v


