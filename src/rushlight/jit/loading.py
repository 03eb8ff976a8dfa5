"""Reads the code of archives: classes and functions by name, compiled when something refers to them."""

import ast
import enum

import rushlight as torch

from . import signatures
from .frontend import ErrorReport, Source
from .graph import constant_of
from .pickles import Stub, Tagged
from .script import RecursiveScriptModule
from .sugar import Compiled, Namespace, Operator, Python, Special, TypeName
from .types import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    GENERATOR,
    INT,
    NONE,
    SCALAR,
    STORAGE,
    STR,
    TENSOR,
    ClassType,
    DictType,
    EnumType,
    FutureType,
    InterfaceType,
    ListType,
    OptionalType,
    TupleType,
    optional,
    union,
)

_WORDS = {"Tensor": TENSOR, "int": INT, "float": FLOAT, "bool": BOOL, "str": STR, "complex": COMPLEX, "NoneType": NONE,
          "Device": DEVICE, "number": SCALAR, "Any": ANY, "Generator": GENERATOR, "Storage": STORAGE, "Scalar": SCALAR,
          "AnyClassType": ANY, "Layout": INT, "ScalarType": INT}
_SPECIALS = {n: Special(n) for n in (
    "int float bool complex str list dict len range print isinstance getattr min max abs sorted round sum any all ord "
    "chr "
    "hex oct bin divmod hash id enumerate zip annotate uninitialized unchecked_cast fork").split()}
_SPECIALS["unwrap_optional"] = Special("unwrap_optional")
_NUMBERS = {"inf": float("inf"), "nan": float("nan"), "infj": complex(0, float("inf")), "nanj": complex(0,
                                                                                                        float("nan"))}


