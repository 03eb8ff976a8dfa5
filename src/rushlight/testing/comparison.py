"""``assert_close``: whether two tensors, numbers, or nested collections of them agree, and where they don't.

Elements agree when ``|actual - expected| <= atol + rtol * |expected|``.
"""

import cmath
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

import rushlight as torch

__all__ = ["assert_allclose", "assert_close", "default_tolerances"]

_TOLERANCES = {torch.float16: (1e-3, 1e-5), torch.bfloat16: (1.6e-2, 1e-5), torch.float32: (1.3e-6, 1e-5),
               torch.float64: (1e-7, 1e-7), torch.complex64: (1.3e-6, 1e-5), torch.complex128: (1e-7, 1e-7)}
_LOOSE = {torch.float16: (1e-3, 1e-3), torch.float32: (1e-4, 1e-5), torch.float64: (1e-5, 1e-8)}
_NUMBER_TYPES = (int, float, complex, np.number)


class _Mismatch(Exception):
    """A disagreement: what is wrong, and the indices that lead to it."""

    def __init__(self, message, path=()):
        self.message, self.path = message, path

    def __str__(self):
        if not self.path:
            return self.message
        where = "".join(f"[{k!r}]" for k in self.path)
        return f"{self.message}\n\nThe failure occurred for item {where}"


class _Options:
    """The arguments of `assert_close`, as the comparisons read them."""

    def __init__(self, allow_subclasses, rtol, atol, equal_nan, device, dtype, layout, stride):
        self.allow_subclasses, self.rtol, self.atol, self.equal_nan = allow_subclasses, rtol, atol, equal_nan
        self.device, self.dtype, self.layout, self.stride = device, dtype, layout, stride


def default_tolerances(*inputs, dtype_precisions=None):
    """The largest (rtol, atol) among those of the inputs' types; (0, 0) for integers and bool."""
    table = _TOLERANCES if dtype_precisions is None else dtype_precisions
    kinds = [x.dtype if isinstance(x, torch.Tensor) else x for x in inputs]
    pairs = [table.get(k, (0.0, 0.0)) for k in kinds]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def _tolerances(options, *kinds):
    if options.rtol is None:
        return default_tolerances(*kinds)
    return options.rtol, options.atol


