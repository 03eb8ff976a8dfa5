"""Operations on AMX tiles for code written with ``codegen.builder``, as instructions or emulated.

A tile register holds 16 rows of 64 bytes; there are eight. ``Tiles(f, emulated)`` writes into function ``f``:

    configure()              all eight registers become 16 x 64 bytes of zeros; once a task, before anything else
    release()                gives the registers back; once a task, after everything else
    zero(t)
    load(t, at, stride=64)   row r from ``at + r * stride``
    store(t, at, stride=64)
    multiply(kind, c, a, b)  tile c += tile a times tile b

where ``kind`` says what the tiles hold. Row i of ``a`` holds the k's of row i of A, row g of ``b`` holds for
each of 16 columns j the elements of B that belong to the four bytes a[i, g]:

    "bf16"   c float32, 32 k's: c[i, j] += sum over the 16 even k's + sum over the 16 odd k's
    "ssd"    c int32, 64 k's of signed bytes by signed bytes; "sud", "usd" and "uud" with unsigned ones
             (first letter: a). Sums wrap.

TDPBF16PS starts the even and the odd sum at zero, extends them by fused multiply-adds in the order of k,
adds the two and adds that to c: three roundings of which c sees one. Each of these operations takes
subnormal numbers for zeros and gives zeros for subnormal results; rounding is to nearest, ties to even.

Tile numbers are constants (the instructions name their registers), so LLVM allocates nothing and can spill
nothing; code between ``configure`` and ``release`` must not call anything outside the module, except
functions that use the same registers. The emulation does the same arithmetic on eight arrays on the stack
of ``f``, on any CPU, for tests: registers of one function are not visible in another one.

Reference: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS, TDPBSSD.
"""

from rushlight.compiler.codegen.builder import Value

ROWS, ROW_BYTES, TILE_BYTES, TILES = 16, 64, 1024, 8
GROUPS = ROW_BYTES // 4  # of four bytes along k
KINDS = ("bf16", "ssd", "sud", "usd", "uud")

_FLOATS, _INTS = "<16 x float>", "<16 x i32>"


class Tiles:
    """The tile registers in one function that is being written."""

    def __init__(self, f, emulated: bool):
        self.f, self.emulated = f, emulated
        self.state = f.buffer(TILES * TILE_BYTES) if emulated else None

    def _instruction(self, name, *args):
        self.f.call("void", f"llvm.x86.{name}", *args)

    def _number(self, tile):
        if not 0 <= tile < TILES:
            raise ValueError(f"there is no tile {tile}")
        return self.f.value(tile, "i8")

    def _register(self, tile):
        self._number(tile)
        return self.state + tile * TILE_BYTES

    def configure(self):
        """Eight tiles of 16 rows by 64 bytes (palette 1), all zero."""
        if self.emulated:
            for tile in range(TILES):
                self.zero(tile)
            return
        self._instruction("ldtilecfg", Value(self.f, _configuration(self.f.module), "ptr"))

    def release(self):
        """No tiles: the system need not save them for this thread any more."""
        if not self.emulated:
            self._instruction("tilerelease")

    def zero(self, tile):
        """Set a tile to zeros."""
        if not self.emulated:
            self._instruction("tilezero", self._number(tile))
            return
        f = self.f
        with f.range(ROWS) as r:
            f.store(f.value(0, _INTS), self._register(tile) + r * ROW_BYTES, align=1)

    def load(self, tile, at, stride=ROW_BYTES):
        """Fill a tile from memory."""
        f = self.f
        if self.emulated:
            f.call("void", _copy(f.module), at, f.value(stride), self._register(tile), f.value(ROW_BYTES))
        else:
            self._instruction("tileloadd64", self._number(tile), at, f.value(stride))

    def store(self, tile, at, stride=ROW_BYTES):
        """Write a tile to memory."""
        f = self.f
        if self.emulated:
            f.call("void", _copy(f.module), self._register(tile), f.value(ROW_BYTES), at, f.value(stride))
        else:
            self._instruction("tilestored64", self._number(tile), at, f.value(stride))

    def multiply(self, kind, c, a, b):
        """Tile c += tile a times tile b."""
        if kind not in KINDS:
            raise ValueError(f"no product of tiles is called {kind}")
        f = self.f
        if self.emulated:
            write = _emulate_bf16 if kind == "bf16" else _emulate_bytes
            f.call("void", write(f.module, kind), *(self._register(tile) for tile in (c, a, b)))
        else:
            name = "tdpbf16ps" if kind == "bf16" else f"tdpb{kind}"
            self._instruction(name, *(self._number(tile) for tile in (c, a, b)))


