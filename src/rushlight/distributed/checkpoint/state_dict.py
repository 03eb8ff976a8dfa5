"""State dicts of models and optimizers for checkpoints: by names, and with parts marked as parts."""

from dataclasses import dataclass

import rushlight as torch
from rushlight.distributed.fsdp.sharding import ShardedParameter


@dataclass
class StateDictOptions:
    """full_state_dict: whole parameters in the place of parts. strict: names have to agree."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    strict: bool = True


def _plain(name):
    return name.replace("_fsdp_wrapped_module.", "").removeprefix("module.")


def _marked(t, like):
    """`t` as the part of a tensor that is cut as `like` is."""
    if not isinstance(like, ShardedParameter) or t.shape != like.shape or isinstance(t, ShardedParameter):
        return t
    part = ShardedParameter(t.detach(), False)
    part.full_shape, part._shards = like.full_shape, like._shards
    return part


def get_model_state_dict(model, *, submodules=None, options=None):
    """The parameters and buffers of `model` without the names of wrappers. All processes call this."""
    options = options or StateDictOptions()
    found = {_plain(n): p for n, p in model.named_parameters()}
    for name, b in model.named_buffers():
        owner = model.get_submodule(name.rpartition(".")[0])
        if name.rpartition(".")[2] not in owner._non_persistent_buffers_set:
            found[_plain(name)] = b
    if options.full_state_dict:
        return {n: t.full_tensor() if isinstance(t, ShardedParameter) else t.detach() for n, t in found.items()}
    return {n: t if isinstance(t, ShardedParameter) else t.detach() for n, t in found.items()}


def get_optimizer_state_dict(model, optimizers, *, submodules=None, options=None):
    """An optimizer's state under the names of the model's parameters; state of parts is marked as parts."""
    options = options or StateDictOptions()
    names = {p: _plain(n) for n, p in model.named_parameters()}
    state = {}
    for p, values in optimizers.state.items():
        row = {k: _marked(v, p) if isinstance(v, torch.Tensor) else v for k, v in values.items()}
        if options.full_state_dict:
            row = {k: v.full_tensor() if isinstance(v, ShardedParameter) else v for k, v in row.items()}
        state[names[p]] = row
    groups = [{**{k: v for k, v in g.items() if k != "params"}, "params": [names[p] for p in g["params"]]}
              for g in optimizers.param_groups]
    return {"state": state, "param_groups": groups}


def get_state_dict(model, optimizers, *, submodules=None, options=None):
    """Both: (model's, optimizer's)."""
    return get_model_state_dict(model, options=options), get_optimizer_state_dict(model, optimizers, options=options)


def _own(value, like):
    """The part of a whole tensor that `like` is of its own."""
    if not isinstance(like, ShardedParameter) or value.shape == like.shape and value.shape != like.full_shape:
        return value
    group = like._shards.group
    rows = -(-like.full_shape[0] // group.size())
    return value[group.rank() * rows:(group.rank() + 1) * rows]


def set_model_state_dict(model, model_state_dict, *, options=None):
    """Take what `get_model_state_dict` gave, parts or whole."""
    options = options or StateDictOptions()
    own = get_model_state_dict(model)
    missing, extra = own.keys() - model_state_dict.keys(), model_state_dict.keys() - own.keys()
    if options.strict and (missing or extra):
        raise RuntimeError(f"set_model_state_dict(): missing keys {sorted(missing)}, unexpected keys {sorted(extra)}")
    with torch.no_grad():
        for name in own.keys() & model_state_dict.keys():
            value = model_state_dict[name]
            own[name].detach().copy_(_own(value.detach(), own[name]))


def set_optimizer_state_dict(model, optimizers, optim_state_dict, *, options=None):
    """Take what `get_optimizer_state_dict` gave, parts or whole."""
    names = {_plain(n): p for n, p in model.named_parameters()}
    for group, told in zip(optimizers.param_groups, optim_state_dict["param_groups"]):
        group.update({k: v for k, v in told.items() if k != "params"})
    for name, row in optim_state_dict["state"].items():
        p = names[name]
        optimizers.state[p] = {
            k: _own(v.detach(), p).clone() if isinstance(v, torch.Tensor) and v.ndim else v for k, v in row.items()}


def set_state_dict(model, optimizers, *, model_state_dict, optim_state_dict, options=None):
    """Both."""
    set_model_state_dict(model, model_state_dict, options=options)
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
