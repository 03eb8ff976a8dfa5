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

from numpy import ndarray

from .. import dtypes
from ..autograd.modes import state
from ..runtime.native import available
from ..tensor import watch
from ..tensor.tensor import Tensor
from . import tree
from .again import Again
from .backends import filtered, guard_filter, is_eager
from .backward import SPENT, plan_backward
from .breaks import Listing, Regions, here
from .conversions import Converted
from .decisions import Rare, ask_early, is_sized
from .effects import _HOME, Calls
from .forms import OBJECT, difference, form
from .given import Given, in_place, numbers, pinned, positions
from .groups import Groups, prune
from .moves import Memory, moving, named
from .native_guard import Places
from .numbers import is_seen, plain
from .outside import Outside
from .places import PLAIN, mark
from .program import program
from .quick import BUSY, NO, Refused, path, quick
from .reach import State
from .settings import config
from .sizes import MOST, Sizes
from .sources import depends, drawn
from .standins import StandIns, release
from .tape import ANYTHING, OLDER, Tape

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


class Entry:
    """A program with the conditions under which it may run; ``call(tensors)`` checks them and runs it.

    unchanged, holds: whether Python's state, `entries`, is what it was (a quick answer and the true one); memory:
    (tensor, storage, owner, requires_grad) of older tensors; gradients: (leaf, its gradient); places, conditions:
    numbers that the call changes, and what they must fulfil; live: (tensor, container, how, key) of tensors that
    calls replace; leaving: how many tensors the program returns; plan, recorded: the backward program, and which of
    them have a history; plain: the arguments are tensors, given by position; keep: objects among the arguments, whose
    ids are part of the key; known: tensors that must be the very arguments, as they are reached from elsewhere, too;
    decides: whether the program may find that it must not run; hits, misses: how often it did not, and did (`missed`);
    size: see `sizes`.
    """

    __slots__ = ("run", "call", "holds", "unchanged", "entries", "memory", "gradients", "places", "conditions", "live",
                 "changes", "results", "reads", "structure", "tape", "seconds", "lock", "plan", "recorded", "leaving",
                 "keep", "plain", "known", "first", "inputs", "decides", "hits", "misses", "missed", "size")


