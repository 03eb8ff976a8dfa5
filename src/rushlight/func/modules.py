"""Modules as functions: calls with other parameters, ensembles, batch norm without running statistics."""

import rushlight as torch

from ..nn.utils.stateless import _functional_call as _call


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """``module(*args, **kwargs)`` with parameters and buffers replaced by those of a dict (or of several dicts).

    args: a tuple, or the one argument. tie_weights: a replacement counts for all names of a tied tensor; strict: the
    dicts must name exactly what the module has. ValueError where two dicts have a name in common.
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        merged = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, (tuple, list)):
        merged = {}
        for d in parameter_and_buffer_dicts:
            if not isinstance(d, dict):
                raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
            for k in d:
                if k in merged:
                    raise ValueError(f"{k} appears in multiple dictionaries; behavior of functional call is ambiguous")
            merged.update(d)
    else:
        raise ValueError("Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
                         f"{type(parameter_and_buffer_dicts)}")
    return _call(module, merged, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models):
    """(parameters, buffers) of modules of one architecture, stacked along a new first dimension.

    Both are dicts by name; with `functional_call` and `vmap` they run the ensemble in one pass. Parameters that want
    gradients come as leaves. RuntimeError for no models, for different classes or different training modes.
    """
    if len(models) == 0:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    return (_stacked([dict(m.named_parameters()) for m in models]),
            _stacked([dict(m.named_buffers()) for m in models]))


def _stacked(dicts):
    return {k: _stacked_leaf(tuple([d[k] for d in dicts]), k) for k in dicts[0]}


def _stacked_leaf(tensors, name):
    wants = [t.requires_grad for t in tensors]
    if any(wants) != all(wants):
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    stacked = torch.stack(tensors).detach()
    return stacked.requires_grad_() if wants[0] else stacked


def replace_all_batch_norm_modules_(root):
    """Let every batch norm below `root` normalize by the batch alone, without running statistics; returns `root`."""
    for m in root.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            m.running_mean = m.running_var = m.num_batches_tracked = None
            m.track_running_stats = False
    return root
