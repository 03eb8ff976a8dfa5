"""Graph nodes: what an operation leaves behind so that its gradient can be computed.

A node holds *edges* (where its gradients go), *saved* values and the shapes of its outputs. An edge
is ``(target, index)`` with a node and the number of its output, or ``(leaf tensor, 0)``; None where no
gradient is needed. Inputs are saved as ``(tensor, version, grad_fn)``; an output is saved without its
node, which would be a cycle.
"""

from itertools import count
from weakref import ref

from .modes import state

next_seq = count(1).__next__


class Node:
    """One step of the recorded graph. Subclasses compute; `name()` is the class's."""

    __slots__ = ("edges", "saved", "seq", "outs", "ext", "__weakref__")

    def apply(self, grads):
        """Gradients for the edges, given one gradient (or None) an output."""
        raise NotImplementedError(f"{type(self).__name__} computes no gradient")

    def apply_wanted(self, grads, wanted):
        """The same where only some edges' gradients are wanted (a bool an edge); others may be None."""
        return self.apply(grads)

    def release(self):
        """Drop saved values once a backward pass is done with them."""
        self.saved = None

    def name(self):
        """The node's name as PyTorch spells it, e.g. ``MulBackward0``."""
        return type(self).__name__

    def __repr__(self):
        return f"<{type(self).__name__} object at {id(self):#x}>"

    @property
    def next_functions(self):
        """((node, output index), ...), one an input; ``(None, 0)`` for constants."""
        return tuple((None, 0) if e is None else (as_node(e[0]), e[1]) for e in self.edges)

    @property
    def metadata(self):
        """A dict for users' notes (anomaly mode keeps its traceback here)."""
        return self.extras().metadata

    def extras(self):
        """The rare attributes, made on first use."""
        x = self.ext
        if x is None:
            x = self.ext = Extras()
        return x

    def _sequence_nr(self):
        return self.seq

    def register_hook(self, hook):
        """Call ``hook(grad_inputs, grad_outputs)`` after this node; it may return new grad_inputs."""
        from .hooks import add
        return add(self.extras().post_hooks, hook)

    def register_prehook(self, hook):
        """Call ``hook(grad_outputs)`` before this node; it may return new grad_outputs."""
        from .hooks import add
        return add(self.extras().pre_hooks, hook)

    def __call__(self, *grads):
        out = self.apply(list(grads))
        return out[0] if len(out) == 1 else out

    def __getattr__(self, name):
        if name.startswith("_saved_"):
            return self.saved_value(name[7:])
        if name.startswith("_raw_saved_"):
            return self.raw_saved(name[11:])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def saved_value(self, name):
        """What was saved under `name` (PyTorch's ``_saved_...`` attributes)."""
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '_saved_{name}'")


    def raw_saved(self, name):
        """The SavedTensor, or tuple of them, of what was saved under `name`."""
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '_raw_saved_{name}'")

    requires_grad = True        # as nodes are made where gradients are wanted

    @property
    def _input_metadata(self):
        return tuple([None if o is None else _Metadata(*o) for o in self.outs])

    def _set_sequence_nr(self, number):
        self.seq = number


class _Metadata:
    """Shape and type of one output of a node."""

    __slots__ = ("shape", "dtype")
    is_nested_tensor = is_cpp_nested_tensor = False

    def __init__(self, shape, dtype):
        self.shape, self.dtype = list(shape), dtype

    @property
    def device(self):
        from ..devices import CPU
        return CPU


class Extras:
    """Hooks and notes of a node; most nodes have none."""

    __slots__ = ("metadata", "post_hooks", "pre_hooks", "tensor_hooks", "retain")

    def __init__(self):
        self.metadata = {}
        self.post_hooks, self.pre_hooks = {}, {}
        self.tensor_hooks = {}      # output index -> {id: hook}
        self.retain = {}            # output index -> weakref of the tensor that keeps its grad


class LeafMeta:
    """Hooks of a leaf tensor, and of its gradient accumulation."""

    __slots__ = ("hooks", "post_hooks", "node_post_hooks", "node_pre_hooks", "accumulator")

    def __init__(self):
        self.hooks, self.post_hooks = {}, {}
        self.node_post_hooks, self.node_pre_hooks = {}, {}
        self.accumulator = None


def leaf_meta(t):
    """The LeafMeta of a leaf, made on first use."""
    m = t._meta
    if m is None:
        m = t._meta = LeafMeta()
    return m


class AccumulateGrad(Node):
    """Where a graph ends at a leaf: adds the gradient to ``variable.grad``.

    The engine reaches leaves directly; this object only exists while somebody looks at it.
    """

    __slots__ = ("variable",)

    @property
    def next_functions(self):
        return ()

    def apply(self, grads):
        from .engine import accumulate
        if grads[0] is not None:
            accumulate(self.variable, grads[0], state.grad)
        return ()

    def register_hook(self, hook):
        from .hooks import add
        return add(leaf_meta(self.variable).node_post_hooks, hook)

    def register_prehook(self, hook):
        from .hooks import add
        return add(leaf_meta(self.variable).node_pre_hooks, hook)


