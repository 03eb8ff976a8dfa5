"""Leaves, accumulation, keeping the graph, ``grad`` with all its arguments."""

import threading

from support import error, kind


def leaf_rules(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    z = torch.ones(2)
    return [x.is_leaf, y.is_leaf, z.is_leaf, (z + 1).is_leaf, y.requires_grad, y.detach().is_leaf,
            x.grad is None, y.grad_fn.name(), x.grad_fn is None, x.detach().requires_grad]


def integers_cannot_require_grad(torch):
    return [error(lambda: torch.ones(2, dtype=torch.int64, requires_grad=True)),
            error(lambda: torch.ones(2, dtype=torch.int64).requires_grad_()),
            error(lambda: setattr(torch.ones(2, dtype=torch.bool), "requires_grad", True))]


def requires_grad_of_a_result_cannot_be_dropped(torch):
    y = torch.ones(2, requires_grad=True) * 2
    return [error(lambda: setattr(y, "requires_grad", False)), error(lambda: y.requires_grad_(False)),
            error(lambda: y.requires_grad_(True))]


def grad_assignment_is_checked(torch):
    x = torch.ones(2, 3, requires_grad=True)
    return [kind(lambda: setattr(x, "grad", torch.ones(3))),
            kind(lambda: setattr(x, "grad", torch.ones(2, 3, dtype=torch.float64))),
            kind(lambda: setattr(x, "grad", 1.0)),
            kind(lambda: setattr(x, "grad", torch.ones(2, 3))), x.grad,
            kind(lambda: setattr(x, "grad", None)), x.grad is None]


def gradients_accumulate(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    first = x.grad.clone()
    kept = x.grad
    (x * x).sum().backward()
    return [first, x.grad, kept is x.grad, x.grad.requires_grad]


def shared_subexpression(torch):
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x
    (y * y + y).backward()
    return x.grad


def a_result_used_by_several_outputs(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    torch.autograd.backward([y.sum(), (y * 2).sum()])
    return x.grad


def backward_with_gradient_argument(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.backward(torch.tensor([1.0, 10.0]))
    return x.grad


def backward_of_many_elements_needs_a_gradient(torch):
    y = torch.ones(2, requires_grad=True) * 2
    return [error(lambda: y.backward()), error(lambda: y.backward(torch.ones(3))),
            error(lambda: torch.ones(1).backward()), kind(lambda: y.backward(1.0))]


def backward_of_complex_needs_a_gradient(torch):
    y = torch.ones((), dtype=torch.complex64, requires_grad=True) * 2
    return error(lambda: y.backward())


def backward_inputs(torch):
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    m = a * b
    y = m * a
    y.backward(inputs=[a, m], retain_graph=True)
    return [a.grad, b.grad, m.grad, error(lambda: y.backward(inputs=[]))]


def second_backward_raises_when_something_was_saved(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x * x
    y.backward()
    z = x + 1
    z.backward()
    return [error(y.backward), error(z.backward), x.grad]


def retain_graph(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    return [x.grad, error(y.backward)]


def retain_grad(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    before = y.retains_grad
    x.retain_grad()
    (y * y).sum().backward()
    return [before, x.retains_grad, y.grad, x.grad, error(lambda: torch.ones(1).retain_grad())]


def retain_grad_sees_hooked_gradient(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    return [y.grad, x.grad]


def create_graph_of_backward(torch):
    x = torch.tensor(3.0, requires_grad=True)
    (x ** 3).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward()
    return [first, first.requires_grad, x.grad]


def third_derivative(torch):
    x = torch.tensor([0.3, 1.2], dtype=torch.float64, requires_grad=True)
    y = (x.sin() * x.exp()).sum()
    out = []
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        out.append(y)
    return out


def gradient_penalty(torch):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    w = torch.tensor([[0.1, 0.2], [0.3, 0.4]], requires_grad=True)
    y = torch.tanh(x @ w).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (g.norm(2, dim=1) - 1).pow(2).mean().backward()
    return [g, w.grad, x.grad]


def grad_returns_and_does_not_accumulate(torch):
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    ga, gb = torch.autograd.grad(a * b, (a, b))
    return [ga, gb, a.grad, b.grad, isinstance(torch.autograd.grad(a * b, a), tuple)]


def grad_of_intermediate(torch):
    a = torch.tensor(2.0, requires_grad=True)
    m = a * 3
    y = m * m
    return torch.autograd.grad(y, [m, a])


def grad_of_the_output_itself(torch):
    a = torch.tensor(2.0, requires_grad=True)
    m = a * 3
    return [torch.autograd.grad(m, m, retain_graph=True), torch.autograd.grad(a, a)]


def grad_with_grad_outputs(torch):
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    return [torch.autograd.grad(a * a, a, torch.tensor([1.0, -1.0])),
            torch.autograd.grad([a * a, a.sum()], [a], [torch.ones(2), None]),
            error(lambda: torch.autograd.grad(a * a, a, torch.ones(3))),
            error(lambda: torch.autograd.grad(a * a, a))]


def grad_unused(torch):
    a = torch.tensor(1.0, requires_grad=True)
    b = torch.tensor([1.0, 2.0], requires_grad=True)
    y = a * 2
    return [error(lambda: torch.autograd.grad(y, [a, b], retain_graph=True)),
            torch.autograd.grad(y, [a, b], retain_graph=True, allow_unused=True),
            torch.autograd.grad(y, [a, b], retain_graph=True, materialize_grads=True),
            error(lambda: torch.autograd.grad(y, [a, b], allow_unused=False, materialize_grads=True))]


def grad_of_constant_input_raises(torch):
    a = torch.tensor(1.0, requires_grad=True)
    c = torch.tensor(1.0)
    return [error(lambda: torch.autograd.grad(a * c, c)), error(lambda: torch.autograd.grad(c * 2, a))]


def grad_batched(torch):
    a = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = a * a
    (j,) = torch.autograd.grad(y, a, torch.eye(3), is_grads_batched=True)
    return [j, a.grad]


def grad_batched_unused(torch):
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([1.0], requires_grad=True)
    return torch.autograd.grad((a * a), (a, b), torch.eye(2), is_grads_batched=True, allow_unused=True)


def grad_edge_as_input(torch):
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    m = a * 2
    edge = torch.autograd.graph.get_gradient_edge(m)
    return [edge.output_nr, edge.node.name(), torch.autograd.grad((m * m).sum(), [edge], retain_graph=True),
            error(lambda: torch.autograd.graph.get_gradient_edge(torch.ones(1)))]


def grad_only_runs_what_is_needed(torch):
    seen = []
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    branch = b * 5
    branch.register_hook(lambda g: seen.append("branch"))
    y = a * a + branch
    (g,) = torch.autograd.grad(y, a)
    return [g, seen]


def duplicate_inputs(torch):
    a = torch.tensor(2.0, requires_grad=True)
    return torch.autograd.grad(a * a, (a, a))


def max_ties_and_select(torch):
    x = torch.tensor([1.0, 3.0, 3.0], requires_grad=True)
    (a,) = torch.autograd.grad(x.max(), x)
    (b,) = torch.autograd.grad(x.max(0).values, x)
    (c,) = torch.autograd.grad(x.amax(), x)
    (d,) = torch.autograd.grad(x.median(), x)
    return [a, b, c, d]


def mixed_dtypes_cast_gradients(torch):
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    (a * b).sum().backward()
    return [str(a.grad.dtype), str(b.grad.dtype), a.grad, b.grad]


def broadcast_gradients_are_summed(torch):
    a = torch.ones(3, 1, requires_grad=True)
    b = torch.ones(4, requires_grad=True)
    c = torch.tensor(2.0, requires_grad=True)
    (a * b * c).sum().backward()
    return [a.grad, b.grad, c.grad]


def complex_gradients(torch):
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (z * z.conj()).real.sum().backward()
    first = z.grad.clone()
    z.grad = None
    z.abs().sum().backward()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    ((w * (1 + 2j)).real.sum() * 2).backward()
    return [first, z.grad, w.grad]


def complex_chain(torch):
    z = torch.tensor([0.5 + 0.25j, -0.3 - 1j], dtype=torch.complex128, requires_grad=True)
    out = []
    for f in (torch.exp, torch.sin, torch.tanh, torch.sqrt, torch.log, torch.angle, torch.reciprocal):
        y = f(z)
        y = y.real + 2 * y.imag if y.is_complex() else y
        out.append(torch.autograd.grad(y.sum(), z)[0])
    return out


def next_functions(torch):
    x = torch.ones(2, requires_grad=True)
    y = (x * 2 + x).sum()
    fns = y.grad_fn.next_functions
    add = fns[0][0]
    mul = add.next_functions[0][0]
    acc = mul.next_functions[0][0]
    return [y.grad_fn.name(), add.name(), [f and f.name() for f, _ in add.next_functions],
            [f and f.name() for f, _ in mul.next_functions], acc.variable is x,
            acc is add.next_functions[1][0], acc.next_functions, repr(mul)]


def saved_attributes(torch):
    x = torch.tensor([2.0], requires_grad=True)
    y = x ** 3
    z = y.exp()
    w = torch.sum(z, 0, keepdim=True)
    return [y.grad_fn._saved_self is x, z.grad_fn._saved_result,
            w.grad_fn._saved_self_sym_sizes if hasattr(w.grad_fn, "_saved_self_sym_sizes") else [1]]


def saved_attributes_after_backward(torch):
    x = torch.tensor([2.0], requires_grad=True)
    y = x.exp()
    fn = y.grad_fn
    y.sum().backward()
    return error(lambda: fn._saved_result)


def deep_chain(torch):
    x = torch.ones((), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    value = y.item()
    del y
    return [x.grad, value]


def deep_chain_of_saved_results(torch):
    x = torch.zeros((), requires_grad=True)
    y = x
    for _ in range(30_000):
        y = torch.tanh(y)
    (g,) = torch.autograd.grad(y, x)
    del y
    return g


def deep_chain_dropped_without_backward(torch):
    y = torch.ones(2, requires_grad=True)
    for _ in range(50_000):
        y = y * y
    z = y.sum()
    del y
    del z
    return "done"


def reentrant_backward(torch):
    class Inner(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                u = x.detach().requires_grad_()
                (u * u).sum().backward()
            return g * u.grad
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    (Inner.apply(x) * 2).sum().backward()
    return x.grad


def deep_reentrant_backward(torch):
    class Again(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.n = n
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            if ctx.n:
                with torch.enable_grad():
                    u = torch.ones((), requires_grad=True)
                    Again.apply(u, ctx.n - 1).backward()
                return g + u.grad, None
            return g, None
    x = torch.ones((), requires_grad=True)
    Again.apply(x, 60).backward()
    return x.grad


def backward_from_several_threads(torch):
    x = torch.ones(100, requires_grad=True)
    gs = [None] * 4

    def work(i):
        y = (x * (i + 1)).exp().sum()
        (gs[i],) = torch.autograd.grad(y, x)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return [g[0] for g in gs]


def error_in_backward_leaves_modes_alone(torch):
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise ValueError("no gradient today")
    x = torch.ones(2, requires_grad=True)
    found = error(lambda: Bad.apply(x).sum().backward())
    return [found, torch.is_grad_enabled(), (x * 2).requires_grad]


def zero_size(torch):
    x = torch.zeros(0, 3, requires_grad=True)
    (x * 2).sum().backward()
    return [list(x.grad.shape)]


def where_with_nan_branch(torch):
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    torch.where(x > 0, x.sqrt(), x).sum().backward()
    return x.grad
