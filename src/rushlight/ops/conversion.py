"""Copies and conversions: clone, contiguous, to and its kin, copy_, fill_, resize_."""

import numpy as np

from .. import devices, dtypes
from ..autograd.modes import state
from ..autograd.node import Node, edge_of, next_seq
from ..devices import CPU, META
from ..dtypes import dtype as dtype_class
from ..dtypes import scalar_name
from ..runtime.allocator import empty as alloc
from ..tensor import watch
from ..tensor.geometry import can_expand, contiguous_strides, numel, storage_extent
from ..tensor.storage import window
from ..tensor.tensor import Tensor, wrap
from .copy import copy_array, fill_array, write
from .creation import blank, like, number_for, strides_in
from .dispatch import needs_grad, primitive
from .inplace import check, rebase
from .overlap import one_block, refuse_part, single
from .registry import FUNCTIONS, METHODS, public

_ndarray = np.ndarray


# ---------------------------------------------------------------- clone

@primitive("clone(Tensor self, MemoryFormat? memory_format) -> Tensor", vjp={"self": lambda g: g})
def _clone(a, memory_format):
    if memory_format is devices.contiguous_format or a.flags.c_contiguous and (
            memory_format is None or memory_format is devices.preserve_format):
        out = alloc(a.shape, a.dtype)
    else:
        out = _dense(a, a.dtype, memory_format)
    copy_array(out, a)
    return out


def _dense(a, np_dtype, memory_format):
    """A fresh array in a's dimension order, or in the memory format asked for."""
    from .pointwise.core import result_array, strided_array
    if memory_format is None or memory_format is devices.preserve_format:
        return result_array([a], np_dtype)
    strides = strides_in(a.shape, memory_format)
    if strides is None:
        return alloc(a.shape, np_dtype)
    return strided_array(a.shape, strides, np_dtype)


@public()
def clone(input, *, memory_format=None):
    """A copy, differentiable, dense in this tensor's dimension order unless a format is given."""
    if type(input._a) is not _ndarray:
        return _meta_copy(input, input.dtype, META, memory_format)
    return _clone(input, memory_format)


@primitive("_to_copy(Tensor self, ScalarType dtype, Device device, MemoryFormat? memory_format) "
           "-> Tensor", node="ToCopyBackward0",
           vjp={"self": lambda g, self_dtype:
                (g.real if g.dtype.is_complex and not self_dtype.is_complex else g).to(self_dtype)})
def _to_copy(a, dtype, device, memory_format):
    plain = a.flags.c_contiguous and (memory_format is None or memory_format is devices.preserve_format)
    out = alloc(a.shape, dtype.np) if plain else _dense(a, dtype.np, memory_format)
    copy_array(out, a)
    return out


def _meta_copy(input, dtype, device, memory_format):
    """A copy that involves the meta device: geometry only."""
    if hasattr(type(input._a), "takeover"):
        record = _clone.record if dtype is input.dtype else _to_copy.record
        return input._a.takeover(record, (input, memory_format) if dtype is input.dtype else (
            input, dtype, device, memory_format))
    if device is not META:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    t = wrap(like(input, dtype, META, memory_format))
    if needs_grad(input) and state.grad and dtype.category >= dtypes.FLOAT:
        from .dispatch import attach
        if dtype is input.dtype and type(input._a) is not _ndarray:
            attach(_clone.record, (input, memory_format), (t,))
        else:
            attach(_to_copy.record, (input, dtype, device, memory_format), (t,))
    return t


@public(namespaces=())
def contiguous(input, memory_format=devices.contiguous_format):
    """This tensor if it lies in the given order without gaps, else a copy that does."""
    if memory_format is devices.contiguous_format:
        if input._a.flags.c_contiguous if type(input._a) is _ndarray else input.is_contiguous():
            return input
    elif memory_format is devices.preserve_format:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    elif input.is_contiguous(memory_format=memory_format):
        return input
    return clone(input, memory_format=memory_format)


# ---------------------------------------------------------------- to

