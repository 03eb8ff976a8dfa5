"""Every stream against values stored from PyTorch 2.13, bit for bit, with the state left behind."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rushlight.random import Generator
from rushlight.randomness import checks, fills, samplers

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
import random_cases

STORED = json.loads(Path(random_cases.FILE).read_text())
OTHERS = STORED["others"]


def array(shape, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    return np.zeros(shape, dtype)


def random_(gen, out, low=None, high=None):
    if low is None:
        return fills.fill_random(gen, out)
    from rushlight.dtypes import from_np

    return fills.fill_integers(gen, out, *checks.integer_range(from_np(out.dtype), low, high))


FILLS = {
    "uniform_": fills.fill_uniform,
    "normal_": fills.fill_normal,
    "log_normal_": fills.fill_log_normal,
    "exponential_": fills.fill_exponential,
    "cauchy_": fills.fill_cauchy,
    "bernoulli_": fills.fill_bernoulli,
    "geometric_": fills.fill_geometric,
    "random_": random_,
}


@pytest.mark.filterwarnings("ignore:to - 1 is out of bounds")
@pytest.mark.parametrize("case", list(random_cases.cases()), ids=random_cases.key)
def test_stored_draws(case):
    method, args, dtype, sizes = case
    gen = Generator().manual_seed(random_cases.SEED)
    pieces = []
    for n in sizes:
        for shape, turned in (((n,), False), ((2, n), True)):
            full = array(shape, dtype)
            FILLS[method](gen, full.T if turned else full, *args)
            pieces.append(full.tobytes())
    stored = STORED["draws"][random_cases.key(case)]
    assert pieces[0].hex() + pieces[1][:64].hex() == stored["first"]
    assert random_cases.digest(b"".join(pieces)) == stored["digest"]
    assert random_cases.digest(gen.state_bytes().tobytes()) == stored["state"]


def test_stored_draws_of_varying_length():
    """In the order in which they were stored: one stream runs through all."""
    gen = Generator().manual_seed(random_cases.SEED)
    for expected in OTHERS["randperm"]:
        assert fills.randperm(gen, len(expected)).tolist() == expected
    shuffled = fills.randperm(gen, 5000)
    assert random_cases.digest(shuffled.tobytes()) == OTHERS["randperm digest"]
    rates = np.array([0.0, 0.4, 3.0, 9.99, 10.0, 37.5, 1e4, 1e9] * 20, np.float32).astype(float)
    assert samplers.fill_poisson(gen, np.empty(160), rates).tolist() == OTHERS["poisson"]
    counts = np.array([0.0, 1.0, 10.0, 500.0, 1e6] * 12)
    probs = np.array([0.0, 0.05, 0.3, 0.5, 0.7, 1.0] * 10, np.float32).astype(float)
    drawn = samplers.fill_binomial(gen, np.empty(60), counts, probs)
    assert drawn.tolist() == OTHERS["binomial"]
    weights = np.array([[0.1, 0.0, 3.0, 0.7, 0.2], [5.0, 1.0, 1.0, 0.25, 0.125]], np.float32)
    for n, replacement in ((1, False), (3, False), (9, True)):
        drawn = samplers.multinomial(gen, weights, n, replacement)
        assert drawn.tolist() == OTHERS[f"multinomial {n} {replacement}"]
    p = np.arange(41, dtype=np.float32) / np.float32(40)
    assert fills.fill_bernoulli(gen, np.empty(41), p).tolist() == OTHERS["bernoulli float32"]
    wide = p.astype(float)
    assert fills.fill_bernoulli(gen, np.empty(41), wide).tolist() == OTHERS["bernoulli float64"]
    shapes = np.arange(24) / 8
    for dtype in ("float64", "float32"):
        drawn = samplers.fill_gamma(gen, np.empty(24, dtype), shapes.astype(dtype))
        assert drawn.tolist() == OTHERS["gamma " + dtype]
    assert random_cases.digest(gen.state_bytes().tobytes()) == OTHERS["state"]


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint16", "float32"])
def test_randperm_permutes(n, dtype):
    drawn = fills.randperm(Generator().manual_seed(1), n, np.dtype(dtype))
    assert drawn.dtype == dtype and sorted(drawn.tolist()) == list(range(n))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_long_permutations(monkeypatch, dtype):
    monkeypatch.setattr(fills, "LONG_PERMUTATION", 1500)
    gen, n = Generator().manual_seed(6), 1600
    drawn = fills.randperm(gen, n, np.dtype(dtype))
    words = np.random.RandomState(6).randint(0, 2**32, 2 * n, dtype=np.uint64)
    expected = list(range(n))
    for i, number in enumerate((words[::2] << np.uint64(32) | words[1::2]).tolist()):
        j = number % (i + 1)
        expected[i], expected[j] = expected[j], expected[i]
    assert drawn.tolist() == expected
    other = Generator().manual_seed(6)
    other._skip(2 * n)
    assert (gen.state_bytes() == other.state_bytes()).all()


def test_remainders_of_every_width():
    """The estimated quotient is put right for every word, also at the ends of its range."""
    from rushlight.randomness.kernels import kernel

    words = np.empty(4096, np.uint32)
    for span in (1, 2, 3, 7, 10, 255, 256, 65537, 2**27 - 39, 2**28 - 1):
        kernel("words")(Generator().manual_seed(span)._bytes, words, 4096, 0.0, 0.0)
        drawn = fills.fill_integers(
            Generator().manual_seed(span), np.empty(4096, np.int64), 5, 5 + span
        )
        assert (drawn == words.astype(np.int64) % span + 5).all()


@pytest.mark.parametrize("p", [0.0, 2.0**-53, 0.25, 1 - 2.0**-53, 1.0])
def test_bernoulli_thresholds(p):
    unit = fills.unit53(Generator().manual_seed(8), 5000)
    drawn = fills.fill_bernoulli(Generator().manual_seed(8), np.empty(5000, bool), p)
    assert (drawn == (unit < p)).all()


def test_dropout_mask_is_a_scaled_bernoulli():
    ones = fills.fill_bernoulli(Generator().manual_seed(8), np.empty((30, 40), np.float32), 0.8)
    mask = np.empty((40, 30), np.float32).T
    scaled = fills.fill_scaled_mask(Generator().manual_seed(8), mask, 0.8, 1.25)
    assert (scaled.T.ravel() == ones.ravel() * np.float32(1.25)).all()


def test_moments():
    gen, n = Generator().manual_seed(0), 200_000
    tolerance = 5 / n**0.5
    normal = fills.fill_normal(gen, np.empty(n), 1.0, 2.0)
    assert abs(normal.mean() - 1) < 2 * tolerance and abs(normal.std() - 2) < 2 * tolerance
    uniform = fills.fill_uniform(gen, np.empty(n, np.float32), 2.0, 4.0)
    assert abs(uniform.mean() - 3) < tolerance and uniform.min() >= 2 and uniform.max() < 4
    assert abs(fills.fill_exponential(gen, np.empty(n), 4.0).mean() - 0.25) < tolerance
    assert abs(fills.fill_geometric(gen, np.empty(n), 0.25).mean() - 4) < 4 * tolerance
    assert abs(np.median(fills.fill_cauchy(gen, np.empty(n), 3.0, 2.0)) - 3) < 6 * tolerance
