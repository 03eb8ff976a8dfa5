"""Speed of the kernels against PyTorch's eager mode and against the machine's limit.

    python benchmarks/kernels.py [--only WORD] [--rounds N] [--quick] [--json FILE] [--md FILE]

Needs PyTorch in the same environment. Two processes, one a framework, take turns on the same work with the same data
on two threads; each entry runs in a fresh child of each, so that no entry finds the heap as another left it. A turn
is a few windows of about 0.1 s; windows in which other processes took part of the machine are dropped if others are
left. A framework's figure is its fastest batch of calls in all turns, since noise only adds time; the ratio (above 1:
Rushlight is faster) is that of the figures. Entries that were disturbed most of the time are marked with ~. Results
of the first call are compared. The last column is the time that the machine's limits (``benchmarks/roofline.py``,
measured in the same run) allow, as a share of Rushlight's time: for arithmetic against the rate of multiply-adds, for
memory against the bandwidth at that size, which is measured anew before and after each family, as it differs from
minute to minute where memory's clock does.
"""

import argparse
import functools
import gc
import importlib
import json
import math
import os
import select
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
FAMILIES = ("gemm", "convolution", "attention", "norm", "recurrence", "pooling", "reduction", "order", "indexing",
            "optimizer", "layout", "pointwise", "spectrum", "distance")
DISTURBED = 0.12                    # share of the machine that others may take of a window
TIMEOUT = 60.0                      # seconds for one answer
PAUSE = 0.01                        # between turns: a pool's threads stop spinning


# ----------------------------------------------------------------------------------------------------- in the children

def machine_busy():
    """Seconds that all CPUs together have been busy."""
    with open("/proc/stat") as file:
        words = [int(x) for x in file.readline().split()[1:9]]
    return (sum(words) - words[3] - words[4]) / os.sysconf("SC_CLK_TCK")


def window(run, calls, seconds):
    """(fastest batch's seconds a call, share of the machine that others took)."""
    clock = time.perf_counter
    busy, own, begin = machine_busy(), time.process_time(), clock()
    best = math.inf
    while True:
        start = clock()
        for _ in range(calls):
            run()
        now = clock()
        best = min(best, (now - start) / calls)
        if now - begin >= seconds:
            break
    foreign = machine_busy() - busy - (time.process_time() - own)
    return best, max(0.0, foreign) / ((clock() - begin) * os.cpu_count())


def calls_a_batch(run):
    """Warm up; how many calls take about 5 ms."""
    begin, count = time.perf_counter(), 0
    while count < 3 or (time.perf_counter() - begin < 0.05 and count < 200):
        start = time.perf_counter()
        run()
        last, count = time.perf_counter() - start, count + 1
    return max(1, min(2000, round(5e-3 / max(last, 1e-7))))


