"""cross_entropy with an ignore_index that is a class."""

import numpy as np

import rushlight as torch
from rushlight.nn import functional as F


def test_ignored_class_counts_for_nothing():
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor([1, 2]), ignore_index=1)
    kept = np.array([0.5, -1.0, 0.0])
    assert abs(loss.item() - (np.log(np.exp(kept).sum()) - 0.0)) < 1e-6
    loss.backward()
    assert (x.grad[0] == 0).all() and x.grad[1, 2] < 0
