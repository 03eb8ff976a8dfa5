"""Shapes and strides: broadcasting, view feasibility, contiguity, result layouts.

Strides count elements here, as PyTorch's do; arrays' byte strides appear only where arrays are made.
"""


class Size(tuple):
    """The shape of a tensor: a tuple of ints that prints as ``torch.Size([...])``."""

    __slots__ = ()

    def __repr__(self):
        return "torch.Size([" + ", ".join(map(str, self)) + "])"

    def numel(self):
        """Number of elements: the product of the sizes."""
        n = 1
        for s in self:
            n *= s
        return n

    def __getitem__(self, i):
        r = tuple.__getitem__(self, i)
        return Size(r) if type(r) is tuple else r

    def __add__(self, other):
        r = tuple.__add__(self, other)
        return Size(r)

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __reduce__(self):
        return _size, (tuple(self),)


Size.__module__ = "torch"


def _size(shape):
    """A Size, for unpickling: the class itself goes by PyTorch's module name."""
    return Size(shape)


def numel(shape):
    """The number of elements: the product of the sizes."""
    n = 1
    for s in shape:
        n *= s
    return n


def contiguous_strides(shape):
    """Row-major strides; a size of zero counts as one, as PyTorch has it."""
    out = [1] * len(shape)
    acc = 1
    for i in range(len(shape) - 1, -1, -1):
        out[i] = acc
        s = shape[i]
        if s > 1:
            acc *= s
    return tuple(out)


def channels_last_strides(shape):
    """NHWC (4 dims) or NDHWC (5 dims) strides for a logical NCHW or NCDHW shape."""
    order = [1, *range(len(shape) - 1, 1, -1), 0]
    strides = [0] * len(shape)
    acc = 1
    for d in order:
        strides[d] = acc
        acc *= max(shape[d], 1)
    return tuple(strides)


def is_contiguous(shape, strides):
    """Whether elements follow each other in C order; steps of dimensions of size 1 don't matter."""
    acc = 1
    for i in range(len(shape) - 1, -1, -1):
        s = shape[i]
        if s == 0:
            return True
        if s != 1:
            if strides[i] != acc:
                if 0 in shape:
                    return True
                return False
            acc *= s
    return True


def is_channels_last(shape, strides):
    """Whether strides are exactly channels-last for 4 or 5 dimensions."""
    n = len(shape)
    if n not in (4, 5):
        return False
    acc = 1
    for d in [1, *range(n - 1, 1, -1), 0]:
        if shape[d] != 1:
            if strides[d] != acc:
                return False
            acc *= shape[d]
    return True


def suggest_channels_last(shape, strides):
    """Whether PyTorch would treat these strides as channels-last when it derives a new layout."""
    n = len(shape)
    if n not in (4, 5) or strides[1] == 0:
        return False
    low = 0
    for d in [1, *range(n - 1, 1, -1), 0]:
        if shape[d] == 0 or strides[d] < low:
            return False
        if d == 0 and low == strides[1]:
            return False
        low = strides[d]
        if shape[d] > 1:
            low *= shape[d]
    return True


def is_dense(shape, strides):
    """Non-overlapping and dense: some permutation of the dimensions is contiguous."""
    if is_contiguous(shape, strides):
        return True
    dims = sorted((i for i in range(len(shape)) if shape[i] != 1), key=lambda i: strides[i])
    acc = 1
    for d in dims:
        if shape[d] == 0:
            return True
        if strides[d] != acc:
            return False
        acc *= shape[d]
    return True


def broadcast_shapes(*shapes):
    """The common shape; RuntimeError worded as PyTorch's where there is none, of the last dimension that differs."""
    n = 0
    for s in shapes:
        if len(s) > n:
            n = len(s)
    out = [1] * n
    for s in shapes:
        off = n - len(s)
        for i in range(len(s) - 1, -1, -1):
            v, o = s[i], out[off + i]
            if v != o:
                if o == 1:
                    out[off + i] = v
                elif v != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({o}) must match the size of tensor b ({v}) at "
                        f"non-singleton dimension {off + i}")
    return tuple(out)


