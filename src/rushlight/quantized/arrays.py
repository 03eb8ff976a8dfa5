"""How quantized tensors are kept, and the arithmetic between numbers and codes.

``code = clamp(round(x / scale + zero_point))``, ``x = (code - zero_point) * scale``: Jacob et al., "Quantization and
training of neural networks for efficient integer-arithmetic-only inference", arXiv:1712.05877, section 2.1.
"""

import numpy as np

import rushlight as torch
from rushlight import devices, dtypes
from rushlight.tensor import printing
from rushlight.tensor.parts import Parts, assembled

from . import schemes

OPS = {}                    # key of a record -> handler over the record's arguments
CODES = {dtypes.qint8: dtypes.int8, dtypes.quint8: dtypes.uint8, dtypes.qint32: dtypes.int32}
BY_CODES = {codes: d for d, codes in CODES.items()}
_loaded = False


def handles(*keys):
    """Decorator: the function runs the records of these names (``name.overload``) on quantized arguments."""
    def deco(fn):
        for key in keys:
            OPS[key] = fn
        return fn
    return deco


class Quantized(Parts):
    """Codes (a tensor of integers), and what they mean.

    scale, zero_point: numbers, or with an `axis` tensors with one entry for each index of that dimension.
    """

    __slots__ = ("codes", "scale", "zero_point", "axis", "scheme")
    layout = devices.strided
    backend = "QuantizedCPU"
    kind = "quantized"

    def __init__(self, codes, scale, zero_point, axis=None, scheme=schemes.per_tensor_affine):
        super().__init__(codes._a.shape, codes._a.dtype)
        self.codes, self.scale, self.zero_point, self.axis, self.scheme = codes, scale, zero_point, axis, scheme

    @property
    def strides(self):
        return self.codes._a.strides

    def inner(self):
        return self.codes

    def with_inner(self, values):
        return Quantized(values, self.scale, self.zero_point, self.axis, self.scheme)

    def is_contiguous(self):
        return self.codes.is_contiguous()

    def parameters(self):
        """Scale and zero point as arrays that broadcast against the codes (float32, or as they are kept)."""
        if self.axis is None:
            return np.float32(self.scale), self.zero_point
        shape = [1] * self.ndim
        shape[self.axis] = -1
        return self.scale._a.astype(np.float32).reshape(shape), self.zero_point._a.reshape(shape)

    def takeover(self, rec, args):
        global _loaded
        if not _loaded:
            _loaded = True
            from . import ops  # noqa: F401
        key = rec.schema.partition("(")[0]
        handler = OPS.get(key)
        if handler is not None:
            return handler(*args)
        if rec.kind == "view":
            if self.axis is not None:
                raise RuntimeError("Setting strides is possible only on uniformly quantized tensor")
            found = rec.call(self.codes, *args[1:])
            return tuple(around(c, self) for c in found) if isinstance(found, (tuple, list)) else around(found, self)
        raise refused(key.removesuffix(".Tensor"), self)

    def untyped_storage(self):
        return self.codes.untyped_storage()

    def number(self, t):
        if self.size != 1:
            raise RuntimeError(f"a Tensor with {self.size} elements cannot be converted to Scalar")
        return dequantized(t).item()

    def nested_list(self, t):
        return dequantized(t).tolist()

    def getitem(self, t, index):
        if self.axis is not None:
            return super().getitem(t, index)
        return around(self.codes[index], self)

    def setitem(self, t, index, value):
        window = self.getitem(t, index)
        value = value if isinstance(value, torch.Tensor) else torch.tensor(float(value))
        window.copy_(value if is_quantized(value) else value.to(torch.float32))

    def sliced(self, t, dim, s):
        raise RuntimeError("Setting strides is possible only on uniformly quantized tensor")

    def like(self, t, name, value, dtype, layout, requires_grad):
        if name != "empty_like":
            raise refused("zero_", self)
        return around(torch.empty_like(self.codes), self)

    def fill_all(self, t, value):
        fill = torch.full((1,) * self.ndim, float(value)).expand(self.shape)
        self.codes.copy_(encoded(fill, self, t.dtype))

    def zero(self, t):
        raise refused("zero_", self)

    def write(self, t, source):
        if not isinstance(source._a, Quantized):
            raise refused("set_data", self)
        self.codes.copy_(source._a.codes)

    def copy_into(self, t, source):
        if not isinstance(t._a, Quantized):
            raise RuntimeError("Copying from quantized Tensor to non-quantized Tensor is not allowed, please use "
                               "dequantize to get a float Tensor from a quantized Tensor")
        to = t._a
        if isinstance(source._a, Quantized):
            if source.dtype is not t.dtype:
                raise RuntimeError("Quantized Copy only works with same scalar type")
            to.codes.copy_(source._a.codes)
            to.scale, to.zero_point = source._a.scale, source._a.zero_point
            to.axis, to.scheme = source._a.axis, source._a.scheme
        else:
            if source.dtype is not torch.float32:
                raise RuntimeError("Quantized copy only works with Float as source Tensor")
            to.codes.copy_(encoded(source.detach().expand(t.shape), to, t.dtype))
        t._storage.version += 1
        return t

    def text(self, t):
        head = "tensor("
        facts = [f"size={tuple(self.shape)}", f"dtype={t.dtype}", f"quantization_scheme={self.scheme}",
                 f"scale={self.scale}", f"zero_point={self.zero_point}"]
        if self.axis is not None:
            facts.append(f"axis={self.axis}")
        body = printing.format_values(dequantized(t)._a, len(head)) if self.size else "[]"
        return printing._append_suffixes(head + body, facts, len(head))


