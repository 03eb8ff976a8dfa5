"""Resizing, sampling, patches."""

import numpy as np

from ..unify import Size
from . import maps

_RESIZES = {"Nearest": "nearest", "NearestExact": "nearest", "Linear": "linear", "Bilinear": "linear",
            "Trilinear": "linear", "Bicubic": "cubic"}


@maps(*[f"_Upsample{kind}{n}D{aa}" for kind, ns in (
    ("Nearest", "123"), ("NearestExact", "123"), ("Linear", "1"), ("Bilinear", "2"), ("Trilinear", "3"),
    ("Bicubic", "2")) for n in ns for aa in (("", "Aa") if kind in ("Bilinear", "Bicubic") else ("",))])
def _resize(b, x, size, align_corners, scales, antialias):
    kind = b.key.removeprefix("_Upsample").removesuffix("Aa")[:-2]
    mode = _RESIZES[kind]
    facts = {"mode": mode}
    if mode == "nearest":
        exact = kind == "NearestExact"
        facts |= {"coordinate_transformation_mode": "half_pixel" if exact else "asymmetric",
                  "nearest_mode": "round_prefer_ceil" if exact else "floor"}
    else:
        facts["coordinate_transformation_mode"] = "align_corners" if align_corners else "pytorch_half_pixel"
    if mode == "cubic":
        facts["cubic_coeff_a"] = -0.75
    if antialias:
        b.need(18, "antialias")
        facts["antialias"] = 1
    roi = "" if b.opset >= 13 else b.const(np.zeros(0, np.float32))
    given = [s for s in scales or () if s is not None]
    if len(given) == len(size) and not align_corners or any(isinstance(n, Size) for n in size) and \
            len(given) == len(size):
        return b.op("Resize", x, roi or None, np.array([1, 1, *given], np.float32), **facts)
    return b.op("Resize", x, roi or None, None if b.opset >= 13 else np.zeros(0, np.float32),
                b.ints([*x.shape[:2], *size]), **facts)


@maps("grid_sampler_2d", "grid_sampler_3d")
def _grid_sample(b, x, grid, mode, padding, align_corners):
    b.need(16 if b.key.endswith("2d") else 20, "sampling by a grid")
    names = ("linear", "nearest", "cubic") if b.opset >= 20 else ("bilinear", "nearest", "bicubic")
    return b.op("GridSample", x, grid, mode=names[mode], padding_mode=("zeros", "border", "reflection")[padding],
                align_corners=int(align_corners))


@maps("im2col")
def _patches(b, x, kernel, dilation, padding, stride):
    single = x.rank == 3
    name = b.unsqueeze(x, [0]) if single else x.name
    channels, height, width = x.shape[-3:]
    if any(padding):
        ph, pw = padding
        name = b.op("Pad", name, np.array([0, 0, ph, pw, 0, 0, ph, pw], np.int64), b.scalar(0, x.dtype))
    at = []
    for n, k, d, p, s in zip((height, width), kernel, dilation, padding, stride):
        b.known(n, "the size of the image")
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        at.append(np.arange(k)[:, None] * d + np.arange(count)[None] * s)
    name = b.op("Gather", name, at[0].astype(np.int64), axis=2)
    name = b.op("Gather", name, at[1].astype(np.int64), axis=4)
    name = b.op("Transpose", name, perm=[0, 1, 2, 4, 3, 5])
    name = b.op("Reshape", name, np.array([0, channels * kernel[0] * kernel[1], -1], np.int64))
    return b.squeeze(name, [0]) if single else name


@maps("col2im")
def _unpatched(b, x, size, kernel, dilation, padding, stride):
    b.need(18, "adding patches up (Col2Im)")
    single = x.rank == 2
    name = b.unsqueeze(x, [0]) if single else x.name
    name = b.op("Col2Im", name, b.ints(size), np.array(kernel, np.int64), dilations=dilation,
                pads=[*padding, *padding], strides=stride)
    return b.squeeze(name, [0]) if single else name
