"""Numbers that fill tensors, and probabilities of dropout, are inputs of programs where calls differ in them."""

import pytest

pytest.importorskip("llvmlite")
import rushlight as torch
from rushlight import nn

F = nn.functional


def assigned(x, v):
    y = x * 1.0
    y[0] = v
    y[y > 0] = v
    return y


CALLS = {
    "fill_": lambda x, v: (x * 1.0).fill_(v) + x,
    "masked_fill": lambda x, v: x.masked_fill(x > 0, -v),
    "masked_fill_": lambda x, v: (x * 2.0).masked_fill_(x > 0, v),
    "full": lambda x, v: torch.full((3, 4), v) + x,
    "full of another dtype": lambda x, v: torch.full((4,), v, dtype=torch.float64),
    "full_like": lambda x, v: torch.full_like(x.t(), v).t() * x,
    "new_full": lambda x, v: x.new_full((4,), v) - x,
    "index_fill": lambda x, v: x.index_fill(0, torch.tensor([0, 2]), v),
    "scatter": lambda x, v: x.scatter(1, torch.tensor([[0], [1], [3]]), v),
    "tensor": lambda x, v: x * torch.tensor(v),
    "tensor of another dtype": lambda x, v: torch.tensor(v, dtype=torch.float64) * 2,
    "items": assigned,
    "dropout": lambda x, v: F.dropout(x, v * 0.1, True),
}


@pytest.mark.parametrize("name", CALLS)
def test_one_program_for_all_numbers(name):
    call, compiled = CALLS[name], torch.compile(CALLS[name])
    x = torch.randn(3, 4)
    for i, v in enumerate((1.5, 1.5, 2.5, 3.0, -0.0 if name != "dropout" else 4.0, 0.1, 7.25)):
        torch.manual_seed(i)
        got = compiled(x, v)
        torch.manual_seed(i)
        want = call(x, v)
        assert torch.equal(got, want) and got.dtype is want.dtype
        assert got.stride() == want.stride()
    # (dropout of nothing is another path)
    assert sum(map(len, compiled.entries.values())) == 2
    assert not any(known.fixed for known in compiled.given.known.values())


def test_gradients():
    x = torch.randn(3, 4, requires_grad=True)

    def f(v):
        x.grad = None
        F.dropout(x.masked_fill(x > 0.5, v), v * 0.1, True).square().sum().backward()
        return x.grad
    compiled = torch.compile(f)
    for i, v in enumerate((1.0, 1.0, 2.0, 3.0, 4.0)):
        torch.manual_seed(i)
        got = compiled(v)
        torch.manual_seed(i)
        assert torch.equal(got, f(v))
    assert sum(map(len, compiled.entries.values())) == 2


def test_backward_of_a_compiled_model():
    model = torch.compile(lambda x, v: F.dropout(x, v, True).masked_fill(x > 1.0, v).sum())
    for i, v in enumerate((0.25, 0.25, 0.5, 0.75)):
        x = torch.randn(5, 4, requires_grad=True)
        torch.manual_seed(i)
        model(x, v).backward()
        torch.manual_seed(i)
        y = x.detach().requires_grad_()
        F.dropout(y, v, True).masked_fill(y > 1.0, v).sum().backward()
        assert torch.equal(x.grad, y.grad)
    assert sum(map(len, model.entries.values())) == 2


def test_numbers_that_do_not_fit_raise():
    compiled = torch.compile(lambda x, v: x.masked_fill(x > 0, v))
    x = torch.randn(3)
    for v in (1.0, 1.0, 2.0, 3.0):
        compiled(x, v)
    with pytest.raises(RuntimeError, match="without overflow"):
        compiled(x, 1e39)
    assert torch.equal(compiled(x, float("inf")), x.masked_fill(x > 0, float("inf")))
    assert torch.equal(compiled(x, 5.0), x.masked_fill(x > 0, 5.0))
    n = torch.arange(3)
    compiled = torch.compile(lambda x, v: torch.full_like(x, v) + x)
    for v in (1, 1, 2, 3, 2**40):
        assert torch.equal(compiled(n, v), torch.full_like(n, v) + n)
    assert sum(map(len, compiled.entries.values())) == 2


def test_a_generator_of_ones_own_is_put_back_with_a_decision():
    generator = torch.Generator()

    def f(x, v):
        mask = torch.empty(8).bernoulli_(0.5, generator=generator)
        y = F.dropout(x, v, True) * mask
        if y.sum().item() > 0:
            return y * 2.0
        return y - 1.0
    compiled = torch.compile(f)
    x = torch.randn(8)
    for i, v in enumerate((0.25, 0.25, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1, 0.6, 0.7)):
        torch.manual_seed(i)
        generator.manual_seed(i)
        got = compiled(x, v)
        torch.manual_seed(i)
        generator.manual_seed(i)
        assert torch.equal(got, f(x, v))
