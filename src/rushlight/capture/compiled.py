"""``rushlight.compile``: a function, a module or a whole training step as one program.

Calls with arguments of a new form run eagerly first: once under observation, which shows the functions that are
called and creates what is created lazily (optimizer state, kernels), then with a tape listening. If Python did nothing
that a program can't repeat (see `effects`, `reach`, `standins`), the tape becomes a program, and calls that find Python
as it was then are calls of the program. If not, the reason is kept and said once, and calls stay eager, but for the
modules and functions they call (`breaks`). So answers are those of the eager function, always.
"""

import functools
import gc
import os
import sys
import warnings
from threading import Lock, local
from time import perf_counter
from types import FunctionType
from weakref import WeakSet

from .. import dtypes
from ..autograd.modes import state
from ..tensor import watch
from ..tensor.tensor import Tensor
from . import tree
from .attempt import Attempt
from .backends import guard_filter, is_eager
from .breaks import Listing, Regions, start
from .decisions import Rare
from .effects import _HOME, Calls
from .entry import Entry
from .forms import OBJECT, difference, form
from .given import Given, numbers, positions
from .outside import Outside
from .places import PLAIN, mark
from .quick import BUSY, NO, path
from .settings import config
from .sizes import MOST, Sizes
from .sources import depends, drawn, looked_at
from .state import guard

_all = WeakSet()
_stance = "default"
_learning = Lock()          # one call at a time has stand-ins in its state


class _Here(local):
    learning = False        # whether that call is this thread's


_here = _Here()
LIMIT = 8                   # programs of one function that are tried before the key is looked up
FORMS = 64                  # forms of arguments, sizes apart, that get programs
MISSES = 64                 # programs of one form that found late that they must not run
HOPELESS = 4                # forms with other objects that were refused
TRIES = 16                  # calls of one form that may be captured in vain


