"""More loops for `guide_loops.LOOPS`: what training scripts do besides, and parts that they write by hand."""

import math

from guide_loops import Perceptron, Pictures, batches, images, loop, points

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

# ---------------------------------------------------------------- what loops do besides

@loop
def accumulation(compiled):
    model = Perceptron()
    optimizer, every = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), 4

    @compiled
    def epoch(loader):
        total = 0.0
        optimizer.zero_grad()
        for i, (x, y) in enumerate(loader):
            loss = F.cross_entropy(model(x), y) / every
            loss.backward()
            total += loss.item() * every
            if (i + 1) % every == 0:
                optimizer.step()
                optimizer.zero_grad()
        return total

    @compiled
    def micro_step(x, y, last):
        loss = F.cross_entropy(model(x), y) / every
        loss.backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()
    x, y = points()
    for e in range(3):
        print(e, epoch(batches(x, y, 12)))
    for e in range(3):
        print(e, sum(micro_step(b, c, (i + 1) % every == 0) for i, (b, c) in enumerate(zip(x.split(12), y.split(12)))))
    return model, optimizer


@loop
def mixed_precision(compiled):
    model = Perceptron(dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024., growth_interval=3)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.item()
    x, y = points()
    for i in range(9):
        print(f"{step(x[i * 10:i * 10 + 10], y[i * 10:i * 10 + 10]):.4f} {scaler.get_scale()}")
    return model, optimizer


@loop
def early_stopping(compiled):
    """Stops where a held-out loss no longer falls, and goes back to the best weights."""
    model = Perceptron()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.3)
    x, y = points()

    @compiled
    def fit_epoch(patience, state):
        model.train()
        for b, c in zip(x[:64].split(16), y[:64].split(16)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(b), c)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            held = F.cross_entropy(model(x[64:]), y[64:])
        if held.item() < state["best"] - 1e-3:
            state["best"], state["wait"] = held.item(), 0
            state["weights"] = {k: v.clone() for k, v in model.state_dict().items()}
            print(f"better: {held.item():.5f}")
        else:
            state["wait"] += 1
        schedule.step(held)
        return state["wait"] >= patience
    state = {"best": float("inf"), "wait": 0, "weights": None}
    for epoch in range(25):
        if fit_epoch(3, state):
            print("stopped after", epoch)
            break
    model.load_state_dict(state["weights"])
    return model, optimizer


@loop
def averages(compiled):
    """An exponential average by hand, one by AveragedModel, and stochastic weight averaging."""
    from rushlight.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
    model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    slow = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    slow.load_state_dict(model.state_dict())
    ema, swa = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)), AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = SWALR(optimizer, swa_lr=0.05, anneal_epochs=2)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for a, p in zip(slow.parameters(), model.parameters()):
                a.mul_(0.9).add_(p, alpha=0.1)
        ema.update_parameters(model)
        return loss.item()
    x, y = points()
    for epoch in range(4):
        print(sum(step(b, c) for b, c in zip(x.split(24), y.split(24))))
        if epoch >= 1:
            swa.update_parameters(model)
            schedule.step()
    update_bn(batches(x, y, 24, shuffle=False), swa)
    return model, slow, ema, swa


@loop
def checkpointing(compiled):
    import io

    from rushlight.utils.checkpoint import checkpoint
    blocks = nn.ModuleList([nn.Sequential(nn.Linear(12, 12), nn.GELU(), nn.Dropout(0.1)) for _ in range(3)])
    head = nn.Linear(12, 4)
    parameters = [*blocks.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.01)

    @compiled
    def step(x, y):
        for block in blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        loss = F.cross_entropy(head(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    x, y = points()
    file = io.BytesIO()
    for i in range(10):
        print(step(x[i * 9:i * 9 + 9], y[i * 9:i * 9 + 9]))
        if i == 4:
            torch.save({"blocks": blocks.state_dict(), "opt": optimizer.state_dict(), "i": i}, file)
        if i == 7:
            file.seek(0)
            kept = torch.load(file)
            blocks.load_state_dict(kept["blocks"])
            optimizer.load_state_dict(kept["opt"])
    return blocks, head, optimizer


@loop
def transfer(compiled):
    """A trained body, frozen, gets a new head; later its last layer is freed with a rate of its own."""
    body = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 8), nn.ReLU())
    model = nn.Sequential(body, nn.Linear(8, 4))
    for p in body.parameters():
        p.requires_grad = False
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), 0.02)

    @compiled
    def step(x, y):
        body.eval()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    x, y = points()
    for i in range(12):
        if i == 5:
            for p in body[3].parameters():
                p.requires_grad_(True)
            optimizer.add_param_group({"params": body[3].parameters(), "lr": 1e-3})
        print(step(x[i * 8:i * 8 + 8], y[i * 8:i * 8 + 8]))
    return model, optimizer


