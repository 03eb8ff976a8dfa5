"""Hooks on tensors, leaves and nodes; saved-tensor hooks."""

from support import error, kind


def tensor_hook_sees_and_replaces(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    seen = []
    h1 = y.register_hook(lambda g: seen.append(g.clone()))
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(g.clone()))
    y.sum().backward()
    first = x.grad.clone()
    h1.remove()
    h1.remove()
    return [seen, first]


def leaf_hook(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    handle = x.register_hook(lambda g: g + 1)
    (x * x).sum().backward()
    a = x.grad.clone()
    handle.remove()
    x.grad = None
    (x * x).sum().backward()
    return [a, x.grad]


def leaf_hook_runs_once_with_the_sum(torch):
    x = torch.tensor(2.0, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 3 + x * 4).backward()
    return [seen, x.grad]


def hook_as_context(torch):
    x = torch.tensor(1.0, requires_grad=True)
    with x.register_hook(lambda g: g * 5):
        (x * 2).backward()
    (x * 2).backward()
    return x.grad


def hook_errors(torch):
    x = torch.ones(2, requires_grad=True)
    out = [error(lambda: torch.ones(2).register_hook(lambda g: g))]
    y = x * 2
    y.register_hook(lambda g: g[:1])
    out.append(kind(lambda: y.sum().backward()))
    z = x * 2
    z.register_hook(lambda g: "text")
    out.append(kind(lambda: z.sum().backward()))
    return out


def hook_with_grad_function(torch):
    x = torch.tensor(1.0, requires_grad=True)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    torch.autograd.grad(y * 2, x)
    return [seen, x.grad]


def hook_result_is_differentiable(torch):
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return [g, torch.autograd.grad(g, x)]


def post_accumulate_hook(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    seen = []

    def hook(p):
        seen.append([p is x, p.grad.clone()])
        p.grad = None
    h = x.register_post_accumulate_grad_hook(hook)
    (x * 2).sum().backward()
    gone = x.grad is None
    h.remove()
    (x * 2).sum().backward()
    return [seen, gone, x.grad, error(lambda: (x * 2).register_post_accumulate_grad_hook(hook)),
            error(lambda: torch.ones(1).register_post_accumulate_grad_hook(hook))]


def post_accumulate_hook_not_in_grad(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(1))
    torch.autograd.grad((x * 2).sum(), x)
    return seen


def node_hook(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    seen = []

    def hook(grad_inputs, grad_outputs):
        seen.append([[g for g in grad_inputs if g is not None], list(grad_outputs)])
        return (grad_inputs[0] * 100, *grad_inputs[1:])
    h = y.grad_fn.register_hook(hook)
    y.sum().backward(retain_graph=True)
    a = x.grad.clone()
    h.remove()
    x.grad = None
    y.sum().backward()
    return [seen, a, x.grad]


def node_prehook(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.grad_fn.register_prehook(lambda gs: (gs[0] * 7,))
    y.sum().backward()
    return x.grad


def accumulator_hooks(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    acc = x.expand_as(x).grad_fn.next_functions[0][0]
    seen = []
    acc.register_hook(lambda gi, go: seen.append(["post", list(gi), list(go)]))
    acc.register_prehook(lambda go: seen.append(["pre", list(go)]))
    (x * 3).sum().backward()
    return [acc.name(), seen, x.grad]


def order_of_hooks(torch):
    x = torch.tensor(1.0, requires_grad=True)
    y = x * 2
    order = []
    y.grad_fn.register_hook(lambda gi, go: order.append("node"))
    y.register_hook(lambda g: order.append("tensor"))
    y.grad_fn.register_prehook(lambda g: order.append("pre"))
    y.retain_grad()
    x.register_hook(lambda g: order.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda p: order.append("accumulated"))
    y.backward()
    return order


def multi_grad_hook(torch):
    a, b = (torch.tensor(float(i + 1), requires_grad=True) for i in range(2))
    x, y = a * 2, b * 3
    seen = []
    h = torch.autograd.graph.register_multi_grad_hook((x, y, a), lambda gs: seen.append(
        [None if g is None else g.item() for g in gs]))
    (x * y).backward(retain_graph=True)
    (x * 2).backward(retain_graph=True)
    h.remove()
    (x * y).backward()
    return seen


def multi_grad_hook_any(torch):
    a, b = (torch.tensor(float(i + 1), requires_grad=True) for i in range(2))
    x, y = a * 2, b * 3
    seen = []
    torch.autograd.graph.register_multi_grad_hook((x, y), lambda g: seen.append(1), mode="any")
    (x * y).backward(retain_graph=True)
    (x * y).backward()
    return [len(seen), kind(lambda: torch.autograd.graph.register_multi_grad_hook((x,), print, mode="no"))]


def hooks_survive_in_place(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(["before", g.clone()]))
    y.mul_(3)
    y.register_hook(lambda g: seen.append(["after", g.clone()]))
    y.sum().backward()
    return [sorted(seen, key=lambda s: s[0]), x.grad]


def saved_hooks(torch):
    log = []

    def pack(t):
        log.append(["pack", t.clone()])
        return t.numpy().copy()

    def unpack(a):
        log.append(["unpack"])
        return torch.from_numpy(a)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x * x
        z = y.exp()
    z.sum().backward()
    return [log, x.grad]


def saved_hooks_change_values(torch):
    x = torch.tensor([3.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t * 2):
        y = x.sin() * 1 + x ** 2
    y.backward()
    return x.grad


def saved_hooks_nest(torch):
    log = []
    hooks = torch.autograd.graph.saved_tensors_hooks
    x = torch.tensor([3.0], requires_grad=True)
    with hooks(lambda t: log.append("outer") or t, lambda t: t):
        with hooks(lambda t: log.append("inner") or t, lambda t: t):
            a = x * x
        b = x.exp()
    c = x.sin()
    (a + b + c).backward()
    return [log, x.grad]


def saved_hooks_double_backward(torch):
    x = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x ** 3
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return [g, torch.autograd.grad(g, x)]


def saved_hooks_for_custom_functions(torch):
    log = []

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g
    x = torch.tensor([3.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: log.append("p") or t, lambda t: t + 1):
        y = Square.apply(x)
    y.backward()
    return [log, x.grad]


def unpack_must_return_a_tensor(torch):
    x = torch.tensor([3.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: 1, lambda p: p):
        y = x.exp()
    return kind(y.backward)


def saved_hooks_can_be_forbidden(torch):
    def use():
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            pass
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        found = error(use)
    return [found, error(use)]


def save_on_cpu(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.save_on_cpu():
        y = (x * x).exp()
    y.sum().backward()
    return x.grad


def mutation_of_saved_tensors_allowed(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        z = y * y
        y.zero_()
        z.sum().backward()
    return x.grad


def backward_hook_may_call_backward(torch):
    x = torch.tensor(2.0, requires_grad=True)
    inner = torch.tensor(5.0, requires_grad=True)
    y = x * 3

    def hook(g):
        with torch.enable_grad():
            (inner * inner).backward()
    y.register_hook(hook)
    y.backward()
    return [x.grad, inner.grad]


def increment_version(torch):
    x = torch.ones(2)
    torch.autograd.graph.increment_version(x)
    return x._version
