"""The plan of Adafactor's step: how parameters are cut into tiles (see ``compiler/templates/factored``)."""

import numpy as np

from rushlight.optim import phased

CHUNK = 1 << 20             # numbers that the phases go through before the next: they stay in a shared cache
TILE = 1 << 12              # numbers of a tile of small matrices or of vectors
RECTANGLE, COLUMNS = 1 << 15, 1 << 10   # numbers and columns of a tile of a large matrix


def factored_plan(batch, slots):
    """The ``phased.Plan`` for (parameter, gradient, state) members of one dtype, None where a state doesn't fit."""
    for (p, _, _), found in zip(batch, slots, strict=True):
        shape = p._a.shape
        if not phased.are_plain(p, found, [(*shape[:-1], 1), (*shape[:-2], 1, shape[-1])] if len(shape) > 1 else
                                [shape]):
            return None
    return _Layout([(p._a, *[s._a for s in found]) for (p, _, _), found in zip(batch, slots, strict=True)]).plan()


class _Layout:
    """Records in memory: all parameters' words, tiles, items and joins, and scratch memory for partial sums."""

    def __init__(self, sets):
        from rushlight.compiler.templates import factored, phases

        self.t, self.phases = factored, phases
        self.sets, self.dtype = sets, sets[0][0].dtype
        self.addresses = factored.tasks(self.dtype.name)
        self.least = factored.most_small(self.dtype.name)
        self.chunks = self.chunked()

    def chunked(self):
        """Lists of numbers of parameters, large matrices last in each."""
        chunks, size = [], CHUNK
        for k, (p, *_) in enumerate(self.sets):
            if size + p.size > CHUNK:
                chunks.append([])
                size = 0
            chunks[-1].append(k)
            size += p.size
        return [sorted(chunk, key=lambda k: self.kind(k) == self.t.LARGE) for chunk in chunks]

    def kind(self, k):
        p = self.sets[k][0]
        if p.ndim < 2:
            return self.t.PLAIN
        return self.t.SMALL if sum(p.shape[-2:]) <= self.least else self.t.LARGE

    def plan(self):
        t, size = self.t, self.dtype.itemsize
        numbers = np.zeros(t.NUMBERS)
        params = np.zeros((len(self.sets), t.PARAM_WORDS), np.int64)
        tiles, items, joins = [], [], []
        place = _Places(params)
        spans, room = [], 0         # per chunk: (large tiles' first, tiles' first and end, items', joins', params)
        order = [k for chunk in self.chunks for k in chunk]
        number = {k: i for i, k in enumerate(order)}
        for chunk in self.chunks:
            first, items_first, joins_first, used = len(tiles), len(items), len(joins), 0
            large = None
            for k in chunk:
                i, (p, *means), kind = number[k], self.sets[k], self.kind(k)
                rows, columns = p.shape[-2:] if p.ndim > 1 else (1, 1)
                if kind == t.LARGE and large is None:
                    large = len(tiles)
                begin = len(tiles)
                if kind == t.LARGE:
                    used = self.large(place, i, p, means, rows, columns, (tiles, items, joins), used)
                else:
                    # Whole groups of matrices to a tile.
                    per = max(self.least, TILE // (rows * columns) // self.least * self.least)
                    count = p.size // (rows * columns)
                    tiles += [{t.PARAM: place.param(i), t.KIND: kind, t.FROM: at, t.COUNT: min(per, count - at)}
                              for at in range(0, count, per)]
                words = {t.P: p.ctypes.data, t.ROW: means[0].ctypes.data, t.COL: means[-1].ctypes.data, t.R: rows,
                         t.C: columns, t.SIZE: p.size, t.TILE: begin, t.TILES: len(tiles) - begin}
                params[i, list(words)] = list(words.values())
            room = max(room, used)
            spans.append(((first, len(tiles) if large is None else large, len(tiles)), (items_first, len(items)),
                          (joins_first, len(joins)), chunk))
        # Scratch memory is one chunk's at a time.
        scratch = np.empty(room, self.dtype)
        memory = [_table(records, words) for records, words in
                  ((tiles, t.TILE_WORDS), (items, t.ITEM_WORDS), (joins, t.JOIN_WORDS))]
        tile_at, item_at, join_at = (m.ctypes.data for m in memory)
        params[:, t.TILE] = tile_at + params[:, t.TILE] * (8 * t.TILE_WORDS)
        memory[0][:, t.ITEM] = item_at + memory[0][:, t.ITEM] * (8 * t.ITEM_WORDS)
        memory[1][:, [t.ROW_PARTS, t.COL_PARTS]] = scratch.ctypes.data + memory[1][:, [t.ROW_PARTS, t.COL_PARTS]] * size
        memory[2][:, t.JOIN_ITEM] = item_at + memory[2][:, t.JOIN_ITEM] * (8 * t.ITEM_WORDS)
        contexts, phases = [], []

        def phase(name, table, words, begin, end, work):
            if begin < end:
                context = np.array([table + 8 * words * begin, numbers.ctypes.data], np.int64)
                contexts.append(context)
                phases.append((self.addresses[name], context.ctypes.data, end - begin, work))
        done = 0
        for (first, large, last), (item, items_end), (join, joins_end), chunk in spans:
            work = sum(self.sets[k][0].size for k in chunk)
            phase("stats", tile_at, t.TILE_WORDS, first, last, work)
            phase("join", join_at, t.JOIN_WORDS, join, joins_end, work)
            phase("level", item_at, t.ITEM_WORDS, item, items_end, 0)
            phase("squares", tile_at, t.TILE_WORDS, large, last, work)
            phase("scale", params.ctypes.data, t.PARAM_WORDS, done, done + len(chunk), 0)
            phase("update", tile_at, t.TILE_WORDS, first, last, work)
            done += len(chunk)
        gradients = [(place.param(number[k]) + 8 * t.G, self.sets[k][0].size) for k in range(len(self.sets))]
        words = self.phases.plan_of(gradients, phases)
        return phased.Plan(words, numbers, params, scratch, memory, contexts, self.sets)

    def large(self, place, i, p, means, rows, columns, records, used):
        """Tiles, items and joins of a parameter's matrices; returns the end of the scratch memory used."""
        t, (tiles, items, joins) = self.t, records
        size = self.dtype.itemsize
        width = min(columns, COLUMNS)
        height = max(4, RECTANGLE // width // 4 * 4)
        down, across = -(-rows // height), -(-columns // width)
        for matrix in range(p.size // (rows * columns)):
            items.append({t.ITEM_PARAM: place.param(i), t.ITEM_ROW: means[0].ctypes.data + matrix * rows * size,
                          t.ITEM_COL: means[1].ctypes.data + matrix * columns * size, t.ROW_PARTS: used,
                          t.COL_PARTS: used + across * rows, t.ROW_COUNT: across, t.COL_COUNT: down})
            used += across * rows + down * columns
            item, start = len(items) - 1, matrix * rows * columns
            for n in range(down):
                for m in range(across):
                    top, left = n * height, m * width
                    tiles.append({t.PARAM: place.param(i), t.KIND: t.LARGE, t.FROM: start + top * columns + left,
                                  t.COUNT: min(height, rows - top), t.COLUMNS: min(width, columns - left),
                                  t.ITEM: item, t.ROW_PART: m * rows + top, t.COL_PART: n * columns + left,
                                  t.TOP: top, t.LEFT: left})
            for of_rows, count in ((1, rows), (0, columns)):
                joins += [{t.JOIN_ITEM: item, t.OF_ROWS: of_rows, t.JOIN_FROM: at,
                           t.JOIN_COUNT: min(COLUMNS, count - at)} for at in range(0, count, COLUMNS)]
        return used


class _Places:
    """Where parameters' records are."""

    def __init__(self, params):
        self.start, self.step = params.ctypes.data, params.strides[0]

    def param(self, i):
        return self.start + i * self.step


def _table(records, words):
    """Records (word -> value) as rows of int64."""
    table = np.zeros((len(records), words), np.int64)
    for row, record in zip(table, records, strict=True):
        row[list(record)] = list(record.values())
    return table
