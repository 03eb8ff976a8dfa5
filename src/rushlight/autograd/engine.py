"""The backward pass: nodes run in reverse order of recording, each once all its gradients are in.

Iterative throughout, so that a chain of any length works; re-entrant, because all its state is local.
"""

from heapq import heappop, heappush, heappushpop
from sys import getrefcount

import numpy as np

from ..tensor import watch
from ..tensor.geometry import can_expand, is_dense
from .modes import state, switch_grad
from .node import AccumulateGrad, Node, edge_of


def execute(roots, grads, keep_graph, create_graph, capture=None, accumulate_grad=True):
    """Propagate `grads` from the edges `roots`.

    capture: None, or a dict from edge ``(target, index)`` to None that is filled with the gradients
    that arrive there; then only nodes on the way to those run. accumulate_grad: also add what arrives
    at leaves to their ``.grad`` (only at captured ones if there are any).
    """
    deps, order = _dependencies(roots)
    needed = None if capture is None else _needed(order, capture)
    if watchers or capture is not None:
        with _Pass(deps, roots, needed, capture, accumulate_grad):
            _propagate(roots, grads, keep_graph, create_graph, capture, accumulate_grad, deps, needed)
    else:
        propagate = watch.unattended(_propagate, deps, grads) if state.special == 1 else _propagate
        propagate(roots, grads, keep_graph, create_graph, capture, accumulate_grad, deps, None)


watchers = []               # hooks that ask `state.backward` about the pass they run in


class _Pass:
    """What hooks and re-entrant functions may ask about the backward pass they run in."""

    __slots__ = ("deps", "roots", "needed", "capture", "accumulates", "outer", "__weakref__")

    def __init__(self, deps, roots, needed, capture, accumulates):
        self.deps, self.roots, self.needed, self.capture = deps, roots, needed, capture
        self.accumulates = accumulates

    def reaches(self, edge):
        """Whether a gradient will come to the edge ``(target, index)``."""
        target = edge[0]
        there = target in self.deps or any(r[0] is target for r in self.roots)
        return there and (self.needed is None or target in self.needed or edge in self.capture)

    def __enter__(self):
        self.outer, state.backward = state.backward, self

    def __exit__(self, *exc):
        state.backward = self.outer


def _propagate(roots, grads, keep_graph, create_graph, capture, accumulate_grad, deps, needed):
    """Run the nodes of one backward pass.

    `node` is the next to run and `incoming` its gradients when they are at hand; gradients of the others
    wait in `buffers`, and nodes that are ready beside `node` in the heap `ready`, latest recorded first.
    """
    buffers, ready = {}, []
    node = incoming = None
    plain = capture is None
    watched = state.special and (state.anomaly or state.recorder is not None)
    prev = switch_grad(create_graph)
    try:
        _begin(roots, grads, deps, buffers, ready, create_graph, capture, accumulate_grad)
        grads = None
        while True:
            # ---- the next node
            if node is None:
                if not ready:
                    break
                node = heappop(ready)[1]
            elif ready and -ready[0][0] > node.seq:
                if incoming is not None:
                    buffers[node] = incoming
                    incoming = None
                node = heappushpop(ready, (-node.seq, node))[1]
            if incoming is None:
                incoming = buffers.pop(node, None)
            # ---- its rules
            edges = node.edges
            if incoming is None:
                outgoing = [None] * len(edges)
            elif plain and node.ext is None and not watched:
                outgoing = node.apply(incoming)
                if type(outgoing) is not list:
                    outgoing = list(outgoing)
                if not keep_graph:
                    node.release()
            else:
                outgoing = _run_watched(node, incoming, capture, needed)
                if not keep_graph and (needed is None or node in needed):
                    node.release()
            node = incoming = None
            # ---- what they give, an edge each; nothing here may hold a gradient longer than it waits
            i = -1
            for e in edges:
                i += 1
                if e is None:
                    continue
                target, nr = e
                n = deps[target] = deps[target] - 1
                g = outgoing[i]
                inner = isinstance(target, Node)
                if g is not None:
                    outgoing[i] = None
                    if inner:
                        outs = target.outs
                        shape, dtype = outs[nr]
                    else:
                        shape, dtype = target._a.shape, target.dtype
                    if g._a.shape != shape or g.dtype is not dtype:
                        g = conform(g, shape, dtype, edges, i)
                    buf = buffers.get(target)
                    if buf is not None:
                        old = buf[nr]
                        buf[nr] = g if old is None else old + g
                        g = buf = old = None
                    elif inner:
                        if len(outs) > 1:
                            buf = [None] * len(outs)
                            buf[nr] = g
                        else:
                            buf = [g]
                            if n == 0 and node is None:
                                # The only gradient of a node with one result: it may be the next at once.
                                node, incoming = target, buf
                                g = buf = None
                                continue
                        buffers[target] = buf
                        g = buf = None
                    elif n == 0 and plain and target._meta is None and not watched:
                        # The only gradient of a leaf without hooks.
                        fresh = getrefcount(g) <= 2
                        accumulate(target, g, create_graph, fresh)
                        g = None
                        continue
                    else:
                        buffers[target] = [g]
                        g = None
                if n == 0:
                    if inner:
                        if node is None:
                            node = target
                        else:
                            heappush(ready, (-target.seq, target))
                    elif target in buffers:
                        _leaf(target, buffers.pop(target), create_graph, capture, accumulate_grad)
    finally:
        switch_grad(prev)


