"""Tensors that a module owns: `Parameter` (trained) and `Buffer` (state), and their lazy forms."""

from collections import OrderedDict

import rushlight as torch

__all__ = ["Parameter", "UninitializedParameter", "is_lazy", "Buffer", "UninitializedBuffer",
           "UninitializedTensorMixin"]

_TensorMeta = type(torch.Tensor)


class _ParameterMeta(_TensorMeta):
    """Lets a tensor of another class count as a parameter once it is marked as one."""

    def __instancecheck__(self, instance):
        kind = type(instance)
        if kind is self or self in kind.__mro__:
            return True
        return (self is Parameter and isinstance(instance, torch.Tensor)
                and getattr(instance, "_is_param", False))


class Parameter(torch.Tensor, metaclass=_ParameterMeta):
    """A tensor that a `Module` registers as trainable when it is assigned as an attribute.

    Args:
        data: the values, shared and not copied; an empty tensor where it is None.
        requires_grad: whether gradients are accumulated in `.grad`.

    A tensor of a class other than `Tensor` keeps its class and is only marked; `isinstance(t,
    Parameter)` is then true of it too.

    Raises:
        RuntimeError: where the class of `data` is lost by `detach()`.
    """

    # Operations treat it as a tensor and return tensors: it takes nothing over.
    _plain_subclass = True

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = torch.empty(0)
        kind = type(data)
        if kind is torch.Tensor or kind is Parameter:
            return torch.Tensor._make_subclass(cls, data, requires_grad)
        marked = data.detach().requires_grad_(requires_grad)
        if type(marked) is not kind:
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {kind.__name__} requires that "
                "detach() returns an instance of the same type, but return type "
                f"{type(marked).__name__} was found instead. To use the type as a Parameter, "
                "please correct the detach() semantics defined by its __torch_dispatch__() "
                "implementation.")
        marked._is_param = True
        return marked

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        copied = type(self)(self.data.clone(memory_format=torch.preserve_format),
                            self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, proto):
        state = dict(self.__dict__)
        if state:
            return _rebuild_parameter_with_state, (
                self.data, self.requires_grad, OrderedDict(), state)
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


def _rebuild_parameter(data, requires_grad, backward_hooks):
    """The parameter a pickle describes; hooks are dropped when pickling, so there are none."""
    param = Parameter(data, requires_grad)
    param._backward_hooks = backward_hooks
    return param


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    param = _rebuild_parameter(data, requires_grad, backward_hooks)
    param.__dict__.update(state)
    return param


class UninitializedTensorMixin:
    """A tensor whose shape is not known yet: only moving, casting and `materialize` work."""

    _allowed_names = frozenset((
        "size", "copy_", "is_complex", "is_floating_point", "half", "float", "double", "char",
        "short", "int", "long", "cuda", "cpu", "to", "get_device", "detach", "requires_grad_",
        "type", "bfloat16", "byte", "bool", "share_memory_", "as_subclass", "materialize"))

    def materialize(self, shape, device=None, dtype=None):
        """Allocate uninitialised values of `shape` in place; self becomes an ordinary tensor.

        Device and dtype stay those of self where they are None.
        """
        device = self.data.device if device is None else device
        dtype = self.data.dtype if dtype is None else dtype
        self.data = torch.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes.")

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`.")

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, proto):
        return type(self), (self.requires_grad,)


_refusing = False


def _refuse_operations():
    """Make the methods and operators of lazy tensors say what is wrong (once, on first use)."""
    global _refusing
    if _refusing:
        return
    _refusing = True

    def refusal(name, operation):
        def refuse(self, *args, **kwargs):
            raise ValueError(
                f"Attempted to use an uninitialized parameter in {operation}. This error happens "
                "when you are using a `LazyModule` or explicitly manipulating "
                f"`torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call "
                "`forward` with a dummy batch to initialize the parameters before calling torch "
                "functions")
        refuse.__name__ = name
        return refuse

    import operator
    mixin = UninitializedTensorMixin
    for name in dir(torch.Tensor):
        operation = getattr(torch.Tensor, name, None)
        if not callable(operation) or name in mixin.__dict__:
            continue
        if name.startswith("__"):
            plain = name.strip("_")
            if not any(f"__{op}__" in vars(operator) for op in (plain, plain[1:])):
                continue
            if name in ("__eq__", "__ne__", "__setitem__", "__index__"):
                continue
        elif name.startswith("_") or name in mixin._allowed_names:
            continue
        setattr(mixin, name, refusal(name, operation))


def is_lazy(param):
    """Whether `param` has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A `Parameter` whose shape a lazy module finds at its first call."""

    cls_to_become = Parameter
    _plain_subclass = True

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        _refuse_operations()
        data = torch.empty(0, device=device, dtype=dtype)
        return torch.Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        copied = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        memo[id(self)] = copied
        return copied


class _BufferMeta(_TensorMeta):
    def __instancecheck__(self, instance):
        kind = type(instance)
        if kind is self or self in kind.__mro__:
            return True
        return (self is Buffer and isinstance(instance, torch.Tensor)
                and getattr(instance, "_is_buffer", False))


class Buffer(torch.Tensor, metaclass=_BufferMeta):
    """A tensor that a `Module` registers as state, not trained, when it is assigned.

    Args:
        data: the values, shared and not copied; an empty tensor where it is None.
        persistent: whether it belongs to the module's `state_dict`.

    Returns a tensor of the class of `data`, marked as a buffer.
    """

    _plain_subclass = True

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = torch.empty(0)
        marked = data.detach().requires_grad_(data.requires_grad)
        marked.persistent = persistent
        marked._is_buffer = True
        return marked


class UninitializedBuffer(UninitializedTensorMixin, torch.Tensor):
    """A buffer whose shape a lazy module finds at its first call."""

    cls_to_become = torch.Tensor
    _plain_subclass = True

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        _refuse_operations()
        data = torch.empty(0, device=device, dtype=dtype)
        buffer = torch.Tensor._make_subclass(cls, data, requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer
