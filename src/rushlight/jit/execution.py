"""Runs graphs: each becomes one Python function, generated once, whose lines call the op table."""

import keyword

import rushlight as torch
from rushlight.ops import registry

from . import codes, kernels
from .classes import ScriptObject
from .graph import constant_of
from .signatures import REQUIRED
from .types import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    FUNCTION,
    INT,
    NONE,
    STR,
    TENSOR,
    ClassType,
    CodeType,
    DictType,
    EnumType,
    FutureType,
    InterfaceType,
    ListType,
    OptionalType,
    TupleType,
    UnionType,
)

_DIRECT = {"aten::div": "({0} / {1})", "aten::pow": "({0} ** {1})"}
MOST = (1 << 63) - 1


class Error(RuntimeError):
    """An exception that compiled code raised."""


def make(function):
    """The Python function of a compiled one."""
    return _Writer(function).build()


class _Writer:
    def __init__(self, function):
        self.function, self.graph = function, function.graph
        self.names, self.lines, self.depth = {}, [], 1
        self.scope = {"torch": torch, "F": torch.nn.functional, "_append": kernels._append, "_code": kernels._code,
                      "_unwrap": kernels._unwrap, "_raise": _raise, "_tuple": _tuple,
                      "_object": ScriptObject, "_isinstance": is_instance, "_method": _method, "_set": _set,
                      "_dtype": codes.dtype, "_layout": codes.layout, "_format": codes.memory_format, "_fork": _fork}
        self.count = 0

    def build(self):
        block = self.graph.block_
        params = [self.name(v) for v in block.params]
        self.block(block)
        self.line("return " + (self.read(block.returns[0]) if len(block.returns) == 1 else
                               f"({', '.join(map(self.read, block.returns))},)" if block.returns else "None"))
        bare = "".join(c if c.isalnum() else "_" for c in self.function.name) or "f"
        if keyword.iskeyword(bare) or bare[0].isdigit():
            bare = "_" + bare
        text = f"def {bare}({', '.join(params)}):\n" + "\n".join(self.lines) + "\n"
        code = compile(text, f"<script {self.function.qualified}>", "exec")
        exec(code, self.scope)                  # the text is made from the graph: names in it are generated
        return self.scope[bare]

    # ------------------------------------------------------------ names

    def line(self, text):
        self.lines.append("    " * self.depth + text)

    def name(self, v):
        found = self.names.get(id(v))
        if found is None:
            found = self.names[id(v)] = f"v{v.unique}"
        return found

    def keep(self, value, hint="c"):
        """A name in the function's scope for an object."""
        self.count += 1
        name = f"_{hint}{self.count}"
        self.scope[name] = value
        return name

    def read(self, v):
        """The text that reads a value."""
        found = self.names.get(id(v))
        if found is not None:
            return found
        known, value = constant_of(v)
        if known:
            text = self.literal(value)
            self.names[id(v)] = text
            return text
        if v.node is not None and v.node._kind == "prim::Constant":
            text = self.names[id(v)] = self.keep(v.node.attributes.get("_function"), "fn")
            return text
        return self.name(v)

    def literal(self, value):
        if value is None or isinstance(value, (bool, str)):
            return repr(value)
        if isinstance(value, int):
            return repr(int(value)) if value >= 0 else f"({int(value)})"
        if isinstance(value, float) and value == value and abs(value) != float("inf"):
            return repr(value) if value >= 0 else f"({value!r})"
        return self.keep(value)

    # ------------------------------------------------------------ nodes

    def block(self, block):
        for n in block.nodes:
            own = getattr(self, "do_" + n._kind.rpartition("::")[2], None) if n._kind.startswith("prim::") else None
            if own is not None:
                own(n)
            else:
                self.operator(n)

    def put(self, n, text):
        if n._outputs:
            if len(n._outputs) == 1:
                self.line(f"{self.name(n._outputs[0])} = {text}")
            else:
                self.line(f"{', '.join(map(self.name, n._outputs))} = {text}")
        else:
            self.line(text)

    def do_Constant(self, n):
        pass

    def do_Uninitialized(self, n):
        self.names[id(n._outputs[0])] = "None"

    def do_If(self, n):
        self.line(f"if {self.read(n._inputs[0])}:")
        for i, b in enumerate(n._blocks):
            self.depth += 1
            before = len(self.lines)
            self.block(b)
            if not (b.nodes and b.nodes[-1]._kind == "prim::RaiseException"):
                pairs = [(self.name(o), self.read(r)) for o, r in zip(n._outputs, b.returns)]
                pairs = [(o, r) for o, r in pairs if o != r]
                if pairs:
                    self.line(f"{', '.join(o for o, _ in pairs)} = {', '.join(r for _, r in pairs)}")
            if len(self.lines) == before:
                if i:
                    self.depth -= 1
                    self.lines.pop()
                    return
                self.line("pass")
            self.depth -= 1
            if not i:
                self.line("else:")

    def do_Loop(self, n):
        trips, cond = n._inputs[:2]
        body = n._blocks[0]
        index, params = body.params[0], body.params[1:]
        for p, v in zip(params, n._inputs[2:]):
            self.line(f"{self.name(p)} = {self.read(v)}")
        for p, o in zip(params, n._outputs):
            self.names[id(o)] = self.name(p)
        again = body.returns[0]
        endless = constant_of(trips) == (True, MOST)
        always = constant_of(again) == (True, True)
        if not (constant_of(cond) == (True, True) and always):
            go = f"go{index.unique}"
            self.line(f"{go} = {self.read(cond)}")
        if endless:
            counted = self.uses(body, index)
            if counted:
                self.line(f"{self.name(index)} = 0")
            self.line("while True:" if constant_of(cond) == (True, True) and always else f"while {go}:")
        else:
            self.line(f"for {self.name(index)} in range({self.read(trips)}):")
            counted = False
        self.depth += 1
        if not endless and not (constant_of(cond) == (True, True) and always):
            self.line(f"if not {go}:")
            self.line("    break")
        before = len(self.lines)
        self.block(body)
        pairs = [(self.name(p), self.read(r)) for p, r in zip(params, body.returns[1:])]
        if not (constant_of(cond) == (True, True) and always):
            pairs.append((go, self.read(again)))
        pairs = [(o, r) for o, r in pairs if o != r]
        if pairs:
            self.line(f"{', '.join(o for o, _ in pairs)} = {', '.join(r for _, r in pairs)}")
        if counted:
            self.line(f"{self.name(index)} += 1")
        if len(self.lines) == before:
            self.line("pass")
        self.depth -= 1

    @staticmethod
    def uses(block, value):
        from .graph import walk
        return any(value in n._inputs for n in walk(block)) or value in block.returns

    def do_GetAttr(self, n):
        v, name = n._inputs[0], n.attributes["name"]
        t, base = v.type, self.read(v)
        if isinstance(t, ClassType) and t.module:
            kind = t.attributes.get(name)
            if name in t.parameters:
                text = f"{base}._parameters[{name!r}]"
            elif name in t.buffers:
                text = f"{base}._buffers[{name!r}]"
            elif isinstance(kind, (ClassType, InterfaceType)) and kind.module:
                text = f"{base}._modules[{name!r}]"
            elif kind in (INT, FLOAT, BOOL, STR):
                text = f"{base}.__dict__[{name!r}]"
            else:
                text = f"getattr({base}, {name!r})"
        else:
            plain = name.isidentifier() and not keyword.iskeyword(name)
            text = f"{base}.{name}" if plain else f"getattr({base}, {name!r})"
        self.put(n, text)

    def do_SetAttr(self, n):
        self.line(f"_set({self.read(n._inputs[0])}, {n.attributes['name']!r}, {self.read(n._inputs[1])})")

    def do_CallMethod(self, n):
        base, *rest = n._inputs
        name = n.attributes["name"]
        args = [self.read(v) for v in n._inputs]
        t = base.type
        if isinstance(t, ClassType):
            function = t.method(name)
            if function is None:
                raise RuntimeError(f"{t.name} has no method {name}")
            if function.ignored:
                self.put(n, f"{self.keep(function.python, 'py')}({', '.join(args)})")
                return
            self.put(n, f"{self.keep(function.run, 'm')}({', '.join(args)})")
        else:
            self.put(n, f"_method({args[0]}, {name!r})({', '.join(args)})")

    def do_CallFunction(self, n):
        target = n._inputs[0].node
        function = target.attributes.get("_function") if target is not None else None
        args = ", ".join(self.read(v) for v in n._inputs[1:])
        if function is None:
            self.put(n, f"{self.read(n._inputs[0])}({args})")
        else:
            self.put(n, f"{self.keep(function.run, 'f')}({args})")

    def do_CreateObject(self, n):
        self.put(n, f"_object({self.keep(n._outputs[0].type, 't')})")

    def do_RaiseException(self, n):
        args = [self.read(v) for v in n._inputs]
        self.line(f"_raise({args[0]}, {args[1] if len(args) > 1 else None}, {self.keep(n.range, 'at')}, "
                  f"{self.function.name!r})")

    def do_TupleConstruct(self, n):
        t = n._outputs[0].type
        items = "".join(f"{self.read(v)}, " for v in n._inputs)
        if isinstance(t, TupleType) and t.qualified:
            self.put(n, f"{self.keep(named_class(t), 'nt')}({items})")
        else:
            self.put(n, f"({items})" if items else "()")

    def do_ListConstruct(self, n):
        self.put(n, f"[{', '.join(map(self.read, n._inputs))}]")

    def do_DictConstruct(self, n):
        parts = [self.read(v) for v in n._inputs]
        self.put(n, "{" + ", ".join(f"{k}: {v}" for k, v in zip(parts[::2], parts[1::2])) + "}")

    def do_TupleUnpack(self, n):
        self.unpack(n)

    def do_ListUnpack(self, n):
        self.unpack(n)

    def unpack(self, n):
        source = self.read(n._inputs[0])
        if not n._outputs:
            return
        targets = "".join(f"{self.name(v)}, " for v in n._outputs)
        self.line(f"{targets} = {source}".replace(",  =", ", ="))

    def do_TupleIndex(self, n):
        self.put(n, f"{self.read(n._inputs[0])}[{self.read(n._inputs[1])}]")

    def do_isinstance(self, n):
        self.put(n, f"_isinstance({self.read(n._inputs[0])}, {self.keep(n.attributes['types'], 't')})")

    def do_Print(self, n):
        self.line(f"{self.keep(kernels._print)}({', '.join(map(self.read, n._inputs))})")

    def do_tolist(self, n):
        self.put(n, f"{self.read(n._inputs[0])}.tolist()")

    def do_fork(self, n):
        from .functions import Function
        sub = Function("forked", self.function.qualified + ".forked", n.attributes["Subgraph"], [], None)
        args = "".join(f", {self.read(v)}" for v in n._inputs)
        self.put(n, f"_fork({self.keep(sub.run, 'f')}{args})")

    def do_unchecked_cast(self, n):
        self.names[id(n._outputs[0])] = self.read(n._inputs[0])

    # ------------------------------------------------------------ operators

    def operator(self, n):
        kind, s = n._kind, n.schema
        if kind.startswith("^"):
            self.put(n, f"{self.keep(n.attributes['_python'], 'py')}({', '.join(map(self.read, n._inputs))})")
            return
        if s is None:
            return self.unsigned(n, kind)
        tensors = any(_tensorish(a.type) for a in s.arguments) or any(_tensorish(r) for r in s.returns or ())
        args, kwargs = self.trimmed(n, s)
        plain = [t for t in args]
        if not kwargs:
            text = kernels.EXPRESSIONS.get(kind)
            if text is not None and "{*}" in text:
                self.put(n, text.replace("{0}", plain[0]).replace("{*}", ", ".join(plain[1:])))
                return
            if text is not None and not (tensors and kind in kernels._NOT_TENSORS) and len(plain) <= text.count("{"):
                self.put(n, self.spaced(text, plain))
                return
            if tensors and kind in _DIRECT and len(plain) == 2:
                self.put(n, _DIRECT[kind].format(*plain))
                return
        bare = kind[6:] if kind.startswith("aten::") else kind
        if not tensors or not any(_tensorish(a.type) for a in s.arguments) and kernels.number_function(kind):
            fn = kernels.number_function(kind)
            first = s.arguments[0].type if s.arguments else None
            if fn is None and bare in kernels.METHODS or bare in kernels._CONTAINERS and first is not None and (
                    first == STR or isinstance(first, (ListType, DictType))):
                self.put(n, f"{plain[0]}.{bare}({', '.join(plain[1:])})")
                return
            if fn is not None:
                self.put(n, f"{self.keep(fn)}({', '.join([*plain, *kwargs])})")
                return
        if kind == "aten::size":
            self.put(n, f"{plain[0]}.size({plain[1]})" if len(plain) > 1 else f"list({plain[0]}.shape)")
            return
        self.put(n, self.call(kind, bare, s, plain, kwargs, n))

    def call(self, kind, bare, s, args, kwargs, n):
        """The text that runs an operator on tensors."""
        every = ", ".join([*args, *kwargs])
        out = n._outputs[0].type if len(n._outputs) == 1 else None
        wrap = "list({})" if isinstance(out, ListType) and out.element == TENSOR else "{}"
        if kind not in kernels.FUNCTIONS and kind.startswith("aten::"):
            registry.load()
            first = s.arguments[0] if s.arguments else None
            method = first is not None and first.name == "self" and first.type == TENSOR and (
                bare in registry.METHODS or callable(getattr(torch.Tensor, bare, None)))
            if method and bare not in kernels.aten._OWN:
                return wrap.format(f"{args[0]}.{bare}({', '.join([*args[1:], *kwargs])})")
            if bare not in kernels.aten._OWN:
                for home, text in (("torch", "torch"), ("torch.nn.functional", "F")):
                    if bare in registry.FUNCTIONS.get(home, ()):
                        return wrap.format(f"{text}.{bare}({every})")
        return wrap.format(f"{self.keep(kernels.tensor_function(kind))}({every})")

    @staticmethod
    def spaced(text, args):
        for i, a in enumerate(args):
            text = text.replace(f"{{{i}}}", a)
        return text

    def unsigned(self, n, kind):
        """An operator whose signature says nothing, or that was made without one."""
        args = [self.read(v) for v in n._inputs]
        text = kernels.EXPRESSIONS.get(kind)
        if text is not None:
            if kind == "aten::add" and len(args) == 3:
                args = args[:2]
            self.put(n, self.spaced(text, args))
            return
        if kind == "aten::values":
            self.put(n, f"list({args[0]}.values())")
            return
        fn = kernels.number_function(kind)
        if fn is not None:
            if kind == "aten::percentFormat":
                self.put(n, f"({args[0]} % ({''.join(a + ', ' for a in args[1:])}))")
                return
            self.put(n, f"{self.keep(fn)}({', '.join(args)})")
            return
        if kind.startswith("aten::"):
            self.put(n, f"{self.keep(kernels.tensor_function(kind))}({', '.join(args)})")
            return
        raise NotImplementedError(f"no way to run {kind}")

    def trimmed(self, n, s):
        """(positional arguments, keyword arguments) as text, without those at the end that are defaults."""
        if s.variadic:
            return [self.read(v) for v in n._inputs], []
        args, kwargs = [], []
        flags = []
        for a, v in zip(s.arguments, n._inputs):
            known, value = constant_of(v)
            if not known and v.node is not None and v.node._kind == "prim::ListConstruct":
                parts = [constant_of(x) for x in v.node._inputs]
                if all(k for k, _ in parts):
                    known, value = True, [x for _, x in parts]
            flags.append(known and a.default is not REQUIRED and type(value) is type(a.default) and value == a.default)
        positional = [i for i, a in enumerate(s.arguments) if not a.kwonly][:len(n._inputs)]
        last = len(positional)
        while last and flags[positional[last - 1]]:
            last -= 1
        for i in positional[:last]:
            if s.arguments[i].name == "alpha":
                kwargs.append(f"alpha={self.read(n._inputs[i])}")
            else:
                args.append(self.argument(s.arguments[i], n._inputs[i]))
        for i, a in enumerate(s.arguments):
            if a.kwonly and i < len(n._inputs) and not flags[i] and not (
                    a.name in ("pin_memory", "layout", "implicit", "generator") and constant_of(n._inputs[i])[0] and
                    constant_of(n._inputs[i])[1] in (None, False, 0)):
                kwargs.append(f"{a.name}={self.argument(a, n._inputs[i])}")
        return args, kwargs

    def argument(self, a, v):
        """The text of an argument; numbers that stand for dtypes and such become those."""
        t = a.type.element if isinstance(a.type, OptionalType) else a.type
        word = t.name if isinstance(t, CodeType) else "ScalarType" if a.name == "dtype" and t == INT else None
        if word is None:
            return self.read(v)
        fn = {"ScalarType": codes.dtype, "Layout": codes.layout, "MemoryFormat": codes.memory_format}.get(word)
        if fn is None:
            return self.read(v)
        known, value = constant_of(v)
        if known:
            return "None" if value is None else self.keep(fn(value), "d")
        return f"_{ {'ScalarType': 'dtype', 'Layout': 'layout', 'MemoryFormat': 'format'}[word]}({self.read(v)})"


