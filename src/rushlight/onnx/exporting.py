"""``torch.onnx.export``: a model's call as an ONNX graph."""

import contextlib
import enum
import inspect
import os
import warnings

import numpy as np

from rushlight.tensor.tensor import Tensor
from rushlight.utils import _pytree as pytree
from rushlight.version import __version__

from . import dynamic
from .builder import Builder, Operand, element_type
from .errors import OnnxExporterError, OnnxExporterWarning, UnsupportedOperatorError
from .mappings import mapping
from .program import ONNXProgram
from .tracing import DRAWS, Value, trace, values_of
from .unify import Different, Size, Unified, explain

DEFAULT_OPSET, OLDEST = 18, 11
producer_name, producer_version = "rushlight", __version__
_exporting = False

class TrainingMode(enum.IntEnum):
    """Which mode a model is exported in: evaluation, the one it is in, training."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.IntEnum):
    """Which operators an export may use; only ONNX's own are written here."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


def is_in_onnx_export():
    """Whether `export` is tracing a model."""
    return _exporting


def onnx_package():
    """The package ``onnx``; ModuleNotFoundError with advice where it is not installed."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ModuleNotFoundError("writing ONNX files needs the package 'onnx': pip install 'rushlight[onnx]' (or pip "
                                  "install onnx)", name="onnx") from None
    return onnx


@contextlib.contextmanager
def select_model_mode_for_export(model, mode):
    """Context in which `model` is in the mode for an export; it goes back to its own afterwards."""
    modules = list(model.modules()) if hasattr(model, "modules") else []
    before = [m.training for m in modules]
    if mode in (TrainingMode.EVAL, TrainingMode.TRAINING, None) and modules:
        model.train(mode is TrainingMode.TRAINING)
    try:
        yield
    finally:
        for m, flag in zip(modules, before):
            m.training = flag


def export(model, args=(), f=None, *, kwargs=None, verbose=None, input_names=None, output_names=None,
           opset_version=None, dynamo=True, external_data=True, dynamic_shapes=None, custom_translation_table=None,
           report=False, optimize=True, verify=False, profile=False, dump_exported_program=False, artifacts_dir=".",
           export_params=True, keep_initializers_as_inputs=False, dynamic_axes=None, training=TrainingMode.EVAL,
           operator_export_type=OperatorExportTypes.ONNX, do_constant_folding=True, custom_opsets=None,
           export_modules_as_functions=False, autograd_inlining=True, fallback=False):
    """Run a model once and write what it computes as an ONNX graph.

    Args:
        model: a module (or a function of tensors). It is run in evaluation mode (see `training`) and left as it was.
        args: the positional arguments of the call, a tuple (or one tensor); a dict at the end are keyword arguments.
            Tensors are the graph's inputs, in order; numbers and the like become part of the graph.
        f: path to write to (a file object if not `dynamo`); the file is whole or not there.
        kwargs (dict): keyword arguments of the call.
        verbose (bool): print the graph.
        input_names, output_names (list of str): names in the graph. Default: of the parameters of ``forward``.
        opset_version (int): of ONNX's operators, 11 or later; default 18.
        dynamo (bool): return an `ONNXProgram`; if False, return None.
        external_data (bool): write large weights (graphs over 1.5 GB; always if more than 2 GB) to a file beside `f`.
        dynamic_shapes: free dimensions, a tree like the arguments (or by parameters' names) with ``{dimension: name}``.
        dynamic_axes: free dimensions by names of inputs (and outputs), ``{"input": {0: "batch"}}`` or lists of
            dimensions.
        export_params (bool): False leaves the weights out; they are inputs of the graph then.
        keep_initializers_as_inputs (bool): list the weights among the inputs, too.
        training (TrainingMode): EVAL, PRESERVE, or TRAINING (normalizations use the batch; dropout is refused).
        do_constant_folding (bool): compute what depends on no input beforehand; weights that are used as they are keep
            their names.
        custom_opsets (dict): versions of further domains, by name.
        verify (bool): run the graph on the arguments and compare.
        report, optimize, profile, dump_exported_program, artifacts_dir, autograd_inlining, fallback: accepted.

    With free dimensions the model runs four times on inputs of different sizes; numbers in the trace that differ become
    computations of sizes. Python decisions are made as in this run.

    Raises:
        ModuleNotFoundError: the package ``onnx`` is not there.
        OnnxExporterError: an op without an ONNX counterpart (`UnsupportedOperatorError`); a model whose way depends on
            sizes that are to be free.
    """
    onnx = onnx_package()
    _refuse(custom_translation_table, export_modules_as_functions, operator_export_type)
    from .extras import ExportableModule
    if isinstance(model, ExportableModule):
        if not args and kwargs is None:
            args, kwargs = model.example_arguments()
        dynamic_shapes = model.dynamic_shapes() if dynamic_shapes is None else dynamic_shapes
        input_names = model.input_names() if input_names is None else input_names
        output_names = model.output_names() if output_names is None else output_names
    args, kwargs = _arguments(args, kwargs, dynamo)
    opset = DEFAULT_OPSET if opset_version is None else opset_version
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise OnnxExporterError(f"opset_version={opset}: opsets {OLDEST} to {newest} can be written")
    tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    parameters = _parameters(model)
    names = _input_names(input_names, args, kwargs, parameters, len(tensors))
    free = {}
    if dynamic_axes:
        free = dynamic.of_axes(dynamic_axes, names, tensors)
    if dynamic_shapes:
        free = dynamic.of_shapes(dynamic_shapes, args, kwargs, parameters)
    symbols = dynamic.symbols(free, tensors)
    with select_model_mode_for_export(model, training):
        unified = _traces(model, args, kwargs, tensors, symbols)
    graph = _Graph(onnx, unified, names, output_names, symbols, dynamic_axes or {}, opset,
                   do_constant_folding and export_params, custom_opsets or {})
    program = ONNXProgram(graph.model(), None)
    program._signature = graph.signature
    if verbose:
        print(onnx.printer.to_text(program.model_proto))
    if verify:
        program._verify(args, kwargs, unified)
    if f is not None:
        _save(program, f, export_params, keep_initializers_as_inputs, external_data)
    elif not export_params or keep_initializers_as_inputs:
        program._list_initializers(drop=not export_params)
    return program if dynamo else None


def _refuse(table, functions, kind):
    if table:
        raise NotImplementedError("custom_translation_table: ONNX Script functions; write the op with "
                                  "torch.onnx.ops.symbolic, or register_custom_op_symbolic")
    if functions:
        raise NotImplementedError("export_modules_as_functions")
    if kind != OperatorExportTypes.ONNX:
        raise NotImplementedError(f"operator_export_type={OperatorExportTypes(kind).name}: only ONNX's own operators "
                                  "are written")


def _arguments(args, kwargs, dynamo):
    if isinstance(args, Tensor):
        args = (args,)
    args = tuple(args)
    if args and isinstance(args[-1], dict) and kwargs is None and not dynamo:
        args, kwargs = args[:-1], args[-1]
    return args, dict(kwargs or {})


def _parameters(model):
    forward = getattr(model, "forward", model)
    try:
        return [n for n, p in inspect.signature(forward).parameters.items()
                if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        return []


def _input_names(given, args, kwargs, parameters, count):
    names = list(given or ())
    if len(names) > count:
        raise OnnxExporterError(f"{len(names)} input names were given for {count} tensors")
    derived = []
    for k, (name, value) in enumerate([*zip([*parameters, *[None] * len(args)], args), *kwargs.items()]):
        name = name or f"input_{k}"
        leaves = [x for x in pytree.tree_leaves(value) if isinstance(x, Tensor)]
        derived += [name] if isinstance(value, Tensor) else [f"{name}_{i}" for i in range(len(leaves))]
    names += [n for n in derived[len(names):]]
    for i, n in enumerate(names):
        if n in names[:i]:
            names[i] = f"{n}_{i}"
    return names


def _traces(model, args, kwargs, tensors, symbols):
    """The unified trace of the model on the arguments, and on others of other sizes."""
    global _exporting
    leaves, structure = pytree.tree_flatten((args, kwargs))
    where = [k for k, x in enumerate(leaves) if isinstance(x, Tensor)]

    def run(given):
        global _exporting
        mine = list(leaves)
        for k, x in zip(where, given):
            mine[k] = x
        a, k = pytree.tree_unflatten(mine, structure)
        before, _exporting = _exporting, True
        try:
            return trace(model, tuple(a), k)
        finally:
            _exporting = before
    first = run(tensors)
    if not symbols:
        return Unified([first])
    failure = why = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # said once, by the first run
        for way in dynamic.WAYS:
            try:
                others = [run(dynamic.resized(tensors, symbols, way, k)) for k in range(3)]
            except OnnxExporterError:
                raise
            except Exception as error:
                failure = failure or error
                continue
            try:
                return Unified([first, *others])
            except Different as error:
                why = why or error
            if any(tensors[k].shape[d] == 1 for s in symbols for k, d in s.places):
                # Sizes of 1 broadcast: what holds for the others holds in general.
                try:
                    return Unified([*others, run(dynamic.resized(tensors, symbols, way, 3))])
                except Different as error:
                    why = error
                except Exception as error:
                    failure = failure or error
    labels = [s.label for s in symbols]
    if why is not None:
        raise explain(why, labels)
    raise OnnxExporterError(f"the model does not accept other sizes of {', '.join(labels)} than those of the example "
                            f"inputs: {failure}") from failure


def _save(program, f, export_params, keep, external_data):
    if hasattr(f, "write"):
        model = program._with(include_initializers=export_params, keep_initializers_as_inputs=keep)
        f.write(model.SerializeToString())
        return
    program.save(os.fspath(f), include_initializers=export_params, keep_initializers_as_inputs=keep,
                 external_data=None if external_data else False)


class _Graph:
    """The graph of a unified trace."""

    def __init__(self, onnx, unified, names, output_names, symbols, dynamic_axes, opset, fold, custom_opsets):
        self.onnx, self.unified, self.names, self.opset, self.fold = onnx, unified, names, opset, fold
        self.b = b = Builder(opset, fold)
        b.domains.update(custom_opsets)
        self.output_names, self.dynamic_axes, self.symbols = list(output_names or ()), dynamic_axes, symbols
        b.taken.update([*names, *self.output_names])
        self.operands = {}              # value number -> Operand
        self.live = self._needed()
        self.signature = None

    def _needed(self):
        """(indices of the steps that outputs depend on, numbers of the values that are used)."""
        used = {v.number for v in self.unified.outputs}
        steps = set()
        for k in reversed(range(len(self.unified.steps))):
            step, args = self.unified.steps[k]
            if any(v is not None and v.number in used for v in step.outs):
                steps.add(k)
                used.update(v.number for v in values_of(args))
        self.used = used
        return steps

    # ------------------------------------------------------------ operands

    def operand(self, v):
        """The operand for a value; constants and parameters become initializers when they are first used."""
        found = self.operands.get(v.number)
        if found is None:
            found = self.operands[v.number] = self._made(v)
        return found

    def _made(self, v):
        dims, b = self.unified.dims[v.number], self.b
        if v.number in self.unified.same:
            data = _array(v.tensor)
            if v.origin == "parameter":
                shared = next((o for n, o in self.operands.items() if self.unified.values[n].origin == "parameter"
                               and self.unified.values[n].tensor is v.tensor), None)
                if shared is not None:
                    return shared
                name = b.const(data, name=b.unique(v.name))
            else:
                name = b.const(data)
            return Operand(name, v.dtype, dims, data)
        before, b.key = b.key, "a tensor made in forward()"
        try:
            return Operand(self._computed_constant(v, dims), v.dtype, dims)
        finally:
            b.key = before

    def _computed_constant(self, v, dims):
        """The name of a tensor that the model makes of sizes alone."""
        b = self.b
        arrays = [np.asarray(_array(t)) for t in self.unified.tensors(v)]
        flat = [a.reshape(-1) for a in arrays]
        values = {x for a in flat for x in a[:1].tolist()}
        if len(values) == 1 and all((a == a[0]).all() for a in flat if a.size):
            return b.full(values.pop(), dims, v.dtype)
        if all(a.size and (a == a[0]).all() for a in flat):
            one = b.scalar(Size([a[0].item() for a in flat]), v.dtype)
            return b.op("Expand", one, b.ints(dims)) if dims else one
        along = [d for d, n in enumerate(dims) if n != 1]
        if len(along) == 1 and all(a.size > 1 for a in flat):
            begins, steps = {a[0].item() for a in flat}, {(a[1] - a[0]).item() for a in flat}
            if len(begins) == len(steps) == 1:
                begin, step = begins.pop(), steps.pop()
                if all(np.allclose(a, begin + step * np.arange(a.size)) for a in flat):
                    name = b.arange(dims[along[0]])
                    if v.dtype.name != "int64":
                        name = b.cast(name, v.dtype)
                    if step != 1:
                        name = b.op("Mul", name, b.scalar(step, v.dtype))
                    name = b.op("Add", name, b.scalar(begin, v.dtype)) if begin else name
                    return name if len(dims) == 1 else b.op("Reshape", name, np.array(
                        [-1 if d in along else 1 for d in range(len(dims))], np.int64))
        if all(a.ndim == 2 and (a == np.eye(*a.shape, dtype=a.dtype)).all() for a in arrays):
            rows, columns = b.arange(dims[0]), b.arange(dims[1])
            return b.cast(b.op("Equal", b.unsqueeze(rows, [1]), columns), v.dtype)
        raise OnnxExporterError(f"forward() makes a tensor of shape {list(arrays[0].shape)} whose elements depend on "
                                "the sizes of the inputs in a way that is not known here; make it of arange, zeros, "
                                "ones, full or eye, or make these dimensions static")

    # ------------------------------------------------------------ steps

    def _constant(self, step, args):
        """The tensors of a step's results where they depend on no input; None elsewhere."""
        values = list(values_of(args))
        if not self.fold or step.key == "#symbolic" or any(v.number not in self.unified.same for v in values) or any(
                isinstance(x, Size) for x in _flat(args)):
            return None
        if step.key.partition(".")[0] in DRAWS or not values and step.key != "#full":
            return None
        outs = [v for v in step.outs if v is not None]
        if any(isinstance(n, Size) for v in outs for n in self.unified.dims[v.number]):
            return None
        known = sum(v.tensor.numel() for v in values)
        if sum(v.tensor.numel() for v in outs) > max(2 * known, 1 << 16):
            return None                 # an expanded constant is smaller unexpanded
        return outs

    def step(self, step, args):
        """Make the nodes of one step."""
        b, u = self.b, self.unified
        found = self._constant(step, args)
        if found is not None:
            u.same.update(v.number for v in found)
            return
        fn = mapping(step.key)
        name = step.key.partition(".")[0]
        b.key, b.scope = name if step.key.startswith("#") else step.key, step.scope
        if fn is None:
            raise UnsupportedOperatorError(
                f"'{name.strip('#_')}' (aten::{step.key.strip('#')}) has no ONNX mapping"
                f"{' in ' + step.scope if step.scope else ''}: write it with other operations, give it one with "
                f"torch.onnx.register_custom_op_symbolic('aten::{name}', fn, {self.opset}), or put a custom operator "
                "in its place with torch.onnx.ops.symbolic")
        if any(v.dtype.is_complex for v in (*values_of(args), *[v for v in step.outs if v is not None])):
            raise UnsupportedOperatorError(f"{b.key}: complex numbers have no ONNX operators; write it with real and "
                                           "imaginary parts")
        b.results = [None if v is None else Operand("", v.dtype, u.dims[v.number]) for v in step.outs]
        b.result = b.results[0]
        b.wanted = [v is not None and v.number in self.used for v in step.outs]
        given = [self._argument(x) for x in args]
        b.given = [x for x in _flat(given) if isinstance(x, Operand)]
        if step.compute is not None and not getattr(fn, "raw", False):
            given = self._promoted(step, given)
        made = fn(b, *given)
        made = made if isinstance(made, tuple) else (made,)
        for v, name in zip(step.outs, made):
            if v is None or v.number not in self.used:
                continue
            if name is None:
                raise UnsupportedOperatorError(f"{step.key}: one of its results has no ONNX counterpart")
            if step.compute is not None and v.dtype is not step.compute and v.dtype.name != "bool":
                name = b.cast(name, v.dtype)
            self.operands[v.number] = Operand(name, v.dtype, u.dims[v.number])
            b.remember(name, u.dims[v.number])

    def _argument(self, x):
        if isinstance(x, Value):
            return self.operand(x)
        return [self._argument(y) for y in x] if type(x) is list else x

    def _promoted(self, step, given):
        """Operands of a pointwise op in the type that it computes in, numbers as constants."""
        from rushlight.record import RECORDS
        b, d = self.b, step.compute
        n = len(RECORDS[step.key].tensor_args)
        out = []
        for x in given[:n]:
            if isinstance(x, Operand):
                out.append(x if x.dtype is d else Operand(b.cast(x, d), d, x.shape, x.data))
            else:
                out.append(Operand(b.scalar(x, d), d, (), x))
        return out + given[n:]

    # ------------------------------------------------------------ the model

    def model(self):
        """The ModelProto."""
        u, b, helper = self.unified, self.b, self.onnx.helper
        inputs = []
        for name, v in zip(self.names, u.inputs):
            self.operands[v.number] = Operand(name, v.dtype, u.dims[v.number])
            b.remember(name, u.dims[v.number])
            inputs.append(self._info(name, v))
        for k, (step, args) in enumerate(u.steps):
            if k in self.live:
                self.step(step, args)
        outputs, seen = [], set()
        for k, v in enumerate(u.outputs):
            x = self.operand(v)
            wanted = self.output_names[k] if k < len(self.output_names) else None
            fixed = x.name in self.names or x.name in b.initializers or x.name in seen
            if wanted is None:
                wanted = b.unique("output" if len(u.outputs) == 1 else f"output_{k}")
            if fixed or not self._renamed(x.name, wanted):
                b.nodes.append(("Identity", [x.name], [wanted], "", {}))
            if not fixed:
                for o in self.operands.values():
                    if o is not x and o.name == x.name:
                        o.name = wanted
                x.name = wanted
            seen.add(wanted)
            outputs.append(self._info(wanted, v))
        nodes = [self._node(n) for n in b.nodes]
        used = {n for node in b.nodes for n in node[1]} | {o.name for o in outputs}
        weights = [self._tensor(name, a) for name, a in b.initializers.items() if name in used]
        graph = helper.make_graph(nodes, "main_graph", inputs, outputs, weights)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(d, v) for d, v in b.domains.items()]
        ir = max(8, helper.find_min_ir_version_for(opsets[:1], ignore_unknown=True))
        model = helper.make_model(graph, opset_imports=opsets, producer_name=producer_name,
                                  producer_version=producer_version, ir_version=ir)
        self.signature = self.names, [o.name for o in outputs], u.structure
        return model

    def _renamed(self, old, new):
        """Give a result of a node another name everywhere."""
        if old == new:
            return True
        for node in self.b.nodes:
            for names in (node[1], node[2]):
                for i, n in enumerate(names):
                    if n == old:
                        names[i] = new
        return True

    def _info(self, name, v):
        dims = []
        axes = self.dynamic_axes.get(name) or {}
        axes = axes if isinstance(axes, dict) else {d: f"{name}_dim_{d}" for d in axes}
        for d, n in enumerate(self.unified.dims[v.number]):
            if not isinstance(n, Size):
                dims.append(n)
                continue
            label = next((s.label for s in self.symbols for k, at in s.places
                          if self.unified.dims[self.unified.inputs[k].number][at] == n), None)
            dims.append(label or axes.get(d) or f"{name.strip('/').replace('/', '_')}_dim_{d}")
        return self.onnx.helper.make_tensor_value_info(name, element_type(v.dtype), dims)

    def _tensor(self, name, a):
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        a = np.ascontiguousarray(a) if a.ndim else a
        kind = {"bfloat16": proto.BFLOAT16, "float8_e4m3fn": proto.FLOAT8E4M3FN, "float8_e5m2": proto.FLOAT8E5M2}.get(
            a.dtype.name)
        if kind is None:
            return self.onnx.numpy_helper.from_array(a, name)
        return helper.make_tensor(name, kind, a.shape, a.tobytes(), raw=True)

    def _node(self, node):
        kind, inputs, outputs, domain, attributes = node
        facts = {k: self._tensor("value", x) if isinstance(x, np.ndarray) else
                 list(x) if isinstance(x, tuple) else x for k, x in attributes.items()}
        if domain and domain not in self.b.domains:
            self.b.domains[domain] = 1
        return self.onnx.helper.make_node(kind, inputs, outputs, name=outputs[0] + "_node" if outputs[0] in
                                          self.output_names else outputs[0], domain=domain, **facts)


def _flat(args):
    for x in args:
        if type(x) is list:
            yield from _flat(x)
        else:
            yield x


def _array(t):
    """The elements of a tensor as an array."""
    t = t.detach()
    if t._bits & 3:
        t = t.resolve_conj().resolve_neg()
    return t._a


def warn(text):
    """Tell users of something that an export changes."""
    warnings.warn(text, OnnxExporterWarning, stacklevel=3)
