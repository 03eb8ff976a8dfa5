"""Random shapes and tensors for benchmarks."""

import functools
import itertools
import math

import numpy as np

import rushlight as torch

_TRIES = 1000


class ParameterAlias:
    """In a distribution: the value of another parameter."""

    def __init__(self, alias_to):
        self.alias_to = alias_to

    def __repr__(self):
        return f"ParameterAlias[alias_to: {self.alias_to}]"


class FuzzedParameter:
    """A number, or a choice, that is drawn.

    Args:
        name (str): its name.
        minval, maxval: bounds, inclusive; integers give integers.
        distribution: ``"uniform"``, ``"loguniform"``, or ``{choice: probability}``, where a choice may be a
            `ParameterAlias`.
        strict (bool): ValueError where probabilities don't add up to 1; else they are scaled.
    """

    def __init__(self, name, minval=None, maxval=None, distribution=None, strict=False):
        self._name, self._minval, self._maxval = name, minval, maxval
        if isinstance(distribution, dict):
            total = sum(distribution.values())
            if strict and not math.isclose(total, 1) or total <= 0:
                raise ValueError(f"{name}: the probabilities add up to {total}, not to 1")
            distribution = {k: p / total for k, p in distribution.items()}
        elif distribution not in ("uniform", "loguniform"):
            raise ValueError(f"Unknown distribution: {distribution}")
        elif minval is None or maxval is None or minval > maxval:
            raise ValueError(f"{name}: a {distribution} distribution needs minval <= maxval")
        self._distribution = distribution

    @property
    def name(self):
        """Its name."""
        return self._name

    def sample(self, state):
        """A value, drawn with a ``numpy.random.RandomState``."""
        d, low, high = self._distribution, self._minval, self._maxval
        if isinstance(d, dict):
            return list(d)[state.choice(len(d), p=list(d.values()))]
        whole = isinstance(low, int) and isinstance(high, int)
        if d == "uniform":
            return int(state.randint(low, high + 1)) if whole else float(state.uniform(low, high))
        value = float(np.exp(state.uniform(np.log(low), np.log(high))))
        return min(max(round(value), low), high) if whole else value


class FuzzedTensor:
    """A tensor whose shape depends on parameters.

    Args:
        name (str): its name.
        size: a tuple of numbers and names of parameters.
        steps: a tuple of the same length: the tensor is a slice with these steps of a larger one.
        probability_contiguous (float): how probable it is that memory is in the order of dimensions (before steps).
        min_elements, max_elements, max_allocation_bytes (int): bounds; parameters are drawn again outside of them.
        dim_parameter (str): the parameter that says how many of the dimensions are used.
        roll_parameter (str): the parameter by which dimensions are rotated.
        dtype: type of the elements.
        cuda (bool): RuntimeError, there is no such device here.
        tensor_constructor: ``f(size=, dtype=, **params)``; default: normal numbers, or integers from 0 to 127.
    """

    def __init__(self, name, size, steps=None, probability_contiguous=0.5, min_elements=None, max_elements=None,
                 max_allocation_bytes=None, dim_parameter=None, roll_parameter=None, dtype=torch.float32, cuda=False,
                 tensor_constructor=None):
        if cuda:
            raise RuntimeError("FuzzedTensor: there is no CUDA device")
        self._name, self._size = name, size
        self._steps = (1,) * len(size) if steps is None else steps
        if len(self._steps) != len(size):
            raise ValueError(f"{name}: {len(size)} sizes, {len(self._steps)} steps")
        self._probability_contiguous = probability_contiguous
        self._min_elements, self._max_elements = min_elements, max_elements
        self._max_allocation_bytes = max_allocation_bytes
        self._dim_parameter, self._roll_parameter, self._dtype = dim_parameter, roll_parameter, dtype
        self._constructor = tensor_constructor or self.default_tensor_constructor

    @property
    def name(self):
        """Its name."""
        return self._name

    @staticmethod
    def default_tensor_constructor(size, dtype, **kwargs):
        """Normal numbers; integers from 0 to 127."""
        if dtype.is_floating_point or dtype.is_complex:
            return torch.rand(size=size, dtype=dtype)
        return torch.randint(0, 2 if dtype is torch.bool else 127, size=size, dtype=torch.int64).to(dtype)

    def _geometry(self, params):
        """(sizes, steps, sizes of what is allocated) under the parameters."""
        dim = params[self._dim_parameter] if self._dim_parameter else len(self._size)
        size = tuple(params.get(s, s) if isinstance(s, str) else s for s in self._size)[:dim]
        steps = tuple(params.get(s, s) if isinstance(s, str) else s for s in self._steps)[:dim]
        if self._roll_parameter:
            r = params[self._roll_parameter]
            size, steps = (x[r:] + x[:r] for x in (size, steps))
        return size, steps, tuple(n * s for n, s in zip(size, steps))

    def satisfies_constraints(self, params):
        """Whether the size is within the bounds."""
        size, _, allocated = self._geometry(params)
        n = math.prod(size)
        return not (self._max_elements and n > self._max_elements or self._min_elements and n < self._min_elements
                    or self._max_allocation_bytes and
                    math.prod(allocated) * self._dtype.itemsize > self._max_allocation_bytes)

    def _make_tensor(self, params, state):
        size, steps, allocated = self._geometry(params)
        t = self._constructor(size=allocated, dtype=self._dtype, **params)
        contiguous = state.rand() <= self._probability_contiguous
        order = np.arange(len(size)) if contiguous else state.permutation(len(size))
        if not contiguous:
            t = t.permute(tuple(int(i) for i in order)).contiguous()
            t = t.permute(tuple(int(i) for i in np.argsort(order)))
        t = t[tuple(slice(0, n * s, s) for n, s in zip(size, steps))]
        return t, {"numel": t.numel(), "order": order, "steps": steps, "is_contiguous": t.is_contiguous(),
                   "dtype": str(self._dtype)}