class Compiled:
    """A callable that stands for `function`; see the module's text.

    entries: key -> list of `Entry`; refusals: key -> why calls of this form stay eager; hopeless: form -> how many keys
    with objects in them were refused; paths: key -> list of
    (whether a call takes a path that can't be captured, why); quick: functions that check and run programs for plain
    calls, the latest first; reach: what the latest program's call could reach (`reach.Reach`), if that may be so again.
    """

    def __init__(self, function, roots, fullgraph=False, disable=False, dynamic=None, quiet=False):
        self.function, self.roots, self.fullgraph, self.disable = function, roots, fullgraph, disable
        self.dynamic, self.quiet, self.limit, self.filter, self.order = dynamic, quiet, None, None, 1
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        functools.update_wrapper(self, function, updated=())
        self.forget()
        self.own = frozenset(vars(self))        # other attributes are the function's and users'
        self.__dict__.update(vars(function) if isinstance(function, FunctionType) else {})
        _all.add(self)

    def forget(self):
        """Start afresh: no programs, nothing known."""
        self.entries, self.refusals, self.paths, self.said = {}, {}, {}, set()
        self.hopeless, self.orders = {}, {}
        self.known, self.observed, self.tries = {}, set(), {}
        self.changing, self._keep = {}, []
        self.quick, self._reasons, self.reach = [], [], None
        dynamic = config.dynamic_shapes and self.dynamic
        if dynamic is None and not (config.automatic_dynamic_shapes and config.assume_static_by_default):
            dynamic = not config.assume_static_by_default
        self.given = None if dynamic is False else Given(bool(dynamic), FORMS)
        self.listing, self.regions, self.sizes = None, None, Sizes(dynamic is False or self.fullgraph)

    def __call__(self, *args, **kwargs):
        if not kwargs:
            for call in self.quick:
                result = call(args)
                if result is not NO:
                    return self.function(*args) if result is BUSY else result
        if self.disable or state.special or state.inference or state.levels or watch.listener is not None or \
                _stance == "force_eager":
            if state.recorder is not None and state.special == 1 and _stance != "force_eager":
                from ..profiler.programs import run
                return run(self, args, kwargs)
            return self.function(*args, **kwargs)
        key, leaves, tensors = self.key(args, kwargs)
        inputs = [*tensors, *numbers(key, leaves)]
        begin = perf_counter()
        for entry in self.entries.get(key, ()):
            result = entry.call(inputs)
            if result is not NO:
                entry.size.ran(perf_counter() - begin)
                if entry.plain and entry.call not in self.quick:
                    self.quick = [entry.call, *self.quick[:LIMIT - 1]]
                return self.function(*args, **kwargs) if result is BUSY else result
        if _stance != "default":
            if _stance == "fail_on_recompile":
                raise RuntimeError(f"{self.__name__}: there is no program for this call, and the stance is "
                                   f"fail_on_recompile: {difference(key, self.entries)}")
            return self.function(*args, **kwargs)
        if key in self.refusals or any(
                taken(*inputs[len(tensors):]) for taken, _ in self.paths.get(key, ())):
            return self._broken(args, kwargs)
        if key not in self.entries and form(key) in self.observed and self.sizes.waits(key, self.entries):
            return self.sizes.run(key, self.function, args, kwargs)
        if not _learning.acquire(blocking=False):
            return self.function(*args, **kwargs)
        # Finalizers of garbage would be taken for the function's doing.
        collecting = gc.isenabled()
        gc.disable()
        _here.learning = True
        try:
            return self._learn(key, leaves, tensors, args, kwargs)
        finally:
            _here.learning = False
            if collecting:
                gc.enable()
            _learning.release()

    def key(self, args, kwargs):
        """(the form of arguments, their leaves, the tensors among them)."""
        leaves, structure = tree.flatten((args, kwargs))
        tensors, key, seen = [], [structure, state.grad, dtypes.default.float], {}
        for i, x in enumerate(leaves):
            if isinstance(x, Tensor):
                if seen.setdefault(id(x), i) != i:
                    key.append(("argument", seen[id(x)]))
                    continue
                tensors.append(x)
                a = x._a
                key.append((type(x), x.dtype, a.shape, a.strides, x._requires_grad, x._bits))
            else:
                key.append((type(x), x) if isinstance(x, PLAIN) else (OBJECT, type(x), id(x)))
        if self.given is not None:
            self.given.loosen(key, leaves, self.observed)
        return tuple(key), leaves, tensors

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self):
        at = sys.modules.get(getattr(self, "__module__", None))
        if getattr(at, self.__name__, None) is self:
            return self.__name__                # a decorated function is found by its name
        return _recompiled, (self.function, self.roots, self.fullgraph, self.disable, self.dynamic)

    # ------------------------------------------------------------

    def _learn(self, key, leaves, tensors, args, kwargs):
        """Run the function and find out what it does; a program is there afterwards, a refusal, or half of one."""
        if form(key) not in self.observed and len(self.observed) < FORMS:
            return self._observe(key, args, kwargs)
        if self.hopeless.get(form(key), 0) >= HOPELESS:
            return self._broken(args, kwargs)
        why = self._limit(key)
        if why is not None:
            if config.fail_on_recompile_limit_hit:
                raise RuntimeError(f"{self.__name__}: {why} (fail_on_recompile_limit_hit)")
            if not any(e.decides for e in self.entries.get(key, ())):
                self._refuse(key, why)
            return self._broken(args, kwargs)
        if positions(key) and any("type" in code.co_names for code in self.known):
            self.given.fix(key, set(positions(key)))
            return self.function(*args, **kwargs)
        self.tries[key] = self.tries.get(key, 0) + 1
        attempt = Attempt(self, key, leaves, tensors, args, kwargs)
        if attempt.before.obstacle is not None:
            # (what stands in the places of numbers need not meet who knows what)
            if not self.entries.get(key):
                self._refuse(key, attempt.before.obstacle)
            return self._broken(args, kwargs)
        if attempt.set_up() and key in self.entries:
            return self._broken(args, kwargs)       # (there are programs for other memory)
        try:
            result = attempt.run()
            self._conclude(attempt)
            return result
        finally:
            attempt.close()

    def _observe(self, key, args, kwargs):
        """The first call of a form."""
        self.listing = self.listing or Listing()
        with Calls(None, self.listing) as calls, Outside(None):
            result = start(self.function, args, kwargs)
        self.observed.add(form(key))
        self.known.update(calls.codes)
        return result

    def _limit(self, key):
        """Why no more programs are made for arguments of that form, or None."""
        limit = config.recompile_limit if self.limit is None else self.limit
        if len(self.entries.get(key, ())) >= limit:
            return f"{limit} programs were made for arguments of one form; {', '.join(self.recompiles[-1:])}"
        if sum(map(len, self.entries.values())) >= config.accumulated_recompile_limit:
            return f"{config.accumulated_recompile_limit} programs were made; {self.recompiles[-1]}"
        if form(key) not in self.observed:
            return f"programs were made for {FORMS} forms of arguments; {difference(key, self.entries)}"
        if self.tries.get(key, 0) >= TRIES:
            return f"{TRIES} calls had other effects each"
        return None

    def _conclude(self, attempt):
        """After a call there is a program, a reason why not, or something for the next call to know."""
        self.known.update(attempt.codes)
        if attempt.new:
            for entry in attempt.before.entries:
                at = mark(entry)
                if at in attempt.new:
                    self.changing[at] = self.changing.get(at, 0) + 1
                    self._keep.append(entry[0])
        for t in attempt.moved:
            self.changing[id(t), "data", None] = 1
            self._keep.append(t)
        why = attempt.why
        if why is None and attempt.found():
            return
        why = why or attempt.tape.failure or looked_at(attempt.stand.places, attempt.tape.conditions)
        if why is None:
            entry = Entry(self, attempt)
            why = entry.make(self, attempt)
            if why is None:
                self._admit(entry, attempt)
        constants = attempt.constants()
        if constants:
            self.given.fix(attempt.key, constants)
        elif why is not None:
            self._refuse_path(attempt, why)

    def _admit(self, entry, attempt):
        """There is a program."""
        key, reach = attempt.key, attempt.before.reach
        self.reach = reach if reach.stays() else None
        if key not in self.entries:
            self.sizes.captured(key, entry.seconds)
            while len(self.entries) >= MOST:
                self._drop(self.sizes.rarest(self.entries))
        if key in self.entries:
            self._reasons = [*self._reasons[-255:], difference(key, self.entries)]
        elif self.entries:
            self._reasons = [*self._reasons[-255:], functools.partial(difference, key, tuple(self.entries))]
        self.entries.setdefault(key, []).insert(0, entry)
        if entry.plain and entry.size.form.captured == 1:       # (other sizes' first calls are timed)
            self.quick = [entry.call, *self.quick[:LIMIT - 1]]
        what = os.environ.get("RUSHLIGHT_SHOW")
        if what:
            from .explain import show
            print(show(self, entry, what), file=sys.stderr)

    @property
    def recompiles(self):
        """Why programs after the first were made, in words."""
        # (which are put when somebody asks)
        self._reasons[:] = [x if isinstance(x, str) else x() for x in self._reasons]
        return self._reasons

    def missed(self, key, entry):
        """A program found that a number decides otherwise: the likeliest ones come first from now on."""
        entry.misses += 1
        known = self.entries.get(key)
        if not known:
            return
        if sum(e.misses for e in known) > MISSES + 2 * sum(e.hits for e in known) and not self.fullgraph:
            self._refuse(key, "Python decides by numbers that were read from tensors, otherwise in most calls")
            return
        self.entries[key] = known = sorted(known, key=lambda e: -e.hits)
        calls = [e.call for e in known]
        self.quick = [c for c in self.quick if c not in calls] + [c for c in calls if c in self.quick]

    def _refuse_path(self, attempt, why):
        """Calls that take this call's path, as far as it shows, stay eager."""
        key, tape, stand = attempt.key, attempt.tape, attempt.stand
        draws = drawn(stand.places)
        shown = [c for c in tape.conditions if not c[2] and not depends(c, draws)]
        decided = tape.decisions or draws
        if not (shown or decided or self.entries.get(key)):
            return self._refuse(key, why)
        known, fit = self.paths.setdefault(key, []), path(stand.places, shown)
        if shown and not decided:
            known.append((fit, why))
        elif not any(type(taken) is Rare and taken.holds(*attempt.numbers()) for taken, _ in known):
            # Programs of this form are for another state, or another decision.
            others = guard(attempt.before.others(stand.places, stand.live, stand.grown))
            known.append((Rare(lambda *numbers: others() and fit(*numbers)), why))
        self._say(why)

    def _drop(self, key):
        """Forget the programs of one form of arguments."""
        calls = [e.call for e in self.entries.pop(key)]
        self.quick = [call for call in self.quick if call not in calls]

    def _refuse(self, key, why):
        self.refusals[key] = why
        if any(type(x) is tuple and x[0] is OBJECT for x in key):
            # Others are as hopeless as these objects, which may never come again.
            self.hopeless[form(key)] = self.hopeless.get(form(key), 0) + 1
        self.entries.pop(key, None)
        self.quick, self.reach = [], None
        self._say(why)

    def _say(self, why):
        if self.fullgraph:
            raise RuntimeError(f"compile(fullgraph=True): {self.__name__} can't be captured whole: {why}")
        if why not in self.said:
            self.said.add(why)
            if self.quiet:
                return
            frame, level = sys._getframe(1), 2
            while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
                frame, level = frame.f_back, level + 1
            warnings.warn(f"compile: {self.__name__} runs eagerly: {why}", stacklevel=level)

    def _broken(self, args, kwargs):
        """The call where it can't be captured whole: its parts are."""
        if self.regions is None:
            self.regions = Regions(self.function, self.listing)
            self.listing = None
        return self.regions.run(args, kwargs)


