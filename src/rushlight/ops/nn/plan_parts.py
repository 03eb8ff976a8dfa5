"""What plans of generated convolutions share: their words, tables of pixels, moves and pieces, and even shares."""

import numpy as np

MOST_ENTRIES = 48 << 20         # of masks of pixels by taps


class Plan:
    """Words for a generated function, and what keeps the tables they point to alive.

    ``packed`` are the bytes of weights in the order in which the function reads them, where it takes such; ``apart``:
    whether it never has all of them so on its own.
    """

    __slots__ = ("words", "kept", "call", "partial", "packed", "apart")

    def __init__(self, words, kept, call, partial=None, packed=None, apart=False):
        self.words, self.kept, self.call = words, kept, call
        self.partial, self.packed, self.apart = partial, packed, apart


class Pixels:
    """The tables of ``compiler.templates.conv_gather`` for ``n`` images of a grid, a vector of pixels at a time."""

    def __init__(self, n, grid, steps, offsets, source, image, lanes, item, multiple, rows=False):
        """offsets: of each dimension a list; image: elements from image to image; multiple: of vectors in all.

        ``rows``: entries read rows of windows, with steps of two or four.
        """
        inner, step = strides_of(source), steps[-1]
        self.grid, self.count = grid, n * int(np.prod(grid))
        self.vectors = -(-self.count // (lanes * multiple)) * multiple
        # A run ends with its vector or its row.
        starts, ends = self.cuts(lanes, grid[-1])
        lane = starts % lanes
        images, coords = self.places(starts)
        base = images * image
        for m, s, stride in zip(coords, steps, inner):
            base += m * (s * stride)
        # The kinds of gathering: lanes that follow each other, that skip one, or any (a word of its own).
        self.kind = (step, len(offsets[-1])) if rows else step if step in (1, 2) else 0
        self.step = step * item
        self.runs = np.zeros(self.vectors + 1, np.int64)
        np.cumsum(np.bincount(starts // lanes, minlength=self.vectors), out=self.runs[1:])
        # The last offset is that of the next images.
        self.offsets = np.append(base - lane * step, base[0] - lane[0] * step + n * image) * item
        # The lanes from the first to before the last that see the source, for each position along rows.
        first = coords[-1]
        last = first + (ends - starts)
        along = [_bits(lane + (np.clip(-(o // step), first, last) - first),
                       lane + (np.clip((source[-1] - 1 - o) // step + 1, first, last) - first), lanes,
                       step if rows or step == 2 else 1)
                 for o in offsets[-1]]
        always = [0] * len(along)
        if rows:
            along = _parts(along, step)
            if len(offsets[-1]) % step == 1:
                # What only the last lanes of runs read (see ``conv_gather``).
                final, place = lane + ends - starts - 1, (last - 1) * step + offsets[-1][-1]
                along[-1] = (((place >= 0) & (place < source[-1])) << final).astype(np.uint64)
                away = final * (step - 1) + len(offsets[-1]) - 1
                always[len(along) - 1] = (1 << final + 16 | away << 32).astype(np.uint64)
        outer = [[(m * s + o >= 0) & (m * s + o < size) for o in offs]
                 for m, s, offs, size in zip(coords[:-1], steps, offsets, source)]
        taps = [len(o) for o in offsets]
        self.masks = np.empty((len(starts), int(np.prod(taps[:-1])) * len(along)), np.uint64 if rows else np.uint32)
        for t, at in enumerate(np.ndindex(*taps[:-1], len(along))):
            column = along[at[-1]]
            for seen, i in zip(outer, at):
                column = column * seen[i]
            self.masks[:, t] = column + always[at[-1]]
        entries = np.ndindex(*taps[:-1], 1 if rows else taps[-1])
        self.moves = [sum(offsets[d][i] * inner[d] for d, i in enumerate(at)) for at in entries]
        self.bits = self.masks.strides[0] // len(self.moves)    # bytes of an entry's masks

    def cuts(self, *lengths):
        """(first pixels, ends) of the pieces between multiples of the lengths."""
        starts = np.sort(np.concatenate([np.arange(0, self.count, length) for length in lengths]))
        # (np.unique imports numpy.ma, which takes longer than all of the plan.)
        starts = starts[np.append(True, starts[1:] != starts[:-1])[:len(starts)]]
        return starts, np.append(starts[1:], self.count)

    def places(self, pixels):
        """(image, coordinates in the grid) of pixels by number."""
        images, rest = np.divmod(pixels, int(np.prod(self.grid)))
        return images, np.unravel_index(rest, self.grid)

    def words(self, moves):
        """The tables' words with the table of moves."""
        return [address(self.runs), address(self.offsets), address(self.masks), address(moves),
                self.masks.strides[0], self.step]


def _bits(first, end, lanes, step):
    """Words with a bit for each of the lanes from first to before end, ``step`` bits from one to the next."""
    end = np.maximum(first, end)
    found = (np.left_shift(1, end) - np.left_shift(1, first)).astype(np.uint64)
    if step == 1:
        return found
    spread = np.zeros_like(found)
    for lane in range(lanes):
        spread |= (found >> np.uint64(lane) & np.uint64(1)) << np.uint64(step * lane)
    return spread


def _parts(along, step):
    """The words of adjacent columns, ``step`` of which have bits between each other."""
    found = [np.zeros_like(along[0]) for _ in range(0, len(along), step)]
    for j, column in enumerate(along):
        found[j // step] |= column << np.uint64(j % step)
    return found


def strides_of(sizes):
    out, step = [], 1
    for size in reversed(sizes):
        out.insert(0, step)
        step *= size
    return out


def address(array):
    return array.__array_interface__["data"][0]


def table_of_moves(pixels, channels, plane, item):
    """(bytes to move, bytes to the mask) of each k = (channel, tap)."""
    taps = len(pixels.moves)
    out = np.empty((channels, taps, 2), np.int64)
    out[:, :, 0] = (np.arange(channels)[:, None] * plane + np.array(pixels.moves)) * item
    out[:, :, 1] = np.arange(taps) * pixels.bits
    return out.reshape(-1, 2)


def portions(n, unit):
    """(first image, images, images of a unit) of the whole units among n images, and of the rest."""
    whole = n // unit * unit
    return [(first, count, min(unit, count)) for first, count in ((0, whole), (whole, n - whole)) if count]


def images_together(n, length, width):
    """Images to a unit: as few as waste little of the kernels' width."""
    best, least = 1, None
    for g in range(1, min(n, 16) + 1):
        strips = n // g * -(-g * length // width) + -(-(n % g) * length // width)
        cost = strips * (1 if g == 1 else 1.04) + (4 if n % g else 0)
        if least is None or cost < least:
            best, least = g, cost
    return best


def even_share(size, most):
    """The largest even share of at most ``most``."""
    return -(-size // max(1, -(-size // most)))


def table_of_pieces(pixels, images, width, grid, out, place, image, whole, item):
    """Where the pixels of a unit's strips go: (first of each strip, (pixel, count, bytes to go to, step))."""
    # Whole images are rows of all their pixels.
    starts, ends = pixels.cuts(width, int(np.prod(grid)) if whole else grid[-1])
    images, coords = pixels.places(starts)
    to = images * image
    for m, (start, step), stride in zip(coords, place, strides_of(out)):
        to = to + (start + m * step) * stride
    table = np.stack([starts % width, ends - starts, to * item, np.full(len(starts), place[-1][1] * item)], 1)
    firsts = np.zeros(-(-pixels.count // width) + 1, np.int64)
    np.cumsum(np.bincount(starts // width, minlength=len(firsts) - 1), out=firsts[1:])
    return firsts, np.ascontiguousarray(table, np.int64)
