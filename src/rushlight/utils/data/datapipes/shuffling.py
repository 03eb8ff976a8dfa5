"""What pipes that shuffle share: a switch, and the seed of each iteration."""

import random

import rushlight as torch


class Shuffling:
    """Mixin: `_rng` is seeded for an iteration by `_seed_now`, unless shuffling is off."""

    def _switch_on(self):
        self._enabled, self._seed, self._rng = True, None, random.Random()

    def set_shuffle(self, shuffle=True):
        """Switch shuffling on or off; returns the pipe."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed):
        """Set the seed of the next iteration; returns the pipe."""
        self._seed = seed
        return self

    def _seed_now(self):
        if self._seed is None:
            self._seed = int(torch.empty((), dtype=torch.int64).random_().item())
        self._rng.seed(self._seed)
        self._seed = None
