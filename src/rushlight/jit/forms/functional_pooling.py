"""Pooling and resampling in the script language."""



from __future__ import annotations

import rushlight as torch
from rushlight import Tensor

from .operators import BroadcastingList1, BroadcastingList2, BroadcastingList3
from .operators import aten as _aten


def max_pool1d(input: Tensor, kernel_size: BroadcastingList1[int],
               stride: BroadcastingList1[int] | None = None, padding: BroadcastingList1[int] = 0,
               dilation: BroadcastingList1[int] = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return torch.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(input: Tensor, kernel_size: BroadcastingList2[int],
               stride: BroadcastingList2[int] | None = None, padding: BroadcastingList2[int] = 0,
               dilation: BroadcastingList2[int] = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return torch.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(input: Tensor, kernel_size: BroadcastingList3[int],
               stride: BroadcastingList3[int] | None = None, padding: BroadcastingList3[int] = 0,
               dilation: BroadcastingList3[int] = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return torch.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(input: Tensor, kernel_size: BroadcastingList1[int],
               stride: BroadcastingList1[int] | None = None, padding: BroadcastingList1[int] = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return torch.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(input: Tensor, kernel_size: BroadcastingList2[int],
               stride: BroadcastingList2[int] | None = None, padding: BroadcastingList2[int] = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return _aten.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(input: Tensor, kernel_size: BroadcastingList3[int],
               stride: BroadcastingList3[int] | None = None, padding: BroadcastingList3[int] = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return _aten.avg_pool3d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Tensor, output_size: BroadcastingList1[int]) -> Tensor:
    return torch.adaptive_avg_pool1d(input, output_size)


def _sizes_or_kept(wanted: list[int | None], sizes: list[int]) -> list[int]:
    found = torch.jit.annotate(list[int], [])
    first = len(sizes) - len(wanted)
    for i, w in enumerate(wanted):
        if w is None:
            found.append(sizes[first + i])
        else:
            found.append(w)
    return found


def adaptive_avg_pool2d(input: Tensor, output_size: BroadcastingList2[int | None]) -> Tensor:
    return _aten.adaptive_avg_pool2d(input, _sizes_or_kept(output_size, input.size()))


def adaptive_avg_pool3d(input: Tensor, output_size: BroadcastingList3[int | None]) -> Tensor:
    return _aten.adaptive_avg_pool3d(input, _sizes_or_kept(output_size, input.size()))


def adaptive_max_pool1d(input: Tensor, output_size: BroadcastingList1[int],
                        return_indices: bool = False) -> Tensor:
    return torch.adaptive_max_pool1d(input, output_size)[0]


def adaptive_max_pool2d(input: Tensor, output_size: BroadcastingList2[int | None],
                        return_indices: bool = False) -> Tensor:
    return _aten.adaptive_max_pool2d(input, _sizes_or_kept(output_size, input.size()))[0]


def adaptive_max_pool3d(input: Tensor, output_size: BroadcastingList3[int | None],
                        return_indices: bool = False) -> Tensor:
    return _aten.adaptive_max_pool3d(input, _sizes_or_kept(output_size, input.size()))[0]


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: int, stride: BroadcastingList1[int] | None = None,
              ceil_mode: bool = False) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    out = torch.avg_pool1d(input.pow(norm_type), [kernel_size], stride, [0], ceil_mode)
    return (torch.sign(out) * torch.relu(torch.abs(out))).mul(kernel_size).pow(1.0 / norm_type)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: BroadcastingList2[int],
              stride: BroadcastingList2[int] | None = None, ceil_mode: bool = False) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    out = _aten.avg_pool2d(input.pow(norm_type), kernel_size, stride, [0, 0], ceil_mode)
    return (torch.sign(out) * torch.relu(torch.abs(out))).mul(kernel_size[0] * kernel_size[1]).pow(1.0 / norm_type)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: BroadcastingList3[int],
              stride: BroadcastingList3[int] | None = None, ceil_mode: bool = False) -> Tensor:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    out = _aten.avg_pool3d(input.pow(norm_type), kernel_size, stride, [0, 0, 0], ceil_mode)
    volume = kernel_size[0] * kernel_size[1] * kernel_size[2]
    return (torch.sign(out) * torch.relu(torch.abs(out))).mul(volume).pow(1.0 / norm_type)


def _unpooled_sizes(sizes: list[int], kernel_size: list[int], stride: list[int], padding: list[int],
                    output_size: list[int] | None) -> list[int]:
    n = len(kernel_size)
    found = torch.jit.annotate(list[int], [])
    if output_size is None:
        for d in range(n):
            found.append((sizes[len(sizes) - n + d] - 1) * stride[d] + kernel_size[d] - 2 * padding[d])
    else:
        for d in range(n):
            found.append(output_size[len(output_size) - n + d])
    return found


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: BroadcastingList1[int],
                 stride: BroadcastingList1[int] | None = None, padding: BroadcastingList1[int] = 0,
                 output_size: list[int] | None = None) -> Tensor:
    if stride is None:
        stride = kernel_size
    size = _unpooled_sizes(input.size(), kernel_size, stride, padding, output_size)
    return _aten.max_unpool2d(input.unsqueeze(-1), indices.unsqueeze(-1), [size[0], 1]).squeeze(-1)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: BroadcastingList2[int],
                 stride: BroadcastingList2[int] | None = None, padding: BroadcastingList2[int] = 0,
                 output_size: list[int] | None = None) -> Tensor:
    if stride is None:
        stride = kernel_size
    return _aten.max_unpool2d(input, indices, _unpooled_sizes(input.size(), kernel_size, stride, padding, output_size))


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: BroadcastingList3[int],
                 stride: BroadcastingList3[int] | None = None, padding: BroadcastingList3[int] = 0,
                 output_size: list[int] | None = None) -> Tensor:
    if stride is None:
        stride = kernel_size
    size = _unpooled_sizes(input.size(), kernel_size, stride, padding, output_size)
    return _aten.max_unpool3d(input, indices, size, stride, padding)


