"""``rushlight.compile``: a function, a module or a whole training step as one program.

Calls with arguments of a new form run eagerly first: once under observation, which shows the functions that are
called and creates what is created lazily (optimizer state, kernels), then once with a tape listening. If Python left
everything as it found it and did nothing that can't be repeated (see `effects`), the tape becomes a program, and
calls that find Python as it was then are calls of the program. If not, the reason is kept and said once, and calls
stay eager. So answers are those of the eager function, always.
"""

import functools
import gc
import os
import sys
import warnings
from threading import Lock
from time import perf_counter
from weakref import WeakSet

from .. import dtypes
from ..autograd.modes import state
from ..runtime.native import available
from ..tensor import watch
from ..tensor.tensor import Tensor
from . import tree
from .backward import SPENT, plan_backward
from .effects import _PLAIN, Calls, State
from .native_guard import Places
from .numbers import is_seen, plain
from .program import program
from .quick import NO, quick
from .tape import ANYTHING, OLDER, Tape

_all = WeakSet()
LIMIT = 8                   # programs kept for one form of arguments


class Entry:
    """A program with the conditions under which it may run."""

    __slots__ = ("run", "holds", "memory", "gradients", "structure", "fixed", "tape", "seconds", "lock",
                 "plan", "recorded", "results", "unchanged")

    def valid(self):
        """Whether Python's state, the memory of older tensors and gradients are what they were."""
        for t, s, owner in self.memory:
            if t._storage is not s or s.owner is not owner:
                return False
        for leaf, g in self.gradients:
            if leaf._grad is not g:
                return False
        return self.unchanged() or self.holds()


