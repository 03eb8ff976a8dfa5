"""The result of an export: to be run, looked at, changed and written."""

import copy
import os

import numpy as np

from rushlight.serialization._atomic import atomic_write
from rushlight.tensor.tensor import Tensor
from rushlight.utils import _pytree as pytree

from .errors import OnnxExporterError

LIMIT = 1_500_000_000       # bytes of weights from which they are written beside the graph


class ONNXProgram:
    """An exported model; called with the model's arguments it runs the graph.

    Args:
        model: a ``ModelProto``.
        exported_program: None.
    """

    def __init__(self, model, exported_program):
        self.model_proto, self.exported_program = model, exported_program
        self._session = self._signature = None

    @property
    def model(self):
        """The graph, a ``ModelProto``."""
        return self.model_proto

    def __repr__(self):
        from onnx import printer
        return f"ONNXProgram(\n    model=\n{printer.to_text(self.model_proto)}\n)"

    # ------------------------------------------------------------ running

    def initialize_inference_session(self, initializer=None):
        """Make what runs the graph: ``initializer(model in bytes)``, ONNX Runtime by default.

        Without that package, the reference implementation of the package ``onnx`` runs it.
        """
        data = self.model_proto.SerializeToString()
        if initializer is not None:
            self._session = initializer(data)
            return
        try:
            import onnxruntime
        except ModuleNotFoundError:
            from onnx.reference import ReferenceEvaluator
            self._session = ReferenceEvaluator(self.model_proto)
            return
        self._session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def release(self):
        """Let go of the session."""
        self._session = None

    def _feed(self, args, kwargs):
        names = [i.name for i in self.model_proto.graph.input]
        weights = {t.name for t in self.model_proto.graph.initializer}
        names = [n for n in names if n not in weights]
        given = [x for x in pytree.tree_leaves((args, kwargs or {})) if isinstance(x, (Tensor, np.ndarray))]
        if len(names) != len(given):
            raise OnnxExporterError(f"the graph has {len(names)} inputs, {', '.join(names)}, but {len(given)} tensors "
                                    "were given")
        return {n: x.detach().numpy() if isinstance(x, Tensor) else x for n, x in zip(names, given)}

    def _run(self, session, names, args, kwargs):
        import rushlight as torch
        found = session.run(names, self._feed(args, kwargs))
        return [torch.from_numpy(np.ascontiguousarray(x) if np.ndim(x) else np.array(x)) for x in found]

    def __call__(self, *args, **kwargs):
        """The outputs, a list of tensors."""
        if self._session is None:
            self.initialize_inference_session()
        return self._run(self._session, None, args, kwargs)

    def call_reference(self, *args, **kwargs):
        """The outputs as the reference implementation of the package ``onnx`` computes them."""
        from onnx.reference import ReferenceEvaluator
        return self._run(ReferenceEvaluator(self.model_proto), None, args, kwargs)

    def compute_values(self, value_names, args=(), kwargs=None):
        """The tensors of these names inside of the graph, for inputs."""
        from onnx.reference import ReferenceEvaluator

        from onnx import helper, shape_inference
        model = copy.deepcopy(self.model_proto)
        known = {o.name for o in model.graph.output}
        inferred = {v.name: v for v in shape_inference.infer_shapes(model).graph.value_info}
        for name in value_names:
            if name not in known:
                model.graph.output.append(inferred.get(name) or helper.make_empty_tensor_value_info(name))
        return self._run(ReferenceEvaluator(model), list(value_names), args, kwargs)

    def _verify(self, args, kwargs, unified):
        expected = [v.tensor for v in unified.outputs]
        for k, (mine, other) in enumerate(zip(self(*args, **kwargs), expected)):
            if not np.allclose(mine.numpy(), other.detach().numpy(), rtol=1e-3, atol=1e-4):
                raise OnnxExporterError(f"output {k} of the graph differs from the model's by "
                                        f"{np.abs(mine.numpy() - other.detach().numpy()).max()}")

    # ------------------------------------------------------------ changing

    def apply_weights(self, state_dict):
        """Put other tensors in the places of the weights, by name; OnnxExporterError for another shape."""
        from onnx import numpy_helper
        for t in self.model_proto.graph.initializer:
            if t.name in state_dict:
                new = state_dict[t.name].detach()
                if list(t.dims) != list(new.shape):
                    raise OnnxExporterError(f"'{t.name}' has shape {list(t.dims)}, not {list(new.shape)}")
                t.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new.numpy()), t.name))
        self.release()

    def optimize(self):
        """Take out nodes that do nothing (Identity, casts to the same type) and weights that nobody uses."""
        graph = self.model_proto.graph
        outputs = {o.name for o in graph.output}
        same = {}
        kept = []
        for node in graph.node:
            for i, n in enumerate(node.input):
                node.input[i] = same.get(n, n)
            if node.op_type == "Identity" and not node.domain and node.output[0] not in outputs:
                same[node.output[0]] = node.input[0]
            else:
                kept.append(node)
        del graph.node[:]
        graph.node.extend(kept)
        used = {n for node in kept for n in node.input} | outputs
        weights = [t for t in graph.initializer if t.name in used]
        del graph.initializer[:]
        graph.initializer.extend(weights)
        self.release()

    def rename_axes(self, rename_mapping):
        """Give free dimensions other names."""
        mapping = {str(k): v for k, v in rename_mapping.items()}
        for info in (*self.model_proto.graph.input, *self.model_proto.graph.output, *self.model_proto.graph.value_info):
            for d in info.type.tensor_type.shape.dim:
                if d.HasField("dim_param") and d.dim_param in mapping:
                    d.dim_param = mapping[d.dim_param]

    # ------------------------------------------------------------ writing

    def _list_initializers(self, drop=False):
        """List the weights among the inputs, and leave their data out if `drop`."""
        from onnx import helper
        graph = self.model_proto.graph
        there = {i.name for i in graph.input}
        graph.input.extend([helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
                            for t in graph.initializer if t.name not in there])
        if drop:
            del graph.initializer[:]

    def _with(self, include_initializers=True, keep_initializers_as_inputs=False):
        """The model as it is to be written."""
        if include_initializers and not keep_initializers_as_inputs:
            return self.model_proto
        other = ONNXProgram(copy.deepcopy(self.model_proto), None)
        other._list_initializers(drop=not include_initializers)
        return other.model_proto

    def save(self, destination, *, include_initializers=True, keep_initializers_as_inputs=False, external_data=None):
        """Write the model to a file.

        Args:
            destination: the path. The file is whole or not there.
            include_initializers (bool): False leaves the weights out.
            keep_initializers_as_inputs (bool): list the weights among the inputs.
            external_data (bool): write the weights to ``<destination>.data``; default: where they are large. False
                raises ValueError for a model of more than 2 GB.
        """
        model = self._with(include_initializers, keep_initializers_as_inputs)
        path = os.fspath(destination)
        size = sum(len(t.raw_data) for t in model.graph.initializer)
        if external_data or external_data is None and size > LIMIT:
            model = self._beside(model, path)
        elif size >= 1 << 31:
            raise ValueError(f"the weights have {size} bytes, and an ONNX file can't hold 2 GB: external_data=True")
        with atomic_write(path) as file:
            file.write(model.SerializeToString())

    @staticmethod
    def _beside(model, path):
        """Write the weights of a model beside it; the model that refers to them."""
        from onnx import ModelProto, TensorProto
        bare = ModelProto()
        bare.CopyFrom(model)
        name = os.path.basename(path) + ".data"
        at = 0
        with atomic_write(path + ".data") as file:
            for t in bare.graph.initializer:
                if len(t.raw_data) < 1024:
                    continue
                pad = -at % 4096 if len(t.raw_data) >= 1 << 20 else -at % 64
                file.write(bytes(pad))
                at += pad
                file.write(t.raw_data)
                n = len(t.raw_data)
                t.ClearField("raw_data")
                t.data_location = TensorProto.EXTERNAL
                for key, value in (("location", name), ("offset", str(at)), ("length", str(n))):
                    entry = t.external_data.add()
                    entry.key, entry.value = key, value
                at += n
        return bare
