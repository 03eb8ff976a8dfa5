"""What stays in memory: live bytes by op, cycles, the graph after backward, gradients taken as they are."""

import gc
import weakref

import pytest

import rushlight as torch
from rushlight.runtime import allocator

pytest.importorskip("llvmlite")

SIDE = 256
SIZE = SIDE * SIDE * 4          # one float32 matrix, counted by the allocator


def live():
    return allocator.memory_stats()["live_bytes"]


@pytest.fixture(autouse=True)
def only_reference_counts():
    """Whatever is freed here is freed by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf():
    return (torch.rand(SIDE, SIDE) + 0.5).requires_grad_()


def kept(f, x):
    """How many matrices ``f(x)`` leaves behind besides its result's data."""
    f(x)                        # kernels are compiled, constants made
    before = live()
    y = f(x)
    held = live() - before
    y = y.sum() if isinstance(y, torch.Tensor) else y
    return round(held / SIZE, 2), y


# Matrices alive after y = f(x) while y is held: its own data, and what the graph saves besides x.
OPS = {
    "add": (lambda x: x + 1, 1), "add_tensor": (lambda x: x + x, 1), "sub": (lambda x: 1 - x, 1),
    "mul_number": (lambda x: x * 2, 1), "div_number": (lambda x: x / 2, 1), "neg": (lambda x: -x, 1),
    "exp": (lambda x: x.exp(), 1), "relu": (lambda x: x.relu(), 1), "tanh": (lambda x: x.tanh(), 1),
    "sigmoid": (lambda x: x.sigmoid(), 1), "sqrt": (lambda x: x.sqrt(), 1), "sin": (lambda x: x.sin(), 1),
    "reciprocal": (lambda x: x.reciprocal(), 1), "gelu": (lambda x: torch.nn.functional.gelu(x), 1),
    "view": (lambda x: x.view(-1), 0), "transpose": (lambda x: x.t(), 0), "clone": (lambda x: x.clone(), 1),
    "softmax": (lambda x: x.softmax(1), 1), "matmul": (lambda x: x @ x, 1),
}
# Matrices alive with the results of two steps dropped but the last: what a chain of three keeps.
CHAINS = {
    "add": (lambda x: x + 1, 1),            # nothing saved: only the last result
    "mul_number": (lambda x: x * 1.5, 1),
    "neg": (lambda x: -x, 1),
    "view": (lambda x: (x + 1).t(), 1),
    "exp": (lambda x: x.exp(), 3),          # results: one a step
    "relu": (lambda x: x.relu(), 3),
    "tanh": (lambda x: x.tanh(), 3),
    "sigmoid": (lambda x: x.sigmoid(), 3),
    "sqrt": (lambda x: x.sqrt(), 3),
    "sin": (lambda x: x.sin(), 3),          # inputs: two of ours, the leaf, and the last result
    "abs": (lambda x: x.abs(), 3),
    "square": (lambda x: x * x, 3),
    "clamp": (lambda x: x.clamp(0.1, 5), 3),
    "softmax": (lambda x: x.softmax(1), 3),
    "sum_expand": (lambda x: x.sum(1, keepdim=True).expand(SIDE, SIDE) + 0, 1),
}


@pytest.mark.parametrize("name", sorted(OPS))
def test_an_op_keeps_what_it_saves(name):
    f, expected = OPS[name]
    held, y = kept(f, leaf())
    assert held == expected


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_a_chain_keeps_what_it_saves(name):
    f, expected = CHAINS[name]
    x = leaf()
    f(f(f(x)))
    before = live()
    y = f(f(f(x)))
    assert round((live() - before) / SIZE, 1) == expected
    del y
    assert live() == before


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_backward_frees_the_graph(name):
    f, _ = CHAINS[name]
    x = leaf()
    f(f(f(x))).sum().backward()
    x.grad = None
    before = live()
    y = f(f(f(x))).sum()
    y.backward()
    assert live() - before == SIZE          # the gradient, while the result is still held
    x.grad = None
    assert live() == before


