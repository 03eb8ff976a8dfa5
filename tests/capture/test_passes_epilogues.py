"""Products and convolutions that finish what follows them: which kernels there are, and eager mode's values."""

import copy

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import Compiled, explain
from rushlight.capture.passes import epilogues

from .one_program import labels, program

F = nn.functional


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small results count as well."""
    monkeypatch.setattr(epilogues, "LEAST_OF_PRODUCT", 1 << 13)
    monkeypatch.setattr(epilogues, "LEAST", 1 << 13)


class Mixer(nn.Module):
    """A transformer's feed-forward part: activations whose operands are needed on the way back, and residuals."""

    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        self.first, self.second = nn.Linear(32, 128), nn.Linear(128, 32)

    def forward(self, x):
        return x + self.second(self.activation(self.first(x)))


def scaled(x):
    return torch.tanh(x) * 0.5 + 1.0


MIXERS = {"gelu": (F.gelu, "linear+gelu", "_matmul_fold+gelu_backward"),
          "relu": (F.relu, "linear+relu", "_matmul_fold+relu"), "silu": (F.silu, "linear+silu", None),
          "scaled": (scaled, None, None)}


@pytest.mark.parametrize("name", MIXERS)
def test_products(name):
    activation, forward, backward = MIXERS[name]
    torch.manual_seed(0)
    model = Mixer(activation)
    other = copy.deepcopy(model)
    x, g = torch.randn(4, 128, 32), torch.randn(4, 128, 32)

    def step(model, x, g):
        model.zero_grad()
        y = model(x)
        y.backward(g)
        return y

    def call(x, g):
        return step(model, x, g)
    compiled = Compiled(call, [call])
    for _ in range(4):
        a, b = step(other, x, g), compiled(x, g)
    # The products' sums are the same, and so are the formulas.
    assert torch.equal(a, b)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert (p.grad - q.grad).abs().max().item() <= 1e-6 * q.grad.abs().max().item()
    found = labels(compiled, False)
    assert "linear+add" in found and (forward is None or forward in found)
    assert backward is None or backward in found
    assert "add" not in found and "relu" not in found and "gelu" not in found


def test_same_bits():
    torch.manual_seed(0)
    a, w, b, r = torch.randn(100, 70), torch.randn(130, 70), torch.randn(130), torch.randn(100, 130)
    for f in (lambda: F.gelu(F.linear(a, w, b)) * 2.0, lambda: torch.relu(a @ w.t() + r) - r[:1],
              lambda: r - (a @ w.t()), lambda: torch.sigmoid(F.linear(a, w, b)) * r[:, :1],
              lambda: (F.linear(a, w) + r).transpose(0, 1)):
        compiled = Compiled(f, [f])
        want = f()
        for _ in range(3):
            assert torch.equal(compiled(), want)
        assert labels(compiled, False)[-1].count("+") >= 1


def test_operands_made_later():
    torch.manual_seed(0)
    a, w, v = torch.randn(100, 90), torch.randn(90, 100), torch.randn(90, 100)

    def two(a):
        first = a @ w
        return torch.relu(first + a @ v)            # one of the products takes in the other's result

    def changed(a):
        b = a.clone()
        y = b @ w
        b.mul_(0.5)
        return y + b.sum(1, keepdim=True), b

    def seen(a):
        y = a @ w
        return y, y + 1.0, torch.relu(y)
    for f in (two, changed, seen):
        compiled = Compiled(f, [f])
        want = f(a)
        for _ in range(3):
            found = compiled(a)
            for x, y in zip(*(r if isinstance(r, tuple) else (r,) for r in (want, found)), strict=True):
                assert torch.equal(x, y)


class Residual(nn.Module):
    def __init__(self, late=False):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(8, 40, 3, padding=1), nn.Conv2d(40, 40, 3, padding=1, bias=False)
        self.down, self.norm = nn.Conv2d(8, 40, 1), nn.BatchNorm2d(40, affine=late)
        self.b1, self.b2, self.late = nn.BatchNorm2d(40), nn.BatchNorm2d(40), late
        for b in (self.norm, self.b1, self.b2):
            b.running_mean.normal_()
            b.running_var.uniform_(0.5, 2.0)

    def forward(self, x):
        r = None if self.late else self.norm(self.down(x))
        y = self.b2(self.c2(torch.relu(self.b1(self.c1(x)))))
        return torch.relu(y + (self.norm(self.down(x)) if self.late else r))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("size", [16, 9])
