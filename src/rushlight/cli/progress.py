"""Showing how training goes: a live display on a terminal, plain lines elsewhere."""

import sys


def _row(row, epochs):
    mark = "  best" if row["best_so_far"] else ""
    return (f"epoch {row['epoch']:2d}/{epochs}  loss {row['train_loss']:.4f}  "
            f"validation {row['validation_loss']:.4f}  "
            f"accuracy {100 * row['validation_accuracy']:6.2f} %  {row['seconds']:5.2f} s{mark}")


class PlainProgress:
    """One line an epoch."""

    def __init__(self, epochs, batches):
        self.epochs = epochs

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def batch(self, loss, rate):
        """A batch is done."""

    def epoch(self, row):
        """An epoch is done."""
        print(_row(row, self.epochs), flush=True)


class LiveProgress:
    """A bar over the batches of all epochs, and the last epochs' lines above it."""

    def __init__(self, epochs, batches):
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self.epochs, self.batches = epochs, batches
        self._progress = Progress(
            TextColumn("[bold]training[/bold]"), BarColumn(bar_width=32), MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  rate {task.fields[rate]:.5f}"),
            TimeElapsedColumn(), transient=True, refresh_per_second=12)
        self._task = self._progress.add_task("", total=epochs * batches, loss=0.0, rate=0.0)
        self._smooth = None

    def __enter__(self):
        self._progress.start()
        return self

    def __exit__(self, *exc):
        self._progress.stop()

    def batch(self, loss, rate):
        """A batch is done."""
        self._smooth = loss if self._smooth is None else 0.9 * self._smooth + 0.1 * loss
        self._progress.update(self._task, advance=1, loss=self._smooth, rate=rate)

    def epoch(self, row):
        """An epoch is done."""
        style = "green" if row["best_so_far"] else None
        self._progress.console.print(_row(row, self.epochs), style=style, highlight=False,
                                     soft_wrap=True)


def progress_display(epochs, batches, stream=None):
    """The display that suits standard output."""
    live = (stream or sys.stdout).isatty()
    return (LiveProgress if live else PlainProgress)(epochs, batches)
