"""Python functions called for every element, in place: slow, for what no op does."""

from .inplace import check
from .registry import public


def _own(t, name):
    if t.requires_grad:
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    check(t)


def _assign(t, values):
    from .registry import function
    flat = function("tensor")(values, dtype=t.dtype)
    return t.copy_(flat.reshape(t.shape))


@public("apply_", namespaces=())
def apply_(input, callable):
    """Replace every element ``v`` by ``callable(v)``."""
    _own(input, "apply_")
    return _assign(input, [callable(v) for v in input.reshape(-1).tolist()])


@public("map_", namespaces=())
def map_(input, tensor, callable):
    """Replace every element ``v`` by ``callable(v, w)``, w being that of `tensor`, which broadcasts."""
    _own(input, "map_")
    others = tensor.expand(input.shape).reshape(-1).tolist()
    return _assign(input, [callable(v, w) for v, w in zip(input.reshape(-1).tolist(), others)])


@public("map2_", namespaces=())
def map2_(input, x, y, callable):
    """Replace every element ``v`` by ``callable(v, w, u)``, w and u being those of `x` and `y`, which broadcast."""
    _own(input, "map2_")
    others = [t.expand(input.shape).reshape(-1).tolist() for t in (x, y)]
    return _assign(input, [callable(v, *ws) for v, *ws in zip(input.reshape(-1).tolist(), *others)])
