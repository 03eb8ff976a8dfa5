"""Elements as unsigned numbers in the same order: what sorting and selection by rank work on.

NaN is the largest, all NaN are equal, -0 equals 0. A *pack* is a key with the position of its element, so packs are
never equal and comparing them is stable: one 64-bit word (key above, position below) for keys of up to 32 bits, two
words (key, position) for 64-bit ones. Descending order complements the keys.
"""

from rushlight.compiler.codegen.builder import Value, retype, split
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY

_EXPONENT = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}
DATA = 16                       # PyArrayObject.data
TASK = [("ptr", "context"), ("i64", "begin"), ("i64", "end")]


class Keys:
    """The keys of one dtype.

    ``bits``: of a key; ``type``: LLVM type of an element as an integer; ``wide``: whether a pack is two words;
    ``step``: bytes of a pack.
    """

    def __init__(self, dtype):
        self.dtype, self.size = dtype, ITEMSIZE[dtype]
        self.bits = 8 * self.size
        self.type = f"i{self.bits}"
        self.wide = self.bits == 64
        self.step = 16 if self.wide else 8
        self.floating = MEMORY[dtype] in ("half", "float", "double") or dtype == "bfloat16"
        self.signed = not self.floating and dtype[0] != "u" and dtype != "bool"

    def key(self, f, bits, flip):
        """The key of an element's bits (a number or a vector), complemented by ``flip``: 0 or all ones."""
        top = 1 << (self.bits - 1)
        if self.floating:
            magnitude = bits & (top - 1)
            bits = f.select(magnitude.eq(0), f.value(0, bits.type), bits)
            key = bits ^ ((bits >> (self.bits - 1)) | -top)
            key = f.select(magnitude > _EXPONENT[self.dtype], f.value(-1, bits.type), key)
        elif self.signed:
            key = bits ^ -top
        else:
            key = bits
        return key ^ flip

    def element(self, f, key, flip):
        """An integer's bits from its key."""
        key = key ^ flip
        return key ^ -(1 << (self.bits - 1)) if self.signed else key

    def load(self, f, x, i, flip):
        """Key of element i, as a number."""
        return self.key(f, f.load(self.type, x + i * self.size, self.size), flip)

    def pack(self, f, key, i):
        """The pack of a key: a 64-bit word, or a vector of two."""
        if not self.wide:
            return (widen(key, "i64") << 32) | i
        pair = f.insert(Value(f, "poison", "<2 x i64>"), key, 0)
        return f.insert(pair, i, 1)

    @property
    def packed(self):
        return "<2 x i64>" if self.wide else "i64"

    def key_of(self, f, pack):
        """Key of a pack, as a 64-bit word."""
        return f.extract(pack, 0) if self.wide else pack.lshr(32)

    def position_of(self, f, pack):
        return f.extract(pack, 1) if self.wide else pack & 0xffffffff

    def load_pack(self, f, packs, i):
        return f.load(self.packed, packs + i * self.step, 8)

    def store_pack(self, f, pack, packs, i):
        f.store(pack, packs + i * self.step, 8)

    def value(self, f, pack, x, flip):
        """The element's bits: read again where keys do not tell them (zeros, NaN)."""
        if self.floating:
            return f.load(self.type, x + self.position_of(f, pack) * self.size, self.size)
        key = self.key_of(f, pack)
        return self.element(f, key if self.wide else key.cast("trunc", self.type), flip)


def widen(v, element):
    """An unsigned integer in more bits (or as many)."""
    return v if split(v.type)[0] == element else v.cast("zext", element)


def narrow(v, element):
    return v if split(v.type)[0] == element else v.cast("trunc", element)


def mask_words(f, v, n):
    """How many of a mask's bits are set."""
    bits = f.emit(f"i{n}", f"bitcast {v.type} {v.name} to i{n}")
    return widen(f.intrinsic("ctpop", bits), "i64")


class Job:
    """The context of tasks: 64-bit words by name."""

    def __init__(self, f, context, names):
        self.f, self.context, self.names = f, context, names

    def at(self, name):
        return self.context + 8 * self.names.index(name)

    def word(self, name):
        return self.f.load("i64", self.at(name))

    def pointer(self, name):
        return self.f.load("ptr", self.at(name))

    def set(self, name, value):
        self.f.store(value if isinstance(value, Value) else self.f.value(value), self.at(name))


def read_arrays(f, args, job, names):
    """Data pointers of the first arrays of a call into a job."""
    for i, name in enumerate(names):
        array, data = f.load("ptr", args + 8 * i), f.var("ptr", Value(f, "null", "ptr"))
        with f.if_(array.ne(Value(f, "@_Py_NoneStruct", "ptr"))):
            data.set(f.load("ptr", array + DATA))
        job.set(name, data.get())


def read_words(f, args, position, job, names):
    """64-bit words of an int64 array into a job."""
    words = f.load("ptr", f.load("ptr", args + 8 * position) + DATA)
    for i, name in enumerate(names):
        job.set(name, f.load("i64", words + 8 * i))


def parallel(f, task, context, count):
    f.call("void", "rl_parallel_for", Value(f, f"@{task}", "ptr"), context, f.value(count))


def scratch(f, nbytes):
    """Working memory: (block or null, its first byte)."""
    block = f.call("ptr", "rl_scratch", f.value(nbytes))
    data = f.var("ptr", Value(f, "null", "ptr"))
    with f.if_(block.ne(Value(f, "null", "ptr"))):
        data.set(f.load("ptr", block))
    return block, data.get()


def finish(f, job):
    """Return None, or raise MemoryError where a task had no memory."""
    with f.if_(job.word("failed").ne(0)):
        f.call("ptr", "PyErr_NoMemory")
        f.ret(Value(f, "null", "ptr"))
    none = Value(f, "@_Py_NoneStruct", "ptr")
    f.call("void", "Py_IncRef", none)
    f.ret(none)


def imports():
    """What the modules call besides Python's own functions."""
    from rushlight.runtime import native

    symbols = native.symbols()
    return {name: symbols[name] for name in ("rl_parallel_for", "rl_scratch", "rl_free")}


def vector_of(type_, lanes):
    return retype(f"<{lanes} x {type_}>", type_)
