"""What kernels cost in either layout of images, in nanoseconds of one thread: a model fitted to measurements.

Convolutions take so much a multiply-add, an element of the input's side, an element of the output's side, and a call;
the numbers are least squares over those of ResNets, MobileNets, U-Nets and ConvNeXts with 1 and 8 images (AVX-512, 118
GFLOP/s), whose times they give to 10 % (median). What is compared are sums of them, so other machines' speed doesn't
matter as long as arithmetic and memory keep their proportion.
"""

import math

USUAL, LAST = False, True
_LANES, _WASTE = 16, 1.05       # see ``ops.nn.image_plans``

# (kind, map, layout): a multiply-add, an element of the convolution's input, of its output, a call
_CONVOLUTIONS = {
    ("depthwise", "forward", USUAL): (0.041, 0.273, 0, 8e3),
    ("depthwise", "forward", LAST): (0.022, 0.157, 0.015, 8e3),
    ("depthwise", "input", USUAL): (0.033, 0.474, 0, 8e3),
    ("depthwise", "input", LAST): (0.021, 0.18, 0, 8e3),
    ("depthwise", "weight", USUAL): (0.045, 0.228, 0, 8e3),
    ("depthwise", "weight", LAST): (0.037, 0.171, 0.093, 15e3),
    ("pixels", "forward", USUAL): (0.0178, 0.394, 0.114, 6e3),
    ("pixels", "forward", LAST): (0.0185, 0.19, 0.024, 9e3),
    ("pixels", "input", USUAL): (0.0221, 0, 0, 6e3),
    ("pixels", "input", LAST): (0.0211, 0, 0, 6e3),
    ("pixels", "weight", USUAL): (0.0213, 0.496, 0.03, 11e3),
    ("pixels", "weight", LAST): (0.0213, 0.85, 0.38, 11e3),
    ("point", "forward", USUAL): (0.021, 0.071, 0.123, 6e3),
    ("point", "forward", LAST): (0.0191, 0.094, 0.028, 4e3),
    ("point", "input", USUAL): (0.0223, 0.039, 0.1, 6e3),
    ("point", "input", LAST): (0.0191, 0.017, 0.087, 4e3),
    ("point", "weight", USUAL): (0.0247, 0, 0, 6e3),
    ("point", "weight", LAST): (0.02, 0.012, 0.082, 4e3),
    # Images that are multiplied by the weights as they stand.
    ("image", "forward", USUAL): (0.0182, 0, 0.04, 4e3),
    ("image", "forward", LAST): (0.0182, 0.03, 0.03, 4e3),
    ("image", "input", USUAL): (0.0182, 0.03, 0.03, 4e3),
    ("image", "input", LAST): (0.0182, 0.017, 0.06, 4e3),
    ("image", "weight", USUAL): (0.0187, 0.1, 0.036, 6e3),
    ("image", "weight", LAST): (0.0178, 0.012, 0.1, 4e3),
    # Minimal filtering; channels-last images are laid out anew for it (and it is eager mode's call then).
    ("filtered", "forward", USUAL): (0.009, 0, 0, 6e3),
    ("filtered", "forward", LAST): (0.009, 0.35, 0.35, 15e3),
    ("filtered", "input", USUAL): (0.009, 0, 0, 6e3),
    ("filtered", "input", LAST): (0.009, 0.35, 0.35, 15e3),
    ("filtered", "weight", USUAL): (0.0105, 0, 0, 6e3),
    ("filtered", "weight", LAST): (0.0105, 0.35, 0.35, 15e3),
    # Few channels, whose windows are gathered; other dtypes.
    ("gathered", "forward", USUAL): (0.025, 0.2, 0.1, 6e3),
    ("gathered", "forward", LAST): (0.025, 0.45, 0.35, 25e3),
    ("gathered", "input", USUAL): (0.025, 0.2, 0.1, 6e3),
    ("gathered", "input", LAST): (0.025, 0.45, 0.35, 25e3),
    ("gathered", "weight", USUAL): (0.025, 0.2, 0.1, 6e3),
    ("gathered", "weight", LAST): (0.025, 0.45, 0.35, 25e3),
}
# Nanoseconds an element of the input, in the usual layout and channels-last.
_OTHERS = {
    "batch_norm": (0.25, 0.31), "batch_norm_backward": (0.38, 0.5), "evaluated": (0.1, 0.03), "pointwise": (0.1, 0.1),
    "limits": (0.1, 0.01),
    "max_poolscatter": (0.42, 0.32), "_avg_pool2d": (0.3, 0.15), "avg_pool_adjoint": (0.3, 0.15), "cat": (0.12, 0.16),
    "sum": (0.05, 0.05),
}
_HALVES = {"depthwise": (1.0, 0.5)}             # of 16-bit floats, against float32


def kind_of(map_, kernel, stride, padding, groups, rows, channels, positions, pixels, dtype):
    """The way of a map of a convolution from `channels` to `rows` channels a group; `positions` of its result, `pixels`
    of one image of that."""
    if groups > 1 and rows == channels == 1:
        return "depthwise"
    ones = set(stride) == {1}
    if set(kernel) == {1} and ones and not any(padding) and groups == 1:
        whole_vectors = dtype != "bfloat16" and whole(pixels) <= _WASTE * pixels
        return "image" if whole_vectors else "point"
    if dtype == "float32" and ones and tuple(kernel[-2:]) == (3, 3) and min(rows, channels) >= 32 and positions >= 256:
        return "filtered"
    made = {"forward": rows, "input": channels}.get(map_, 16)
    return "gathered" if made < 16 or dtype == "float64" else "pixels"


def convolution(kind, map_, macs, x, y, last, half, given):
    """Of so many multiply-adds between x and y elements of the two sides; `given`: whether x is as it is."""
    a, b, c, call = _CONVOLUTIONS[kind, map_, last]
    if given:
        b = _CONVOLUTIONS[kind, map_, USUAL][1]
    if half:
        a = a * 0.5
        b, c = (v * f for v, f in zip((b, c), (_HALVES.get(kind, (0.8, 0.6))[last],) * 2, strict=True))
    return a * macs + b * x + c * y + call


def max_pool(x, y, kernel, stride, last):
    """Of a maximum over windows, from x to y elements; squares side by side have a kernel of their own."""
    taps = y * math.prod(kernel)
    if not last and set(kernel) == set(stride) == {2}:
        return 0.2 * x + 1e3
    return (0.06 * x + 0.11 * taps if last else 0.5 * taps) + 1e3


def conversion(elements):
    """Of laying images out anew, which also keeps steps from becoming one."""
    return 0.25 * elements + 3e3


def other(name, elements, last):
    """Of a kernel that is no convolution."""
    return _OTHERS[name][last] * elements + 1e3


def whole(channels):
    """Channels with what fills the last vector."""
    return -(-channels // _LANES) * _LANES


def product(macs):
    """Of a product of matrices."""
    return 0.02 * macs + 3e3


def elements(w):
    """Of a window."""
    return math.prod(w.shape)
