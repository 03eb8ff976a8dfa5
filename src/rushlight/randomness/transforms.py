"""From words to numbers: the scalar and vector code of each distribution, as LLVM IR.

Every kernel has the C signature

    void kernel(ptr state, ptr out, i64 n, double a, double b)

and appends `n` numbers at `out`, drawing words as PyTorch's CPU generator does. What a and b mean
is the kernel's own affair. The rounding of each formula (where a product and a sum are one FMA,
where a double goes through a float on its way to 16 bits) is part of the stream.
"""

from __future__ import annotations

import math
from functools import partial

from rushlight.randomness.engine import NORMAL, NORMAL_VALID, Builder, N

CHUNK = 1024  # numbers a round: their words stay in the L1 cache
MASK53 = (1 << 53) - 1


def _unit24(b, word):
    """24 bits of a word as a float in [0, 1)."""
    number = b.cast("sitofp", b.op("and", "i32", word, 0xFFFFFF), "i32", "float")
    return b.op("fmul", "float", number, 2.0**-24)


def _long(b, pair):
    """Two words read as one little-endian integer, with the first drawn in the upper half."""
    return b.intrinsic("fshl", "i64", pair, pair, b.constant("i64", 32))


def unit53(b, pair):
    """53 bits of two words as a double in [0, 1)."""
    number = b.cast("uitofp", b.op("and", "i64", _long(b, pair), MASK53), "i64", "double")
    return b.op("fmul", "double", number, 2.0**-53)


# ------------------------------------------------------------------ kernel frames


def stream_kernel(name, words, out, transform, lanes, prepare=None):
    """A kernel with `words` words a number: `transform(b, word or pair, parameters) -> value` of
    type `out`.

    `lanes` numbers are made at once; what is left of a chunk is made one by one by the same
    transform. `prepare(b)` computes the parameters from %a and %b once; splats are made where they
    are used.
    """
    b = Builder()
    parameters = prepare(b) if prepare else ("%a", "%b")
    element = "i32" if words == 1 else "i64"

    def part(width, base, target):
        def body(i):
            b.lanes = width
            word = b.load(element, b.address(base, i, element))
            b.store(out, transform(b, word, parameters), b.address(target, i, out))
            b.lanes = 1

        return body

    def chunk(start):
        rest = b.op("sub", "i64", "%n", start)
        count = b.call("i64", "llvm.smin.i64", rest, str(CHUNK))
        wanted = b.op("mul", "i64", count, words)
        b.emit(f"call void @rl_mt_words(ptr %state, ptr %buffer, i64 {wanted})")
        target = b.address("%out", start, out)
        whole = "0"
        if lanes > 1:
            whole = b.op("and", "i64", count, -lanes)
            b.loop(0, whole, lanes, part(lanes, "%buffer", target))
        b.loop(whole, count, 1, part(1, "%buffer", target))

    b.loop(0, "%n", CHUNK, chunk)
    return frame(name, b, words * CHUNK + 16)


def frame(name, b, buffer):
    """The kernel `rl_name` of body `b`, with a %buffer of that many words."""
    b.lines.insert(0, f"  %buffer = alloca [{buffer} x i32], align 64")
    return b.function(f"define void @rl_{name}(ptr %state, ptr %out, i64 %n, double %a, double %b)")


# ------------------------------------------------------------------ uniform


def uniform(out):
    """a + (b - a) u; the upper end, which rounding can reach, is replaced by the lower.

    16-bit types (`half`, `bfloat`) are the float number rounded, and their ends are compared after
    rounding; the frame stores their bits.
    """
    wide = "double" if out == "double" else "float"

    def prepare(b):
        if wide == "double":
            return "%a", b.op("fsub", "double", "%b", "%a"), "%a", "%b"
        low, high = (b.cast("fptrunc", x, "double", "float") for x in ("%a", "%b"))
        ends = (_narrow(b, x, out) for x in (low, high))
        return low, b.op("fsub", "float", high, low), *ends

    def transform(b, word, parameters):
        start, span = (b.splat(wide, p) for p in parameters[:2])
        low, high = (b.splat(stored, p) for p in parameters[2:])
        unit = unit53(b, word) if wide == "double" else _unit24(b, word)
        number = _narrow(b, b.fma(wide, unit, span, start), out)
        test = "fcmp oeq" if stored == wide else "icmp eq"
        return b.select(b.value(f"{test} {b.type(stored)} {number}, {high}"), stored, low, number)

    stored = "i16" if out in ("half", "bfloat") else out
    words, lanes = (2, 8) if wide == "double" else (1, 16)
    return stream_kernel(f"uniform_{out}", words, stored, transform, lanes, prepare)


