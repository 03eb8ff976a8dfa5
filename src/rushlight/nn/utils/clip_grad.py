"""Keep gradients from becoming too large."""

import rushlight as torch
from rushlight.autograd.modes import state as modes
from rushlight.ops.norms import norms_of_many
from rushlight.optim import fused

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_"]


def _gradients(parameters):
    """The gradients of one parameter or several; a generator is used up."""
    if isinstance(parameters, torch.Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def _scaled(s, x, factor):
    return x * factor


def _limited(s, x, low, high):
    return s.clamp(x, low, high)


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all elements of several tensors as of one vector.

    Args:
        tensors (Tensor or iterable of Tensor): what to measure.
        norm_type (float): order of the norm, (sum |x|^order)^(1/order); ``inf``: the largest.
        error_if_nonfinite (bool): refuse NaN and infinity.
        foreach (bool, optional): how to run; the result is the same.

    Returns:
        A 0-d tensor; 0 for no tensors.

    Raises:
        RuntimeError: the norm is not finite and ``error_if_nonfinite`` is set.
    """
    tensors = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return torch.tensor(0.0)
    with torch.no_grad():
        norms = None if modes.special else norms_of_many(tensors, norm_type)
        if norms is None:
            first = tensors[0].device
            norms = torch.stack([torch.linalg.vector_norm(x, norm_type).to(first) for x in tensors])
        total = torch.linalg.vector_norm(norms, norm_type)
    if error_if_nonfinite and not torch.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Multiply the gradients by min(1, max_norm / (total_norm + 1e-6)), in place.

    Args:
        parameters (Tensor or iterable of Tensor): whose gradients to scale.
        max_norm (float): largest norm.
        total_norm (Tensor): the norm they have.
        foreach (bool, optional): how to run; the result is the same.
    """
    max_norm = float(max_norm)
    with torch.no_grad():
        scale = torch.clamp(max_norm / (total_norm + 1e-6), max=1.0)
        gradients = _gradients(parameters)
        if not modes.special:
            gradients = fused.map_(_scaled, gradients, scale.item())
        for grad in gradients:
            grad.mul_(scale.to(grad.device))


def clip_grad_norm_(
    parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None
):
    """Scale gradients in place so that the norm of all of them together is at most ``max_norm``.

    Args:
        parameters (Tensor or iterable of Tensor): whose gradients to scale.
        max_norm (float): largest norm.
        norm_type (float): order of the norm; see ``get_total_norm``.
        error_if_nonfinite (bool): refuse NaN and infinity.
        foreach (bool, optional): how to run; the result is the same.

    Returns:
        The norm before, a 0-d tensor.

    Raises:
        RuntimeError: the norm is not finite and ``error_if_nonfinite`` is set.

    Source: Pascanu et al., On the difficulty of training recurrent neural networks, 2013.
    """
    if isinstance(parameters, torch.Tensor):
        parameters = [parameters]
    else:
        generator = not hasattr(parameters, "__len__")
        parameters = list(parameters)
        if generator and not parameters:
            import warnings

            warnings.warn(
                "`parameters` is an empty generator, no gradient clipping will occur.",
                stacklevel=2,
            )
    kind = type(parameters[0]).__dict__.get("norm_of_gradients") if parameters else None
    if kind is not None:                # parts of parameters, the rest of which other processes have
        total = kind.__func__(parameters, norm_type)
    else:
        total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None
):
    """The old name of ``clip_grad_norm_``."""
    import warnings

    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters, clip_value, foreach=None):
    """Limit each element of the gradients to [-clip_value, clip_value], in place.

    Args:
        parameters (Tensor or iterable of Tensor): whose gradients to limit.
        clip_value (float): the bound.
        foreach (bool, optional): how to run; the result is the same.
    """
    clip_value = float(clip_value)
    with torch.no_grad():
        for grad in fused.map_(_limited, _gradients(parameters), -clip_value, clip_value):
            grad.clamp_(min=-clip_value, max=clip_value)
