"""``*_copy``: the view ops' results as tensors of their own memory."""

from .registry import FUNCTIONS, METHODS, public


def _copying(name, base):
    def fn(input, *args, **kwargs):
        r = base(input, *args, **kwargs)
        if isinstance(r, (tuple, list)):
            return tuple(x.clone(memory_format=_contiguous()) for x in r)
        return r.clone(memory_format=_contiguous())
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"The result of the view op ``{name[:-5]}``, copied."
    public(name, method=name == "narrow_copy", out=True)(fn)


def _contiguous():
    from ..devices import contiguous_format
    return contiguous_format


for _name in ("permute", "select", "split", "split_with_sizes", "unbind", "unsqueeze", "squeeze",
              "transpose", "t", "diagonal", "as_strided", "view_as_real", "view_as_complex", "narrow"):
    _copying(_name + "_copy", FUNCTIONS["torch"][_name])
for _name in ("view", "expand", "unfold"):
    if _name in METHODS:
        _copying(_name + "_copy", METHODS[_name])


@public("alias_copy", method=False, out=True)
def alias_copy(input):
    """A copy, as `clone` in the standard layout makes it."""
    return input.clone(memory_format=_contiguous())


@public("slice_copy", method=False, out=True)
def slice_copy(input, dim=0, start=None, end=None, step=1):
    """A copy of ``input[start:end:step]`` along dimension `dim`."""
    return input[(slice(None),) * (dim % input.dim()) + (slice(start, end, step),)].clone(
        memory_format=_contiguous())


@public("detach_copy", method=False)
def detach_copy(input):
    """A copy without history."""
    return input.detach().clone()
