"""Tensors that are kept as other tensors: sparse, nested and masked ones.

Such a tensor holds a `Parts` where a CPU tensor has an ndarray, so that plain tensors pay nothing: generated
code and kernels look for ndarrays, and what is none reaches `Parts.takeover`, which runs the op on the parts.
Gradients need two nodes only. `opened` leads from such a tensor to the dense values inside, `closed` from values to
a tensor; what happens in between is ordinary and differentiable to any order.
"""

import sys

from ..autograd.modes import state
from ..autograd.node import Node, edge_of, next_seq
from ..devices import CPU
from .storage import Shaped, make_storage
from .tensor import Tensor, assemble

_new = object.__new__


class _NoStrides:
    """Stands for strides where there are none; every use says so."""

    __slots__ = ("what",)

    def __init__(self, what):
        self.what = what

    def _fail(self, *args):
        raise RuntimeError(f"{self.what} tensors do not have strides")

    __iter__ = __getitem__ = __contains__ = __len__ = _fail


class Parts(Shaped):
    """What a tensor made of tensors holds in the place of an array: geometry, and the parts (in subclasses)."""

    __slots__ = ("shape", "dtype", "__weakref__")
    layout = None
    backend = "Parts"                   # as PyTorch's messages name it
    kind = "Parts"
    nested = False
    in_parts = True                     # what the rest of the core asks for
    tensor_class = None                 # the class of tensors kept so, where it is a subclass

    def __init__(self, shape, np_dtype):
        self.shape = tuple(shape)
        self.dtype = np_dtype

    @property
    def strides(self):
        return _NoStrides(self.kind)

    device = CPU

    def inner(self):
        """The dense tensor that gradients flow to."""
        raise NotImplementedError

    def with_inner(self, values):
        """The same geometry around other values (a detached tensor)."""
        raise NotImplementedError

    def untyped_storage(self):
        """The bytes, where there is one block of them."""
        raise NotImplementedError(f"Cannot access storage of {self.kind} tensors")

    def project(self, g):
        """The gradient for `inner()` out of the gradient `g` of the whole; differentiable."""
        return opened(g) if isinstance(g._a, Parts) else g

    def number(self, t):
        """``t.item()``."""
        raise refused("_local_scalar_dense", self)

    def nested_list(self, t):
        """``t.tolist()``."""
        raise refused("tolist", self)

    def text(self, t):
        """``repr(t)``."""
        raise NotImplementedError

    def copied(self, t, memo):
        """``copy.deepcopy(t)`` of a leaf."""
        out = assembled(self.with_inner(self.inner().clone()), t.dtype, type(t))
        out._requires_grad = t._requires_grad
        memo[id(t)] = out
        if t._grad is not None:
            out._grad = t._grad.__deepcopy__(memo)
        return out

    def kept(self, g):
        """Gradient `g` as a leaf keeps it."""
        return assembled(self, g.dtype, type(g))

    def copy_into(self, t, source):
        """``t.copy_(source)``, where one of them is kept as parts."""
        if not isinstance(t._a, Parts) or not isinstance(source._a, Parts) or t._a.layout is not source._a.layout:
            raise RuntimeError("copy_() between dense and sparse Tensors is not implemented! Found self type = "
                               f"{t.layout!r} and src type = {source.layout!r}")
        from ..ops.inplace import check
        check(t)
        if t is not source:
            t._a.write(t, source.clone().detach())
            t._storage.version += 1
            if state.grad and source.requires_grad:
                t._grad_fn, t._out_nr, t._requires_grad = *edge_of(source.clone()), True
        return t

    def write(self, t, source):
        """Take over the contents of `source`, the result of an in-place op on `t`."""
        if not isinstance(source._a, Parts):
            raise RuntimeError(f"a tensor of layout {self.layout!r} cannot take the contents of one of layout "
                               f"{source.layout!r}")
        if source.dtype is not t.dtype:
            source = source.to(t.dtype)
        t._a = source._a
        t._storage.owner = source._a

    def getitem(self, t, index):
        """``t[index]`` for integers and whole dimensions."""
        if any(isinstance(x, Tensor) and x.dtype.category == 0 for x in (index if type(index) is tuple else (index,))):
            raise refused("index.Tensor", self)
        items = list(index) if type(index) is tuple else [index]
        if Ellipsis in [x for x in items if not isinstance(x, Tensor)]:
            i = [x is Ellipsis for x in items].index(True)
            items[i:i + 1] = [slice(None)] * (t.dim() - sum(x is not None for x in items) + 1)
        if sum(x is not None for x in items) > t.dim():
            raise IndexError(f"too many indices for tensor of dimension {t.dim()}")
        d = 0
        for x in items:
            if x is None:
                t = t.unsqueeze(d)
                d += 1
            elif type(x) is slice:
                if x.start is not None or x.stop is not None or x.step is not None:
                    t = self.sliced(t, d, x)
                d += 1
            elif isinstance(x, bool) or isinstance(x, Tensor) and x.dim() or not hasattr(x, "__index__"):
                raise refused("index.Tensor", self)
            else:
                t = t.select(d, x.__index__())
        return t

    def sliced(self, t, dim, s):
        """``t`` with slice `s` of one dimension."""
        raise refused("as_strided", self)

    def like(self, t, name, value, dtype, layout, requires_grad):
        """``zeros_like(t)``, ``ones_like`` and ``empty_like`` of the same layout: the same pattern."""
        if layout is not None and layout is not self.layout:
            raise NotImplementedError(f"{name}: from layout {self.layout!r} to {layout!r}")
        inner = self.inner()
        values = inner.new_ones(inner.shape, dtype=dtype) if value else inner.new_zeros(inner.shape, dtype=dtype)
        out = closed(values, self)
        return out.requires_grad_() if requires_grad else out

    def fill_all(self, t, value):
        """``t.fill_(value)``."""
        if value:
            raise refused("fill_.Scalar", self)
        self.zero(t)

    def zero(self, t):
        """``t.zero_()``."""
        t._a = self.with_inner(self.inner().new_zeros(self.inner().shape))

    def embed(self, g):
        """The gradient of the whole out of the gradient `g` of `inner()`; differentiable."""
        return closed(g, self)

    def takeover(self, rec, args):
        """Run record `rec` where `self` is among the arguments; NotImplementedError where there is no way."""
        raise refused(rec.name, self)

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        raise refused(_caller(), self)


