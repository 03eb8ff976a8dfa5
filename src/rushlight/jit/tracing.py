"""`trace`: a compiled function or module from the calls that one run makes."""

import inspect
import sys
import warnings

import rushlight as torch

from . import words
from .annotations import qualified
from .functions import Function, Parameter
from .outlining import outline
from .recorder import Recorder, TracedInt, TracerWarning
from .resolve import unique_name
from .script import ScriptFunction, ScriptModule, TopLevelTracedModule, wrap
from .types import BOOL, NONE, STR, TENSOR, ClassType, DictType, ListType, OptionalType, TupleType, plain

_Module = torch.nn.Module


class TracingCheckError(Exception):
    """A second run of what was traced gave another graph."""

    def __init__(self, graph_diff_error, tensor_compare_error, extra_msg=None):
        self.message = "Tracing failed sanity checks!\n"
        if extra_msg is not None:
            self.message += extra_msg + "\n"
        if graph_diff_error is not None:
            self.message += "ERROR: Graphs differed across invocations!\n" + graph_diff_error + "\n"
        if tensor_compare_error is not None:
            self.message += ("ERROR: Tensor-valued Constant nodes differed in value across invocations. This often "
                             "indicates that the tracer has encountered untraceable code.\n"
                             + tensor_compare_error + "\n")
        super().__init__(self.message)


def traced_call(f, owner, args, kwargs):
    """A call of compiled code while something is traced."""
    recorder = words._active[-1]
    if recorder.busy:
        from .binding import bind
        from .script import run
        values = bind(f, args, kwargs, 0 if owner is None else 1)
        return run(f, values if owner is None else [owner, *values])
    return recorder.quietly(recorder.call_compiled, f, owner, args, kwargs)


# ------------------------------------------------------------ inputs and outputs


def _type_of(x, where="input"):
    if isinstance(x, torch.Tensor):
        return TENSOR
    if isinstance(x, tuple):
        return TupleType([_type_of(i) for i in x])
    if isinstance(x, list):
        if not x:
            raise RuntimeError("Cannot trace an empty list")
        return ListType(_type_of(x[0]))
    if isinstance(x, dict):
        keys = list(x)
        return DictType(STR if isinstance(keys[0], str) else _key(keys[0]), _type_of(x[keys[0]]))
    if x is None:
        return NONE
    raise RuntimeError(f"Type '{_shown(x)}' cannot be traced. Only Tensors and (possibly nested) Lists, Dicts, and "
                       "Tuples "
                       "of Tensors can be traced")


def _key(k):
    from .types import INT
    if isinstance(k, int):
        return INT
    raise RuntimeError(f"dict keys of type {type(k).__name__} can't be traced")


def _shown(x):
    return type(x).__name__


def _take(recorder, value, x):
    """Let the tensors in an argument be parts of a parameter; what the function gets."""
    if isinstance(x, torch.Tensor):
        given = x if id(x) not in recorder.values else x.view_as(x)
        recorder.bind(given, value)
        return given
    if isinstance(x, tuple):
        parts = recorder.builder.node("prim::TupleUnpack", [value], value.type.elements)._outputs
        made = [_take(recorder, p, i) for p, i in zip(parts, x)]
        return type(x)(*made) if hasattr(x, "_fields") else tuple(made)
    if isinstance(x, list):
        parts = recorder.builder.node("prim::ListUnpack", [value], [value.type.element] * len(x))._outputs
        return [_take(recorder, p, i) for p, i in zip(parts, x)]
    if isinstance(x, dict):
        from . import signatures
        found = {}
        for k, i in x.items():
            s = signatures.overload("aten::__getitem__", "Dict_str" if isinstance(k, str) else "Dict_int")
            part = recorder.builder.one("aten::__getitem__", [value, recorder.constant(k)], value.type.element, None, s)
            found[k] = _take(recorder, part, i)
        return found
    return x