def _narrow(b, x, out):
    """The float `x` rounded to nearest even: bits of a `half` or `bfloat`; others as they are."""
    if out == "half":
        return b.cast("bitcast", b.cast("fptrunc", x, "float", "half"), "half", "i16")
    if out == "bfloat":
        # In integers: the CPU's own instruction takes denormal numbers for zero. No NaN comes here.
        bits = b.cast("bitcast", x, "float", "i32")
        odd = b.op("and", "i32", b.op("lshr", "i32", bits, 16), 1)
        bits = b.op("add", "i32", b.op("add", "i32", bits, 0x7FFF), odd)
        return b.cast("trunc", b.op("lshr", "i32", bits, 16), "i32", "i16")
    return x


# ------------------------------------------------------------------ bernoulli, integers


def bernoulli(size):
    """Bits of b where u53 < p, else zero; `size` bytes a number. a and b are passed as the bits of
    two integers.

    k 2^-53 < p is k < ceil(p 2^53), so the comparison is one of integers.
    """
    out = f"i{8 * size}"

    def prepare(b):
        limit, one = (b.cast("bitcast", x, "double", "i64") for x in ("%a", "%b"))
        return limit, one if size == 8 else b.cast("trunc", one, "i64", out)

    def transform(b, pair, parameters):
        number = b.op("and", "i64", _long(b, pair), MASK53)
        hit = b.value(f"icmp ult {b.type('i64')} {number}, {b.splat('i64', parameters[0])}")
        return b.select(hit, out, b.splat(out, parameters[1]), 0)

    return stream_kernel(f"bernoulli_{size}", 2, out, transform, 8, prepare)


def integers32(size):
    """b + word mod a, for a < 2^32: integers of `size` bytes, wrapping. a and b are the bits of two
    integers.

    The quotient is estimated in double precision, within one of the true one, and the remainder put
    right.
    """
    out = f"i{8 * size}"

    def prepare(b):
        span, base = (b.cast("bitcast", x, "double", "i64") for x in ("%a", "%b"))
        inverse = b.op("fdiv", "double", 1.0, b.cast("uitofp", span, "i64", "double"))
        return span, base, inverse

    def transform(b, word, parameters):
        span, base, inverse = parameters
        wide = b.cast("zext", word, "i32", "i64")
        estimate = b.op(
            "fmul", "double", b.cast("uitofp", word, "i32", "double"), b.splat("double", inverse)
        )
        quotient = b.cast("fptosi", estimate, "double", "i64")
        many = b.splat("i64", span)
        rest = b.op("sub", "i64", wide, b.op("mul", "i64", quotient, many))
        low = b.value(f"icmp slt {b.type('i64')} {rest}, {b.constant('i64', 0)}")
        rest = b.select(low, "i64", b.op("add", "i64", rest, many), rest)
        high = b.value(f"icmp sge {b.type('i64')} {rest}, {many}")
        rest = b.select(high, "i64", b.op("sub", "i64", rest, many), rest)
        number = b.op("add", "i64", rest, b.splat("i64", base))
        return number if size == 8 else b.cast("trunc", number, "i64", out)

    return stream_kernel(f"integers32_{size}", 1, out, transform, 8, prepare)


