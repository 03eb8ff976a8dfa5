"""Gradients of pointwise formulas by symbolic differentiation."""

from itertools import count

from ...record import Record
from ...tensor.tensor import Tensor

_fresh = count(100)


class DerivedRule:
    """Gradient of one operand: a fused kernel for ``g * d formula / d operand``.

    `names` are what the kernel reads (and so what is saved); the kernel is a pointwise record itself,
    so its own derivatives are derived in turn.
    """

    __slots__ = ("names", "record", "n_tensors")

    def __init__(self, names, record, n_tensors):
        self.names, self.record, self.n_tensors = names, record, n_tensors

    def __call__(self, g, *values):
        native = self.record.native
        if native is not None and not g.dtype.is_complex:
            return native(g, *values)
        from .core import run
        n = self.n_tensors - 1
        operands, params = values[:n], values[n:]
        if g.dtype.is_complex or any(isinstance(v, Tensor) and v.dtype.is_complex for v in operands):
            return run(self.record, (g.conj(), *operands), params).conj()
        return run(self.record, (g, *operands), params)


class ZeroRule:
    """The formula does not depend on the operand: its gradient is zero."""

    names = ("g",)

    def __call__(self, g):
        return None


def derived_rules(rec):
    """A rule for each tensor operand of the pointwise record `rec`."""
    from ...compiler.derivative import derivative  # the package's attribute is this module while it loads
    from ...compiler.expr import input_, scalar, topological
    tensors = [a for a in rec.args if a.is_tensor]
    params = [a for a in rec.args if not a.is_tensor]
    n = len(tensors)
    rules = {}
    for i, arg in enumerate(tensors):
        def gradient(g, *xs, i=i):
            operands, out, ps = xs[:n], xs[n], xs[n + 1:]
            e = rec.formula(*operands, *ps)
            d = derivative(e, operands[i], saved_output=out if rec.saves == "result" else None)
            return None if d is None else g * d
        leaves = [input_(k, "f") for k in range(n + 2)]
        ps = [scalar(k, "f") for k in range(len(params))]
        e = gradient(leaves[0], *leaves[1:], *ps)
        if e is None:
            rules[arg.name] = ZeroRule()
            continue
        used = {id(x) for x in topological((e,))}
        read = [k for k in range(n + 1) if id(leaves[k + 1]) in used]
        used_params = [k for k in range(len(params)) if id(ps[k]) in used]
        rules[arg.name] = _rule(rec, arg, tensors, params, gradient, read, used_params)
    return rules


def _rule(rec, arg, tensors, params, gradient, read, used_params):
    n = len(tensors)
    names = ["g"] + ["out" if k == n else tensors[k].name for k in read]
    names += [params[k].name for k in used_params]

    def formula(g, *xs):
        full = [None] * (n + 1 + len(params))
        for k, x in zip(read, xs):
            full[k] = x
        for k, x in zip(used_params, xs[len(read):]):
            full[n + 1 + k] = x
        from ...compiler.expr import input_
        for k, x in enumerate(full):
            if x is None:                     # not read by the result: a leaf that nobody else uses
                full[k] = input_(next(_fresh), "f")
        return gradient(g, *full)

    own = "grad"                # the derived op's operand for what its rules call g
    while own in names:
        own += "_"
    decl = [f"Tensor {x}" for x in (own, *names[1:1 + len(read)])] + [f"Scalar {x}" for x in
                                                            names[1 + len(read):]]
    key = f"{rec.name}_{rec.overload}_{arg.name}" if rec.overload else f"{rec.name}_{arg.name}"
    key = key if key.startswith("_derived_") else "_derived_" + key
    record = Record(f"{key}({', '.join(decl)}) -> Tensor", "pointwise", vjp=None, formula=formula,
                    promote="default", node=rec.node_name.replace("0", "") + "Backward0")
    record.extra = {}
    return DerivedRule(tuple(names), record, 1 + len(read))
