"""Overlapping frames added up, each in its window: what short-time Fourier synthesis ends with.

    overlap_kernel(element)(out, frames, window, batches, total, count, n, hop, batch_step, frame_step)

``out[b, s] = sum_t frames[b, t, s - t hop] window[s - t hop]`` over frames t < count whose n elements reach s < total,
in the order of t. Frames' elements are adjacent; steps between frames and batches are given in elements and may be 0.
"""

from functools import cache

from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import blocks, entries
from rushlight.compiler.templates.fft_stages import Lanes
from rushlight.compiler.templates.layout import Layout

_JOB = Layout(("out", "frames", "window"), ("batches", "total", "count", "n", "hop", "batch_step", "frame_step"))


@cache
def overlap_kernel(element):
    """The callable for "float" or "double"."""
    key = f"fft overlap {element} {host().vector_bytes}"
    return entries.load(key, lambda: module_text(element), ("rl_overlap",))[0]


def module_text(element):
    """The IR of the entry and its task; a tile is as many results as frames are apart."""
    m = entries.new_module()
    f = entries.task(m, "rl_overlap_task")
    v = Lanes(f, element)
    known = _JOB.load(f, f.args[0])
    total, count, n, hop = (known[k] for k in ("total", "count", "n", "hop"))
    tiles = blocks.ceil_div(total, hop)
    reach = blocks.ceil_div(n, hop)
    with f.range(f.args[1], f.args[2]) as tile:
        batch, place = tile.udiv(tiles), tile.urem(tiles)
        to = known["out"] + (batch * total + place * hop) * v.item
        length = f.minimum(total - place * hop, hop)
        frames = known["frames"] + batch * known["batch_step"] * v.item
        first = blocks.at_least(f, place - reach + 1, 0)
        end = f.minimum(place + 1, count)
        with f.range(0, length, step=v.n) as i:
            added = f.var(v.vector, f.value(0.0, v.vector))
            with f.range(first, end) as t:
                at = (place - t) * hop + i
                # Neither past the frame's end nor into what the next tile adds.
                mask = v.first(blocks.at_least(f, f.minimum(n - at, length - i), 0))
                x = f.masked_load(v.vector, frames + (t * known["frame_step"] + at) * v.item, mask)
                w = f.masked_load(v.vector, known["window"] + at * v.item, mask)
                added.set(v.math.fma(x, w, added.get()))
            f.masked_store(added.get(), to + i * v.item, v.first(length - i))
    f.ret()
    f, job = _JOB.begin(m, "rl_overlap")
    batches, total = job.batches, job.total
    entries.share(f, "rl_overlap_task", job.pointer, batches * blocks.ceil_div(total, job.hop), batches * total * 16)
    entries.none(f)
    return m.text()
