"""The random functions on tensors: what they take from the stream, and the forms they have."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.random import Generator
from rushlight.randomness import fills


def expected(fill, shape, *args, dtype=np.float32, seed=3):
    return fill(Generator().manual_seed(seed), np.empty(shape, dtype), *args)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def test_known_values():
    torch.manual_seed(0)
    assert torch.randn(3).tolist() == [1.5409960746765137, -0.293428897857666, -2.1787893772125244]
    torch.manual_seed(0)
    assert torch.rand(2).tolist() == [0.49625658988952637, 0.7682217955589294]
    torch.manual_seed(0)
    assert torch.randint(10, (5,)).tolist() == [4, 9, 3, 0, 3]
    torch.manual_seed(0)
    assert torch.randperm(5).tolist() == [4, 0, 1, 3, 2]


@pytest.mark.parametrize(
    "call, fill, args",
    [
        (lambda: torch.rand(4, 5), fills.fill_uniform, ()),
        (lambda: torch.rand((4, 5)), fills.fill_uniform, ()),
        (lambda: torch.rand(size=(4, 5)), fills.fill_uniform, ()),
        (lambda: torch.randn(4, 5), fills.fill_normal, ()),
        (lambda: torch.rand_like(torch.zeros(4, 5)), fills.fill_uniform, ()),
        (lambda: torch.normal(1.0, 2.0, (4, 5)), fills.fill_normal, (1.0, 2.0)),
        (lambda: torch.zeros(4, 5).uniform_(1, 2), fills.fill_uniform, (1.0, 2.0)),
        (lambda: torch.zeros(4, 5).bernoulli_(0.2), fills.fill_bernoulli, (0.2,)),
        (lambda: torch.zeros(4, 5).exponential_(2), fills.fill_exponential, (2.0,)),
        (lambda: torch.zeros(4, 5).geometric_(0.2), fills.fill_geometric, (0.2,)),
        (lambda: torch.zeros(4, 5).cauchy_(1, 2), fills.fill_cauchy, (1.0, 2.0)),
        (lambda: torch.zeros(4, 5).log_normal_(1, 2), fills.fill_log_normal, (1.0, 2.0)),
        (lambda: torch.zeros(4, 5).random_(7), fills.fill_integers, (0, 7)),
        (lambda: torch.zeros(4, 5).random_(2, 7), fills.fill_integers, (2, 7)),
        (lambda: torch.zeros(4, 5).random_(), fills.fill_random, ()),
    ],
)
def test_draws_are_the_fills(call, fill, args):
    drawn = call()
    assert drawn.dtype is torch.float32
    assert (drawn.numpy() == expected(fill, (4, 5), *args)).all()
    state = Generator().manual_seed(3)
    fill(state, np.empty((4, 5), np.float32), *args)
    assert torch.get_rng_state().tolist() == state.state_bytes().tolist()


def test_a_generator_of_ones_own_leaves_the_default_alone():
    before = torch.get_rng_state().tolist()
    first = torch.rand(5, generator=torch.Generator().manual_seed(9))
    assert torch.get_rng_state().tolist() == before
    again = torch.zeros(5).uniform_(generator=torch.Generator().manual_seed(9))
    assert torch.equal(first, again)
    with pytest.raises(TypeError, match="generator"):
        torch.rand(2, generator=5)


def test_fork_rng_and_states():
    before = torch.get_rng_state()
    with torch.random.fork_rng():
        inside = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.rand(3), inside)
    torch.set_rng_state(before)
    assert torch.equal(torch.rand(3), inside)
    assert torch.initial_seed() == 3
    with torch.random.fork_rng(enabled=False):
        torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)


def test_meta_tensors_draw_nothing():
    before = torch.get_rng_state().tolist()
    assert torch.rand(2, 3, device="meta").shape == (2, 3)
    meta = torch.zeros(4, device="meta")
    meta.normal_()
    assert torch.bernoulli(meta).is_meta and torch.poisson(meta).is_meta
    assert torch.multinomial(meta, 2).shape == (2,)
    assert torch.randn_like(meta).is_meta
    assert torch.get_rng_state().tolist() == before


def test_out_and_dtype():
    out = torch.empty(0)
    assert torch.rand(2, 3, out=out) is out and out.shape == (2, 3)
    with pytest.raises(RuntimeError, match="does not match dtype of out"):
        torch.rand(2, out=torch.empty(0), dtype=torch.float64)
    assert torch.randn(2, dtype=torch.complex64).dtype is torch.complex64
    assert torch.randint(3, (2,)).dtype is torch.int64
    assert torch.randint(3, (2,), dtype=torch.float16).dtype is torch.float16
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.rand(1).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_gradients_and_versions():
    assert torch.rand(2, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="leaf Variable"):
        torch.ones(2, requires_grad=True).normal_()
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    version = y._version
    y.uniform_()
    assert y._version == version + 1
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    z = torch.zeros(3)
    z.normal_()
    assert z._version == 1
    with torch.no_grad():
        x.fill_(0.25)
        x.uniform_()
    view = torch.zeros(4, 4)
    view[1].fill_(1)
    view[:, 1].normal_()
    assert (view[0, 0] == 0).item() and (view[2, 1] != 0).item()


def test_multinomial_prefers_weight():
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0])
    drawn = torch.multinomial(weights, 4000, replacement=True)
    counts = np.bincount(drawn.numpy(), minlength=4)
    assert counts[0] == counts[2] == 0 and abs(counts[3] / 4000 - 0.75) < 0.05
    both = torch.multinomial(weights, 2)
    assert sorted(both.tolist()) == [1, 3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.poisson(torch.tensor([float("inf")])),
        lambda: torch.binomial(torch.tensor([float("inf")]), torch.tensor([0.5])),
        lambda: torch.poisson(torch.tensor([-1.0])),
        lambda: torch.multinomial(torch.tensor([float("nan"), 1.0]), 1),
        lambda: torch.zeros(2).normal_(0, -1),
        lambda: torch.randint(3, 3, (2,)),
    ],
)
def test_refusals(call):
    before = torch.get_rng_state().tolist()
    with pytest.raises(RuntimeError):
        call()
    assert torch.get_rng_state().tolist() == before


def test_moments_of_samplers():
    rates = torch.full((20000,), 12.5)
    assert abs(torch.poisson(rates).mean().item() - 12.5) < 0.15
    successes = torch.binomial(torch.full((20000,), 40.0), torch.full((20000,), 0.3))
    assert abs(successes.mean().item() - 12) < 0.12
    assert abs(torch._standard_gamma(torch.full((20000,), 2.5)).mean().item() - 2.5) < 0.06
