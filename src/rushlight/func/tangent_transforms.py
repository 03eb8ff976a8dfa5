"""Forward-mode transforms: ``jvp`` and ``linearize``."""

from ..ops.registry import function
from ..tensor.tensor import Tensor
from .forward import ForwardLevel
from .reverse import split_aux, tensors_only
from .trees import describe, flatten, tree_map, unflatten
from .wrapped import revived, unwrap


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """``(func(*primals), J tangents)``: value and directional derivative of `func` at `primals`.

    primals, tangents: tuples of tensors (or trees of them) of the same structure and shapes. strict: raise where the
    output does not depend on an input. With has_aux, `func` returns ``(output, aux)`` and the result is
    ``(output, tangent, aux)``.
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(f"jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to "
                           f"call f(*primals). Got {type(primals).__name__}")
    if len(primals) == 0:
        raise RuntimeError("jvp(f, primals, tangents): Expected at least one Tensor or non-empty container of "
                           "Tensors in primals")
    xs, s = tensors_only(primals, lambda t: f"jvp(f, primals, tangents): Expected all primals to be Tensors, got {t}")
    ts, s2 = tensors_only(tangents, lambda t: (
        f"jvp(f, primals, tangents): Expected all tangents to be Tensors, got {t}"))
    if s != s2:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have the same python "
                           f"structure. For example, if primals is a tuple of 3 tensors, tangents also must be. Got "
                           f"primals with structure {describe(s)} and tangents with structure {describe(s2)}")
    level = ForwardLevel()
    with level:
        duals = [make_dual(level, x, t) for x, t in zip(xs, ts)]
        output = func(*unflatten(duals, s))
        output, aux = split_aux(output, has_aux, "jvp(f, primals, tangents)")
        outs, structure = tensors_only(output, lambda t: (
            f"jvp(f, primals, tangents): Expected f to only return Tensors, got output of type {t}"))
        pairs = [unpacked(level, o, strict) for o in outs]
    result = unflatten([p for p, _ in pairs], structure), unflatten([t for _, t in pairs], structure)
    if has_aux:
        return (*result, tree_map(lambda x: unwrap(x, level), aux))
    return result


def make_dual(level, x, t):
    """The dual tensor on `level` of primal `x` and tangent `t`, checked."""
    if not isinstance(x, Tensor) or not isinstance(t, Tensor):
        raise TypeError("make_dual(): the primal and the tangent must be Tensors")
    if x.dtype.category < 2:
        raise ValueError(f"Expected primal to be floating point or complex, but got: {x.dtype}")
    if t.dtype.category < 2:
        raise ValueError(f"Expected tangent to be floating point or complex, but got: {t.dtype}")
    x, t = revived(x), revived(t)
    if x.shape != t.shape:
        raise RuntimeError(f"Expected tangent to have the same size as the primal: got {list(t.shape)} for a primal of "
                           f"size {list(x.shape)}")
    return level.pair(x, t)


def unpacked(level, x, strict=False):
    """(primal, tangent) of a result, zeros where it has no tangent."""
    p, t = unwrap(x, level), level.tangent_of(x)
    if t is None:
        if strict:
            raise RuntimeError("jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. "
                               "This is not allowed with strict=True.")
        t = function("zeros_like")(p)
    return p, t


def linearize(func, *primals):
    """``(func(*primals), jvp_fn)``; ``jvp_fn(*tangents)`` is the derivative of `func` at `primals` in a direction.

    Every call of ``jvp_fn`` runs `func` on dual tensors at the same primals.
    """
    output = func(*primals)
    _, s = flatten(primals)

    def jvp_fn(*tangents):
        given, s2 = flatten(tangents)
        if s2 != s:
            raise RuntimeError("Expected the tangents to have the same structure as the primals: "
                               f"{describe(s2)} and {describe(s)}")
        for x, t in zip(flatten(primals)[0], given):
            if x.shape != t.shape or x.dtype is not t.dtype:
                raise RuntimeError(f"Found tangent of shape {list(t.shape)} and {t.dtype} for a primal of shape "
                                   f"{list(x.shape)} and {x.dtype}")
        return jvp(func, primals, tangents)[1]
    return output, jvp_fn
