"""Symbolic derivatives of scalar expressions.

Forward accumulation over the DAG: each node's derivative is built once from its arguments'.  ``None``
stands for a derivative that is zero everywhere, so nothing is ever multiplied by a literal zero, and
``where`` differentiates to ``where``: a branch that overflows does not reach the result as 0 * inf.
"""

from math import log, pi, sqrt

from rushlight.compiler import scalar as s
from rushlight.compiler.expr import constant, substitute, topological

_ZERO_DERIVATIVE = frozenset(
    "floor ceil trunc round sign signbit isnan eq ne lt le gt ge and or xor not shl shr "
    "const input scalar".split()
)


def derivative(e, var, saved_output=None):
    """d e / d var as an expression, or None where it is zero everywhere.

    ``saved_output``: an expression that stands for the value of ``e``; it replaces ``e`` wherever the
    derivative would use it (tanh, exp, sigmoid, sqrt ... are differentiated in terms of their result).
    Conventions at kinks are PyTorch's: |x|' = 0 at 0, minimum and maximum split ties evenly, fmin and
    fmax give ties to the first.
    """
    grads = {}
    for n in topological([e]):
        if n is var:
            grads[n.uid] = constant(1.0)
        elif n.kind != "f" or n.op in _ZERO_DERIVATIVE:
            grads[n.uid] = None
        else:
            d = [grads[a.uid] for a in n.args]
            if all(x is None for x in d):
                grads[n.uid] = None
            elif n.op in RULES:
                grads[n.uid] = RULES[n.op](n, *n.args, *d)
            else:
                raise NotImplementedError(f"derivative of {n.op}")
    result = grads[e.uid]
    if result is not None and saved_output is not None:
        result = substitute(result, [(e, saved_output)])
    return result


def _plus(a, b):
    return b if a is None else a if b is None else a + b


def _minus(a, b):
    return a if b is None else -b if a is None else a - b


def _times(factor, d):
    return None if d is None else factor * d


def _select(condition, a, b):
    if a is None and b is None:
        return None
    return s.where(condition, constant(0.0) if a is None else a, constant(0.0) if b is None else b)


def _div(y, a, b, da, db):
    first = None if da is None else da / b
    return _minus(first, None if db is None else db * (y / b))


def _pow(y, a, b, da, db):
    first = None
    if da is not None:
        # x ** 0 is 1 for every x: its slope is 0 even where x ** -1 is infinite.
        slope = b * s.pow(a, b - 1.0)
        first = (slope if b.op == "const" and b.attr != 0 else s.where(b == 0, 0.0, slope)) * da
    second = None
    if db is not None:
        second = s.where(s.logical_and(a == 0, b >= 0), 0.0, y * s.log(a)) * db
    return _plus(first, second)


def _extremum(first_wins):
    def rule(y, a, b, da, db):
        half = _times(0.5, _plus(da, db))
        return _select(a == b, half, _select(first_wins(a, b), da, db))

    return rule


def _hypot(y, a, b, da, db):
    return _plus(_times(a / y, da), _times(b / y, db))


def _atan2(y, a, b, da, db):
    norm = a * a + b * b
    return _minus(_times(b / norm, da), _times(a / norm, db))


def _fma(y, a, b, c, da, db, dc):
    return _plus(_plus(_times(b, da), _times(a, db)), dc)


RULES = {
    "add": lambda y, a, b, da, db: _plus(da, db),
    "sub": lambda y, a, b, da, db: _minus(da, db),
    "mul": lambda y, a, b, da, db: _plus(_times(b, da), _times(a, db)),
    "div": _div,
    "neg": lambda y, a, d: -d,
    "abs": lambda y, a, d: s.sign(a) * d,
    "fma": _fma,
    "pow": _pow,
    "where": lambda y, c, a, b, dc, da, db: _select(c, da, db),
    "quantize": lambda y, a, d: d,
    "exp": lambda y, a, d: y * d,
    "exp2": lambda y, a, d: y * log(2.0) * d,
    "expm1": lambda y, a, d: (y + 1.0) * d,
    "log": lambda y, a, d: d / a,
    "log2": lambda y, a, d: d / (a * log(2.0)),
    "log10": lambda y, a, d: d / (a * log(10.0)),
    "log1p": lambda y, a, d: d / (a + 1.0),
    "sqrt": lambda y, a, d: d / (2.0 * y),
    "rsqrt": lambda y, a, d: -0.5 * (y * y * y) * d,
    "sin": lambda y, a, d: s.cos(a) * d,
    "cos": lambda y, a, d: -s.sin(a) * d,
    "tan": lambda y, a, d: (1.0 + y * y) * d,
    "asin": lambda y, a, d: s.rsqrt(1.0 - a * a) * d,
    "acos": lambda y, a, d: -s.rsqrt(1.0 - a * a) * d,
    "atan": lambda y, a, d: d / (1.0 + a * a),
    "sinh": lambda y, a, d: s.cosh(a) * d,
    "cosh": lambda y, a, d: s.sinh(a) * d,
    "tanh": lambda y, a, d: (1.0 - y * y) * d,
    "asinh": lambda y, a, d: s.rsqrt(a * a + 1.0) * d,
    "acosh": lambda y, a, d: s.rsqrt(a * a - 1.0) * d,
    "atanh": lambda y, a, d: d / (1.0 - a * a),
    "erf": lambda y, a, d: (2.0 / sqrt(pi)) * s.exp(-(a * a)) * d,
    "xerf_slope": lambda y, a, d: (4.0 / sqrt(pi)) * ((1.0 - a * a) * s.exp(-(a * a))) * d,
    "erfc": lambda y, a, d: (-2.0 / sqrt(pi)) * s.exp(-(a * a)) * d,
    "erfinv": lambda y, a, d: (sqrt(pi) / 2.0) * s.exp(y * y) * d,
    "sigmoid": lambda y, a, d: y * (1.0 - y) * d,
    "lgamma": lambda y, a, d: s.digamma(a) * d,
    "digamma": lambda y, a, d: s.polygamma(1, a) * d,
    "polygamma": lambda y, a, d: s.polygamma(y.attr + 1, a) * d,
    "atan2": _atan2,
    "hypot": _hypot,
    "copysign": lambda y, a, b, da, db: (
        None if da is None else s.where(a == 0, 0.0, s.sign(y) * s.sign(a)) * da
    ),
    "minimum": _extremum(lambda a, b: a < b),
    "maximum": _extremum(lambda a, b: a > b),
    "fmin": lambda y, a, b, da, db: _select(s.logical_or(a <= b, s.isnan(b)), da, db),
    "fmax": lambda y, a, b, da, db: _select(s.logical_or(a >= b, s.isnan(b)), da, db),
    "fmod": lambda y, a, b, da, db: _minus(da, _times(s.trunc(a / b), db)),
    "remainder": lambda y, a, b, da, db: _minus(da, _times(s.floor(a / b), db)),
    "cast": lambda y, a, d: d,
}


