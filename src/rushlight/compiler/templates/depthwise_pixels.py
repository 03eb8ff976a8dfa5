"""Convolution of each channel by itself where channels are adjacent, and its weights' gradient, as generated code.

    convolve(y, x, w, bias, plan)               y[n, p, c] = bias[c] + sum_t w[t, c] cells[n, p moved by t, c]
    weight_gradient(parts, x, g, None, plan)    parts[unit, t, c] = sum_{p of unit} g[n, p, c] cells[n, p moved by t, c]

The units and cells of ``conv_pixels``, with its plan's words: all channels of a pixel are a cell, ``runs`` holds the
bytes that each of ``run_count`` rows of taps moves by (a tap, for the gradient), and a task is a unit. Taps of a row
are adjacent cells: a vector of channels of some pixels in a row shares what is loaded of weights, and of cells where
windows meet. Images are float or bfloat16, computed in float32. w, bias and parts are float32 with ``row_words``
channels, a multiple of a vector's elements; behind the taps w has the limits, low and high, that results are kept in.
"""

from functools import cache, partial

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.lower import Types, from_memory, to_memory
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import scratch
from rushlight.compiler.templates.conv_pixels import FIELDS, LAYOUT, copy_lines, fill_planes, unit
from rushlight.compiler.templates.conv_tile import lanes_of, multiply_add
from rushlight.runtime import cpu

PIXELS = 8              # at a time, at most
_DTYPES = {"float": ("float32", "float", 4), "pairs": ("bfloat16", "i16", 2)}


@cache
def kernel(type_, gradient, taps=1, step=1, pixels=PIXELS):
    """The builtin function convolve or weight_gradient for images of ``float`` or ``pairs`` (bfloat16).

    taps: in a row; step: cells from pixel to pixel (if there is one tap to a row, any); pixels: at a time.
    """
    name = "rl_depthwise_pixels_gradient" if gradient else "rl_depthwise_pixels"
    return entries.load(f"depthwise pixels|{type_}|{gradient}|{taps} {step} {pixels}|{cpu.vector_bytes()}",
                        lambda: module_text(type_, gradient, name, taps, step, pixels), [name], codegen_level=2)[0]


def module_text(type_, gradient, name, taps, step, pixels):
    """The IR of the entry and its task."""
    m = entries.new_module()
    copy_lines(m, type_)
    _task(m, type_, _parts if gradient else partial(_results, taps, step, pixels))
    _entry(m, name)
    return m.text()


def _task(m, type_, work):
    """Tile: a unit."""
    dtype, element, item = _DTYPES[type_]
    lanes, types = lanes_of("float"), Types("float32")
    f = entries.task(m, "task")
    job = LAYOUT.job(f, f.args[0])
    job.load("y", "x", "w", "bias", *FIELDS)
    # Loads may go beyond the last cell, and beyond the last pixel.
    block, cells = scratch(f, job, job.planes * job.plane + PIXELS * job.a_row + 512)

    def load(at, mask=None):
        kind = vector(element, lanes)
        value = f.load(kind, at, align=item) if mask is None else f.masked_load(kind, at, mask)
        return from_memory(f, value, dtype, "f", types)

    def store(value, at, mask):
        f.masked_store(to_memory(f, value, "f", dtype, types), at, mask)

    with f.range(f.args[1], f.args[2]) as u:
        image, plane, first, count = unit(f, job, u)
        fill_planes(f, job, u, job.x, cells)
        place = image * job.y_image + plane * job.y_plane + first * job.y_line
        work(f, job, u, cells, place, count, item, load, store)
    f.call("void", "rl_free", block)
    f.ret()


def _results(taps, step, pixels, f, job, u, cells, place, count, item, load, store):
    """The results of a unit."""
    lanes = lanes_of("float")
    kind = vector("float", lanes)
    words, zero = job.row_words * 4, f.value(0.0, vector("float", lanes))
    y = job.y + (job.y_start + place)
    null = f.null
    limits = job.w + job.run_count * taps * words
    with f.range(count) as line, f.range(0, job.out_w, step=pixels) as q:
        row = cells + (line * job.step_h * job.line + q * job.a_row)
        out = y + (line * job.y_line + q * job.y_pixel)
        with f.range(0, job.channels, step=lanes) as c:
            mask, start = f.below(job.channels - c, lanes), f.var(kind, zero)
            with f.if_(job.bias.ne(null)):
                start.set(f.load(kind, job.bias + c * 4, align=4))
            sums = [f.var(kind, start.get()) for _ in range(pixels)]
            with f.range(job.run_count) as t:
                here, w = row + (f.load("i64", job.runs + t * 8) + c * item), job.w + (t * taps * words + c * 4)
                weights = [f.load(kind, w + words * j, align=4) for j in range(taps)]
                if taps == 1:
                    for i, total in enumerate(sums):
                        total.set(multiply_add(f, weights[0], load(here + job.a_row * i), total.get()))
                else:
                    for k in range((pixels - 1) * step + taps):
                        value = load(here + job.cell * k)
                        for j, weight in enumerate(weights):
                            i, rest = divmod(k - j, step)
                            if not rest and 0 <= i < pixels:
                                sums[i].set(multiply_add(f, weight, value, sums[i].get()))
            low, high = (f.load(kind, limits + (words * k + c * 4), align=4) for k in range(2))
            to = out + c * item
            for i, total in enumerate(sums):
                with f.if_(q + i < job.out_w):
                    value = total.get()
                    value = f.select(value < low, low, value)
                    store(f.select(value > high, high, value), to + job.y_pixel * i, mask)


def _parts(f, job, u, cells, place, count, item, load, store):
    """A unit's part of the gradient, some taps at a time: the sums of its lines."""
    lanes = lanes_of("float")
    kind, taps = vector("float", lanes), 8
    words = job.row_words * 4
    g = job.w + place
    with f.range(0, job.run_count, step=taps) as t, f.range(0, job.channels, step=lanes) as c:
        mask = f.below(job.channels - c, lanes)
        moves = [f.load("i64", job.runs + f.minimum(t + i, job.run_count - 1) * 8) for i in range(taps)]
        sums = [f.var(kind, f.value(0.0, kind)) for _ in range(taps)]
        with f.range(count) as line, f.range(job.out_w) as q:
            value = load(g + (line * job.y_line + q * job.y_pixel + c * item), mask)
            at = cells + (line * job.step_h * job.line + q * job.a_row + c * item)
            for move, total in zip(moves, sums, strict=True):
                total.set(multiply_add(f, value, load(at + move), total.get()))
        for i, total in enumerate(sums):
            with f.if_(t + i < job.run_count):
                f.store(total.get(), job.y + ((u * job.run_count + t + i) * words + c * 4), align=4)


def _entry(m, name):
    """PyObject *name(self, args, n): y, x, w, bias or None, plan; or parts, x, g, None, plan."""
    f, job = LAYOUT.begin(m, name)
    job.load("units")
    with entries.released(f):
        entries.pool(f, "task", job.pointer, job.units)
    entries.done(f, f.load("i64", job.at("failed")))
