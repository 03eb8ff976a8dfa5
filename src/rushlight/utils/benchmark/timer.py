"""Running a statement often enough to know how long it takes."""

import enum
import textwrap
import time
import timeit

import rushlight as torch
from rushlight.utils.benchmark.measurement import Measurement, TaskSpec, set_torch_threads

timer = time.perf_counter


class Language(enum.Enum):
    """What the statement is written in."""

    PYTHON = 0
    CPP = 1


class Timer:
    """Measures a statement, with a given number of threads (one, unless said otherwise).

    Args:
        stmt, setup (str): the code, and what prepares it.
        global_setup (str): for statements in C++; ValueError otherwise.
        timer: gives the time in seconds.
        globals (dict): the names that the code sees; ``torch`` is among them always.
        label, sub_label, description, env (str): how tables group it, see `Compare`.
        num_threads (int): threads it runs with.
        language: ``"python"``. NotImplementedError for C++.
    """

    def __init__(self, stmt="pass", setup="pass", global_setup="", timer=timer, globals=None, label=None,
                 sub_label=None, description=None, env=None, num_threads=1, language=Language.PYTHON):
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language in (Language.CPP, "c++", "cpp"):
            raise NotImplementedError("Timer: statements in C++ need a C++ compiler")
        if language not in (Language.PYTHON, "py", "python"):
            raise ValueError(f"Timer: unknown language {language!r}")
        if global_setup:
            raise ValueError("global_setup is C++ only, most likely setup was meant.")
        stmt, setup = (textwrap.dedent(code.strip("\n")).rstrip() for code in (stmt, setup))
        names = {"torch": torch, **(globals or {})}
        self._timer = timeit.Timer(stmt, setup, timer=timer, globals=names)
        self._clock = timer
        self._task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)

    def _time(self, number):
        return max(self._timer.timeit(number), 1e-9)

    def timeit(self, number=1000000):
        """The time of `number` runs together, after a hundredth as many to warm up."""
        with set_torch_threads(self._task_spec.num_threads):
            self._time(max(number // 100, 2))
            return Measurement(number, [self._time(number)], self._task_spec)

    def repeat(self, repeat=-1, number=-1):
        """NotImplementedError: `blocked_autorange` finds both numbers."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback=None):
        """NotImplementedError: see `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block(self, min_run_time):
        """How often the statement has to run for the clock's own time to be a thousandth."""
        empty = timeit.Timer("pass", timer=self._clock)
        overhead = sorted(empty.timeit(0) for _ in range(5))[2]
        number = 1
        while True:
            taken = self._time(number)
            if overhead / taken <= 1e-4 and taken >= min_run_time / 1000 or taken > min_run_time:
                return number
            number *= 10

    def blocked_autorange(self, callback=None, min_run_time=0.2):
        """Times of blocks of runs, until `min_run_time` seconds are over.

        A block is as long as keeps the clock's own time negligible. callback: called with (block, time) of each.
        """
        with set_torch_threads(self._task_spec.num_threads):
            number = self._block(min_run_time)
            times, total = [], 0.0
            while total < min_run_time:
                taken = self._time(number)
                if callback is not None:
                    callback(number, taken)
                times.append(taken)
                total += taken
        return Measurement(number, times, self._task_spec)

    def adaptive_autorange(self, threshold=0.1, *, min_run_time=0.01, max_run_time=10.0, callback=None):
        """Times of blocks of runs, until they vary little.

        Args:
            threshold (float): interquartile range over median at which to stop.
            min_run_time, max_run_time (float): seconds to run at least and at most.
            callback: called with (block, time) of each.
        """
        with set_torch_threads(self._task_spec.num_threads):
            number = self._block(0.05)
            times, total = [], 0.0
            while total < max_run_time:
                taken = self._time(number)
                if callback is not None:
                    callback(number, taken)
                times.append(taken)
                total += taken
                if len(times) > 3 and total > min_run_time:
                    found = Measurement(number, times, self._task_spec)
                    if found.meets_confidence(threshold):
                        return found
        return Measurement(number, times, self._task_spec)

    def collect_callgrind(self, number=100, *, repeats=None, collect_baseline=True, retain_out_file=False):
        """NotImplementedError: counts of instructions need Valgrind."""
        raise NotImplementedError("Timer.collect_callgrind: counts of instructions need Valgrind")