def convert(input, dtype, device, copy, memory_format):
    """The common end of all conversions; `input` itself when nothing changes."""
    if not copy and dtype is input.dtype and device is input.device and (
            memory_format is None or memory_format is devices.preserve_format
            or input.is_contiguous(memory_format=memory_format)):
        return input
    if device is META or type(input._a) is not _ndarray:
        return _meta_copy(input, dtype, device, memory_format)
    if input.dtype.is_complex and not dtype.is_complex:
        _warn_complex(dtype)
    return _to_copy(input, dtype, device, memory_format)


_complex_warned = False


def _warn_complex(dtype):
    global _complex_warned
    if not _complex_warned and dtype is not dtypes.bool_:
        _complex_warned = True
        import warnings
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning,
                      stacklevel=4)


def parse_to(args, kwargs):
    """(device, dtype, non_blocking, copy, memory_format) from any overload of ``to``."""
    device = kwargs.pop("device", None)
    dtype = kwargs.pop("dtype", None)
    other = kwargs.pop("other", None)
    non_blocking = kwargs.pop("non_blocking", False)
    copy = kwargs.pop("copy", False)
    memory_format = kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    rest = list(args)
    if rest:
        x = rest[0]
        if isinstance(x, Tensor):
            other = rest.pop(0)
        elif type(x) is dtype_class:
            dtype = rest.pop(0)
        elif x is None or isinstance(x, (devices.device, str)) or type(x) is int:
            device = rest.pop(0)
            if rest and (type(rest[0]) is dtype_class or rest[0] is None):
                dtype = rest.pop(0)
        else:
            raise TypeError(_TO_ERROR.format(type(x).__name__))
    if rest:
        if type(rest[0]) is not bool:
            raise TypeError(_TO_ERROR.format(", ".join(type(x).__name__ for x in args)))
        non_blocking = rest.pop(0)
    if rest:
        copy = rest.pop(0)
    if other is not None:
        device, dtype = other.device, other.dtype
    if dtype is not None and type(dtype) is not dtype_class:
        from .construct import as_dtype
        dtype = as_dtype(dtype, "to")
    return device, dtype, non_blocking, copy, memory_format


_TO_ERROR = ("to() received an invalid combination of arguments - got ({}), but expected one of: "
             "(torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool "
             "copy = False, *, torch.memory_format memory_format = None), (torch.dtype dtype, ...), "
             "(Tensor tensor, ...)")


@public(namespaces=())
def to(input, *args, **kwargs):
    """Conversion to a dtype, a device, or those of another tensor; `input` itself if it conforms."""
    if len(args) == 1 and not kwargs and type(args[0]) is dtype_class:
        d = args[0]
        if d is input.dtype:
            return input
        return convert(input, d, input.device, False, None)
    if len(args) == 1 and not kwargs and type(input._a) is _ndarray and (args[0] is CPU or args[0] == "cpu"):
        return input
    device, dtype, _, copy, memory_format = parse_to(args, kwargs)
    dev = input.device if device is None else devices.usable(device)
    return convert(input, input.dtype if dtype is None else dtype, dev, copy, memory_format)


def _shorthand(name, d):
    def method(input, memory_format=None):
        if d is input.dtype and memory_format is None:
            return input
        return convert(input, d, input.device, False, memory_format)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"This tensor converted to {d!r}."
    METHODS[name] = method


for _name, _d in (("float", dtypes.float32), ("double", dtypes.float64), ("half", dtypes.float16),
                  ("bfloat16", dtypes.bfloat16), ("int", dtypes.int32), ("long", dtypes.int64),
                  ("short", dtypes.int16), ("char", dtypes.int8), ("byte", dtypes.uint8),
                  ("bool", dtypes.bool_), ("cfloat", dtypes.complex64),
                  ("cdouble", dtypes.complex128), ("chalf", dtypes.complex32)):
    _shorthand(_name, _d)


@public(namespaces=())
def cpu(input, memory_format=None):
    """This tensor on the CPU."""
    return convert(input, input.dtype, devices.CPU, False, memory_format)


@public(namespaces=())
def cuda(input, device=None, non_blocking=False, memory_format=None):
    """Raises: there is no CUDA back end."""
    devices.usable("cuda")


@public(namespaces=())
def xpu(input, device=None, non_blocking=False, memory_format=None):
    """Raises: there is no XPU back end."""
    raise AssertionError("Torch not compiled with XPU enabled")


