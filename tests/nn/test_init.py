"""First values: distributions, fans, errors and PyTorch's streams."""

import math

import pytest

import rushlight as torch
from rushlight.nn import init


def first(function, *args, shape=(5, 4), **kwargs):
    torch.manual_seed(0)
    return function(torch.empty(*shape), *args, **kwargs)


# The first three values PyTorch 2.13 draws after manual_seed(0).
STORED = {
    "uniform_": ((-1.0, 2.0), [0.48876977, 1.30466533, -0.7345677]),
    "normal_": ((1.0, 2.0), [-1.25167966, -1.3047204, 0.49884284]),
    "trunc_normal_": ((), [-1.12583983, -1.1523602, -0.25057858]),
    "constant_": ((3.0,), [3.0, 3.0, 3.0]),
    "xavier_uniform_": ((), [-0.00611296, 0.43800437, -0.67201358]),
    "xavier_normal_": ((2.0,), [-1.06145203, -1.08645558, -0.23624775]),
    "kaiming_uniform_": ((), [-0.00916945, 0.65700656, -1.0080204]),
    "kaiming_normal_": ((0.1, "fan_out"), [-0.70850986, -0.72519958, -0.1576933]),
    "orthogonal_": ((), [-0.52243984, -0.11782219, 0.4257606]),
    "sparse_": ((0.5,), [-0.0112584, 0.0, -0.00250579]),
    "eye_": ((), [1.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("name", sorted(STORED))
def test_streams_are_pytorchs(name):
    args, expected = STORED[name]
    found = first(getattr(init, name), *args).flatten()[:3].tolist()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_gains():
    assert init.calculate_gain("linear") == 1
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert init.calculate_gain("relu") == pytest.approx(math.sqrt(2))
    assert init.calculate_gain("leaky_relu", 2) == pytest.approx(math.sqrt(2 / 5))
    with pytest.raises(ValueError, match="not a valid number"):
        init.calculate_gain("leaky_relu", "a")
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        init.calculate_gain("x")


def test_fans():
    assert init._calculate_fan_in_and_fan_out(torch.empty(6, 4, 3, 2)) == (24, 36)
    with pytest.raises(ValueError, match="fewer than 2"):
        init._calculate_fan_in_and_fan_out(torch.empty(3))
    with pytest.raises(ValueError, match="Mode x not supported"):
        init.kaiming_uniform_(torch.empty(2, 2), mode="x")


def test_dirac():
    w = init.dirac_(torch.empty(4, 2, 3, 3), groups=2)
    assert w.sum() == 4 and w[2, 0, 1, 1] == 1
    with pytest.raises(ValueError, match="3, 4, or 5"):
        init.dirac_(torch.empty(2, 2))
    with pytest.raises(ValueError, match="divisible by groups"):
        init.dirac_(torch.empty(5, 2, 3), 2)


def test_orthogonal():
    for shape in ((5, 3), (3, 5), (4, 2, 2)):
        w = init.orthogonal_(torch.empty(*shape), gain=2).flatten(1) / 2
        q = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        assert torch.allclose(q, torch.eye(q.shape[0]), atol=1e-5)


def test_sparse():
    w = first(init.sparse_, 0.4, shape=(10, 3))
    assert (w == 0).sum(0).tolist() == [4, 4, 4]


@pytest.mark.parametrize("args", [(0.0, 1.0, -2.0, 2.0), (0.0, 1.0, 1.0, 2.0),
                                  (3.0, 1.0, -1.0, 2.0)])
def test_trunc_normal_stays_inside(args):
    w = first(init.trunc_normal_, *args, shape=(300,))
    assert w.min() >= args[2] and w.max() <= args[3]


def test_no_gradient_is_recorded():
    p = torch.empty(2, 2, requires_grad=True)
    for function in (init.uniform_, init.normal_, init.xavier_normal_, init.eye_, init.zeros_):
        assert function(p) is p and p.grad_fn is None


def test_deprecated_names_warn():
    with pytest.warns(FutureWarning, match="deprecated in favor of `nn.init.uniform_`"):
        init.uniform(torch.empty(2))


def test_empty_tensors_warn():
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_uniform_(torch.empty(0, 2))
