"""Branches and loops that tensors decide, as functions; they run the Python they are given."""

import rushlight as torch

__all__ = ["cond", "while_loop"]


def _truth(value, name):
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise RuntimeError(f"Expected {name} to be a bool or single-element tensor, but got {value}.")
        return bool(value)
    return bool(value)


def cond(pred, true_fn, false_fn, operands=()):
    """``true_fn(*operands)`` if `pred` (a bool, or a tensor of one element) else ``false_fn(*operands)``."""
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(f"Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of "
                           f"tensor leaves, but got {operands}.")
    return (true_fn if _truth(pred, "pred") else false_fn)(*operands)


def while_loop(cond_fn, body_fn, carried_inputs):
    """``carried_inputs = body_fn(*carried_inputs)`` while ``cond_fn(*carried_inputs)``; returns the last of them."""
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError("Expect cond_fn and body_fn to be callable.")
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(f"Expect carried_inputs to be a tuple, got {type(carried_inputs)}")
    carried = tuple(carried_inputs)
    while _truth(cond_fn(*carried), "cond_fn's result"):
        new = body_fn(*carried)
        new = tuple(new) if isinstance(new, (tuple, list)) else (new,)
        if len(new) != len(carried):
            raise RuntimeError(f"body_fn returned {len(new)} values for {len(carried)} carried inputs")
        carried = new
    return carried
