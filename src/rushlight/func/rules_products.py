"""Batching rules of matrix products and of linear algebra."""

from ..ops.registry import function
from ..record import RECORDS
from ..tensor.tensor import Tensor
from .batched import front
from .rules import RULES, aligned, decomposition, rank_of, rule
from .wrapped import invoke


def _matmul(a, b):
    return function("matmul")(a, b)


@rule("mm", "bmm")
def _(level, rec, inner, batched):
    a, b = inner
    rank = max(rank_of(a, batched[0]), rank_of(b, batched[1]))
    return _matmul(aligned(a, batched[0], rank), aligned(b, batched[1], rank))


@rule("_matmul_nt")
def _(level, rec, inner, batched):
    return _matmul(inner[0], inner[1].transpose(-2, -1))


@rule("_matmul_tn")
def _(level, rec, inner, batched):
    return _matmul(inner[0].transpose(-2, -1), inner[1])


@rule("_matmul_fold")
def _(level, rec, inner, batched):
    a, b = inner
    if batched[1]:
        rank = rank_of(a, batched[0])
        if rank_of(b, True) == 1:
            return _matmul(a, aligned(b.unsqueeze(-1), True, rank)).squeeze(-1)
        b = aligned(b, True, rank)
    return _matmul(a, b)


@rule("mv")
def _(level, rec, inner, batched):
    return _matmul(inner[0], inner[1].unsqueeze(-1)).squeeze(-1)


@rule("dot")
def _(level, rec, inner, batched):
    return _matmul(inner[0].unsqueeze(-2), inner[1].unsqueeze(-1)).squeeze(-1).squeeze(-1)


@rule("vdot")
def _(level, rec, inner, batched):
    return _matmul(inner[0].conj().unsqueeze(-2), inner[1].unsqueeze(-1)).squeeze(-1).squeeze(-1)


@rule("linear", "linear.bias", "linear.matrix")
def _(level, rec, inner, batched):
    x, w, b = inner
    if not batched[1]:
        if b is None or not batched[2]:
            return function("linear", "torch.nn.functional")(x, w, b)
        out = function("linear", "torch.nn.functional")(x, w)
    else:
        rank = rank_of(x, batched[0])
        wt = w.transpose(1, 2)
        if rank == 1:
            out = _matmul(x.unsqueeze(-2), wt).squeeze(-2)
        elif rank == 2:
            out = _matmul(x, wt)
        else:
            # Rows of all leading dimensions at once: one product a sample.
            lead = x._a.shape[1:-1] if batched[0] else x._a.shape[:-1]
            rows = x.flatten(1, -2) if batched[0] else x.flatten(0, -2)
            out = _matmul(rows, wt)
            out = out.reshape(out._a.shape[0], *lead, out._a.shape[-1])
    if b is None:
        return out
    return out + aligned(b, batched[2], out._a.ndim - 1)


def _scaled(x, beta, product, alpha):
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product


@decomposition("addmm")
def _(x, a, b, beta, alpha):
    return _scaled(x, beta, a.mm(b), alpha)


@decomposition("addmv")
def _(x, a, b, beta, alpha):
    return _scaled(x, beta, a.mv(b), alpha)


@decomposition("baddbmm")
def _(x, a, b, beta, alpha):
    return _scaled(x, beta, a.bmm(b), alpha)


@decomposition("addbmm")
def _(x, a, b, beta, alpha):
    return _scaled(x, beta, a.bmm(b).sum(0), alpha)


@decomposition("addr")
def _(x, a, b, beta, alpha):
    return _scaled(x, beta, a.unsqueeze(1) * b, alpha)


def leading(level, rec, inner, batched):
    """Ops on the last dimensions of stacks of matrices: the batch is one more dimension in front."""
    args = list(inner)
    where = [i for i in rec.tensor_args if isinstance(inner[i], Tensor)]
    rank = max(rank_of(inner[i], batched[i]) for i in where)
    for i in where:
        args[i] = aligned(front(level, inner[i], batched[i]), True, rank)
    if len(where) > 1:
        shapes = {args[i]._a.shape[:-2] for i in where}
        if len(shapes) > 1 and rec.name != "_cdist_forward":
            return NotImplemented
    return invoke(rec, *args)


for _key, _rec in RECORDS.items():
    if _rec.kind == "kernel" and getattr(_rec, "module", "").startswith("rushlight.ops.linalg.") and _rec.name not in (
            "linalg_pinv", "linalg_ldl_solve"):
        RULES[_key] = leading
RULES["_cdist_forward"] = leading