class Compiled:
    """A callable that stands for `function`; see the module's text.

    entries: key -> list of `Entry`; refusals: key -> why calls of this form stay eager; quick: functions that check
    and run programs for plain calls, the latest first.
    """

    def __init__(self, function, roots, fullgraph=False, disable=False):
        self.function, self.roots, self.fullgraph, self.disable = function, roots, fullgraph, disable
        self.entries, self.refusals, self.codes, self.said = {}, {}, {}, set()
        self.quick = []
        _all.add(self)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args, **kwargs):
        if not kwargs:
            for call in self.quick:
                result = call(args)
                if result is not NO:
                    return result
        if self.disable or state.special or watch.listener is not None:
            return self.function(*args, **kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        tensors, key = [], [structure, state.grad, dtypes.default.float]
        for x in leaves:
            if isinstance(x, Tensor):
                tensors.append(x)
                a = x._a
                key.append((type(x), x.dtype, a.shape, a.strides, x._offset, x._requires_grad, x._bits))
            else:
                key.append((type(x), x) if isinstance(x, _PLAIN) else id(x))
        key = tuple(key)
        for entry in self.entries.get(key, ()):
            if entry.valid() and _apart(tensors) and entry.lock.acquire(blocking=False):
                try:
                    made = entry.run(*tensors)
                finally:
                    entry.lock.release()
                if entry.plan is not None:
                    made, kept = made[:entry.results], made[entry.results:]
                    entry.plan.attach([made[i] for i in entry.recorded], kept, tensors)
                made = iter(made)
                return tree.unflatten([next(made) if x is _MADE else next(made).item() if x is _READ else x
                                       for x in entry.fixed], entry.structure)
        if key in self.refusals:
            return self.function(*args, **kwargs)
        return self._learn(key, leaves, tensors, args, kwargs)

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    # ------------------------------------------------------------

    def _learn(self, key, leaves, tensors, args, kwargs):
        """Run the function and find out what it does; a program is there afterwards, a refusal, or half of one."""
        # Finalizers of garbage would be taken for the function's doing.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._watch(key, leaves, tensors, args, kwargs)
        finally:
            if collecting:
                gc.enable()

    def _watch(self, key, leaves, tensors, args, kwargs):
        if key not in self.codes:
            with Calls() as calls:
                result = self.function(*args, **kwargs)
            if calls.impure:
                self._refuse(key, calls.impure)
            self.codes[key] = calls.codes
            return result
        if len(self.entries.get(key, ())) >= LIMIT:
            self._refuse(key, f"{LIMIT} programs were made for arguments of one form")
            return self.function(*args, **kwargs)
        begin = perf_counter()
        before = State(self._roots(leaves), self.codes[key])
        grads = [(t, t._grad) for t in before.tensors]
        versions = [(t, t._storage.version) for t in before.tensors]
        tape = Tape(tensors)
        with Calls(tape) as calls, tape:
            result = self.function(*args, **kwargs)
        read, structure = tree.flatten(result)
        if tape.reads:
            State(self._roots(leaves), self.codes[key]).replace(is_seen, plain)
        result = tree.unflatten([plain(x) if is_seen(x) else x for x in read], structure)
        # Another branch was taken than when the functions were listed: what it calls may read more.
        known = {code for code, _ in self.codes[key]}
        new = [c for c in calls.codes if c[0] not in known]
        self.codes[key] = [*self.codes[key], *new]
        if new:
            return result
        for t, version in versions:
            if t._storage.version != version and id(t._storage) not in tape.versions:
                tape.fail("an op that can't be captured changed a tensor in place")
        why = before.obstacle or calls.impure or before.changed() or tape.failure
        if why is None:
            why = self._add(key, before, grads, tape, read, structure, perf_counter() - begin, args, kwargs)
        if why is not None:
            self._refuse(key, why)
        return result

    def _roots(self, leaves):
        return [*self.roots, *[x for x in leaves if not isinstance(x, _PLAIN)]]

    def _add(self, key, before, grads, tape, results, structure, seconds, args, kwargs):
        """Make the program; returns why there can be none."""
        fixed, leaving, recorded = [], [], []
        for x in results:
            if is_seen(x):
                if tape.written_since(x.tensor, x.when):
                    return "a tensor is overwritten after its number was read"
                fixed.append(_READ)
                leaving.append(x.tensor)
                continue
            if not isinstance(x, Tensor):
                if not isinstance(x, _PLAIN):
                    return f"a result is a {type(x).__name__}"
                fixed.append(x)
                continue
            if x.grad_fn is not None:
                recorded.append(x)
            if type(x) is not Tensor and tape.buffer(x).origin is not OLDER:
                return f"a result is a {type(x).__name__}"
            fixed.append(_MADE)
            leaving.append(x)
        known = {id(t) for t in before.tensors} | {id(t._grad) for t in before.tensors if t._grad is not None}
        known |= {id(g) for _, g in grads if g is not None}
        known |= _optimizer_tensors(before.optimizers)
        blocks = {id(t._storage.block()) for t in before.tensors}
        for b in tape.older:
            if id(b.tensor) not in known and id(b.storage) not in blocks:
                return "a tensor of unknown origin is used"
        entry = Entry()
        entry.lock = Lock()
        entry.structure, entry.fixed, entry.tape, entry.results = structure, fixed, tape, len(leaving)
        if tape.failure:
            return tape.failure
        entry.plan = None
        if recorded and state.grad:
            entry.plan, why = plan_backward(tape, recorded)
            if why is not None and why != SPENT:
                return why
        if entry.plan is not None:
            entry.recorded = [i for i, x in enumerate(leaving) if x.grad_fn is not None]
            entry.run = program(tape, [*leaving, *entry.plan.saved], spent=False)
        else:
            entry.run = program(tape, leaving)
        entry.holds = before.guard()
        entry.unchanged = Places(before.entries) if available() else entry.holds
        entry.memory = [(b.tensor, b.tensor._storage, b.tensor._storage.owner) for b in tape.older]
        entry.gradients = [(leaf, g) for leaf, g in tape.entry.values() if g is not ANYTHING]
        used = {id(b.tensor) for b in tape.older}
        entry.gradients += [(t, g) for t, g in grads if g is not None and id(g) in used]
        entry.seconds = seconds
        for made in [tape] if entry.plan is None else [entry.plan.tape, tape]:
            made.let_go()
        self.entries.setdefault(key, []).insert(0, entry)
        call = quick(entry, args, _MADE, _READ) if not kwargs else None
        if call is not None:
            self.quick = [call, *self.quick[:LIMIT - 1]]
        if os.environ.get("RUSHLIGHT_SHOW") == "graph":
            print(Explanation(self), file=sys.stderr)
        return None

    def _refuse(self, key, why):
        if self.fullgraph:
            raise RuntimeError(f"compile(fullgraph=True): {self.__name__} can't be captured whole: {why}")
        self.refusals[key] = why
        self.entries.pop(key, None)
        self.quick = []
        if why not in self.said:
            self.said.add(why)
            warnings.warn(f"compile: {self.__name__} runs eagerly: {why}", stacklevel=4)


class _Made:
    def __repr__(self):
        return "<made by the program>"


_MADE, _READ = _Made(), _Made()


def _apart(tensors):
    """Whether no two tensors share memory."""
    return len(tensors) < 2 or len({id(t._storage.block()) for t in tensors}) == len(tensors)


def _optimizer_tensors(optimizers):
    found = set()
    for optimizer in optimizers:
        for values in optimizer.state.values():
            found |= {id(x) for x in values.values() if isinstance(x, Tensor)}
    return found


def compile(model=None, *, fullgraph=False, dynamic=None, backend="rushlight", mode=None, options=None, disable=False):
    """A function or module that computes the same, faster: its kernels are captured once and run without Python.

    Args:
        model: a function, a method, a module, or a whole training step (a function that calls `backward`, an
            optimizer's `step` ...). Without it, a decorator is returned.
        fullgraph (bool): raise RuntimeError where the call can't be captured, rather than running it eagerly.
        dynamic, backend, mode, options: accepted as PyTorch's; they change nothing here.
        disable (bool): return something that runs eagerly always.

    A call whose Python has effects (counters, prints, random numbers from Python, decisions by `.item()` ...) runs
    eagerly; a warning says why, once.
    """
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode,
                                 options=options, disable=disable)
    if not callable(model):
        raise TypeError(f"compile(): argument 'model' must be callable, not {type(model).__name__}")
    if isinstance(model, type):
        raise TypeError(f"compile(): the class {model.__name__} is no function: compile its instances")
    compiled = Compiled(model, [model], fullgraph, disable)
    if hasattr(model, "_parameters") and hasattr(model, "forward"):
        from .module import OptimizedModule
        return OptimizedModule(model, compiled)
    return compiled


