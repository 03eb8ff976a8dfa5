"""How `LinearCrossEntropyLoss` may split its work."""

__all__ = ["LinearCrossEntropyOptions"]

_FIELDS = ("allow_retain_graph", "batch_chunk_size", "chunking_method", "acc_policy",
           "acc_dtype")


class LinearCrossEntropyOptions:
    """Settings for computing the loss in pieces of the batch; they change memory, not results.

    Args:
        allow_retain_graph: allow `backward` more than once.
        batch_chunk_size: samples a piece.
        chunking_method: a rule that chooses it.
        acc_policy: 'accurate', 'balanced', 'compact' or 'auto'.
        acc_dtype: the dtype sums are kept in.
    """

    __slots__ = _FIELDS
    __match_args__ = _FIELDS

    def __init__(self, allow_retain_graph=False, batch_chunk_size=None, chunking_method="auto",
                 acc_policy="auto", acc_dtype=None):
        given = (allow_retain_graph, batch_chunk_size, chunking_method, acc_policy, acc_dtype)
        for name, value in zip(_FIELDS, given):
            object.__setattr__(self, name, value)

    def _values(self):
        return tuple(getattr(self, name) for name in _FIELDS)

    def __setattr__(self, name, value):
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name):
        raise AttributeError(f"cannot delete field {name!r}")

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self):
        return hash(self._values())

    def __reduce__(self):
        return type(self), self._values()

    def __repr__(self):
        shown = ", ".join(f"{n}={v!r}" for n, v in zip(_FIELDS, self._values()))
        return f"LinearCrossEntropyOptions({shown})"
