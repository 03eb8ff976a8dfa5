"""All parameters as one vector, for L-BFGS: its gradient, the directions that the last changes imply, moves.

``Vectors`` does it with tensor operations, for whatever parameters there are; ``NativeVectors`` in one native call for
each of the three, where all parameters and gradients are plain arrays of one dtype (see
``compiler/templates/quasi_newton``).
"""

import numpy as np

import rushlight as torch
from rushlight.autograd.modes import state as modes
from rushlight.optim import phased

TILE = 1 << 13          # numbers of a tile


def vectors_of(optimizer, params, state, size):
    """What serves these parameters; ``state`` is the optimizer's, ``size`` the number of changes remembered."""
    found = NativeVectors(optimizer, params, state, size) if _are_plain(params) and size > 0 else None
    return found if found is not None and found.fits() else Vectors(params, state, size)


def _are_plain(params):
    native, told = phased.listening()
    return native and not told and not modes.special and all(
        p.dtype is params[0].dtype and phased.is_plain(p, p) for p in params)


class Vectors:
    """The last changes of gradient (y) and parameters (s), and the inverse Hessian they imply."""

    def __init__(self, params, state, size):
        self.params, self.state, self.size = params, state, size
        self.d = state.get("d")
        self.y = state.get("old_dirs")
        self.s = state.get("old_stps")
        self.ro = state.get("ro")
        self.scale = state.get("H_diag")
        self.before = state.get("prev_flat_grad")

    def gather(self, other=None):
        """(all gradients as one vector, its largest magnitude, sum of magnitudes, product with ``other``)."""
        flat = self._flat_grad()
        magnitude = flat.abs()
        slope = None if other is None else flat.dot(other).item()
        return flat, magnitude.max().item(), magnitude.sum().item(), slope

    def direction(self, grad, t, first, move=None, least=None):
        """(d, its slope, its largest element): -H grad, after what a step of t along the last direction changed.

        With ``move``, parameters go so far along d, unless its slope is above ``least``.
        """
        if first:
            self.d = grad.neg()
            self.y, self.s, self.ro, self.scale = [], [], [], 1
        else:
            self._remember(grad.sub(self.before), self.d.mul(t))
            self.d = self._two_loops(grad)
        self.before = grad
        slope = grad.dot(self.d).item()
        if move is not None and not slope > least:
            self.move(move, self.d)
        return self.d, slope, self.d.abs().max().item()

    def here(self):
        """The parameters, to start from."""
        return [p.clone(memory_format=torch.contiguous_format) for p in self.params]

    def move(self, distance, direction, start=None):
        """p <- p + distance * direction, or from ``start``."""
        offset = 0
        for k, p in enumerate(self.params):
            if start is not None:
                p.copy_(start[k])
            if p.is_complex():
                p = torch.view_as_real(p)
            count = p.numel()
            p.add_(direction[offset : offset + count].view_as(p), alpha=distance)
            offset += count

    def save(self, t):
        """Keep what the next step needs."""
        self.state.update(d=self.d, t=t, old_dirs=self.y, old_stps=self.s, ro=self.ro, H_diag=self.scale,
                          prev_flat_grad=self.before)

    def _flat_grad(self):
        """Complex gradients come as pairs."""
        parts = []
        for p in self.params:
            grad = p.grad
            if grad is None:
                grad = torch.zeros_like(p)
            elif grad.is_sparse:
                grad = grad.to_dense()
            if grad.is_complex():
                grad = torch.view_as_real(grad)
            parts.append(grad.reshape(-1))
        return torch.cat(parts, 0)

    def _remember(self, y, s):
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(self.y) == self.size:
                del self.y[0], self.s[0], self.ro[0]
            self.y.append(y)
            self.s.append(s)
            self.ro.append(1.0 / curvature)
            self.scale = curvature / y.dot(y)

    def _two_loops(self, grad):
        if "al" not in self.state:
            self.state["al"] = [None] * self.size
        al = self.state["al"]
        q = grad.neg()
        for i in reversed(range(len(self.y))):
            al[i] = self.s[i].dot(q) * self.ro[i]
            q.add_(self.y[i], alpha=-al[i].item())
        d = torch.mul(q, self.scale)
        for i in range(len(self.y)):
            beta = self.y[i].dot(d) * self.ro[i]
            d.add_(self.s[i], alpha=(al[i] - beta).item())
        return d


