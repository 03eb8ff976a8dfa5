"""The words that a generator starts from, however often it is seeded."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.random import _FEW_SEEDS, _seeded_words


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31, 2**32 - 1, 2**40 + 3, -7])
def test_every_seeding_gives_the_words_of_the_recurrence(seed):
    g = torch.Generator()
    want = _seeded_words(seed & 0xFFFFFFFF)
    for _ in range(_FEW_SEEDS + 2):
        torch.rand(700, generator=g)
        g.manual_seed(seed)
        words = g.get_state().numpy()[24:24 + 8 * 624].view(np.uint64)
        assert words.tolist() == want
    first = torch.rand(3, generator=g)
    assert torch.equal(first, torch.rand(3, generator=torch.Generator().manual_seed(seed)))
