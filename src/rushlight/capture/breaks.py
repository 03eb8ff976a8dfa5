"""What still runs as programs where a call can't be captured whole.

The modules that the call uses, and the functions that it calls by their names, become compiled ones each, for the time
of the call: a training step that prints keeps a program for its model's forward and backward pass, a loop over batches
one for each step. The rest runs eagerly. A module that can't be captured either is taken apart likewise.
"""

from dis import get_instructions
from functools import lru_cache
from types import CellType, CodeType, FunctionType, MethodType

from ..autograd.engine import execute
from ..nn import Module
from ..optim import optimizer
from ..tensor.tensor import Tensor
from .effects import _HOME
from .places import PLAIN

_CALL = Module.__call__.__code__
_EXECUTE = execute.__code__
_HOOK = "_compiled_call_impl"


class Listing:
    """Which modules and functions a call uses: filled by `effects.Calls`.

    modules: those called by users' code outside of other modules; working: codes of users' functions that (or whose
    functions) call into this package.
    """

    def __init__(self):
        self.begin = start.__code__
        self.modules, self.working = {}, set()
        self.originals = {}                     # changed code -> that of the user's function (`conversions`)
        self.twice = False                      # whether gradients of gradients are asked for

    def called(self, frame):
        """A function of this package is called."""
        if frame.f_code is _EXECUTE and frame.f_locals.get("create_graph"):
            self.twice = True
        caller = frame.f_back
        if caller is None or caller.f_code.co_filename.startswith(_HOME):
            return
        outermost = frame.f_code is _CALL
        while caller is not None and caller.f_code is not self.begin:
            outer = caller.f_back
            # The function may be a module itself.
            outermost = outermost and (caller.f_code is not _CALL or outer is None or outer.f_code is self.begin)
            self.working.add(self.originals.get(caller.f_code, caller.f_code))
            caller = outer
        if outermost:
            module = frame.f_locals[frame.f_code.co_varnames[0]]
            self.modules[id(module)] = module


class Regions:
    """The compiled parts of `function`, which uses what is in `listing`.

    modules: [(module, its compiled call)]; functions: name -> compiled function. ``run(args, kwargs)`` calls the
    function with them in place.
    """

    def __init__(self, function, listing):
        self.function = function
        own = getattr(function, "__self__", None), function
        self.modules = [(m, _region(m._call_impl, m, listing)) for m in listing.modules.values()
                        if all(m is not x for x in own)
                        and type(m)._call_impl is Module._call_impl and m.__dict__.get(_HOOK) is None]
        for m, _ in self.modules:
            m.__dict__.setdefault(_HOOK, None)  # (so that later calls find as many attributes)
        self.functions, self.named = {}, []
        self.call = self._with_functions(listing) or function
        self.closures = Closures(listing)

    def run(self, args, kwargs):
        """The call, its parts compiled."""
        if any(scope.get(name) is not f for scope, name, f in self.named):
            self.call, self.functions, self.named = self.function, {}, []
        before, outer = [(m.__dict__, m.__dict__.get(_HOOK)) for m, _ in self.modules], optimizer.calling
        optimizer.calling = self.closures
        for m, region in self.modules:
            m.__dict__[_HOOK] = region
        try:
            return self.call(*args, **kwargs)
        finally:
            optimizer.calling = outer
            for d, old in before:
                d[_HOOK] = old

    def parts(self):
        """All compiled parts, by name."""
        return [*[(type(m).__name__, r) for m, r in self.modules], *self.functions.items(), *self.closures.parts()]

    def _with_functions(self, listing):
        """The function with other names for the functions that it calls: those of compiled ones."""
        f = getattr(self.function, "__func__", self.function)
        if type(f) is not FunctionType:
            return None
        code = f.__code__
        looked = [(i.opname, i.argval) for i in get_instructions(code)]
        names, cells = list(code.co_names), list(f.__closure__ or ())
        for i, name in enumerate(code.co_names):
            g = f.__globals__.get(name)
            # A name may be that of an attribute as well.
            if self._works(g, f, listing) and all(op == "LOAD_GLOBAL" for op, n in looked if n == name):
                region = self.functions[name] = _region(g, g, listing)
                names[i] = f"_region_{id(region):x}_{name}"
                f.__globals__[names[i]] = region
                self.named.append((f.__globals__, name, g))
        for i, name in enumerate(code.co_freevars):
            g = _contents(cells[i])
            if self._works(g, f, listing) and not any(op.startswith(("STORE", "DELETE")) for op, n in looked
                                                      if n == name) and not _nested(code):
                region = self.functions[name] = _region(g, g, listing)
                cells[i] = _cell(region)
                self.named.append((_Cell(f.__closure__[i]), name, g))
        if not self.functions:
            return None
        made = FunctionType(code.replace(co_names=tuple(names)), f.__globals__, f.__name__, f.__defaults__,
                            tuple(cells))
        made.__kwdefaults__, made.__dict__ = f.__kwdefaults__, f.__dict__
        return MethodType(made, self.function.__self__) if isinstance(self.function, MethodType) else made

    @staticmethod
    def _works(g, f, listing):
        return type(g) is FunctionType and g.__code__ in listing.working and g.__code__ is not f.__code__ and \
            not g.__code__.co_flags & 0x2A0 and not hasattr(g, "_not_compiled")     # no generators, no coroutines


