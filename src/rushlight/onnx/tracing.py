"""The ops of one call of a model, in order, as steps over values.

The model's inputs, parameters and buffers become tensors on a level of ``func`` (`TraceLevel`): a tensor there holds
the true tensor, and names a `Value`. Ops run on the true tensors, so Python code of the model sees true sizes and
numbers, and each is written down as a `Step`. What the model makes without tensors (``zeros``, ``arange``) is put on
the level as a constant. Changes in place become steps, too: a tensor gets another value, and so do what it is a view of
and the views of that, when they are read next.
"""

import warnings

import numpy as np

from rushlight.autograd.modes import state
from rushlight.dtypes import result_type_of
from rushlight.func.wrapped import Level, Wrapped, carry, finish, invoke, on, unwrap, value_of, view_below
from rushlight.func.wrapped import lift as lift_in_place
from rushlight.ops.pointwise.core import compute_types
from rushlight.tensor import watch
from rushlight.tensor.tensor import Tensor

from .errors import OnnxExporterError, TracerWarning

DRAWS = frozenset("#randn #rand #dropout uniform normal random bernoulli exponential geometric log_normal cauchy "
                  "poisson binomial".split())


class Value:
    """A tensor at one point of the run. origin: ``input``, ``parameter``, ``constant`` or ``step``.

    fixed: it depends on no input; only then is the tensor itself kept.
    """

    __slots__ = ("number", "origin", "shape", "dtype", "tensor", "name", "step", "fixed")

    def __init__(self, number, origin, tensor, name=None, step=None):
        self.number, self.origin, self.name, self.step = number, origin, name, step
        self.shape, self.dtype = tuple(tensor._a.shape), tensor.dtype
        self.fixed = origin in ("parameter", "constant") or origin == "step" and \
            step.key.partition(".")[0] not in DRAWS and all(v.fixed for v in values_of(step.args))
        self.tensor = tensor if self.fixed else None


def values_of(args):
    """The values among arguments, also those in lists."""
    for x in args:
        if isinstance(x, Value):
            yield x
        elif type(x) is list:
            yield from values_of(x)


class Step:
    """One op: `key` names a record (``add.Tensor``) or an op of the tracer's own (``#fill``).

    args: values, lists of them, numbers and the like; outs: values (None for what isn't there); compute: for pointwise
    ops, the type they compute in; scope: names of the modules that were running.
    """

    __slots__ = ("key", "args", "outs", "compute", "scope")

    def __init__(self, key, args, outs, compute=None, scope=""):
        self.key, self.args, self.outs, self.compute, self.scope = key, args, outs, compute, scope


class Traced(Wrapped):
    """What a tensor on the level holds: the tensor underneath and its value.

    base, via, index: the holder that this is a view of, by which op, as which of its results; seen: the version of the
    base that `now` is of.
    """

    __slots__ = ("now", "base", "via", "index", "version", "seen")
    has_positions = True                # masks are indices here

    def __init__(self, level, value, shape, strides):
        super().__init__(level, value, shape, strides)
        self.now = self.base = self.via = None
        self.index = self.version = self.seen = 0

    def number(self, t):
        self.level.looked(self, "a Python number")
        return value_of(t).item()

    def truth(self, t):
        self.level.looked(self, "a Python bool")
        return bool(value_of(t))

    def nested_list(self, t):
        self.level.looked(self, "a Python list")
        return value_of(t).tolist()

    def positions(self, t, as_tuple):
        level = self.level
        found = value_of(t).nonzero()
        result = level.result("#nonzero", (level.read(self),), found)
        if not as_tuple:
            return result
        return tuple([result.select(1, k) for k in range(found.shape[1])])

    def like(self, t, name, value, dtype, layout, requires_grad):
        level = self.level
        with level.aside():
            from rushlight.ops.registry import function
            made = function(name)(value_of(t), dtype=dtype)
        fill = {"zeros_like": 0, "ones_like": 1}.get(name)
        if fill is None:
            return level.constant_on_level(made)
        return level.result("#full", (level.read(self), fill), made)

    def detached(self):
        d = self.level.holder(self.value.detach())
        d.now, d.base, d.via, d.index = self.now, self.base, self.via, self.index
        d.version, d.seen = self.version, self.seen
        return d

    def copy(self):
        d = self.level.holder(self.value.clone())
        d.now = self.level.read(self)
        return d


