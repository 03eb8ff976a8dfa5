"""What each op does under autocast, and how it comes to do it.

Three lists, as PyTorch's on the CPU; every other op runs on what it is given:

- `LOWER`: products and convolutions, which run in the 16-bit type;
- `WIDER`: ops that lose too much, or don't exist, in 16 bits, which run in float32;
- `WIDEST`: ops on several tensors that must agree, which run in the widest type among them.

float64, complex and integer tensors are never cast. Casts are recorded, so gradients return in the types of the
tensors they belong to. A leaf's cast to the 16-bit type is kept until the outermost context ends: a weight that is
used twice is cast once, and its gradients are summed before they are cast back.

The functions are wrapped when autocast is first used, so a process that never uses it pays nothing. Generated
functions stay in front: they leave calls to Python while something special is on, and only that Python end is wrapped.
"""

import functools
from types import FunctionType

from rushlight import dtypes
from rushlight.autograd.modes import state, switch_autocast
from rushlight.ops.renaming import rename, within
from rushlight.tensor.tensor import Tensor

LOWER = frozenset("""
    mm bmm matmul linear addmm addbmm baddbmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    conv_tbc convolution _convolution scaled_dot_product_attention prelu multi_dot chain_matmul tensordot vecdot
    matrix_power linalg_matrix_power affine_grid rnn_tanh_cell rnn_relu_cell rnn_tanh rnn_relu cov corrcoef
    """.split())
WIDER = frozenset("""
    nll_loss mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
    poisson_nll_loss cosine_embedding_loss hinge_embedding_loss margin_ranking_loss soft_margin_loss
    triplet_margin_loss multi_margin_loss multilabel_margin_loss ctc_loss
    avg_pool3d adaptive_avg_pool3d max_pool3d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d
    max_unpool1d max_unpool2d max_unpool3d grid_sample grid_sampler grid_sampler_2d grid_sampler_3d
    cdist polar view_as_complex prod trace quantile nanquantile stft istft
    fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft
    cholesky cholesky_ex cholesky_inverse cholesky_solve geqrf lu lu_solve ormqr qr svd svdvals triangular_solve
    inverse inv inv_ex pinverse eig eigh eigvals eigvalsh householder_product lstsq solve cond matrix_rank tensorinv
    tensorsolve orgqr
    """.split())
WIDEST = frozenset("cat concat concatenate stack hstack vstack dstack row_stack column_stack index_copy".split())
# `lu` and `solve` of ``torch.linalg`` have no float32 rule of their own there, nor `lu_solve`.
_NOT_LINALG = frozenset(("lu", "solve_ex"))

_armed = False


def arm():
    """Wrap the functions of the lists (once)."""
    global _armed
    if _armed:
        return
    _armed = True
    from rushlight.ops import registry
    registry.load()
    from . import composite
    makers = dict.fromkeys(LOWER, lower) | dict.fromkeys(WIDER, wider) | dict.fromkeys(WIDEST, widest)
    makers.update(composite.MAKERS)
    gates = Gates()
    for ns, table in registry.FUNCTIONS.items():
        for name in makers.keys() & table.keys():
            if not (ns == "torch.linalg" and name in _NOT_LINALG):
                table[name] = gates.put(table[name], makers[name])
    for name in makers.keys() & registry.METHODS.keys():
        registry.METHODS[name] = gates.put(registry.METHODS[name], makers[name])
        if name in Tensor.__dict__:
            setattr(Tensor, name, registry.METHODS[name])
    for dunder in ("__matmul__", "__rmatmul__"):
        setattr(Tensor, dunder, gates.put(Tensor.__dict__[dunder], lower))
    rename(gates.swapped)
    # ``out=`` and in-place forms run in the types that they are given.
    rename(gates.plain, families=True)
    within([fn for fn, _ in gates.plain.values()], gates.plain)
    within(registry.INPLACE.values(), gates.plain)


class Gates:
    """What functions are wrapped by.

    A function of Python's stays the object that it was, as loss functions and the like are kept by name, in attributes
    and in closures before autocast is first used: its code is exchanged. Op families go on with ``plain``, {id of such
    a function: (it, one that runs as it did)}. ``swapped``: the same for callables of other kinds, which are replaced.
    """

    def __init__(self):
        self.plain, self.swapped = {}, {}

    def put(self, fn, make):
        """What runs ``make(fn)``: `fn` itself, where it is Python's or generated, whose end is Python's."""
        from rushlight.ops.native import install

        def make_end(end):
            if getattr(end, "_overridable", False):     # whoever overrides functions sees the call first
                self._under(end, make)
                return end
            if id(end) not in self.plain:                   # modules may hold it from before it was generated
                self._gate(getattr(end, "__wrapped__", end), make)
            return self._gate(end, make)
        if getattr(fn, "_overridable", False):
            if not install.intercept(fn.__wrapped__, make_end):
                self._under(fn, make)
            return fn
        return fn if install.intercept(getattr(fn, "__func__", fn), make_end) else self._gate(fn, make)

    def _under(self, fn, make):
        """Wrap what an overridable function runs."""
        fn.__wrapped__ = self._gate(fn.__wrapped__, make)

    def _gate(self, fn, make):
        if id(fn) in self.plain:
            return fn
        if type(fn) is not FunctionType:
            if id(fn) not in self.swapped:
                self.swapped[id(fn)] = fn, make(fn)
            return self.swapped[id(fn)][1]
        plain = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
        plain.__kwdefaults__ = fn.__kwdefaults__
        functools.update_wrapper(plain, fn)
        del plain.__wrapped__
        self.plain[id(fn)] = fn, plain
        redirect(fn, make(plain))
        fn.__dict__.setdefault("__wrapped__", plain)            # whose signature it has
        return fn


