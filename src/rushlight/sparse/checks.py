"""What a sparse tensor must satisfy, and whether constructors look (they do not unless asked, as it costs a pass)."""

import numpy as np

import rushlight as torch

_enabled = False


class check_sparse_tensor_invariants:
    """Switch checking of sparse constructors on or off: as a context, a decorator, or through the static methods.

    ``check_invariants=`` of a constructor takes precedence.
    """

    @staticmethod
    def is_enabled():
        """Whether constructors check."""
        return _enabled

    @staticmethod
    def enable():
        """Have constructors check from now on."""
        global _enabled
        _enabled = True

    @staticmethod
    def disable():
        """Have constructors check no longer."""
        global _enabled
        _enabled = False

    def __init__(self, enable=True):
        self.state = enable
        self.saved_state = None

    def __enter__(self):
        global _enabled
        if self.saved_state is not None:
            raise RuntimeError("This context manager instance is already activated. Use a different instance for "
                               "nesting")
        self.saved_state, _enabled = _enabled, self.state

    def __exit__(self, *exc):
        global _enabled
        _enabled, self.saved_state = self.saved_state, None

    def __call__(self, function):
        import functools

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with type(self)(self.state):
                return function(*args, **kwargs)
        return wrapper


def wanted(check_invariants):
    """Whether to check, given the constructor's argument."""
    return _enabled if check_invariants is None else check_invariants


def check_coo(indices, shape, is_coalesced):
    """RuntimeError for coordinates outside `shape`, or not ascending where they should be."""
    a = indices._a
    if a.size:
        low, high = a.min(axis=1), a.max(axis=1)
        for d in range(a.shape[0]):
            if low[d] < 0:
                raise RuntimeError(f"found negative index {low[d]} for dim {d}")
            if high[d] >= shape[d]:
                raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {shape[d]} but found "
                                   f"index {high[d]}")
    if is_coalesced and a.shape[1] > 1:
        from .conversion import flat_positions
        key = flat_positions(a, shape)
        if not (key[1:] > key[:-1]).all():
            raise RuntimeError("cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor")


def check_compressed(parts):
    """RuntimeError naming the first condition that a Compressed does not meet."""
    rows = parts.by_rows
    c, p = ("crow_indices", "col_indices") if rows else ("ccol_indices", "row_indices")
    r, s = parts.block or (1, 1)
    d = parts.batch
    n_rows, n_cols = parts.shape[d] // r, parts.shape[d + 1] // s
    lines, across = (n_rows, n_cols) if rows else (n_cols, n_rows)
    line, other = ("nrows", "ncols") if rows else ("ncols", "nrows")
    compressed, plain = parts.compressed._a, parts.plain._a
    if parts.compressed.dtype is not parts.plain.dtype:
        raise RuntimeError(f"{c} and {p} must have the same dtype, bot got {parts.compressed.dtype} and "
                           f"{parts.plain.dtype}, respectively")
    if compressed.dtype.kind != "i" or compressed.itemsize < 4:
        raise RuntimeError(f"{c} and {p} must be an int32 or int64 type, but got {parts.compressed.dtype}")
    if compressed.shape[-1] != lines + 1:
        raise RuntimeError(f"{c}.shape[-1] must be equal to the number of {line[1:]} + 1 as compressed dimension "
                           f"({lines + 1}), but got {compressed.shape[-1]}")
    nnz = plain.shape[-1]
    values = parts.values._a.shape
    if values[:d + 1] != (*plain.shape[:-1], nnz):
        raise RuntimeError(f"values must have shape with leading dimensions {[*plain.shape]}, but got {list(values)}")
    if (compressed[..., 0] != 0).any():
        raise RuntimeError(f"`{c}[..., 0] == 0` is not satisfied.")
    if (compressed[..., -1] != nnz).any():
        raise RuntimeError(f"`{c}[..., -1] == nnz` is not satisfied.")
    step = np.diff(compressed, axis=-1)
    if (step < 0).any() or (step > across).any():
        raise RuntimeError(f"`0 <= {c}[..., 1:] - {c}[..., :-1] <= {other}` is not satisfied.")
    if plain.size and (plain.min() < 0 or plain.max() >= across):
        raise RuntimeError(f"`0 <= {p} < {other}` is not satisfied.")
    flat = plain.reshape(-1, nnz)
    for b, bounds in enumerate(compressed.reshape(-1, compressed.shape[-1])):
        rise = np.diff(flat[b]) > 0
        starts = bounds[1:-1]
        rise[starts[(starts > 0) & (starts < nnz)] - 1] = True
        if not rise.all():
            raise RuntimeError(f"`{p}[..., {c}[..., i - 1]:{c}[..., i]] for all i = 1, ..., {line} are sorted and "
                               "distinct along the last dimension values` is not satisfied.")


def as_sparse_gradcheck(gradcheck):
    """`gradcheck` for functions of sparse inputs: they become their values and patterns, checked densely.

    Keyword ``masked`` (default False) says whether elements outside the pattern have no gradient.
    """
    def gradcheck_with_sparse_support(func, inputs, **kwargs):
        kwargs.pop("masked", None)
        from .arrays import is_sparse, with_values
        if isinstance(inputs, torch.Tensor):
            inputs = (inputs,)
        plain, forms = [], []
        for x in inputs:
            if is_sparse(x) and x.requires_grad:
                plain.append(x.detach()._a.values.clone().requires_grad_())
                forms.append(x.detach())
            else:
                plain.append(x)
                forms.append(None)

        def dense(*values):
            found = func(*[v if f is None else with_values(f, v, "SparseValuesBackward0")
                           for v, f in zip(values, forms)])
            several = isinstance(found, (tuple, list))
            found = [y.to_dense() if is_sparse(y) else y for y in (found if several else (found,))]
            return tuple(found) if several else found[0]
        return gradcheck(dense, tuple(plain), **kwargs)
    return gradcheck_with_sparse_support


__all__ = ["as_sparse_gradcheck", "check_compressed", "check_coo", "check_sparse_tensor_invariants", "wanted"]
