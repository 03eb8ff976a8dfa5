"""Copies of graphs, and graphs with the functions that they call put in."""

from .graph import Block, Graph, Node, Value


def copy_graph(graph):
    """A copy; attributes are shared."""
    new = Graph()
    new._count, new._names = graph._count, dict(graph._names)
    copy_block(graph.block_, new.block_, {}, new)
    return new


def copy_block(old, new, values, graph, fresh=False):
    """Copy parameters, nodes and returns of a block; values: {id of an old value: the new one}."""
    for p in old.params:
        if id(p) not in values:
            q = Value(p.type, None, graph.next() if fresh else p.unique, graph.unique(p.name) if fresh and p.name
                      else p.name)
            values[id(p)] = q
            new.params.append(q)
    copy_nodes(old.nodes, new, values, graph, fresh)
    new.returns = [values.get(id(v), v) for v in old.returns]
    new.ended = old.ended


def copy_nodes(nodes, block, values, graph, fresh=False):
    """Append copies of nodes to a block."""
    for n in nodes:
        m = Node(n._kind, [values.get(id(v), v) for v in n._inputs], dict(n.attributes), n.range, n.schema, block)
        m.scope = n.scope
        for v in n._outputs:
            w = Value(v.type, m, graph.next() if fresh else v.unique, (graph.unique(v.name) if fresh else v.name)
                      if v.name else None)
            values[id(v)] = w
            m._outputs.append(w)
        for b in n._blocks:
            c = Block(graph, m)
            m._blocks.append(c)
            copy_block(b, c, values, graph, fresh)
        block.nodes.append(m)


def inlined(graph):
    """A copy in which calls of compiled functions and methods are replaced by what they do."""
    new = copy_graph(graph)
    stack = [new.block_]
    while stack:
        block = stack.pop()
        changed = True
        while changed:
            changed = False
            for i, n in enumerate(block.nodes):
                callee = target(n)
                if callee is not None:
                    inputs = n._inputs[1:] if n._kind == "prim::CallFunction" else n._inputs
                    values = {id(p): v for p, v in zip(callee.graph.block_.params, inputs)}
                    holder = Block(new)
                    copy_block(callee.graph.block_, holder, values, new, True)
                    replace(new.block_, n._outputs[0], holder.returns[0])
                    for m in holder.nodes:
                        m.owner = block
                    block.nodes[i:i + 1] = holder.nodes
                    changed = True
                    break
        for n in block.nodes:
            stack.extend(n._blocks)
    from .cleaning import clean
    clean(new)
    return new


def target(n):
    """The compiled function that a node calls, if it can be put in its place."""
    if n._kind == "prim::CallFunction":
        f = n._inputs[0].node.attributes.get("_function") if n._inputs[0].node is not None else None
    elif n._kind == "prim::CallMethod" and hasattr(n._inputs[0].type, "attributes"):
        f = n._inputs[0].type.method(n.attributes["name"])
    else:
        return None
    return f if f is not None and f.graph is not None else None


def replace(block, old, new):
    """Let everything that reads `old` read `new`."""
    stack = [block]
    while stack:
        b = stack.pop()
        for n in b.nodes:
            n._inputs = [new if v is old else v for v in n._inputs]
            stack.extend(n._blocks)
        b.returns = [new if v is old else v for v in b.returns]