def redirect(fn, to):
    """Let calls of the function `fn` be calls of `to`, whoever has held it for how long."""
    fn.__code__ = _through(fn.__code__.co_freevars).replace(co_name=fn.__name__)
    fn.__defaults__, fn.__kwdefaults__ = None, {"_through_to": to}


@functools.cache
def _through(free):
    """Code that calls ``_through_to``, for functions with these free variables."""
    names = "(" + "".join(f"{name}, " for name in free) + ")"
    scope = {}
    text = f"def outer({', '.join(free)}):\n" \
           "    def through(*args, _through_to, **kwargs):\n" \
           f"        if 0: {names}\n" \
           "        return _through_to(*args, **kwargs)\n" \
           "    return through\n"              # (a function's free variables are as many as its closure's)
    exec(compile(text, f"{__file__}: through", "exec"), scope)      # (code of ours, to whoever asks for its file)
    return scope["outer"](*free).__code__


def _eligible(t):
    return isinstance(t, Tensor) and t.dtype.category == dtypes.FLOAT and t.dtype is not dtypes.float64


def to_lower(x, d):
    """`x` (a tensor, or a list of them) in the 16-bit type `d`."""
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)([to_lower(y, d) for y in x])
    if not _eligible(x) or x.dtype is d:
        return x
    if x.dtype is dtypes.float32 and x._requires_grad and x._grad_fn is None and x._view is None:
        from .autocast_mode import settings
        own = settings()
        if own.caches and own.depth:
            key = id(x), d, state.grad
            kept = own.cache.get(key)
            if kept is None or kept[0] is not x or kept[2] != x._storage.version:
                kept = own.cache[key] = x, x.to(d), x._storage.version
            return kept[1]
    return x.to(d)


def to_wider(x, d=dtypes.float32):
    """`x` (a tensor, or a list of them) in float32."""
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)([to_wider(y) for y in x])
    return x.to(dtypes.float32) if _eligible(x) and x.dtype is not dtypes.float32 else x


def _tensors(values):
    for x in values:
        if isinstance(x, (list, tuple)):
            yield from _tensors(x)
        elif isinstance(x, Tensor):
            yield x


def _to_widest(args, kwargs, low):
    """The arguments in the widest type among the floating ones.

    RuntimeError for a 16-bit type other than `low`, unless a float32 or float64 tensor comes before it.
    """
    widest = low
    for t in _tensors((*args, *kwargs.values())):
        if t.dtype.category != dtypes.FLOAT:
            continue
        if t.dtype is dtypes.float64:
            return args, kwargs
        if t.dtype is dtypes.float32:
            widest = dtypes.float32
        elif widest is low and t.dtype is not low:
            raise RuntimeError("Unexpected floating ScalarType in at::autocast::prioritize")
    if widest is low:
        return args, kwargs
    return [to_wider(x) for x in args], {k: to_wider(x) for k, x in kwargs.items()}


def _guarded(fn, prepare):
    """`fn` that prepares its arguments and runs with autocast off, where it is on."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        d = state.autocast
        if d is None or kwargs.get("out") is not None:
            return fn(*args, **kwargs)
        switch_autocast(None)
        try:
            args, kwargs = prepare(args, kwargs, d)
            return fn(*args, **kwargs)
        finally:
            switch_autocast(d)
    return call


def lower(fn):
    """`fn` on tensors cast to the 16-bit type."""
    return _guarded(fn, lambda args, kwargs, d: (
        [to_lower(x, d) for x in args], {k: to_lower(x, d) for k, x in kwargs.items()} if kwargs else kwargs))


def wider(fn):
    """`fn` on tensors cast to float32."""
    return _guarded(fn, lambda args, kwargs, d: (
        [to_wider(x) for x in args], {k: to_wider(x) for k, x in kwargs.items()} if kwargs else kwargs))


def widest(fn):
    """`fn` on tensors cast to the widest of their types."""
    return _guarded(fn, _to_widest)
