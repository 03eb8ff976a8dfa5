"""Contractions and other products: einsum, tensordot, kron, inner, outer, cross, trace, chains."""

from math import prod

import numpy as np

from .. import dtypes
from ..tensor.geometry import broadcast_shapes, wrap_dim
from ..tensor.tensor import Tensor
from .dispatch import primitive
from .matmul import _nn, mm
from .out import with_out
from .registry import alias, public
from .slicing import _diagonal

# ---------------------------------------------------------------- einsum

def _parse(equation, count):
    """Labels of every operand (a list of ints; negative ones are ellipsis dims' places) and output."""
    arrow = equation.find("->")
    left = equation if arrow < 0 else equation[:arrow]
    operands, cur, i = [], [], 0
    while i < len(left):
        ch = left[i]
        if ch == " ":
            pass
        elif ch == ".":
            if left[i:i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' for operand {len(operands)} that is not part "
                                   "of any ellipsis")
            if Ellipsis in cur:
                raise RuntimeError(f"einsum(): found '.' for operand {len(operands)} for which an "
                                   "ellipsis was already found")
            cur.append(Ellipsis)
            i += 2
        elif ch == ",":
            operands.append(cur)
            cur = []
            if len(operands) >= count:
                raise RuntimeError("einsum(): fewer operands were provided than specified in the "
                                   "equation")
        elif ch.isascii() and ch.isalpha():
            cur.append(ch)
        else:
            raise RuntimeError(f"einsum(): invalid subscript given at index {i} in the equation string, "
                               "subscripts must be in [a-zA-Z]")
        i += 1
    operands.append(cur)
    if len(operands) < count:
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    if arrow < 0:
        return operands, None
    out, i, right = [], 0, equation[arrow + 2:]
    while i < len(right):
        ch = right[i]
        if ch == " ":
            pass
        elif ch == ".":
            if right[i:i + 3] != "...":
                raise RuntimeError("einsum(): found '.' for output that is not part of any ellipsis")
            if Ellipsis in out:
                raise RuntimeError("einsum(): found '.' for output but an ellipsis (...) was already "
                                   "found")
            out.append(Ellipsis)
            i += 2
        elif ch.isascii() and ch.isalpha():
            if ch in out:
                raise RuntimeError(f"einsum(): output subscript {ch} appears more than once in the "
                                   "output")
            out.append(ch)
        else:
            raise RuntimeError(f"einsum(): invalid subscript given at index {arrow + 2 + i} in the "
                               "equation string, subscripts must be in [a-zA-Z]")
        i += 1
    return operands, out


def _from_lists(args):
    """``einsum(a, [0, 1], b, [1, 2], [0, 2])`` as operands, labels and output labels."""
    def label(x):
        if x is Ellipsis:
            return x
        if not 0 <= x < 52:
            raise ValueError("einsum(): subscript in subscript list is not within the valid range "
                             "[0, 52)")
        return chr(ord("A") + x) if x < 26 else chr(ord("a") + x - 26)
    args = list(args)
    out = [label(x) for x in args.pop()] if len(args) % 2 else None
    return args[::2], [[label(x) for x in labels] for labels in args[1::2]], out


def _expand_labels(operands, labels, out):
    """Ellipses replaced by numbered labels, from the right; returns labels and output labels."""
    widest = 0
    result = []
    for k, (t, ls) in enumerate(zip(operands, labels)):
        n = t._a.ndim
        named = [x for x in ls if x is not Ellipsis]
        if Ellipsis in ls:
            extra = n - len(named)
            if extra < 0:
                raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(named)}) "
                                   f"is more than the number of dimensions ({n}) for operand {k}")
            widest = max(widest, extra)
            at = ls.index(Ellipsis)
            ls = [*ls[:at], *range(-extra, 0), *ls[at + 1:]]
        elif len(named) != n:
            more = "more than" if len(named) > n else "does not match"
            if len(named) > n:
                raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(named)}) "
                                   f"is {more} the number of dimensions ({n}) for operand {k}")
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(named)}) does "
                               f"not match the number of dimensions ({n}) for operand {k} and no "
                               "ellipsis was given")
        result.append(ls)
    hidden = list(range(-widest, 0))
    if out is None:
        flat = [x for ls in result for x in ls]
        out = hidden + sorted({x for x in flat if isinstance(x, str) and flat.count(x) == 1})
    else:
        seen = {x for ls in result for x in ls}
        for x in out:
            if x is not Ellipsis and x not in seen:
                raise RuntimeError(f"einsum(): output subscript {x} does not appear in the equation for "
                                   "any input operand")
        if Ellipsis in out:
            at = out.index(Ellipsis)
            out = [*out[:at], *hidden, *out[at + 1:]]
    return result, out


