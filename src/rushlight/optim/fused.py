"""The update of many parameters by one native call.

This module looks behind the Tensor API (arrays, version counters, dtypes) so that a step costs
about a microsecond a parameter.  Whatever is not a plain CPU tensor is left to the tensor
operations.
"""

from functools import cache

from numpy import ndarray

from rushlight import dtypes
from rushlight.autograd.modes import state as modes
from rushlight.tensor.tensor import Tensor

# How a step finds out which rule a parameter follows: all the same, by "step" in its state, or by
# asking the optimizer.
ALIKE, COUNTED, ASKED = range(3)

# Whether a class of parameters is only arrays with a gradient; others may have their own ideas.
_plain = {Tensor: True}


def _is_plain(cls):
    plain = cls.__torch_function__.__func__ is Tensor.__torch_function__.__func__
    _plain[cls] = plain
    return plain


@cache
def _supported(dtype):
    from rushlight import compiler

    floats = (dtypes.float32, dtypes.float64, dtypes.bfloat16, dtypes.float16)
    return dtype in floats and compiler.available()


def store(tensor, value):
    """Set a 0-d tensor to a number; returns the number as the tensor's dtype has it."""
    a = tensor._a
    if type(a) is not ndarray or a.ndim:
        return tensor.detach().fill_(value).item()
    a[()] = value
    tensor._storage.version += 1
    return a.item()


@cache
def gatherer(slots, how):
    """A function (optimizer, group) -> (batches, rest) that prepares the kernel calls of a step.

    A batch is (tick, dtype, list of argument tuples): outputs (p and the slots), then inputs (p,
    its gradient, the slots).  Step counts and versions have gone up.  ``rest`` lists (p, gradient,
    tick) of parameters that are not plain: another class, dtype, shape or device, or pending
    conjugation; of these a tick is known only if it was asked for.

    The loop is written out for the names in ``slots``: with loops over them it takes twice as long.
    """
    names = [f"slot{i}" for i in range(len(slots))]
    arrays = "".join(f"array{i}, " for i in range(len(slots)))
    stateful = how != ALIKE
    different = [
        f"or slot{i}.dtype is not dtype or type(array{i}) is not ndarray or array{i}.shape != shape"
        for i in range(len(slots))
    ]
    lines = [
        "def gather(optimizer, group):",
        "    states = optimizer.state",
        "    batches, rest = [], []",
        "    tick = last = batch = batch_dtype = None",
        "    for p in group['params']:",
        "        g = p._grad",
        "        if g is None:",
        "            continue",
        *["        state = states[p]"] * stateful,
        *["        if not state: optimizer._init_state(group, p, state)"] * (how == COUNTED),
        *["        tick = optimizer._tick(group, p, state)"] * (how == ASKED),
        *[f"        {x} = state[{slot!r}]" for x, slot in zip(names, slots, strict=True)],
        "        a, b, dtype = p._a, g._a, p.dtype",
        *[f"        array{i} = {x}._a" for i, x in enumerate(names)],
        "        if (",
        "            type(a) is not ndarray or type(b) is not ndarray",
        "            or not (plain.get(type(p)) or is_plain(type(p)))",
        "            or p._bits or g._bits or g.dtype is not dtype",
        "            or b.shape != (shape := a.shape)",
        *[f"            {test}" for test in different],
        "            or not (dtype is batch_dtype or supported(dtype))",
        "        ):",
        f"            rest.append((p, g, {'tick' if how == ASKED else None}))",
        "            continue",
        *[
            "        step = state['step']",
            "        count = step._a",
            "        tick = count.item() + 1",
            "        count[()] = tick",
            "        step._storage.version += 1",
        ]
        * (how == COUNTED),
        *[f"        {x}._storage.version += 1" for x in ("p", *names)],
        "        if dtype is not batch_dtype or tick != last:",
        "            batch, batch_dtype, last = [], dtype, tick",
        "            batches.append((tick, dtype, batch))",
        f"        batch.append((a, {arrays}a, b, {arrays}))",
        "    return batches, rest",
    ]
    scope = {"ndarray": ndarray, "plain": _plain, "is_plain": _is_plain, "supported": _supported}
    exec(compile("\n".join(lines), f"{__file__}: gather {' '.join(slots)}", "exec"), scope)
    return scope["gather"]


def make_kernel(formula, dtype):
    """A formula as a native call (batch, scalars) for parameters of a dtype."""
    return kernel_of(formula, dtype).many


def kernel_of(formula, dtype):
    """A formula's pointwise kernel: new p and slots of p, its gradient and the slots."""
    from rushlight import compiler

    name = dtype.name
    slots, scalars = len(formula.slots), len(formula.scalars)
    outputs = compiler.trace(
        lambda *args: formula.update(compiler.scalar, *args), "f" * (2 + slots), "f" * scalars
    )
    return compiler.pointwise_kernel(
        outputs,
        [name] * (2 + slots),
        ["float64"] * scalars,
        [name] * (1 + slots),
        "float64" if name == "float64" else "float32",
    )


@cache
def _map_kernel(formula, scalars, dtype):
    from rushlight import compiler

    name = dtype.name
    output = compiler.trace(lambda *args: formula(compiler.scalar, *args), "f", "f" * scalars)
    compute = "float64" if name == "float64" else "float32"
    return compiler.pointwise_kernel(output, [name], ["float64"] * scalars, [name], compute).many


def map_(formula, tensors, *scalars):
    """x <- formula(s, x, *scalars) in place, in one native call a dtype.

    Returns the tensors that are not plain, unchanged.
    """
    if modes.special:
        return tensors
    batches, rest = {}, []
    for x in tensors:
        a, dtype = x._a, x.dtype
        if (
            type(a) is ndarray
            and type(x) is Tensor
            and not x._bits
            and a.flags.forc
            and _supported(dtype)
        ):
            batches.setdefault(dtype, []).append((a, a))
            x._storage.version += 1
        else:
            rest.append(x)
    for dtype, batch in batches.items():
        _map_kernel(formula, len(scalars), dtype)(batch, scalars)
    return rest