def _caller():
    """The op on whose behalf an attribute of arrays was asked for: the outermost frame inside the ops."""
    frame, found = sys._getframe(2), "an operator"
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("rushlight.ops.", "rushlight.tensor.tensor")):
            name = frame.f_code.co_name
            if name[0] != "<" and name not in ("wrapper", "function", "call", "run", "fallback"):
                found = name.strip("_")
        elif not module.startswith("rushlight."):
            break
        frame = frame.f_back
    return found


def refused(name, parts):
    """The error for op `name`, which there is none of for this layout."""
    return NotImplementedError(
        f"Could not run 'aten::{name}' with arguments from the '{parts.backend}' backend: {name} is not "
        f"implemented for tensors of layout {parts.layout!r}.")


def is_parts(t):
    """Whether `t` is a tensor kept as parts."""
    return isinstance(t, Tensor) and isinstance(t._a, Parts)


def assembled(parts, dtype, cls=Tensor):
    """A tensor around `parts`, without history."""
    t = assemble(parts, dtype, make_storage(parts), 0)
    if cls is not Tensor:
        from .tensor import _retype
        t = _retype(t, cls)
    return t


class Opening(Node):
    """From the values inside a tensor to the tensor: a gradient is put into the tensor's pattern."""

    __slots__ = ("parts",)

    def apply(self, grads):
        return [None if grads[0] is None else self.parts.embed(grads[0])]

    def release(self):
        pass


class Closing(Node):
    """From a tensor to the values it was made of: a gradient is read where the pattern has elements."""

    __slots__ = ("parts",)

    def apply(self, grads):
        g = grads[0]
        return [None if g is None else self.parts.project(g)]

    def release(self):
        pass


_named = {}


def _closing(name):
    cls = _named.get(name)
    if cls is None:
        cls = _named[name] = type(name, (Closing,), {"__slots__": (), "__module__": "torch.autograd"})
    return cls


def recorded(node, source, result):
    """`result` with `node` as its history, whose only edge leads to `source`."""
    node.edges = (edge_of(source),)
    node.saved, node.ext, node.seq = (), None, next_seq()
    node.outs = ((result._a.shape, result.dtype),)
    result._requires_grad, result._grad_fn, result._out_nr = True, node, 0
    return result


def opened(t):
    """The values inside `t`, with history."""
    values = t._a.inner()
    if not (state.grad and t.requires_grad):
        return values
    out = values.detach()
    node = Opening()
    node.parts = t._a
    return recorded(node, t, out)


def closed(values, parts, name="ClosingBackward0", cls=None):
    """A tensor of the pattern of `parts` around `values`, with their history under the node's `name`."""
    inner = values.detach() if values._requires_grad or values._view is not None else values
    parts = parts.with_inner(inner)
    out = assembled(parts, values.dtype, cls or parts.tensor_class or Tensor)
    if state.grad and values.requires_grad and values.dtype.category >= 2:
        node = _closing(name)()
        node.parts = parts
        recorded(node, values, out)
    return out


def accumulated(old, g):
    """What ``.grad`` becomes when `g` is added to `old`, which is kept as parts."""
    prev, state.grad = state.grad, False
    try:
        return old.add_(g) if isinstance(g._a, Parts) else g + old
    finally:
        state.grad = prev


__all__ = ["Parts", "Opening", "Closing", "opened", "closed", "assembled", "recorded", "refused", "accumulated",
           "is_parts"]
