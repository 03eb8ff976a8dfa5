"""Micro-kernels of the matrix product: the loops that hold a tile of C in registers.

``tile_kernel`` makes ``void tile_r(k, a, ars, acs, b, brs, c, crs, n, d, drs, bias, rbias, rstep, alpha,
beta, ahead)`` for r rows and ``Shape.nr`` columns:

    c[i, j] = alpha * sum_p a[i, p] * b[p, j]  + rbias[i]  (+ bias[j])  (+ beta * d[i, j])

    (bias and d when they are not null; rstep is the bytes from one row's bias to the next's, 0 for one
    number, which is 0 where there is none)

with a at ``a + i*ars + p*acs``, b at ``b + p*brs + j*itemsize``, c at ``c + i*crs + j*itemsize``, d likewise
(strides in bytes) and j < n. Products are summed in the order of p, each by one fused multiply-add,
whatever r and n are, so an element's bits don't depend on how C is cut into tiles.

``ahead`` is what is read next, two rows with A's strides: tall kernels bring it to the second-level cache, a bit with
each k. Any address will do.

``dot_kernel`` makes ``void dot_r(k, a, ars, b, bcs, c, crs, n, d, drs, bias, rbias, rstep, alpha, beta)``
for r rows and n <= ``Shape.dots`` columns where both operands are contiguous along k (``x @ W.T`` with few rows):
vectors run along k.
"""

from rushlight.compiler.codegen.builder import Value, vector

_PARAMS = ("i64", "k"), ("ptr", "a"), ("i64", "ars"), ("i64", "acs"), ("ptr", "b"), ("i64", "brs")
_DOT_PARAMS = ("i64", "k"), ("ptr", "a"), ("i64", "ars"), ("ptr", "b"), ("i64", "bcs")
_STORE_PARAMS = (("ptr", "c"), ("i64", "crs"), ("i64", "n"), ("ptr", "d"), ("i64", "drs"), ("ptr", "bias"),
                 ("ptr", "rbias"), ("i64", "rstep"))

PREFETCH_ROWS = 8
CHAIN = 192                     # the most terms that are added up one after the other
CHAIN_OF_PAIRS = 1024           # the same of pairs of bfloat16, which are rounded far more coarsely than such sums
PREFETCH_DEPTH = 48             # the least k for which C is fetched ahead at once
SPREAD = 8                      # rows from which it is fetched row by row
TALL = 4                        # rows from which a tile adds a bias by code of its own
_ZERO = "zeroinitializer"


class Shape:
    """Register tile and vector sizes for an element type on a CPU.

    ``mr`` rows by ``nv`` vectors of ``lanes`` elements fill the register file but for the operands:
    14 x 2 of 32 registers, 6 x 2 of 16. Elements are "float", "double", "i32" or "i64" (integers wrap).
    With ``pairs`` the elements of A and B are pairs of bfloat16 that follow each other along k, and C is
    float32; with ``quads`` they are four bytes, A's unsigned and B's signed, and C is int32 ("i32").
    """

    def __init__(
        self, element: str, vector_bytes: int, registers: int, fused: bool, pairs: bool = False, quads: bool = False
    ):
        self.element, self.fused, self.pairs, self.quads = element, fused, pairs, quads
        self.item = {"float": 4, "double": 8, "i32": 4, "i64": 8}[element]
        self.lanes = vector_bytes // self.item
        self.vector = vector(element, self.lanes)
        self.bytes = vector_bytes
        self.nv = 2
        self.mr = 14 if registers >= 32 else 6
        self.nr = self.nv * self.lanes
        # One to three rows: kernels of eight vectors, which read B in longer pieces.
        self.wide = 8
        self.wide_rows = 3 if registers >= 32 else 1
        self.dot_rows = 3 if registers >= 32 else 1
        self.dots = 8