@public(namespaces=())
def share_memory_(input):
    """Move the storage to memory that other processes can map, with all tensors on it; returns the tensor.

    Processes that get such a tensor, by fork or through a queue of ``torch.multiprocessing``, see each other's writes.
    """
    from ..tensor.shared import share_tensor
    return share_tensor(input)


@public(namespaces=())
def ipu(input, device=None, non_blocking=False, memory_format=None):
    """Raises: there is no IPU back end."""
    raise RuntimeError("PyTorch is not linked with support for ipu devices")


@public(namespaces=())
def mtia(input, device=None, non_blocking=False, memory_format=None):
    """Raises: there is no MTIA back end."""
    raise AssertionError("Torch not compiled with MTIA enabled")


@public(namespaces=())
def pin_memory(input, device=None):
    """Raises: there is no pinned-memory allocator."""
    raise RuntimeError("Cannot access accelerator device when none is available.")


@public(namespaces=())
def type_as(input, other):
    """This tensor converted to the dtype and device of `other`."""
    return convert(input, other.dtype, other.device, False, None)


def type_(input, dtype=None, non_blocking=False, **kwargs):
    """Without argument the type's name (``torch.FloatTensor``); else conversion to that type."""
    if dtype is None:
        where = "" if type(input._a) is _ndarray else "sparse." if input.is_sparse else \
            "meta." if input.is_meta else ""
        return f"torch.{where}{scalar_name(input.dtype)}Tensor"
    if isinstance(dtype, str):
        name = dtype.rpartition(".")[2]
        found = [d for d in dtypes.ALL if scalar_name(d) + "Tensor" == name]
        if not dtype.startswith("torch.") or not found:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = found[0]
    elif not isinstance(dtype, dtype_class):
        dtype = getattr(dtype, "dtype", None) or (dtypes.default.float if dtype is Tensor else dtype)
        from .construct import as_dtype
        dtype = as_dtype(dtype, "type")
    return convert(input, dtype, input.device, False, None)


METHODS["type"] = type_


# ---------------------------------------------------------------- in-place writes

class CopyBackwards(Node):
    """History of ``a.copy_(b)``: zeros for the old contents, a conversion for the source."""

    __slots__ = ("source",)

    def apply(self, grads):
        g = grads[0]
        if g is None:
            return None, None
        old = None if self.edges[0] is None else g.new_zeros(g._a.shape)
        if self.edges[1] is None:
            return old, None
        shape, dtype, device = self.source
        out = g
        if dtype is not g.dtype:
            if g.dtype.is_complex and not dtype.is_complex:
                out = out.real
            out = out.to(dtype)
        return old, out

    def release(self):
        pass


def record_copy(t, source):
    """Give `t` the history of having been overwritten by `source`."""
    node = CopyBackwards()
    node.edges = (edge_of(t) if needs_grad(t) else None, edge_of(source))
    node.saved, node.ext, node.seq = (), None, next_seq()
    node.outs = ((t._a.shape, t.dtype),)
    node.source = (source._a.shape, source.dtype, source.device)
    rebase(t, node, 0)


@public(namespaces=())
def copy_(input, src, non_blocking=False):
    """Copy the (broadcast) elements of `src` into this tensor, converting the dtype."""
    t = input
    if type(src) is Tensor and type(t) is Tensor and not state.special:
        a, b = t._a, src._a
        if type(a) is _ndarray and type(b) is _ndarray and a.flags.c_contiguous and a.shape == b.shape and \
                a.dtype is b.dtype and not (t._bits or src._bits) and t._storage is not src._storage and \
                t._storage.root is None and src._storage.root is None and not (
                    t._requires_grad or src._requires_grad or t._view is not None or src._view is not None):
            # Nothing shared, nothing recorded.
            copy_array(a, b)
            t._storage.version += 1
            return t
    if not isinstance(src, Tensor):
        if isinstance(src, (bool, int, float, complex)):
            src = FUNCTIONS["torch"]["tensor"](src)
        else:
            raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not "
                            f"{type(src).__name__}")
    if hasattr(type(src._a), "copy_into") or hasattr(type(t._a), "copy_into"):
        return (src if hasattr(type(src._a), "copy_into") else t)._a.copy_into(t, src)
    if t._a.shape != src._a.shape and not can_expand(src._a.shape, t._a.shape):
        _size_mismatch(src._a.shape, t._a.shape)
    check(t)
    if t is src:
        return t
    single(t)
    if one_block(t, src):
        refuse_part(t, src)
    if type(t._a) is _ndarray and type(src._a) is not _ndarray and src.is_meta:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    if state.levels:
        from ..func.wrapped import copying
        t, src = copying(t, src)
    rg = state.grad and t.dtype.category >= dtypes.FLOAT and (needs_grad(src) or needs_grad(t))
    if rg and state.grad and needs_grad(src) and src.dtype.category < dtypes.FLOAT:
        rg = needs_grad(t)
    write(t, src)
    t._storage.version += 1
    if watch.listener is not None:
        watch.listener.wrote("copy_", copy_array, (t,), (src,))
    if rg:
        record_copy(t, src)
    return t


