"""The one path of a primitive: arrays out of tensors, kernel, tensors out of arrays, history.

``primitive`` and ``view_primitive`` turn a kernel (or a geometry rule) and its gradient into a callable
over Tensors. Arguments are positional and complete, in the schema's order; public functions with
defaults and overloads stand above (``registry.public``).

Kernels take ndarrays where the schema says Tensor (lists of them for Tensor[]) and return fresh ndarrays
(never an input or a view of one), one an output. On ``meta`` the record's ``meta`` rule is asked, with
the same arguments, for ``(shape, dtype)`` of each output; without one the kernel runs on zeros.
"""

import sys

import numpy as np

from ..autograd.modes import state
from ..autograd.node import FREED, Node, edge_of, next_seq, pack_input, pack_output, unpack
from ..dtypes import BY_NP, FLOAT, from_np
from ..record import Joint, NoGradient, Record
from ..runtime.allocator import OutOfMemoryError
from ..tensor import watch
from ..tensor.storage import MetaArray
from ..tensor.tensor import Tensor, make_view, resolve_bits, wrap

_ndarray = np.ndarray


def primitive(schema, *, vjp, **facts):
    """Decorator: a kernel over arrays becomes a function over tensors, and a record in the table."""
    def deco(kernel):
        rec = Record(schema, "kernel", vjp=vjp, kernel=kernel, **facts)
        rec.module = kernel.__module__
        rec.call = _kernel_call(rec)
        rec.call.record = rec
        rec.call.__name__ = rec.call.__qualname__ = rec.name
        rec.call.__doc__ = rec.doc or kernel.__doc__
        return rec.call
    return deco


def view_primitive(schema, *, vjp, multi_output=False, **facts):
    """Decorator: a rule ``(tensor, *params) -> (shape, strides, offset)`` becomes a view op.

    Strides and offset count elements; with multi_output the rule returns a list of such triples.
    """
    def deco(geometry):
        rec = Record(schema, "view", vjp=vjp, geometry=geometry, **facts)
        rec.module = geometry.__module__
        rec.extra = multi_output
        rec.call = _view_call(rec)
        rec.call.record = rec
        rec.call.__name__ = rec.call.__qualname__ = rec.name
        rec.call.__doc__ = rec.doc or geometry.__doc__
        return rec.call
    return deco


def needs_grad(t):
    """Whether tensor `t` takes part in recording (views ask whether their base has been rebased)."""
    if t._requires_grad:
        return True
    v = t._view
    return v is not None and (v.base._requires_grad and v.refreshed(t))


# ---------------------------------------------------------------- kernels

def _kernel_call(rec):
    single = [i for i in rec.tensor_args if rec.args[i].is_tensor]
    lists = [i for i in rec.tensor_args if rec.args[i].is_list]
    kernel = rec.kernel

    def call(*args):
        arrays = list(args)
        rg = meta = False
        for i in single:
            t = args[i]
            if t is None:
                continue
            a = t._a
            if type(a) is not _ndarray:
                meta = True
            elif t._bits:
                a = resolve_bits(t)
            arrays[i] = a
            if t._requires_grad or (t._view is not None and needs_grad(t)):
                rg = True
        for i in lists:
            ts = args[i]
            arrays[i] = [None if t is None else resolve_bits(t) if t._bits else t._a for t in ts]
            for t in ts:
                if t is None:
                    continue
                if type(t._a) is not _ndarray:
                    meta = True
                if needs_grad(t):
                    rg = True
        if meta:
            own = in_place_of_arrays(arrays)
            if own is not None:
                return own.takeover(rec, args)
            out = run_meta(rec, args, arrays)
            listener = watch.listener
        else:
            listener = watch.listener
            try:
                out = kernel(*arrays) if listener is None else watch.computed(rec, kernel, args, arrays)
            except MemoryError as error:
                raise OutOfMemoryError(f"{rec.name}: {error}") from None
        if type(out) is tuple:
            outs = tuple([None if a is None else wrap(a) for a in out])
            if listener is not None:
                listener.ran(rec.name, kernel, args, outs, rec.direct)
            if rg and state.grad:
                attach(rec, args, outs)
            return outs
        t = wrap(out)
        if listener is not None:
            listener.ran(rec.name, kernel, args, t, rec.direct)
        if rg and state.grad:
            attach(rec, args, (t,))
        return t
    return call


