"""`freeze`: a compiled module whose parameters, buffers and attributes are constants of its graph."""

import rushlight as torch

from .copying import inlined
from .folding import fold_batch_norms, simplify
from .functions import Function
from .graph import Block, Builder, walk
from .resolve import unique_name
from .script import RecursiveScriptModule, ScriptModule
from .types import BOOL, TENSOR, ClassType, OptionalType


def freeze(mod, preserved_attrs=None, optimize_numerics=True, preserve_parameters=False):
    """A copy of a compiled module in eval mode with all calls put in and all attributes made constants.

    Branches that constants decide are gone, and so are parameters: the result can't be trained.
    preserved_attrs: attributes and methods to keep; preserve_parameters: keep parameters as such.
    optimize_numerics: put batch normalizations into the convolutions before them.
    RuntimeError for what is no ScriptModule or is in training mode.
    """
    if not isinstance(mod, ScriptModule):
        raise RuntimeError("Freezing expects a ScriptModule as input. Please use torch.jit.script or torch.jit.trace "
                           "to "
                           "script your 'nn.Module'.")
    preserved = list(preserved_attrs or [])
    if mod.training and "training" not in preserved:
        raise RuntimeError("Freezing is currently only implemented for modules in eval mode. Please call .eval() on "
                           "your "
                           "module before freezing.")
    return _frozen(mod, preserved, optimize_numerics, preserve_parameters)


def _frozen(mod, preserved, numerics, keep_parameters):
    kind = mod._jit_type
    for name in preserved:
        if name not in kind.attributes and name not in kind.methods and name not in kind.constants:
            raise RuntimeError(f"Preserved attribute '{name}' not found in module")
    names = [n for n in ("forward", *(p for p in preserved if p in kind.methods)) if n in kind.methods]
    graphs = {n: inlined(kind.method(n).graph) for n in names}
    written = {n.attributes["name"] for g in graphs.values() for n in walk(g.block_) if n._kind == "prim::SetAttr"}
    t = ClassType(unique_name(_bare(kind.name)), True, kind.python)
    t.attributes |= {"training": BOOL, "_is_full_backward_hook": OptionalType(BOOL)}
    new = RecursiveScriptModule(t)
    new.__dict__["training"] = mod.training
    kept = {}

    def keep(path, value, a):
        """The name that a kept attribute has in the new module."""
        if path not in kept:
            name = path if path not in t.attributes and "." not in path else path.replace(".", "_")
            kept[path] = name
            t.attributes[name] = a
            if isinstance(value, torch.nn.Parameter):
                t.parameters.append(name)
                new._parameters[name] = value
            elif isinstance(value, torch.Tensor):
                t.buffers.append(name)
                new._buffers[name] = value
            else:
                new.__dict__[name] = value
        return kept[path]
    for name, graph in graphs.items():
        graph.block_.params[0].type = t
        _attributes(graph, mod, written, set(preserved), keep_parameters, keep)
        simplify(graph)
        if numerics:
            fold_batch_norms(graph)
            simplify(graph)
        old = kind.method(name)
        parameters = list(old.parameters)
        from .functions import Parameter
        parameters[0] = Parameter("self", t)
        t.methods[name] = Function(name, f"{t.name}.{name}", graph, parameters, old.returns, t)
    for name in preserved:
        if name in kind.attributes and name not in t.attributes:
            keep(name, getattr(mod, name), kind.attributes[name])
    for name in preserved:
        if name in kind.constants:
            t.constants[name] = kind.constants[name]
    return new


def _bare(name):
    """A qualified name without the mark that told it from others."""
    return ".".join(p for p in name.split(".") if not p.startswith("___torch_mangle_"))


def _attributes(graph, mod, written, preserved, keep_parameters, keep):
    """Replace attributes of the module and of those inside by constants, or by attributes that are kept."""
    paths = {id(graph.block_.params[0]): ("", mod)}
    stack = [graph.block_]
    while stack:
        block = stack.pop()
        i = 0
        while i < len(block.nodes):
            n = block.nodes[i]
            stack.extend(n._blocks)
            i += 1
            if n._kind == "prim::SetAttr" and id(n._inputs[0]) in paths:
                path, owner = paths[id(n._inputs[0])]
                full = f"{path}.{n.attributes['name']}".lstrip(".")
                kind = owner._jit_type.attributes[n.attributes["name"]]
                n.attributes = {**n.attributes, "name": keep(full, getattr(owner, n.attributes["name"]), kind)}
                n._inputs[0] = graph.block_.params[0]
                continue
            if n._kind != "prim::GetAttr" or id(n._inputs[0]) not in paths:
                continue
            path, owner = paths[id(n._inputs[0])]
            name = n.attributes["name"]
            full = f"{path}.{name}".lstrip(".")
            value = getattr(owner, name)
            out = n._outputs[0]
            if isinstance(value, ScriptModule):
                paths[id(out)] = full, value
                continue
            fixed = not (name in written or full in preserved or keep_parameters and isinstance(
                value, torch.nn.Parameter) or not _constant(value))
            if not fixed:
                n.attributes = {**n.attributes, "name": keep(full, value, out.type)}
                n._inputs[0] = graph.block_.params[0]
                continue
            holder = Block(graph)
            shown = value.detach() if isinstance(value, torch.Tensor) else value
            made = _literal(Builder(graph, holder), shown, out.type)
            at = block.nodes.index(n)
            block.nodes[at:at + 1] = holder.nodes
            for m in holder.nodes:
                m.owner = block
            from .copying import replace
            replace(graph.block_, out, made)
            i = at + len(holder.nodes)
    # Modules themselves are read by nobody now.
    from .cleaning import clean
    clean(graph)


def _constant(value):
    if isinstance(value, (list, tuple)):
        return all(map(_constant, value))
    return value is None or isinstance(value, (bool, int, float, complex, str, torch.Tensor, torch.device))


def _literal(builder, value, t):
    if isinstance(value, list):
        return builder.one("prim::ListConstruct", [_literal(builder, v, t.element) for v in value], t)
    if isinstance(value, tuple):
        return builder.one("prim::TupleConstruct", [_literal(builder, v, e) for v, e in zip(value, t.elements)], t)
    if isinstance(value, torch.Tensor):
        return builder.constant(value, None, TENSOR)
    from .graph import constant_type
    return builder.constant(value, None, constant_type(value))


def run_frozen_optimizations(mod, optimize_numerics=True, preserved_methods=None):
    """Fold constants, and batch normalizations into convolutions, in the methods of a frozen module, in place."""
    for name in ("forward", *(preserved_methods or ())):
        function = mod._jit_type.method(name)
        simplify(function.graph)
        if optimize_numerics:
            fold_batch_norms(function.graph)
        function._run = None


def optimize_for_inference(mod, other_methods=None):
    """`freeze` a compiled module in eval mode, unless it is frozen; give the one that runs fastest.

    Constants are folded, and batch normalizations go into convolutions. What PyTorch further does (layouts of oneDNN)
    has no counterpart, so that the result can be saved as any other.
    """
    if not isinstance(mod, ScriptModule):
        raise RuntimeError("optimize_for_inference expects a ScriptModule as input. Please use torch.jit.script or "
                           "torch.jit.trace to script your 'nn.Module'.")
    if mod.training:
        mod.eval()
    return _frozen(mod, list(other_methods or []), True, False)
