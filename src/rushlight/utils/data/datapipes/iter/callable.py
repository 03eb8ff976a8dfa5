"""Pipes that apply functions."""

from rushlight.utils.data.collate import default_collate

from ..datapipe import IterDataPipe, functional_datapipe, length_of


def applied(fn, data, input_col, output_col):
    """`data` with ``fn(its columns)`` in the place of a column, or behind all (-1).

    input_col: an index or key, or several, which become several arguments; None passes `data` whole.
    """
    if input_col is None:
        return fn(data)
    many = isinstance(input_col, (list, tuple))
    result = fn(*(data[c] for c in input_col)) if many else fn(data[input_col])
    was_tuple = isinstance(data, tuple)
    out = dict(data) if isinstance(data, dict) else list(data)
    if output_col == -1:
        out.append(result)
    elif output_col is not None:
        out[output_col] = result
    elif many:
        out[input_col[0]] = result
        for c in sorted(input_col[1:], reverse=True):
            del out[c]
    else:
        out[input_col] = result
    return tuple(out) if was_tuple else out


@functional_datapipe("map")
class MapperIterDataPipe(IterDataPipe):
    """``fn`` of each element.

    Args:
        datapipe: the source.
        fn: the function.
        input_col: which columns of an element (a tuple, list or dict) `fn` gets; default the element itself.
        output_col: where the result goes: a column, -1 for a new one at the end; default into `input_col`.
    """

    def __init__(self, datapipe, fn, input_col=None, output_col=None):
        if input_col is None and output_col is not None:
            raise ValueError("`output_col` must be None when `input_col` is None.")
        if isinstance(output_col, (list, tuple)):
            if len(output_col) > 1:
                raise ValueError("`output_col` must be a single-element list or tuple")
            output_col = output_col[0]
        self.datapipe, self.fn, self.input_col, self.output_col = datapipe, fn, input_col, output_col

    def __iter__(self):
        for data in self.datapipe:
            yield applied(self.fn, data, self.input_col, self.output_col)

    def __len__(self):
        return length_of(self.datapipe, self)


@functional_datapipe("collate")
class CollatorIterDataPipe(MapperIterDataPipe):
    """Batches as tensors.

    Args:
        datapipe: the source, of batches.
        conversion: a function of a batch, or functions by column; default `default_collate`.
        collate_fn: the old name of `conversion`.
    """

    def __init__(self, datapipe, conversion=default_collate, collate_fn=None):
        fn = conversion if collate_fn is None else collate_fn
        if not callable(fn):
            columns = fn

            def fn(batch):
                rows = [dict(zip(columns, row)) if isinstance(row, (tuple, list)) else row for row in batch]
                return {c: convert([row[c] for row in rows]) for c, convert in columns.items()}
        super().__init__(datapipe, fn=fn)
