"""Gradients of convolutions as functions: with respect to the input or to the weight."""

import rushlight as torch
from rushlight.nn.modules.utils import _pair, _single, _triple


def _conv(n, input, weight, stride, padding, dilation, groups):
    conv = getattr(torch.nn.functional, f"conv{n}d")
    return conv(input, weight, None, stride, padding, dilation, groups)


def _input_gradient(n, ntuple, input_size, weight, grad_output, stride, padding, dilation,
                    groups):
    # The convolution is linear in its input: its gradient does not depend on the values.
    with torch.enable_grad():
        probe = torch.zeros(input_size, dtype=weight.dtype, device=weight.device,
                            requires_grad=True)
        output = _conv(n, probe, weight, ntuple(stride), ntuple(padding), ntuple(dilation),
                       groups)
        return torch.autograd.grad(output, probe, grad_output,
                                   create_graph=grad_output.requires_grad
                                   or weight.requires_grad)[0]


def _weight_gradient(n, ntuple, input, weight_size, grad_output, stride, padding, dilation,
                     groups):
    with torch.enable_grad():
        probe = torch.zeros(weight_size, dtype=input.dtype, device=input.device,
                            requires_grad=True)
        output = _conv(n, input, probe, ntuple(stride), ntuple(padding), ntuple(dilation),
                       groups)
        return torch.autograd.grad(output, probe, grad_output,
                                   create_graph=grad_output.requires_grad
                                   or input.requires_grad)[0]


def conv1d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv1d` with respect to its input, of size `input_size`."""
    return _input_gradient(1, _single, input_size, weight, grad_output, stride, padding,
                           dilation, groups)


def conv1d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv1d` with respect to its weight, of size `weight_size`."""
    return _weight_gradient(1, _single, input, weight_size, grad_output, stride, padding,
                            dilation, groups)


def conv2d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv2d` with respect to its input, of size `input_size`."""
    return _input_gradient(2, _pair, input_size, weight, grad_output, stride, padding, dilation,
                           groups)


def conv2d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv2d` with respect to its weight, of size `weight_size`."""
    return _weight_gradient(2, _pair, input, weight_size, grad_output, stride, padding,
                            dilation, groups)


def conv3d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv3d` with respect to its input, of size `input_size`."""
    return _input_gradient(3, _triple, input_size, weight, grad_output, stride, padding,
                           dilation, groups)


def conv3d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv3d` with respect to its weight, of size `weight_size`."""
    return _weight_gradient(3, _triple, input, weight_size, grad_output, stride, padding,
                            dilation, groups)
