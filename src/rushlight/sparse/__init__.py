"""``torch.sparse``: tensors that keep only some of their elements.

Coordinates (`sparse_coo`), and compressed rows or columns of elements or blocks (`sparse_csr`, `sparse_csc`,
`sparse_bsr`, `sparse_bsc`). Such a tensor is a `Tensor` like others; see ``arrays.py`` for how it is kept.
"""

from .checks import as_sparse_gradcheck, check_sparse_tensor_invariants
from .creation import spdiags
from .products import addmm, mm, sampled_addmm
from .reductions import log_softmax, softmax, sum


class SparseSemiStructuredTensor:
    """2:4 sparse matrices for tensor cores; they exist on CUDA devices only: NotImplementedError."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__}: 2:4 sparsity needs a CUDA device")


class SparseSemiStructuredTensorCUTLASS(SparseSemiStructuredTensor):
    """The CUTLASS form; NotImplementedError."""


class SparseSemiStructuredTensorCUSPARSELT(SparseSemiStructuredTensor):
    """The cuSPARSELt form; NotImplementedError."""


def to_sparse_semi_structured(original_tensor, transposed=False, alg_id=0):
    """2:4 sparsity needs a CUDA device: RuntimeError for tensors elsewhere."""
    if transposed:
        import warnings
        warnings.warn("Setting transpose from `to_sparse_semi_structured` is deprecated and will be removed in a "
                      "future release.", FutureWarning, stacklevel=2)
    raise RuntimeError(f"Error original_tensor.device= {original_tensor.device} is not supported! Only CUDA tensors "
                       "are currently supported.")


def spsolve(input, other, *, left=True):
    """The solution of a sparse linear system; NotImplementedError on the CPU, as in PyTorch."""
    raise NotImplementedError("spsolve: sparse linear systems are solved on CUDA devices only")


__all__ = ["SparseSemiStructuredTensor", "SparseSemiStructuredTensorCUSPARSELT", "SparseSemiStructuredTensorCUTLASS",
           "addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax", "mm", "sampled_addmm",
           "softmax", "spdiags", "spsolve", "sum", "to_sparse_semi_structured"]
