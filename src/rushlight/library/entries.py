"""What is registered for an operator, and how a call finds its way through it: casts, gradients, kernel by device."""

from collections import namedtuple

import rushlight as torch
from rushlight.autograd.function import Function
from rushlight.autograd.modes import state, switch_autocast

__all__ = ["DEFINED", "Entry"]

VmapInfo = namedtuple("VmapInfo", "batch_size randomness")
DEFINED = {}            # "ns::name" -> {overload name: Entry}

_KEYS = {"CPU": "cpu", "Meta": "meta", "CompositeExplicitAutograd": None, "CompositeImplicitAutograd": "implicit",
         "": "implicit", "Autograd": "autograd", "AutogradCPU": "autograd", "CUDA": "cuda", "cpu": "cpu",
         "cuda": "cuda", "meta": "meta", "xpu": "xpu", "XPU": "xpu", "mps": "mps", "hpu": "hpu", "mtia": "mtia"}


class Entry:
    """An operator: its schema, and the functions given for it."""

    def __init__(self, schema, checked=False):
        self.schema, self.checked = schema, checked
        self.kernels = {}           # device type (None: any; "implicit": of other ops; "autograd") -> function
        self.disabled = set()
        self.fake = self.backward = self.setup_context = self.vmap = None
        self.autocast = {}
        self.function = None        # the autograd function, once it has been needed

    @property
    def qualname(self):
        """``ns.name.overload``, as errors call it."""
        s = self.schema
        return f"{s.name.replace('::', '.')}.{s.overload_name or 'default'}"

    def register(self, key, fn):
        """Let `fn` serve a dispatch key (or device type)."""
        if key not in _KEYS:
            raise RuntimeError(f"could not parse dispatch key: {key}")
        self.kernels[_KEYS[key]] = fn

    def call(self, args, kwargs):
        """The operator on complete arguments."""
        d = state.autocast
        if d is not None and "cpu" in self.autocast:
            from rushlight.amp.autocast_mode import _cast
            switch_autocast(None)
            try:
                to = self.autocast["cpu"]
                return self.call(_cast(args, "cpu", to), _cast(kwargs, "cpu", to))
            finally:
                switch_autocast(d)
        tensors = list(_tensors((*args, *kwargs.values())))
        if "implicit" in self.kernels and "autograd" not in self.kernels and self.backward is None:
            return self.kernels["implicit"](*args, **kwargs)
        if "autograd" in self.kernels and not state.__dict__.get("below_autograd"):
            return self.kernels["autograd"](*args, **kwargs)
        if self.vmap is not None:
            level = _batch_level(tensors)
            if level is not None:
                return self._vectorized(args, kwargs, level)
        if state.grad and any(t.requires_grad for t in tensors) and not self.schema.is_mutable:
            return self._recorded(args, kwargs)
        return self.run(args, kwargs, tensors)

    def run(self, args, kwargs, tensors):
        """The kernel of the tensors' device, below autograd."""
        fn = self._kernel(tensors)
        with torch.no_grad():
            result = fn(*args, **kwargs)
        if self.checked and fn is not self.fake:
            self._check_fresh(result, tensors)
        for a, value in zip(self.schema.arguments, (*args, *kwargs.values())):
            if a.is_write:
                for t in _tensors((value,)):
                    t._storage.version += 1
        return result

    def _kernel(self, tensors):
        kinds = {t.device.type for t in tensors}
        if "meta" in kinds:
            fn = self.fake or self.kernels.get("meta") or (None if self.checked else self.kernels.get(None))
            if fn is None:
                name = self.schema.name
                raise RuntimeError(f"There was no fake impl registered for <CustomOpDef({name})>. This is necessary "
                                   "for torch.compile/export/fx tracing to work. Please use "
                                   f"`{name.partition('::')[2]}.register_fake` to add an fake impl.")
            return fn
        kind = next(iter(kinds), "cpu")
        fn = self.kernels.get(kind) if kind not in self.disabled else None
        fn = fn or self.kernels.get(None) or self.kernels.get("implicit")
        if fn is None:
            raise NotImplementedError(f"Could not run '{self.schema.name}' with arguments from the '{kind.upper()}' "
                                      "backend: no kernel is registered for it.")
        return fn

    def _check_fresh(self, result, tensors):
        blocks = {id(t._storage.block()) for t in tensors if t.device.type == "cpu"}
        for t in _tensors((result,)):
            if t.device.type == "cpu" and id(t._storage.block()) in blocks:
                raise RuntimeError(
                    f"{self.schema.name.partition('::')[2]} (custom operator {self.schema.name}): The output of this "
                    "custom operator (1) must not also be an input to this custom operator and (2) may not alias any "
                    "inputs to this custom operator or other returns. The most common way to trigger this error is if "
                    "we have y = custom_op(x) and y and x are the same Tensor. Please instead return a clone of the "
                    "offending output tensor(s) (e.g. return x.clone()) or refactor the custom operator to not return "
                    "y.")

    def _vectorized(self, args, kwargs, level):
        """The registered batching rule on what is underneath the tensors of `level`, whose batch comes first."""
        from rushlight.func.wrapped import on, unwrap

        def dims(x):
            return [dims(y) for y in x] if _is_list(x) else 0 if on(x, level) else None
        out, out_dims = self.vmap(VmapInfo(level.size, level.randomness), tuple(dims(a) for a in args),
                                  *[unwrap(a, level) for a in args], **{k: unwrap(v, level) for k, v in kwargs.items()})

        def wrap(x, d):
            if isinstance(x, (list, tuple)):
                return type(x)(wrap(y, e) for y, e in zip(x, d if isinstance(d, (list, tuple)) else [d] * len(x)))
            return x if d is None else level.wrap(x.movedim(d, 0))
        return wrap(out, out_dims)

    def _recorded(self, args, kwargs):
        if self.function is None:
            name = "GeneratedBackwardFor_" + self.qualname.replace(".", "_")
            self.function = type(name, (_Generated,), {"entry": self})
        tensors, rebuild = _open(args)
        call = _Call(self, rebuild, kwargs)
        out = self.function.apply(call, *tensors)
        return list(out) if call.gave_list else out


