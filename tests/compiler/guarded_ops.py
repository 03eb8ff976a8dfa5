"""Ops of all families on random sizes and layouts between pages without access; a process of its own, see test_guarded.

    RUSHLIGHT_GUARD=after python guarded_ops.py [--count N] [--seed S] [--only FAMILY,...] [--apart]

Each draw has a layout for every operand: where it begins, its steps, its last element at its memory's end. A kernel
that reads or writes beyond faults, and the process with it. Results and gradients must be the same bits with one
thread and with two, close to those of dense operands (the same bits for integers), and, of floats, to those in float64.
Prints what fails, and the last draw where the process ends before its time. `--apart` gives each family a process:
there can be some 16,000 arrays at a time, and plans keep tables for hundreds of shapes.
"""

import argparse
import faulthandler
import os
import subprocess
import sys
import tempfile
import traceback

import numpy as np

import rushlight as torch

F = torch.nn.functional
SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 37, 48, 63, 64, 65, 67, 100, 127, 130)
FLOATS = ("float32", "float64", "bfloat16", "float16")
UNITS = {"float64": 2.0 ** -52, "float32": 2.0 ** -23, "float16": 2.0 ** -10, "bfloat16": 2.0 ** -7}
FAMILIES = {}


def family(f):
    FAMILIES[f.__name__] = f
    return f


class Draw:
    """One random case: `rng`'s choices, operands in layouts, what is differentiated."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.operands = []          # arrays, with their dtypes
        self.dtype = "float32"

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def size(self, most=130, least=0):
        fit = [s for s in SIZES if least <= s <= most]
        return fit[self.rng.integers(len(fit))]

    def flag(self, of=2):
        return self.rng.integers(of) == 0

    def floats(self, *shape, dtype=None, grad=True):
        """The number of an operand of normal numbers, in `self.dtype` or a given one."""
        self.operands.append((self.rng.standard_normal(shape), dtype or self.dtype, grad))
        return len(self.operands) - 1

    def integers(self, low, high, *shape, dtype="int64"):
        self.operands.append((self.rng.integers(low, high, shape), dtype, False))
        return len(self.operands) - 1


def laid(x, dtype, how, rng):
    """The values in a layout; the memory ends with the last element."""
    x = torch.from_numpy(np.ascontiguousarray(x)).to(getattr(torch, dtype))
    if how == "plain" or x.dim() == 0 or x.numel() == 0:
        return x
    order = list(range(x.dim()))
    if how in ("turned", "stepped and turned"):
        order = [int(i) for i in rng.permutation(x.dim())]
    step, begin = (int(rng.integers(2, 4)), int(rng.integers(0, 3))) if "step" in how else (1, int(rng.integers(1, 4)))
    strides, total = [0] * x.dim(), step
    for i in reversed(order):
        strides[i] = total
        total *= x.shape[i]
        if how == "rows apart" and i == order[-1]:
            total += int(rng.integers(1, 5))
    last = begin + sum((n - 1) * s for n, s in zip(x.shape, strides, strict=True))
    memory = torch.full((last + 1,), 77, dtype=x.dtype)
    view = memory.as_strided(x.shape, strides, begin)
    view.copy_(x)
    return view


LAYOUTS = ("plain", "offset", "turned", "stepped", "stepped and turned", "rows apart")


def evaluate(f, draw, layouts, wide=False, threads=1):
    """[results and gradients] of `f` in these layouts."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(1)
    xs = []
    for (x, dtype, grad), how in zip(draw.operands, layouts, strict=True):
        widen = wide and dtype in UNITS
        x = laid(x, dtype, how, rng)
        x = x.double() if widen else x
        xs.append(x.requires_grad_() if grad and dtype in UNITS else x)
    outs = f(*xs)
    outs = [y for y in (outs if isinstance(outs, (tuple, list)) else [outs]) if isinstance(y, torch.Tensor)]
    found = [y.detach() for y in outs]
    roots = [y for y in outs if y.requires_grad]
    if roots:
        # Few bits, which all types have.
        weights = [(torch.cos(torch.arange(y.numel(), dtype=torch.float32)) * 16).round().reshape(y.shape).to(y.dtype)
                   for y in roots]
        leaves = [x for x in xs if x.requires_grad]
        grads = torch.autograd.grad(roots, leaves, weights, allow_unused=True)
        found += [g for g in grads if g is not None]
    return found


