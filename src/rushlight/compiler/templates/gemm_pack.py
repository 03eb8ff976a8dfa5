"""Packing: operands of the matrix product copied into the order in which kernels read them.

``pack`` makes ``void pack(src, minor, major, k, valid, width, dst)``: a strip of ``valid`` <=
``width`` elements with byte stride ``minor`` at each of ``k`` steps of byte stride ``major``
becomes ``dst[p * width + i]``. A strip of A is a panel of rows (minor is the row stride), a strip
of B a group of columns. Elements from ``valid`` to ``width`` are arbitrary.

``pack_strips`` makes ``void pack_strips(src, minor, major, k, valid, width, dst)`` for any ``valid``: the
strips follow each other, ``k * width`` elements each. Where elements are adjacent along ``minor`` it goes
along the rows of several strips, as memory likes it.
"""


# Strips that are packed together: pieces of a row long enough for memory, not too many streams.
GROUP = 4
# Rows that are read of one strip before those of the next.
ROWS = 8

PARAMS = (
    ("ptr", "src"),
    ("i64", "minor"),
    ("i64", "major"),
    ("i64", "k"),
    ("i64", "valid"),
    ("i64", "width"),
    ("ptr", "dst"),
)


def pack(module, shape, name="pack"):
    """Write the packing function for elements of ``shape``."""
    f = module.function(name, "void", PARAMS, "internal", "nounwind")
    src, minor, major, k, valid, width, dst = f.args
    lanes, item = shape.lanes, shape.item
    # A vector's lanes at a time: one for most panels of A, two for the columns of B.
    with f.range(0, width, step=lanes) as first:
        left = valid - first
        here = src + first * minor
        to = dst + first * item
        stored = f.below(width - first, shape.lanes)
        loaded = f.below(left, shape.lanes)
        step = width * item
        with f.if_else(minor.eq(item)) as (along, across):
            with along:
                _copy(f, shape, here, major, k, loaded, stored, to, step)
            with across, f.if_else(major.eq(item)) as (turned, scattered):
                with turned:
                    _transpose(f, shape, here, minor, k, left, stored, to, step)
                with scattered:
                    _gather(f, shape, here, minor, major, k, left, to, step)
    f.ret()


def pack_strips(module, shape):
    """Write ``pack_strips`` (after ``pack``)."""
    f = module.function("pack_strips", "void", PARAMS, "internal", "nounwind")
    src, minor, major, k, valid, width, dst = f.args
    lanes, item = shape.lanes, shape.item
    size = k * width * item
    # Most strips are one or two vectors wide. Their last one may reach into the next row, which is stored after it, but
    # for the last row: storing less than a vector takes long.
    inside = f.below((width - 1) % lanes + 1, shape.lanes)
    with f.if_else(minor.eq(item) & (valid > width) & (width <= 2 * lanes)) as (along, single):
        with along:
            with f.range(0, valid, step=width * GROUP) as begin:
                end = f.minimum(begin + width * GROUP, valid)
                with f.range(0, k, step=ROWS) as first:
                    last = f.minimum(first + ROWS, k)
                    with f.range(begin, end, step=width) as at:
                        loaded = [f.below(f.minimum(width, valid - at), shape.lanes, j * shape.lanes) for j in range(2)]
                        to = dst + (at * k) * item

                        def row(p, vectors, mask=None):
                            here, there = src + (p * major + at * item), to + p * width * item
                            for j in range(vectors):
                                x = f.masked_load(shape.vector, here + j * lanes * item, loaded[j])
                                if mask is not None and j == vectors - 1:
                                    f.masked_store(x, there + j * shape.bytes, mask)
                                else:
                                    f.store(x, there + j * shape.bytes, align=1)
                        with f.if_else(width > lanes) as arms:
                            for arm, vectors in zip(arms, (2, 1)):
                                with arm:
                                    with f.range(first, f.minimum(last, k - 1)) as p:
                                        row(p, vectors)
                                    with f.if_(last.eq(k)):
                                        row(k - 1, vectors, inside)
        with single, f.range(0, valid, step=width) as at:
            f.call("void", "pack", src + at * minor, minor, major, k, f.minimum(width, valid - at), width,
                   dst + at.udiv(width) * size)
    f.ret()


def _copy(f, shape, src, major, k, loaded, stored, dst, step):
    with f.range(k) as p:
        value = f.masked_load(shape.vector, src + p * major, loaded)
        f.masked_store(value, dst + p * step, stored)


def _transpose(f, shape, src, minor, k, left, stored, dst, step):
    """Rows of ``lanes`` consecutive k's for each of ``lanes`` minors, turned in registers.

    Minors that aren't there repeat the last one: kernels never store what comes of them.
    """
    lanes = shape.lanes
    rows = [src + minor * f.minimum(f.value(i), left - 1) for i in range(lanes)]
    whole = k & (-lanes)
    with f.range(0, whole, step=lanes) as p:
        vectors = [f.load(shape.vector, row + p * shape.item, align=1) for row in rows]
        for q, column in enumerate(turn(f, vectors)):
            f.masked_store(column, dst + (p + q) * step, stored)
    with f.if_(whole < k):
        rest = k - whole
        mask = f.below(rest, shape.lanes)
        vectors = [f.masked_load(shape.vector, row + whole * shape.item, mask) for row in rows]
        for q, column in enumerate(turn(f, vectors)):
            with f.if_(rest > q):
                f.masked_store(column, dst + (whole + q) * step, stored)


def turn(f, vectors):
    """The transpose of a square block of vectors, by log2(lanes) rounds of two-input shuffles."""
    n = len(vectors)
    distance = 1
    while distance < n:
        low, high = [], []
        for i in range(n):
            # Exchange of the bit ``distance`` between the vector's number and the lane's.
            low.append(i if not i & distance else n + i - distance)
            high.append(i + distance if not i & distance else n + i)
        turned = list(vectors)
        for i in range(n):
            if not i & distance:
                a, b = vectors[i], vectors[i + distance]
                turned[i] = f.shuffle(a, b, low)
                turned[i + distance] = f.shuffle(a, b, high)
        vectors = turned
        distance *= 2
    return vectors


def _gather(f, shape, src, minor, major, k, left, dst, step):
    """Any strides: an element at a time."""
    item = shape.item
    count = f.minimum(left, f.value(shape.lanes))
    with f.range(k) as p:
        row, to = src + p * major, dst + p * step
        with f.range(count) as i:
            f.store(f.load(shape.element, row + i * minor, align=1), to + i * item)
