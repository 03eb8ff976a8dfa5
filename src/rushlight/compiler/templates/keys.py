"""Elements as unsigned numbers in the same order: what sorting and selection by rank work on.

NaN is the largest, all NaN are equal, -0 equals 0. A *pack* is a key with the position of its element, so packs are
never equal and comparing them is stable: one 64-bit word (key above, position below) for keys of up to 32 bits, two
words (key, position) for 64-bit ones. Descending order complements the keys.
"""

from rushlight.compiler.codegen.builder import Value, split
from rushlight.compiler.codegen.lower import FLOATING, ITEMSIZE

_EXPONENT = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


class Keys:
    """The keys of one dtype.

    ``bits``: of an element; ``key_bits``: of a key; ``type``: LLVM type of an element as an integer; ``wide``: whether
    a pack is two words; ``step``: bytes of a pack. ``narrow``: for 64-bit integers whose keys fit in 32 bits.
    """

    def __init__(self, dtype, narrow=False):
        self.dtype, self.size = dtype, ITEMSIZE[dtype]
        self.bits = 8 * self.size
        self.key_bits = 32 if narrow else self.bits
        self.type = f"i{self.bits}"
        self.wide = self.key_bits == 64
        self.step = 16 if self.wide else 8
        self.floating = dtype in FLOATING
        self.signed = not self.floating and dtype[0] != "u" and dtype != "bool"

    def terms(self, job):
        """What a call's keys are made with: ``flip`` (0 or all ones, for descending order) and the key to subtract."""
        return narrow(job.flip, self.type), narrow(job.base, self.type)

    def key(self, f, bits, terms):
        """The key of an element's bits (a number or a vector)."""
        top = 1 << (self.bits - 1)
        lanes = split(bits.type)[1]
        flip, base = (f.splat(t, lanes) for t in terms) if lanes else terms
        if self.floating:
            magnitude = bits & (top - 1)
            bits = f.select(magnitude.eq(0), f.value(0, bits.type), bits)
            key = bits ^ ((bits >> (self.bits - 1)) | -top)
            return f.select(magnitude > _EXPONENT[self.dtype], f.value(-1, bits.type), key) ^ flip
        return ((bits ^ -top if self.signed else bits) ^ flip) - base

    def element(self, f, key, terms):
        """An integer's bits from its key."""
        flip, base = terms
        key = (key + base) ^ flip
        return key ^ -(1 << (self.bits - 1)) if self.signed else key

    def load(self, f, x, i, terms):
        """Key of element i, as a number."""
        return self.key(f, f.load(self.type, x + i * self.size, self.size), terms)

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

    def value(self, f, pack, x, terms):
        """The element's bits: read again where keys do not tell them (zeros, NaN)."""
        if self.floating:
            return f.load(self.type, x + self.position_of(f, pack) * self.size, self.size)
        return self.element(f, narrow(self.key_of(f, pack), self.type), terms)

    def emit(self, f, pack, place, values, indices, x, terms):
        """Store the element and the position of a pack as result number ``place``."""
        f.store(self.value(f, pack, x, terms), values + place * self.size, self.size)
        f.store(self.position_of(f, pack), indices + place * 8, 8)

    def digit(self, f, pack, shift, mask):
        """A digit of the key, ``shift`` bits above its lowest, as a 64-bit word."""
        return self.key_of(f, pack).lshr(shift) & mask


def base_of(low, high, descending, dtype, np_dtype):
    """(the key to subtract so that the first in order gets 0, whether the others then fit in 32 bits)."""
    bits = 8 * np_dtype.itemsize
    offset = 1 << (bits - 1) if dtype[0] == "i" else 0
    base = ~(high + offset) if descending else low + offset
    base &= (1 << bits) - 1
    return base - (1 << 64) if base >> 63 else base, high - low < 1 << 32


def widen(v, element):
    """An unsigned integer in more bits (or as many)."""
    return v if split(v.type)[0] == element else v.cast("zext", element)


def narrow(v, element):
    return v if split(v.type)[0] == element else v.cast("trunc", element)
