"""masked_scatter from a source whose elements have even steps; gradients, in place, by index."""

import numpy as np

import rushlight as torch


def test_sources_with_steps():
    rng = np.random.default_rng(0)
    values, mask = rng.standard_normal((6, 9, 23)).astype("f4"), rng.random((6, 9, 23)) > 0.5
    memory = torch.full((2 * values.size + 1,), 77.0)
    source = memory.as_strided((6, 9, 23), (2 * 9 * 23, 46, 2), 1)
    source.copy_(torch.from_numpy(values))
    want = np.zeros_like(values)
    want[mask] = values.ravel()[:mask.sum()]
    m = torch.from_numpy(mask)
    np.testing.assert_array_equal(torch.zeros(6, 9, 23).masked_scatter(m, source).numpy(), want)
    x = torch.zeros(6, 9, 23)
    x.masked_scatter_(m, source)
    np.testing.assert_array_equal(x.numpy(), want)
    x = torch.zeros(6, 9, 23)
    x[m] = source.flatten()[:int(mask.sum())]
    np.testing.assert_array_equal(x.numpy(), want)
    x = torch.zeros(6, 9, 23)
    x[m] = memory[1::2][:int(mask.sum())]
    np.testing.assert_array_equal(x.numpy(), want)
