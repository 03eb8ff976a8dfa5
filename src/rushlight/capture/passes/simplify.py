"""Work that a program need not do: what is the same each time, what it has done already, what nobody reads.

    folded      kernels on constants alone (masks by ``tril``, positions) run once, while the program is made
    shared      a kernel that ran before, on the same memory with the same contents, is not run again
    unread      results that nobody reads are not made

Only kernels whose results follow from their operands are concerned. A kernel that may refuse its operands runs though
nobody reads its result, and results that leave the call keep memory of their own.
"""

import numpy as np

from ..tape import CONSTANT, Buffer, Window
from .flow import Flow, is_dense, renamed, replaced

_LARGEST = 1 << 20          # bytes of a folded constant
_PLAIN = (int, float, bool, complex, str, type(None), np.dtype)
# Kernels that refuse nothing that got so far, besides formulas of floats.
_NEVER_RAISE = {"_softmax", "_log_softmax", "sum", "mean", "mm", "bmm", "linear", "clone", "tril", "triu", "cat",
                "native_layer_norm", "_matmul_nt", "_matmul_tn", "_matmul_fold", "addmm"}


def simplify(steps, visible, constants):
    """The steps without such work; `constants` is the tape's list of constant buffers, which grows."""
    return _read(_shared(_folded(steps, visible, constants), visible), visible)


def _pure(step):
    """Whether the results are fresh memory and follow from the operands: those of random numbers don't."""
    return step.kind in ("kernel", "pointwise") and all(_known(x) for x in step.args) and not (
        getattr(step.call, "__module__", None) or "").startswith("rushlight.ops.random")


def _known(x):
    if isinstance(x, (list, tuple)):
        return all(map(_known, x))
    return isinstance(x, (Window, *_PLAIN))


def _single(flow, step, i):
    """Whether the step alone writes its results' memory, which the call makes."""
    return step.outs and all(w is None or flow.maker(w) == i for w in step.outs)


# ---------------------------------------------------------------- on constants alone

def _folded(steps, visible, constants):
    if not constants:
        return steps
    flow, names, drop = Flow(steps, visible), {}, set()
    equal = {}

    def lasting(b):
        return not b.written and id(b) not in visible and id(b) not in flow.writers and b.initial.nbytes <= _LARGEST
    for b in filter(lasting, constants):
        first = equal.setdefault(b.initial.tobytes(), b)
        if first is not b:
            names[id(b)] = first
    found, known = [], {id(b) for b in constants}
    for i, step in enumerate(steps):
        if known.isdisjoint(step.touches[1]):
            found.append(step)
            continue
        step = renamed(step, names)
        found.append(step)
        if not _pure(step) or len(step.outs) != 1 or not _single(flow, step, i):
            continue
        used = step.reads
        if not used or not all(w.buffer.origin is CONSTANT and lasting(w.buffer) and not w.bits for w in used):
            continue
        out = step.outs[0]
        if id(out.buffer) in visible or not is_dense(out) or out.offset or _bytes(out) > _LARGEST:
            continue
        value = _value(step, out)
        if value is not None:
            b = _buffer(step, out, value, len(constants))
            names[id(out.buffer)] = equal.setdefault(b.initial.tobytes(), b)
            if names[id(out.buffer)] is b:
                constants.append(b)
            known |= {id(out.buffer), id(b)}
            drop.add(i)
    return replaced(found, {}, drop)


def _bytes(w):
    n = w.dtype.itemsize
    for s in w.shape:
        n *= s
    return n


def _value(step, out):
    """What the step computes, dense; None where it refuses or gives something else than it did."""
    def array(x):
        if isinstance(x, (list, tuple)):
            return type(x)(map(array, x))
        if not isinstance(x, Window):
            return x
        size = x.dtype.itemsize
        return np.ndarray(x.shape, x.dtype, x.buffer.initial, x.offset * size, [s * size for s in x.strides])
    try:
        if step.kind == "pointwise":
            value = np.empty(out.shape, out.dtype)
            step.call(value, *map(array, step.args))
        else:
            value = step.call(*map(array, step.args))
    except Exception:
        return None             # said when the program runs
    if isinstance(value, tuple):
        value = value[0] if len(value) == 1 else None
    if value is None:
        return None
    value = np.asarray(value)
    return np.ascontiguousarray(value) if value.shape == out.shape and value.dtype == out.dtype else None


def constant(step, out):
    """A constant buffer of what a step computes; see `_value`."""
    value = _value(step, out)
    return None if value is None else _buffer(step, out, value, None)


def _buffer(step, out, value, key):
    b = Buffer.__new__(Buffer)
    b.origin, b.key, b.tensor, b.storage, b.written = CONSTANT, key, None, None, 0
    b.source = constant, [step, out]
    b.initial = np.frombuffer(value.tobytes() or b"\0", np.uint8).copy()
    return b


# ---------------------------------------------------------------- done before

def _shared(steps, visible):
    flow, names, drop, done, writes = Flow(steps, visible), {}, set(), {}, {}
    found = []
    for i, step in enumerate(steps):
        step = renamed(step, names)
        found.append(step)
        if _pure(step) and _single(flow, step, i):
            # (whole keys take longer, and most steps are the only ones of their operands)
            alike = done.setdefault((step.label, id(step.call), *[(b, writes.get(b, 0)) for b in step.touches[1]]), [])
            key = _key(step, writes) if alike else None
            first = next((s for s in alike if _key(s, writes) == key), None)
            if first is None:
                alike.append(step)
            elif not any(w is not None and id(w.buffer) in visible for w in step.outs):
                for old, new in zip(first.outs, step.outs, strict=True):
                    if new is not None:
                        names[id(new.buffer)] = old.buffer
                drop.add(i)
                continue
        for w in step.writes:
            writes[id(w.buffer)] = writes.get(id(w.buffer), 0) + 1
    return replaced(found, {}, drop)


def _key(step, writes):
    """Equal for steps that compute the same; ``writes`` counts how often each buffer was written so far."""
    def of(x):
        if isinstance(x, Window):
            return (*x.key(), writes.get(id(x.buffer), 0))
        if isinstance(x, (list, tuple)):
            return (type(x), *map(of, x))
        return type(x), repr(x)
    outs = tuple(None if w is None else (w.dtype, w.shape, w.strides, w.offset) for w in step.outs)
    return step.kind, step.label, id(step.call), outs, of(step.args)


# ---------------------------------------------------------------- read by nobody

def _read(steps, visible):
    """The steps whose results count, from the last to the first."""
    flow = Flow(steps, visible)
    readers = {b: len(at) for b, at in flow.readers.items()}
    drop = set()
    for i in range(len(steps) - 1, -1, -1):
        step = steps[i]
        if not _pure(step) or not _single(flow, step, i) or not _safe(step):
            continue
        if all(w is None or not readers.get(id(w.buffer)) and id(w.buffer) not in visible for w in step.outs):
            drop.add(i)
            for b in {id(w.buffer) for w in step.reads}:
                readers[b] -= 1
    return replaced(steps, {}, drop)


def _safe(step):
    if step.kind == "pointwise":
        return all(w is None or w.dtype.kind not in "iu" for w in step.outs)
    return step.label in _NEVER_RAISE