class _Call:
    """One call on its way through autograd."""

    __slots__ = ("entry", "rebuild", "kwargs", "gave_list")

    def __init__(self, entry, rebuild, kwargs):
        self.entry, self.rebuild, self.kwargs, self.gave_list = entry, rebuild, kwargs, False


class _Generated(Function):
    """The autograd function of an operator; lists of tensors are passed one by one."""

    entry = None

    @staticmethod
    def forward(ctx, call, *tensors):
        entry, args = call.entry, call.rebuild(tensors)
        out = entry.run(args, call.kwargs, list(_tensors((*args, *call.kwargs.values()))))
        ctx.call = call
        if entry.setup_context is not None:
            more = {"keyword_only_inputs": call.kwargs} if call.kwargs else {}
            needs = iter(ctx.needs_input_grad[1:])
            ctx.needs_input_grad = tuple(
                next(needs) if isinstance(a, torch.Tensor) else
                [next(needs) for _ in a] if _is_list(a) else False for a in args)
            entry.setup_context(ctx=ctx, inputs=tuple(args), output=out, **more)
        call.gave_list = isinstance(out, list)
        return tuple(out) if call.gave_list else out

    @staticmethod
    def backward(ctx, *grads):
        entry = ctx.call.entry
        if entry.backward is None:
            raise RuntimeError(f"Trying to backward through {entry.qualname} but no autograd formula was registered. "
                               "Please use register_autograd to add one.")
        found = entry.backward(ctx, list(grads)) if ctx.call.gave_list else entry.backward(ctx, *grads)
        found = found if isinstance(found, tuple) else (found,)
        args = ctx.call.rebuild(None)
        if len(found) > len(args):
            raise RuntimeError(f"function {entry.qualname} returned an incorrect number of gradients (expected "
                               f"{len(args)}, got {len(found)})")
        out = []
        for a, g in zip(args, (*found, *(None,) * (len(args) - len(found)))):
            if a is _TENSOR:
                out.append(g)
            elif isinstance(a, int):
                out.extend(g if g is not None else (None,) * a)
        return None, *out


_TENSOR = object()


def _is_list(value):
    return isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value)


def _open(args):
    """(all tensors among the arguments, a function that puts arguments together from tensors in their place).

    Given None, that function says what each argument is: `_TENSOR`, how many tensors it lists, or None.
    """
    tensors, kinds = [], []
    for a in args:
        if isinstance(a, torch.Tensor):
            tensors.append(a)
            kinds.append(_TENSOR)
        elif _is_list(a):
            tensors.extend(a)
            kinds.append(len(a))
        else:
            kinds.append(None)
    others = [a if k is None else None for a, k in zip(args, kinds)]

    def rebuild(given):
        if given is None:
            return kinds
        left = iter(given)
        return [next(left) if k is _TENSOR else [next(left) for _ in range(k)] if k is not None else a
                for k, a in zip(kinds, others)]
    return tensors, rebuild


def _tensors(values):
    for v in values:
        if isinstance(v, torch.Tensor):
            yield v
        elif isinstance(v, (list, tuple)):
            yield from _tensors(v)


def _batch_level(tensors):
    """The level of ``vmap`` that the tensors are on, where that is the innermost transform they are in."""
    import sys
    wrapped = sys.modules.get("rushlight.func.wrapped")
    level = None if wrapped is None else wrapped.highest(tensors)[0]
    return level if level is not None and level.batches else None
