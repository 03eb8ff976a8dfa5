"""Products of blocks that lie in the cache, for templates with loop nests of their own.

    void rl_block(m, n, k, a, ars, acs, b, brs, bss, c, crs, beta)
        c[i, j] = sum_p a[i, p] b[p, j]  (+ c[i, j] when beta is 1)

    void rl_strip(src, minor, major, k, valid, width, dst)      ``gemm_pack.pack``

a[i, p] is at ``a + i*ars + p*acs`` and c[i, j] at ``c + i*crs + j*itemsize`` (strides in bytes). B comes in strips of
``nr`` columns, strip s at ``b + s*bss``, its row p at ``+ p*brs`` and adjacent columns: packed strips, or rows of
adjacent elements with bss = nr * itemsize. An element is summed in the order of p whatever the block, each
product by one fused multiply-add. Of "pairs" the elements of a and b are two bfloat16 that follow each other along k,
which is half as many then, and c is float32: on CPUs that multiply such pairs.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.targets import host
from rushlight.runtime import cpu

ITEM = {"float": 4, "double": 8, "pairs": 4}
BLOCK = ["i64"] * 3 + ["ptr", "i64", "i64", "ptr", "i64", "i64", "ptr", "i64", "i64"]
STRIP = ["ptr"] + ["i64"] * 5 + ["ptr"]


@cache
def shape(type_):
    """The ``gemm_micro.Shape`` of float, double or pairs of bfloat16 here."""
    from rushlight.compiler.templates.gemm_micro import Shape

    width = cpu.vector_bytes()
    arm = cpu.machine() == "aarch64"
    pairs = type_ == "pairs"
    return Shape("float" if pairs else type_, width, 32 if width == 64 or arm else 16, cpu.has("fma") or arm, pairs)


@cache
def symbols(type_):
    """{"rl_block": address, "rl_strip": address}, for the imports of other modules."""
    s = f"{cpu.vector_bytes()}|{cpu.has('fma')}|{cpu.machine()}"
    return engine.load(f"tiles|{type_}|{s}", lambda: module_text(type_), ["rl_block", "rl_strip"])


def declare(m):
    """Make the two functions known to module `m`."""
    m.declare("void", "rl_block", BLOCK)
    m.declare("void", "rl_strip", STRIP)


def heights(mr):
    """Rows of the kernels: all of a block but its end goes in pieces of `mr`."""
    return [mr, *(h for h in (8, 4, 2, 1) if h < mr)]


def _piece(left, mr):
    """How many of the rows that are left go next: 16 go as 8 and 8 rather than 14 and 2."""
    if 8 < mr < left:
        return 8
    return next(h for h in heights(mr) if h <= max(left, 1))


def module_text(type_):
    """The IR of both functions and their kernels."""
    from rushlight.compiler.templates.gemm_pack import pack

    s, m = shape(type_), Module(host().triple)
    # (Loads with masks take a slot from the multiply-adds where they are instructions like others, too.)
    kinds = {"full": (s.nv, False), "edge": (s.nv, True), "narrow": (1, True)}
    for rows in heights(s.mr):
        for kind, (nv, masked) in kinds.items():
            _kernel(m, s, rows, nv, masked, f"{kind}{rows}")
    # For the rows that are left, up to one kernel's and a few: how many go next, and the kernel for them.
    pieces = [_piece(left, s.mr) for left in range(s.mr + 3)]
    m.globals.append(f"@pieces = internal constant [{len(pieces)} x i64] [{', '.join(f'i64 {p}' for p in pieces)}]")
    for kind in kinds:
        kernels = ", ".join(f"ptr @{kind}{p}" for p in pieces)
        m.globals.append(f"@{kind}_table = internal constant [{len(pieces)} x ptr] [{kernels}]")
    pack(m, s, "rl_strip")
    m.functions[-1].attributes = ("", " nounwind")
    _block(m, s)
    return m.text()


_KERNEL = (("i64", "k"), ("ptr", "a"), ("i64", "ars"), ("i64", "acs"), ("ptr", "b"), ("i64", "brs"), ("ptr", "c"),
           ("i64", "crs"), ("i64", "n"), ("i64", "beta"))


def _kernel(m, s, rows, nv, masked, name):
    """void name(k, a, ars, acs, b, brs, c, crs, n, beta): ``rows`` rows of one strip, held in registers."""
    from rushlight.compiler.templates.gemm_micro import multiply_add

    f = m.function(name, "void", _KERNEL, "internal", "nounwind")
    k, a, ars, acs, b, brs, c, crs, n, beta = f.args
    masks = [f.below(n, s.lanes, j * s.lanes) for j in range(nv)] if masked else None
    zero = f.value(0.0, s.vector)
    sums = [[f.var(s.vector, zero) for _ in range(nv)] for _ in range(rows)]
    # Three rows to a pointer: [p], [p + s], [p + 2s] need five pointers for 14 rows.
    places = [f.var("ptr", a + ars * (3 * g)) for g in range((rows + 2) // 3)]
    b_place = f.var("ptr", b)

    def load(at, j):
        at = at + j * s.bytes if j else at
        return f.masked_load(s.vector, at, masks[j]) if masked else f.load(s.vector, at, align=1)

    with f.range(k):
        here, starts = b_place.get(), [p.get() for p in places]
        columns = [load(here, j) for j in range(nv)]
        for i, row in enumerate(sums):
            at = starts[i // 3]
            if i % 3:
                at = at + (ars if i % 3 == 1 else ars + ars)
            x = f.splat(f.load(s.element, at, align=1), s.lanes)
            for j, total in enumerate(row):
                total.set(multiply_add(f, s, x, columns[j], total.get()))
        for place, start in zip(places, starts):
            place.set(start + acs)
        b_place.set(here + brs)
    with f.if_(beta.ne(0)):
        for i, row in enumerate(sums):
            for j, total in enumerate(row):
                total.set(total.get() + load(c + crs * i, j))
    for i, row in enumerate(sums):
        for j, total in enumerate(row):
            at = c + crs * i
            at = at + j * s.bytes if j else at
            if masked:
                f.masked_store(total.get(), at, masks[j])
            else:
                f.store(total.get(), at, align=1)
    f.ret()


def _block(m, s):
    f = m.function("rl_block", "void", [(t, f"x{i}") for i, t in enumerate(BLOCK)], attributes="nounwind")
    rows, n, k, a, ars, acs, b, brs, bss, c, crs, beta = f.args
    strip = f.var("ptr", b)
    with f.range(0, n, step=s.nr) as column:
        left = n - column
        part = f.select(left > s.lanes, f.symbol("edge_table"), f.symbol("narrow_table"))
        table = f.select(left >= s.nr, f.symbol("full_table"), part)
        here, to = strip.get(), c + column * s.item
        row = f.var("i64", 0)
        with f.loop() as loop:
            i = row.get()
            loop.break_if(i >= rows)
            rest = f.minimum(rows - i, f.value(s.mr + 2)) * 8
            kernel = f.load("ptr", table + rest)
            f.call("void", kernel, k, a + i * ars, ars, acs, here, brs, to + i * crs, crs, left, beta)
            row.set(i + f.load("i64", f.symbol("pieces") + rest))
        strip.set(here + bss)
    f.ret()
