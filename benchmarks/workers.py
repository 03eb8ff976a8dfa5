"""What the benchmarks share that run the same work in several processes by turns."""

import argparse
import json
import math
import statistics
import subprocess
import sys

WAYS = (("torch", "eager"), ("rushlight", "eager"), ("rushlight", "compiled"))


def arguments(doc, what, **more):
    """The parser of options that all have; ``what`` is run, and ``--worker`` starts a process of ``Workers``."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0], **more)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the figures here, too")
    parser.add_argument("--only", default="", help=f"run the {what} whose name contains this")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    return parser


class Workers:
    """A process of a script for each way, which answers a line with a line of JSON."""

    def __init__(self, script, ways):
        self.processes = [subprocess.Popen([sys.executable, script, "--worker", *way], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True) for way in ways]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.processes:
            p.stdin.close()
            p.wait()

    def read(self, k):
        """The next line of process k."""
        return json.loads(self.processes[k].stdout.readline())

    def ask(self, k, line):
        """What process k answers."""
        self.processes[k].stdin.write(line + "\n")
        self.processes[k].stdin.flush()
        return self.read(k)

    def times(self, line, rounds, first=0):
        """The answers of each process, asked by turns, in the other order in odd rounds."""
        found = [[] for _ in self.processes]
        for r in range(first, first + rounds):
            for k in sorted(range(len(found)), reverse=r % 2 == 1):
                found[k].append(self.ask(k, line))
        return found


def geometric_mean(ratios):
    """The geometric mean of some numbers above zero."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def write_json(path, rows):
    """Write the figures to a file, if one is named."""
    if path:
        with open(path, "w") as file:
            json.dump(rows, file, indent=1)
