"""Plans of convolutions on AMX tiles (see ``compiler.templates.conv_tiles``)."""

import numpy as np

from ...runtime import cpu
from .plan_parts import (
    MOST_ENTRIES,
    Pixels,
    Plan,
    address,
    even_share,
    images_together,
    portions,
    table_of_moves,
    table_of_pieces,
)

_FEWEST_ROWS = _LEAST_DEPTH = 64        # fewer don't pay for splitting the columns
_FEWEST_PIXELS = 128
_FEWEST_GRADIENTS = 96, 128             # rows of a gradient, whose columns have to be turned; beside filtering
_FEWEST_FILTERED = 600                  # pixels, for which transforming the weights pays
_PARTIAL = 16 << 20                     # bytes of the sums of bins


def quick(shapes, gaps, filtered):
    """Plans on tiles for all shapes of a map, or None; ``filtered`` says that minimal filtering serves the only one."""
    if gaps or not all(serves(*shape) for shape in shapes):
        return None
    _, n, _, _, _, _, grid, *_ = shapes[0]
    if filtered and n * int(np.prod(grid)) >= _FEWEST_FILTERED:
        return squares(*shapes[0])
    return [entry for shape in shapes for entry in product(*shape)]


def serves(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """Whether a product of this shape is made on tiles: a matter of the CPU, of speed, and of the dtype."""
    if not cpu.amx() or dtype != "float32" or rows < _FEWEST_ROWS:
        return False
    pixels = n * int(np.prod(grid))
    if channels * len(weights) < _LEAST_DEPTH or pixels < _FEWEST_PIXELS:
        return False
    return _unit(n, grid) * int(np.prod(grid)) * len(weights) <= MOST_ENTRIES and _tiles() is not None


def _tiles():
    from ...compiler.templates import gemm_route

    return gemm_route.tiles()


def _unit(n, grid):
    from ...compiler.templates.conv_tiles import WIDTH

    return images_together(n, int(np.prod(grid)), WIDTH)


def product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """[(first image, images, Plan)], as ``conv_plans.product``."""
    from ...compiler.templates import conv_gather, conv_tile, conv_tiles

    tiles = _tiles()
    item, lanes, width, vectors = 4, conv_tile.lanes_of("float"), conv_tiles.WIDTH, conv_tiles.VECTORS
    length, plane, area = int(np.prod(grid)), int(np.prod(source)), int(np.prod(out))
    depth, unit = channels * len(weights), _unit(n, grid)
    panels = -(-rows // tiles.block)
    # All panels of a block of k's stay in the second-level cache while the strips pass.
    room = cpu.caches().l2 // 2 // (panels * tiles.step_bytes)
    steps_k = even_share(-(-depth // tiles.step_k), max(4, min(16, room)))
    k_block = steps_k * tiles.step_k
    call = conv_tiles.kernel(tiles)
    where = ((np.arange(channels) * strides[2])[:, None] + np.array(weights)).reshape(-1) * item
    found = []
    for first, count, images in portions(n, unit):
        pixels = Pixels(images, grid, steps, offsets, source, groups * channels * plane, lanes, item, vectors)
        moves = table_of_moves(pixels, channels, plane, item)
        whole = place == ((0, 1),) * len(grid) and out == grid
        strips = pixels.vectors // vectors
        total = count // images * strips
        tile_strips = even_share(total, max(1, min(16, -(-total // 16))))
        blocks = -(-total // tile_strips)
        parts = min(panels, max(1, -(-16 // (blocks * groups))))
        pieces, piece_list = table_of_pieces(pixels, images, width, grid, out, place, groups * rows * area, whole, item)
        words = np.array([
            0, conv_gather.address("float", pixels.kind),
            *pixels.words(moves), address(where), address(pieces), address(piece_list),
            groups, rows, depth, tiles.block, panels, parts, vectors,
            count // images, strips, images * length, tile_strips, blocks, k_block,
            images * groups * channels * plane * item, channels * plane * item,
            images * groups * rows * area * item, groups * rows * area * item, rows * area * item, area * item,
            strides[0] * item, strides[1] * item, int(images == 1 and whole),
        ], np.int64)
        found.append((first, count, Plan(words, (pixels, moves, where, pieces, piece_list), call)))
    return found


def squares(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """[(first image, images, Plan)], as ``winograd_plans.product``."""
    from ...compiler.templates import conv_gather, winograd_tiles
    from . import winograd_plans

    tiles, item, lanes, vectors = _tiles(), 4, winograd_tiles.LANES, winograd_tiles.VECTORS
    width = vectors * lanes
    counts = tuple(-(-m // 2) for m in grid)
    area, plane, length = int(np.prod(grid)), int(np.prod(source)), int(np.prod(counts))
    windows = tuple(tuple(range(o[0], o[0] + 4)) for o in offsets)
    panels, unit = -(-rows // tiles.block), images_together(n, length, width)
    where = ((np.arange(channels) * strides[2])[:, None] + np.array(weights)).reshape(-1) * item
    call = winograd_tiles.kernel(tiles)
    found = []
    for first, count, images in portions(n, unit):
        pixels = Pixels(images, counts, (2, 2), windows, source, groups * channels * plane, lanes, item, vectors, True)
        moves = table_of_moves(pixels, channels, plane, item)
        pieces, piece_list = winograd_plans.pieces_of(pixels, width, grid, 2, groups * rows * area, item)
        strips = pixels.vectors // vectors
        total = count // images * strips
        # More strips read the weights less often; squares and sums of a task should stay in the second-level cache.
        strip_bytes = 16 * width * item * (channels + rows)
        tile_strips = even_share(total, max(1, min(4, max(2, cpu.caches().l2 // strip_bytes), -(-total // 8))))
        blocks = -(-total // tile_strips)
        parts = min(panels, max(1, -(-8 // (blocks * groups))))
        words = np.array([
            0, 0, conv_gather.address("float", pixels.kind),
            *pixels.words(moves), address(where), address(pieces), address(piece_list),
            groups, rows, channels, tiles.block, panels, parts, count // images, strips, pixels.vectors, tile_strips,
            0, blocks,
            winograd_tiles.POSITIONS, channels, 0,
            images * groups * channels * plane * item, channels * plane * item,
            images * groups * rows * area * item, groups * rows * area * item, rows * area * item, area * item,
            grid[1] * item, strides[0] * item, strides[1] * item,
        ], np.int64)
        found.append((first, count, Plan(words, (pixels, moves, where, pieces, piece_list), call)))
    return found


def serves_weight(dtype, n, rows, channels, taps, grid, filtered):
    """Whether the gradient of weights of this shape is made on tiles, even if minimal filtering serves it."""
    length = int(np.prod(grid))
    if not cpu.amx() or dtype != "float32" or rows < _FEWEST_GRADIENTS[filtered] or n * length < 2 * _FEWEST_PIXELS:
        return False
    return channels * taps >= _LEAST_DEPTH and min(n, 16) * length * taps <= MOST_ENTRIES and _tiles() is not None


def weight(n, groups, rows, channels, source, grid, steps, offsets):
    """The Plan of dw from x (n, groups channels, *source) and g (n, groups rows, *grid)."""
    from ...compiler.templates import conv_gather, conv_tile, conv_weight_tiles

    tiles = _tiles()
    item, lanes = 4, conv_tile.lanes_of("float")
    length, plane = int(np.prod(grid)), int(np.prod(source))
    depth = channels * int(np.prod([len(o) for o in offsets]))
    unit = max((g for g in range(1, 17) if n % g == 0), key=lambda g: (round(
        g * length / (-(-g * length // lanes) * lanes), 2), -g))
    pixels = Pixels(unit, grid, steps, offsets, source, groups * channels * plane, lanes, item, 1)
    ones = ((0,),) * len(grid)
    gs = Pixels(unit, grid, (1,) * len(grid), ones, grid, groups * rows * length, lanes, item, 1)
    moves, g_moves = table_of_moves(pixels, channels, plane, item), table_of_moves(gs, rows, length, item)
    total = n // unit * pixels.vectors
    # Packed gradients of a block of pixels take at most half of the second-level cache.
    panels = -(-rows // tiles.block)
    block = 2 * max(4, min(8, cpu.caches().l2 // 2 // (panels * tiles.step_bytes)))
    bins = max(1, min(16, -(-total // block), _PARTIAL // (groups * rows * depth * item)))
    block = even_share(-(-total // bins), block)
    parts = max(1, min(-(-depth // tiles.block), -(-16 // (bins * groups))))
    words = np.array([
        conv_gather.address("float", pixels.kind), conv_gather.address("float", 1), *pixels.words(moves),
        *gs.words(g_moves), groups, rows, depth, parts, bins, n // unit, pixels.vectors, block,
        unit * groups * channels * plane * item, channels * plane * item,
        unit * groups * rows * length * item, rows * length * item,
    ], np.int64)
    partial = groups * bins * rows * depth if bins > 1 else 0
    return Plan(words, (pixels, gs, moves, g_moves), conv_weight_tiles.kernel(tiles), partial)
