"""Distances and similarities between vectors."""

from ..registry import function, public

_F = ("torch.nn.functional",)
_TF = ("torch", "torch.nn.functional")


@public(namespaces=_TF, method=False)
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of ``x1 - x2 + eps`` over the last dimension."""
    d = x1 - x2 + eps
    if not d.dim():
        return d.norm(p)
    return function("vector_norm", "torch.linalg")(d, p, -1, keepdim) if not d.is_complex() else \
        d.norm(p, -1, keepdim)


@public(namespaces=_TF, method=False)
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
    if not (x1.is_floating_point() or x1.is_complex()) or not (x2.is_floating_point() or x2.is_complex()):
        if x1.dtype.category < 2 and x2.dtype.category < 2:
            raise RuntimeError("expected common dtype to be floating point, yet common dtype is "
                               f"{function('result_type')(x1, x2)}")
    x1, x2 = function("broadcast_tensors")(x1, x2)
    common = function("result_type")(x1, x2)
    x1, x2 = x1.to(common), x2.to(common)
    n1 = (x1 * x1).sum(dim, True).sqrt().clamp_min(eps)
    n2 = (x2 * x2).sum(dim, True).sqrt().clamp_min(eps)
    return ((x1 / n1) * (x2 / n2)).sum(dim)
