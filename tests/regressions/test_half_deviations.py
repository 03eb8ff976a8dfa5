"""Deviations of halves whose variance is beyond halves, or below them."""

import numpy as np
import pytest

import rushlight as torch


@pytest.mark.parametrize("scale", [1e4, 1.0, 1e-4])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_deviation(scale, dim, dtype):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((37, 300)) * scale).to(dtype)
    wide, unit = x.double().numpy(), 2.0 ** (-10 if dtype is torch.float16 else -7)
    want = wide.std(dim, ddof=1)
    np.testing.assert_allclose(x.std(dim).double().numpy(), want, rtol=unit, atol=2.0 ** -24)
    got, mean = torch.std_mean(x, dim)
    assert got.dtype is dtype and mean.dtype is dtype
    np.testing.assert_allclose(got.double().numpy(), want, rtol=unit, atol=2.0 ** -24)
    np.testing.assert_allclose(mean.double().numpy(), wide.mean(dim), rtol=unit, atol=2.0 ** -24 + 1e-6 * scale)