# How the base of a changed view comes to its new value: (record, arguments after base and value) by the view's record.
def _scattered(level, base, via, index, value):
    key, args = via
    step = level.step_of
    shape = base.shape
    if key in ("view", "_unsafe_view", "unsqueeze", "squeeze", "squeeze.dim", "squeeze.dims", "alias"):
        return step("view", (value, list(shape)), base.value.clone())
    if key == "transpose.int":
        return step(key, (value, *args), base.value.clone())
    if key == "t":
        return step(key, (value,), base.value.clone())
    if key == "permute":
        inverse = np.argsort([d % len(args[0]) for d in args[0]]).tolist()
        return step(key, (value, inverse), base.value.clone())
    now = level.read(base)
    if key == "select.int":
        return step("select_scatter", (now, value, *args), base.value.clone())
    if key == "slice.Tensor":
        return step("slice_scatter", (now, value, *args), base.value.clone())
    if key == "unbind.int":
        return step("select_scatter", (now, value, args[0], index), base.value.clone())
    if key in ("split.Tensor", "split_with_sizes"):
        dim = args[1] % len(shape)
        sizes = [args[0]] * (index + 1) if key == "split.Tensor" else args[0]
        start = sum(sizes[:index])
        end = min(start + sizes[index], shape[dim])
        return step("slice_scatter", (now, value, dim, start, end, 1), base.value.clone())
    if key == "diagonal":
        return step("diagonal_scatter", (now, value, *args), base.value.clone())
    raise OnnxExporterError(f"a tensor is changed in place through {key.partition('.')[0]}(): write the model without "
                            "this change, as in y = torch.where(...) or torch.cat(...)")