class Closures:
    """Calls what an optimizer is given, each a function made anew in every call of a step, by compiled functions.

    Functions of one code are one compiled function where they share all cells but those of tensors and plain values,
    which are its arguments.
    """

    MOST = 4                                    # of one code

    def __init__(self, listing):
        self.listing, self.known = listing, {}

    def __call__(self, f):
        if type(f) is not FunctionType or f.__dict__ or not _reads_only(f.__code__):
            return f()
        try:
            values = [c.cell_contents for c in f.__closure__ or ()]
        except ValueError:                      # (one has nothing in it yet)
            return f()
        given = [k for k, x in enumerate(values) if isinstance(x, (Tensor, *PLAIN))]
        key = tuple([None if k in given else id(x) for k, x in enumerate(values)])
        of_code = self.known.setdefault(f.__code__, {})
        if key not in of_code:
            if len(of_code) >= self.MOST:
                return f()
            of_code[key] = self._made(f, given)
        region, cells = of_code[key]
        if any(c is not None and _contents(c) is not x for c, x in zip(cells, values, strict=True)):
            return f()                          # (its own cells hold something else by now)
        return region(*[values[k] for k in given])

    def _made(self, f, given):
        cells = [CellType() if k in given else c for k, c in enumerate(f.__closure__ or ())]
        own = FunctionType(f.__code__, f.__globals__, f.__name__, None, tuple(cells))

        def call(*values):
            for k, x in zip(given, values, strict=True):
                cells[k].cell_contents = x
            try:
                return own()
            finally:
                for k in given:
                    del cells[k].cell_contents
        return _region(call, own, self.listing), [None if k in given else c for k, c in enumerate(cells)]

    def parts(self):
        """The compiled functions, by name."""
        return [(code.co_name, region) for code, regions in self.known.items() for region, _ in regions.values()]


@lru_cache(1024)
def _reads_only(code):
    """Whether functions of a code object take nothing, define none, and leave their closure's cells as they are."""
    return not (code.co_argcount or code.co_kwonlyargcount or code.co_flags & 0x2AC or _nested(code) or any(
        i.opname in ("STORE_DEREF", "DELETE_DEREF") and i.argval in code.co_freevars for i in get_instructions(code)))


class _Cell:
    """A closure's cell, to be asked as a dict is."""

    def __init__(self, cell):
        self.cell = cell

    def get(self, name):
        return _contents(self.cell)


def _contents(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _cell(x):
    return (lambda: x).__closure__[0]


def _nested(code):
    return any(isinstance(c, CodeType) for c in code.co_consts)


def _region(function, root, listing):
    from .compiled import Compiled
    region = Compiled(function, [root], quiet=True)
    region.order += listing.twice
    return region


def start(function, args, kwargs):
    """Call a user's function: as far as here a `Listing` looks at who has called."""
    return function(*args, **kwargs)
