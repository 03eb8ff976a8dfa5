"""What a call asks the world: clocks, and random numbers of Python's module and of NumPy's; and what it computes in C.

A clock is asked at the same point of the program, between its kernels. Random numbers are drawn before the program, in
order, as soon as nothing but themselves can keep it from running; where they (or decisions) do, the generators are put
back. Both give numbers that may be seen, and so do functions of `math` of such numbers. Arrays of random numbers are
those of `arrays`.
"""

import functools
import math
import random
import sys
from dis import get_instructions

import numpy as np

from ..tensor.tensor import wrap
from .arrays import SeenArray
from .numbers import KINDS, Seen, applied, expression, places_of, plain

_CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
_DRAWS = ("random", "uniform", "gauss", "normalvariate", "expovariate", "betavariate", "triangular", "lognormvariate",
          "randint", "randrange", "getrandbits")
_MATH = ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "pow", "sin", "cos", "tan", "tanh", "atan", "fabs",
         "floor", "ceil")
_NO_DRAWS = ("seed", "shuffle", "set_state", "get_state", "setstate", "getstate", "bytes", "spawn", "bit_generator",
             "randbytes", "sample", "choices")


def is_generator(x):
    """Whether `x` is a generator of Python's or NumPy's random numbers, or a function that draws some."""
    t = type(x)
    if t is random.Random:
        return True
    if (t.__module__ or "").partition(".")[0] == "numpy" and t.__name__ in ("Generator", "RandomState"):
        return True
    return id(x) in _of_numpy()


def _of_numpy():
    """id -> name of the functions in ``numpy.random``, once that was used."""
    module = sys.modules.get("numpy.random")
    if module is None:
        return {}
    if not _names:
        _names.update({id(f): name for name, f in vars(module).items() if callable(f) and not name.startswith("_")
                       and not isinstance(f, type)})
    return _names


_names = {}

# What may be used of NumPy besides its random numbers: names that make numbers of numbers, and none that keep arrays.
_OF_NUMPY = {
    "pi", "e", "inf", "nan", "newaxis", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
    "bool_", "integer", "floating", "number", "generic", "ndarray", "sqrt", "exp", "expm1", "log", "log1p", "log2",
    "log10", "sin", "cos", "tan", "tanh", "arctan", "power", "abs", "absolute", "fabs", "floor", "ceil", "rint", "sign",
    "minimum", "maximum", "square", "isnan", "isinf", "isfinite", "clip", "mean", "sum", "std", "var", "median"}


@functools.lru_cache(4096)
def _attributes(code, name):
    """[(attribute, attribute of that or None)] that code asks of a global name; None where it does something else."""
    found, given = [], [i for i in get_instructions(code) if i.opname not in ("CACHE", "PUSH_NULL", "PRECALL")]
    for k, i in enumerate(given):
        if i.argval == name and i.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names = [j.argval for j in given[k + 1:k + 3] if j.opname in ("LOAD_ATTR", "LOAD_METHOD")]
            if not names or given[k + 1].opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                return None
            found.append((names[0], names[1] if len(names) > 1 else None))
        elif i.argval == name and i.opname in ("STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL"):
            return None
    return found


def is_numbers_only(code, name, module):
    """Whether code that names NumPy (or ``numpy.random``) asks it for random numbers and numbers of numbers only."""
    if type(module) is not type(sys) or module.__name__ not in ("numpy", "numpy.random"):
        return False
    asked, random_names = _attributes(code, name), _of_numpy().values()
    if asked is None:
        return False
    if module.__name__ == "numpy.random":
        return all(a in random_names for a, _ in asked)
    return all(b in random_names if a == "random" else a in _OF_NUMPY for a, b in asked)


def functions(tape, places, listens):
    """[(module, name, function)]: what stands for these functions while ``listens()``; `places` gets what is drawn."""
    found = []
    for module, names in ((sys.modules.get("time"), [*_CLOCKS, *[f"{name}_ns" for name in _CLOCKS]]),
                          (sys.modules.get("random"), _DRAWS)):
        for name in names if module is not None else ():
            real = getattr(module, name)
            make = _drawing if name in _DRAWS else _asking
            found.append((module, name, make(tape, places, listens, real, name)))
    found.append((random, "choice", _choosing(tape, places, listens, random.choice)))
    module = sys.modules.get("numpy.random")
    for name in _of_numpy().values():
        real = getattr(module, name)
        if name == "default_rng":
            found.append((module, name, _making(tape, listens, real, name)))
        else:
            found.append((module, name, _drawing(tape, places, listens, real, name)))
    return found + [(math, name, _computing(listens, getattr(math, name), name)) for name in _MATH]


class SeenGenerator:
    """Stands for a generator of random numbers in a place of Python's."""

    __slots__ = ("real", "given", "known")

    def __init__(self, real, *given):
        self.real, self.given, self.known = real, given, {}

    __class__ = property(lambda self: type(self.real))

    def __getattr__(self, name):
        real = getattr(self.real, name)
        if not callable(real):
            tape, _, listens = self.given
            if listens():
                tape.fail(f"Python looks at a generator of random numbers ({name})")
            return real
        if name not in self.known:
            self.known[name] = _drawing(*self.given, real, name)
        return self.known[name]


