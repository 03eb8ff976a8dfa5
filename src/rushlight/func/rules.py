"""Batching rules: what primitives do with a batch in front, by class.

A rule is ``rule(level, rec, inner, batched) -> result(s)``: `inner` are the call's arguments with the tensors
underneath, `batched` says which of them have the batch as their first dimension; results have it, too. NotImplemented
leaves the call to the loop over samples.
"""

from ..dtypes import result_type_of
from ..ops import registry
from ..ops.registry import function
from ..record import RECORDS
from ..tensor.tensor import Tensor
from .batched import decomposed, front
from .wrapped import invoke

registry.load()             # all records are there
RULES = {}


def rule_for(rec):
    """The rule of a record, or None."""
    key = rec.schema.partition("(")[0]
    found = RULES.get(key)
    if found is None and not _loaded:
        load()
        found = RULES.get(key)
    if found is None and rec.kind == "pointwise":
        return pointwise
    return found


_loaded = []


def load():
    """Import the modules with the rules of the families."""
    from . import rules_images, rules_indexing, rules_layers, rules_products  # noqa: F401
    _loaded.append(True)


def rule(*keys):
    """Decorator: the batching rule of the records `keys`."""
    def deco(fn):
        for k in keys:
            RULES[k] = fn
        return fn
    return deco


def decomposition(*keys):
    """Decorator: a function of one sample's arguments, in terms of other ops, as the rule of the records `keys`."""
    def deco(fn):
        for k in keys:
            RULES[k] = decomposed(fn)
        return fn
    return deco


def aligned(x, batched, rank):
    """A batched `x` with dimensions of size 1 behind the batch, up to `rank` dimensions a sample."""
    if batched:
        for _ in range(rank + 1 - x._a.ndim):
            x = x.unsqueeze(1)
    return x


def rank_of(x, batched):
    """Dimensions of one sample."""
    return x._a.ndim - bool(batched)


def pointwise(level, rec, inner, batched):
    """Operands broadcast from the right, so batches need aligning only; types promote as those of samples."""
    where = [i for i in rec.tensor_args if isinstance(inner[i], Tensor)]
    rank = max(rank_of(inner[i], batched[i]) for i in where)
    args = list(inner)
    if any(rank_of(inner[i], batched[i]) == 0 for i in where) and len({inner[i].dtype for i in where}) > 1:
        samples = [inner[i].select(0, 0) if batched[i] and level.size else inner[i] for i in where]
        numbers = [inner[i] for i in rec.tensor_args if not isinstance(inner[i], Tensor)]
        common = result_type_of([*samples, *numbers])
        for i in where:
            if batched[i] and rank_of(inner[i], True) == 0 and inner[i].dtype.category and \
                    inner[i].dtype is not common:
                args[i] = inner[i].to(common)
    for i in where:
        args[i] = aligned(args[i], batched[i], rank)
    return invoke(rec, *args)


for _key, _rec in RECORDS.items():
    if _rec.kind == "kernel" and getattr(_rec, "module", "").startswith("rushlight.ops.pointwise."):
        RULES[_key] = pointwise
for _key in ("masked_fill.Scalar", "complex", "_conj_physical"):
    RULES[_key] = pointwise


# ---------------------------------------------------------------- views

def place(d, n):
    """Dimension `d` of a sample of `n` dimensions, in the batch."""
    return (d % n if n else 0) + 1


def _view(*keys):
    def deco(fn):
        def run(level, rec, inner, batched):
            x = inner[0]
            return fn(x, x._a.ndim - 1, *inner[1:])
        for k in keys:
            RULES[k] = run
        return fn
    return deco


@_view("transpose.int")
def _(x, n, a, b):
    return x.transpose(place(a, n), place(b, n)) if n else alias(x)


def alias(x):
    """A view with the same geometry."""
    return x.view_as(x)


@_view("t")
def _(x, n):
    return x.transpose(1, 2) if n == 2 else x.permute(*range(n + 1))


@_view("permute")
def _(x, n, dims):
    return x.permute(0, *[place(d, n) for d in dims])


@_view("squeeze")
def _(x, n):
    return _squeezed(x, range(1, n + 1))


def _squeezed(x, dims):
    dims = tuple([d for d in dims if x._a.shape[d] == 1])
    return x.squeeze(dims) if dims else x.permute(*range(x._a.ndim))


