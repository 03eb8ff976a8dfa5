"""Batches of sequences of different lengths: padded, and packed without the padding.

A packed batch holds, for each time step, the rows of the sequences that reach it; sequences are
sorted by decreasing length.
"""

from collections import namedtuple

import rushlight as torch

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence",
           "pad_packed_sequence", "pad_sequence", "unpad_sequence", "pack_sequence",
           "unpack_sequence"]

PackedSequence_ = namedtuple(
    "PackedSequence_", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(PackedSequence_):
    """A packed batch; made by `pack_padded_sequence` and its kin.

    Attributes:
        data: (sum of lengths, *) the elements, time step by time step.
        batch_sizes: how many sequences reach each time step, an int64 tensor on the CPU.
        sorted_indices, unsorted_indices: the permutation that sorted the batch and its inverse,
            or None.
    """

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            # The form in which one tuple of data and batch sizes is given.
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a tuple of (data, batch_sizes)")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU. Instances of PackedSequence "
                             "should never be created manually. They should be instantiated by "
                             "functions like pack_sequence and pack_padded_sequences in "
                             "nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn."
                             "utils.rnn.pack_sequence")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data, move=None):
        indices = (self.sorted_indices, self.unsorted_indices)
        if move is not None:
            indices = tuple(None if i is None else move(i) for i in indices)
        return type(self)(data, self.batch_sizes, *indices)

    def pin_memory(self):
        """The batch in page-locked memory."""
        return self._with(self.data.pin_memory(), lambda i: i.pin_memory())

    def to(self, *args, **kwargs):
        """The batch moved or cast; self where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        # Indices take the device but not the dtype.
        device = data.device
        return self._with(data, lambda i: i.to(device))

    def cuda(self, *args, **kwargs):
        """The batch on a CUDA device."""
        example = torch.tensor((), dtype=self.data.dtype, device=self.data.device)
        if example.to(*args, **kwargs).is_cuda:
            return self.to(*args, **kwargs)
        return self.to(*args, device="cuda", **kwargs)

    def cpu(self, *args, **kwargs):
        """The batch on the CPU."""
        example = torch.tensor((), dtype=self.data.dtype, device=self.data.device)
        if example.to(*args, **kwargs).device.type == "cpu":
            return self.to(*args, **kwargs)
        return self.to(*args, device="cpu", **kwargs)

    def double(self):
        """The batch as float64."""
        return self.to(dtype=torch.double)

    def float(self):
        """The batch as float32."""
        return self.to(dtype=torch.float)

    def half(self):
        """The batch as float16."""
        return self.to(dtype=torch.half)

    def long(self):
        """The batch as int64."""
        return self.to(dtype=torch.long)

    def int(self):
        """The batch as int32."""
        return self.to(dtype=torch.int)

    def short(self):
        """The batch as int16."""
        return self.to(dtype=torch.short)

    def char(self):
        """The batch as int8."""
        return self.to(dtype=torch.int8)

    def byte(self):
        """The batch as uint8."""
        return self.to(dtype=torch.uint8)

    @property
    def is_cuda(self):
        """Whether the data is on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self):
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation):
    """The permutation that undoes this one; None for None."""
    if permutation is None:
        return None
    inverse = torch.empty_like(permutation)
    inverse.scatter_(0, permutation, torch.arange(0, permutation.numel(),
                                                  device=permutation.device))
    return inverse


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Pack a padded batch.

    Args:
        input: (T, B, *), or (B, T, *) where `batch_first`.
        lengths: of the sequences, a list or a CPU tensor.
        enforce_sorted: require that lengths decrease; otherwise the batch is sorted.

    Raises:
        RuntimeError: where lengths are not positive, not sorted, or not as many as sequences.
    """
    if not isinstance(lengths, torch.Tensor):
        lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    else:
        lengths = lengths.to(dtype=torch.int64)
    if enforce_sorted:
        sorted_indices = None
    else:
        lengths, sorted_indices = torch.sort(lengths, descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if batch_first:
        input = input.transpose(0, 1)
    sizes = lengths.tolist()
    batch = input.size(1)
    if lengths.device.type != "cpu":
        raise RuntimeError("'lengths' argument should be a 1D CPU int64 tensor, but got "
                           f"{lengths.dim()}D {lengths.device} Long tensor")
    if len(sizes) != batch:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(sizes)} (batch_size={batch})")
    if sizes[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element "
                           "in 'lengths' that is <= 0")
    if any(a < b for a, b in zip(sizes, sizes[1:])):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when "
                           "`enforce_sorted` is True. You can pass `enforce_sorted=False` to "
                           "pack_padded_sequence and/or pack_sequence to sidestep this "
                           "requirement if you do not need ONNX exportability.")
    # Steps between two lengths have the same sequences: they are cut out as one block.
    blocks, batch_sizes, start = [], [], 0
    for i in reversed(range(batch)):
        if sizes[i] > start:
            block = input[start:sizes[i], :i + 1]
            blocks.append(block.reshape(-1, *input.shape[2:]))
            batch_sizes += [i + 1] * (sizes[i] - start)
            start = sizes[i]
    data = torch.cat(blocks)
    return PackedSequence(data, torch.tensor(batch_sizes, dtype=torch.int64), sorted_indices,
                          None)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """Undo `pack_padded_sequence`: the padded batch and the lengths, in the first order.

    Args:
        total_length: pad to that length.

    Raises:
        ValueError: where `total_length` is less than the longest sequence.
    """
    longest = sequence.batch_sizes.size(0)
    if total_length is not None:
        if total_length < longest:
            raise ValueError("Expected total_length to be at least the length of the longest "
                             f"sequence in input, but got total_length={total_length} and max "
                             f"sequence length being {longest}")
        longest = total_length
    data, batch_sizes = sequence.data, sequence.batch_sizes.tolist()
    batch = batch_sizes[0] if batch_sizes else 0
    trailing = data.shape[1:]
    steps, start = [], 0
    # Blocks of steps with the same number of sequences, each filled up with padding.
    first = 0
    while first < len(batch_sizes):
        last = first
        while last < len(batch_sizes) and batch_sizes[last] == batch_sizes[first]:
            last += 1
        count = batch_sizes[first]
        block = data[start:start + count * (last - first)].view(last - first, count, *trailing)
        if count < batch:
            fill = data.new_full((last - first, batch - count, *trailing), padding_value)
            block = torch.cat([block, fill], dim=1)
        steps.append(block)
        start += count * (last - first)
        first = last
    if longest > len(batch_sizes):
        steps.append(data.new_full((longest - len(batch_sizes), batch, *trailing),
                                   padding_value))
    padded = torch.cat(steps)
    lengths = torch.tensor([sum(1 for n in batch_sizes if n > i) for i in range(batch)],
                           dtype=torch.int64)
    if batch_first:
        padded = padded.transpose(0, 1)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return padded, lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Stack sequences (L_i, *) to (T, B, *) or (B, T, *), T the longest length.

    Args:
        padding_side: 'right' or 'left', where the padding goes.

    Raises:
        RuntimeError: where `sequences` is no iterable, is empty, or trailing sizes differ.
    """
    if isinstance(sequences, torch.Tensor):
        sequences = sequences.unbind(0)
    elif not hasattr(sequences, "__iter__"):
        raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg of "
                           f"type: {type(sequences)}")
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError("Expected padding_side to be one of left or right, but got "
                           f"{padding_side}.")
    trailing = sequences[0].shape[1:]
    longest = max(s.size(0) for s in sequences)
    padded = []
    for s in sequences:
        if s.shape[1:] != trailing:
            at = next((d for d, (a, b) in enumerate(zip(s.shape[1:], trailing), 1) if a != b), 1)
            raise RuntimeError(
                f"The size of tensor a ({longest}) must match the size of tensor b "
                f"({s.size(at) if s.dim() > at else 0}) at non-singleton dimension {at}")
        if s.size(0) < longest:
            fill = s.new_full((longest - s.size(0), *trailing), padding_value)
            s = torch.cat([s, fill] if padding_side == "right" else [fill, s])
        padded.append(s)
    return torch.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The list of sequences of a padded batch."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    counts = lengths.tolist() if isinstance(lengths, torch.Tensor) else list(lengths)
    return [sequence[:count] for sequence, count in zip(padded_sequences, counts)]


def pack_sequence(sequences, enforce_sorted=True):
    """Pack a list of sequences (L_i, *)."""
    lengths = torch.as_tensor([s.size(0) for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The list of sequences of a packed batch, in the first order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
