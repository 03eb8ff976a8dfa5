"""Train a two-layer perceptron on the bundled handwritten digits.

    python examples/train_mlp.py --epochs 8 --save mlp.pth
"""

import argparse

import rushlight as torch
from rushlight import nn
from rushlight.datasets import load_digits
from rushlight.nn import functional as F
from rushlight.utils.data import DataLoader


class MLP(nn.Module):
    """64 pixels to 10 logits over one hidden layer."""

    def __init__(self, hidden, dropout):
        super().__init__()
        self.hidden = nn.Linear(64, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, 10)

    def forward(self, images):
        x = F.gelu(self.hidden(images.flatten(1)))
        return self.output(self.dropout(x))


def train(model, loader, optimizer, scheduler):
    """One pass over the training images; returns the mean loss."""
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def accuracy(model, digits):
    """The share of images whose largest logit is at the label."""
    model.eval()
    return (model(digits.images).argmax(1) == digits.labels).float().mean().item()


def main():
    """Train with the options of the command line; print the accuracy of each epoch."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128, help="units of the hidden layer (default: %(default)s)")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=0.01, help="peak learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="write the trained weights here")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    training, validation, test = load_digits().split()
    loader = DataLoader(training.dataset(), batch_size=options.batch_size, shuffle=True)
    model = MLP(options.hidden, options.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=options.lr, epochs=options.epochs,
                                                    steps_per_epoch=len(loader))
    for epoch in range(1, options.epochs + 1):
        loss = train(model, loader, optimizer, scheduler)
        print(f"epoch {epoch}  loss {loss:.4f}  validation accuracy {accuracy(model, validation):.1%}")
    print(f"test accuracy {accuracy(model, test):.1%}")
    if options.save:
        torch.save(model.state_dict(), options.save)
        print(f"weights in {options.save}")


if __name__ == "__main__":
    main()
