"""``rushlight demo --predict``: test digits as terminal art, with the saved model's answers."""

import os
import shutil
import sys

import rushlight as torch
from rushlight.cli.digits_net import load_checkpoint
from rushlight.datasets import load_digits

_SHADES = " .:-=+*#%@"
_PIXEL = 2              # columns a pixel: characters are about twice as high as wide
_GAP = 3


def run(options):
    """The command; returns the exit status."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model, facts = load_checkpoint(options.out)
    test = load_digits().split()[2]
    generator = torch.Generator().manual_seed(options.seed)
    rows = torch.randperm(len(test), generator=generator)[:options.predict]
    images, labels = test.images[rows], test.labels[rows]
    with torch.no_grad():
        confidence, answers = model(images).softmax(1).max(1)
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    cards = [_card(image, label, answer, sure, color)
             for image, label, answer, sure in zip(images[:, 0].tolist(), labels.tolist(),
                                                   answers.tolist(), confidence.tolist())]
    _print_cards(cards)
    right = (answers == labels).sum().item()
    print(f"{right} of {len(cards)} right; on all {len(test)} test images the model reads "
          f"{100 * facts['accuracy']:.2f} % right")
    return 0


def _card(image, label, answer, sure, color):
    """Lines of one digit and what the model says about it, all of one visible width."""
    width = len(image[0]) * _PIXEL
    lines = [_line(row, color) for row in image]
    verdict = "right" if answer == label else f"wrong: {label}"
    caption = f"{answer} ({100 * sure:.1f} %)".ljust(width)
    mark = verdict.ljust(width)
    if color:
        mark = f"\x1b[{32 if answer == label else 31}m{mark}\x1b[0m"
    return [*lines, caption, mark]


def _line(row, color):
    if color:
        # 232 to 255 are the terminal's greys from black to white.
        return "".join(f"\x1b[48;5;{232 + round(23 * ink)}m{' ' * _PIXEL}" for ink in row) + "\x1b[0m"
    return "".join(_SHADES[round((len(_SHADES) - 1) * ink)] * _PIXEL for ink in row)


def _print_cards(cards):
    columns = shutil.get_terminal_size().columns
    per_row = max(1, (columns + _GAP) // (8 * _PIXEL + _GAP))
    for start in range(0, len(cards), per_row):
        for lines in zip(*cards[start:start + per_row]):
            print((" " * _GAP).join(lines).rstrip())
        print()