def integers64():
    """b + (two words) mod a as 8-byte integers; a = 0 stands for 2^64. a and b are the bits of two
    integers.
    """

    def prepare(b):
        span, base = (b.cast("bitcast", x, "double", "i64") for x in ("%a", "%b"))
        full = b.value(f"icmp eq i64 {span}, 0")
        # A remainder by 2^64 is the number itself: the mask keeps it, and the divisor is then of no
        # account.
        return b.select(full, "i64", 1, span), b.cast("sext", full, "i1", "i64"), base

    def transform(b, pair, parameters):
        divisor, keep, base = parameters
        number = _long(b, pair)
        rest = b.op(
            "or", "i64", b.op("urem", "i64", number, divisor), b.op("and", "i64", number, keep)
        )
        return b.op("add", "i64", rest, base)

    return stream_kernel("integers64", 2, "i64", transform, 1, prepare)


def words():
    """The words themselves, as 32-bit integers."""
    return stream_kernel("words", 1, "i32", lambda b, word, parameters: word, 16)


# ------------------------------------------------------------------ normal, sixteen at a time

# Cephes' polynomials for the natural logarithm on [sqrt(1/2), sqrt(2)) and for sine and cosine on
# [-pi/4, pi/4].
LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
LN2_LOW, LN2_HIGH = -2.12194440e-4, 0.693359375
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
QUARTER_PI = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)


def _horner(b, coefficients, x):
    total = b.constant("float", coefficients[0])
    for c in coefficients[1:]:
        total = b.fma("float", total, x, c)
    return total


def _log(b, x):
    """ln x for x in (0, 1]."""
    bits = b.cast("bitcast", x, "float", "i32")
    exponent = b.op("sub", "i32", b.op("lshr", "i32", bits, 23), 126)
    e = b.cast("sitofp", exponent, "i32", "float")
    mantissa = b.op("or", "i32", b.op("and", "i32", bits, 0x007FFFFF), 0x3F000000)
    x = b.cast("bitcast", mantissa, "i32", "float")
    small = b.value(f"fcmp olt {b.type('float')} {x}, {b.constant('float', 0.707106781186547524)}")
    extra = b.select(small, "float", x, 0.0)
    x = b.op("fadd", "float", b.op("fsub", "float", x, 1.0), extra)
    e = b.op("fsub", "float", e, b.select(small, "float", 1.0, 0.0))
    z = b.op("fmul", "float", x, x)
    y = b.op("fmul", "float", _horner(b, LOG, x), x)
    y = b.fma("float", y, z, b.op("fmul", "float", e, LN2_LOW))
    y = b.fma("float", z, -0.5, y)
    return b.fma("float", e, LN2_HIGH, b.op("fadd", "float", x, y))


def _sincos(b, x):
    """sin x and cos x for x in [0, 2 pi]."""
    octant = b.cast("fptosi", b.op("fmul", "float", x, 1.27323954473516), "float", "i32")
    octant = b.op("and", "i32", b.op("add", "i32", octant, 1), -2)
    y = b.cast("sitofp", octant, "i32", "float")
    for part in QUARTER_PI:
        x = b.fma("float", y, part, x)
    z = b.op("fmul", "float", x, x)
    c = b.op("fmul", "float", _horner(b, COS, z), z)
    half = b.op("fmul", "float", z, 0.5)
    c = b.op("fadd", "float", b.fma("float", c, z, b.value(f"fneg {b.type('float')} {half}")), 1.0)
    s = b.op("fmul", "float", _horner(b, SIN, z), z)
    s = b.fma("float", s, x, x)
    kind = b.type("i32")
    swap = b.value(f"icmp ne {kind} {b.op('and', 'i32', octant, 2)}, {b.constant('i32', 0)}")
    sine, cosine = b.select(swap, "float", c, s), b.select(swap, "float", s, c)

    def signed(value, flag):
        sign = b.op("shl", "i32", b.op("and", "i32", flag, 4), 29)
        return b.cast(
            "bitcast",
            b.op("xor", "i32", b.cast("bitcast", value, "float", "i32"), sign),
            "i32",
            "float",
        )

    flipped = b.op("xor", "i32", b.op("sub", "i32", octant, 2), -1)
    return signed(sine, octant), signed(cosine, flipped)


