"""Tables and graphs."""

from .registry import loop


@loop()
def table(torch):
    """Embedded categories beside numbers, for a rare class weighted double; AdamW with a one-cycle schedule."""
    nn = torch.nn
    sizes = (10, 50, 100, 7)
    embeddings = nn.ModuleList(nn.Embedding(n, 8) for n in sizes)
    model = nn.Sequential(
        nn.BatchNorm1d(42),
        nn.Linear(42, 128),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.GELU(),
        nn.Linear(64, 1),
    )
    optimizer = torch.optim.AdamW([*embeddings.parameters(), *model.parameters()], 1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=100_000)
    categories = torch.stack([torch.randint(0, n, (128,)) for n in sizes], 1)
    numbers = torch.randn(128, 10)
    labels = torch.rand(128).round()

    def step():
        columns = [embedding(categories[:, i]) for i, embedding in enumerate(embeddings)]
        logits = model(torch.cat(columns + [numbers], 1)).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=torch.tensor(2.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss
    return step


@loop()
def graph_convolution(torch):
    """Two layers that average over the neighbours of a graph's nodes, by indexed additions along its edges."""
    nn, F = torch.nn, torch.nn.functional
    nodes, edges = 300, 2000
    source = torch.randint(0, nodes, (edges,))
    target = torch.randint(0, nodes, (edges,))
    features = torch.randn(nodes, 32)
    labels = torch.randint(0, 5, (nodes,))
    degrees = torch.zeros(nodes).scatter_add_(0, target, torch.ones(edges)).clamp(min=1)
    first = nn.Linear(32, 64)
    second = nn.Linear(64, 5)
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], 1e-2, weight_decay=5e-4)

    def averages(x):
        return torch.zeros(nodes, x.shape[1]).index_add(0, target, x[source]) / degrees[:, None]

    def step():
        hidden = F.dropout(averages(first(features)).relu(), 0.5)
        loss = F.cross_entropy(averages(second(hidden)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step
