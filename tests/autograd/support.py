"""Running behaviour cases with any implementation of the interface, and describing what came out.

A case is a function of the framework (``def name(torch)``) that returns numbers, strings, tensors and
lists of them; the modules ``*_cases.py`` hold them. ``expected.json`` has what PyTorch 2.13 returns.
"""

import importlib
import math
import re
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
MODULES = ("graph_cases", "inplace_cases", "mode_cases", "hook_cases", "function_cases", "tool_cases",
           "node_cases")


def module(name):
    """One of the case modules, whatever way the tests are imported."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module(name)


def cases():
    """{"module.case": function} of everything there is."""
    return {f"{m}.{n}": f for m in MODULES for n, f in vars(module(m)).items()
            if callable(f) and not n.startswith("_") and f.__module__ == m}


def error(fn, *args, **kwargs):
    """[type, text] of what `fn` raises; None if it returns."""
    try:
        fn(*args, **kwargs)
    except Exception as e:
        return [type(e).__name__, _clean(str(e))]
    return None


def kind(fn, *args, **kwargs):
    """The type's name of what `fn` raises; None if it returns (where texts are PyTorch's own affair)."""
    found = error(fn, *args, **kwargs)
    return found and found[0]


def _clean(text):
    text = text.replace("torch::autograd::", "").replace("rushlight.", "torch.")
    return re.sub(r"0x[0-9a-f]+", "0x", text).strip()


def plain(x):
    """A result as JSON can hold it."""
    if hasattr(x, "grad_fn") and hasattr(x, "tolist"):
        return plain(x.detach().tolist())
    if isinstance(x, (tuple, list)):
        return [plain(y) for y in x]
    if isinstance(x, complex):
        return ["complex", plain(x.real), plain(x.imag)]
    if isinstance(x, float):
        return x if math.isfinite(x) else repr(x)
    if x is None or isinstance(x, (bool, int)):
        return x
    return _clean(str(x))


def run(fn, torch):
    """What case `fn` gives with framework `torch`; what it raises, if it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(fn(torch))
        except Exception as e:
            return ["RAISED", type(e).__name__, _clean(str(e))]


def agree(a, b, tol=1e-5):
    """Whether two plain results are the same, floats within `tol`."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(agree(x, y, tol) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, (int, float)) and not isinstance(b, bool):
        return abs(a - b) <= tol * max(1.0, abs(b))
    if isinstance(a, str) and isinstance(b, str) and len(b) > 60:
        return a[:40] == b[:40]         # a long message: what happened must agree, not what to do about it
    return type(a) is type(b) and a == b
