"""Measurements side by side: a table for each label, a column for each description, a row for each sub-label."""

import enum
import math

from rushlight.utils.benchmark.measurement import Measurement, select_unit, trim_sigfig, unit_to_english

_BEST, _GOOD, _BAD, _WORST, _END = "\033[92m\033[1m", "\033[34m\033[1m", "\033[2m\033[91m", "\033[31m\033[1m", \
    "\033[0m\033[0m"


class Colorize(enum.Enum):
    """What colours compare: nothing, measurements of one column, or of one row."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


def _colour(value, best):
    ratio = value / best
    if value <= best:
        return _BEST
    return _GOOD if ratio <= 1.1 else "" if ratio < 2 else _BAD if ratio < 5 else _WORST


class Compare:
    """Tables of measurements; ``print(compare)`` or ``compare.print()``.

    Args:
        results: a list of `Measurement`. Those of one task are merged.
    """

    def __init__(self, results):
        self._results = []
        self.extend_results(results)
        self._trim, self._colorize, self._highlight = False, Colorize.NONE, False

    def extend_results(self, results):
        """Take more measurements; ValueError for other things."""
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self):
        """Show only figures that mean something."""
        self._trim = True

    def colorize(self, rowwise=False):
        """Mark what is best, good and bad, in each column (for one number of threads) or in each row."""
        self._colorize = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self):
        """Tell where times vary much."""
        self._highlight = True

    def print(self):
        """Print the tables."""
        print(str(self))

    def __str__(self):
        groups = {}
        for m in Measurement.merge(self._results):
            groups.setdefault(m.task_spec.label, []).append(m)
        return "\n".join(self._table(label, group) for label, group in groups.items())

    def _text(self, m, size, digits):
        value = m.median / size
        text = f"{trim_sigfig(value, m.significant_figures) if self._trim else value:.{digits}f}"
        if self._trim and not digits:
            text += " "                 # in the place of the point
        if self._highlight and m.has_warnings:
            text += f" (! {m.iqr / m.median * 100:.0f}%)"
        return text

    def _digits(self, column, size):
        """Decimals for a column, so that each number shows its significant figures."""
        if not self._trim:
            return 1
        return max(0, *(m.significant_figures - math.ceil(math.log10(m.median / size)) for m in column))

    def _table(self, label, group):
        several = len({m.env for m in group}) > 1
        columns = list(dict.fromkeys(m.task_spec.description or "" for m in group))

        def key(m):
            return m.task_spec.num_threads, m.env if several else None, m.as_row_name
        keys = list(dict.fromkeys(map(key, group)))
        keys.sort(key=lambda k: (k[0], k[1] or ""))
        cells = {(key(m), m.task_spec.description or ""): m for m in group}
        unit, size = select_unit(min(m.median for m in group))
        digits = {c: self._digits([m for (_, d), m in cells.items() if d == c], size) for c in columns}
        texts = {at: self._text(m, size, digits[at[1]]) for at, m in cells.items()}
        envs = {k: f"  ({k[1]})  " if k[1] and (i == 0 or keys[i - 1][1] != k[1]) else "" for i, k in enumerate(keys)}
        margin = max(6, *map(len, envs.values()))
        names = {k: envs[k].ljust(margin) + k[2] for k in keys}
        first = max(map(len, names.values()))
        wide = {c: max([len(c), *(len(t) for (_, d), t in texts.items() if d == c)]) for c in columns}
        lines = ["  |  ".join([" " * first, *(c.center(wide[c]) for c in columns)])]
        threads = None
        for k in keys:
            if k[0] != threads:
                threads = k[0]
                lines.append(f"{threads} threads: ".ljust(len(lines[0]), "-"))
            shown = [self._coloured(texts.get((k, c), "").rjust(wide[c]), k, c, cells) for c in columns]
            lines.append("  |  ".join([names[k].ljust(first), *shown]))
        title = f" {label or group[0].task_spec.title} "
        lines.insert(0, f"[{title.center(len(lines[0]) - 2, '-')}]")
        lines.append(f"\nTimes are in {unit_to_english(unit)}s ({unit}).")
        if self._highlight and any(m.has_warnings for m in group):
            lines.append("(! XX%) Measurement has high variance, where XX is the IQR / median * 100.")
        return "\n".join(lines) + "\n"

    def _coloured(self, text, key, column, cells):
        if self._colorize is Colorize.NONE or (key, column) not in cells:
            return text
        rows = self._colorize is Colorize.ROWWISE
        peers = [m.median for (k, d), m in cells.items() if (k == key if rows else d == column and k[0] == key[0])]
        colour = _colour(cells[key, column].median, min(peers))
        return f"{colour}{text}{_END}" if colour else text
