"""The operators by name, as forms call them: compiled to nodes, run by the op table, recorded while tracing."""

from ..annotations import BroadcastingList


class _Operators:
    """``aten.name(...)``."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args, **kwargs):
            from .. import kernels, words
            if words.is_tracing() and not words._active[-1].busy:
                return words._active[-1].quietly(words._active[-1].call_operator, name, args, kwargs)
            return kernels.tensor_function(f"aten::{name}")(*args, **kwargs)
        return call


aten = _Operators()

# Lists of a length, or one number that is repeated.
BroadcastingList1, BroadcastingList2, BroadcastingList3 = map(BroadcastingList, (1, 2, 3))
