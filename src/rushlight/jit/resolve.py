"""What names of Python source mean to the compiler, and the compilation of Python functions and methods."""

import ast
import builtins
import functools
import inspect
import math
import threading
import typing
import warnings
import weakref

import rushlight as torch

from . import signatures
from .annotations import BroadcastingList, qualified, signature_of_comment, type_of_annotation
from .frontend import ErrorReport, source_of
from .functions import Function, Parameter
from .sugar import Compiled, Operator, Python, Special
from .types import NONE, TENSOR, ListType, optional

STACK = []                          # (name, place) of the calls that made the compiler compile something else
_COMPILED = weakref.WeakKeyDictionary()
_busy = set()
_lock = threading.RLock()
_names = {}                         # qualified name -> how many things have it

_BUILTINS = {getattr(builtins, n): n for n in (
    "len range enumerate zip print int float bool str list dict tuple isinstance hasattr getattr min max abs sum any "
    "all "
    "sorted round ord chr hex oct bin divmod reversed complex id hash").split()}
_PREFIXES = (("torch", ""), ("torch.nn.functional", ""), ("torch.linalg", "linalg_"), ("torch.special", "special_"),
             ("torch.fft", "fft_"), ("torch._C._nn", ""), ("torch._VF", ""))
_TENSORS = {"meshgrid": "aten::meshgrid", "broadcast_tensors": "aten::broadcast_tensors",
            "block_diag": "aten::block_diag", "cartesian_prod": "aten::cartesian_prod",
            "chain_matmul": "aten::chain_matmul"}


@functools.cache
def _known():
    """{id of an object: what it is to the compiler} for the words of ``torch`` and ``torch.jit``."""
    import rushlight.jit as jit

    from . import words
    found = {}

    def put(obj, sugar):
        found[id(obj)] = (obj, sugar)
    for fn, name in _BUILTINS.items():
        put(fn, Special(name))
    put(warnings.warn, Special("warn"))
    put(jit.annotate, Special("annotate"))
    put(jit.isinstance, Special("inner_isinstance"))
    put(jit.is_scripting, Special("is_scripting"))
    put(jit.is_tracing, Special("is_tracing"))
    put(words._unwrap_optional, Special("unwrap_optional"))
    put(jit.fork, Special("fork"))
    put(jit.wait, Special("wait"))
    put(jit._fork, Special("fork"))
    put(jit._wait, Special("wait"))
    put(torch.is_tensor, Special("is_tensor"))
    put(torch.device, Operator(["aten::device"]))
    put(torch.Size, Special("list"))
    put(torch.Tensor, Special("type", TENSOR))
    put(torch.einsum, Special("einsum"))
    put(typing.cast, Special("annotate"))
    for name, op in _TENSORS.items():
        if hasattr(torch, name):
            put(getattr(torch, name), Special("tensors", op))
    for name in ("ceil", "floor", "sqrt", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh",
                 "cosh", "tanh", "asinh", "acosh", "atanh", "log2", "log10", "log1p", "expm1", "pow", "fabs", "fmod",
                 "isnan", "isinf", "isfinite", "gcd", "factorial", "erf", "erfc", "gamma", "lgamma", "degrees",
                 "radians", "copysign", "modf", "frexp", "ldexp", "remainder"):
        op = {"fabs": "fabs", "gamma": "gamma", "remainder": "mathremainder"}.get(name, name)
        put(getattr(math, name), Operator([f"aten::{op}"]))
    for home, prefix in _PREFIXES:
        module = {"torch": torch, "torch.nn.functional": torch.nn.functional, "torch.linalg": torch.linalg,
                  "torch.special": torch.special, "torch.fft": torch.fft, "torch._VF": torch._VF}.get(home)
        from rushlight.ops import registry
        registry.load()
        for name in registry.FUNCTIONS.get(home, ()):
            if module is None or not signatures.exists(f"aten::{prefix}{name}"):
                continue
            try:
                obj = getattr(module, name)
            except AttributeError:
                continue
            if id(obj) not in found:
                put(obj, Operator([f"aten::{prefix}{name}"]))
    for name in ("seed", "initial_seed", "manual_seed", "set_grad_enabled", "is_grad_enabled"):
        if hasattr(torch, name) and signatures.exists(f"aten::{name}") and id(getattr(torch, name)) not in found:
            put(getattr(torch, name), Operator([f"aten::{name}"]))
    return found


def _operator(obj):
    """The operator that a public function is; generated functions come up at any time."""
    name = getattr(obj, "__name__", None)
    if not isinstance(name, str) or not callable(obj) or isinstance(obj, type):
        return None
    from rushlight.ops import registry
    for home, prefix in _PREFIXES:
        fn = registry.FUNCTIONS.get(home, {}).get(name)
        if fn is not None and (fn is obj or getattr(fn, "__wrapped__", None) is obj) and signatures.exists(
                f"aten::{prefix}{name}"):
            return Operator([f"aten::{prefix}{name}"])
    return None


