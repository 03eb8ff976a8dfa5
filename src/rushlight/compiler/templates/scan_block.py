"""Running sums of a row by blocks: eight stretches side by side in the lanes of a vector.

A block is ``SIDE`` vectors of ``SIDE`` elements that follow each other in memory.  Transposed, each register holds one
element of every stretch, so that all stretches are added up at once, one addition a register; the stretches' totals are
scanned over the lanes (by shifts of 1, 2, 4), what comes before a stretch is added to its sums, and these are
transposed back.  The chain of additions of a block runs while the one before is finished and stored.
"""

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.lower import MEMORY, from_memory, to_memory
from rushlight.compiler.templates.squares import transposed

SIDE = 8
ELEMENTS = SIDE * SIDE


def fits(scan):
    """Whether a scan can go by blocks: sums (products could overflow in between) of short elements in wide ones."""
    return scan.kind == "cumsum" and not scan.sequential and scan.lanes == SIDE and max(
        scan.in_size, scan.out_size * (scan.of == "f")) <= 4


def sums(scan, f, x, values, end, carry, past):
    """Store the sums of the elements before number ``end``, a multiple of ``ELEMENTS``; ``carry``, a variable of equal
    lanes, is what comes before the first one, and afterwards the sum of all."""
    with f.if_(end > 0):
        first, before = _added(scan, f, x, f.value(0), carry)
        columns = [f.var(v.type, v) for v in first]
        offset = f.var(before.type, before)
        with f.range(ELEMENTS, end, step=ELEMENTS) as i:
            now, old = [v.get() for v in columns], offset.get()
            later, before = _added(scan, f, x, i, carry)
            _finish(scan, f, values, i - ELEMENTS, now, old, past)
            for variable, v in zip([*columns, offset], [*later, before]):
                variable.set(v)
        _finish(scan, f, values, end - ELEMENTS, [v.get() for v in columns], offset.get(), past)


def _added(scan, f, x, i, carry):
    """Sums within each stretch of a block, and what comes before each."""
    kind = vector(MEMORY[scan.in_dtype], SIDE)
    rows = [f.load(kind, x + (i + SIDE * r) * scan.in_size, scan.in_size) for r in range(SIDE)]
    columns = [from_memory(f, v, scan.in_dtype, scan.of, scan.types) for v in transposed(f, rows)]
    for k in range(1, SIDE):
        columns[k] = columns[k - 1] + columns[k]
    up_to, = scan.in_register(f, [columns[-1]])
    start = carry.get()
    carry.set(start + scan.last(f, up_to))
    return columns, start + f.shuffle(f.value(0, up_to.type), up_to, [0, *range(SIDE, 2 * SIDE - 1)])


def _finish(scan, f, values, i, columns, before, past):
    columns = [to_memory(f, before + v, scan.of, scan.out_dtype, scan.types) for v in columns]
    for r, v in enumerate(transposed(f, columns)):
        place = values + (i + SIDE * r) * scan.out_size
        f.store(v, place, SIDE * scan.out_size if past else scan.out_size, past)
