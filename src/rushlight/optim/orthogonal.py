"""The plan of Muon's step: which products orthogonalize, where matrices lie (see ``compiler/templates/orthogonal``)."""

import numpy as np

from rushlight.optim import phased

GROUP = 1 << 20         # numbers of parameters of one shape that are orthogonalized side by side, at least one
TILE = 1 << 14          # numbers of a tile
BLOCK = 128             # rows of the blocks of a symmetric product, of which those below the diagonal aren't computed
SYMMETRIC_FROM = 256    # rows


def orthogonal_plan(batch, buffers, coefficients, steps, adjusted):
    """The ``phased.Plan`` for (parameter, gradient) members of float32, None where a buffer doesn't fit.

    adjusted: shape -> factor of the step.
    """
    if not all(phased.are_plain(p, [b], [p._a.shape]) for (p, _), b in zip(batch, buffers, strict=True)):
        return None
    sets = [(p._a, b._a) for (p, _), b in zip(batch, buffers, strict=True)]
    return _Layout(sets, coefficients, steps, [adjusted(p.shape) for p, _ in sets]).plan()


class _Layout:
    def __init__(self, sets, coefficients, steps, factors):
        from rushlight.compiler.templates import orthogonal, phases

        self.t, self.phases, self.sets = orthogonal, phases, sets
        self.coefficients, self.steps, self.factors = coefficients, steps, factors
        self.addresses = orthogonal.tasks()
        self.product = orthogonal.product_address()
        self.numbers = np.zeros(orthogonal.NUMBERS)
        self.kept, self.list = [], []

    def groups(self):
        """Lists of numbers of parameters of one shape, each orthogonalized as one batch."""
        shapes, groups = {}, []
        for k, (p, _) in enumerate(self.sets):
            shapes.setdefault(p.shape, []).append(k)
        for shape, members in shapes.items():
            most = max(1, GROUP // (shape[0] * shape[1]))
            groups += [members[i:i + most] for i in range(0, len(members), most)]
        return groups

    def plan(self):
        t, groups = self.t, self.groups()
        sizes = [[(len(g) * self.sets[g[0]][0].size), len(g) * min(self.sets[g[0]][0].shape) ** 2] for g in groups]
        # Two matrices and two Gram matrices of the group that is worked on; whole lines each.
        longest, square = (max(x) + 64 for x in zip(*sizes, strict=True))
        scratch = np.empty((2 * longest + 2 * square,), np.uint16)
        self.kept.append(scratch)
        at = scratch.ctypes.data
        ends = at, at + 2 * longest
        grams = at + 4 * longest, at + 4 * longest + 2 * square
        params = np.zeros((len(self.sets), t.PARAM_WORDS), np.int64)
        done = 0
        for members in groups:
            self.group(members, params[done:done + len(members)], ends, grams)
            done += len(members)
        order = [k for members in groups for k in members]
        place = {k: params.ctypes.data + i * params.strides[0] + 8 * t.G for i, k in enumerate(order)}
        words = self.phases.plan_of([(place[k], p.size) for k, (p, _) in enumerate(self.sets)], self.list)
        return phased.Plan(words, self.numbers, params, self.kept, self.sets)

    def phase(self, name, table, tiles, work, *words):
        context = np.array([table.ctypes.data, *(words or [self.numbers.ctypes.data])], np.int64)
        self.kept += [context, table]
        self.list.append((self.addresses[name], context.ctypes.data, tiles, work))

    def group(self, members, params, ends, grams):
        """The phases of parameters of one shape; records go into ``params``."""
        t, count = self.t, len(members)
        rows, columns = self.sets[members[0]][0].shape
        tall, size = rows > columns, rows * columns
        tiles = []
        for i, k in enumerate(members):
            p, buffer = self.sets[k]
            if tall:
                per = max(t.GROUP, TILE // columns // t.GROUP * t.GROUP)
                found = [(at, min(per, rows - at)) for at in range(0, rows, per)]
            else:
                found = [(at, min(TILE, size - at)) for at in range(0, size, TILE)]
            last = ends[self.steps & 1] + 2 * i * size
            words = {t.P: p.ctypes.data, t.BUFFER: buffer.ctypes.data, t.X: ends[0] + 2 * i * size, t.RESULT: last,
                     t.ROWS: rows, t.COLUMNS: columns, t.TALL: tall, t.TILE: len(tiles), t.TILES: len(found),
                     t.FACTOR: int(np.float64(self.factors[k]).view(np.int64))}
            params[i, list(words)] = list(words.values())
            tiles += [(params.ctypes.data + i * params.strides[0], *tile, 0) for tile in found]
        tiles = np.array(tiles, np.int64)
        params[:, t.TILE] = tiles.ctypes.data + params[:, t.TILE] * (8 * t.TILE_WORDS)
        work = count * size
        self.phase("momentum", tiles, len(tiles), work)
        self.phase("norm", params, count, 0)
        self.phase("divide", tiles, len(tiles), work)
        a, b, c = self.coefficients
        m, n = sorted((rows, columns))
        gram, cubic = grams
        for step in range(self.steps):
            x, y = ends[step & 1], ends[1 - (step & 1)]
            # X X^T, then b gram + c gram gram, which are symmetric, then a X + that X.
            self.symmetric(count, m, n, dict(a=x, a_row=2 * n, a_batch=2 * size), gram, dict(alpha=1.0))
            self.symmetric(count, m, m, dict(a=gram, a_row=2 * m, a_batch=2 * m * m), cubic,
                           dict(alpha=c, d=gram, d_row=2 * m, d_batch=2 * m * m, factor=b))
            self.products([self.t.job(
                outer=1, batch=count, m=m, n=n, k=m, a=cubic, a_row=2 * m, a_col=2, a_batch=2 * m * m, b=x,
                b_row=2 * n, b_col=2, b_batch=2 * size, c=y, c_row=2 * n, c_batch=2 * size, alpha=1.0, d=x,
                d_row=2 * n, d_batch=2 * size, factor=a)])
        self.phase("update", tiles, len(tiles), work)

    def symmetric(self, count, m, k, fields, to, more):
        """The product of a batch of m x k matrices and their transposes, to m x m matrices at ``to``."""
        block = BLOCK if m >= SYMMETRIC_FROM and m % self.t.SQUARE == 0 else m
        jobs, row, blocks = [], fields["a_row"], range(0, m, block)
        for top in blocks:
            own = dict(fields, **more)
            own["a"] += top * row
            if "d" in own:
                own["d"] += top * (own["d_row"] + 2)
            jobs.append(self.t.job(
                outer=1, batch=count, m=min(block, m - top), n=m - top, k=k, a_col=2, b=fields["a"] + top * row,
                b_row=2, b_col=row, b_batch=fields["a_batch"], c=to + top * 2 * (m + 1), c_row=2 * m,
                c_batch=2 * m * m, **own))
        self.products(jobs)
        if len(jobs) > 1:
            tiles = np.array([(to + 2 * i * m * m, 2 * m, top, min(block, m - top)) for i in range(count)
                              for top in blocks[1:]], np.int64)
            self.phase("mirror", tiles, len(tiles), count * m * m)

    def products(self, jobs):
        self.phase("products", np.array(jobs), 1, 0, len(jobs), self.product)
