"""Custom functions under transforms: values worked out by hand, in every combination of levels."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.autograd import Function
from rushlight.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

RNG = np.random.default_rng(11)
X, T = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


class Cube(Function):
    """x^3 and its derivative, batched by its own methods."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x ** 3, 3 * x ** 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, = inputs
        ctx.save_for_backward(x, output[1])
        ctx.save_for_forward(x, output[1])

    @staticmethod
    def backward(ctx, g, g_slope):
        x, slope = ctx.saved_tensors
        return g * slope + g_slope * 6 * x

    @staticmethod
    def jvp(ctx, t):
        x, slope = ctx.saved_tensors
        return t * slope, 6 * x * t


class Scaled(Function):
    """s x y through NumPy, batched by a static vmap."""

    @staticmethod
    def forward(x, y, s=2.0):
        return torch.from_numpy(s * x.numpy() * y.numpy())

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.s = inputs
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return Scaled.apply(g, y, ctx.s), Scaled.apply(g, x, ctx.s), None

    @staticmethod
    def jvp(ctx, x_t, y_t, _):
        x, y = ctx.saved_tensors
        return Scaled.apply(x_t, y, ctx.s) + Scaled.apply(x, y_t, ctx.s)

    @staticmethod
    def vmap(info, in_dims, x, y, s):
        assert info.batch_size == 3 and info.randomness == "error" and in_dims[2] is None
        x, y = (a if d is None else a.movedim(d, -1) for a, d in zip((x, y), in_dims))
        if in_dims[0] is None:
            x = x.unsqueeze(-1)
        if in_dims[1] is None:
            y = y.unsqueeze(-1)
        x, y = torch.broadcast_tensors(x, y)
        out = Scaled.apply(x, y, s)
        return out, out.dim() - 1


