"""Tensors as text: the `repr` of a tensor, to the letter as PyTorch prints it.

The work is done on a NumPy array and a few facts (dtype name, device, gradient function), so that
nothing here needs a tensor's own indexing. What decides the text:

* *One format for the whole tensor.* Floating values are looked at together: if every finite
  non-zero value is an integer they print as `3.`; otherwise with `precision` decimals; in
  scientific notation when the largest magnitude is over 1e8, when the ratio of the largest to the
  smallest is over 1000, or (non-integers only) when the smallest is under 1e-4. Zeros, infinities
  and NaN have no say in this, nor in the column width.
* *Summary.* Above `threshold` elements each dimension shows `edgeitems` at both ends, and only the
  shown values choose the format.
* *Suffixes* (`device=`, `size=`, `dtype=`, `requires_grad=`, `grad_fn=`) are appended where they
  say something the reader would not assume, and wrap at `linewidth`.

Real and imaginary parts of complex tensors choose their formats independently.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

import numpy as np

__all__ = [
    "format_array",
    "format_values",
    "get_printoptions",
    "printoptions",
    "set_printoptions",
    "tensor_repr",
]

_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}

_options = {**_PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None
):
    """Set how tensors are printed.

    Args:
        precision: digits after the decimal point of floating values (4).
        threshold: number of elements above which a tensor is summarised (1000).
        edgeitems: elements shown at each end of a summarised dimension (3).
        linewidth: characters a line (80).
        profile: `"default"`, `"short"` or `"full"`; sets the four above before they are applied one
            by one.
        sci_mode: True or False forces scientific notation on or off; None lets each tensor's values
            decide. Unlike the others it is set by every call, so leaving it out returns to None.
    """
    _options.update(_PROFILES.get(profile, {}))
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def get_printoptions():
    """The current print options as a dict of `precision`, `threshold`, `edgeitems`, `linewidth` and
    `sci_mode`.
    """
    return dict(_options)


@contextmanager
def printoptions(**kwargs):
    """Context manager: `set_printoptions(**kwargs)` inside, the former options afterwards."""
    former = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        _options.update(former)


class _NumberFormat:
    """The format chosen for a real array: how a value becomes text, and the column width."""

    __slots__ = ("dot", "floating", "spec", "width")

    def __init__(self, values, nan_counts=False):
        self.floating = values.dtype.kind == "f"
        self.spec, self.dot, self.width = "", False, 1
        if not self.floating:
            self.width = max((len(str(value)) for value in values.ravel().tolist()), default=1)
            return
        counts = ~np.isinf(values) if nan_counts else np.isfinite(values)
        values = values[counts & (values != 0)].astype(np.float64, copy=False)
        precision, scientific = _options["precision"], False
        integral = bool((values == np.ceil(values)).all())
        if values.size:
            magnitude = np.abs(values)
            low, high = float(magnitude.min()), float(magnitude.max())
            scientific = high / low > 1000.0 or high > 1.0e8 or (not integral and low < 1.0e-4)
        if values.size and _options["sci_mode"] is not None:
            scientific = _options["sci_mode"]
        self.spec = f".{precision}e" if scientific else ".0f" if integral else f".{precision}f"
        self.dot = integral and not scientific
        if values.size:
            spec = self.spec
            self.width = max(len(format(value, spec)) for value in values.tolist()) + self.dot

    def texts(self, values):
        """`values` (1-d) as right-aligned strings."""
        if not self.floating:
            return [str(value).rjust(self.width) for value in values.tolist()]
        spec, width = self.spec, self.width
        if not self.dot:
            return [format(value, spec).rjust(width) for value in values.tolist()]
        return [
            (format(value, spec) + ("." if finite else "")).rjust(width)
            for value, finite in zip(values.tolist(), np.isfinite(values).tolist())
        ]


class _ComplexFormat:
    """A pair of number formats: `real+imagj`."""

    __slots__ = ("imag", "real", "width")

    def __init__(self, values):
        self.real, self.imag = _NumberFormat(values.real), _NumberFormat(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def texts(self, values):
        texts = []
        for real, imag in zip(self.real.texts(values.real), self.imag.texts(values.imag)):
            imag = imag.lstrip() + "j"
            texts.append(real + imag if imag[0] in "+-" else real + "+" + imag)
        return texts


def _edges(values, edgeitems):
    """The corners of `values` that a summary shows, as one smaller array."""
    for axis, size in enumerate(values.shape):
        if size > 2 * edgeitems:
            shown = np.r_[0:edgeitems, size - edgeitems : size]
            values = values.take(shown, axis)
    return values


def _row(texts, skipped, indent, width):
    """One innermost row; `skipped` puts an ellipsis between the two halves of `texts`."""
    per_line = max(1, (_options["linewidth"] - indent) // (width + 2))
    if skipped:
        half = len(texts) // 2
        texts = [*texts[:half], " ..." if texts else "...", *texts[half:]]
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(texts, shape, skipped, indent, width):
    """Bracketed text of `texts` (the formatted elements in C order) laid out as `shape`."""
    if len(shape) == 1:
        return _row(texts, skipped[0], indent, width)
    step = len(texts) // shape[0] if shape[0] else 0
    parts = [
        _nested(texts[i * step : (i + 1) * step], shape[1:], skipped[1:], indent + 1, width)
        for i in range(shape[0])
    ]
    if skipped[0]:
        half = len(parts) // 2
        parts = [*parts[:half], "...", *parts[half:]]
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(parts) + "]"


def format_values(values, indent=0):
    """The elements of `values` as nested bracketed text, without prefix or suffix.

    Args:
        values: ndarray of any dtype NumPy or ml_dtypes has, any shape with at least one element.
        indent: columns already used on the first line; continuation lines are indented by as many.
    """
    values = np.asarray(values)
    # PyTorch takes the NaN of this type, which has neither zero nor infinity, for a finite number.
    nan_counts = values.dtype.name == "float8_e8m0fnu"
    if values.dtype.kind not in "biufc":  # ml_dtypes' kinds; float32 holds their values exactly
        values = values.astype(np.float32)
    full = values.shape
    skipped = (False,) * values.ndim
    if values.size > _options["threshold"]:
        edgeitems = _options["edgeitems"]
        values = _edges(values, edgeitems)
        skipped = tuple(size > 2 * edgeitems for size in full)
    if values.dtype.kind == "c":
        chosen = _ComplexFormat(values)
    else:
        chosen = _NumberFormat(values, nan_counts)
    texts = chosen.texts(values.ravel())
    if not values.ndim:
        return texts[0]
    return _nested(texts, values.shape, skipped, indent, chosen.width)


def _append_suffixes(text, suffixes, indent, newline=False):
    """`text` with `suffixes` after it, each on a new line where the line would be too long."""
    linewidth, out = _options["linewidth"], [text]
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if newline or column + len(suffix) + 2 > linewidth:
            out.append(",\n" + " " * indent + suffix)
            column, newline = indent + len(suffix), False
        else:
            out.append(", " + suffix)
            column += len(suffix) + 2
    return "".join(out) + ")"


def format_array(
    values,
    *,
    dtype=None,
    default_dtypes=("torch.float32", "torch.complex64"),
    device="cpu",
    shape=None,
    requires_grad=False,
    grad_fn=None,
    prefix="tensor(",
):
    """The full text of a tensor.

    Args:
        values: ndarray with the elements, or None where there are none to show (`meta`).
        dtype: the dtype's printed name, for example `"torch.float32"`; derived from `values` when
            None.
        default_dtypes: printed names of the default floating and complex dtypes, which are left
            out.
        device: printed device; `"cpu"` is left out.
        shape: the shape, needed when `values` is None.
        requires_grad: whether `requires_grad=True` is printed (when there is no `grad_fn`).
        grad_fn: name of the gradient node, printed as `grad_fn=<name>`; None for leaves.
        prefix: text before the first bracket; continuation lines align with its last line.
    """
    shape = tuple(values.shape if shape is None else shape)
    dtype = "torch." + values.dtype.name if dtype is None else dtype
    numel = 1
    for size in shape:
        numel *= size
    indent = len(prefix) - (prefix.rfind("\n") + 1)
    suffixes = []
    if device != "cpu":
        suffixes.append(f"device='{device}'")
    if values is None:
        body = "..."
        suffixes.append(f"size={shape}")
        show_dtype = dtype != default_dtypes[0]
    elif not numel:
        body = "[]"
        if len(shape) != 1:
            suffixes.append(f"size={shape}")
        show_dtype = dtype != default_dtypes[0]
    else:
        body = format_values(values, indent)
        if not _options[
            "edgeitems"
        ]:  # nothing is left of a summarised dimension, so the shape is told
            suffixes.append(f"size={shape}")
        show_dtype = dtype not in (*default_dtypes, "torch.int64", "torch.bool")
    if show_dtype:
        suffixes.append("dtype=" + dtype)
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _append_suffixes(prefix + body, suffixes, indent)


def tensor_repr(tensor, prefix=None):
    """The text of `tensor`, as `repr` shows it.

    Args:
        prefix: what stands before the first bracket; by default `tensor(`, or the class name of a
            subclass.
    """
    from rushlight import dtypes
    from rushlight.tensor.storage import MetaArray
    from rushlight.tensor.tensor import Tensor, resolve_bits

    kind = type(tensor)
    home = sys.modules.get("rushlight.nn.parameter")
    plain = kind is Tensor or home is not None and kind is home.Parameter
    if prefix is None:
        prefix = "tensor(" if plain else kind.__name__ + "("
    values = resolve_bits(tensor)
    if tensor.dtype is dtypes.complex32 and type(values) is not MetaArray:
        from rushlight.tensor.halfcomplex import widened
        values = widened(values)
    node = tensor.grad_fn
    default = dtypes.default
    text = format_array(
        None if type(values) is MetaArray else values,
        dtype=repr(tensor.dtype),
        shape=tuple(values.shape),
        default_dtypes=(repr(default.float), repr(default.complex)),
        device=str(tensor.device),
        requires_grad=tensor.requires_grad,
        grad_fn=None if node is None else type(node).__name__,
        prefix=prefix,
    )
    if not plain and home is not None and isinstance(tensor, home.Parameter):
        return f"Parameter({text})"
    return text
