"""A program as a page to look at: its graph, where the time goes, and what lies where in memory when.

    torch.compiler.report(step, x, y, path="step.html")

The page is one file without anything from outside.
"""

from html import escape

from .explain import Explanation, runs, sizes
from .tape import NO_KERNELS, windows

_COLOURS = (("product", "#7aa6d8", ("linear", "mm", "bmm", "addmm", "baddbmm", "_matmul", "conv")),
            ("optimizer", "#c79ad1", ("step",)), ("random numbers", "#d8b06a", ("draw",)),
            ("pointwise", "#8cc28c", ("pointwise",)), ("other", "#d9d4c5", ("",)))
_WIDE, _HIGH, _GAP, _DOWN, _ACROSS = 176, 34, 14, 30, 6

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; color: #222; }}
h1 {{ font-size: 1.4em; }} h2 {{ font-size: 1.15em; margin-top: 2em; }}
table {{ border-collapse: collapse; width: 100%; }} td, th {{ padding: 3px 8px; text-align: right; }}
th {{ border-bottom: 1px solid #888; font-weight: 600; }} td.name, th.name {{ text-align: left; }}
td.name {{ font-family: ui-monospace, monospace; font-size: 12px; }} tr:nth-child(even) td {{ background: #f6f5f1; }}
.bar {{ display: inline-block; height: 9px; background: #7aa6d8; }} .wide {{ overflow-x: auto; }}
.key span {{ display: inline-block; padding: 1px 8px; margin-right: 6px; border-radius: 3px; font-size: 12px; }}
pre {{ background: #f6f5f1; padding: 10px; overflow-x: auto; font-size: 12px; }}
svg text {{ font: 11px ui-monospace, monospace; fill: #222; }} svg .small {{ font-size: 9px; fill: #666; }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
{parts}
<h2>What was captured</h2>
<pre>{graph}</pre>
</body></html>
"""


def report(f, *args, path="report.html", repeat=5, **kwargs):
    """Write a page about the program of ``f(*args, **kwargs)`` to `path`; returns the `Explanation`.

    Calls `f`: to capture it if that hasn't been done, and about 2 · `repeat` times to see where the time goes.
    A call that stays eager gets a page that says why.
    """
    from .compiled import explain
    found = explain(f, *args, **kwargs)
    rows = _measured(f, args, kwargs, repeat) if found.entry is not None else []
    first, *rest = repr(found).split("\n\n")[0].split("\n")
    parts = []
    if found.entry is not None:
        for k, (run, times) in enumerate(zip(runs(found.entry), rows)):
            parts.append(_program(run, times, ("Program", "Backward program")[k]))
    with open(path, "w", encoding="utf-8") as out:
        out.write(_PAGE.format(title=escape(found.name), summary="<br>".join(map(escape, [first, *rest])),
                               parts="\n".join(parts), graph=escape(found.graph or "nothing")))
    return found


def _measured(f, args, kwargs, repeat):
    """For each program, the seconds of its steps."""
    from .profile import profile
    found = profile(getattr(f, "_compiled", f), *args, repeat=repeat, **kwargs)
    return [p.rows for p in (found if isinstance(found, list) else [found])]


def _program(run, rows, title):
    steps = [s for s, _ in run.marks]
    seconds = [r.seconds for r in rows] if len(rows) == len(steps) else [0.0] * len(steps)
    key = "".join(f'<span style="background:{colour}">{name}</span>' for name, colour, _ in _COLOURS)
    return (f'<h2>{title}: {sum(s.kind not in NO_KERNELS for s in steps)} kernels, {sum(seconds) * 1e6:,.0f} µs</h2>'
            f'<p class="key">{key}</p><div class="wide">{graph(steps, seconds)}</div>'
            f"<h2>{title}: where the time goes</h2>{_table(steps, seconds)}"
            f"<h2>{title}: memory inside, {run.arena_bytes:,} bytes</h2><div class='wide'>"
            f"{arena(run.map, run.arena_bytes, len(steps))}</div>")


def _colour(step):
    for name, colour, words in _COLOURS:
        if step.kind in words or any(w and step.label.partition("+")[0].startswith(w) for w in words) or \
                name == "optimizer" and step.label.endswith(".step") or words == ("",):
            return colour
    return "#ffffff"


def graph(steps, seconds):
    """The steps as a picture (SVG): each below those whose results it reads, `seconds` under its name.

    Steps that hand over gradients aren't shown.
    """
    seconds = [t for s, t in zip(steps, seconds) if s.kind not in NO_KERNELS]
    steps = [s for s in steps if s.kind not in NO_KERNELS]
    level, writer, edges = [], {}, []
    for i, step in enumerate(steps):
        reads = {id(w.buffer) for w in windows(step.args)}
        writes = {id(w.buffer) for w in windows(step.outs)}
        above = {writer[b] for b in reads | writes if b in writer}
        edges += [(j, i) for j in sorted(above)]
        level.append(1 + max((level[j] for j in above), default=-1))
        writer.update(dict.fromkeys(writes, i))
    rows, place = [], {}
    for lv in range(max(level, default=-1) + 1):
        found = [i for i, x in enumerate(level) if x == lv]
        # Wide levels go on in a further row.
        rows += [found[k:k + _ACROSS] for k in range(0, len(found), _ACROSS)]
    across = max((len(r) for r in rows), default=1)
    for y, row in enumerate(rows):
        # Each as near as can be to the middle of what it reads.
        row.sort(key=lambda i: _middle([place[j][0] for j, k in edges if k == i and j in place]))
        for x, i in enumerate(row):
            place[i] = ((x + (across - len(row)) / 2) * (_WIDE + _GAP), y * (_HIGH + _DOWN))
    width = across * (_WIDE + _GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(rows) * (_HIGH + _DOWN)}">']
    for j, i in edges:
        x0, y0 = place[j][0] + _WIDE / 2, place[j][1] + _HIGH
        x1, y1 = place[i][0] + _WIDE / 2, place[i][1]
        middle = (y0 + y1) / 2
        parts.append(f'<path d="M{x0:.0f},{y0} C{x0:.0f},{middle:.0f} {x1:.0f},{middle:.0f} {x1:.0f},{y1}" '
                     'fill="none" stroke="#999" stroke-width="1"/>')
    for i, step in enumerate(steps):
        x, y = place[i]
        name = step.label if len(step.label) < 26 else step.label[:24] + "…"
        shapes = " ".join("×".join(map(str, w.shape)) or "1" for w in windows(step.outs)[::-1][:2])
        told = f"{seconds[i] * 1e6:.1f} µs"
        parts.append(f'<g><title>{escape(repr(step))}</title><rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" '
                     f'rx="4" fill="{_colour(step)}"/><text x="{x + 7}" y="{y + 14}">{escape(name)}</text>'
                     f'<text class="small" x="{x + 7}" y="{y + 27}">{escape(shapes)}  {told}</text></g>')
    return "\n".join([*parts, "</svg>"])


def _middle(xs):
    return sum(xs) / len(xs) if xs else 0


def _table(steps, seconds):
    total = sum(seconds) or 1.0
    lines = ['<table><tr><th class="name">kernel</th><th>results</th><th>µs</th><th>share</th><th></th>'
             "<th>bytes</th><th>GB/s</th></tr>"]
    for i in sorted(range(len(steps)), key=lambda i: -seconds[i]):
        step = steps[i]
        if step.kind in NO_KERNELS:
            continue
        size, share = sizes(step), seconds[i] / total
        shapes = " ".join("×".join(map(str, w.shape)) or "1" for w in windows(step.outs)[::-1][:2])
        rate = f"{size / seconds[i] / 1e9:.1f}" if seconds[i] else ""
        lines.append(f'<tr><td class="name">{escape(step.label[:110])}</td><td>{shapes}</td><td>{seconds[i] * 1e6:.1f}'
                     f'</td><td>{100 * share:.1f}%</td><td class="name"><span class="bar" style="width:'
                     f'{max(1, 160 * share):.0f}px"></span></td><td>{size:,}</td><td>{rate}</td></tr>')
    return "\n".join([*lines, "</table>"])


def arena(places, nbytes, steps):
    """A map (SVG) of a program's memory: steps from left to right, addresses downwards."""
    if not places:
        return "<p>nothing stays inside</p>"
    width, height = 1080, 320
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 20}">'
             f'<rect width="{width}" height="{height}" fill="#f6f5f1"/>']
    for k, (name, offset, size, first, last) in enumerate(places):
        x, w = first * width / steps, max(2, (last - first + 1) * width / steps)
        y, h = offset * height / nbytes, max(1, size * height / nbytes)
        colour = ("#b9c7d4", "#cfd9c4", "#d9cdb8", "#d3c4d6")[k % 4]
        parts.append(f'<g><title>{escape(name)}: {size:,} bytes at {offset:,}, steps {first} to {last}</title><rect '
                     f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{colour}" stroke="white"/>')
        if w > 50 and h > 12:
            parts.append(f'<text x="{x + 4:.1f}" y="{y + 12:.1f}">{escape(name)}</text>')
        parts.append("</g>")
    parts.append(f'<text class="small" x="0" y="{height + 14}">step 0</text><text class="small" x="{width - 46}" '
                 f'y="{height + 14}">step {steps - 1}</text></svg>')
    return "\n".join(parts)


__all__ = ["Explanation", "report"]