class TraceLevel(Level):
    """See the module's text. steps, inputs, constants: what was found; looks: how often Python saw numbers."""

    __slots__ = ("steps", "values", "quiet", "scopes", "known", "watching")

    def __init__(self):
        super().__init__()
        self.steps, self.values, self.quiet, self.scopes, self.known = [], [], 0, [], {}

    # ------------------------------------------------------------ values

    def holder(self, value):
        return Traced(self, value, value._a.shape, value._a.strides)

    def wrap(self, value):
        return carry(self, value)

    def leaf(self, tensor, origin, name=None):
        """A tensor on the level for an input, a parameter or a constant."""
        with self.aside():
            t = carry(self, tensor.detach())
        t._a.now = self._new(origin, tensor, name)
        return t

    def _new(self, origin, tensor, name=None, step=None):
        v = Value(len(self.values), origin, tensor, name, step)
        self.values.append(v)
        return v

    def constant_on_level(self, tensor):
        """A tensor that depends on no other, on the level."""
        return self.leaf(tensor, "constant")

    def read(self, holder):
        """The value that a holder has now."""
        if holder.base is not None:
            self.read(holder.base)
            if holder.base.version != holder.seen:
                key, args = holder.via
                step = self._write_down(key, (self.read(holder.base), *args), [None] * (holder.index + 1))
                holder.now = step.outs[holder.index] = self._new("step", holder.value, step=step)
                holder.seen = holder.base.version
                holder.version += 1
        return holder.now

    def value(self, x):
        """The value of a tensor argument, on the level or not; anything else as it is."""
        if isinstance(x, Tensor):
            if on(x, self):
                return self.read(x._a)
            v = self.known.get(id(x))
            if v is None or v.tensor is not x:
                v = self.known[id(x)] = self._new("constant", x)
            return v
        if type(x) in (list, tuple) and any(isinstance(y, Tensor) for y in x):
            return [self.value(y) for y in x]
        return list(x) if type(x) is tuple else x

    def assign(self, holder, value):
        """Let a holder, and what it is a view of, have a new value."""
        holder.now = value
        holder.version += 1
        if holder.base is not None:
            self.assign(holder.base, _scattered(self, holder.base, holder.via, holder.index, value))
            holder.seen = holder.base.version

    # ------------------------------------------------------------ steps

    def _write_down(self, key, args, outs, compute=None):
        step = Step(key, args, outs, compute, self.scopes[-1] if self.scopes else "")
        self.steps.append(step)
        return step

    def step_of(self, key, args, tensor):
        """The value of a step with one result, `tensor`."""
        step = self._write_down(key, args, [None])
        step.outs[0] = self._new("step", tensor, step=step)
        return step.outs[0]

    def result(self, key, args, tensor):
        """A tensor on the level for the result of a step of the tracer's own."""
        with self.aside():
            t = carry(self, tensor)
        t._a.now = self.step_of(key, args, tensor)
        return t

    def results(self, key, args, kinds):
        """Tensors on the level for the results of a step that nothing computes: zeros of (shape, dtype)."""
        from rushlight import zeros
        with self.aside():
            made = [zeros(shape, dtype=d) for shape, d in kinds]
        step = self._write_down(key, args, [None] * len(made))
        outs = []
        for k, x in enumerate(made):
            with self.aside():
                t = carry(self, x)
            t._a.now = step.outs[k] = self._new("step", x, step=step)
            outs.append(t)
        return outs

    def run(self, rec, args):
        raw = rec.kind == "view"
        key = rec.schema.partition("(")[0]
        inner = [unwrap(x, self, raw) if i in rec.tensor_args else x for i, x in enumerate(args)]
        values = [self.value(x) for x in args]
        compute = None
        if rec.kind == "pointwise":
            n = len(rec.tensor_args)
            common = result_type_of(inner[:n])
            compute = compute_types(rec, common)[0]
        with self.aside():
            r = view_below(rec, *inner) if raw else invoke(rec, *inner)
        many = type(r) is tuple
        made = r if many else (r,)
        step = self._write_down(key, values, [None] * len(made), compute)
        outs = []
        for k, x in enumerate(made):
            if x is None:
                outs.append(None)
                continue
            t = self.wrap(x)
            t._a.now = step.outs[k] = self._new("step", x, step=step)
            if raw:
                base = args[0]._a
                t._a.base, t._a.via, t._a.index, t._a.seen = base, (key, values[1:]), k, base.version
            outs.append(t)
        with self.aside():
            return finish(rec, args, tuple(outs) if many else outs[0], self)

    # ------------------------------------------------------------ changes in place

    def lift(self, t, source=None):
        before = self.value(t)
        lift_in_place(t, self)
        t._a.now = before

    def write(self, t, source):
        if not on(t, self):
            self.lift(t)
        new = self.value(source)
        inner = unwrap(source, self)
        with self.aside():
            value_of(t).copy_(inner)
            if new.shape != tuple(t._a.shape) or new.dtype is not t.dtype:
                copied = value_of(t).clone()
        if new.shape != tuple(t._a.shape) or new.dtype is not t.dtype:
            new = self.step_of("#copy", (new, list(t._a.shape), t.dtype), copied)
        self.assign(t._a, new)

    def fill(self, t, number):
        with self.aside():
            value_of(t).fill_(number)
            filled = value_of(t).clone()
        self.assign(t._a, self.step_of("#full", (self.read(t._a), number), filled))

    # ------------------------------------------------------------ what is heard

    def aside(self):
        """Context in which nothing is listened to."""
        return _Aside(self)

    def constant(self, t):
        if not self.quiet and self in state.levels and not isinstance(t._a, Wrapped):
            before = t
            with self.aside():
                lift_in_place(before, self)
                kept = value_of(before).clone()
            before._a.now = self._new("constant", kept)

    def drawn(self, label, draw, t):
        if self.quiet:
            return
        kind = label.removesuffix("_like")
        if kind in ("randn", "rand", "dropout"):
            args = ()
            if kind == "dropout":               # zeros and the inverse of the chance to keep
                highest = float(t.max()) if t.numel() else 0.0
                args = (1 / highest if highest else 0.0,)
            with self.aside():
                lift_in_place(t, self)
                kept = value_of(t).clone()
            t._a.now = self.step_of("#" + kind, args, kept)
        else:
            warnings.warn(f"{label}: the random numbers of the trace are constants of the exported model",
                          TracerWarning, stacklevel=2)
            self.constant(t)

    def looked(self, holder, what):
        """Python saw numbers of a tensor."""
        if holder.now is not None and holder.now.origin in ("step", "input"):
            warnings.warn(f"a tensor was made {what} during the export: the model keeps to what this one run saw",
                          TracerWarning, stacklevel=4)

    def __enter__(self):
        super().__enter__()
        state.special += 1
        self.watching = watch.set_listener(_Listener(self))
        return self

    def __exit__(self, *exc):
        watch.set_listener(self.watching)
        state.special -= 1
        super().__exit__(*exc)