def _recompiled(function, roots, fullgraph, disable, dynamic):
    return Compiled(function, roots, fullgraph, disable, dynamic)


def compile(model=None, *, fullgraph=False, dynamic=None, backend=None, mode=None, options=None, name=None,
            disable=False, recompile_limit=None, isolate_recompiles=False, shapes_spec=None):
    """A function or module that computes the same, faster: its kernels are captured once and run without Python.

    Args:
        model: a function, a method, a module, or a whole training step (a function that calls `backward`, an
            optimizer's `step` ...). Without it, a decorator is returned. A class is returned as it is.
        fullgraph (bool): raise RuntimeError where the call can't be captured, rather than running it eagerly.
        name (str): what messages and reports call it; default the function's own name.
        recompile_limit (int): programs kept for one form of arguments, ``torch.compiler.config.recompile_limit`` (8)
            unless given; further calls run eagerly.
        dynamic (bool): whether numbers among the arguments are inputs of programs: True always, False never, None once
            they differ from call to call. Sizes are fixed: other ones are captured in one call more.
        backend (str): ``inductor`` or ``rushlight``, which are this compiler, or one that runs eagerly, such as
            ``eager`` (with ``fullgraph=True`` calls are captured all the same); default
            `torch.compiler.get_default_backend`. InvalidBackend for other names, NotImplementedError for functions.
        mode (str): one of PyTorch's, RuntimeError otherwise; they change nothing.
        options (dict): ``guard_filter_fn`` (see `torch.compiler.skip_guard_on_globals_unsafe` and the like) chooses the
            parts of Python's state that programs ask for; other options change nothing.
        isolate_recompiles, shapes_spec: accepted as PyTorch's; they change nothing here: programs belong to what
            `compile` returns, and hold for the shapes they were made for.
        disable (bool): return something that runs eagerly always.

    A call whose Python does what a program can't repeat runs eagerly, but for its parts; a warning says why, once.
    """
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode,
                                 options=options, name=name, disable=disable, recompile_limit=recompile_limit)
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    if dynamic not in (None, True, False):
        raise AssertionError(f"compile(): dynamic must be True, False or None, got {dynamic!r}")
    chosen = guard_filter(mode, options)
    disable = disable or is_eager(backend) and not fullgraph
    if isinstance(model, type):
        return model
    compiled = Compiled(model, [model], fullgraph, disable, dynamic)
    if name is not None:
        compiled.__name__ = str(name)
    compiled.limit, compiled.filter = recompile_limit, chosen
    if hasattr(model, "_parameters") and hasattr(model, "forward"):
        from .module import OptimizedModule
        return OptimizedModule(model, compiled)
    return compiled


def is_compiling():
    """Whether a call of a compiled function is observed or captured in this thread."""
    return _here.learning


is_dynamo_compiling = is_compiling


def is_exporting():
    """Whether a program is being captured for export."""
    return False


def take_stance(name):
    """Take the stance of that name (see `stance.set_stance`); returns the one before."""
    global _stance
    before, _stance = _stance, name
    if "force_eager" in (before, name):
        for compiled in list(_all):             # the quick way doesn't ask; programs are found by key again
            compiled.quick = []
    return before


def reset():
    """Forget all programs; the next calls are captured anew."""
    for compiled in list(_all):
        compiled.forget()


def explain(f, *args, **kwargs):
    """What `compile` makes of ``f(*args, **kwargs)``: an `Explanation` to print.

    Calls `f` until there is a program or a reason why there is none, if it (compiled already) doesn't have them.
    """
    f = getattr(f, "_compiled", f)
    compiled = f if isinstance(f, Compiled) else Compiled(f, [f])
    from .explain import Explanation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(6):
            found = Explanation(compiled, args, kwargs)
            if found.reasons or found.entry is not None:
                break
            compiled(*args, **kwargs)
    return found
