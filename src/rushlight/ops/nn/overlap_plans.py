"""Plans of convolutions as products of pixels that are added where windows overlap (``templates.conv_overlap``)."""

import numpy as np

from ...runtime import cpu
from .plan_parts import Plan, address, strides_of

_ITEM = {"float32": 4, "float64": 8}
_FEW_ROWS = 12                  # of results with steps of one, which columns serve too few times
_FEWEST_CHANNELS = 8            # whose products are worth adding, where there are steps
_FEW_PRODUCTS = 16              # a pixel, for which packing doesn't pay
_MOST_LINES = 1 << 14
_LONGEST = 1 << 20              # bytes of a result row's products
_TASKS = 8


def serves(shapes):
    """Whether a map by all these shapes (see ``conv_plans.product``) is made so: a matter of speed."""
    dtype, _, _, rows, channels, source, _, _, _, _, _, out, place = shapes[0]
    if cpu.amx() or dtype not in _ITEM or len(out) > 3 or int(np.prod(out[:-1])) > _MOST_LINES:
        return False
    if any(set(shape[7]) != {1} for shape in shapes) or place[-1][1] > 2:
        return False
    if any(step > 1 for _, step in place):
        if channels < _FEWEST_CHANNELS:
            return False
    elif rows > _FEW_ROWS or channels < 2 * rows:
        return False
    taps = sorted(t for shape in shapes for t in shape[9])
    # (Single lines aren't cut.)
    return taps == list(range(len(taps))) and (len(out) > 1 or len(taps) * source[0] * _ITEM[dtype] <= _LONGEST)


def product(shapes):
    """The Plan of a map by all phases of its result."""
    from ...compiler.templates import conv_overlap, tiles

    dtype, n, groups, rows, channels, source, _, _, _, _, strides, out, place = shapes[0]
    item = _ITEM[dtype]
    nr = tiles.shape("float" if item == 4 else "double").nr
    taps, pixels, room = sum(len(shape[9]) for shape in shapes), int(np.prod(source)), cpu.caches().l2 // 3
    phases, firsts, entries = _lines(shapes, source, out)
    where = ((np.arange(rows) * strides[1])[:, None] + np.arange(taps)).reshape(-1) * item
    packs = rows * taps > _FEW_PRODUCTS
    # What is packed of a unit takes a third of the second-level cache, and so does what a block makes of it.
    fit = room // (item * max(channels if packs else 1, taps if packs else rows * taps))
    bands = _bands(firsts, entries, source, pixels, fit)
    most = int(bands[:, 3].max())
    unit = 1
    if len(bands) == 1:
        unit = min(range(1, max(1, min(n, 16, fit // most)) + 1), key=lambda u: (round(_waste(u * most, nr), 2), u))
    units = -(-n // unit) * len(bands)
    fit = max(1, min(rows, room // (unit * most * taps * item)))
    wanted = -(-_TASKS // (units * groups))         # parts of the rows
    largest = min(fit, -(-rows // wanted))
    block = rows if not packs else min(range(largest // 2 + 1, largest + 1),
                                       key=lambda b: (round(_waste(b * taps, nr), 2), -b))
    blocks = -(-rows // block)
    words = np.array([
        address(firsts), address(entries), address(where), address(bands), groups, rows, channels, taps,
        int(strides[1] == taps), block, blocks, n, unit, len(bands), unit * most, int(packs), min(blocks, wanted),
        pixels, source[-1], int(np.prod(out[:-1])), out[-1],
        int((bands[:, 1] - bands[:, 0]).max()) * out[-1], strides[0] * item, strides[2] * item,
    ], np.int64)
    return Plan(words, (firsts, entries, where, bands), conv_overlap.kernel(dtype, phases))


def _bands(firsts, entries, source, pixels, fit):
    """(first line of the result, end, first pixel, pixels) of the pieces of an image: all of it unless it is large."""
    lines, line = len(firsts) - 1, source[-1]
    reads = entries[:, 0] // line
    count = 1 if pixels <= 2 * fit else -(-pixels // fit)
    while True:
        cuts = [lines * i // count for i in range(count + 1)]
        found = []
        for first, end in zip(cuts, cuts[1:]):
            some = reads[firsts[first]:firsts[end]]
            low, high = (int(some.min()), int(some.max()) + 1) if len(some) else (0, 1)
            found.append((first, end, low * line, (high - low) * line))
        # Lines that two bands read are multiplied twice.
        if count == 1 or sum(b[3] for b in found) <= 1.2 * pixels:
            return np.array(found if count > 1 else [(0, lines, 0, pixels)], np.int64)
        count -= -(-count // 4)


def _waste(n, width):
    return -(-n // width) * width / n


def _lines(shapes, source, out):
    """(pairs (tap, move) of each phase along lines; first entry of each line of the result; the entries)."""
    outer = [shape[12][:-1] for shape in shapes]
    width = sum(len(shape[8][-1]) for shape, place in zip(shapes, outer) if place == outer[0])
    phases = [()] * shapes[0][12][-1][1]
    found, done = [], set()
    inner = strides_of(out[:-1])
    for shape, place in zip(shapes, outer):
        grid, offsets, start = shape[6], shape[8], shape[12][-1][0]
        weights = np.reshape(shape[9], [-1, len(offsets[-1])])
        phases[start] = tuple((int(tap) % width, int(move)) for tap, move in zip(weights[0], offsets[-1]))
        if place in done:
            continue
        done.add(place)
        # Of each line of this phase and each of its windows' lines: the line of the source, if there.
        at = np.indices(grid[:-1]).reshape(len(grid) - 1, int(np.prod(grid[:-1])))
        lines = sum(((a + m * step) * stride for (a, step), m, stride in zip(place, at, inner)),
                    np.zeros(at.shape[1], np.int64))
        for tap, index in zip(weights[:, 0] // width * width, np.ndindex(*map(len, offsets[:-1]))):
            there, seen = np.zeros_like(lines), np.ones(len(lines), bool)
            for m, move, i, size in zip(at, offsets, index, source):
                m = m + move[i]
                there, seen = there * size + m, seen & (m >= 0) & (m < size)
            found.append(np.stack([lines, there * source[-1], np.full_like(lines, tap)], 1)[seen])
    found = np.concatenate(found)
    found = found[np.argsort(found[:, 0], kind="stable")]
    firsts = np.zeros(int(np.prod(out[:-1])) + 1, np.int64)
    np.cumsum(np.bincount(found[:, 0], minlength=len(firsts) - 1), out=firsts[1:])
    return tuple(phases), firsts, np.ascontiguousarray(found[:, 1:])
