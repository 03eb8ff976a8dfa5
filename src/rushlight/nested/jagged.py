"""The class of tensors of the jagged layout: one dimension after the batch varies from component to component."""

import rushlight as torch

from . import ops
from .arrays import Nested, closed, components, opened


class NestedTensor(torch.Tensor):
    """A nested tensor whose components are joined along their ragged dimension."""

    _plain_subclass = True

    def __new__(cls, *args, **kwargs):
        raise TypeError("NestedTensor: use torch.nested.nested_tensor(..., layout=torch.jagged)")

    def offsets(self):
        """Where each component begins in `values()`, and behind the last where it ends."""
        return self._a.offsets

    def lengths(self):
        """How much of each component counts, or None where they follow each other without gaps."""
        return self._a.lengths

    @property
    def _ragged_idx(self):
        return self._a.ragged

    def _shape(self, shape):
        return list(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else list(shape)

    def reshape(self, *shape):
        """The same elements with other dimensions after the ragged one."""
        return ops.reshaped(self, self._shape(shape))

    view = reshape

    def flatten(self, start_dim=0, end_dim=-1):
        """Dimensions after the ragged one joined."""
        n = self.dim()
        start, end = start_dim % n, end_dim % n
        if start <= self._a.ragged <= end and start != end:
            raise RuntimeError("flatten(): not supported for NestedTensor on ragged dim")
        values = opened(self).flatten(start - 1, end - 1)
        return self._with(values, self._a.ragged if start > self._a.ragged else self._a.ragged - (end - start))

    def unflatten(self, dim, sizes):
        """A dimension other than the ragged one taken apart."""
        dim %= self.dim()
        values = opened(self).unflatten(dim - 1, sizes)
        return self._with(values, self._a.ragged + (len(sizes) - 1 if dim < self._a.ragged else 0))

    def _with(self, values, ragged):
        parts = self._a
        sizes = [tuple(s[parts.ragged - 1] if k == ragged - 1 else n for k, n in enumerate(values.shape))
                 for s in parts.sizes]
        return closed(values, Nested(parts.layout, values.detach(), sizes, parts.offsets, parts.lengths, ragged),
                      "ViewBackward0")

    def is_contiguous(self, memory_format=torch.contiguous_format):
        """Whether components follow each other in row-major order."""
        return self._a.ragged == 1 and self._a.lengths is None

    def contiguous(self, memory_format=torch.contiguous_format):
        """This tensor with components that follow each other."""
        if self.is_contiguous():
            return self
        from .arrays import bind
        return bind(components(self), self._a)

    def numpy(self, *, force=False):
        """RuntimeError: unbind it first."""
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")


NestedTensor.__module__ = "torch.nested._internal.nested_tensor"

__all__ = ["NestedTensor"]
