"""Pipes that change the order."""

from rushlight.utils.data.sampler import SequentialSampler

from ..datapipe import IterDataPipe, functional_datapipe, length_of
from ..shuffling import Shuffling


class SamplerIterDataPipe(IterDataPipe):
    """What a sampler makes of a source.

    Args:
        datapipe: the source, which has a length.
        sampler: a class of samplers; sampler_args, sampler_kwargs: its further arguments.
    """

    def __init__(self, datapipe, sampler=SequentialSampler, sampler_args=None, sampler_kwargs=None):
        self.datapipe = datapipe
        self.sampler = sampler(*(sampler_args or ()), data_source=datapipe, **(sampler_kwargs or {}))

    def __iter__(self):
        return iter(self.sampler)

    def __len__(self):
        return length_of(self.sampler, self)


@functional_datapipe("shuffle")
class ShufflerIterDataPipe(Shuffling, IterDataPipe):
    """Elements in random order: each is drawn from a buffer of the next `buffer_size` ones.

    Args:
        datapipe: the source.
        buffer_size (int): 1 keeps the order.
        unbatch_level (int): take batches apart so many levels deep before; -1 for all.

    Each iteration draws a seed from torch's generator, unless `set_seed` gave one for the next.
    """

    def __init__(self, datapipe, *, buffer_size=10000, unbatch_level=0):
        if buffer_size <= 0:
            raise ValueError("buffer_size should be larger than 0")
        self.datapipe = datapipe if unbatch_level == 0 else datapipe.unbatch(unbatch_level=unbatch_level)
        self.buffer_size = buffer_size
        self._switch_on()

    def reset(self):
        if self._enabled:
            self._seed_now()

    def __iter__(self):
        if not self._enabled:
            yield from self.datapipe
            return
        buffer, draw = [], self._rng.randint
        for x in self.datapipe:
            if len(buffer) == self.buffer_size:
                i = draw(0, len(buffer) - 1)
                out, buffer[i] = buffer[i], x
                yield out
            else:
                buffer.append(x)
        while buffer:
            yield buffer.pop(draw(0, len(buffer) - 1))

    def __len__(self):
        return length_of(self.datapipe, self)
