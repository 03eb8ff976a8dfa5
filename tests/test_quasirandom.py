"""Sobol' sequences: PyTorch's points, evenness, scrambling, and going forward."""

import pytest

import rushlight as torch

Sobol = torch.quasirandom.SobolEngine


def test_first_points():
    engine = Sobol(3)
    assert engine.draw(5).tolist() == [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.75, 0.25, 0.25], [0.25, 0.75, 0.75],
                                       [0.375, 0.375, 0.625]]
    assert engine.fast_forward(3).draw(1).tolist() == [[0.1875, 0.3125, 0.9375]]
    assert engine.reset().draw().tolist() == [[0.0, 0.0, 0.0]] and repr(engine) == "SobolEngine(dimension=3)"


@pytest.mark.parametrize("scramble", [False, True])
def test_every_elementary_interval_has_its_point(scramble):
    points = Sobol(12, scramble=scramble, seed=3).draw_base2(6, dtype=torch.float64)
    for d in range(12):
        assert sorted((points[:, d] * 64).floor().int().tolist()) == list(range(64))


def test_scrambled_points_are_pytorchs():
    engine = Sobol(2, scramble=True, seed=0)
    expected = torch.tensor([[0.4751, 0.5925], [0.5788, 0.0371], [0.9507, 0.8623]])
    assert torch.allclose(engine.draw(3), expected, atol=1e-4)
    assert repr(engine) == "SobolEngine(dimension=2, scramble=True, seed=0)"


@pytest.mark.parametrize("skip", [0, 1, 2, 7, 100])
def test_going_forward(skip):
    whole = Sobol(5, scramble=True, seed=1).draw(skip + 3, dtype=torch.float64)
    assert torch.equal(Sobol(5, scramble=True, seed=1).fast_forward(skip).draw(3, dtype=torch.float64), whole[skip:])


def test_limits():
    for dimension in (0, 21202):
        with pytest.raises(ValueError, match="Supported range of dimensionality"):
            Sobol(dimension)
    engine = Sobol(1)
    engine.draw(3)
    with pytest.raises(ValueError, match="require n to be a power of 2. 3 points"):
        engine.draw_base2(2)
    out = torch.empty(0)
    assert engine.draw(2, out=out) is out and out.shape == (2, 1)