def _tensorish(t):
    return t == TENSOR or any(_tensorish(p) for p in t.parts())


# ------------------------------------------------------------ what generated code calls


def _raise(message, kind, place, name):
    text = (f"The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent "
            "call "
            f"last):\n{place.highlight() if place is not None else ''}")
    short = (kind or "RuntimeError").rpartition(".")[2]
    from .script import Error as ScriptError
    raise ScriptError(f"{text}{short}: {message}")


def _tuple(*items):
    return items


def _method(obj, name):
    return obj._jit_type.method(name).run


def _set(obj, name, value):
    own = obj.__dict__
    if "_parameters" in own:
        for table in ("_parameters", "_buffers", "_modules"):
            if name in own[table]:
                own[table][name] = value
                return
    own[name] = value


def _fork(run, *args):
    from rushlight.futures import fork
    return fork(run, *args)


_named = {}


def named_class(t):
    """The class of a NamedTuple type; one is made where the file it came from has only its fields."""
    if t.python is None:
        key = t.key(), t.fields
        if key not in _named:
            from collections import namedtuple
            _named[key] = namedtuple(t.qualified.rpartition(".")[2], t.fields)
        t.python = _named[key]
    return t.python


def is_instance(x, types):
    """Whether a value is of one of the types, as far as values tell."""
    return any(_is(x, t) for t in types)


