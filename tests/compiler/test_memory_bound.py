"""Kernels that move memory: long and short rows, many threads and one, against NumPy, to the bit."""

import itertools

import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler.templates import blocks


@pytest.fixture(autouse=True)
def threads_as_before():
    n = torch.get_num_threads()
    yield
    torch.set_num_threads(n)


def both(call):
    """Results with one thread and with two, which must not differ."""
    found = []
    for n in (1, 2):
        torch.set_num_threads(n)
        found.append(call())
    for a, b in zip(*found):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    return [t.numpy() for t in found[0]]


@pytest.mark.parametrize("shape, dim", [((5, 1000, 333), 1), ((300, 4096), 0), ((7, 130), 0), ((70001,), 0),
                                        ((1_100_003,), 0), ((2, 100000), 1), ((1,), 0), ((3, 1), 1)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_scans(shape, dim, dtype):
    rng = np.random.default_rng(0)
    a = (rng.standard_normal(shape) * 9).astype(dtype)
    x = torch.tensor(a)
    sums, high, places = both(lambda: (x.cumsum(dim), *x.cummax(dim)))
    wide = a.astype("f8" if dtype[0] == "f" else "i8")
    error = np.abs(sums - np.cumsum(wide, dim))
    assert (error <= (np.finfo(dtype).eps * np.cumsum(abs(wide), dim) if dtype[0] == "f" else 0)).all()
    np.testing.assert_array_equal(high, np.maximum.accumulate(a, dim))
    np.testing.assert_array_equal(np.take_along_axis(a, places, dim), high)


def test_large_results_pass_the_cache():
    n = blocks.STREAM_FROM // 4 // 1024 + 3
    a = np.random.default_rng(1).standard_normal((n, 1024)).astype("f4")
    x = torch.tensor(a)
    for start in (0, 1):                # aligned rows, and rows that are not
        part, b = x[:, start:], a[:, start:]
        rows, columns, back, up = both(lambda: (part.cumsum(1), part.cumsum(0), part.flip(1), part.flip(0)))
        np.testing.assert_allclose(rows, np.cumsum(b.astype("f8"), 1), rtol=0, atol=2e-4)
        np.testing.assert_allclose(columns, np.cumsum(b.astype("f8"), 0), rtol=0, atol=2e-3)
        np.testing.assert_array_equal(back, b[:, ::-1])
        np.testing.assert_array_equal(up, b[::-1])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64", "complex128"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_single_elements_interleaved(dtype, count):
    rng = np.random.default_rng(2)
    for shape in ((1,), (1000,), (7001,), (33, 77)):
        parts = [(rng.standard_normal(shape) * 50).astype(dtype) for _ in range(count)]
        tensors = [torch.tensor(p) for p in parts]
        stacked, = both(lambda: (torch.stack(tensors, len(shape)),))
        np.testing.assert_array_equal(stacked, np.stack(parts, len(shape)))
        ragged = [t.unsqueeze(-1) for t in tensors] + [torch.stack([tensors[0]] * 2, -1)]
        joined, = both(lambda: (torch.cat(ragged, -1),))
        np.testing.assert_array_equal(joined, np.concatenate([t.numpy() for t in ragged], -1))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 64, 65, 5000])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "complex128"])
def test_rows_reversed(dtype, size):
    a = (np.random.default_rng(3).standard_normal((3, size)) * 50).astype(dtype)
    np.testing.assert_array_equal(torch.tensor(a).flip(1).numpy(), a[:, ::-1])