@_view("squeeze.dim")
def _(x, n, d):
    return _squeezed(x, (place(d, n),) if n else ())


@_view("squeeze.dims")
def _(x, n, dims):
    return _squeezed(x, [place(d, n) for d in dims] if n else ())


@_view("unsqueeze")
def _(x, n, d):
    return x.unsqueeze(place(d, n + 1))


@_view("alias")
def _(x, n):
    return x.permute(*range(n + 1))


@_view("_conj", "_neg_view")
def _(x, n):
    return x.permute(*range(n + 1))        # the outer tensor tells what is pending


@_view("view_as_real")
def _(x, n):
    return function("view_as_real")(x)


@_view("view_as_complex")
def _(x, n):
    return function("view_as_complex")(x)


@_view("select.int")
def _(x, n, d, index):
    return x.select(place(d, n), index)


@_view("slice.Tensor")
def _(x, n, d, start, end, step):
    d = place(d, n)
    return x[(slice(None),) * d + (slice(start, end, step),)]


@_view("split.Tensor", "split_with_sizes")
def _(x, n, sizes, d):
    return x.split(sizes if isinstance(sizes, int) else list(sizes), place(d, n))


@_view("unbind.int")
def _(x, n, d):
    return x.unbind(place(d, n))


@_view("diagonal")
def _(x, n, offset, a, b):
    return x.diagonal(offset, place(a, n), place(b, n))


@_view("unfold")
def _(x, n, d, size, step):
    return x.unfold(place(d, n), size, step) if n else x.unsqueeze(1).unfold(1, size, step).squeeze(1)


@_view("as_strided")
def _(x, n, size, stride, offset):
    return x.as_strided((x._a.shape[0], *size), (x.stride(0), *stride), offset)


@_view("view", "_unsafe_view")
def _(x, n, size):
    return x.view(x._a.shape[0], *size)


@_view("expand")
def _(x, n, size):
    return aligned(x, True, len(size)).expand(x._a.shape[0], *size)


# ---------------------------------------------------------------- ops along dimensions

def along(*positions):
    """All tensors get the batch in front; dimension arguments at `positions` count one further."""
    def run(level, rec, inner, batched):
        args = list(inner)
        n = rank_of(inner[0], batched[0])
        for i in rec.tensor_args:
            if isinstance(inner[i], Tensor):
                x = front(level, inner[i], batched[i])
                args[i] = x if n else x.reshape(level.size, -1)
        for p in positions:
            d = inner[p]
            if type(d) is int:
                args[p] = place(d, n)
            elif d is None or not len(d):
                args[p] = tuple(range(1, n + 1)) or (1,)
            else:
                args[p] = type(d)([place(e, n) for e in d])
        out = invoke(rec, *args)
        if n:
            return out
        if type(out) is tuple:
            return tuple([_scalars(x) for x in out])
        return _scalars(out)
    return run


def _scalars(x):
    return x.squeeze(1) if x._a.ndim == 2 else x


ALONG = {                           # dimension arguments by position
    "sum.dim_IntList": (1,), "mean.dim": (1,), "nansum": (1,), "prod.dim_int": (1,), "all": (1,), "any": (1,),
    "count_nonzero": (1,), "logsumexp": (1,), "amax": (1,), "amin": (1,), "max.dim": (1,), "min.dim": (1,),
    "cumsum": (1,), "cumprod": (1,), "cummax": (1,), "cummin": (1,), "logcumsumexp": (1,),
    "sort": (1,), "sort.stable": (1,), "topk": (2,), "kthvalue": (2,), "median.dim": (1,), "nanmedian.dim": (1,),
    "mode": (1,), "_softmax_backward_data": (2,), "_log_softmax_backward_data": (2,), "_softmax": (1,),
    "_log_softmax": (1,), "var.correction": (1,), "std.correction": (1,), "var_mean.correction": (1,),
    "std_mean.correction": (1,), "linalg_vector_norm": (2,), "_fft_c2c": (1,), "_fft_r2c": (1,), "_fft_c2r": (1,),
    "_fft_r2c_backward": (1,), "_fft_c2r_backward": (1,),
    "rot90": (2,), "linalg_cross": (2,), "scatter.src": (1,), "scatter.value": (1,), "scatter_add": (1,),
    "_scatter_multiply": (1,), "scatter_reduce.two": (1,), "select_scatter": (2,), "slice_scatter": (2,),
    "diagonal_scatter": (3, 4), "clone": (), "_to_copy": (), "tril": (), "triu": (), "constant_pad_nd": (),
}
for _key, _where in ALONG.items():
    RULES[_key] = along(*_where)


