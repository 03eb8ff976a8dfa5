"""Embedding tables: rows by index, and bags of rows."""

import numpy as np

from ...compiler import available
from ...dtypes import float32, float64
from ...record import NONDIFF
from ...runtime.allocator import empty
from ...tensor import watch
from ...tensor.tensor import wrap
from .. import walks
from ..dispatch import primitive
from ..gather import summed_slices
from ..registry import function, public

_TF = ("torch", "torch.nn.functional")
_F = ("torch.nn.functional",)


@primitive("embedding(Tensor weight, Tensor indices, int padding_idx, bool scale_grad_by_freq) -> Tensor",
           vjp={"weight": lambda g, indices, weight_shape, padding_idx, scale_grad_by_freq:
                _embedding_grad(g, indices, weight_shape[0], padding_idx, scale_grad_by_freq)})
def _embedding(w, indices, padding_idx, scale):
    """Rows of `w` at `indices`."""
    out = empty(indices.shape + w.shape[1:], w.dtype)
    if walks.get_rows(w, 0, indices.reshape(-1), out.reshape(indices.size, *w.shape[1:])):
        raise IndexError("index out of range in self")
    return out


@primitive("embedding_dense_backward(Tensor grad, Tensor indices, int rows, int padding_idx, "
           "bool scale_grad_by_freq) -> Tensor",
           vjp={"grad": lambda g, indices, padding_idx: _embedding_gg(g, indices, padding_idx)})
def _embedding_grad(g, indices, rows, padding_idx, scale):
    """Gradients of the rows, added up by index in order."""
    width = g.shape[indices.ndim:]
    flat = indices.reshape(-1)
    values = g.reshape((flat.size,) + width)
    if scale:
        counts = np.bincount(flat, minlength=1)[flat]
        work = np.float32 if walks.narrow(g.dtype) else g.dtype
        values = (values.astype(work) / counts.reshape((-1,) + (1,) * len(width)).astype(work)).astype(g.dtype)
    out = summed_slices((rows, *width), 0, flat, values)
    if padding_idx >= 0:
        out[padding_idx] = 0
    return out


def _embedding_gg(g, indices, padding_idx):
    y = _embedding(g, indices, -1, False)
    if padding_idx >= 0:
        y = y.masked_fill((indices == padding_idx).unsqueeze(-1), 0)
    return y


def _check_indices(op, indices):
    if indices.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"Expected tensor for argument #1 'indices' to have one of the following "
                           f"scalar types: Long, Int; but got {indices.type()} instead (while checking "
                           f"arguments for {op})")


def _check_range(indices, rows):
    if type(indices._a) is np.ndarray and walks.outside(indices._a, rows):
        raise IndexError("index out of range in self")


def _padding(padding_idx, rows):
    if padding_idx is None:
        return -1
    if padding_idx > 0 and padding_idx >= rows or padding_idx < -rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx + rows if padding_idx < 0 else padding_idx


def _inside(*tensors):
    """Whether a transform works on one of the tensors."""
    return any(t is not None and hasattr(type(t._a), "outermost") for t in tensors)


def _renorm(weight, indices, max_norm, norm_type):
    from ...autograd.modes import no_grad
    with no_grad():
        if _inside(weight, indices):
            from ...func.rules_layers import renormed
            return renormed(weight, indices, lambda w, i: _renorm(w, i, max_norm, norm_type))
        if _shrink(weight._a, indices._a, max_norm, norm_type) or watch.listener is not None:
            weight._storage.version += 1
        if watch.listener is not None:
            watch.listener.wrote("renorm", lambda a, i: _shrink(a, i, max_norm, norm_type), (weight,), (indices,))


def _shrink(a, indices, max_norm, norm_type):
    used = np.unique(indices)
    rows = a[used]
    norms = np.linalg.norm(rows.astype(np.float64), norm_type, axis=1)
    big = norms > max_norm
    if big.any():
        a[used[big]] = rows[big] * (max_norm / (norms[big] + 1e-7)).astype(a.dtype)[:, None]
        return True
    return False


@public(namespaces=_F, method=False)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False,
              sparse=False):
    """Rows of `weight` (num, dim) at the integer indices `input`; the shape is input.shape + (dim,)."""
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    pad = _padding(padding_idx, weight.shape[0])
    _check_indices("embedding", input)
    if max_norm is not None:
        if watch.observer is not None:
            watch.observer.fail()           # rows are scaled by what they hold
        _check_range(input, weight.shape[0])
        _renorm(weight, input, max_norm, norm_type)
    if sparse and not _inside(weight):
        from ...sparse.gradients import embedding as with_sparse_gradient
        return with_sparse_gradient(_embedding, weight, input, pad, bool(scale_grad_by_freq))
    return _embedding(weight, input, pad, bool(scale_grad_by_freq))


