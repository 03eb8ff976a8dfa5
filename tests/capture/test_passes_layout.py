"""Orders of images: which are chosen, and that values, strides and gradients stay the eager call's."""

import copy
import random

import pytest

from .one_program import training

pytest.importorskip("llvmlite")
import rushlight as torch
from rushlight import nn
from rushlight.capture import program
from rushlight.capture.compiled import explain
from rushlight.capture.passes import layout, layout_costs
from rushlight.capture.passes.cut import NEVER, Cut
from rushlight.capture.passes.flow import is_dense, is_last

F = nn.functional
LAST = torch.channels_last


def unit(i, o, kernel, stride=1, groups=1, act=nn.ReLU6):
    return [nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o), act()]


class Inverted(nn.Module):
    """A block of MobileNetV2: pixels by themselves, channels by themselves, pixels by themselves."""

    def __init__(self, i, o, stride=1):
        super().__init__()
        self.body = nn.Sequential(*unit(i, 4 * i, 1), *unit(4 * i, 4 * i, 3, stride, 4 * i),
                                  *unit(4 * i, o, 1)[:2])
        self.residual = stride == 1 and i == o

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class Residual(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.a, self.b = nn.Sequential(*unit(i, o, 3, stride, act=nn.ReLU)), nn.Sequential(*unit(o, o, 3)[:2])
        self.down = nn.Sequential(*unit(i, o, 1, stride)[:2])

    def forward(self, x):
        return torch.relu(self.b(self.a(x)) + self.down(x))


class Joining(nn.Module):
    """Pools, concatenation, a transposed convolution; the result is an image."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Sequential(*unit(3, 16, 3, act=nn.ReLU)), nn.Sequential(*unit(16, 24, 3, act=nn.SiLU))
        self.up, self.out = nn.ConvTranspose2d(24, 16, 2, 2), nn.Conv2d(32, 4, 1)

    def forward(self, x):
        x = self.a(x)
        low = F.avg_pool2d(self.b(F.max_pool2d(x, 2)), 3, 1, 1)
        return self.out(torch.cat([x, self.up(low)], 1)).flatten(2).mean(2)


class Next(nn.Module):
    """A block of ConvNeXt, which normalizes and multiplies pixels."""

    def __init__(self, c=16):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, c, 2, 2), nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.norm, self.up, self.down = nn.LayerNorm(c), nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.scale, self.head = nn.Parameter(torch.full((c, 1, 1), 0.5)), nn.Linear(c, 4)

    def forward(self, x):
        x = self.stem(x)
        y = self.down(F.gelu(self.up(self.norm(self.conv(x).permute(0, 2, 3, 1)))))
        return self.head((x + self.scale * y.permute(0, 3, 1, 2)).mean((2, 3)))


def head(channels):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


MODELS = {
    "inverted": lambda: nn.Sequential(*unit(3, 16, 3, 2), Inverted(16, 16), Inverted(16, 24, 2), *head(24)),
    "residual": lambda: nn.Sequential(*unit(3, 32, 3, act=nn.ReLU), Residual(32, 32), Residual(32, 48, 2), *head(48)),
    "joining": Joining, "next": Next,
    "flat": lambda: nn.Sequential(*unit(3, 16, 3, 4, act=nn.Hardswish), nn.Flatten(), nn.Linear(256, 4)),
    "groups": lambda: nn.Sequential(*unit(3, 16, 5, 2), *unit(16, 32, 3, groups=4), nn.Dropout2d(0.0), *head(32)),
}


def batch(i, n=4, size=16):
    g = torch.Generator().manual_seed(i)
    return torch.randn(n, 3, size, size, generator=g), torch.randint(0, 4, (n,), generator=g)


@pytest.fixture
def chosen(monkeypatch):
    """The steps that the pass gave, a list for each program."""
    found, old = [], program.layouts
    monkeypatch.setattr(program, "layouts", lambda *args: found.append(old(*args)) or found[-1])
    return found


def orders(steps, n=4):
    """{label: ("last" or "usual" for each of its n images that are one or the other)}"""
    found = {}
    for s in steps:
        for w in s.windows():
            if len(w.shape) == 4 and w.shape[0] == n and is_dense(w) != is_last(w):
                found.setdefault(s.label, []).append("last" if is_last(w) else "usual")
    return found


def forced(monkeypatch, cost):
    """Let ``cost(last)`` be what every step costs, and conversions nothing."""
    monkeypatch.setattr(layout_costs, "convolution", lambda kind, map_, macs, x, y, last, *rest: cost(last))
    monkeypatch.setattr(layout_costs, "other", lambda name, n, last: cost(last))
    monkeypatch.setattr(layout_costs, "conversion", lambda n: 0.0)
    monkeypatch.setattr(layout, "WORTH", -1.0)
    monkeypatch.setattr(layout, "LEAST", -1e9)


def same_training(model, steps=3, format=torch.contiguous_format):
    models = [model, copy.deepcopy(model)]
    calls = [training(models[0], 0.05, 0.9), torch.compile(training(models[1], 0.05, 0.9))]
    for i in range(steps):
        x, y = batch(i)
        a, b = (call(x.contiguous(memory_format=format), y).item() for call in calls)
        assert a == pytest.approx(b, rel=1e-5), i
        for (key, p), q in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
            assert p.grad.stride() == q.grad.stride()
            # (A few units of the last place of what is summed, which masks at corners may let through.)
            assert (p.grad - q.grad).norm().item() <= 2e-4 * max(1e-2, p.grad.norm().item()), (i, key)
    for (key, p), q in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        assert (p - q).abs().max().item() <= 1e-4 * max(1.0, p.abs().max().item()), key


@pytest.mark.parametrize("name", MODELS)
def test_training_channels_last(name, monkeypatch, chosen):
    forced(monkeypatch, lambda last: 0.0 if last else 1.0)
    torch.manual_seed(2)
    same_training(MODELS[name]())
    assert chosen and "last" in sum(orders(chosen[-1]).values(), [])


@pytest.mark.parametrize("format", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("seed", range(4))
def test_training_mixed(seed, format, monkeypatch, chosen):
    """Any choice computes the same."""
    coin = random.Random(seed)
    forced(monkeypatch, lambda last: coin.random())
    torch.manual_seed(seed)
    same_training(MODELS[["inverted", "residual", "joining", "groups"][seed]](), 2, format)
    assert "layout" in [s.label for s in chosen[-1]]


@pytest.mark.parametrize("name", MODELS)
def test_training_of_channels_last_images_in_the_usual_order(name, monkeypatch, chosen):
    forced(monkeypatch, lambda last: 1.0 if last else 0.0)
    torch.manual_seed(2)
    same_training(MODELS[name](), 2, LAST)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("last", [False, True])
def test_evaluation(name, last, monkeypatch):
    forced(monkeypatch, lambda behind: 0.0 if behind else 1.0)
    torch.manual_seed(3)
    model = MODELS[name]()
    training(model, 0.05, 0.9)(*batch(5))
    model.eval()

    @torch.compile
    def run(x):
        with torch.no_grad():
            return model(x)
    for i in range(5):
        x = batch(i)[0]
        if last:
            x = x.to(memory_format=LAST)
        with torch.no_grad():
            want = model(x)
        got = run(x)
        assert got.stride() == want.stride()
        assert (got - want).abs().max().item() <= 2e-6 * max(1.0, want.abs().max().item()), i
        if i == 3:          # folded weights are made again
            with torch.no_grad():
                for m in model.modules():
                    if isinstance(m, nn.BatchNorm2d):
                        m.running_mean += 0.25
                    elif isinstance(m, nn.Conv2d):
                        m.weight *= 1.25


def kinds(model, *args):
    return explain(model, *args).run_kernels


def test_choice(chosen):
    """Channels-last where that is faster, and only there."""
    torch.manual_seed(0)
    inverted = nn.Sequential(*unit(3, 32, 3, 2), Inverted(32, 32), Inverted(32, 32), *head(32))
    explain(training(inverted, 0.05, 0.9), *batch(0, 4, 32))
    found = orders(chosen[-1])
    # (The argument, and what meets it in the gradient of the first weights.)
    assert found["convolution"].count("usual") == 1 and found["conv_weight"].count("usual") == 2
    assert "usual" not in found["batch_norm_backward"] and "usual" not in found["batch_norm"]

    filtered = nn.Sequential(*unit(3, 32, 3, act=nn.ReLU), Residual(32, 32), *head(32))
    explain(training(filtered, 0.05, 0.9), *batch(0, 4, 32))
    assert "last" not in sum(orders(chosen[-1]).values(), [])


def test_evaluated_network(chosen):
    model = nn.Sequential(*unit(3, 32, 3, 2), Inverted(32, 32), Inverted(32, 32), *head(32)).eval()
    with torch.no_grad():
        found = kinds(model, batch(0, 1, 32)[0])
    assert found["fold"] == 1 and not any("batch_norm" in k for k in found)
    assert "usual" not in orders(chosen[-1], 1)["hardtanh"]


def test_channels_last_input(chosen):
    """Images that come channels-last stay so to the end: nothing is laid out anew."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(16, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, groups=32),
                          nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 24, 1)).eval()
    compiled = torch.compile(model)
    for i in range(4):
        x = batch(i)[0].repeat(1, 6, 1, 1)[:, :16].contiguous(memory_format=LAST)
        with torch.no_grad():
            want, got = model(x), compiled(x)
        assert got.is_contiguous(memory_format=LAST) and got.stride() == want.stride()
        assert (got - want).abs().max().item() <= 1e-6
    assert "usual" not in sum(orders(chosen[-1]).values(), []) and "layout" not in orders(chosen[-1])


