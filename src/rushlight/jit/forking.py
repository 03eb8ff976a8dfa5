"""``torch.jit.fork`` in compiled code: the call becomes a graph of its own that runs at the side."""

from .graph import Graph, Value, walk
from .sugar import Python, Special, Sugar
from .types import FutureType


def fork(compiler, args, kwargs, place):
    """A ``prim::fork`` of a call, whose value is the future of its result."""
    callee, rest = args[0], args[1:]
    if isinstance(callee, Special) and callee.name == "closure":
        return _closure(compiler, callee.more, place)
    values = [v if isinstance(v, Value) else compiler.as_value(v, place) for v in rest]
    named = {k: compiler.as_value(v, place) for k, v in kwargs.items()}
    base = [callee] if isinstance(callee, Value) else [callee.value] if hasattr(callee, "value") and isinstance(
        callee.value, Value) else []
    graph = Graph()
    mapped = {}
    for v in dict.fromkeys([*base, *values, *named.values()]):
        p = graph.block_.param(v.type, v.name)
        mapped[id(v)] = p
    outer = compiler.graph, compiler.builder, compiler.frame, compiler.constants, compiler.constant_nodes
    from .graph import Builder
    from .sugar import Frame
    compiler.graph, compiler.builder = graph, Builder(graph)
    compiler.frame, compiler.constants, compiler.constant_nodes = Frame(graph.block_, None), {}, []
    try:
        inner = callee
        if isinstance(callee, Value):
            inner = mapped[id(callee)]
        elif base and isinstance(callee, Sugar) and not isinstance(callee, Python):
            inner = type(callee)(mapped[id(callee.value)], callee.type, callee.name)
        out = compiler.call_sugar(inner, [mapped[id(v)] for v in values], {k: mapped[id(v)] for k, v in named.items()},
                                  place)
        out = compiler.as_value(out, place)
        graph.block_.returns = [out]
        graph.block_.nodes[:0] = compiler.constant_nodes
    finally:
        compiler.graph, compiler.builder, compiler.frame, compiler.constants, compiler.constant_nodes = outer
    inputs = list(dict.fromkeys([*base, *values, *named.values()]))
    return compiler.builder.one("prim::fork", inputs, FutureType(out.type), place, Subgraph=graph)


def _closure(compiler, tree, place):
    """A fork as archives write it: of a function without parameters that reads variables around it."""
    from . import exits
    from .graph import Builder
    from .sugar import Frame
    graph = Graph()
    graph._count = compiler.graph._count
    outer = (compiler.graph, compiler.builder, compiler.frame, compiler.constants, compiler.constant_nodes,
             compiler.returns)
    compiler.graph, compiler.builder = graph, Builder(graph)
    compiler.frame = Frame(graph.block_, compiler.frame)
    compiler.constants, compiler.constant_nodes, compiler.returns = {}, [], None
    try:
        compiler.statements(exits.lower(tree.body))
        out = compiler.frame.values[exits.RETURN]
        graph.block_.returns = [out]
        graph.block_.nodes[:0] = compiler.constant_nodes
    finally:
        (compiler.graph, compiler.builder, compiler.frame, compiler.constants, compiler.constant_nodes,
         compiler.returns) = outer
    made, inputs = {id(v) for n in walk(graph.block_) for v in n._outputs}, {}
    made |= {id(p) for n in walk(graph.block_) for b in n._blocks for p in b.params}
    for n in walk(graph.block_):
        for v in n._inputs:
            if id(v) not in made:
                inputs.setdefault(id(v), v)
    if id(out) not in made:
        inputs.setdefault(id(out), out)
    from .copying import replace
    for v in inputs.values():
        replace(graph.block_, v, graph.block_.param(v.type, v.name))
    return compiler.builder.one("prim::fork", list(inputs.values()), FutureType(graph.block_.returns[0].type), place,
                                Subgraph=graph)
