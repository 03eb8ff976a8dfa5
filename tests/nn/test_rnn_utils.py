"""Packing, padding and the recurrent layers on packed batches."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.utils import rnn


def sequences():
    return [torch.arange(6.0).view(3, 2), torch.arange(10.0).view(5, 2), torch.ones(1, 2)]


def test_pack_and_pad():
    packed = rnn.pack_sequence(sequences(), enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.data[:3].tolist() == [[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0,
                                              total_length=6)
    assert padded.shape == (3, 6, 2) and lengths.tolist() == [3, 5, 1]
    assert padded[2, 1:].unique().tolist() == [-1.0]
    for a, b in zip(rnn.unpack_sequence(packed), sequences(), strict=True):
        assert torch.equal(a, b)


def test_pad_sequence():
    a, b = torch.tensor([1, 2]), torch.tensor([3])
    assert rnn.pad_sequence([a, b]).tolist() == [[1, 3], [2, 0]]
    assert rnn.pad_sequence([a, b], batch_first=True, padding_value=9).tolist() == [[1, 2], [3, 9]]
    assert rnn.pad_sequence([a, b], True, padding_side="left").tolist() == [[1, 2], [0, 3]]
    assert [s.tolist() for s in rnn.unpad_sequence(
        torch.tensor([[1, 3], [2, 0]]), torch.tensor([2, 1]))] == [[1, 2], [3]]


def test_errors():
    with pytest.raises(RuntimeError, match="must be sorted in decreasing order"):
        rnn.pack_sequence([torch.ones(1), torch.ones(2)])
    with pytest.raises(RuntimeError, match="greater than 0"):
        rnn.pack_padded_sequence(torch.ones(2, 2), [1, 0])
    with pytest.raises(ValueError, match="Expected total_length to be at least"):
        rnn.pad_packed_sequence(rnn.pack_sequence([torch.ones(3)]), total_length=1)
    with pytest.raises(RuntimeError, match="empty list"):
        rnn.pad_sequence([])


def test_conversions():
    packed = rnn.pack_sequence([torch.ones(2), torch.ones(1)])
    assert packed.double().data.dtype == torch.float64
    assert packed.to(torch.float32) is packed
    assert packed.long().batch_sizes is packed.batch_sizes


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_equals_each_sequence(kind, bidirectional):
    torch.manual_seed(0)
    layer = getattr(nn, kind)(2, 3, 2, bidirectional=bidirectional)
    inputs = [torch.randn(n, 2) for n in (3, 5, 1)]
    output, hidden = layer(rnn.pack_sequence(inputs, enforce_sorted=False))
    padded, _ = rnn.pad_packed_sequence(output)
    first = hidden[0] if kind == "LSTM" else hidden
    for i, x in enumerate(inputs):
        alone, state = layer(x)
        state = state[0] if kind == "LSTM" else state
        assert torch.allclose(padded[:len(x), i], alone, atol=1e-6)
        assert torch.allclose(first[:, i], state, atol=1e-6)


def test_batch_first_and_unbatched_agree():
    torch.manual_seed(0)
    layer = nn.LSTM(2, 3, proj_size=2)
    x = torch.randn(4, 2, 2)
    swapped = nn.LSTM(2, 3, proj_size=2, batch_first=True)
    swapped.load_state_dict(layer.state_dict())
    a, (h, c) = layer(x)
    b, _ = swapped(x.transpose(0, 1))
    assert torch.allclose(a, b.transpose(0, 1))
    alone, (h1, c1) = layer(x[:, 0])
    assert alone.shape == (4, 2) and h1.shape == (1, 2) and c1.shape == (1, 3)
    assert torch.allclose(alone, a[:, 0])


def test_cell_equals_layer():
    torch.manual_seed(0)
    for kind in ("RNN", "LSTM", "GRU"):
        layer = getattr(nn, kind)(2, 3)
        cell = getattr(nn, kind + "Cell")(2, 3)
        cell.load_state_dict({k[:-3]: v for k, v in layer.state_dict().items()})
        x = torch.randn(4, 1, 2)
        expected, _ = layer(x)
        state = None
        for t in range(4):
            state = cell(x[t], state)
            h = state[0] if kind == "LSTM" else state
            assert torch.allclose(h, expected[t], atol=1e-6)


def test_shape_errors():
    layer = nn.GRU(3, 4)
    with pytest.raises(RuntimeError, match="Expected 3, got 4"):
        layer(torch.zeros(2, 2, 4))
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 2, 4\), got \[2, 2, 4\]"):
        layer(torch.zeros(2, 2, 3), torch.zeros(2, 2, 4))
    with pytest.raises(ValueError, match="Expected input to be 2D or 3D"):
        layer(torch.zeros(3))
    with pytest.raises(ValueError, match="only supported for LSTM"):
        nn.GRU(3, 4, proj_size=2)
