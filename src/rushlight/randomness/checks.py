"""What the random ops refuse, in the words PyTorch uses; and the ranges of integer draws."""

from __future__ import annotations

import warnings

from rushlight.dtypes import scalar_name

# The C++ names of element types, as error messages spell them.
C_NAMES = {
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "bool": "bool",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}

# Significant bits: the integers up to 2^bits are all representable.
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


# Smallest and largest integer that elements may be asked to hold.
LIMITS = {
    "bool": (0, 1),
    "uint8": (0, 255),
    **{f"int{n}": (-(1 << n - 1), (1 << n - 1) - 1) for n in (8, 16, 32, 64)},
    "float16": (-65504, 65504),
    "bfloat16": (-(255 << 120), 255 << 120),
    "float32": (-((1 << 24) - 1 << 104), (1 << 24) - 1 << 104),
    "float64": (-((1 << 53) - 1 << 971), (1 << 53) - 1 << 971),
}
_FINITE = {name: float(LIMITS[name][1]) for name in DIGITS}


def unimplemented(kernel, d):
    """The error for a dtype that a distribution is not made for."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(d)}'")


def real_floating(d, kernel):
    """NotImplementedError unless `d` is one of the four real floating types that kernels make."""
    if d.name not in DIGITS:
        raise unimplemented(kernel, d)


def uniform_bounds(d, low, high):
    """Bounds of `uniform_` for elements of the real type `d`."""
    limit = _FINITE.get(d.name)
    if limit is None:
        raise unimplemented("check_uniform_bounds", d)
    if -limit <= low <= high <= limit and high - low <= limit:
        return
    for name, value in (("from", low), ("to", high)):
        if not -limit <= value <= limit:
            raise RuntimeError(f"{name} is out of bounds for {C_NAMES[d.name]}")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{scalar_name(d)}>::max(), but found "
            f"to={high:g} and from={low:g} which result in to-from to exceed the limit"
        )


def normal_std(std):
    """The standard deviation of `normal_`."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def probability(p):
    """The probability of `bernoulli_`."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")


def continuous(d, name, c_names=False):
    """RuntimeError unless `d` is a floating type, for the distribution `name`."""
    if not d.is_floating_point:
        kind = C_NAMES.get(d.name, scalar_name(d)) if c_names else scalar_name(d)
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {kind}"
        )


def positive(op, name, value, shown):
    """RuntimeError unless the parameter `name` of `op` is over zero."""
    if not value > 0:
        raise RuntimeError(f"{op} expects {name} > 0.0, but found {shown}={value:g}")


def _int64(value):
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("Overflow when unpacking long long")
    return value


def _within(d, name, value):
    low, high = LIMITS[d.name]
    if not low <= value <= high:
        raise RuntimeError(f"{name} is out of bounds for {C_NAMES[d.name]}")
    digits = DIGITS.get(d.name)
    if digits is not None and abs(value) > 1 << digits:
        warnings.warn(
            f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations "
            f"{C_NAMES[d.name]} can support discrete uniform distribution only within this range. "
            "This warning will become an error in version 1.7 release, please fix the code in "
            "advance",
            stacklevel=4,
        )


def _inside(d, low, high):
    """`[low, high)` shrunk so that no end is rounded out of it by conversion to the type `d`."""
    digits = DIGITS.get(d.name)
    if digits is None:
        return low, high

    def gap(value):
        return 1 << max(abs(value).bit_length() - digits, 0)

    rounded = _rounded(d, low + 1)
    if rounded < low:
        low = rounded + gap(low + 1)
    if high is not None:
        rounded = _rounded(d, high - 1)
        if rounded >= high:
            high = rounded - gap(high - 1)
    return low, high


def _rounded(d, value):
    """The integer `value` as an element of `d` holds it."""
    return int(float(d.np.type(value)))


def integer_range(d, low, high):
    """Check `[low, high)` for elements of `d`; the range to draw from.

    `high` None means up to the largest integer of the type (floats: 2^digits), which is included.
    """
    limits = LIMITS.get(d.name)
    if limits is None:
        raise unimplemented("random_kernel_cpu", d)
    if high is not None and d.name not in DIGITS and limits[0] <= low < high <= limits[1]:
        return low, high
    _int64(low)
    if high is None:
        top = 1 << DIGITS[d.name] if d.name in DIGITS else limits[1]
        _within(d, "from", low)
        low, _ = _inside(d, low, None)
        if low >= top:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted"
                f" to dtype, but got from={low} > to_inc={top}"
            )
        return low, top + 1
    _int64(high)
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    _within(d, "from", low)
    _within(d, "to - 1", high - 1)
    low, high = _inside(d, low, high)
    if low >= high:
        raise RuntimeError(
            "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
            f"from={low} >= to={high}"
        )
    return low, high
