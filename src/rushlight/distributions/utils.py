"""What distributions share: broadcasting of parameters, logits and probabilities, triangles as vectors."""

from functools import update_wrapper

import rushlight as torch

__all__ = ["broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property",
           "tril_matrix_to_vec", "vec_to_tril_matrix"]

euler_constant = 0.57721566490153286060     # Euler-Mascheroni


def broadcast_all(*values):
    """The values as tensors of one shape.

    Numbers take the dtype and device of the first tensor; where all are numbers, the default dtype. Anything
    else is a ValueError.
    """
    tensor_like = torch.overrides.is_tensor_like
    if not all(isinstance(v, (int, float)) or tensor_like(v) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing "
                         "__torch_function__.")
    options = {"dtype": torch.get_default_dtype()}
    for value in values:
        if isinstance(value, torch.Tensor):
            options = {"dtype": value.dtype, "device": value.device}
            break
    return torch.broadcast_tensors(
        *(v if tensor_like(v) else torch.tensor(v, **options) for v in values))


def either(probs, logits):
    """Check that one of the two ways to give probabilities was used; True for `probs`."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return probs is not None


def broadcast_odds(probs, logits):
    """(name, broadcast tensor, batch shape) of the one of `probs` and `logits` that is given.

    The batch of a plain number has no dimensions.
    """
    name = "probs" if either(probs, logits) else "logits"
    value = probs if logits is None else logits
    (tensor,) = broadcast_all(value)
    return name, tensor, torch.Size() if isinstance(value, (int, float)) else tensor.shape


def _standard_normal(shape, dtype, device):
    """Normal numbers of mean 0 and variance 1 from the default generator."""
    return torch.empty(shape, dtype=dtype, device=device).normal_()


def _sum_rightmost(value, dim):
    """`value` summed over its last `dim` dimensions."""
    if dim == 0:
        return value
    return value.reshape(value.shape[:-dim] + (-1,)).sum(-1)


def logits_to_probs(logits, is_binary=False):
    """Probabilities of logits: their softmax along the last dimension, of binary ones the sigmoid."""
    return torch.sigmoid(logits) if is_binary else torch.softmax(logits, dim=-1)


def clamp_probs(probs):
    """`probs` moved into [eps, 1 - eps], eps being the resolution of their dtype."""
    eps = torch.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs, is_binary=False):
    """Logits of probabilities: their logarithms, of binary ones log(p / (1 - p)). Both are clamped first."""
    p = clamp_probs(probs)
    return torch.log(p) - torch.log1p(-p) if is_binary else torch.log(p)


class lazy_property:
    """A property that is computed once, with gradients, and stored in the instance from then on."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        with torch.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def tril_matrix_to_vec(mat, diag=0):
    """The entries (..., n) on and below the `diag`-th diagonal of matrices (..., D, D), row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    row, column = torch.tril_indices(n, n, diag)
    return mat[..., row, column]


def vec_to_tril_matrix(vec, diag=0):
    """Lower triangular matrices (..., D, D) of vectors (..., n) that hold their entries row by row.

    n = D(D + 1)/2 for `diag` = 0; in general D + diag =: m gives n = m(m + 1)/2, with diag <= 0.
    """
    size = vec.shape[-1]
    n = round((-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * size + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2)
    if len(torch.tril_indices(n, n, diag)[0]) != size:
        raise ValueError(f"The size of last dimension is {size} which cannot be expressed as the lower triangular "
                         "part of a square D x D matrix.")
    row, column = torch.tril_indices(n, n, diag)
    mat = vec.new_zeros(vec.shape[:-1] + (n, n))
    mat[..., row, column] = vec
    return mat
