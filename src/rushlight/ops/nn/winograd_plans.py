"""Plans of 3 x 3 convolutions by minimal filtering (see ``compiler.templates.winograd``)."""

import numpy as np

from ...runtime import cpu
from .conv_plans import Pixels, Plan, _address, _group, _moves, _split, _strides

_FEWEST_CHANNELS = 32
_FEWEST_SQUARES = 64


def serves(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """Whether a product of this shape is made by minimal filtering: a matter of speed, and of the dtype."""
    if out != grid or dtype != "float32" or len(grid) != 2 or steps != (1, 1) or place != ((0, 1), (0, 1)):
        return False
    if any(len(o) != 3 or o != (o[0], o[0] + 1, o[0] + 2) for o in offsets):
        return False
    squares = n * -(-grid[0] // 2) * -(-grid[1] // 2)
    return min(rows, channels) >= _FEWEST_CHANNELS and squares >= _FEWEST_SQUARES and min(grid) > 1


def product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """[(first image, images, Plan)], as ``conv_plans.product``."""
    from ...compiler.templates import conv_gather, conv_tile, winograd

    item, lanes = 4, conv_tile.lanes_of("float")
    width = winograd.VECTORS * lanes
    squares = tuple(-(-m // 2) for m in grid)
    area, plane = int(np.prod(grid)), int(np.prod(source))
    length = int(np.prod(squares))
    windows = tuple(tuple(range(o[0], o[0] + 4)) for o in offsets)
    most_rows = conv_tile.form(1 << 20)[0]
    panels = -(-rows // most_rows)
    height = -(-rows // panels)
    unit = _group(n, length, width)
    where = ((np.arange(channels) * strides[2])[:, None] + np.array(weights)).reshape(-1) * item
    call = winograd.kernel("float")
    found = []
    for first, count in ((0, n // unit * unit), (n // unit * unit, n % unit)):
        if not count:
            continue
        images = min(unit, count)
        pixels = Pixels(images, squares, (2, 2), windows, source, groups * channels * plane, lanes, item,
                        winograd.VECTORS)
        moves = _moves(pixels, channels, plane, item)
        pieces, piece_list = _pieces(pixels, width, grid, groups * rows * area, item)
        strips = pixels.vectors // winograd.VECTORS
        total = count // images * strips
        strip_bytes = 16 * width * item * (channels + height)
        tile_strips = _split(total, max(1, min(4, cpu.caches().l2 // 2 // strip_bytes, -(-total // 8))))
        blocks = -(-total // tile_strips)
        parts = min(panels, max(1, -(-8 // (blocks * groups))))
        words = np.array([
            conv_tile.address("float", height, winograd.VECTORS, True), conv_gather.address("float", pixels.kind),
            *pixels.words(moves), _address(where), _address(pieces), _address(piece_list),
            groups, rows, channels, height, panels, parts, count // images, strips, tile_strips, blocks,
            images * groups * channels * plane * item, channels * plane * item,
            images * groups * rows * area * item, rows * area * item, area * item, grid[1] * item,
            strides[0] * item, strides[1] * item,
        ], np.int64)
        found.append((first, count, Plan(words, (pixels, moves, where, pieces, piece_list), call)))
    return found


def _pieces(pixels, width, grid, image, item):
    """Where the pixels of a unit's strips of squares go: a strip's pieces are parts of a row of squares."""
    squares = np.arange(pixels.count)
    y, x = (2 * m[:pixels.count] for m in pixels.coords)
    line = _strides(grid)[0]
    to = (pixels.image[:pixels.count] * image + y * line + x) * item
    across = -(-grid[1] // 2)
    starts = np.flatnonzero((squares % across == 0) | (squares % width == 0))
    ends = np.append(starts[1:], pixels.count)
    counts = np.minimum(x[ends - 1] + 2, grid[1]) - x[starts]
    table = np.stack([starts % width * 2, counts, to[starts], y[starts] + 1 < grid[0]], 1).astype(np.int64)
    strips = -(-pixels.count // width)
    firsts = np.zeros(strips + 1, np.int64)
    np.cumsum(np.bincount(starts // width, minlength=strips), out=firsts[1:])
    return firsts, np.ascontiguousarray(table)