def _take_diagonals(t, labels, k):
    """`t` with repeated labels merged into diagonals."""
    labels = list(labels)
    i = 0
    while i < len(labels):
        j = next((j for j in range(i + 1, len(labels)) if labels[j] == labels[i]), None)
        if j is None:
            i += 1
            continue
        a, b = t._a.shape[i], t._a.shape[j]
        if a != b:
            raise RuntimeError(f"einsum(): subscript {labels[i]} is repeated for operand {k} but the "
                               f"sizes don't match, {b} != {a}")
        t = _diagonal(t, 0, i, j).movedim(-1, i)
        del labels[j]
    return t, labels


def _sum_out(t, labels, keep):
    dims = [i for i, x in enumerate(labels) if x not in keep]
    if dims:
        t = t.sum(dims)
        labels = [x for x in labels if x in keep]
    return t, labels


def _contract(a, la, b, lb, keep):
    """The product of two operands, summed over the labels not in `keep`."""
    sizes_a, sizes_b = dict(zip(la, a._a.shape)), dict(zip(lb, b._a.shape))
    for x in [x for x in la if x in sizes_b and sizes_a[x] != sizes_b[x]]:
        # One of the two has size 1 and broadcasts.
        if sizes_a[x] == 1:
            a = a.squeeze(la.index(x))
            la = [y for y in la if y != x]
        else:
            b = b.squeeze(lb.index(x))
            lb = [y for y in lb if y != x]
    a, la = _sum_out(a, la, {*keep, *lb})
    b, lb = _sum_out(b, lb, {*keep, *la})
    both = [x for x in la if x in lb]
    batch = [x for x in both if x in keep]
    summed = [x for x in both if x not in keep]
    only_a = [x for x in la if x not in lb]
    only_b = [x for x in lb if x not in la]
    if not summed:
        out = batch + only_a + only_b
        a = a.permute([la.index(x) for x in batch + only_a])
        b = b.permute([lb.index(x) for x in batch + only_b])
        a = a.reshape((*a._a.shape, *(1,) * len(only_b)))
        b = b.reshape((*b._a.shape[:len(batch)], *(1,) * len(only_a), *b._a.shape[len(batch):]))
        return a * b, out
    size = {**dict(zip(la, a._a.shape)), **dict(zip(lb, b._a.shape))}
    m, k, n, c = (_count(size, xs) for xs in (only_a, summed, only_b, batch))
    a = a.permute([la.index(x) for x in batch + only_a + summed])
    b = b.permute([lb.index(x) for x in batch + summed + only_b])
    if batch:
        r = _nn(a.reshape(c, m, k), b.reshape(c, k, n))
    else:
        r = mm(a.reshape(m, k), b.reshape(k, n))
    return r.view([size[x] for x in batch + only_a + only_b]), batch + only_a + only_b


class _Pair:
    """How two operands without repeated labels become one product of batches of matrices."""

    __slots__ = ("left", "right", "single", "groups", "shared", "order")

    def __init__(self, la, lb, out):
        both = [x for x in la if x in lb]
        batch = [x for x in both if x in out]
        summed = [x for x in both if x not in out]
        only_a, only_b = [x for x in la if x not in lb], [x for x in lb if x not in la]

        def order(labels, wanted):
            places = [labels.index(x) for x in wanted]
            return None if places == list(range(len(places))) else places
        self.left, self.right = order(la, batch + only_a + summed), order(lb, batch + summed + only_b)
        self.single = len(only_a) == len(summed) == len(only_b) == 1 and len(batch) <= 2
        self.groups = len(batch), len(only_a), len(summed)
        self.shared = [(la.index(x), lb.index(x)) for x in both]
        self.order = order(batch + only_a + only_b, out)

    def contract(self, a, b):
        """The contraction; None where a size of 1 broadcasts."""
        x, y = a._a.shape, b._a.shape
        for i, j in self.shared:
            if x[i] != y[j]:
                return None
        if self.left is not None:
            a = a.permute(self.left)
        if self.right is not None:
            b = b.permute(self.right)
        nb, na, ns = self.groups
        x, y = a._a.shape, b._a.shape
        if not self.single:
            c, m, k, n = (prod(g) for g in (x[:nb], x[nb:nb + na], x[nb + na:], y[nb + ns:]))
            lead = (c,) if nb else ()
            a, b = a.reshape((*lead, m, k)), b.reshape((*lead, k, n))
        r = _nn(a, b).view((*x[:nb + na], *y[nb + ns:]))
        return r if self.order is None else r.permute(self.order)


