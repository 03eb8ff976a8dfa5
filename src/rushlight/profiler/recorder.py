"""What is written down while a profiler runs in a thread: a tree of timed events.

``state.recorder`` (``autograd.modes``) is the thread's `Recorder`, or None. Public functions (`arming`), nodes of the
backward pass and annotations open and close events on it; kernels and new tensors are heard of through the listener of
``tensor.watch``, one `Ear` for all threads. ``state.special`` is raised meanwhile, so that generated functions leave
calls to Python.
"""

import sys
import threading
import weakref
from contextlib import contextmanager
from threading import get_ident
from time import perf_counter_ns

from rushlight.autograd.modes import state
from rushlight.tensor import watch
from rushlight.tensor.tensor import Tensor

from . import names

FUNCTION, BACKWARD, USER = 0, 1, 7          # scopes of events, numbered as PyTorch numbers them
_PACKAGE = __file__[:__file__.rindex("profiler")]


class Raw:
    """One event: times in ns; `allocated` bytes minus those freed while no inner event was open."""

    __slots__ = ("name", "start", "end", "parent", "children", "scope", "shapes", "inputs", "stack", "flops",
                 "allocated", "sequence", "dtypes", "strides", "kind", "address", "total")

    def __init__(self, name, start, parent, scope, kind="cpu_op"):
        self.name, self.start, self.end, self.parent, self.scope, self.kind = name, start, start, parent, scope, kind
        self.children = []
        self.shapes, self.inputs, self.dtypes, self.strides, self.stack = (), (), (), (), ()
        self.flops = self.allocated = self.address = self.total = 0
        self.sequence = -1


class Recorder:
    """The events of one thread. shapes, memory, stacks, flops: what to write down beside times.

    `live` are the bytes of tensors that were made while it ran and still exist.
    """

    def __init__(self, shapes=False, memory=False, stacks=False, flops=False):
        self.shapes, self.memory, self.stacks, self.flops = shapes, memory, stacks, flops
        self.thread, self.native_thread = get_ident(), threading.get_native_id()
        self.roots, self.current, self.live = [], None, 0
        self.storages = {}
        self.running, self.outer = False, None
        self.began = self.ended = 0

    # ------------------------------------------------------------ events

    def begin(self, name, args=None, kwargs=None, scope=FUNCTION, kind="cpu_op", parameters=None):
        """Open an event inside the one that is open."""
        parent = self.current
        e = Raw(name, 0, parent, scope, kind)
        (self.roots if parent is None else parent.children).append(e)
        self.current = e
        if args is not None and self.shapes:
            given = list(args)
            if parameters is not None:
                given += [kwargs.get(p) for p in parameters[len(given):]]
            e.shapes = [_shape(x) for x in given]
            e.strides = [_strides(x) for x in given]
            e.inputs = [_concrete(x) for x in given]
            e.dtypes = [names.dtype_name(x) for x in given]
        if self.stacks:
            e.stack = _stack()
        e.start = perf_counter_ns()
        return e

    def annotate(self, name):
        """Open an event that is no op."""
        return self.begin(name, scope=USER, kind="user_annotation")

    def end(self, e, result=None):
        """Close `e`, and what was left open in it."""
        e.end = perf_counter_ns()
        if self.current is not None and self.running:
            self.current = e.parent
        if result is not None:
            t = result[0] if type(result) is tuple and result else result
            if isinstance(t, Tensor):
                node = t._grad_fn
                if node is not None:
                    e.sequence = node.seq

    @contextmanager
    def evaluation(self, name, grads, sequence=-1):
        """Context of one node of the backward pass: an event of the engine's, and the node's own inside of it."""
        outer = self.begin(f"autograd::engine::evaluate_function: {name}")
        inner = self.begin(name, grads, {}, BACKWARD)
        outer.sequence = inner.sequence = sequence
        try:
            yield
        finally:
            self.end(inner)
            self.end(outer)

    def close(self):
        """End what is still open."""
        now = perf_counter_ns()
        e, self.current = self.current, None
        while e is not None:
            e.end = now
            e = e.parent

    # ------------------------------------------------------------ memory

    def made(self, t):
        """A tensor on fresh memory exists."""
        storage = t._storage
        n = 0 if storage.owner is None else storage.nbytes
        if not n or id(storage) in self.storages:
            return
        key = id(storage)
        self._changed(n, key)
        me = weakref.ref(self)

        def freed(_):
            recorder = me()
            if recorder is not None and recorder.storages.pop(key, None) is not None and recorder.running \
                    and get_ident() == recorder.thread:
                recorder._changed(-n, key)
        self.storages[key] = weakref.ref(storage, freed)

    def _changed(self, nbytes, address):
        self.live += nbytes
        e = self.current
        moment = Raw("[memory]", perf_counter_ns(), e, FUNCTION, "cpu_instant_event")
        moment.allocated, moment.address, moment.total = nbytes, address, self.live
        if e is None:
            self.roots.append(moment)
        else:
            e.allocated += nbytes
            e.children.append(moment)

    # ------------------------------------------------------------ running

    def start(self):
        """Write down what this thread does from now on; a recorder that runs already waits."""
        from .arming import arm
        arm()
        _listen()
        self.outer, state.recorder = state.recorder, self
        state.special += 1
        self.running = True
        self.began = perf_counter_ns()

    def stop(self):
        """Stop writing down; a recorder that waited goes on, and gets the events."""
        if not self.running:
            return
        self.close()
        self.ended = perf_counter_ns()
        self.running = False
        if state.recorder is self:
            state.special -= 1
            state.recorder = self.outer
        self.storages.clear()
        _unlisten()
        if self.outer is not None:
            at = self.outer.current
            (self.outer.roots if at is None else at.children).extend(self.roots)

    def pause(self, off):
        """Write nothing down until ``pause(False)``."""
        if self.running and off is (state.recorder is self):
            state.special += -1 if off else 1
            state.recorder = None if off else self