def bits(x):
    return np.ascontiguousarray((x.float() if x.dtype == torch.bfloat16 else x).numpy()).tobytes()


def compare(got, want, unit, what):
    if len(got) != len(want):
        raise AssertionError(f"{what}: {len(got)} results, not {len(want)}")
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a.shape != b.shape:
            raise AssertionError(f"{what}: result {i} of shape {a.shape}, not {b.shape}")
        a, b = (t.to(torch.complex128 if t.is_complex() else torch.float64).numpy() for t in (a, b))
        # Operands are about 1: what is far below that has cancelled.
        scale = np.abs(b[np.isfinite(b)]).max(initial=1)
        off = np.abs(a - b) > unit * (scale + np.abs(b))
        off |= np.isnan(a) != np.isnan(b)
        if off.any():
            at = np.unravel_index(int(off.argmax()), off.shape)
            raise AssertionError(f"{what}: result {i} of shape {a.shape} at {at}: {a[at]}, not {b[at]}, "
                                 f"{int(off.sum())} differ (scale {scale:.3g})")


def run(name, seed, rounds=60):
    """One draw: the result in drawn layouts, its bits with two threads, against dense operands and float64."""
    draw = Draw(seed)
    f = FAMILIES[name](draw)
    layouts = [draw.pick(*LAYOUTS) for _ in draw.operands]
    wide = all(d in (*UNITS, "int64", "bool") for _, d, _ in draw.operands)
    described = f"{name} {seed}: {[(x.shape, d, how) for (x, d, _), how in zip(draw.operands, layouts, strict=True)]}"
    progress.write(described + "\n")
    progress.flush()
    got = evaluate(f, draw, layouts)
    again = evaluate(f, draw, layouts, threads=2)
    for i, (a, b) in enumerate(zip(got, again, strict=True)):
        if bits(a) != bits(b):
            raise AssertionError(f"{described}: result {i} has other bits with two threads")
    unit = max((UNITS[d] for _, d, _ in draw.operands if d in UNITS), default=0)
    plain = evaluate(f, draw, ["plain"] * len(layouts))
    compare(got, plain, rounds * unit, f"{described}, dense")
    if wide and unit and getattr(f, "wide", True):
        compare(got, evaluate(f, draw, ["plain"] * len(layouts), True), rounds * unit, f"{described}, float64")


def narrow(f):
    """`f` compared with itself only: it has no form in float64, or chooses among nearly equal numbers."""
    def call(*operands):
        return f(*operands)
    call.wide = False
    return call


@family
def products(draw):
    draw.dtype = draw.pick(*FLOATS, "complex64", "complex128", "int64", "int32", "int8", "uint8")
    batch, m, k, n = draw.pick((), (), (1,), (3,), (2, 2)), draw.size(), draw.size(), draw.size()
    make = draw.floats if "float" in draw.dtype else lambda *shape: draw.integers(
        0 if draw.dtype == "uint8" else -9, 9, *shape, dtype=draw.dtype)
    if draw.dtype.startswith("complex"):
        def make(*shape):
            x = draw.rng.standard_normal(shape) + 1j * draw.rng.standard_normal(shape)
            draw.operands.append((x, draw.dtype, False))
    a, b = draw.flag(), draw.flag()
    make(*batch, *((k, m) if a else (m, k)))
    make(*batch, *((n, k) if b else (k, n)))
    return lambda x, y: (x.transpose(-1, -2) if a else x) @ (y.transpose(-1, -2) if b else y)


