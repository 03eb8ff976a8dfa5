"""Programs of ``rushlight.compile`` under a profiler: one event a call, with its kernels' events inside."""

from time import perf_counter_ns

from rushlight.autograd.modes import state
from rushlight.capture.program import stepwise
from rushlight.tensor import watch

from .recorder import Raw


def run(compiled, args, kwargs):
    """Call `compiled` as it is without a profiler; what its programs run is written down by them.

    Where it makes no program of the call, it runs eagerly and its ops are events as usual.
    """
    recorder = state.recorder
    key, _, _ = compiled.key(args, kwargs)
    if key in compiled.refusals or compiled.disable:
        return compiled.function(*args, **kwargs)
    for entry in compiled.entries.get(key, ()):
        _tells(entry, compiled.__name__)
        if entry.plan is not None:
            _tells(entry.plan, compiled.__name__ + ", backward")
    event = recorder.begin(f"Torch-Compiled Region: {compiled.__name__}")
    outer = watch.set_listener(None)
    recorder.pause(True)
    own = state.__dict__
    own["resting_recorder"] = recorder
    try:
        return compiled(*args, **kwargs)
    finally:
        own["resting_recorder"] = None
        recorder.pause(False)
        watch.set_listener(outer)
        recorder.end(event)


def _tells(holder, name):
    """Let the program ``holder.run`` tell what it does, from now on, where a recorder listens."""
    program = holder.run
    if program.tells:
        return
    call, seen = program.call, []
    timed = stepwise(program, "seen.clear(); look(clock())", lambda i: "look(clock())",
                     {"seen": seen, "look": seen.append, "clock": perf_counter_ns})

    def run(*tensors):
        own = state.__dict__
        recorder = own.get("recorder") or own.get("resting_recorder")
        if recorder is None:
            return call(*tensors)
        event = recorder.begin(f"CompiledFunction: {name}")
        try:
            made = timed(*tensors)
        finally:
            recorder.end(event)
        for (step, _), begin, end in zip(program.marks, seen, seen[1:]):
            e = Raw(_name(step), begin, event, 0, "kernel")
            e.end = end
            if recorder.shapes:
                e.shapes = [list(w.shape) for w in step.windows() if w is not None]
            event.children.append(e)
        return made
    program.tells, program.call = True, run


def _name(step):
    text = step.label
    return text if len(text) < 120 else text[:117] + "..."
