"""Parameters in shares: gathered when a module runs, gradients reduced to shares.

A parameter is cut along dimension 0 into equal parts, the last of which may be shorter or empty. All parameters of a
group travel together. While forward runs, what autograd saves of a gathered parameter is replaced by a note; backward
gathers again when it reads the first note, so that whole parameters live only while their module runs.
"""

import rushlight as torch
from rushlight.autograd import Function
from rushlight.autograd.graph import saved_tensors_hooks
from rushlight.distributed.reducing import ReduceOp
from rushlight.nn import Parameter


class ShardedParameter(Parameter):
    """This process's part of a parameter. Its `shape` is the part's; `full_shape` that of the whole."""

    _plain_subclass = True

    def full_tensor(self):
        """The whole parameter. All processes call this together."""
        group = self._shards
        return group.whole([self])[0]

    @staticmethod
    def norm_of_gradients(parameters, norm_type):
        """What `clip_grad_norm_` takes as the norm: that over all processes."""
        return total_norm(parameters, norm_type)

    def to_local(self):
        """The part, as a plain tensor."""
        return self.detach()


class _Note:
    """Stands for a view of a gathered parameter that autograd saved."""

    __slots__ = ("group", "index", "size", "stride", "offset")

    def __init__(self, group, index, t):
        self.group, self.index = group, index
        self.size, self.stride, self.offset = tuple(t.shape), t.stride(), t.storage_offset()


