"""What the generated convolutions are told about a shape: tables of pixels and moves, and how work is cut.

A *sampling* is a linear map of images that convolutions and their adjoints share:

    columns[(c, taps), (n, m)] = source[n, c, m_d step_d + offset_d[tap_d] for each dimension d]     (0 outside)

for m in a grid. A convolution samples its input with steps of its stride; its adjoint in the input samples the output's
gradient with steps of one, at one grid for each phase of the stride. Plans are made with NumPy once a shape and kept.
"""

from functools import lru_cache

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

_BINS = 4 << 20                 # bytes of the sums of a weight's gradient in several bins
_TYPES = {"float32": "float", "float64": "double"}


def product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """Plans [(first image, images, Plan)] of a product with sampled columns; None where tables would be too large.

    y[n, (group, row), m_d place_d[1] + place_d[0]] = sum_{c, taps} w[...] columns. ``weights`` are, for each tap,
    elements from a weight's first tap; ``strides`` the elements between groups, rows and channels of the weights;
    ``out`` y's spatial sizes; ``place`` a (start, step) a dimension.
    """
    from ...compiler.templates import conv_gather, conv_product, conv_tile

    type_ = _TYPES[dtype]
    item, lanes = conv_tile.ITEM[type_], conv_tile.lanes_of(type_)
    length, plane, area = int(np.prod(grid)), int(np.prod(source)), int(np.prod(out))
    taps = len(weights)
    depth = channels * taps
    height, vectors = conv_tile.form(rows)
    width = vectors * lanes
    unit = images_together(n, length, width)
    if unit * length * taps > MOST_ENTRIES:
        return None
    panels = -(-rows // height)
    l1, l2 = cpu.caches()[:2]
    # A panel of a block takes a quarter of the first-level cache.
    k_block = even_share(depth, max(64, l1 // 4 // (height * item)))
    call = conv_product.kernel(type_)
    found = []
    for first, count, images in portions(n, unit):
        pixels = Pixels(images, grid, steps, offsets, source, groups * channels * plane, lanes, item, vectors)
        moves = table_of_moves(pixels, channels, plane, item)
        where = ((np.arange(channels) * strides[2])[:, None] + np.array(weights)).reshape(-1) * item
        whole = place == ((0, 1),) * len(grid) and out == grid
        direct = images == 1 and whole
        strips = pixels.vectors // vectors
        total = count // images * strips
        most = max(1, min(8, l2 // 2 // (k_block * width * item)))
        large = rows * depth * item > l2
        tile_strips = most if large else max(1, min(most, -(-total // 16)))
        tile_strips = even_share(total, tile_strips)
        blocks = -(-total // tile_strips)
        parts = min(panels, max(1, -(-8 // (blocks * groups)))) if depth * rows * length * count > 1 << 22 else 1
        pieces, piece_list = table_of_pieces(pixels, images, width, grid, out, place, groups * rows * area, whole, item)
        words = np.array([
            conv_tile.address(type_, height, vectors, True), conv_gather.address(type_, pixels.kind),
            *pixels.words(moves), address(where), address(pieces), address(piece_list),
            groups, rows, depth, height, panels, parts, vectors,
            count // images, strips, images * length, tile_strips, blocks, k_block,
            images * groups * channels * plane * item, channels * plane * item,
            images * groups * rows * area * item, groups * rows * area * item, rows * area * item, area * item,
            strides[0] * item, strides[1] * item, int(direct),
        ], np.int64)
        found.append((first, count, Plan(words, (pixels, moves, where, pieces, piece_list), call,
                                         packed=conv_product.packed_bytes(words, item))))
    return tuple(found)


def _tile_plans():
    from . import tile_plans

    return tile_plans


def weight_gradient(dtype, n, groups, rows, channels, source, grid, steps, offsets, pitch=None):
    """A Plan for dw[o, (c, taps)] = sum g[n, o, m] columns[(c, taps), (n, m)], or None.

    With x and g of bfloat16 dw is float32. ``pitch``: channels from one image of g to the next, where there are more
    than these.
    """
    from ...compiler.templates import conv_gather, conv_tile, conv_weight

    # Elements of images; of pairs of them, and of sums.
    type_, element = ("pairs", "i16") if dtype == "bfloat16" else (_TYPES[dtype], _TYPES[dtype])
    word, lanes = conv_tile.ITEM[conv_tile.sums_of(type_)], conv_tile.lanes_of(conv_tile.sums_of(type_))
    item = 2 if element == "i16" else word
    if item == 2 and steps[-1] > 2:
        return None
    length, plane = int(np.prod(grid)), int(np.prod(source))
    if set(offsets) == {(0,)} and source == grid and set(steps) == {1}:
        # Windows of a pixel don't see where rows end.
        source, grid, steps, offsets = (plane,), (length,), (1,), ((0,),)
    taps = int(np.prod([len(o) for o in offsets]))
    depth = channels * taps
    unit = max((g for g in range(1, 17) if n % g == 0), key=lambda g: (round(
        g * length / (-(-g * length // lanes) * lanes), 2), -g))
    if unit * length * taps > MOST_ENTRIES:
        return None
    most = conv_tile.form(1 << 20)[0]
    panels = -(-depth // most)
    height = -(-depth // panels)
    vectors = 1 if rows <= lanes else 2
    width = -(-rows // (vectors * lanes)) * vectors * lanes
    pixels = Pixels(unit, grid, steps, offsets, source, groups * channels * plane, lanes, item, 1)
    pitch = pitch or groups * rows
    gs = Pixels(unit, (length,), (1,), ((0,),), (length,), pitch * length, lanes, item, 1)
    moves, g_moves = table_of_moves(pixels, channels, plane, item), table_of_moves(gs, rows, length, item)
    l2 = cpu.caches().l2
    total = n // unit * pixels.vectors
    # Pixels at a time: turned gradients take at most a third of the second-level cache.
    block = max(2, min(24, total, l2 // 3 // (width * lanes * item)))
    gathered = max(1, min(panels, (112 if width > 4 * lanes else 56) // height)) * height
    size = groups * depth * width * word
    bins = max(1, min(8, -(-total // block), _BINS // max(size, 1)))
    block = even_share(-(-total // bins), block)
    parts = max(1, min(panels, -(-8 // (bins * groups))))
    words = np.array([
        conv_tile.address(type_, height, vectors, False), conv_gather.address(element, pixels.kind),
        conv_gather.address(element, "far"), *pixels.words(moves), *gs.words(g_moves),
        groups, rows, width, depth, height, panels, parts, vectors, bins, gathered,
        n // unit, pixels.vectors, block,
        unit * groups * channels * plane * item, channels * plane * item,
        unit * pitch * length * item, rows * length * item,
        length * item if unit == 1 and item == word else 0,
    ], np.int64)
    return Plan(words, (pixels, gs, moves, g_moves), conv_weight.kernel(type_), groups * bins * depth * width)


class Ways:
    """The plans of a map: quick ones (None where none pay), direct ones."""

    __slots__ = ("quick", "gaps", "finishes", "_shapes", "_direct")

    def __init__(self, shapes, gaps):
        """shapes: arguments of `product`; gaps: whether together they leave some of the result untouched."""
        from . import image_plans, overlap_plans, pixel_plans, winograd_plans

        self._shapes, self.gaps, self._direct, self.quick = shapes, gaps, None, None
        # Whether the kernels can call finishing functions, which take adjacent pixels.
        self.finishes = not gaps and not cpu.amx() and all(shape[-1][-1][1] == 1 for shape in shapes)
        filtered = len(shapes) == 1 and winograd_plans.serves(*shapes[0])
        if cpu.amx():
            self.quick = _tile_plans().quick(shapes, gaps, filtered and shapes[0][7] == (1, 1))
        if filtered and self.quick is None:
            self.quick = winograd_plans.product(*shapes[0])
        if self.quick is None and len(shapes) == 1 and image_plans.serves(*shapes[0]):
            self.quick = [(0, shapes[0][1], image_plans.product(*shapes[0]))]
        if self.quick is None and overlap_plans.serves(shapes):
            self.quick = [(0, shapes[0][1], overlap_plans.product(shapes))]
            self.gaps, self.finishes = False, True
        if self.quick is None and len(shapes) == 1:
            self.quick = pixel_plans.quick(*shapes[0])

    def direct(self):
        """The direct plans, made when they are first needed; None where tables would be too large."""
        if self._direct is None:
            found = [product(*shape) for shape in self._shapes]
            self._direct = (None,) if None in found else (tuple(plan for plans in found for plan in plans),)
        return self._direct[0]


@lru_cache(512)
def forward(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """The `Ways` to y = conv(x, w), x (n, groups channels, *size), w (groups rows, channels, *kernel)."""
    return Ways(*forward_shapes(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation))


def forward_shapes(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """The same for a convolution itself, which is one product."""
    taps = int(np.prod(kernel))
    shape = (dtype, n, groups, rows, channels, size, out, stride, _offsets(kernel, padding, dilation),
             tuple(range(taps)), (rows * channels * taps, channels * taps, taps), out, ((0, 1),) * len(out))
    return [shape], False


@lru_cache(512)
def adjoint(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """The `Ways` to the adjoint in the input: from y of spatial shape ``out`` x of ``size``."""
    return Ways(*adjoint_shapes(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation))


def adjoint_shapes(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """Arguments of `product` that together are the adjoint in the input; whether they leave some of it untouched.

    x[a + m stride] takes the taps i with a + padding - i dilation divisible by the stride: each such phase is a
    convolution of y of its own, with steps of one.
    """
    taps = int(np.prod(kernel))
    strides = (rows * channels * taps, taps, channels * taps)
    flat = np.arange(taps).reshape(kernel)
    # Taps in the order of their offsets.
    phases = [[(a, tuple(i for i in reversed(range(k)) if (a + p - i * d) % s == 0)) for a in range(min(s, extent))]
              for k, s, p, d, extent in zip(kernel, stride, padding, dilation, size)]
    shapes, gaps = [], False
    for index in np.ndindex(*map(len, phases)):
        chosen = [phases[d][i] for d, i in enumerate(index)]
        if not all(indices for _, indices in chosen):
            gaps = True
            continue
        grid = tuple(-(-(extent - a) // s) for (a, _), extent, s in zip(chosen, size, stride))
        offsets = tuple(tuple((a + p - i * d) // s for i in indices)
                        for (a, indices), s, p, d in zip(chosen, stride, padding, dilation))
        weights = tuple(int(t) for t in flat[np.ix_(*(indices for _, indices in chosen))].reshape(-1))
        shapes.append((dtype, n, groups, channels, rows, out, grid, (1,) * len(grid), offsets, weights, strides, size,
                       tuple((a, s) for (a, _), s in zip(chosen, stride))))
    return shapes, gaps


def _offsets(kernel, padding, dilation):
    return tuple(tuple(i * d - p for i in range(k)) for k, p, d in zip(kernel, padding, dilation))


@lru_cache(512)
def weight(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """A Plan of the adjoint in the weight by minimal filtering or on tiles (or None where it doesn't pay)."""
    from . import winograd_plans

    filtered = winograd_plans.serves_weight(dtype, n, rows, channels, out, kernel, stride, dilation)
    if cpu.amx() and _tile_plans().serves_weight(dtype, n, rows, channels, int(np.prod(kernel)), out, filtered):
        return _tile_plans().weight(n, groups, rows, channels, size, out, stride, _offsets(kernel, padding, dilation))
    if filtered:
        return winograd_plans.weight(n, groups, rows, channels, kernel, size, out, padding)
    return None


@lru_cache(512)
def direct_weight(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation):
    """A Plan of the adjoint in the weight, or None."""
    from . import dot_plans

    dots = dot_plans.plan(dtype, n, groups, rows, channels, kernel, size, out, stride, padding, dilation)
    return dots or weight_gradient(dtype, n, groups, rows, channels, size, out, stride,
                                   _offsets(kernel, padding, dilation))


@lru_cache(512)
def weight_of_some(rows, room, dtype, n, groups, all_rows, channels, kernel, size, out, stride, padding, dilation):
    """A Plan of the adjoint in the weights of ``rows`` of all channels of the output, which share images, by the way
    that is taken for all of them; None where there is none. ``room``: bytes for the workspace, if so little will do."""
    from ...compiler.templates import conv_tile, conv_weight, winograd_weight
    from . import winograd_plans

    shape = dtype, n, groups, all_rows, channels, kernel, size, out, stride, padding, dilation
    whole = weight(*shape) or direct_weight(*shape)
    if groups != 1 or whole is None or dtype not in _TYPES:
        return None
    if dtype == "float32" and whole.call in [winograd_weight.kernel("float", h) for h in (2, 4)]:
        return winograd_plans.weight(n, 1, rows, channels, kernel, size, out, padding, all_rows, room)
    if whole.call is conv_weight.kernel(conv_tile.sums_of(_TYPES[dtype])):
        return weight_gradient(dtype, n, 1, rows, channels, size, out, stride, _offsets(kernel, padding, dilation),
                               all_rows)
    return None
