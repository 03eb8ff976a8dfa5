"""Fetching ahead of what the next kernels of a product read.

Kernels read their operands in order, but the first ones of a panel would wait for a cache that is far away: while the
kernels of one panel are at work, parts of the next one come to the second-level cache, a part a kernel. What is
fetched are *pieces*: (address, number, bytes from one to the next, bytes of each).
"""

from rushlight.compiler.templates.gemm_micro import prefetch

LINE = 64
# What is adjacent is cut into pieces of so many bytes.
PIECE = 1024


def panel(f, packed, a, depth, height, rows, job, item):
    """The pieces of the panel of A, ``rows`` high, that follows the one at ``a``, of ``depth`` k's; see ``Driver``."""
    size = depth * height * item
    along = job.a_col.eq(item)
    at = f.select(packed, a + size, a + rows * job.a_row)
    number = f.select(packed, (size + (PIECE - 1)).udiv(PIECE), f.select(along, rows, f.value(0)))
    return (at, number, f.select(packed, f.value(PIECE), job.a_row),
            f.select(packed, f.value(PIECE), depth * item))


def strips(f, b, depth, columns, job, item):
    """The pieces of ``columns`` columns of B, not packed, at ``b``."""
    adjacent = job.b_col.eq(item)
    number = f.select(adjacent, depth, f.select(job.b_row.eq(item), columns, f.value(0)))
    return (b, number, f.select(adjacent, job.b_row, job.b_col),
            f.select(adjacent, columns, depth) * item)


def fetch(f, pieces, part, parts):
    """Bring part ``part`` of ``parts`` of the pieces to the second-level cache."""
    at, number, step, size = pieces
    share = (number + parts - 1).udiv(parts)
    with f.range(part * share, f.minimum(part * share + share, number)) as i:
        piece = at + i * step
        with f.range(0, size, step=LINE) as offset:
            prefetch(f, piece + offset, locality=2)