@public("embedding", method=False)
def torch_embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """`nn.functional.embedding` with the argument order of ``torch.embedding``."""
    _check_indices("embedding", indices)
    if sparse and not _inside(weight):
        from ...sparse.gradients import embedding as with_sparse_gradient
        return with_sparse_gradient(_embedding, weight, indices, padding_idx, bool(scale_grad_by_freq))
    return _embedding(weight, indices, padding_idx, scale_grad_by_freq)


@public(namespaces=_F, method=False)
def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False,
                  mode="mean", sparse=False, per_sample_weights=None, include_last_offset=False,
                  padding_idx=None):
    """Sum, mean or maximum of bags of rows; 2-D input has a bag a row, 1-D needs `offsets`."""
    if input.dtype.is_floating_point and not weight.dtype.is_floating_point:
        input, weight = weight, input
    if per_sample_weights is not None and input.shape != per_sample_weights.shape:
        raise ValueError(f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is "
                         f"not None, then it must have the same shape as the input "
                         f"({list(input.shape)})")
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a "
                             "mini-batch of fixed length sequences. However, found offsets of type "
                             f"{type(offsets)}")
        n, length = input.shape
        starts = np.arange(n, dtype=np.int64) * length
        flat = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        flat = input
        if _inside(offsets):
            if max_norm is not None:
                _renorm(weight, flat, max_norm, norm_type)
            first = offsets[:-1] if include_last_offset else offsets
            return _bags_inside(flat, weight, first, mode, per_sample_weights, _padding(padding_idx, weight.shape[0]),
                                bool(scale_grad_by_freq))
        starts = offsets._a.astype(np.int64)
        if starts.size and starts[0] != 0:
            raise RuntimeError(f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to "
                               f"start from position 0. However, got {starts[0]}")
        if starts.size and starts[-1] > flat.numel():
            raise RuntimeError(f"offsets[-1] can not be greater than input's length {flat.numel()} but got offsets[-1] "
                               f"of {starts[-1]}")
        if (starts[1:] < starts[:-1]).any():
            raise RuntimeError("embedding_bag: offsets have to be in order")
        if include_last_offset:
            starts = starts[:-1]
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights was not None. per_sample_weights "
                                  f"is only supported for mode='sum' (got mode='{mode}')")
    _check_indices("embedding_bag", flat)
    pad = _padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        _check_range(flat, weight.shape[0])
        _renorm(weight, flat, max_norm, norm_type)
    if _inside(flat, weight, per_sample_weights):
        return _bags_inside(flat, weight, wrap(starts), mode, per_sample_weights, pad, bool(scale_grad_by_freq))
    bounds = np.append(starts, flat.numel())
    known = _bounds(offsets, bounds, flat.numel(), include_last_offset)
    if mode != "max" and available() and weight.dtype in (float32, float64) and not (
            flat.is_meta or weight.is_meta) and (np.diff(bounds) >= 0).all() and (
            per_sample_weights is None or per_sample_weights.dtype is weight.dtype):
        if sparse:
            from ...sparse.gradients import embedding_bag as with_sparse_gradient
            return with_sparse_gradient(_embedding_bag, _bag_shares, _bag_factors, weight, flat, known,
                                        per_sample_weights, pad, mode == "mean", bool(scale_grad_by_freq))
        return _embedding_bag(weight, flat, known, per_sample_weights, pad, mode == "mean",
                              bool(scale_grad_by_freq))
    if sparse:
        from ...sparse.gradients import embedding_bag as with_sparse_gradient
        return with_sparse_gradient(_bags_of_rows, _bag_shares, _bag_factors, weight, flat, known,
                                    per_sample_weights, pad, mode == "mean", bool(scale_grad_by_freq))
    if type(flat._a) is np.ndarray and walks.outside(flat._a, weight.shape[0]):
        raise _not_in_range(flat._a, weight.shape[0])
    bag = np.repeat(np.arange(starts.size), np.diff(bounds)).astype(np.int64)
    return _bags(flat, weight, bag, starts.size, mode, per_sample_weights, pad, bool(scale_grad_by_freq))


# ---------------------------------------------------------------- sums of bags in one pass

def _bounds(offsets, bounds, total, last):
    """The `bounds` of bags as a tensor, which captures know to come of the `offsets`, or of sizes only."""
    if offsets is not None and watch.listener is not None:
        return _bounds_of(offsets, total, last)
    t = wrap(bounds)
    if watch.listener is not None:
        watch.listener.constant(t)
    return t


