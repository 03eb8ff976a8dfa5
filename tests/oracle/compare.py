"""Evaluate an expression in PyTorch and in Rushlight and describe what came out."""

import re
import warnings

import numpy as np

# Names that cases of several modules are written with.
SETUP = """
x=torch.arange(24.).reshape(2,3,4).requires_grad_()
y=x.detach()
m=torch.arange(12.).reshape(3,4)
i=torch.tensor([0,2])
j=torch.tensor([0,1])
L=torch.int64
ix=torch.tensor([[0,1,2,0],[2,0,1,1]])
F=torch.nn.functional
v = torch.arange(5)
"""


def describe(F, r):
    """A tensor as (dtype, shape, stride, offset, node, flags, values); sequences item by item."""
    if isinstance(r, F.Tensor):
        values = None
        if r.device.type == "cpu":
            q = r.detach().resolve_conj().resolve_neg()
            values = (q.float() if q.dtype == F.bfloat16 else q).numpy()
        node = r.grad_fn.name().replace("torch::autograd::", "") if r.grad_fn is not None else None
        return ("tensor", str(r.dtype), tuple(r.shape), r.stride(), r.storage_offset(), node,
                r.requires_grad, r.device.type, values)
    if isinstance(r, (tuple, list)):
        return (type(r).__name__, *(describe(F, x) for x in r))
    if isinstance(r, float):
        return r
    return re.sub(r"0x[0-9a-f]+", "", repr(r))


def evaluate(F, code, setup=""):
    """The description of an expression's value (of `r`, after a statement marked by ``! ``), or the error."""
    names = {"torch": F, "np": np}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(setup, names)
        try:
            if code.startswith("! "):
                exec(code[2:], names)
                return describe(F, names["r"])
            return describe(F, eval(code, names))
        except Exception as error:
            return ("error", type(error).__name__)


def agree(a, b, tol=1e-5):
    """Whether two descriptions are the same, values within a tolerance."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(agree(x, y, tol) for x, y in zip(a, b))
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, rtol=tol, atol=tol, equal_nan=True)
    if isinstance(a, float):
        return abs(a - b) <= tol * max(1, abs(a)) or (a != a and b != b)
    return a == b
