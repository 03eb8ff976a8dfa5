"""Pieces of training programs: loops, early stopping, metrics, pictures."""

from rushlight.training.early_stopping import EarlyStopping
from rushlight.training.loop import evaluate, train_epoch
from rushlight.training.metrics import ClassificationReport, confusion_matrix

__all__ = ["ClassificationReport", "EarlyStopping", "confusion_matrix", "evaluate", "train_epoch"]
