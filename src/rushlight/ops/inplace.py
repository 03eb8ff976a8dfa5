"""In-place forms, derived: compute, write into the tensor's own memory, rewrite its history.

Note [In-place and history]: the op runs on an alias of the tensor with the old history. Saved inputs
that are this alias get a copy of the old contents; a saved result is pointed at the memory that holds
it from now on, so that a later change of it raises at backward, as PyTorch's does.
"""

import functools

from ..autograd.modes import state
from ..autograd.node import Node, as_node, edge_of, next_seq, op_name
from ..dtypes import can_cast, scalar_name
from ..tensor import watch
from .dispatch import needs_grad


def check(t):
    """Raise if `t` must not be changed in place now (leaf, view of a leaf, no_grad or split view)."""
    if t._bits & 4 and not state.inference:
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not allowed: clone() it "
                           "and change the clone")
    if not state.grad:
        return
    v = t._view
    if v is None:
        if t._requires_grad and t._grad_fn is None:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place "
                               "operation.")
        return
    base = v.base
    if base._requires_grad and v.no_grad:
        raise refused(t, "is being modified inplace")
    if base._requires_grad and base._grad_fn is None or t._requires_grad and t._grad_fn is None:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place "
                           "operation.")
    if v.multi and needs_grad(t):
        raise refused(t, "is being modified inplace")


def refused(t, what):
    """The error for a change of view `t` (or of its base) whose history could not be kept."""
    if t._view.multi:
        origin = f"Output {t._out_nr} of {op_name(t._grad_fn)}" if t._grad_fn is not None else "This"
        return RuntimeError(
            f"{origin} is a view and {what}. This view is the output of a function that returns multiple "
            "views. Such functions do not allow the output views to be modified inplace. You should replace "
            "the inplace operation by an out-of-place one.")
    return RuntimeError(
        f"A view was created in no_grad mode and {what} with grad mode enabled. Given that this use case is "
        "ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the "
        "inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both "
        "outside (if you want the inplace to be tracked).")


def derive(name, fn):
    """The in-place form of the public function `fn`."""
    @functools.wraps(fn)
    def inplace(input, *args, **kwargs):
        return apply(fn, input, args, kwargs, name)
    inplace.__name__ = inplace.__qualname__ = name + "_"
    inplace.__doc__ = f"In-place version of :func:`{name}`."
    return inplace


def apply(fn, t, args, kwargs, name="op"):
    """``t <- fn(t, *args)`` in t's memory, with gradients."""
    from ..tensor.storage import alias_storage
    from ..tensor.tensor import shallow
    check(t)
    if not state.grad:
        result = fn(t, *args, **kwargs)
        store(t, result, name)
        return t
    old = shallow(t)
    old._storage = alias_storage(t._storage)
    if state.levels and hasattr(type(old._a), "outermost"):
        old._a = old._a.copy()
    edge = edge_of(t)
    if edge is not None:
        old._requires_grad = True
        if edge[0] is not t and isinstance(edge[0], Node):
            old._grad_fn, old._out_nr = edge
    result = fn(old, *args, **kwargs)
    node = result._grad_fn
    if node is None or result is old:
        store(t, result, name)
        return t
    _copy_saved(node, old, t)
    store(t, result, name)
    _redirect_saved(node, result, t)
    rebase(t, node, result._out_nr)
    return t


def _copy_saved(node, old, t):
    """Saved inputs that alias memory about to be overwritten keep a copy of it."""
    saved = node.saved
    if not isinstance(saved, list):
        return
    for i, e in enumerate(saved):
        if type(e) is tuple and len(e) == 3 and e[0]._storage is old._storage:
            from ..tensor.tensor import wrap
            src = e[0]
            c = wrap(src._a.copy())
            if watch.listener is not None:
                watch.listener.ran("clone", lambda a: a.copy(), (src,), c)
            c._bits = src._bits
            c._grad_fn, c._out_nr, c._requires_grad = src._grad_fn, src._out_nr, src._requires_grad
            saved[i] = (c, 0, c._grad_fn)


def _redirect_saved(node, result, t):
    """Saved results are read from the changed tensor's memory."""
    saved = node.saved
    if not isinstance(saved, list) or result.dtype is not t.dtype:
        return
    for i, e in enumerate(saved):
        if type(e) is tuple and len(e) == 6 and e[2] is result._storage:
            saved[i] = (t._a, t.dtype, t._storage, t._offset, t._storage.version, e[5])


def store(t, result, name):
    """Write `result` into `t`; shape and type must allow it."""
    if result._a.shape != t._a.shape:
        raise RuntimeError(f"output with shape {list(t.shape)} doesn't match the broadcast shape "
                           f"{list(result.shape)}")
    if result.dtype is not t.dtype and not can_cast(result.dtype, t.dtype):
        raise RuntimeError(f"result type {scalar_name(result.dtype)} can't be cast to the desired "
                           f"output type {scalar_name(t.dtype)}")
    from .copy import copy_array, write
    if result._a is not t._a:
        write(t, result)
    t._storage.version += 1
    if watch.listener is not None:
        if result._a is t._a:
            watch.listener.fail(f"{name}_ wrote over its own result")
        watch.listener.wrote(name, copy_array, (t,), (result,))


class CopySlices(Node):
    """History of a base tensor after one of its views was overwritten.

    Two inputs: the base as it was, whose gradient is zero in the window, and the new contents of the
    window, whose gradient is the window of the base's.
    """

    __slots__ = ("geometry",)

    @property
    def next_functions(self):
        """The base, then what the op on the view leads to besides the view itself."""
        base, inner = self.edges
        first = (None, 0) if base is None else (as_node(base[0]), base[1])
        return (first, *inner[0].next_functions[1:])

    def apply(self, grads):
        g = grads[0]
        if g is None:
            return None, None
        size, stride, offset, base_stride, base_offset = self.geometry
        full = g.new_empty_strided(g.shape, base_stride)
        full = full.copy_(g)
        inner = full.as_strided(size, stride, offset - base_offset).clone()
        if self.edges[0] is None:
            return None, inner
        full.as_strided(size, stride, offset - base_offset).zero_()
        return full, inner

    def release(self):
        pass


def _keep_grad(t, node, nr):
    """A tensor that retains its gradient retains that of its new contents."""
    if t._grad_fn is not None and t.retains_grad:
        node.extras().retain[nr] = t._grad_fn.ext.retain.pop(t._out_nr)


def rebase(t, node, nr):
    """Make `node` the history of `t`; of a view, by way of its base."""
    v = t._view
    if v is None:
        _keep_grad(t, node, nr)
        t._grad_fn, t._out_nr, t._requires_grad = node, nr, True
        return
    base = v.base
    c = CopySlices()
    c.edges = (edge_of(base), (node, nr))
    c.saved, c.ext, c.seq = (), None, next_seq()
    c.outs = ((base._a.shape, base.dtype),)
    c.geometry = (t._a.shape, t.stride(), t._offset, base.stride(), base._offset)
    _keep_grad(base, c, 0)
    base._grad_fn, base._out_nr, base._requires_grad = c, 0, True
    v.version = -1
    v.refresh(t)
