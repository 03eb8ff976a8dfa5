"""Plans of gradients of convolution weights where one side has few channels (``compiler.templates.conv_dots``)."""

import numpy as np

from ...runtime import cpu
from .plan_parts import MOST_ENTRIES, Pixels, Plan, table_of_moves

_TYPES = {"float32": "float", "float64": "double"}
_MOST_COLUMNS = 108
_FEWEST_ROWS = 12
_MOST_WASTE = 1.25              # lanes of whole vectors a pixel
_BINS = 8
_PARTIAL = 16 << 20             # bytes of the sums of bins


def plan(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """A Plan for dw from x (n, groups channels, *size) and g (n, groups rows, *out); None where others are faster."""
    if dtype not in _TYPES or cpu.amx():
        return None
    taps = int(np.prod(kernel))
    straight = _works(rows, channels * taps, out)
    turned = _works(channels, rows * taps, size) if set(stride) == {1} else None
    if straight and (not turned or straight <= turned):
        offsets = tuple(tuple(i * d - p for i in range(k)) for k, p, d in zip(kernel, padding, dilation))
        return _plan(dtype, n, groups, rows, channels, size, out, stride, offsets, 0)
    if turned:
        # What a pixel of the image, moved by a tap, sees of the gradient.
        offsets = tuple(tuple(p - i * d for i in range(k)) for k, p, d in zip(kernel, padding, dilation))
        return _plan(dtype, n, groups, channels, rows, out, size, stride, offsets, taps)
    return None


def _works(rows, depth, grid):
    """About how long it takes, or None: rows of many, gathered columns, pixels of an image."""
    lanes = cpu.vector_bytes() // 4
    pixels = int(np.prod(grid))
    whole = -(-pixels // lanes) * lanes
    if rows < _FEWEST_ROWS or depth > _MOST_COLUMNS or depth > 6 * rows or whole > _MOST_WASTE * pixels:
        return None
    return whole * depth * (rows + 8)


def _plan(dtype, n, groups, rows, channels, source, grid, steps, offsets, turned):
    from ...compiler.templates import conv_dots, conv_gather, conv_tile

    type_ = _TYPES[dtype]
    item, lanes = conv_tile.ITEM[type_], conv_tile.lanes_of(type_)
    plane, length = int(np.prod(source)), int(np.prod(grid))
    depth = channels * int(np.prod([len(o) for o in offsets]))
    if length * depth // channels > MOST_ENTRIES:
        return None
    height, most = conv_dots.form()
    panels = -(-depth // most)
    columns = -(-depth // panels)
    pixels = Pixels(1, grid, steps, offsets, source, groups * channels * plane, lanes, item, 1)
    moves = table_of_moves(pixels, channels, plane, item)
    # A tile's columns and rows of a block take most of the first-level cache.
    block = max(4, min(pixels.vectors, cpu.caches()[0] * 7 // 8 // ((columns + height) * lanes * item)))
    block = -(-pixels.vectors // -(-pixels.vectors // block))
    across = panels * columns * lanes * item
    blocks = n * -(-pixels.vectors // block)
    bins = max(1, min(_BINS, blocks, _PARTIAL // (groups * rows * across)))
    words = np.array([
        conv_gather.address(type_, pixels.kind), *pixels.words(moves),
        groups, rows, depth, panels, across, bins, n, pixels.vectors, length % lanes, block,
        groups * channels * plane * item, channels * plane * item,
        groups * rows * length * item, rows * length * item, length * item, turned,
    ], np.int64)
    return Plan(words, (pixels, moves), conv_dots.kernel(type_, columns, rows % height),
                groups * bins * rows * across // item)
