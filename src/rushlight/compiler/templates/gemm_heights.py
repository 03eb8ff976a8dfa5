"""Kernels of a matrix product's tiles by their height, each height a module of its own, made when it pays.

A product cuts its rows into panels of one height, and a rest: of the 14 heights there are (6 with fewer registers) a
program meets a few. The driver's module has the kernels of one row, which stand in for those that aren't there, row
after row: an element's bits don't depend on the height, so what nothing has prepared is slow, not wrong. Its tables
are writable:

    rl_tiles        ptr[kinds * mr]: the kernel of a kind for r rows at kind * mr + r - 1
    rl_heights      i64[2]: bit r of the first word: the kernels for r rows are there; of the second: they were missed
    rl_lost         i64[mr + 1]: the time in ns that calls have lost by what stands in for r rows
    void rl_prepare(i64 m, i64 a_row, i64 n, i64 k)
        called before a product of such sizes; with the GIL it calls ``rl_more(i64 rows, i64 ns)``, a Python function,
        for heights that would have been worth making: from ``LIMIT`` on

``rl_lost`` begins with ``LIMIT``, so that a height is asked for when it is first met: it may be on disk.
"""

from rushlight.compiler.codegen.builder import Module, Value
from rushlight.compiler.templates.gemm_micro import tile_kernel, tile_params

# About the time that it takes to make the kernels of a height, in ns.
LIMIT = 15_000_000             # gemm._HEIGHT_NS
# Multiply-adds a ns that a product loses by it, and what a call loses anyway, in ns.
PER_NS, PER_CALL = 16, 200
# Rows that a last panel has at least for heights to be rounded: kernels of fewer wait for their sums.
LEAST_REST = 4
# Kernels of all of a strip's vectors for any n up to them, of one vector, and of exactly all: masks cost, with AVX-512
# a cycle of 28 where B is loaded.
KINDS = ("edge", "narrow", "full")


def write_kernels(module, shape, rows, prefix="", linkage="internal"):
    """Add the kernels for ``rows`` rows."""
    for kind in KINDS:
        tile_kernel(module, shape, rows, 1 if kind == "narrow" else shape.nv, kind != "full", f"{prefix}{kind}{rows}",
                    linkage)


def module_text(triple, shape, rows):
    """LLVM IR of the kernels for ``rows`` rows: ``rl_edge``, ``rl_narrow`` (, ``rl_full``) with the number of rows."""
    module = Module(triple)
    module.globals.append("@zero = internal constant i64 0")
    write_kernels(module, shape, rows, "rl_", "")
    return module.text()


def cut(f, m, most):
    """(panels, their height, that of the last one) for m rows: few panels, of even heights where that is as good."""
    panels = (m + most - 1).udiv(most)
    height = (m + panels - 1).udiv(panels)
    even = f.minimum((height + 1) & -2, most)
    height = f.select((panels > 1) & (m - (panels - 1) * even >= LEAST_REST), even, height)
    return panels, height, m - (panels - 1) * height


def kernel(f, shape, kind, rows):
    """The kernel of a kind for a number of rows."""
    return f.load("ptr", f.symbol("rl_tiles") + (rows + (KINDS.index(kind) * shape.mr - 1)) * 8)


def write_table(driver):
    """Add the table, what stands in for missing kernels, and ``rl_prepare``."""
    m, shape = driver.module, driver.shape
    entries = []
    for kind in KINDS:
        entries.append(f"{kind}1")
        for rows in range(2, shape.mr + 1):
            entries.append(f"{kind}_without{rows}")
            _stand_in(m, shape, kind, rows)
    table = ", ".join(f"ptr @{entry}" for entry in entries)
    m.globals.append(f"@rl_tiles = dso_local global [{len(entries)} x ptr] [{table}], align 64")
    m.globals.append("@rl_heights = dso_local global [2 x i64] [i64 2, i64 0], align 64")
    lost = ", ".join([f"i64 {LIMIT}"] * (shape.mr + 1))
    m.globals.append(f"@rl_lost = dso_local global [{shape.mr + 1} x i64] [{lost}], align 64")
    _prepare(driver)


