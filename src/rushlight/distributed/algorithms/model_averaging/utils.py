"""Averaging parameters in place."""

import rushlight as torch
from rushlight.distributed.groups import of
from rushlight.distributed.reducing import ReduceOp


def average_parameters(params, process_group):
    """Replace each of `params` by its mean over `process_group`: one reduction for each dtype."""
    group = of(process_group)
    by_dtype = {}
    for p in params:
        by_dtype.setdefault(p.dtype, []).append(p.detach())
    with torch.no_grad():
        for tensors in by_dtype.values():
            flat = torch.cat([t.reshape(-1) for t in tensors])
            group.allreduce([flat.div_(group.size())], ReduceOp.SUM).wait()
            for t, part in zip(tensors, flat.split([t.numel() for t in tensors])):
                t.copy_(part.view(t.shape))


def get_params_to_average(params):
    """The parameters with gradients, of parameters or of an optimizer's groups."""
    found = []
    for p in params:
        if isinstance(p, torch.Tensor):
            found.extend([p] if p.grad is not None else [])
        elif isinstance(p, dict):
            found.extend(q for q in p["params"] if q.grad is not None)
        else:
            raise NotImplementedError(f"Parameter input of type {type(p)} is not supported")
    return found


def average_parameters_or_parameter_groups(params, process_group):
    """`average_parameters` of those that `get_params_to_average` finds."""
    average_parameters(get_params_to_average(params), process_group)