def by_path(module, name):
    """The operator of a name in a module of the package, or None."""
    home = module.__name__.replace("rushlight", "torch", 1)
    for space, prefix in _PREFIXES:
        if space == home and signatures.exists(f"aten::{prefix}{name}"):
            from rushlight.ops import registry
            registry.load()
            if name in registry.FUNCTIONS.get(space, ()):
                return Operator([f"aten::{prefix}{name}"])
    return None


def unique_name(name):
    """A qualified name that nothing else has: a repeated one is marked before its last part."""
    n = _names.get(name, 0)
    _names[name] = n + 1
    if not n:
        return name
    head, _, tail = name.rpartition(".")
    _names["*"] = _names.get("*", -1) + 1
    return f"{head}.___torch_mangle_{_names['*']}.{tail}"


class PythonResolver:
    """Names of a Python function: what it closes over, its module's, and Python's own."""

    def __init__(self, fn=None, scope=None):
        self.scope = scope if scope is not None else scope_of(fn)

    def __call__(self, name, place):
        if name in self.scope:
            return self.sugar(self.scope[name], name)
        if hasattr(builtins, name):
            return self.sugar(getattr(builtins, name), name)
        return None

    def sugar(self, obj, name=None):
        """What a Python object is to the compiler."""
        from . import forms
        from .script import ScriptFunction
        known = _known().get(id(obj))
        if known is None and callable(obj):
            known = _known().get(id(getattr(obj, "__wrapped__", None)))
        form = forms.function(obj, name)
        if form is not None:
            return form
        if known is not None:
            return known[1]
        operator = _operator(obj)
        if operator is not None:
            return operator
        if isinstance(obj, ScriptFunction):
            return Compiled(obj._function)
        if obj in (torch.no_grad, torch.enable_grad) if isinstance(obj, type) else False:
            return Python(forms.context(obj))
        if isinstance(obj, torch.Tensor) or not callable(obj):
            return Python(obj)
        return Python(obj)

    def type_of(self, node, place):
        """The type that an annotation's tree means here."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        text = ast.Expression(node)
        try:
            value = eval(compile(ast.fix_missing_locations(text), "<annotation>", "eval"), _Scope(self.scope))
        except ErrorReport:
            raise
        except Exception as error:
            raise ErrorReport(f"Unknown type name '{ast.unparse(node)}'", place) from error
        return type_of_annotation(value, self.scope, place)

    def function(self, v, place):
        """The compiled form of a Python callable, or None."""
        return compile_function(v)

    def dotted(self, path, place):
        raise ErrorReport(f"unknown name {path}", place)


class _Scope(dict):
    """Names for annotations: a function's, those of `typing`, and the words of the script language."""

    def __init__(self, scope):
        super().__init__()
        self.scope = scope

    def __missing__(self, name):
        if name in self.scope:
            return self.scope[name]
        if name.startswith("BroadcastingList") and name[16:].isdigit():
            return BroadcastingList(int(name[16:]))
        if hasattr(builtins, name):
            return getattr(builtins, name)
        if name == "Tensor":
            return torch.Tensor
        if name == "torch":
            return torch
        if hasattr(typing, name):
            return getattr(typing, name)
        raise NameError(name)


def scope_of(fn):
    """Names that a function sees."""
    fn = inspect.unwrap(fn)
    scope = dict(getattr(fn, "__globals__", {}))
    code, cells = getattr(fn, "__code__", None), getattr(fn, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells):
        try:
            scope[name] = cell.cell_contents
        except ValueError:
            pass
    return scope


def signature_types(fn, tree, resolver, source, method):
    """({parameter: type}, type of the result or None) of a function's annotations and comments."""
    args = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
    types, hints = {}, getattr(inspect.unwrap(fn), "__annotations__", {}) if fn is not None else {}
    for i, a in enumerate(args):
        if i == 0 and method:
            continue
        if a.arg in hints:
            types[a.arg] = type_of_annotation(hints[a.arg], resolver.scope, source.range(a))
        elif a.annotation is not None:
            types[a.arg] = resolver.type_of(a.annotation, source.range(a))
        elif getattr(a, "type_comment", None):
            types[a.arg] = type_of_annotation(a.type_comment, resolver.scope, source.range(a))
    returns = None
    if "return" in hints:
        returns = NONE if hints["return"] is None else type_of_annotation(hints["return"], resolver.scope,
                                                                         source.range(tree))
    elif tree.returns is not None:
        returns = resolver.type_of(tree.returns, source.range(tree))
    listed, result = signature_of_comment(tree, source.lines, source.first, resolver.scope)
    if result is not None:
        names = [a.arg for i, a in enumerate(args) if not (i == 0 and method)]
        if listed is not None:
            types |= dict(zip(names, listed))
        returns = result
    return types, returns