class NativeVectors(Vectors):
    """The same for plain parameters."""

    def __init__(self, optimizer, params, state, size):
        super().__init__(params, state, size)
        self.dtype = params[0].dtype
        self.job = phased.plan_for(optimizer, optimizer.param_groups[0], ("lbfgs", size), [p._a for p in params],
                                   lambda: _Job([p._a for p in params], size))
        self.spare = None           # y and s that were not remembered
        self.weights = False        # whether there are new weights of the first loop

    def fits(self):
        """Whether what the state holds can be worked with; tells the job of it."""
        past = [*(self.y or ()), *(self.s or ()), *[x for x in (self.d, self.before) if x is not None]]
        if any(not isinstance(x, torch.Tensor) or x.dtype is not self.dtype or not phased.is_plain(x, x) or
               x._a.shape != (self.job.n,) for x in past) or len(self.y or ()) > self.size:
            return False
        self.job.remember(self.y or (), self.s or (), [float(x) for x in self.ro or ()])
        return True

    def _vector(self):
        return torch.empty(self.job.n, dtype=self.dtype)

    def gather(self, other=None):
        job, grads = self.job, []
        for k, p in enumerate(self.params):
            g = p.grad
            if g is not None and not phased.is_plain(p, g):
                return super().gather(other)
            grads.append(job.zeros(k) if g is None else g._a)
        flat = self._vector()
        job.set(flat=flat, other=other, source=1)
        if not job.gather(grads):
            return super().gather(other)
        return flat, job.number("largest"), job.number("total"), None if other is None else job.number("slope")

    def here(self):
        flat = self._vector()
        self.job.set(flat=flat, other=None, source=0)
        self.job.gather_parameters()
        return flat

    def direction(self, grad, t, first, move=None, least=None):
        job = self.job
        if first:
            self.y, self.s, self.ro, self.scale = [], [], [], 1
            job.remember((), (), ())
        elif "al" not in self.state:
            self.state["al"] = [None] * self.size
        if self.d is None:
            self.d = self._vector()
        y, s = (None, None) if first else self.spare or (self._vector(), self._vector())
        job.set(gradient=grad, before=self.before, old=self.d, y=y, s=s, d=self.d, first=int(first), start=None, go=1)
        job.set_numbers(t=0.0 if first else t, scale=float(self.scale),
                        least=float("inf") if least is None else least)
        job.direction()
        if job.count("accepted"):
            if len(self.y) == self.size:
                del self.y[0], self.s[0], self.ro[0]
            self.y.append(y)
            self.s.append(s)
            self.ro.append(torch.tensor(job.ro[len(self.y) - 1], dtype=self.dtype))
            self.scale = torch.tensor(job.number("scale"), dtype=self.dtype)
            self.spare = None
        else:
            self.spare = None if first else (y, s)
        self.weights = self.weights or not first
        self.before = grad
        slope, reach = job.number("slope"), job.number("reach")
        if move is not None and job.count("go"):
            self.move(move, self.d)
        return self.d, slope, reach

    def move(self, distance, direction, start=None):
        job = self.job
        job.set(d=direction, start=start, go=1)
        job.set_numbers(t=distance)
        job.move()
        for p in self.params:
            p._storage.version += 1

    def save(self, t):
        super().save(t)
        if self.weights:
            al = self.state["al"]
            for i in range(len(self.y)):
                al[i] = torch.tensor(self.job.al[i], dtype=self.dtype)


class _Job:
    """The native calls' memory: a context, the parameters' tiles, the addresses of what is remembered."""

    def __init__(self, arrays, size):
        from rushlight.compiler.templates import phases, quasi_newton

        t = quasi_newton
        tasks, dtype = t.tasks(arrays[0].dtype.name), arrays[0].dtype
        self.index, self.n = t.INDEX, sum(a.size for a in arrays)
        self.words = np.zeros(len(t.WORDS), np.int64)
        self.numbers = self.words.view(np.float64)
        self.ys, self.ss = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.ro, self.al = np.zeros(size), np.zeros(size)
        parts = np.array([(a.ctypes.data, 0) for a in arrays], np.int64)
        ends = np.cumsum([0, *[a.size for a in arrays]])
        tiles = np.array([(parts.ctypes.data + 8 * t.PART_WORDS * k, at, min(TILE, a.size - at), ends[k] + at, 0, 0, 0)
                          for k, a in enumerate(arrays) for at in range(0, a.size, TILE)], np.int64)
        chunks = -(-self.n // t.CHUNK)
        partials = np.zeros((chunks, t.CHUNK_WORDS))
        self.kept, self.empty = (arrays, parts, tiles, partials), {}
        for name, value in dict(n=self.n, chunks=chunks, tiles=len(tiles), tile_table=tiles.ctypes.data,
                                partials=partials.ctypes.data, ys=self.ys.ctypes.data, ss=self.ss.ctypes.data,
                                ro=self.ro.ctypes.data, al=self.al.ctypes.data, limit=size).items():
            self.words[self.index[name]] = value
        self.call, context = phases.runner(), self.words.ctypes.data
        gather = [(tasks["gather"], context, len(tiles), self.n), (tasks["sums"], context, 1, 0)]
        slots = [(parts.ctypes.data + 8 * (t.PART_WORDS * k + t.G), a.size) for k, a in enumerate(arrays)]
        self.plans = [phases.plan_of(slots, gather), phases.plan_of([], gather),
                      phases.plan_of([], [(tasks["direction"], context, 1, self.n)]),
                      phases.plan_of([], [(tasks["move"], context, len(tiles), self.n)])]
        self.itemsize = dtype.itemsize

    def zeros(self, k):
        """The gradient of parameter k where it has none."""
        if k not in self.empty:
            self.empty[k] = np.zeros_like(self.kept[0][k])
        return self.empty[k]

    def set(self, **values):
        """Tell of vectors (None: null) and counts."""
        for name, x in values.items():
            self.words[self.index[name]] = x if type(x) is int else 0 if x is None else x._a.ctypes.data

    def set_numbers(self, **values):
        for name, x in values.items():
            self.numbers[self.index[name]] = x

    def number(self, name):
        return self.numbers[self.index[name]].item()

    def count(self, name):
        return self.words[self.index[name]].item()

    def remember(self, ys, ss, ro):
        """What is remembered before the next direction."""
        self.words[self.index["count"]] = len(ys)
        self.ys[: len(ys)] = [y._a.ctypes.data for y in ys]
        self.ss[: len(ss)] = [s._a.ctypes.data for s in ss]
        self.ro[: len(ro)] = ro

    def gather(self, grads):
        return self.call(self.plans[0], grads)

    def gather_parameters(self):
        self.call(self.plans[1], [])

    def direction(self):
        self.call(self.plans[2], [])

    def move(self):
        self.call(self.plans[3], [])
