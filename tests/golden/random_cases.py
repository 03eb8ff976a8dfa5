"""The draws whose values are stored in `random.json`, as data for both frameworks.

`python tests/golden/random_cases.py` (with PyTorch installed) writes the file again.
"""

import hashlib
import json
import math
import os

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "random.json")
SEED = 20240917
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
# Below and from sixteen on, whole and partial blocks, and across the engine's 624 words.
SIZES = (1, 5, 15, 16, 17, 33, 700, 1500)


def cases():
    """All cases: (method of a tensor, its arguments, dtype, sizes drawn one after another)."""
    for dtype in FLOATS:
        yield "uniform_", (), dtype, SIZES
        yield "uniform_", (-1.25, 3.7), dtype, SIZES
        yield "normal_", (), dtype, SIZES
        yield "normal_", (0.3, 1.7), dtype, SIZES
        yield "log_normal_", (0.1, 0.6), dtype, SIZES
        yield "exponential_", (1.7,), dtype, SIZES
        yield "cauchy_", (0.3, 0.7), dtype, SIZES
    yield "uniform_", (1.0, 1.000001), "float32", (700,)
    for dtype in FLOATS + INTEGERS:
        yield "random_", (), dtype, SIZES
        yield "bernoulli_", (0.3,), dtype, SIZES
        yield "geometric_", (0.05,), dtype, SIZES
        yield "random_", (3, 100), dtype, SIZES
    yield "random_", (), "bool", SIZES
    yield "bernoulli_", (0.7,), "bool", SIZES
    for low, high in ((-5, 2**28 - 6), (0, 2**28), (-(2**62), 2**62), (-(2**63), 2**63 - 1)):
        yield "random_", (low, high), "int64", SIZES
    yield "random_", (-(2**63), None), "int64", SIZES
    yield "random_", (0, 2**25), "float32", SIZES


def key(case):
    method, args, dtype, _ = case
    return f"{method}({', '.join(map(repr, args))}) {dtype}"


def digest(data):
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _torch_bytes(tensor):
    import torch

    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def main():
    import warnings

    import torch

    warnings.simplefilter("ignore")
    stored = {}
    for case in cases():
        method, args, dtype, sizes = case
        gen = torch.Generator().manual_seed(SEED)
        pieces = []
        for n in sizes:
            for shape, narrow in (((n,), False), ((2, n), True)):
                full = torch.zeros(shape, dtype=getattr(torch, dtype))
                part = full.t() if narrow else full
                getattr(part, method)(*args, generator=gen)
                pieces.append(_torch_bytes(full))
        stored[key(case)] = {
            "first": pieces[0].hex() + pieces[1][:64].hex(),
            "digest": digest(b"".join(pieces)),
            "state": digest(gen.get_state().numpy().tobytes()),
        }
    gen = torch.Generator().manual_seed(SEED)
    others = {"randperm": [torch.randperm(n, generator=gen).tolist() for n in (1, 2, 10, 40)]}
    others["randperm digest"] = digest(_torch_bytes(torch.randperm(5000, generator=gen)))
    rates = [0.0, 0.4, 3.0, 9.99, 10.0, 37.5, 1e4, 1e9]
    others["poisson"] = torch.poisson(torch.tensor(rates * 20).double(), generator=gen).tolist()
    counts, probs = [0.0, 1.0, 10.0, 500.0, 1e6] * 12, [0.0, 0.05, 0.3, 0.5, 0.7, 1.0] * 10
    counts, probs = torch.tensor(counts).double(), torch.tensor(probs).double()
    others["binomial"] = torch.binomial(counts, probs, generator=gen).tolist()
    weights = torch.tensor([[0.1, 0.0, 3.0, 0.7, 0.2], [5.0, 1.0, 1.0, 0.25, 0.125]])
    for n, replacement in ((1, False), (3, False), (9, True)):
        drawn = torch.multinomial(weights, n, replacement, generator=gen)
        others[f"multinomial {n} {replacement}"] = drawn.tolist()
    p = torch.arange(41) / 40
    others["bernoulli float32"] = torch.bernoulli(p, generator=gen).tolist()
    others["bernoulli float64"] = torch.bernoulli(p.double(), generator=gen).tolist()
    shapes = (torch.arange(24) / 8).double()
    others["gamma float64"] = torch._standard_gamma(shapes, generator=gen).tolist()
    others["gamma float32"] = torch._standard_gamma(shapes.float(), generator=gen).tolist()
    others["state"] = digest(gen.get_state().numpy().tobytes())
    assert math.isfinite(sum(others["poisson"]))
    with open(FILE, "w") as file:
        json.dump({"draws": stored, "others": others, "torch": torch.__version__}, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
