"""Batch normalization with relu, residuals and bias gradients as one kernel: values and gradients of the eager step."""

import copy

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.capture.compiled import explain

from .one_program import training


class Residual(nn.Module):
    """Blocks as in residual networks: the residual comes before or after the branch, relu in place or not."""

    def __init__(self, inplace=True, late=False, channels=8):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.down = nn.Sequential(nn.Conv2d(3, channels, 1), nn.BatchNorm2d(channels))
        self.b1, self.b2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.relu, self.late, self.head = nn.ReLU(inplace), late, nn.Linear(channels, 3)

    def forward(self, x):
        early = None if self.late else self.down(x)
        y = self.b2(self.c2(self.relu(self.b1(self.c1(x)))))
        r = self.down(x) if self.late else early
        if self.relu.inplace:
            y += r
        else:
            y = y + r
        return self.head(self.relu(y).mean((2, 3)))


class Plain(nn.Module):
    """Normalization whose result others see as well, or whose relu is something else."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.conv, self.norm, self.head = kind, nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 3)

    def forward(self, x):
        y = self.norm(self.conv(x))
        if self.kind == "seen":
            y = torch.relu(y) + 0.5 * y
        elif self.kind == "gelu":
            y = nn.functional.gelu(y)
        elif self.kind == "pool":
            y = nn.functional.max_pool2d(torch.relu(y), 2)
        elif self.kind == "twice":
            y = torch.relu(y)
            y = y + torch.sigmoid(y)
        return self.head(y.mean((2, 3)))


MODELS = {
    "in place": lambda: Residual(), "out of place": lambda: Residual(False), "late": lambda: Residual(late=True),
    "late, out of place": lambda: Residual(False, True), **{k: lambda k=k: Plain(k) for k in (
        "seen", "gelu", "pool", "twice", "none")},
    "no parameters": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.ReLU(),
                                           nn.Flatten(), nn.Linear(8 * 7 * 9, 3)),
}


def steps_of(model, compiled):
    step = training(model, momentum=0.9)
    return torch.compile(step) if compiled else step


def batch(i):
    g = torch.Generator().manual_seed(i)
    return torch.randn(4, 3, 9, 11, generator=g), torch.randint(0, 3, (4,), generator=g)


@pytest.mark.parametrize("name", MODELS)
def test_same_training(name):
    torch.manual_seed(1)
    models = [MODELS[name]()]
    models.append(copy.deepcopy(models[0]))
    steps = [steps_of(m, compiled) for m, compiled in zip(models, (False, True))]
    for i in range(5):
        a, b = (step(*batch(i)).item() for step in steps)
        assert a == pytest.approx(b, rel=2e-6)
        for (key, p), q in zip(models[0].named_parameters(), models[1].parameters()):
            # A bias before a normalization has a gradient of rounding errors only.
            worst = 1e-6 * max(1.0, p.grad.abs().max().item())
            assert (p.grad - q.grad).abs().max().item() <= worst, (i, key)
        for (key, p), (_, q) in zip(models[0].state_dict().items(), models[1].state_dict().items()):
            assert (p - q).abs().max().item() <= 2e-6 * max(1.0, p.abs().max().item()), (i, key)


@pytest.mark.parametrize("name", MODELS)
def test_same_evaluation(name):
    torch.manual_seed(1)
    model = MODELS[name]()
    step = steps_of(model, False)
    for i in range(2):
        step(*batch(i))
    model.eval()
    compiled = torch.compile(model)
    for i in range(5):
        with torch.no_grad():
            x = batch(i)[0]
            a, b = model(x), compiled(x)
            assert (a - b).abs().max().item() <= 1e-6 * max(1.0, a.abs().max().item())
            if i == 3:
                for m in model.modules():
                    if isinstance(m, nn.BatchNorm2d):
                        m.running_mean += 0.5
    x = batch(9)[0].requires_grad_()
    compiled(x).sum().backward()
    g, x.grad = x.grad, None
    model(x).sum().backward()
    assert (g - x.grad).abs().max().item() <= 1e-5 * max(1.0, g.abs().max().item())


def kernels(model):
    return explain(steps_of(model, False), *batch(0)).run_kernels


def test_groups():
    found = kernels(Residual())
    assert found["batch_norm+add+relu"] == 1 and found["batch_norm+relu"] == 1
    assert found["relu+batch_norm_backward+sum"] == 1 and "relu" not in found
    assert kernels(Residual(late=True))["batch_norm+add+relu"] == 1
    model = Residual().eval()
    with torch.no_grad():
        found = explain(model, batch(0)[0]).run_kernels
    assert found["evaluated batch_norm+add+relu"] == 1 and found["evaluated batch_norm"] == 1 and "relu" not in found
    assert "batch_norm+relu" not in kernels(Plain("seen")) and "batch_norm+relu" not in kernels(Plain("gelu"))


def test_infinities_and_nans():
    for bad in (float("inf"), float("nan")):
        torch.manual_seed(1)
        models = [Residual()]
        models.append(copy.deepcopy(models[0]))
        steps = [steps_of(m, compiled) for m, compiled in zip(models, (False, True))]
        for i in range(4):
            x, y = batch(i)
            x[0, 0, 0, 0] = bad if i == 3 else 0
            losses = [step(x, y).item() for step in steps]
        assert (losses[0] != losses[0]) == (losses[1] != losses[1])


def test_large_residuals_in_the_place_of_operands():
    """Results take the place of large operands that die: not of what is read once more after they are stored."""
    torch.manual_seed(0)
    conv, norm, head = nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.Linear(64, 3)
    first = nn.Conv2d(3, 64, 1)
    model = nn.ModuleList([first, conv, norm, head])
    x, y = torch.randn(4, 3, 16, 16), torch.randint(0, 3, (4,))

    def step():
        model.zero_grad()
        r = first(x)
        z = norm(conv(r))
        z += r
        loss = nn.functional.cross_entropy(head(torch.relu_(z).mean((2, 3))), y)
        loss.backward()
        return loss
    want = step()
    gradients = [p.grad.clone() for p in model.parameters()]
    compiled = torch.compile(step)
    for _ in range(3):
        assert compiled().item() == pytest.approx(want.item(), rel=1e-6)
    for p, g in zip(model.parameters(), gradients, strict=True):
        assert (p.grad - g).abs().max().item() <= 2e-6 * max(1.0, g.abs().max().item())
