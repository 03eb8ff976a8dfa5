"""Random numbers inside ``vmap``: refused, drawn for each sample, or drawn once for all."""

from ..autograd.modes import state
from .wrapped import holder_of, value_of

REFUSED = ("vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
            "randomness flags on vmap or perform the randomness operation out of vmap")


def mapping_levels():
    """The active vmaps that want a draw for each sample, outermost first; RuntimeError where one forbids drawing."""
    found = [x for x in state.levels if x.batches]
    for x in found:
        if x.randomness == "error":
            raise RuntimeError(REFUSED)
    return [x for x in found if x.randomness == "different"]


class hidden:
    """Context in which no transform is active."""

    def __enter__(self):
        self.levels, state.levels = state.levels, ()

    def __exit__(self, *exc):
        state.levels = self.levels


def drawn(draw, shape):
    """What ``draw(shape)`` gives, with the batches of active vmaps drawn in the same call."""
    levels = mapping_levels()
    with hidden():
        t = draw((*[x.size for x in levels], *shape))
    for x in levels:
        t = x.wrap(t)
    return t


def drawn_each(draw):
    """What ``draw()`` gives, called once for every sample of active vmaps."""
    levels = mapping_levels()
    n = 1
    for x in levels:
        n *= x.size
    with hidden():
        if not levels:
            return draw()
        from ..ops.registry import function
        t = function("stack")([draw() for _ in range(n)])
        t = t.reshape([x.size for x in levels] + list(t.shape[1:]))
    for x in levels:
        t = x.wrap(t)
    return t


def spread(*tensors):
    """The tensors, those that are the same for all samples as batches where each sample wants a draw of its own."""
    out = []
    for t in tensors:
        for x in mapping_levels():
            if not _batched_on(t, x):
                t = x.fresh(t)
        out.append(t)
    return out[0] if len(out) == 1 else out


def _batched_on(t, level):
    h = holder_of(t)
    while h is not None:
        if h.level is level:
            return True
        h = holder_of(h.value)
    return False


def fill(t, again):
    """An in-place draw: ``again(x)`` fills tensor `x`."""
    levels = mapping_levels()
    h = holder_of(t)
    if h is None:
        if levels:
            raise RuntimeError(
                "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
                "randomness. If this is necessary for your usage, please file an issue with functorch.")
        with hidden():
            again(t)
        return t
    level = h.level
    if not level.batches or level in levels:
        value = value_of(t)
        if holder_of(value) is None:
            with hidden():
                again(value)
        else:
            fill(value, again)
        tangent = level.tangent_of(t) if hasattr(level, "tangent_of") else None
        if tangent is not None:
            tangent.zero_()
    else:
        from ..ops.registry import function
        with hidden():
            one = again(function("empty")(t._a.shape, dtype=t.dtype))
        value_of(t).copy_(one)
    t._storage.version += 1
    return t


def multinomial(x, n, replacement, generator):
    """``torch.multinomial`` where a transform is active: rows of all batches are drawn in one call."""
    from ..ops.registry import function
    call = function("multinomial")
    levels = mapping_levels()
    h = holder_of(x)
    if h is None:
        if not levels:
            with hidden():
                return call(x, n, replacement, generator=generator)
        return multinomial(spread(x), n, replacement, generator)
    value = value_of(x).detach()
    if not h.level.batches:
        return multinomial(value, n, replacement, generator)
    rows = value.reshape(-1, value.shape[-1])
    if h.level in levels:
        with hidden():
            out = call(rows, n, replacement, generator=generator)
    else:
        raise NotImplementedError("multinomial of batched weights with randomness='same'")
    return h.level.wrap(out.reshape(*value.shape[:-1], n))