def disable(fn=None, recursive=True, *, reason=None):
    """A function that no program takes in: what calls it stays eager."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        if watch.listener is not None:
            watch.listener.fail(f"{fn.__name__} is disabled" + (f": {reason}" if reason else ""))
        return fn(*args, **kwargs)
    return wrapper


def is_compiling():
    """Whether a call is being captured in this moment."""
    return watch.listener is not None


is_dynamo_compiling = is_compiling


def is_exporting():
    """Whether a program is being captured for export."""
    return False


def reset():
    """Forget all programs; the next calls are captured anew."""
    for compiled in list(_all):
        compiled.entries.clear()
        compiled.refusals.clear()
        compiled.codes.clear()
        compiled.quick = []


def explain(f, *args, **kwargs):
    """What `compile` makes of ``f(*args, **kwargs)``: an `Explanation` to print. Runs `f` twice, eagerly."""
    if hasattr(f, "_orig_mod"):
        f = f._orig_mod
    if isinstance(f, Compiled):
        f = f.function
    compiled = Compiled(f, [f])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            if not compiled.entries and not compiled.refusals:
                compiled(*args, **kwargs)
    return Explanation(compiled)


class Explanation:
    """reasons: why the call stays eager (empty if it doesn't); graph: the kernels in order, as text; kernels: how many
    there are of each name as the call runs them, run_kernels: as the program does; arena_bytes: memory for what doesn't
    leave the program; seconds: what making it took."""

    def __init__(self, compiled):
        self.name = compiled.__name__
        self.reasons = list(compiled.refusals.values())
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