class _Listener(watch.Listener):
    """The level's ear: it hears of constants and draws only, as ops come to the level by themselves."""

    def __init__(self, level):
        self.constant, self.drawn = level.constant, level.drawn


class _Aside:
    """Context in which a level hears nothing."""

    def __init__(self, level):
        self.level = level

    def __enter__(self):
        self.level.quiet += 1
        self.listener = watch.set_listener(None)

    def __exit__(self, *exc):
        watch.set_listener(self.listener)
        self.level.quiet -= 1


class Trace:
    """One run: steps, values, the values of inputs and outputs, the structure of the outputs."""

    __slots__ = ("steps", "values", "inputs", "outputs", "structure")


def trace(model, args, kwargs):
    """Run ``model(*args, **kwargs)`` and write down its steps.

    RuntimeError and the like come as from the model. Tensors among the arguments are inputs, in order.
    """
    from rushlight import no_grad
    from rushlight.func import functional_call
    from rushlight.nn import Parameter
    from rushlight.utils import _pytree as pytree
    level = TraceLevel()
    leaves, structure = pytree.tree_flatten((args, kwargs))
    found = Trace()
    own = {}
    if hasattr(model, "named_parameters"):
        for name, t in (*model.named_parameters(), *model.named_buffers()):
            own[name] = t
    with no_grad(), level:
        with level.aside():
            # What the model changes in place are copies.
            given = [level.leaf(x.detach().clone(), "input") if isinstance(x, Tensor) else x for x in leaves]
            swapped = {name: level.leaf(t if isinstance(t, Parameter) else t.clone(), "parameter", name)
                       for name, t in own.items()}
        found.inputs = [x._a.now for x in given if isinstance(x, Tensor)]
        args, kwargs = pytree.tree_unflatten(given, structure)
        hooks = _scopes(model, level.scopes) if hasattr(model, "named_modules") else []
        try:
            if own:
                result = functional_call(model, swapped, args, kwargs, tie_weights=True)
            else:
                result = model(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        flat, found.structure = pytree.tree_flatten(result)
        found.outputs = []
        for x in flat:
            if x is None:
                continue
            if not isinstance(x, Tensor):
                x = level.constant_on_level(_tensor_of(x, level))
            found.outputs.append(level.value(x))
            found.outputs[-1].tensor = unwrap(x, level)
    found.steps, found.values = level.steps, level.values
    return found


def _scopes(model, scopes):
    """Hooks that keep the name of the module that runs at the end of `scopes`."""
    hooks = []
    for name, module in model.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: scopes.append(name)))
            hooks.append(module.register_forward_hook(lambda *_: scopes.pop() and None, always_call=True))
    return hooks


def _tensor_of(number, level):
    """A number among the outputs as a tensor."""
    import rushlight as torch
    if not isinstance(number, (bool, int, float)):
        raise OnnxExporterError(f"the model returns a {type(number).__name__}: only tensors and numbers can be outputs")
    with level.aside():
        return torch.tensor(number)

