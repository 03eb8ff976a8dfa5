"""Pictures of a training run, drawn by matplotlib, which is imported when one is asked for."""

import importlib.util

from rushlight.serialization._atomic import atomic_write

EXTRA = "rushlight[plots]"
_INK, _GRID = "#22303c", "#d8dee4"
_TRAIN, _VALIDATION = "#c2571a", "#1b6ca8"


def available():
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _figure(width, height):
    if not available():
        raise ModuleNotFoundError(f"drawing needs matplotlib: install {EXTRA}", name="matplotlib")
    # The Agg canvas directly: no display, and no global pyplot state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path):
    with atomic_write(path) as file:
        figure.savefig(file, format="png", metadata={"Software": "Rushlight"})


def _style(axes, title, label):
    axes.set_title(title, color=_INK, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("epoch", color=_INK)
    axes.set_ylabel(label, color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)


def learning_curve(history, path):
    """Draw loss and accuracy over epochs to the PNG file `path`.

    `history` is a list of dicts with ``epoch``, ``train_loss``, ``validation_loss`` (nats) and
    ``validation_accuracy`` (0 to 1), and one best epoch marked ``best``.
    """
    figure = _figure(9.0, 3.6)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    best = [row["epoch"] for row in history if row.get("best")]
    left.plot(epochs, [row["train_loss"] for row in history], color=_TRAIN, marker="o",
              markersize=3.5, label="training")
    left.plot(epochs, [row["validation_loss"] for row in history], color=_VALIDATION, marker="o",
              markersize=3.5, label="validation")
    left.set_yscale("log")
    _style(left, "Loss", "cross entropy (nats, log scale)")
    right.plot(epochs, [100 * row["validation_accuracy"] for row in history], color=_VALIDATION,
               marker="o", markersize=3.5, label="validation")
    _style(right, "Accuracy", "right (%)")
    for axes in (left, right):
        for epoch in best:
            axes.axvline(epoch, color=_INK, linewidth=1, linestyle=":", label="kept model")
        axes.legend(frameon=False)
    _save(figure, path)


def confusion(report, path):
    """Draw a `ClassificationReport`'s confusion matrix to the PNG file `path`."""
    counts = report.matrix.tolist()
    figure = _figure(5.6, 5.2)
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    # Shades show errors, from a floor so that one mistake isn't painted like many.
    errors = [[0 if i == j else value for j, value in enumerate(row)]
              for i, row in enumerate(counts)]
    top = max(5, *(max(row) for row in errors))
    axes.imshow(errors, cmap="OrRd", vmin=0, vmax=1.4 * top)
    for i in range(len(counts)):
        axes.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, facecolor="#dcebf5", zorder=1))
    for i, row in enumerate(counts):
        for j, value in enumerate(row):
            if value:
                axes.text(j, i, str(value), ha="center", va="center", fontsize=10, color=_INK,
                          fontweight="bold" if i == j else "normal")
    ticks = range(len(report.names))
    axes.set_xticks(ticks, report.names)
    axes.set_yticks(ticks, report.names)
    axes.set_xticks([t - 0.5 for t in ticks], minor=True)
    axes.set_yticks([t - 0.5 for t in ticks], minor=True)
    axes.grid(which="minor", color=_GRID, linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(_GRID)
    axes.set_xlabel("predicted", color=_INK)
    axes.set_ylabel("true", color=_INK)
    axes.set_title(f"Test images: {report.right} of {report.total} right", loc="left", fontsize=11,
                   fontweight="bold", color=_INK)
    _save(figure, path)