def _is(x, t):
    if t is ANY:
        return True
    if isinstance(t, OptionalType):
        return x is None or _is(x, t.element)
    if isinstance(t, UnionType):
        return any(_is(x, m) for m in t.members)
    if t == TENSOR:
        return isinstance(x, torch.Tensor)
    if t == BOOL:
        return isinstance(x, bool)
    if t == INT:
        return isinstance(x, int) and not isinstance(x, bool)
    if t in (FLOAT, STR, COMPLEX):
        return isinstance(x, {FLOAT: float, STR: str, COMPLEX: complex}[t])
    if t == NONE:
        return x is None
    if t == DEVICE:
        return isinstance(x, torch.device)
    if isinstance(t, ListType):
        return isinstance(x, list) and all(_is(i, t.element) for i in x)
    if isinstance(t, DictType):
        return isinstance(x, dict) and all(_is(k, t.of) and _is(v, t.element) for k, v in x.items())
    if isinstance(t, TupleType):
        return isinstance(x, tuple) and len(x) == len(t.elements) and all(map(_is, x, t.elements))
    if isinstance(t, EnumType):
        return isinstance(x, t.python)
    if isinstance(t, (ClassType, InterfaceType)):
        return getattr(x, "_jit_type", None) is t or isinstance(t, InterfaceType)
    return isinstance(t, FutureType) or t is FUNCTION
