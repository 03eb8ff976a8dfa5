"""Autocast against PyTorch: result types op by op, module outputs and gradients of small networks, training."""

import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X, Q = RNG.standard_normal((4, 3)).astype("f"), RNG.standard_normal((1, 2, 6, 4)).astype("f")
IMG, VOL = RNG.standard_normal((1, 2, 6, 6)).astype("f"), RNG.standard_normal((1, 2, 4, 4, 4)).astype("f")
SPD = X[:3] @ X[:3].T + np.eye(3, dtype="f")

CASES = {
    "mm": lambda T, F, x, _: x @ x.t(), "mv": lambda T, F, x, _: T.mv(x, x[0]),
    "matmul vectors": lambda T, F, x, _: x[0] @ x[0], "dot": lambda T, F, x, _: T.dot(x[0], x[0]),
    "inner 1": lambda T, F, x, _: T.inner(x[0], x[0]), "inner 2": lambda T, F, x, _: T.inner(x, x),
    "tensordot": lambda T, F, x, _: T.tensordot(x, x.t(), 1), "outer": lambda T, F, x, _: T.outer(x[0], x[0]),
    "einsum product": lambda T, F, x, _: T.einsum("ij,kj->ik", x, x),
    "einsum outer": lambda T, F, x, _: T.einsum("i,j->ij", x[0], x[0]),
    "einsum sum": lambda T, F, x, _: T.einsum("ij->j", x),
    "linear mixed": lambda T, F, x, a: F.linear(x, a(X), a(X[:, 0])),
    "prelu": lambda T, F, x, a: F.prelu(x, a(X[0, :1])), "addmv": lambda T, F, x, a: T.addmv(x[:, 0], x, x[0]),
    "cross_entropy": lambda T, F, x, a: F.cross_entropy(x, T.tensor([0, 1, 2, 0])),
    "cross_entropy smooth": lambda T, F, x, a: F.cross_entropy(x, T.tensor([0, 1, 2, 0]), label_smoothing=0.1),
    "nll_loss": lambda T, F, x, a: F.nll_loss(x, T.tensor([0, 1, 2, 0])),
    "mse_loss": lambda T, F, x, a: F.mse_loss(x, a(X) + 1), "l1_loss": lambda T, F, x, a: F.l1_loss(x, a(X) + 1),
    "bce logits": lambda T, F, x, a: F.binary_cross_entropy_with_logits(x, a(X).sigmoid()),
    "softmax": lambda T, F, x, a: F.softmax(x, -1), "gelu": lambda T, F, x, a: F.gelu(x),
    "log_softmax": lambda T, F, x, a: x.log_softmax(-1), "sum": lambda T, F, x, a: x.sum(),
    "layer_norm": lambda T, F, x, a: F.layer_norm(x, (3,), a(X[0]), a(X[1])),
    "rms_norm": lambda T, F, x, a: F.rms_norm(x, (3,), a(X[0])),
    "batch_norm": lambda T, F, x, a: F.batch_norm(x, None, None, a(X[0]), a(X[1]), True),
    "prod": lambda T, F, x, a: x.prod(), "trace": lambda T, F, x, a: x.trace(),
    "cat": lambda T, F, x, a: T.cat([x, a(X)]), "stack": lambda T, F, x, a: T.stack([x, a(X)]),
    "index_copy": lambda T, F, x, a: a(X).index_copy(0, T.tensor([0]), x[:1]),
    "quantile": lambda T, F, x, a: T.quantile(x, 0.5), "cdist": lambda T, F, x, a: T.cdist(x, a(X)),
    "cumsum": lambda T, F, x, a: x.cumsum(0), "norm": lambda T, F, x, a: x.norm(),
    "fft": lambda T, F, x, a: T.fft.fft(x), "multi_dot": lambda T, F, x, a: T.linalg.multi_dot([x, x.t()]),
    "cov": lambda T, F, x, a: T.cov(x), "matrix_power": lambda T, F, x, a: T.matrix_power(x[:3], 2),
}
SQUARE = {name: (lambda name: lambda T, F, x, a: getattr(T.linalg, name)(x))(name)
          for name in ("inv", "qr", "eigh", "svdvals", "cholesky")}
IMAGES = {
    "conv2d": lambda T, F, x, a: F.conv2d(x, a(IMG)[:, :, :3, :3]),
    "conv_transpose2d": lambda T, F, x, a: F.conv_transpose2d(x, a(IMG)[0][:, None, :2, :2]),
    "interpolate": lambda T, F, x, a: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "reflect": lambda T, F, x, a: F.pad(x, (1, 1), mode="reflect"),
    "replicate": lambda T, F, x, a: F.pad(x, (1, 1), mode="replicate"),
    "constant": lambda T, F, x, a: F.pad(x, (1, 1)), "max_pool2d": lambda T, F, x, a: F.max_pool2d(x, 2),
    "attention": lambda T, F, x, a: F.scaled_dot_product_attention(x, a(IMG), a(IMG)),
    "grid_sample": lambda T, F, x, a: F.grid_sample(x, a(IMG)[:, :1, :, :2], align_corners=False),
}
VOLUMES = {
    "avg_pool3d": lambda T, F, x, a: F.avg_pool3d(x, 2), "max_pool3d": lambda T, F, x, a: F.max_pool3d(x, 2),
    "reflect3": lambda T, F, x, a: F.pad(x, (1,) * 6, mode="reflect"),
    "replicate3": lambda T, F, x, a: F.pad(x, (1,) * 6, mode="replicate"),
}
EVERY = [(k, f, X) for k, f in CASES.items()] + [(k, f, SPD) for k, f in SQUARE.items()] + [
    (k, f, IMG) for k, f in IMAGES.items()] + [(k, f, VOL) for k, f in VOLUMES.items()]


