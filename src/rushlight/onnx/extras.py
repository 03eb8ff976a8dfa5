"""Modules that say how they are exported, and watching calls to find out which sizes vary."""

from rushlight.nn import Module
from rushlight.tensor.tensor import Tensor
from rushlight.utils import _pytree as pytree

from .errors import OnnxExporterError


class ExportableModule(Module):
    """A module that knows its example arguments, names and free dimensions; ``export(module)`` takes them from it.

    Subclasses define `example_arguments`, and as they like the others.
    """

    def example_arguments(self):
        """``(args, kwargs)``, kwargs may be None."""
        raise NotImplementedError("example_arguments")

    def input_names(self):
        """Names of the inputs, or None."""
        return None

    def output_names(self):
        """Names of the outputs, or None."""
        return None

    def dynamic_shapes(self):
        """Free dimensions, as `export` takes them, or None."""
        return None

    def to_onnx(self, **kwargs):
        """The `ONNXProgram` of the module; keyword arguments are those of `export`."""
        from .exporting import export
        return export(self, **kwargs)


class InputObserver:
    """Writes down the calls of a module, to export it with what varies among them as free dimensions.

        observer = InputObserver()
        with observer(model):
            model(x1)
            model(x2)
        export(model, observer.infer_arguments(), dynamic_shapes=observer.infer_dynamic_shapes())

    Args:
        value_if_missing (dict): values of arguments that some calls leave out, by name or position.
    """

    def __init__(self, value_if_missing=None):
        self.value_if_missing = dict(value_if_missing or {})
        self.calls, self.results = [], []

    def __call__(self, model, store_n_calls=3):
        """Context in which at most so many calls of `model` are written down."""
        return _Observing(self, model, store_n_calls)

    def num_obs(self):
        """How many calls were written down."""
        return len(self.calls)

    def _complete(self, args, kwargs):
        kwargs = dict(kwargs)
        args = list(args)
        for k, v in self.value_if_missing.items():
            if isinstance(k, str):
                kwargs.setdefault(k, v)
            elif k == len(args):
                args.append(v)
        return tuple(args), kwargs

    def infer_arguments(self, index_or_args_or_kwargs=None, flat=False, as_args_kwargs=False):
        """Arguments for an export: those of the call of that number (default: the first), or the given ones."""
        if not self.calls:
            raise RuntimeError("No inputs were captured: call the model inside of the observer's context")
        which = index_or_args_or_kwargs
        if isinstance(which, tuple):
            args, kwargs = which, {}
        elif isinstance(which, dict):
            args, kwargs = (), which
        else:
            args, kwargs = self._complete(*self.calls[which or 0])
        if flat:
            return [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor) or x is None]
        if as_args_kwargs:
            return args, kwargs
        if args and kwargs:
            raise RuntimeError("the calls have positional and keyword arguments: ask with as_args_kwargs=True")
        return kwargs if kwargs else args

    def infer_dynamic_shapes(self, set_batch_dimension_for=None):
        """Free dimensions, for `export`: those that differed among the calls.

        set_batch_dimension_for: arguments (by name or position; True: all) whose first dimension is free in any case.
        """
        if not self.calls:
            raise RuntimeError("No inputs were captured: call the model inside of the observer's context")
        calls = [self._complete(*c) for c in self.calls]

        def free(key, values):
            batch = set_batch_dimension_for is True or key in (set_batch_dimension_for or ())
            leaves = [pytree.tree_leaves(v) for v in values]
            structure = pytree.tree_flatten(values[0])[1]
            found = []
            for k, xs in enumerate(zip(*leaves)):
                if not isinstance(xs[0], Tensor):
                    found.append(None)
                    continue
                dims = {d: f"{key}_{k}_dim_{d}" if len(leaves[0]) > 1 else f"{key}_dim_{d}"
                        for d in range(xs[0].dim()) if len({x.shape[d] for x in xs}) > 1 or batch and d == 0}
                found.append(dims)
            return pytree.tree_unflatten(found, structure)
        args, kwargs = calls[0]
        if any(len(c[0]) != len(args) or c[1].keys() != kwargs.keys() for c in calls):
            raise RuntimeError("the calls have different arguments: give value_if_missing")
        if kwargs and args:
            raise RuntimeError("the calls have positional and keyword arguments")
        if kwargs:
            return {k: free(k, [c[1][k] for c in calls]) for k in kwargs}
        return tuple([free(k, [c[0][k] for c in calls]) for k in range(len(args))])

    def check_discrepancies(self, onnx_program, atol=1e-4, rtol=0.1, progress_bar=False, initializer=None,
                            skip_none=True):
        """Run the graph on the calls that were written down; for each a dict with ``abs`` and ``rel``, the largest
        differences, and ``SUCCESS``."""
        import numpy as np
        if initializer is not None:
            onnx_program.initialize_inference_session(initializer)
        found = []
        for k, ((args, kwargs), result) in enumerate(zip(self.calls, self.results)):
            args, kwargs = self._complete(args, kwargs)
            mine = onnx_program(*args, **kwargs)
            theirs = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]
            if len(mine) != len(theirs):
                raise OnnxExporterError(f"the graph has {len(mine)} outputs, the model {len(theirs)}")
            gaps = [(np.abs(a - b).max(initial=0.0), (np.abs(a - b) / (np.abs(b) + 1e-9)).max(initial=0.0))
                    for a, b in ((x.numpy().astype(np.float64), y.detach().numpy().astype(np.float64))
                                 for x, y in zip(mine, theirs))]
            worst, relative = max(g[0] for g in gaps), max(g[1] for g in gaps)
            found.append({"index": k, "abs": float(worst), "rel": float(relative),
                          "SUCCESS": bool(worst <= atol or relative <= rtol),
                          "n_inputs": len(pytree.tree_leaves(args))})
        return found


class _Observing:
    def __init__(self, observer, model, most):
        self.observer, self.model, self.most = observer, model, most

    def __enter__(self):
        observer, model, forward = self.observer, self.model, self.model.forward

        def watched(*args, **kwargs):
            seen = pytree.tree_map(lambda x: x.detach().clone() if isinstance(x, Tensor) else x, (args, kwargs))
            result = forward(*args, **kwargs)
            if len(observer.calls) < self.most:
                observer.calls.append(seen)
                observer.results.append(result)
            return result
        model.forward = watched
        return observer

    def __exit__(self, *exc):
        del self.model.forward
