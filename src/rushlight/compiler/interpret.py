"""Scalar expressions run by NumPy: the reference, the path of complex dtypes, and the fallback."""

import numpy as np

from rushlight.compiler.expr import topological


def evaluate(outputs, inputs, scalars=(), dtype=None):
    """The values of ``outputs`` for arrays ``inputs`` and numbers ``scalars``.

    ``dtype``: the compute dtype of float expressions (of integer ones, if it is an integer dtype);
    by default what NumPy gives for the inputs.  16-bit floats are computed in float32.
    Returns a tuple of arrays (0-dimensional ones too).
    """
    inputs = [np.asarray(x) for x in inputs]
    if dtype is None:
        floats = [x.dtype for x in inputs if x.dtype.kind in "fcV"]
        dtype = np.result_type(*floats) if floats else np.result_type(np.int8, *inputs)
    dtype = np.dtype(dtype)
    if dtype.itemsize == 2 and dtype.kind in "fV":
        dtype = np.dtype(np.float32)
    if dtype.kind in "fc":
        types = {"f": dtype, "i": np.dtype(np.int64), "b": np.dtype(bool)}
    else:
        wide = np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
        types = {"f": wide, "i": dtype, "b": np.dtype(bool)}
    values = {}
    with np.errstate(all="ignore"):
        for e in topological(outputs):
            kind = types[e.kind]
            if e.op == "const":
                value = np.asarray(e.attr).astype(kind)
            elif e.op == "input":
                value = _convert(inputs[e.attr], kind)
            elif e.op == "scalar":
                value = _convert(np.asarray(scalars[e.attr]), kind)
            elif e.op == "cast":
                value = _convert(values[e.args[0].uid], kind)
            elif e.op == "polygamma":
                value = _polygamma(e.attr, values[e.args[0].uid])
            elif e.op == "quantize":
                value = _quantize(values[e.args[0].uid], e.attr)
            else:
                value = FUNCTIONS[e.op](*[values[a.uid] for a in e.args])
                if e.kind != "f" or value.dtype.kind != "f" or kind.kind != "c":
                    value = value.astype(kind, copy=False)
            values[e.uid] = value
    return tuple(np.asarray(values[e.uid]) for e in outputs)


def _convert(x, dtype):
    if dtype.kind in "iu" and x.dtype.kind in "fV":
        # Out of range is undefined in C; NumPy's own choice is the platform's.
        return np.trunc(x.astype(np.float64)).astype(np.int64).astype(dtype)
    if dtype.kind == "b":
        return x != 0
    return x.astype(dtype, copy=False)


def _quantize(x, name):
    if name == "bfloat16":
        import ml_dtypes

        return x.astype(ml_dtypes.bfloat16).astype(x.dtype)
    return x.astype(np.float16).astype(x.dtype)


def _xerf_slope(x):
    return _special("erf")(x) + float(2 / np.sqrt(np.pi)) * x * np.exp(-(x * x))


def _special(name):
    def function(*args):
        import scipy.special

        return getattr(scipy.special, name)(*args)

    return function


def _polygamma(n, x):
    import scipy.special

    return scipy.special.polygamma(n, x).astype(x.dtype, copy=False)


def _digamma(x):
    import scipy.special

    y = scipy.special.digamma(x)
    y = np.where(x == 0, np.copysign(np.inf, -x), y)
    return np.where((x < 0) & (x == np.floor(x)), np.nan, y)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _sign(x):
    return np.where(np.isnan(x), 0, np.sign(x)) if x.dtype.kind == "f" else np.sign(x)


def _guarded(function):
    """Integer division with x / 0 = 0, which the op layer reports before it comes here."""

    def divide(a, b):
        if a.dtype.kind in "iu":
            return np.where(b == 0, 0, function(a, np.where(b == 0, 1, b)))
        return function(a, b)

    return divide


def _remainder(a, b):
    r = np.fmod(a, b)
    if a.dtype.kind in "iu":
        return np.where((r != 0) & ((r < 0) != (b < 0)), r + b, r)
    return np.where((r != 0) & ((b < 0) != (r < 0)), r + b, r)


def _floor_divide(a, b):
    if a.dtype.kind in "iu":
        return np.floor_divide(a, b)
    # Python's rule: the remainder is exact, so (a - r) / b is within half a unit of an integer.
    r = np.fmod(a, b)
    quotient = (a - r) / b
    quotient = np.where((r != 0) & ((b < 0) != (r < 0)), quotient - 1, quotient)
    whole = np.floor(quotient)
    whole = np.where(quotient - whole > 0.5, whole + 1, whole)
    whole = np.where(quotient == 0, np.copysign(np.zeros_like(quotient), a / b), whole)
    return np.where(b == 0, a / b, whole)


def _trunc_divide(a, b):
    q = np.floor_divide(a, b)
    return q + ((q < 0) & (q * b != a))


def _power(a, b):
    if a.dtype.kind == "c" and np.ndim(b):
        out = np.power(a, b)
        # By exp(b log a): no number for 0 ** 0 of two tensors, as in PyTorch.
        empty = (a == 0) & (b == 0)
        return np.where(empty, out.dtype.type(complex(np.nan, np.nan)), out) if empty.any() else out
    if a.dtype.kind not in "iu":
        return np.power(a, b)
    if a.dtype.kind == "u":
        return np.power(a, b)
    # An integer to a negative power is 1 / x ** |b| cut to an integer: 0 but for 1 and -1.
    positive = np.power(a, np.where(b < 0, 0, b))
    odd = (b & 1) != 0
    negative = np.where(a == 1, 1, np.where(a == -1, np.where(odd, -1, 1), 0))
    return np.where(b < 0, negative, positive)


def _shift(function, arithmetic):
    def shift(a, b):
        width = a.dtype.itemsize * 8
        outside = (b < 0) | (b >= width)
        safe = np.where(outside, 0, b).astype(a.dtype)
        fill = np.where(a < 0, -1, 0).astype(a.dtype) if arithmetic else np.zeros_like(a)
        return np.where(outside, fill, function(a, safe))

    return shift


FUNCTIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "abs": np.abs,
    "sign": _sign,
    "signbit": np.signbit,
    "fma": lambda a, b, c: _fma(a, b, c),
    "pow": _power,
    "where": np.where,
    "isnan": np.isnan,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shl": _shift(np.left_shift, False),
    "shr": _shift(np.right_shift, True),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "fmin": np.fmin,
    "fmax": np.fmax,
    "fmod": _guarded(np.fmod),
    "remainder": _guarded(_remainder),
    "floor_divide": _guarded(_floor_divide),
    "trunc_divide": _guarded(_trunc_divide),
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "copysign": np.copysign,
    "nextafter": np.nextafter,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "sigmoid": _sigmoid,
    "erf": _special("erf"),
    "xerf_slope": _xerf_slope,
    "erfc": _special("erfc"),
    "erfinv": _special("erfinv"),
    "lgamma": _special("gammaln"),
    "digamma": _digamma,
}


def _fma(a, b, c):
    if a.dtype == np.float32:
        # The product of two float32 is exact in float64; only the sum rounds twice, to even at worst.
        return (a.astype(np.float64) * b + c).astype(np.float32)
    return a * b + c