def found(T, f, x, dtype):
    with T.autocast("cpu"):
        try:
            r = f(T, T.nn.functional, T.tensor(x).to(getattr(T, dtype)), T.tensor)
        except (RuntimeError, NotImplementedError):
            return "raised", None
    r = r if isinstance(r, tuple) else (r,)
    return [str(t.dtype) for t in r], r[0].detach()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name,f,x", EVERY, ids=[c[0] for c in EVERY])
def test_result_types(name, f, x, dtype):
    ours, theirs = found(rushlight, f, x, dtype), found(torch, f, x, dtype)
    assert ours[0] == theirs[0]
    if theirs[1] is not None and not theirs[1].is_complex() and name != "qr":
        a, b = ours[1].double().numpy(), theirs[1].double().numpy()
        assert np.allclose(a, b, rtol=2e-2, atol=2e-2 * max(1.0, np.abs(b).max()))


def mlp(T):
    n = T.nn
    return n.Sequential(n.Linear(6, 16), n.LayerNorm(16), n.GELU(), n.Dropout(0.0), n.Linear(16, 4))


def convnet(T):
    n = T.nn
    return n.Sequential(n.Conv2d(2, 4, 3, padding=1), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2), n.Conv2d(4, 8, 3),
                        n.GroupNorm(2, 8), n.SiLU(), n.AdaptiveAvgPool2d(1), n.Flatten(), n.Linear(8, 4))


def transformer(T):
    n = T.nn
    return n.Sequential(n.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), n.Flatten(),
                        n.Linear(40, 4))


def lstm(T):
    class Last(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = T.nn.LSTM(6, 8, batch_first=True), T.nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])
    return Last()


NETWORKS = {"mlp": (mlp, (8, 6)), "convnet": (convnet, (8, 2, 8, 8)), "transformer": (transformer, (8, 5, 8)),
            "lstm": (lstm, (8, 5, 6))}


def twins(make):
    T = torch
    T.manual_seed(0)
    theirs, ours = make(torch), make(rushlight)
    ours.load_state_dict({k: rushlight.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def passes(T, net, x, target):
    """(types of module outputs, loss, gradients) of one pass under autocast."""
    kinds = []

    def note(module, args, out):
        out = out[0] if isinstance(out, tuple) else out
        kinds.append((type(module).__name__, str(out.dtype), tuple(out.shape)))
    handles = [m.register_forward_hook(note) for m in net.modules()]
    with T.autocast("cpu"):
        loss = T.nn.functional.cross_entropy(net(T.tensor(x)), T.tensor(target))
    loss.backward()
    for h in handles:
        h.remove()
    return kinds, loss, [p.grad for p in net.parameters()]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_under_autocast(name):
    make, shape = NETWORKS[name]
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal(shape).astype("f"), rng.integers(0, 4, shape[0])
    ours, theirs = twins(make)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = passes(rushlight, ours, x, target), passes(torch, theirs, x, target)
    assert a[0] == b[0]
    assert str(a[1].dtype) == str(b[1].dtype) and abs(a[1].item() - b[1].item()) < 2e-2
    largest = max(float(g.abs().max()) for g in b[2])
    for g, h in zip(a[2], b[2]):
        assert str(g.dtype) == str(h.dtype) == "torch.float32"
        assert np.abs(g.numpy() - h.numpy()).max() < 3e-2 * largest


@pytest.mark.parametrize("name", NETWORKS)
def test_training_with_a_scaler_follows_pytorch(name):
    make, shape = NETWORKS[name]
    rng = np.random.default_rng(2)
    x, target = rng.standard_normal(shape).astype("f"), rng.integers(0, 4, shape[0])
    courses = []
    for T, net in zip((rushlight, torch), twins(make)):
        optimizer, scaler = T.optim.SGD(net.parameters(), lr=0.1), T.amp.GradScaler("cpu", growth_interval=3)
        losses = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(8):
                optimizer.zero_grad()
                with T.autocast("cpu", dtype=T.bfloat16):
                    loss = T.nn.functional.cross_entropy(net(T.tensor(x)), T.tensor(target))
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                T.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                losses.append(loss.item())
        courses.append((losses, scaler.state_dict()))
    (ours, state), (theirs, state_there) = courses
    assert state == state_there
    assert ours[-1] < ours[0] and np.allclose(ours, theirs, atol=3e-2)


@pytest.mark.parametrize("low", ["bfloat16", "float16"])
@pytest.mark.parametrize("packed, projected", [(False, 0), (True, 0), (False, 3), (True, 3)])
def test_types_of_lstm_states(low, packed, projected):
    def run(F, own, given):
        d = getattr(F, low)
        layer = F.nn.LSTM(4, 6, proj_size=projected).to(d if own else F.float32)
        x = F.ones(5, 3, 4, dtype=d if given else F.float32)
        with F.autocast("cpu", d):
            if packed:
                x = F.nn.utils.rnn.pack_padded_sequence(x, [5, 4, 2])
            try:
                y, (h, c) = layer(x)
            except RuntimeError as error:
                return str(error)[:60]
        return [str(t.dtype).split(".")[1] for t in (y.data if packed else y, h, c)]
    for own in (False, True):
        for given in (False, True):
            assert run(rushlight, own, given) == run(torch, own, given)


@pytest.mark.parametrize("hermitian", [False, True])
def test_pseudo_inverse(hermitian):
    def run(F, d):
        with F.autocast("cpu", F.bfloat16):
            y = F.linalg.pinv(F.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=d), hermitian=hermitian)
        return str(y.dtype).split(".")[1], np.asarray(y.double())
    for d in ("float32", "float64"):
        ours, theirs = (run(F, getattr(F, d)) for F in (rushlight, torch))
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], atol=0.02)