# ---------------------------------------------------------------- parts written by hand

class Rectifier(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, slope):
        ctx.save_for_backward(input)
        ctx.slope = slope
        return torch.where(input > 0, input, slope * input)

    @staticmethod
    def backward(ctx, g):
        input, = ctx.saved_tensors
        return torch.where(input > 0, g, ctx.slope * g), None


class FocalLoss(nn.Module):
    def __init__(self, alpha=1.0, gamma=2.0):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits, y):
        ce = F.cross_entropy(logits, y, reduction="none")
        return (self.alpha * (1 - torch.exp(-ce)) ** self.gamma * ce).mean()


@loop
def functions_and_losses_by_hand(compiled):
    first, second = nn.Linear(12, 16), nn.Linear(16, 4)
    criterion = FocalLoss()
    optimizer = torch.optim.Adagrad([*first.parameters(), *second.parameters()], 0.05)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(second(Rectifier.apply(first(x), 0.1)), y)
        loss = loss + 1e-4 * sum(p.square().sum() for p in first.parameters())
        loss.backward()
        optimizer.step()
        return loss.item()
    x, y = points()
    for i in range(8):
        print(step(x[i * 12:i * 12 + 12], y[i * 12:i * 12 + 12]))
    return first, second, optimizer


@loop
def layers_and_optimizers_by_hand(compiled):
    class Dense(nn.Module):
        def __init__(self, n, m):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(m, n) / n ** 0.5)
            self.bias = nn.Parameter(torch.zeros(m))
            self.register_buffer("running_mean", torch.zeros(n))

        def forward(self, x):
            if self.training:
                self.running_mean = 0.9 * self.running_mean + 0.1 * x.detach().mean(0)
            out = (x - self.running_mean) @ self.weight.t()
            out += self.bias
            return out

    class Adam:
        def __init__(self, parameters, lr=0.01, betas=(0.9, 0.999), eps=1e-8):
            self.parameters, self.lr, self.betas, self.eps, self.t = list(parameters), lr, betas, eps, 0
            self.m = [torch.zeros_like(p) for p in self.parameters]
            self.v = [torch.zeros_like(p) for p in self.parameters]

        def step(self):
            self.t += 1
            a, b = self.betas
            with torch.no_grad():
                for p, m, v in zip(self.parameters, self.m, self.v):
                    if p.grad is None:
                        continue
                    m.mul_(a).add_(p.grad, alpha=1 - a)
                    v.mul_(b).addcmul_(p.grad, p.grad, value=1 - b)
                    p -= self.lr * (m / (1 - a ** self.t)) / ((v / (1 - b ** self.t)).sqrt() + self.eps)

        def zero_grad(self):
            for p in self.parameters:
                p.grad = None
    model = nn.Sequential(Dense(12, 16), nn.Tanh(), Dense(16, 4))
    optimizer = Adam(model.parameters())

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    x, y = points()
    for i in range(8):
        print(f"{step(x[i * 12:i * 12 + 12], y[i * 12:i * 12 + 12]):.6f} {optimizer.t}")
    return model, optimizer.m, optimizer.v


@loop
def gradient_descent_on_data(compiled):
    """``p.data -= lr * p.grad``, linear regression as the first chapters have it."""
    w, b = torch.randn(3, 1, requires_grad=True), torch.zeros(1, requires_grad=True)

    @compiled
    def step(x, y):
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w.sub_(0.1 * w.grad)
            b.data -= 0.1 * b.grad
        w.grad.zero_()
        b.grad.zero_()
        return loss.item()
    g = torch.Generator().manual_seed(4)
    x = torch.randn(40, 3, generator=g)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3
    for epoch in range(20):
        loss = step(x, y)
        if epoch % 5 == 0:
            print(f"{epoch}: {loss:.6f} {b.item():.4f}")
    return [w.detach(), b.detach()]


@loop
def hooks(compiled):
    model, seen = Perceptron(), []
    means = {}

    def keep(name):
        def hook(module, args, out):
            means[name] = out.detach().mean()
        return hook
    for name, module in model.named_children():
        module.register_forward_hook(keep(name))
    model.first.weight.register_hook(lambda g: g.clamp(-0.05, 0.05))
    model.second.register_full_backward_hook(lambda m, given, got: seen.append(got[0].abs().max().item()))
    optimizer = torch.optim.SGD(model.parameters(), 0.2)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        return {k: v.item() for k, v in means.items()}
    x, y = points()
    for i in range(8):
        print({k: round(v, 5) for k, v in step(x[i * 12:i * 12 + 12], y[i * 12:i * 12 + 12]).items()}, seen[-1])
    return model, seen