@family
def addmm(draw):
    draw.dtype = draw.pick(*FLOATS)
    m, k, n = draw.size(), draw.size(), draw.size()
    draw.floats(m, k), draw.floats(n, k), draw.floats(n)
    kind = draw.pick("linear", "relu", "addmm", "gelu")
    if kind == "addmm":
        return lambda x, w, b: torch.addmm(b, x, w.t(), beta=0.5, alpha=2)
    return lambda x, w, b: (lambda y: getattr(F, kind)(y) if kind != "linear" else y)(F.linear(x, w, b))


@family
def vectors(draw):
    draw.dtype = draw.pick(*FLOATS)
    n, m = draw.pick(0, 1, 5, 64, 129, 1000, 4099), draw.size()
    kind = draw.pick("dot", "mv", "vm", "outer")
    if kind == "outer":
        draw.floats(m), draw.floats(draw.size())
        return torch.outer
    draw.floats(*((n,) if kind in ("dot", "vm") else (m, n)))
    draw.floats(*((n, m) if kind == "vm" else (n,)))
    return torch.matmul


@family
def convolutions(draw):
    draw.dtype = draw.pick("float32", "float32", "float32", "float64", "bfloat16", "float16")
    dims = draw.pick(1, 2, 2, 2, 3)
    groups = draw.pick(1, 1, 1, 2, 4)
    c, o = groups * draw.pick(1, 2, 3, 8, 16, 32, 33), groups * draw.pick(1, 2, 5, 8, 16, 32, 64)
    if draw.flag(5):
        groups = c
        o = c * draw.pick(1, 2)
    kernel = [draw.pick(1, 2, 3, 3, 3, 5, 7) if dims < 3 else draw.pick(1, 2, 3) for _ in range(dims)]
    if draw.flag():
        kernel = [kernel[0]] * dims
    image = [draw.size({1: 67, 2: 23, 3: 9}[dims], 1) + k for k in kernel]
    step, padding, dilation = draw.pick(1, 1, 1, 2, 3), draw.pick(0, 1, 1, 2, "same"), draw.pick(1, 1, 1, 2)
    if padding == "same" and step > 1:
        padding = 1
    image = [max(n, dilation * (k - 1) + 1) for n, k in zip(image, kernel, strict=True)]
    draw.floats(draw.pick(1, 2, 3), c, *image), draw.floats(o, c // groups, *kernel), draw.floats(o)
    call, last = getattr(F, f"conv{dims}d"), dims == 2 and draw.flag(4)
    options = step, padding, dilation, groups
    if last:
        return lambda x, w, b: call(x.contiguous(memory_format=torch.channels_last), w, b, *options)
    return lambda x, w, b: call(x, w, b, *options)


@family
def winograd(draw):
    c, o = draw.pick(32, 33, 40, 48, 64), draw.pick(32, 35, 48, 64)
    draw.floats(draw.pick(1, 2, 3), c, draw.pick(3, 4, 5, 7, 8, 12, 14, 17), draw.pick(3, 4, 5, 7, 9, 14, 15, 19))
    draw.floats(o, c, 3, 3), draw.floats(o)
    padding = draw.pick(0, 1, 1, 2)
    return lambda x, w, b: F.conv2d(x, w, b, 1, padding)


@family
def winograd_apart(draw):
    c, o = draw.pick(32, 33, 40), draw.pick(128, 131)
    draw.floats(draw.pick(3, 4, 5), c, draw.pick(15, 16, 23, 24), draw.pick(23, 24, 30, 31, 32))
    draw.floats(o, c, 3, 3), draw.floats(o)
    padding = draw.pick(0, 1, 1)
    return lambda x, w, b: F.conv2d(x, w, b, 2, padding)


@family
def transposed_convolutions(draw):
    draw.dtype = draw.pick("float32", "float32", "float64", "bfloat16")
    dims, groups = draw.pick(1, 2, 2, 3), draw.pick(1, 1, 2)
    c, o = groups * draw.pick(1, 3, 8, 16, 33), groups * draw.pick(1, 2, 8, 17)
    kernel = [draw.pick(1, 2, 3, 4, 5)] * dims
    draw.floats(draw.pick(1, 2), c, *(draw.size({1: 37, 2: 13, 3: 5}[dims], 1) for _ in range(dims)))
    draw.floats(c, o // groups, *kernel), draw.floats(o)
    step, dilation = draw.pick(1, 2, 3), draw.pick(1, 1, 2)
    extra = draw.pick(0, 0, step - 1)
    return lambda x, w, b: getattr(F, f"conv_transpose{dims}d")(x, w, b, step, 0, extra, groups, dilation)


@family
def attention(draw):
    draw.dtype = draw.pick("float32", "float32", "float64", "bfloat16", "float16")
    b, h, t, s = draw.pick(1, 2), draw.pick(1, 3), draw.size(130, 1), draw.size(130, 1)
    d, e = draw.pick(1, 3, 8, 16, 24, 33, 64), draw.pick(1, 5, 16, 32, 64)
    kind = draw.pick("plain", "causal", "mask", "bias")
    s = t if kind == "causal" else s
    draw.floats(b, h, t, d), draw.floats(b, h, s, d), draw.floats(b, h, s, e)
    if kind == "mask":
        draw.integers(0, 2, draw.pick(1, b), 1, t, s, dtype="bool")
        return narrow(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m | (m.sum(-1, keepdim=True) == 0)))
    if kind == "bias":
        draw.floats(draw.pick(1, b), draw.pick(1, h), t, s, grad=draw.flag())
        return F.scaled_dot_product_attention
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=kind == "causal")