class ShardGroup:
    """Parameters that are gathered together.

    Args:
        owners: {parameter: [(module, name), ...]}.
        group: the `ProcessGroup` that shares them.
        param_dtype, reduce_dtype: of whole parameters, of gradients on their way.
        keep: leave them whole from forward to backward.
    """

    def __init__(self, owners, group, param_dtype=None, reduce_dtype=None, keep=False):
        self.group, self.keep = group, keep
        self.param_dtype, self.reduce_dtype = param_dtype, reduce_dtype
        self.sync, self.divisor = True, group.size()
        self.shards, self.places, self.shapes = [], [], []
        n, rank = group.size(), group.rank()
        for p, places in owners.items():
            if not p.ndim:
                raise ValueError(f"fully_shard doesn't support scalar parameters. Change {places[0][1]} to a 1D tensor "
                                 f"with numel equal to 1.")
            rows = -(-p.shape[0] // n)
            part = p.detach()[rank * rows:(rank + 1) * rows].clone(memory_format=torch.contiguous_format)
            shard = ShardedParameter(part, p.requires_grad)
            shard.full_shape, shard._shards = torch.Size(p.shape), self
            self.shards.append(shard)
            self.places.append(places)
            self.shapes.append(torch.Size(p.shape))
        self._place(self.shards)
        self._fulls = {}                # address of a gathered parameter's storage -> index, while forward runs
        self._again = None              # gathered for backward
        self._unreduced = None          # whole gradients that wait for a pass with synchronization

    def _place(self, tensors):
        """Let the modules' parameters be `tensors`."""
        for t, places in zip(tensors, self.places):
            for module, name in places:
                module._parameters[name] = t

    def _widths(self, shapes):
        """Elements of each parameter's part, with what is filled up."""
        n = self.group.size()
        return [-(-shape[0] // n) * shape[1:].numel() for shape in shapes]

    def whole(self, shards, dtype=None):
        """The whole tensors of `shards`, new, from all processes."""
        shapes = [s.full_shape for s in shards]
        n, widths = self.group.size(), self._widths(shapes)
        with torch.no_grad():
            mine = torch.zeros(sum(widths), dtype=dtype or shards[0].dtype)
            for s, part in zip(shards, mine.split(widths)):
                part[:s.numel()].copy_(s.detach().reshape(-1))
            rows = torch.empty(n, mine.numel(), dtype=mine.dtype)
            self.group.all_gather_single(rows, mine, async_op=False)
            return [block.reshape(-1)[:shape.numel()].view(shape).clone() for block, shape
                    in zip(rows.split(widths, 1), shapes)]

    def gather(self):
        """All whole parameters."""
        by_dtype = {}
        for i, s in enumerate(self.shards):
            by_dtype.setdefault(s.dtype, []).append(i)
        found = [None] * len(self.shards)
        for indices in by_dtype.values():
            fulls = self.whole([self.shards[i] for i in indices], self.param_dtype)
            for i, full in zip(indices, fulls):
                found[i] = full
        return found

    def reduce(self, grads):
        """This process's parts of the mean over all processes of whole gradients (None: zero)."""
        if self._unreduced is not None:
            grads = [a if b is None else b if a is None else a + b for a, b in zip(grads, self._unreduced)]
            self._unreduced = None
        if not self.sync:
            self._unreduced = grads
            return [None] * len(grads)
        n, out = self.group.size(), [None] * len(grads)
        by_dtype = {}
        for i, s in enumerate(self.shards):
            if s.requires_grad:
                by_dtype.setdefault(s.dtype, []).append(i)
        with torch.no_grad():
            for dtype, indices in by_dtype.items():
                shapes = [self.shapes[i] for i in indices]
                widths = self._widths(shapes)
                travel = self.reduce_dtype or self.param_dtype or dtype
                rows = torch.zeros(n, sum(widths), dtype=travel)
                for i, block, shape in zip(indices, rows.split(widths, 1), shapes):
                    if grads[i] is not None:
                        flat = torch.zeros(block.numel(), dtype=travel)
                        torch.mul(grads[i].reshape(-1).to(travel), 1 / self.divisor, out=flat[:shape.numel()])
                        block.copy_(flat.view(block.shape))
                mine = torch.empty(sum(widths), dtype=travel)
                self.group.reduce_scatter_single(mine, rows, ReduceOp.SUM, async_op=False)
                for i, part in zip(indices, mine.split(widths)):
                    s = self.shards[i]
                    out[i] = part[:s.numel()].view(s.shape).to(dtype)
        return out

    # ------------------------------------------------------------ around forward

    def enter(self):
        """Gather, and put the whole parameters into the modules; returns what `leave` needs."""
        fulls = _Gather.apply(self, *self.shards)
        self._place(fulls)
        hooks = None
        if not self.keep and torch.is_grad_enabled():
            self._fulls = {f._storage.block(): i for i, f in enumerate(fulls)}
            hooks = saved_tensors_hooks(self._pack, _unpack)
            hooks.__enter__()
        return hooks

    def leave(self, hooks):
        """Put the shares back."""
        if hooks is not None:
            hooks.__exit__(None, None, None)
        self._fulls = {}
        self._place(self.shards)

    def _pack(self, t):
        if t._bits or not hasattr(t._storage, "block"):
            return t
        index = self._fulls.get(t._storage.block())
        return t if index is None else _Note(self, index, t)

    def for_backward(self, index):
        """A whole parameter, gathered again by the first who asks."""
        if self._again is None:
            self._again = self.gather()
        return self._again[index]

    def backward_done(self):
        """All gradients of the whole parameters are known."""
        self._again = None


def _unpack(saved):
    if type(saved) is _Note:
        return saved.group.for_backward(saved.index).as_strided(saved.size, saved.stride, saved.offset)
    return saved


class _Gather(Function):
    """Shares to whole parameters; backward: whole gradients to shares of their mean."""

    @staticmethod
    def forward(ctx, shards, *parameters):
        ctx.shards = shards
        ctx.set_materialize_grads(False)
        return tuple(shards.gather())

    @staticmethod
    def backward(ctx, *grads):
        ctx.shards.backward_done()
        return None, *ctx.shards.reduce(list(grads))


def total_norm(parameters, norm_type=2.0):
    """The norm of all gradients of sharded parameters, over all processes."""
    parameters = [p for p in parameters if p.grad is not None]
    groups = {p._shards.group: None for p in parameters if isinstance(p, ShardedParameter)}
    local = torch.nn.utils.get_total_norm([p.grad for p in parameters if isinstance(p, ShardedParameter)], norm_type)
    rest = [p.grad for p in parameters if not isinstance(p, ShardedParameter)]
    norm_type = float(norm_type)
    for group in groups:
        if norm_type == float("inf"):
            group.allreduce([local], ReduceOp.MAX).wait()
        else:
            power = local ** norm_type
            group.allreduce([power], ReduceOp.SUM).wait()
            local = power ** (1 / norm_type)
    return torch.nn.utils.get_total_norm([local, *rest], norm_type) if rest else local