def test_a_chain_without_gradients_needs_three_buffers():
    x = torch.rand(1024, 1024)
    x.exp()
    before = live()
    allocator.reset_peak()
    y = x
    for _ in range(400):
        y = y.exp()
    peak = allocator.memory_stats()["peak_live_bytes"] - before
    assert peak <= 3 * 4 * 1024 * 1024
    assert live() - before == 4 * 1024 * 1024


def test_no_grad_keeps_nothing():
    x = leaf()
    with torch.no_grad():
        x.exp().tanh()
        before = live()
        y = x.exp().tanh().sin().relu()
        assert live() - before == SIZE
    del y


@pytest.mark.parametrize("f", [lambda x: x.exp(), lambda x: x.softmax(1), lambda x: x.tanh() * x,
                               lambda x: x.max(1)[0], lambda x: torch.nn.functional.layer_norm(x, (SIDE,)),
                               lambda x: x.clone().mul_(2), lambda x: x.clone()[:5].exp_(),
                               lambda x: x.split(64)[1], lambda x: torch.cat([x, x]).sort(0)[0]],
                         ids=["exp", "softmax", "tanh", "max", "layer_norm", "inplace", "view_inplace", "split",
                              "sort"])
def test_results_make_no_cycle(f):
    x = leaf()
    f(x)
    before = live()
    y = f(x)
    node = weakref.ref(y.grad_fn)
    tensor = weakref.ref(y)
    del y
    assert tensor() is None
    assert node() is None
    assert live() == before


def test_custom_functions_make_no_cycle():
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]
    x = leaf()
    Exp.apply(x)
    before = live()
    y = Exp.apply(x)
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None and live() == before


def test_a_module_and_its_graph_go_away():
    net = torch.nn.Sequential(torch.nn.Linear(SIDE, SIDE), torch.nn.ReLU(), torch.nn.Linear(SIDE, SIDE))
    x = torch.rand(SIDE, SIDE)
    net(x).sum().backward()
    net.zero_grad()
    before = live()
    loss = net(x).sum()
    assert live() > before
    loss.backward()
    assert live() - before == 2 * SIZE      # the two weights' gradients
    net.zero_grad()
    del loss
    assert live() == before


def test_gradients_are_taken_not_copied():
    x = leaf()
    allocations = lambda: allocator.memory_stats()["allocations"]
    x.exp().backward(torch.ones(SIDE, SIDE))
    x.grad = None
    seed = torch.ones(SIDE, SIDE)
    y = x.exp()
    before = allocations()
    y.backward(seed)
    assert allocations() - before == 1      # seed * y, which becomes x.grad
    assert x.grad.data_ptr() != seed.data_ptr()


def test_a_gradient_that_somebody_holds_is_copied():
    x = leaf()
    seed = torch.ones(SIDE, SIDE)
    (x + 1).backward(seed)
    assert x.grad.data_ptr() != seed.data_ptr()
    x.grad.zero_()
    assert float(seed.min()) == 1


def test_two_leaves_never_share_a_gradient():
    a, b = leaf(), leaf()
    (a + b).backward(torch.ones(SIDE, SIDE))
    assert a.grad.data_ptr() != b.grad.data_ptr()


def test_accumulation_adds_in_place():
    x = leaf()
    (x * 2).sum().backward()
    at = x.grad.data_ptr()
    (x * 2).sum().backward()
    assert x.grad.data_ptr() == at
    assert float(x.grad[0, 0]) == 4


def test_training_steps_do_not_grow():
    w = leaf()
    x = torch.rand(SIDE, SIDE)
    sizes = []
    for _ in range(5):
        w.grad = None
        ((x @ w).tanh() ** 2).mean().backward()
        with torch.no_grad():
            w.sub_(w.grad, alpha=0.1)
        sizes.append(live())
    assert len(set(sizes[1:])) == 1
