"""``torch.ops.aten``: the op table's functions under the names and overloads of PyTorch's operators."""

import functools

import rushlight as torch
from rushlight.ops import registry
from rushlight.record import RECORDS

from . import schema as notation

# Overloads that tell argument types apart, which the public functions do by themselves.
_ANY = ("default", "Tensor", "Scalar")
_MORE = ("Tensor_Scalar", "Scalar_Tensor", "Tensor_Tensor", "Scalar_out", "out", "dim", "dim_IntList", "int", "self",
         "other", "Tensor_mode", "Scalar_mode", "correction", "start", "start_step", "dim_max", "dim_min", "ScalarSelf",
         "ScalarOther", "src", "value", "reduce", "Tensor_Tensor_out", "sections", "indices", "dtype",
         "ScalarAndTensor", "Dimname", "input", "unary_out", "Tensor_out", "names", "size", "vec", "low", "generator",
         "p", "float", "forward", "dtype_layout", "memory_format", "ScalarOpt_dim", "padding", "low_dtype", "dims")


def _softmax(input, dim, half_to_float):
    return torch.softmax(input, dim, dtype=torch.float32 if half_to_float else None)


def _log_softmax(input, dim, half_to_float):
    return torch.log_softmax(input, dim, dtype=torch.float32 if half_to_float else None)


def _to_copy(input, *, dtype=None, layout=None, device=None, pin_memory=None, non_blocking=False, memory_format=None):
    options = {} if memory_format is None else {"memory_format": memory_format}
    return input.to(device=device, dtype=dtype, copy=True, **options)


def _slice(input, dim=0, start=None, end=None, step=1):
    index = [slice(None)] * (dim % input.dim()) + [slice(start, end, step)]
    return input[tuple(index)]


def _convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    return torch.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)


_OWN = {"_softmax": _softmax, "_log_softmax": _log_softmax, "_to_copy": _to_copy, "slice": _slice,
        "convolution": _convolution, "_unsafe_view": lambda input, size: input.reshape(size),
        "lift_fresh_copy": lambda input: input.clone(), "lift_fresh": lambda input: input,
        "_reshape_alias": lambda input, size, stride: input.as_strided(size, stride),
        "sym_size": lambda input, dim: input.size(dim),
        "scalar_tensor": lambda s, **options: torch.tensor(s, **options),
        "alias": lambda input: input.view(input.shape),
        "max_pool2d_with_indices": lambda input, *args, **kwargs: torch.nn.functional.max_pool2d(
            input, *args, return_indices=True, **kwargs)}
_HOMES = ("torch", "torch.nn.functional", "torch._C._nn", "torch.linalg", "torch.special", "torch.fft", "torch._VF")
_PREFIXES = {"linalg_": "torch.linalg", "special_": "torch.special", "fft_": "torch.fft"}


@functools.cache
def _public(name):
    """The public function that an operator's name means, or None."""
    if name in _OWN:
        return _OWN[name]
    registry.load()
    for prefix, home in _PREFIXES.items():
        if name.startswith(prefix) and name[len(prefix):] in registry.FUNCTIONS.get(home, ()):
            return _late(home, name[len(prefix):])
    for home in _HOMES:
        if name in registry.FUNCTIONS.get(home, ()):
            return _late(home, name)
    if name in registry.METHODS or callable(getattr(torch.Tensor, name, None)):
        return lambda self, *args, **kwargs: getattr(self, name)(*args, **kwargs)
    return None


def _late(home, name):
    table = registry.FUNCTIONS[home]
    return lambda *args, **kwargs: table[name](*args, **kwargs)


def function(name, overload):
    """What runs ``aten::name.overload``, or None."""
    fn = _public(name)
    if fn is None or overload not in _ANY and overload not in _MORE and f"{name}.{overload}" not in RECORDS:
        return None
    return fn


def overloads(name):
    """Names of the overloads that the table tells apart, then those every name has."""
    own = [k.partition(".")[2] for k in RECORDS if k.startswith(name + ".")]
    return list(dict.fromkeys([*own, *_ANY]))


def schema(name, overload):
    """The schema of an operator, where a record has its name; NotImplementedError elsewhere."""
    record = RECORDS.get(name if overload == "default" else f"{name}.{overload}")
    if record is None:
        raise NotImplementedError(f"aten::{name}.{overload} is not one record of the op table: it has no schema here")
    return notation.parse(record.schema, "aten")
