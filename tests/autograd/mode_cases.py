"""Switching recording off and on; inference mode."""

import threading

from support import error


def no_grad_as_context(torch):
    x = torch.ones(1, requires_grad=True)
    with torch.no_grad():
        a = x * 2
        inner = torch.is_grad_enabled()
        with torch.enable_grad():
            b = x * 2
    return [a.requires_grad, a.grad_fn is None, inner, b.requires_grad, torch.is_grad_enabled()]


def no_grad_as_decorator(torch):
    x = torch.ones(1, requires_grad=True)

    @torch.no_grad()
    def f(y):
        "A docstring."
        return y * 2

    @torch.no_grad
    def g(y):
        return y * 2

    @torch.enable_grad()
    def h(y):
        return y * 2
    with torch.no_grad():
        k = h(x).requires_grad
    return [f(x).requires_grad, g(x).requires_grad, k, f.__name__, f.__doc__]


def no_grad_is_left_by_exceptions(torch):
    def fail():
        with torch.no_grad():
            raise ValueError("x")
    error(fail)
    return torch.is_grad_enabled()


def generators(torch):
    @torch.no_grad()
    def gen():
        got = yield torch.is_grad_enabled()
        yield [torch.is_grad_enabled(), got]
        try:
            yield 1
        except ValueError:
            yield torch.is_grad_enabled()
        return 5
    it = gen()
    out = [next(it), torch.is_grad_enabled(), it.send("sent"), torch.is_grad_enabled()]
    next(it)
    out += [it.throw(ValueError()), torch.is_grad_enabled()]

    def outer():
        r = yield from gen()
        yield ["returned", r]
    out.append(list(outer())[-1])
    return out


def generator_closed_early(torch):
    seen = []

    @torch.no_grad()
    def gen():
        try:
            yield 1
        finally:
            seen.append(torch.is_grad_enabled())
    it = gen()
    next(it)
    it.close()
    return [seen, torch.is_grad_enabled()]


def set_grad_enabled(torch):
    out = []
    with torch.set_grad_enabled(False):
        out.append(torch.is_grad_enabled())
        with torch.set_grad_enabled(True):
            out.append(torch.is_grad_enabled())
    torch.set_grad_enabled(False)
    out.append(torch.is_grad_enabled())
    torch.set_grad_enabled(True)

    @torch.set_grad_enabled(False)
    def f():
        return torch.is_grad_enabled()
    return [*out, torch.is_grad_enabled(), f(), torch.is_grad_enabled()]


def threads_have_their_own_modes(torch):
    seen = {}
    inside, leave = threading.Event(), threading.Event()

    def work():
        seen["start"] = torch.is_grad_enabled()
        with torch.no_grad():
            x = torch.ones(2, requires_grad=True)
            seen["in"] = (x * 2).requires_grad
            inside.set()
            leave.wait(10)
    t = threading.Thread(target=work)
    with torch.no_grad():
        t.start()
        inside.wait(10)
    x = torch.ones(2, requires_grad=True)
    main = (x * 2).requires_grad, x.exp().requires_grad, torch.is_grad_enabled()
    leave.set()
    t.join()
    return [seen["start"], seen["in"], main]


def inference_mode(torch):
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        y = x * 2
        z = torch.ones(2)
        flags = [torch.is_inference_mode_enabled(), torch.is_grad_enabled(), y.is_inference(),
                 z.is_inference(), x.is_inference(), x.view(2).is_inference()]
        with torch.inference_mode(False):
            flags += [torch.is_inference_mode_enabled(), (x * 2).requires_grad]
    return [flags, y.requires_grad, torch.is_inference_mode_enabled(), (y + 1).is_inference(),
            y.clone().is_inference()]


def inference_tensors_afterwards(torch):
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        y = torch.ones(2)
    return [error(lambda: y * x), error(lambda: y.add_(1)), error(lambda: y.requires_grad_()),
            error(lambda: y + x), error(lambda: y._version), error(lambda: y.view(2).add_(1)),
            error(lambda: y.clone() * x), error(lambda: (x * 2).mul_(y)), error(lambda: y.backward())]


def inference_mode_writes(torch):
    y = torch.ones(2)
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        y.add_(1)
        z = torch.ones(2)
        z.add_(y)
        v = z[:1]
        v.mul_(5)
    return [y, z, v.is_inference(), y._version, (y * x).requires_grad]


def inference_mode_decorates(torch):
    @torch.inference_mode()
    def f():
        return torch.ones(1).is_inference()

    @torch.inference_mode
    def g():
        return torch.ones(1).is_inference()

    @torch.inference_mode(mode=False)
    def h():
        return torch.ones(1).is_inference()
    return [f(), g(), h(), torch.is_inference_mode_enabled()]


def enable_grad_inside_inference(torch):
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode(), torch.enable_grad():
        y = x * 2
        return [y.requires_grad, y.is_inference()]


def factories_under_no_grad(torch):
    with torch.no_grad():
        x = torch.ones(2, requires_grad=True)
        y = x.detach().requires_grad_()
    return [x.requires_grad, y.requires_grad, x.is_leaf]


def inference_tensors_cannot_change_outside(torch):
    with torch.inference_mode():
        y = torch.ones(2)
    out = []
    for change in (lambda: y.add_(1), lambda: y.copy_(torch.ones(2)), lambda: y.__setitem__(0, 1.0),
                   lambda: y.fill_(2.0), lambda: y.zero_(), lambda: y.exp_(), lambda: y.mul_(2)):
        with torch.no_grad():
            out.append(error(change))
        out.append(error(change))
    return out
