"""Creation: dtype inference, sharing, layouts, ranges and their errors."""

import math
import warnings

import numpy as np
import pytest

import rushlight as torch


@pytest.mark.parametrize("data, dtype", [
    (1, torch.int64), (1.5, torch.float32), (True, torch.bool), (1j, torch.complex64), ([], torch.float32),
    ([1, 2.5], torch.float32), ([True, 2], torch.int64), (np.float64(1), torch.float64),
    ([np.int32(1)], torch.int32), (np.zeros(2, np.float16), torch.float16), ([np.float32(1), 2], torch.float32)])
def test_tensor_infers_the_dtype(data, dtype):
    assert torch.tensor(data).dtype is dtype


def test_tensor_follows_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.tensor([1.0]).dtype is torch.float64
        assert torch.arange(2.0).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("data, error, text", [
    ([[1, 2], [3]], ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
    ([[1, 2], 3], TypeError, "not a sequence"),
    ("a", TypeError, "new(): invalid data type 'str'"),
    (["a"], ValueError, "too many dimensions 'str'"),
    (None, RuntimeError, "Could not infer dtype of NoneType"),
    (2 ** 63, ValueError, "Overflow when unpacking long long")])
def test_tensor_refuses_what_is_no_tensor(data, error, text):
    with pytest.raises(error) as e:
        torch.tensor(data)
    assert str(e.value) == text


def test_integers_must_fit():
    with pytest.raises(RuntimeError, match="without overflow"):
        torch.tensor([300], dtype=torch.uint8)
    assert torch.tensor([-1], dtype=torch.uint8).item() == 255
    with pytest.raises(RuntimeError, match="without overflow"):
        torch.full((2,), math.inf, dtype=torch.int32)


def test_tensor_copies_and_from_numpy_shares():
    a = np.arange(4.0)
    copied, shared = torch.tensor(a), torch.from_numpy(a)
    a[0] = 9
    assert copied[0].item() == 0 and shared[0].item() == 9
    shared[1] = 7
    assert a[1] == 7
    assert torch.as_tensor(a).data_ptr() == shared.data_ptr()


def test_from_numpy_of_an_array_with_gaps_can_be_viewed():
    a = np.arange(24.0).reshape(4, 6)[:, ::2]
    t = torch.from_numpy(a)
    assert t.stride() == (6, 2)
    assert (t.t().numpy() == a.T).all()
    assert (t.as_strided((3,), (2,)).numpy() == a.reshape(-1)[:3]).all()


def test_from_numpy_refuses_negative_strides_and_foreign_byte_order():
    with pytest.raises(ValueError, match="stride"):
        torch.from_numpy(np.arange(3)[::-1])
    with pytest.raises(ValueError, match="byte order"):
        torch.from_numpy(np.arange(3).astype(">i8" if np.little_endian else "<i8"))


def test_frombuffer_shares_memory():
    b = bytearray(range(8))
    t = torch.frombuffer(b, dtype=torch.uint8, count=3, offset=2)
    assert t.tolist() == [2, 3, 4]
    b[2] = 77
    assert t[0].item() == 77
    with pytest.raises(ValueError, match="multiple of element size"):
        torch.frombuffer(b, dtype=torch.int32, offset=1)


def test_factories_take_sizes_in_both_forms():
    assert torch.zeros(2, 3).shape == torch.zeros((2, 3)).shape == torch.zeros(size=(2, 3)).shape == (2, 3)
    with pytest.raises(RuntimeError, match="negative"):
        torch.empty(-1)
    with pytest.raises(TypeError):
        torch.zeros(2.5)


def test_like_keeps_the_layout():
    x = torch.zeros(2, 3, 4).transpose(0, 2)
    assert torch.ones_like(x).stride() == x.stride()
    assert torch.ones_like(x[:, :, :1]).shape == (4, 3, 1)
    image = torch.empty(2, 3, 4, 5, memory_format=torch.channels_last)
    assert image.stride() == (60, 1, 15, 3)
    assert torch.empty_like(image).is_contiguous(memory_format=torch.channels_last)


def test_meta_tensors_have_shapes_only():
    t = torch.zeros(1 << 20, 1 << 20, device="meta")
    assert t.shape == (1 << 20, 1 << 20) and t.device.type == "meta"
    with pytest.raises(AssertionError, match="CUDA"):
        torch.zeros(1, device="cuda")


@pytest.mark.parametrize("args", [(5,), (1, 9, 3), (5, 1, -2), (1.0, 2.0, 0.25), (0, 1, 0.1)])
def test_arange_is_numpy_s(args):
    np.testing.assert_allclose(torch.arange(*args, dtype=torch.float64).numpy(), np.arange(*args), atol=1e-15)


@pytest.mark.parametrize("args, text", [((0, 5, 0), "step must be nonzero"), ((5, 1), "inconsistent"),
                                        ((0, math.nan), "unsupported range")])
def test_arange_refuses_impossible_ranges(args, text):
    with pytest.raises(RuntimeError, match=text):
        torch.arange(*args)


def test_linspace_and_logspace_reach_both_ends():
    np.testing.assert_allclose(torch.linspace(-1, 3, 9, dtype=torch.float64).numpy(), np.linspace(-1, 3, 9))
    np.testing.assert_allclose(torch.logspace(0, 3, 4, dtype=torch.float64).numpy(), np.logspace(0, 3, 4))
    assert torch.linspace(2, 5, 1).tolist() == [2.0]
    assert torch.linspace(0, 10, 4, dtype=torch.int64).tolist() == [0, 3, 6, 10]


@pytest.mark.parametrize("name, reference", [("hann_window", np.hanning), ("hamming_window", np.hamming),
                                             ("blackman_window", np.blackman), ("bartlett_window", np.bartlett)])
def test_windows_are_numpy_s(name, reference):
    w = getattr(torch, name)(9, periodic=False, dtype=torch.float64).numpy()
    np.testing.assert_allclose(w, reference(9), atol=1e-12)
    np.testing.assert_allclose(getattr(torch, name)(8, dtype=torch.float64).numpy(), reference(9)[:-1], atol=1e-12)


def test_grids_and_index_patterns():
    x, y = torch.meshgrid(torch.arange(3), torch.arange(2), indexing="xy")
    assert x.tolist() == [[0, 1, 2], [0, 1, 2]] and y.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert torch.tril_indices(3, 3).tolist() == [list(a) for a in np.tril_indices(3)]
    assert torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3, 4])).tolist() == [
        [1, 3], [1, 4], [2, 3], [2, 4]]
    assert torch.combinations(torch.tensor([1, 2, 3])).tolist() == [[1, 2], [1, 3], [2, 3]]


