"""``python -m rushlight``: the same as the ``rushlight`` command."""

import sys

from rushlight.cli.main import main

if __name__ == "__main__":
    sys.exit(main(program="python -m rushlight"))
