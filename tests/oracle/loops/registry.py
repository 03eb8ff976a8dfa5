"""The register of training loops: each is a function of the framework that makes a step, which returns the loss."""

from typing import NamedTuple

LOOPS = {}


class Loop(NamedTuple):
    """How a step is made, and what may be expected of it."""

    make: object            # make(torch) -> step, where torch is PyTorch or Rushlight; step() -> loss
    tolerance: float        # how far losses may be from PyTorch's, relative to them
    why: str                # for a tolerance other than rounding: where the difference comes from
    eager: str              # words of the reason that the compiled step tells for running eagerly, "" where it must not
    programs: bool          # whether compiling must give programs: with a reason, for the paths that it isn't about


def loop(tolerance=1e-5, why="", eager="", programs=None):
    """Register a function that makes a step by its name."""
    def put(make):
        assert make.__name__ not in LOOPS and bool(why) == (tolerance > 1e-5), make.__name__
        LOOPS[make.__name__] = Loop(make, tolerance, why, eager, not eager if programs is None else programs)
        return make
    return put