def as_node(target):
    """A node for an edge's target: leaves get their AccumulateGrad (one object while it lives)."""
    if isinstance(target, Node):
        return target
    m = leaf_meta(target)
    node = m.accumulator and m.accumulator()
    if node is None:
        node = AccumulateGrad()
        node.edges, node.saved, node.ext = (), (), None
        node.seq = 2 ** 64 - 1
        node.outs = ((target._a.shape, target.dtype),)
        node.variable = target
        m.accumulator = ref(node)
    return node


def edge_of(t):
    """Where a gradient of tensor `t` flows, or None when it needs none."""
    v = t._view
    if v is not None and v.version != t._storage.version:
        v.refresh(t)
    fn = t._grad_fn
    if fn is not None:
        if type(fn) is AccumulateGrad:
            return fn.variable, 0
        return fn, t._out_nr
    return (t, 0) if t._requires_grad else None


# ---------------------------------------------------------------- saving and unpacking

FREED = ("Trying to backward through the graph a second time (or directly access saved tensors after "
         "they have already been freed). Saved intermediate values of the graph are freed when you call "
         ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
         "graph a second time or if you need to access saved tensors after calling backward.")


class Packed:
    """A saved value that a saved-tensor hook turned into something else."""

    __slots__ = ("value", "unpack", "grad_fn", "out_nr", "requires_grad")

    def restore(self, node):
        t = self.unpack(self.value)
        if not hasattr(t, "_a"):
            raise TypeError("Output of saved tensor unpack_hook expected to be a Tensor but got result "
                            f"of type {type(t)}")
        if not self.requires_grad:
            return t
        fn = node if self.grad_fn is None else self.grad_fn
        if isinstance(fn, Node):
            return rewire(t, fn, self.out_nr)
        return rewire(t, as_node(fn), 0)


def rewire(t, fn, out_nr):
    """A tensor on `t`'s memory whose history is (fn, out_nr)."""
    from ..tensor.tensor import shallow
    u = shallow(t)
    u._grad_fn, u._out_nr, u._requires_grad = fn, out_nr, True
    return u


def pack_input(t):
    """Save an input: the tensor, with the version and history it has now."""
    if t._bits & 4:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference "
            "mode in computation tracked by autograd. To work around this, you can make a clone to get a normal "
            "tensor and use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`.")
    if state.saved_hooks:
        return _pack_hooked(t, edge_of(t))
    return (t, t._storage.version, t._grad_fn)


def pack_output(t, node, out_nr):
    """Save an output of `node` without making a cycle."""
    if state.saved_hooks:
        p = _pack_hooked(t.detach(), None)
        p.requires_grad, p.out_nr = True, out_nr
        return p
    return (t._a, t.dtype, t._storage, t._offset, t._storage.version, out_nr)


def _pack_hooked(t, edge):
    pack, unpack = state.saved_hooks[-1]
    p = Packed()
    prev, state.grad = state.grad, False
    try:
        p.value = pack(t.detach() if edge is not None else t)
    finally:
        state.grad = prev
    p.unpack = unpack
    p.grad_fn, p.out_nr = edge if edge is not None else (None, 0)
    p.requires_grad = edge is not None
    return p


def unpack(entry, node):
    """The tensor that `pack_input` or `pack_output` saved; RuntimeError if changed since."""
    if type(entry) is tuple:
        if len(entry) == 3:
            t, version, fn = entry
            if t._storage.version != version:
                raise modified(t._a.shape, t.dtype, t._storage.version, version, t._grad_fn,
                               t._out_nr)
            if fn is not t._grad_fn:
                return rewire(t, fn, t._out_nr) if fn is not None else t.detach()
            return t
        a, dtype, storage, offset, version, out_nr = entry
        if storage.version != version:
            raise modified(a.shape, dtype, storage.version, version, node, out_nr)
        from ..tensor.tensor import assemble
        t = assemble(a, dtype, storage, offset)
        if node.outs is not None:
            t._grad_fn, t._out_nr, t._requires_grad = node, out_nr, True
        return t
    return entry.restore(node)


def op_name(fn):
    """The name of a node without its ending, as error texts have it: ``Mul`` of MulBackward0."""
    name = fn.name()
    head, found, tail = name.rpartition("Backward")
    return head if found and (not tail or tail.isdigit()) else name


def modified(shape, dtype, found, expected, fn, out_nr):
    """The error for a saved tensor that was changed in place."""
    from ..dtypes import scalar_name
    what = f"[torch.{scalar_name(dtype)}Tensor {list(shape)}]"
    origin = "" if fn is None else f", which is output {out_nr} of {op_name(fn)},"
    if state.anomaly:
        hint = ("the backtrace above shows the operation whose gradient failed; the tensor was changed there or "
                "later.")
    else:
        hint = ("enable anomaly detection to find the operation that failed to compute its gradient, "
                "with torch.autograd.set_detect_anomaly(True, check_nan=False).")
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: {what}{origin} is at version {found}; expected version {expected} instead. "
        f"Hint: {hint}")
