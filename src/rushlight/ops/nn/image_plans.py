"""Plans of convolutions by 1 x 1 windows as one product of matrices an image (``compiler.templates.conv_images``)."""

import numpy as np

from ...runtime import cpu
from .plan_parts import Plan

_ITEM = {"float32": 4, "float64": 8}
_LANES = 16                     # columns of the narrowest kernels of products
_WASTE = 1.05                   # of their columns beyond the last pixel, above which `pixel_plans` is faster


def serves(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """Whether a map of this shape (see ``conv_plans.product``) is made so: a matter of speed."""
    pixels = int(np.prod(grid))
    return (groups == 1 and dtype in _ITEM and not cpu.amx() and source == grid == out and set(steps) == {1}
            and set(offsets) == {(0,)} and -(-pixels // _LANES) * _LANES <= _WASTE * pixels)


def product(dtype, n, groups, rows, channels, source, grid, steps, offsets, weights, strides, out, place):
    """The Plan of such a map."""
    from ...compiler.templates import conv_images

    item, pixels = _ITEM[dtype], int(np.prod(grid))
    words = np.array([n, rows, pixels, channels, strides[1] * item, strides[2] * item, channels * pixels * item,
                      pixels * item, item, rows * pixels * item, pixels * item], np.int64)
    return Plan(words, (), conv_images.kernel(dtype))