_META_RUN = 1 << 22         # most elements of a meta tensor for which a kernel runs on zeros
_META_PROBE = 1 << 17       # most for which it does so at once, not on smaller ones first


def in_place_of_arrays(arrays):
    """The object with a ``takeover(rec, args)`` of its own that an operand has where others have arrays, or None.

    Transformed tensors (``func``) go before tensors kept as parts, which may be inside them.
    """
    found = None
    for a in arrays:
        if type(a) is list:
            a = in_place_of_arrays(a)
            if a is None:
                continue
        elif type(a) is _ndarray or type(a) is MetaArray or not hasattr(type(a), "takeover"):
            continue
        if getattr(type(a), "outermost", False):
            return a
        found = a
    return found


def check_devices(name, arrays):
    """RuntimeError when meta tensors meet tensors with data (other than single numbers)."""
    for a in arrays:
        if type(a) is _ndarray and a.ndim:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two "
                               "devices, meta and cpu!")


def run_meta(rec, args, arrays):
    """Outputs without data, from the record's meta rule or from the kernel run on zeros."""
    check_devices(rec.name, arrays)
    if rec.meta is not None:
        out = rec.meta(*args)
        if out and type(out[0]) is tuple and isinstance(out[0][0], tuple):
            return tuple(MetaArray(s, d.np) for s, d in out)
        shape, d = out
        return MetaArray(tuple(shape), d.np)
    from .metashapes import by_probes, refuse_data
    refuse_data(rec)
    if any(type(a) is MetaArray and a.size > _META_PROBE for a in _flat(arrays)):
        out = by_probes(rec, arrays)
        if out is not None:
            return tuple(out) if rec.n_out != 1 else out[0]
        if any(type(a) is MetaArray and a.size > _META_RUN for a in _flat(arrays)):
            raise NotImplementedError(f"{rec.name}: no shape rule for meta tensors of this size yet (more than "
                                      f"{_META_RUN} elements)")
    zeros = [_zeros_like_meta(a) for a in arrays]
    out = rec.kernel(*zeros)
    if type(out) is tuple:
        return tuple(None if a is None else _to_meta(a) for a in out)
    return _to_meta(out)


def _flat(arrays):
    for a in arrays:
        if type(a) is list:
            yield from a
        else:
            yield a


def _zeros_like_meta(a):
    if type(a) is MetaArray:
        return np.zeros(a.shape, a.dtype)
    if type(a) is list:
        return [_zeros_like_meta(x) for x in a]
    return a


def _to_meta(a):
    a = np.asarray(a)
    return MetaArray(a.shape, a.dtype, a.strides)


# ---------------------------------------------------------------- views

def _view_call(rec):
    geometry = rec.geometry
    multi = rec.extra

    def call(t, *params):
        if type(t._a) is not _ndarray and type(t._a) is not MetaArray:
            return t._a.takeover(rec, (t, *params))
        g = geometry(t, *params)
        rg = t._requires_grad or (t._view is not None and needs_grad(t))
        if multi:
            outs = tuple([make_view(t, *x, multi=True) for x in g])
            if watch.observer is not None:
                watch.observer.viewed(rec, (t, *params), outs)
            if rg and state.grad:
                attach(rec, (t, *params), outs)
            return outs
        v = make_view(t, *g)
        if watch.observer is not None:
            watch.observer.viewed(rec, (t, *params), (v,))
        if rg:
            if state.grad:
                attach(rec, (t, *params), (v,))
            v._view.no_grad = not state.grad
        return v
    return call


# ---------------------------------------------------------------- history

