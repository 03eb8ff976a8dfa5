"""The intermediate form of the script language: graphs of typed values, nodes with blocks, and how they print."""

from .types import BOOL, FLOAT, NONE, STR, UNSET, EnumType, ListType, TupleType, Type, plain


class Range:
    """Where a node comes from: file, line and column, with the source to show in errors."""

    __slots__ = ("filename", "line", "column", "end", "source", "name", "end_line")

    def __init__(self, filename, line, column, end=None, source=(), name="", end_line=None):
        self.filename, self.line, self.column, self.end = filename, line, column, end
        self.source, self.name, self.end_line = source, name, end_line or line

    def __str__(self):
        return f"{self.filename}:{self.line}:{self.column}"

    def highlight(self, lines_around=3):
        """The lines around, with this place underlined."""
        first = max(0, self.line - 1 - lines_around)
        shown = []
        for i in range(first, min(len(self.source), self.line + lines_around)):
            text = self.source[i]
            if i == self.line - 1 or text.strip():
                shown.append(text)
            if i == self.line - 1:
                end = self.end if self.end and self.end_line == self.line else len(text)
                shown.append(" " * self.column + "~" * max(1, end - self.column) + " <--- HERE")
        return f'  File "{self.filename}", line {self.line}\n' + "\n".join(shown) + "\n"


class Value:
    """A result of a node, or an argument of a block."""

    __slots__ = ("type", "node", "name", "unique")

    def __init__(self, type, node, unique, name=None):
        self.type, self.node, self.unique, self.name = type, node, unique, name

    def debugName(self):
        """The name it prints as, without the percent sign."""
        return self.name or str(self.unique)

    def __repr__(self):
        return f"{self.debugName()} defined in ({self.node!r})"


class Node:
    """An operation: its kind (``aten::add``), inputs, outputs, attributes, nested blocks, and its place."""

    __slots__ = ("_kind", "_inputs", "_outputs", "attributes", "_blocks", "range", "schema", "owner", "scope")

    def __init__(self, kind, inputs=(), attributes=None, range=None, schema=None, owner=None):
        self._kind, self._inputs, self._outputs, self._blocks = kind, list(inputs), [], []
        self.attributes, self.range, self.schema, self.owner = attributes or {}, range, schema, owner
        self.scope = ""

    def kind(self):
        """The operation's name."""
        return self._kind

    def inputs(self):
        """The values it reads."""
        return iter(self._inputs)

    def outputs(self):
        """The values it makes."""
        return iter(self._outputs)

    def blocks(self):
        """The blocks inside."""
        return iter(self._blocks)

    def inputsSize(self):
        """How many values it reads."""
        return len(self._inputs)

    def outputsSize(self):
        """How many values it makes."""
        return len(self._outputs)

    def output(self):
        """The one value it makes."""
        if len(self._outputs) != 1:
            raise RuntimeError(f"{self._kind} has {len(self._outputs)} outputs")
        return self._outputs[0]

    def attributeNames(self):
        """Names of the attributes."""
        return list(self.attributes)

    def hasAttribute(self, name):
        """Whether there is an attribute of that name."""
        return name in self.attributes

    def __getitem__(self, name):
        return self.attributes[name]

    s = i = f = t = ival = lambda self, name: self.attributes[name]

    def sourceRange(self):
        """The place in the source, underlined."""
        return self.range.highlight() if self.range is not None else ""

    def __repr__(self):
        return "\n".join(_lines(self, 0))


class Block:
    """Parameters, nodes in order, and the values returned."""

    __slots__ = ("params", "nodes", "returns", "owner", "graph", "ended")

    def __init__(self, graph, owner=None):
        self.graph, self.owner = graph, owner
        self.params, self.nodes, self.returns, self.ended = [], [], [], False

    def param(self, type, name=None):
        """A further parameter."""
        value = Value(type, None, self.graph.next(), name)
        self.params.append(value)
        return value