class FuzzedSparseTensor(FuzzedTensor):
    """A tensor of coordinates and values whose shape and density depend on parameters.

    Args:
        name, size, min_elements, max_elements, dim_parameter, dtype, cuda: as for `FuzzedTensor`.
        sparse_dim (str): the parameter that says how many dimensions have coordinates.
        nnz (str): the parameter with the number of coordinates; default by density.
        density (str): the parameter with the part of the coordinates there are.
        coalesced (str): the parameter that says whether coordinates come once.
    """

    def __init__(self, name, size, min_elements=None, max_elements=None, dim_parameter=None, sparse_dim=None, nnz=None,
                 density=None, coalesced=None, dtype=torch.float32, cuda=False):
        super().__init__(name, size, min_elements=min_elements, max_elements=max_elements, dim_parameter=dim_parameter,
                         dtype=dtype, cuda=cuda)
        self._sparse_dim, self._nnz, self._density, self._coalesced = sparse_dim, nnz, density, coalesced

    @staticmethod
    def sparse_tensor_constructor(size, dtype, sparse_dim, nnz, is_coalesced):
        """`nnz` random values at random coordinates of the first `sparse_dim` dimensions."""
        values = FuzzedTensor.default_tensor_constructor(size=(nnz, *size[sparse_dim:]), dtype=dtype)
        extent = torch.tensor(size[:sparse_dim], dtype=torch.float64).unsqueeze(1)
        indices = (torch.rand(sparse_dim, nnz, dtype=torch.float64) * extent).to(torch.int64)
        t = torch.sparse_coo_tensor(indices, values, size)
        return t.coalesce() if is_coalesced else t

    def _make_tensor(self, params, state):
        size, _, _ = self._geometry(params)
        sparse_dim = min(params[self._sparse_dim] if self._sparse_dim else len(size), len(size))
        whole = math.prod(size[:sparse_dim])
        density = params[self._density] if self._density else 0.1
        nnz = params[self._nnz] if self._nnz else math.ceil(whole * density)
        coalesced = params[self._coalesced] if self._coalesced else True
        t = self.sparse_tensor_constructor(size, self._dtype, sparse_dim, nnz, coalesced)
        return t, {"numel": t.numel(), "shape": t.size(), "is_coalesced": t.is_coalesced(), "density": density,
                   "sparsity": 1 - density, "sparse_dim": t.sparse_dim(), "dense_dim": t.dense_dim(),
                   "dtype": str(self._dtype)}


def _flat(items):
    return list(itertools.chain.from_iterable(x if isinstance(x, (list, tuple)) else (x,) for x in items))


class Fuzzer:
    """Draws parameters, and tensors by them.

    Args:
        parameters: a list of `FuzzedParameter` (lists among them are joined).
        tensors: a list of `FuzzedTensor`.
        constraints: functions of the parameters, as keywords; where one gives False they are drawn again.
        seed (int): of the draws, and of ``torch.manual_seed`` for each set of tensors.
    """

    def __init__(self, parameters, tensors, constraints=None, seed=None):
        self._seed = int(np.random.RandomState().randint(0, 2**32 - 1, dtype=np.int64)) if seed is None else seed
        self._parameters, self._tensors = _flat(parameters), _flat(tensors)
        self._constraints = constraints or ()
        names = [x.name for x in (*self._parameters, *self._tensors)]
        if len(set(names)) < len(names):
            raise ValueError(f"Duplicate name: {sorted({n for n in names if names.count(n) > 1})}")
        self._rejections = self._generated = 0

    @property
    def rejection_rate(self):
        """Which part of the draws was outside of the constraints; None before the first."""
        return self._rejections / self._generated if self._generated else None

    def take(self, n):
        """`n` times (tensors by name, facts about them by name, parameters by name)."""
        state = np.random.RandomState(self._seed)
        torch.manual_seed(state.randint(0, 2**31 - 1))
        for _ in range(n):
            params = self._drawn(state)
            made = {t.name: t._make_tensor(params, state) for t in self._tensors}
            yield {k: t for k, (t, _) in made.items()}, {k: facts for k, (_, facts) in made.items()}, params

    def _drawn(self, state):
        for _ in range(_TRIES):
            params = {p.name: p.sample(state) for p in self._parameters}
            params = {k: functools.reduce(lambda v, _: params[v.alias_to] if isinstance(v, ParameterAlias) else v,
                                          params, v) for k, v in params.items()}
            self._generated += 1
            if all(f(**params) for f in self._constraints) and \
                    all(t.satisfies_constraints(params) for t in self._tensors):
                return params
            self._rejections += 1
        raise ValueError("Failed to generate a set of valid parameters.")
