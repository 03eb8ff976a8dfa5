"""Several traces of one model, on inputs of different sizes, as one: numbers that differ become sizes.

All traces must take the same steps. A whole number among the arguments or dimensions that isn't the same in all of them
is a `Size`: the tuple of what it was in each trace. What it is made of is found later, by comparing such tuples: a
dimension of some value that was the same number in every trace is that number (`builder.Builder.size`).
"""

import numpy as np

from .errors import OnnxExporterError
from .tracing import Value


class Size:
    """A number that depends on the inputs' sizes: what it was in each trace."""

    __slots__ = ("seen",)

    def __init__(self, seen):
        self.seen = tuple(seen)

    def __eq__(self, other):
        return isinstance(other, Size) and other.seen == self.seen

    def __hash__(self):
        return hash(self.seen)

    def __repr__(self):
        return f"Size{self.seen}"


class Different(Exception):
    """The traces take different ways."""


def number(seen):
    """One number for what it was in each trace."""
    return seen[0] if all(x == seen[0] for x in seen) else Size(seen)


class Unified:
    """The common trace: steps with common arguments, the values' common dimensions by number, inputs, outputs.

    same: numbers of constants that hold the same elements in every trace; tensors: value number -> the tensors of the
    traces.
    """

    def __init__(self, traces):
        first = traces[0]
        self.traces = traces
        if any(len(t.steps) != len(first.steps) for t in traces):
            k = next((k for k, steps in enumerate(zip(*[t.steps for t in traces]))
                      if any(s.key != steps[0].key for s in steps)), min(len(t.steps) for t in traces) - 1)
            raise Different(f"at step {k}, {first.steps[min(k, len(first.steps) - 1)].key}")
        self.steps = []
        for steps in zip(*[t.steps for t in traces]):
            if any(s.key != steps[0].key for s in steps):
                other = next(s.key for s in steps if s.key != steps[0].key)
                raise Different(f"one does {steps[0].key}, another {other}")
            try:
                args = [self._common(xs) for xs in zip(*[s.args for s in steps], strict=True)]
                for outs in zip(*[s.outs for s in steps], strict=True):
                    self._common(outs)
            except (Different, ValueError) as why:
                raise Different(f"in {steps[0].key}: {why}") from None
            self.steps.append((steps[0], args))
        self.values = first.values
        self.dims = []
        self.same = set()
        if any(len(t.values) != len(first.values) for t in traces):
            raise Different("they make different numbers of tensors")
        for values in zip(*[t.values for t in traces]):
            v = values[0]
            if any(x.dtype is not v.dtype or len(x.shape) != len(v.shape) or x.origin != v.origin for x in values):
                raise Different(f"a tensor has {len(v.shape)} dimensions in one and "
                                f"{max(len(x.shape) for x in values)} in another")
            self.dims.append(tuple([number(sizes) for sizes in zip(*[x.shape for x in values])]))
            if v.origin == "parameter" or v.origin == "constant" and all(
                    _same(x.tensor, v.tensor) for x in values[1:]):
                self.same.add(v.number)
        self.inputs = first.inputs
        self.outputs = [self._common(outs) for outs in zip(*[t.outputs for t in traces])]
        self.structure = first.structure

    def tensors(self, v):
        """What a value was in each trace."""
        return [t.values[v.number].tensor for t in self.traces]

    def _common(self, xs):
        first = xs[0]
        if isinstance(first, Value):
            if not all(isinstance(x, Value) and x.number == first.number for x in xs):
                raise Different("it takes different tensors")
            return first
        if type(first) is list:
            if any(type(x) is not list or len(x) != len(first) for x in xs):
                raise Different("it takes lists of different lengths")
            return [self._common(ys) for ys in zip(*xs)]
        if type(first) is int:
            if any(type(x) is not int for x in xs):
                raise Different("it takes arguments of different types")
            return number(xs)
        if type(first) is float and all(type(x) is float for x in xs):
            return number(xs) if all(x == x for x in xs) else first
        for x in xs[1:]:
            if x is not first and not (type(x) is type(first) and (x == first or x != x and first != first)):
                raise Different(f"an argument is {first!r} in one and {x!r} in another")
        return first


def _same(a, b):
    return a._a.shape == b._a.shape and bool(np.array_equal(_bits(a), _bits(b)))


def _bits(t):
    a = np.ascontiguousarray(t.detach()._a)
    return a.reshape(-1).view(np.uint8)


def explain(why, labels):
    """The error for traces that differ."""
    return OnnxExporterError(
        f"the model takes different ways for different sizes of {', '.join(labels) or 'its inputs'}: {why}. Make these "
        "dimensions static, or write the model so that sizes don't decide what it does.")
