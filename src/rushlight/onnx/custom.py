"""Mappings that users give to ops, as functions of a graph: ``fn(g, *arguments)`` with ``g.op("Add", x, y, k_i=1)``."""

import numpy as np

from rushlight.record import RECORDS

from . import mappings
from .errors import OnnxExporterError

_before = {}


class GraphContext:
    """What such a function makes nodes with."""

    def __init__(self, builder):
        self.builder, self.opset = builder, builder.opset

    def op(self, kind, *inputs, outputs=1, **attributes):
        """Add a node. Attributes end in their type: ``_i`` int(s), ``_f`` float(s), ``_s`` text(s), ``_t`` tensor."""
        domain, _, name = kind.rpartition("::")
        facts = {}
        for key, value in attributes.items():
            base, _, code = key.rpartition("_")
            if code == "t":
                value = np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)
            elif code not in ("i", "f", "s"):
                raise OnnxExporterError(f"attribute '{key}' of {kind} says no type: end it in _i, _f, _s or _t")
            facts[base] = value
        inputs = [x if x is None or hasattr(x, "name") or isinstance(x, str) else np.asarray(x) for x in inputs]
        return self.builder.node(name, inputs, outputs, domain, facts)


def _keys(symbolic_name):
    name = symbolic_name.partition("::")[2]
    if "::" not in symbolic_name or not name:
        raise OnnxExporterError(f"'{symbolic_name}' is no name of an operator: domain::name")
    mappings.load()
    return [k for k in RECORDS if k == name or k.partition(".")[0] == name]


def register_custom_op_symbolic(symbolic_name, symbolic_fn, opset_version):
    """Let ``symbolic_fn(g, *arguments)`` make the nodes of an operator, ``"aten::name"``, from now on.

    Args:
        symbolic_name (str): the operator.
        symbolic_fn: gets a graph `g` and the operator's arguments, tensors as values of the graph; returns values.
        opset_version (int): accepted; the function serves all versions.

    Raises OnnxExporterError where there is no such operator.
    """
    keys = _keys(symbolic_name)
    if not keys:
        raise OnnxExporterError(f"there is no operator {symbolic_name}")

    def made(b, *args):
        return symbolic_fn(GraphContext(b), *args)
    made.raw = True
    for k in keys:
        _before.setdefault(k, RECORDS[k].onnx)
        RECORDS[k].onnx = made


def unregister_custom_op_symbolic(symbolic_name, opset_version):
    """Take back what `register_custom_op_symbolic` did."""
    for k in _keys(symbolic_name):
        if k in _before:
            RECORDS[k].onnx = _before.pop(k)