_plans = {}                     # (equation, dimensions of the operands) -> what follows from them


def _plan(equation, dims, operands):
    """(labels of the operands, labels of the output, their ``_Pair`` or None)."""
    labels, out = _parse(equation, len(operands))
    labels, out = _expand_labels(operands, labels, out)
    pair = None
    if len(operands) == 2 and all(len(set(ls)) == len(ls) for ls in labels):
        la, lb = labels
        summed = any(x in lb and x not in out for x in la)
        if summed and {*out} <= {*la, *lb} and all(x in out or (x in la and x in lb) for x in (*la, *lb)):
            pair = _Pair(la, lb, out)
    if len(_plans) > 1000:
        _plans.clear()
    found = _plans[equation, dims] = labels, out, pair
    return found


def _count(size, labels):
    n = 1
    for x in labels:
        n *= size[x]
    return n


@public(method=False)
def einsum(*args):
    """Sums of products by Einstein's convention: ``einsum('bij,bjk->bik', a, b)``.

    Labels are letters, ``...`` stands for broadcast dimensions; without ``->`` the output has the labels
    that occur once, in alphabetical order. Operands are contracted from left to right.
    """
    if not args:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at "
                         "least one operand and its subscripts list")
    if isinstance(args[0], Tensor):
        operands, labels, out = _from_lists(args)
    else:
        operands = list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        if not operands:
            raise RuntimeError("einsum(): must provide at least one operand")
        dims = tuple(t._a.ndim for t in operands)
        found = _plans.get((args[0], dims)) or _plan(args[0], dims, operands)
        labels, out, pair = found
        if pair is not None:
            r = pair.contract(*operands)
            if r is not None:
                return r
        labels = list(labels)
    if isinstance(args[0], Tensor):
        labels, out = _expand_labels(operands, labels, out)
    sizes = {}
    for k in range(len(operands)):
        operands[k], labels[k] = _take_diagonals(operands[k], labels[k], k)
        for x, s in zip(labels[k], operands[k]._a.shape):
            old = sizes.get(x, 1)
            if s != 1:
                if old not in (1, s):
                    raise RuntimeError(f"einsum(): subscript {x} has size {s} for operand {k} which "
                                       f"does not broadcast with previously seen size {old}")
                sizes[x] = s
    r, lr = operands[0], labels[0]
    for k in range(1, len(operands)):
        later = {x for ls in labels[k + 1:] for x in ls}
        r, lr = _contract(r, lr, operands[k], labels[k], {*out, *later})
    r, lr = _sum_out(r, lr, set(out))
    # Labels of an ellipsis may be missing where all operands had fewer dimensions.
    for x in out:
        if x not in lr:
            r, lr = r.unsqueeze(-1), [*lr, x]
    order = [lr.index(x) for x in out]
    return r if order == list(range(len(order))) else r.permute(order)


# ---------------------------------------------------------------- tensordot

@public("tensordot", method=False)
def tensordot(a, b, dims=2, out=None):
    """Sum of products over the last `dims` of `a` and first of `b`, or over given pairs of dimensions."""
    return _tensordot(a, b, dims) if out is None else with_out("tensordot", _tensordot)(a, b, dims, out=out)


def _tensordot(a, b, dims):
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a._a.ndim, b._a.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        da, db = list(range(-dims, 0)), list(range(dims))
    else:
        da, db = ([x] if isinstance(x, int) else list(x) for x in dims)
    if len(da) != len(db):
        raise RuntimeError("both dimension lists should have same length")
    da = [wrap_dim(d, a._a.ndim) for d in da]
    db = [wrap_dim(d, b._a.ndim) for d in db]
    for x, y in zip(da, db):
        n, m = a._a.shape[x], b._a.shape[y]
        if n != m and 1 not in (n, m):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {n} in dim {x} "
                               f"and second has size {m} in dim {y}")
        if n != m:
            a = a.sum(x, keepdim=True) if m == 1 else a
            b = b.sum(y, keepdim=True) if n == 1 else b
    ra = [d for d in range(a._a.ndim) if d not in da]
    rb = [d for d in range(b._a.ndim) if d not in db]
    sa, sb = a._a.shape, b._a.shape
    k = 1
    for d in da:
        k *= sa[d]
    shape = (*[sa[d] for d in ra], *[sb[d] for d in rb])
    m = 1
    for d in ra:
        m *= sa[d]
    n = 1
    for d in rb:
        n *= sb[d]
    left = a.permute(ra + da).reshape(m, k)
    right = b.permute(db + rb).reshape(k, n)
    return mm(left, right).reshape(shape)


