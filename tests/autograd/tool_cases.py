"""jacobian and its relatives, gradient checks, anomaly mode, checkpoints."""

from support import error, kind


def _f64(torch, *values):
    return torch.tensor(values, dtype=torch.float64)


def jacobian(torch):
    F = torch.autograd.functional
    x, y = _f64(torch, 1.0, 2.0), _f64(torch, 3.0, 4.0)
    return [F.jacobian(lambda a: a ** 3, x), F.jacobian(lambda a, b: a * b.sum(), (x, y)),
            F.jacobian(lambda a: (a.sum(), a * 2), x), F.jacobian(lambda a: a.sum() ** 2, x),
            F.jacobian(lambda a: a ** 2, x, vectorize=True)]


def jacobian_strict(torch):
    F = torch.autograd.functional
    x = _f64(torch, 1.0, 2.0)
    return [error(lambda: F.jacobian(lambda a: torch.ones(2, dtype=torch.float64), x, strict=True)),
            F.jacobian(lambda a: torch.ones(2, dtype=torch.float64), x),
            kind(lambda: F.jacobian(lambda a: 1.0, x)), kind(lambda: F.jacobian(lambda a: a, 1.0))]


def jacobian_create_graph(torch):
    x = _f64(torch, 1.0, 2.0).requires_grad_()
    j = torch.autograd.functional.jacobian(lambda a: a ** 3, x, create_graph=True)
    j.sum().backward()
    return [j, x.grad]


def hessian(torch):
    F = torch.autograd.functional
    x, y = _f64(torch, 1.0, 2.0), _f64(torch, 3.0, 4.0)
    return [F.hessian(lambda a: (a ** 3).sum(), x), F.hessian(lambda a, b: (a * b * a).sum(), (x, y)),
            error(lambda: F.hessian(lambda a: a * 2, x))]


def products(torch):
    F = torch.autograd.functional
    x, v = _f64(torch, 1.0, 2.0), _f64(torch, 0.5, -1.0)
    f = lambda a: (a ** 3).sum()
    g = lambda a: a.exp() * a.sum()
    return [F.vjp(g, x, v), F.jvp(g, x, v), F.vhp(f, x, v), F.hvp(f, x, v), F.vjp(f, x),
            error(lambda: F.vjp(g, x)), error(lambda: F.jvp(g, x)), error(lambda: F.hvp(f, x))]


def products_of_several(torch):
    F = torch.autograd.functional
    x, y = _f64(torch, 1.0, 2.0), _f64(torch, 3.0, 4.0)
    f = lambda a, b: (a * b, a.sum())
    return [F.vjp(f, (x, y), (x, _f64(torch, 1.0).reshape(()))), F.jvp(f, (x, y), (y, x)),
            F.hvp(lambda a, b: (a * a * b).sum(), (x, y), (x, y))]


def gradcheck_passes(torch):
    x = torch.tensor([[0.3, -0.7], [1.1, 0.2]], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[0.5, 0.1], [0.2, -0.4]], dtype=torch.float64, requires_grad=True)
    check, check2 = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    return [check(lambda a, b: torch.tanh(a @ b), (x, w)), check2(lambda a, b: torch.tanh(a @ b), (x, w)),
            check(torch.exp, x), check(lambda a: (a * 2, a.sum()), (x,)),
            check(torch.sigmoid, (x,), fast_mode=True)]


def gradcheck_of_complex(torch):
    z = torch.tensor([0.3 + 0.2j, -0.7 + 1j], dtype=torch.complex128, requires_grad=True)
    check = torch.autograd.gradcheck
    return [check(torch.exp, (z,)), check(lambda a: a.abs(), (z,)), check(lambda a: a * a.conj(), (z,)),
            check(lambda a: torch.view_as_real(a), (z,))]


def gradcheck_fails(torch):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3
    x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    check = torch.autograd.gradcheck
    return [kind(lambda: check(Wrong.apply, (x,))), check(Wrong.apply, (x,), raise_exception=False),
            error(lambda: check(torch.exp, (x.detach(),))),
            error(lambda: check(Wrong.apply, (x,)))[1].startswith("Jacobian mismatch for output 0 with respect to "
                                                                  "input 0")]


