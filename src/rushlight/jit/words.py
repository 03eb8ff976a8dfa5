"""The words of ``torch.jit`` that mark source for the compiler; called from Python they do next to nothing."""

import inspect
import typing
import warnings

import rushlight as torch

from .modules import Attribute
from .types import InterfaceType

Final = typing.Final
_active = []                        # traces that run


def annotate(the_type, the_value):
    """`the_value`; tells the compiler that its type is `the_type` (for ``[]``, ``{}`` and ``None``)."""
    return the_value


def export(fn):
    """Compile this method with its module even though ``forward`` does not call it."""
    fn._torchscript_modifier = "export"
    return fn


def ignore(drop=False, **kwargs):
    """Leave a function to Python: compiled code calls it there, and can't be saved. drop: it raises instead.

    A decorator with or without arguments.
    """
    if callable(drop):
        drop._torchscript_modifier = "ignore"
        return drop
    if not isinstance(drop, bool):
        raise RuntimeError(f"Argument to @torch.jit.ignore must be a bool or a function but got {drop}")
    drop_on_export = kwargs.pop("drop_on_export", None)
    if drop_on_export is not None:
        warnings.warn("ignore(drop_on_export=True) has been deprecated. TorchScript will now drop the function call on "
                      "compilation. Use torch.jit.unused now. {}", FutureWarning, stacklevel=2)
        drop = drop_on_export

    def mark(fn):
        fn._torchscript_modifier = "unused" if drop else "ignore"
        return fn
    return mark


def unused(fn):
    """Do not compile this method: where compiled code calls it, it raises."""
    if isinstance(fn, property):
        for part in (fn.fget, fn.fset):
            if part is not None:
                part._torchscript_modifier = "unused"
        return fn
    fn._torchscript_modifier = "unused"
    return fn


def _drop(fn):
    fn._torchscript_modifier = "drop"
    return fn


def is_scripting():
    """Whether this runs as compiled code: False in Python, True where the compiler sees it."""
    return False


def is_tracing():
    """Whether a call is being traced."""
    return bool(_active) and _active[-1].here()


def fork(func, *args, **kwargs):
    """Start ``func(*args, **kwargs)`` at the side; the `Future` of its result.

    In compiled code the call runs on another thread; `wait` gives the result.
    """
    from rushlight.futures import fork as start
    return start(func, *args, **kwargs)


def wait(future):
    """The result of a `Future` that `fork` made, once it is there."""
    return future.wait()


_fork, _wait = fork, wait


def _unwrap_optional(x):
    if x is None:
        raise AssertionError("Unwrapping null optional")
    return x


def jit_isinstance(obj, target_type):
    """Whether `obj` is of a type such as ``List[int]``, judged by its contents; refines types in compiled code.

    RuntimeError for types without contained types.
    """
    from .annotations import type_of_annotation
    from .execution import is_instance
    for t in target_type if isinstance(target_type, tuple) else (target_type,):
        word = {list: "List", dict: "Dict", tuple: "Tuple", **{
            getattr(typing, n): n for n in ("List", "Dict", "Tuple", "Optional")}}.get(t)
        if word:
            raise RuntimeError(f"Attempted to use {word} without a contained type. Please add a contained type, e.g. "
                               f"{word}[int]")
        kind = type_of_annotation(t)
        found = list(obj) if isinstance(obj, torch.Size) else obj
        if is_instance(found, [kind]):
            if isinstance(obj, (list, dict)) and not obj:
                warnings.warn("The inner type of a container is lost when calling torch.jit.isinstance in eager mode. "
                              "For example, List[int] would become list and therefore falsely return True for "
                              "List[float] or List[str].", stacklevel=2)
            return True
    return False


jit_isinstance.__name__ = "isinstance"


def interface(obj):
    """Declare an interface: a class whose methods say which ones modules or classes must have.

    Values annotated with it may be any object that has them; their methods are looked up when they are called.
    """
    if not inspect.isclass(obj):
        raise RuntimeError("interface must be applied to a class")
    from .annotations import qualified
    from .frontend import source_of
    from .functions import Parameter
    from .resolve import PythonResolver, signature_types, unique_name
    module = issubclass(obj, torch.nn.Module)
    t = InterfaceType(unique_name(qualified(obj)), {}, module, obj)
    for name, fn in obj.__dict__.items():
        if not inspect.isfunction(fn):
            continue
        tree, source = source_of(fn)
        types, returns = signature_types(fn, tree, PythonResolver(fn), source, True)
        parameters = []
        for a in tree.args.args[1:]:
            from .types import TENSOR
            default = inspect.signature(fn).parameters[a.arg].default
            parameters.append(Parameter(a.arg, types.get(a.arg, TENSOR),
                                        ... if default is inspect.Parameter.empty else default))
        from .types import NONE
        t.methods[name] = parameters, returns or NONE
    obj._jit_interface = t
    obj.__torch_script_interface__ = obj
    return obj


def script_if_tracing(fn):
    """A function that is compiled when it is called while tracing, so that its branches stay; else it runs as it is."""
    import functools

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        if not is_tracing():
            return fn(*args, **kwargs)
        from .script import script
        return script(fn)(*args, **kwargs)
    wrapper.__original_fn = fn
    wrapper.__script_if_tracing_wrapper = True
    return wrapper


def export_opnames(m):
    """Names of the operators that a compiled module's methods use, sorted."""
    from .graph import walk
    found = set()
    for module in m.modules():
        for function in module._jit_type.methods:
            compiled = module._jit_type.method(function)
            if compiled.graph is None:
                continue
            stack = [compiled.graph]
            while stack:
                for n in walk(stack.pop().block_):
                    if n._kind.startswith("aten::") and n.schema is not None:
                        overload = n.schema.overload
                        found.add(n._kind + (f".{overload}" if overload else ""))
                    called = n.attributes.get("_function")
                    if called is not None and called.graph is not None:
                        stack.append(called.graph)
    return sorted(found)


__all__ = ["Attribute", "Final", "annotate", "export", "export_opnames", "fork", "ignore", "interface", "is_scripting",
           "is_tracing", "jit_isinstance", "script_if_tracing", "unused", "wait"]
