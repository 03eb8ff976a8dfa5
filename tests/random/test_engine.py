"""The engine against NumPy's mt19937, and the generator's seeding and state."""

import struct

import numpy as np
import pytest

from rushlight.random import DEFAULT_SEED, RNG_STATE_BYTES, Generator
from rushlight.randomness import fills
from rushlight.randomness.engine import BUSY
from rushlight.randomness.kernels import LONG, kernel


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


def test_threads_share_a_generator_draw_by_draw():
    """Long draws run without the interpreter lock, yet no word is drawn twice or torn."""
    import threading

    gen, n, drawn = Generator().manual_seed(4), LONG + 4, []

    def run(size):
        for _ in range(3):
            drawn.append(words(gen, size))

    threads = [threading.Thread(target=run, args=(size,)) for size in (n, n, 100, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(piece.size for piece in drawn)
    stream = np.random.RandomState(4).randint(0, 2**32, total, dtype=np.uint32)
    pairs = stream.view(np.uint64).tolist()  # each piece begins at an even place
    starts = {pair: 2 * place for place, pair in enumerate(pairs)}
    taken = np.zeros(total, bool)
    for piece in drawn:
        place = starts[int(piece[:2].view(np.uint64)[0])]
        assert (stream[place : place + piece.size] == piece).all()
        taken[place : place + piece.size] = True
    assert taken.all()


def test_a_forked_child_draws():
    import os
    import signal

    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    from rushlight.random import default_generator

    words(default_generator, 3)
    default_generator._bytes[BUSY] = 1  # as if another thread drew at the moment of forking
    child = os.fork()
    default_generator._bytes[BUSY] = 0 if child else default_generator._bytes[BUSY]
    if not child:
        signal.alarm(20)  # ends a child that waits for a thread it hasn't got
        os._exit(0 if words(default_generator, 5).size == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
