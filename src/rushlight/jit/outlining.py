"""Gives submodules of a trace graphs of their own: what a module's call recorded becomes its method.

The nodes of a call lie together. What they read from outside become parameters, unless it is the module's own (its
parameters are read inside) or a constant; what others read of theirs are the results.
"""

import inspect

from .functions import Function, Parameter
from .graph import Builder, Graph, Value, walk
from .types import TupleType, plain


def outline(recorder, types):
    """Move the nodes of each module's call into a method of its class, innermost calls first."""
    block = recorder.graph.block_
    homes = {id(v): path for path, v in recorder.modules.items()}
    for path, nodes, inputs in recorder.calls:
        t = types.get(path)
        if not path or not nodes or t is None or t.python is not None:
            continue
        call = _Call(recorder, block, path, t, nodes, inputs, homes)
        made = call.move()
        if made is not None:
            for _, others, _ in recorder.calls:
                _exchange(others, nodes, made)


def _exchange(others, nodes, made):
    """Where a list of nodes holds those that were moved, let it hold what stands for them."""
    gone = set(map(id, nodes))
    at = next((i for i, n in enumerate(others) if id(n) in gone), None)
    if at is not None and others is not nodes:
        others[:] = [*[n for n in others[:at] if id(n) not in gone], *made,
                     *[n for n in others[at:] if id(n) not in gone]]


class _Call:
    def __init__(self, recorder, block, path, t, nodes, inputs, homes):
        self.recorder, self.block, self.path, self.t = recorder, block, path, t
        self.nodes, self.inputs, self.homes = nodes, inputs, homes

    def move(self):
        """The nodes that stand for the call now; None where it stays as it is."""
        recorder, inside = self.recorder, {id(v) for n in self.nodes for v in n._outputs}
        members = set(map(id, self.nodes))
        read = {id(v) for n in self.block.nodes if id(n) not in members for v in n._inputs}
        read |= {id(v) for v in self.block.returns}
        results = [v for n in self.nodes for v in n._outputs if id(v) in read]
        if not results or any(id(n) not in set(map(id, self.block.nodes)) for n in self.nodes):
            return None
        outer = {}
        for n in self.nodes:
            for v in n._inputs:
                if id(v) not in inside:
                    outer[id(v)] = v
        order = [v for v in self.inputs if id(v) in outer]
        order += [v for v in outer.values() if not any(v is o for o in order)]
        graph = Graph()
        graph._count = recorder.graph._count
        own = graph.block_.param(self.t, "self.1")
        builder, mapped, given = Builder(graph), {}, []
        names = self.names(len(order))
        parameters = [Parameter("self", self.t)]
        for v in order:
            where = self.homes.get(id(v)) or recorder.origins.get(id(v))
            if where is not None:
                if not where.startswith(self.path + ".") and where != self.path:
                    return None                         # of another module
                mapped[id(v)] = self.chain(builder, own, where[len(self.path) + 1:], v)
            elif v.node is not None and v.node._kind == "prim::Constant":
                mapped[id(v)] = builder.one("prim::Constant", [], v.type, v.node.range, **v.node.attributes)
            else:
                name = names[len(given)] if len(given) < len(names) else f"argument_{len(given) + 1}"
                p = graph.block_.param(v.type, graph.unique(name))
                mapped[id(v)] = p
                given.append(v)
                parameters.append(Parameter(name, plain(v.type)))
        at = next(i for i, n in enumerate(self.block.nodes) if n is self.nodes[0])
        for n in self.nodes:
            n._inputs = [mapped.get(id(v), v) for v in n._inputs]
            n.owner = graph.block_
        graph.block_.nodes.extend(self.nodes)
        packed = results[0] if len(results) == 1 else builder.one(
            "prim::TupleConstruct", results, TupleType([plain(v.type) for v in results]))
        graph.block_.returns = [packed]
        count = sum(1 for m in self.t.methods if m.startswith("forward"))
        name = f"forward{count or ''}"
        self.t.methods[name] = Function(name, f"{self.t.name}.{name}", graph, parameters, plain(packed.type), self.t)
        return self.replace(at, name, given, results, packed)

    def names(self, n):
        """Names of the parameters of the module's ``forward``."""
        module = self.recorder.root.get_submodule(self.path)
        try:
            return [p for p in inspect.signature(type(module).forward).parameters][1:]
        except (TypeError, ValueError):
            return []

    def chain(self, builder, base, path, v):
        """What a dotted path below the module leads to."""
        parts = path.split(".") if path else []
        for i, part in enumerate(parts):
            t = v.type if i == len(parts) - 1 else self.recorder.types[".".join((self.path, *parts[:i + 1]))]
            base = builder.one("prim::GetAttr", [base], t, None, name=part)
            base.name = builder.graph.unique(part)
        return base

    def replace(self, at, name, given, results, packed):
        """Put the call of the method in the place of the nodes."""
        from .graph import Node
        recorder = self.recorder
        module = recorder.module(self.path)
        self.homes[id(module)] = self.path
        first = self.nodes[-1]
        node = Node("prim::CallMethod", [module, *given], {"name": name}, first.range, None, self.block)
        out = Value(plain(packed.type), node, recorder.graph.next())
        node._outputs = [out]
        made = [node]
        if len(results) == 1:
            new = [out]
        else:
            unpack = Node("prim::TupleUnpack", [out], {}, first.range, None, self.block)
            unpack._outputs = [Value(v.type, unpack, recorder.graph.next()) for v in results]
            new = unpack._outputs
            made.append(unpack)
        members = set(map(id, self.nodes))
        self.block.nodes[:] = [*[n for n in self.block.nodes[:at]], *made,
                               *[n for n in self.block.nodes[at:] if id(n) not in members]]
        exchanged = {id(a): b for a, b in zip(results, new)}
        for n in walk(self.block):
            n._inputs = [exchanged.get(id(v), v) for v in n._inputs]
        self.block.returns = [exchanged.get(id(v), v) for v in self.block.returns]
        for c in recorder.calls:
            c[2][:] = [exchanged.get(id(v), v) for v in c[2]]
        return made
