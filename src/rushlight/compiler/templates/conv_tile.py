"""Micro-kernels of convolutions: a tile of outputs held in registers.

    void tile(k, a, a_row, b, b_row, c, c_row, rows, n, beta, bias)

        c[i, j] = sum_p a[i, p] * b[p, j]  (+ c[i, j] when beta is 1)  + bias[i]

for i < rows <= ``height`` and j < n <= ``vectors`` vectors of elements; strides in bytes. In a *packed* kernel the
``height`` elements of a[:, p] follow each other and a_row is ignored (the weights of a convolution, against pixels);
in the other a[i, p] stands at ``a + i a_row + p itemsize`` (window columns, against gradients by channel). ``bias``
points to ``rows`` elements. Products are summed in the order of p. The elements of a and b may be *pairs* of bfloat16,
whose products are added in float32 (dot products of AVX512_BF16); the others are float then.

A kernel is a small module of its own, made when a convolution of its height is first met.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.runtime import cpu

ITEM = {"float": 4, "double": 8}
_PARAMS = (("i64", "k"), ("ptr", "a"), ("i64", "a_row"), ("ptr", "b"), ("i64", "b_row"), ("ptr", "c"),
           ("i64", "c_row"), ("i64", "rows"), ("i64", "n"), ("i64", "beta"), ("ptr", "bias"))


@cache
def lanes_of(type_):
    """Elements of a vector."""
    return cpu.vector_bytes() // ITEM[type_]


@cache
def _registers():
    return 32 if cpu.vector_bytes() == 64 or cpu.machine() == "aarch64" else 16


def builtin(key, type_, build, entry, codegen_level=1):
    """The builtin function at ``entry`` of the module that ``build()`` writes for a type of elements."""
    from rushlight.compiler.templates import entries

    return entries.load(f"{key}|{type_}|{cpu.vector_bytes()}", build, [entry], codegen_level=codegen_level)[0]


def form(rows):
    """(height, vectors) of the tile for so many rows: as many sums as the register file holds."""
    most = {2: 14, 4: 6, 8: 3} if _registers() == 32 else {2: 6, 4: 2, 8: 1}
    for vectors in (8, 4):
        if rows <= most[vectors]:
            return rows, vectors
    panels = -(-rows // most[2])
    return -(-rows // panels), 2


@cache
def address(type_, height, vectors, packed):
    """The address of a kernel."""
    key = f"conv tile|{type_}|{height}|{vectors}|{packed}|{cpu.vector_bytes()}"
    return engine.load(key, lambda: module_text(type_, height, vectors, packed), ["rl_tile"], level=1,
                       codegen_level=3)["rl_tile"]


def module_text(type_, height, vectors, packed):
    """The IR of one kernel."""
    from rushlight.compiler.codegen.targets import host

    m = Module(host().triple)
    _kernel(m, type_, height, vectors, packed)
    return m.text()


def multiply_add(f, a, b, c):
    """a * b + c, in one rounding where the CPU has it (elsewhere it would be a library call an element)."""
    return f.fma(a, b, c) if cpu.has("fma") or cpu.machine() == "aarch64" else a * b + c


def add_product(f, type_, a, b, c):
    """a * b + c; of pairs the sum of both products and c."""
    if type_ != "pairs":
        return multiply_add(f, a, b, c)
    lanes = lanes_of("float")
    bits = f"<{2 * lanes} x bfloat>"
    a, b = (f.emit(bits, f"bitcast {c.type} {x.name} to {bits}") for x in (a, b))
    return f.call(c.type, f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", c, a, b)


def sums_of(type_):
    """The type of the sums."""
    return "float" if type_ == "pairs" else type_


def _kernel(m, kind_, height, vectors, packed):
    type_ = sums_of(kind_)
    f = m.function("rl_tile", "void", _PARAMS, "", "nounwind")
    k, a, a_row, b, b_row, c, c_row, rows, n, beta, bias = f.args
    item, lanes = ITEM[type_], lanes_of(type_)
    size, kind = item * lanes, vector(type_, lanes)
    if packed:
        # Rows of the result lie far apart, and sums over few channels are soon made.
        for i in range(height):
            for j in range(vectors):
                f.prefetch(c + c_row * i + j * size, 1)
    f.branch(k > 0, "loop", "store")
    f.lines.append("loop:")
    f.open = True
    names = {}

    def phi(type_, initial, key):
        names[key] = f"%{f.fresh('next')}"
        return f.emit(type_, f"phi {type_} [ {initial}, %entry ], [ {names[key]}, %loop ]")

    count = phi("i64", k.name, "k")
    # Three rows to a pointer: [p], [p + s], [p + 2s].
    starts = [a] if packed else [Value(f, "%a", "ptr")] + [None] * ((height - 1) // 3)
    if not packed:
        entry = []
        for g in range(1, len(starts)):
            entry.append(f"  %start{g} = getelementptr i8, ptr %{'a' if g == 1 else f'start{g - 1}'}, i64 %a_row3")
            starts[g] = Value(f, f"%start{g}", "ptr")
        f.head += ["  %a_row2 = mul i64 %a_row, 2", "  %a_row3 = mul i64 %a_row, 3", *entry]
    pointers = [phi("ptr", p.name, ("a", g)) for g, p in enumerate(starts)]
    at = phi("ptr", b.name, "b")
    sums = [[phi(kind, "zeroinitializer", (i, j)) for j in range(vectors)] for i in range(height)]
    columns = [f.load(kind, at + j * size, align=1) for j in range(vectors)]
    for i in range(height):
        if packed:
            place = pointers[0] + i * item
        else:
            place = pointers[i // 3]
            if i % 3:
                place = place + (a_row if i % 3 == 1 else Value(f, "%a_row2", "i64"))
        x = f.splat(f.load(type_, place, align=item), lanes)
        for j in range(vectors):
            value = add_product(f, kind_, x, columns[j], sums[i][j])
            f.lines[-1] = f.lines[-1].replace(value.name + " =", names[(i, j)] + " =", 1)
    for g, p in enumerate(pointers):
        f.line(f"{names[('a', g)]} = getelementptr i8, ptr {p.name}, i64 {height * item if packed else item}")
    f.line(f"{names['b']} = getelementptr i8, ptr {at.name}, i64 {b_row.name}")
    f.line(f"{names['k']} = sub i64 {count.name}, 1")
    f.branch(Value(f, names["k"], "i64") > 0, "loop", "store")
    f.lines.append("store:")
    f.open = True
    totals = [[f.emit(kind, f"phi {kind} [ zeroinitializer, %entry ], [ {names[(i, j)]}, %loop ]")
               for j in range(vectors)] for i in range(height)]

    def finish(load, store):
        for i, row in enumerate(totals):
            offset = f.splat(f.load(type_, bias + i * item, align=item), lanes)
            for j, total in enumerate(row):
                here = c + c_row * i + j * size
                store((total + load(here) if load else total) + offset, here)
        f.ret()

    # Most tiles are whole.
    with f.if_((rows.eq(height)) & (n.eq(vectors * lanes))):
        def plain(here):
            return f.load(kind, here, align=item)

        def put(value, here):
            f.store(value, here, align=item)

        with f.if_(beta.eq(0)):
            finish(None, put)
        finish(plain, put)
    masks = [f.below(n, lanes, j * lanes) for j in range(vectors)]
    again = f.splat(beta.ne(0), lanes)
    old = [mask & again for mask in masks]
    for i, row in enumerate(totals):
        f.branch(rows > i, f"row{i}", "end")
        f.lines.append(f"row{i}:")
        f.open = True
        offset = f.splat(f.load(type_, bias + i * item, align=item), lanes)
        place = c + c_row * i
        for j, total in enumerate(row):
            here = place + j * size
            f.masked_store(total + f.masked_load(kind, here, old[j]) + offset, here, masks[j])
    f.label("end")
    f.ret()
