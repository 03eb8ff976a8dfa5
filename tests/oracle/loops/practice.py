"""What practice puts around steps: schedules, scaling, accumulation, checkpoints, hooks, averages, reports."""

import importlib

from .registry import loop


def classifier(torch):
    """A small network with a batch: (model, inputs, labels of 4 classes)."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    return model, torch.randn(32, 16), torch.randint(0, 4, (32,))


@loop()
def warm_up(torch):
    """The learning rate is written into the optimizer's groups by hand before every step."""
    model, inputs, labels = classifier(torch)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    count = {"steps": 0}

    def step():
        count["steps"] += 1
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * min(1.0, count["steps"] / 5)
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def plateau(torch):
    """A schedule that reads the loss and halves the learning rate when it stops falling."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
    inputs = torch.randn(32, 16)
    wanted = torch.randn(32, 1)

    def step():
        loss = nn.functional.mse_loss(model(inputs), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss.item())
        return loss
    return step


@loop(tolerance=1e-2, why="bfloat16 keeps 8 bits, and sums in it add in another order")
def gradient_scaler(torch):
    """Autocast to bfloat16 with scaled gradients, which are unscaled before their norm is clipped."""
    model, inputs, labels = classifier(torch)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu")

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss
    return step


@loop()
def parametrized_weights(torch):
    """Spectral and weight normalization as parametrizations; the first keeps vectors that change in every step."""
    nn = torch.nn
    parametrizations = nn.utils.parametrizations
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(16, 32)),
        nn.LeakyReLU(0.1),
        parametrizations.weight_norm(nn.Linear(32, 1)),
    )
    optimizer = torch.optim.RMSprop(model.parameters(), 0.01)
    inputs = torch.randn(32, 16)

    def step():
        loss = nn.functional.softplus(model(inputs)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop(tolerance=1e-3, why="line searches magnify rounding from step to step",
      eager="L-BFGS goes on by what losses and gradients are")
def line_search(torch):
    """L-BFGS with strong Wolfe conditions evaluates the loss of a new batch as often as its numbers tell."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")

    def step():
        inputs = torch.randn(64, 4)
        wanted = inputs.sin().sum(1, keepdim=True)

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), wanted)
            loss.backward()
            return loss
        return optimizer.step(closure)
    return step


@loop()
def averaged_weights(torch):
    """Stochastic weight averaging: the average model is brought up to date after every step."""
    averaging = importlib.import_module(torch.__name__ + ".optim.swa_utils")
    cross_entropy = torch.nn.functional.cross_entropy
    model, inputs, labels = classifier(torch)
    average = averaging.AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step():
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        return loss.detach() + cross_entropy(average(inputs), labels)
    return step


@loop()
def reported(torch):
    """Losses and accuracies are read in every step, kept in lists and written into a line."""
    model, inputs, labels = classifier(torch)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    history = {"loss": [], "accuracy": []}

    def step():
        logits = model(inputs)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())
        history["accuracy"].append((logits.argmax(1) == labels).float().mean().item())
        n = len(history["loss"])
        history["line"] = f"step {n}: loss {loss.item():.3f}, on average {sum(history['loss']) / n:.3f}"
        return loss
    return step


@loop()
def hooks(torch):
    """A forward hook keeps the mean of activations, a tensor's hook clamps a weight's gradient."""
    model, inputs, labels = classifier(torch)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    seen = {}

    def keep(module, arguments, result):
        seen["mean"] = result.detach().mean()

    model[1].register_forward_hook(keep)
    model[0].weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))

    def step():
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss + seen["mean"]
    return step


@loop(eager="Python computes with a number that was read from a tensor", programs=True)
def accumulation(torch):
    """Gradients of four batches add up before NAdam takes a step, whose momenta's product it reads as a number."""
    model, _, _ = classifier(torch)
    optimizer = torch.optim.NAdam(model.parameters())
    inputs = torch.randn(4, 32, 16)
    labels = torch.randint(0, 4, (4, 32))
    count = [0]

    def step():
        k = count[0] % 4
        loss = torch.nn.functional.cross_entropy(model(inputs[k]), labels[k]) / 4
        loss.backward()
        count[0] += 1
        if count[0] % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss
    return step


@loop()
def checkpointed(torch):
    """Blocks with dropout are computed again in the backward pass, with the same random numbers; Adagrad."""
    nn = torch.nn
    checkpoint = importlib.import_module(torch.__name__ + ".utils.checkpoint").checkpoint
    blocks = nn.ModuleList(
        nn.Sequential(nn.LayerNorm(96), nn.Linear(96, 192), nn.GELU(), nn.Dropout(0.1), nn.Linear(192, 96))
        for _ in range(4))
    optimizer = torch.optim.Adagrad(blocks.parameters(), 1e-2)
    inputs = torch.randn(64, 96)
    wanted = torch.randn(64, 96)

    def step():
        x = inputs
        for block in blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        loss = nn.functional.huber_loss(x, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def distillation(torch):
    """A student learns from labels and from a teacher's softened probabilities."""
    nn, F = torch.nn, torch.nn.functional
    teacher = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 10)).eval()
    student = nn.Linear(32, 10)
    optimizer = torch.optim.SGD(student.parameters(), 0.1, momentum=0.9)
    inputs = torch.randn(64, 32)
    labels = torch.randint(0, 10, (64,))

    def step():
        with torch.no_grad():
            told = F.softmax(teacher(inputs) / 2, -1)
        logits = student(inputs)
        divergence = F.kl_div(F.log_softmax(logits / 2, -1), told, reduction="batchmean")
        loss = 0.5 * F.cross_entropy(logits, labels) + 0.5 * 4 * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def meta_learning(torch):
    """MAML: one step of descent inside each of four tasks, differentiated through."""
    mse_loss = torch.nn.functional.mse_loss
    weight = (torch.randn(20, 1) * 0.3).requires_grad_()
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], 1e-2)
    inputs = torch.randn(4, 10, 20)
    wanted = torch.randn(4, 10, 1)

    def step():
        loss = 0
        for x, y in zip(inputs, wanted):
            inner = mse_loss(x @ weight + bias, y)
            weight_slope, bias_slope = torch.autograd.grad(inner, (weight, bias), create_graph=True)
            loss = loss + mse_loss(x @ (weight - 0.1 * weight_slope) + (bias - 0.1 * bias_slope), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def per_sample_gradients(torch):
    """Differential privacy's step: vmap over grad takes each sample's gradient, whose norms are clipped."""
    func = importlib.import_module(torch.__name__ + ".func")
    weight = torch.randn(10, 3) * 0.1
    inputs = torch.randn(16, 10)
    labels = torch.randint(0, 3, (16,))

    def loss(weight, x, y):
        return torch.nn.functional.cross_entropy((x @ weight)[None], y[None])

    def step():
        gradients = func.vmap(func.grad(loss), (None, 0, 0))(weight, inputs, labels)
        norms = gradients.flatten(1).norm(dim=1)
        weight.sub_(0.1 * (gradients / norms.clamp(min=1)[:, None, None]).mean(0))
        return loss(weight, inputs[0], labels[0])
    return step