class Graph:
    """A function as a block; values are numbered as they are made and names made unique."""

    def __init__(self):
        self._count, self._names, self._pinned = 0, {}, set()
        self.block_ = Block(self)

    def next(self):
        """The next number for a value."""
        n = self._count
        self._count += 1
        return n

    def unique(self, name):
        """`name` with the suffix that makes it the only one."""
        base = name.split(".")[0]
        if not base or base.isdigit():
            base = "_" + base
        n = self._names.get(base, 1)
        self._names[base] = n + 2
        return f"{base}.{n}"

    def inputs(self):
        """The parameters."""
        return iter(self.block_.params)

    def outputs(self):
        """The values returned."""
        return iter(self.block_.returns)

    def nodes(self):
        """The nodes of the outermost block."""
        return iter(self.block_.nodes)

    def findNode(self, kind, recurse=True):
        """The first node of a kind, or None."""
        return next(iter(self.findAllNodes(kind, recurse)), None)

    def findAllNodes(self, kind, recurse=True):
        """All nodes of a kind."""
        return [n for n in (walk(self.block_) if recurse else self.block_.nodes) if n._kind == kind]

    def copy(self):
        """A copy whose nodes can be changed."""
        from .copying import copy_graph
        return copy_graph(self)

    def __str__(self):
        lines = ["graph(" + ",\n      ".join(f"%{v.debugName()} : {v.type}" for v in self.block_.params) + "):"]
        for n in self.block_.nodes:
            lines.extend(_lines(n, 1))
        lines.append(f"  return ({_names(self.block_.returns)})")
        for n in walk(self.block_):
            if n._kind == "prim::fork" and "Subgraph" in n.attributes:
                text = str(n.attributes["Subgraph"]).rstrip("\n")
                lines.append(f"with prim::fork_{_fork_number(self, n)} = {text}")
        return "\n".join(lines) + "\n"

    __repr__ = __str__

    def str(self, print_source_ranges=True):
        """The text that ``print`` shows."""
        return str(self)


def _fork_number(graph, node):
    return [n for n in walk(graph.block_) if n._kind == "prim::fork"].index(node)


def walk(block):
    """All nodes of a block and of the blocks inside, in order."""
    stack = [iter(block.nodes)]
    while stack:
        for n in stack[-1]:
            yield n
            if n._blocks:
                stack.append(_each(n._blocks))
                break
        else:
            stack.pop()


def _each(blocks):
    for b in blocks:
        yield from b.nodes


def _names(values):
    return ", ".join(f"%{v.debugName()}" for v in values)


def number(x):
    """A float as graphs and code write it: shortest exact digits of 17, a point at least."""
    if x != x:
        return "nan"
    if x in (float("inf"), float("-inf")):
        return "inf" if x > 0 else "-inf"
    text = f"{x:.17g}"
    return text if any(c in text for c in ".e") else text + "."


def quoted(text):
    """A string literal with double quotes."""
    out = ['"']
    for c in text:
        if c in '"\\':
            out.append("\\" + c)
        elif c == "\n":
            out.append("\\n")
        elif c == "\t":
            out.append("\\t")
        elif c == "\r":
            out.append("\\r")
        elif c == "'":
            out.append("\\'")
        elif ord(c) < 32 or ord(c) == 127:
            out.append(f"\\{ord(c):03o}")
        else:
            out.append(c)
    return "".join(out) + '"'


def _attribute(name, value, type):
    if type is not None and isinstance(type, EnumType):
        return f"{name}={type.name}.{value.name}"
    if isinstance(value, bool):
        return f"{name}={int(value)}"
    if isinstance(value, float):
        return f"{name}={number(value)}"
    if isinstance(value, str):
        return f"{name}={quoted(value)}"
    if isinstance(value, (list, tuple)) and all(isinstance(v, (int, float, str)) for v in value):
        inner = ", ".join(_attribute("", v, None)[1:] for v in value)
        return f"{name}=[{inner}]" if isinstance(value, list) else f"{name}=({inner})"
    if hasattr(value, "_storage"):
        if value.numel() > 1 or value.dtype.is_complex:
            return f"{name}=<Tensor>"
        flat = value.detach().reshape(-1).tolist()
        return f"{name}={{{', '.join(f'{v:g}' if isinstance(v, float) else str(int(v)) for v in flat)}}}"
    if type is not None and str(type) == "Device":
        return f'{name}="{value}"'
    return f"{name}={value}"


