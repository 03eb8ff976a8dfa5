"""What programs are made of, for people: `explain`."""


class Explanation:
    """reasons: why the call stays eager (empty if it doesn't); graph: the kernels in order, as text; kernels: how many
    there are of each name as the call runs them, run_kernels: as the program does; arena_bytes: memory for what doesn't
    leave the program; seconds: what making it took."""

    def __init__(self, compiled):
        self.name = compiled.__name__
        self.reasons = [*compiled.refusals.values(), *[why for found in compiled.paths.values() for _, why in found]]
        self.graph, self.kernels, self.run_kernels, self.arena_bytes, self.seconds = "", {}, {}, 0, 0.0
        for entry in (e for entries in compiled.entries.values() for e in entries):
            tapes = [entry.tape] if entry.plan is None else [entry.tape, entry.plan.tape]
            self.graph = "\n\n".join(map(str, tapes))
            for step in (s for tape in tapes for s in tape.steps):
                self.kernels[step.label] = self.kernels.get(step.label, 0) + 1
            runs = [entry.run] if entry.plan is None else [entry.run, entry.plan.run]
            for step, _ in (mark for run in runs for mark in run.marks):
                self.run_kernels[step.label] = self.run_kernels.get(step.label, 0) + 1
            self.arena_bytes, self.seconds = entry.run.arena_bytes, entry.seconds

    def __repr__(self):
        if self.reasons:
            return f"{self.name} runs eagerly: {'; '.join(self.reasons)}"
        counts = ", ".join(f"{n} {name}" for name, n in sorted(self.kernels.items(), key=lambda x: -x[1]))
        return (f"{self.name}: one program of {sum(self.kernels.values())} kernels ({counts}); "
                f"{self.arena_bytes:,} bytes of memory for what stays inside; made in {self.seconds:.3f} s\n\n"
                f"{self.graph}")
