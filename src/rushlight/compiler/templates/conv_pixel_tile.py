"""Micro-kernels of convolutions of channels-last images: a tile of pixels by output channels, in registers.

    void tile(runs, count, a, a_row, b, c, c_row, rows, n, bias)

        c[i, j] = bias[j] + sum over runs (int64 offset, int64 length) and p < length of a[offset + i a_row, p] b[., j]

for i < rows <= ``height`` and j < n <= ``vectors`` vectors of elements. A run is what windows have in common with a
row of the image: adjacent words, the same for all windows, a_row bytes further for each. b holds ``vectors`` vectors
for each word of each run. Words are elements, or *pairs* of bfloat16, whose products are added in float32 (dot products
of AVX512_BF16). Sums are in the order of the words.
"""

from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.templates.conv_tile import (
    ITEM,
    add_product,
    lanes_of,
    sums_of,
)
from rushlight.runtime import cpu

_PARAMS = (("ptr", "runs"), ("i64", "count"), ("ptr", "a"), ("i64", "a_row"), ("ptr", "b"), ("ptr", "c"),
           ("i64", "c_row"), ("i64", "rows"), ("i64", "n"), ("ptr", "bias"))
_GROUP = 3          # rows to a pointer: [p], [p + s], [p + 2s]


def form(rows, across):
    """(height, vectors) of the tile for so many vectors of channels and pixels in a row: the least time it takes."""
    many = cpu.vector_bytes() == 64 or cpu.machine() == "aarch64"
    best = None
    for vectors, most in ({2: 14, 4: 7, 3: 9, 1: 14} if many else {2: 6, 1: 8}).items():
        for height in range(1, min(most, across) + 1):
            # A multiply-add a cycle, or a load.
            cycles = max(height * vectors, height + vectors) + 0.2 * (height + vectors)
            cost = -(-across // height) * -(-rows // vectors) * cycles
            if best is None or cost < best[0]:
                best = cost, height, vectors
    return best[1:]


@cache
def address(type_, height, vectors):
    """The address of a kernel for ``float``, ``double`` or ``pairs``."""
    key = f"conv pixel tile|{type_}|{height}|{vectors}|{cpu.vector_bytes()}"
    return engine.load(key, lambda: module_text(type_, height, vectors), ["rl_tile"], level=1,
                       codegen_level=3)["rl_tile"]


def module_text(type_, height, vectors):
    """The IR of one kernel."""
    from rushlight.compiler.codegen.targets import host

    m = Module(host().triple)
    _kernel(m, type_, height, vectors)
    return m.text()


def _kernel(m, type_, height, vectors):
    f = m.function("rl_tile", "void", _PARAMS, "", "nounwind")
    runs, count, a, a_row, b, c, c_row, rows, n, bias = f.args
    element = sums_of(type_)
    item, lanes = ITEM[element], lanes_of(element)
    size, kind = item * lanes, vector(element, lanes)
    groups = range(-(-height // _GROUP))
    names = {key: f"%{f.fresh('next')}" for key in (
        "run", "k", "b", *(("a", g) for g in groups), *((i, j) for i in range(height) for j in range(vectors)))}
    cells = [(i, j) for i in range(height) for j in range(vectors)]
    f.line("%a_row2 = mul i64 %a_row, 2")
    f.line("%a_row3 = mul i64 %a_row, 3")
    f.branch(count > 0, "run", "store")

    f.lines.append("run:")
    f.open = True
    run = f.emit("ptr", f"phi ptr [ {runs.name}, %entry ], [ {names['run']}, %loop ]")
    left = f.emit("i64", f"phi i64 [ {count.name}, %entry ], [ %runs_left, %loop ]")
    b_start = f.emit("ptr", f"phi ptr [ {b.name}, %entry ], [ {names['b']}, %loop ]")
    starts = {cell: f.emit(kind, f"phi {kind} [ zeroinitializer, %entry ], [ {names[cell]}, %loop ]") for cell in cells}
    offset, length = f.load("i64", run), f.load("i64", run + 8)
    pointers = [a + offset]
    for _ in groups[1:]:
        pointers.append(pointers[-1] + Value(f, "%a_row3", "i64"))
    f.line(f"{names['run']} = getelementptr i8, ptr {run.name}, i64 16")
    f.line(f"%runs_left = sub i64 {left.name}, 1")
    f.line("br label %word")

    # The last word of a run goes to the next run, all others to this block.
    f.lines.append("word:")
    k = f.emit("i64", f"phi i64 [ {length.name}, %run ], [ {names['k']}, %next ]")
    places = [f.emit("ptr", f"phi ptr [ {p.name}, %run ], [ {names[('a', g)]}, %next ]")
              for g, p in enumerate(pointers)]
    at = f.emit("ptr", f"phi ptr [ {b_start.name}, %run ], [ {names['b']}, %next ]")
    sums = {cell: f.emit(kind, f"phi {kind} [ {starts[cell].name}, %run ], [ {names[cell]}, %next ]")
            for cell in cells}
    columns = [f.load(kind, at + j * size, align=1) for j in range(vectors)]
    for i in range(height):
        place = places[i // _GROUP]
        if i % _GROUP:
            place = place + (a_row if i % _GROUP == 1 else Value(f, "%a_row2", "i64"))
        x = f.splat(f.load(element, place, align=1), lanes)
        for j in range(vectors):
            value = add_product(f, type_, x, columns[j], sums[(i, j)])
            f.lines[-1] = f.lines[-1].replace(value.name + " =", names[(i, j)] + " =", 1)
    for g in groups:
        f.line(f"{names[('a', g)]} = getelementptr i8, ptr {places[g].name}, i64 {item}")
    f.line(f"{names['b']} = getelementptr i8, ptr {at.name}, i64 {vectors * size}")
    f.line(f"{names['k']} = sub i64 {k.name}, 1")
    f.branch(Value(f, names["k"], "i64") > 0, "next", "loop")
    f.lines.append("next:")
    f.open = True
    f.terminate("br label %word")
    f.lines.append("loop:")
    f.open = True
    f.branch(Value(f, "%runs_left", "i64") > 0, "run", "store")

    f.lines.append("store:")
    f.open = True
    totals = {cell: f.emit(kind, f"phi {kind} [ zeroinitializer, %entry ], [ {names[cell]}, %loop ]") for cell in cells}
    masks = [f.below(n, lanes, j * lanes) for j in range(vectors)]
    offsets = [f.masked_load(kind, bias + j * size, mask) for j, mask in enumerate(masks)]
    for i in range(height):
        f.branch(rows > i, f"row{i}", "end")
        f.lines.append(f"row{i}:")
        f.open = True
        place = c + c_row * i
        for j in range(vectors):
            f.masked_store(totals[(i, j)] + offsets[j], place + j * size, masks[j])
    f.label("end")
    f.ret()
