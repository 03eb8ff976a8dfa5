"""Collectives as functions of tensors: results are new, and gradients go back to the processes that values came from.

The gradient of a collective is the collective that is its transpose, of the gradients of all processes: where several
processes use what one sent, it gets the sum of their gradients. All of them have to run backward.
"""

import rushlight as torch
from rushlight.autograd import Function
from rushlight.distributed import calls
from rushlight.distributed.groups import of
from rushlight.distributed.reducing import ReduceOp


class _Broadcast(Function):
    @staticmethod
    def forward(ctx, src, group, tensor):
        ctx.src, ctx.group = src, group
        out = tensor.detach().clone(memory_format=torch.contiguous_format)
        calls.broadcast(out, src, group)
        return out

    @staticmethod
    def backward(ctx, g):
        g = _Reduce.apply(ctx.src, ReduceOp.SUM, ctx.group, g)
        return None, None, g if of(ctx.group).rank() == calls.rank_in(of(ctx.group), ctx.src, None) else g * 0


class _Reduce(Function):
    @staticmethod
    def forward(ctx, dst, op, group, tensor):
        ctx.dst, ctx.group = dst, group
        out = tensor.detach().clone(memory_format=torch.contiguous_format)
        calls.reduce(out, dst, op, group)
        return out

    @staticmethod
    def backward(ctx, g):
        return None, None, None, _Broadcast.apply(ctx.dst, ctx.group, g)


class _AllReduce(Function):
    @staticmethod
    def forward(ctx, op, group, tensor):
        ctx.op, ctx.group = op, group
        out = tensor.detach().clone(memory_format=torch.contiguous_format)
        calls.all_reduce(out, op, group)
        return out

    @staticmethod
    def backward(ctx, g):
        return None, None, _AllReduce.apply(ctx.op, ctx.group, g)


class _AllGather(Function):
    @staticmethod
    def forward(ctx, group, tensor):
        ctx.group = group
        outs = [torch.empty(tensor.shape, dtype=tensor.dtype) for _ in range(of(group).size())]
        calls.all_gather(outs, tensor.detach(), group)
        return tuple(outs)

    @staticmethod
    def backward(ctx, *gs):
        return None, _ReduceScatter.apply(ReduceOp.SUM, ctx.group, torch.empty_like(gs[0]), *gs)


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx, op, group, output, *inputs):
        ctx.group = group
        out = torch.empty(output.shape, dtype=output.dtype)
        calls.reduce_scatter(out, [t.detach() for t in inputs], op, group)
        return out

    @staticmethod
    def backward(ctx, g):
        return None, None, None, *_AllGather.apply(ctx.group, g)


class _Gather(Function):
    @staticmethod
    def forward(ctx, dst, group, tensor):
        ctx.dst, ctx.group = dst, group
        here = of(group).rank() == calls.rank_in(of(group), dst, None)
        outs = [torch.zeros(tensor.shape, dtype=tensor.dtype) for _ in range(of(group).size())]
        calls.gather(tensor.detach(), outs if here else None, dst, group)
        return tuple(outs)

    @staticmethod
    def backward(ctx, *gs):
        return None, None, _Scatter.apply(ctx.dst, ctx.group, *gs)


class _Scatter(Function):
    @staticmethod
    def forward(ctx, src, group, *tensors):
        ctx.src, ctx.group = src, group
        here = of(group).rank() == calls.rank_in(of(group), src, None)
        out = torch.empty(tensors[0].shape, dtype=tensors[0].dtype)
        calls.scatter(out, [t.detach() for t in tensors] if here else None, src, group)
        return out

    @staticmethod
    def backward(ctx, g):
        return None, None, *_Gather.apply(ctx.src, ctx.group, g)


class _AllToAll(Function):
    @staticmethod
    def forward(ctx, group, sizes, *tensors):
        ctx.group, ctx.sizes = group, [t.shape for t in tensors]
        outs = [torch.empty(size, dtype=tensors[0].dtype) for size in sizes]
        calls.all_to_all(outs, [t.detach() for t in tensors], group)
        return tuple(outs)

    @staticmethod
    def backward(ctx, *gs):
        return None, None, *_AllToAll.apply(ctx.group, ctx.sizes, *gs)


def broadcast(tensor, src, group=None):
    """The tensor of rank `src`."""
    return _Broadcast.apply(src, group, tensor)


def reduce(tensor, dst, op=ReduceOp.SUM, group=None):
    """The reduction on rank `dst`; elsewhere a copy of `tensor`."""
    return _Reduce.apply(dst, op, group, tensor)


def all_reduce(tensor, op=ReduceOp.SUM, group=None):
    """The reduction over all ranks; its gradient is the same reduction of the gradients, right for sums."""
    return _AllReduce.apply(op, group, tensor)


def all_gather(tensor, group=None):
    """The tensors of all ranks, a tuple."""
    return _AllGather.apply(group, tensor)


def gather(tensor, dst=0, group=None):
    """The tensors of all ranks on rank `dst`; elsewhere zeros."""
    return _Gather.apply(dst, group, tensor)


def scatter(tensors, src=0, group=None):
    """Tensor i of rank `src` on rank i."""
    return _Scatter.apply(src, group, *tensors)


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None):
    """The reduction of tensor i of all ranks on rank i; `output` tells its shape and dtype."""
    return _ReduceScatter.apply(op, group, output, *input_list)


def all_to_all(output_tensor_list, input_tensor_list, group=None):
    """Tensor j of rank i as the i-th result of rank j; `output_tensor_list` tells shapes."""
    return _AllToAll.apply(group, [t.shape for t in output_tensor_list], *input_tensor_list)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None):
    """`all_to_all` of parts of one tensor, cut along dimension 0, joined in one."""
    n = of(group).size()
    ins = input.split(list(input_split_sizes) if input_split_sizes else input.shape[0] // n)
    sizes = [t.shape for t in output.split(list(output_split_sizes) if output_split_sizes else output.shape[0] // n)]
    return torch.cat(_AllToAll.apply(group, sizes, *ins))
