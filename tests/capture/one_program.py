"""Training steps of classifiers, and the one program that a compiled function made of them."""

import rushlight as torch
from rushlight import nn


def training(model, lr=0.1, momentum=0.0):
    """A step of plain gradient descent on the cross entropy; it returns the loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return step


def program(compiled):
    """The only program of a compiled function."""
    entry, = (e for found in compiled.entries.values() for e in found)
    return entry.run


def labels(compiled, gradients=True):
    """The labels of its steps, in order, with those that only say whose gradient comes or without."""
    return [step.label for step, _ in program(compiled).marks if gradients or step.kind != "grad"]
