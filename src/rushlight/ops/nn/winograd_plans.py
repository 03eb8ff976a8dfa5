"""Plans of 3 x 3 convolutions by minimal filtering (see ``compiler.templates.winograd``).

Convolutions of volumes by k x 3 x 3 windows are sums of such over channels and planes: each plane that a window meets
takes the place of a channel.
"""

import numpy as np

from ...runtime import cpu
from .plan_parts import MOST_ENTRIES, Pixels, Plan, address, even_share, images_together, portions, table_of_moves

_FEWEST_CHANNELS = 32
_FEWEST_CELLS = 64              # of 2 x 2
_TRANSFORMS = 350               # products of a channel that take as long as a cell's transforms
_PARTIAL = 16 << 20             # bytes of the sums of a weight's gradient with both transformed sides
_BINS = 4 << 20                 # bytes of a weight's gradient's sums in several bins
_SUMS = 20 << 20                # bytes beyond which they are those of 2 x 2 cells
_LARGE = 2 << 20                # bytes of sums that no cache keeps between blocks of cells
_TILES = 8                      # of work, at least
_WEIGHTS = 30                   # cells that take as long as making and reading the transformed weights
_DEPTH = 64                     # products that are added up in one go, at most; twice as many with steps of two
_BLOCK = 12                     # vectors of cells at a time, at most


def serves(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place, last=False):
    """Whether a product of this shape is made by minimal filtering: a matter of speed, and of the dtype.

    ``last``: whether images or results are channels-last, and so laid out anew.
    """
    cells = n * int(np.prod(_cells(grid, 2)))
    return cells >= _FEWEST_CELLS and form(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights,
                                           strides, out, place, last)


def form(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place, last=False):
    """Whether a product is of the form of minimal filtering, with enough channels."""
    if out != grid or dtype != "float32" or len(grid) not in (2, 3) or set(place) != {(0, 1)} or \
            steps[-2:] not in ((1, 1), (2, 2)):
        return False
    if any(len(o) != 3 or o != (o[0], o[0] + 1, o[0] + 2) for o in offsets[-2:]):
        return False
    if steps[-1] == 2 and not _pays_apart(n, rows, grid, 0.88 if last else 0.94):
        return False
    return min(rows, channels) >= _FEWEST_CHANNELS and min(grid[-2:]) > 1 and \
        _entries(grid, len(weights)) <= MOST_ENTRIES


def _pays_apart(n, rows, grid, share):
    """Whether cells with steps of two, in whole vectors, take less than such a share of the time of direct sums."""
    from ...compiler.templates import conv_tile, winograd

    lanes, length = conv_tile.lanes_of("float"), int(np.prod(_cells(grid, 2)))
    vectors = sum(count // images * -(-images * length // lanes)
                  for _, count, images in portions(n, images_together(n, length, winograd.VECTORS * lanes)))
    return vectors * lanes * (25 + _TRANSFORMS / rows) < share * 9 * n * int(np.prod(grid))