def _normal_block(b, first, second, mean, std):
    """Box-Muller: eight (or one) pairs of words give as many pairs of normals."""
    radius = _log(b, b.op("fsub", "float", 1.0, _unit24(b, first)))
    radius = b.intrinsic("sqrt", "float", b.op("fmul", "float", radius, -2.0))
    angle = b.op("fmul", "float", _unit24(b, second), 2 * math.pi)
    sine, cosine = _sincos(b, angle)
    return tuple(
        b.fma("float", b.op("fmul", "float", radius, part), std, mean) for part in (cosine, sine)
    )


def _normal_blocks(name, words, block, drop_rest=True):
    """a + b z for n >= 16, sixteen numbers a block: eight words make the radii, eight the angles.

    When n is not a multiple of 16, the last sixteen numbers are made again by a block of their own,
    after `drop_rest` words for the numbers beyond the last whole block were drawn in vain.
    `block(b, i, at)` makes the block of the words from %buffer[i] on and stores it at %out[at].
    """
    b = Builder()
    whole = b.op("and", "i64", "%n", -16)
    rest = b.op("and", "i64", "%n", 15)

    def draw(count):
        wanted = b.op("mul", "i64", count, words)
        b.emit(f"call void @rl_mt_words(ptr %state, ptr %buffer, i64 {wanted})")

    def chunk(start):
        count = b.call("i64", "llvm.smin.i64", b.op("sub", "i64", whole, start), str(CHUNK))
        draw(count)
        b.loop(0, count, 16, lambda i: block(b, i, b.op("add", "i64", start, i)))

    def tail(_):
        if drop_rest:
            draw(rest)
        draw("16")
        block(b, "0", b.op("sub", "i64", "%n", 16))

    b.loop(0, whole, CHUNK, chunk)
    partial = b.cast("zext", b.value(f"icmp ne i64 {rest}, 0"), "i1", "i64")
    b.loop(0, partial, 1, tail)
    return frame(name, b, words * CHUNK + 16)


def _float_block(b, i, at):
    mean, std = (b.cast("fptrunc", x, "double", "float") for x in ("%a", "%b"))
    later, at_later = b.op("add", "i64", i, 8), b.op("add", "i64", at, 8)
    b.lanes = 8
    first, second = (b.load("i32", b.address("%buffer", k, "i32")) for k in (i, later))
    pair = _normal_block(b, first, second, b.splat("float", mean), b.splat("float", std))
    for value, place in zip(pair, (at, at_later)):
        b.store("float", value, b.address("%out", place, "float"))
    b.lanes = 1


def _double_block(b, i, at):
    """In double precision, with the C library's log, sin and cos."""

    def body(k):
        near = b.op("add", "i64", i, k)
        words = (b.address("%buffer", x, "i64") for x in (near, b.op("add", "i64", near, 8)))
        first, second = (unit53(b, b.load("i64", place)) for place in words)
        radius = _libm(b, "log", b.op("fsub", "double", 1.0, first))
        radius = b.intrinsic("sqrt", "double", b.op("fmul", "double", radius, -2.0))
        angle = b.op("fmul", "double", second, 2 * math.pi)
        for function, shift in (("cos", 0), ("sin", 8)):
            z = b.op("fmul", "double", radius, _libm(b, function, angle))
            place = b.op("add", "i64", b.op("add", "i64", at, shift), k)
            b.store("double", b.fma("double", z, "%b", "%a"), b.address("%out", place, "double"))

    b.loop(0, 8, 1, body)


def normal_blocks_float():
    """Float blocks."""
    return _normal_blocks("normal_blocks_float", 1, _float_block)


def normal_blocks_half():
    """Float blocks for 16-bit types, whose tail draws no words in vain."""
    return _normal_blocks("normal_blocks_half", 1, _float_block, drop_rest=False)


def normal_blocks_double():
    """Double blocks."""
    return _normal_blocks("normal_blocks_double", 2, _double_block)


# ------------------------------------------------------------------ one at a time


def _libm(b, function, x):
    return b.call("double", function, x)


