"""This machine's limits, measured by generated code: multiply-add rates by element type and memory bandwidths.

    python benchmarks/roofline.py [--json FILE]

The arithmetic loops keep their accumulators in registers and touch no memory; the memory loops read, copy or fill
arrays, each way with plain and with non-temporal stores, and the better one counts. ``limits()`` gives

    {"threads": {1: {"f32": GFLOP/s, "f64": ..., "bf16": ..., "int8": ...}, 2: ...},
     "memory": [(bytes of all arrays, {"read": GB/s, "copy": ..., "fill": ...}), ...],
     "caches": (bytes of L2, bytes of L3's share), a core}

A bf16 or int8 rate is that of the CPU's own instruction for it, or of float32 where it has none.
"""

import argparse
import ctypes
import json
import math
import time

import rushlight
from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, vector
from rushlight.compiler.codegen.targets import host
from rushlight.runtime import cpu, threadpool

CHAINS = 12                                     # independent accumulators: latency 4 or 5 at two a cycle
STEPS = 1 << 16                                 # of the arithmetic loop, a tile
TASK = [("ptr", "context"), ("i64", "begin"), ("i64", "end")]
SIZES = (1 << 20, 16 << 20, 256 << 20)          # bytes of all arrays: in L2, in L3, in memory
BLOCK = 16 << 10                                # bytes a tile of the memory loops


