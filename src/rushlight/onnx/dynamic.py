"""Which dimensions of the inputs are free, and inputs of other sizes to trace the model with."""

from collections.abc import Mapping

from rushlight.tensor.tensor import Tensor
from rushlight.utils import _pytree as pytree

from .errors import OnnxExporterError


class Symbol:
    """A free size: its label, and where it is: (which input tensor, which of its dimensions)."""

    __slots__ = ("label", "places")

    def __init__(self, label):
        self.label, self.places = label, []


def _label(spec, made_up):
    """The label in a specification of a dimension: a text, a ``Dim``, or one made up; None where it is static."""
    if spec is None or isinstance(spec, int) and not isinstance(spec, bool):
        return None
    if isinstance(spec, str):
        return spec
    name = getattr(spec, "__name__", None) or getattr(spec, "name", None)
    if name in ("STATIC",):
        return None
    return made_up if name in (None, "AUTO", "DYNAMIC") else str(name)


def _dims(spec, name, rank):
    """{dimension: label} of one tensor's specification."""
    if spec is None:
        return {}
    if isinstance(spec, Mapping):
        items = list(spec.items())
    else:
        items = list(enumerate(spec))
        if len(items) > rank:
            raise OnnxExporterError(f"dynamic_shapes has {len(items)} dimensions for {name}, which has {rank}")
    found = {}
    for d, s in items:
        label = _label(s, f"{name}_dim_{d}")
        if label is not None:
            if not -rank <= d < rank:
                raise OnnxExporterError(f"{name} has {rank} dimensions: there is no dimension {d} to be dynamic")
            found[d % rank] = label
    return found


def of_axes(dynamic_axes, names, tensors):
    """{input number: {dimension: label}} of ``dynamic_axes``, by names of inputs."""
    found = {}
    for name, spec in dynamic_axes.items():
        if name not in names:
            continue
        k = names.index(name)
        rank = tensors[k].dim()
        if not isinstance(spec, Mapping):
            spec = {d: f"{name}_dynamic_axes_{i + 1}" for i, d in enumerate(spec)}
        found[k] = _dims({d: s if s is not None else f"{name}_dim_{d}" for d, s in spec.items()}, name, rank)
    return found


def of_shapes(dynamic_shapes, args, kwargs, parameters):
    """{input number: {dimension: label}} of ``dynamic_shapes``: a tree like the arguments, or by parameters' names."""
    if isinstance(dynamic_shapes, Mapping):
        whole = dict(zip(parameters, args)) | kwargs
        unknown = set(dynamic_shapes) - set(whole)
        if unknown:
            raise OnnxExporterError(f"dynamic_shapes names {sorted(unknown)}, but the arguments are {sorted(whole)}")
        pairs = [(whole[k], dynamic_shapes.get(k), k) for k in whole]
    else:
        values = [*args, *kwargs.values()]
        if len(dynamic_shapes) != len(values):
            raise OnnxExporterError(f"dynamic_shapes has {len(dynamic_shapes)} entries for {len(values)} arguments")
        names = [*parameters[:len(args)], *kwargs]
        names += [f"input_{k}" for k in range(len(names), len(values))]
        pairs = list(zip(values, dynamic_shapes, names))
    found, count = {}, 0
    for value, spec, name in pairs:
        count = _walk(value, spec, name, found, count)
    return found


def _walk(value, spec, name, found, count):
    if isinstance(value, Tensor):
        found[count] = _dims(spec, name, value.dim())
        return count + 1
    if isinstance(value, Mapping):
        for k in value:
            count = _walk(value[k], None if spec is None else spec.get(k), f"{name}_{k}", found, count)
        return count
    if isinstance(value, (list, tuple)):
        for k, x in enumerate(value):
            count = _walk(x, None if spec is None else spec[k], f"{name}_{k}", found, count)
        return count
    return count + sum(isinstance(x, Tensor) for x in pytree.tree_leaves(value))


def symbols(free, tensors):
    """The `Symbol`s of {input number: {dimension: label}}; dimensions with one label have one size."""
    found = {}
    for k, dims in free.items():
        for d, label in dims.items():
            s = found.setdefault(label, Symbol(label))
            s.places.append((k, d))
            first, at = s.places[0]
            if tensors[k].shape[d] != tensors[first].shape[at]:
                raise OnnxExporterError(f"'{label}' is {tensors[first].shape[at]} and {tensors[k].shape[d]} in the "
                                        "example inputs; one name is one size")
    return list(found.values())


# What a size grows by in four further traces, by the number of its symbol: no row is a multiple of another one, so that
# sizes are told apart.
_GROWTH = ((1, 2, 3, 5), (2, 5, 3, 7), (3, 4, 8, 1), (1, 4, 2, 7), (5, 1, 3, 2), (4, 9, 1, 6), (2, 3, 7, 11),
           (7, 1, 6, 4))


def _added(n, i, k):
    return n + _GROWTH[i % len(_GROWTH)][k] * (1 + i // len(_GROWTH)) + (n == 1)


def _added_alike(n, i, k):
    return n + _GROWTH[0][k] + (n == 1)


def _multiplied(n, i, k):
    return n * (1 + _GROWTH[i % len(_GROWTH)][k])


def _multiplied_alike(n, i, k):
    return n * (1 + _GROWTH[0][k])


def _taken(n, i, k):
    less = _GROWTH[i % len(_GROWTH)][k]
    return n - less if n - less > 1 else n + less


def _divided(n, i, k):
    return max(n // (2, 4, 8, 16)[k], 1)


# Ways to other sizes, tried until the model accepts them: (size, number of the symbol, number of the trace) -> size.
WAYS = (_added, _added_alike, _multiplied, _multiplied_alike, _taken, _divided)


def resized(tensors, symbols, way, k):
    """The tensors with other sizes in the symbols' places; what is more is repeated from the beginning."""
    import rushlight as torch
    out = list(tensors)
    for i, s in enumerate(symbols):
        for number, d in s.places:
            n = tensors[number].shape[d]
            if n == 0:
                raise OnnxExporterError(f"'{s.label}' has size 0 in the example inputs; give at least one element")
            at = torch.arange(way(n, i, k)) % n
            out[number] = out[number].index_select(d, at)
    return out
