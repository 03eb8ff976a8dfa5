"""Many small matrices at a time: element e of as many matrices as a vector has lanes, side by side.

    turn(f, j, src, rows, n, dst)                   n adjacent elements of each matrix
    turn_pair(f, j, one, r, two, c, rows, dst)      r and c elements of each from two places, r + c at most a vector
    turned_back(f, j, src, rows, use)               ``use(k, values)`` for matrix k < rows of n <= lanes elements
    laid_out(f, j, src, n, dst)                     the matrices of a turned group one after the other again

``rows`` matrices, at most the lanes of ``j`` (a ``jobs.Job``), lie one after the other; in lanes past them are elements
of the last one, or zeros.
"""

from rushlight.compiler.templates.squares import transposed


def turn(f, j, src, rows, n, dst):
    """dst[e] = element e of each of the matrices; ``dst`` has room for whole squares."""
    with f.if_else(n.eq(1)) as (dense, other):
        with dense:
            j.store(j.load(src, j.below(rows)), dst)
        with other, f.range(0, n, step=j.lanes) as at:
            mask, last = j.below(n - at), rows - 1
            found = [j.load(src + (f.minimum(f.value(k), last) * n + at) * j.item, mask)
                     for k in range(j.lanes)]
            for k, x in enumerate(transposed(f, found)):
                j.store(x, dst + (at + k) * (j.lanes * j.item))


def turn_pair(f, j, one, r, two, c, rows, dst):
    """dst[e] for e < r from the first, dst[r + e] from the second."""
    first, both = j.below(r), j.below(r + c)
    second, last = both & ~first, rows - 1
    before = two + (f.value(0) - r) * j.item
    found = []
    for k in range(j.lanes):
        at = f.minimum(f.value(k), last)
        x = j.load(one + at * r * j.item, first)
        found.append(f.select(first, x, j.load(before + at * c * j.item, second)))
    for k, x in enumerate(transposed(f, found)):
        j.store(x, dst + k * (j.lanes * j.item))


def turned_back(f, j, src, rows, use):
    """Call ``use(k, values)`` where matrix k exists, with its first elements."""
    found = [j.load(src + k * (j.lanes * j.item)) for k in range(j.lanes)]
    for k, x in enumerate(transposed(f, found)):
        with f.if_(rows > k):
            use(k, x)


def laid_out(f, j, src, n, dst):
    """dst[k n + e] = element e of matrix k; ``dst`` has room for a vector more.

    What is read soon after is written whole: a masked store would keep the reader waiting.
    """
    with f.if_else(n <= j.lanes) as (short, long):
        with short:
            found = [j.load(src + k * (j.lanes * j.item)) for k in range(j.lanes)]
            # What is written past a matrix's end the next one overwrites.
            for k, x in enumerate(transposed(f, found)):
                j.store(x, dst + n * (k * j.item))
        with long, f.range(0, n, step=j.lanes) as at:
            found = [j.load(src + (at + k) * (j.lanes * j.item)) for k in range(j.lanes)]
            for k, x in enumerate(transposed(f, found)):
                j.store(x, dst + (n * k + at) * j.item, j.below(n - at))