def multiply_add(f, shape, a, b, c):
    """a * b + c: one rounding where the CPU has it, else two (a library call would be slow)."""
    if shape.pairs:
        bits = f"<{2 * shape.lanes} x bfloat>"
        a, b = (f.emit(bits, f"bitcast {shape.vector} {x.name} to {bits}") for x in (a, b))
        return f.call(shape.vector, f"llvm.x86.avx512bf16.dpbf16ps.{8 * shape.bytes}", c, a, b)
    if shape.quads:
        return f.call(shape.vector, f"llvm.x86.avx512.vpdpbusd.{8 * shape.bytes}", c, a, b)
    return f.fma(a, b, c) if shape.fused and shape.element[0] != "i" else a * b + c


def multiply(f, shape, a, b):
    """a * b, where elements stand for several numbers the sum of their products."""
    several = shape.pairs or shape.quads
    return multiply_add(f, shape, a, b, Value(f, "zeroinitializer", shape.vector)) if several else a * b


def _phi(f, type_, incoming):
    text = ", ".join(f"[ {value}, %{label} ]" for value, label in incoming)
    return f.emit(type_, f"phi {type_} {text}")


def tile_params(shape):
    """Types and names of a tile kernel's parameters."""
    return [*_PARAMS, *_STORE_PARAMS, (shape.element, "alpha"), (shape.element, "beta"), ("ptr", "ahead")]


def tile_kernel(module, shape, rows, nv, masked, name, linkage="internal"):
    """Write the kernel for ``rows`` rows and ``nv`` vectors of columns.

    ``masked`` kernels take any n up to that width, others exactly that.
    """
    f = module.function(name, "void", tile_params(shape), linkage, "nounwind")
    _Tile(f, shape, rows, nv, masked).write()


