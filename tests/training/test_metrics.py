"""Classification figures, checked by hand, and early stopping."""

import math

import pytest

import rushlight as torch
from rushlight.training import ClassificationReport, EarlyStopping, confusion_matrix, evaluate

TARGETS = torch.tensor([0, 0, 0, 1, 1, 2])
PREDICTED = torch.tensor([0, 1, 0, 1, 1, 1])


def test_confusion_matrix_counts_pairs():
    assert confusion_matrix(TARGETS, PREDICTED, 4).tolist() == [
        [2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    with pytest.raises(ValueError, match="6 targets but 1 predictions"):
        confusion_matrix(TARGETS, PREDICTED[:1], 4)
    with pytest.raises(ValueError, match="targets must lie between 0 and 1"):
        confusion_matrix(TARGETS, PREDICTED, 2)


def test_report():
    report = ClassificationReport.of(TARGETS, PREDICTED, 3, ["a", "b", "c"])
    assert (report.right, report.total) == (4, 6) and report.accuracy == pytest.approx(4 / 6)
    a, b, c = report.classes
    assert (a["precision"], a["recall"], a["support"]) == (1.0, pytest.approx(2 / 3), 3)
    assert (b["precision"], b["recall"]) == (0.5, 1.0) and b["f1"] == pytest.approx(2 / 3)
    assert (c["precision"], c["recall"], c["f1"]) == (0.0, 0.0, 0.0)
    assert report.macro["f1"] == pytest.approx((0.8 + 2 / 3) / 3)
    lines = str(report).splitlines()
    assert len(lines) == 5 and lines[2].split() == ["b", "0.5000", "1.0000", "0.6667", "2"]


def test_early_stopping_keeps_the_best_model():
    model = torch.nn.Linear(1, 1)
    stopping = EarlyStopping(patience=2)
    told = []
    for i, loss in enumerate([3.0, 1.0, 2.0, 1.0]):
        with torch.no_grad():
            model.weight.fill_(float(i))
        told.append(stopping.update(loss, model))
    assert told == [False, False, False, True]
    assert stopping.best == 1.0 and stopping.best_check == 2
    stopping.restore(model)
    assert model.weight.item() == 1.0


def test_early_stopping_counts_nan_as_no_better():
    model = torch.nn.Linear(1, 1)
    stopping = EarlyStopping(patience=1)
    assert stopping.update(math.nan, model) and stopping.best_state is None
    stopping.restore(model)
    for bad in (0, -1, 1.5):
        with pytest.raises(ValueError, match="patience"):
            EarlyStopping(bad)
    with pytest.raises(ValueError, match="min_delta"):
        EarlyStopping(1, math.nan)


def test_evaluate_leaves_no_graph_and_averages_over_samples():
    model = torch.nn.Linear(2, 2)
    batches = [(torch.ones(3, 2), torch.tensor([0, 1, 0])), (torch.zeros(1, 2), torch.tensor([1]))]
    loss, logits, targets = evaluate(model, batches, torch.nn.CrossEntropyLoss())
    expected = torch.nn.CrossEntropyLoss()(model(torch.cat([batches[0][0], batches[1][0]])), targets)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert logits.shape == (4, 2) and not logits.requires_grad and not model.training