@family
def norms(draw):
    draw.dtype = draw.pick(*FLOATS)
    kind = draw.pick("layer", "rms", "group", "batch", "batch rows", "instance", "evaluated")
    if kind in ("layer", "rms"):
        n = draw.size(130, 2)
        draw.floats(draw.size(), draw.size(9), n), draw.floats(n), draw.floats(n)
        return (lambda x, w, b: F.layer_norm(x, (n,), w, b)) if kind == "layer" else (
            lambda x, w, b: F.rms_norm(x, (n,), w) + b)
    c = 2 * draw.size(33, 1)
    if kind == "batch rows":
        draw.floats(draw.size(130, 2), c), draw.floats(c), draw.floats(c)
        return lambda x, w, b: F.batch_norm(x, None, None, w, b, True)
    draw.floats(draw.size(5, 1), c, draw.size(17, 2), draw.size(17, 1)), draw.floats(c), draw.floats(c)
    if kind == "group":
        return lambda x, w, b: F.group_norm(x, 2, w, b)
    if kind == "instance":
        return lambda x, w, b: F.instance_norm(x, None, None, w, b)
    if kind == "evaluated":
        return lambda x, w, b: F.batch_norm(x, b.detach(), w.detach().abs() + 0.5, w, b, False)
    return lambda x, w, b: F.batch_norm(x, None, None, w, b, True)


@family
def rows(draw):
    draw.dtype = draw.pick(*FLOATS)
    f = draw.pick(F.softmax, F.log_softmax, torch.logsumexp, F.normalize, F.softmin, torch.cumsum, torch.logcumsumexp,
                  torch.var, torch.std, torch.prod, torch.sum, torch.mean, torch.amax)
    dim = draw.pick(0, 1, 2)
    draw.floats(draw.size(67, 1), draw.size(130, 1), draw.size(67, 1))
    if f is F.normalize:
        return lambda x: f(x, dim=dim)
    if f in (torch.var, torch.std):
        return lambda x: f(x, dim, correction=0)
    if f is torch.prod:
        return lambda x: f(x / 4 + 1, dim)
    return lambda x: f(x, dim)


