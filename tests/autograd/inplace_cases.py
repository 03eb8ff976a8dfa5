"""In-place changes: versions, views and their bases, what is refused."""

from support import error


def _leaf(torch, *shape):
    n = 1
    for s in shape:
        n *= s
    return (torch.arange(n, dtype=torch.float32).reshape(shape) + 1).requires_grad_()


def leaf_change_is_refused(torch):
    x = _leaf(torch, 3)
    return [error(lambda: x.add_(1)), error(lambda: x.zero_()), error(lambda: x.__setitem__(0, 1.0)),
            error(lambda: x[:2].mul_(2)), error(lambda: x.view(3, 1).add_(1)),
            error(lambda: x.detach().view(3).add_(1)), x]


def leaf_change_without_recording(torch):
    x = _leaf(torch, 3)
    with torch.no_grad():
        x.mul_(2)
        x[0] = 7
    return [x, x._version, x.requires_grad, x.is_leaf]


def versions_count(torch):
    x = torch.ones(3)
    v = [x._version]
    x.add_(1)
    v.append(x._version)
    x[0] = 2
    v.append(x._version)
    view = x[1:]
    view.mul_(3)
    v += [x._version, view._version]
    x.detach().add_(1)
    v.append(x._version)
    x.data.add_(1)
    v.append(x._version)
    x.numpy()[0] = 9
    return [*v, x]


def changed_saved_input(torch):
    x = _leaf(torch, 3)
    y = x * 2
    z = y * y
    y.add_(1)
    return error(lambda: z.sum().backward())


def changed_saved_result(torch):
    x = _leaf(torch, 3)
    y = x.exp()
    y.add_(1)
    return error(lambda: y.sum().backward())


def changed_after_a_use_that_saves_nothing(torch):
    x = _leaf(torch, 3)
    y = x * 2
    z = y + 1
    y.mul_(5)
    (z.sum() + y.sum()).backward()
    return x.grad


def changed_saved_constant(torch):
    x = _leaf(torch, 3)
    c = torch.ones(3)
    y = x * c
    c.add_(1)
    return error(lambda: y.sum().backward())


def changed_view_of_saved(torch):
    x = _leaf(torch, 4)
    y = x * 1
    z = y * y
    y[:2].zero_()
    return error(lambda: z.sum().backward())


def changed_through_detach(torch):
    x = _leaf(torch, 3)
    y = (x * 2).exp()
    y.detach().zero_()
    return error(lambda: y.sum().backward())


def changed_through_data_is_not_seen(torch):
    x = _leaf(torch, 3)
    y = x * 2
    z = y * y
    y.data.zero_()
    z.sum().backward()
    return x.grad


def inplace_chain(torch):
    x = _leaf(torch, 3)
    y = x * 2
    y.add_(1).mul_(3).sub_(x)
    name = y.grad_fn.name()
    y.sum().backward()
    return [name, y, x.grad]


def inplace_unary_forms(torch):
    out = []
    for name in ("exp_", "sqrt_", "sigmoid_", "tanh_", "relu_", "neg_", "reciprocal_", "abs_", "sin_"):
        x = _leaf(torch, 3)
        y = x * 0.5
        getattr(y, name)()
        out.append(y.grad_fn.name())
        y.sum().backward()
        out.append(x.grad)
    return out


def inplace_relu_then_use(torch):
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    y = (x * 2).relu_()
    (y * 3).sum().backward()
    return x.grad


def inplace_product_with_itself(torch):
    x = _leaf(torch, 3)
    y = x * 1
    y.mul_(y)
    y.sum().backward()
    return x.grad


def inplace_with_gradient_of_other_only(torch):
    x = _leaf(torch, 3)
    y = torch.ones(3)
    y.mul_(x)
    flags = [y.requires_grad, y.is_leaf, y.grad_fn.name()]
    y.sum().backward()
    return [flags, x.grad]


def fill_and_zero_cut_gradients(torch):
    x = _leaf(torch, 3)
    y = x * 2
    y.zero_()
    a = y.grad_fn.name()
    z = x * 2
    z.fill_(3.0)
    (y.sum() + z.sum() + x.sum()).backward()
    return [a, z.grad_fn.name(), x.grad]


def copy_into(torch):
    x = _leaf(torch, 3)
    y = _leaf(torch, 3)
    z = x * 2
    z.copy_(y)
    name = z.grad_fn.name()
    (z * z).sum().backward()
    return [name, x.grad, y.grad]


def copy_slices_of_constant(torch):
    x = _leaf(torch, 2)
    base = torch.zeros(4)
    base[1:3] = x * 3
    names = [base.grad_fn.name(), [f and f.name() for f, _ in base.grad_fn.next_functions]]
    (base * torch.arange(4.0)).sum().backward()
    return [names, base, x.grad, base.requires_grad]


def copy_slices_of_result(torch):
    x = _leaf(torch, 2, 3)
    base = x * 2
    view = base[:, 1]
    view.mul_(10)
    names = [base.grad_fn.name(), view.grad_fn.name()]
    (base * base).sum().backward()
    return [names, base, x.grad]


