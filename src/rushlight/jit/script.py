"""Compiled functions and modules as Python sees them, and `script`, which makes them."""

import enum
import inspect

import rushlight as torch

from . import classes
from .binding import bind
from .modules import concrete_type, exported
from .types import ClassType

_Module = torch.nn.Module


class Error(Exception):
    """An exception that compiled code raised."""


class CompilationUnit:
    """Functions compiled from source text: ``CompilationUnit(source).name(...)``."""

    def __init__(self, lang=None, _frames_up=0):
        self._functions = {}
        if lang is not None:
            self.define(lang)

    def define(self, lang, rcb=None, _frames_up=0):
        """Compile the functions defined in `lang`."""
        import ast
        import textwrap

        from .compiler import Compiler
        from .frontend import Source
        from .resolve import PythonResolver
        text = textwrap.dedent(lang)
        for tree in ast.parse(text).body:
            source = Source("<string>", text.splitlines(), 1, 0, tree.name)
            resolver = PythonResolver(scope={"torch": torch, **{n: ScriptFunction(f) for n,
                                                                f in self._functions.items()}})
            types = {a.arg: resolver.type_of(a.annotation, None) for a in tree.args.args if a.annotation is not None}
            returns = resolver.type_of(tree.returns, None) if tree.returns is not None else None
            values = [ast.literal_eval(d) for d in tree.args.defaults]
            defaults = dict(zip([a.arg for a in tree.args.args][len(tree.args.args) - len(values):], values))
            self._functions[tree.name] = Compiler(resolver, source).function(
                tree, tree.name, f"__torch__.{tree.name}", types, returns, None, defaults)

    def __getattr__(self, name):
        found = self.__dict__.get("_functions", {}).get(name)
        if found is None:
            raise AttributeError(f"'CompilationUnit' has no attribute '{name}'")
        return ScriptFunction(found)


class ScriptFunction:
    """A compiled function. ``graph`` is its intermediate form, ``code`` that as source."""

    def __init__(self, function):
        self._function = function
        self.__name__ = function.name
        self.__doc__ = function.doc

    def __call__(self, *args, **kwargs):
        f = self._function
        if torch.jit._tracing():
            from .tracing import traced_call
            return traced_call(f, None, args, kwargs)
        return run(f, bind(f, args, kwargs))

    graph = property(lambda self: self._function.graph)
    schema = property(lambda self: self._function.schema())
    name = property(lambda self: self._function.name)
    qualified_name = property(lambda self: self._function.qualified)

    @property
    def inlined_graph(self):
        """The graph with the functions that it calls put in."""
        from .copying import inlined
        return inlined(self._function.graph)

    @property
    def code(self):
        """The function as source."""
        from .source import function_code
        return function_code(self._function)[0]

    @property
    def code_with_constants(self):
        """(the source, its constants by name)."""
        from .source import function_code
        return function_code(self._function)

    def graph_for(self, *args, **kwargs):
        """The graph that runs for these arguments: the inlined one."""
        self(*args, **kwargs)
        return self.inlined_graph

    def save(self, f, _extra_files=None):
        """Write an archive that `load` (and PyTorch) reads."""
        from .archive import save_function
        save_function(self._function, f, _extra_files)

    def save_to_buffer(self, _extra_files=None):
        """The archive as bytes."""
        import io
        buffer = io.BytesIO()
        self.save(buffer, _extra_files)
        return buffer.getvalue()

    def get_debug_state(self):
        """Not kept: programs are generated once and have no states."""
        raise NotImplementedError("get_debug_state")

    def __reduce__(self):
        import pickle
        raise pickle.PickleError("ScriptFunction cannot be pickled")

    def __repr__(self):
        return f"<torch.jit.ScriptFunction object at {id(self):#x}>"


ScriptFunction.__module__ = "torch.jit"


