"""Cost of eager calls and small training steps against PyTorch, interleaved in one pair of processes.

    python benchmarks/eager.py [--rounds N] [--json FILE]

Needs PyTorch 2.13 in the same environment. Each process runs one framework on two threads; they take turns, so
that both see the same state of the machine. A figure is the median over rounds of time / PyTorch's time: below
1 Rushlight is faster.
"""

import importlib
import json
import math
import statistics
import sys
import time

from workers import Workers, arguments, geometric_mean, write_json

THREADS = 2
SMALL = "small: "


def small_calls(T):
    """{name: function} of calls on a few numbers, whose cost is that of the call."""
    F = T.nn.functional
    x, y, row, mask = T.randn(8, 8), T.randn(8, 8), T.randn(8), T.randn(8, 8) > 0
    z = T.randn(8, 8, requires_grad=True)
    few, image = T.tensor([0, 3, 5]), T.randn(4, 8, 4, 4)
    ones, zeros, one = T.ones(8), T.zeros(8), T.tensor(1.5)
    weight, bias = T.ones(8, requires_grad=True), T.zeros(8, requires_grad=True)
    layer_norm, batch_norm = T.nn.LayerNorm(8), T.nn.BatchNorm2d(8)
    linear, embedding = T.nn.Linear(8, 8), T.nn.Embedding(10, 8)

    def assign():
        x[0:2] = y[:2]

    return {
        "zeros": lambda: T.zeros(8, 8), "ones": lambda: T.ones(8, 8), "empty": lambda: T.empty(8, 8),
        "full": lambda: T.full((8, 8), 1.5), "zeros_like": lambda: T.zeros_like(x),
        "new_zeros": lambda: x.new_zeros(3, 3),
        "arange": lambda: T.arange(10), "linspace": lambda: T.linspace(0, 1, 10),
        "tensor": lambda: T.tensor([1.0, 2.0]),
        "rand": lambda: T.rand(8, 8), "randn": lambda: T.randn(8, 8), "randn_like": lambda: T.randn_like(x),
        "randint": lambda: T.randint(0, 10, (8,)), "cat": lambda: T.cat([x, y]), "cat dim 1": lambda: T.cat([x, y], 1),
        "cat grad": lambda: T.cat([z, y]), "stack": lambda: T.stack([x, y]), "stack grad": lambda: T.stack([z, y]),
        "to float64": lambda: x.to(T.float64), "to bfloat16": lambda: x.to(T.bfloat16),
        "to same": lambda: x.to(T.float32),
        "bool": lambda: x.bool(), "clone": lambda: x.clone(), "detach": lambda: z.detach(),
        "contiguous": lambda: x.contiguous(), "masked_fill": lambda: x.masked_fill(mask, 0.0),
        "masked_fill grad": lambda: z.masked_fill(mask, 0.0), "where": lambda: T.where(mask, x, y),
        "where grad": lambda: T.where(mask, z, y), "add row": lambda: x + row, "mul 0-dim": lambda: x * one,
        "add int64": lambda: few + few, "and": lambda: mask & mask, "eq": lambda: few == 0, "sub from": lambda: 1 - x,
        "pow": lambda: x ** 2, "clamp": lambda: x.clamp(0, 1), "div": lambda: x / y, "sigmoid": lambda: x.sigmoid(),
        "sum dim": lambda: x.sum(1), "mean": lambda: x.mean(), "mean dim": lambda: x.mean(-1, keepdim=True),
        "max dim": lambda: x.max(1), "argmax": lambda: x.argmax(1), "var": lambda: x.var(), "all": lambda: mask.all(),
        "softmax": lambda: F.softmax(x, -1), "softmax grad": lambda: F.softmax(z, -1),
        "log_softmax": lambda: F.log_softmax(x, dim=1), "layer_norm": lambda: F.layer_norm(x, (8,), ones, zeros),
        "layer_norm grad": lambda: F.layer_norm(z, (8,), weight, bias),
        "batch_norm": lambda: F.batch_norm(x, zeros, ones, ones, zeros, True),
        "batch_norm eval": lambda: F.batch_norm(x, zeros, ones, ones, zeros, False),
        "group_norm": lambda: F.group_norm(x, 2, ones, zeros), "LayerNorm": lambda: layer_norm(x),
        "BatchNorm2d": lambda: batch_norm(image), "Linear": lambda: linear(x), "Embedding": lambda: embedding(few),
        "x[i]": lambda: x[few], "x[mask]": lambda: x[mask], "x[1, 2]": lambda: x[1, 2], "x[:, 1:3]": lambda: x[:, 1:3],
        "x[:, 1:3] grad": lambda: z[:, 1:3], "x[0:2] = y": assign,
        "item": lambda: one.item(), "float": lambda: float(one),
        "shape": lambda: x.shape, "dim": lambda: x.dim(), "is_contiguous": lambda: x.is_contiguous(),
        "reshape": lambda: x.reshape(4, 16), "transpose": lambda: x.transpose(0, 1), "expand": lambda: row.expand(8, 8),
        "squeeze": lambda: x.squeeze(), "flatten": lambda: image.flatten(1), "chunk": lambda: x.chunk(2),
        "unbind": lambda: x.unbind(0), "narrow": lambda: x.narrow(0, 1, 2),
        "index_select": lambda: x.index_select(0, few),
        "gather": lambda: x.gather(1, few.view(1, 3)), "embedding": lambda: F.embedding(few, x),
        "flip": lambda: x.flip(0), "tril": lambda: T.tril(x), "cumsum": lambda: x.cumsum(0), "topk": lambda: x.topk(2),
        "nonzero": lambda: mask.nonzero(), "equal": lambda: T.equal(x, x), "copy_": lambda: x.copy_(y),
        "zero_": lambda: y.zero_(), "add_": lambda: x.add_(1.0), "x += y": lambda: x.__iadd__(y),
        "linear": lambda: F.linear(x, y, row), "mse_loss": lambda: F.mse_loss(x, y)}


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

    for name, f in small_calls(T).items():
        out[SMALL + name] = f, 1000

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
    args = arguments(__doc__, "cases").parse_args()
    if args.worker:
        return worker(*args.worker)
    with Workers(__file__, (("torch",), ("rushlight",))) as workers:
        names = [workers.read(k) for k in (0, 1)][1]
        names = [n for n in names if args.only in n]
        times = {n: ([], []) for n in names}
        for r in range(args.rounds):
            for n in names:
                for mine, more in zip(times[n], workers.times(n, 1, r), strict=True):
                    mine += more
    rows, calls, small = [], [], []
    print(f"{'':36}{'PyTorch':>12}{'Rushlight':>12}{'ratio':>8}")
    for n in names:
        theirs, ours = (statistics.median(t) for t in times[n])
        ratio = statistics.median(b / a for a, b in zip(*times[n]))
        rows.append({"case": n, "torch_us": theirs * 1e6, "rushlight_us": ours * 1e6, "ratio": ratio})
        if n.split()[0] in ("add", "mul", "sum", "relu", "view", "index") or n.startswith(("matmul 8x", "matmul 128")):
            calls.append(ratio)
        if n.startswith(SMALL):
            small.append(ratio)
        print(f"{n:36}{theirs * 1e6:10.2f}us{ours * 1e6:10.2f}us{ratio:8.2f}")
    if calls:
        print(f"geometric mean of the {len(calls)} single calls: {geometric_mean(calls):.3f}")
    if small:
        print(f"geometric mean of the {len(small)} small calls: {geometric_mean(small):.3f}; "
              f"{sum(r > 1 for r in small)} are slower than PyTorch's")
    write_json(args.json, rows)


if __name__ == "__main__":
    main()