def changed_base_regenerates_views(torch):
    x = _leaf(torch, 4)
    base = x * 2
    view = base[1:3]
    base.mul_(3)
    name = view.grad_fn.name()
    (g,) = torch.autograd.grad(view.sum(), x)
    return [name, g, view]


def changed_view_seen_by_other_views(torch):
    x = _leaf(torch, 4)
    base = x.clone()
    a, b = base[:3], base[2:]
    a.mul_(5)
    (g,) = torch.autograd.grad(b.sum(), x)
    return [g, b, b.grad_fn.name()]


def view_of_view_changed(torch):
    x = _leaf(torch, 2, 2)
    base = x.clone()
    v = base.t()[0]
    v.mul_(x[0, 0])
    base.sum().backward()
    return [base, x.grad]


def view_chain_through_reshape(torch):
    x = _leaf(torch, 6)
    base = x * 1
    base.view(2, 3).select(0, 1).narrow(0, 0, 2).exp_()
    base.sum().backward()
    return x.grad


def setitem_with_mask_and_index(torch):
    x = _leaf(torch, 4)
    v = _leaf(torch, 2)
    base = x * 2
    base[torch.tensor([True, False, True, False])] = v
    base[torch.tensor([3])] = 0.0
    name = base.grad_fn.name()
    (base * torch.arange(1.0, 5.0)).sum().backward()
    return [name, x.grad, v.grad]


def setitem_number_in_the_middle(torch):
    x = _leaf(torch, 3, 3)
    y = x * x
    y[1, 1:] = -1
    y[..., 0] = 0
    y.sum().backward()
    return x.grad


def multi_output_views_cannot_change(torch):
    out = []
    for split in (lambda b: b.unbind(0), lambda b: b.split(2), lambda b: b.chunk(2)):
        x = _leaf(torch, 4, 2)
        base = x * 1
        parts = split(base)
        out.append(error(lambda: parts[0].add_(1)))
    return out


def multi_output_view_reads_after_base_changed(torch):
    x = _leaf(torch, 4)
    base = x * 1
    a, b = base.split(2)
    base.mul_(2)
    return [error(lambda: a.sum().backward())]


def views_made_without_recording(torch):
    x = _leaf(torch, 4)
    base = x * 1
    with torch.no_grad():
        v = base[:2]
    out = [error(lambda: v.add_(1))]
    w = _leaf(torch, 4)
    with torch.no_grad():
        v = w[:2]
    return out + [error(lambda: v.mul_(2))]


def view_of_leaf_changed_without_recording(torch):
    x = _leaf(torch, 4)
    with torch.no_grad():
        x[:2].zero_()
    (x * x).sum().backward()
    return x.grad


def detached_view_shares_memory(torch):
    x = _leaf(torch, 3)
    d = x.detach()
    d[0] = 9
    return [x, d._version == x._version, d.requires_grad, d.is_leaf, error(lambda: (x * x).sum().backward())]


def detach_in_place(torch):
    x = _leaf(torch, 3)
    y = x * 2
    y.detach_()
    z = x.view(3)
    return [y.requires_grad, y.is_leaf, error(lambda: z.detach_())]


def data_assignment(torch):
    x = _leaf(torch, 3)
    x.data = torch.zeros(2)
    return [x, x.requires_grad, list(x.shape), x._version]


def unused_in_place_history(torch):
    x = _leaf(torch, 2)
    y = x * 2
    z = y.view(2)
    y.add_(1)
    return [z.grad_fn.name(), y.grad_fn.name(), z._is_view(), z._base is y, x._is_view()]


def out_argument_refuses_gradients(torch):
    x = _leaf(torch, 2)
    return error(lambda: torch.add(x, 1, out=torch.empty(2)))


def index_put_and_scatter(torch):
    x = _leaf(torch, 5)
    v = _leaf(torch, 2)
    y = x * 1
    i = torch.tensor([1, 1])
    y.index_put_((i,), v, accumulate=True)
    y.scatter_(0, torch.tensor([0, 4]), v)
    y.index_add_(0, torch.tensor([2, 3]), v * 2)
    y.index_fill_(0, torch.tensor([3]), 0.0)
    y.masked_fill_(torch.tensor([False, False, True, False, False]), 1.0)
    y.sum().backward()
    return [y, x.grad, v.grad]


def addcmul_and_lerp_in_place(torch):
    x, y, z = _leaf(torch, 3), _leaf(torch, 3), _leaf(torch, 3)
    a = x * 1
    a.addcmul_(y, z, value=0.5)
    a.lerp_(y, 0.25)
    a.clamp_(min=2.0)
    a.sum().backward()
    return [x.grad, y.grad, z.grad]


def broadcast_in_place(torch):
    x = _leaf(torch, 2, 3)
    b = _leaf(torch, 3)
    y = x * 1
    y += b
    y.sum().backward()
    return [x.grad, b.grad, error(lambda: (b * 1).add_(x))]


def as_strided_overlap(torch):
    x = _leaf(torch, 4)
    y = x.as_strided((3, 2), (1, 1))
    (y * torch.arange(1.0, 7.0).reshape(3, 2)).sum().backward()
    return x.grad


def expand_cannot_change(torch):
    x = torch.ones(1)
    return error(lambda: x.expand(3).add_(1))