def _computing(listens, real, name):
    def compute(*args):
        if not any(type(x) is Seen for x in args) or not listens():
            return real(*args)
        return applied(f"math.{name}", real(*map(plain, args)), args)
    return compute


def _asking(tape, places, listens, real, name):
    def clock():
        return tape.groups.reading(name, real(), real) if listens() else real()
    return clock


def _making(tape, listens, real, name):
    """A generator made in the call, whose numbers nobody draws again."""
    def make(*args, **more):
        if listens():
            tape.fail(f"numpy.random.{name} is called")
        return real(*map(plain, args), **more)
    return make


class Draw:
    """A call of a function of `source`, a generator, that a program makes again; arrays wait to be taken.

    args: expressions; more: arguments by name.
    """

    __slots__ = ("function", "args", "more", "source", "array")

    def __init__(self, function, args, more, source):
        self.function, self.args, self.more, self.source, self.array = function, args, more, source, None

    def __call__(self, *args):
        return self.function(*args, **self.more)

    def draw_array(self, *args):
        """Draw an array, which is left for `take`."""
        self.array = np.ascontiguousarray(self.function(*args, **self.more))

    def take(self):
        """The array that was drawn."""
        array, self.array = self.array, None
        return array


def _drawing(tape, places, listens, real, name):
    def draw(*args, **more):
        if not listens():
            return real(*args, **more)
        value = real(*map(plain, args), **{k: plain(x) for k, x in more.items()})
        array = type(value) is np.ndarray and value.dtype.kind in "fiub" and value.dtype.isnative
        source = getattr(real, "__self__", None)
        if name in _NO_DRAWS or type(value) not in KINDS and not array or source is None or not all(
                map(_is_plain, (*args, *more.values()))):
            tape.fail(f"{_of(real)}{name} is called")
            return value
        # Numbers that were read come too late; others are there before anything is drawn.
        args = tuple([expression(x.pin() if type(x) is Seen and x.read else x) for x in args])
        made = Draw(real, args, {k: x.pin() if type(x) is Seen else x for k, x in more.items()}, source)
        if not array:
            places.append((made, "draw", None, type(value)))
            return Seen(value, ("place", len(places) - 1), tape, False)
        places.append((made, "draw", None, np.ndarray))
        value = np.ascontiguousarray(value)
        tensor = wrap(value)
        tape.drawn(f"{_of(real)}{name}", made.take, tensor)
        return SeenArray(value, tensor, tape)
    return draw


def _choosing(tape, places, listens, real):
    """`random.choice`: what is drawn is an index, for which a program is."""
    def choice(seq):
        if not listens():
            return real(seq)
        if type(seq) not in (list, tuple, range, str) or not seq:
            tape.fail("random.choice is called")
            return real(seq)
        below = real.__self__._randbelow
        places.append((Draw(below, (expression(len(seq)),), {}, real.__self__), "draw", None, int))
        return seq[Seen(below(len(seq)), ("place", len(places) - 1), tape, False).pin()]
    return choice


def _of(real):
    owner = type(getattr(real, "__self__", None)).__name__
    return {"Random": "random.", "RandomState": "numpy.random.", "NoneType": "numpy.random."}.get(owner, f"{owner}.")


def _is_plain(x):
    """Whether a call with this argument is the same the next time."""
    if type(x) is tuple:
        return all(map(_is_plain, x))
    return isinstance(x, (int, float, str, type, np.dtype, type(None)))


def states(places):
    """(what is called before, what is called with its result): to put back the generators that were drawn from."""
    sources = list({id(p[0].source): p[0].source for p in places if p[1] == "draw"}.values())
    if len(sources) == 1 and isinstance(sources[0], random.Random):
        return sources[0].getstate, sources[0].setstate
    ways = [_state_of(x) for x in sources]

    def put_back(states):
        for (_, back), state in zip(ways, states):
            back(state)
    return lambda: [now() for now, _ in ways], put_back


def _state_of(source):
    if isinstance(source, random.Random):
        return source.getstate, source.setstate
    if type(source).__name__ == "RandomState":
        return lambda: source.get_state(legacy=False), source.set_state

    def back(state):
        source.bit_generator.state = state
    return lambda: source.bit_generator.state, back


def drawn(places):
    """Indices of the places whose numbers are drawn."""
    return {i for i, place in enumerate(places) if place[1] == "draw"}


def looked_at(places, conditions):
    """Why there can be no program where Python needs a random number itself, which won't come again; None else."""
    draws = drawn(places)
    if any(c[2] and isinstance(c[1], float) and depends(c, draws) for c in conditions):
        return "Python looks at a random number"
    return None


def depends(condition, indices):
    """Whether a condition is one on some of these places."""
    return bool(places_of(condition[0], set()) & indices)
