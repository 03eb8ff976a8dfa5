"""Probabilities that are given by themselves or as logits."""

from .utils import lazy_property, logits_to_probs, probs_to_logits


class Odds:
    """A distribution with `probs` or `logits`; the one that was not given is computed when first asked for.

    Binary logits are log(p / (1 - p)); those of several categories log p, normalized.
    """

    _binary = True

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, is_binary=self._binary)

    @lazy_property
    def probs(self):
        return logits_to_probs(self.logits, is_binary=self._binary)

    @property
    def _param(self):
        """The tensor that was given."""
        return self.__dict__["probs" if "probs" in self.__dict__ else "logits"]

    @property
    def param_shape(self):
        """The shape of `probs` and `logits`."""
        return self._param.size()

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)
