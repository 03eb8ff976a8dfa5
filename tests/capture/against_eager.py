"""The same loop eager and compiled: ``case`` collects loops, which take a decorator and return what they saw."""

import math

import rushlight as torch


def batch(i, *shape):
    """Normal numbers, others for each i: 3 by 4 unless a shape is given."""
    return torch.randn(*(shape or (3, 4)), generator=torch.Generator().manual_seed(i))


def leaves(x):
    """What there is to compare in results, as plain values in one order."""
    if isinstance(x, torch.Tensor):
        values = x.detach().tolist() if x.is_complex() else x.detach().double().flatten().tolist()
        yield "tensor", tuple(x.shape), str(x.dtype), x.stride(), x.requires_grad
        yield values
    elif isinstance(x, dict):
        yield type(x).__name__, tuple(x)
        for y in x.values():
            yield from leaves(y)
    elif isinstance(x, (list, tuple)):
        yield type(x).__name__, len(x)
        for y in x:
            yield from leaves(y)
    else:
        yield repr(x) if not isinstance(x, float) else [x]


def close(a, b):
    """Equal; floats but for rounding, since fused sums add in another order."""
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(x == y or x != x and y != y or isinstance(x, float)
                                        and math.isclose(x, y, rel_tol=4e-6, abs_tol=2e-6)
                                        for x, y in zip(a, b, strict=True))
    return a == b


def programs(f):
    """How many programs a compiled function has."""
    return sum(map(len, getattr(f, "_compiled", f).entries.values()))


def compare(loop):
    """Run `loop` eager and compiled; the compiled functions, once all that it saw is the same."""
    made = []

    def compiled(f):
        made.append(torch.compile(f))
        return made[-1]
    want = list(leaves(loop(lambda f: f)))
    got = list(leaves(loop(compiled)))
    assert len(want) == len(got), (len(want), len(got))
    for i, (a, b) in enumerate(zip(want, got, strict=True)):
        assert close(a, b), (i, a, b)
    return made
