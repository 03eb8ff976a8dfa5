"""Averaged models."""

import pytest

import rushlight as torch
from rushlight.optim import swa_utils


def linear(value):
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    return model


def fill(model, value):
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)


@pytest.mark.parametrize(
    "options, want",
    [
        ({}, 2.0),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, 2.0),
        ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, 2.0),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.75)}, 1.6875),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)}, 1.6875),
    ],
)
def test_averages(options, want):
    model = linear(1.0)
    averaged = swa_utils.AveragedModel(model, **options)
    for value in (1.0, 2.0, 3.0):
        fill(model, value)
        averaged.update_parameters(model)
    assert averaged.n_averaged.item() == 3
    for p in averaged.parameters():
        assert torch.allclose(p, torch.full_like(p, want))
    x = torch.ones(1, 2)
    assert torch.allclose(averaged(x), averaged.module(x))
    assert list(averaged.state_dict()) == ["n_averaged", "module.weight", "module.bias"]


def test_buffers_are_copied_or_averaged():
    for use_buffers, want in ((False, 3.0), (True, 2.0)):
        model = torch.nn.BatchNorm1d(2)
        averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers)
        for value in (1.0, 3.0):
            model.running_mean.fill_(value)
            averaged.update_parameters(model)
        assert averaged.module.running_mean.tolist() == [want, want]


def test_update_bn():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(1))
    model.eval()
    batches = [torch.tensor([[1.0], [3.0]]), (torch.tensor([[5.0], [7.0]]), "label")]
    swa_utils.update_bn(batches, model)
    assert model[0].running_mean.item() == pytest.approx(4.0)
    assert model[0].momentum == 0.1 and not model.training


def test_errors():
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(
            linear(1.0),
            avg_fn=swa_utils.get_swa_avg_fn(),
            multi_avg_fn=swa_utils.get_swa_multi_avg_fn(),
        )
    with pytest.raises(ValueError, match="Invalid decay value 1.5"):
        swa_utils.get_ema_avg_fn(1.5)
    optimizer = torch.optim.SGD(linear(1.0).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="anneal_strategy must be one of"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="x")
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="swa_lr must have the same length"):
        swa_utils.SWALR(optimizer, [0.1, 0.2])
