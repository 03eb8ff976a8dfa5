"""Writes graphs as source in the script language, as ``.code`` shows it and archives hold it."""

import keyword

from .graph import constant_of, number, quoted
from .signatures import REQUIRED
from .types import (
    FLOAT,
    NONE,
    TENSOR,
    ClassType,
    EnumType,
    InterfaceType,
    ListType,
    OptionalType,
    TupleType,
    is_subtype,
    plain,
    unify,
)

MOST = (1 << 63) - 1
_RESERVED = frozenset((
    "torch ops self CONSTANTS fork attribute getattr annotate uninitialized unchecked_cast print inf nan infj nanj "
    "isinstance int float bool str complex device list dict range len Tensor List Dict Tuple Optional Union Future "
    "__torch__ unwrap_optional aten prim min max abs").split())
_CALLS = {"aten::Int": "int", "aten::Float": "float", "aten::Bool": "bool", "aten::Complex": "complex",
          "aten::str": "str"}
_ANNOTATED = {"aten::IntImplicit": "int", "aten::FloatImplicit": "float", "aten::ComplexImplicit": "complex",
              "aten::ScalarImplicit": "number"}
# Nodes that become statements.
_STATEMENTS = frozenset(("prim::If", "prim::Loop", "prim::RaiseException", "prim::Print", "prim::SetAttr",
                         "prim::TupleUnpack", "prim::ListUnpack", "prim::fork"))


class Dependencies:
    """Tensors by name, and the types and functions that code refers to, in the order in which they were met."""

    def __init__(self):
        self.constants, self.types, self.functions = [], {}, {}

    def tensor(self, t):
        """The name of a constant tensor."""
        for i, c in enumerate(self.constants):
            if c is t:
                return f"CONSTANTS.c{i}"
        self.constants.append(t)
        return f"CONSTANTS.c{len(self.constants) - 1}"

    def type(self, t):
        """Note the named types in `t`, and give how code writes it."""
        t = plain(t)
        if isinstance(t, (ClassType, InterfaceType, EnumType)) or isinstance(t, TupleType) and t.qualified:
            self.types.setdefault(t.name if not isinstance(t, TupleType) else t.qualified, t)
            if isinstance(t, TupleType):
                for p in t.elements:
                    self.type(p)
        else:
            for p in t.parts():
                self.type(p)
        return t.source()


def function_code(function, deps=None):
    """(the source of a function, {name of a constant: tensor})."""
    deps = deps or Dependencies()
    text = "\n".join(write_function(function, deps, None)) + "\n"
    return text, {f"c{i}": c for i, c in enumerate(deps.constants)}


def write_function(function, deps, owner, name=None):
    """Lines of a definition. owner: the class whose method it is."""
    return _Printer(deps).definition(function, owner, name or function.name)


