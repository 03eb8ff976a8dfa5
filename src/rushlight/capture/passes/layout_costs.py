"""What kernels cost in either layout of images, in nanoseconds of one thread: a model fitted to measurements.

Convolutions take so much a multiply-add, an element of the input's side, an element of the output's side, and a call;
the numbers are least squares over those of ResNets, MobileNets, U-Nets and ConvNeXts with 1 and 8 images (AVX-512, 118
GFLOP/s), whose times they give to 10 % (median). What is compared are sums of them, so other machines' speed doesn't
matter as long as arithmetic and memory keep their proportion.
"""

import math

USUAL, LAST = False, True
CONVERSION = 0.25               # an element that is laid out anew
_LANES = 16

# (kind, map, layout): a multiply-add, an element of the convolution's input, of its output, a call
_CONVOLUTIONS = {
    ("depthwise", "forward", USUAL): (0.04, 0.267, 0, 6e3),
    ("depthwise", "forward", LAST): (0.033, 0.132, 0.074, 6e3),
    ("depthwise", "input", USUAL): (0.033, 0.466, 0, 6e3),
    ("depthwise", "input", LAST): (0.033, 0.19, 0.01, 6e3),
    ("depthwise", "weight", USUAL): (0.043, 0.228, 0, 6e3),
    ("depthwise", "weight", LAST): (0.036, 0.184, 0.06, 6e3),
    ("pixels", "forward", USUAL): (0.0178, 0.379, 0.122, 6e3),
    ("pixels", "forward", LAST): (0.0186, 0.169, 0.021, 6e3),
    ("pixels", "input", USUAL): (0.022, 0, 0, 6e3),
    ("pixels", "input", LAST): (0.0207, 0, 0, 6e3),
    ("pixels", "weight", USUAL): (0.0198, 0.46, 0.225, 6e3),
    ("pixels", "weight", LAST): (0.0196, 0.862, 0.484, 6e3),
    ("point", "forward", USUAL): (0.0206, 0.075, 0.129, 6e3),
    ("point", "forward", LAST): (0.0197, 0.026, 0.072, 6e3),
    ("point", "input", USUAL): (0.021, 0.043, 0.112, 6e3),
    ("point", "input", LAST): (0.0194, 0.069, 0.053, 6e3),
    ("point", "weight", USUAL): (0.0233, 0.116, 0.148, 6e3),
    ("point", "weight", LAST): (0.0199, 0, 0.039, 6e3),
    # Minimal filtering; channels-last images are laid out anew for it.
    ("filtered", "forward", USUAL): (0.009, 0, 0, 6e3),
    ("filtered", "forward", LAST): (0.009, 0.35, 0.35, 6e3),
    ("filtered", "input", USUAL): (0.009, 0, 0, 6e3),
    ("filtered", "input", LAST): (0.009, 0.35, 0.35, 6e3),
    ("filtered", "weight", USUAL): (0.0105, 0, 0, 6e3),
    ("filtered", "weight", LAST): (0.0105, 0.35, 0.35, 6e3),
    # Few channels, whose windows are gathered; other dtypes.
    ("gathered", "forward", USUAL): (0.025, 0.2, 0.1, 6e3),
    ("gathered", "forward", LAST): (0.025, 0.45, 0.35, 6e3),
    ("gathered", "input", USUAL): (0.025, 0.2, 0.1, 6e3),
    ("gathered", "input", LAST): (0.025, 0.45, 0.35, 6e3),
    ("gathered", "weight", USUAL): (0.025, 0.2, 0.1, 6e3),
    ("gathered", "weight", LAST): (0.025, 0.45, 0.35, 6e3),
}
# Nanoseconds an element of the input, in the usual layout and channels-last.
_OTHERS = {
    "batch_norm": (0.22, 0.27), "batch_norm_backward": (0.32, 0.42), "pointwise": (0.1, 0.1),
    "_max_pool2d": (1.0, 0.28), "max_poolscatter": (0.42, 0.85), "_avg_pool2d": (0.4, 0.12),
    "avg_pool_adjoint": (0.4, 0.12), "cat": (0.12, 0.16), "sum": (0.05, 0.05), "mean": (0.05, 0.05),
}
_HALVES = {"depthwise": (1.0, 0.5)}             # of 16-bit floats, against float32


def kind_of(map_, kernel, stride, padding, groups, rows, channels, positions, dtype):
    """The way of a map of a convolution from `channels` to `rows` channels a group."""
    if groups > 1 and rows == channels == 1:
        return "depthwise"
    ones = set(stride) == {1}
    if set(kernel) == {1} and ones and not any(padding) and groups == 1:
        return "point"
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


def other(name, elements, last):
    """Of a kernel that is no convolution."""
    return _OTHERS[name][last] * elements + 1e3


def whole(channels):
    """Channels with what fills the last vector."""
    return -(-channels // _LANES) * _LANES


def product(m, n, k):
    """Of a product of matrices."""
    return 0.02 * m * whole(n) * k + 3e3


def elements(w):
    """Of a window."""
    return math.prod(w.shape)
