"""The engine against NumPy's mt19937, and the generator's seeding and state."""

import struct

import numpy as np
import pytest

from rushlight.random import DEFAULT_SEED, RNG_STATE_BYTES, Generator
from rushlight.randomness import fills
from rushlight.randomness.kernels import kernel


def words(gen, n):
    out = np.empty(n, np.uint32)
    kernel("words")(gen._bytes, out, n, 0.0, 0.0)
    return out


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**32 - 1])
@pytest.mark.parametrize(
    "cuts", [[2000], [1, 622, 1, 1, 1375], [624, 624, 752], [623, 2, 1375], [0, 5, 0, 1995]]
)
def test_words_are_mt19937(seed, cuts):
    gen = Generator().manual_seed(seed)
    drawn = np.concatenate([words(gen, n) for n in cuts])
    expected = np.random.RandomState(seed).randint(0, 2**32, 2000, dtype=np.uint32)
    assert (drawn == expected).all()


def test_default_seed_and_seed():
    gen = Generator()
    assert gen.initial_seed() == DEFAULT_SEED
    assert gen.seed() == gen.initial_seed()
    assert Generator().seed() != gen.initial_seed()


@pytest.mark.parametrize(
    "seed, stored", [(-1, 2**64 - 1), (-(2**63), 2**63), (2**64 - 1, 2**64 - 1), (5, 5)]
)
def test_seed_wraps(seed, stored):
    assert Generator().manual_seed(seed).initial_seed() == stored


@pytest.mark.parametrize(
    "seed, error",
    [
        (2**64, ValueError),
        (-(2**63) - 1, ValueError),
        (1.5, RuntimeError),
        ("a", RuntimeError),
        (True, RuntimeError),
    ],
)
def test_bad_seeds(seed, error):
    with pytest.raises(error):
        Generator().manual_seed(seed)


def test_state_layout():
    gen = Generator().manual_seed(5)
    state = gen.state_bytes()
    assert state.shape == (RNG_STATE_BYTES,) == (5056,) and state.dtype == np.uint8
    assert struct.unpack_from("<QiiQ", state.tobytes()) == (5, 1, 1, 0)
    assert struct.unpack_from("<Q", state.tobytes(), 24) == (5,)
    words(gen, 1)
    assert struct.unpack_from("<QiiQ", gen.state_bytes().tobytes()) == (5, 624, 1, 1)
    words(gen, 623)
    assert struct.unpack_from("<QiiQ", gen.state_bytes().tobytes()) == (5, 1, 1, 624)


@pytest.mark.parametrize("before", [0, 1, 7, 624, 1000])
def test_state_round_trip_keeps_half_pairs(before):
    gen = Generator().manual_seed(3)
    fills.fill_normal(gen, np.empty(3))  # leaves the second normal of a pair behind
    words(gen, before)
    other = Generator()
    other.set_state_bytes(gen.state_bytes())
    for make in (lambda g: fills.fill_normal(g, np.empty(5)), lambda g: words(g, 1300)):
        assert (make(gen) == make(other)).all()
    assert other.initial_seed() == 3


def test_states_that_are_none():
    gen = Generator()
    for size in (12, 5048):
        with pytest.raises(RuntimeError, match="5056"):
            gen.set_state_bytes(np.zeros(size, np.uint8))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        gen.set_state_bytes(np.zeros(RNG_STATE_BYTES, np.uint8))
    beyond = gen.state_bytes()
    beyond[8:12].view(np.int32)[0], beyond[16:24].view(np.int64)[0] = 600, 30
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        gen.set_state_bytes(beyond)


def test_clone_is_independent():
    gen = Generator().manual_seed(3)
    words(gen, 10)
    clone = gen.clone_state()
    first = words(gen, 50)
    assert (words(clone, 50) == first).all()


def test_pickle_and_copy():
    import copy
    import pickle

    gen = Generator().manual_seed(9)
    words(gen, 700)
    twins = [pickle.loads(pickle.dumps(gen)), copy.deepcopy(gen)]
    expected = words(gen, 30)
    for twin in twins:
        assert (words(twin, 30) == expected).all()