def _size_mismatch(shape, target):
    n, m = len(target), len(shape)
    if m > n:
        raise RuntimeError(f"output with shape {list(target)} doesn't match the broadcast shape "
                           f"{list(shape)}")
    for i in range(1, m + 1):
        a, b = target[n - i], shape[m - i]
        if a != b and b != 1:
            if a == 1:
                raise RuntimeError(f"output with shape {list(target)} doesn't match the broadcast "
                                   f"shape {[max(x, y) for x, y in zip(target[n - m:], shape)]}")
            raise RuntimeError(f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                               f"non-singleton dimension {n - i}")


class FillBackward(Node):
    """History of a fill: the old contents get no gradient, a filling tensor gets the sum."""

    __slots__ = ()

    def apply(self, grads):
        g = grads[0]
        if len(self.edges) == 1:
            return (None if g is None else g.new_zeros(g.shape),)
        if g is None:
            return None, None
        return g.new_zeros(g.shape), g.sum() if self.edges[1] is not None else None

    def release(self):
        pass


FillBackward2 = type("FillBackward2", (FillBackward,), {"__slots__": (), "__module__": "torch"})
FillBackward3 = type("FillBackward3", (FillBackward,), {"__slots__": (), "__module__": "torch"})
ZeroBackward0 = type("ZeroBackward0", (FillBackward,), {"__slots__": (), "__module__": "torch"})


def _record_fill(t, cls, source=None):
    node = cls()
    node.edges = (edge_of(t),) if source is None else (edge_of(t), edge_of(source))
    node.saved, node.ext, node.seq = (), None, next_seq()
    node.outs = ((t._a.shape, t.dtype),)
    rebase(t, node, 0)


@public(name="fill_", namespaces=("torch",))
def fill_(input, value):
    """Set every element to a number or the value of a 0-dim tensor."""
    t = input
    check(t)
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError("fill_ only supports 0-dimension value tensor but got tensor with "
                               f"{value._a.ndim} dimensions.")
        rg = state.grad and (needs_grad(value) or needs_grad(t))
        write(t, value)
        t._storage.version += 1
        if watch.listener is not None:
            watch.listener.wrote("fill_", copy_array, (t,), (value,))
        if rg:
            _record_fill(t, FillBackward3, value)
        return t
    number = number_for(t.dtype, value, True)
    if watch.listener is not None and isinstance(number, Tensor):
        return fill_(t, number)
    set_all(t, number)
    t._storage.version += 1
    if watch.listener is not None:
        watch.listener.wrote("fill_", lambda a: a.fill(number), (t,), ())
    if state.grad and needs_grad(t):
        _record_fill(t, FillBackward2)
    return t


def set_all(t, value):
    """Write the Python number `value` to all elements, pending bits taken into account."""
    a = t._a
    if type(a) is _ndarray:
        if t._bits & 3:
            if t._bits & 1:
                value = value.conjugate()
            if t._bits & 2:
                value = -value
        fill_array(a, value)
    elif hasattr(type(a), "fill_all"):
        a.fill_all(t, value)


@public(method=True)
def fill(input, value):
    """A copy with every element set to `value`."""
    return clone(input).fill_(value)