def _begin(roots, grads, deps, buffers, ready, create_graph, capture, accumulate_grad):
    """Give the edges `roots` their gradients: they wait for others, or what they lead to is ready."""
    for (target, nr), g in zip(roots, grads):
        _add(buffers, target, nr, g)
    g = None
    for target in list(buffers):
        if not deps[target]:
            if isinstance(target, Node):
                heappush(ready, (-target.seq, target))
            else:
                _leaf(target, buffers.pop(target), create_graph, capture, accumulate_grad)


def _run_watched(node, incoming, capture, needed):
    """Run a node that has hooks or is captured, in anomaly mode or under a profiler; a list of gradients for its edges.
    """
    if node.ext is not None and (needed is None or node in needed or any(
            (node, nr) in capture for nr in range(len(incoming)))):
        incoming = _tensor_hooks(node, incoming)
    if capture is not None:
        for nr, g in enumerate(incoming):
            if (node, nr) in capture and g is not None:
                capture[node, nr] = g
    if needed is None:
        return list(_run(node, incoming))
    if node not in needed:
        return [None] * len(node.edges)
    return list(_run(node, incoming, [e is not None and (e[0] in needed or e in capture) for e in node.edges]))


def _dependencies(roots):
    """How many edges lead to each target (roots included), and the nodes that can be reached."""
    deps, order = {}, []
    stack = []
    for target, _ in roots:
        if target not in deps:
            deps[target] = 0
            if isinstance(target, Node):
                stack.append(target)
    while stack:
        node = stack.pop()
        order.append(node)
        for e in node.edges:
            if e is not None:
                target = e[0]
                n = deps.get(target)
                if n is None:
                    deps[target] = 1
                    if isinstance(target, Node):
                        stack.append(target)
                else:
                    deps[target] = n + 1
    return deps, order


def _needed(order, capture):
    """Nodes from which a captured edge can be reached."""
    users = {}
    for node in order:
        for e in node.edges:
            if e is not None:
                users.setdefault(e[0], []).append(node)
    needed = set()
    stack = [target for target, _ in capture]
    while stack:
        for node in users.get(stack.pop(), ()):
            if node not in needed:
                needed.add(node)
                stack.append(node)
    return needed


def _add(buffers, target, nr, g):
    buf = buffers.get(target)
    if buf is None:
        buf = buffers[target] = [None] * (len(target.outs) if isinstance(target, Node) else 1)
    buf[nr] = g if buf[nr] is None else buf[nr] + g


