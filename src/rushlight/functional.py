"""``torch.functional``: functions of the top-level namespace under an older home."""

_NAMES = frozenset("""
    atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul
    einsum istft lu meshgrid norm pca_lowrank split stft svd_lowrank tensordot unique unique_consecutive unravel_index
    """.split())
__all__ = sorted(_NAMES)


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .ops.registry import FUNCTIONS, load
    load()
    return FUNCTIONS["torch"][name]


def __dir__():
    return __all__