def normal_ir():
    """`double @rl_normal(ptr state)`: a standard normal number. Two uniforms give two of them; the
    second is kept in the state for the next call.
    """
    b = Builder()
    b.emit("%buffer = alloca [20 x i32], align 64")
    saved, valid = b.address("%state", NORMAL, "i8"), b.address("%state", NORMAL_VALID, "i8")
    there = b.value(f"load i32, ptr {valid}")
    b.emit(f"br i1 {b.value(f'icmp ne i32 {there}, 0')}, label %kept, label %draw")
    b.label("kept")
    b.emit(f"store i32 0, ptr {valid}")
    b.emit(f"ret double {b.value(f'load double, ptr {saved}')}")
    b.label("draw")
    b.emit("call void @rl_mt_words(ptr %state, ptr %buffer, i64 4)")
    first, second = (unit53(b, b.load("i64", b.address("%buffer", k, "i64"))) for k in (0, 1))
    radius = _libm(b, "log1p", b.value(f"fneg double {second}"))
    radius = b.intrinsic("sqrt", "double", b.op("fmul", "double", radius, -2.0))
    angle = b.op("fmul", "double", first, 2 * math.pi)
    sine = b.op("fmul", "double", radius, _libm(b, "sin", angle))
    b.emit(f"store double {sine}, ptr {saved}")
    b.emit(f"store i32 1, ptr {valid}")
    b.emit(f"ret double {b.op('fmul', 'double', radius, _libm(b, 'cos', angle))}")
    declarations = "\n".join(sorted(b.declarations))
    body = "\n".join(b.lines)
    return (
        f"{declarations}\ndefine internal double @rl_normal(ptr %state) noinline {{\n"
        f"entry:\n{body}\n}}\n"
    )


def normal_pairs(out):
    """a + b z, made in double precision and rounded to `out` (float or double)."""
    b = Builder()

    def body(i):
        z = b.value("call double @rl_normal(ptr %state)")
        number = b.intrinsic("fma", "double", z, "%b", "%a")
        if out == "float":
            number = b.cast("fptrunc", number, "double", "float")
        b.store(out, number, b.address("%out", i, out))

    b.loop(0, "%n", 1, body)
    return normal_ir() + frame(f"normal_pairs_{out}", b, 16)


def exponential():
    """-ln(1 - u) / b, doubles; a is -1/b."""

    def transform(b, pair, parameters):
        return b.op(
            "fmul", "double", "%a", _libm(b, "log1p", b.value(f"fneg double {unit53(b, pair)}"))
        )

    return stream_kernel("exponential", 2, "double", transform, 1)


def geometric():
    """ceil(ln u / a), doubles; a is ln(1 - p)."""

    def transform(b, pair, parameters):
        return _libm(b, "ceil", b.op("fdiv", "double", _libm(b, "log", unit53(b, pair)), "%a"))

    return stream_kernel("geometric", 2, "double", transform, 1)


def cauchy():
    """a + b tan(pi (u - 1/2)), doubles."""

    def transform(b, pair, parameters):
        angle = b.op("fmul", "double", b.op("fsub", "double", unit53(b, pair), 0.5), math.pi)
        return b.fma("double", _libm(b, "tan", angle), "%b", "%a")

    return stream_kernel("cauchy", 2, "double", transform, 1)


def randperm(size):
    """Fisher-Yates over %out, whose n elements of `size` bytes are permuted; n - 1 words."""
    b = Builder()
    element = f"i{8 * size}"
    last = b.op("sub", "i64", "%n", 1)

    def chunk(start):
        rest = b.op("sub", "i64", last, start)
        count = b.call("i64", "llvm.smin.i64", rest, str(CHUNK))
        b.emit(f"call void @rl_mt_words(ptr %state, ptr %buffer, i64 {count})")

        def body(i):
            at = b.op("add", "i64", start, i)
            word = b.load("i32", b.address("%buffer", i, "i32"))
            # n - i may need more than 32 bits, the word never does.
            other = b.op(
                "urem", "i64", b.cast("zext", word, "i32", "i64"), b.op("sub", "i64", "%n", at)
            )
            here, there = (
                b.address("%out", k, element) for k in (at, b.op("add", "i64", at, other))
            )
            x, y = b.load(element, here), b.load(element, there)
            b.store(element, y, here)
            b.store(element, x, there)

        b.loop(0, count, 1, body)

    b.loop(0, last, CHUNK, chunk)
    return frame(f"randperm_{size}", b, CHUNK + 16)