@loop
def normalized_weights(compiled):
    from rushlight.nn.utils.parametrizations import spectral_norm, weight_norm
    model = nn.Sequential(weight_norm(nn.Linear(12, 16)), nn.ReLU(), spectral_norm(nn.Linear(16, 16)), nn.ReLU(),
                          nn.Linear(16, 4))
    optimizer = torch.optim.NAdam(model.parameters(), 0.01)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    x, y = points()
    for i in range(8):
        print(step(x[i * 12:i * 12 + 12], y[i * 12:i * 12 + 12]))
    return model, optimizer


@loop
def closures(compiled):
    """LBFGS asks for losses and gradients by a closure."""
    model = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 4))
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")
    x, y = points()

    @compiled
    def losses():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    @compiled
    def step():
        return optimizer.step(losses).item()
    for _ in range(4):
        print(f"{step():.4f}")
    return model


@loop
def models_that_are_compiled(compiled):
    """The model is decorated, not the step; training and evaluation alternate."""
    plain = Pictures()
    model = compiled(plain)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    x, y = images()
    for epoch in range(3):
        model.train()
        for b, c in zip(x.split(16), y.split(16)):
            loss = F.cross_entropy(model(b), c)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(f"{loss.item():.5f} {(model(x).argmax(1) == y).float().mean().item():.4f}")
    return plain, optimizer


@loop
def penalties_of_gradients(compiled):
    """A critic whose gradient by its input is kept near length one (second derivatives)."""
    critic = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(critic.parameters(), 0.01)

    @compiled
    def step(real, fake):
        mixed = (0.3 * real + 0.7 * fake).requires_grad_(True)
        g, = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    x, _ = points()
    for i in range(8):
        print(step(x[i * 6:i * 6 + 6], x[90 - i * 6:96 - i * 6]))
    return critic


@loop
def residual_pictures(compiled):
    class Block(nn.Module):
        def __init__(self, n, m, stride):
            super().__init__()
            self.one, self.two = nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.Conv2d(m, m, 3, 1, 1, bias=False)
            self.n1, self.n2 = nn.BatchNorm2d(m), nn.BatchNorm2d(m)
            self.short = nn.Sequential() if n == m and stride == 1 else nn.Sequential(
                nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m))

        def forward(self, x):
            return F.relu(self.n2(self.two(F.relu(self.n1(self.one(x))))) + self.short(x))
    model = nn.Sequential(Block(1, 4, 1), Block(4, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.item()
    x, y = images()
    for i in range(9):
        at = i % 3 * 16
        print(f"{step(x[at:at + 16], y[at:at + 16]):.5f} {optimizer.param_groups[0]['lr']:.5f}")
    return model, optimizer


@loop
def attention_by_hand(compiled):
    """Queries, keys and values; sentences of several lengths with a mask for what pads them."""
    class Model(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.words = nn.Embedding(15, width, padding_idx=0)
            self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
            self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 2)

        def forward(self, x):
            h = self.words(x)
            scores = self.q(h) @ self.k(h).transpose(-2, -1) / math.sqrt(h.size(-1))
            scores = scores.masked_fill((x == 0).unsqueeze(1), float("-inf"))
            h = self.norm(h + scores.softmax(-1) @ self.v(h))
            return self.out(h.mean(1))
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    @compiled
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    g = torch.Generator().manual_seed(6)
    for i in range(9):
        x = torch.randint(1, 15, (6, 5 + i % 3), generator=g)
        x[::2, -1] = 0
        print(step(x, (x[:, 0] > 7).long()))
    return model


@loop
def gathered_metrics(compiled):
    """A trainer that is an object: counters, lists of losses, the best, a confusion matrix."""
    class Trainer:
        def __init__(self):
            self.model = Perceptron()
            self.optimizer = torch.optim.Adam(self.model.parameters(), 0.01)
            self.steps, self.losses, self.smooth = 0, [], None
            self.confusion = torch.zeros(4, 4, dtype=torch.int64)

        @compiled
        def step(self, x, y):
            self.optimizer.zero_grad()
            out = self.model(x)
            loss = F.cross_entropy(out, y)
            loss.backward()
            self.optimizer.step()
            self.steps += 1
            self.losses.append(loss.item())
            self.smooth = loss.item() if self.smooth is None else 0.9 * self.smooth + 0.1 * loss.item()
            self.confusion.index_put_((y, out.argmax(1)), torch.ones_like(y), accumulate=True)
            if self.steps % 6 == 0:
                print(f"step {self.steps}: {self.smooth:.5f}")
    t = Trainer()
    x, y = points()
    for i in range(20):
        at = i % 8 * 12
        t.step(x[at:at + 12], y[at:at + 12])
    print(t.steps, len(t.losses), t.confusion.tolist())
    return t.model, t.optimizer, t.losses
