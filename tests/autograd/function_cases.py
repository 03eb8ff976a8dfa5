"""Custom functions in both styles."""

from support import error, kind


def _square(torch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g
    return Square


def old_style(torch):
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    y = _square(torch).apply(x)
    y.sum().backward()
    return [y.grad_fn.name(), type(y.grad_fn).__name__, x.grad, y.requires_grad]


def new_style(torch):
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(x, k):
            return x * k

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.k = inputs

        @staticmethod
        def backward(ctx, g):
            return g * ctx.k, None
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    y = Scale.apply(x, 4)
    y.sum().backward()
    return [y.grad_fn.name(), x.grad]


def double_backward(torch):
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    (g,) = torch.autograd.grad(_square(torch).apply(x).sum(), x, create_graph=True)
    return [g, torch.autograd.grad(g.sum(), x)]


def saved_twice_raises(torch):
    x = torch.tensor([1.0], requires_grad=True)
    y = _square(torch).apply(x)
    y.backward()
    return error(y.backward)


def needs_input_grad(torch):
    seen = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, n, y):
            seen.append(list(ctx.needs_input_grad))
            return x * n * y

        @staticmethod
        def backward(ctx, g):
            seen.append(list(ctx.needs_input_grad))
            return g, None, g
    x, y = torch.ones(1, requires_grad=True), torch.ones(1)
    F.apply(x, 2, y).backward()
    with torch.no_grad():
        z = F.apply(x, 2, y)
    return [seen, x.grad, y.grad, z.requires_grad]


def several_outputs(torch):
    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a, b = Two.apply(x)
    out = [a.grad_fn is b.grad_fn, a.output_nr, b.output_nr]
    (g,) = torch.autograd.grad(a.sum(), x, retain_graph=True)
    (h,) = torch.autograd.grad(b.sum(), x)
    return [*out, g, h]


def materialize_grads(torch):
    seen = []

    def make(on):
        class Two(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(on)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx, a, b):
                seen.append(b if b is None else b.clone())
                return a * 2
        return Two
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    make(True).apply(x)[0].sum().backward()
    make(False).apply(x)[0].sum().backward()
    return seen


def mark_dirty(torch):
    class AddOne(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    v = y._version
    z = AddOne.apply(y)
    out = [z is y, y._version - v, y.grad_fn.name(), error(lambda: AddOne.apply(torch.ones(1, requires_grad=True)))]
    y.sum().backward()
    return [*out, x.grad]


def mark_dirty_of_a_view(torch):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = x * 1
    Double.apply(base[1:])
    base.sum().backward()
    return [base, x.grad]


def mark_non_differentiable(torch):
    class Sort(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            v, i = x.sort()
            ctx.mark_non_differentiable(i)
            ctx.save_for_backward(i)
            return v, i

        @staticmethod
        def backward(ctx, g, gi):
            (i,) = ctx.saved_tensors
            return torch.zeros_like(g).index_add_(0, i, g)
    x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    v, i = Sort.apply(x)
    (v * torch.arange(3.0)).sum().backward()
    return [v.requires_grad, i.requires_grad, i, x.grad]


def float_output_marked_non_differentiable(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            a, b = x * 2, x * 3
            ctx.mark_non_differentiable(b)
            return a, b

        @staticmethod
        def backward(ctx, a, b):
            return a * 2
    a, b = F.apply(torch.ones(1, requires_grad=True))
    return [a.requires_grad, b.requires_grad, b.grad_fn is None]


def input_returned_as_it_is(torch):
    class Identity(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 3
    x = torch.tensor([1.0], requires_grad=True)
    y = Identity.apply(x)
    y.backward()
    return [y is x, y.grad_fn.name(), x.grad, x.is_leaf]


def view_returned(torch):
    class First(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[:1]

        @staticmethod
        def backward(ctx, g):
            return torch.cat([g * 2, torch.zeros(1)])
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = First.apply(x)
    y.backward()
    return x.grad


def wrong_number_of_gradients(torch):
    def make(result):
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, n):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return result
        return F
    x = torch.ones(2, requires_grad=True)
    one = torch.ones(2)
    return [error(lambda: make(one).apply(x, 1).sum().backward()),
            error(lambda: make((one, None, one)).apply(x, 1).sum().backward()),
            error(lambda: make((one, None, None)).apply(x, 1).sum().backward()),
            error(lambda: make((one, one)).apply(x, 1).sum().backward()),
            kind(lambda: make((torch.ones(3), None)).apply(x, 1).sum().backward()),
            kind(lambda: make((1.0, None)).apply(x, 1).sum().backward()),
            error(lambda: make((None, None)).apply(x, 1).sum().backward()),
            error(lambda: make((torch.ones(2, 2), None)).apply(x, 1).sum().backward())]


def missing_methods(torch):
    class NoForward(torch.autograd.Function):
        pass

    class NoBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2
    x = torch.ones(1, requires_grad=True)
    return [error(lambda: NoForward.apply(x)), error(lambda: NoBackward.apply(x).backward()),
            kind(lambda: NoBackward())]


def once_differentiable(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x ** 3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g
    x = torch.tensor([2.0], requires_grad=True)
    (g,) = torch.autograd.grad(F.apply(x), x, create_graph=True)
    return [g, g.requires_grad, error(lambda: (g * 2).sum().backward())]


def save_for_backward_refuses_others(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)
            return x * 2
    return error(lambda: F.apply(torch.ones(1, requires_grad=True)))


def saved_none_output_and_changes(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(None, y, x)
            return y

        @staticmethod
        def backward(ctx, g):
            n, y, x = ctx.saved_tensors
            return g * y if n is None else None
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    y = F.apply(x)
    y.sum().backward(retain_graph=True)
    a = x.grad.clone()
    y.mul_(2)
    return [a, kind(lambda: y.sum().backward())]


def context_attributes(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, *, unused=None):
            ctx.note = [1, 2]
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * sum(ctx.note)
    x = torch.ones(1, requires_grad=True)
    y = F.apply(x)
    out = y.grad_fn.note
    y.backward()
    return [out, x.grad]


def gradients_off_inside_forward(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mode = torch.is_grad_enabled()
            y = x * 2
            ctx.inner = y.requires_grad
            return y

        @staticmethod
        def backward(ctx, g):
            return g
    y = F.apply(torch.ones(1, requires_grad=True))
    return [y.grad_fn.mode, y.grad_fn.inner, y.requires_grad]


def non_tensor_outputs(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, "text", 5

        @staticmethod
        def backward(ctx, g, a, b):
            return g * (2 if a is None and b is None else 0)
    x = torch.ones(1, requires_grad=True)
    y, s, n = F.apply(x)
    y.backward()
    return [s, n, x.grad]


def straight_through(torch):
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return g
    x = torch.tensor([0.4, 1.7], requires_grad=True)
    (Round.apply(x) * torch.tensor([1.0, 2.0])).sum().backward()
    return x.grad
