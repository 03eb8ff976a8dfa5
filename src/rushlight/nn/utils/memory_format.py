"""Channels-last weights."""

import rushlight as torch

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module, classes, n_dims, memory_format):
    for each in module.modules():
        if isinstance(each, classes):
            if each.weight.dim() != n_dims:
                continue
            weight = each.weight.detach().clone().contiguous(memory_format=memory_format)
            each.weight.data = weight.resize_(weight.size(), memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module, memory_format):
    """Lay the weights of all two-dimensional convolutions out in `memory_format`."""
    return _convert(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d), 4, memory_format)


def convert_conv3d_weight_memory_format(module, memory_format):
    """Lay the weights of all three-dimensional convolutions out in `memory_format`."""
    return _convert(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d), 5, memory_format)