def digest(results):
    """Shapes, moments and samples of arrays, to compare the frameworks' results by."""
    import numpy as np

    if not isinstance(results, (list, tuple)):
        results = [results]
    out = []
    for x in results:
        x = x.detach()
        a = (x.float() if x.is_floating_point() else x).numpy().reshape(-1)
        # A step that is no divisor of a row's length.
        part = a if a.size <= 200000 else a[:: a.size // 200000 | 1]
        part = part.astype(np.float64)
        samples = part[np.linspace(0, part.size - 1, min(part.size, 100)).astype(np.int64)] if part.size else part
        out.append({"shape": list(x.shape), "mean": float(part.mean()) if part.size else 0.0,
                    "size": float(np.abs(part).mean()) if part.size else 0.0, "samples": samples.tolist()})
    return out


def answer(entry, framework, request):
    """Work an entry's requests off until it is closed."""
    from kernel_cases import Env

    if entry == "roofline":
        import roofline

        send({"limits": roofline.limits((1, 2))})
        return
    from kernel_cases import CASES

    run = CASES[entry].make(Env(framework))
    gc.collect()
    first = run()
    reply = {"digest": digest(first)}
    del first
    calls = calls_a_batch(run)
    send(reply)
    for line in request:
        if line == "close":
            return
        windows, seconds = json.loads(line)
        found = [window(run, calls, seconds) for _ in range(windows)]
        quiet = [t for t, foreign in found if foreign <= DISTURBED]
        send({"seconds": min(quiet or [t for t, _ in found]), "quiet": len(quiet)})


def lines():
    """Lines of stdin, read without taking more than a line: children read on where their parent stopped."""
    while True:
        text = b""
        while not text.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                return
            text += byte
        yield text.decode().strip()


def send(value):
    os.write(3, json.dumps(value).encode() + b"\n")


def serve(name, threads):
    """Import a framework once and fork a child for each entry."""
    import numpy  # noqa: F401

    T = importlib.import_module(name)
    for sub in ("nn", "nn.functional", "nn.utils", "optim"):
        importlib.import_module(f"{name}.{sub}")
    import kernel_cases  # noqa: F401
    import memory_cases  # noqa: F401
    import signal_cases  # noqa: F401

    send({"version": str(T.__version__)})
    request = lines()
    for entry in request:
        child = os.fork()
        if child == 0:
            try:
                T.set_num_threads(threads)
                T.manual_seed(0)
                answer(entry, T, request)
            except BaseException as error:
                send({"error": f"{type(error).__name__}: {error}"[:200].replace("\n", " ")})
            os._exit(0)
        _, status = os.waitpid(child, 0)
        send({"closed": status})


# -------------------------------------------------------------------------------------------------------- in the runner

class Failed(Exception):
    pass


class Server:
    """The process of a framework."""

    def __init__(self, name, threads):
        self.name, self.threads = name, threads
        self.start()

    def start(self):
        read, write = os.pipe()
        environment = {**os.environ, **{k: str(self.threads) for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}}

        def place():
            os.dup2(write, 3)

        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "kernels.py"), "--serve", self.name, str(self.threads)],
            stdin=subprocess.PIPE, stdout=sys.stderr, close_fds=False, preexec_fn=place, env=environment,
            start_new_session=True)
        os.close(write)
        self.answers, self.rest, self.version = read, b"", None
        self.version = self.read()["version"]

    def read(self):
        end = time.monotonic() + TIMEOUT
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self.answers, 1 << 16) if ready else b""
            if not data:
                self.stop()
                if self.version is None:
                    raise SystemExit(f"{self.name} can't be run with {sys.executable}")
                self.start()
                raise Failed("no answer in time" if not ready else "the process died")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def write(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        """The child's answer; raises Failed with its error (the child is gone then)."""
        found = self.read()
        if "closed" in found:
            raise Failed(f"died with status {found['closed']}")
        if "error" in found:
            self.read()
            raise Failed(found["error"])
        return found

    def ask(self, text):
        self.write(text)
        return self.answer()

    def close_entry(self):
        self.write("close")
        self.read()

    def stop(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()
        os.close(self.answers)


def differing(theirs, ours, tol):
    """What differs between two digests, or None."""
    if [x["shape"] for x in theirs] != [x["shape"] for x in ours]:
        return f"shapes {[x['shape'] for x in ours]}, PyTorch has {[x['shape'] for x in theirs]}"
    for k, (a, b) in enumerate(zip(theirs, ours)):
        scale = max(a["size"], 1e-30)
        if abs(a["mean"] - b["mean"]) > tol * scale:
            return f"mean of result {k}: {b['mean']:.6g}, PyTorch has {a['mean']:.6g}"
        for x, y in zip(a["samples"], b["samples"]):
            same = x == y or (x != x and y != y)
            if not same and not abs(x - y) <= tol * max(scale, abs(x)):
                return f"a value of result {k}: {y:.6g}, PyTorch has {x:.6g}"
    return None


def allowed_seconds(case, limits, threads):
    """The least time that the machine's limits allow, and which it is; (0, "") if nothing is said of it."""
    found = (0.0, "")
    if case.flops:
        found = case.flops / (limits["threads"][str(threads)][case.kind] * 1e9), case.kind
    total = case.reads + case.writes
    if total:
        # What a last-level cache holds goes at its rate. Of somewhat larger work a part stays there, so that
        # a share of memory's bandwidth can come out above 1.
        small, middle, large = (rates for _, rates in limits["memory"])
        l2, l3 = limits["caches"]
        rates = small if total <= l2 * threads else middle if total <= l3 * threads else large
        kind = "copy" if case.reads and case.writes else "read" if case.reads else "fill"
        found = max(found, (total / (rates[kind] * 1e9), "memory"))
        # Work that writes much more than it reads is bound by how fast memory can be filled.
        found = max(found, (case.writes / (rates.get("fill", rates[kind]) * 1e9), "memory"))
    return found


def copy_range(limits):
    """What copies of the largest size reached, from family to family."""
    rates = [found["memory"][-1][1]["copy"] for found in limits]
    return f"from family to family copies reached {min(rates):.1f} to {max(rates):.1f} GB/s" if rates else ""


def measure(case, pair, options, seconds):
    """One row of the table; no further round begins after ``seconds``."""
    begin = time.monotonic()
    row = {"case": case.name, "family": case.family}
    digests, opened, errors = [], [], []
    for server in pair:
        server.write(case.name)
    for server in pair:
        try:
            digests.append(server.answer()["digest"])
            opened.append(server)
        except Failed as error:
            errors.append(f"{server.name}: {error}")
    try:
        if errors:
            raise Failed("; ".join(errors))
        row["differs"] = differing(*digests, case.tol)
        figures = ([], [])
        quiet = 0
        turn = json.dumps([options.windows, options.seconds])
        for r in range(options.rounds):
            if r and time.monotonic() - begin > seconds:
                break
            for k in (0, 1) if r % 2 == 0 else (1, 0):
                time.sleep(PAUSE)
                try:
                    found = pair[k].ask(turn)
                except Failed as error:
                    opened.remove(pair[k])
                    raise Failed(f"{pair[k].name}: {error}") from None
                figures[k].append(found["seconds"])
                quiet += found["quiet"]
        row["torch_s"], row["rushlight_s"] = (min(f) for f in figures)
        row["ratio"] = row["torch_s"] / row["rushlight_s"]
        row["disturbed"] = 1 - quiet / (2 * len(figures[0]) * options.windows)
    except Failed as error:
        row["error"] = str(error)
    for server in opened:
        server.close_entry()
    return row


def duration(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def geometric_mean(rows):
    ratios = [r["ratio"] for r in rows if "ratio" in r]
    return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else float("nan")


def table(rows, limits, versions, note=""):
    """The result as Markdown."""
    import roofline

    out = [f"PyTorch {versions[0]} / Rushlight {versions[1]}; ratio above 1: Rushlight is faster.",
           "", "Limits:", ""]
    out += [f"- {line}" for line in [*roofline.describe(limits), note]] if limits else ["- not measured"]
    out += ["", "| family | work | PyTorch | Rushlight | ratio | of the limit |",
            "| --- | --- | --- | --- | --- | --- |"]
    for r in rows:
        name = r["case"] + (" ~" if r.get("disturbed", 0) > 0.5 else "")
        if "error" in r:
            out.append(f"| {r['family']} | {name} | {r['error']} | | | |")
            continue
        share = f"{r['limit_s'] / r['rushlight_s']:.0%} {r['limit']}" if r.get("limit_s") else ""
        differs = f" RESULT DIFFERS ({r['differs']})" if r["differs"] else ""
        out.append(f"| {r['family']} | {name}{differs} | {duration(r['torch_s'])} | {duration(r['rushlight_s'])} "
                   f"| {r['ratio']:.2f} | {share} |")
    out += ["", "| family | entries | geometric mean | lowest |", "| --- | --- | --- | --- |"]
    for family in [*FAMILIES, None]:
        some = [r for r in rows if "ratio" in r and family in (None, r["family"])]
        if some:
            out.append(f"| {family or '**all**'} | {len(some)} | {geometric_mean(some):.2f} "
                       f"| {min(r['ratio'] for r in some):.2f} |")
    failed = [r["case"] for r in rows if "error" in r]
    if failed:
        out += ["", f"Not measured: {', '.join(failed)}."]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="families or parts of entries' names, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="turns a framework gets at each entry")
    parser.add_argument("--minutes", type=float, default=7.5, help="entries get fewer rounds when it would take longer")
    parser.add_argument("--quick", action="store_true", help="one round of short windows")
    parser.add_argument("--threads", type=int, default=2, choices=(1, 2))
    parser.add_argument("--no-limits", action="store_true", help="skip the roofline program")
    parser.add_argument("--list", action="store_true", help="list the entries")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--md", help="write the table to this file as well")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve[0], int(options.serve[1]))
    import memory_cases  # noqa: F401
    import signal_cases  # noqa: F401
    from kernel_cases import CASES

    words = [w for w in options.only.split(",") if w]
    chosen = [c for c in CASES.values()
              if not words or any(w == c.family if w in FAMILIES else w in c.name for w in words)]
    chosen.sort(key=lambda c: FAMILIES.index(c.family))
    if options.list:
        print("\n".join(f"{c.family:12} {c.name}" for c in chosen))
        return None
    options.windows, options.seconds = (1, 0.08) if options.quick else (2, 0.12)
    if options.quick:
        options.rounds = 1
    begin = time.monotonic()
    pair = [Server(name, options.threads) for name in ("torch", "rushlight")]
    limits = []                         # before the first family, between families, after the last

    def measure_limits():
        if not options.no_limits:
            limits.append(pair[1].ask("roofline")["limits"])
            pair[1].read()

    rows, families = [], []
    for k, case in enumerate(chosen):
        if case.family not in families:
            families.append(case.family)
            measure_limits()
        left = 60 * options.minutes - (time.monotonic() - begin)
        row = measure(case, pair, options, left / (len(chosen) - k))
        rows.append(row)
        text = row.get("error") or (f"{duration(row['torch_s']):>10} {duration(row['rushlight_s']):>10} "
                                    f"{row['ratio']:6.2f}")
        note = " RESULT DIFFERS: " + row["differs"] if row.get("differs") else ""
        print(f"[{k + 1}/{len(chosen)} {time.monotonic() - begin:4.0f} s] {case.name:42} {text}{note}", file=sys.stderr,
              flush=True)
    best = None
    if limits:
        import roofline

        measure_limits()
        best = functools.reduce(roofline.better, limits)
        for row, case in zip(rows, chosen):
            at = families.index(case.family)
            there = roofline.better(limits[at], limits[at + 1]) | {"threads": best["threads"]}
            row["limit_s"], row["limit"] = allowed_seconds(case, there, options.threads)
    text = table(rows, best, [s.version for s in pair], copy_range(limits))
    for server in pair:
        server.stop()
    print(text)
    if options.md:
        with open(options.md, "w") as file:
            file.write(text)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"limits": best, "threads": options.threads, "geometric_mean": geometric_mean(rows),
                       "rows": rows}, file, indent=1)
    return None


if __name__ == "__main__":
    main()
