"""How nested tensors are kept: a batch of tensors of one dtype and rank whose sizes differ.

`Nested` holds the elements of all components in one dense tensor: flat one after the other in the strided layout,
joined along the ragged dimension in the jagged one, where `offsets` tell where each component begins (and `lengths` how
much of it counts, where components do not follow each other without gaps).
"""

import numpy as np

import rushlight as torch
from rushlight import devices
from rushlight.tensor.parts import Parts, closed, opened, refused

OPS = {}                    # key of a record -> handler over the record's arguments


def handles(*keys):
    """Decorator: the function runs the records of these names on nested arguments."""
    def deco(fn):
        for key in keys:
            OPS[key] = fn
        return fn
    return deco


class Ragged(int):
    """The size of a dimension in which components differ; equal only to itself, printed as ``j1``."""

    _count = 0

    def __new__(cls, number=None):
        if number is None:
            number = Ragged._count = Ragged._count + 1
        self = int.__new__(cls, (1 << 60) + number)
        self.name = f"j{number}"
        return self

    def __repr__(self):
        return self.name

    __str__ = __repr__


class IrregularShape(tuple):
    """The shape of a strided nested tensor: it has regular sizes to give only."""

    __slots__ = ()

    def __iter__(self):
        raise RuntimeError("Internal error: NestedTensorImpl doesn't support sizes. Please file an issue.")

    def __getitem__(self, i):
        found = tuple.__getitem__(self, i)
        if type(found) is Ragged:
            raise RuntimeError(f"Given dimension {i} is irregular and does not have a size.")
        return found


_symbols = {}               # id of an offsets tensor -> (it, symbol)


def symbol_of(offsets):
    """The ragged size that goes with an offsets tensor: tensors that share it agree in sizes."""
    found = _symbols.get(id(offsets))
    if found is None:
        if len(_symbols) > 512:
            _symbols.clear()
        found = _symbols[id(offsets)] = (offsets, Ragged())
    return found[1]


class Nested(Parts):
    """Components in the place of an array."""

    __slots__ = ("layout", "values", "sizes", "offsets", "lengths", "ragged", "_irregular")
    nested = True
    kind = "Nested"

    def __init__(self, layout, values, sizes, offsets=None, lengths=None, ragged=1):
        self.layout, self.values, self.sizes = layout, values, tuple(sizes)
        self.offsets, self.lengths, self.ragged = offsets, lengths, ragged
        if layout is devices.jagged:
            inner = list(values._a.shape)
            inner[ragged - 1] = symbol_of(offsets)
            shape = (len(self.sizes), *inner)
        else:
            columns = zip(*self.sizes)
            inner = [c[0] if all(x == c[0] for x in c) else _IRREGULAR for c in columns]
            shape = IrregularShape((len(self.sizes), *inner))
        super().__init__((), values._a.dtype)
        self.shape = shape

    @property
    def backend(self):
        return "NestedTensorCPU"

    @property
    def tensor_class(self):
        """Jagged tensors are of a subclass, as in PyTorch."""
        if self.layout is devices.jagged:
            from .jagged import NestedTensor
            return NestedTensor
        return None

    @property
    def ndim(self):
        return tuple.__len__(self.shape)

    @property
    def size(self):
        return sum(int(np.prod(s, dtype=np.int64)) for s in self.sizes)

    def inner(self):
        return self.values

    def with_inner(self, values):
        return Nested(self.layout, values, self.sizes, self.offsets, self.lengths, self.ragged)

    def embed(self, g):
        return closed(g, self)

    def number(self, t):
        if self.size != 1:
            raise RuntimeError(f"a Tensor with {self.size} elements cannot be converted to Scalar")
        return self.values.item()

    def nested_list(self, t):
        raise RuntimeError(".tolist() is not supported for tensor subclasses, got NestedTensor")

    def fill_all(self, t, value):
        t._a = self.with_inner(torch.full_like(self.values, value))

    def is_contiguous(self):
        """Whether components follow each other in row-major order."""
        return self.ragged == 1 and self.lengths is None

    def reshaped(self, t, shape):
        """``t.reshape(shape)``."""
        from . import ops
        return ops.reshaped(t, shape)

    def attention(self, *args):
        """Scaled dot product attention of nested tensors."""
        from . import ops
        return ops.attention(*args)

    def sliced(self, t, dim, s):
        if dim == 0:
            return bind(components(t)[s], self)
        return apply(lambda x: x[(slice(None),) * (dim - 1) + (s,)], t)

    def text(self, t):
        from .printing import text
        return text(t)

    def takeover(self, rec, args):
        from . import ops
        return ops.run(rec, args, self)


_IRREGULAR = Ragged(0)


def is_nested(x):
    """Whether `x` is a nested tensor."""
    return isinstance(x, torch.Tensor) and isinstance(x._a, Nested)


def components(t):
    """The tensors in `t`, with history."""
    parts = t._a
    values = opened(t)
    if parts.layout is devices.jagged:
        starts = parts.offsets.tolist()
        dim = parts.ragged - 1
        return [values.narrow(dim, starts[i], s[dim]) for i, s in enumerate(parts.sizes)]
    out, at = [], 0
    for s in parts.sizes:
        n = int(np.prod(s, dtype=np.int64))
        out.append(values.narrow(0, at, n).reshape(s))
        at += n
    return out


def offsets_of(lengths):
    """Offsets of components of these lengths that follow each other."""
    return torch.tensor(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def bind(tensors, like=None, layout=None, ragged=None, name="NestedTensorFromTensorListBackward0"):
    """A nested tensor of `tensors`; one that keeps the sizes of `like` shares its offsets."""
    layout = like.layout if layout is None else layout
    sizes = [tuple(x.shape) for x in tensors]
    if layout is not devices.jagged:
        if not tensors:
            return closed(torch.empty(0), Nested(layout, torch.empty(0), ()))
        values = torch.cat([x.reshape(-1) for x in tensors])
        return closed(values, Nested(layout, values.detach(), sizes), name)
    ragged = ragged or (like.ragged if like is not None else 1)
    lengths = [s[ragged - 1] for s in sizes]
    values = torch.cat(list(tensors), ragged - 1)
    offsets = None
    if like is not None and like.lengths is None and like.layout is layout and \
            [s[like.ragged - 1] for s in like.sizes] == lengths:
        offsets = like.offsets
    if offsets is None:
        offsets = offsets_of(lengths)
    return closed(values, Nested(layout, values.detach(), sizes, offsets, None, ragged), name)


def apply(fn, *tensors, name="NestedBackward0"):
    """`fn` on corresponding components (other arguments as they are), bound again like the first nested one."""
    lists = [components(x) if is_nested(x) else None for x in tensors]
    first = next(x for x in tensors if is_nested(x))
    found = [fn(*[x if ys is None else ys[i] for x, ys in zip(tensors, lists)]) for i in range(len(first._a.sizes))]
    return bind(found, first._a, name=name)


__all__ = ["OPS", "Nested", "apply", "bind", "closed", "components", "handles", "is_nested", "offsets_of", "opened",
           "refused", "symbol_of"]
