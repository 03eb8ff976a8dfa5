"""Anomaly mode: remember where each node was made, and check gradients for NaN."""

import warnings

from .modes import _Decorator, state


def remember(node):
    """Keep the stack that recorded `node` in its metadata."""
    import traceback
    node.metadata["traceback_"] = traceback.format_stack()[:-3]
    node.metadata["parent_"] = state.__dict__.get("anomaly_parent")


def run_checked(node, grads):
    """``node.apply`` that reports the forward line on failure and refuses NaN results."""
    parent = state.__dict__.get("anomaly_parent")
    state.anomaly_parent = node
    try:
        out = node.apply(grads)
    except Exception:
        _print_stack(node)
        raise
    finally:
        state.anomaly_parent = parent
    if state.anomaly_nan:
        for i, g in enumerate(out):
            if g is not None and g.dtype.category >= 2 and bool(g.isnan().any()):
                _print_stack(node)
                raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
    return out


def _print_stack(node):
    stack = node.metadata.get("traceback_")
    if stack is None:
        warnings.warn(f"Error detected in {node.name()}. No forward pass information available. Enable "
                      "detect anomaly during forward pass for more information.", stacklevel=4)
        return
    warnings.warn(f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
                  + "".join(stack), stacklevel=4)
    parent = node.metadata.get("parent_")
    while parent is not None:
        text = parent.metadata.get("traceback_")
        warnings.warn("\n\nPrevious calculation was induced by " + parent.name() + ". " + (
            "No forward pass information available." if text is None else
            "Traceback of forward call that induced the previous calculation:\n" + "".join(text)),
            stacklevel=4)
        parent = parent.metadata.get("parent_")


class detect_anomaly(_Decorator):
    """Context in which backward reports the forward line of a failing node and refuses NaN."""

    def __init__(self, check_nan=True):
        self.check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and "
                      "should only be enabled for debugging.", stacklevel=2)

    def clone(self):
        c = object.__new__(detect_anomaly)
        c.check_nan = self.check_nan
        return c

    def __enter__(self):
        self._prev = state.anomaly, state.anomaly_nan
        state.anomaly, state.anomaly_nan = True, self.check_nan
        state.special += 1

    def __exit__(self, *exc):
        state.anomaly, state.anomaly_nan = self._prev
        state.special -= 1


class set_detect_anomaly:
    """Switch anomaly detection on or off: as a function at once, as a context until its end."""

    def __init__(self, mode, check_nan=True):
        self._prev = state.anomaly, state.anomaly_nan
        _set(bool(mode), check_nan)

    def __enter__(self):
        return None

    def __exit__(self, *exc):
        _set(*self._prev)


def _set(mode, check_nan):
    state.special += mode - state.anomaly
    state.anomaly, state.anomaly_nan = mode, check_nan


def set_anomaly_enabled(mode, check_nan=True):
    """Switch anomaly mode on or off, and its check for NaN."""
    _set(mode, check_nan)


def is_anomaly_enabled():
    """Whether anomaly detection is on."""
    return state.anomaly


def is_anomaly_check_nan_enabled():
    """Whether anomaly detection checks for NaN."""
    return state.anomaly_nan
