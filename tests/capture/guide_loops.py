"""Training loops as guides write them; each takes a decorator, prints as it goes, and returns what it trained.

`LOOPS`: name -> loop. What a loop decorates is its training step, its epoch, or both; the rest is left as it is.
"""

import math

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.utils.data import DataLoader, TensorDataset

LOOPS = {}


def loop(f):
    LOOPS[f.__name__] = f
    return f


def points(n=96, features=12, classes=4, seed=1):
    """Points around one centre a class."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    return torch.randn(classes, features, generator=g)[y] * 2 + torch.randn(n, features, generator=g), y


def images(n=48, size=10, classes=3, seed=2):
    """Noise with a bright column that tells the class."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    x = torch.randn(n, 1, size, size, generator=g)
    for i in range(n):
        x[i, 0, :, int(y[i])] += 3
    return x, y


def batches(x, y, size=16, shuffle=True):
    return DataLoader(TensorDataset(x, y), batch_size=size, shuffle=shuffle)


class Perceptron(nn.Module):
    def __init__(self, features=12, hidden=24, classes=4, dropout=0.0):
        super().__init__()
        self.first, self.second = nn.Linear(features, hidden), nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.second(self.dropout(F.relu(self.first(x))))


class Pictures(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                                      nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.1),
                                      nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(torch.flatten(self.features(x), 1))


# ---------------------------------------------------------------- the plain loops

@loop
def perceptron(compiled):
    model = Perceptron()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=0.01)

    @compiled
    def train_step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    for epoch in range(4):
        total, loader = 0.0, batches(*points())
        for x, y in loader:
            total += train_step(x, y)
        print(f"epoch {epoch + 1}: loss {total / len(loader):.5f}")
    return model, optimizer


@loop
def picture_classifier(compiled):
    """An epoch a call: statistics, prints every few batches, clipping, a schedule; evaluation with the best kept."""
    model = Pictures()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

    @compiled
    def train_epoch(model, loader, criterion, optimizer):
        model.train()
        running, correct, total = 0.0, 0, 0
        for index, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            out = model(x)
            loss = criterion(out, y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            _, predicted = out.max(1)
            total += y.size(0)
            correct += predicted.eq(y).sum().item()
            if index % 2 == 0:
                print(f"batch {index}/{len(loader)} loss {loss.item():.4f} acc {100. * correct / total:.2f}% "
                      f"norm {norm:.4f}")
        return running / len(loader), 100. * correct / total

    @compiled
    def evaluate(model, loader, criterion):
        model.eval()
        running, correct = 0.0, 0
        with torch.no_grad():
            for x, y in loader:
                out = model(x)
                running += criterion(out, y).item()
                correct += (out.argmax(dim=1) == y).sum().item()
        return running / len(loader), correct
    loader, held = batches(*images()), batches(*images(seed=5), shuffle=False)
    best, history = 0, []
    for epoch in range(4):
        loss, accuracy = train_epoch(model, loader, criterion, optimizer)
        held_loss, correct = evaluate(model, held, criterion)
        schedule.step()
        history.append((loss, held_loss))
        if correct > best:
            best = correct
            print(f"best so far: {best}")
        print(f"{epoch}: {loss:.4f} {accuracy:.2f}% {held_loss:.4f} {correct} lr {optimizer.param_groups[0]['lr']:.5f}")
    return model, optimizer, history


@loop
def letters(compiled):
    """A recurrent model of letters whose state goes from batch to batch."""
    text = "the quick brown fox jumps over the lazy dog " * 8
    letters = sorted(set(text))
    codes = torch.tensor([letters.index(c) for c in text])

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(len(letters), 8)
            self.lstm = nn.LSTM(8, 16, num_layers=2, batch_first=True)
            self.out = nn.Linear(16, len(letters))

        def forward(self, x, state=None):
            h, state = self.lstm(self.embedding(x), state)
            return self.out(h), state
    model = Model()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.005)

    @compiled
    def step(x, y, h, c):
        optimizer.zero_grad()
        out, (h, c) = model(x, (h, c))
        loss = F.cross_entropy(out.reshape(-1, len(letters)), y.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.step()
        return loss.item(), h.detach(), c.detach()
    for epoch in range(2):
        h = c = torch.zeros(2, 4, 16)
        c = torch.zeros(2, 4, 16)
        for at in range(0, 70, 10):
            x = torch.stack([codes[b * 80 + at:b * 80 + at + 10] for b in range(4)])
            y = torch.stack([codes[b * 80 + at + 1:b * 80 + at + 11] for b in range(4)])
            loss, h, c = step(x, y, h, c)
        print(f"{epoch} loss {loss:.5f} perplexity {math.exp(loss):.4f}")
    model.eval()

    @compiled
    def next_letter(x, state):
        with torch.no_grad():
            out, state = model(x, state)
            return torch.multinomial(F.softmax(out[:, -1] / 0.8, dim=-1), 1), state
    x, state, said = torch.tensor([[letters.index("t")]]), None, []
    for _ in range(12):
        x, state = next_letter(x, state)
        said.append(letters[x.item()])
    print("".join(said))
    return model, optimizer


@loop
def autoencoder(compiled):
    encoder = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 12))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters()], lr=0.01)

    @compiled
    def step(x):
        optimizer.zero_grad(set_to_none=True)
        noisy = x + 0.1 * torch.randn_like(x)
        loss = F.mse_loss(decoder(encoder(noisy)), x)
        loss.backward()
        optimizer.step()
        return loss
    x, _ = points()
    for epoch in range(3):
        print(epoch, sum(step(b).item() for b in x.split(20)))
    return encoder, decoder


