"""What nodes are called and lead to, for many operations."""

_SETUP = """
x = torch.tensor([[0.3, 0.8, 1.4], [2.1, 0.6, 0.9]], requires_grad=True)
y = torch.tensor([[1.3, 0.2, 0.4], [1.1, 1.6, 0.5]], requires_grad=True)
w = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]], requires_grad=True)
v = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
s = torch.tensor([[2.0, 0.5], [0.5, 1.0]], requires_grad=True)
im = torch.arange(32.0).reshape(1, 2, 4, 4).requires_grad_()
k = torch.ones(3, 2, 3, 3, requires_grad=True)
i = torch.tensor([[0, 1, 0]])
F = torch.nn.functional
"""
_EXPRESSIONS = """
x + y
x - y
1 - x
x * y
x / y
x ** 2
x ** y
2 ** x
-x
x.abs()
x.exp()
x.expm1()
x.log()
x.log1p()
x.sqrt()
x.rsqrt()
x.sin()
x.cos()
x.tanh()
x.sigmoid()
x.relu()
x.reciprocal()
x.square()
x.erf()
x.floor()
x.sign()
x.clamp(0.5, 1)
x.clamp(min=0.5)
x.sum()
x.sum(1)
x.mean()
x.mean(0)
x.prod()
x.prod(1)
x.max()
x.max(1)[0]
x.amax(1)
x.min()
x.median()
x.var(1)
x.std()
x.norm()
x.logsumexp(1)
x.softmax(1)
x.log_softmax(1)
x.cumsum(1)
x.cumprod(1)
x.sort(1)[0]
x.topk(2)[0]
x.t()
x.T
x.transpose(0, 1)
x.permute(1, 0)
x.view(6)
x.reshape(3, 2)
x.t().reshape(6)
x.flatten()
x.unsqueeze(0)
x.unsqueeze(0).squeeze(0)
x.expand(4, 2, 3)
x.repeat(2, 1)
x[0]
x[:, 1:]
x[i[0, :1]]
x[x > 0.7]
x.select(0, 1)
x.narrow(1, 0, 2)
x.split(1, 1)[1]
x.unbind(0)[1]
x.chunk(3, 1)[0]
x.gather(0, i)
x.scatter(0, i, y)
x.index_select(1, i[0])
x.masked_fill(x > 1, 0.0)
x.masked_select(x > 1)
x.clone()
x.double()
x.contiguous()
x.t().contiguous()
x.diagonal()
x.tril()
x.flip(0)
x.roll(1)
x @ w
x @ v
v @ v
torch.mm(x, w)
torch.bmm(x[None], w[None])
torch.addmm(s, x, w)
torch.cat([x, y])
torch.stack([x, y])
torch.where(x > 1, x, y)
torch.maximum(x, y)
torch.atan2(x, y)
torch.lerp(x, y, 0.3)
torch.addcmul(x, x, y)
torch.linalg.inv(s)
torch.linalg.det(s)
torch.linalg.cholesky(s)
torch.meshgrid(v, v, indexing='ij')[0]
F.gelu(x)
F.silu(x)
F.elu(x)
F.leaky_relu(x)
F.softplus(x)
F.hardtanh(x)
F.logsigmoid(x)
F.prelu(x, v[:1])
F.conv2d(im, k)
F.max_pool2d(im, 2)
F.avg_pool2d(im, 2)
F.adaptive_avg_pool2d(im, 1)
F.batch_norm(im, None, None, training=True)
F.layer_norm(x, (3,))
F.embedding(i, x)
F.mse_loss(x, y)
F.l1_loss(x, y)
F.smooth_l1_loss(x, y)
F.cross_entropy(x, i[0, :2])
F.nll_loss(x, i[0, :2])
F.binary_cross_entropy_with_logits(x, y.detach())
F.pad(x, (1, 1))
F.interpolate(im, scale_factor=2, mode='bilinear')
F.unfold(im, 2)
""".strip().splitlines()


def _scope(torch):
    scope = {"torch": torch}
    exec(_SETUP, scope)
    return scope


def _walk(fn, depth):
    if fn is None:
        return None
    name = fn.name()
    if depth == 0 or not fn.next_functions:
        return name
    return [name, [[_walk(f, depth - 1), nr] for f, nr in fn.next_functions if f is not None]]


def _make(index, code):
    def case(torch):
        return _walk(eval(code, _scope(torch)).grad_fn, 2)
    case.__name__ = f"node_{index}"
    return case


for _index, _code in enumerate(_EXPRESSIONS):
    globals()["of " + _code] = _make(_index, _code)
del _index, _code