def _give(recorder, out, strict):
    """The value of a result."""
    b = recorder.builder
    if isinstance(out, torch.Tensor):
        return recorder.value(out)
    if isinstance(out, tuple):
        items = [_give(recorder, o, strict) for o in out]
        return b.one("prim::TupleConstruct", items, TupleType([plain(v.type) for v in items]))
    if isinstance(out, (list, dict)) and strict:
        what = "list" if isinstance(out, list) else "dict"
        raise RuntimeError(f"Encountering a {what} at the output of the tracer might cause the trace to be incorrect, "
                           "this "
                           "is only valid if the container structure does not change based on the module's inputs. "
                           f"Consider using a constant container instead (e.g. for `list`, use a `tuple` instead. for "
                           "`dict`, use a `NamedTuple` instead). If you absolutely need this and know the side "
                           "effects, "
                           "pass strict=False to trace() to allow this behavior.")
    if isinstance(out, list):
        items = [_give(recorder, o, strict) for o in out]
        return b.one("prim::ListConstruct", items, ListType(plain(items[0].type) if items else TENSOR))
    if isinstance(out, dict):
        parts = [v for k, o in out.items() for v in (recorder.constant(k), _give(recorder, o, strict))]
        return b.one("prim::DictConstruct", parts, DictType(plain(parts[0].type) if parts else STR,
                                                            plain(parts[1].type) if parts else TENSOR))
    if type(out) is TracedInt:
        from . import signatures
        return b.one("prim::NumToTensor", [out.value()], TENSOR, None, signatures.overload("prim::NumToTensor",
                                                                                           "Scalar"))
    if out is None:
        return recorder.constant(None)
    raise RuntimeError(f"Only tensors, lists, tuples of tensors, or dictionary of tensors can be output from traced "
                       f"functions, but got {type(out).__name__}")


# ------------------------------------------------------------ recording


def _places(fn, root):
    """Modules of Python whose names may be bound to functions that are recorded."""
    found = set()
    fn = inspect.unwrap(fn)
    name = getattr(fn, "__module__", None)
    names = {name} | ({type(m).__module__ for m in root.modules()} if root is not None else set())
    for n in names:
        if n in sys.modules and not n.startswith(("rushlight", "builtins", "numpy")):
            found.add(sys.modules[n])
    return found


def _record(fn, args, kwargs, strict, root=None, types=None):
    """(the recorder, its result's value) of one run. root: the module whose parameters are known by name."""
    from .patches import Patches
    recorder = Recorder(root, strict)
    names = _names(fn, len(args) + len(kwargs))
    block = recorder.graph.block_
    if root is not None:
        recorder.types = types
        recorder.self_value = block.param(types[""], "self.1")
        recorder.paths["module", id(root)] = ""
        for path, m in root.named_modules():
            recorder.paths.setdefault(("module", id(m)), path)
        for path, p in (*root.named_parameters(remove_duplicate=False), *root.named_buffers(remove_duplicate=False)):
            recorder.paths.setdefault(id(p), path)
        recorder.keep = list(root.parameters())
    given, named = [], {}
    for i, x in enumerate(args):
        given.append((None, x, names[i]))
    for k, x in kwargs.items():
        given.append((k, x, k))
    values = []
    for k, x, name in given:
        v = block.param(_type_of(x), recorder.graph.unique(name))
        if isinstance(x, torch.Tensor):
            v.type = recorder.shown(x)
        values.append(v)
    made = [_take(recorder, v, x) for v, (_, x, _) in zip(values, given)]
    positional = made[:len(args)]
    named = dict(zip(kwargs, made[len(args):]))
    words._active.append(recorder)
    try:
        with Patches(recorder, _places(fn, root)):
            out = fn(*positional, **named)
            value = recorder.quietly(_give, recorder, out, strict)
    finally:
        recorder.active = False
        words._active.pop()
    block.returns = [value]
    if root is not None:
        outline(recorder, types)
    block.nodes[:0] = recorder.__dict__.get("head", [])
    from .cleaning import clean
    parameters = [Parameter(n, plain(v.type)) for v, (_, _, n) in zip(values, given)]
    return recorder, parameters, value, out, clean


