"""The text of sparse tensors, as ``repr`` shows it."""

import rushlight as torch
from rushlight import dtypes
from rushlight.tensor import printing

from .arrays import Coo


def _array(t, prefix):
    values = t.detach().resolve_conj().resolve_neg()
    a = values._a
    if not values.numel():
        return f"{prefix}tensor([], size={tuple(values.shape)})"
    return prefix + "tensor(" + printing.format_values(a, len(prefix) + len("tensor(") + len("tensor(")) + ")"


def text(t):
    """``tensor(indices=..., values=..., size=..., nnz=..., layout=...)``."""
    parts = t._a
    name = "tensor("
    indent = " " * len(name)
    suffixes = [f"size={tuple(parts.shape)}", f"nnz={parts.nnz}"]
    default = dtypes.default
    if t.dtype not in (default.float, default.complex, torch.int64, torch.bool):
        suffixes.append(f"dtype={t.dtype}")
    suffixes.append(f"layout={parts.layout}")
    node = t.grad_fn
    if node is not None:
        suffixes.append(f"grad_fn=<{type(node).__name__}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    if type(parts) is Coo:
        body = _array(parts.indices, "indices=") + ",\n" + indent + _array(parts.values, "values=")
        return printing._append_suffixes(name + body, suffixes, len(name), newline=True)
    c, p = ("crow_indices=", "col_indices=") if parts.by_rows else ("ccol_indices=", "row_indices=")
    body = (_array(parts.compressed, c) + ",\n" + indent + _array(parts.plain, p) + ",\n" + indent
            + _array(parts.values, "values="))
    return printing._append_suffixes(name + body, suffixes, len(name))


__all__ = ["text"]
