"""Transposes in registers: the part of copies whose result is dense in one dimension and whose source in another.

A *panel* is as many rows of the source as make a cache line of the result, times a vector of columns. Its rows are
loaded whole, squares of them transposed by shuffles, and each column stored as one line. Panels are taken in blocks
of ``RUN`` bytes of the source by ``RUN`` bytes of the result: memory likes to be read and written in runs longer than a
line. The lines of the next block are asked for row by row while a block is worked on, since hardware sees no pattern
in them and reading panel by panel would visit a row's neighbouring lines at four different times (a tenth to a
fifth of the bandwidth).
"""

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.targets import host

LINE = 64                       # bytes of a cache line
RUN = 4 * LINE                  # bytes of a block's rows on either side, at least
SPAN = 1024                     # columns that a tile goes along before the next rows
MOST_LANES = 16                 # rows of a square: as many registers
LINES_A_STEP = 8                # lines that a step of a loop stores


class Panel:
    """Sizes of a panel for elements of ``size`` bytes.

    ``n`` rows and columns of a square, ``lanes`` columns of a vector, ``rows`` of the panel (a line of the result),
    ``block`` rows and columns of a block.
    """

    def __init__(self, size):
        self.size = size
        self.lanes = host().lanes(size)
        self.n = min(MOST_LANES, self.lanes)
        self.rows = max(LINE // size, self.n)
        # A row of a block has at most as many lines as a panel, so that panels can ask for whole rows.
        self.block = min(max(RUN // size, 4 * MOST_LANES), max(self.n * self.lanes, self.rows))
        self.direct = self.n * size >= LINE             # a column of a square is a line

    def height(self, f, p):
        """Rows of a band of ``p`` rows: a block's, or as few as a square's."""
        return f.select(p >= self.rows, f.value(self.block), f.value(self.n))


def block(f, panel, to, out_row, source, a_row, rows, columns, ahead, stream):
    """Transpose ``rows`` x ``columns`` elements, at least a panel; ``ahead`` is where the next block's rows begin.

    The last panels overlap the ones before. With ``stream`` whole lines go past the cache.
    """
    size = panel.size
    lines = panel.n * host().vector_bytes // LINE       # of the source, in a square's registers
    per_row = panel.block * size // LINE
    asked = f.var("ptr", ahead)
    with f.range(0, columns, step=panel.lanes) as at:
        j = f.minimum(at, columns - panel.lanes)
        with f.range(0, rows, step=panel.rows) as down:
            i = f.minimum(down, rows - panel.rows)
            here, there = source + i * a_row + j * size, to + i * size + j * out_row
            if panel.direct:
                _ask(f, asked, a_row, lines, per_row)
                _direct(f, panel, there, out_row, here, a_row, stream)
            else:
                _gathered(f, panel, there, out_row, here, a_row, stream,
                          lambda: _ask(f, asked, a_row, lines, per_row))


def _ask(f, asked, a_row, lines, per_row):
    """Ask for the next ``lines`` lines of the next block, row by row."""
    if lines < per_row:
        return
    here = asked.get()
    for _ in range(lines // per_row):
        for k in range(per_row):
            f.prefetch(here + LINE * k, near=2)
        here = here + a_row
    asked.set(here)


def _direct(f, panel, to, out_row, source, a_row, stream):
    kind = vector(f"i{8 * panel.size}", panel.n)
    columns = transposed(f, [f.load(kind, source + a_row * k, 1) for k in range(panel.n)])
    with f.if_else(stream) as (past, normal):
        for arm, around, align in ((past, True, LINE), (normal, False, 1)):
            with arm:
                for k, column in enumerate(columns):
                    f.store(column, to + out_row * k, align, around)


def _gathered(f, panel, to, out_row, source, a_row, stream, ask):
    """A panel of several squares: a buffer puts the lines together."""
    n, size, lanes = panel.n, panel.size, panel.lanes
    kind, piece = vector(f"i{8 * size}", lanes), n * size
    lines = f.buffer(LINE * lanes, LINE)
    with f.range(0, panel.rows, step=n) as row:
        ask()
        columns = transposed(f, [f.load(kind, source + (row + k) * a_row, 1) for k in range(n)], lanes // n)
        for k, column in enumerate(columns):
            for b in range(lanes // n):
                part = column if n == lanes else f.shuffle(column, column, list(range(b * n, b * n + n)))
                f.store(part, lines + (row * size + LINE * (b * n + k)), piece)
    line = vector("i8", LINE)
    with f.if_else(stream) as (past, normal):
        for arm, around, align in ((past, True, LINE), (normal, False, 1)):
            step = min(lanes, LINES_A_STEP)
            with arm, f.range(0, lanes, step=step) as first:
                for k in range(step):
                    value = f.load(line, lines + (first + k) * LINE, LINE)
                    f.store(value, to + out_row * (first + k), align, around)


def squares(f, panel, to, out_row, source, a_row, rows, columns):
    """Transpose ``rows`` x ``columns`` elements, fewer than a panel but at least a square."""
    n, size = panel.n, panel.size
    kind = vector(f"i{8 * size}", n)
    with f.range(0, rows, step=n) as down:
        i = f.minimum(down, rows - n)
        with f.range(0, columns, step=n) as at:
            j = f.minimum(at, columns - n)
            here, there = source + i * a_row + j * size, to + i * size + j * out_row
            for k, column in enumerate(transposed(f, [f.load(kind, here + a_row * k, 1) for k in range(n)])):
                f.store(column, there + out_row * k, 1)


def transposed(f, rows, count=1):
    """The columns of a square given by its rows: quarters change places, then those of the quarters, and so on.

    With ``count`` squares side by side in the rows, the columns of each, side by side.
    """
    n = len(rows)
    lanes = n * count
    distance = n // 2
    while distance:
        for i in range(n):
            if i & distance:
                continue
            a, b = rows[i], rows[i + distance]
            rows[i] = f.shuffle(a, b, [k if not k & distance else lanes + k - distance for k in range(lanes)])
            other = [k + distance if not k & distance else lanes + k for k in range(lanes)]
            rows[i + distance] = f.shuffle(a, b, other)
        distance //= 2
    return rows
