"""Histograms, index patterns and combinations, against PyTorch."""

import itertools

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")


def same(got, want):
    assert tuple(got.shape) == tuple(want.shape)
    np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("name", ["tril_indices", "triu_indices"])
def test_places_beside_a_diagonal(name):
    for rows, columns, offset in itertools.product((0, 1, 5, 19), (0, 1, 6, 40), (-50, -3, 0, 1, 50)):
        for dtype in ("int64", "int32"):
            got, want = (getattr(f, name)(rows, columns, offset, dtype=getattr(f, dtype)) for f in (rushlight, torch))
            assert str(got.dtype).split(".")[-1] == str(want.dtype).split(".")[-1]
            same(got, want)


def test_combinations():
    for n, r, repeated in itertools.product(range(8), range(5), (False, True)):
        x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
        same(*(f.combinations(f.from_numpy(x), r, repeated) for f in (rushlight, torch)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["bins", "range", "edges", "weight"])
def test_histograms(kind, dtype):
    rng = np.random.default_rng(0)
    for bins in (1, 2, 3, 6, 7, 10, 33):
        # Many numbers on the edges, some outside of them.
        x = (rng.integers(-8, 9, 300) / 2 + (rng.random(300) < 0.3) * rng.standard_normal(300)).astype(dtype)
        options = {"range": {"range": (-2.0, 3.0)}}.get(kind, {})
        made = []
        for f in (rushlight, torch):
            if kind == "weight":
                options = {"weight": f.from_numpy(np.abs(x) + 1)}
            edges = f.linspace(-3, 3, bins + 1, dtype=getattr(f, dtype)) if kind == "edges" else bins
            made.append(f.histogram(f.from_numpy(x.copy()), edges, **options))
        for got, want in zip(*made):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