def instructions():
    """{type: (vector type, operations a lane, lanes, step(f, accumulator, a, b) -> accumulator)}"""
    width = host().vector_bytes
    x86 = cpu.machine() == "x86_64"

    def fma(f, c, a, b):
        return f.fma(c, a, b)

    def dot(name):
        return lambda f, c, a, b: f.call(c.type, name, c, a, b)

    found = {"f32": ("float", 2, width // 4, fma), "f64": ("double", 2, width // 8, fma)}
    found["bf16"] = found["int8"] = found["f32"]
    if x86 and cpu.has("avx512bf16"):
        found["bf16"] = ("bfloat", 4, width // 4, dot("llvm.x86.avx512bf16.dpbf16ps.512"))
    if x86 and cpu.has("avx512vnni"):
        found["int8"] = ("i8", 8, width // 4, dot("llvm.x86.avx512.vpdpbusd.512"))
    return found


def _arithmetic(m, name, element, lanes, step):
    """void name(context, begin, end): CHAINS chains of STEPS steps a tile."""
    f = m.function(name, "void", TASK)
    context, begin, end = f.args
    total = {"bfloat": "float", "i8": "i32"}.get(element, element)
    kind = vector(total, lanes)
    operand = {"bfloat": f"<{2 * lanes} x bfloat>", "i8": f"<{4 * lanes} x i8>"}.get(element, kind)
    a, b = f.load(operand, context, 1), f.load(operand, context + 64, 1)
    with f.range(begin, end):
        # Each starts from memory of its own, or LLVM would keep one for all.
        chains = [f.var(kind, f.load(kind, context + 64 * (3 + k), 1)) for k in range(CHAINS)]
        with f.range(STEPS):
            for c in chains:
                c.set(step(f, c.get(), a, b))
        for k, c in enumerate(chains):
            f.store(c.get(), context + 64 * (3 + CHAINS + k), 1)
    f.ret()


def _memory(m, name, reads, writes, streaming):
    """void name(context, begin, end): tiles of BLOCK bytes; context: source, target, where sums go."""
    f = m.function(name, "void", TASK)
    context, begin, end = f.args
    width = host().vector_bytes
    kind = vector("i32", width // 4)
    source, target, sums = (f.load("ptr", context + 8 * k) for k in range(3))
    extra = ", !nontemporal !0" if streaming else ""
    totals = [f.var(kind, 0) for _ in range(4)]
    with f.range(begin * BLOCK, end * BLOCK, step=4 * width) as at:
        values = [f.load(kind, source + (at + k * width), width) if reads else f.value(3, kind) for k in range(4)]
        for k, value in enumerate(values):
            if writes:
                f.store(value, target + (at + k * width), width, extra)
            else:
                totals[k].set(totals[k].get() + value)
    if not writes:
        total = totals[0].get()
        for t in totals[1:]:
            total = total + t.get()
        f.store(total, sums, 1)
    if streaming and cpu.machine() == "x86_64":
        f.call("void", "llvm.x86.sse.sfence")
    f.ret()


MEMORY = {"read": [("read", 1, 0, False)], "copy": [("copy", 1, 1, False), ("copy_stream", 1, 1, True)],
          "fill": [("fill", 0, 1, False), ("fill_stream", 0, 1, True)]}


def _module():
    m = Module(host().triple)
    m.metadata.add("!0 = !{i32 1}")
    for name, (element, _, lanes, step) in instructions().items():
        _arithmetic(m, name, element, lanes, step)
    for forms in MEMORY.values():
        for name, reads, writes, streaming in forms:
            _memory(m, name, reads, writes, streaming)
    return m.text()


def _addresses():
    names = [*instructions(), *(form[0] for forms in MEMORY.values() for form in forms)]
    with open(__file__) as file:
        return engine.load("roofline " + file.read(), _module, names)


def _best(task, context, tiles, tries, seconds=0.05):
    """The shortest time of running the tiles, over at least ``tries`` tries and some time."""
    best, begin, k = math.inf, time.perf_counter(), 0
    while k < tries or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        threadpool.parallel_for(task, context, tiles)
        best = min(best, time.perf_counter() - start)
        k += 1
    return best


def _aligned(nbytes):
    memory = (ctypes.c_char * (nbytes + 4096))()
    return memory, (ctypes.addressof(memory) + 4095) // 4096 * 4096


def arithmetic_limits(threads, addresses):
    """{type: GFLOP/s} on that many threads (a multiply-add is two operations)."""
    rushlight.set_num_threads(threads)
    keep, context = _aligned(4096)
    found = {}
    for name, (_, operations, lanes, _) in instructions().items():
        tiles = 8 * threads
        seconds = _best(addresses[name], context, tiles, 4)
        found[name] = tiles * STEPS * CHAINS * lanes * operations / seconds / 1e9
    return found


def memory_limits(threads, addresses):
    """[(bytes, {"read", "copy", "fill": GB/s})] by the size of all arrays together."""
    rushlight.set_num_threads(threads)
    found = []
    keep_a, a = _aligned(SIZES[-1] // 2)
    keep_b, b = _aligned(SIZES[-1] // 2)
    ctypes.memset(a, 1, SIZES[-1] // 2)
    ctypes.memset(b, 1, SIZES[-1] // 2)
    sums = ctypes.create_string_buffer(64 * 64)
    context = (ctypes.c_void_p * 3)(a, b, ctypes.addressof(sums))
    for size in SIZES:
        rates = {}
        for kind, forms in MEMORY.items():
            # One array of half the size for reading or filling: a kernel's other half is another's business.
            moved = size if kind == "copy" else size // 2
            seconds = min(_best(addresses[form[0]], ctypes.addressof(context), size // 2 // BLOCK, 4)
                          for form in forms)
            rates[kind] = moved / seconds / 1e9
        found.append((size, rates))
    return found


def limits(threads=(1, 2)):
    addresses = _addresses()
    return {"threads": {t: arithmetic_limits(t, addresses) for t in threads},
            "memory": memory_limits(max(threads), addresses), "caches": cpu.caches()[1:]}


def better(a, b):
    """The larger of two measurements, figure by figure: disturbances only slow down."""
    return {"threads": {t: {k: max(v, b["threads"][t][k]) for k, v in rates.items()}
                        for t, rates in a["threads"].items()},
            "memory": [(size, {k: max(v, other[k]) for k, v in rates.items()})
                       for (size, rates), (_, other) in zip(a["memory"], b["memory"])], "caches": a["caches"]}


def describe(found):
    """The limits as lines of text."""
    lines = []
    for t, rates in found["threads"].items():
        lines.append(f"{t} thread{'s'[:int(t) > 1]}: " + ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in rates.items()))
    for size, rates in found["memory"]:
        lines.append(f"{size >> 20} MB: " + ", ".join(f"{k} {v:.1f} GB/s" for k, v in rates.items()))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", help="write the figures here, too")
    args = parser.parse_args()
    found = better(limits(), limits())
    print("\n".join(describe(found)))
    if args.json:
        with open(args.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
