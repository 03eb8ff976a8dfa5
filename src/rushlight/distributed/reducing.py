"""`ReduceOp`, and the arithmetic of reductions."""

import rushlight as torch


class RedOpType:
    """One kind of reduction."""

    __slots__ = ("name", "value")
    __members__ = {}

    def __init__(self, name, value):
        self.name, self.value = name, value

    def __repr__(self):
        return f"<RedOpType.{self.name}: {self.value}>"

    def __str__(self):
        return f"RedOpType.{self.name}"

    def __int__(self):
        return self.value

    __index__ = __int__

    def __eq__(self, other):
        other = getattr(other, "op", other)
        return isinstance(other, RedOpType) and self.value == other.value

    def __hash__(self):
        return hash(self.value)

    def __reduce__(self):
        return _member, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


def _member(name):
    return RedOpType.__members__[name]


class ReduceOp:
    """What a reduction does with the numbers of all ranks, always in the order of ranks.

    SUM, AVG (the sum over the number of ranks), PRODUCT, MIN, MAX; BAND, BOR, BXOR, bit by bit, of integers and bools;
    PREMUL_SUM, the sum of numbers multiplied by a factor first (see `_make_nccl_premul_sum`).
    """

    RedOpType = RedOpType

    def __init__(self, op, factor=None):
        if not isinstance(op, RedOpType):
            raise TypeError(f"ReduceOp(): expected a ReduceOp.RedOpType, got {op!r}")
        self.op, self.factor = op, factor

    def __eq__(self, other):
        return self.op == other

    def __hash__(self):
        return hash(self.op)

    def __reduce__(self):
        return ReduceOp, (self.op, self.factor)


for _value, _name in enumerate("SUM AVG PRODUCT MIN MAX BAND BOR BXOR PREMUL_SUM".split()):
    RedOpType.__members__[_name] = _kind = RedOpType(_name, _value)
    setattr(ReduceOp, _name, _kind)
    setattr(RedOpType, _name, _kind)
del _value, _name, _kind
ReduceOp.__module__ = RedOpType.__module__ = "torch.distributed.distributed_c10d"


class _DeprecatedReduceOp:
    """The old name of `ReduceOp`."""

    def __getattr__(self, name):
        import warnings
        if name not in RedOpType.__members__:
            raise AttributeError(name)
        warnings.warn("`torch.distributed.reduce_op` is deprecated, please use `torch.distributed.ReduceOp` instead",
                      FutureWarning, stacklevel=2)
        return RedOpType.__members__[name]


reduce_op = _DeprecatedReduceOp()


def premul_sum(factor):
    """The reduction that sums numbers multiplied by `factor` (a number, or a tensor of one)."""
    return ReduceOp(ReduceOp.PREMUL_SUM, factor)


def supports_complex(reduceOp):
    """Whether a reduction is defined for complex numbers."""
    return getattr(reduceOp, "op", reduceOp) in (ReduceOp.SUM, ReduceOp.AVG, ReduceOp.PREMUL_SUM)


def kind_of(op):
    """The `RedOpType` of a reduction; TypeError for anything else."""
    op = getattr(op, "op", op)
    if not isinstance(op, RedOpType):
        raise TypeError(f"incompatible function arguments: expected a torch.distributed.ReduceOp, got {op!r}")
    return op


_NAMES = {"SUM": "add", "AVG": "add", "PREMUL_SUM": "add", "PRODUCT": "mul", "MIN": "minimum", "MAX": "maximum",
          "BAND": "bitwise_and", "BOR": "bitwise_or", "BXOR": "bitwise_xor"}


class Reduction:
    """The arithmetic of one reduction for one dtype.

    RuntimeError where the reduction is not defined for the dtype.
    """

    def __init__(self, op, dtype, ranks):
        self.kind = kind_of(op)
        name = self.kind.name
        if name in ("BAND", "BOR", "BXOR") and (dtype.is_floating_point or dtype.is_complex):
            raise RuntimeError(f"Cannot use ReduceOp.{name} with non-integral dtype")
        if dtype.is_complex and not supports_complex(self.kind):
            raise ValueError(f"all_reduce does not support ReduceOp.{name} on complex tensors")
        if name == "AVG" and not (dtype.is_floating_point or dtype.is_complex):
            raise RuntimeError(f"ReduceOp.AVG: result type Float can't be cast to the tensors' type {dtype}")
        self._combine = getattr(torch, _NAMES[name])
        self._ranks = ranks
        self._dtype = dtype
        self._factor = op.factor if name == "PREMUL_SUM" and isinstance(op, ReduceOp) else None
        if name == "PREMUL_SUM" and self._factor is None:
            raise RuntimeError("ReduceOp.PREMUL_SUM needs a factor: make it with _make_nccl_premul_sum(factor)")
        # 8-bit floats have no arithmetic of their own: compute wider, round once.
        self._wide = torch.float32 if dtype.is_floating_point and dtype.itemsize == 1 else None

    def prepare(self, tensor):
        """What of this rank goes into the sum: `tensor`, or a multiple of it."""
        return tensor if self._factor is None else (tensor * self._factor).to(self._dtype)

    def combine(self, tensors, out):
        """All `tensors`, one a rank, in their order, into `out`, which may be one of them."""
        if self._wide is not None:
            total = tensors[0].to(self._wide)
            for t in tensors[1:]:
                total = self._combine(total, t.to(self._wide))
            if self.kind.name == "AVG":
                total = total / self._ranks
            out.copy_(total)
            return
        total = tensors[0]
        for i, t in enumerate(tensors[1:], 2):
            # `out` may hold a number that is needed yet.
            safe = i == len(tensors) or not any(t is out for t in tensors[i:])
            if safe:
                total = self._combine(total, t, out=out)
            else:
                total = self._combine(total, t)
        if len(tensors) == 1 and total is not out:
            out.copy_(total)
        if self.kind.name == "AVG":
            out.div_(self._ranks)
