"""Arguments of the ``rushlight`` command. The work itself is imported when it is asked for."""

import argparse
import math
import os
import sys


class CommandError(Exception):
    """A failure to tell the user about in one line."""


def _count(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return value


def _seed(text):
    try:
        value = int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not -2**63 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"{text} does not fit in 64 bits")
    return value


def _rate(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive finite number")
    return value


def build_parser(program="rushlight"):
    """The command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=program, description="Rushlight: PyTorch's API, written from scratch in Python.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="train a network that reads handwritten digits",
        description="Train a small convolutional network on 1,797 real handwritten digits (UCI), "
                    "judge it on a fifth of them that it never saw, and save it.")
    demo.add_argument("--predict", nargs="?", type=_count, const=6, metavar="N",
                      help="train nothing: show N test digits (6) with the saved model's answers")
    demo.add_argument("--out", default="rushlight-demo", metavar="DIR",
                      help="where checkpoint, pictures and page go (default: %(default)s)")
    demo.add_argument("--epochs", type=_count, default=10, metavar="N",
                      help="passes over the training images, at most (default: %(default)s)")
    demo.add_argument("--patience", type=_count, default=4, metavar="N",
                      help="epochs without a better validation loss before training stops "
                           "(default: %(default)s)")
    demo.add_argument("--batch-size", type=_count, default=32, metavar="N",
                      help="images a step (default: %(default)s)")
    demo.add_argument("--lr", type=_rate, default=5e-3, metavar="RATE",
                      help="peak learning rate (default: %(default)s)")
    demo.add_argument("--seed", type=_seed, default=0, metavar="N",
                      help="seed of weights, order and dropout (default: %(default)s)")
    demo.add_argument("--threads", type=_count, metavar="N",
                      help="threads for the kernels (default: one a core)")
    commands.add_parser("info", help="show version, processor, threads and cache directory")
    return parser


def _run(options, parser):
    if options.version:
        from rushlight.version import __version__

        print(f"rushlight {__version__}")
        return 0
    if options.command == "demo":
        if options.predict is not None:
            from rushlight.cli.predict import run
        else:
            from rushlight.cli.demo import run
        return run(options)
    if options.command == "info":
        from rushlight.cli.info import run

        return run()
    parser.print_help()
    return 0


def main(arguments=None, program="rushlight"):
    """Run the command with `arguments` (default: the process's); returns the exit status.

    0 is success, 1 a failure told on standard error, 2 wrong arguments, 130 an interrupt.
    """
    parser = build_parser(program)
    options = parser.parse_args(arguments)
    try:
        return _run(options, parser)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; keep Python's exit from complaining about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