def test_complex_from_parts_has_gradients():
    a, b = (torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    z = torch.complex(a, b)
    (z.real * 3 + z.imag * 5).sum().backward()
    assert a.grad.tolist() == [3, 3] and b.grad.tolist() == [5, 5]
    np.testing.assert_allclose(torch.polar(torch.tensor([2.0]), torch.tensor([math.pi / 2])).numpy(), [2j], atol=1e-6)


def test_legacy_constructors():
    assert torch.Tensor(2, 3).shape == (2, 3)
    assert torch.Tensor([1, 2]).dtype is torch.float32
    assert torch.LongTensor([1, 2]).dtype is torch.int64
    assert isinstance(torch.zeros(1), torch.FloatTensor) and not isinstance(torch.zeros(1), torch.LongTensor)
    with pytest.raises(TypeError, match="data must be a sequence"):
        torch.Tensor(3.5)


def test_copying_a_tensor_warns():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.tensor(torch.zeros(1))
    assert "clone().detach()" in str(seen[0].message) or "detach().clone()" in str(seen[0].message)


def test_integers_evenly_spaced_are_cut_once():
    # 4 - 21 * 7 / 49 is 1, but 34 - 13 * 87 / 39 is just below 5 before it is cut, as the step is rounded.
    for d in (torch.int64, torch.int32, torch.int8):
        assert torch.linspace(4, -3, 50, dtype=d)[21] == 1
        assert torch.linspace(-53, 34, 40, dtype=d)[26] == 4
    assert torch.linspace(torch.tensor(4.3), -3, 50, dtype=torch.int64)[[0, 21, 49]].tolist() == [4, 1, -3]
    assert torch.linspace(0, 255, 6, dtype=torch.uint8).tolist() == [0, 51, 102, 153, 204, 255]