def _names(fn, n):
    """Names of the parameters."""
    try:
        target = fn.forward if isinstance(fn, _Module) else fn
        found = [p.name for p in inspect.signature(target).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        found = []
    return [found[i] if i < len(found) else f"argument_{i + 1}" for i in range(n)]


def _module_types(root):
    """{path: class type} of a module and all inside, for a trace: attributes and no methods yet."""
    found, by_id = {}, {}
    for path, m in root.named_modules(remove_duplicate=False):
        if isinstance(m, ScriptModule):
            found[path] = m._jit_type
            continue
        if id(m) in by_id:
            found[path] = by_id[id(m)]
            continue
        inner = any(path.startswith(p + ".") for p, t in found.items() if p and isinstance(
            dict(root.named_modules()).get(p), ScriptModule))
        if inner:
            continue
        t = ClassType(unique_name(qualified(type(m))), True, None)
        for name, p in m._parameters.items():
            t.attributes[name] = NONE if p is None else TENSOR
            if p is not None:
                t.parameters.append(name)
        for name, b in m._buffers.items():
            t.attributes[name] = NONE if b is None else TENSOR
            if b is not None:
                t.buffers.append(name)
        t.attributes["training"] = BOOL
        t.attributes["_is_full_backward_hook"] = OptionalType(BOOL)
        found[path] = by_id[id(m)] = t
    for path, t in found.items():
        if not path:
            continue
        owner, _, name = path.rpartition(".")
        if owner in found and not isinstance(_at(root, owner), ScriptModule):
            found[owner].attributes[name] = t
    return found


def _at(root, path):
    for part in path.split(".") if path else ():
        root = root._modules[part]
    return root


def trace(func, example_inputs=None, optimize=None, check_trace=True, check_inputs=None, check_tolerance=1e-5,
          strict=True, _force_outplace=False, _module_class=None, _compilation_unit=None, example_kwarg_inputs=None,
          _store_inputs=True):
    """Run `func` on example inputs and keep the operators that it calls, as a compiled function or module.

    func: a function of tensors (or containers of them), or a module. What Python does in between is not kept: branches
    are those that these inputs took; sizes stay sizes. A `TracerWarning` tells where numbers of tensors were read.
    check_trace: trace a second time and compare the graphs (TracingCheckError), and the results (warning).
    strict: False lets results be lists and dicts.
    """
    if isinstance(func, ScriptModule):
        warnings.warn("The input to trace is already a ScriptModule, tracing it is a no-op. Returning the object as "
                      "is.",
                      stacklevel=2)
        return func
    if isinstance(func, _Module):
        inputs = _tuple(example_inputs) if example_kwarg_inputs is None else example_kwarg_inputs
        return trace_module(func, {"forward": inputs}, None, check_trace,
                            None if check_inputs is None else [{"forward": i} for i in check_inputs], check_tolerance,
                            strict, example_inputs_is_kwarg=example_kwarg_inputs is not None)
    if inspect.ismethod(func) and isinstance(func.__self__, _Module):
        name = func.__name__
        made = trace_module(func.__self__, {name: _tuple(example_inputs)}, None, check_trace, None, check_tolerance,
                            strict)
        return made if name == "forward" else getattr(made, name)
    args = _tuple(example_inputs) if example_kwarg_inputs is None else ()
    kwargs = example_kwarg_inputs or {}
    name = getattr(func, "__name__", "function")

    def make():
        recorder, parameters, value, out, clean = _record(func, args, kwargs, strict)
        clean(recorder.graph)
        f = Function(name if name.isidentifier() else "_lambda", "", recorder.graph, parameters, plain(value.type))
        f.qualified = unique_name(qualified(func) if hasattr(func, "__qualname__") else f"__torch__.{name}")
        f.python, f.doc = func, getattr(func, "__doc__", None)
        return f, out
    made, _ = make()
    traced = ScriptFunction(made)
    if check_trace:
        _check(make, made, lambda *a, **k: func(*a, **k), traced, [(args, kwargs), *[
            (_tuple(i), {}) for i in check_inputs or ()]], check_tolerance)
    return traced


def _tuple(x):
    if isinstance(x, (torch.Tensor, dict)):
        return (x,)
    return tuple(x) if x is not None else ()


def trace_module(mod, inputs, optimize=None, check_trace=True, check_inputs=None, check_tolerance=1e-5, strict=True,
                 _force_outplace=False, _module_class=None, _compilation_unit=None, example_inputs_is_kwarg=False,
                 _store_inputs=True):
    """Trace methods of a module: ``{name of a method: example inputs}``. See `trace`."""
    if not isinstance(mod, _Module):
        raise AttributeError("expected torch.nn.Module as the first argument")
    if not isinstance(inputs, dict):
        raise AttributeError("expected a dictionary of (method_name, input) pairs")
    types = _module_types(mod)
    graphs = {}
    for name, given in inputs.items():
        args, kwargs = ((), dict(given)) if example_inputs_is_kwarg else (_tuple(given), {})

        def make(name=name, args=args, kwargs=kwargs, kinds=None):
            kinds = kinds or types
            target = mod if name == "forward" else getattr(mod, name)
            recorder, parameters, value, out, clean = _record(target, args, kwargs, strict, mod, kinds)
            clean(recorder.graph)
            for t in kinds.values():
                for m in t.methods.values():
                    if hasattr(m, "graph") and m.graph is not None:
                        clean(m.graph)
            f = Function(name, f"{kinds[''].name}.{name}", recorder.graph, [Parameter("self", kinds[""]), *parameters],
                         plain(value.type), kinds[""])
            kinds[""].methods[name] = f
            return f, out
        f, _ = make()
        graphs[name] = make, f, args, kwargs
    traced = wrap(mod, types[""], True, TopLevelTracedModule)
    traced.train(mod.training)
    if check_trace:
        for name, (make, f, args, kwargs) in graphs.items():
            cases = [(args, kwargs), *[(_tuple(c[name]), {}) for c in check_inputs or ()]]
            target = mod if name == "forward" else getattr(mod, name)

            def again(make=make):
                return make(kinds=_module_types(mod))
            _check(again, f, target, traced if name == "forward" else getattr(traced, name), cases, check_tolerance)
    return traced


def _plain_text(function):
    """A graph as text, with calls put in and without places and names of classes."""
    import re

    from .copying import inlined
    text = str(inlined(function.graph))
    text = re.sub(r" #.*|, scope: \S+", "", text)
    return re.sub(r"___torch_mangle_\d+\.|%[\w.]+", lambda m: "%" if m[0][0] == "%" else "", text)


def _check(make, first, function, traced, cases, tolerance):
    """Compare a second trace, and the results of the function and of the trace on the cases."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore", TracerWarning)
        state = torch.get_rng_state()
        second, _ = make()
        a, b = _plain_text(first), _plain_text(second)
        if a != b:
            import difflib
            diff = "\n".join(difflib.ndiff(a.splitlines(), b.splitlines()))
            raise TracingCheckError(f"\tGraph diff:\n\t\t{diff}", None)
    for args, kwargs in cases:
        with torch.random.fork_rng():
            torch.set_rng_state(state)
            copies = [_clone(x) for x in args]
            wanted = function(*copies, **{k: _clone(x) for k, x in kwargs.items()})
        with torch.random.fork_rng():
            torch.set_rng_state(state)
            found = traced(*[_clone(x) for x in args], **{k: _clone(x) for k, x in kwargs.items()})
        for i, (w, f) in enumerate(zip(_flat(wanted), _flat(found))):
            try:
                torch.testing.assert_close(f.double() if not f.is_complex() else f,
                                           w.double() if not w.is_complex() else w, rtol=tolerance, atol=tolerance,
                                           equal_nan=True)
            except AssertionError as error:
                warnings.warn(f"Output nr {i + 1}. of the traced function does not match the corresponding output of "
                              "the "
                              f"Python function. Detailed error:\n{error}", TracerWarning, stacklevel=4)


def _clone(x):
    if isinstance(x, torch.Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if isinstance(x, (list, tuple)):
        return type(x)(_clone(i) for i in x) if not hasattr(x, "_fields") else type(x)(*map(_clone, x))
    if isinstance(x, dict):
        return {k: _clone(v) for k, v in x.items()}
    return x


def _flat(x):
    if isinstance(x, torch.Tensor):
        return [x.detach()]
    if isinstance(x, (list, tuple)):
        return [t for i in x for t in _flat(i)]
    if isinstance(x, dict):
        return [t for i in x.values() for t in _flat(i)]
    return []


__all__ = ["TracerWarning", "TracingCheckError", "trace", "trace_module"]
