"""The demo's network and its checkpoint, written as a user of the library would write them."""

import os
import pickle

import rushlight as torch
from rushlight import nn
from rushlight.cli.main import CommandError

CHECKPOINT = "digits.pth"


class DigitsNet(nn.Module):
    """Three 3 × 3 convolutions with batch normalization, then one linear layer.

    Input: images (n × 1 × 8 × 8, 0 to 1). Output: logits (n × 10).
    """

    def __init__(self, width=16, dropout=0.2):
        super().__init__()
        self.width = width
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * width, 10),
        )

    def forward(self, images):
        return self.classifier(self.features(images))


def save_checkpoint(directory, model, accuracy, seed, history):
    """Write the model and the facts of its training; returns the path."""
    path = os.path.join(directory, CHECKPOINT)
    torch.save({"model": model.state_dict(), "width": model.width, "accuracy": accuracy,
                "seed": seed, "history": history}, path)
    return path


def load_checkpoint(directory):
    """``(model, facts)`` as saved; CommandError says what is wrong if that fails."""
    path = os.path.join(directory, CHECKPOINT)
    try:
        facts = torch.load(path)
        model = DigitsNet(facts["width"])
        model.load_state_dict(facts["model"])
    except FileNotFoundError:
        raise CommandError(f"there is no model at {path}: run `rushlight demo` first") from None
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError,
            pickle.UnpicklingError) as error:
        raise CommandError(f"{path} is not a checkpoint of this demo: {error}") from None
    model.eval()
    return model, facts