# ---------------------------------------------------------------- products of vectors

@public(out=True)
def inner(input, other):
    """Sums of products over the last dimensions of both."""
    if not input._a.ndim or not other._a.ndim:
        return input * other
    if input._a.shape[-1] != other._a.shape[-1]:
        raise RuntimeError("inner() the last dimension must match on both input tensors but got shapes "
                           f"{list(input.shape)} and {list(other.shape)}")
    return tensordot(input, other, ([-1], [-1]))


@public(out=True)
def outer(input, vec2):
    """All products of the elements of two vectors."""
    for k, t in (("self", input), ("vec2", vec2)):
        if t._a.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {k}, but got {t._a.ndim}-D")
    return input.unsqueeze(1) * vec2


alias("ger", "outer")


@public(out=True)
def kron(input, other):
    """The Kronecker product."""
    n = max(input._a.ndim, other._a.ndim)
    a = (1,) * (n - input._a.ndim) + input._a.shape
    b = (1,) * (n - other._a.ndim) + other._a.shape
    left = input.reshape([x for s in a for x in (s, 1)])
    right = other.reshape([x for s in b for x in (1, s)])
    return (left * right).reshape([x * y for x, y in zip(a, b)])


@primitive("linalg_cross(Tensor self, Tensor other, int dim) -> Tensor",
           vjp={"self": lambda g, other, dim: linalg_cross(_conj(other), g, dim=dim),
                "other": lambda g, self, dim: linalg_cross(g, _conj(self), dim=dim)})
def _cross(a, b, dim):
    d = a.dtype
    if d.itemsize == 2 and d.kind not in "iu":
        a, b = a.astype(np.float32), b.astype(np.float32)
    # Component i is a[i+1] b[i+2] - a[i+2] b[i+1]: what the next one of a[i] b[i+1] - a[i+1] b[i] is.
    before = a * b.take(_NEXT, dim)
    before -= a.take(_NEXT, dim) * b
    return before.take(_NEXT, dim).astype(d, copy=False)


_NEXT = np.array([1, 2, 0])


def _conj(t):
    return t.conj() if t.dtype.is_complex else t


@public("cross", namespaces=("torch.linalg",), method=False, out=True)
def linalg_cross(input, other, *, dim=-1):
    """The cross product of vectors of length 3 along `dim`."""
    if input._a.ndim != other._a.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    d = wrap_dim(dim, input._a.ndim)
    n, m = input._a.shape[d], other._a.shape[d]
    if n != 3 or m != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {n} and {m}")
    broadcast_shapes(input._a.shape, other._a.shape)
    r = dtypes.result_type_of((input, other))
    return _cross(input.to(r), other.to(r), d)


_dimless_warned = False


@public(out=True)
def cross(input, other, dim=None):
    """The cross product along `dim` (by default the first dimension of size 3)."""
    if dim is None:
        if 3 not in input._a.shape:
            raise RuntimeError("no dimension of size 3 in input")
        global _dimless_warned
        if not _dimless_warned:
            _dimless_warned = True
            import warnings
            warnings.warn("Using torch.cross without specifying the dim arg is deprecated. Please either "
                          "pass the dim explicitly or simply use torch.linalg.cross.", UserWarning,
                          stacklevel=2)
        dim = input._a.shape.index(3)
    return linalg_cross(input, other, dim=dim)


@primitive("trace(Tensor self) -> Tensor",
           vjp={"self": lambda g, self_shape: _trace_gradient(g, self_shape)})
def _trace(a):
    d = a.dtype
    if d.kind in "iub":
        return np.asarray(np.trace(a, dtype=np.int64))
    if d.itemsize == 2:
        return np.asarray(a.diagonal().astype(np.float32).sum()).astype(d)
    return np.asarray(a.diagonal().sum(dtype=d))


