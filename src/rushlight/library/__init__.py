"""Operators of one's own: ``custom_op`` for a Python function, ``Library`` for schemas and kernels apart.

All are reached as ``torch.ops.namespace.name``.
"""

from . import entries, operators
from .checks import opcheck
from .custom import CustomOpDef, custom_op
from .schema import infer_schema

__all__ = ["Library", "impl", "define", "fallthrough_kernel", "impl_abstract", "register_autocast", "register_fake",
           "register_torch_dispatch", "register_vmap", "get_ctx", "get_kernel", "custom_op", "triton_op",
           "wrap_triton", "infer_schema", "opcheck", "register_autograd", "register_kernel", "CustomOpDef"]
_KINDS = ("DEF", "IMPL", "FRAGMENT")
_owned = {"aten"}               # namespaces that have their one DEF library


def fallthrough_kernel():
    """Stands for a kernel that leaves the call to the next one."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


class Library:
    """A place to define operators of a namespace and to register kernels for them.

    Args:
        ns: the namespace.
        kind: ``"DEF"`` (one a namespace), ``"FRAGMENT"`` (any number) or ``"IMPL"``, which only registers kernels.
        dispatch_key: which tensors the kernels are for, such as ``"CPU"``; default all, by composition.
    """

    def __init__(self, ns, kind, dispatch_key=""):
        if kind not in _KINDS:
            raise ValueError(f"Unsupported kind: {kind}")
        if kind == "DEF":
            if ns in _owned:
                raise RuntimeError(f"Only a single TORCH_LIBRARY can be used to register the namespace {ns}; please "
                                   "put all of your definitions in a single TORCH_LIBRARY block.")
            _owned.add(ns)
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key
        self._defined, self._set = [], []

    def __repr__(self):
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema, alias_analysis="", *, tags=()):
        """Define an operator by its schema; returns its name. RuntimeError where it is there already."""
        if alias_analysis not in ("", "FROM_SCHEMA", "CONSERVATIVE"):
            raise RuntimeError(f"Invalid alias_analysis type {alias_analysis}")
        op = operators.define(schema, self.ns)
        self._defined.append(op)
        return op.name().partition("::")[2]

    def impl(self, op_name, fn, dispatch_key="", *, with_keyset=False, allow_override=True):
        """Register a kernel of an operator (a name or an overload); RuntimeError for unknown names."""
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        name = op_name.name() if isinstance(op_name, operators.OpOverload) else op_name
        op = operators.overload(name if "::" in name else f"{self.ns}::{name}")
        if op._entry is None:
            raise NotImplementedError(f"{op.name()}: operators of the op table keep their kernels")
        if fn is fallthrough_kernel:
            return
        key = dispatch_key or self.dispatch_key or "CompositeImplicitAutograd"
        op._entry.register(key, fn)
        self._set.append((op, key))

    def fallback(self, fn, dispatch_key="", *, with_keyset=False):
        """Not there: kernels for all operators of a namespace at once."""
        raise NotImplementedError("Library.fallback: kernels for all operators at once are not there")

    def _destroy(self):
        for op in self._defined:
            operators.forget(op)
        for op, key in self._set:
            op._entry.kernels.pop(entries._KEYS[key], None)
        if self.kind == "DEF":
            _owned.discard(self.ns)


def define(qualname, schema, *, lib=None, tags=()):
    """Define ``namespace::name`` with a schema written ``(Tensor x) -> Tensor``.

    As a decorator of a function that takes a Library, ``define(lib, "name(Tensor x) -> Tensor")``.
    """
    if isinstance(qualname, Library):
        name = qualname.define(schema)

        def deco(f):
            qualname.impl(name, f)
            return f
        return deco
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    ns, sep, name = qualname.partition("::")
    if not sep:
        raise ValueError(f"define(qualname, ...): Expected qualname to be of the form namespace::name, got {qualname}")
    if not schema.startswith("("):
        raise ValueError(f"define(qualname, schema, ...): expected schema to look like e.g. \"(Tensor x) -> Tensor\" "
                         f"but got \"{schema}\"")
    operators.define(name + schema, ns)
    return None


def impl(qualname, types, func=None, *, lib=None):
    """Register a kernel: ``impl("ns::name", "cpu", fn)`` for device types (``"default"``: all), or as a decorator.

    ``impl(lib, "name", "CPU")`` is the decorator for an operator of a Library.
    """
    if isinstance(qualname, Library):
        def old(f):
            qualname.impl(types, f, func or "")
            return f
        return old
    op = operators.overload(qualname)

    def deco(f):
        for kind in (types,) if isinstance(types, str) else types:
            op._entry.register("CompositeExplicitAutograd" if kind == "default" else kind, f)
        return f
    return deco if func is None else deco(func)


def _entry(op):
    return operators.overload(op)._entry


def register_kernel(op, device_types, func=None, /, *, lib=None):
    """Register a kernel for device types, see `CustomOpDef.register_kernel`."""
    def deco(f):
        for kind in (device_types,) if device_types is None or isinstance(device_types, str) else device_types:
            _entry(op).kernels[kind] = f
        return f
    return deco if func is None else deco(func)


def register_fake(op, func=None, /, *, lib=None, _stacklevel=1, allow_override=True):
    """Register what an operator gives for tensors without data, see `CustomOpDef.register_fake`."""
    entry = _entry(op)

    def deco(f):
        entry.fake = f
        return f
    return deco if func is None else deco(func)


def impl_abstract(qualname, func=None, *, lib=None, _stacklevel=1):
    """The old name of `register_fake`."""
    return register_fake(qualname, func, lib=lib)


def register_autograd(op, backward, /, *, setup_context=None, lib=None):
    """Register the gradient of an operator, see `CustomOpDef.register_autograd`."""
    entry = _entry(op)
    if entry.schema.is_mutable:
        raise RuntimeError(f"Cannot register autograd formula for non-functional operator {op} with schema "
                           f"{entry.schema}. Please create a functional operator and register an autograd formula for "
                           "that.")
    entry.backward, entry.setup_context = backward, setup_context


def register_vmap(op, func=None, /, *, lib=None):
    """Register how a batch of calls runs at once, see `CustomOpDef.register_vmap`."""
    entry = _entry(op)

    def deco(f):
        entry.vmap = f
        return f
    return deco if func is None else deco(func)


def register_autocast(op, device_type, cast_inputs, /, *, lib=None):
    """Register the type that floating inputs are cast to under autocast."""
    CustomOpDef.register_autocast(type("_", (), {"_entry": _entry(op)}), device_type, cast_inputs)


def register_torch_dispatch(op, torch_dispatch_class, func=None, /, *, lib=None):
    """Not there, see `CustomOpDef.register_torch_dispatch`."""
    raise NotImplementedError("register_torch_dispatch: there are no __torch_dispatch__ classes in Rushlight")


class _FakeContext:
    """What a fake implementation may ask for sizes that depend on data."""

    def new_dynamic_size(self, *, min=0, max=None):
        """A size that data decides: none can be known without data."""
        raise NotImplementedError("sizes that depend on data have no stand-in here")


def get_ctx():
    """The context of the fake implementation that runs."""
    return _FakeContext()


def get_kernel(op, dispatch_key):
    """The kernel registered for a dispatch key; RuntimeError where there is none."""
    entry, name = _entry(op), getattr(dispatch_key, "name", dispatch_key)
    kernel = entry.kernels.get(entries._KEYS.get(name, name)) or entry.kernels.get(None)
    if kernel is None:
        raise RuntimeError(f"no kernel for dispatch key {name} is registered for {entry.schema.name}")
    return kernel


def triton_op(name, fn=None, /, *, mutates_args, schema=None):
    """Not there: Triton's kernels run on GPUs."""
    raise NotImplementedError("triton_op: Rushlight runs on the CPU; use custom_op")


def wrap_triton(triton_kernel, /):
    """Not there: Triton's kernels run on GPUs."""
    raise NotImplementedError("wrap_triton: Rushlight runs on the CPU; use custom_op")