def _tensor_hooks(node, grads):
    ext = node.ext
    for nr, hooks in ext.tensor_hooks.items():
        if grads[nr] is not None:
            for hook in list(hooks.values()):
                r = hook(grads[nr])
                if r is not None:
                    grads[nr] = _checked(r, grads[nr])
    for nr, keeper in ext.retain.items():
        t = keeper()
        if t is not None and grads[nr] is not None:
            g = grads[nr]
            if not state.grad:
                g = g.clone()
            t._grad = g if t._grad is None else t._grad + g
    if ext.pre_hooks:
        for hook in list(ext.pre_hooks.values()):
            r = hook(tuple(grads))
            if r is not None:
                grads = list(r) if isinstance(r, tuple) else [r]
    return grads


def _checked(new, old):
    if not hasattr(new, "_a"):
        raise TypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
    if new._a.shape != old._a.shape:
        raise RuntimeError(f"hook has changed the size of value: expected {list(old.shape)}, got "
                           f"{list(new.shape)}")
    if new.dtype is not old.dtype:
        raise RuntimeError("hook has changed the type of value (was "
                           f"{old.type()} got {new.type()})")
    return new


def _run(node, grads, wanted=None):
    if state.recorder is not None:
        with state.recorder.evaluation(node.name(), grads, node.seq):
            return _applied(node, grads, wanted)
    return _applied(node, grads, wanted)


def _applied(node, grads, wanted):
    if state.anomaly:
        from .anomaly import run_checked
        out = run_checked(node, grads)
    elif wanted is None:
        out = node.apply(grads)
    else:
        out = node.apply_wanted(grads, wanted)
    if node.ext is not None and node.ext.post_hooks:
        inputs = tuple(out)
        for hook in list(node.ext.post_hooks.values()):
            r = hook(inputs, tuple(grads))
            if r is not None:
                inputs = r if isinstance(r, tuple) else (r,)
        out = inputs
    return out


def conform(g, shape, dtype, edges=None, i=0):
    """A gradient in the shape and type of what it is the gradient of: broadcast dimensions summed."""
    if g._a.shape != shape:
        if not can_expand(shape, g._a.shape):
            raise RuntimeError(f"a node returned an invalid gradient at index {i} - got {list(g.shape)} but "
                               f"expected shape compatible with {list(shape)}")
        g = sum_to(g, shape)
    if g.dtype is not dtype:
        if g.dtype.is_complex and not dtype.is_complex:
            g = g.real
        if g.dtype is not dtype:
            g = g.to(dtype)
    return g


_sum_dim = None             # the primitive, once the op families are loaded


def sum_to(g, shape):
    """Sum `g` over the dimensions along which `shape` was broadcast to it."""
    lead = len(g._a.shape) - len(shape)
    dims = list(range(lead))
    inner = [lead + i for i, s in enumerate(shape) if s == 1 and g._a.shape[lead + i] != 1]
    if not inner:
        if not lead:
            return g
        global _sum_dim
        if _sum_dim is None:
            from ..ops.reduction import _sum_dim
        return _sum_dim(g, tuple(dims), False, g._a.dtype)
    g = g.sum(dims + inner, True)
    return g.reshape(shape) if lead else g


def _leaf(leaf, buf, create_graph, capture, accumulate_grad):
    g = buf.pop()
    if g is None:
        return
    m = leaf._meta
    if m is not None and m.hooks:
        for hook in list(m.hooks.values()):
            r = hook(g)
            if r is not None:
                g = _checked(r, g)
    captured = capture is not None and (leaf, 0) in capture
    if captured:
        capture[leaf, 0] = g
    if accumulate_grad and (capture is None or captured):
        if m is not None and m.node_pre_hooks:
            for hook in list(m.node_pre_hooks.values()):
                r = hook((g,))
                if r is not None:
                    g = r[0] if isinstance(r, tuple) else r
        fresh = getrefcount(g) <= 2 and not captured
        if state.recorder is None:
            accumulate(leaf, g, create_graph, fresh)
        else:
            with state.recorder.evaluation("torch::autograd::AccumulateGrad", (g,)):
                accumulate(leaf, g, create_graph, fresh)
        if m is not None:
            for hook in list(m.node_post_hooks.values()):
                hook((), (g,))


