"""``custom_op``: a Python function as an operator, with kernels, gradient, shape rule and batching rule of its own."""

import contextlib
import functools
import inspect

from . import operators
from .schema import infer_schema

__all__ = ["CustomOpDef", "custom_op"]


class CustomOpDef:
    """An operator made by `custom_op`; callable, and what further functions are registered on."""

    def __init__(self, namespace, name, schema, fn, device_types=None):
        self._namespace, self._name, self._schema = namespace, name, schema
        self._init_fn = fn
        self._qualname = f"{namespace}::{name}"
        previous = OPDEFS.get(self._qualname)
        if previous is not None:
            operators.forget(previous._opoverload)
        self._opoverload = operators.define(f"{name}{schema}", namespace, checked=True)
        self._entry = self._opoverload._entry
        OPDEFS[self._qualname] = self
        functools.update_wrapper(self, fn)
        self.register_kernel(device_types)(fn)

    def __repr__(self):
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args, **kwargs):
        return self._opoverload(*args, **kwargs)

    def register_kernel(self, device_types, fn=None, /):
        """Decorator: the implementation for some device types (a str or several), or for any (None)."""
        kinds = [device_types] if device_types is None or isinstance(device_types, str) else device_types

        def deco(f):
            for kind in kinds:
                self._entry.kernels[kind] = f
            return f
        return deco if fn is None else deco(fn)

    @contextlib.contextmanager
    def set_kernel_enabled(self, device_type, enabled=True):
        """Context in which the kernel of a device type is used, or the one for any device instead."""
        was = device_type in self._entry.disabled
        (self._entry.disabled.discard if enabled else self._entry.disabled.add)(device_type)
        try:
            yield
        finally:
            (self._entry.disabled.add if was else self._entry.disabled.discard)(device_type)

    def register_fake(self, fn, /):
        """Decorator: what the op gives for tensors without data; called with meta tensors."""
        self._entry.fake = fn
        return fn

    def register_autograd(self, backward, /, *, setup_context=None):
        """The gradient: ``backward(ctx, *grads)`` gives one an argument.

        ``setup_context(ctx, inputs, output)`` saves what it needs; ops with keyword-only arguments get
        ``keyword_only_inputs`` as well. RuntimeError for ops that write to their arguments.
        """
        if self._entry.schema.is_mutable:
            raise RuntimeError(f"Cannot register autograd formula for non-functional operator {self} with schema "
                               f"{self._entry.schema}. Please create a functional operator and register an autograd "
                               "formula for that.")
        self._entry.backward, self._entry.setup_context = backward, setup_context

    def register_vmap(self, func=None):
        """Decorator: ``func(info, in_dims, *args) -> (output, out_dims)`` runs a batch of calls at once."""
        def deco(f):
            self._entry.vmap = f
            return f
        return deco if func is None else deco(func)

    def register_autocast(self, device_type, cast_inputs):
        """Cast floating inputs to a type under autocast on a device type."""
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if device_type not in ("cpu", "cuda"):
            raise ValueError(f"Unknown device type: {device_type}")
        self._entry.autocast[device_type] = cast_inputs

    def register_torch_dispatch(self, torch_dispatch_class, fn=None, /):
        """Not there: classes with ``__torch_dispatch__`` are none of the tensors here."""
        raise NotImplementedError("register_torch_dispatch: there are no __torch_dispatch__ classes in Rushlight")


OPDEFS = {}


def custom_op(name, fn=None, /, *, mutates_args, device_types=None, schema=None, tags=None):
    """Decorator: make a function the operator ``namespace::name``.

    Args:
        mutates_args: names of the arguments it writes to, or ``"unknown"``; results may not share memory with inputs.
        device_types: whose tensors it takes (a str or several); default any.
        schema: its signature; default inferred from the annotations, see `infer_schema`.

    The result is called like the function, or as ``torch.ops.namespace.name``. Inside, nothing is recorded for
    gradients: register them with ``register_autograd``.
    """
    def deco(f):
        text = infer_schema(f, mutates_args=mutates_args) if schema is None else schema
        namespace, sep, op = name.partition("::")
        if not sep:
            raise ValueError(f"expected a name of the form namespace::name, got '{name}'")
        if schema is not None:
            from .schema import parse
            names = [a.name for a in parse(f"{op}{schema}").arguments]
            given = list(inspect.signature(f).parameters)
            if names != given:
                raise ValueError(f"the schema's arguments {names} are not those of the function {given}")
        return CustomOpDef(namespace, op, text, f, device_types)
    return deco if fn is None else deco(fn)