def refused(name, parts):
    """The error for op `name`, which quantized tensors lack."""
    return NotImplementedError(f"Could not run 'aten::{name}' with arguments from the '{parts.backend}' backend: "
                               f"{name} is not implemented for quantized tensors; dequantize() them.")


def around(codes, parts, dtype=None):
    """A quantized tensor of these codes, which mean what those of `parts` do."""
    t = assembled(parts.with_inner(codes), dtype or BY_CODES[codes.dtype])
    t._offset = codes._offset
    return t


def made(codes, scale, zero_point, axis=None, scheme=schemes.per_tensor_affine):
    """A quantized tensor of codes and their meaning."""
    return around(codes, Quantized(codes, scale, zero_point, axis, scheme))


def is_quantized(t):
    return isinstance(t, torch.Tensor) and isinstance(t._a, Quantized)


def encoded(x, parts, dtype):
    """The codes of float32 tensor `x` under the meaning of `parts`."""
    scale, zero = parts.parameters()
    inverse = np.float32(1) / scale
    a = x.detach().resolve_neg()._a
    with np.errstate(all="ignore"):
        if parts.axis is None and dtype is not dtypes.qint32:
            # A product that is not rounded before the zero point is added, as fused instructions have it.
            y = (a.astype(np.float64) * np.float64(inverse) + zero).astype(np.float32)
        else:
            y = a * inverse + np.asarray(zero, np.float32)
        lowest, highest = limits(dtype)
        y = np.rint(y).astype(np.float64)
        other = lowest if dtype is dtypes.qint32 else highest if parts.axis is None else 0
        y = np.where(np.isnan(y), other, np.clip(y, lowest, highest))
    return torch.from_numpy(np.asarray(y.astype(CODES[dtype].np), order="K"))


def dequantized(t):
    """The numbers that the codes of `t` stand for, float32."""
    parts = t._a
    scale, zero = parts.parameters()
    codes = parts.codes._a
    with np.errstate(all="ignore"):
        if parts.scheme is schemes.per_channel_affine_float_qparams:
            values = (codes.astype(np.float32) - zero) * scale
        else:
            values = (codes.astype(np.int64) - zero).astype(np.float32) * scale
    return torch.from_numpy(np.asarray(values, np.float32))


def limits(dtype):
    """Least and greatest code of a quantized dtype."""
    info = np.iinfo(CODES[dtype].np)
    return int(info.min), int(info.max)