class Compiled:
    """A callable that stands for `function`; see the module's text.

    entries: key -> list of `Entry`; refusals: key -> why calls of this form stay eager; hopeless: form -> how many keys
    with objects in them were refused; paths: key -> list of
    (whether a call takes a path that can't be captured, why); quick: functions that check and run programs for plain
    calls, the latest first; recompiles: why programs after the first were made, in words.
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
        self.quick, self.recompiles = [], []
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
        if self.disable or state.special or state.levels or watch.listener is not None or _stance == "force_eager":
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
            self.listing = self.listing or Listing(here())
            with Calls(None, self.listing) as calls, Outside(None):
                result = self.function(*args, **kwargs)
            self.observed.add(form(key))
            self.known.update(calls.codes)
            return result
        if self.hopeless.get(form(key), 0) >= HOPELESS:
            return self._broken(args, kwargs)
        why, limit = None, config.recompile_limit if self.limit is None else self.limit
        if len(self.entries.get(key, ())) >= limit:
            why = f"{limit} programs were made for arguments of one form; {', '.join(self.recompiles[-1:])}"
        elif sum(map(len, self.entries.values())) >= config.accumulated_recompile_limit:
            why = f"{config.accumulated_recompile_limit} programs were made; {self.recompiles[-1]}"
        elif form(key) not in self.observed:
            why = f"programs were made for {FORMS} forms of arguments; {difference(key, self.entries)}"
        elif self.tries.get(key, 0) >= TRIES:
            why = f"{TRIES} calls had other effects each"
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
        begin = perf_counter()
        before = State(self._roots(leaves, key[0]), list(self.known.items()), tensors, self.changing)
        if before.obstacle is not None:
            # (what stands in the places of numbers need not meet who knows what)
            if not self.entries.get(key):
                self._refuse(key, before.obstacle)
            return self._broken(args, kwargs)
        grads = [(t, t._grad) for t in before.tensors]
        versions = [(t, t._storage.version) for t in before.tensors]
        flags = [(t, t._requires_grad) for t in before.tensors]
        memory = Memory(before, tensors)
        given = tree.containers((*args, *kwargs.values()))
        stand = StandIns(before, self.changing)
        stand.live += moving(before, self.changing, tensors)
        if any(leaf._grad is not g is not None is not leaf._grad for e in self.entries.get(key, ())
               for leaf, g in e.gradients):
            stand.live += [(t._grad, t, "grad", None) for t in before.tensors if type(t._grad) is Tensor and
                           type(t._grad._a) is ndarray]
        tape = Tape([*tensors, *[t for t, *_ in stand.live]])
        if tape.meets(before.tensors) and key in self.entries:
            return self._broken(args, kwargs)       # (there are programs for other memory)
        if tape.meets(before.tensors):
            tape.fail("an argument shares memory with a tensor that the call may read otherwise")
        stand.put(tape)
        tape.moving = {id(t) for t, x, *_ in stand.live if t is x}
        tape.groups = Groups(tape, before.group_numbers, stand.places)
        own = [(None, "argument", j, key[i][0]) for j, i in enumerate(positions(key))]
        given_args, given_kwargs = in_place(key, leaves, args, kwargs, tape, len(stand.places))
        first = len(stand.places)
        stand.places += own                     # (more may come)
        try:
            try:
                tape.outside = outside = Outside(tape, stand)
                converted = Converted(before)
                listing = None if self.sizes.known_form(key) else self.listing
                with Calls(tape, listing, converted.originals) as calls, tape, outside, converted:
                    result = self.function(*given_args, **given_kwargs)
            finally:
                tape.groups.settle()
                changes, new, why = stand.take_back(tape.outside)
                changes += outside.changes
            result, _ = outside.settled(result)
            read, structure = tree.flatten(result)
            result = tree.converted(result, plain)
            # Another branch was taken than when the functions were listed: what it calls may read more.
            found = {code: scope for code, scope in calls.codes if code not in self.known}
            self.known.update(found)
            for entry in before.entries:
                if mark(entry) in new:
                    self.changing[mark(entry)] = self.changing.get(mark(entry), 0) + 1
                    self._keep.append(entry[0])
            for t, version in versions:
                if t._storage.version != version and id(t._storage) not in tape.versions:
                    tape.fail("an op that can't be captured changed a tensor in place")
            for t, flag in flags:
                if t._requires_grad is not flag and t._grad_fn is None:
                    why = why or f"requires_grad of a tensor of shape {tuple(t.shape)} was changed"
            moved, more, odd = memory.changes(tape, self.changing)
            changes, why = changes + moved, why or odd
            for t in more:
                self.changing[id(t), "data", None] = 1
                self._keep.append(t)
            new = [*new, *more]
            now, form_now = tree.flatten((args, kwargs))
            if key[0] != form_now or any(x is not y for x, y in zip(now, leaves)):
                why = why or "a list or dict among the arguments was changed"
            if given and tree.shared(given, [result, *[c.values for c in changes]]):
                why = why or "a list or dict among the arguments is returned or kept"
            why = calls.impure or before.obstacle or why
            if why is None and (found or new):
                return result
            why = why or tape.failure
            if why is None:
                entry = Entry()
                entry.places, entry.changes, entry.first = stand.places, changes, first
                entry.live, entry.known, entry.inputs = stand.live, before.known, numbers(key, leaves)
                entry.keep = [x for x in leaves if not isinstance(x, (Tensor, *PLAIN))]
                why = self._add(entry, key, leaves, before, grads, tape, read, structure, begin, args, kwargs)
            constants = pinned(tape, first, key)
            if constants:
                self.given.fix(key, constants)
                return result
            if why is not None:
                self._refuse_path(key, why, before, stand, numbers(key, leaves), tape)
            return result
        finally:
            stand.stands.clear()
            changes = read = entry = outside = None         # (what still holds numbers holds them for users)
            release(tape.numbers)
            tape.let_go()

    def _missed(self, key, entry):
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

    def _refuse_path(self, key, why, before, stand, given, tape):
        """Calls that take this call's path, as far as it shows, stay eager."""
        draws = drawn(stand.places)
        shown = [c for c in tape.conditions if not c[2] and not depends(c, draws)]
        decided = tape.decisions or draws
        if not (shown or decided or self.entries.get(key)):
            return self._refuse(key, why)
        known, fit = self.paths.setdefault(key, []), path(stand.places, shown)
        if shown and not decided:
            known.append((fit, why))
        elif not any(type(taken) is Rare and taken.holds(*given) for taken, _ in known):
            # Programs of this form are for another state, or another decision.
            others = before.guard(_others(before, stand.places, stand.live, stand.grown))
            known.append((Rare(lambda *numbers: others() and fit(*numbers)), why))
        self._say(why)

    def _roots(self, leaves, structure):
        return [*self.roots, *tree.classes(structure), *[x for x in leaves if not isinstance(x, (Tensor, *PLAIN))]]

    def _add(self, entry, key, leaves, before, grads, tape, results, structure, begin, args, kwargs):
        """Make the program; returns why there can be none."""
        for x in results:
            if isinstance(x, Tensor):
                if type(x) is not Tensor and tape.buffer(x).origin is not OLDER:
                    return f"a result is a {type(x).__name__}"
            elif not is_seen(x) and not isinstance(x, PLAIN):
                return f"a result is a {type(x).__name__}"
        entry.results, entry.structure, entry.conditions, entry.reads = results, structure, tape.conditions, tape.reads
        entry.lock = Lock()
        entry.tape, entry.plan = tape, None
        try:
            writer = quick(entry, len(tape.arguments) - len(entry.live))
        except Refused as e:
            return str(e)
        if any(tape.written_since(*tape.reads[i]) for i in writer.reads):
            return "a tensor is overwritten after its number was read"
        leaving = writer.leaving
        prune(tape, writer.reads)
        known = [*before.tensors, *[t._grad for t in before.tensors], *[g for _, g in grads],
                 *_optimizer_tensors(before.optimizers)]
        for t in leaving:
            tape.buffer(t)
        if not named(tape.older, [t for t in known if type(getattr(t, "_a", None)) is ndarray]):
            return "a tensor of unknown origin is used"
        if tape.failure:
            return tape.failure
        kin = self.sizes.of(key).form.kin
        entry.recorded = [i for i, x in enumerate(leaving) if x.grad_fn is not None and i not in writer.only_read]
        if entry.recorded and state.grad:
            order, wanted = self.orders.get(key, (self.order, None))
            entry.plan, why = plan_backward(tape, [leaving[i] for i in entry.recorded], order, wanted, kin=kin)
            if why is not None and why != SPENT:
                return why
        # Leaves that the call makes are forgotten with it, and so are their gradients.
        there = {id(t) for t in before.tensors}
        if any(t._grad is not None and id(t) not in there for t in leaving):
            return "a tensor that the call makes leaves it with a gradient"
        tape.only(lambda s: s.kind != "grad" or id(s.call) in there)
        tape.entry = {k: (leaf, g) for k, (leaf, g) in tape.entry.items() if id(leaf) in there}
        entry.leaving = len(leaving)
        entry.decides = bool(tape.decisions) or any(map(is_sized, tape.steps))
        entry.hits, entry.misses = 0, 0
        entry.missed = functools.partial(self._missed, key, entry)
        why = ask_early(tape)
        if why is not None:
            return why
        if entry.plan is not None:
            entry.run = program(tape, [*leaving, *entry.plan.keeps], False, kin["call"])
        else:
            entry.run = program(tape, leaving, True, kin["call"])
        if pinned(tape, entry.first, key):
            return "a number is no input"
        # Numbers and growing containers have conditions of their own.
        entry.entries = _others(before, entry.places, entry.live,
                                {id(c.container) for c in entry.changes if c.kind != "store"})
        if self.filter is not None:
            entry.entries = filtered(entry.entries, before._keep, self.filter)
        entry.holds = entry.unchanged = lazily(before.guard, entry.entries)
        if available() and not any(how == "slot" for _, how, _, _ in entry.entries):
            entry.unchanged = Places(entry.entries)
        live = {id(t) for t, x, *_ in entry.live if t is not x}
        tape.entry = {k: (leaf, g) for k, (leaf, g) in tape.entry.items() if id(g) not in live}
        entry.memory = [(b.tensor, b.tensor._storage, b.tensor._storage.owner, b.tensor._requires_grad)
                        for b in tape.older]
        entry.gradients = [(leaf, g) for leaf, g in tape.entry.values() if g is not ANYTHING]
        used = {id(b.tensor) for b in tape.older}
        entry.gradients += [(t, g) for t, g in grads if g is not None and id(g) in used and id(t) not in live]
        if any(id(leaf) in live for leaf, _ in entry.gradients):
            return "a tensor that the call replaces has gradients"
        if entry.plan is not None:
            blocks = {id(x.arguments[i]._storage.block()) for x in entry.plan.tapes() for i in x.pinned}
            tape.pinned |= {i for i, t in enumerate(tape.arguments) if id(t._storage.block()) in blocks}
            again = Again(self, entry, key, leaves, [leaving[i] for i in entry.recorded])
            if again.why and entry.plan.most() < order:
                return f"it has no gradients of gradients: {again.why}"
            entry.plan.may(again)
        entry.call = writer.function()
        entry.results = entry.changes = entry.reads = None
        entry.seconds = perf_counter() - begin
        entry.size = self.sizes.of(key)
        if key not in self.entries:
            self.sizes.captured(key, entry.seconds)
            while len(self.entries) >= MOST:
                self._drop(self.sizes.rarest(self.entries))
        if any(self.entries.values()):
            self.recompiles = [*self.recompiles[-255:], difference(key, self.entries)]
        if entry.plan is not None:
            for x in entry.plan.tapes():
                x.let_go()
        self.entries.setdefault(key, []).insert(0, entry)
        ordered = [*tape.arguments[:len(tape.arguments) - len(entry.live)], *entry.inputs]
        entry.plain = not kwargs and len(ordered) == len(args) and all(x is y for x, y in zip(args, ordered))
        entry.inputs = None
        if entry.plain and entry.size.form.captured == 1:       # (other sizes' first calls are timed)
            self.quick = [entry.call, *self.quick[:LIMIT - 1]]
        what = os.environ.get("RUSHLIGHT_SHOW")
        if what:
            from .explain import show
            print(show(self, entry, what), file=sys.stderr)
        return None

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
        self.quick = []
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


def _others(before, places, live, grown):
    """The entries of a `State` but for places that a call changes and what is in containers (ids) that grow."""
    free = {mark(p) for p in places} | {mark(p[1:]) for p in live} | before.unread
    return [e for e in before.entries if mark(e) not in free and (
        id(e[0]) not in grown or mark(e) in before.looked)]


def _recompiled(function, roots, fullgraph, disable, dynamic):
    return Compiled(function, roots, fullgraph, disable, dynamic)


def lazily(make, *args):
    """A function that ``make(*args)`` gives when it is first called."""
    made = []

    def call():
        if not made:
            made.append(make(*args))
        return made[0]()
    return call


def _optimizer_tensors(optimizers):
    return [x for optimizer in optimizers for values in optimizer.state.values() for x in values.values()
            if isinstance(x, Tensor)]


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
