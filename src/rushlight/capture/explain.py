"""Programs as text: what `torch.compiler.explain` gives, and what ``RUSHLIGHT_SHOW`` prints as programs are made.

RUSHLIGHT_SHOW is one or several of these, with commas between:

    graph       the kernels that the call ran, and those that its program runs
    loops       what each kernel of the program computes for which elements
    words       the instructions that the native function follows, from the first kernel to the last
    llvm        LLVM's intermediate code of kernels made for pointwise work
    asm         the machine code made of that
"""

from .forms import fits
from .tape import NO_KERNELS, Window, windows


class Explanation:
    """What `compile` makes of a call; print it.

    reasons: why the call stays eager (empty if it doesn't), with file and line; parts: [(name, `Explanation`)] of the
    modules and functions that are programs all the same; graph: the kernels that the call ran, in order, as text;
    kernels: how many there are of each name, run_kernels: of those that the program runs; fused: names of kernels made
    of several; arena_bytes: memory for what doesn't leave the program; seconds: what making it took; unified: whether
    that was done without passes, by programs of other sizes; recompiles: why further programs were made.
    """

    def __init__(self, compiled, args=None, kwargs=None):
        self.name = compiled.__name__
        self.reasons = [*dict.fromkeys([*compiled.refusals.values(),
                                        *[why for found in compiled.paths.values() for _, why in found]])]
        self.recompiles = list(compiled.recompiles)
        self.parts = []
        if compiled.regions is not None:
            self.parts = [(name, Explanation(part)) for name, part in compiled.regions.parts()]
        if args is None:
            entries = [e for found in compiled.entries.values() for e in found]
        else:
            entries = [e for e in compiled.entries.get(compiled.key(args, kwargs)[0], ()) if fits(e)]
        self.entry = entry = entries[0] if entries else None
        self.graph, self.kernels, self.run_kernels, self.fused = "", {}, {}, []
        self.arena_bytes, self.seconds, self.unified = 0, 0.0, False
        if entry is None:
            return
        self.graph = "\n\n".join(map(str, tapes(entry)))
        self.kernels = _counts(s for tape in tapes(entry) for s in tape.steps)
        self.run_kernels = _counts(s for run in runs(entry) for s, _ in run.marks)
        self.fused = [label for label in self.run_kernels if "+" in label]
        self.arena_bytes, self.seconds = sum(run.arena_bytes for run in runs(entry)), entry.seconds
        self.unified = all(run.unified for run in runs(entry))

    def __repr__(self):
        lines = []
        if self.entry is None:
            lines.append(f"{self.name} runs eagerly: {'; '.join(self.reasons) or 'it was called once'}")
        else:
            run, ran = sum(self.run_kernels.values()), sum(self.kernels.values())
            how = " by those of other sizes" if self.unified else ""
            two = ", its backward pass included" if self.entry.plan is not None else ""
            lines.append(f"{self.name}: one program of {run} kernels{two}, where the call ran {ran}; "
                         f"{self.arena_bytes:,} bytes of memory for what stays inside; made in "
                         f"{self.seconds:.3f} s{how}")
            lines.append(", ".join(f"{n} {name}" for name, n in sorted(self.run_kernels.items(), key=lambda x: -x[1])))
            lines += [f"stays eager at times: {why}" for why in self.reasons]
        lines += [f"made again: {why}" for why in self.recompiles]
        for name, part in self.parts:
            if part.entry is None:
                lines.append(f"{name}: no program{': ' if part.reasons else ''}{'; '.join(part.reasons)}")
            else:
                lines.append(f"{name}: one program of {sum(part.run_kernels.values())} kernels")
        return "\n".join(lines) + (f"\n\n{self.graph}" if self.graph else "")


def tapes(entry):
    """The tapes of a program: forward, and backward if that is a program of its own."""
    return [entry.tape] if entry.plan is None else [entry.tape, entry.plan.tape]


def runs(entry):
    """The functions of a program, likewise."""
    return [entry.run] if entry.plan is None else [entry.run, entry.plan.run]


def _counts(steps):
    """How many kernels there are of each name; handing over gradients isn't one, nor are decisions."""
    found = {}
    for s in steps:
        if s.kind not in NO_KERNELS:
            found[s.label] = found.get(s.label, 0) + 1
    return found


def show(compiled, entry, what):
    """The text that RUSHLIGHT_SHOW asks for."""
    found = []
    for word in what.split(","):
        if word not in _SHOWN:
            raise ValueError(f"RUSHLIGHT_SHOW: {word!r} is none of {', '.join(_SHOWN)}")
        found.append(_SHOWN[word](compiled, entry))
    return "\n\n".join(found)


def _graph(compiled, entry):
    text = [f"{compiled.__name__}: the call", *map(str, tapes(entry))]
    for run in runs(entry):
        text += [f"{compiled.__name__}: the program", "\n".join(repr(s) for s, _ in run.marks)]
    return "\n".join(text)


def _loops(compiled, entry):
    lines = []
    for run in runs(entry):
        for step, _ in run.marks:
            if step.kind in NO_KERNELS:
                continue
            kernel = generated(step.call)
            shape = next((w.shape for w in windows(step.outs)), ())
            over = ", ".join(f"{'ijklmnop'[k % 8]} < {n}" for k, n in enumerate(shape)) or "one element"
            lines.append(f"for {over}:    # {step.label}")
            operands = [repr(w) for w in reversed(windows(step.args))]
            if kernel is None:
                lines.append(f"    {', '.join(map(repr, windows(step.outs)))} = {step.label}({', '.join(operands)})")
                continue
            lines.append(f"    # x: {', '.join(operands)}; to {', '.join(map(repr, windows(step.outs)))}")
            lines += [f"    {line.strip()}" for line in kernel[0].text.partition(": ")[2].split(";") if line.strip()]
    return "\n".join([f"{compiled.__name__}: loops", *lines])


def _code(compiled, entry):
    seen, found = set(), []
    for run in runs(entry):
        for step, _ in run.marks:
            kernel = generated(step.call)
            if kernel is not None and id(kernel[0]) not in seen:
                seen.add(id(kernel[0]))
                found.append((step.label, kernel[1]()))
    return found


def _llvm(compiled, entry):
    return "\n\n".join(f"; {compiled.__name__}: {label}\n{text}" for label, text in _code(compiled, entry))


def _asm(compiled, entry):
    from ..compiler.engine import assembly
    return "\n\n".join(f"# {compiled.__name__}: {label}\n{assembly(text)}" for label, text in _code(compiled, entry))


def _words(compiled, entry):
    from .listing import listing
    return "\n\n".join(f"{compiled.__name__}: {listing(run)}" for run in runs(entry))


_SHOWN = {"graph": _graph, "loops": _loops, "words": _words, "llvm": _llvm, "asm": _asm}


def generated(call):
    """(the pointwise kernel that has this callable, function that gives its LLVM code); None for others."""
    from ..compiler import pointwise
    for key, (kernel, outputs) in list(pointwise._kernels.items()):
        if kernel.call is call:
            floats = [d.startswith(("float", "bfloat")) for d in key[2]]
            return kernel, lambda: pointwise.inner_loop(outputs, key[1], floats, key[3], key[4], False)
    return None


def sizes(step):
    """Bytes that a step reads and writes at least."""
    found = {w.key(): w for w in step.windows() if isinstance(w, Window)}
    total = 0
    for w in found.values():
        n = 1
        for s in w.shape:
            n *= s
        total += n * w.dtype.itemsize
    return total