@primitive("_bag_bounds(Tensor offsets, int total, bool last) -> Tensor", vjp=NONDIFF("positions"))
def _bounds_of(offsets, total, last):
    """The offsets of bags, checked, and where the last one ends."""
    starts = offsets.astype(np.int64)
    if starts.size and (starts[0] != 0 or starts[-1] > total or (starts[1:] < starts[:-1]).any()):
        raise RuntimeError("embedding_bag: offsets have to begin with 0, be in order, and lie within the input")
    return np.append(starts[:-1] if last else starts, total)


def _bag_of_each(bounds):
    """The bag of each position, and the number of positions in each bag."""
    counts = np.diff(bounds)
    return np.repeat(np.arange(counts.size), counts), counts


def _weights(indices, bounds, pad, mean, dtype):
    """The bag of each position, and the weight of its row in it (None: one each)."""
    bag, _ = _bag_of_each(bounds)
    keep = indices != pad
    scale = keep.astype(dtype)
    if mean:
        n = np.bincount(bag[keep], minlength=bounds.size - 1)
        scale /= np.maximum(n, 1)[bag].astype(dtype)
    return bag, None if not mean and keep.all() else scale[:, None]


@primitive("_bag_shares(Tensor g, Tensor indices, Tensor bounds, int padding_idx, bool mean) -> Tensor",
           vjp={"g": lambda g, indices, bounds, padding_idx, mean: _bag_sums(g, indices, bounds, padding_idx, mean)})
def _bag_shares(g, indices, bounds, pad, mean):
    """The gradient of each row that was added, before its weight."""
    if pad < 0:
        bag, counts = _bag_of_each(bounds)
        scale, g = None, g * (1 / np.maximum(counts, 1).astype(g.dtype))[:, None] if mean else g
    else:
        bag, scale = _weights(indices, bounds, pad, mean, g.dtype)
    rows = empty((bag.size, *g.shape[1:]), g.dtype)
    walks.get_rows(np.ascontiguousarray(g), 0, bag, rows)
    return rows if scale is None else np.multiply(rows, scale, out=rows)


@primitive("_bag_sums(Tensor rows, Tensor indices, Tensor bounds, int padding_idx, bool mean) -> Tensor",
           vjp={"rows": lambda g, indices, bounds, padding_idx, mean:
                _bag_shares(g, indices, bounds, padding_idx, mean)})
def _bag_sums(rows, indices, bounds, pad, mean):
    """Sums or means of the rows of each bag."""
    bag, scale = _weights(indices, bounds, pad, mean, rows.dtype)
    return summed_slices((bounds.size - 1, *rows.shape[1:]), 0, bag, rows if scale is None else rows * scale)


def _bag_weight_gradient(g, weight_shape, indices, bounds, per_sample, padding_idx, mean, scale):
    rows = _bag_shares(g, indices, bounds, padding_idx, mean)
    if per_sample is not None:
        rows = rows * per_sample.unsqueeze(-1)
    return _embedding_grad(rows, indices, weight_shape[0], padding_idx, scale)


def _bag_factors(g, weight, indices, bounds, padding_idx, mean):
    return (_bag_shares(g, indices, bounds, padding_idx, mean) * _embedding(weight, indices, -1, False)).sum(-1)


@primitive("_embedding_bag(Tensor weight, Tensor indices, Tensor bounds, Tensor? per_sample, int padding_idx, "
           "bool mean, bool scale) -> Tensor", node="EmbeddingBagBackward0",
           vjp={"weight": _bag_weight_gradient,
                "per_sample": lambda g, weight, indices, bounds, padding_idx, mean:
                _bag_factors(g, weight, indices, bounds, padding_idx, mean)})
def _embedding_bag(w, indices, bounds, per_sample, padding_idx, mean, scale):
    """Sums or means of bags of rows of float32 or float64."""
    from ...compiler.templates.bags import kernel
    table = np.ascontiguousarray(w)
    scaled = per_sample is not None
    out = empty((bounds.size - 1, w.shape[1]), w.dtype)
    factors = np.ascontiguousarray(per_sample) if scaled else out
    index = np.ascontiguousarray(walks.positions(indices))
    if kernel("float" if w.itemsize == 4 else "double")(
            out, table, index, bounds, factors, w.shape[0], w.shape[1], bounds.size - 1, padding_idx, mean, scaled):
        raise _not_in_range(index, w.shape[0])
    return out


def _not_in_range(index, rows):
    index = index.reshape(-1)
    at = int(np.argmax((index < 0) | (index >= rows)))
    return RuntimeError(f"Index {at} of input takes value {index[at]} which is not in the valid range [0, {rows})")