def _cells(grid, height):
    """The cells of a plane take the place of pixels."""
    return grid[:-2] + tuple(-(-m // size) for m, size in zip(grid[-2:], (height, 2)))


def height_of_cells(n, grid):
    """Rows of outputs to a cell, 2 or 4: what takes fewer products, the transformed weights counted in."""
    low, high = (4 * (h + 2) * (n * int(np.prod(_cells(grid, h))) + _WEIGHTS) for h in (2, 4))
    return 4 if high < 0.95 * low else 2


def _entries(grid, taps):
    """About the masks in the tables of 16 volumes."""
    return int(np.prod(_cells(grid, 2))) // 4 * taps * 16 if len(grid) > 2 else 0


def product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """[(first image, images, Plan)], as ``conv_plans.product``."""
    from ...compiler.templates import conv_gather, conv_tile, winograd
    from ...compiler.templates.winograd_transforms import Cell

    item, lanes = 4, conv_tile.lanes_of("float")
    width = winograd.VECTORS * lanes
    step = steps[-1]
    cell = Cell(height_of_cells(n, grid) if step == 1 else 2, step)
    high, cells = cell.height, _cells(grid, cell.height)
    area, plane = int(np.prod(grid)), int(np.prod(source))
    length, depth = int(np.prod(cells)), channels * len(weights) // 9
    windows = offsets[:-2] + tuple(tuple(range(o[0], o[0] + k))
                                   for o, k in zip(offsets[-2:], (cell.rows, cell.columns)))
    most_rows = conv_tile.form(1 << 20)[0]
    panels = -(-rows // most_rows)
    height = -(-rows // panels)
    unit = images_together(n, length, width)
    where = ((np.arange(channels) * strides[2])[:, None] + np.array(weights)).reshape(-1) * item
    call = winograd.kernel("float", high, step)
    found = []
    for first, count, images in portions(n, unit):
        pixels = Pixels(images, cells, (*steps[:-2], high * step, 2 * step), windows, source,
                        groups * channels * plane, lanes, item, winograd.VECTORS, True)
        moves = table_of_moves(pixels, channels, plane, item)
        pieces, piece_list = pieces_of(pixels, width, grid, high, groups * rows * area, item)
        strips, vectors = pixels.vectors // winograd.VECTORS, -(-pixels.count // lanes)
        tile = narrow = conv_tile.address("float", height, winograd.VECTORS, True)
        if vectors % winograd.VECTORS:
            narrow = conv_tile.address("float", height, 1, True)
        total = count // images * strips
        strip_bytes = width * item * (cell.positions * depth + cell.sums * height)
        tile_strips = even_share(total, max(1, min(4, cpu.caches().l2 // 2 // strip_bytes, -(-total // 8))))
        # Large weights that meet few cells go through the cache once, packed by the task that takes them.
        apart = total <= 4 and cell.weights * rows * depth * item > 4 * cpu.caches().l2
        if apart:
            tile_strips = total
        blocks, cores = -(-total // tile_strips), cpu.usable_cores()
        parts, whole = min(panels, max(1, -(-(cores if apart else _TILES) // (blocks * groups)))), 0
        if groups == 1 and cores <= panels and not apart:
            # The blocks that are left when all threads have as many are cut.
            parts, whole, blocks = cores, blocks // cores, blocks % cores
        words = np.array([
            tile, narrow, conv_gather.address("float", pixels.kind),
            *pixels.words(moves), address(where), address(pieces), address(piece_list),
            groups, rows, depth, height, panels, parts, count // images, strips, vectors, tile_strips,
            whole, blocks, cell.weights, even_share(depth, _DEPTH * step), int(apart),
            images * groups * channels * plane * item, channels * plane * item,
            images * groups * rows * area * item, groups * rows * area * item, rows * area * item, area * item,
            grid[-1] * item, strides[0] * item, strides[1] * item,
        ], np.int64)
        found.append((first, count, Plan(words, (pixels, moves, where, pieces, piece_list), call,
                                         packed=winograd.packed_bytes(words, item), apart=apart)))
    return found


def pieces_of(pixels, width, grid, high, image, item):
    """Where the pixels of a unit's strips of cells go: a strip's pieces are parts of a row of cells."""
    starts, ends = pixels.cuts(width, pixels.grid[-1])
    images, (*planes, y, x) = pixels.places(starts)
    line = grid[-1]
    to = images * image + high * y * line + 2 * x
    for z in planes:
        to = to + z * (grid[-2] * line)
    counts = np.minimum(2 * (x + ends - starts), line) - 2 * x
    table = np.stack([starts % width * 2, counts, to * item, np.minimum(high, grid[-2] - high * y)], 1)
    firsts = np.zeros(-(-pixels.count // width) + 1, np.int64)
    np.cumsum(np.bincount(starts // width, minlength=len(firsts) - 1), out=firsts[1:])
    return firsts, np.ascontiguousarray(table, np.int64)


def serves_weight(dtype, n, rows, channels, grid, kernel, stride, dilation):
    """Whether the gradient of weights of this shape is made by minimal filtering."""
    if dtype != "float32" or kernel[-2:] != (3, 3) or set(stride + dilation) != {1} or min(grid[-2:]) < 2:
        return False
    cells = n * int(np.prod(_cells(grid, 2)))
    return min(rows, channels) >= _FEWEST_CHANNELS and cells >= 2 * _FEWEST_CELLS and \
        _entries(grid, int(np.prod(kernel))) <= MOST_ENTRIES


def weight(n, groups, rows, channels, kernel, source, grid, padding, pitch=None, room=_PARTIAL):
    """The Plan of dw from x (n, groups channels, *source) and g (n, groups rows, *grid).

    ``pitch``: channels from one image of g to the next, where there are more than these; ``room``: bytes for the
    workspace, if it can do with so little.
    """
    from ...compiler.templates import conv_gather, conv_tile, winograd_weight

    item, lanes = 4, conv_tile.lanes_of("float")
    depth = channels * int(np.prod(kernel[:-2]))
    # Sums of larger cells take half as much memory again, which counts where weights are large.
    high = 2 if 24 * groups * depth * rows * 4 > _SUMS else height_of_cells(n, grid)
    positions = 4 * (high + 2)
    cells, more = _cells(grid, high), (1,) * (len(grid) - 2)
    area, plane, length = int(np.prod(grid)), int(np.prod(source)), int(np.prod(cells))
    most = conv_tile.form(1 << 20)[0]
    panels = -(-depth // most)
    height = -(-depth // panels)
    vectors = 2
    width = -(-rows // (vectors * lanes)) * vectors * lanes
    unit = max((g for g in range(1, 17) if n % g == 0), key=lambda g: (round(
        g * length / (-(-g * length // lanes) * lanes), 2), -g))
    windows = tuple(tuple(range(-p, k - p)) for k, p in zip((*kernel[:-2], high + 2, 4), padding))
    steps, ones = (*more, high, 2), ((0,),) * len(more)
    pixels = Pixels(unit, cells, steps, windows, source, groups * channels * plane, lanes, item, 1, True)
    pitch = pitch or groups * rows
    gs = Pixels(unit, cells, steps, (*ones, tuple(range(high)), (0, 1)), grid, pitch * area, lanes, item, 1, True)
    moves, g_moves = table_of_moves(pixels, channels, plane, item), table_of_moves(gs, rows, area, item)
    total = n // unit * pixels.vectors
    bin_bytes = groups * positions * depth * width * item
    sides = groups * _sides(positions, depth, width, total, lanes)
    whole = bin_bytes > _LARGE and sides * item <= room - bin_bytes
    bins = max(1, min(8, total // 4, min(room, _BINS) // bin_bytes))
    parts = max(1, min(panels, -(-_TILES // (bins * groups))))
    l2 = cpu.caches().l2
    vector_bytes = positions * lanes * item * (width + -(-panels // parts) * height)
    if whole:
        bins, parts = 1, max(1, min(panels, 2))
    block = max(2, min(_BLOCK, l2 * 5 // 8 // vector_bytes))
    block = even_share(-(-total // bins), block)
    words = np.array([
        conv_tile.address("float", height, vectors, False), conv_gather.address("float", pixels.kind),
        conv_gather.address("float", gs.kind),
        *pixels.words(moves), *gs.words(g_moves),
        groups, rows, width, depth, height, panels, parts, vectors, bins, n // unit, pixels.vectors, block,
        unit * groups * channels * plane * item, channels * plane * item,
        unit * pitch * area * item, rows * area * item, int(whole),
    ], np.int64)
    return Plan(words, (pixels, gs, moves, g_moves), winograd_weight.kernel("float", high),
                groups * bins * positions * depth * width + whole * sides)


def _sides(positions, channels, width, vectors, lanes):
    """Elements of both transformed sides of so many vectors of cells (``winograd_weight._Sizes``), 4 bytes each."""
    line = vectors * lanes + 16 * ((vectors + 1) % 2)
    return positions * (channels * line + vectors * lanes * width + 32)