def test_visible_images_keep_their_order(monkeypatch):
    forced(monkeypatch, lambda last: 0.0 if last else 1.0)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 1))

    @torch.compile
    def run(x):
        x = x * 2
        middle = model[2](model[1](model[0](x)))
        return x, middle, model[3](middle)
    for i in range(4):
        for a in run(batch(i)[0]):
            assert a.is_contiguous()


def test_weights_that_change_unseen():
    torch.manual_seed(1)
    model = nn.Sequential(*unit(3, 32, 3, 2), Inverted(32, 32), Inverted(32, 32), *head(32)).eval()
    compiled = torch.compile(model)
    shared = model[0].weight.detach().numpy()
    with torch.no_grad():
        for i in range(5):
            x = batch(0, 1, 32)[0]
            want, got = model(x), compiled(x)
            assert (got - want).abs().max().item() <= 1e-6 * max(1.0, want.abs().max().item())
            shared *= 1.5
            if i == 3:
                other = model[3].body[0].weight.detach().numpy()
                other *= 0.5


def test_cut():
    """The least sum, against all choices."""
    coin = random.Random(7)
    for _ in range(60):
        count = coin.randrange(1, 7)
        costs = [[coin.choice([0.0, coin.uniform(0, 5)]) for _ in range(2)] for _ in range(count)]
        costs[0][coin.randrange(2)] = NEVER
        groups = [(coin.sample(range(count), coin.randrange(1, count + 1)), coin.uniform(0, 4),
                   coin.choice([(), (False,), (True,), (False, True)])) for _ in range(coin.randrange(5))]

        def total(sides, costs=costs, groups=groups):
            return sum(c[s] for c, s in zip(costs, sides, strict=True)) + sum(
                cost for members, cost, fixed in groups if len({*[sides[m] for m in members], *fixed}) > 1)
        cut = Cut(count)
        for i, (left, right) in enumerate(costs):
            cut.choice(i, left, right)
        for members, cost, fixed in groups:
            cut.group(members, cost, fixed)
        best = min(total([bool(n >> i & 1) for i in range(count)]) for n in range(1 << count))
        assert total(cut.sides(count)) == pytest.approx(best)


def test_patches_and_attention():
    """Images that become rows of a sequence: beside convolutions stand kernels that know no image."""
    def trained(compiled):
        torch.manual_seed(4)
        patches = nn.Conv2d(3, 32, 8, 8)
        rows = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        first = nn.Parameter(torch.zeros(1, 1, 32))
        optimizer = torch.optim.SGD([*patches.parameters(), *rows.parameters(), first], 0.05)
        x = torch.randn(4, 3, 32, 32)

        def step():
            optimizer.zero_grad()
            pixels = patches(x).flatten(2).transpose(1, 2)
            loss = rows(torch.cat([first.expand(4, -1, -1), pixels], 1)).square().mean()
            loss.backward()
            optimizer.step()
            return loss
        f = torch.compile(step) if compiled else step
        found = [f().item() for _ in range(5)]
        assert not compiled or f.entries
        return found
    assert trained(True) == pytest.approx(trained(False), rel=1e-5)