def accumulate(leaf, g, create_graph, fresh=False):
    """Add `g` to ``leaf.grad``; a gradient that nobody else holds is taken as it is."""
    old = leaf._grad
    if old is None:
        if fresh and not create_graph and g._view is None and not g._offset and not g._bits and \
                (g._a.strides == leaf._a.strides or not state.layouts) and \
                getrefcount(g._storage) <= 2 + (watch.listener is not None and watch.listener.keeps(g._storage)):
            leaf._grad = g
        elif create_graph:
            leaf._grad = g.clone() if _shared(g) else g
        else:
            leaf._grad = _copy_like(g, leaf)
    elif create_graph:
        leaf._grad = old + g
    elif type(old._a) is not np.ndarray and hasattr(type(old._a), "in_parts"):
        from ..tensor.parts import accumulated
        leaf._grad = accumulated(old, g)
    else:
        old.add_(g)
    if watch.listener is not None:
        watch.listener.accumulated(leaf, old)
    m = leaf._meta
    if m is not None and m.post_hooks:
        for hook in list(m.post_hooks.values()):
            hook(leaf)


def _shared(g):
    return g._view is not None or g._offset != 0 or getrefcount(g._storage) > 2 or g._bits


def _copy_like(g, leaf):
    if hasattr(type(g._a), "in_parts"):
        return g._a.kept(g)
    if hasattr(type(leaf._a), "in_parts"):
        return g.detach().clone()
    prev, state.grad = state.grad, False
    try:
        out = leaf.new_empty_strided(leaf.shape, leaf.stride()) if is_dense(
            leaf.shape, leaf.stride()) else leaf.new_empty(leaf.shape)
        out.copy_(g.detach())
        return out
    finally:
        state.grad = prev


def root_grad(t, g):
    """The starting gradient of output `t`: checked, or one for a scalar."""
    if g is None:
        if t._a.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if t.dtype.is_complex:
            raise RuntimeError("grad can be implicitly created only for real scalar outputs but got "
                               f"{t.dtype!r}")
        return _one(t)
    if not hasattr(g, "_a"):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    if g._a.shape != t._a.shape:
        raise RuntimeError(f"Mismatch in shape: grad_output[0] has a shape of {g.shape!r} and output[0] "
                           f"has a shape of {t.shape!r}.")
    if g.dtype.is_complex != t.dtype.is_complex:
        raise RuntimeError("For complex Tensors, both grad_output and output are required to have the "
                           f"same dtype. Mismatch in dtype: grad_output[0] has a dtype of {g.dtype!r} "
                           f"and output[0] has a dtype of {t.dtype!r}.")
    return g


def _one(t):
    from ..tensor.tensor import wrap
    a = t._a
    if type(a) is not np.ndarray:
        return t.new_ones(a.shape)
    one = wrap(np.ones(a.shape, a.dtype) if a.shape else np.array(1, a.dtype))
    if watch.listener is not None:
        watch.listener.constant(one)
    return one


def _roots(tensors, grads):
    roots, out = [], []
    for i, (t, g) in enumerate(zip(tensors, grads)):
        edge = edge_of(t)
        if edge is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a "
                               "grad_fn")
        roots.append(edge)
        out.append(root_grad(t, g))
    return roots, out


def _tuple(x, n=None):
    if x is None:
        return (None,) * n
    return (x,) if hasattr(x, "_a") or hasattr(x, "output_nr") else tuple(x)