@pytest.mark.parametrize("targets", [1, 7, 1000, 300000])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_writes_shared_by_targets(targets, dtype):
    n = (1 << 15) + 77
    rng = np.random.default_rng(4)
    i, v = rng.integers(0, targets, n), (rng.standard_normal(n) * 50).astype(dtype)
    a = (rng.standard_normal(targets) * 9).astype(dtype)
    index, values = torch.tensor(i), torch.tensor(v)
    strided = torch.tensor(np.repeat(i, 2))[::2]

    def fresh():
        return torch.tensor(a)

    def assigned():
        x = fresh()
        x[index - targets] = values
        return x

    added, sliced, again, put, one, top, set_ = both(lambda: (
        fresh().scatter_add_(0, index, values), fresh().index_add_(0, index, values),
        fresh().scatter_add_(0, strided, values), fresh().put_(index - targets, values),
        fresh().scatter_(0, index, values), fresh().scatter_reduce_(0, index, values, "amax"), assigned()))
    expected = a.copy()
    np.add.at(expected, i, v)
    for found in (added, sliced, again):            # in the order of the indices: to the bit
        np.testing.assert_array_equal(found, expected)
    expected = a.copy()
    expected[i] = v
    for found in (put, one, set_):
        np.testing.assert_array_equal(found, expected)
    expected = a.copy()
    np.maximum.at(expected, i, v)
    np.testing.assert_array_equal(top, expected)


@pytest.mark.parametrize("wrong", [9, -10])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_index_out_of_range_is_found(wrong, threads):
    torch.set_num_threads(threads)
    index = torch.zeros(1 << 16, dtype=torch.int64)
    index[54321] = wrong
    with pytest.raises(IndexError):
        torch.zeros(9).put_(index, torch.ones(1 << 16))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "uint8"])
@pytest.mark.parametrize("n", [1, 7, 1500])
def test_few_targets_of_many_indices(n, dtype):
    rng = np.random.default_rng(n)
    x, i = (rng.standard_normal(70_001) * 20).astype(dtype), rng.integers(0, n, 70_001)
    base = (rng.standard_normal(n) * 3).astype(dtype)
    for op, ufunc in (("sum", np.add), ("amax", np.maximum), ("amin", np.minimum)):
        want = base.astype("f8" if dtype[0] == "f" else dtype)
        ufunc.at(want, i, x)
        got = torch.from_numpy(base.copy()).scatter_reduce(0, torch.from_numpy(i), torch.from_numpy(x), op).numpy()
        if dtype[0] == "f":
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=0.05 if dtype == "float32" else 1e-9)
        else:
            np.testing.assert_array_equal(got, want)


def test_few_targets_keep_zeros_nan_and_bits():
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.standard_normal(100_000).astype("f4"))
    i = torch.from_numpy(rng.integers(0, 50, 100_000))
    found = set()
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.add(torch.zeros(50).scatter_add_(0, i, x).numpy().tobytes())
    torch.set_num_threads(before)
    assert len(found) == 1
    zeros = torch.from_numpy(-np.zeros(9, "f4")).scatter_add_(0, torch.zeros_like(i), torch.ones(100_000))
    assert zeros[0] == 100_000 and np.signbit(zeros.numpy()[1:]).all()
    x[7] = float("nan")
    assert torch.zeros(50).scatter_reduce(0, i, x, "amax").isnan().sum() == 1
    with pytest.raises(RuntimeError, match="out of bounds"):
        torch.zeros(50).scatter_add_(0, i + 1, x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int8", "complex64"])
@pytest.mark.parametrize("shape", [(16, 64), (100, 70), (17, 300), (3, 40, 50), (40, 3, 50), (2, 20, 18, 40)], ids=str)
def test_inputs_that_lie_the_other_way_round(dtype, shape):
    rng = np.random.default_rng(1)
    a = rng.integers(-50, 50, shape).astype(dtype)
    for order in itertools.permutations(range(len(shape))):
        b = rng.integers(-50, 50, [shape[k] for k in order]).astype(dtype)
        back = np.argsort(order)
        x, y, b = torch.tensor(a), torch.tensor(b).permute(*back.tolist()), b.transpose(back)
        np.testing.assert_array_equal((x + y).numpy(), a + b)
        np.testing.assert_array_equal(torch.where(y != 0, x, y).numpy(), np.where(b != 0, a, b))
        if len(shape) > 1:
            np.testing.assert_array_equal((x[1:] * y[1:] + x[1:]).numpy(), a[1:] * b[1:] + a[1:])


def test_large_transposed_input():
    # Beyond the size from which results go past the cache, with rows that are whole lines and rows that are not.
    for n in (2912, 2901):
        a, b = (np.random.default_rng(k).standard_normal((n, n), np.float32) for k in range(2))
        np.testing.assert_array_equal((torch.tensor(a) + torch.tensor(b).t()).numpy(), a + b.T)
