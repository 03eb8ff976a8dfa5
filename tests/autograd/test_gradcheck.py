"""What gradcheck finds wrong, and what it lets pass."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.autograd import Function, gradcheck, gradgradcheck
from rushlight.autograd.gradcheck import GradcheckError, get_analytical_jacobian, get_numerical_jacobian


def made(slope=2.0, push=2.0, pull=None):
    """x -> 2 x with a gradient of `slope` and a tangent of `push`."""
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * slope if pull is None else pull(ctx, g)

        @staticmethod
        def jvp(ctx, t):
            return t * push
    return Double.apply


X = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
Z = torch.tensor([1.0 + 2j, -2.0 - 1j], requires_grad=True)
EVERYTHING = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True,
              "check_grad_dtypes": True}


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("f, xs", [
    (lambda x: x.sin() * x.sum(), (X,)), (lambda x, z: (x[:2] * z.abs(), z * z), (X, Z)),
    (lambda z: z * z.conj() + z.exp(), (Z,)), (lambda x: (x.cumsum(0), x > 0, x.prod()), (X,)),
    (lambda x: torch.stack([x, x * x]).svd()[1], (X,))])
def test_right_gradients_pass_in_every_mode(fast, f, xs):
    xs = tuple(x.to(torch.complex128).detach().requires_grad_() if x.dtype.is_complex else x for x in xs)
    assert gradcheck(f, xs, fast_mode=fast, **EVERYTHING)
    assert gradgradcheck(f, xs, fast_mode=fast, check_fwd_over_rev=True)


@pytest.mark.parametrize("fast", [False, True])
def test_wrong_gradients_are_found(fast):
    assert gradcheck(made(), (X,), fast_mode=fast, check_forward_ad=True)
    for options, f, text in (({}, made(3.0), "mismatch for output 0 with respect to input 0"),
                             ({"check_forward_ad": True, "check_backward_ad": False}, made(2.0, 3.0),
                              "computed with forward mode mismatch")):
        with pytest.raises(GradcheckError, match=text):
            gradcheck(f, (X,), fast_mode=fast, **options)
        assert not gradcheck(f, (X,), fast_mode=fast, raise_exception=False, **options)
    assert gradcheck(made(2.0, 3.0), (X,), fast_mode=fast)      # the wrong tangent is not asked for


def test_backward_that_vmap_cannot_run():
    f = made(pull=lambda ctx, g: torch.from_numpy(g.numpy() * 2))
    assert gradcheck(f, (X,))
    with pytest.raises(GradcheckError, match="batched gradients"):
        gradcheck(f, (X,), check_batched_grad=True)


def test_absent_gradients():
    def pull(ctx, g):
        return torch.ones(3, dtype=torch.float64) if g is None else 2 * g

    class Fills(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2

        backward = staticmethod(pull)
    assert gradcheck(Fills.apply, (X,), check_undefined_grad=False)
    with pytest.raises(GradcheckError, match="undefined"):
        gradcheck(Fills.apply, (X,))


def test_what_is_asked_for_must_make_sense():
    for options in ({"check_backward_ad": False}, {"check_batched_grad": True, "check_backward_ad": False,
                                                  "check_forward_ad": True}, {"check_batched_forward_grad": True}):
        with pytest.raises(AssertionError):
            gradcheck(made(), (X,), **options)
    with pytest.raises(ValueError, match="at least one input"):
        gradcheck(made(), (X.detach(),))
    with pytest.warns(UserWarning, match="double precision"), pytest.raises(GradcheckError):
        gradcheck(made(), (X.detach().float().requires_grad_(),))
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda x: x.detach() * 2, (X,))


def test_jacobians_of_old():
    with pytest.warns(FutureWarning):
        numerical, = get_numerical_jacobian(lambda inputs: (inputs[0] ** 2).sum(0, keepdim=True).repeat(2), (X,))
        (analytical,), same, *_ = get_analytical_jacobian((X,), (X ** 2).sum(0, keepdim=True).repeat(2))
    want = np.stack([2 * X.detach().numpy()] * 2, 1)
    np.testing.assert_allclose(numerical.numpy(), want, rtol=1e-6)
    np.testing.assert_allclose(analytical.numpy(), want)
    assert same


def test_gradients_in_batches():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    other = torch.ones(2, requires_grad=True)
    eye = torch.eye(3)
    rows, none = torch.autograd.grad(x ** 2, (x, other), eye, is_grads_batched=True, allow_unused=True)
    assert rows.tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]] and none is None
    found, = torch.autograd.grad((x ** 2, x * 3), (x,), (eye, eye), is_grads_batched=True, create_graph=True)
    assert found.tolist() == [[5.0, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, 0.0, 9.0]] and found.requires_grad
    with pytest.raises(RuntimeError):
        torch.autograd.grad(x ** 2, (x,), torch.ones(3), is_grads_batched=True)
    with pytest.raises(RuntimeError, match="data pointer"):
        torch.vmap(lambda row: torch.from_numpy(row.numpy()))(eye)


def test_hooks_of_single_saved_tensors():
    x, y = (torch.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0]))
    product = x * y
    saved = product.grad_fn._raw_saved_self
    packed = []
    saved.register_hooks(lambda t: packed.append(t.tolist()) or 5, lambda v: torch.full((2,), 2.0 * v))
    assert packed == [[1.0, 2.0]] and saved.data == 5 and product.grad_fn._saved_self.tolist() == [10.0, 10.0]
    with pytest.raises(RuntimeError, match="already been set"):
        saved.register_hooks(lambda t: t, lambda t: t)
    product.sum().backward()
    assert y.grad.tolist() == [10.0, 10.0] and x.grad.tolist() == [3.0, 4.0]
    with pytest.raises(RuntimeError, match="after it has been freed"):
        saved.register_hooks(lambda t: t, lambda t: t)
    with pytest.raises(RuntimeError, match="in place"):
        (x * y).grad_fn._raw_saved_other.register_hooks(lambda t: t.add_(1), lambda t: t)
    with pytest.raises(RuntimeError, match="forbidden"):
        torch.autograd.SavedTensor()
    power = x.exp()
    power.grad_fn._raw_saved_result.register_hooks(lambda t: t * 0 + 7, lambda t: t)
    assert torch.autograd.grad(power.sum(), x)[0].tolist() == [7.0, 7.0]
    with pytest.raises(AttributeError):
        power.grad_fn._raw_saved_self


def test_contexts():
    autograd = torch.autograd
    for switch, query in ((autograd.set_multithreading_enabled, autograd.is_multithreading_enabled),
                          (autograd.set_grad_enabled, torch.is_grad_enabled)):
        with switch(False):
            assert not query()
        assert query()
        switch(False)
        assert not query()
        switch(True)
        assert query()
    leaf = torch.zeros(2, 3, requires_grad=True)
    for enforced, strides in ((True, (3, 1)), (False, (1, 2))):
        leaf.grad = None
        with autograd.enforce_grad_layout_policy(enforced):
            (leaf.t() * torch.ones(3, 2)).sum().backward()
            torch.autograd.backward(leaf * 1, torch.ones(3, 2).t())
        assert leaf.grad.shape == (2, 3)
    assert isinstance(leaf, autograd.Variable)
    assert autograd.Variable(torch.ones(2), requires_grad=True).requires_grad
