"""Borders of every kind against NumPy's, elements of all sizes."""

import itertools

import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional
_NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def sample(shape, dtype):
    x = torch.tensor(np.random.default_rng(0).integers(-9, 99, shape)).to(getattr(torch, dtype))
    return x, np.asarray(x.double().tolist())


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int16", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 2, 5, 6), (3, 2, 70), (1, 2, 3, 4, 131)])
def test_borders(shape, dtype):
    x, a = sample(shape, dtype)
    for rank in range(1, min(len(shape), 4)):
        for pads in itertools.islice(itertools.product((0, 1, 2), repeat=2 * rank), 0, None, 1 if rank < 2 else 13):
            widths = [(0, 0)] * (len(shape) - rank) + [pads[i:i + 2] for i in range(2 * rank - 2, -1, -2)]
            value = 1 if dtype in ("uint8", "bool") else -3
            for fill in (0, value):
                np.testing.assert_array_equal(F.pad(x, pads, value=fill).double().tolist(),
                                              np.pad(a, widths, constant_values=fill))
            if len(shape) not in (rank + 1, rank + 2):
                continue
            for mode, name in _NUMPY.items():
                if all(w < n or mode == "replicate" for pair, n in zip(widths, shape) for w in pair):
                    np.testing.assert_array_equal(F.pad(x, pads, mode=mode).double().tolist(), np.pad(a, widths, name))


def test_what_is_cut_off_and_where_nothing_is_left():
    x, a = sample((2, 3, 40), "float32")
    np.testing.assert_array_equal(F.pad(x, (-3, 2)).tolist(), np.pad(a[..., 3:], [(0, 0), (0, 0), (0, 2)]))
    np.testing.assert_array_equal(F.pad(x, (1, -39, -1, -1)).tolist(), np.pad(a[:, 1:2, :1], [(0, 0), (0, 0), (1, 0)]))
    assert F.pad(x, (-40, 50), value=2.0).tolist() == np.full((2, 3, 50), 2.0).tolist()
    with pytest.raises(RuntimeError, match="non-negative"):
        F.pad(x, (-45, 50))
    assert F.pad(x, (-40, 0)).shape == (2, 3, 0)
    assert torch.isnan(F.pad(x, (1, 0), value=float("nan"))[..., 0]).all()
    assert str(F.pad(x, (1, 0), value=-0.0)[0, 0, 0].item()) == "-0.0"


def test_strided_operands_and_channels_last():
    x, a = sample((2, 3, 6, 7), "float32")
    np.testing.assert_array_equal(F.pad(x.transpose(2, 3), (1, 2, 0, 1), mode="reflect").tolist(),
                                  np.pad(a.swapaxes(2, 3), [(0, 0), (0, 0), (0, 1), (1, 2)], "reflect"))
    last = x.contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(F.pad(last, (1, 2, 0, 1)).tolist(), F.pad(x, (1, 2, 0, 1)).tolist())
    wide = torch.zeros(2, 300, 70)
    wide[:, :, 3] = 1
    assert F.pad(wide, (70, 1)).sum(-1).eq(1).all()
