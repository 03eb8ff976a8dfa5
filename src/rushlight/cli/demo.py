"""``rushlight demo``: train on handwritten digits, judge, save, draw."""

import os
import time

import rushlight as torch
from rushlight import nn
from rushlight.cli.digits_net import DigitsNet, save_checkpoint
from rushlight.cli.main import CommandError
from rushlight.cli.progress import progress_display
from rushlight.datasets import load_digits
from rushlight.training import ClassificationReport, EarlyStopping, evaluate, plots, train_epoch
from rushlight.utils.data import DataLoader


def run(options):
    """The command; returns the exit status."""
    _prepare_directory(options.out)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    training, validation, test = load_digits().split()
    print(f"{len(training)} training, {len(validation)} validation and {len(test)} test images "
          f"of handwritten digits; {torch.get_num_threads()} threads, seed {options.seed}")
    start = time.perf_counter()
    model, history = train(training, validation, options)
    seconds = time.perf_counter() - start
    _, logits, targets = evaluate(model, DataLoader(test.dataset(), 256), nn.CrossEntropyLoss())
    report = ClassificationReport.of(targets, logits.argmax(1), 10)
    kept = next(row["epoch"] for row in history if row.get("best"))
    print(f"\ntrained {len(history)} epochs in {seconds:.2f} s; kept the model of epoch {kept}")
    print(f"test accuracy {100 * report.accuracy:.2f} % ({report.right} of {report.total} images "
          "that training never saw)\n")
    print(report)
    print()
    path = save_checkpoint(options.out, model, report.accuracy, options.seed, history)
    print(f"checkpoint    {path}")
    _draw(options, history, report, test, logits, seconds)
    return 0


def _prepare_directory(path):
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise CommandError(f"can't make the directory {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise CommandError(f"can't write to the directory {path}")


def train(training, validation, options):
    """``(model, history)``: the model of the epoch with the lowest validation loss."""
    torch.manual_seed(options.seed)
    model = DigitsNet()
    loss_function = nn.CrossEntropyLoss()
    loader = DataLoader(training.dataset(), options.batch_size, shuffle=True)
    validation_loader = DataLoader(validation.dataset(), 256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=options.lr, total_steps=options.epochs * len(loader))
    stopping, history = EarlyStopping(options.patience), []
    start = time.perf_counter()
    with progress_display(options.epochs, len(loader)) as display:
        for epoch in range(1, options.epochs + 1):
            train_loss = train_epoch(
                model, loader, loss_function, optimizer, scheduler,
                on_batch=lambda loss: display.batch(loss, optimizer.param_groups[0]["lr"]))
            loss, logits, targets = evaluate(model, validation_loader, loss_function)
            stop = stopping.update(loss, model)
            row = {"epoch": epoch, "train_loss": train_loss, "validation_loss": loss,
                   "validation_accuracy": (logits.argmax(1) == targets).float().mean().item(),
                   "seconds": time.perf_counter() - start}
            history.append(row)
            display.epoch({**row, "best_so_far": stopping.best_check == epoch})
            if stop:
                break
    if stopping.best_check is None:
        raise CommandError("training diverged: the validation loss was never a number; "
                           "try a smaller --lr")
    history[stopping.best_check - 1]["best"] = True
    stopping.restore(model)
    return model, history


def _draw(options, history, report, test, logits, seconds):
    from rushlight.cli.page import write_page

    pictures = []
    if plots.available():
        for name, draw, what in (("learning-curve", plots.learning_curve, history),
                                 ("confusion-matrix", plots.confusion, report)):
            path = os.path.join(options.out, f"{name}.png")
            draw(what, path)
            pictures.append(path)
            print(f"{name.replace('-', ' ').split()[-1]:<13} {path}")
    else:
        print(f"pictures      not drawn: they need matplotlib. pip install '{plots.EXTRA}'")
    path = os.path.join(options.out, "index.html")
    write_page(path, pictures, history, report, test, logits, options, seconds)
    print(f"page          {path}")
    print(f"next          rushlight demo --predict"
          f"{'' if options.out == 'rushlight-demo' else f' --out {options.out}'}")
