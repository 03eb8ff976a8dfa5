"""How good a classifier is: confusion matrix, precision, recall and F1."""

import numpy as np

import rushlight as torch


def confusion_matrix(targets, predictions, classes):
    """Counts (int64, classes × classes): row is the true class, column the predicted one.

    `targets` and `predictions` are integer tensors of one length with values below `classes`;
    ValueError otherwise.
    """
    targets, predictions = targets.reshape(-1), predictions.reshape(-1)
    if len(targets) != len(predictions):
        raise ValueError(f"confusion_matrix: {len(targets)} targets but {len(predictions)} "
                         "predictions")
    for name, values in (("targets", targets), ("predictions", predictions)):
        if len(values) and (values.min().item() < 0 or values.max().item() >= classes):
            raise ValueError(f"confusion_matrix: {name} must lie between 0 and {classes - 1}")
    cells = np.bincount((targets * classes + predictions).numpy(), minlength=classes * classes)
    return torch.from_numpy(cells.astype(np.int64).reshape(classes, classes))


def _ratio(part, whole):
    return part / whole if whole else 0.0


class ClassificationReport:
    """Figures of one classifier on one set, from its confusion matrix.

    `accuracy` is right / all; for each class, ``precision = tp / (tp + fp)``,
    ``recall = tp / (tp + fn)`` and ``f1 = 2 precision recall / (precision + recall)`` (0 where the
    denominator is 0). `macro` is the plain mean over classes.
    """

    def __init__(self, matrix, names=None):
        counts = matrix.tolist()
        self.matrix = matrix
        self.names = list(names) if names is not None else [str(i) for i in range(len(counts))]
        self.total = sum(map(sum, counts))
        self.right = sum(row[i] for i, row in enumerate(counts))
        self.accuracy = _ratio(self.right, self.total)
        self.classes = []
        for i, name in enumerate(self.names):
            hits, support = counts[i][i], sum(counts[i])
            precision = _ratio(hits, sum(row[i] for row in counts))
            recall = _ratio(hits, support)
            f1 = _ratio(2 * precision * recall, precision + recall)
            self.classes.append({"name": name, "precision": precision, "recall": recall, "f1": f1,
                                 "support": support})
        self.macro = {key: sum(c[key] for c in self.classes) / len(self.classes)
                      for key in ("precision", "recall", "f1")}

    @classmethod
    def of(cls, targets, predictions, classes, names=None):
        """The report of integer `predictions` against `targets`."""
        return cls(confusion_matrix(targets, predictions, classes), names)

    def __str__(self):
        width = max(9, *(len(name) for name in self.names))
        lines = [f"{'class':>{width}}  precision  recall      F1  images"]
        rows = [*self.classes, {"name": "mean", **self.macro, "support": self.total}]
        for row in rows:
            lines.append(f"{row['name']:>{width}}  {row['precision']:9.4f}  {row['recall']:6.4f}  "
                         f"{row['f1']:6.4f}  {row['support']:6d}")
        return "\n".join(lines)
