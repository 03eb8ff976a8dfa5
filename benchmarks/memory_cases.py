"""More entries of ``benchmarks/kernels.py``: reductions, order, indexing, optimizers, layout and pointwise work."""

import math

import numpy as np
from kernel_cases import K, M, case


def _simple(family, name, shape, f, reads=None, writes=0, tol=1e-4, dtype=None, size=4):
    """f(E, x) of one array of normal numbers."""
    n = math.prod(shape)

    @case(family, name, reads=size * n if reads is None else reads, writes=writes, tol=tol)
    def make(E):
        x = E.normal(*shape, dtype=dtype)
        return lambda: f(E, x)


# ---------------------------------------------------------------------------------------------------------- reductions

_square = (4 * K, 4 * K)
_simple("reduction", "sum 16M", _square, lambda E, x: x.sum(), tol=1e-3)
_simple("reduction", "sum 4096x4096 dim 0", _square, lambda E, x: x.sum(0))
_simple("reduction", "sum 4096x4096 dim 1", _square, lambda E, x: x.sum(1))
_simple("reduction", "mean 32x64x56x56 of planes", (32, 64, 56, 56), lambda E, x: x.mean((2, 3)), tol=1e-3)
_simple("reduction", "var 4096x4096 dim 1", _square, lambda E, x: x.var(1))
_simple("reduction", "norm 16M", _square, lambda E, x: x.norm(), tol=2e-3)
_simple("reduction", "max 4096x4096 dim 1", _square, lambda E, x: x.max(1))
_simple("reduction", "amax 4096x4096 dim 0", _square, lambda E, x: x.amax(0))
_simple("reduction", "argmax 4096x4096 dim 1", _square, lambda E, x: x.argmax(1))
_simple("reduction", "argmax 4096x4096 dim 0", _square, lambda E, x: x.argmax(0))
_simple("reduction", "amax 1M x 4 dim 1", (M, 4), lambda E, x: x.amax(1), writes=4 * M)
_simple("reduction", "amax 256k x 32 dim 1", (M // 4, 32), lambda E, x: x.amax(1), writes=M)
_simple("reduction", "prod 1M x 3 dim 1", (M, 3), lambda E, x: x.prod(1), writes=4 * M)
_simple("reduction", "logsumexp 4096x1024", (4 * K, K), lambda E, x: x.logsumexp(1))
_simple("reduction", "sum bf16 16M", _square, lambda E, x: x.sum(), dtype="bfloat16", size=2, tol=1e-1)
_simple("reduction", "cumsum 2048x4096 dim 1", (2 * K, 4 * K), lambda E, x: x.cumsum(1), writes=32 * M)
_simple("reduction", "cumsum 2048x4096 dim 0", (2 * K, 4 * K), lambda E, x: x.cumsum(0), writes=32 * M)

# --------------------------------------------------------------------------------------------------------------- order

# Values only are compared: the frameworks may order equal elements differently.
_simple("order", "sort 1M", (1000000,), lambda E, x: x.sort()[0])
_simple("order", "sort 4096x256", (4 * K, 256), lambda E, x: x.sort()[0])
_simple("order", "topk 10 of 2048x4096", (2 * K, 4 * K), lambda E, x: x.topk(10))
_simple("order", "median 1M", (1000001,), lambda E, x: x.median())
_simple("order", "median 4096x255 dim 1", (4 * K, 255), lambda E, x: x.median(1))
_simple("order", "kthvalue 2048x1024", (2 * K, K), lambda E, x: x.kthvalue(100))
_simple("order", "histc 4M", (4 * M,), lambda E, x: x.histc(100, -4.0, 4.0))


@case("order", "argsort int64 1M")
def _(E):
    x = E.integers(-(1 << 60), 1 << 60, M)
    return lambda: x.argsort()


@case("order", "unique int64 1M of 50k")
def _(E):
    x = E.integers(0, 50000, M)
    return lambda: E.T.unique(x)


@case("order", "searchsorted 1M in 100k")
def _(E):
    edges, x = E.normal(100000).sort()[0], E.normal(M)
    return lambda: E.T.searchsorted(edges, x)


@case("order", "bincount 4M of 1000")
def _(E):
    x = E.integers(0, 1000, 4 * M)
    return lambda: x.bincount(minlength=1000)


# ------------------------------------------------------------------------------------------------------------ indexing

@case("indexing", "gather 2048x4096 dim 1", reads=12 * 8 * M, writes=32 * M)
def _(E):
    x, i = E.normal(2 * K, 4 * K), E.integers(0, 4 * K, 2 * K, 4 * K)
    return lambda: x.gather(1, i)


@case("indexing", "index_select 200k of 100kx64", reads=4 * 64 * 100000, writes=4 * 64 * 200000)
def _(E):
    x, i = E.normal(100000, 64), E.integers(0, 100000, 200000)
    return lambda: x.index_select(0, i)


@case("indexing", "scatter_add 200kx64 into 100k", reads=4 * 64 * 200000, writes=4 * 64 * 100000, tol=1e-3)
def _(E):
    x, i = E.normal(200000, 64), E.integers(0, 100000, 200000).unsqueeze(1).expand(-1, 64)
    return lambda: E.T.zeros(100000, 64).scatter_add_(0, i, x)


@case("indexing", "scatter_add 2048x4096 dim 1", reads=12 * 8 * M, writes=32 * M, tol=1e-3)
def _(E):
    x, i = E.normal(2 * K, 4 * K), E.integers(0, 4 * K, 2 * K, 4 * K)
    return lambda: E.T.zeros(2 * K, 4 * K).scatter_add_(1, i, x)


@case("indexing", "index_add 200kx64 into 100k", reads=4 * 64 * 200000, writes=4 * 64 * 100000, tol=1e-3)
def _(E):
    x, i = E.normal(200000, 64), E.integers(0, 100000, 200000)
    return lambda: E.T.zeros(100000, 64).index_add_(0, i, x)


@case("indexing", "embedding 8192 of 50kx256 fwd+bwd", reads=8 * 8192 * 256, writes=4 * (8192 + 50000) * 256)
def _(E):
    w, i = E.normal(50000, 256, grad=True), E.integers(0, 50000, 64, 128)
    return E.backward(lambda: E.F.embedding(i, w), [w], (64, 128, 256))


@case("indexing", "x[i] 200k rows of 100kx64", reads=4 * 64 * 100000, writes=4 * 64 * 200000)
def _(E):
    x, i = E.normal(100000, 64), E.integers(0, 100000, 200000)
    return lambda: x[i]


@case("indexing", "x[i] = y 200k rows", reads=4 * 64 * 100000, writes=4 * 64 * 100000)
def _(E):
    # A permutation: the result must not depend on which of two writes comes last.
    x, y = E.normal(100000, 64), E.normal(100000, 64)
    i = E.tensor(np.random.default_rng(0).permutation(100000))

    def run():
        x[i] = y
        return x
    return run


_simple("indexing", "masked_select 8M", (8 * M,), lambda E, x: x[x > 0], reads=64 * M, writes=16 * M)
_simple("indexing", "masked_fill 8M", (8 * M,), lambda E, x: x.masked_fill(x > 0, 1.0), reads=40 * M, writes=40 * M)
_simple("indexing", "nonzero 8M", (8 * M,), lambda E, x: (x > 1.5).nonzero(), reads=40 * M)

# ---------------------------------------------------------------------------------------------------------- optimizers

def resnet18():
    """Shapes of the 62 parameters of ResNet-18: 11.7 million numbers."""
    shapes = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for c in (64, 128, 256, 512):
        for block in range(2):
            shapes += [(c, before, 3, 3), (c,), (c,), (c, c, 3, 3), (c,), (c,)]
            if block == 0 and c > 64:
                shapes += [(c, before, 1, 1), (c,), (c,)]
            before = c
    return [*shapes, (1000, 512), (1000,)]


MLP = [(128, 784), (128,), (64, 128), (64,), (10, 64), (10,)]


def _optimizer(name, cls, shapes, words, flops=0, **options):
    """words: (read, written) numbers a parameter; flops: of products in bfloat16."""
    size = 4 * sum(math.prod(s) for s in shapes)

    @case("optimizer", name, flops, "bf16", reads=words[0] * size, writes=words[1] * size, tol=1e-3)
    def make(E):
        ps = [E.nn.Parameter(E.normal(*s, scale=0.05)) for s in shapes]
        for p in ps:
            p.grad = E.normal(*p.shape, scale=0.01)
        step = getattr(E.T.optim, cls)(ps, **options).step

        def run():
            step()
            return [ps[0], ps[-1]]
        return run


_big = resnet18()
_optimizer("SGD momentum, ResNet-18", "SGD", _big, (3, 2), lr=1e-3, momentum=0.9)
_optimizer("Adam, ResNet-18", "Adam", _big, (4, 3), lr=1e-4)
_optimizer("AdamW amsgrad, ResNet-18", "AdamW", _big, (5, 4), lr=1e-4, amsgrad=True)
_optimizer("RMSprop momentum, ResNet-18", "RMSprop", _big, (4, 3), lr=1e-4, momentum=0.9)
_optimizer("Adagrad, ResNet-18", "Adagrad", _big, (3, 2), lr=1e-4)
_optimizer("NAdam, ResNet-18", "NAdam", _big, (4, 3), lr=1e-4)
_optimizer("Adam, MLP", "Adam", MLP, (4, 3), lr=1e-4)
_optimizer("SGD, MLP", "SGD", MLP, (2, 1), lr=1e-4)


# Adafactor keeps a mean for each row and each column of the last two dimensions: of 3 x 3 filters 6 for 9 numbers.
_means = sum(math.prod(s[:-1]) + math.prod(s[:-2]) * s[-1] if len(s) > 1 else s[0] for s in _big) / sum(
    math.prod(s) for s in _big)
_optimizer("Adafactor, ResNet-18", "Adafactor", _big, (2 + _means, 1 + _means), lr=1e-3)


def _orthogonalized(shapes, steps=5):
    """Operations of Newton-Schulz iterations: of two of the three products only half is needed, by symmetry."""
    sides = [sorted(s) for s in shapes]
    return sum(steps * (3 * m * m * n + m * m * m) for m, n in sides)


_matrices = [(s[0], math.prod(s[1:])) for s in _big if len(s) > 1]
_optimizer("Muon, ResNet-18 as matrices", "Muon", _matrices, (3, 2), _orthogonalized(_matrices), lr=1e-4)
_optimizer("Muon, 4 x 1000x512", "Muon", [(1000, 512)] * 4, (3, 2), 4 * _orthogonalized([(1000, 512)]), lr=1e-4)


def _sparse(name, shapes, share):
    """Gradients with ``share`` of the first dimension as entries, some of them several times."""
    rows = [(round(s[0] * share), math.prod(s[1:])) for s in shapes]
    # Of n rows drawn m times, 1 - exp(-m / n) are met.
    touched = 4 * sum(s[0] * (1 - math.exp(-share)) * d for s, (_, d) in zip(shapes, rows))
    given = 4 * sum(m * d for m, d in rows)

    @case("optimizer", name, reads=given + 3 * touched, writes=3 * touched, tol=1e-3)
    def make(E):
        ps = [E.nn.Parameter(E.normal(*s, scale=0.05)) for s in shapes]
        for p, (m, _) in zip(ps, rows):
            entries = E.integers(0, p.shape[0], 1, m), E.normal(m, *p.shape[1:], scale=0.01)
            p.grad = E.T.sparse_coo_tensor(*entries, p.shape, check_invariants=False)
        step = E.T.optim.SparseAdam(ps, lr=1e-4).step

        def run():
            step()
            return [ps[0], ps[-1]]
        return run


_sparse("SparseAdam, ResNet-18", _big, 1)
_sparse("SparseAdam, 8192 of 100000x128", [(100000, 128)], 8192 / 100000)


def _lbfgs(name, shapes, iterations, history, line_search=None):
    """From a start, some iterations on a quadratic function of separate numbers, whose gradient is one product."""
    size = 4 * sum(math.prod(s) for s in shapes)
    # (read, written) vectors: the start; each evaluation, its gradient as one vector, and the move; then with k changes
    # in memory the newest, and 2 k + 1 passes of the two loops.
    words = [(1, 1), *[(5, 3)] * iterations, (1, 1)]
    words += [(5 + 6 * min(k, history), 3 + 2 * min(k, history)) for k in range(1, iterations)]
    reads, writes = (size * sum(x) for x in zip(*words))

    @case("optimizer", name, reads=reads, writes=writes, tol=1e-2)
    def make(E):
        ps = [E.nn.Parameter(E.normal(*s, scale=0.05)) for s in shapes]
        starts, scales = [p.detach().clone() for p in ps], [E.normal(*s).abs() + 0.5 for s in shapes]
        optimizer = E.T.optim.LBFGS(ps, max_iter=iterations, history_size=history, tolerance_grad=0,
                                    tolerance_change=0, line_search_fn=line_search)
        loss = [0.0]

        def closure():
            loss[0] -= 1.0
            for p, s in zip(ps, scales):
                p.grad = E.T.mul(p.detach(), s, out=p.grad)
            return E.T.tensor(loss[0])

        def run():
            with E.T.no_grad():
                for p, start in zip(ps, starts):
                    p.copy_(start)
                    p.grad = E.T.zeros_like(p) if p.grad is None else p.grad
            optimizer.state.clear()
            optimizer.step(closure)
            return [ps[0], ps[-1]]
        return run


_lbfgs("LBFGS 6 iterations, ResNet-18", _big, 6, 10)


@case("optimizer", "clip_grad_norm_, ResNet-18")
def _(E):
    ps = [E.nn.Parameter(E.T.zeros(*s)) for s in _big]
    for p in ps:
        p.grad = E.normal(*p.shape, scale=0.01)
    return lambda: E.nn.utils.clip_grad_norm_(ps, 1e9)


# -------------------------------------------------------------------------------------------------------------- layout

_simple("layout", "transpose copy 4096", _square, lambda E, x: x.t().contiguous(), writes=64 * M)
_simple("layout", "NCHW to NHWC 32x64x56x56", (32, 64, 56, 56), lambda E, x: x.permute(0, 2, 3, 1).contiguous(),
        writes=4 * 32 * 64 * 56 * 56)
_simple("layout", "cat dim 0, 4 x 4M", (4 * M,), lambda E, x: E.T.cat([x, x, x, x]), writes=64 * M)
_simple("layout", "cat dim 1, 4 x 4096x1024", (4 * K, K), lambda E, x: E.T.cat([x, x, x, x], 1), writes=64 * M)
_simple("layout", "f32 to bf16 16M", _square, lambda E, x: x.bfloat16(), writes=32 * M, tol=1e-2)
_simple("layout", "bf16 to f32 16M", _square, lambda E, x: x.float(), writes=64 * M, dtype="bfloat16", size=2)
_simple("layout", "clone 16M", _square, lambda E, x: x.clone(), writes=64 * M)
_simple("layout", "flip 16M", _square, lambda E, x: x.flip(1), writes=64 * M)
_simple("layout", "zero_ 16M", _square, lambda E, x: x.zero_(), reads=0, writes=64 * M)
_simple("layout", "pad reflect 32x64x56x56", (32, 64, 56, 56), lambda E, x: E.F.pad(x, (3, 3, 3, 3), mode="reflect"),
        writes=4 * 32 * 64 * 62 * 62)
_simple("layout", "pad 32x64x56x56", (32, 64, 56, 56), lambda E, x: E.F.pad(x, (1, 1, 1, 1)),
        writes=4 * 32 * 64 * 58 * 58)


@case("layout", "full 16M", writes=64 * M)
def _(E):
    return lambda: E.T.full((16 * M,), 1.5)


# ----------------------------------------------------------------------------------------------------------- pointwise

def _pair(name, shape, other, f, reads, writes, dtype=None, tol=1e-4):
    @case("pointwise", name, reads=reads, writes=writes, tol=tol)
    def make(E):
        x, y = E.normal(*shape, dtype=dtype), E.normal(*other, dtype=dtype)
        return lambda: f(E, x, y)


_pair("add 16M", (16 * M,), (16 * M,), lambda E, x, y: x + y, 128 * M, 64 * M)
_pair("add_ 16M", (16 * M,), (16 * M,), lambda E, x, y: x.mul_(0.5).add_(y), 192 * M, 128 * M)
_pair("add 4096x4096 + row", _square, (4 * K,), lambda E, x, y: x + y, 64 * M, 64 * M)
_pair("add 64x64", (64, 64), (64, 64), lambda E, x, y: x + y, 0, 0)
_pair("mul bf16 16M", (16 * M,), (16 * M,), lambda E, x, y: x * y, 64 * M, 32 * M, "bfloat16", 1e-2)
_pair("where 8M", (8 * M,), (8 * M,), lambda E, x, y: E.T.where(x > y, x, y), 136 * M, 40 * M)
_simple("pointwise", "exp 4M", (4 * M,), lambda E, x: x.exp(), writes=16 * M)
_simple("pointwise", "gelu 4M", (4 * M,), lambda E, x: E.F.gelu(x), writes=16 * M)
_simple("pointwise", "sin 4M", (4 * M,), lambda E, x: x.sin(), writes=16 * M)
_simple("pointwise", "sigmoid bf16 4M", (4 * M,), lambda E, x: x.sigmoid(), writes=8 * M,
        dtype="bfloat16", size=2, tol=1e-2)
_simple("pointwise", "pow 2.5 4M", (4 * M,), lambda E, x: x.abs().pow(2.5), reads=32 * M, writes=32 * M)
_simple("pointwise", "x[:, :60] + x[:, 4:] 128k x 64", (M // 8, 64), lambda E, x: x[:, :60] + x[:, 4:], writes=30 * M)
_simple("pooling", "max_pool1d 3/3 8x256x1024", (8, 256, K), lambda E, x: E.F.max_pool1d(x, 3),
        writes=4 * 8 * 256 * 341)


@case("pointwise", "add out= 4M", reads=32 * M, writes=16 * M)
def _add_out(E):
    x, y, out = (E.normal(4 * M) for _ in range(3))
    return lambda: E.T.add(x, y, out=out)


_simple("pointwise", "tanh(x*a+b)*x 4M", (4 * M,), lambda E, x: E.T.tanh(x * 1.5 + 0.25) * x,
        reads=80 * M, writes=64 * M)


@case("pointwise", "gelu 4M fwd+bwd", reads=48 * M, writes=32 * M)
def _(E):
    x = E.normal(4 * M, grad=True)
    return E.backward(lambda: E.F.gelu(x), [x], (4 * M,))


@case("pointwise", "tanh(x*a+b)*x 4M fwd+bwd", reads=224 * M, writes=144 * M)
def _(E):
    x = E.normal(4 * M, grad=True)
    return E.backward(lambda: E.T.tanh(x * 1.5 + 0.25) * x, [x], (4 * M,))


@case("pointwise", "int64 add 8M", reads=128 * M, writes=64 * M)
def _(E):
    x, y = (E.integers(-1000, 1000, 8 * M, dtype=np.int64) for _ in range(2))
    return lambda: x + y