def test_evaluated_residual_block(late, size):
    torch.manual_seed(0)
    model = Residual(late).eval()
    compiled = Compiled(model, [model])
    x = torch.randn(4, 8, size, size)
    with torch.no_grad():
        for i in range(4):
            want, found = model(x), compiled(x)
            assert (want - found).abs().max().item() <= 3e-6 * want.abs().max().item()
            if i == 2:
                model.b2.running_mean.add_(1.0)
        # Where minimal filtering meets something that isn't finite, the direct way gives what eager mode gives.
        x[1, 3, 4, 4] = float("inf")
        assert torch.equal(model(x).isfinite(), compiled(x).isfinite())
    found = labels(compiled, False)
    assert "convolution+evaluated batch_norm+add+relu" in found and "convolution+evaluated batch_norm+relu" in found
    assert not any(name.startswith("evaluated") or name in ("relu", "add") for name in found)


def test_transposed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
                          nn.ConvTranspose2d(16, 8, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1),
                          nn.Sigmoid())
    other = copy.deepcopy(model)
    x = torch.randn(8, 4, 24, 24)

    def step(model):
        model.zero_grad()
        loss = F.mse_loss(model(x), x)
        loss.backward()
        return loss

    def call():
        return step(model)
    compiled = Compiled(call, [call])
    for _ in range(4):
        a, b = step(other), compiled()
    assert a.item() == pytest.approx(b.item(), rel=1e-6)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert (p.grad - q.grad).abs().max().item() <= 2e-6 * q.grad.abs().max().item()
    assert "convolution+relu" in labels(compiled, False) and "convolution_transposed+relu" in labels(compiled, False)


def packed(compiled):
    found = [getattr(step.call, "packed", None) for step, _ in program(compiled).marks]
    return [p for p in found if p is not None]


def test_packed_weights_follow_changes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1)).eval()
    compiled = Compiled(model, [model])
    x = torch.randn(1, 64, 12, 12)

    def same():
        want, found = model(x), compiled(x)
        return (want - found).abs().max().item() <= 1e-5 * want.abs().max().item()
    weight = model[0].weight
    with torch.no_grad():
        assert same() and same() and same()
        assert len(packed(compiled)) == 2
        before = packed(compiled)[0].version
        weight.mul_(2.0)
        assert same() and packed(compiled)[0].version == before + 1
        model.load_state_dict({k: -v for k, v in model.state_dict().items()})
        assert same()
        weight[3] = 1.0
        assert same()
        # From here on others see the memory: what they write raises no version.
        weight.data.mul_(3.0)
        assert same()
        kept = weight.data
        assert same()
        kept.mul_(0.5)
        assert same()
        array = model[2].weight.detach().numpy()
        assert same()
        array[:] = 0.25
        assert same()
    assert [p.get(None) for p in packed(compiled)] == [None, None]


def test_weights_are_not_packed_for_training():
    model = nn.Conv2d(64, 64, 3, padding=1)
    compiled = Compiled(model, [model])
    x = torch.randn(1, 64, 12, 12)
    for _ in range(3):
        compiled(x)
    assert not packed(compiled)


def test_gradients_of_weights_in_parts():
    torch.manual_seed(0)
    for channels, size, n in ((256, 8, 32), (512, 4, 32)):
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        x, g = torch.randn(n, channels, size, size), torch.randn(n, channels, size, size)

        def step():
            conv.weight.grad = None
            conv(x).backward(g)
            return conv.weight.grad
        want = step()
        compiled = Compiled(step, [step])
        for _ in range(3):
            found = compiled()
        assert (want - found).abs().max().item() <= 1e-5 * want.abs().max().item()
        x[0, 0, 0, 0] = float("inf")
        assert torch.equal(step().isfinite(), compiled().isfinite())


def test_small_products_stay():
    a, w = torch.randn(8, 16), torch.randn(16, 8)
    assert explain(lambda: torch.relu(a @ w)).run_kernels["relu"] == 1


def test_rows_in_three_dimensions_are_one_product():
    """A batch of matrices that are finished one by one would pack the weight for each."""
    x, w, b = torch.randn(16, 24, 320), torch.randn(512, 320), torch.randn(512)

    def f(x, w, b):
        return torch.relu(torch.nn.functional.linear(x, w, b)) * 2
    with torch.no_grad():
        g = torch.compile(f)
        for _ in range(3):
            got = g(x, w, b)
        step = next(s for s in program(g).marks if s[0].label.startswith("linear"))[0]
        assert step.label.startswith("linear+relu") and step.outs[0].shape == (384, 512)
        assert got.shape == (16, 24, 512) and torch.equal(got, f(x, w, b))
