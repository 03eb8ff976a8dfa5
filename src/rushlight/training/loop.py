"""One pass over training data, and one over data to judge by."""

import rushlight as torch


def train_epoch(model, loader, loss_function, optimizer, scheduler=None, on_batch=None):
    """Train `model` on every batch once; returns the mean loss per sample.

    `scheduler` steps after each batch. `on_batch(loss)` is called with each batch's loss.
    """
    model.train()
    total, seen = 0.0, 0
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = loss_function(model(inputs), targets)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        value = loss.item()
        total += value * len(targets)
        seen += len(targets)
        if on_batch is not None:
            on_batch(value)
    return total / max(seen, 1)


def evaluate(model, loader, loss_function):
    """``(mean loss, logits, targets)`` over all batches, without gradients, in evaluation mode."""
    model.eval()
    outputs, expected, total = [], [], 0.0
    with torch.no_grad():
        for inputs, targets in loader:
            logits = model(inputs)
            total += loss_function(logits, targets).item() * len(targets)
            outputs.append(logits)
            expected.append(targets)
    logits, targets = torch.cat(outputs), torch.cat(expected)
    return total / len(targets), logits, targets
