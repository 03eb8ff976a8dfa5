"""``vmap`` against PyTorch: every op of its database mapped over the first operand and over all of them.

``FUNC_SWEEP=12`` compares twelve samples of every op; otherwise one of every fourth.
"""

import os

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

from . import func_samples


def test_op_database():
    wrong = []
    n = int(os.environ.get("FUNC_SWEEP", 0))
    same, other = func_samples.sweep("vmap", rushlight, torch, n=n or 1, stride=1 if n else 4,
                                     report=lambda *what: wrong.append(what))
    print(f"vmap: {same} of {same + other} samples agree ({100 * same / (same + other):.2f} %)")
    assert same > 200
    assert same / (same + other) >= 0.98, wrong


RNG = np.random.default_rng(2)
A, B, V = RNG.standard_normal((3, 4, 4)), RNG.standard_normal((3, 4, 2)), RNG.standard_normal((3, 5))
I = RNG.integers(0, 4, (3, 5))


def custom(lib, a):
    """A custom function whose methods vmap runs on batches."""
    class Square(lib.autograd.Function):
        generate_vmap_rule = True
        forward = staticmethod(lambda x: x * x)
        setup_context = staticmethod(lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
        backward = staticmethod(lambda ctx, g: 2 * g * ctx.saved_tensors[0])
    return lib.vmap(lib.func.grad(lambda x: Square.apply(x).sum()))(a)


CASES = {
    "values that decide": lambda lib, a, b, v, i: lib.vmap(lambda x: lib.quantile(x, 0.3))(v),
    "ranks": lambda lib, a, b, v, i: lib.vmap(lib.linalg.matrix_rank)(a),
    "factors": lambda lib, a, b, v, i: lib.vmap(lambda x, y: lib.linalg.lu_solve(*lib.linalg.lu_factor(x), y))(a, b),
    "unbatched factors": lambda lib, a, b, v, i: lib.vmap(lambda y: lib.linalg.solve(a[0], y))(b),
    "repeats": lambda lib, a, b, v, i: lib.vmap(lambda x: x.repeat_interleave(lib.tensor([1, 0, 2, 1, 1])))(v),
    "bags": lambda lib, a, b, v, i: lib.vmap(lambda x, j: lib.nn.functional.embedding_bag(
        j, x, lib.tensor([0, 2]), mode="max"))(a, i),
    "gradients of bags": lambda lib, a, b, v, i: lib.vmap(lib.func.grad(lambda x, j: lib.nn.functional.embedding_bag(
        j, x, lib.tensor([0, 2])).sin().sum()))(a, i),
    "unpooled": lambda lib, a, b, v, i: lib.vmap(lambda x: lib.nn.functional.max_unpool1d(
        *lib.nn.functional.max_pool1d(x[None, None], 2, return_indices=True), 2))(v),
    "margins": lambda lib, a, b, v, i: lib.vmap(lambda x, j: lib.nn.functional.multilabel_margin_loss(
        x, (j % 4)[:4].sort().values))(a[:, 0], i),
    "taken": lambda lib, a, b, v, i: lib.vmap(lambda x, j: x.take(j - 3))(a, i),
    "custom": lambda lib, a, b, v, i: custom(lib, v),
    "ensembles": lambda lib, a, b, v, i: lib.vmap(lambda w: lib.vmap(lambda x: lib.tanh(x @ w), 1, 1)(b[0]))(a),
    "tangents of each sample": lambda lib, a, b, v, i: lib.vmap(lambda x, t: lib.func.jvp(
        lib.linalg.inv, (x,), (t,))[1])(a, a.mT),
}


@pytest.mark.parametrize("name", CASES)
def test_results(name):
    got, want = (CASES[name](lib, *[lib.tensor(x) for x in (A, B, V, I)]).numpy() for lib in (rushlight, torch))
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)
