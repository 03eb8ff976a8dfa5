"""Simplifies graphs: what constants decide is decided, and batch normalization goes into the convolution before it."""

import rushlight as torch

from .cleaning import PURE, clean
from .copying import copy_nodes, replace
from .functions import Function
from .graph import Block, Builder, Graph, constant_of, constant_type, walk
from .types import NONE, TENSOR, is_subtype

_CONVOLUTIONS = ("aten::conv1d", "aten::conv2d", "aten::conv3d")


def simplify(graph):
    """Fold constants and branches until nothing changes."""
    while _branches(graph.block_, graph) | _constants(graph):
        clean(graph)
    clean(graph)


def _constants(graph):
    changed = False
    for n in list(walk(graph.block_)):
        if n._kind == "prim::Constant" or len(n._outputs) != 1:
            continue
        if n._kind == "prim::unchecked_cast":
            if not is_subtype(n._inputs[0].type, n._outputs[0].type):
                continue
            replace(graph.block_, n._outputs[0], n._inputs[0])
            changed = bool(n.owner is not None and _remove(n)) or changed
            continue
        known = [constant_of(v) for v in n._inputs]
        if n._kind in ("aten::__is__", "aten::__isnot__") and known[1] == (True, None) and not is_subtype(
                NONE, n._inputs[0].type):
            changed |= _put(graph, n, n._kind == "aten::__isnot__")
            continue
        if n._kind not in PURE or n._blocks or not known or not all(k for k, _ in known) or n._kind == "prim::GetAttr":
            continue
        try:
            value = _evaluate(n)
        except Exception:
            continue                        # it raises when it is run, as it would have
        if constant_type(value) is not None and not isinstance(value, (list, tuple)):
            changed |= _put(graph, n, value)
    return changed


def _evaluate(n):
    graph = Graph()
    b = Builder(graph)
    values = {id(v): b.constant(constant_of(v)[1], None, v.type) for v in n._inputs}
    copy_nodes([n], graph.block_, values, graph, True)
    graph.block_.returns = [values[id(n._outputs[0])]]
    return Function("folded", "folded", graph, [], n._outputs[0].type).run()


def _put(graph, n, value):
    """A constant in the place of a node."""
    block = _block_of(graph.block_, n)
    if block is None:
        return False
    sink = Block(graph)
    out = Builder(graph, sink).constant(value, n.range)
    block.nodes[block.nodes.index(n):block.nodes.index(n) + 1] = sink.nodes
    sink.nodes[0].owner = block
    replace(graph.block_, n._outputs[0], out)
    return True


def _remove(n):
    if n in n.owner.nodes:
        n.owner.nodes.remove(n)
        return True
    return False


def _block_of(block, n):
    stack = [block]
    while stack:
        b = stack.pop()
        if n in b.nodes:
            return b
        for m in b.nodes:
            stack.extend(m._blocks)
    return None


def _branches(block, graph):
    """Put the branch that is taken in the place of an if whose condition is known."""
    changed, stack = False, [block]
    while stack:
        b = stack.pop()
        i = 0
        while i < len(b.nodes):
            n = b.nodes[i]
            known, value = constant_of(n._inputs[0]) if n._kind == "prim::If" else (False, None)
            if known:
                taken = n._blocks[0 if value else 1]
                for m in taken.nodes:
                    m.owner = b
                b.nodes[i:i + 1] = taken.nodes
                for o, r in zip(n._outputs, taken.returns):
                    replace(graph.block_, o, r)
                changed = True
                continue
            stack.extend(n._blocks)
            i += 1
    return changed


def fold_batch_norms(graph):
    """conv(x; w, b) then batch_norm(.; γ, β, μ, σ²) is conv(x; w γ/√(σ²+ε), (b - μ) γ/√(σ²+ε) + β)."""
    reads = {}
    for n in walk(graph.block_):
        for v in n._inputs:
            if n._kind not in ("aten::dim", "aten::size"):      # the sizes stay
                reads[id(v)] = reads.get(id(v), 0) + 1
    for n in list(graph.block_.nodes):
        if n._kind != "aten::batch_norm":
            continue
        conv = n._inputs[0].node
        if conv is None or conv._kind not in _CONVOLUTIONS or reads.get(id(n._inputs[0])) != 1:
            continue
        known = [constant_of(v) for v in (*conv._inputs[1:3], *n._inputs[1:6], n._inputs[7])]
        if not all(k for k, _ in known):
            continue
        weight, bias, gamma, beta, mean, var, training, eps = [v for _, v in known]
        if training or mean is None or var is None:
            continue
        with torch.no_grad():
            scale = torch.rsqrt(var + eps)
            if gamma is not None:
                scale = scale * gamma
            shape = [-1] + [1] * (weight.dim() - 1)
            offset = -mean * scale if bias is None else (bias - mean) * scale
            if beta is not None:
                offset = offset + beta
            new = weight * scale.reshape(shape), offset
        block = Block(graph)
        made = [Builder(graph, block).constant(t.detach(), n.range, TENSOR) for t in new]
        at = graph.block_.nodes.index(conv)
        graph.block_.nodes[at:at] = block.nodes
        for m in block.nodes:
            m.owner = graph.block_
        conv._inputs[1], conv._inputs[2] = made
        replace(graph.block_, n._outputs[0], conv._outputs[0])
        graph.block_.nodes.remove(n)
    clean(graph)
