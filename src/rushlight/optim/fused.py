"""The update of many parameters by one native call.

This module looks behind the Tensor API (arrays, version counters, dtypes) so that a step costs
about a microsecond a parameter.  Whatever is not a plain CPU tensor is left to the tensor
operations.
"""

from numpy import ndarray

from rushlight.autograd.modes import state as modes
from rushlight.nn.parameter import Parameter
from rushlight.tensor.tensor import Tensor

# Classes whose instances are only arrays with a gradient: others may have their own
# ideas of an update.
_PLAIN = frozenset((Tensor, Parameter))
_FLOATS = ("float32", "float64", "bfloat16", "float16")


def count_up(step):
    """Add one to a step count, in place; returns it as a number."""
    a = step._a
    if type(a) is not ndarray or a.ndim:
        step += 1
        return step.item()
    count = a.item() + 1
    a[()] = count
    step._storage.version += 1
    return count


def make_kernel(formula, dtype):
    """A formula as a native kernel for parameters of a dtype; None where there cannot be one."""
    from rushlight import compiler

    name = dtype.name
    if name not in _FLOATS or not compiler.available():
        return None
    from rushlight.compiler import scalar

    slots, scalars = len(formula.slots), len(formula.scalars)
    outputs = compiler.trace(
        lambda *args: formula.update(scalar, *args), "f" * (2 + slots), "f" * scalars
    )
    return compiler.pointwise_kernel(
        outputs,
        [name] * (2 + slots),
        ["float64"] * scalars,
        [name] * (1 + slots),
        "float64" if name == "float64" else "float32",
    ).many


def update(formula, members, scalars):
    """Step the plain ones among (parameter, gradient, state) members; returns the others.

    Their version counters go up as by any in-place operation.
    """
    if modes.special:
        return members
    kernels, names = formula.kernels, formula.slots
    rows, rest = {}, []
    batch = batch_dtype = None
    for member in members:
        p, g, state = member
        dtype, a, b = p.dtype, p._a, g._a
        slots = [state[name] for name in names]
        arrays = [a]
        shape = a.shape if type(a) is ndarray else None
        plain = (
            shape is not None
            and type(p) in _PLAIN
            and not (p._bits or g._bits)
            and g.dtype is dtype
            and type(b) is ndarray
            and b.shape == shape
        )
        for slot in slots:
            x = slot._a
            if slot.dtype is not dtype or type(x) is not ndarray or x.shape != shape:
                plain = False
            arrays.append(x)
        if not plain:
            rest.append(member)
            continue
        if dtype is not batch_dtype:
            if dtype not in kernels:
                kernels[dtype] = make_kernel(formula, dtype)
            if kernels[dtype] is None:
                rest.append(member)
                continue
            batch, batch_dtype = rows.setdefault(dtype, []), dtype
        batch.append((*arrays, a, b, *arrays[1:]))
        p._storage.version += 1
        for slot in slots:
            slot._storage.version += 1
    for dtype, batch in rows.items():
        kernels[dtype](batch, scalars)
    return rest
