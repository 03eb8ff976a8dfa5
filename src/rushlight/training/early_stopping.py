"""Stopping when a watched value no longer falls, and going back to the best model."""

import copy
import math


class EarlyStopping:
    """Watches a value that should fall, such as the validation loss.

    Args:
        patience: how many checks in a row may pass without a new best (an int, at least 1).
        min_delta: by how much a new best must be lower (0 or more).

    `best` is the lowest value so far and `best_state` the model's state dict then.
    """

    def __init__(self, patience, min_delta=0.0):
        if not isinstance(patience, int) or patience < 1:
            raise ValueError(f"patience should be a positive integer, but got patience={patience}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta should be at least 0 and finite, but got {min_delta}")
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf
        self.best_check = None
        self.best_state = None
        self.checks = 0

    def update(self, value, model):
        """Take in the next value; True when training should stop. NaN counts as no improvement."""
        self.checks += 1
        if value < self.best - self.min_delta:
            self.best, self.best_check = value, self.checks
            self.best_state = copy.deepcopy(model.state_dict())
        since_best = self.checks - (self.best_check or 0)
        return since_best >= self.patience

    def restore(self, model):
        """Give `model` its best state back, if there is one."""
        if self.best_state is not None:
            model.load_state_dict(self.best_state)