def run(function, args):
    """Run a compiled function; what it switched stays switched only if it ends well."""
    grad = torch.is_grad_enabled()
    try:
        return function.run(*args)
    except BaseException:
        if torch.is_grad_enabled() != grad:
            torch.set_grad_enabled(grad)
        raise


class ScriptMethod:
    """A method of a compiled module, bound to it."""

    def __init__(self, owner, function):
        self.owner, self._function = owner, function
        self.__name__ = function.name

    def __call__(self, *args, **kwargs):
        f = self._function
        if torch.jit._tracing():
            from .tracing import traced_call
            return traced_call(f, self.owner, args, kwargs)
        if f.ignored:
            return f.python(self.owner, *args, **kwargs)
        return run(f, [self.owner, *bind(f, args, kwargs, 1)])

    graph, schema, name = ScriptFunction.graph, ScriptFunction.schema, ScriptFunction.name
    qualified_name = ScriptFunction.qualified_name
    inlined_graph, code, code_with_constants = (ScriptFunction.inlined_graph, ScriptFunction.code,
                                                ScriptFunction.code_with_constants)

    def graph_for(self, *args, **kwargs):
        """The graph that runs for these arguments."""
        return self.inlined_graph


class ScriptModule(_Module):
    """A compiled module: parameters, buffers and submodules as usual; methods run compiled."""

    def __init__(self):
        super().__init__()
        if type(self) is ScriptModule:
            raise RuntimeError("ScriptModules are made by torch.jit.script, torch.jit.trace or torch.jit.load")

    def forward_magic_method(self, name, *args, **kwargs):
        """Call a special method of the module that was compiled."""
        return getattr(self, name)(*args, **kwargs)


