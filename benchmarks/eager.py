"""Cost of eager calls and small training steps against PyTorch, interleaved in one pair of processes.

    python benchmarks/eager.py [--rounds N] [--json FILE]

Needs PyTorch 2.13 in the same environment. Each process runs one framework on two threads; they take turns, so
that both see the same state of the machine. A figure is the median over rounds of time / PyTorch's time: below
1 Rushlight is faster.
"""

import argparse
import importlib
import json
import math
import statistics
import subprocess
import sys
import time

THREADS = 2


def cases(T):
    """{name: (function, repetitions a sample)} for the framework module `T`."""
    T.set_num_threads(THREADS)
    T.manual_seed(0)
    nn = T.nn
    out = {}
    for n in (8, 128):
        reps = 2000 if n == 8 else 500
        for grad in (False, True):
            x = T.randn(n, n, requires_grad=grad)
            y = T.randn(n, n, requires_grad=grad)
            tag = f"{n}x{n}" + (" grad" if grad else "")
            out[f"add {tag}"] = (lambda x=x, y=y: x + y), reps
            out[f"mul {tag}"] = (lambda x=x, y=y: x * y), reps
            out[f"matmul {tag}"] = (lambda x=x, y=y: x @ y), reps if n == 8 else 100
            out[f"sum {tag}"] = (lambda x=x: x.sum()), reps
            out[f"relu {tag}"] = (lambda x=x: T.relu(x)), reps
            out[f"view {tag}"] = (lambda x=x, m=n * n: x.view(m)), reps
            out[f"index {tag}"] = (lambda x=x: x[1]), reps

    a, b = T.randn(8, 8, requires_grad=True), T.randn(8, 8, requires_grad=True)

    def three():
        a.grad = b.grad = None
        T.tanh(a * b).sum().backward()
    out["three ops, forward and backward"] = three, 500

    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = T.optim.Adam(model.parameters(), lr=1e-3)
    data, target = T.randn(32, 784), T.randint(0, 10, (32,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()
        return loss.item()
    out["MLP step, batch 32, Adam"] = step, 100

    big = T.randn(16 * 1024 * 1024)

    def chain():
        with T.no_grad():
            return ((big * 2 + 1).relu() * big).exp().sum().item()
    out["chain over 16M floats"] = chain, 1
    m = T.randn(1024, 1024)
    out["matmul 1024x1024"] = (lambda: m @ m), 5
    return out


def worker(name):
    """Answer each line (a case's name) with the seconds of one call."""
    T = importlib.import_module(name)
    for sub in ("nn", "optim"):
        importlib.import_module(f"{name}.{sub}")
    table = cases(T)
    for f, _ in table.values():
        f()
        f()
    print(json.dumps(list(table)), flush=True)
    for line in sys.stdin:
        f, reps = table[line.strip()]
        best = math.inf
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(reps):
                f()
            best = min(best, (time.perf_counter() - start) / reps)
        print(best, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the figures here, too")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args.worker)
    pair = [subprocess.Popen([sys.executable, __file__, "--worker", name], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True) for name in ("torch", "rushlight")]
    names = [json.loads(p.stdout.readline()) for p in pair][1]
    names = [n for n in names if args.only in n]
    times = {n: ([], []) for n in names}
    for r in range(args.rounds):
        for n in names:
            for k in (0, 1) if r % 2 == 0 else (1, 0):
                pair[k].stdin.write(n + "\n")
                pair[k].stdin.flush()
                times[n][k].append(float(pair[k].stdout.readline()))
    for p in pair:
        p.stdin.close()
        p.wait()
    rows, calls = [], []
    print(f"{'':36}{'PyTorch':>12}{'Rushlight':>12}{'ratio':>8}")
    for n in names:
        theirs, ours = (statistics.median(t) for t in times[n])
        ratio = statistics.median(b / a for a, b in zip(*times[n]))
        rows.append({"case": n, "torch_us": theirs * 1e6, "rushlight_us": ours * 1e6, "ratio": ratio})
        if n.split()[0] in ("add", "mul", "sum", "relu", "view", "index") or n.startswith(("matmul 8x", "matmul 128")):
            calls.append(ratio)
        print(f"{n:36}{theirs * 1e6:10.2f}us{ours * 1e6:10.2f}us{ratio:8.2f}")
    if calls:
        mean = math.exp(statistics.fmean(map(math.log, calls)))
        print(f"geometric mean of the {len(calls)} single calls: {mean:.3f}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