def backward_scalar(t, retain_graph, create_graph):
    """`backward` of one recorded real scalar; False when `t` is no such tensor."""
    node = t._grad_fn
    if node is None or t._view is not None or t._a.size != 1 or t.dtype.is_complex or \
            type(node) is AccumulateGrad:
        return False
    keep = create_graph if retain_graph is None else retain_graph
    execute(((node, t._out_nr),), [_one(t)], keep, bool(create_graph))
    return True


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False,
             grad_variables=None, inputs=None):
    """Accumulate d(sum of tensors · grad_tensors)/d leaf into the ``.grad`` of each leaf.

    tensors: outputs to differentiate; grad_tensors: one cotangent each (None for scalars);
    inputs: only these tensors get a gradient. RuntimeError for outputs without a graph.
    """
    if grad_variables is not None:
        import warnings
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError("backward() takes `grad_tensors` or the older `grad_variables`, not both")
        grad_tensors = grad_variables
    tensors = _tuple(tensors)
    if grad_tensors is not None and hasattr(grad_tensors, "_a"):
        grad_tensors = (grad_tensors,)
    grads = _tuple(grad_tensors, len(tensors))
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    capture = None
    if inputs is not None:
        inputs = _tuple(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        capture = {_input_edge(t): None for t in inputs}
    roots, grads = _roots(tensors, grads)
    keep = create_graph if retain_graph is None else retain_graph
    execute(roots, grads, keep, create_graph, capture)
    if inputs is not None:
        for t in inputs:
            if t._grad_fn is not None:
                g = capture[edge_of(t)]
                if g is not None:
                    t._grad = g if t._grad is None else t._grad + g


def _zeros_at(t):
    if hasattr(t, "_a"):
        return t.new_zeros(t._a.shape)
    from ..ops.dispatch import zeros_for
    return zeros_for(t[0].outs[t[1]])


def _input_edge(t):
    if isinstance(t, tuple):            # a GradientEdge
        node, nr = t
        return (node.variable, 0) if type(node) is AccumulateGrad else (node, nr)
    e = edge_of(t)
    if e is None:
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    return e


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         only_inputs=True, allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """The gradients of ``sum(outputs · grad_outputs)`` with respect to `inputs`, as a tuple.

    allow_unused: None instead of an error for inputs the outputs don't depend on;
    materialize_grads: zeros instead of None; is_grads_batched: grad_outputs have a leading batch
    dimension and so have the results.
    """
    outputs, inputs = _tuple(outputs), _tuple(inputs)
    if allow_unused is None:
        allow_unused = materialize_grads
    elif materialize_grads and not allow_unused:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, "
                         "but got: allow_unused=False.")
    if grad_outputs is not None and hasattr(grad_outputs, "_a"):
        grad_outputs = (grad_outputs,)
    gouts = _tuple(grad_outputs, len(outputs))
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        return _batched(outputs, inputs, gouts, keep, create_graph, allow_unused, materialize_grads)
    roots, grads = _roots(outputs, gouts)
    edges = [_input_edge(t) for t in inputs]
    capture = dict.fromkeys(edges)
    execute(roots, grads, keep, create_graph, capture, accumulate_grad=False)
    result = []
    for i, (t, e) in enumerate(zip(inputs, edges)):
        g = capture[e]
        if g is None:
            if materialize_grads:
                g = _zeros_at(t)
            elif not allow_unused:
                raise RuntimeError(f"The differentiated Tensor at index {i} appears to not have been used in "
                                   "the graph. Set allow_unused=True if this is the desired behavior.")
        result.append(g)
    return tuple(result)


def _batched(outputs, inputs, gouts, keep, create_graph, allow_unused, materialize):
    """One pass over all rows of the gradients of the outputs, inside ``vmap``."""
    from ..func import vmap
    there = []

    def pull(gs):
        found = grad(outputs, inputs, gs, keep, create_graph, True, allow_unused, False, materialize)
        there.extend([g is not None for g in found])
        return [g for g in found if g is not None]
    rows = iter(vmap(pull)(list(gouts)))
    return tuple([next(rows) if t else None for t in there])