def gradgradcheck_fails(torch):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x ** 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x.detach()
    x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    return [torch.autograd.gradcheck(Once.apply, (x,)), kind(lambda: torch.autograd.gradgradcheck(Once.apply, (x,))),
            torch.autograd.gradgradcheck(Once.apply, (x,), raise_exception=False)]


def anomaly_names_the_function(torch):
    x = torch.tensor([0.0], requires_grad=True)
    with torch.autograd.detect_anomaly():
        y = (x / x) * 2
        return [error(y.backward), torch.is_anomaly_enabled()]


def anomaly_without_nan_check(torch):
    x = torch.tensor([0.0], requires_grad=True)
    with torch.autograd.detect_anomaly(check_nan=False):
        y = (x / x) * 2
        y.backward()
    return x.grad


def anomaly_as_switch(torch):
    out = [torch.is_anomaly_enabled()]
    with torch.autograd.set_detect_anomaly(True):
        out += [torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()]
    torch.autograd.set_detect_anomaly(True, False)
    out += [torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()]
    torch.autograd.set_detect_anomaly(False)
    return out + [torch.is_anomaly_enabled()]


def checkpoint_gradients(torch):
    from importlib import import_module
    checkpoint = import_module(torch.__name__ + ".utils.checkpoint").checkpoint
    out = []
    for reentrant in (True, False):
        calls = []

        def f(a, k):
            calls.append(1)
            return (a * k).tanh() * a
        x = torch.tensor([0.5, 1.5], requires_grad=True)
        y = checkpoint(f, x, 2.0, use_reentrant=reentrant)
        before = len(calls)
        y.sum().backward()
        out += [before, len(calls), x.grad]
    return out


def checkpoint_replays_dropout(torch):
    from importlib import import_module
    checkpoint = import_module(torch.__name__ + ".utils.checkpoint").checkpoint
    out = []
    for reentrant in (True, False):
        for preserve in (True,):
            torch.manual_seed(3)
            x = torch.ones(12, requires_grad=True)
            y = checkpoint(lambda a: torch.nn.functional.dropout(a * 2, 0.5), x, use_reentrant=reentrant,
                           preserve_rng_state=preserve)
            y.sum().backward()
            out += [y, x.grad, torch.rand(1)]
    return out


def checkpoint_nested(torch):
    from importlib import import_module
    checkpoint = import_module(torch.__name__ + ".utils.checkpoint").checkpoint
    out = []
    for reentrant in (True, False):
        x = torch.tensor([0.5, 1.5], requires_grad=True)
        inner = lambda a: a.sin() * a
        outer = lambda a: checkpoint(inner, a * 2, use_reentrant=reentrant).exp()
        checkpoint(outer, x, use_reentrant=reentrant).sum().backward()
        out.append(x.grad)
    return out


def checkpoint_sequential(torch):
    from importlib import import_module
    c = import_module(torch.__name__ + ".utils.checkpoint")
    x = torch.tensor([0.5, 1.5], requires_grad=True)
    fs = [torch.sin, torch.exp, torch.tanh, torch.sigmoid]
    c.checkpoint_sequential(fs, 2, x, use_reentrant=False).sum().backward()
    return x.grad


def checkpoint_without_reentry_supports_grad_and_keywords(torch):
    from importlib import import_module
    checkpoint = import_module(torch.__name__ + ".utils.checkpoint").checkpoint
    x = torch.tensor([0.5, 1.5], requires_grad=True)
    y = checkpoint(lambda a, *, k: {"y": (a * k).exp()}, x, k=3.0, use_reentrant=False)
    (g,) = torch.autograd.grad(y["y"].sum(), x, create_graph=True)
    return [g, torch.autograd.grad(g.sum(), x),
            kind(lambda: checkpoint(lambda a, k=1: a, x, k=3.0, use_reentrant=True)),
            kind(lambda: torch.autograd.grad(checkpoint(torch.exp, x, use_reentrant=True).sum(), x))]


def checkpoint_notices_different_recomputation(torch):
    from importlib import import_module
    c = import_module(torch.__name__ + ".utils.checkpoint")
    state = [0]

    def f(a):
        state[0] += 1
        return (a.exp() if state[0] == 1 else a.exp().sin()).exp() if state[0] == 1 else a * 2
    x = torch.tensor([0.5, 1.5], requires_grad=True)
    y = c.checkpoint(f, x, use_reentrant=False)
    return kind(y.sum().backward)