def interpolate(input: Tensor, size: BroadcastingList1[int] | None = None,
                scale_factor: BroadcastingList1[float] | None = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Tensor:
    if antialias:
        raise NotImplementedError("interpolate(antialias=True) in compiled code")
    dims = input.dim() - 2
    if size is not None and len(size) == 1:
        size = [size[0] for i in range(dims)]
    if scale_factor is not None and len(scale_factor) == 1:
        scale_factor = [scale_factor[0] for i in range(dims)]
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if scale_factor is not None and recompute_scale_factor is not None and recompute_scale_factor:
        wanted = torch.jit.annotate(list[int], [])
        for i in range(dims):
            wanted.append(int(input.size(i + 2) * scale_factor[i]))
        size = wanted
        scale_factor = None
    if align_corners is None:
        align = False
    else:
        align = align_corners
    if dims == 1 and mode == "nearest":
        result = _aten.upsample_nearest1d(input, size, scale_factor)
    elif dims == 2 and mode == "nearest":
        result = _aten.upsample_nearest2d(input, size, scale_factor)
    elif dims == 3 and mode == "nearest":
        result = _aten.upsample_nearest3d(input, size, scale_factor)
    elif dims == 1 and mode == "nearest-exact":
        result = _aten._upsample_nearest_exact1d(input, size, scale_factor)
    elif dims == 2 and mode == "nearest-exact":
        result = _aten._upsample_nearest_exact2d(input, size, scale_factor)
    elif dims == 3 and mode == "nearest-exact":
        result = _aten._upsample_nearest_exact3d(input, size, scale_factor)
    elif dims == 1 and mode == "linear":
        result = _aten.upsample_linear1d(input, size, align, scale_factor)
    elif dims == 2 and mode == "bilinear":
        result = _aten.upsample_bilinear2d(input, size, align, scale_factor)
    elif dims == 3 and mode == "trilinear":
        result = _aten.upsample_trilinear3d(input, size, align, scale_factor)
    elif dims == 2 and mode == "bicubic":
        result = _aten.upsample_bicubic2d(input, size, align, scale_factor)
    else:
        raise NotImplementedError(f"Input Error: interpolation of {input.dim()}D tensors with mode {mode}")
    return result


def _pairs(values: tuple[int, int]) -> list[int]:
    return [values[0], values[1]]


def max_pool1d_with_indices(input: Tensor, kernel_size: BroadcastingList1[int],
                           stride: BroadcastingList1[int] | None = None, padding: BroadcastingList1[int] = 0,
                           dilation: BroadcastingList1[int] = 1, ceil_mode: bool = False,
                           return_indices: bool = False) -> tuple[Tensor, Tensor]:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return _aten.max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: BroadcastingList1[int],
                                    return_indices: bool = False) -> tuple[Tensor, Tensor]:
    return _aten.adaptive_max_pool1d(input, output_size)


def max_pool2d_with_indices(input: Tensor, kernel_size: BroadcastingList2[int],
                           stride: BroadcastingList2[int] | None = None, padding: BroadcastingList2[int] = 0,
                           dilation: BroadcastingList2[int] = 1, ceil_mode: bool = False,
                           return_indices: bool = False) -> tuple[Tensor, Tensor]:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return _aten.max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: BroadcastingList2[int | None],
                                    return_indices: bool = False) -> tuple[Tensor, Tensor]:
    return _aten.adaptive_max_pool2d(input, _sizes_or_kept(output_size, input.size()))


def max_pool3d_with_indices(input: Tensor, kernel_size: BroadcastingList3[int],
                           stride: BroadcastingList3[int] | None = None, padding: BroadcastingList3[int] = 0,
                           dilation: BroadcastingList3[int] = 1, ceil_mode: bool = False,
                           return_indices: bool = False) -> tuple[Tensor, Tensor]:
    if stride is None:
        stride = torch.jit.annotate(list[int], [])
    return _aten.max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: BroadcastingList3[int | None],
                                    return_indices: bool = False) -> tuple[Tensor, Tensor]:
    return _aten.adaptive_max_pool3d(input, _sizes_or_kept(output_size, input.size()))
