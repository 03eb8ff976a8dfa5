"""The Tensor class: a window on a storage, with its place in the autograd graph.

Arithmetic and methods come from the op table: a name that is not defined here is looked up in
``ops.registry`` once and then lives on the class.
"""

import numpy as np

from .. import devices
from ..autograd.engine import backward as _backward
from ..autograd.engine import backward_scalar as _backward_scalar
from ..autograd.modes import state
from ..autograd.node import Node, edge_of, next_seq
from ..dtypes import BY_NP, QUANTIZED, from_np
from . import watch
from .geometry import Size, contiguous_strides, is_channels_last, is_contiguous, suggest_channels_last
from .storage import MetaArray, Storage, TypedStorage, UntypedStorage, alias_storage, lend, make_storage, window

_ndarray = np.ndarray
CONJ, NEG = 1, 2            # lazy conjugation and negation, in Tensor._bits


class _TensorMeta(type):
    """Finds op-table methods on the class itself (``torch.Tensor.add``)."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        m = _method(name)
        if m is None:
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        setattr(Tensor, name, m)
        return m

    def __dir__(cls):
        from ..ops import registry
        registry.load()
        return sorted({*type.__dir__(cls), *registry.METHODS})


def _method(name):
    from ..ops import registry
    return registry.method(name)


class ViewInfo:
    """What a view remembers: its base, the version at which its history was right, how it was made."""

    __slots__ = ("base", "version", "no_grad", "multi")

    def refreshed(self, t):
        """Whether `t` requires a gradient now that its base does (history is brought up to date)."""
        if self.version != t._storage.version:
            self.refresh(t)
        return t._requires_grad

    def refresh(self, t):
        """Rebuild the history of view `t` from its base, which was changed in place."""
        base = self.base
        if not base._requires_grad or base._grad_fn is None:
            self.version = t._storage.version
            return
        if (self.multi or self.no_grad) and state.grad and t._grad_fn is not base._grad_fn:
            from ..ops.inplace import refused
            raise refused(t, "its base or another view of its base has been modified inplace")
        self.version = t._storage.version
        from ..ops.views import as_strided_node
        t._grad_fn = as_strided_node(base, t)
        t._out_nr = 0
        t._requires_grad = True


class Tensor(metaclass=_TensorMeta):
    """A multi-dimensional array of one dtype that can record a graph for gradients."""

    __slots__ = ("_a", "dtype", "_storage", "_offset", "_requires_grad", "_grad", "_grad_fn", "_out_nr",
                 "_view", "_meta", "_bits", "__dict__", "__weakref__")

    __array_priority__ = 1000

    def __new__(cls, *args, **kwargs):
        from ..ops.construct import legacy_tensor
        t = legacy_tensor(*args, **kwargs)
        return t if cls is Tensor else t.as_subclass(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not cls.__dict__.get("_plain_subclass", False):
            from ..overrides import subclass_defined
            subclass_defined(cls)

    def __getattr__(self, name):
        if name[:2] != "__":
            m = _method(name)
            if m is not None:
                setattr(Tensor, name, m)
                return m.__get__(self, type(self))
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self):
        return sorted({*dir(type(self)), *self.__dict__})

    # ------------------------------------------------------------ geometry

    @property
    def shape(self):
        """The sizes of the dimensions."""
        return Size(self._a.shape)

    def size(self, dim=None):
        """The shape, or the size of dimension `dim`."""
        if dim is None:
            return Size(self._a.shape)
        shape = self._a.shape
        try:
            if not shape:
                raise IndexError
            return shape[dim]
        except IndexError:
            from .geometry import wrap_dim
            return shape[wrap_dim(dim, len(shape), scalar_ok=False)]

    def stride(self, dim=None):
        """Strides in elements, or the one of dimension `dim`."""
        a = self._a
        item = a.itemsize
        if dim is None:
            st = tuple([s // item for s in a.strides])
            if 0 in st and not a.size and not any(st):
                # NumPy gives empty arrays zero strides, PyTorch those of a dense layout.
                from .geometry import contiguous_strides
                return contiguous_strides(a.shape)
            return st
        if not a.size:
            return self.stride()[dim]
        from .geometry import wrap_dim
        return a.strides[wrap_dim(dim, a.ndim, scalar_ok=False)] // item

    def storage_offset(self):
        """Position of the first element in the storage, in elements."""
        return self._offset

    def dim(self):
        """Number of dimensions."""
        return self._a.ndim

    ndimension = dim

    @property
    def ndim(self):
        """Number of dimensions."""
        return self._a.ndim

    def numel(self):
        """Number of elements."""
        return self._a.size

    nelement = numel

    def element_size(self):
        """Bytes an element."""
        return self._a.itemsize

    @property
    def itemsize(self):
        """Bytes an element."""
        return self._a.itemsize

    @property
    def nbytes(self):
        """Bytes of all elements."""
        return self._a.size * self._a.itemsize

    def is_contiguous(self, memory_format=devices.contiguous_format):
        """Whether the elements lie in the order of `memory_format` without gaps."""
        a = self._a
        if type(a) is not _ndarray and hasattr(type(a), "is_contiguous"):
            return a.is_contiguous()
        if memory_format is devices.contiguous_format:
            return is_contiguous(a.shape, self.stride())
        if memory_format in (devices.channels_last, devices.channels_last_3d):
            return a.ndim == (4 if memory_format is devices.channels_last else 5) and \
                is_channels_last(a.shape, self.stride())
        if memory_format is devices.preserve_format:
            raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
        raise TypeError("is_contiguous(): argument 'memory_format' must be torch.memory_format")

    def _suggested_format(self):
        """The memory format that results derived from this tensor's layout take."""
        if self._a.ndim in (4, 5) and suggest_channels_last(self._a.shape, self.stride()):
            return devices.channels_last if self._a.ndim == 4 else devices.channels_last_3d
        return devices.contiguous_format

    # ------------------------------------------------------------ where and what

    @property
    def device(self):
        """Where the elements lie."""
        return devices.CPU if type(self._a) is _ndarray else self._a.device

    layout = property(lambda self: getattr(self._a, "layout", devices.strided))
    is_sparse = property(lambda self: type(self._a) is not _ndarray and self.layout is devices.sparse_coo)
    is_sparse_csr = property(lambda self: type(self._a) is not _ndarray and self.layout is devices.sparse_csr)
    is_nested = property(lambda self: getattr(self._a, "nested", False))
    is_quantized = property(lambda self: type(self._a) is not _ndarray and self.dtype in QUANTIZED)
    is_cuda = is_mkldnn = False
    is_xpu = is_mps = is_xla = is_ipu = is_mtia = is_maia = is_vulkan = False
    names = property(lambda self: (None,) * self._a.ndim)
    is_meta = property(lambda self: type(self._a) is not _ndarray and self._a.device is devices.META)
    is_cpu = property(lambda self: type(self._a) is _ndarray or self._a.device is devices.CPU)
    name = None

    def get_device(self):
        """Device index; -1 on the CPU."""
        return -1

    def is_floating_point(self):
        """Whether the dtype is one of real floating point numbers."""
        return self.dtype.is_floating_point

    def is_complex(self):
        """Whether the dtype is one of complex numbers."""
        return self.dtype.is_complex

    def is_signed(self):
        """Whether the dtype has negative numbers."""
        return self.dtype.is_signed

    def is_conj(self):
        """Whether conjugation is pending on this view."""
        return bool(self._bits & CONJ)

    def is_neg(self):
        """Whether negation is pending on this view."""
        return bool(self._bits & NEG)

    def is_inference(self):
        """Whether the tensor was made in inference mode."""
        return bool(self._bits & 4)

    def is_pinned(self, device=None):
        """Whether the memory is page-locked; none is."""
        return False

    def is_shared(self):
        """Whether other processes can see the memory."""
        return self.untyped_storage().is_shared()

    def is_same_size(self, other):
        """Whether both have the same shape."""
        return self._a.shape == other._a.shape

    def is_set_to(self, tensor):
        """Whether both are the same window on the same storage."""
        return (self._storage.block() is tensor._storage.block() and self._offset == tensor._offset
                and self._a.shape == tensor._a.shape and self._a.strides == tensor._a.strides)

    # ------------------------------------------------------------ storage

    def untyped_storage(self):
        """The bytes this tensor shares with its views."""
        if hasattr(type(self._a), "in_parts"):
            return self._a.untyped_storage()
        return UntypedStorage(self._storage)

    def storage(self):
        """The storage as elements of this dtype."""
        return TypedStorage(wrap_storage=self.untyped_storage(), dtype=self.dtype)

    _typed_storage = storage

    def data_ptr(self):
        """Address of the first element (0 where there is none)."""
        a = self._a
        if type(a) is not _ndarray or not a.size:
            if hasattr(type(a), "in_parts"):
                raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")
            return 0
        if watch.listener is not None:
            watch.listener.read(self, "data_ptr")
        if type(self._storage) is Storage:
            lend(self._storage)
        return a.ctypes.data

    def set_(self, source=None, storage_offset=0, size=None, stride=None):
        """Make this tensor a window on another storage or tensor."""
        from .geometry import contiguous_strides
        if source is None:
            t = type(self).new_empty(self, (0,))
            self._adopt(t)
            return self
        if isinstance(source, Tensor):
            if size is None:
                self._adopt(source)
                return self
            storage = source._storage
        else:
            storage = source.untyped()._storage
        if size is None:
            size = (storage.nbytes // self._a.itemsize,)
        size = tuple(size) if isinstance(size, (tuple, list)) else (size,)
        stride = contiguous_strides(size) if stride is None else tuple(stride)
        from .geometry import storage_extent
        need = storage_extent(size, stride, storage_offset) * self._a.itemsize
        if need > storage.nbytes:
            storage.resize(need)
        self._a = window(storage, self._a.dtype, size, stride, storage_offset)
        self._storage, self._offset = storage, storage_offset
        return self

    def _adopt(self, other):
        self._a, self.dtype = other._a, other.dtype
        self._storage, self._offset, self._bits = other._storage, other._offset, other._bits

    @property
    def _base(self):
        v = self._view
        return None if v is None else v.base

    def _is_view(self):
        return self._view is not None

    @property
    def _version(self):
        if self._bits & 4:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._storage.version

    # ------------------------------------------------------------ autograd

    @property
    def requires_grad(self):
        """Whether operations on this tensor are recorded for gradients."""
        if self._requires_grad:
            return True
        v = self._view
        return v is not None and v.base._requires_grad and v.refreshed(self)

    @requires_grad.setter
    def requires_grad(self, value):
        if value and self.dtype.category < 2:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad=True):
        """Set whether gradients are recorded for this leaf; returns the tensor."""
        if requires_grad:
            if self._requires_grad:
                return self
            if self.dtype.category < 2:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            if self._bits & 4 and not state.inference:
                raise RuntimeError("Setting requires_grad=True on inference tensor outside "
                                   "InferenceMode is not allowed.")
            self._requires_grad = True
        else:
            if self.grad_fn is not None:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a "
                    "computed variable in a subgraph that doesn't require differentiation use "
                    "var_no_grad = var.detach().")
            self._requires_grad = False
        return self

    @property
    def grad_fn(self):
        """The node that computed this tensor, None for a leaf."""
        v = self._view
        if v is not None and v.version != self._storage.version:
            v.refresh(self)
        return self._grad_fn

    @property
    def output_nr(self):
        """Which of its node's results this tensor is."""
        return self._out_nr

    @property
    def is_leaf(self):
        """Whether no recorded operation made this tensor."""
        return self.grad_fn is None

    @property
    def grad(self):
        """What ``backward`` added up for this leaf (or kept, after ``retain_grad``); None before that."""
        if self._grad is None and self._grad_fn is not None and not self.retains_grad:
            import warnings
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed: backward() fills "
                "it for leaves only. Call retain_grad() on this tensor beforehand to keep its gradient, or "
                "read .grad of the leaf it was made from.", stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, g):
        if g is not None:
            if not isinstance(g, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type "
                                f"'{type(g).__name__}'")
            if g is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if g.dtype is not self.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: expected {self.type()}"
                                   f" but got {g.type()}")
            if g._a.shape != self._a.shape:
                raise RuntimeError("assigned grad has data of a different size")
        self._grad = g
        if watch.listener is not None:
            watch.listener.assigned(self)

    @grad.deleter
    def grad(self):
        self.grad = None

    @property
    def retains_grad(self):
        fn = self._grad_fn
        if fn is None or fn.ext is None:
            return False
        keeper = fn.ext.retain.get(self._out_nr)
        return keeper is not None and keeper() is self

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulate the gradient of this tensor (weighted by `gradient`) into the leaves' ``.grad``."""
        if gradient is None and inputs is None and _backward_scalar(self, retain_graph, create_graph):
            return
        _backward((self,), (gradient,), retain_graph, create_graph, inputs=inputs)

    def register_hook(self, hook):
        """Call ``hook(grad)`` when this tensor's gradient is computed; a result replaces it."""
        from ..autograd.hooks import register_tensor_hook
        return register_tensor_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Call ``hook(param)`` after a gradient was accumulated into this leaf."""
        from ..autograd.hooks import register_post_accumulate
        return register_post_accumulate(self, hook)

    def retain_grad(self):
        """Have ``.grad`` filled on this non-leaf tensor, too."""
        from ..autograd.hooks import retain_grad
        retain_grad(self)

    @property
    def _backward_hooks(self):
        return None

    @_backward_hooks.setter
    def _backward_hooks(self, hooks):
        if hooks:
            for h in hooks.values():
                self.register_hook(h)

    def detach(self):
        """A tensor on the same memory without history; in-place changes are seen (and counted) by both."""
        a = self._a
        if type(a) is not _ndarray and hasattr(type(a), "detached"):
            a = a.detached()
        t = assemble(a, self.dtype, self._storage, self._offset)
        t._bits = self._bits
        return t

    def detach_(self):
        """Forget this tensor's history."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._grad_fn, self._requires_grad, self._out_nr = None, False, 0
        self._view = None
        return self

    @property
    def data(self):
        """The same memory without history; changes made through it aren't seen by autograd."""
        lend(self._storage)
        t = assemble(self._a, self.dtype, alias_storage(self._storage), self._offset)
        t._bits = self._bits
        return t

    @data.setter
    def data(self, other):
        if not isinstance(other, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(other).__name__}")
        if self._requires_grad and other.dtype.category < 2:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or "
                               "complex dtype")
        self._a, self.dtype = other._a, other.dtype
        version = self._storage.version
        self._storage = alias_storage(other._storage)
        self._storage.version = version
        self._offset, self._bits = other._offset, other._bits

    # ------------------------------------------------------------ Python values

    def item(self):
        """The value of a one-element tensor as a Python number."""
        a = self._a
        if type(a) is not _ndarray:
            if hasattr(type(a), "in_parts"):
                return a.number(self)
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        if a.size != 1:
            raise RuntimeError(f"a Tensor with {a.size} elements cannot be converted to Scalar")
        if self._bits:
            a = resolve_bits(self)
        v = a.item()
        if type(v) is tuple:
            v = complex(*v)
        if watch.listener is not None:
            return watch.listener.number(self, v)
        if type(v) is float or type(v) is int or type(v) is bool or type(v) is complex:
            return v
        return float(v)

    def tolist(self):
        """The values as nested lists (a number for 0 dimensions)."""
        if type(self._a) is not _ndarray:
            if hasattr(type(self._a), "in_parts"):
                return self._a.nested_list(self)
            raise RuntimeError("Cannot copy out of meta tensor; no data!")
        if watch.listener is not None:
            watch.listener.read(self, "tolist")
        a = resolve_bits(self) if self._bits else self._a
        if a.dtype.names:
            from .halfcomplex import widened
            return widened(a).tolist()
        if a.dtype.kind == "V" or a.dtype.type.__module__ == "ml_dtypes":
            a = a.astype(np.float32)
        return a.tolist()

    def numpy(self, *, force=False):
        """The values as an ndarray that shares memory.

        TypeError for tensors that need a gradient, have pending conjugation, or lie elsewhere;
        ``force=True`` detaches, resolves and copies as needed.
        """
        if watch.listener is not None:
            watch.listener.read(self, "numpy")
        if force:
            return self.detach().resolve_conj().resolve_neg().numpy()
        a = self._a
        if type(a) is not _ndarray or self._bits & 3 or (state.grad and self.requires_grad) \
                or a.dtype.type.__module__ == "ml_dtypes" or a.dtype.names:
            from .exchange import no_array
            raise no_array(self)
        if type(self._storage) is Storage:
            lend(self._storage)
        return a.view()

    def __array__(self, dtype=None, copy=None):
        a = self.numpy()
        if dtype is not None and a.dtype != dtype:
            if copy is False:
                raise ValueError(f"a tensor of {self.dtype!r} cannot be shown as {np.dtype(dtype)} without a copy")
            return a.astype(dtype)
        return a.copy() if copy else a

    def __array_wrap__(self, array, context=None, return_scalar=False):
        from .exchange import from_array
        return from_array(array)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        from .exchange import capsule
        return capsule(self)

    def __dlpack_device__(self):
        return (1, 0)

    def __bool__(self):
        a = self._a
        if type(a) is not _ndarray and hasattr(type(a), "truth"):
            return a.truth(self)
        if a.size != 1:
            if a.size == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __complex__(self):
        return complex(self.item())

    def __index__(self):
        if self.dtype.category > 1 or self._a.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self):
        if not self._a.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._a.shape[0]

    def __iter__(self):
        if not self._a.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element):
        if isinstance(element, (Tensor, int, float, bool, complex)):
            return bool((element == self).any().item())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                           f"{type(element)}.")

    def __reversed__(self):
        return self if not self._a.ndim else self.flip(0)

    __hash__ = object.__hash__

    def __repr__(self, *, tensor_contents=None):
        from .printing import tensor_repr
        if hasattr(type(self._a), "in_parts"):
            return self._a.text(self)
        if watch.listener is not None:
            watch.listener.read(self, "repr")
        return tensor_repr(self)

    def __format__(self, spec):
        if self._a.ndim == 0 and type(self._a) is _ndarray and type(self) is Tensor:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the "
                               "deepcopy protocol at the moment: this one was computed. Copy tensor.detach(), or "
                               "in a module drop what recomputes the attribute (weight_norm, for instance)")
        if id(self) in memo:
            return memo[id(self)]
        import copy
        if hasattr(type(self._a), "in_parts"):
            return self._a.copied(self, memo)
        storage = self.untyped_storage().__deepcopy__(memo)._storage
        t = assemble(window(storage, self._a.dtype, self._a.shape, self.stride(), self._offset),
                     self.dtype, storage, self._offset)
        if type(self) is not Tensor:
            t = _retype(t, type(self))
        t._bits, t._requires_grad = self._bits, self._requires_grad
        memo[id(self)] = t
        if self._grad is not None:
            t._grad = self._grad.__deepcopy__(memo)
        if self.__dict__:
            t.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return t

    def __reduce_ex__(self, protocol):
        from ..serialization.rebuild import reduce_tensor
        return reduce_tensor(self)

    def __setstate__(self, st):
        if isinstance(st, tuple) and len(st) == 2 and isinstance(st[0], (dict, type(None))):
            st = st[0] or {}
        self.__dict__.update(st)

    def as_subclass(self, cls):
        """The same tensor as an instance of the Tensor subclass `cls`."""
        t = shallow(self)
        t._grad_fn, t._out_nr, t._requires_grad = self.grad_fn, self._out_nr, self._requires_grad
        return _retype(t, cls)

    @staticmethod
    def _make_subclass(cls, data, require_grad=False):
        """An instance of `cls` on the memory of `data`, detached."""
        t = data.detach()
        t = _retype(t, cls)
        t._requires_grad = require_grad
        if require_grad and t.dtype.category < 2:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        return t

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from ..overrides import default_function
        return default_function(cls, func, types, args, kwargs or {})


