"""The demo's result as one HTML file that needs no other file."""

import base64
import html
import os
import struct
import zlib

import numpy as np

from rushlight.serialization._atomic import atomic_write
from rushlight.training import plots
from rushlight.version import __version__

_STYLE = """
:root { color-scheme: light; --ink: #22303c; --soft: #5b6b79; --line: #d8dee4; --glow: #c2571a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 4rem; color: var(--ink);
  background: #fff; font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .8rem; }
p { margin: .4rem 0; color: var(--soft); }
.facts { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.6rem 0 0; padding: 0; list-style: none; }
.facts li { flex: 1 1 9rem; border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.facts b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.facts li:first-child b { color: var(--glow); } .facts span { color: var(--soft); font-size: .9rem; }
img.plot { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } tbody tr:last-child td { font-weight: 600; border: 0; }
.digits { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 7.5rem; } figcaption { font-size: .85rem; color: var(--soft); }
figure img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line); border-radius: .3rem; }
footer { margin-top: 3rem; font-size: .85rem; color: var(--soft); } a { color: inherit; }
"""


def _png(pixels):
    """A grey PNG (8 bits) of a 2-dimensional uint8 array (PNG specification, section 5)."""
    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9))
            + chunk(b"IEND", b""))


def _embedded(png):
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _fact(value, label):
    return f"<li><b>{html.escape(value)}</b><span>{html.escape(label)}</span></li>"


def _table(report):
    rows = [*report.classes, {"name": "mean", **report.macro, "support": report.total}]
    body = "\n".join(
        f"<tr><td>{html.escape(row['name'])}</td><td>{row['precision']:.4f}</td>"
        f"<td>{row['recall']:.4f}</td><td>{row['f1']:.4f}</td><td>{row['support']}</td></tr>"
        for row in rows)
    return ("<div class=scroll><table><thead><tr><th>digit</th><th>precision</th><th>recall</th>"
            f"<th>F1</th><th>images</th></tr></thead><tbody>{body}</tbody></table></div>")


def _mistakes(test, logits):
    """The test images with wrong answers, as figures."""
    probabilities = logits.softmax(1)
    confidence, answers = probabilities.max(1)
    figures = []
    for i in (answers != test.labels).nonzero().reshape(-1).tolist():
        grey = np.rint(255 * (1 - test.images[i, 0].numpy())).astype(np.uint8)
        figures.append(
            f'<figure><img alt="a handwritten {test.labels[i].item()}" src="{_embedded(_png(grey))}">'
            f"<figcaption>a {test.labels[i].item()}, read as {answers[i].item()} "
            f"({100 * confidence[i].item():.0f} % sure)</figcaption></figure>")
    if not figures:
        return "<p>None: every test image was read right.</p>"
    return f"<div class=digits>{''.join(figures)}</div>"


def _pictures(paths):
    if not paths:
        return (f"<h2>Pictures</h2><p>The learning curve and the confusion matrix need matplotlib: "
                f"<code>pip install '{plots.EXTRA}'</code>, then run the demo again.</p>")
    parts = []
    for path in paths:
        title = os.path.splitext(os.path.basename(path))[0].replace("-", " ").capitalize()
        with open(path, "rb") as file:
            source = _embedded(file.read())
        parts.append(f'<h2>{title}</h2><img class=plot alt="{title}" src="{source}">')
    return "\n".join(parts)


def write_page(path, pictures, history, report, test, logits, options, seconds):
    """Write the page to `path`; `pictures` are PNG files to put into it."""
    kept = next(row["epoch"] for row in history if row.get("best"))
    facts = "".join([
        _fact(f"{100 * report.accuracy:.2f} %", f"right on {report.total} unseen test images"),
        _fact(f"{seconds:.2f} s", f"to train {len(history)} epochs"),
        _fact(str(kept), "epoch of the kept model"),
        _fact(str(options.seed), "seed"),
    ])
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rushlight reads handwritten digits</title><style>{_STYLE}</style></head><body>
<h1>A network that reads handwritten digits</h1>
<p>Three convolutions and a linear layer, trained from scratch by Rushlight. A fixed fifth of the
images, equal shares of each digit, was kept away from training and early stopping.</p>
<ul class=facts>{facts}</ul>
{_pictures(pictures)}
<h2>By digit</h2>{_table(report)}
<h2>Test images it got wrong</h2>{_mistakes(test, logits)}
<footer>Rushlight {__version__}. Data: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten
Digits, UCI Machine Learning Repository, 1998,
<a href="https://doi.org/10.24432/C50P49">doi:10.24432/C50P49</a>, CC BY 4.0.</footer>
</body></html>
"""
    with atomic_write(path) as file:
        file.write(text.encode())