@public(name="zero_", namespaces=("torch",))
def zero_(input):
    """Set every element to zero."""
    t = input
    if type(t._a) is _ndarray and not (state.special or t._requires_grad or t._bits) and t._view is None:
        fill_array(t._a, 0)
        t._storage.version += 1
        return t
    check(t)
    if type(t._a) is _ndarray:
        fill_array(t._a, 0)
    else:
        set_all(t, 0)
    t._storage.version += 1
    if watch.listener is not None:
        watch.listener.wrote("zero_", lambda a: a.fill(0), (t,), ())
    if state.grad and needs_grad(t):
        _record_fill(t, ZeroBackward0)
    return t


# ---------------------------------------------------------------- size of the storage

@public(name="resize_", namespaces=("torch",))
def resize_(input, *size, memory_format=None):
    """Give this tensor another shape; its storage grows if it must, elements stay in storage order."""
    from .views import sizes
    shape = sizes(size)
    if needs_grad(input):
        raise RuntimeError("cannot resize variables that require grad")
    for s in shape:
        if s < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {s}: {list(shape)}")
    strides = strides_in(shape, memory_format) or contiguous_strides(shape)
    if memory_format is None and shape == input._a.shape:
        return input
    if type(input._a) is not _ndarray:
        input._a = blank(shape, input.dtype, META, strides)
        return input
    need = (storage_extent(shape, strides, input._offset) if numel(shape) else 0) * input._a.itemsize
    s = input._storage
    if need > s.nbytes:
        s.block().resize(need)
        if s.root is not None:
            s.owner, s._bytes, s.nbytes = s.block().owner, s.block().bytes(), need
    input._a = window(s, input._a.dtype, shape, strides, input._offset) if numel(shape) else \
        np.empty(shape, input._a.dtype)
    s.version += 1
    return input


@public(name="resize_as_", namespaces=("torch",))
def resize_as_(input, the_template, *, memory_format=None):
    """``resize_`` to the shape of another tensor."""
    return resize_(input, the_template._a.shape, memory_format=memory_format)


@public(namespaces=())
def resize(input, *size):
    """A tensor on the same elements in another shape of equal size (deprecated)."""
    from .views import sizes
    shape = sizes(size)
    if numel(shape) != input._a.size:
        raise RuntimeError(f"requested resize to {list(shape)} which has {numel(shape)} elements, but "
                           f"the tensor has {input._a.size}")
    return input.reshape(shape)


@public(namespaces=())
def resize_as(input, tensor):
    """``resize`` to the shape of another tensor."""
    return resize(input, tensor._a.shape)


@public("detach", method=False)
def detach(input):
    """The same memory without history."""
    return input.detach()


@public("numel", method=False)
def numel_of(input):
    """Number of elements."""
    return input.numel()


def _predicate(name, test):
    def fn(input):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not "
                            f"{type(input).__name__}")
        return test(input)
    fn.__name__ = fn.__qualname__ = name
    FUNCTIONS.setdefault("torch", {})[name] = fn


_predicate("is_floating_point", lambda t: t.dtype.is_floating_point)
_predicate("is_complex", lambda t: t.dtype.is_complex)
_predicate("is_signed", lambda t: t.dtype.is_signed)
_predicate("is_inference", lambda t: t.is_inference())


@public("is_nonzero")
def is_nonzero(input):
    """Whether a one-element tensor differs from zero."""
    if input._a.size != 1:
        raise RuntimeError("Boolean value of Tensor with " + (
            "no values is ambiguous" if not input._a.size else "more than one value is ambiguous"))
    return bool(input)


@public("is_tensor", method=False)
def is_tensor(obj):
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


@public("is_storage", method=False)
def is_storage(obj):
    """Whether `obj` is a storage."""
    from ..tensor.storage import TypedStorage, UntypedStorage
    return isinstance(obj, (TypedStorage, UntypedStorage))


@public("can_cast", method=False)
def can_cast(from_, to):
    """Whether type promotion lets a value of the first dtype be written to the second."""
    return dtypes.can_cast(from_, to)


@public("result_type", method=False)
def result_type(tensor1, tensor2):
    """The dtype of an operation on the two operands (tensors or numbers)."""
    return dtypes.result_type_of((tensor1, tensor2))



