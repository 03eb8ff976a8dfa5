"""Parameters as one vector and back."""

import rushlight as torch

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _checked_device(param, device):
    """The device all parameters are on, -1 for the CPU."""
    here = param.get_device() if param.is_cuda else -1
    if device is not None and device != here:
        raise TypeError("Found two parameters on different devices, this is currently not "
                        "supported.")
    return here


def parameters_to_vector(parameters):
    """All parameters, flattened, one after the other."""
    device, parts = None, []
    for param in parameters:
        device = _checked_device(param, device)
        parts.append(param.view(-1))
    return torch.cat(parts)


def vector_to_parameters(vec, parameters):
    """Give the parameters slices of `vec` as their values.

    Raises:
        TypeError: where `vec` is no tensor or devices differ.
    """
    if not isinstance(vec, torch.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    device, start = None, 0
    for param in parameters:
        device = _checked_device(param, device)
        end = start + param.numel()
        param.data = vec[start:end].view_as(param).data
        start = end
