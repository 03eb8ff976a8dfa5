"""Pointwise ops without a mapping of their own: their formulas, operation by operation."""

from rushlight import dtypes
from rushlight.dtypes import FLOAT, INT
from rushlight.record import RECORDS

from ..builder import Operand

# Operations of formulas that are ops themselves.
_OPS = {"add": "add.Tensor", "sub": "sub.Tensor", "mul": "mul.Tensor", "div": "div.Tensor", "pow": "pow.Tensor_Tensor",
        "fmod": "fmod.Tensor", "remainder": "remainder.Tensor", "floor_divide": "div.floor",
        "trunc_divide": "div.trunc", "eq": "eq.Tensor", "ne": "ne.Tensor", "lt": "lt.Tensor", "le": "le.Tensor",
        "gt": "gt.Tensor", "ge": "ge.Tensor", "and": "bitwise_and.Tensor", "or": "bitwise_or.Tensor",
        "xor": "bitwise_xor.Tensor", "not": "bitwise_not", "shl": "bitwise_left_shift.Tensor",
        "shr": "bitwise_right_shift.Tensor", "copysign": "copysign.Tensor"}
_SAME = frozenset("""
    neg abs sign isnan minimum maximum fmin fmax atan2 hypot exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan
    asin acos atan sinh cosh tanh asinh acosh atanh floor ceil trunc round sigmoid erf erfc
    """.split())


def known(expression):
    """The key of the record that an operation is, or None."""
    return _OPS.get(expression.op) or (expression.op if expression.op in _SAME else None)


def of_record(rec):
    """The mapping that a record's formula gives; None where an operation of it has no ONNX counterpart."""
    from rushlight.compiler.expr import topological
    for kind in ("f", "i"):
        try:
            outputs = _traced(rec, kind)
        except Exception:               # a formula of floats alone
            continue
        for e in topological(outputs):
            if e.op not in ("const", "input", "scalar", "cast", "fma", "where", "signbit") and (
                    known(e) is None or RECORDS[known(e)].onnx is None):
                return None

    def mapped(b, *args):
        d = args[0].dtype
        return _made(b, _traced(rec, "f" if d.category >= FLOAT else "i" if d.category == INT else "b"), args, d)
    return mapped


def _traced(rec, kind):
    from rushlight.compiler.expr import Expr, constant, input_, scalar
    n = len(rec.tensor_args)
    args = [input_(i, kind) for i in range(n)] + [scalar(i, kind) for i in range(len(rec.args) - n)]
    out = rec.formula(*args)
    return [e if isinstance(e, Expr) else constant(e, kind) for e in (out if isinstance(out, tuple) else (out,))][:1]


def _made(b, outputs, args, d):
    """The name of the result of a formula on operands and numbers."""
    from rushlight.compiler.expr import topological
    types = {"f": d if d.category >= FLOAT else dtypes.float32, "i": d if d.category == INT else dtypes.int64,
             "b": dtypes.bool_}
    tensors = sum(isinstance(x, Operand) for x in args)
    own, values = b.key, {}
    for e in topological(outputs):
        kind = types[e.kind]
        given = [values[a.uid] for a in e.args]
        if e.op == "const":
            name = b.scalar(e.attr, kind)
        elif e.op == "input":
            name = b.as_type(args[e.attr], kind)
        elif e.op == "scalar":
            name = b.scalar(args[tensors + e.attr], kind)
        elif e.op == "cast":
            name = b.as_type(given[0], kind)
        elif e.op == "fma":
            name = b.op("Add", b.op("Mul", given[0], given[1]), given[2])
        elif e.op == "where":
            name = b.op("Where", *given)
        elif e.op == "signbit":
            name = b.op("Less", given[0], b.scalar(0, given[0].dtype))
        else:
            b.key = known(e)
            name = RECORDS[b.key].onnx(b, *given)
            b.key = own
        # Shapes within a formula are asked of nobody: all its operations go by elements.
        values[e.uid] = Operand(name, kind, ())
    return values[outputs[0].uid].name