class Weighted(Function):
    """w exp(x), summed gradients for w where all samples share it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, w):
        return x.exp() * w

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output, inputs[0])

    @staticmethod
    def backward(ctx, g):
        out, x = ctx.saved_tensors
        return g * out, g * x.exp() if ctx.needs_input_grad[1] else None


def cube(x):
    return Cube.apply(x)[0]


def tensors(*arrays):
    return [torch.tensor(a) for a in arrays]


def same(got, want, tol=1e-12):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=tol, atol=tol)


CASES = {
    "vmap": (lambda x, t: vmap(cube)(x), X ** 3),
    "vmap of both results": (lambda x, t: vmap(Cube.apply, 1, 1)(x)[1], 3 * X ** 2),
    "vmap of vmap": (lambda x, t: vmap(vmap(cube))(x), X ** 3),
    "grad": (lambda x, t: grad(lambda a: cube(a).sum())(x), 3 * X ** 2),
    "grad of grad": (lambda x, t: grad(lambda a: grad(lambda b: cube(b).sum())(a).sum())(x), 6 * X),
    "vmap of grad": (lambda x, t: vmap(grad(lambda a: cube(a).sum()))(x), 3 * X ** 2),
    "grad of vmap": (lambda x, t: grad(lambda a: vmap(cube)(a).sum())(x), 3 * X ** 2),
    "vmap of grad of grad": (lambda x, t: vmap(grad(grad(cube)))(x[0]), 6 * X[0]),
    "jvp": (lambda x, t: jvp(cube, (x,), (t,))[1], 3 * X ** 2 * T),
    "jvp of the second result": (lambda x, t: jvp(Cube.apply, (x,), (t,))[1][1], 6 * X * T),
    "jvp of jvp": (lambda x, t: jvp(lambda a: jvp(cube, (a,), (t,))[1], (x,), (t,))[1], 6 * X * T * T),
    "jvp of vmap": (lambda x, t: jvp(vmap(cube), (x,), (t,))[1], 3 * X ** 2 * T),
    "vmap of jvp": (lambda x, t: vmap(lambda a, b: jvp(cube, (a,), (b,))[1])(x, t), 3 * X ** 2 * T),
    "jvp of grad": (lambda x, t: jvp(grad(lambda a: cube(a).sum()), (x,), (t,))[1], 6 * X * T),
    "grad of jvp": (lambda x, t: grad(lambda a: jvp(cube, (a,), (t,))[1].sum())(x), 6 * X * T),
    "vjp": (lambda x, t: vjp(cube, x)[1](t)[0], 3 * X ** 2 * T),
    "jacrev": (lambda x, t: jacrev(cube)(x[0]), np.diag(3 * X[0] ** 2)),
    "jacfwd": (lambda x, t: jacfwd(cube)(x[0]), np.diag(3 * X[0] ** 2)),
    "hessian": (lambda x, t: hessian(lambda a: cube(a).sum())(x[0]), np.diag(6 * X[0])),
    "own vmap": (lambda x, t: vmap(Scaled.apply, (0, None))(x, t[0]), 2 * X * T[0]),
    "own vmap, other dimensions": (lambda x, t: vmap(lambda a, b: Scaled.apply(a, b, 3.0), (1, 0), 1)(x.T, t).T,
                                   3 * X * T),
    "grad of own vmap": (lambda x, t: grad(lambda b: vmap(Scaled.apply, (0, None))(x, b).sum())(t[0]), 2 * X.sum(0)),
    "vmap of grad with own vmap": (lambda x, t: vmap(grad(lambda a, b: Scaled.apply(a, b).sum(), 1))(x, t), 2 * X),
    "jvp of a constant operand": (lambda x, t: jvp(lambda a: Scaled.apply(a, t), (x,), (t,))[1], 2 * T * T),
    "shared operands": (lambda x, t: grad(lambda w: vmap(Weighted.apply, (0, None))(x, w).sum())(t[0]),
                        np.exp(X).sum(0)),
    "operands of each sample": (lambda x, t: vmap(grad(lambda a, w: Weighted.apply(a, w).sum(), 1))(x, t), np.exp(X)),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    f, want = CASES[name]
    same(f(*tensors(X, T)), want)


def test_backward_through_vmap_reaches_leaves():
    x, w = (torch.tensor(a, requires_grad=True) for a in (X, T[0]))
    vmap(Weighted.apply, (0, None))(x, w).sum().backward()
    same(x.grad, np.exp(X) * T[0])
    same(w.grad, np.exp(X).sum(0))


def test_forward_mode_levels_take_old_style_functions():
    class Old(Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.save_for_forward(x)
            ctx.save_for_backward(x)
            ctx.k = k
            return x * x * k

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.k * ctx.saved_tensors[0] * g, None

        @staticmethod
        def jvp(ctx, t, k):
            assert k is None
            return 2 * ctx.k * ctx.saved_tensors[0] * t
    x, t = tensors(X, T)
    x.requires_grad_()
    fwad = torch.autograd.forward_ad
    with fwad.dual_level():
        y = Old.apply(fwad.make_dual(x, t), 3.0)
        same(fwad.unpack_dual(y).tangent, 6 * X * T)
        y.sum().backward()
    same(x.grad, 6 * X)
    assert torch.autograd.gradcheck(lambda a: Old.apply(a, 3.0), (x,), check_forward_ad=True)
    with pytest.raises(RuntimeError, match="setup_context"):
        vmap(lambda a: Old.apply(a, 3.0))(x)


def test_non_differentiable_results_and_errors():
    class Parts(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x * 2, x.sign()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx, g, _):
            return g * 2
    x = torch.tensor(X)
    same(grad(lambda a: (lambda p: (p[0] * p[1]).sum())(Parts.apply(a)))(x), 2 * np.sign(X))
    same(grad(lambda a: (lambda p: (p[0] * p[1]).sum())(vmap(Parts.apply)(a)))(x), 2 * np.sign(X))
    with pytest.raises(NotImplementedError, match="jvp"):
        jvp(Parts.apply, (x,), (x,))

    class Plain(Function):
        forward = staticmethod(lambda x: x * 2)
        setup_context = staticmethod(lambda ctx, inputs, output: None)
        backward = staticmethod(lambda ctx, g: g * 2)
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        vmap(Plain.apply)(x)
    Plain.vmap = staticmethod(lambda info, in_dims, a: a)
    with pytest.raises(RuntimeError, match="two returns"):
        vmap(Plain.apply)(x)
    Plain.vmap = staticmethod(lambda info, in_dims, a: (a * 2, (0, 0)))
    with pytest.raises(RuntimeError, match="incompatible"):
        vmap(Plain.apply)(x)
    Plain.generate_vmap_rule = True
    with pytest.raises(RuntimeError, match="both generate_vmap_rule"):
        vmap(Plain.apply)(x)
