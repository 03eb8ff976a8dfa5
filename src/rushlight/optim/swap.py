"""Run an optimizer on other parameters and another state for a while."""

from collections import defaultdict
from contextlib import contextmanager

_NAME = "swap_in_optimizer_params_and_state"


@contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters, swapin_optim_state):
    """Within the context the optimizer holds the given parameters and state, then its own again.

    In-place changes of the given tensors stay; what is assigned within the context is forgotten.

    Args:
        optimizer (Optimizer): one that has made a step.
        swapin_parameters (dict of str to Tensor): as many as it has, in the same order.
        swapin_optim_state (dict): like its ``state_dict()``, with all the options of its groups.

    Raises:
        RuntimeError: the optimizer has no state yet, or the given one does not fit.
    """
    groups, states = swapin_optim_state.get("param_groups"), swapin_optim_state.get("state")
    _check(optimizer, groups, states)
    parameters = iter(swapin_parameters.values())
    by_index, contents = {}, []
    for saved in groups:
        chosen = []
        for index in saved["params"]:
            if index not in by_index:
                try:
                    by_index[index] = next(parameters)
                except StopIteration:
                    raise RuntimeError(
                        f"{_NAME} requires the explicit parameter state to match "
                        "optimizer.param_groups ordering."
                    ) from None
            chosen.append(by_index[index])
        contents.append({**saved, "params": chosen})

    own_state = optimizer.state
    own_contents = [dict(group) for group in optimizer.param_groups]
    optimizer.state = defaultdict(dict)
    for index, p in by_index.items():
        if index in states:
            optimizer.state[p] = dict(states[index])
    try:
        _fill(optimizer.param_groups, contents)
        yield
    finally:
        optimizer.state = own_state
        _fill(optimizer.param_groups, own_contents)


def _fill(groups, contents):
    for group, content in zip(groups, contents, strict=True):
        group.clear()
        group.update(content)


def _check(optimizer, groups, states):
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires initialized optimizer state.")
    if not isinstance(states, dict):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be a dict mapping packed parameter "
            f"ids to per-param state dicts, got {type(states).__name__}."
        )
    if not isinstance(groups, list):
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['param_groups'] to be a list of param-group "
            f"dicts, got {type(groups).__name__}."
        )
    if len(groups) != len(optimizer.param_groups):
        raise RuntimeError(
            "swapin_optim_state has a different number of parameter groups than the live optimizer."
        )
    known = set()
    for i, (group, own) in enumerate(zip(groups, optimizer.param_groups, strict=True)):
        if len(group["params"]) != len(own["params"]):
            raise RuntimeError(
                f"swapin_optim_state param group {i} has a different number of params than the "
                "live optimizer param group."
            )
        if group.keys() != own.keys():
            raise RuntimeError(
                f"{_NAME} requires optimizer.state_dict()-style param group keys to exactly match "
                f"the live optimizer group keys for group {i}. Keys only in swap-in: "
                f"{sorted(group.keys() - own.keys())}. Keys only in live: "
                f"{sorted(own.keys() - group.keys())}."
            )
        known.update(group["params"])
    extra = [key for key in states if key not in known]
    if extra:
        raise RuntimeError(
            f"{_NAME} requires swapin_optim_state['state'] to be keyed only by packed parameter "
            f"ids from param_groups[*]['params']; got extra keys {extra}."
        )
