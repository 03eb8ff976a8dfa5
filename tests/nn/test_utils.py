"""Parametrisations, norms, pruning, fusion, stateless calls."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.utils import parametrizations, parametrize, prune, stateless

pytestmark = pytest.mark.filterwarnings("ignore")


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x):
        return x.triu()


def test_register_and_remove():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert torch.equal(layer.weight, layer.weight.T)
    layer.weight = torch.eye(3)
    assert torch.equal(layer.weight, torch.eye(3))
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and torch.equal(layer.weight, torch.eye(3))


def test_parametrization_may_not_change_the_shape():
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", nn.Linear(2, 3))
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(nn.Linear(2, 2), "foo", Symmetric())


def test_weight_norm():
    for norm in (nn.utils.weight_norm, parametrizations.weight_norm):
        torch.manual_seed(0)
        layer = nn.Linear(4, 3)
        weight = layer.weight.detach().clone()
        norm(layer)
        assert torch.allclose(layer.weight, weight, atol=1e-6)
        layer(torch.ones(1, 4)).sum().backward()
        grads = [p.grad for p in layer.parameters()]
        assert all(g is not None for g in grads)


def test_spectral_norm():
    for norm in (nn.utils.spectral_norm, parametrizations.spectral_norm):
        torch.manual_seed(0)
        layer = norm(nn.Linear(4, 3), n_power_iterations=50)
        layer(torch.ones(1, 4))
        assert torch.linalg.matrix_norm(layer.weight.detach(), 2).item() == pytest.approx(1, 1e-4)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_orthogonal(shape):
    torch.manual_seed(0)
    layer = parametrizations.orthogonal(nn.Linear(*shape))
    w = layer.weight.detach()
    q = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    assert torch.allclose(q, torch.eye(min(shape)), atol=1e-5)
    layer.weight.sum().backward()


def test_pruning():
    torch.manual_seed(0)
    layer = nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", 3)
    assert int((layer.weight_mask == 0).sum()) == 3 and prune.is_pruned(layer)
    prune.ln_structured(layer, "weight", 1, n=2, dim=0)
    assert len(layer._forward_pre_hooks) == 1
    assert int((layer.weight_mask.sum(1) == 0).sum()) == 1
    pruned = layer.weight.detach().clone()
    prune.remove(layer, "weight")
    assert list(layer.state_dict()) == ["bias", "weight"] and torch.equal(layer.weight, pruned)
    assert not prune.is_pruned(layer)
    with pytest.raises(ValueError, match="range"):
        prune.l1_unstructured(layer, "weight", 1.5)


def test_global_pruning():
    a, b = nn.Linear(3, 3), nn.Linear(3, 2)
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=5)
    assert int((a.weight == 0).sum() + (b.weight == 0).sum()) == 5


def test_fusion():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 3, 2).eval(), nn.BatchNorm2d(3).eval()
    norm.running_mean.uniform_()
    norm.running_var.uniform_(0.5, 1.5)
    x = torch.randn(1, 2, 4, 4)
    assert torch.allclose(nn.utils.fuse_conv_bn_eval(conv, norm)(x), norm(conv(x)), atol=1e-5)
    linear, norm = nn.Linear(2, 3).eval(), nn.BatchNorm1d(3).eval()
    x = torch.randn(4, 2)
    assert torch.allclose(nn.utils.fuse_linear_bn_eval(linear, norm)(x), norm(linear(x)),
                          atol=1e-5)


def test_functional_call():
    layer = nn.Linear(2, 2)
    own = layer.weight
    out = stateless._functional_call(
        layer, {"weight": torch.eye(2), "bias": torch.zeros(2)}, torch.ones(1, 2))
    assert out.tolist() == [[1.0, 1.0]] and layer.weight is own
    with pytest.raises(RuntimeError, match="Missing key"):
        stateless._functional_call(layer, {"weight": torch.eye(2)}, torch.ones(1, 2),
                                   strict=True)
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="tied"):
        stateless._functional_call(tied, {"0.weight": torch.eye(2), "1.weight": torch.ones(2, 2)},
                                   torch.ones(1, 2))


def test_parameter_vectors():
    layer = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    nn.utils.vector_to_parameters(torch.arange(9.0), layer.parameters())
    assert layer.weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


def test_names_resolve():
    from rushlight.nn.modules.batchnorm import _BatchNorm
    from rushlight.nn.modules.conv import _ConvNd
    from rushlight.nn.modules.utils import _pair
    from rushlight.nn.parallel import DataParallel
    from rushlight.nn.utils.weight_norm import WeightNorm

    assert issubclass(nn.BatchNorm1d, _BatchNorm) and issubclass(nn.Conv2d, _ConvNd)
    assert _pair(2) == (2, 2) and nn.DataParallel is DataParallel
    assert callable(nn.utils.weight_norm) and WeightNorm.__name__ == "WeightNorm"