class _Tile:
    """A tile kernel being written.

    The sums of the tile are phis of a loop over k: each has its name in ``next`` before the instruction that gives
    its next value is written. A chain of additions is at most ``CHAIN`` long: at its end the sums are added to those
    of earlier chains, which are parked in memory, and the loop begins again from zero.
    """

    def __init__(self, f, shape, rows, nv, masked):
        self.f, self.shape, self.rows, self.nv = f, shape, rows, nv
        (self.k, self.a, self.ars, self.acs, self.b, self.brs, self.c, self.crs, self.n, self.d, self.drs, self.bias,
         self.rbias, self.rstep, self.alpha, self.beta, self.ahead) = f.args
        self.masks = [f.below(self.n, shape.lanes, j * shape.lanes) for j in range(nv)] if masked else None
        # Three rows to a pointer: [p], [p + s], [p + 2s] need five pointers for 14 rows.
        self.starts = [self.a + self.ars * (3 * g) for g in range((rows + 2) // 3)]
        # C is needed after the loop; by then it has come. Tall tiles ask for a row of it with each k: all at once would
        # be more than a core can wait for, besides what the loop needs.
        self.spread = rows >= SPREAD and nv <= shape.nv
        self.next = {}

    def write(self):
        """The whole function."""
        f = self.f
        if self.spread:
            self.last_row = self.c + self.crs * (self.rows - 1)
            self.beside = f.select(self.ars < 64, f.value(60), self.ars)
        else:
            self.fetch_c()
        length = self.chain_length()
        self.parked = f.buffer(self.rows * self.nv * self.shape.bytes)
        f.label("begin")
        f.branch(self.k > 0, "loop", "store")
        self.open_loop(length)
        if self.spread:
            self.fetch_lines()
        self.add_products(self.columns())
        self.close_loop()
        sums = self.chains(length)
        _store_rows(f, self.shape, sums, self.masks, (self.c, self.crs), self.alpha,
                    (self.bias, self.rbias, self.rstep), (self.d, self.drs, self.beta))
        f.ret()

    def fetch_c(self):
        """Ask for the whole tile of C."""
        f = self.f
        with f.if_(self.k >= PREFETCH_DEPTH):
            for i in range(self.rows):
                for j in range(0, self.nv * self.shape.bytes, 64):
                    f.prefetch(self.c + self.crs * i + j, 1)

    def chain_length(self):
        """Terms of a chain: k in equal parts of up to ``CHAIN``; all of it for integers."""
        f, k, most = self.f, self.k, CHAIN_OF_PAIRS if self.shape.pairs else CHAIN
        links = f.var("i64", k)
        if self.shape.element[0] != "i":
            with f.if_(k > most):
                chains = (k + (most - 1)).udiv(most)
                links.set((k + chains - 1).udiv(chains))
        return links.get()

    def later(self, key):
        """The name of a value that the loop's end will give."""
        self.next[key] = f"%{self.f.fresh('next')}"
        return self.next[key]

    def carried(self, key, type_, first, again=None):
        """A phi of the loop: ``first`` at the beginning, ``again`` (or what it was) where a chain begins."""
        text = self.later(key)
        incoming = [(first, "begin"), (again or text, "again"), (text, "loop")]
        return _phi(self.f, type_, incoming)

    def block(self, name):
        """Begin a block that branches lead to by name."""
        self.f.lines.append(f"{name}:")
        self.f.open = True

    def open_loop(self, length):
        """What goes around: the terms that are left in all and of the chain, pointers, sums."""
        f, shape = self.f, self.shape
        self.block("loop")
        rest, self.chain, left = (f"%{f.fresh(name)}" for name in ("rest", "chain", "left"))
        self.count = self.carried("k", "i64", length.name, self.chain)
        f.line(f"{rest} = phi i64 [ {self.k.name}, %begin ], [ {left}, %again ], [ {rest}, %loop ]")
        self.rest, self.left = Value(f, rest, "i64"), Value(f, left, "i64")
        self.pointers = [self.carried(("a", g), "ptr", p.name) for g, p in enumerate(self.starts)]
        self.bp = self.carried("b", "ptr", self.b.name)
        self.sums = [[self.carried((i, j), shape.vector, _ZERO, _ZERO) for j in range(self.nv)]
                     for i in range(self.rows)]

    def fetch_lines(self):
        """Ask for the next row of C, and for lines of what is read next."""
        f = self.f
        cp = self.carried("c", "ptr", self.c.name)
        then = self.carried("ahead", "ptr", self.ahead.name)
        for j in range(0, self.nv * self.shape.bytes, 64):
            f.prefetch(cp + j, 1)
        step = f.select(cp.eq(self.last_row), f.value(0), self.crs)
        f.line(f"{self.next['c']} = getelementptr i8, ptr {cp.name}, i64 {step.name}")
        f.prefetch(then, near=2)
        f.prefetch(then + self.beside, near=2)
        f.line(f"{self.next['ahead']} = getelementptr i8, ptr {then.name}, i64 {self.acs.name}")

    def columns(self):
        """Vectors of the row p of B."""
        f, shape, bp = self.f, self.shape, self.bp
        found = []
        for j in range(self.nv):
            at = bp + j * shape.bytes if j else bp
            found.append(f.masked_load(shape.vector, at, self.masks[j]) if self.masks else
                         f.load(shape.vector, at, align=1))
        if self.nv > shape.nv:
            # B comes from memory here, in short pieces of long rows that no hardware prefetcher follows.
            ahead = bp + self.brs * PREFETCH_ROWS
            for j in range(0, self.nv * shape.bytes, 64):
                f.prefetch(ahead + j)
        return found

    def add_products(self, columns):
        """The column p of A times the row p of B."""
        f, shape, ars = self.f, self.shape, self.ars
        for i in range(self.rows):
            at = self.pointers[i // 3]
            if i % 3:
                at = at + (ars if i % 3 == 1 else ars + ars)
            x = f.splat(f.load(shape.element, at, align=1), shape.lanes)
            for j in range(self.nv):
                value = multiply_add(f, shape, x, columns[j], self.sums[i][j])
                f.lines[-1] = f.lines[-1].replace(value.name + " =", self.next[(i, j)] + " =", 1)

    def close_loop(self):
        """On to the next p, or out after the chain's last."""
        f = self.f
        # (Behind an empty instruction: LLVM would keep a pointer for each row otherwise, more than there are
        # registers.)
        for g, p in enumerate(self.pointers):
            f.line(f'{self.next[("a", g)]} = call ptr asm "", "=r,0"(ptr {(p + self.acs).name})')
        f.line(f"{self.next['b']} = getelementptr i8, ptr {self.bp.name}, i64 {self.brs.name}")
        f.line(f"{self.next['k']} = sub i64 {self.count.name}, 1")
        f.branch(Value(f, self.next["k"], "i64") > 0, "loop", "after")

    def chains(self, length):
        """Park a chain's sums and begin the next one, or after the last give the sums of all."""
        f, nv, vt = self.f, self.nv, self.shape.vector
        self.block("after")
        sums = [[Value(f, self.next[(i, j)], vt) for j in range(nv)] for i in range(self.rows)]
        places = [[self.parked + (i * nv + j) * self.shape.bytes for j in range(nv)] for i in range(self.rows)]
        first = self.rest.eq(self.k)
        f.line(f"{self.left.name} = sub i64 {self.rest.name}, {length.name}")
        f.branch(self.left > 0, "park", "last")
        self.block("park")
        with f.if_else(first) as arms:
            for arm, adds in zip(arms, (False, True)):
                with arm:
                    for row, at in zip(sums, places):
                        for x, place in zip(row, at):
                            f.store(x + f.load(vt, place) if adds else x, place)
        f.label("again")
        f.line(f"{self.chain} = {_smaller(f, self.left, length)}")
        f.terminate("br label %loop")
        self.block("last")
        f.branch(first, "store", "add")
        self.block("add")
        both = [[x + f.load(vt, place) for x, place in zip(row, at)] for row, at in zip(sums, places)]
        f.terminate("br label %store")
        self.block("store")
        return [[_phi(f, vt, [(_ZERO, "begin"), (x.name, "last"), (y.name, "add")]) for x, y in zip(row, more)]
                for row, more in zip(sums, both)]


def _smaller(f, a, b):
    f.module.declared["llvm.smin.i64"] = "declare i64 @llvm.smin.i64(i64, i64)"
    return f"call i64 @llvm.smin.i64(i64 {a.name}, i64 {b.name})"


def _store_rows(f, shape, sums, masks, to, alpha, biases, more):
    """Store the tile: as it is, or through ``_general`` where there is more to do than that.

    Tall tiles add a bias of columns and what is added unscaled in registers; the bits are ``_general``'s.
    """
    (c, crs), (bias, rbias, rstep), (d, drs, beta) = to, biases, more
    count = len(sums[0])
    null = f.null
    tall = len(sums) >= TALL
    adds = bias.ne(null) | d.ne(null)
    scales = rstep.ne(0) | alpha.ne(1)
    with f.if_else(scales | (d.ne(null) & beta.ne(1) if tall else adds)) as (general, plain):
        with general:
            parked = f.buffer(len(sums) * count * shape.lanes * shape.item)
            for i, row in enumerate(sums):
                for j, total in enumerate(row):
                    f.store(total, parked + (i * count + j) * shape.lanes * shape.item)
            n = f.args[[a.name for a in f.args].index("%n")]
            f.call("void", _general(f.module, shape, count), parked, f.value(len(sums)), c, crs, n, d, drs, bias, rbias,
                   rstep, alpha, beta)
        with plain:
            if tall:
                slots = [[f.var(shape.vector, total) for total in row] for row in sums]
                with f.if_(adds):
                    _add(f, shape, slots, masks, c, bias, d, drs)
                sums = [[slot.get() for slot in row] for row in slots]
            for i, row in enumerate(sums):
                start = c + crs * i
                for j, total in enumerate(row):
                    at = start + j * shape.bytes if j else start
                    if masks:
                        f.masked_store(total, at, masks[j])
                    else:
                        f.store(total, at, align=1)


def _add(f, shape, slots, masks, c, bias, d, drs):
    """Add the bias of columns, then d, to a tile of variables, unless they are null."""
    null = f.null
    biased = f.splat(bias.ne(null), shape.lanes)
    masks = masks or [f.splat(f.value(True, "i1"), shape.lanes)] * len(slots[0])
    bias = f.select(bias.ne(null), bias, c)
    # (Adding 0 makes a bias of -0 what it is in ``_general``.)
    offsets = [f.masked_load(shape.vector, bias + j * shape.bytes, biased & mask) + 0 for j, mask in enumerate(masks)]
    for row in slots:
        for slot, offset in zip(row, offsets):
            slot.set(slot.get() + offset)
    with f.if_(d.ne(null)):
        for i, row in enumerate(slots):
            for j, (slot, mask) in enumerate(zip(row, masks)):
                slot.set(slot.get() + f.masked_load(shape.vector, d + (drs * i + j * shape.bytes), mask))


def _general(module, shape, count):
    """The name of the function that scales a tile's sums, adds what is to be added, and stores them.

    ``void store(sums, rows, c, crs, n, d, drs, bias, rbias, rstep, alpha, beta)``: one for all heights, as kernels
    that did this in line would be mostly that. The sums are ``rows`` times ``count`` vectors, which in C lie
    ``shape.bytes`` apart.
    """
    group = shape.bytes // shape.item
    name = f"store_{count}x{group}"
    if name in module.declared:
        return name
    f = module.function(name, "void", [
        ("ptr", "sums"), ("i64", "rows"), *_STORE_PARAMS, (shape.element, "alpha"), (shape.element, "beta")],
        "internal", "nounwind noinline")
    sums, rows, c, crs, n, d, drs, bias, rbias, rstep, alpha, beta = f.args
    lanes, null = shape.lanes, f.null
    masks = [f.below(n, shape.lanes, j * group) for j in range(count)]
    if group < lanes:
        fit = f.below(group, shape.lanes)
        masks = [m & fit for m in masks]
    has_bias, adds = bias.ne(null), d.ne(null)
    scale, share = f.splat(alpha, lanes), f.splat(beta, lanes)
    # Loads without any lane still take long at addresses that aren't mapped.
    bias, d, drs = f.select(has_bias, bias, c), f.select(adds, d, c), f.select(adds, drs, crs)
    offsets = [f.masked_load(shape.vector, bias + j * shape.bytes, f.splat(has_bias, lanes) & mask)
               for j, mask in enumerate(masks)]
    olds = [f.splat(adds, lanes) & mask for mask in masks]
    with f.range(rows) as i:
        of_row = f.splat(f.load(shape.element, rbias + rstep * i, align=1), lanes)
        here, there, source = sums + i * (count * lanes * shape.item), c + crs * i, d + drs * i
        for j, mask in enumerate(masks):
            total = f.load(shape.vector, here + j * lanes * shape.item)
            old = f.masked_load(shape.vector, source + j * shape.bytes, olds[j])
            f.masked_store(total * scale + (offsets[j] + of_row) + old * share, there + j * shape.bytes, mask)
    f.ret()
    return name


def _fold(f, shape, vectors):
    """One vector whose element i is the sum of ``vectors[i]``'s elements (a fixed tree), i < 8.

    Each level adds halves of two vectors at once, so that eight sums cost little more than one.
    """
    lanes = shape.lanes
    groups = [(v, 1) for v in vectors]  # (vector, sums it carries: each has lanes/sums elements)
    sums, width = 1, lanes
    while len(groups) > 1:
        half = width // 2
        if half == 0:
            raise ValueError("vectors too short to fold")
        low = [s * width + i for s in range(2 * sums) for i in range(half)]
        high = [x + half for x in low]
        # Sums of the second vector follow those of the first: indices run over both.
        groups = [
            (f.shuffle(x, y, low) + f.shuffle(x, y, high), 2 * sums)
            for (x, _), (y, _) in zip(groups[::2], groups[1::2], strict=True)
        ]
        sums, width = 2 * sums, half
    total = groups[0][0]
    while width > 1:
        half = width // 2
        low = [s * width + i for s in range(sums) for i in range(half)]
        rest = [0] * (lanes - len(low))
        high = [x + half for x in low]
        total = f.shuffle(total, total, low + rest) + f.shuffle(total, total, high + rest)
        width = half
    return total


def dot_kernel(module, shape, rows, name):
    """Write the kernel of dot products for ``rows`` rows."""
    f = module.function(
        name,
        "void",
        [*_DOT_PARAMS, *_STORE_PARAMS, (shape.element, "alpha"), (shape.element, "beta")],
        "internal",
        "nounwind",
    )
    k, a, ars, b, bcs, c, crs, n, d, drs, bias, rbias, rstep, alpha, beta = f.args
    lanes, vt, columns = shape.lanes, shape.vector, shape.dots
    group = min(columns, lanes)
    last = n - 1
    a_rows = [a + ars * i for i in range(rows)]
    # Columns past the last one repeat it; their results aren't stored.
    b_columns = [b + bcs * f.minimum(f.value(j), last) for j in range(columns)]
    whole = k & (-lanes)
    slots = [[f.var(vt) for _ in range(columns)] for _ in range(rows)]
    for row in slots:
        for slot in row:
            slot.set(Value(f, "zeroinitializer", vt))

    def step(load):
        xs = [load(p) for p in a_rows]
        for j in range(columns):
            y = load(b_columns[j])
            for i in range(rows):
                slots[i][j].set(multiply_add(f, shape, xs[i], y, slots[i][j].get()))

    with f.range(0, whole, step=lanes) as p:
        step(lambda base: f.load(vt, base + p * shape.item, align=1))
    with f.if_(whole < k):
        mask = f.below(k - whole, shape.lanes)
        step(lambda base: f.masked_load(shape.vector, base + whole * shape.item, mask))
    chunks = columns // group
    masks = [f.below(n, shape.lanes, chunk * group) for chunk in range(chunks)]
    if group < lanes:
        fit = f.below(group, shape.lanes)
        masks = [m & fit for m in masks]
    narrow = _Chunks(shape, group)
    sums = [
        [
            _fold(f, shape, [s.get() for s in row[chunk * group : (chunk + 1) * group]])
            for chunk in range(chunks)
        ]
        for row in slots
    ]
    _store_rows(f, narrow, sums, masks, (c, crs), alpha, (bias, rbias, rstep), (d, drs, beta))
    f.ret()


def long_dot_kernel(module, shape, name):
    """Write ``dot_kernel``'s function for one row and one column: ``dots`` vectors of sums along k."""
    f = module.function(name, "void",
                        [*_DOT_PARAMS, *_STORE_PARAMS, (shape.element, "alpha"), (shape.element, "beta")],
                        "internal", "nounwind")
    k, a, _, b, _, c, crs, n, d, drs, bias, rbias, rstep, alpha, beta = f.args
    lanes, vt, count = shape.lanes, shape.vector, shape.dots
    slots = [f.var(vt) for _ in range(count)]
    for slot in slots:
        slot.set(Value(f, "zeroinitializer", vt))

    def add(slot, at, load):
        slot.set(multiply_add(f, shape, load(a + at * shape.item), load(b + at * shape.item), slot.get()))
    whole, most = k & (-lanes), k & (-lanes * count)
    with f.range(0, most, step=lanes * count) as p:
        for j, slot in enumerate(slots):
            add(slot, p + j * lanes, lambda at: f.load(vt, at, align=1))
    with f.range(most, whole, step=lanes) as p:
        add(slots[0], p, lambda at: f.load(vt, at, align=1))
    with f.if_(whole < k):
        mask = f.below(k - whole, shape.lanes)
        add(slots[1], whole, lambda at: f.masked_load(shape.vector, at, mask))
    group = min(count, lanes)
    totals = [slot.get() for slot in slots]
    while len(totals) > 1:
        totals = [x + y for x, y in zip(totals[::2], totals[1::2])]
    zero = Value(f, "zeroinitializer", vt)
    total = _fold(f, shape, totals + [zero] * (group - 1))
    _store_rows(f, _Chunks(shape, group), [[total]], [f.below(1, shape.lanes)], (c, crs), alpha,
                (bias, rbias, rstep), (d, drs, beta))
    f.ret()


class _Chunks:
    """A ``Shape`` whose consecutive vectors lie ``group`` elements apart."""

    def __init__(self, shape, group):
        self.__dict__.update(shape.__dict__)
        self.bytes = group * shape.item
