"""Whole training steps: eager and compiled, against PyTorch's eager mode, interleaved in one set of processes.

    python benchmarks/steps.py [--rounds N] [--only WORD] [--json FILE]

Needs PyTorch 2.13 in the same environment. Each process runs one model in one way on two threads; they take turns. A
figure is the median over rounds of PyTorch's time / the time: above 1 Rushlight is faster. The losses of the first
steps are compared, too.

Memory is the most that a step has in use at a time beyond weights, optimizer state and batch, starting without
gradients: gradients, activations, temporary results. Of PyTorch it is the running sum of what its profiler tells about
its CPU allocator, which leaves out the workspaces of its products and convolutions; of Rushlight the high-water mark
of its allocator (arrays of 64 KiB and more, with the workspaces of convolutions).
"""

import importlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workers import WAYS, Workers, arguments, geometric_mean, write_json

THREADS = 2


def perceptron(T, nn):
    """784-128-64-10, batch 32, Adam."""
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    return model, T.optim.Adam(model.parameters(), lr=1e-3), (T.randn(32, 784), T.randint(0, 10, (32,)))


def wide_perceptron(T, nn):
    """1024-2048-2048-10, batch 128, AdamW."""
    model = nn.Sequential(nn.Linear(1024, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(), nn.Linear(2048, 10))
    return model, T.optim.AdamW(model.parameters(), lr=1e-4), (T.randn(128, 1024), T.randint(0, 10, (128,)))


def convolutional(T, nn):
    """Six 3 x 3 convolutions with batch normalization, images of 3 x 32 x 32, batch 64, SGD with momentum."""
    def block(i, o):
        return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
    model = nn.Sequential(*block(3, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64),
                          nn.MaxPool2d(2), *block(64, 128), *block(128, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(128, 10))
    return (model, T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
            (T.randn(64, 3, 32, 32), T.randint(0, 10, (64,))))


def recurrent(T, nn):
    """Two LSTM layers of 128, 40 steps, batch 32, Adam."""
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(500, 64)
            self.lstm = nn.LSTM(64, 128, num_layers=2, batch_first=True)
            self.head = nn.Linear(128, 4)

        def forward(self, x):
            return self.head(self.lstm(self.embedding(x))[0][:, -1])
    model = Classifier()
    return model, T.optim.Adam(model.parameters()), (T.randint(0, 500, (32, 40)), T.randint(0, 4, (32,)))


def transformer(T, nn):
    """Three layers of 128 with 4 heads, 64 tokens, batch 8, AdamW."""
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(100, 128)
            layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, activation="gelu", batch_first=True,
                                               norm_first=True)
            self.layers = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.head = nn.Linear(128, 100)

        def forward(self, x):
            return self.head(self.layers(self.embedding(x))).flatten(0, 1)
    model = Model()
    return model, T.optim.AdamW(model.parameters()), (T.randint(0, 100, (8, 64)), T.randint(0, 100, (512,)))


MODELS = {f.__name__: f for f in (perceptron, wide_perceptron, convolutional, recurrent, transformer)}


def peak(T, step, model, optimizer, batch):
    """Bytes at most in use during a step beyond weights, state and batch; see the module's text."""
    for _ in range(4):
        step(*batch)
    optimizer.zero_grad()
    if T.__name__ == "torch":
        with T.profiler.profile(activities=[T.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            step(*batch)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profile.export_chrome_trace(str(path))
            events = [e for e in json.loads(path.read_text())["traceEvents"] if e.get("name") == "[memory]"]
        now = most = 0
        for event in sorted(events, key=lambda e: e["ts"]):
            now += event["args"]["Bytes"]
            most = max(most, now)
        return most
    from rushlight.runtime import allocator
    state = [x for values in optimizer.state.values() for x in values.values() if isinstance(x, T.Tensor)]
    sizes = [x.numel() * x.element_size() for x in (*model.parameters(), *model.buffers(), *state, *batch)]
    allocator.reset_peak()
    step(*batch)
    return allocator.memory_stats()["peak_live_bytes"] - sum(n for n in sizes if n >= allocator.THRESHOLD)


def worker(framework, way):
    """Answer each line (a model's name) with the seconds of one step; losses of the first steps come first."""
    T = importlib.import_module(framework)
    T.set_num_threads(THREADS)
    steps = {}
    for name, make in MODELS.items():
        T.manual_seed(0)
        model, optimizer, batch = make(T, T.nn)

        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = T.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss
        steps[name] = T.compile(step) if way == "compiled" else step, batch, model, optimizer
    del model, optimizer, batch, step           # the last one's, which memory is measured without
    for line in sys.stdin:
        name, first = line.split()
        step, batch, *rest = steps[name]
        if first == "memory":
            # Nothing of the other models' lives.
            steps = {name: steps[name]}
            print(peak(T, step, *rest, batch), flush=True)
            continue
        if first == "first":
            print(json.dumps([step(*batch).item() for _ in range(5)]), flush=True)
            continue
        best, begin = math.inf, time.perf_counter()
        while time.perf_counter() - begin < 0.5 or best == math.inf:
            start = time.perf_counter()
            step(*batch).item()
            best = min(best, time.perf_counter() - start)
        print(best, flush=True)


def peak_of(way, name):
    """`peak` in a process of its own."""
    found = subprocess.run([sys.executable, __file__, "--worker", *way], input=f"{name} memory\n", text=True,
                           check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return int(found.stdout.split()[-1])


def main():
    args = arguments(__doc__, "models").parse_args()
    if args.worker:
        return worker(*args.worker)
    names = [n for n in MODELS if args.only in n]
    rows = []
    print(f"{'':18}{'PyTorch':>11}{'eager':>11}{'compiled':>11}{'eager x':>9}{'comp. x':>9}  losses       MB PyTorch"
          f"{'eager':>8}{'compiled':>10}{'ratio':>7}")
    with Workers(__file__, WAYS) as workers:
        for name in names:
            losses = [workers.ask(k, f"{name} first") for k in range(len(WAYS))]
            apart = max(abs(a - b) for other in losses[1:] for a, b in zip(losses[0], other, strict=True))
            times = workers.times(f"{name} time", args.rounds)
            medians = [statistics.median(t) for t in times]
            ratios = [statistics.median(a / b for a, b in zip(times[0], t, strict=True)) for t in times[1:]]
            memory = [peak_of(way, name) for way in WAYS]
            rows.append({"model": name, "seconds": medians, "ratios": ratios, "losses_apart": apart, "bytes": memory})
            print(f"{name:18}" + "".join(f"{t * 1e3:9.3f}ms" for t in medians) + "".join(f"{x:9.2f}" for x in ratios)
                  + f"  equal to {apart:.0e}{memory[0] / 1e6:9.1f}{memory[1] / 1e6:8.1f}{memory[2] / 1e6:10.1f}"
                  + f"{memory[2] / memory[0]:7.2f}")
    if len(rows) > 1:
        eager, compiled = (geometric_mean(r["ratios"][k] for r in rows) for k in (0, 1))
        less = geometric_mean(r["bytes"][2] / r["bytes"][0] for r in rows)
        print(f"geometric mean: eager {eager:.2f}, compiled {compiled:.2f}; memory of compiled steps {less:.2f}")
    write_json(args.json, rows)


if __name__ == "__main__":
    main()
