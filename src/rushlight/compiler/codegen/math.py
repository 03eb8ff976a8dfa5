"""Elementary functions on vectors.

Each function is written with the arithmetic of the target's vectors (range reduction, then a
polynomial), so that all lanes, sizes and threads give the same bits; the few that are not yet are
calls of the C library, one lane at a time.
"""

from rushlight.compiler.codegen.builder import split

FUNCTIONS = {}


def emit(f, name, args):
    """The value of function ``name`` of float vectors (or scalars)."""
    function = FUNCTIONS.get(name)
    if function is not None:
        return function(f, *args)
    return per_lane(f, name, args)


def per_lane(f, name, args):
    """The C library's function, lane by lane, in double precision rounded once for float32."""
    element, lanes = split(args[0].type)

    def one(values):
        wide = [v.cast("fpext", "double") if element == "float" else v for v in values]
        y = f.call("double", name, *wide)
        return y.cast("fptrunc", "float") if element == "float" else y

    if not lanes:
        return one(args)
    result = f.value(0.0, args[0].type)
    for lane in range(lanes):
        result = f.insert(result, one([f.extract(a, lane) for a in args]), lane)
    return result


def _sigmoid(f, x):
    # 1 / (1 + e^-x): for large -x the exponential is infinite and the result 0.
    return 1.0 / (1.0 + emit(f, "exp", [-x]))


def polygamma(f, x, n):
    raise NotImplementedError(f"compiled polygamma of order {n}")


FUNCTIONS["sigmoid"] = _sigmoid