Tensor.__module__ = "torch"
_new = object.__new__


def _retype(t, cls):
    u = _new(cls)
    for name in ("_a", "dtype", "_storage", "_offset", "_requires_grad", "_grad", "_grad_fn", "_out_nr",
                 "_view", "_meta", "_bits"):
        setattr(u, name, getattr(t, name))
    return u


def assemble(a, dtype, storage, offset):
    """A tensor from its parts, without history."""
    t = _new(Tensor)
    t._a = a
    t.dtype = dtype
    t._storage = storage
    t._offset = offset
    t._requires_grad = False
    t._grad = t._grad_fn = t._view = t._meta = None
    t._out_nr = 0
    t._bits = 4 if state.inference else 0
    return t


def wrap(a):
    """A tensor that owns the fresh array `a`."""
    if type(a) is not _ndarray and type(a) is not MetaArray and not hasattr(type(a), "takeover"):
        a = np.asarray(a)
    if not a.size:
        a = _empty(a)
    d = BY_NP.get(a.dtype)
    t = assemble(a, d if d is not None else from_np(a.dtype), make_storage(a), 0)
    if watch.listener is not None:
        watch.listener.made(t)
    return t


def _empty(a):
    """An array without elements under the strides PyTorch gives it (NumPy may have zeros there)."""
    item = a.itemsize
    strides = tuple(s * item for s in contiguous_strides(a.shape))
    if a.strides == strides:
        return a
    if type(a) is MetaArray:
        return MetaArray(a.shape, a.dtype, strides)
    return _ndarray(a.shape, a.dtype, bytearray(1), 0, strides)