class RecursiveScriptModule(ScriptModule):
    """A module that `script`, `trace` or `load` made."""

    def __init__(self, kind):
        _Module.__init__(self)
        self.__dict__["_jit_type"] = kind

    @property
    def original_name(self):
        """The name of the class that it was made from."""
        return self._jit_type.name.rpartition(".")[2]

    def _get_name(self):
        return "RecursiveScriptModule"

    def extra_repr(self):
        return f"original_name={self.original_name}"

    @property
    def forward(self):
        """The compiled ``forward``."""
        return self._method("forward")

    def _method(self, name):
        cache = self.__dict__.setdefault("_jit_methods", {})
        found = cache.get(name)
        if found is None:
            function = self._jit_type.method(name)
            if function is None and self._jit_type.fresh is not None and self._jit_type.fresh(name):
                function = self._jit_type.method(name)
            if function is None:
                raise AttributeError(f"'RecursiveScriptModule' object has no attribute '{name}'")
            found = cache[name] = ScriptMethod(self, function)
        return found

    def __getattr__(self, name):
        if name.startswith("__") and name != "__len__":
            return super().__getattr__(name)
        try:
            return super().__getattr__(name)
        except AttributeError:
            kind = self.__dict__.get("_jit_type")
            if kind is None:
                raise
            if name in kind.methods:
                return self._method(name)
            if name in kind.constants:
                return kind.constants[name]
            if name in kind.properties:
                return self._method(kind.properties[name][0])()
            original = self.__dict__.get("_jit_original")
            if original is not None and hasattr(type(original), name):
                member = inspect.getattr_static(type(original), name)
                if inspect.isfunction(member):
                    return member.__get__(self)
            raise AttributeError(f"'RecursiveScriptModule' object has no attribute '{name}'") from None

    def __setattr__(self, name, value):
        kind = self.__dict__.get("_jit_type")
        if kind is not None and name in kind.constants:
            raise AttributeError(f"Cannot mutate TorchScript constant value: '{name}'. Value: '{kind.constants[name]}'")
        if kind is not None and name in kind.properties and kind.properties[name][1]:
            self._method(kind.properties[name][1])(value)
            return
        if kind is not None and name in kind.attributes and name in self.__dict__:
            self.__dict__[name] = value
            return
        super().__setattr__(name, value)

    # ------------------------------------------------------------ what it is

    @property
    def graph(self):
        """The intermediate form of ``forward``."""
        return self.forward.graph

    @property
    def inlined_graph(self):
        """`graph` with all functions and methods that it calls put in."""
        return self.forward.inlined_graph

    @property
    def code(self):
        """``forward`` as source."""
        return self.forward.code

    @property
    def code_with_constants(self):
        """(the source of ``forward``, its constants by name)."""
        return self.forward.code_with_constants

    def graph_for(self, *args, **kwargs):
        """The graph of ``forward`` that runs for these arguments."""
        return self.forward.graph_for(*args, **kwargs)

    def define(self, src):
        """Add a method, given as source whose first parameter is ``self``."""
        from .resolve import define_method
        define_method(self._jit_type, src)

    def save(self, f, **kwargs):
        """Write an archive that `torch.jit.load` and LibTorch read."""
        from .archive import save
        save(self, f, **kwargs)

    def save_to_buffer(self, _extra_files=None):
        """The archive as bytes."""
        import io
        buffer = io.BytesIO()
        self.save(buffer, _extra_files=_extra_files or {})
        return buffer.getvalue()

    # ------------------------------------------------------------ as a container

    def __len__(self):
        if classes.shown_kind(self._jit_type) is None and "__len__" not in self._jit_type.methods:
            raise TypeError(f"object of type '{self.original_name}' has no len()")
        if "__len__" in self._jit_type.methods:
            return self._method("__len__")()
        return len(self._entries())

    def __bool__(self):
        return True

    def _entries(self):
        kind = classes.shown_kind(self._jit_type)
        if kind is None:
            raise TypeError(f"'{self.original_name}' is no container")
        return {k: getattr(self, k) for k in classes.container_keys(self._jit_type, kind)}

    def __getitem__(self, i):
        kind = classes.shown_kind(self._jit_type)
        if kind is None:
            return self._method("__getitem__")(i)
        entries = self._entries()
        return entries[i] if isinstance(i, str) else list(entries.values())[i]

    def __iter__(self):
        kind = classes.shown_kind(self._jit_type)
        entries = self._entries()
        return iter(entries if kind == "dict" else entries.values())

    def __contains__(self, key):
        return key in self._entries()

    def keys(self):
        """Names of the entries of a dict of modules."""
        return self._entries().keys()

    def values(self):
        """The entries of a dict of modules."""
        return self._entries().values()

    def items(self):
        """Pairs of name and entry of a dict of modules."""
        return self._entries().items()

    # ------------------------------------------------------------ copies

    def __copy__(self):
        new = self.__class__.__new__(self.__class__)
        new.__dict__.update(self.__dict__)
        for table in ("_parameters", "_buffers", "_modules"):
            new.__dict__[table] = dict(self.__dict__[table])
        new.__dict__["_jit_methods"] = {}
        return new

    def __deepcopy__(self, memo):
        import copy
        new = self.__class__.__new__(self.__class__)
        memo[id(self)] = new
        for k, v in self.__dict__.items():
            if k == "_jit_methods":
                v = {}
            elif k not in ("_jit_type", "_jit_original"):
                v = copy.deepcopy(v, memo)
            new.__dict__[k] = v
        return new

    def copy(self):
        """A copy that shares tensors."""
        return self.__copy__()

    def __reduce_ex__(self, protocol):
        import pickle
        raise pickle.PicklingError("ScriptModules can't be pickled: use torch.jit.save and torch.jit.load")


class TopLevelTracedModule(RecursiveScriptModule):
    """What `trace` makes of a module."""

    def _get_name(self):
        return self.original_name


class TracedModule(RecursiveScriptModule):
    """A submodule of what `trace` makes."""

    def _get_name(self):
        return self.original_name


for _c in (RecursiveScriptModule, ScriptModule, CompilationUnit):
    _c.__module__ = "torch.jit._script" if _c is not CompilationUnit else "torch.jit"


