"""Settings of PyTorch's executor. They are kept and given back; what they steer there has no counterpart here.

Compiled code runs as generated Python over the op table, whose kernels are fused where they always are: there are no
profiling runs, no fusion groups, and no oneDNN graphs. A program that sets them runs as it did.
"""

import contextlib

_state = {"fusion": [("STATIC", 2), ("DYNAMIC", 10)], "onednn": False, "optimized": True}


def set_fusion_strategy(strategy):
    """Keep how many specialisations of fused kernels are allowed, a list of (``"STATIC"`` or ``"DYNAMIC"``, depth).

    Returns what was set before. It has no effect: programs here are not specialised.
    """
    for kind, depth in strategy:
        if kind not in ("STATIC", "DYNAMIC") or not isinstance(depth, int):
            raise RuntimeError(f"FusionBehavior only supported 'STATIC' or 'DYNAMIC', got: {kind}")
    before, _state["fusion"] = _state["fusion"], list(strategy)
    return before


def enable_onednn_fusion(enabled):
    """Keep whether oneDNN fusion is wanted. It has no effect: there is no oneDNN here."""
    _state["onednn"] = bool(enabled)


def onednn_fusion_enabled():
    """What `enable_onednn_fusion` set."""
    return _state["onednn"]


class strict_fusion:
    """A context that asks for everything inside to be fused; compiled code takes it as an empty one."""

    def __init__(self):
        import warnings

        from .words import is_scripting
        if not is_scripting():
            warnings.warn("Only works in script mode", stacklevel=2)

    def __enter__(self):
        pass

    def __exit__(self, type, value, tb):
        pass


@contextlib.contextmanager
def fuser(name):
    """A context in which a fuser is chosen by name (``fuser0`` to ``fuser3``); it has no effect."""
    if name not in ("fuser0", "fuser1", "fuser2", "fuser3"):
        raise Exception(f"unrecognized fuser option (name: {name})")
    yield


@contextlib.contextmanager
def optimized_execution(should_optimize):
    """A context that switches the executor's optimisations; it has no effect."""
    before, _state["optimized"] = _state["optimized"], bool(should_optimize)
    try:
        yield
    finally:
        _state["optimized"] = before


def last_executed_optimized_graph():
    """Not kept: generated programs have no optimised graphs."""
    raise NotImplementedError("last_executed_optimized_graph")


def script_method(fn):
    """Mark a method of an old-style ScriptModule; `script` compiles modules instead."""
    raise NotImplementedError("script_method: old-style ScriptModules; use torch.jit.script on a module")