def _stand_in(m, shape, kind, rows):
    """A kernel of several rows by the one of a single row."""
    f = m.function(f"{kind}_without{rows}", "void", tile_params(shape), "internal", "nounwind")
    by_name = {a.name[1:]: a for a in f.args}
    missed = "getelementptr (i8, ptr @rl_heights, i64 8)"
    f.line(f"{'%' + f.fresh()} = atomicrmw or ptr {missed}, i64 {1 << rows} monotonic, align 8")
    f.call("void", _by_rows(m, shape, kind), f.value(rows), *by_name.values(), declare=False)
    f.ret()


def _by_rows(m, shape, kind):
    name = f"{kind}_rows"
    if name in m.declared:
        return name
    f = m.function(name, "void", [("i64", "rows"), *tile_params(shape)], "internal", "nounwind noinline")
    x = {a.name[1:]: a for a in f.args}
    null = f.null
    with f.range(x["rows"]) as i:
        d = f.select(x["d"].eq(null), x["d"], x["d"] + i * x["drs"])
        row = x | {"a": x["a"] + i * x["ars"], "c": x["c"] + i * x["crs"], "d": d, "rbias": x["rbias"] + i * x["rstep"]}
        del row["rows"]
        f.call("void", f"{kind}1", *row.values(), declare=False)
    f.ret()
    return name


def _prepare(driver):
    """``rl_prepare``; the sizes are those of ``Driver._product``."""
    from rushlight.compiler.templates.gemm_driver import ALIASED_ROWS

    m, shape = driver.module, driver.shape
    m.declare("void", "rl_more", ["i64", "i64"])
    m.globals.append("@last_rows = internal global i64 0, align 8")
    there, missed, last, lost = (Value(None, name, "ptr") for name in (
        "@rl_heights", "getelementptr (i8, ptr @rl_heights, i64 8)", "@last_rows", "@rl_lost"))

    f = m.function("need_height", "void", [("i64", "rows"), ("i64", "ns")], "internal", "nounwind noinline")
    rows, ns = f.args
    with f.if_((f.load("i64", there).lshr(rows) & 1).eq(0) & (rows > 1)):
        at = Value(f, lost.name, "ptr") + rows * 8
        total = f.load("i64", at) + ns
        f.store(total, at)
        # (Programs call products by threads of the pool, too, which must not wait for Python.)
        with f.if_(total >= LIMIT), f.if_(f.call("i32", "PyGILState_Check").ne(0)):
            f.call("void", "rl_more", rows, ns)
    f.ret()

    f = m.function("rl_prepare", "void", [("i64", "m"), ("i64", "a_row"), ("i64", "n"), ("i64", "k")],
                   attributes="nounwind")
    rows, a_row, n, k = f.args
    aliased = (a_row & 4095).eq(0)
    key = rows * 2 + f.emit("i64", f"zext i1 {aliased.name} to i64")
    surprise = f.load("i64", missed) & ~f.load("i64", there)
    # Most calls have as many rows as one before that found all it needed.
    with f.if_(f.load("i64", last).eq(key) & surprise.eq(0)):
        f.ret()
    with f.if_((rows > shape.wide_rows) & (n > 1)):
        def add(most):
            _, height, rest = cut(f, rows, f.value(most))
            found = []
            for count, total in ((height, rows - rest), (rest, rest)):
                f.call("void", "need_height", count, (total * n * k).udiv(PER_NS) + PER_CALL, declare=False)
                found.append((f.load("i64", there).lshr(count) & 1).ne(0) | (count <= 1))
            return found[0] & found[1]
        complete = f.var("i1", add(shape.mr))
        if shape.mr > ALIASED_ROWS:
            with f.if_(aliased):
                complete.set(add(ALIASED_ROWS) & complete.get())
        f.store(f.select(complete.get(), key, f.value(0)), last)
    # What was missed unforeseen: all of it is asked for now.
    with f.if_(surprise.ne(0)):
        f.store(f.value(0), missed)
        with f.range(2, shape.mr + 1) as count:
            with f.if_((surprise.lshr(count) & 1).ne(0)):
                f.call("void", "need_height", count, f.value(PER_CALL), declare=False)
    f.ret()