def wrap(module, kind=None, share=True, cls=RecursiveScriptModule):
    """The compiled form of a module, which shares its tensors."""
    from .binding import convert
    kind = kind or concrete_type(module, share)
    new = cls.__new__(cls)
    _Module.__init__(new)
    own = new.__dict__
    own["_jit_type"], own["_jit_original"] = kind, module
    own["_parameters"] = dict(module._parameters)
    own["_buffers"] = dict(module._buffers)
    own["_non_persistent_buffers_set"] = set(module._non_persistent_buffers_set)
    own["training"] = module.training
    for name, child in module._modules.items():
        if isinstance(child, ScriptModule) or child is None:
            own["_modules"][name] = child
            continue
        inner = kind.attributes.get(name)
        if inner is None:
            own["_modules"][name] = child
            continue
        own["_modules"][name] = wrap(child, inner if isinstance(inner, ClassType) else None, share,
                                     TracedModule if cls is TopLevelTracedModule else cls)
    for name, value in module.__dict__.items():
        if name in own and name not in kind.attributes or name in ("_parameters", "_buffers", "_modules", "training"):
            continue
        t = kind.attributes.get(name)
        if t is not None:
            value = getattr(value, "value", value) if type(value).__name__ == "Attribute" else value
            value = convert(value, t)
        elif name == "forward" or name.startswith("_forward") or name in kind.constants:
            continue
        own[name] = value
    for name, t in kind.attributes.items():
        if name not in own and not any(name in own[table] for table in ("_parameters", "_buffers", "_modules")):
            default = getattr(type(module), name, None)
            own[name] = convert(default, t) if default is not None else None
    return new


def check(module):
    """Compile the forward and exported methods of a module and of all inside."""
    for m in module.modules():
        kind = m.__dict__.get("_jit_type")
        if kind is None:
            continue
        names = ["forward"] if "forward" in kind.methods else []
        if kind.python is not None:
            names += [n for n in exported(kind.python) if n not in names]
        names += [n for n in (*kind.hooks, *kind.pre_hooks) if n not in names]
        names += [g for g, s in kind.properties.values() if g not in names]
        for name in names:
            kind.method(name)


def script(obj, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """Compile a function, a module or a class from its Python source.

    Returns a `ScriptFunction`, a `ScriptModule` that shares the module's tensors, or the class itself.
    RuntimeError (with the source underlined) for what does not fit the script language's types,
    ``frontend.NotSupportedError`` for what it has no words for.
    """
    if optimize is not None:
        import warnings
        warnings.warn("`optimize` is deprecated and has no effect. Use `with torch.jit.optimized_execution()` instead",
                      FutureWarning, stacklevel=2)
    if isinstance(obj, (ScriptModule, ScriptFunction)):
        return obj
    if isinstance(obj, _Module):
        made = wrap(obj)
        check(made)
        return made
    if isinstance(obj, (dict, list)):
        raise NotImplementedError(f"torch.jit.script of a {type(obj).__name__}: containers that compiled code shares "
                                  "with "
                                  "Python")
    if inspect.isclass(obj):
        if issubclass(obj, _Module):
            raise RuntimeError(f"Type '{obj}' cannot be compiled since it inherits from nn.Module, consider passing an "
                               "instance instead")
        if issubclass(obj, enum.Enum):
            return obj
        if obj.__module__ == "builtins":
            raise TypeError(f"{obj} is a built-in class")
        t = classes.script_class(obj)
        for name in t.methods:
            t.method(name)
        return obj
    if not callable(obj):
        raise TypeError(f"{type(obj)} is a built-in class")
    if inspect.ismethod(obj):
        raise RuntimeError("torch.jit.script can't compile a bound method: pass the module")
    from .resolve import compile_function
    function = compile_function(obj)
    if function is None:
        raise RuntimeError(f"{obj!r} can't be compiled: it has no Python source")
    made = ScriptFunction(function)
    made.__doc__, made.__wrapped__ = getattr(obj, "__doc__", None), obj
    return made


