"""Calls done again by plans: the same results, histories and errors as from the Python functions."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.ops.native import observing, plans

F = torch.nn.functional
pytestmark = pytest.mark.usefixtures("generated_functions")


def planned(name):
    """Whether a function (or method) of this name has a plan that is more than a refusal."""
    return any(plan[plan[0] + 1] == plans.READY for p in observing._functions.values() if p.fn.__name__ == name
               for plan in p.plans.values())


def replays(name, call, *, times=4):
    """Results of several calls, the last of them by a plan."""
    results = [call() for _ in range(times)]
    assert planned(name)
    return results


def x_(*shape, grad=False, seed=0):
    a = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(a).requires_grad_(grad)


CALLS = {
    "topk": lambda x: x.topk(2), "sort": lambda x: torch.sort(x, 1, True), "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(dim=0), "tril": lambda x: x.tril(1), "triu": lambda x: torch.triu(x, -1),
    "flip": lambda x: x.flip(0, 1), "chunk": lambda x: x.chunk(2, 1),
    "_split_method": lambda x: x.split([1, 3, 2], 1),
    "unbind": lambda x: torch.unbind(x, 1), "narrow": lambda x: x.narrow(1, 1, 3),
    "gather": lambda x: x.gather(1, torch.tensor([[0, 2], [1, 1]])),
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 0])),
    "masked_fill": lambda x: x.masked_fill(x > 0, 2.5), "to": lambda x: x.to(torch.float64),
    "embedding": lambda x: F.embedding(torch.tensor([[1, 0]]), x),
    "layer_norm": lambda x: F.layer_norm(x, (6,), eps=1e-3),
    "group_norm": lambda x: F.group_norm(x, 2),
    "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(0), "std": lambda x: x.std(1),
    "var_mean": lambda x: torch.var_mean(x, 0), "norm": lambda x: x.norm(dim=1), "median": lambda x: x.median(1),
    "cummax": lambda x: x.cummax(0), "take": lambda x: x.take(torch.tensor([3, 1, 3])),
    "scatter": lambda x: x.scatter(1, torch.tensor([[1, 0], [2, 3]]), x * 2),
    "scatter_add": lambda x: x.scatter_add(0, torch.tensor([[1, 0, 1]]), x * 2),
    "index_copy": lambda x: x.index_copy(0, torch.tensor([2, 0]), x[:2] * 3),
    "movedim": lambda x: x.movedim(0, 1), "diagonal": lambda x: x.diagonal(),
    "unflatten": lambda x: x.unflatten(1, (2, 3)), "tensor_split": lambda x: x.tensor_split(3, 1),
    "roll": lambda x: x.roll(1, 0), "diff": lambda x: x.diff(), "repeat": lambda x: x.repeat(2, 1),
    "aminmax": lambda x: x.aminmax(),
    "max_pool2d": lambda x: F.max_pool2d(x[None, None], 2), "avg_pool2d": lambda x: F.avg_pool2d(x[None, None], 2),
    "interpolate": lambda x: F.interpolate(x[None, None], scale_factor=2, mode="bilinear"),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)), "rms_norm": lambda x: F.rms_norm(x, (6,)),
    "grid_sample": lambda x: F.grid_sample(x[None, None], x.detach()[None, :, :2, None].movedim(2, 3) * torch.ones(2),
                                           align_corners=False),
    "glu": lambda x: F.glu(x), "normalize": lambda x: F.normalize(x),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x.detach().flip(0)),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(1)),
    "batch_norm": lambda x: F.batch_norm(x, torch.arange(6.0), torch.arange(6.0) + 1, torch.ones(6)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("grad", [False, True])
def test_replays_give_what_python_gives(name, grad):
    call = CALLS[name]

    def run(seed):
        x = x_(4, 6, grad=grad, seed=seed)
        out = call(x)
        outs = out if isinstance(out, tuple) else (out,)
        found = [type(out), *[(t.detach().numpy(), t.grad_fn and type(t.grad_fn).__name__, t._is_view(), t.stride(),
                               t.storage_offset()) for t in outs]]
        if grad:
            sum((t * t).sum() for t in outs if t.requires_grad).backward()
            found.append(x.grad.numpy())
        return found

    first = [run(seed) for seed in (0, 1, 2, 3)]
    with_plans = [run(seed) for seed in (0, 1, 2, 3)]
    for a, b in zip(first, with_plans, strict=True):
        assert a[0] is b[0] and len(a) == len(b)
        for p, q in zip(a[1:], b[1:], strict=True):
            if isinstance(p, tuple):
                np.testing.assert_array_equal(p[0], q[0])
                assert p[1:] == q[1:]
            else:
                np.testing.assert_array_equal(p, q)
    assert planned(name)


def test_descriptions_tell_calls_apart():
    x = x_(3, 8)
    for _ in range(4):
        assert x.topk(2).values.shape == (3, 2)
        assert x.topk(3).values.shape == (3, 3)
        assert x.topk(2, largest=False).values[0, 0] == x[0].min()
        assert x.topk(2, dim=0).values.shape == (2, 8)
        assert x.double().topk(2).values.dtype is torch.float64
        assert torch.full((2,), 1).dtype is torch.int64 and torch.full((2,), 1.0).dtype is torch.float32
        assert torch.full((2,), True).dtype is torch.bool
        assert x[:, 1:3].is_contiguous() is False and x.t()[1:3].shape == (2, 3)


def test_the_same_tensor_twice_and_others_of_the_same_sizes():
    a, b = torch.arange(4.0), torch.arange(4.0) + 10
    x = x_(2, 4)
    for _ in range(4):
        same = F.batch_norm(x, a, a + 1, a, a)
        other = F.batch_norm(x, a, a + 1, a, b)
        np.testing.assert_allclose((other - same).numpy(), np.full((2, 4), 10.0), rtol=1e-6)


def test_operands_that_share_memory_stay_in_python():
    base = torch.arange(8.0)
    for _ in range(4):
        y = F.batch_norm(x_(2, 4), base[:4], base[4:] + 1, base[:4], base[4:])
        z = F.batch_norm(x_(2, 4), base[:4].clone(), base[4:] + 1, base[:4].clone(), base[4:].clone())
        assert torch.equal(y, z)


def test_errors_are_those_of_python():
    x, bad = x_(4, 6), torch.tensor([[7]])
    good = torch.tensor([[1]])
    for _ in range(4):
        assert x.gather(1, good).item() == x[0, 1].item()
        with pytest.raises(RuntimeError, match="index 7 is out of bounds for dimension 1 with size 6"):
            x.gather(1, bad)
        with pytest.raises(RuntimeError, match="out of range"):
            x.topk(7)


def test_random_numbers_follow_the_generator():
    def draw():
        torch.manual_seed(5)
        return [torch.rand(3, 4), torch.randn(20), torch.randint(0, 9, (7,)), torch.rand(3, 4)]
    rounds = [draw() for _ in range(5)]
    for some in rounds[1:]:
        assert all(torch.equal(a, b) for a, b in zip(rounds[0], some, strict=True))
    assert not torch.equal(rounds[0][0], rounds[0][3])


def test_modes_and_defaults_are_heeded():
    x = x_(4, 6, grad=True)
    for _ in range(4):
        assert x.cumsum(0).requires_grad
        with torch.no_grad():
            assert not x.cumsum(0).requires_grad
            v = x.narrow(0, 0, 2)
        assert not v.requires_grad and v._is_view()
        assert torch.linspace(0, 1, 3).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        for _ in range(3):
            assert torch.linspace(0, 1, 3).dtype is torch.float64 and torch.rand(2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert torch.linspace(0, 1, 3).is_meta
    assert not torch.linspace(0, 1, 3).is_meta


def test_results_are_fresh_and_views_share():
    x = x_(4, 6)
    a, b, c = replays("cumsum", lambda: x.cumsum(0), times=3)
    b.zero_()
    assert not torch.equal(b, c) and torch.equal(a, c)
    parts = replays("chunk", lambda: x.chunk(2))[-1]
    parts[0].fill_(3)
    assert (x[:2] == 3).all() and not (x[2:] == 3).any()


def test_views_of_leaves_refuse_changes_in_place():
    x = x_(4, 6, grad=True)
    for _ in range(4):
        with pytest.raises(RuntimeError, match="leaf"):
            x.narrow(0, 0, 1).add_(1)
        y = x * 1
        with pytest.raises(RuntimeError):
            y.chunk(2)[0].add_(1)


def test_calls_of_ever_other_descriptions_stay_correct():
    x = x_(70, 70)
    for n in range(1, 70):
        for _ in range(3):
            assert x.narrow(1, 0, n).shape == (70, n)
            assert x[:n, :n].tril().count_nonzero() == n * (n + 1) // 2


def test_kernels_on_contents_are_not_planned():
    for low in (0, 1000, 1 << 40):
        x = torch.arange(low, low + 200).flip(0)
        for _ in range(3):
            assert torch.equal(x.sort().values, torch.arange(low, low + 200))
    assert plans.MOST_ELEMENTS >= 4096


def test_unit_vectors_and_their_errors():
    classes = torch.tensor([[1, 0], [4, 2]])
    for _ in range(4):
        rows = F.one_hot(classes, 5)
        assert rows.dtype is torch.int64 and rows.argmax(-1).tolist() == classes.tolist() and rows.sum() == 4
        with pytest.raises(RuntimeError, match="smaller than num_classes"):
            F.one_hot(classes, 4)
        with pytest.raises(RuntimeError, match="non-negative"):
            F.one_hot(classes - 1, 5)


def test_small_writes_and_questions():
    x, y = x_(5, 7), x_(5, 7, seed=1)
    version = x._version
    assert x.zero_() is x and x._version == version + 1 and not x.any()
    assert x.copy_(y) is x and torch.equal(x, y) and not torch.equal(x, -y) and not torch.equal(x, y[:4])
    assert not torch.equal(x, y.t().reshape(7, 5))
    nan = torch.full((9,), float("nan"))
    assert not torch.equal(nan, nan) and torch.equal(torch.zeros(3), -torch.zeros(3))
    mask = torch.tensor([[True, False, True], [False, False, True]])
    assert mask.nonzero().tolist() == [[0, 0], [0, 2], [1, 2]] and torch.nonzero(x[:0]).shape == (0, 2)
    leaf = x_(3, grad=True)
    for change in (leaf.zero_, lambda: leaf[:2].zero_(), lambda: leaf.copy_(torch.ones(3))):
        with pytest.raises(RuntimeError):
            change()
    assert type((leaf * 1).zero_().grad_fn).__name__ == "ZeroBackward0"
    assert x.t().stride() == (1, 7) and torch.zeros(0, 2).stride() == (2, 1) and x.sum().stride() == ()


def test_other_threads_are_not_written_down():
    import threading

    x, wrong, stop = x_(4, 6), [], threading.Event()

    def work():
        y = x_(3, 5, seed=9)
        want = y.cumsum(0)
        while not stop.is_set():
            if not torch.equal(y.cumsum(0), want):
                wrong.append(1)

    t = threading.Thread(target=work)
    t.start()
    for n in range(1, 120):
        for _ in range(3):
            assert torch.full((n,), 2.0).sum() == 2 * n and x.narrow(1, n % 5, 1).shape == (4, 1)
    stop.set()
    t.join()
    assert not wrong


def test_values_in_tensors_are_read_each_time():
    x, mask = x_(4, 6), x_(4, 6) > 0
    index = torch.tensor([0, 2])
    for n in range(5):
        value = torch.tensor(float(n))
        assert (x.masked_fill(mask, value)[mask] == n).all()
        assert torch.full((3,), value).sum() == 3 * n
        rows = (x.detach() * (n + 1)).clone()
        picked = F.embedding(index, rows, max_norm=1.0)
        assert (picked.norm(dim=1) <= 1.0001).all() and torch.equal(rows[index], picked)


def test_draws_inside_of_transforms_ask_what_these_allow():
    for _ in range(5):
        torch.rand(3), torch.randn(3)
    for draw in (torch.rand, torch.randn):
        with pytest.raises(RuntimeError, match="randomness"):
            torch.func.vmap(lambda x: x + draw(3))(torch.ones(2, 3))
        rows = torch.func.vmap(lambda x: x + draw(3), randomness="different")(torch.ones(2, 3))
        assert not torch.equal(rows[0], rows[1])
