"""Where the time of a program goes: seconds of each kernel, with the bytes and operations that it must at least take.

    print(profile(step, x, y))

A timed copy of the program's text runs in the place of the program, a clock after each step.
"""

import math
import statistics
import warnings
from time import perf_counter

from .compiled import Compiled
from .program import stepwise
from .tape import Window, windows

_PRODUCTS = {"linear", "_linear_of", "mm", "bmm", "addmm", "_matmul_nt", "_matmul_tn", "_matmul_fold", "baddbmm"}


class Row:
    """One step of a program: its label, the shapes it works on, `seconds`, `bytes`, `flops` (of products)."""

    __slots__ = ("label", "shapes", "seconds", "bytes", "flops")

    def __init__(self, step, seconds):
        self.label, self.seconds = step.label, seconds
        self.shapes = " ".join(["x".join(map(str, w.shape)) or "1" for w in (*step.outs, *windows(step.args))
                                if w is not None])
        seen = {w.key(): w for w in step.windows() if w is not None}
        self.bytes = sum(math.prod(w.shape) * w.dtype.itemsize for w in seen.values())
        self.flops = _flops(step)


def _flops(step):
    """Multiplications and additions of products and convolutions; 0 for what is bound by memory."""
    found = [w for w in step.args if isinstance(w, Window)]
    outs = [w for w in step.outs if w is not None]
    name = step.label.partition("+")[0]
    if not outs or not found:
        return 0
    if name in _PRODUCTS or name.startswith("linear"):
        inner = found[0].shape[-2] if name == "_matmul_tn" and step.kind == "kernel" else found[0].shape[-1]
        return 2 * math.prod(outs[0].shape) * inner
    if name.startswith("conv") and len(found) > 1:
        if name.startswith("conv_weight"):
            return 2 * math.prod(outs[0].shape) * found[1].shape[0] * math.prod(found[1].shape[2:])
        # Each output (of a map) or input (of its adjoint) meets the whole window.
        positions = found[0] if name != "convolution" else outs[0]
        weight = found[1]
        return 2 * positions.shape[0] * math.prod(positions.shape[2:]) * math.prod(weight.shape)
    return 0


class Profile:
    """rows: a `Row` a step of the program, in order; seconds: of the whole program, without clocks in it."""

    def __init__(self, name, rows, seconds, arena_bytes):
        self.name, self.rows, self.seconds, self.arena_bytes = name, rows, seconds, arena_bytes

    def kinds(self):
        """[(label, count, seconds, bytes, flops)], the most time first."""
        table = {}
        for r in self.rows:
            t = table.setdefault(r.label, [0, 0.0, 0, 0])
            t[0] += 1
            t[1] += r.seconds
            t[2] += r.bytes
            t[3] += r.flops
        return sorted(((k, *t) for k, t in table.items()), key=lambda x: -x[2])

    def __repr__(self):
        total = sum(r.seconds for r in self.rows)
        lines = [f"{self.name}: {self.seconds * 1e3:.3f} ms, {len(self.rows)} kernels taking {total * 1e3:.3f} ms, "
                 f"{self.arena_bytes:,} bytes inside",
                 f"{'share':>6} {'ms':>9} {'n':>4} {'GB/s':>7} {'GFLOP/s':>8}  kernel"]
        for label, n, seconds, size, flops in self.kinds():
            per = max(seconds, 1e-12)
            rates = f"{size / per / 1e9:7.1f} {flops / per / 1e9:8.0f}"
            short = label if len(label) < 90 else label[:87] + "..."
            lines.append(f"{100 * seconds / max(total, 1e-12):5.1f}% {seconds * 1e3:9.3f} {n:4} {rates}  {short}")
        return "\n".join(lines)

    def steps(self):
        """The steps in order, one a line, as text."""
        return "\n".join(f"{r.seconds * 1e6:9.1f} us  {r.bytes / max(r.seconds, 1e-12) / 1e9:6.1f} GB/s "
                         f"{r.flops / max(r.seconds, 1e-12) / 1e9:7.0f} GFLOP/s  {r.label}  {r.shapes}"
                         for r in self.rows)


class _Timed:
    """Stands where a program does."""

    __slots__ = ("call",)

    def __init__(self, call):
        self.call = call


def timed(run):
    """(the program in Python with a clock after each step, for each step the list of seconds that calls add to)."""
    seconds = [[] for _ in run.marks]
    return _Timed(stepwise(run, "last = clock()", "now = clock(); told[{0}](now - last); last = clock()".format,
                           {"clock": perf_counter, "told": [x.append for x in seconds]})), seconds


def profile(f, *args, repeat=20, **kwargs):
    """The `Profile`s of the program (and of its backward program) that `compile` makes of ``f(*args, **kwargs)``.

    Runs `f` a few times eagerly and the program 2 · `repeat` times. A call that stays eager raises RuntimeError.
    """
    f = getattr(f, "_orig_mod", f)
    compiled = f if isinstance(f, Compiled) else Compiled(f, [f])
    if not isinstance(f, Compiled):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(4):
                compiled(*args, **kwargs)
    entries = [e for found in compiled.entries.values() for e in found]
    if not entries:
        raise RuntimeError(f"{compiled.__name__} runs eagerly: {'; '.join(compiled.refusals.values()) or 'no calls'}")
    entry = entries[0]
    places = [entry] if entry.plan is None else [entry, entry.plan]
    runs = [p.run for p in places]
    totals = [[] for _ in places]
    quick, compiled.quick = compiled.quick, []

    def whole(k, run):
        def call(*tensors):
            begin = perf_counter()
            made = run.call(*tensors)
            totals[k].append(perf_counter() - begin)
            return made
        return _Timed(call)

    def calls():
        for _ in range(repeat):
            result = compiled(*args, **kwargs)
            if entry.plan is not None:
                results = result if isinstance(result, (tuple, list)) else [result]
                sum(r.sum() for r in results if getattr(r, "requires_grad", False)).backward()
    try:
        for k, p in enumerate(places):
            p.run = whole(k, runs[k])
        calls()
        clocks = []
        for p, run in zip(places, runs, strict=True):
            p.run, seconds = timed(run)
            clocks.append(seconds)
        calls()
    finally:
        for p, run in zip(places, runs, strict=True):
            p.run = run
        compiled.quick = quick
    found = [Profile(compiled.__name__ + (", backward" if k else ""),
                     [Row(step, statistics.median(s)) for (step, _), s in zip(run.marks, seconds, strict=True)],
                     statistics.median(totals[k]), run.arena_bytes)
             for k, (run, seconds) in enumerate(zip(runs, clocks, strict=True))]
    return found[0] if len(found) == 1 else found
