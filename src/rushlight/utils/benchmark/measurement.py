"""What was measured, of which task, and what the times say."""

import contextlib
import math
import statistics
import textwrap

import rushlight as torch

_UNITS = (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1))
_WIDE, _VERY_WIDE = 0.1, 0.25           # interquartile range over median from which results are warned of
_Z = 1.645                              # of the normal distribution, for a confidence of 90 %
_LEAST_INTERVAL = 25e-9                 # seconds: no timer knows better


def select_unit(t):
    """(name, seconds) of the unit in which `t` seconds are a handy number: ns, us, ms or s."""
    exponent = math.floor(math.log10(t) / 3) * 3 if t > 0 else -9
    return next(((name, size) for name, size in _UNITS if round(math.log10(size)) >= exponent), _UNITS[-1])


def unit_to_english(u):
    """The unit in words."""
    return {"ns": "nanosecond", "us": "microsecond", "ms": "millisecond", "s": "second"}[u]


def trim_sigfig(x, n):
    """`x` rounded to `n` significant figures."""
    if not x:
        return 0.0
    size = 10 ** (math.floor(math.log10(abs(x))) + 1 - n)
    return float(round(x / size) * size)


def ordered_unique(elements):
    """The different elements, in the order in which they came first."""
    return list(dict.fromkeys(elements))


@contextlib.contextmanager
def set_torch_threads(n):
    """Context with `n` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TaskSpec:
    """What is measured.

    Args:
        stmt, setup, global_setup (str): the code.
        label, sub_label, description, env (str): what tables group by: table, row, column, and where it ran.
        num_threads (int): threads it runs with.
    """

    def __init__(self, stmt, setup, global_setup="", label=None, sub_label=None, description=None, env=None,
                 num_threads=1):
        self.stmt, self.setup, self.global_setup = stmt, setup, global_setup
        self.label, self.sub_label, self.description, self.env = label, sub_label, description, env
        self.num_threads = num_threads

    def _key(self):
        return (self.stmt, self.setup, self.global_setup, self.label, self.sub_label, self.description, self.env,
                self.num_threads)

    def __eq__(self, other):
        return isinstance(other, TaskSpec) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    @property
    def title(self):
        """The label, or the statement."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        if "\n" not in self.stmt:
            return self.stmt + (f": {self.sub_label}" if self.sub_label else "")
        return f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{textwrap.indent(self.stmt, '  ')}"

    def setup_str(self):
        """The preparing code, where there is some."""
        if self.setup in ("pass", "") or not self.setup:
            return ""
        return f"setup:\n{textwrap.indent(self.setup, '  ')}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self):
        """Title, description and preparation."""
        lines = [self.title, self.description or "", self.setup_str()]
        text = "\n".join(x for x in lines if x)
        return text.replace(f"\n{self.description}", f"\n\n{self.description}", 1) if "\n" in self.title and \
            self.description else text


class Measurement:
    """Times of one task.

    Args:
        number_per_run (int): how often the statement ran for each of the times.
        raw_times (list of float): seconds.
        task_spec (TaskSpec): the task.
        metadata (dict): whatever belongs to it.
    """

    def __init__(self, number_per_run, raw_times, task_spec, metadata=None):
        self.number_per_run, self.raw_times = number_per_run, list(raw_times)
        self.task_spec, self.metadata = task_spec, metadata

    def __getattr__(self, name):
        spec = self.__dict__.get("task_spec")
        if spec is not None and not name.startswith("_") and hasattr(spec, name):
            return getattr(spec, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def times(self):
        """Seconds that one run of the statement took, by replicate."""
        return [t / self.number_per_run for t in self.raw_times]

    def _sorted(self):
        times = sorted(self.times)
        if not times:
            raise AssertionError("a measurement without times has no statistics")
        return times

    def _quantile(self, q):
        times = self._sorted()
        at = q * (len(times) - 1)
        i = min(int(at), len(times) - 2) if len(times) > 1 else 0
        return times[i] + (at - i) * (times[i + 1] - times[i]) if len(times) > 1 else times[0]

    @property
    def median(self):
        """Median of the times."""
        return statistics.median(self._sorted())

    @property
    def mean(self):
        """Mean of the times."""
        return statistics.fmean(self._sorted())

    @property
    def iqr(self):
        """Distance of the quartiles."""
        return self._quantile(0.75) - self._quantile(0.25)

    @property
    def significant_figures(self):
        """How many figures of the median mean something: those before its confidence interval.

        The interval is 1.645 standard errors of the times between the quartiles, and at least 25 ns. From 1 to 4.
        """
        times = self._sorted()
        inner = times[len(times) // 4:math.ceil(3 * len(times) / 4)]
        interval = max(_Z * statistics.pstdev(inner) / math.sqrt(len(inner)), _LEAST_INTERVAL)
        return min(max(math.floor(math.log10(max(self.median, 1e-12) / interval)), 1), 4)

    def meets_confidence(self, threshold=_WIDE):
        """Whether the interquartile range is less than this part of the median."""
        return self.iqr / self.median < threshold

    @property
    def has_warnings(self):
        """Whether the times vary so much that they are warned of."""
        return not self.meets_confidence()

    @property
    def title(self):
        """The task's title."""
        return self.task_spec.title

    @property
    def env(self):
        """Where it ran."""
        return self.task_spec.env

    @property
    def as_row_name(self):
        """What a table calls the row: the sub-label, or the statement."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self):
        unit, size = select_unit(self.median)
        n = len(self.raw_times)
        runs = f"{self.number_per_run} runs {'per measurement' if n > 1 else ''}"
        lines = [object.__repr__(self), self.task_spec.summarize()]
        if n > 1:
            lines.append(f"  Median: {self.median / size:.2f} {unit}")
            if n > 3:
                low, high = self._quantile(0.25), self._quantile(0.75)
                lines.append(f"  IQR:    {self.iqr / size:.2f} {unit} ({low / size:.2f} to {high / size:.2f})")
        else:
            lines.append(f"  {self.median / size:.2f} {unit}")
        lines.append(f"  {n} measurement{'s' if n > 1 else ''}, {runs}, {self.task_spec.num_threads} "
                     f"thread{'s' if self.task_spec.num_threads > 1 else ''}")
        spread = self.iqr / self.median
        if n > 3 and spread >= _WIDE:
            grade = "This suggests significant environmental influence." if spread >= _VERY_WIDE else \
                "This could indicate system fluctuation."
            lines.append(f"  WARNING: Interquartile range is {spread * 100:.1f}% of the median measurement.\n"
                         f"           {grade}")
        return "\n".join(lines)

    @staticmethod
    def merge(measurements):
        """One measurement for each task, with the times of all its replicates (for one run each)."""
        by_task = {}
        for m in measurements:
            by_task.setdefault(m.task_spec, []).extend(m.times)
        return [Measurement(1, times, task) for task, times in by_task.items()]