def can_expand(shape, to):
    """Whether `shape` broadcasts to exactly `to`."""
    if len(shape) > len(to):
        return False
    off = len(to) - len(shape)
    return all(s == 1 or s == to[off + i] for i, s in enumerate(shape))


def wrap_dim(dim, ndim, *, scalar_ok=True):
    """A dimension in [-ndim, ndim) as a non-negative one; IndexError outside."""
    n = ndim
    if n == 0:
        if not scalar_ok:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        n = 1
    if -n <= dim < n:
        return dim + n if dim < 0 else int(dim)
    raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], "
                     f"but got {dim})")


def wrap_dims(dims, ndim):
    """Several dimensions, wrapped; RuntimeError when one appears twice."""
    out = tuple(wrap_dim(d, ndim) for d in dims)
    if len(set(out)) != len(out):
        for d in out:
            if out.count(d) > 1:
                raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return out


def infer_size(shape, n):
    """`shape` with its -1 replaced so that it holds `n` elements; RuntimeError if impossible."""
    known, hole = 1, None
    for i, s in enumerate(shape):
        if s == -1:
            if hole is not None:
                raise RuntimeError("only one dimension can be inferred")
            hole = i
        elif s < 0:
            raise RuntimeError(f"invalid shape dimension {s}")
        else:
            known *= s
    if hole is None:
        if known == n:
            return tuple(shape)
    elif known == 0:
        if n == 0:
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because "
                               "the unspecified dimension size -1 can be any value and is ambiguous")
    elif n % known == 0:
        return (*shape[:hole], n // known, *shape[hole + 1:])
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")


def view_strides(shape, strides, new_shape):
    """Strides that make `new_shape` a view of the old geometry, or None when only a copy can.

    The old dimensions are grouped into runs that are contiguous among themselves; every run must be
    split exactly by the new sizes.
    """
    if 0 in shape:
        return tuple(strides) if tuple(shape) == tuple(new_shape) else contiguous_strides(new_shape)
    if not shape:
        return (1,) * len(new_shape)
    out = [0] * len(new_shape)
    k = len(new_shape) - 1
    chunk_base = strides[-1]
    tensor_n = view_n = 1
    for i in range(len(shape) - 1, -1, -1):
        tensor_n *= shape[i]
        if i == 0 or (shape[i - 1] != 1 and strides[i - 1] != tensor_n * chunk_base):
            while k >= 0 and (view_n < tensor_n or new_shape[k] == 1):
                out[k] = view_n * chunk_base
                view_n *= new_shape[k]
                k -= 1
            if view_n != tensor_n:
                return None
            if i > 0:
                chunk_base = strides[i - 1]
                tensor_n = view_n = 1
    return tuple(out) if k == -1 else None


def permuted_strides(shape, *operand_strides):
    """Dense strides in the dimension order that the operands' strides suggest (TensorIterator's).

    The first operand that tells two dimensions apart decides; broadcast (zero) strides are ambiguous.
    """
    n = len(shape)
    if n < 2:
        return contiguous_strides(shape)
    order = list(range(n - 1, -1, -1))

    def swap(a, b):
        for st in operand_strides:
            x, y = st[a], st[b]
            if x == 0 or y == 0:
                continue
            if x < y:
                return -1
            if x > y:
                return 1
            if shape[a] > shape[b]:
                return 1
        return 0

    for i in range(1, n):
        d1 = i
        for d0 in range(i - 1, -1, -1):
            c = swap(order[d0], order[d1])
            if c > 0:
                order[d0], order[d1] = order[d1], order[d0]
                d1 = d0
            elif c < 0:
                break
    out = [0] * n
    acc = 1
    for d in order:
        out[d] = acc
        acc *= max(shape[d], 1)
    return tuple(out)


def storage_extent(shape, strides, offset=0):
    """Number of elements a storage must have for this geometry (0 for an empty one)."""
    if 0 in shape:
        return 0
    return offset + 1 + sum((s - 1) * t for s, t in zip(shape, strides))


def has_overlap(shape, strides):
    """Whether two indices may address one element (certain for zero strides; exact up to nesting)."""
    dims = sorted((t, s) for s, t in zip(shape, strides) if s > 1)
    reach = 0
    for t, s in dims:
        if t <= reach:
            return True
        reach += t * (s - 1)
    return False