class RecordNode(Node):
    """Node of a record's op; one subclass a record carries its name."""

    __slots__ = ("plan",)
    record = None

    def apply(self, grads):
        return self.plan.backward(self, grads)

    def apply_wanted(self, grads, wanted):
        return self.apply(grads) if all(map(_same, wanted, self.edges)) else self.plan.general(self, grads, wanted)

    def release(self):
        if self.plan.has_tensors:
            self.saved = None

    def saved_value(self, name):
        names = self.plan.names
        want = {"result": "out"}.get(name, name)
        if want in names:
            if self.saved is None:
                raise RuntimeError(FREED)
            i = names.index(want)
            x = self.saved[i]
            return unpack(x, self) if self.plan.kinds[i] == 1 else x
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '_saved_{name}'")

    def raw_saved(self, name):
        want = {"result": "out"}.get(name, name)
        plan = self.plan
        i = plan.names.index(want) if want in plan.names else -1
        if i < 0 or not plan.kinds[i]:
            return super().raw_saved(name)
        if self.saved is None:
            raise RuntimeError(FREED)
        from ..autograd.saved import saved_tensor
        if plan.kinds[i] == 1:
            return saved_tensor(self, i)
        return tuple([saved_tensor(self, i, k) for k in range(len(self.saved[i]))])


def zeros_for(out):
    """A zero gradient for an output nobody used."""
    from .registry import function
    shape, dtype = out
    return function("zeros")(shape, dtype=dtype)


class Plan:
    """How one record saves and computes gradients for one set of inputs that need them.

    names/kinds: what is saved (kind 0 value, 1 tensor, 2 list of tensors); fetch: how to take it from
    the call; rules: (argument position, function, indices into [g, *saved]).
    """

    __slots__ = ("names", "kinds", "fetch", "rules", "has_tensors", "joint", "rec", "list_args", "backward", "used")

    def gather(self, node, grads):
        """[gradient, or the tuple of several; saved values...], unpacked."""
        if self.rec.n_out == 1:
            values = [grads[0]]
        else:
            used = self.used
            values = [tuple([zeros_for(o) if x is None and o is not None and k in used else x
                             for k, (x, o) in enumerate(zip(grads, node.outs))])]
        for kind, x in zip(self.kinds, node.saved):
            if kind:
                x = unpack(x, node) if kind == 1 else [None if y is None else unpack(y, node) for y in x]
            values.append(x)
        return values

    def general(self, node, grads, wanted=None):
        """Gradients for the edges, whatever the form of the rules; for the ``wanted`` ones, if given (bools)."""
        if node.saved is None:
            raise RuntimeError(FREED)
        if all(g is None for g in grads):
            return [None] * len(node.edges)
        values = self.gather(node, grads)
        spread = len(node.edges) - len(self.rec.tensor_args) + 1
        if wanted is not None:
            wanted = self._by_argument(wanted, spread)
        if self.joint is not None:
            fn, idx = self.joint
            if wanted is not None and "needs" in self.names:
                at = 1 + self.names.index("needs")
                values[at] = tuple(n and w for n, w in zip(values[at], wanted))
            found = fn(*[values[i] if i >= 0 else values[0][-1 - i] for i in idx])
            if not self.list_args:
                return list(found)
            out = []
            for pos, g in zip(self.rec.tensor_args, found):
                if pos in self.list_args:
                    out.extend(g if g is not None else [None] * spread)
                else:
                    out.append(g)
            return out
        out = []
        for k, r in enumerate(self.rules):
            if r is None:
                out.append(None)
            else:
                fn, idx, is_list = r
                if fn is _no_gradients or wanted is not None and not wanted[k]:
                    out.extend([None] * (spread if is_list else 1))
                    continue
                g = fn(*[values[i] if i >= 0 else values[0][-1 - i] for i in idx])
                out.extend(g) if is_list else out.append(g)
        return out

    def _by_argument(self, wanted, spread):
        """Whether each tensor argument's gradient is wanted: that of a list, if one of its tensors' is."""
        if not self.list_args:
            return wanted
        out, at = [], 0
        for pos in self.rec.tensor_args:
            count = spread if pos in self.list_args else 1
            out.append(any(wanted[at:at + count]))
            at += count
        return out


def _same(wanted, edge):
    """Whether an edge's gradient is wanted if there is an edge."""
    return wanted is (edge is not None)


def _no_gradients():
    """Stands where a list of tensors needs no gradients."""
    return ()