def _format(level, rec, inner, batched):
    """Copies: a memory format is about a sample and does not say how batches lie."""
    args = list(inner)
    if args[-1] is not None and getattr(args[-1], "name", "").startswith("torch.channels"):
        args[-1] = None
    return invoke(rec, *args)


RULES["clone"] = RULES["_to_copy"] = _format


def whole(dims_key, extra=(1, False)):
    """A reduction of all elements, as the one along a dimension of the flattened samples."""
    def run(level, rec, inner, batched):
        x = inner[0].reshape(level.size, -1) if level.size else inner[0].flatten(1)
        out = invoke(RECORDS[dims_key], x, *extra, *inner[1:])
        return out[0] if type(out) is tuple else out
    return run


RULES["sum"] = whole("sum.dim_IntList", ((1,), False))
RULES["mean"] = whole("mean.dim", ((1,), False))
RULES["prod"] = whole("prod.dim_int", ((1,), False))
RULES["max"] = whole("amax", ((1,), False))
RULES["min"] = whole("amin", ((1,), False))
RULES["median"] = whole("median.dim")
RULES["nanmedian"] = whole("nanmedian.dim")


@rule("argmax", "argmin")
def _(level, rec, inner, batched):
    x, d, keep = inner
    n = x._a.ndim - 1
    if d is None or not n:
        out = invoke(rec, x.reshape(level.size, -1), 1, False)
        return out.reshape((level.size,) + (1,) * n) if keep else out
    return invoke(rec, x, place(d, n), keep)


@rule("aminmax")
def _(level, rec, inner, batched):
    x, d, keep = inner
    n = x._a.ndim - 1
    if d is None or not n:
        out = invoke(rec, x.reshape(level.size, -1), 1, False)
        return tuple([y.reshape((level.size,) + (1,) * n) if keep else y for y in out])
    return invoke(rec, x, place(d, n), keep)


@decomposition("trace")
def _(x):
    return x.diagonal().sum()


# ---------------------------------------------------------------- joining and rearranging

@rule("cat", "stack")
def _(level, rec, inner, batched):
    xs, d = inner
    xs = [front(level, x, b) for x, b in zip(xs, batched[0])]
    n = max(x._a.ndim for x in xs) - 1 + (rec.name == "stack")
    xs = [x for x in xs if x._a.ndim != 2 or x._a.shape[1] or n == 1 or rec.name == "stack"] or xs
    return invoke(rec, xs, place(d, n))


@rule("repeat")
def _(level, rec, inner, batched):
    x, repeats = inner
    return invoke(rec, aligned(x, True, len(repeats)), (1, *repeats))


@rule("roll")
def _(level, rec, inner, batched):
    x, shifts, dims = inner
    n = x._a.ndim - 1
    if not dims:
        return invoke(rec, x.reshape(level.size, -1), shifts, (1,)).reshape(x._a.shape) if x._a.size else x.clone()
    return invoke(rec, x, shifts, tuple([place(d, n) for d in dims])) if n else x.clone()


@rule("flip")
def _(level, rec, inner, batched):
    x, dims = inner
    n = x._a.ndim - 1
    return invoke(rec, x, tuple([place(d, n) for d in dims]) if n else ())


@rule("diag_embed")
def _(level, rec, inner, batched):
    x, offset, a, b = inner
    n = x._a.ndim
    return invoke(rec, x, offset, place(a, n), place(b, n))


@rule("select_backward", "slice_backward", "unfold_backward")
def _(level, rec, inner, batched):
    g, sizes, d, *rest = inner
    return invoke(rec, g, (level.size, *sizes), place(d, len(sizes)), *rest)


@rule("diagonal_backward")
def _(level, rec, inner, batched):
    g, sizes, offset, a, b = inner
    n = len(sizes)
    return invoke(rec, g, (level.size, *sizes), offset, place(a, n), place(b, n))