def _shape(x):
    try:
        return list(x._a.shape) if isinstance(x, Tensor) else []
    except RuntimeError:                # nested tensors have none
        return []


def _strides(x):
    try:
        return list(x.stride()) if isinstance(x, Tensor) else []
    except RuntimeError:                # sparse ones have none
        return []


def _concrete(x):
    """A number or a list of numbers as it is; anything else is not kept."""
    if isinstance(x, (bool, int, float, str)):
        return x
    if type(x) in (list, tuple) and all(isinstance(y, (bool, int, float)) for y in x):
        return list(x)
    return None


def _stack():
    """``file(line): function`` of the frames outside of this package, the innermost first."""
    frame, found = sys._getframe(2), []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            found.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back
    return found


# ---------------------------------------------------------------- listening

class Ear(watch.Listener):
    """The listener of all threads' recorders; what other threads do is let be."""

    captures = False            # it repeats nothing: steps need not be prepared for that

    def __init__(self):
        self.count, self.outer = 0, None

    def made(self, t):
        r = state.recorder
        if r is not None and r.memory:
            r.made(t)

    def compute(self, rec, kernel, args, arrays):
        r = state.recorder
        if r is None:
            return kernel(*arrays)
        name = names.of_kernel(rec.name, args, rec.schema)
        if r.current is not None and r.current.name == name:
            return kernel(*arrays)
        e = r.begin(name, args, {})
        try:
            return kernel(*arrays)
        finally:
            r.end(e)

    def ran(self, label, kernel, args, outs, direct=None):
        r = state.recorder
        if r is not None and r.flops:
            from rushlight.utils.flop_counter import count
            out = outs[0] if type(outs) is tuple else outs
            n = count(label, args, out)
            if n:
                _credit(r, names.of_kernel(label, args), n)

    def pointwise(self, rec, launch, operands, scalars, out, fresh):
        r = state.recorder
        if fresh and r is not None and r.flops and rec.name in ("add", "mul"):
            _credit(r, f"aten::{rec.name}", out.numel())


def _credit(r, name, flops):
    """Count operations for the event of a kernel, which is open or was the last one in the open event."""
    e = r.current
    if e is None or e.name != name:
        e = next((c for c in reversed(r.roots if e is None else e.children) if c.name == name), e)
    while e is not None and e.parent is not None and e.parent.name in names.COUNTED_ABOVE:
        e = e.parent
    if e is not None:
        e.flops += flops


_ear, _lock = Ear(), threading.Lock()


def _listen():
    with _lock:
        if not _ear.count:
            _ear.outer = watch.set_listener(_ear)
        _ear.count += 1


def _unlisten():
    with _lock:
        _ear.count -= 1
        if not _ear.count and watch.listener is _ear:
            watch.set_listener(_ear.outer)
