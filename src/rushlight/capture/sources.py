"""What a call asks the world: clocks, and the random numbers of Python's own module; and what it computes in C.

A clock is asked at the same point of the program, between its kernels. Random numbers are drawn before the program, in
order, as soon as nothing but themselves can keep it from running; where they (or decisions) do, the generator is put
back. Both give numbers that may be seen, and so do functions of `math` of such numbers.
"""

import math
import sys

from .numbers import Seen, applied, places_of, plain

_CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
_DRAWS = ("random", "uniform", "gauss", "normalvariate", "expovariate", "betavariate", "triangular", "lognormvariate",
          "randint", "randrange", "getrandbits")


_MATH = ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "pow", "sin", "cos", "tan", "tanh", "atan", "fabs",
         "floor", "ceil")


def functions(tape, places, listens):
    """[(module, name, function)]: what stands for these functions while ``listens()``; `places` gets what is drawn."""
    found = []
    for module, names in ((sys.modules.get("time"), [*_CLOCKS, *[f"{name}_ns" for name in _CLOCKS]]),
                          (sys.modules.get("random"), _DRAWS)):
        for name in names if module is not None else ():
            real = getattr(module, name)
            make = _drawing if name in _DRAWS else _asking
            found.append((module, name, make(tape, places, listens, real, name)))
    return found + [(math, name, _computing(listens, getattr(math, name), name)) for name in _MATH]


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


def _drawing(tape, places, listens, real, name):
    def draw(*args, **more):
        if not listens():
            return real(*args, **more)
        value = real(*map(plain, args), **more)
        if more or type(value) not in (int, float) or not all(type(plain(x)) in (int, float) for x in args):
            tape.fail(f"random.{name} is called")
            return value
        # Numbers that the draw depends on have to be these.
        args = tuple([x.pin() if type(x) is Seen else x for x in args])
        places.append((real, "draw", args, type(value)))
        return Seen(value, ("place", len(places) - 1), tape, False)
    return draw


def drawn(places):
    """Indices of the places whose numbers are drawn."""
    return {i for i, place in enumerate(places) if place[1] == "draw"}


def depends(condition, indices):
    """Whether a condition is one on some of these places."""
    return bool(places_of(condition[0], set()) & indices)