class _Printer:
    def __init__(self, deps):
        self.deps, self.names, self.taken, self.lines = deps, {}, set(), []
        self.depth, self.inline, self.uses = 0, {}, {}
        self.temporaries = 0

    # ------------------------------------------------------------ definitions

    def definition(self, function, owner, name):
        params = []
        block = function.graph.block_
        self.count(block)
        for i, (v, p) in enumerate(zip(block.params, function.parameters)):
            shown = self.fresh((v.name or p.name).split(".")[0] if p is None else p.name)
            self.names[id(v)] = shown
            if i == 0 and isinstance(p.type, ClassType) and function.owner is not None:
                params.append(shown if owner is None else f"{shown}: {owner.name}")
                continue
            text = f"{shown}: {self.deps.type(p.type)}"
            if p.default is not ...:
                text += f"={self.default(p.default, p.type)}"
            params.append(text)
        returns = self.deps.type(function.returns)
        head = f"def {name}(" + ",\n    ".join(params) + f") -> {returns}:"
        self.lines = [head]
        self.depth = 1
        self.block(block)
        if len(block.returns) == 1:
            self.line(f"return {self.read(block.returns[0])}")
        return self.lines

    def default(self, value, t):
        if isinstance(value, (list, tuple)):
            inner = ", ".join(self.default(v, None) for v in value)
            if isinstance(value, tuple) and not isinstance(t, ListType):
                return f"({inner}{',' if len(value) == 1 else ''})"
            return f"[{inner}]"
        if isinstance(t, ListType) and t.size:
            return "[" + ", ".join([self.literal(value, t.element)] * t.size) + "]"
        if isinstance(value, int) and not isinstance(value, bool) and (
                t == FLOAT or isinstance(t, OptionalType) and t.element == FLOAT):
            value = float(value)
        from .codes import code
        n = code(value) if not isinstance(value, (bool, int, float, str)) and value is not None else None
        return self.literal(value if n is None else n, t)

    def count(self, block):
        """How often each value is read, in this block and those inside."""
        stack = [block]
        while stack:
            b = stack.pop()
            for n in b.nodes:
                for v in n._inputs:
                    self.uses[id(v)] = self.uses.get(id(v), 0) + 1
                stack.extend(n._blocks)
            for v in b.returns:
                self.uses[id(v)] = self.uses.get(id(v), 0) + 1

    # ------------------------------------------------------------ names

    def line(self, text):
        self.lines.append("  " * self.depth + text)

    def fresh(self, base):
        base = "".join(c if c.isalnum() or c == "_" else "_" for c in base)
        if base[:1].isdigit():
            base = "_" + base
        name, i = base, 0
        while name in self.taken or keyword.iskeyword(name) or name in _RESERVED and name != "self":
            name, i = f"{base}{i}", i + 1
        self.taken.add(name)
        return name

    def temporary(self):
        while True:
            name = f"_{self.temporaries}"
            self.temporaries += 1
            if name not in self.taken:
                self.taken.add(name)
                return name

    def name(self, v):
        """The name that a value is assigned to."""
        found = self.names.get(id(v))
        if found is None:
            found = self.temporary() if v.name is None else self.fresh(v.name.split(".")[0])
            self.names[id(v)] = found
        return found

    def read(self, v):
        """The text that reads a value."""
        found = self.names.get(id(v))
        if found is not None:
            return found
        n = v.node
        known, value = constant_of(v)
        if known:
            return self.literal(value, v.type)
        if n is not None and n._kind == "prim::Constant":
            f = n.attributes["_function"]
            self.deps.functions.setdefault(f.qualified, f)
            return f.qualified
        if id(v) in self.inline:
            return self.expression(n)
        return self.name(v)

    def literal(self, value, t):
        if hasattr(value, "_storage"):
            return self.deps.tensor(value)
        if isinstance(t, OptionalType):
            t = t.element
        if isinstance(t, EnumType):
            self.deps.type(t)
            return f"{t.name}.{value.name}"
        if value is None or isinstance(value, bool):
            return str(value)
        if isinstance(value, float):
            return number(value)
        if isinstance(value, complex):
            return f"{number(value.real)}+{number(value.imag)}j"
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, (list, tuple)):
            inner = ", ".join(self.literal(x, None) for x in value)
            if isinstance(value, tuple):
                return f"({inner}{',' if len(value) == 1 else ''})"
            return f"[{inner}]" if value else f"annotate({t.source()}, [])"
        if type(value).__name__ == "device":
            return f'torch.device("{value}")'
        return str(value)

    # ------------------------------------------------------------ blocks

    def block(self, block):
        self.choose(block)
        for n in block.nodes:
            self.statement(n)

    def choose(self, block):
        """Which results are written where they are read: read once, by what follows, in the order of evaluation."""
        nodes = [n for n in block.nodes if n._kind != "prim::Constant"]
        position = {id(n): i for i, n in enumerate(nodes)}

        def scan(inputs, at):
            for v in reversed(inputs):
                n = v.node
                if n is None or n._kind == "prim::Constant":
                    continue
                if at > 0 and position.get(id(n)) == at - 1 and self.uses.get(id(v)) == 1 and v.name is None and (
                        len(n._outputs) == 1 and n._kind not in _STATEMENTS and n._kind != "prim::Uninitialized"
                        and n._kind != "prim::GetAttr" and not n._kind.startswith("^")
                        and not n._kind.endswith("_") and n._kind not in ("aten::append", "prim::CreateObject")):
                    self.inline[id(v)] = True
                    at = scan(n._inputs, at - 1)
            return at
        done = set()
        i = len(nodes)
        i = scan(block.returns, i)
        while i > 0:
            i -= 1
            if id(nodes[i]) in done:
                continue
            i = scan(nodes[i]._inputs, i)

    def assign(self, n, text):
        self.line(f"{self.name(n._outputs[0])} = {text}")

    def statement(self, n):
        kind = n._kind
        if kind == "prim::Constant" or any(id(v) in self.inline for v in n._outputs):
            return
        own = {"prim::If": self.if_, "prim::Loop": self.loop, "prim::fork": self.fork}.get(kind)
        if own is not None:
            return own(n)
        if kind in ("prim::TupleUnpack", "prim::ListUnpack"):
            source = self.read(n._inputs[0])
            if n._outputs:
                self.line("".join(f"{self.name(v)}, " for v in n._outputs) + f"= {source}")
            return
        if kind == "prim::SetAttr":
            name = n.attributes["name"]
            base, value = self.read(n._inputs[0]), self.read(n._inputs[1])
            self.line(f"{base}.{name} = {value}" if name.isidentifier() and not keyword.iskeyword(name) else
                      f"setattr({base}, {quoted(name)}, {value})")
            return
        text = self.expression(n)
        if not n._outputs:
            self.line(text)
        elif len(n._outputs) == 1:
            if kind == "prim::GetAttr":
                v = n._outputs[0]
                if v.name is None and id(v) not in self.names:
                    self.names[id(v)] = self.fresh(n.attributes["name"])
            self.assign(n, text)
        else:
            self.line(", ".join(self.name(v) for v in n._outputs) + f" = {text}")

    def if_(self, n):
        self.line(f"if {self.read(n._inputs[0])}:")
        targets = [self.name(v) for v in n._outputs]
        for i, b in enumerate(n._blocks):
            self.depth += 1
            before = len(self.lines)
            self.block(b)
            pairs = list(zip(targets, [self.read(v) for v in b.returns]))
            if pairs:
                self.line(f"{', '.join(t for t, _ in pairs)} = {', '.join(r for _, r in pairs)}")
            if len(self.lines) == before:
                self.line("pass")
            self.depth -= 1
            if not i:
                self.line("else:")

    def loop(self, n):
        trips, cond = n._inputs[:2]
        body = n._blocks[0]
        index, params = body.params[0], body.params[1:]
        again = body.returns[0]
        endless = constant_of(trips) == (True, MOST)
        counted = constant_of(cond) == (True, True) and constant_of(again) == (True, True)
        for p, o, v in zip(params, n._outputs, n._inputs[2:]):
            self.names[id(p)] = self.names[id(o)] = self.fresh((p.name or o.name or "_").split(".")[0]) if (
                p.name or o.name) else self.temporary()
            self.line(f"{self.names[id(p)]} = {self.read(v)}")
        targets = [self.names[id(p)] for p in params]
        if counted and not endless:
            self.line(f"for {self.name(index)} in range({self.read(trips)}):")
            go = None
        else:
            go = self.temporary()
            if endless and not self.uses.get(id(index)):
                self.line(f"{go} = {self.read(cond)}")
                index = None
            else:
                self.line(f"{self.name(index)} = 0")
                start = f"torch.gt({self.read(trips)}, 0)" if not endless else "True"
                if constant_of(cond) != (True, True):
                    start = f"torch.__and__({start}, {self.read(cond)})" if not endless else self.read(cond)
                self.line(f"{go} = {start}")
            self.line(f"while {go}:")
        self.depth += 1
        before = len(self.lines)
        self.block(body)
        results = [self.read(v) for v in body.returns[1:]]
        if go is not None:
            following = self.read(again)
            if index is not None:
                step = self.temporary()
                self.line(f"{step} = torch.add({self.name(index)}, 1)")
                if not endless:
                    bound = f"torch.lt({step}, {self.read(trips)})"
                    following = bound if following == "True" else f"torch.__and__({bound}, {following})"
                targets, results = [self.name(index), *targets], [step, *results]
            targets, results = [go, *targets], [following, *results]
        pairs = [(t, r) for t, r in zip(targets, results) if t != r]
        if pairs:
            self.line(f"{', '.join(t for t, _ in pairs)} = {', '.join(r for _, r in pairs)}")
        if len(self.lines) == before:
            self.line("pass")
        self.depth -= 1

    def fork(self, n):
        sub = n.attributes["Subgraph"]
        inputs = [self.read(v) for v in n._inputs]
        name = self.fresh("__forked_function")
        self.count(sub.block_)
        for p, text in zip(sub.block_.params, inputs):
            self.names[id(p)] = text
        self.line(f"def {name}():")
        self.depth += 1
        self.block(sub.block_)
        self.line(f"return {self.read(sub.block_.returns[0])}")
        self.depth -= 1
        self.assign(n, f"fork({name})")

    # ------------------------------------------------------------ expressions

    def expression(self, n):
        """The text that makes a node's results."""
        kind = n._kind
        own = getattr(self, "ex_" + kind.rpartition("::")[2], None) if kind.startswith("prim::") else None
        if own is not None:
            return own(n)
        if kind.startswith("^"):
            raise RuntimeError(f"Could not export Python function call '{kind[1:]}'. Remove calls to Python functions "
                               "before "
                               "export. Did you forget to add @script or @script_method annotation? If this is a "
                               "nn.ModuleList, add it to __constants__")
        args = [self.read(v) for v in n._inputs]
        if kind in _CALLS:
            return f"{_CALLS[kind]}({', '.join(args)})"
        if kind in _ANNOTATED:
            return f"annotate({_ANNOTATED[kind]}, {args[0]})"
        if kind == "aten::__getitem__" and isinstance(n._inputs[0].type, ListType) and n.schema is not None:
            return f"{args[0]}[{args[1]}]"
        head = kind.replace("aten::", "torch.") if kind.startswith("aten::") else "ops." + kind.replace("::", ".")
        return f"{head}({', '.join(self.arguments(n, args))})"

    def arguments(self, n, args):
        """Arguments without those at the end that are defaults, keyword-only ones with their names."""
        s = n.schema
        if s is None or s.variadic:
            return args
        keep = len(args)
        while keep and self.is_default(s.arguments[keep - 1], n._inputs[keep - 1]):
            keep -= 1
        out = []
        for a, text, v in zip(s.arguments[:keep], args, n._inputs):
            from .types import INT
            bare = a.type.element if isinstance(a.type, OptionalType) else a.type
            if isinstance(bare, ListType) and bare.element == INT and text == "annotate(List[Tensor], [])":
                text = "annotate(List[int], [])"
            out.append(f"{a.name}={text}" if a.kwonly else text)
        return out

    @staticmethod
    def is_default(a, v):
        if a.default is REQUIRED:
            return False
        known, value = constant_of(v)
        if not known and v.node is not None and v.node._kind == "prim::ListConstruct":
            parts = [constant_of(x) for x in v.node._inputs]
            if all(k for k, _ in parts):
                known, value = True, [x for _, x in parts]
        return known and type(value) is type(a.default) and value == a.default

    def ex_GetAttr(self, n):
        base, name = self.read(n._inputs[0]), n.attributes["name"]
        if name.isidentifier() and not keyword.iskeyword(name):
            return f"{base}.{name}"
        return f"getattr({base}, {quoted(name)})"

    def ex_CallMethod(self, n):
        base, *rest = [self.read(v) for v in n._inputs]
        return f"({base}).{n.attributes['name']}({''.join(a + ', ' for a in rest)})"

    def ex_CallFunction(self, n):
        target, *rest = [self.read(v) for v in n._inputs]
        return f"{target}({''.join(a + ', ' for a in rest)})"

    def ex_CreateObject(self, n):
        t = self.deps.type(n._outputs[0].type)
        return f"{t}.__new__({t})"

    def ex_RaiseException(self, n):
        args = [self.read(v) for v in n._inputs]
        if args[-1] == "None":
            args.pop()
        return f"ops.prim.RaiseException({', '.join(args)})"

    def ex_Print(self, n):
        return f"print({', '.join(self.read(v) for v in n._inputs)})"

    def ex_Uninitialized(self, n):
        return f"uninitialized({self.deps.type(n._outputs[0].type)})"

    def ex_unchecked_cast(self, n):
        return f"unchecked_cast({self.deps.type(n._outputs[0].type)}, {self.read(n._inputs[0])})"

    def ex_isinstance(self, n):
        types = [self.deps.type(t) for t in n.attributes["types"]]
        return f"isinstance({self.read(n._inputs[0])}, {types[0] if len(types) == 1 else '(' + ', '.join(types) + ')'})"

    def ex_tolist(self, n):
        return f"annotate({self.deps.type(n._outputs[0].type)}, ({self.read(n._inputs[0])}).tolist())"

    def ex_EnumValue(self, n):
        return f"({self.read(n._inputs[0])}).value"

    def ex_EnumName(self, n):
        return f"({self.read(n._inputs[0])}).name"

    def ex_TupleIndex(self, n):
        return f"({self.read(n._inputs[0])})[{self.read(n._inputs[1])}]"

    def ex_TupleConstruct(self, n):
        t = n._outputs[0].type
        args = [self.read(v) for v in n._inputs]
        if isinstance(t, TupleType) and t.qualified:
            return f"{self.deps.type(t)}({', '.join(args)})"
        return f"({', '.join(args)}{',' if len(args) == 1 else ''})" if args else "()"

    def ex_ListConstruct(self, n):
        t = n._outputs[0].type
        args = [self.read(v) for v in n._inputs]
        text = f"[{', '.join(args)}]"
        inferred = None
        for v in n._inputs:
            inferred = v.type if inferred is None else unify(inferred, v.type)
            if inferred is None:
                break
        if not n._inputs or inferred is None or plain(inferred) != t.element:
            return f"annotate({self.deps.type(t)}, {text})"
        return text

    def ex_DictConstruct(self, n):
        t = n._outputs[0].type
        args = [self.read(v) for v in n._inputs]
        text = "{" + ", ".join(f"{k}: {v}" for k, v in zip(args[::2], args[1::2])) + "}"
        kinds = {v.type for v in n._inputs[1::2]}
        if not args or len(kinds) > 1 or not is_subtype(next(iter(kinds)), t.element) or next(iter(kinds)) != t.element:
            return f"annotate({self.deps.type(t)}, {text})"
        return text


__all__ = ["NONE", "TENSOR", "Dependencies", "function_code", "write_function"]