def shallow(t):
    """Another tensor on the same storage and geometry, without history."""
    u = assemble(t._a, t.dtype, t._storage, t._offset)
    u._bits = t._bits
    return u


def make_view(t, shape, strides, offset, dtype=None, multi=False):
    """A view of `t`'s storage (strides and offset in elements of the result's dtype)."""
    s = t._storage
    if dtype is None:
        np_dtype, dtype = t._a.dtype, t.dtype
    else:
        np_dtype = dtype.np
    v = assemble(window(s, np_dtype, shape, strides, offset), dtype, s, offset)
    v._bits = t._bits
    info = v._view = ViewInfo()
    base = t._view
    info.base = t if base is None else base.base
    info.version = s.version
    info.no_grad = False
    info.multi = multi
    return v


def resolve_bits(t):
    """The array of `t` with pending conjugation and negation carried out."""
    a = t._a
    bits = t._bits & 3
    if bits and type(a) is _ndarray:
        if a.dtype.names:
            return _resolve_half_complex(a, bits)
        if bits & CONJ:
            a = np.conjugate(a)
        if bits & NEG:
            a = np.negative(a)
    return a


def _resolve_half_complex(a, bits):
    from .halfcomplex import narrowed, widened
    a = widened(a)
    if bits & CONJ:
        a = np.conjugate(a)
    return narrowed(np.negative(a) if bits & NEG else a)


from ..ops.operators import first_use  # noqa: E402

first_use()

__all__ = ["Tensor", "wrap", "assemble", "shallow", "make_view", "resolve_bits", "ViewInfo", "Node",
           "edge_of", "next_seq", "MetaArray"]