def _trace_gradient(g, shape):
    from .slicing import diagonal_backward
    return diagonal_backward(g.expand(min(shape)), shape, 0, 0, 1)


@public()
def trace(input):
    """The sum of a matrix's diagonal."""
    if input._a.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._a.ndim}")
    return _trace(input)


@public(namespaces=("torch.linalg",), method=False, out=True)
def vecdot(x, y, *, dim=-1):
    """Sums of ``conj(x) * y`` along `dim`."""
    if x.dtype is not y.dtype:
        raise RuntimeError("linalg.vecdot: Expected x and y to have the same dtype")
    return (_conj(x) * y).sum(dim)


# ---------------------------------------------------------------- chains

def _best_split(sizes):
    """Order of multiplication with the fewest operations: table of split points (matrix chain)."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i][j] = None
            for k in range(i, j):
                c = cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                if cost[i][j] is None or c < cost[i][j]:
                    cost[i][j], split[i][j] = c, k
    return split


@public(namespaces=("torch.linalg",), method=False, out=True)
def multi_dot(tensors):
    """The product of a chain of matrices in the order with the fewest operations."""
    ts = list(tensors)
    if len(ts) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(ts)}")
    first, last = ts[0]._a.ndim == 1, ts[-1]._a.ndim == 1
    for i, t in enumerate(ts):
        n = t._a.ndim
        if i in (0, len(ts) - 1):
            if n not in (1, 2):
                which = "first" if i == 0 else "last"
                raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {n}D")
        elif n != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {n}D")
        if t.dtype is not ts[0].dtype:
            raise RuntimeError("multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                               f"{_sn(ts[0])} and tensor {i} {_sn(t)}")
    shapes = [t.shape for t in ts]
    if first:
        ts[0] = ts[0].unsqueeze(0)
    if last:
        ts[-1] = ts[-1].unsqueeze(1)
    for i in range(len(ts) - 1):
        if ts[i]._a.shape[1] != ts[i + 1]._a.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(shapes[i])} and "
                               f"{list(shapes[i + 1])} cannot be multiplied")
    split = _best_split([ts[0]._a.shape[0], *[t._a.shape[1] for t in ts]])

    def chain(i, j):
        if i == j:
            return ts[i]
        k = split[i][j]
        return mm(chain(i, k), chain(k + 1, j))
    r = chain(0, len(ts) - 1)
    shape = (() if first else (r._a.shape[0],)) + (() if last else (r._a.shape[1],))
    return r.view(shape)


def _sn(t):
    from ..dtypes import scalar_name
    return scalar_name(t.dtype)


@public(method=False)
def chain_matmul(*matrices, out=None):
    """The product of a chain of matrices (see linalg.multi_dot)."""
    if len(matrices) == 1:
        return matrices[0]
    for t in matrices:
        if t._a.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {t._a.ndim}, expected 2 instead.")
    r = multi_dot(matrices)
    return r if out is None else out.copy_(r)


@public(namespaces=("torch", "torch.nn.functional"), method=False)
def bilinear(input1, input2, weight, bias=None):
    """``input1^T W_k input2 + bias_k``: inputs (*, in1) and (*, in2), weight (out, in1, in2)."""
    if input1._a.ndim != input2._a.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1._a.ndim} and "
                           f"{input2._a.ndim}")
    if input1._a.shape[:-1] != input2._a.shape[:-1]:
        raise RuntimeError("bilinear(): input batch dimensions do not match")
    if input1._a.shape[-1] != weight._a.shape[1]:
        raise RuntimeError(f"bilinear(): input1 size does not match weight size: got "
                           f"{input1._a.shape[-1]} but expected {weight._a.shape[1]}")
    if input2._a.shape[-1] != weight._a.shape[2]:
        raise RuntimeError(f"bilinear(): input2 size does not match weight size: got "
                           f"{input2._a.shape[-1]} but expected {weight._a.shape[2]}")
    if bias is not None and bias._a.shape[0] != weight._a.shape[0]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got "
                           f"{bias._a.shape[0]} but expected {weight._a.shape[0]}")
    n, i, j = weight._a.shape
    batch = input1._a.shape[:-1]
    x = input1.reshape(-1, i)
    y = input2.reshape(-1, j)
    left = mm(x, weight.permute(1, 0, 2).reshape(i, n * j)).reshape(-1, n, j)
    r = _nn(left, y.unsqueeze(2)).reshape(*batch, n)
    return r if bias is None else r + bias