def assert_close(actual, expected, *, allow_subclasses=True, rtol=None, atol=None, equal_nan=False,
                 check_device=True, check_dtype=True, check_layout=True, check_stride=False, msg=None):
    """AssertionError unless `actual` and `expected` agree.

    Args:
        actual, expected: tensors, things that become tensors (both of one kind, such as ndarrays), numbers, None,
            or sequences and mappings of all these.
        allow_subclasses: whether types need only be related, rather than the same.
        rtol, atol: tolerances, both or neither; by default those of the types, see `default_tolerances`.
        equal_nan: whether NaNs agree with each other.
        check_device, check_dtype, check_layout, check_stride: which attributes of tensors must agree.
        msg: the message of the error, or a function that makes it of the generated one.

    ValueError when one tolerance is given alone; TypeError for what can't be compared.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("Both 'rtol' and 'atol' must be either specified or omitted, but got no "
                         f"{'rtol' if rtol is None else 'atol'}.")
    options = _Options(allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride)
    pairs = []
    try:
        _collect(actual, expected, (), options, pairs)
        for compare, a, e, path in pairs:
            try:
                compare(a, e, options)
            except _Mismatch as wrong:
                raise _Mismatch(wrong.message, path) from None
    except _Mismatch as wrong:
        text = str(wrong)
    else:
        return
    raise AssertionError(text if msg is None else msg(text) if callable(msg) else msg)


def _collect(actual, expected, path, options, pairs):
    """Append (comparison, actual, expected, path) for every leaf; shapes of collections must agree."""
    def both(kind):
        return isinstance(actual, kind) and isinstance(expected, kind)
    if both(Sequence) and not isinstance(actual, str) and not isinstance(expected, str):
        if len(actual) != len(expected):
            raise _Mismatch(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        for i, (a, e) in enumerate(zip(actual, expected)):
            _collect(a, e, (*path, i), options, pairs)
        return
    if both(Mapping):
        missing, more = expected.keys() - actual.keys(), actual.keys() - expected.keys()
        if missing or more:
            raise _Mismatch("The keys of the mappings do not match:\nMissing keys in the actual mapping: "
                            f"{sorted(missing, key=repr)}\nAdditional keys in the actual mapping: "
                            f"{sorted(more, key=repr)}", path)
        for k in sorted(actual, key=lambda k: list(expected).index(k)):
            _collect(actual[k], expected[k], (*path, k), options, pairs)
        return
    compare = _comparison(actual, expected, options)
    if compare is None:
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
    pairs.append((compare, actual, expected, path))


def _comparison(actual, expected, options):
    """The function that compares two leaves, or None."""
    if actual is None or expected is None:
        return _compare_none
    if isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
        return _compare_bools
    if isinstance(actual, _NUMBER_TYPES) and isinstance(expected, _NUMBER_TYPES):
        return _compare_numbers
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if type(actual) is type(expected) or options.allow_subclasses and related:
        if isinstance(actual, (torch.Tensor, np.ndarray)) or hasattr(actual, "__array_interface__"):
            return _compare_tensors
    return None


def _compare_none(actual, expected, options):
    if actual is not expected:
        raise _Mismatch(f"None mismatch: {actual} is not {expected}")


def _compare_bools(actual, expected, options):
    if bool(actual) is not bool(expected):
        raise _Mismatch(f"Booleans mismatch: {bool(actual)} is not {bool(expected)}")


_KINDS = {int: torch.int64, float: torch.float64, complex: torch.complex128}


def _compare_numbers(actual, expected, options):
    actual, expected = (x.item() if isinstance(x, np.number) else x for x in (actual, expected))
    if options.dtype and type(actual) is not type(expected):
        raise _Mismatch(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    rtol, atol = _tolerances(options, *(_KINDS.get(type(x), torch.int64) for x in (actual, expected)))
    if not _close(actual, expected, rtol, atol, options.equal_nan):
        raise _Mismatch(_about_numbers(actual, expected, rtol, atol))


def _close(actual, expected, rtol, atol, equal_nan):
    if actual == expected:
        return True
    if equal_nan and cmath.isnan(actual) and cmath.isnan(expected):
        return True
    if not (cmath.isfinite(actual) and cmath.isfinite(expected)):
        return False
    return abs(actual - expected) <= atol + rtol * abs(expected)


def _about_numbers(actual, expected, rtol, atol):
    difference = abs(actual - expected)
    relative = float("inf") if expected == 0 else difference / abs(expected)
    exact = rtol == 0 and atol == 0
    lines = [f"Scalars are not {'equal' if exact else 'close'}!", "", f"Expected {expected} but got {actual}.",
             f"Absolute difference: {difference}" + ("" if exact else f" (up to {atol} allowed)"),
             f"Relative difference: {relative}" + ("" if exact else f" (up to {rtol} allowed)")]
    return "\n".join(lines)


def _compare_tensors(actual, expected, options):
    actual, expected = (x if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in (actual, expected))
    _compare_attributes(actual, expected, options)
    actual, expected = actual.detach(), expected.detach()
    if actual.layout is not torch.strided or expected.layout is not torch.strided:
        actual, expected = (x if x.layout is torch.strided else x.to_dense() for x in (actual, expected))
    if actual.device != expected.device:
        actual, expected = actual.cpu(), expected.cpu()
    rtol, atol = _tolerances(options, actual, expected)
    if actual.dtype is not expected.dtype:
        common = torch.promote_types(actual.dtype, expected.dtype)
        actual, expected = actual.to(common), expected.to(common)
    if actual.is_meta:
        return
    agree = torch.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=options.equal_nan)
    if not bool(agree.all()):
        if not actual.dim():
            raise _Mismatch(_about_numbers(actual.item(), expected.item(), rtol, atol))
        raise _Mismatch(_about_tensors(actual, expected, agree, rtol, atol))


def _compare_attributes(actual, expected, options):
    def differ(name, a, e):
        return _Mismatch(f"The values for attribute '{name}' do not match: {a} != {e}.")
    if actual.shape != expected.shape:
        raise differ("shape", actual.shape, expected.shape)
    for name, checked in (("layout", options.layout), ("device", options.device), ("dtype", options.dtype)):
        a, e = getattr(actual, name), getattr(expected, name)
        if checked and a != e:
            raise differ(name, a, e)
    if options.stride and actual.layout is torch.strided and actual.stride() != expected.stride():
        raise differ("stride()", actual.stride(), expected.stride())
    if (actual.is_meta or expected.is_meta) and actual.device != expected.device:
        raise differ("device", actual.device, expected.device)


def _about_tensors(actual, expected, agree, rtol, atol):
    total, wrong = agree.numel(), int((~agree).sum())
    exact = rtol == 0 and atol == 0
    if not actual.dtype.is_floating_point and not actual.dtype.is_complex:
        actual, expected = actual.to(torch.int64), expected.to(torch.int64)
    difference = (actual - expected).abs()
    relative = difference / expected.abs()
    lines = [f"Tensor-likes are not {'equal' if exact else 'close'}!", "",
             f"Mismatched elements: {wrong} / {total} ({wrong / total:.1%})"]
    for name, values, allowed in (("absolute", difference, atol), ("relative", relative, rtol)):
        values = values.masked_fill(agree, 0).flatten()
        at = int(values.argmax())
        index = tuple(int(i) for i in np.unravel_index(at, agree.shape))
        lines.append(f"Greatest {name} difference: {values[at].item()} at index {index}"
                     + ("" if exact else f" (up to {allowed} allowed)"))
    return "\n".join(lines)


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """The looser comparison of old: use `assert_close`."""
    warnings.warn("`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
                  "Please use `torch.testing.assert_close()` instead.", FutureWarning, stacklevel=2)
    actual, expected = (x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in (actual, expected))
    if rtol is None and atol is None:
        rtol, atol = default_tolerances(actual, expected, dtype_precisions=_LOOSE)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False,
                 check_stride=False, msg=msg or None)