def _lines(node, depth):
    pad = "  " * depth
    outs = ", ".join(f"%{v.debugName()} : {v.type}" for v in node._outputs)
    kind = node._kind
    if kind == "prim::fork" and "Subgraph" in node.attributes:
        graph = node.owner.graph if node.owner is not None else None
        kind += f"_{_fork_number(graph, node)}" if graph is not None else ""
    shown = {k: v for k, v in node.attributes.items() if not k.startswith("_") and k != "Subgraph"}
    if kind == "prim::Constant" and node._outputs and node._outputs[0].type == NONE:
        shown = {}
    kinds = node._outputs[0].type if kind == "prim::Constant" and node._outputs else None
    attributes = f"[{', '.join(_attribute(k, v, kinds) for k, v in shown.items())}]" if shown else ""
    where = (f", scope: {node.scope}" if node.scope else "") + (f" # {node.range}" if node.range is not None else "")
    yield f"{pad}{outs} = {kind}{attributes}({_names(node._inputs)}){where}"
    for i, b in enumerate(node._blocks):
        params = ", ".join(f"%{v.debugName()} : {v.type}" for v in b.params)
        yield f"{pad}  block{i}({params}):"
        for n in b.nodes:
            yield from _lines(n, depth + 2)
        yield f"{pad}    -> ({_names(b.returns)})"


def constant_type(value):
    """The type of a Python value as a constant, or None where it can't be one."""
    from .types import COMPLEX, DEVICE, INT, TENSOR
    if value is None:
        return NONE
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, complex):
        return COMPLEX
    if isinstance(value, str):
        return STR
    if hasattr(value, "_storage"):
        return TENSOR
    if type(value).__name__ == "device":
        return DEVICE
    if isinstance(value, tuple):
        inner = [constant_type(v) for v in value]
        return None if None in inner else TupleType(inner)
    if isinstance(value, list):
        inner = [constant_type(v) for v in value]
        if not inner or None in inner or any(t != inner[0] for t in inner):
            return ListType(TENSOR) if not inner else None
        return ListType(inner[0])
    return None


class Builder:
    """Adds nodes to a block."""

    def __init__(self, graph, block=None):
        self.graph, self.block = graph, block or graph.block_

    def node(self, kind, inputs=(), types=(), range=None, names=(), schema=None, **attributes):
        """Append a node and give its outputs."""
        n = Node(kind, inputs, attributes, range, schema, self.block)
        n._outputs = [Value(t, n, self.graph.next()) for t in types]
        for v, name in zip(n._outputs, names):
            v.name = name
        self.block.nodes.append(n)
        return n

    def one(self, kind, inputs, type, range=None, schema=None, **attributes):
        """Append a node with one output and give that."""
        return self.node(kind, inputs, (type,), range, (), schema, **attributes)._outputs[0]

    def constant(self, value, range=None, type=None):
        """A ``prim::Constant``."""
        t = type or constant_type(value)
        if t is None:
            raise RuntimeError(f"{value!r} can't be a constant")
        return self.one("prim::Constant", (), t, range, value=value)


def constant_of(value):
    """(True, what) of a value that a ``prim::Constant`` makes; (False, None) else."""
    n = value.node
    if n is not None and n._kind == "prim::Constant" and "value" in n.attributes:
        return True, n.attributes["value"]
    return False, None


__all__ = ["BOOL", "Block", "Builder", "Graph", "Node", "Range", "Type", "UNSET", "Value", "constant_of", "plain"]