def randperm_long(size):
    """The same for the longest arrays: swap place i with (two words) mod (i + 1); 2 n words."""
    b = Builder()
    element = f"i{8 * size}"

    def chunk(start):
        rest = b.op("sub", "i64", "%n", start)
        count = b.call("i64", "llvm.smin.i64", rest, str(CHUNK))
        wanted = b.op("mul", "i64", count, 2)
        b.emit(f"call void @rl_mt_words(ptr %state, ptr %buffer, i64 {wanted})")

        def body(i):
            at = b.op("add", "i64", start, i)
            number = _long(b, b.load("i64", b.address("%buffer", i, "i64")))
            other = b.op("urem", "i64", number, b.op("add", "i64", at, 1))
            here, there = (b.address("%out", k, element) for k in (at, other))
            x, y = b.load(element, here), b.load(element, there)
            b.store(element, y, here)
            b.store(element, x, there)

        b.loop(0, count, 1, body)

    b.loop(0, "%n", CHUNK, chunk)
    return frame(f"randperm_long_{size}", b, 2 * CHUNK + 16)


def skip():
    """Draw n words and forget them; out, a and b unused."""
    b = Builder()

    def chunk(start):
        rest = b.op("sub", "i64", "%n", start)
        count = b.call("i64", "llvm.smin.i64", rest, str(CHUNK))
        b.emit(f"call void @rl_mt_words(ptr %state, ptr %buffer, i64 {count})")

    b.loop(0, "%n", CHUNK, chunk)
    return frame("skip", b, CHUNK + 16)


def seed():
    """The 624 words that follow from the seed a: w[i] = 1812433253 (w[i-1] ^ w[i-1] >> 30) + i; out, n and b unused."""
    b = Builder()
    b.store("i32", b.cast("fptoui", "%a", "double", "i32"), "%state")

    def body(i):
        before = b.load("i32", b.address("%state", b.op("sub", "i64", i, 1), "i32"))
        mixed = b.op("mul", "i32", b.op("xor", "i32", before, b.op("lshr", "i32", before, 30)), 1812433253)
        b.store("i32", b.op("add", "i32", mixed, b.cast("trunc", i, "i64", "i32")), b.address("%state", i, "i32"))

    b.loop(1, N, 1, body)
    return frame("seed", b, 16)


def exp():
    """e^x of n doubles in place, with the C library's exp; state, a and b unused."""
    b = Builder()

    def body(i):
        place = b.address("%out", i, "double")
        b.store("double", _libm(b, "exp", b.load("double", place)), place)

    b.loop(0, "%n", 1, body)
    return frame("exp", b, 16)


KERNELS = {
    "uniform_float": lambda: uniform("float"),
    "uniform_half": lambda: uniform("half"),
    "uniform_bfloat": lambda: uniform("bfloat"),
    "uniform_double": lambda: uniform("double"),
    **{f"bernoulli_{size}": partial(bernoulli, size) for size in (1, 2, 4, 8)},
    **{f"integers32_{size}": partial(integers32, size) for size in (1, 2, 4, 8)},
    "integers64": integers64,
    "words": words,
    "skip": skip,
    "seed": seed,
    **{f"randperm_{size}": partial(randperm, size) for size in (1, 2, 4, 8)},
    **{f"randperm_long_{size}": partial(randperm_long, size) for size in (4, 8)},
    "normal_blocks_float": normal_blocks_float,
    "normal_blocks_half": normal_blocks_half,
    "normal_blocks_double": normal_blocks_double,
    "normal_pairs_float": lambda: normal_pairs("float"),
    "normal_pairs_double": lambda: normal_pairs("double"),
    "exponential": exponential,
    "geometric": geometric,
    "cauchy": cauchy,
    "exp": exp,
}