@family
def reductions(draw):
    draw.dtype = draw.pick("float32", "float64", "bfloat16", "float16")
    shape = [draw.size(33) for _ in range(draw.pick(1, 2, 3, 4))]
    if draw.flag(4):
        shape = [draw.pick(1000, 4097, 70001)]
    dims = tuple(int(i) for i in np.nonzero(draw.rng.integers(0, 2, len(shape)))[0])
    draw.floats(*shape)
    kind = draw.pick("sum", "mean", "norm", "count", "all", "l1")
    if kind == "mean":
        shape[:] = [max(n, 1) for n in shape]
        draw.operands[0] = (draw.rng.standard_normal(shape), draw.dtype, True)
    return {"sum": lambda x: x.sum(dims), "mean": lambda x: x.mean(dims), "all": lambda x: (x > -3).all(),
            "norm": lambda x: torch.linalg.vector_norm(x, 2, dims or None), "count": lambda x: (x > 0).sum(dims),
            "l1": lambda x: torch.linalg.vector_norm(x, 1, dims or None)}[kind]


@family
def losses(draw):
    draw.dtype = draw.pick("float32", "float64", "bfloat16")
    n, c = draw.size(67, 1), draw.size(130, 1)
    draw.floats(n, c), draw.integers(0, c, n)
    smoothing = draw.pick(0.0, 0.0, 0.1)
    reduction = draw.pick("mean", "sum", "none")
    return lambda x, t: F.cross_entropy(x, t, label_smoothing=smoothing, reduction=reduction)


@family
def recurrent(draw):
    draw.dtype = draw.pick("float32", "float32", "float64")
    kind, t, b = draw.pick("LSTM", "GRU", "RNN"), draw.size(9, 1), draw.size(17, 1)
    i, h = draw.size(33, 1), draw.size(67, 1)
    layers, both = draw.pick(1, 2), draw.flag(3)
    torch.manual_seed(0)
    net = getattr(torch.nn, kind)(i, h, layers, bidirectional=both)
    wide = getattr(torch.nn, kind)(i, h, layers, bidirectional=both, dtype=torch.float64)
    wide.load_state_dict(net.state_dict())
    draw.floats(t, b, i)
    weights = {torch.float64: wide, torch.float32: net}

    def f(x):
        net = weights[x.dtype]
        y, state = net(x)
        grads = torch.autograd.grad(y, list(net.parameters()), torch.ones_like(y), retain_graph=True)
        return [y, *(state if isinstance(state, tuple) else [state]), *grads]
    return f