class Importer:
    """The code of one archive; also what names in it mean to the compiler."""

    scope = {}

    def __init__(self, archive, constants):
        self.archive, self.constants = archive, constants
        self.files, self.types, self.functions = {}, {}, {}
        self.place = None

    # ------------------------------------------------------------ files

    def find(self, qualified):
        """(the tree of a definition, its `Source`), or None."""
        head, _, tail = qualified.rpartition(".")
        if head not in self.files:
            path = f"code/{head.replace('.', '/')}.py"
            self.files[head] = {}
            if path in self.archive:
                text = self.archive.read(path).decode()
                lines = text.splitlines()
                for node in ast.parse(text).body:
                    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                        self.files[head][node.name] = node, Source(path, lines, 1, 0, node.name)
        return self.files[head].get(tail)

    def named(self, qualified):
        """The type of a qualified name, or None."""
        if qualified in self.types:
            return self.types[qualified]
        found = self.find(qualified)
        if found is None or not isinstance(found[0], ast.ClassDef):
            return None
        node, source = found
        base = node.bases[0].id if node.bases else ""
        if base == "NamedTuple":
            fields = [(s.target.id, self.type_of(s.annotation, None)) for s in node.body if isinstance(s,
                                                                                                       ast.AnnAssign)]
            made = TupleType([t for _, t in fields], tuple(f for f, _ in fields), qualified)
            self.types[qualified] = made
        elif base == "Enum":
            members = {s.targets[0].id: ast.literal_eval(s.value) for s in node.body if isinstance(s, ast.Assign)}
            python = enum.Enum(node.name, members)
            from .graph import constant_type
            made = self.types[qualified] = EnumType(qualified, python, constant_type(next(iter(members.values()))))
        elif base in ("Interface", "ModuleInterface"):
            made = self.types[qualified] = InterfaceType(qualified, {}, base == "ModuleInterface")
            for s in node.body:
                if isinstance(s, ast.FunctionDef):
                    made.methods[s.name] = self.interface(s)
        else:
            made = self.types[qualified] = ClassType(qualified, base == "Module")
            self.fill(made, node, source)
        return made

    def interface(self, s):
        from .functions import Parameter
        parameters = [Parameter(a.arg, self.type_of(a.annotation, None)) for a in s.args.args[1:]]
        return parameters, self.type_of(s.returns, None)

    def fill(self, t, node, source):
        """The attributes and methods of a class."""
        for s in node.body:
            if isinstance(s, ast.AnnAssign):
                kind = s.annotation
                if isinstance(kind, ast.Subscript) and isinstance(kind.value, ast.Name) and kind.value.id == "Final":
                    t.constants[s.target.id] = self.constant(s.value, self.type_of(kind.slice, None))
                else:
                    t.attributes[s.target.id] = self.type_of(kind, None)
            elif isinstance(s, ast.Assign):
                target = s.targets[0]
                if isinstance(target, ast.Subscript):
                    t.attributes[ast.literal_eval(target.slice)] = self.type_of(s.value, None)
                elif target.id == "__parameters__":
                    t.parameters = list(ast.literal_eval(s.value))
                elif target.id == "__buffers__":
                    t.buffers = list(ast.literal_eval(s.value))
            elif isinstance(s, ast.FunctionDef):
                t.methods[s.name] = self.later(s, source, t)

    def later(self, s, source, t):
        return lambda: self.compile(s, source, f"{t.name}.{s.name}", t)

    def constant(self, node, t):
        """The value of a constant attribute."""
        try:
            value = ast.literal_eval(node)
        except ValueError:
            text = ast.unparse(node)
            if text.startswith("torch.device("):
                return torch.device(ast.literal_eval(node.args[0]))
            if text.startswith("annotate("):
                return self.constant(node.args[1], t)
            if text in _NUMBERS:
                return _NUMBERS[text]
            if isinstance(node, ast.UnaryOp) and ast.unparse(node.operand) == "inf":
                return float("-inf")
            if isinstance(node, (ast.Tuple, ast.List)):
                return type(ast.literal_eval("()" if isinstance(node, ast.Tuple) else "[]"))(
                    self.constant(e, None) for e in node.elts)
            return self.dotted(text, None).value
        return value

    def compile(self, s, source, qualified, t=None):
        """Compile a function or method of the archive."""
        from .compiler import Compiler
        place = Source(source.filename, source.lines, 1, 0, s.name)
        types = {a.arg: self.type_of(a.annotation, None) for a in s.args.args[1 if t is not None else 0:]}
        returns = self.type_of(s.returns, None) if s.returns is not None else None
        names = [a.arg for a in s.args.args]
        defaults = {n: self.constant(d, types.get(n)) for n, d in zip(names[len(names) - len(s.args.defaults):],
                                                                      s.args.defaults)}
        compiler = Compiler(self, place, None, archive=True)
        return compiler.function(s, s.name, qualified, types, returns, t, defaults)

    def compile_all(self):
        """Compile every method of the classes that were met, so that faults show now."""
        done = set()
        while len(done) < len(self.types):
            for name, t in list(self.types.items()):
                done.add(name)
                if isinstance(t, ClassType):
                    for method in list(t.methods):
                        t.method(method)

    # ------------------------------------------------------------ names

    def __call__(self, name, place):
        if name in _SPECIALS:
            return _SPECIALS[name]
        if name in _NUMBERS:
            return Python(_Number(_NUMBERS[name]))
        if name in ("torch", "ops", "__torch__", "CONSTANTS"):
            return Namespace(name)
        return None

    def dotted(self, path, place):
        """What a dotted name means."""
        head, _, tail = path.rpartition(".")
        if path == "torch.device":
            return Operator(["aten::device"])
        if head == "CONSTANTS":
            return Python(self.constants[int(tail[1:])])
        if head == "torch":
            if tail == "values":
                return Special("dict_values")
            if tail in ("format", "percentFormat") or signatures.exists(f"aten::{tail}"):
                return Operator([f"aten::{tail}"])
            return Namespace(path)
        if head.startswith("torch.") or head == "ops" or path == "ops":
            return Namespace(path)
        if head.startswith("ops."):
            if path == "ops.prim.RaiseException":
                return Special("raise_exception")
            kind = head[4:].replace(".", "::") + "::" + tail
            if not signatures.exists(kind):
                raise ErrorReport(f"Unknown builtin op: {kind}.\nCould not find any similar ops to {kind}. This op may "
                                  "not exist or may not be currently supported in TorchScript", place)
            return Operator([kind])
        if path.startswith("__torch__."):
            t = self.named(path)
            if t is not None:
                return TypeName(t)
            found = self.find(path)
            if found is not None:
                if path not in self.functions:
                    self.functions[path] = self.compile(*found, path)
                return Compiled(self.functions[path])
            owner = self.types.get(head) or (self.named(head) if "." in head else None)
            if isinstance(owner, EnumType):
                return Python(owner.python[tail])
            return Namespace(path)
        raise ErrorReport(f"unknown name {path}", place)

    def sugar(self, obj, name=None):
        return Python(obj)

    def function(self, v, place):
        return None

    # ------------------------------------------------------------ types

    def type_of(self, node, place):
        """The type that an annotation's tree means."""
        if isinstance(node, ast.Constant):
            if node.value is None:
                return NONE
            return self.type_of(ast.parse(node.value, mode="eval").body, place)
        if isinstance(node, ast.Name):
            found = _WORDS.get(node.id)
            if found is None:
                raise ErrorReport(f"Unknown type name '{node.id}'", place)
            return found
        if isinstance(node, ast.Attribute):
            path = ast.unparse(node)
            found = self.named(path)
            if found is None:
                raise ErrorReport(f"Unknown type name '{path}'", place)
            return found
        if isinstance(node, ast.Subscript):
            word = ast.unparse(node.value)
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if word == "Tuple":
                return TupleType([self.type_of(p, place) for p in parts])
            inner = [self.type_of(p, place) for p in parts]
            if word == "List":
                return ListType(inner[0])
            if word == "Dict":
                return DictType(*inner)
            if word == "Optional":
                return optional(inner[0])
            if word == "Union":
                return union(inner)
            if word in ("Future", "Await", "RRef"):
                return FutureType(inner[0], word)
            if word == "Final":
                return inner[0]
        raise ErrorReport(f"Unknown type '{ast.unparse(node)}'", place)


