"""Window columns of chosen pixels, a vector of pixels at a time, by tables.

    void gather(tables, x, vector, first, last, dst, pitch)

        dst[(k - first) pitch + l] = x[pixel l of the vector, moved by entry k]   for first <= k < last, or 0

What a pixel is, and where its windows reach, is in tables made once a shape (``ops.nn.conv_plans``), so one function
serves convolutions of any rank, padding and dilation, their adjoints, and vectors over the rows of several images.
A vector of pixels is made of *runs*, pixels of one row of one image. ``tables`` are five words:

    runs      int64[vectors + 1]: vector v has the runs runs[v] .. runs[v + 1] - 1
    offsets   int64 bytes of each run: lane l reads at x + offset + l * step + moves[k]
    masks     the lanes of a run that see the image, for each position of the kernel: 4 bytes a position
    moves     (int64 bytes to move by, int64 bytes to its mask) of each k
    pitch     bytes of a run's masks

The *kind* is the step between lanes in elements: 1; 2, where masks hold a bit an element passed over; or 0 for any
other, which is a sixth word, in bytes. The kind ``far`` has steps of 1; it is for moves that go from plane to plane,
whose next lines it fetches ahead. Elements are ``float``, ``double`` or, for steps of 1 and 2, ``i16``, of which a
vector has as many as of floats.

A kind may be a pair (step, width): (2, 2), (2, 4) or (4, 5). An entry is then a row of a window, ``width`` vectors of
the result with the adjacent elements of the lanes. They are read in parts of ``step`` elements a lane; masks have eight
bytes a part, a bit for each element. Of the fifth element all lanes but the last of each run see their neighbours'
first. Its eight bytes hold that lane's bit if it sees the image, in two bytes; its bit in any case, in two; and the
elements from the run's offset to a vector in which the element takes that lane's place, in four.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.templates.conv_tile import ITEM, lanes_of
from rushlight.runtime import cpu

PARAMS = (("ptr", "tables"), ("ptr", "x"), ("i64", "vector"), ("i64", "first"), ("i64", "last"), ("ptr", "dst"),
          ("i64", "pitch"))
_UNROLLED = 4       # runs of a vector with code of their own


@cache
def address(type_, kind):
    """The address of the function for elements and a kind."""
    key = f"conv gather|{type_}|{kind}|{cpu.vector_bytes()}"
    return engine.load(key, lambda: module_text(type_, kind), ["rl_gather"], level=1, codegen_level=2)["rl_gather"]


def module_text(type_, kind):
    """The IR of one function."""
    from rushlight.compiler.codegen.targets import host

    m = Module(host().triple)
    _gather(m, type_, kind)
    return m.text()


def _bits(f, pointer, lanes, which=0):
    """A mask of ``lanes`` bits, the ``which``-th at ``pointer``."""
    if lanes >= 8:
        word = f.load(f"i{lanes}", pointer + which * lanes // 8, align=1)
    else:
        first = which * lanes
        word = (f.load("i8", pointer + first // 8, align=1).lshr(first % 8)).cast("trunc", f"i{lanes}")
    return f.emit(f"<{lanes} x i1>", f"bitcast i{lanes} {word.name} to <{lanes} x i1>")


def _gather(m, type_, kind):
    f = m.function("rl_gather", "void", PARAMS, "", "nounwind")
    tables, x, index, first, last, dst, pitch = f.args
    item, lanes = (2, lanes_of("float")) if type_ == "i16" else (ITEM[type_], lanes_of(type_))
    vec = vector(type_, lanes)
    runs, offsets, masks, moves = (f.load("ptr", tables + 8 * i) for i in range(4))
    mask_pitch = f.load("i64", tables + 32)
    step = f.load("i64", tables + 40) if kind == 0 else None
    width = kind[1] if isinstance(kind, tuple) else None
    tailed = width and width % kind[0] == 1
    # Vectors of a run, as (elements from the first, bytes to the mask, which of its vectors of bits).
    if width:
        reads = [(part * kind[0] + i * lanes, part * 8, i) for part in range(width // kind[0]) for i in range(kind[0])]
    else:
        reads = [(i * lanes, 0, i) for i in range({"far": 1}.get(kind, kind))]
    begin = f.load("i64", runs + index * 8)
    count = f.load("i64", runs + index * 8 + 8) - begin
    zero = Value(f, "zeroinitializer", vec)

    def run(i):
        return x + f.load("i64", offsets + (begin + i) * 8), masks + (begin + i) * mask_pitch

    def read(place, mask, old):
        """The parts of a vector with a run's lanes added; with steps of two the lanes are every other element."""
        if reads:
            old = old or [None] * len(reads)
            return [f.masked_load(vec, place + start * item, _bits(f, mask + bits, lanes, i), other)
                    for (start, bits, i), other in zip(reads, old, strict=True)]
        name = f"llvm.masked.gather.v{lanes}{'f32' if item == 4 else 'f64'}.v{lanes}p0"
        f.module.declared[name] = f"declare {vec} @{name}(<{lanes} x ptr>, i32, <{lanes} x i1>, {vec})"
        iota = f.iota(lanes, "i64")
        steps = iota * f.splat(step, lanes)
        places = f.emit(f"<{lanes} x ptr>", f"getelementptr i8, ptr {place.name}, <{lanes} x i64> {steps.name}")
        return [f.emit(vec, f"call {vec} @{name}(<{lanes} x ptr> {places.name}, i32 {item}, <{lanes} x i1> "
                            f"{_bits(f, mask, lanes).name}, {vec} {(old[0] if old else zero).name})")]

    def apart(parts, count):
        """The elements of each lane of so many adjacent vectors."""
        if count == 1:
            return parts
        halves = [apart([f.shuffle(*parts[i:i + 2], range(odd, 2 * lanes, 2)) for i in range(0, count, 2)], count // 2)
                  for odd in range(2)]
        return [halves[i % 2][i // 2] for i in range(count)]

    def tail(mask):
        """What a run's last lane needs for the last column: its bit, and where it is."""
        at = mask + (reads[-1][1] + 8)
        return _bits(f, at + 2, lanes), f.load("i32", at + 4).cast("sext", "i64")

    def put(parts, at, last=None):
        """Store what was read at ``at`` and return where the next entry goes; ``last`` adds to a last column."""
        if width:
            columns = [value for start in range(0, len(parts), kind[0])
                       for value in apart(parts[start:start + kind[0]], kind[0])]
            if tailed:
                columns.append(last(f.shuffle(columns[-kind[0]], zero, range(1, lanes + 1))))
            for value in columns:
                f.store(value, at, align=item)
                at = at + pitch
            return at
        f.store(f.shuffle(*parts, range(0, 2 * lanes, 2)) if kind == 2 else parts[0], at, align=item)
        return at + pitch

    # In large planes what the next vector reads lies in lines far apart: only a hint fetches them in time.
    ahead = x + f.load("i64", offsets + (begin + count) * 8) if width or kind == "far" else None

    def each(found):
        """The loop over k for runs that are known."""
        at = f.var("ptr", dst)
        tails = [tail(mask) for _, mask in found] if tailed else ()

        def last_column(value):
            for (bit_of, away), (place, mask) in zip(tails, found, strict=True):
                value = f.select(bit_of, zero, value)
                seen = _bits(f, mask + (bit + reads[-1][1] + 8), lanes)
                value = f.masked_load(vec, place + (move + away * item), seen, value)
            return value

        with f.range(first, last) as k:
            entry = moves + k * 16
            move, bit = f.load("i64", entry), f.load("i64", entry + 8)
            if ahead is not None and len(found) == 1:
                for start, bits, _ in reads:
                    if not bits:
                        f.prefetch(ahead + move + start * item)
            parts = None
            for place, mask in found:
                parts = read(place + move, mask + bit, parts)
            at.set(put(parts or [zero] * max(len(reads), 1), at.get(), last_column))

    for n in range(_UNROLLED + 1):
        with f.if_(count.eq(n)):
            each([run(i) for i in range(n)])
            f.ret()
    at = f.var("ptr", dst)
    with f.range(first, last) as k:
        entry = moves + k * 16
        move, bit = f.load("i64", entry), f.load("i64", entry + 8)
        parts = [f.var(vec, zero) for _ in range(max(len(reads), 1))]
        with f.range(count) as i:
            place, mask = run(i)
            for part, value in zip(parts, read(place + move, mask + bit, [p.get() for p in parts]), strict=True):
                part.set(value)

        def of_runs(value):
            column = f.var(vec, value)
            with f.range(count) as i:
                place, mask = run(i)
                bit_of, away = tail(mask)
                seen = _bits(f, mask + (bit + reads[-1][1] + 8), lanes)
                column.set(f.masked_load(vec, place + (move + away * item), seen,
                                         f.select(bit_of, zero, column.get())))
            return column.get()
        at.set(put([p.get() for p in parts], at.get(), of_runs))
    f.ret()
