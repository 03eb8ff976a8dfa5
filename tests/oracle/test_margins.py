"""Margins of several labels, against PyTorch."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
def test_values_and_gradients(seed, dtype):
    rng = np.random.default_rng(seed)
    rows, classes = rng.integers(1, 5), rng.integers(1, 40)
    x, labels = rng.standard_normal((rows, classes)).astype(dtype), rng.integers(-1, classes, (rows, classes))
    labels[:, 0] = np.abs(labels[:, 0])
    if seed % 5 == 0:
        x[0, 0] = np.nan
    if seed % 4 == 1:
        labels = np.abs(labels)
    made = []
    for framework in (rushlight, torch):
        a = framework.from_numpy(x.copy()).requires_grad_()
        y = framework.nn.functional.multilabel_margin_loss(a, framework.from_numpy(labels.copy()), reduction="none")
        made.append((y.detach().numpy(), framework.autograd.grad(y.sum(), a)[0].numpy()))
    for got, want in zip(*made):
        np.testing.assert_allclose(got, want, rtol=2e-6 if dtype == "float32" else 1e-13, atol=1e-6)


@pytest.mark.parametrize("labels", [[[4, -1, 0, 0]], [[-2, 0, 0, 0]], [[0, -1, 0, 9]]])
def test_labels_out_of_range(labels):
    for framework in (rushlight, torch):
        with pytest.raises(RuntimeError, match="out of range"):
            framework.nn.functional.multilabel_margin_loss(framework.ones(1, 4), framework.tensor(labels))


def test_nothing():
    for framework in (rushlight, torch):
        y = framework.nn.functional.multilabel_margin_loss(framework.ones(0, 4), framework.ones(0, 4).long(),
                                                           reduction="none")
        assert tuple(y.shape) == (0,)
