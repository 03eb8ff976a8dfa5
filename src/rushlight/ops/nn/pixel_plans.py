"""Plans of convolutions as products of pixels by packed weights (see ``compiler.templates.conv_pixels``)."""

from functools import lru_cache

import numpy as np

from ...runtime import cpu
from . import image_plans, winograd_plans
from .plan_parts import Plan, address

_TYPES = {"float32": "float", "float64": "double", "bfloat16": "pairs"}
_FEWEST_ROWS = 16
_FEWEST_CHANNELS = 8            # of images in the usual layout, which columns serve better with fewer
_LEAST_WORK = 1 << 20           # multiply-adds, below which making another kernel isn't worth it
_LONGEST = 256                  # pixels of a line
_TASKS = 16                     # at least, where there are so many units


class Ways:
    """The plans that together are a map, and what the results need that are not of the sums' type."""

    __slots__ = ("plans", "gaps", "steps")

    def __init__(self, plans, gaps, steps):
        """gaps: whether some of the result is left untouched; steps: whether there are some between its pixels."""
        self.plans, self.gaps, self.steps = plans, gaps, steps


@lru_cache(512)
def ways(shapes_of, last, y_last, *geometry):
    """The `Ways` to a map by ``conv_plans.forward_shapes`` or ``adjoint_shapes``, or None where others are faster."""
    shapes, gaps = shapes_of(*geometry)
    row_taps = int(np.prod(geometry[5]))
    if not all(_serves(*shape, last or y_last) for shape in shapes):
        return None
    steps = any(place != (0, 1) for shape in shapes for place in shape[-1])
    plans = tuple(product(*shape[:10], row_taps, *shape[11:], last, y_last) for shape in shapes)
    return Ways(plans, gaps, steps)


def quick(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, *where):
    """[(first image, images, Plan)] of a product of float32 images in the usual layout, by weights as they stand.

    None where others are faster, or the weights would have to be laid out anew.
    """
    taps = len(weights)
    if dtype != "float32" or channels < _FEWEST_CHANNELS or strides[1:] != (channels * taps, taps) or not _serves(
            dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, *where, False):
        return None
    plan = product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, taps, *where, False, False)
    return [(0, n, plan)]


def _serves(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place, last):
    """Whether a product of this shape is made so: a matter of speed, and of the dtype."""
    if rows < _FEWEST_ROWS or len(grid) > 3:
        return False
    if dtype == "bfloat16":
        return True
    work = n * int(np.prod(grid)) * groups * rows * channels * len(weights)
    shape = (dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place)
    if not last and (work < _LEAST_WORK or image_plans.serves(*shape)):
        return False
    return not cpu.amx() and not winograd_plans.serves(*shape, last)


def _flat(*pairs):
    """Tuples filled up to three dimensions by what stands beside them: there is one plane, or one row, then."""
    return [(neutral,) * (3 - len(t)) + t for t, neutral in pairs]


def _steps(size, channels, last):
    """Elements from plane to plane, line to line, pixel to pixel and channel to channel."""
    plane = size[1] * size[2]
    return (plane * channels, size[2] * channels, channels, 1) if last else (plane, size[2], 1, size[0] * plane)


