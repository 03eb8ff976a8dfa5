"""Small training loops of many fields: eager and compiled, against PyTorch's eager mode, interleaved.

    python benchmarks/loops.py [--threads N] [--rounds N] [--only WORD] [--json FILE]

Needs PyTorch 2.13 in the same environment. The loops are those whose losses tests/oracle/test_loops.py compares: models
of a few layers and small batches, where the time goes to what surrounds the arithmetic. One process for each framework
and way makes all steps; they take turns. A figure is the least time of a step in short windows: a step's time is a
fourth of four in a row, since some do other things by turns. A ratio is PyTorch's time / the time: above 1 Rushlight is
faster. "programs" counts those of the compiled step; a step with none runs eagerly, and ones with a star tell a reason.
"""

import importlib
import json
import math
import sys
import time
import warnings
from pathlib import Path

from workers import WAYS, Workers, arguments, geometric_mean, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "oracle"))

from loops import LOOPS

FIRST = 12              # steps whose losses are compared, after which programs are made
ROW = 4                 # steps timed together
WINDOW = 0.15           # seconds
MOST = 200              # steps in a window: losses near 0 after thousands would be slow for their own reasons


def window(step):
    """The least seconds of a step in one window."""
    best, begin = math.inf, time.perf_counter()
    for _ in range(MOST // ROW):
        start = time.perf_counter()
        for _ in range(ROW):
            step().item()
        end = time.perf_counter()
        best = min(best, (end - start) / ROW)
        if end - begin > WINDOW:
            break
    return best


def worker(framework, way, threads):
    """Answer "NAME first" with the losses of the first steps and the number of programs, "NAME time" with seconds."""
    T = importlib.import_module(framework)
    T.set_num_threads(int(threads))
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        name, what = line.split()
        if what == "first":
            T.manual_seed(0)
            step = LOOPS[name].make(T)
            if way == "compiled":
                step = T.compile(step)
            losses = [step().item() for _ in range(FIRST)]
            print(json.dumps([losses, sum(map(len, getattr(step, "entries", {}).values()))]), flush=True)
        else:
            print(window(step), flush=True)


def main():
    parser = arguments(__doc__, "loops")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.worker:
        return worker(*args.worker)
    names = [n for n in LOOPS if args.only in n]
    if not names:
        parser.error(f"no loop's name contains {args.only!r}; there are {', '.join(LOOPS)}")
    rows = []
    print(f"{'':24}{'PyTorch':>11}{'eager':>11}{'compiled':>11}{'eager x':>9}{'comp. x':>9}{'programs':>10}"
          "  losses apart")
    with Workers(__file__, [(*way, str(args.threads)) for way in WAYS]) as workers:
        for name in names:
            first = [workers.ask(k, f"{name} first") for k in range(len(WAYS))]
            apart = max(abs(a - b) / max(abs(a), 1e-12) for other, _ in first[1:]
                        for a, b in zip(first[0][0], other, strict=True))
            times = [min(t) for t in workers.times(f"{name} time", args.rounds)]
            ratios = [times[0] / t for t in times[1:]]
            programs = first[-1][1]
            rows.append({"loop": name, "seconds": times, "ratios": ratios, "programs": programs, "losses_apart": apart})
            print(f"{name:24}" + "".join(f"{t * 1e3:9.3f}ms" for t in times) + "".join(f"{x:9.2f}" for x in ratios)
                  + f"{programs:9}{'*' if LOOPS[name].eager else ' '}  {apart:.0e}", flush=True)
    if len(rows) > 1:
        eager, compiled = (geometric_mean(r["ratios"][k] for r in rows) for k in (0, 1))
        print(f"geometric mean of {len(rows)}: eager {eager:.2f}, compiled {compiled:.2f}")
    write_json(args.json, rows)


if __name__ == "__main__":
    main()