def specialize(plan):
    """``backward(node, grads)`` of a plan as straight code: one output, one rule an input.

    A saved input is used as it is when its version and history are those of the call; else `unpack`
    tells what is wrong.
    """
    scope = {"unpack": unpack, "FREED": FREED}
    lines = ["def backward(node, grads):", "    g = grads[0]", f"    if g is None: return [None] * {len(plan.rules)}"]
    if plan.names:
        lines += ["    saved = node.saved", "    if saved is None: raise RuntimeError(FREED)"]
    for k, kind in enumerate(plan.kinds):
        lines.append(f"    v{k} = saved[{k}]")
        if kind:
            lines += [f"    if type(v{k}) is tuple and len(v{k}) == 3:",
                      f"        t, version, fn = v{k}",
                      f"        v{k} = t if t._storage.version == version and t._grad_fn is fn else "
                      f"unpack(v{k}, node)",
                      "    else:",
                      f"        v{k} = unpack(v{k}, node)"]
    parts = []
    for k, r in enumerate(plan.rules):
        if r is None:
            parts.append("None")
            continue
        scope[f"rule{k}"] = r[0]
        parts.append(f"rule{k}({', '.join('g' if i == 0 else f'v{i - 1}' for i in r[1])})")
    lines.append(f"    return [{', '.join(parts)}]")
    exec(compile("\n".join(lines), f"{__file__}: backward", "exec"), scope)
    return scope["backward"]


def node_class(rec):
    """The Node subclass of a record, named as PyTorch names it."""
    cls = rec._node
    if cls is None:
        cls = rec._node = type(rec.node_name, (RecordNode,), {"__slots__": (), "record": rec,
                                                             "__module__": "torch.autograd"})
    return cls


def attach(rec, args, outs):
    """Record the call: make the node, save what its rules ask for, point the outputs at it."""
    mask = 0
    edges = []
    bit = 1
    for i in rec.tensor_args:
        x = args[i]
        if rec.args[i].is_list:
            es = [None if t is None else edge_of(t) for t in x or ()]
            edges.extend(es)
            if any(e is not None for e in es):
                mask |= bit
        elif not isinstance(x, Tensor):
            edges.append(None)
        else:
            e = edge_of(x)
            edges.append(e)
            if e is not None and (x.dtype.category >= FLOAT):
                mask |= bit
        bit <<= 1
    vjp = rec.vjp
    if type(vjp) is NoGradient and not vjp.raises:
        return
    if not mask:
        return
    plan = rec.plans.get(mask)
    if plan is None:
        plan = rec.plans[mask] = make_plan(rec, mask)
    node = node_class(rec)()
    node.edges = tuple(edges)
    node.seq = next_seq()
    node.ext = None
    node.plan = plan
    node.outs = tuple([None if t is None else (t._a.shape, t.dtype) for t in outs])
    node.saved = ()
    for nr, t in enumerate(outs):
        if t is not None and t.dtype.category >= FLOAT:
            t._requires_grad = True
            t._grad_fn = node
            t._out_nr = nr
    node.saved = [f(args, outs, node) for f in plan.fetch]
    if state.anomaly:
        from ..autograd.anomaly import remember
        remember(node)


def _names(fn):
    names = getattr(fn, "names", None)
    if names is not None:
        return names
    c = fn.__code__
    return c.co_varnames[:c.co_argcount]