def _configuration(module):
    """The 64 bytes that LDTILECFG reads: palette, first row, then bytes a row and rows of each tile."""
    data = bytearray(64)
    data[0] = 1
    for tile in range(TILES):
        data[16 + 2 * tile : 18 + 2 * tile] = ROW_BYTES.to_bytes(2, "little")
        data[48 + tile] = ROWS
    text = "".join(f"\\{byte:02X}" for byte in data)
    line = f'@tile_configuration = internal constant [64 x i8] c"{text}", align 64'
    if line not in module.globals:
        module.globals.append(line)
    return "@tile_configuration"


def _function(module, name, params):
    """A new function of the emulation, or None if the module has it."""
    if name in module.declared:
        return None
    return module.function(name, "void", params, "internal", "nounwind noinline")


def _copy(module):
    name = "emulated_copy"
    f = _function(module, name, (("ptr", "a"), ("i64", "from"), ("ptr", "b"), ("i64", "to")))
    if f is not None:
        source, step, target, pace = f.args
        with f.range(ROWS) as r:
            f.store(f.load(_INTS, source + r * step, align=1), target + r * pace, align=1)
        f.ret()
    return name


_PRODUCT = (("ptr", "c"), ("ptr", "a"), ("ptr", "b"))


def _flushed(f, x):
    """Zeros of their sign for subnormal numbers."""
    bits = x.bits()
    normal = (bits & 0x7F800000).ne(0)
    return f.select(normal, bits, bits & -0x80000000).bits()


def _emulate_bf16(module, kind):
    name = "emulated_tdpbf16ps"
    f = _function(module, name, _PRODUCT)
    if f is None:
        return name
    c, a, b = f.args

    def halves(pairs):
        """The even and the odd elements of pairs, as float32."""
        return [_flushed(f, x.bits()) for x in (pairs << 16, pairs & -0x10000)]

    with f.range(ROWS) as i:
        sums = [f.var(_FLOATS, 0.0) for _ in range(2)]
        with f.range(GROUPS) as g:
            pair = f.splat(f.load("i32", a + (i * ROW_BYTES + g * 4), align=1), GROUPS)
            columns = f.load(_INTS, b + g * ROW_BYTES, align=1)
            for total, x, y in zip(sums, halves(pair), halves(columns), strict=True):
                total.set(_flushed(f, f.fma(x, y, total.get())))
        both = _flushed(f, sums[0].get() + sums[1].get())
        row = c + i * ROW_BYTES
        old = _flushed(f, f.load(_FLOATS, row, align=1))
        f.store(_flushed(f, old + both), row, align=1)
    f.ret()
    return name


def _emulate_bytes(module, kind):
    name = f"emulated_tdpb{kind}"
    f = _function(module, name, _PRODUCT)
    if f is None:
        return name
    c, a, b = f.args

    def byte(fours, q, signed):
        up = fours << (24 - 8 * q)
        return up >> 24 if signed else up.lshr(24)

    with f.range(ROWS) as i:
        total = f.var(_INTS, f.load(_INTS, c + i * ROW_BYTES, align=1))
        with f.range(GROUPS) as g:
            four = f.splat(f.load("i32", a + (i * ROW_BYTES + g * 4), align=1), GROUPS)
            columns = f.load(_INTS, b + g * ROW_BYTES, align=1)
            for q in range(4):
                product = byte(four, q, kind[0] == "s") * byte(columns, q, kind[1] == "s")
                total.set(total.get() + product)
        f.store(total.get(), c + i * ROW_BYTES, align=1)
    f.ret()
    return name