def _bags_inside(flat, weight, first, mode, per_sample_weights, pad, scale):
    """Bags that begin at the positions `first`, by ops that transforms know."""
    n = first.shape[0]
    bag = (function("arange")(flat.shape[0]) >= first.unsqueeze(1)).sum(0) - 1
    rows = _embedding(weight, flat, pad, scale)
    left_out = flat == pad
    count = rows.new_zeros((n,)).index_add(0, bag, left_out.logical_not().to(rows.dtype))
    if mode == "max":
        return _largest(rows, bag, n, left_out.unsqueeze(-1)).masked_fill((count == 0).unsqueeze(-1), 0)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    y = rows.new_zeros((n, weight.shape[1])).index_add(0, bag, rows.masked_fill(left_out.unsqueeze(-1), 0))
    return y / count.clamp_min(1).unsqueeze(-1) if mode == "mean" else y


def _largest(rows, bag, n, left_out):
    """The largest of each bag's rows, element by element; the first of equal ones has the gradient.

    Elements are compared with the largest so far: NaN in a bag's first row stays, elsewhere it is passed over.
    """
    if not rows.numel():
        return rows.sum(0, True).expand(n, -1)
    bag = bag.unsqueeze(-1).expand(rows.shape)
    found = rows.detach()
    known = found.masked_fill(left_out | found.isnan(), float("-inf"))
    best = known.new_full((n, rows.shape[1]), float("-inf")).scatter_reduce(0, bag, known, "amax", include_self=True)
    best = best.gather(0, bag)
    last = rows.shape[0] - 1
    places = function("arange")(last + 1).unsqueeze(-1).expand(rows.shape)

    def first(passed):
        at = places.masked_fill(passed, last)
        return at.new_full((n, rows.shape[1]), last).scatter_reduce(0, bag, at, "amin", include_self=True)
    begin = first(left_out)
    stays = found.gather(0, begin).isnan()
    return rows.gather(0, function("where")(stays, begin, first((known != best) | left_out)))


def _bags(flat, weight, bag, n, mode, per_sample_weights, pad, scale):
    rows = _embedding(weight, flat, pad, scale)
    keep = flat._a != pad if pad >= 0 else np.ones(flat.numel(), bool)
    if watch.listener is not None:
        watch.listener.read(flat, "embedding_bag")
    index = wrap(bag)
    if mode == "max":
        count = np.bincount(bag[keep], minlength=n)
        y = _largest(rows, index, n, wrap(~keep).unsqueeze(-1))
        return y.masked_fill(wrap(count == 0).unsqueeze(-1), 0)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    if not keep.all():
        rows = rows * wrap(keep.astype(rows._a.dtype)).unsqueeze(-1)
    y = rows.new_zeros((n, weight.shape[1])).index_add(0, index, rows)
    if mode == "mean":
        count = np.maximum(np.bincount(bag[keep], minlength=n), 1).astype(rows._a.dtype)
        y = y / wrap(count).unsqueeze(-1)
    return y


def _bags_of_rows(weight, flat, bounds, per_sample_weights, pad, mean, scale):
    """`_bags` with the arguments of `_embedding_bag`."""
    bag, counts = _bag_of_each(bounds._a)
    return _bags(flat, weight, bag, counts.size, "mean" if mean else "sum", per_sample_weights, pad, scale)


@public(namespaces=_F, method=False)
def one_hot(tensor, num_classes=-1):
    """One-hot rows of int64: shape + (num_classes,); -1 takes the largest index plus one."""
    from ... import dtypes
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    a = tensor._a
    if tensor.is_meta:
        if num_classes <= 0:
            raise NotImplementedError("aten::one_hot: attempted to run this operator with Meta tensors, but the number "
                                      "of classes depends on data")
        return _one_hot(tensor, num_classes)
    if not a.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return function("zeros")(*tensor.shape, num_classes, dtype=dtypes.int64)
    if watch.true(lambda a: a.min() < 0, tensor):
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        if watch.listener is not None:
            watch.listener.read(tensor, "one_hot")
        num_classes = int(a.max()) + 1
    elif watch.true(lambda a: a.max() >= num_classes, tensor):
        raise RuntimeError("Class values must be smaller than num_classes.")
    return _one_hot(tensor, num_classes)


@primitive("one_hot(Tensor self, int num_classes) -> Tensor", vjp=NONDIFF("integer output"))
def _one_hot(a, n):
    """Rows of zeros with a one at the index."""
    out = np.zeros(a.shape + (n,), np.int64)
    np.put_along_axis(out, a[..., None], 1, -1)
    return out


