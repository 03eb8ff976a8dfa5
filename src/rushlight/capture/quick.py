"""The check and the call of one program as straight code, for calls with plain positional arguments.

    quick(entry, args, modes) -> function(args): what the call returns, or NO where the program may not run
"""

from .. import dtypes
from ..autograd.modes import state
from ..tensor import watch
from ..tensor.tensor import Tensor
from . import tree

NO = object()


def quick(entry, args, made, read):
    """See the module's text; None for arguments that want the long way. `made` and `read` mark tensors and numbers in
    ``entry.fixed``."""
    if not all(isinstance(x, Tensor) and x._view is None for x in args):
        return None
    scope = {"NO": NO, "state": state, "watch": watch, "default": dtypes.default, "grad": state.grad,
             "float": dtypes.default.float, "run": entry.run, "lock": entry.lock, "unchanged": entry.unchanged,
             "holds": entry.holds}
    lines = [f"if len(args) != {len(args)}: return NO"]
    names = [f"a{i}" for i in range(len(args))]
    if names:
        lines.append(f"{', '.join(names)}, = args")
    tests = ["state.special", "watch.listener is not None", "state.grad is not grad", "default.float is not float"]
    for n, x in zip(names, args):
        scope |= {f"{n}_type": type(x), f"{n}_dtype": x.dtype, f"{n}_shape": x._a.shape, f"{n}_strides": x._a.strides}
        tests += [f"type({n}) is not {n}_type", f"{n}.dtype is not {n}_dtype", f"(m := {n}._a).shape != {n}_shape",
                  f"m.strides != {n}_strides", f"{n}._offset != {x._offset}", f"{n}._view is not None",
                  f"{n}._bits != {x._bits}", f"{n}._requires_grad is not {x._requires_grad}"]
    for i, n in enumerate(names):
        tests += [f"{n}._storage is {other}._storage" for other in names[:i]]
    for k, (t, s, owner) in enumerate(entry.memory):
        scope |= {f"t{k}": t, f"s{k}": s, f"o{k}": owner}
        tests += [f"t{k}._storage is not s{k}", f"s{k}.owner is not o{k}"]
    for k, (leaf, g) in enumerate(entry.gradients):
        scope |= {f"l{k}": leaf, f"g{k}": g}
        tests.append(f"l{k}._grad is not g{k}")
    tests += ["not unchanged() and not holds()", "not lock.acquire(False)"]
    lines += [f"if {' or '.join(tests)}: return NO", "try:", f"    made = run({', '.join(names)})", "finally:",
              "    lock.release()"]
    if entry.plan is not None:
        scope["plan"] = entry.plan
        recorded = ", ".join(f"made[{i}]" for i in entry.recorded)
        lines.append(f"plan.attach([{recorded}], made[{entry.results}:], args)")
    counter = iter(range(entry.results))
    values = []
    for k, x in enumerate(entry.fixed):
        if x is made or x is read:
            values.append(f"made[{next(counter)}]" + (".item()" if x is read else ""))
        else:
            scope[f"v{k}"] = x
            values.append(f"v{k}")
    if entry.structure is None:
        lines.append(f"return {values[0]}")
    else:
        scope |= {"unflatten": tree.unflatten, "structure": entry.structure}
        lines.append(f"return unflatten([{', '.join(values)}], structure)")
    body = "\n    ".join(lines)
    exec(compile(f"def call(args):\n    {body}", f"{__file__}: call", "exec"), scope)
    return scope["call"]
