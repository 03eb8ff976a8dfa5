"""Random tensors and generator states against the installed PyTorch, bit for bit."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")


def same(ours, theirs):
    """Equal values (NaN with NaN), dtype, shape and strides."""
    assert str(ours.dtype) == str(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert not ours.numel() or ours.stride() == theirs.stride()
    a, b = np.array(ours.tolist()), np.array(theirs.tolist())
    assert a.shape == b.shape and ((a == b) | ((a != a) & (b != b))).all()


def both(call, seed=5):
    """Run `call(torch)` with both frameworks from one seed; values and states must agree."""
    found = []
    for framework in (rushlight, torch):
        framework.manual_seed(seed)
        found.append((call(framework), framework.get_rng_state().tolist()))
    (ours, state), (theirs, expected) = found
    same(ours, theirs)
    assert state == expected


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (3,), (15,), (16,), (5, 7), (2, 0, 3), (700,)])
def test_rand_and_randn(dtype, shape):
    both(lambda t: t.rand(shape, dtype=getattr(t, dtype)))
    both(lambda t: t.randn(shape, dtype=getattr(t, dtype)))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("n", [3, 40])
def test_complex(dtype, n):
    both(lambda t: t.view_as_real(t.rand(n, dtype=getattr(t, dtype))))
    both(lambda t: t.view_as_real(t.randn(n, dtype=getattr(t, dtype))))
    both(lambda t: t.view_as_real(t.empty(n, dtype=getattr(t, dtype)).normal_(0.5, 2)))


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_randint(dtype):
    both(lambda t: t.randint(100, (50,), dtype=getattr(t, dtype)))
    both(lambda t: t.randint(3, 17, (50,), dtype=getattr(t, dtype)))
    both(lambda t: t.randint_like(t.zeros(4, 5, dtype=getattr(t, dtype)), 9))


@pytest.mark.parametrize("bounds", [(0, 2**28 - 1), (0, 2**28), (-(2**40), 2**41), (-(2**63), 5)])
def test_wide_randint(bounds):
    both(lambda t: t.randint(*bounds, (200,)))


@pytest.mark.parametrize("n", [0, 1, 2, 30, 3000])
def test_randperm(n):
    both(lambda t: t.randperm(n))
    both(lambda t: t.randperm(n, dtype=t.int32))


def test_one_by_one_and_mixed_draws_share_the_kept_normal():
    def run(t):
        pieces = []
        for n in (1, 2, 3, 20, 1, 5, 33, 1):
            pieces += [t.randn(n), t.rand(n), t.empty(n).log_normal_(), t.randn(n)]
        return t.cat(pieces)

    both(run)


@pytest.mark.parametrize("layout", ["permuted", "sliced", "channels_last", "column"])
@pytest.mark.parametrize("fill", ["normal_", "uniform_", "bernoulli_", "exponential_", "random_"])
def test_layouts(layout, fill):
    def run(t):
        x = t.zeros(2, 6, 4, 4)
        part = {
            "permuted": lambda: x.permute(2, 0, 3, 1),
            "sliced": lambda: x[:, ::2, 1:],
            "channels_last": lambda: x.contiguous(memory_format=t.channels_last),
            "column": lambda: x[0, :, :, 0],
        }[layout]()
        return getattr(part, fill)()

    both(run)


@pytest.mark.parametrize("maker", ["rand_like", "randn_like"])
def test_like_keeps_the_layout(maker):
    both(lambda t: getattr(t, maker)(t.zeros(2, 3, 4, 5).permute(0, 2, 3, 1)))
    both(lambda t: getattr(t, maker)(t.zeros(4, 6)[:, ::2]))
    both(lambda t: getattr(t, maker)(t.zeros(4, 6).t(), memory_format=t.contiguous_format))


def test_normal_overloads():
    def mean(t):
        return t.arange(12.0).reshape(3, 4)

    both(lambda t: t.normal(mean(t), 0.5))
    both(lambda t: t.normal(2.5, mean(t)))
    both(lambda t: t.normal(mean(t), mean(t)[0]))
    both(lambda t: t.normal(1.0, 2.0, (4, 5)))
    both(lambda t: t.normal(mean(t).half(), mean(t).half()))


def test_bernoulli_overloads():
    def p(t):
        return t.arange(40) / 40

    both(lambda t: t.bernoulli(p(t)))
    both(lambda t: t.bernoulli(p(t).double()))
    both(lambda t: t.bernoulli(p(t).bfloat16()))
    both(lambda t: t.bernoulli(p(t), 0.25))
    both(lambda t: t.zeros(3, 40).bernoulli_(p(t)))
    both(lambda t: t.zeros(40, 3).t().bernoulli_(p(t)))
    both(lambda t: t.zeros(40, dtype=t.int64).bernoulli_(p(t).double()))


def test_gamma_and_dirichlet():
    for dtype in ("float32", "float64"):
        both(lambda t: t._standard_gamma(t.arange(40, dtype=getattr(t, dtype)) / 8))
    both(lambda t: t._sample_dirichlet(t.full((6, 3), 0.7)))


def test_samplers():
    both(lambda t: t.poisson(t.arange(60.0) ** 2 / 10))
    both(lambda t: t.poisson((t.arange(60.0).reshape(6, 10) / 3).t()))
    both(lambda t: t.binomial(t.arange(60.0), t.arange(60.0) / 60))
    weights = [[0.1, 0.0, 3.0, 0.7], [5.0, 1.0, 1.0, 0.25]]
    for n, replacement in ((1, False), (3, False), (1, True), (9, True)):
        both(lambda t: t.multinomial(t.tensor(weights), n, replacement))
        both(lambda t: t.multinomial(t.tensor(weights[1]).double(), n, replacement))


@pytest.mark.parametrize("before", [0, 1, 3, 700])
def test_states_are_interchangeable(before):
    ours, theirs = rushlight.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    torch.randn(before, generator=theirs)
    state = rushlight.tensor(theirs.get_state().tolist(), dtype=rushlight.uint8)
    ours.set_state(state)
    same(rushlight.randn(5, generator=ours), torch.randn(5, generator=theirs))
    theirs.set_state(torch.tensor(ours.get_state().tolist(), dtype=torch.uint8))
    same(rushlight.randn(900, generator=ours), torch.randn(900, generator=theirs))


ERRORS = {
    "normal std": lambda t: t.ones(3).normal_(0, -1),
    "uniform order": lambda t: t.ones(3).uniform_(3, 1),
    "uniform range": lambda t: t.ones(3).uniform_(-3e38, 3e38),
    "uniform half": lambda t: t.ones(3, dtype=t.float16).uniform_(0, 1e5),
    "uniform nan": lambda t: t.ones(3).uniform_(math.nan, 1),
    "rand int": lambda t: t.rand(2, dtype=t.int64),
    "randn bool": lambda t: t.randn(2, dtype=t.bool),
    "negative size": lambda t: t.rand(-1),
    "randint order": lambda t: t.randint(5, 3, (2,)),
    "randint bool": lambda t: t.randint(5, (2,), dtype=t.bool),
    "randint uint8": lambda t: t.randint(0, 300, (2,), dtype=t.uint8),
    "randint below": lambda t: t.randint(-1, 3, (2,), dtype=t.uint8),
    "randint overflow": lambda t: t.randint(0, 2**63, (2,)),
    "randperm negative": lambda t: t.randperm(-1),
    "randperm uint8": lambda t: t.randperm(300, dtype=t.uint8),
    "randperm half": lambda t: t.randperm(3000, dtype=t.float16),
    "bernoulli p": lambda t: t.ones(3).bernoulli_(1.5),
    "bernoulli range": lambda t: t.bernoulli(t.full((3,), 2.0)),
    "bernoulli int": lambda t: t.bernoulli(t.ones(3, dtype=t.int64)),
    "exponential rate": lambda t: t.ones(3).exponential_(0),
    "exponential int": lambda t: t.ones(3, dtype=t.int64).exponential_(),
    "geometric p": lambda t: t.ones(3).geometric_(1),
    "log_normal std": lambda t: t.ones(3).log_normal_(1, 0),
    "cauchy sigma": lambda t: t.ones(3).cauchy_(1, 0),
    "leaf": lambda t: t.ones(3, requires_grad=True).normal_(),
    "multinomial many": lambda t: t.multinomial(t.ones(3), 4),
    "multinomial none": lambda t: t.multinomial(t.ones(3), 0),
    "multinomial rank": lambda t: t.multinomial(t.ones(2, 2, 2), 1),
    "multinomial int": lambda t: t.multinomial(t.ones(3, dtype=t.int64), 1),
    "multinomial zero": lambda t: t.multinomial(t.zeros(3), 1),
    "multinomial negative": lambda t: t.multinomial(t.full((3,), -1.0), 2, True),
    "multinomial inf": lambda t: t.multinomial(t.full((3,), math.inf), 1),
    "poisson negative": lambda t: t.poisson(t.full((3,), -1.0)),
    "poisson int": lambda t: t.poisson(t.ones(3, dtype=t.int64)),
    "binomial int": lambda t: t.binomial(t.ones(3, dtype=t.int64), t.ones(3)),
    "normal std tensor": lambda t: t.normal(0.0, t.full((3,), -1.0)),
    "state dtype": lambda t: t.set_rng_state(t.zeros(5056)),
    "state kind": lambda t: t.set_rng_state(5),
    "state content": lambda t: t.set_rng_state(t.zeros(5056, dtype=t.uint8)),
    "state size": lambda t: t.set_rng_state(t.zeros(12, dtype=t.uint8)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[name](rushlight)
    assert str(ours.value) == str(theirs.value)


GRADIENTS = {
    "normal_": lambda t, x: x.normal_(),
    "uniform_": lambda t, x: x.uniform_(),
    "random_": lambda t, x: x.random_(),
    "bernoulli_": lambda t, x: x.bernoulli_(0.5),
    "exponential_": lambda t, x: x.exponential_(),
    "bernoulli": lambda t, x: t.bernoulli(x),
    "normal": lambda t, x: t.normal(x, 1.0),
    "normal both": lambda t, x: t.normal(x, x),
    "poisson": lambda t, x: t.poisson(x),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_zero(name):
    found = []
    for t in (rushlight, torch):
        t.manual_seed(1)
        x = t.full((4,), 0.5, requires_grad=True)
        y = GRADIENTS[name](t, x * 1)
        y.sum().backward()
        found.append((y.tolist(), type(y.grad_fn).__name__, x.grad.tolist()))
    assert found[0] == found[1] and found[0][2] == [0.0] * 4
