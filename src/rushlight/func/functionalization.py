"""``functionalize``: a function without changes in place of what it was given."""

import functools

from ..tensor.tensor import Tensor
from .trees import tree_map


def functionalize(func, *, remove="mutations"):
    """A function with the results and effects of `func` whose body changes only memory of its own.

    The tensors that come in are copied, `func` runs on the copies, and what it changed is copied back at the end.
    remove: ``'mutations'``, or ``'mutations_and_views'``, which also gives outputs that are no views of the inputs.
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError("functionalize(f, remove='mutations'): received invalid argument for remove=. Valid options "
                           f"are: remove='mutations', remove='mutations_and_views'. Got: remove={remove}")

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        pairs, copies = [], {}

        def own(x):
            if not isinstance(x, Tensor):
                return x
            if id(x) not in copies:
                c = copies[id(x)] = x.clone()
                pairs.append((x, c, c._storage.version))
            return copies[id(x)]
        result = func(*tree_map(own, args), **tree_map(own, kwargs))
        for x, c, version in pairs:
            if c._storage.version != version:
                x.copy_(c)
        originals = {id(c): x for x, c, _ in pairs}

        def out(y):
            if not isinstance(y, Tensor):
                return y
            y = originals.get(id(y), y)
            return y.clone() if remove == "mutations_and_views" and y._view is not None else y
        return tree_map(out, result)
    return wrapped
