"""Text and sound: language models, translation, recognition."""

from .registry import loop


@loop()
def attentive_decoder(torch):
    """Sequence to sequence: a bidirectional GRU encodes, a GRU cell with attention decodes token by token."""
    nn = torch.nn

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(50, 32)
            self.encoder = nn.GRU(32, 64, bidirectional=True, batch_first=True)
            self.decoder = nn.GRUCell(32 + 128, 64)
            self.attention = nn.Linear(64, 128, bias=False)
            self.head = nn.Linear(64, 50)

        def forward(self, source, target):
            encoded, _ = self.encoder(self.embedding(source))
            state = encoded[:, 0, :64]
            loss = 0
            for t in range(target.shape[1] - 1):
                weights = torch.softmax(torch.einsum("bd,btd->bt", self.attention(state), encoded), -1)
                context = (weights.unsqueeze(-1) * encoded).sum(1)
                state = self.decoder(torch.cat([self.embedding(target[:, t]), context], -1), state)
                loss = loss + nn.functional.cross_entropy(self.head(state), target[:, t + 1])
            return loss / (target.shape[1] - 1)

    model = Translator()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    source = torch.randint(0, 50, (16, 12))
    target = torch.randint(0, 50, (16, 10))

    def step():
        optimizer.zero_grad()
        loss = model(source, target)
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def llama(torch):
    """A causal language model: RMS norms, rotary positions, grouped queries, gated layers, tied embeddings."""
    nn, F = torch.nn, torch.nn.functional
    width, heads, groups, size = 128, 4, 2, 32

    def rotate(x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.RMSNorm(width)
            self.query = nn.Linear(width, heads * size, bias=False)
            self.key = nn.Linear(width, groups * size, bias=False)
            self.value = nn.Linear(width, groups * size, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.norm2 = nn.RMSNorm(width)
            self.gate = nn.Linear(width, 344, bias=False)
            self.up = nn.Linear(width, 344, bias=False)
            self.down = nn.Linear(344, width, bias=False)

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            y = self.norm1(x)
            q = self.query(y).view(b, t, heads, size).transpose(1, 2)
            k = self.key(y).view(b, t, groups, size).transpose(1, 2)
            v = self.value(y).view(b, t, groups, size).transpose(1, 2)
            y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True,
                                               enable_gqa=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, width))
            y = self.norm2(x)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(256, width)
            self.blocks = nn.ModuleList(Block() for _ in range(3))
            self.norm = nn.RMSNorm(width)
            frequencies = 1 / (10000 ** (torch.arange(0, size, 2) / size))
            angles = torch.outer(torch.arange(32).float(), frequencies)
            angles = torch.cat([angles, angles], -1)
            self.register_buffer("cos", angles.cos())
            self.register_buffer("sin", angles.sin())

        def forward(self, tokens):
            x = self.embedding(tokens)
            for block in self.blocks:
                x = block(x, self.cos, self.sin)
            return F.linear(self.norm(x), self.embedding.weight)

    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.95))
    tokens = torch.randint(0, 256, (4, 33))

    def step():
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss
    return step


@loop(eager="Python decides by numbers that were read from tensors, otherwise in most calls")
def masked_language_model(torch):
    """Tokens hidden at random are predicted; their number, and so the shapes, change from step to step."""
    nn, F = torch.nn, torch.nn.functional
    embedding = nn.Embedding(100, 64)
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    head = nn.Linear(64, 100)
    parameters = [*embedding.parameters(), *encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-3)
    tokens = torch.randint(1, 100, (8, 32))

    def step():
        hidden = torch.rand(8, 32) < 0.15
        logits = head(encoder(embedding(tokens.masked_fill(hidden, 0))))
        loss = F.cross_entropy(logits[hidden], tokens[hidden])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0, foreach=True)
        optimizer.step()
        return loss
    return step


@loop()
def translation(torch):
    """The original transformer, with padding masks, a causal mask and a warm-up schedule."""
    nn = torch.nn
    transformer = nn.Transformer(64, 4, 2, 2, 128, dropout=0.1, batch_first=True)
    embedding = nn.Embedding(100, 64, padding_idx=0)
    head = nn.Linear(64, 100)
    parameters = [*transformer.parameters(), *embedding.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3, betas=(0.9, 0.98))
    source = torch.randint(1, 100, (8, 20))
    target = torch.randint(1, 100, (8, 18))
    source[:, 15:] = 0
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) ** -0.5, (k + 1) * 10 ** -1.5))

    def step():
        causal = nn.Transformer.generate_square_subsequent_mask(17)
        padding = source == 0
        decoded = transformer(embedding(source), embedding(target[:, :-1]), tgt_mask=causal, tgt_is_causal=True,
                              src_key_padding_mask=padding, memory_key_padding_mask=padding)
        loss = nn.functional.cross_entropy(head(decoded).reshape(-1, 100), target[:, 1:].reshape(-1), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss
    return step


@loop()
def character_lstm(torch):
    """Truncated backpropagation through time: the state is carried from step to step, detached."""
    nn = torch.nn
    lstm = nn.LSTM(20, 64, batch_first=True)
    head = nn.Linear(64, 20)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], 1e-2)
    text = torch.randint(0, 20, (8, 60))
    carried = {"state": None, "at": 0}

    def step():
        i = carried["at"]
        characters = nn.functional.one_hot(text[:, i:i + 10], 20).float()
        if carried["state"] is not None:
            carried["state"] = tuple(x.detach() for x in carried["state"])
        hidden, carried["state"] = lstm(characters, carried["state"])
        loss = nn.functional.cross_entropy(head(hidden).transpose(1, 2), text[:, i + 1:i + 11])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        carried["at"] = (i + 10) % 40
        return loss
    return step


@loop()
def mixture_of_experts(torch):
    """Four experts weighted by a gate, all of them computed; Adamax."""
    nn = torch.nn

    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(32, 4)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(4))

        def forward(self, x):
            weights = self.gate(x).softmax(-1)
            return sum(weights[:, i:i + 1] * expert(x) for i, expert in enumerate(self.experts))

    model = Mixture()
    optimizer = torch.optim.Adamax(model.parameters())
    data = torch.randn(64, 32)

    def step():
        loss = (model(data) - data.flip(1)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def sound_classifier(torch):
    """Convolutions over raw sound, the first with a long window; negative log-likelihood."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv1d(1, 32, 80, 4),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.MaxPool1d(4),
        nn.Conv1d(32, 64, 3),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.MaxPool1d(4),
        nn.Conv1d(64, 64, 3, dilation=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(model.parameters())
    sounds = torch.randn(8, 1, 4000)
    labels = torch.randint(0, 10, (8,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(model(sounds).log_softmax(-1), labels)
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def speech_recognizer(torch):
    """Two bidirectional LSTM layers with dropout between them; connectionist temporal classification."""
    nn = torch.nn
    lstm = nn.LSTM(20, 48, 2, bidirectional=True, dropout=0.1)
    head = nn.Linear(96, 12)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], 1e-3)
    frames = torch.randn(50, 8, 20)
    letters = torch.randint(1, 12, (8, 10))
    frame_counts = torch.full((8,), 50)
    letter_counts = torch.randint(5, 11, (8,))

    def step():
        optimizer.zero_grad()
        log_probabilities = head(lstm(frames)[0]).log_softmax(-1)
        loss = nn.functional.ctc_loss(log_probabilities, letters, frame_counts, letter_counts, zero_infinity=True)
        loss.backward()
        optimizer.step()
        return loss
    return step
