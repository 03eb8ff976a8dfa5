"""Fetching ahead of what the next kernels of a product read.

Kernels read their operands in order, but the first ones of a panel would wait for a cache that is far away: while the
kernels of one panel are at work, the next one comes to the second-level cache, a bit with each k (``gemm_micro``), and
the part of B that is to be packed next, some before each kernel: *pieces* (address, number, bytes from one to the
next, bytes of each).
"""


LINE = 64


def panel(f, more, packed, a, depth, height, rows, job, item):
    """(address, bytes from strip to strip) of what the kernels of the panel at ``a`` fetch of the next one.

    What is packed they read in full; of rows, two for each strip. Unless there is ``more``, what they read themselves.
    """
    after = f.select(packed, a + depth * height * item, a + rows * job.a_row)
    by_rows = more & ~packed & job.a_col.eq(item)
    return f.select(more, after, a), f.select(by_rows, job.a_row * 2, f.value(0))


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
            f.prefetch(piece + offset, near=2)