@family
def pooling(draw):
    draw.dtype = draw.pick(*FLOATS)
    dims = draw.pick(1, 2, 2, 2, 3)
    k, step, padding = draw.pick(1, 2, 3, 5), draw.pick(1, 2, 3), 0
    padding = draw.pick(0, k // 2)
    kind = draw.pick("max", "avg", "adaptive_avg", "adaptive_max", "lp", "ceil")
    image = [draw.size({1: 67, 2: 33, 3: 9}[dims], 1) + k for _ in range(dims)]
    draw.floats(draw.size(4, 1), draw.size(9, 1), *image)
    if kind == "max":
        return lambda x: getattr(F, f"max_pool{dims}d")(x, k, step, padding)
    if kind == "ceil":
        return lambda x: getattr(F, f"max_pool{dims}d")(x, k, step, padding, ceil_mode=True)
    if kind == "avg":
        ceil, whole = draw.flag(), draw.flag()
        return lambda x: getattr(F, f"avg_pool{dims}d")(x, k, step, padding, ceil_mode=ceil, count_include_pad=whole)
    if kind == "lp":
        return lambda x: getattr(F, f"lp_pool{dims}d")(x, 2, k, step)
    size = [draw.size(9, 1) for _ in range(dims)]
    return lambda x: getattr(F, f"{kind}_pool{dims}d")(x, size)


@family
def resampling(draw):
    draw.dtype = draw.pick("float32", "float32", "float64", "bfloat16")
    dims = draw.pick(1, 2, 2, 3)
    mode = draw.pick("nearest", "nearest-exact", "area", {1: "linear", 2: "bilinear", 3: "trilinear"}[dims],
                     "bicubic" if dims == 2 else "nearest")
    image = [draw.size({1: 67, 2: 33, 3: 9}[dims], 1) for _ in range(dims)]
    size = [draw.size({1: 67, 2: 37, 3: 9}[dims], 1) for _ in range(dims)]
    corners = draw.flag() if "linear" in mode or mode == "bicubic" else None
    smooth = mode in ("bilinear", "bicubic") and draw.flag(3)
    draw.floats(draw.size(3, 1), draw.size(9, 1), *image)
    last = dims == 2 and draw.flag(3)
    return narrow(lambda x: F.interpolate(x.contiguous(memory_format=torch.channels_last) if last else x, size, None,
                                          mode, corners, antialias=smooth))


@family
def grids(draw):
    draw.dtype = draw.pick("float32", "float64")
    dims = draw.pick(2, 2, 3)
    n = draw.size(3, 1)
    draw.floats(n, draw.size(9, 1), *(draw.size(17, 1) for _ in range(dims)))
    draw.floats(n, *(draw.size(17, 1) for _ in range(dims)), dims)
    mode = draw.pick("bilinear", "nearest", "bicubic" if dims == 2 else "bilinear")
    padding, corners = draw.pick("zeros", "border", "reflection"), draw.flag()
    return narrow(lambda x, g: F.grid_sample(x, g, mode, padding, corners))


@family
def order(draw):
    draw.dtype = draw.pick(*FLOATS)
    dim, shape = draw.pick(0, 1), (draw.size(67, 1), draw.size(130, 1))
    n = shape[dim]
    kinds = draw.pick(*FLOATS, "int64", "int32", "int16", "int8", "uint8")
    if kinds in FLOATS:
        draw.floats(*shape, dtype=kinds, grad=False)
    else:
        draw.integers(0, 50, *shape, dtype=kinds)
    k = int(draw.rng.integers(1, n + 1))
    descending = draw.flag()
    calls = [lambda x: x.sort(dim, descending, stable=True), lambda x: x.topk(k, dim, descending)[0],
             lambda x: x.kthvalue(k, dim)[0], lambda x: x.median(dim)[0], lambda x: x.argsort(dim, stable=True),
             lambda x: x.max(dim), lambda x: x.cummax(dim), lambda x: torch.unique(x, return_inverse=True),
             lambda x: x.flatten().sort()[0], lambda x: torch.cummin(x, dim), lambda x: x.mode(dim)[0],
             lambda x: torch.searchsorted(x.flatten().sort()[0], x)]
    return narrow(calls[draw.rng.integers(len(calls))])


@family
def indexing(draw):
    draw.dtype = draw.pick(*FLOATS)
    dim, shape = draw.pick(0, 1, 2), (draw.size(33, 1), draw.size(33, 1), draw.size(33, 1))
    n = draw.size(67)
    kind = draw.pick("index_select", "gather", "scatter_add", "index_add", "take", "advanced", "embedding", "bag",
                     "put", "scatter", "masked", "index_copy", "nonzero", "masked_scatter", "take_along", "amax")
    x = draw.floats
    if kind in ("index_select", "index_add", "index_copy"):
        x(*shape), draw.integers(0, shape[dim], n)
        source = list(shape)
        source[dim] = n
        if kind == "index_select":
            return lambda x, i: x.index_select(dim, i)
        x(*source)
        if kind == "index_copy":
            draw.operands[1] = (draw.rng.permutation(shape[dim]), "int64", False)
            draw.operands[2] = (draw.rng.standard_normal(shape), draw.dtype, True)
        return lambda x, i, s: getattr(x, kind)(dim, i, s)
    if kind in ("gather", "take_along", "scatter_add", "scatter", "amax"):
        rows = list(shape)
        rows[dim] = n
        x(*shape), draw.integers(0, shape[dim], *rows)
        if kind in ("gather", "take_along"):
            return lambda x, i: x.gather(dim, i)
        x(*rows, grad=kind == "scatter_add")
        if kind == "amax":
            return narrow(lambda x, i, s: x.detach().scatter_reduce(dim, i, s, "amax"))
        if kind == "scatter":
            return narrow(lambda x, i, s: x.detach().scatter(dim, i, 2.0))
        return lambda x, i, s: x.scatter_add(dim, i, s)
    if kind in ("embedding", "bag"):
        x(shape[0], shape[1]), draw.integers(0, shape[0], draw.size(9, 1), draw.size(17, 1))
        mode = draw.pick("sum", "mean", "max")
        if kind == "embedding":
            return lambda w, i: F.embedding(i, w)
        return lambda w, i: F.embedding_bag(i, w, mode=mode)
    if kind in ("take", "put"):
        x(*shape), draw.integers(-int(np.prod(shape)), int(np.prod(shape)), n)
        if kind == "take":
            return lambda x, i: x.take(i)
        x(n)
        return lambda x, i, s: x.put(i, s, accumulate=True)
    if kind == "advanced":
        x(*shape), draw.integers(-shape[0], shape[0], n, 1), draw.integers(-shape[1], shape[1], draw.size(9))
        return lambda x, i, j: (x[i, j], x[i.flatten()], x[:, j])
    x(*shape), draw.integers(0, 2, *(shape if draw.flag() else shape[-1:]), dtype="bool")
    if kind == "nonzero":
        return narrow(lambda x, m: m.nonzero())
    if kind == "masked_scatter":
        x(*shape)
        return lambda x, m, s: x.masked_scatter(m, s)
    return lambda x, m: (x.masked_select(m), x.masked_fill(m, 3.0))


@family
def copying(draw):
    size = draw.pick("float32", "float64", "bfloat16", "int8", "complex128", "int16")
    shape = [draw.size(37) for _ in range(draw.pick(1, 2, 3, 4))]
    draw.integers(0, 100, *shape, dtype=size)
    draw.integers(0, 100, *shape, dtype=size)
    turn, dim = [int(i) for i in draw.rng.permutation(len(shape))], int(draw.rng.integers(len(shape)))
    shift, pad = int(draw.rng.integers(-5, 6)), int(draw.rng.integers(0, 4))
    calls = [lambda x, y: x.permute(turn).contiguous(), lambda x, y: torch.cat([x, y], dim),
             lambda x, y: torch.stack([x, y], dim), lambda x, y: x.flip(dim), lambda x, y: x.roll(shift, dim),
             lambda x, y: F.pad(x, (pad, pad + 1), value=5), lambda x, y: x.repeat(*[2] * x.dim()),
             lambda x, y: x.abs().to(torch.float32),
             lambda x, y: x.abs().to(torch.int8), lambda x, y: torch.where(x > y, x, y)
             if not x.is_complex() else x, lambda x, y: x.unfold(dim, 1, 1).contiguous(), lambda x, y: x.clone(),
             lambda x, y: x.repeat_interleave(2, dim), lambda x, y: x.tril() if x.dim() > 1 else x,
             lambda x, y: torch.empty_like(y.permute(turn)).copy_(x.permute(turn)), lambda x, y: x == y]
    return narrow(calls[draw.rng.integers(len(calls))])


@family
def pointwise(draw):
    draw.dtype = draw.pick(*FLOATS)
    shape = [draw.size(37) for _ in range(draw.pick(1, 2, 3))]
    other = [n if draw.flag() else 1 for n in shape][draw.rng.integers(len(shape)):]
    draw.floats(*shape), draw.floats(*other, dtype=draw.pick(draw.dtype, draw.dtype, "float32"))
    calls = [torch.add, torch.mul, torch.maximum, lambda x, y: torch.addcmul(x, x, y), torch.atan2, torch.hypot,
             lambda x, y: torch.lerp(x, y.to(x.dtype), 0.3), lambda x, y: F.gelu(x) * y,
             lambda x, y: torch.exp(x / 4) + y,
             lambda x, y: torch.tanh(x) - y, lambda x, y: x.sin() * y.cos(), lambda x, y: (x.abs() + 0.1).log() + y,
             lambda x, y: F.silu(x) + F.softplus(y), lambda x, y: x.erf() * y.sigmoid(),
             lambda x, y: torch.special.expit(x) * y, lambda x, y: (x.abs() + 1).pow(y)]
    return calls[draw.rng.integers(len(calls))]


@family
def integers(draw):
    kind = draw.pick("int8", "uint8", "int16", "int32", "int64")
    shape = (draw.size(37), draw.size(67))
    draw.integers(0, 100, *shape, dtype=kind), draw.integers(1, 100, *(shape if draw.flag() else shape[1:]), dtype=kind)
    calls = [torch.add, torch.mul, torch.floor_divide, torch.remainder, torch.bitwise_xor, torch.gcd, torch.maximum,
             lambda x, y: x << (y % 5), lambda x, y: x.sum(0), lambda x, y: x.cumsum(1), lambda x, y: x.prod(1),
             lambda x, y: x.flatten().bincount(minlength=3) if x.dtype == torch.int64 else x, torch.lt,
             lambda x, y: x.float() / y, lambda x, y: x.any(0)]
    return narrow(calls[draw.rng.integers(len(calls))])


@family
def optimizers(draw):
    shape = (draw.size(), draw.size(67))
    draw.floats(*shape, grad=False), draw.floats(*shape, grad=False)
    kind = draw.pick("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta", "Adamax", "Rprop",
                     "ASGD")
    options = {"SGD": {"lr": 0.1, "momentum": draw.pick(0.0, 0.9)}}.get(kind, {})

    def f(x, g):
        p = torch.nn.Parameter(x.clone())
        p.grad = g.clone()
        optimizer = getattr(torch.optim, kind)([p], **options)
        for _ in range(3):
            optimizer.step()
        norm = torch.nn.utils.clip_grad_norm_([p], 0.5)
        return p.detach(), norm, p.grad
    return f


@family
def distances(draw):
    draw.dtype = draw.pick("float32", "float64")
    n, m, d = draw.size(37, 1), draw.size(37, 1), draw.size(33, 1)
    draw.floats(n, d), draw.floats(m, d)
    p = draw.pick(1.0, 2.0, 3.0, float("inf"))
    return narrow(lambda x, y: torch.cdist(x, y, p))


def in_processes(options):
    """A process for each family; False where one failed or was killed."""
    well = True
    for name in options.only.split(",") if options.only else FAMILIES:
        with tempfile.NamedTemporaryFile("r") as file:
            command = [sys.executable, __file__, "--count", str(options.count), "--seed", str(options.seed)]
            status = subprocess.run([*command, "--only", name, "--progress", file.name], check=False).returncode
            if status < 0:
                print(f"KILLED by signal {-status} in {file.read().splitlines()[-1:]}", flush=True)
        well &= status == 0
    return well


def main():
    global progress
    faulthandler.enable()
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--progress", default=os.devnull)
    options = parser.parse_args()
    if options.apart:
        return not in_processes(options)
    done = failed = 0
    with open(options.progress, "w") as progress:
        for name in options.only.split(",") if options.only else FAMILIES:
            for seed in range(options.seed, options.seed + options.count):
                try:
                    run(name, seed)
                except Exception as error:
                    failed += 1
                    frame = traceback.extract_tb(error.__traceback__)[-1]
                    print(f"FAILED {type(error).__name__}: {error} [{frame.filename}:{frame.lineno}], {name} {seed}",
                          flush=True)
                done += 1
    print(f"{done - failed} of {done} {options.only}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
