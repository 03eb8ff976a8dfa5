"""Formulas whose result only a convolution by 1 x 1 windows reads are computed where it reads them, block by block.

    convolution(relu(batch_norm(x)), w)         evaluated: DenseNets, residual networks whose activations come first
    convolution(x.relu() * s, w)

The images in between take no memory. They are worth it where they are larger than caches (`LEAST`), and images have
pixels enough for blocks of `LEAST_COLUMNS`. Elements are the same bits, but evaluated normalization becomes a
multiply-add by numbers for each channel.
"""

import math
import struct

from ...dtypes import from_np
from ..tape import Step, Window
from .epilogues import _merged, line, vector
from .flow import Flow, is_dense, replaced
from .planned import Convolution

LEAST, LEAST_COLUMNS = 1 << 22, 128         # bytes of the images in between, pixels of a block


def image_prologues(steps, visible, number):
    """The steps with such pairs as one; ``number()`` gives new buffers' numbers."""
    if not any(_facts(s) for s in steps):
        return steps
    flow, at, drop = Flow(steps, visible), {}, set()
    for i, step in enumerate(steps):
        facts = _facts(step)
        if facts is not None:
            k = flow.maker(step.args[0])
            found = _taken(flow, i, k, facts, number) if k is not None and flow.only(step.args[0], i) else None
            if found is not None:
                at[i] = found
                drop.add(k)
    return replaced(steps, at, drop)


def _facts(step):
    """The words of a convolution that multiplies images as they stand, and is worth it; or None."""
    from ...compiler.templates import conv_images, gemm_prologue
    call = step.call
    if type(call) is not Convolution or call.finish is not None or not call.ways.quick or len(call.ways.quick) != 1:
        return None
    x, y = step.args[0], step.outs[0]
    (_, count, plan), item = call.ways.quick[0], x.dtype.itemsize
    if count != y.shape[0] or math.prod(x.shape) * item < LEAST or gemm_prologue.prologue(x.dtype) is None or \
            plan.call is not conv_images.kernel(x.dtype.name) or not is_dense(x):
        return None
    facts = dict(zip(conv_images.FIELDS, map(int, plan.words), strict=True))
    block, _ = gemm_prologue.blocks(2, (facts["m"], facts["n"], facts["k"]), item, count)
    return facts if block >= LEAST_COLUMNS else None


def _taken(flow, i, k, facts, number):
    """The steps in the place of convolution `i`, which takes in step `k`; or None."""
    from ...compiler.templates import gemm_prologue
    step, maker = flow.steps[i], flow.steps[k]
    x, w, bias = step.args[:3]
    made = maker.outs[0]
    if not is_dense(made) or made.shape != x.shape or made.offset != x.offset or made.dtype != x.dtype:
        return None
    found = _normalized(maker, number) if maker.label.startswith("evaluated batch_norm") else _formula(maker)
    if found is None:
        return None
    before, expr, inputs = found
    placed = [_placed(v, made.shape) for v in inputs]
    if None in placed or len(inputs) > gemm_prologue.MOST_INPUTS or not all(
            flow.still(v, k, i) for s in (*before, maker) for v in s.windows() if v.buffer is not made.buffer):
        return None
    dtypes, name = [from_np(v.dtype).name for v in inputs], from_np(x.dtype).name
    steps = {f: facts[f] for f in ("a_row", "a_col", "b_row", "b_col", "c_row", "c_batch")}
    words = gemm_prologue.plan(gemm_prologue.staging(expr, dtypes, name), 2, (facts["m"], facts["n"], facts["k"]),
                               steps, [p[1:] for p in placed], "row_bias" if bias is not None else None,
                               x.dtype.itemsize, facts["batch"], [p[0] for p in placed])
    label = f"{maker.label}+{step.label}"
    return [*before, Step("into", label, gemm_prologue.prologue(x.dtype), [w, bias, *inputs, words], step.outs)]


def _normalized(step, number):
    """(steps before, formula, inputs) of an evaluated normalization, with a relu or without."""
    from ...compiler import scalar as s
    if step.kind != "into" or step.args[3] is not None or "add" in step.label:
        return None
    x, w, b, _, mean, variance, words = step.args
    factors = [vector(x.dtype, x.shape[1], number) for _ in range(2)]
    e = s.fma(s.input(0), s.input(1), s.input(2))
    if step.label.endswith("relu"):
        e = s.where(e < 0.0, 0.0, e)
    own = [Window(v.buffer, v.dtype, (x.shape[1],) + (1,) * (len(x.shape) - 2), (1,) + (0,) * (len(x.shape) - 2), 0, 0)
           for v in factors]
    return [line(factors, w, b, mean, variance, struct.unpack("6qd", words)[-1])], e, [x, *own]


def _formula(step):
    """([], formula, inputs) of a pointwise step."""
    from ...compiler.codegen.lower import ITEMSIZE
    from ...compiler.expr import constant, input_, scalar, substitute
    outputs = getattr(step.detail, "outputs", ())
    if step.kind != "pointwise" or len(step.outs) != 1 or len(outputs) != 1 or outputs[0].kind != "f" or \
            step.detail.compute.np != step.outs[0].dtype:
        return None
    replace, inputs, numbers = [], [], 0
    for x in step.args:
        if isinstance(x, Window):
            if x.bits or from_np(x.dtype).name not in ITEMSIZE:
                return None
            inputs.append(x)
        elif type(x) in (int, float, bool):
            replace.append((scalar(numbers, "f"), constant(float(x), "f")))
            numbers += 1
        else:
            return None
    replace += [(input_(j, kind), input_(j, kind)) for j in range(len(inputs)) for kind in "fb"]
    return [], substitute(outputs[0], replace), inputs


def _placed(x, shape):
    """Bytes of an operand from image to image, channel to channel and pixel to pixel; None where there are none."""
    lead = len(shape) - len(x.shape)
    if lead < 0:
        return None
    strides = [0] * lead
    for size, there, t in zip(shape[lead:], x.shape, x.strides, strict=True):
        if there not in (1, size):
            return None
        strides.append(0 if there == 1 else t)
    pixel, item = _merged(shape[2:], strides[2:]), x.dtype.itemsize
    return (strides[0] * item, strides[1] * item, pixel * item) if pixel in (0, 1) else None
