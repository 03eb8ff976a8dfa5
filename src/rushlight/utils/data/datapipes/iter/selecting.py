"""Pipes that leave elements out."""

from ..datapipe import IterDataPipe, functional_datapipe, length_of


@functional_datapipe("filter")
class FilterIterDataPipe(IterDataPipe):
    """Elements of which `filter_fn` is true.

    Args:
        datapipe: the source.
        filter_fn: gives a bool; ValueError for other results.
        input_col: which column, or columns, of an element it gets; default the element itself.
    """

    def __init__(self, datapipe, filter_fn, input_col=None):
        self.datapipe, self.filter_fn, self.input_col = datapipe, filter_fn, input_col

    def _kept(self, data):
        c = self.input_col
        if c is None:
            r = self.filter_fn(data)
        elif isinstance(c, (list, tuple)):
            r = self.filter_fn(*(data[i] for i in c))
        else:
            r = self.filter_fn(data[c])
        if not isinstance(r, bool) and not (hasattr(r, "dtype") and getattr(r, "ndim", 1) == 0):
            raise ValueError(f"Boolean output is required for `filter_fn` of FilterIterDataPipe, got {type(r)}")
        return bool(r)

    def __iter__(self):
        for data in self.datapipe:
            if self._kept(data):
                yield data


@functional_datapipe("sharding_filter")
class ShardingFilterIterDataPipe(IterDataPipe):
    """Every n-th element, from that of this instance's number: `DataLoader` gives each of its workers one.

    Args:
        source_datapipe: the source.
        sharding_group_filter: accepted for compatibility.
    """

    def __init__(self, source_datapipe, sharding_group_filter=None):
        self.source_datapipe, self.sharding_group_filter = source_datapipe, sharding_group_filter
        self.num_of_instances, self.instance_id = 1, 0

    def apply_sharding(self, num_of_instances, instance_id, sharding_group=None):
        """Say how many instances there are and which this is."""
        if instance_id >= num_of_instances:
            raise ValueError(f"instance_id({instance_id}) should be smaller than num_of_instances({num_of_instances})")
        self.num_of_instances, self.instance_id = num_of_instances, instance_id

    def is_shardable(self):
        """Yes."""
        return True

    def __iter__(self):
        for i, item in enumerate(self.source_datapipe):
            if i % self.num_of_instances == self.instance_id:
                yield item

    def __len__(self):
        n = length_of(self.source_datapipe, self)
        return n // self.num_of_instances + (self.instance_id < n % self.num_of_instances)
