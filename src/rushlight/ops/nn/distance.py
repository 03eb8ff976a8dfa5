"""Distances and similarities between vectors."""

from ...compiler import scalar as s
from ..pointwise.core import pointwise, run
from ..registry import function, public

_F = ("torch.nn.functional",)
_TF = ("torch", "torch.nn.functional")

# PyTorch's gradient is that of the norm also where `eps` takes its place.
_at_least = pointwise("cosine_similarity.norm(Tensor self, Scalar eps) -> Tensor", lambda n, eps: s.maximum(n, eps),
                      vjp={"self": lambda g: g})


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
    common = function("result_type")(x1, x2)
    if not common.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {common}")
    x1, x2 = function("broadcast_tensors")(x1, x2)
    x1, x2 = x1.to(common), x2.to(common)
    norm = function("vector_norm", "torch.linalg")
    n1, n2 = (run(_at_least.record, (norm(x, 2, dim, True),), (eps,)) for x in (x1, x2))
    return ((x1 / n1) * (x2 / n2)).sum(dim)
