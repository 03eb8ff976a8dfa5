"""Tensors in the safetensors format: names, dtypes, shapes, bytes, and no code at all.

Needs the ``safetensors`` package (a core dependency), which is imported on first use.
"""

import os

import numpy as np

import rushlight as torch
from rushlight.serialization._atomic import atomic_write

_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32",
    "U64": "uint64", "BOOL": "bool", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}


def _encoded(tensors):
    """``{name: (dtype, shape, bytes)}``, after checking that the format can hold it."""
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    spans, out = {}, {}
    known = set(_NAMES.values())
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received "
                             f"{type(tensor)}")
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise ValueError(f"Key `{name}`: only dense CPU tensors can be saved")
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in known:
            raise ValueError(f"Key `{name}`: safetensors has no dtype {tensor.dtype}")
        if not tensor.is_contiguous():
            raise ValueError(f"You are trying to save a non contiguous tensor: `{name}` which is "
                             "not allowed. It either means you are trying to save tensors which "
                             "are reference of each other in which case it's recommended to save "
                             "only the full tensors, and reslice at load time, or simply call "
                             "`.contiguous()` on your tensor to pack it before saving.")
        if tensor.numel():
            other = spans.setdefault(tensor.untyped_storage().data_ptr(), name)
            if other != name:
                raise RuntimeError(f"Some tensors share memory: {other!r} and {name!r}. The format "
                                   "has no sharing: save one of them, or clone() the other.")
        out[name] = (dtype, list(tensor.shape), _raw(tensor))
    return out


def _specs(entries):
    """`entries` as the package's `serialize` wants them: by address, or by value before 0.8."""
    import safetensors

    if not hasattr(safetensors, "TensorSpec"):
        return {name: {"dtype": dtype, "shape": shape, "data": raw.tobytes()}
                for name, (dtype, shape, raw) in entries.items()}
    return {name: safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=raw.ctypes.data,
                                         data_len=raw.nbytes)
            for name, (dtype, shape, raw) in entries.items()}


def _raw(tensor):
    if not tensor.numel():
        return np.empty(0, np.uint8)
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
    return flat.view(torch.uint8).numpy()


def _decoded(name, entry):
    dtype = getattr(torch, _NAMES.get(entry["dtype"], "?"), None)
    if dtype is None:
        raise NotImplementedError(f"tensor {name!r} has the dtype {entry['dtype']}, which is not "
                                  "supported")
    shape, data = list(entry["shape"]), entry["data"]
    if not len(data):
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def save(tensors, metadata=None):
    """The safetensors bytes of a dict of contiguous CPU tensors, with string `metadata`."""
    import safetensors

    entries = _encoded(tensors)         # holds the bytes that the specs point to
    return bytes(safetensors.serialize(_specs(entries), metadata=metadata))


def save_file(tensors, filename, metadata=None):
    """Write a dict of contiguous CPU tensors to `filename`, in one step.

    Raises ValueError for tensors that are not dense, RuntimeError where two share memory.
    """
    data = save(tensors, metadata)
    with atomic_write(filename) as file:
        file.write(data)


def load(data):
    """The dict of tensors that safetensors bytes hold."""
    import safetensors

    try:
        entries = safetensors.deserialize(bytes(data))
    except safetensors.SafetensorError as error:
        raise RuntimeError(f"not a safetensors file, or a corrupt one: {error}") from None
    return {name: _decoded(name, entry) for name, entry in entries}


def load_file(filename, device="cpu"):
    """The dict of tensors of a safetensors file, on `device`."""
    with open(os.fspath(filename), "rb") as file:
        tensors = load(file.read())
    if torch.device(device).type == "cpu":
        return tensors
    return {name: tensor.to(device) for name, tensor in tensors.items()}
