"""``vmap``: a function of one sample as a function of a batch."""

import functools

from ..ops.registry import function
from ..tensor.tensor import Tensor
from .batched import BatchLevel
from .trees import describe, flatten, is_leaf, spread, tree_map, unflatten
from .wrapped import holder_of, on, revived, unwrap

_RANDOMNESS = ("error", "different", "same")


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """A function that maps `func` over a dimension of its tensor arguments, as one pass over whole batches.

    in_dims: the dimension of each input to map over, None for inputs that are the same for all samples; one int for
    all, or a tree that is a prefix of the inputs'. out_dims: where the batch appears in the outputs (None for outputs
    that do not depend on the sample). randomness: ``'error'`` refuses random ops, ``'different'`` draws for each
    sample, ``'same'`` once for all. chunk_size: at most so many samples at a time. Values can't steer Python code:
    ``item`` and ``bool`` of a mapped tensor raise RuntimeError, as do ops whose result's size depends on values.
    """
    if randomness not in _RANDOMNESS:
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        dims, leaves, structure, size = _inputs(func, in_dims, args)
        if chunk_size is None or chunk_size >= size:
            return _run(func, dims, leaves, structure, size, out_dims, randomness, kwargs)
        return _in_chunks(func, dims, leaves, structure, size, out_dims, randomness, chunk_size, kwargs)
    return wrapped


def _name(func):
    return getattr(func, "__name__", repr(func))


def _inputs(func, in_dims, args):
    """(dimension a leaf, leaves, structure, batch size) of the inputs, checked."""
    head = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): "
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(f"{head}expected `in_dims` to be int or a (potentially nested) tuple matching the structure "
                         f"of inputs, got: {type(in_dims)}.")
    if not args:
        raise ValueError(f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
                         "trying to vmap over a function with no inputs. The latter is unsupported.")
    leaves, structure = flatten(args)
    prefix = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    dims = spread(prefix, structure)
    if dims is None:
        raise ValueError(f"{head}in_dims is not compatible with the structure of `inputs`. in_dims has structure "
                         f"{describe(flatten(in_dims)[1])} but inputs has structure {describe(structure)}.")
    out, sizes = [], []
    for x, d in zip(leaves, dims):
        if d is None:
            out.append(None)
            continue
        if not isinstance(d, int):
            raise ValueError(f"{head}Got in_dim={d} for an input but in_dim must be either an integer dimension or "
                             "None.")
        if not isinstance(x, Tensor):
            raise ValueError(f"{head}Got in_dim={d} for an input but the input is of type {type(x)}. We cannot vmap "
                             "over non-Tensor arguments, please use None as the respective in_dim")
        n = x.dim()
        if not -n <= d < n:
            raise ValueError(f"{head}Got in_dim={d} for some input, but that input is a Tensor of dimensionality {n} "
                             f"so expected in_dim to satisfy -{n} <= in_dim < {n}.")
        out.append(d % n)
        sizes.append(x.shape[d])
    if not sizes:
        raise ValueError(f"{head}at least one input must be a Tensor with a dimension to map over")
    if len(set(sizes)) != 1:
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                         f"{sizes} for the mapped dimension")
    return out, leaves, structure, sizes[0]


def _run(func, dims, leaves, structure, size, out_dims, randomness, kwargs):
    level = BatchLevel(size, randomness)
    with level:
        inputs = [x if d is None else level.wrap(_to_front(revived(x), d)) for x, d in zip(leaves, dims)]
        outputs = func(*unflatten(inputs, structure), **kwargs)
        flat, s = flatten(outputs)
        where = _out_dims(func, out_dims, s, flat)
        results = [_result(func, level, x, d) for x, d in zip(flat, where)]
    return unflatten(results, s)


def _to_front(x, d):
    return x.movedim(d, 0) if d else x


def _out_dims(func, out_dims, structure, leaves):
    for x in flatten(out_dims)[0]:
        if x is not None and (isinstance(x, bool) or not isinstance(x, int)):
            raise ValueError(f"vmap({_name(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a "
                             "python collection of ints representing where in the outputs the vmapped dimension should "
                             "appear.")
    if is_leaf(structure) and isinstance(out_dims, tuple) and len(out_dims) == 1:
        out_dims = out_dims[0]
    found = spread(out_dims, structure)
    if found is None:
        raise ValueError(f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with "
                         f"the structure of `outputs`. out_dims has structure {describe(flatten(out_dims)[1])} but "
                         f"outputs has structure {describe(structure)}.")
    return found


def _result(func, level, x, d):
    if d is None:
        if isinstance(x, Tensor) and on(x, level):
            raise ValueError(f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim "
                             "is None")
        return x
    if not isinstance(x, Tensor):
        raise ValueError(f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(x)}. Did "
                         "you mean to set out_dims= to None for output?")
    if on(x, level):
        v = unwrap(x, level)
    else:
        v = x.expand((level.size, *x._a.shape))
    n = v.dim()
    if not -n <= d < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    return v.movedim(0, d) if d else v


def _in_chunks(func, dims, leaves, structure, size, out_dims, randomness, chunk, kwargs):
    parts, s, where = [], None, None
    for start in range(0, size, chunk):
        some = [x if d is None else x.narrow(d, start, min(chunk, size - start)) for x, d in zip(leaves, dims)]
        n = min(chunk, size - start)
        result = _run(func, dims, some, structure, n, out_dims, randomness, kwargs)
        flat, s = flatten(result)
        where = _out_dims(func, out_dims, s, flat)
        parts.append(flat)
    cat = function("cat")
    return unflatten([p[0] if d is None else cat(list(p), d) for p, d in zip(zip(*parts), where)], s)


def chunk_vmap(func, in_dims=0, out_dims=0, randomness="error", chunks=2):
    """`vmap` in `chunks` passes of about equal size."""
    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        size = _inputs(func, in_dims, args)[3]
        step = -(-size // chunks)
        return vmap(func, in_dims, out_dims, randomness, chunk_size=step)(*args, **kwargs)
    return wrapped


def debug_unwrap(tensor, *, recurse=True):
    """What is underneath a tensor that a transform handed out, to look at it; with `recurse` below all levels."""
    def one(x):
        while isinstance(x, Tensor) and holder_of(x) is not None:
            x = x._a.value
            if not recurse:
                break
        return x
    return tree_map(one, tensor)
