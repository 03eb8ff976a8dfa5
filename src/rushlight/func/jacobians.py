"""Jacobians and Hessians as transforms."""

import functools

from ..ops.registry import function
from ..tensor.tensor import Tensor
from .reverse import chosen, tensors_only, vjp, with_chosen
from .tangent_transforms import jvp
from .trees import flatten, unflatten
from .vmapping import vmap


def _basis(xs):
    """For each of the tensors a stack of unit directions; together they are the rows of one identity matrix."""
    sizes = [x.numel() for x in xs]
    total = sum(sizes)
    out, start = [], 0
    for x, n in zip(xs, sizes):
        rows = function("zeros")((total, n), dtype=x.dtype, device=x.device)
        rows[start:start + n].diagonal().fill_(1)
        out.append(rows.reshape(total, *x.shape))
        start += n
    return out, sizes


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """A function that gives the Jacobian of `func` with respect to its arguments at `argnums`, by reverse mode.

    The shape is ``(*output.shape, *input.shape)``; for trees, one of outputs holding ones of inputs. One row costs one
    backward pass; `chunk_size` rows are computed at once (all, unless given). has_aux: `func` returns
    ``(output, aux)``, and the result is ``(jacobian, aux)``.
    """
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        diff = chosen(argnums, args)
        tensors_only(diff, lambda t: f"jacrev: Expected all inputs to be Tensors, got {t}")

        def of_chosen(*values):
            return func(*with_chosen(argnums, args, values[0] if isinstance(argnums, int) else values), **kwargs)
        found = vjp(of_chosen, *((diff,) if isinstance(argnums, int) else diff), has_aux=has_aux)
        output, pull = found[0], found[1]
        outs, s = flatten(output)
        for o in outs:
            if not isinstance(o, Tensor):
                raise ValueError("jacrev(f, argnums): Expected f to only return Tensors")
        basis, sizes = _basis(outs)
        total = sum(sizes)
        step = total if chunk_size is None else chunk_size
        if step == 1 or total == 1:
            rows = [flatten(pull(unflatten([b[k] for b in basis], s)))[0] for k in range(total)]
            grads = [function("stack")(list(r)) for r in zip(*rows)]
        else:
            parts = []
            for start in range(0, max(total, 1), max(step, 1)):
                chunk = [b[start:start + step] for b in basis]
                parts.append(flatten(vmap(pull)(unflatten(chunk, s)))[0])
            grads = [p[0] if len(parts) == 1 else function("cat")(list(p)) for p in zip(*parts)]
        blocks = [g.split(sizes) for g in grads]
        tree = flatten(diff)[1]
        rows = []
        for k, o in enumerate(outs):
            one = [b[k].reshape((*o.shape, *b[k].shape[1:])) for b in blocks]
            rows.append(unflatten(one, tree))
        result = unflatten(rows, s)
        return (result, found[2]) if has_aux else result
    return wrapper


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error", chunk_size=None):
    """A function that gives the Jacobian of `func` with respect to its arguments at `argnums`, by forward mode.

    Shapes as in `jacrev`; one column costs one forward pass.
    """
    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        diff = chosen(argnums, args)
        xs, tree = tensors_only(diff, lambda t: f"jacfwd: Expected all inputs to be Tensors, got {t}")
        basis, sizes = _basis(xs)

        def of_leaves(*leaves):
            return func(*with_chosen(argnums, args, unflatten(list(leaves), tree)), **kwargs)

        def push(*tangents):
            return jvp(of_leaves, tuple(xs), tangents, has_aux=has_aux)[1:]
        found = vmap(push, 0, (0, None) if has_aux else (0,), randomness=randomness, chunk_size=chunk_size)(*basis)
        outs, s = flatten(found[0])
        rows = []
        for o in outs:                      # (total, *output) -> (*output, *input) for each input
            columns = o.movedim(0, -1)
            rows.append(unflatten([c.reshape((*o.shape[1:], *x.shape)) for c, x in zip(
                columns.split(sizes, -1), xs)], tree))
        result = unflatten(rows, s)
        return (result, found[1]) if has_aux else result
    return wrapper


def hessian(func, argnums=0):
    """A function that gives the Hessian of `func`: forward mode over reverse mode."""
    return jacfwd(jacrev(func, argnums), argnums)
