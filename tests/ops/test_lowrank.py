"""Randomized singular values: exact for matrices of low rank."""

import numpy as np
import pytest

import rushlight as torch


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (3, 15, 8)])
def test_low_rank_is_found_exactly(shape):
    torch.manual_seed(0)
    *b, m, n = shape
    a = torch.randn(*b, m, 4, dtype=torch.float64) @ torch.randn(*b, 4, n, dtype=torch.float64)
    u, s, v = torch.svd_lowrank(a, q=6)
    assert u.shape == (*b, m, 6) and s.shape == (*b, 6) and v.shape == (*b, n, 6)
    np.testing.assert_allclose((u * s.unsqueeze(-2) @ v.mT).numpy(), a.numpy(), atol=1e-10)
    np.testing.assert_allclose(s[..., :4].numpy(), np.linalg.svd(a.numpy())[1][..., :4], rtol=1e-10)


def test_components_of_centred_columns():
    torch.manual_seed(1)
    a = torch.randn(30, 5, dtype=torch.float64) + 10
    u, s, v = torch.pca_lowrank(a, q=5)
    centred = a.numpy() - a.numpy().mean(0)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(centred)[1], rtol=1e-9)
    np.testing.assert_allclose((u * s @ v.T).numpy(), centred, atol=1e-9)
    with pytest.raises(ValueError, match="min"):
        torch.pca_lowrank(a, q=6)
    with pytest.raises(ValueError, match="niter"):
        torch.pca_lowrank(a, niter=-1)