@loop
def variational_autoencoder(compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.mean, self.log_variance = nn.Linear(12, 10), nn.Linear(10, 2), nn.Linear(10, 2)
            self.decoder = nn.Sequential(nn.Linear(2, 10), nn.Tanh(), nn.Linear(10, 12))

        def sample(self, mean, log_variance):
            return mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)

        def forward(self, x):
            h = torch.tanh(self.body(x))
            mean, log_variance = self.mean(h), self.log_variance(h)
            return self.decoder(self.sample(mean, log_variance)), mean, log_variance
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    @compiled
    def step(x):
        made, mean, log_variance = model(x)
        recovered = F.binary_cross_entropy_with_logits(made, torch.sigmoid(x), reduction="sum")
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = recovered + divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item(), divergence.item()
    x, _ = points()
    for epoch in range(3):
        total = 0
        for b in x.split(32):
            loss, divergence = step(b)
            total += loss
        print(f"{epoch} {total / len(x):.5f} {divergence:.5f}")
    return model


@loop
def adversaries(compiled):
    generator = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.BatchNorm1d(16), nn.Linear(16, 12))
    critic = nn.Sequential(nn.Linear(12, 16), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(16, 1))
    make = torch.optim.Adam(generator.parameters(), 2e-3, betas=(0.5, 0.999))
    tell = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()

    @compiled
    def step(real):
        n = real.size(0)
        noise = torch.randn(n, 4)
        tell.zero_grad()
        fake = generator(noise)
        found = criterion(critic(real), torch.ones(n, 1)) + criterion(critic(fake.detach()), torch.zeros(n, 1))
        found.backward()
        tell.step()
        make.zero_grad()
        fooled = criterion(critic(fake), torch.ones(n, 1))
        fooled.backward()
        make.step()
        return found.item(), fooled.item()
    x, _ = points()
    for epoch in range(3):
        for b in x.split(24):
            d, g = step(b)
        print(f"[{epoch}] critic {d:.4f} generator {g:.4f}")
    return generator, critic


@loop
def transformer(compiled):
    class Model(nn.Module):
        def __init__(self, words=20, width=16, length=8):
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            layer = nn.TransformerEncoderLayer(width, 4, 32, dropout=0.1, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2)
            self.out = nn.Linear(width, words)
            self.register_buffer("mask", torch.triu(torch.full((length, length), float("-inf")), 1))

        def forward(self, x):
            n = x.size(1)
            h = self.words(x) + self.places(torch.arange(n))
            return self.out(self.body(h, mask=self.mask[:n, :n]))
    model = Model()
    # (Attention's biases of keys have no gradient but rounding, which Adam would blow up to steps.)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 5, 1.0))

    @compiled
    def step(x):
        model.train()
        logits = model(x[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        return loss.item()
    g = torch.Generator().manual_seed(3)
    x = (torch.randint(0, 20, (24, 1), generator=g) + torch.arange(9)) % 20
    for i in range(8):
        print(f"{step(x[i % 3 * 8:i % 3 * 8 + 8]):.5f} {schedule.get_last_lr()[0]:.6f}")
    return model, optimizer