class _Cells:
    """How images are cut into units and copied into cells of ``cell`` bytes; ``moves``: bytes of each tap."""

    def __init__(self, n, groups, source, grid, steps, offsets, cell):
        least, most = zip(*((min(o), max(o)) for o in offsets))
        planes, reach = (most[d] - least[d] + 1 for d in range(2))
        across = (grid[2] - 1) * steps[2] + most[2] - least[2] + 1
        line = across * cell
        # What of a row of the image goes to which cell.
        left, first = min(max(0, -least[2]), across), max(0, least[2])
        columns = max(0, min(source[2], least[2] + across) - first)
        # A unit takes a quarter of the second-level cache.
        fit = max(1, (cpu.caches().l2 // 4 // planes // line - reach) // steps[1] + 1)
        blocks = -(-grid[1] // min(fit, grid[1]))
        while n * grid[0] * blocks * groups < _TASKS // 2 and blocks < grid[1]:
            blocks += 1
        rows = -(-grid[1] // blocks)
        blocks = -(-grid[1] // rows)
        lines = (rows - 1) * steps[1] + reach
        plane = lines * line
        self.units, self.bytes = n * grid[0] * blocks, planes * plane
        self.moves = [[(h - least[0]) * plane + (i - least[1]) * line + (j - least[2]) * cell for j in offsets[2]]
                      for h in offsets[0] for i in offsets[1]]
        self._units = self.units, rows, blocks
        self._words = (cell, line, lines, plane, least[1], left, first, columns, source[1], steps[1], steps[2] * cell,
                       grid[1], grid[2], reach, planes, least[0], source[0], steps[0], grid[0])

    def units_words(self):
        """The words "units" to "blocks" of ``conv_pixels.FIELDS``."""
        return self._units

    def words(self):
        """The words "cell" to "out_d"."""
        return self._words


def _lines(size):
    """Other sizes of as many pixels, whose lines fill vectors: windows of a pixel don't see where lines end."""
    count = int(np.prod(size))
    fits = [d for d in range(1, min(count, _LONGEST) + 1) if count % d == 0]
    best = min(fits, key=lambda d: (-(-d // 16) * 16 / d, -d))
    return (count // best, best) if best >= min(size[-1], 16) else size


def product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, row_taps, out, place, last,
            y_last):
    """The Plan of a product with sampled columns, as ``conv_plans.product``, for one to three dimensions.

    The weights are (groups, rows, channels, row_taps), of which the taps ``weights`` take part, or, in pairs, (groups,
    rows, row_taps, channels) with an even number of channels, the last a zero.

    ``last``, ``y_last``: whether the channels of the source and of the result are adjacent; results of such that are
    not of the sums' type need a finishing function.
    """
    from ...compiler.templates import conv_pixel_tile, conv_pixels, conv_tile

    type_ = _TYPES[dtype]
    element = conv_tile.sums_of(type_)
    lanes, sum_item = conv_tile.lanes_of(element), conv_tile.ITEM[element]
    each, item = (2, 2) if type_ == "pairs" else (1, sum_item)
    word = each * item
    if set(offsets) == {(0,)} and source == grid == out and set(steps) == {1}:
        source = grid = out = _lines(source)
        steps, offsets, place = (1, 1), ((0,), (0,)), ((0, 1), (0, 1))
    source, grid, steps, out, offsets, place = _flat(
        (source, 1), (grid, 1), (steps, 1), (out, 1), (offsets, (0,)), (place, (0, 1)))
    words = -(-channels // each)                    # of a cell
    cell = words * word
    cells = _Cells(n, groups, source, grid, steps, offsets, cell)
    # Runs of words, and the weight of each channel of each word in the same order.
    taps = np.array(weights).reshape(-1, len(offsets[2]))
    along = offsets[2] == tuple(range(offsets[2][0], offsets[2][0] + len(offsets[2])))
    runs, order = [], []
    for i, moves in enumerate(cells.moves):
        runs += [(moves[0], len(moves) * words)] if along else [(move, words) for move in moves]
        order.extend(int(t) for t in taps[i])
    runs = np.array(runs, np.int64)
    # Weights: (row, channel, tap), or (row, tap, channel) in words of several channels.
    places = np.full((row_taps, words), -1, np.int64)
    places[order] = np.arange(len(order) * words).reshape(-1, words)
    places = (places.T if each == 1 else places).reshape(-1)
    row_words = len(places)
    places = np.append(places, np.full(lanes, -1))
    depth = len(order) * words
    height, vectors = conv_pixel_tile.form(-(-rows // lanes), grid[2])
    width = vectors * lanes
    panels = -(-rows // width)
    task_units = max(1, min(cpu.caches().l2 // 2 // cells.bytes, cells.units * groups // _TASKS))
    tasks = -(-cells.units // task_units)
    parts = max(1, min(panels, -(-(_TASKS // 2) // (tasks * groups))))
    area, total = int(np.prod(out)), groups * channels
    plane = int(np.prod(source))
    x, y = _steps(source, total, last), _steps(out, groups * rows, y_last)
    y_steps = (sum(start * s for (start, _), s in zip(place, y)), groups * rows * area, rows * y[3], y[3],
               place[1][1] * y[1], place[2][1] * y[2])
    plan = np.array([
        conv_pixel_tile.address(type_, height, vectors), address(runs), len(runs), address(places), row_words,
        groups, rows, channels, depth, height, vectors, panels, parts,
        *cells.units_words(), task_units, tasks, *cells.words(),
        x[0] * item, place[0][1] * y[0] * sum_item,
        total * plane * item, channels * x[3] * item, *(s * item for s in x[1:]),
        rows * row_words * word, row_words * word,
        *(s * sum_item for s in y_steps), int(y_last), int(y_last),
    ], np.int64)
    if last:
        return Plan(plan, (runs, places), conv_pixels.kernel(type_, True))
    packed = None if type_ == "pairs" else conv_pixels.packed_bytes(plan, item)
    return Plan(plan, (runs, places), conv_pixels.kernel(type_), packed=packed)


@lru_cache(512)
def depthwise(shapes_of, *geometry):
    """The `Ways` to a map of channels by themselves, one result a channel, by ``conv_plans``' shapes."""
    shapes, gaps = shapes_of(*geometry)
    return Ways(tuple(_depthwise(*shape) for shape in shapes), gaps, None)


def _depthwise(dtype, n, channels, rows, each, source, grid, steps, offsets, weights, strides, out, place):
    """The Plan of such a product of channels-last images; ``kept``: (rows of taps, the taps in order,
    all taps, the words of a gradient), ``partial``: units."""
    from ...compiler.templates import conv_tile, depthwise_pixels

    item = 2 if dtype == "bfloat16" else 4
    source, grid, steps, out, offsets, place = _flat(
        (source, 1), (grid, 1), (steps, 1), (out, 1), (offsets, (0,)), (place, (0, 1)))
    # All channels and padding to a vector, in words of two bytes or four.
    cell = channels * item
    if dtype == "bfloat16":
        cell += cell % 4
    cells = _Cells(n, 1, source, grid, steps, offsets, cell)
    runs = np.array([move for moves in cells.moves for move in moves], np.int64)
    along = len(offsets[2]) if offsets[2] == tuple(range(offsets[2][0], offsets[2][0] + len(offsets[2]))) else 1
    step, most = steps[2], depthwise_pixels.PIXELS
    if along == 1 or along > 7 or step > 2:
        along = step = 1
    firsts = np.ascontiguousarray(runs[::along])
    # As many pixels at a time as waste few at the ends of rows.
    pixels = -(-grid[2] // -(-grid[2] // most))
    lanes = conv_tile.lanes_of("float")
    x, y = ([s * item for s in _steps(size, channels, True)] for size in (source, out))
    plan = np.array([
        0, address(firsts), len(firsts), 0, -(-channels // lanes) * lanes,
        1, 1, channels, 0, 0, 0, 0, 0, *cells.units_words(), 1, cells.units, *cells.words(),
        x[0], place[0][1] * y[0],
        source[0] * x[0], 0, x[1], x[2], item, 0, 0, sum(start * s for (start, _), s in zip(place, y)),
        out[0] * y[0], 0, item, place[1][1] * y[1], place[2][1] * y[2], 1, 1,
    ], np.int64)
    by_taps = plan.copy()
    by_taps[1:3] = address(runs), len(runs)
    call = depthwise_pixels.kernel(_TYPES[dtype], False, along, step, pixels)
    return Plan(plan, (firsts, list(weights), runs, by_taps), call, cells.units)
