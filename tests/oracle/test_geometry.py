"""Generated views against PyTorch: geometry, history and gradients, also where the generated code steps back."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

VIEWS = """
x.transpose(0,1)  x.transpose(-1,0)  x.transpose(0,5)  x.transpose(0,0)  x.transpose(dim0=0,dim1=1)  x.t()  x.T  x.mT
x.permute(1,0,2)  x.permute((2,0,1))  x.permute([2,0,1])  x.permute(-1,0,1)  x.permute(0,0,1)  x.permute(0,1)
x.unsqueeze(0)  x.unsqueeze(-1)  x.unsqueeze(2)  x.unsqueeze(4)  x.unsqueeze(-5)  x.squeeze(0)  x.squeeze(1)
x.squeeze()  x.squeeze(-1)  x.squeeze((0,1))  x.squeeze(5)  x.expand(2,2,3,4)  x.expand(-1,3,-1)  x.expand(3,4)
x.expand(1,2,3,4)  x.expand((2,3,4))  x.expand(-1,2,3,4)  x.expand(2,-2,4)  x.select(0,1)  x.select(1,-1)
x.select(1,9)  x.select(-1,2)  m.transpose(x,0,1)  m.permute(x,(1,0,2))  m.unsqueeze(x,1)  m.squeeze(x,1)  m.t(x)
x[0]  x[-1]  x[5]  x[0,1]  x[0,1,2]  x[0,1,2,3]  x[:,1]  x[...,1]  x[1,...]  x[None]  x[:,None]  x[...,None]
x[None,...,0,None]  x[1:]  x[-2:]  x[:,1:3]  x[:,::2]  x[:,5:]  x[:,2:1]  x[:,0:100:3]  x[0:1,...,1:2]  x[:]  x[...]
x[1.5]  x[None,None,None,0]  x[0,:,None,1]  x[:,-1:,-3:-1]  x[:,:0]  x[9:]
""".split()
SHAPES = [(2, 3, 4), (2, 1, 4), (1, 1, 1), (3, 4), (4,), (2, 3, 4, 5)]


def facts(m, code, shape, window, how):
    """What the view is, or the type of the error."""
    a = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    x = m.zeros(2, *shape)[1].copy_(m.from_numpy(a)) if window else m.from_numpy(a).clone()
    if how:
        x = x.requires_grad_()
    if how == "inner":
        x = x * 1
    try:
        if how == "hidden":
            with m.no_grad():
                y = eval(code, {"x": x, "m": m})
        else:
            y = eval(code, {"x": x, "m": m})
    except Exception as error:
        return type(error).__name__
    found = [tuple(y.shape), y.stride(), y.storage_offset(), y.tolist(), y._base is not None]
    if how in ("leaf", "inner"):
        weights = m.arange(1.0, 1 + y.numel()).reshape(y.shape)
        gradient, = m.autograd.grad((y * weights).sum(), x)
        found += type(y.grad_fn).__name__, gradient.tolist()
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["", "leaf", "inner", "hidden"])
def test_views_like_pytorch(shape, how):
    one = rushlight.ones(2)
    one + one                           # what generated code waits for
    for code in VIEWS:
        if len(shape) != 2 and code in ("x.T", "x.mT"):
            continue
        for window in (False, True):
            for _ in range(2):          # the second time by the plan that the first one made
                ours = facts(rushlight, code, shape, window, how)
            assert ours == facts(torch, code, shape, window, how), (code, window)


def test_views_of_changed_tensors():
    x = rushlight.zeros(2, 3, requires_grad=True) * 1
    y = x.t()
    x[0, 0] = 5.0
    assert type(y.transpose(0, 1).grad_fn).__name__ == "TransposeBackward0"
    assert y[0, 0].item() == 5
    with pytest.raises(RuntimeError, match="no_grad"):
        leaf = rushlight.zeros(2, 3, requires_grad=True)
        with rushlight.no_grad():
            view = leaf.unsqueeze(0)
        view.add_(1)
