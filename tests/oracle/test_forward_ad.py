"""Forward mode against PyTorch's: directional derivatives of every op of its database.

``FUNC_SWEEP=12`` compares twelve samples of every op; otherwise one of every fourth.
"""

import os

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

from . import func_samples


def test_op_database():
    wrong = []
    n = int(os.environ.get("FUNC_SWEEP", 0))
    same, other = func_samples.sweep("jvp", rushlight, torch, n=n or 1, stride=1 if n else 4,
                                     report=lambda *what: wrong.append(what))
    print(f"jvp: {same} of {same + other} samples agree ({100 * same / (same + other):.2f} %)")
    assert same > 80
    assert same / (same + other) >= 0.98, wrong


def hessian_product(lib, x, v, order):
    """H v of one function, forward over reverse and reverse over forward."""
    func = lib.func

    def f(x):
        return (lib.nn.functional.softmax(x, 0) * x.exp()).sum() + (x @ x.flip(0)) ** 2
    if order == "forward over reverse":
        return func.jvp(func.grad(f), (x,), (v,))[1]
    return func.grad(lambda y: func.jvp(f, (y,), (v,))[1])(x)


@pytest.mark.parametrize("order", ["forward over reverse", "reverse over forward"])
def test_hessian_products(order):
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal(5), rng.standard_normal(5)
    got, want = (hessian_product(lib, lib.tensor(x), lib.tensor(v), order).numpy() for lib in (rushlight, torch))
    np.testing.assert_allclose(got, want, rtol=1e-10)


def module_tangent(lib, state, x, t, w, wt):
    """The tangent of a small network in its weight and its input, through dual tensors."""
    fwad = lib.autograd.forward_ad
    net = lib.nn.Sequential(lib.nn.Linear(4, 3), lib.nn.Tanh(), lib.nn.GELU(), lib.nn.Linear(3, 2)).double()
    net.load_state_dict({k: lib.tensor(a) for k, a in state.items()})
    with fwad.dual_level():
        params = dict(net.named_parameters())
        params["0.weight"] = fwad.make_dual(lib.tensor(w), lib.tensor(wt))
        out = lib.func.functional_call(net, params, (fwad.make_dual(lib.tensor(x), lib.tensor(t)),))
        primal, tangent = fwad.unpack_dual(out)
        grads = lib.autograd.grad(tangent.sum(), [params["0.bias"], params["3.weight"]])
        return [primal.detach().numpy(), tangent.detach().numpy(), *[g.numpy() for g in grads]]


def test_modules_through_dual_tensors():
    rng = np.random.default_rng(1)
    shapes = {"0.weight": (3, 4), "0.bias": (3,), "3.weight": (2, 3), "3.bias": (2,)}
    state = {k: rng.standard_normal(s) for k, s in shapes.items()}
    data = [rng.standard_normal(s) for s in ((5, 4), (5, 4), (3, 4), (3, 4))]
    for got, want in zip(*(module_tangent(lib, state, *data) for lib in (rushlight, torch))):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


ERRORS = {
    "no level": lambda lib, x: lib.autograd.forward_ad.make_dual(x, x),
    "nested": lambda lib, x: [lib.autograd.forward_ad.enter_dual_level() for _ in range(2)],
    "exit of nothing": lambda lib, x: lib.autograd.forward_ad.exit_dual_level(),
    "integer primal": lambda lib, x: lib.autograd.forward_ad.make_dual(x.long(), x),
    "other shape": lambda lib, x: lib.autograd.forward_ad.make_dual(x, x[:1]),
    "jacobian strategy": lambda lib, x: lib.autograd.functional.jacobian(lambda y: y, x, strategy="forward-mode"),
    "jacobian strict": lambda lib, x: lib.autograd.functional.jacobian(lambda y: y, x, strict=True, vectorize=True),
    "hessian of a constant slope": lambda lib, x: lib.autograd.functional.hessian(lambda y: y.sum(), x, strict=True),
    "gradcheck of nothing": lambda lib, x: lib.autograd.gradcheck(lambda y: y, (x,), check_backward_ad=False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kinds = []
    for lib in (rushlight, torch):
        fwad = lib.autograd.forward_ad
        try:
            if name not in ("no level", "exit of nothing") and "jac" not in name:
                fwad.enter_dual_level()
            with pytest.raises(Exception) as error:
                ERRORS[name](lib, lib.ones(2))
            kinds.append(error.type)
        finally:
            if fwad._current_level >= 0:
                fwad.exit_dual_level()
    assert kinds[0] is kinds[1]
