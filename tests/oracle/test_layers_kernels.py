"""Normalization, losses, pooling and resampling against a live PyTorch: values, layouts and gradients."""

import itertools

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")
BOUND = {"float32": 2e-5, "float64": 1e-11, "bfloat16": 4e-2}


def last(x, L):
    return x.contiguous(memory_format=L.channels_last)


WINDOWS = [(2, 2, 0, 1, False), (3, 2, 1, 1, True), (3, 1, 1, 2, False), (3, 3, 0, 1, True), (5, 4, 2, 1, False)]
GRIDS = list(itertools.product(("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True)))
# (name, input shape, parameter shapes, function of F, the library and the leaves)
CASES = [
    ("layer_norm", (30, 50), [(50,)] * 2, lambda F, L, x, w, b: F.layer_norm(x, (50,), w, b)),
    ("layer_norm of two dimensions", (6, 5, 7), [(5, 7)] * 2, lambda F, L, x, w, b: F.layer_norm(x, (5, 7), w, b)),
    ("rms_norm", (30, 50), [(50,)], lambda F, L, x, w: F.rms_norm(x, (50,), w)),
    ("group_norm", (3, 8, 5, 7), [(8,)] * 2, lambda F, L, x, w, b: F.group_norm(x, 4, w, b)),
    ("batch_norm", (3, 9, 5, 7), [(9,)] * 2, lambda F, L, x, w, b: F.batch_norm(x, None, None, w, b, True)),
    ("batch_norm, last", (3, 9, 5, 7), [(9,)] * 2,
     lambda F, L, x, w, b: F.batch_norm(last(x, L), None, None, w, b, True)),
    ("instance_norm", (3, 9, 5, 7), [(9,)] * 2, lambda F, L, x, w, b: F.instance_norm(x, weight=w, bias=b)),
    ("softmax", (3, 7, 40), [], lambda F, L, x: F.softmax(x, 1)),
    ("log_softmax", (3, 7, 40), [], lambda F, L, x: F.log_softmax(x, 1)),
    *[(f"max_pool2d {w}", (2, 3, 20, 33), [], lambda F, L, x, w=w: F.max_pool2d(x, *w)) for w in WINDOWS],
    *[(f"max_pool2d last {w}", (2, 19, 11, 9), [], lambda F, L, x, w=w: F.max_pool2d(last(x, L), *w)) for w in WINDOWS],
    *[(f"max_pool3d {w}", (2, 3, 9, 8, 17), [], lambda F, L, x, w=w: F.max_pool3d(x, *w)) for w in WINDOWS],
    *[(f"avg_pool2d {k} {o}", (2, 3, 20, 33), [], lambda F, L, x, k=k, o=o: F.avg_pool2d(x, *k, **o))
      for k in ((2, 2, 0), (3, 2, 1), (5, 3, 2))
      for o in ({}, {"ceil_mode": True}, {"count_include_pad": False}, {"divisor_override": 3})],
    ("avg_pool2d, last", (2, 19, 11, 9), [], lambda F, L, x: F.avg_pool2d(last(x, L), 3, 2, 1)),
    ("adaptive_avg_pool2d", (2, 3, 20, 33), [], lambda F, L, x: F.adaptive_avg_pool2d(x, (7, 40))),
    ("adaptive_max_pool2d", (2, 3, 20, 33), [], lambda F, L, x: F.adaptive_max_pool2d(x, (7, 5))),
    *[(f"interpolate {m} {o}", (2, 3, 9, 17), [], lambda F, L, x, m=m, o=o: F.interpolate(x, mode=m, **o))
      for m in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
      for o in ({"scale_factor": 2}, {"scale_factor": (1.7, 0.6)}, {"size": (5, 40)})],
    *[(f"interpolate {m} {o}", (2, 3, 9, 17), [],
       lambda F, L, x, m=m, o=o: F.interpolate(x, size=(5, 40), mode=m, **o))
      for m in ("bilinear", "bicubic") for o in ({"align_corners": True}, {"antialias": True})],
    ("interpolate, last", (2, 19, 9, 7), [],
     lambda F, L, x: F.interpolate(last(x, L), scale_factor=2, mode="bilinear")),
    *[(f"pad {m}", (2, 3, 9, 17), [], lambda F, L, x, m=m: F.pad(x, (2, 3, 1, 4), mode=m))
      for m in ("constant", "reflect", "replicate", "circular")],
    *[(f"grid_sample {o}", (2, 3, 7, 9), [(2, 5, 6, 2)], lambda F, L, x, g, o=o: F.grid_sample(x, g, *o))
      for o in GRIDS],
]

# PyTorch makes these of other ops; ours are one.
OTHER_NODES = {"rms_norm", "pad circular"}


def run(L, case, dtype):
    _, shape, parameters, fn = case
    rng = np.random.default_rng(0)
    leaves = [L.tensor(rng.standard_normal(s), dtype=getattr(L, dtype), requires_grad=True)
              for s in (shape, *parameters)]
    y = fn(L.nn.functional, L, *leaves)
    y.backward(L.tensor(rng.standard_normal(tuple(y.shape)), dtype=y.dtype))
    numbers = [np.asarray(t.detach().double().tolist()) for t in (y, *(leaf.grad for leaf in leaves))]
    return (y.grad_fn.name(), tuple(y.shape), y.stride(), str(y.dtype).split(".")[-1]), numbers


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_equals_pytorch(case, dtype):
    if dtype == "bfloat16" and ("grid_sample" in case[0] or "antialias" in case[0]):
        pytest.skip("positions or weights of 8 bits")
    facts, want = run(torch, case, dtype)
    ours, got = run(rushlight, case, dtype)
    assert ours[1:] == facts[1:]
    if case[0] not in OTHER_NODES:
        assert ours[0] == facts[0]
    for a, b in zip(got, want):
        assert np.abs(a - b).max() <= BOUND[dtype] * max(1.0, np.abs(b).max())


def test_error_is_no_larger_than_pytorchs():
    """Against float64, over rows with a mean: the larger of the two errors of forward and gradients."""
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((64, 3000)) + 5, rng.standard_normal((64, 3000))

    def errors(L):
        exact = L.tensor(x.astype("f4")).double().requires_grad_()
        single = L.tensor(x.astype("f4"), requires_grad=True)
        found = []
        for leaf in (exact, single):
            y = L.nn.functional.layer_norm(leaf, (3000,))
            y.backward(L.tensor(g.astype("f4")).to(y.dtype))
            found.append((y.detach().double(), leaf.grad.double()))
        return [float((a - b).abs().max()) for a, b in zip(*found)]
    for ours, theirs in zip(errors(rushlight), errors(torch)):
        assert ours <= 1.2 * theirs + 1e-7
