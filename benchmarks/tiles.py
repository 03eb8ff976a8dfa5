"""Products and convolutions on AMX tiles against those by vectors, on a CPU that has both.

    python benchmarks/tiles.py [--threads N]

Shows, for each size, GFLOP/s by vectors and by tiles, and what ``gemm_amx.Kind.least`` and ``balance`` should make of
them: a product for which tiles are slower should not be on tiles.
"""

import argparse
import time

import numpy as np

from rushlight.compiler.templates import gemm, gemm_route
from rushlight.runtime import cpu, native, precision, threadpool


def best(call, seconds=0.3):
    """The shortest time of a call."""
    call()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def products():
    """float32 products by vectors, by tiles in each precision, and bfloat16 ones on tiles."""
    import ml_dtypes

    by_vectors = native.callable_from(gemm.vectors("float32")["rl_call"], "vectors")
    by_choice, halves = gemm.kernel("float32"), gemm.kernel(ml_dtypes.bfloat16)
    names = ["vectors", *("highest", "high", "medium"), "bfloat16"]
    print(f"{'m x n x k':>18}" + "".join(f"{name:>10}" for name in names) + "   GFLOP/s")
    cubes = [(n, n, n) for n in (64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)]
    for m, n, k in [*cubes, (64, 1024, 512), (64, 256, 576), (128, 3136, 576), (4096, 96, 96), (256, 256, 20000)]:
        a, b = (np.ones(shape, np.float32) for shape in ((m, k), (k, n)))
        c = np.empty((m, n), np.float32)
        times = [best(lambda: by_vectors(c, a, b))]
        for name in names[1:4]:
            precision.set_float32_matmul_precision(name)
            times.append(best(lambda: by_choice(c, a, b)))
        precision.set_float32_matmul_precision("highest")
        x, y, z = (array.astype(ml_dtypes.bfloat16) for array in (a, b, c))
        times.append(best(lambda: halves(z, x, y)))
        print(f"{m:>6} x{n:>4} x{k:>5}" + "".join(f"{2 * m * n * k / t / 1e9:10.0f}" for t in times))


def convolutions():
    """Forward, gradient of the input and of the weights: milliseconds by vectors and with tiles."""
    from rushlight.ops.nn import conv_maps, conv_plans

    print(f"\n{'n x in -> out, size, kernel, step':>36}{'vectors: y, dx, dw':>28}{'tiles: y, dx, dw':>28}   ms")
    asked = cpu.amx
    for n, i, o, size, k, step in (
            (8, 64, 64, 56, 3, 1), (8, 128, 128, 28, 3, 1), (8, 256, 256, 14, 3, 1), (8, 512, 512, 7, 3, 1),
            (8, 256, 64, 56, 1, 1), (8, 64, 256, 56, 1, 1), (8, 256, 1024, 14, 1, 1), (4, 3, 64, 224, 7, 2),
            (8, 128, 128, 56, 3, 2)):
        x, w, rows = np.ones((n, i, size, size), np.float32), np.ones((o, i, k, k), np.float32), []
        more = (step, step), (k // 2, k // 2), (1, 1), 1
        for amx in (lambda: False, asked):
            cpu.amx = amx
            for plans in (conv_plans.forward, conv_plans.adjoint, conv_plans.weight):
                plans.cache_clear()
            y = conv_maps.forward(x, w, None, *more)
            rows += [best(lambda: conv_maps.forward(x, w, None, *more)),
                     best(lambda: conv_maps.adjoint_input(y, w, None, (size, size), *more)),
                     best(lambda: conv_maps.adjoint_weight(x, y, (k, k), *more))]
        print(f"{n:>4} x{i:>4} ->{o:>5}, {size:>3}, {k}, {step}".rjust(36)
              + "".join((f"{t * 1e3:9.2f}" + " " * (j == 2)) for j, t in enumerate(rows)))
    cpu.amx = asked


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=threadpool.get_num_threads())
    threadpool.set_num_threads(parser.parse_args().threads)
    if not cpu.amx() or gemm_route.tiles() is None:
        raise SystemExit("no AMX here, or tiles that give wrong products")
    products()
    convolutions()