def _defaults(fn):
    found = {}
    for name, p in inspect.signature(inspect.unwrap(fn)).parameters.items():
        if p.default is not p.empty:
            found[name] = p.default
    return found


def compile_function(fn, name=None, qualified_name=None):
    """The compiled form of a Python function (once); None where it is not one."""
    from .script import ScriptFunction
    if isinstance(fn, ScriptFunction):
        return fn._function
    fn = getattr(fn, "__script_if_tracing_wrapper", None) and fn.__original_fn or fn
    if not inspect.isfunction(fn):
        wrapped = inspect.unwrap(fn) if callable(fn) else None
        if not inspect.isfunction(wrapped):
            return None
    with _lock:
        found = _COMPILED.get(fn)
        if found is not None:
            return found
        modifier = getattr(fn, "_torchscript_modifier", None)
        if modifier in ("unused", "ignore", "drop"):
            found = ignored(fn, modifier, None)
            _COMPILED[fn] = found
            return found
        if fn in _busy:
            raise ErrorReport(f"function '{fn.__name__}' is called recursively. Recursive calls are not supported")
        _busy.add(fn)
        try:
            tree, source = source_of(fn, getattr(fn, "__name__", None))
            found = _compile(tree, source, fn, name or fn.__name__, qualified_name or unique_name(qualified(fn)))
        finally:
            _busy.discard(fn)
        _COMPILED[fn] = found
        return found


def _compile(tree, source, fn, name, full, self_type=None, owner=None, resolver=None, initialises=None):
    from .compiler import Compiler
    if isinstance(tree, ast.AsyncFunctionDef):
        from .frontend import UnsupportedNodeError
        raise UnsupportedNodeError(source.range(tree), ast.Await(None))
    resolver = resolver or PythonResolver(fn)
    defaults = _defaults(fn)
    types, returns = signature_types(fn, tree, resolver, source, self_type is not None)
    compiler = Compiler(resolver, source, owner)
    compiler.initialises = initialises
    try:
        found = compiler.function(tree, name, full, types, returns, self_type, defaults)
    except ErrorReport as error:
        calls = [(n, p) for n, p in STACK if p is not None]
        if calls and not getattr(error, "told", False):
            told = ErrorReport.__new__(ErrorReport)
            text = str(error)
            for n, p in reversed(calls):
                text += f"'{n}' is being compiled since it was called from '{p.name}'\n{p.highlight()}"
            RuntimeError.__init__(told, text)
            told.message, told.told = error.message, True
            raise told from None
        raise
    found.python = fn
    found.doc = getattr(fn, "__doc__", None)
    return found


def compile_method(fn, name, t, owner=None, resolver=None, full=None):
    """The compiled form of a method of class type `t`."""
    modifier = getattr(fn, "_torchscript_modifier", None)
    if modifier in ("unused", "ignore", "drop"):
        return ignored(fn, modifier, t)
    key = (id(t), name)
    if key in _busy:
        raise ErrorReport(f"method '{t.name.rpartition('.')[2]}.{name}' is called recursively involving branches that "
                          "are not compiled yet. Recursive calls are not supported")
    _busy.add(key)
    try:
        tree, source = source_of(fn, f"{t.name.rpartition('.')[2]}.{name}")
        static = isinstance(inspect.getattr_static(t.python, name, None), staticmethod) if t.python else False
        return _compile(tree, source, fn, name, full or f"{t.name}.{name}", None if static else t, owner, resolver,
                        t if name == "__init__" else None)
    finally:
        _busy.discard(key)


def ignored(fn, modifier, self_type):
    """A function that compiled code calls in Python, or that raises there."""
    tree, source = source_of(fn)
    resolver = PythonResolver(fn)
    types, returns = signature_types(fn, tree, resolver, source, self_type is not None)
    args = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
    defaults = _defaults(fn)
    parameters = []
    for i, a in enumerate(args):
        t = self_type if i == 0 and self_type is not None else types.get(a.arg, TENSOR)
        parameters.append(Parameter(a.arg, t, defaults.get(a.arg, ...)))
    found = Function(fn.__name__, qualified(fn), None, parameters, returns or TENSOR, self_type, fn)
    found.ignored = "unused" if modifier in ("unused", "drop") else "ignore"
    return found


__all__ = ["ListType", "PythonResolver", "compile_function", "compile_method", "optional"]
