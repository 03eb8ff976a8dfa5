"""Moving and casting modules: `to` and its short forms, all through `_apply`."""

import rushlight as torch


class ConvertMixin:
    """The part of `Module` that changes the device, dtype or layout of its tensors."""

    def _apply(self, fn, recurse=True):
        """Replace the values of every parameter, its gradient and every buffer by `fn` of them.

        Parameters keep their identity (optimizers hold them), buffers are new tensors.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, param in self._parameters.items():
            if param is not None:
                self._apply_to_parameter(name, param, fn)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def _apply_to_parameter(self, name, param, fn):
        with torch.no_grad():
            value = fn(param)
        grad = param.grad
        # Values of another kind of device can't become a parameter's in place.
        swap = value.device.type == "meta" or param.device.type == "meta"
        if swap and value.device.type != param.device.type:
            kept = torch.nn.Parameter(value, param.requires_grad)
            self._parameters[name] = kept
        else:
            param.data = value
            kept = param
        if grad is not None:
            with torch.no_grad():
                changed = fn(grad)
            # A gradient has its parameter's dtype and device, so it changes with it.
            kept.grad = None
            kept.grad = changed.requires_grad_(grad.requires_grad)

    def cuda(self, device=None):
        """Move all tensors to a CUDA device."""
        return self._apply(lambda t: t.cuda(device))

    def cpu(self):
        """Move all tensors to the CPU."""
        return self._apply(lambda t: t.cpu())

    def _no_backend(self, name):
        raise NotImplementedError(f"Module.{name}: there is no {name} device")

    def ipu(self, device=None):
        """Not available: raises NotImplementedError."""
        self._no_backend("ipu")

    def xpu(self, device=None):
        """Not available: raises NotImplementedError."""
        self._no_backend("xpu")

    def mtia(self, device=None):
        """Not available: raises NotImplementedError."""
        self._no_backend("mtia")

    def type(self, dst_type):
        """Cast all tensors to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self):
        """Cast floating-point tensors to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self):
        """Cast floating-point tensors to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self):
        """Cast floating-point tensors to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self):
        """Cast floating-point tensors to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def to_empty(self, *, device, recurse=True):
        """Move to `device` without copying: the values are undefined afterwards."""
        return self._apply(lambda t: torch.empty_like(t, device=device), recurse=recurse)

    def to(self, *args, **kwargs):
        """Move or cast: `to(device, dtype, non_blocking)`, `to(dtype)`, `to(tensor)`,
        `to(memory_format=...)`.

        Only floating-point and complex tensors are cast; only tensors of 4 or 5 dimensions take
        the memory format.

        Raises:
            TypeError: where the dtype is neither floating-point nor complex.
        """
        device, dtype, non_blocking, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None:
            if not (dtype.is_floating_point or dtype.is_complex):
                raise TypeError("nn.Module.to only accepts floating point or complex dtypes, but "
                                f"got desired dtype={dtype}")
            if dtype.is_complex:
                import warnings
                warnings.warn(
                    "Complex modules are a new feature: some modules do not take complex parameters or "
                    "buffers yet", stacklevel=2)

        def convert(t):
            try:
                cast = dtype if t.is_floating_point() or t.is_complex() else None
                if memory_format is not None and t.dim() in (4, 5):
                    return t.to(device, cast, non_blocking, memory_format=memory_format)
                return t.to(device, cast, non_blocking)
            except NotImplementedError as error:
                if str(error) == "Cannot copy out of meta tensor; no data!":
                    raise NotImplementedError(
                        f"{error} Please use torch.nn.Module.to_empty() instead of "
                        "torch.nn.Module.to() when moving module from meta to a different "
                        "device.") from None
                raise

        return self._apply(convert)

    def share_memory(self):
        """Move all tensors to memory that other processes can map."""
        return self._apply(lambda t: t.share_memory_())


def _no_overload(given):
    rest = ("bool non_blocking = False, bool copy = False, *, torch.memory_format "
            "memory_format = None")
    return TypeError(
        f"to() received an invalid combination of arguments - got ({given}), but expected one "
        "of:\n * (torch.device device = None, torch.dtype dtype = None, " + rest
        + ")\n * (torch.dtype dtype, " + rest + ")\n * (Tensor tensor, " + rest + ")\n")


def _parse_to(*args, **kwargs):
    """(device, dtype, non_blocking, memory_format) of the overloads of `to`."""
    memory_format = kwargs.pop("memory_format", None)
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    non_blocking = kwargs.pop("non_blocking", False)
    kwargs.pop("copy", None)
    other = kwargs.pop("tensor", None) or kwargs.pop("other", None)
    if kwargs:
        raise _no_overload(", ".join([type(a).__name__ for a in args] + [
            f"{name}={type(value).__name__}" for name, value in kwargs.items()] + [""]))
    rest = list(args)
    if rest:
        first = rest.pop(0)
        if isinstance(first, torch.Tensor):
            other = first
        elif isinstance(first, torch.dtype):
            dtype = first
        elif first is None or isinstance(first, (str, int, torch.device)):
            device = first
            if rest and (rest[0] is None or isinstance(rest[0], torch.dtype)):
                dtype = rest.pop(0) or dtype
        else:
            raise _no_overload(", ".join(type(a).__name__ for a in args))
        if rest:
            non_blocking = rest.pop(0)
    if isinstance(other, torch.Tensor):
        device, dtype = other.device, other.dtype
    if device is not None and not isinstance(device, torch.device):
        device = torch.device(device)
    return device, dtype, non_blocking, memory_format