class _Number:
    """A float that no literal writes."""

    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


def build(x, importer, t=None, done=None):
    """The value that an archive's pickle means: modules and objects of the archive's classes."""
    done = {} if done is None else done
    if isinstance(x, Tagged):
        kind = importer.type_of(ast.parse(x.kind, mode="eval").body, None)
        return build(x.value, importer, kind, done)
    if isinstance(t, OptionalType):
        t = t.element
    if isinstance(x, Stub):
        if id(x) in done:
            return done[id(x)]
        kind = importer.named(x.qualified)
        if kind is None:
            raise RuntimeError(f"the archive has no class {x.qualified}")
        if isinstance(kind, TupleType):
            from .execution import named_class
            return named_class(kind)(*[build(a, importer, e, done) for a, e in zip(x.args, kind.elements)])
        if isinstance(kind, EnumType):
            return kind.python(x.args[0])
        return _module(x, kind, importer, done) if kind.module else _object(x, kind, importer, done)
    if isinstance(x, list):
        element = t.element if isinstance(t, ListType) else None
        return [build(i, importer, element, done) for i in x]
    if isinstance(x, tuple):
        elements = t.elements if isinstance(t, TupleType) else (None,) * len(x)
        items = [build(i, importer, e, done) for i, e in zip(x, elements)]
        if isinstance(t, TupleType) and t.qualified:
            from .execution import named_class
            return named_class(t)(*items)
        return tuple(items)
    if isinstance(x, dict):
        of, element = (t.of, t.element) if isinstance(t, DictType) else (None, None)
        return {build(k, importer, of, done): build(v, importer, element, done) for k, v in x.items()}
    return x


def _module(x, kind, importer, done):
    new = RecursiveScriptModule(kind)
    done[id(x)] = new
    own = new.__dict__
    for name, value in x.state.items():
        t = kind.attributes.get(name)
        made = build(value, importer, t, done)
        if name in kind.parameters:
            own["_parameters"][name] = made if made is None or isinstance(made, torch.nn.Parameter) else (
                torch.nn.Parameter(made, made.requires_grad))
        elif name in kind.buffers:
            own["_buffers"][name] = made
        elif isinstance(made, RecursiveScriptModule):
            own["_modules"][name] = made
        elif name == "training":
            own["training"] = bool(made)
        elif name == "_is_full_backward_hook":
            own[name] = made
        else:
            own[name] = made
    if "__setstate__" in kind.methods:
        raise NotImplementedError(f"{kind.name} has a __setstate__ of its own")
    return new


def _object(x, kind, importer, done):
    from .classes import ScriptObject
    new = ScriptObject(kind)
    done[id(x)] = new
    for name, value in x.state.items():
        new.__dict__[name] = build(value, importer, kind.attributes.get(name), done)
    return new


__all__ = ["Importer", "build", "constant_of"]