def make_plan(rec, mask):
    """Work out what the rules for the inputs in `mask` need, and how to run them."""
    node_class(rec)             # generated code takes a record with plans to have its class
    p = Plan()
    p.rec = rec
    p.names, p.kinds, p.fetch = [], [], []
    p.joint = None
    p.used = set()              # outputs whose gradients the rules read
    p.list_args = {i for i in rec.tensor_args if rec.args[i].is_list}
    index = {a.name: i for i, a in enumerate(rec.args)}
    vjp = rec.vjp
    if vjp is None and rec.formula is not None:
        from .pointwise.derive import derived_rules
        vjp = rec.vjp = derived_rules(rec)
    multi = rec.n_out != 1
    needs = tuple(bool(mask >> k & 1) for k in range(len(rec.tensor_args)))

    def resolve(fn):
        idx = []
        for name in _names(fn):
            if name == "g":
                idx.append(-1 if multi else 0)
                p.used.add(0)
            elif name == "gs":
                idx.append(0)
                p.used.update(range(64))
            elif name[0] == "g" and name[1:].isdigit():
                idx.append(-1 - int(name[1:]) if multi else 0)
                p.used.add(int(name[1:]))
            elif name[:5] == "maybe":           # None instead of zeros where no gradient came in
                idx.append(-1 - int(name[5:]))
            else:
                if name not in p.names:
                    p.names.append(name)
                    kind, f = _fetcher(rec, name, index, needs)
                    p.kinds.append(kind)
                    p.fetch.append(f)
                idx.append(1 + p.names.index(name))
        return tuple(idx)

    if type(vjp) is NoGradient:
        def fail(g):
            raise NotImplementedError(f"the derivative for '{rec.name}' is not implemented: "
                                      f"{vjp.reason}")
        p.rules = [(fail, (0,), False) if n else None for n in needs]
    elif isinstance(vjp, Joint):
        p.joint = (vjp.rule, resolve(vjp.rule))
        p.rules = None
    else:
        p.rules = []
        for k, pos in enumerate(rec.tensor_args):
            fn = vjp.get(rec.args[pos].name) if needs[k] else None
            if fn is None:
                if pos in p.list_args:
                    p.rules.append((_no_gradients, (), True))
                    continue
                if needs[k]:
                    fn = _no_rule(rec, rec.args[pos].name)
                    p.rules.append((fn, (0,), False))
                    continue
                p.rules.append(None)
            else:
                p.rules.append((fn, resolve(fn), pos in p.list_args))
    p.has_tensors = any(p.kinds)
    plain = p.joint is None and not multi and not p.list_args and 2 not in p.kinds
    p.backward = specialize(p) if plain else p.general
    if not isinstance(vjp, NoGradient):
        install = sys.modules.get(__package__ + ".native.install")
        if hasattr(install, "fill_plan"):       # not so while another thread imports it
            install.fill_plan(rec, mask, p)
    return p


def _no_rule(rec, arg):
    if rec.vjp is None or arg not in rec.vjp:
        def fail(g):
            raise NotImplementedError(f"the derivative of '{rec.name}' with respect to '{arg}' is not "
                                      "implemented")
        return fail
    return lambda g: None


def _fetcher(rec, name, index, needs):
    if name in index:
        i = index[name]
        arg = rec.args[i]
        if arg.is_list:
            return 2, lambda args, outs, node: [None if t is None else pack_input(t) for t in args[i]]
        if arg.is_tensor:
            return 1, lambda args, outs, node: pack_optional(args[i])
        return 0, lambda args, outs, node: args[i]
    if name == "needs":
        return 0, lambda args, outs, node: needs
    if name == "out":
        return 1, lambda args, outs, node: pack_output(outs[0], node, 0)
    if name.startswith("out") and name[3:].isdigit():
        k = int(name[3:])
        return 1, lambda args, outs, node: pack_output(outs[k], node, k)
    base, _, fact = name.rpartition("_")
    if base in index:
        i = index[base]
        if fact == "shape":
            if rec.args[i].is_list:
                return 0, lambda args, outs, node: [t._a.shape for t in args[i]]
            return 0, lambda args, outs, node: None if args[i] is None else args[i]._a.shape
        if fact == "dtype":
            if rec.args[i].is_list:
                return 0, lambda args, outs, node: [t.dtype for t in args[i]]
            return 0, lambda args, outs, node: None if args[i] is None else args[i].dtype
        if fact == "strides":
            return 0, lambda args, outs, node: args[i].stride()
        if fact == "offset":
            return 0, lambda args, outs, node: args[i]._offset
    raise ValueError(f"gradient rule of {rec.name}: unknown name '{name}'")


class _Value:
    """A number, or None, given where the schema says Tensor: saved as it is."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def restore(self, node):
        return self.value


def pack_optional(t):
    """pack_input for an argument that may also be None or a Python number."""
    return pack_input(t) if isinstance(t, Tensor) else _Value(t)


__all__ = ["primitive", "view_primitive", "attach", "needs_grad", "Tensor", "wrap", "BY_NP", "from_np"]
