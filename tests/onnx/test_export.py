"""Exported graphs beside the models: the checker accepts them, and they compute the same at several sizes."""

import io

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight.utils import _pytree as pytree

onnx = pytest.importorskip("onnx")


class Call(nn.Module):
    """A function as a module, with further modules that it uses."""

    def __init__(self, f, *parts):
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, *args):
        return self.f(*self.parts, *args)


def runners(model):
    """The functions that run a graph on named arrays: ONNX Runtime where it is there, else the reference."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator
        return ReferenceEvaluator(model).run
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run


def check(model, args, free=None, others=(), tolerance=1e-4, **options):
    """Export, check, and compare on the example and on further arguments; the program."""
    names = [f"in{k}" for k in range(len(args))]
    program = torch.onnx.export(model, args, input_names=names, dynamic_axes=free, **options)
    onnx.checker.check_model(program.model_proto, full_check=True)
    run = runners(program.model_proto)
    model.eval()
    for given in (args, *others):
        expected = pytree.tree_leaves(model(*given))
        found = run(None, {n: x.numpy() for n, x in zip(names, given)})
        assert len(found) == len(expected)
        for mine, other in zip(found, expected):
            other = other.detach().numpy()
            assert mine.shape == other.shape and mine.dtype == other.dtype
            np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)
    return program


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(7)


BATCH = {"in0": {0: "batch"}}
BOTH = {"in0": {0: "batch", 1: "length"}}


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_convolutional_network(opset):
    if opset < 14:                      # the reference normalizes by the batch there
        pytest.importorskip("onnxruntime")
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
                        nn.Dropout(), nn.Conv2d(4, 4, 3, groups=2), nn.Hardtanh(), nn.AdaptiveAvgPool2d(1),
                        nn.Flatten(), nn.Linear(4, 5), nn.LogSoftmax(1))
    program = check(net, (torch.randn(2, 3, 8, 8),), BATCH, [(torch.randn(5, 3, 8, 8),)], opset_version=opset)
    model = program.model_proto
    assert model.opset_import[0].version == opset and model.producer_name == "rushlight" and model.ir_version >= 8
    weights = {t.name for t in model.graph.initializer}
    assert {"0.weight", "0.bias", "1.running_mean", "9.weight"} <= weights
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", 3, 8, 8]
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not any(n.op_type == "Dropout" for n in model.graph.node)


def test_free_image_sizes():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Sigmoid(), nn.Upsample(scale_factor=2),
                        nn.ConvTranspose2d(2, 1, 2, stride=2))
    check(net, (torch.randn(1, 1, 8, 8),), {"in0": {0: "n", 2: "height", 3: "width"}},
          [(torch.randn(2, 1, 12, 6),), (torch.randn(1, 1, 16, 16),)])


def test_view_with_a_free_batch():
    fixed = Call(lambda fc, x: fc(x.view(-1, 2 * 3 * 4)), nn.Linear(24, 2))
    check(fixed, (torch.randn(1, 2, 3, 4),), BATCH, [(torch.randn(6, 2, 3, 4),)])
    taken = Call(lambda fc, x: fc(x.view(x.size(0), -1)), nn.Linear(24, 2))
    check(taken, (torch.randn(2, 2, 3, 4),), BATCH, [(torch.randn(6, 2, 3, 4),), (torch.randn(1, 2, 3, 4),)])
    folded = Call(lambda x: x.reshape(x.shape[0] * x.shape[1], 2, 2).sum(0))
    check(folded, (torch.randn(2, 3, 4),), BOTH, [(torch.randn(4, 5, 4),)])


class Language(nn.Module):
    """A small language model: positions by a buffer, a causal mask made of sizes, attention by hand and by function."""

    def __init__(self):
        super().__init__()
        self.tokens, self.qkv, self.norm = nn.Embedding(11, 8), nn.Linear(8, 24), nn.LayerNorm(8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("places", torch.randn(1, 64, 8))

    def forward(self, ids):
        batch, length = ids.shape
        x = self.tokens(ids) + self.places[:, :length]
        q, k, v = [y.view(batch, length, 2, 4).transpose(1, 2) for y in self.qkv(self.norm(x)).split(8, dim=2)]
        later = torch.triu(torch.ones(length, length), 1).bool()
        weights = (q @ k.transpose(-2, -1) / 2.0).masked_fill(later, float("-inf")).softmax(-1)
        x = x + (weights @ v).transpose(1, 2).contiguous().view(batch, length, 8)
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, 8)
        return self.head(x), torch.arange(length), torch.zeros(batch, 1)


@pytest.mark.parametrize("example", [(2, 3), (1, 4)])
def test_language_model_with_free_batch_and_length(example):
    def ids(*shape):
        return (torch.randint(0, 11, shape),)
    program = check(Language(), ids(*example), BOTH, [ids(4, 7), ids(1, 1), ids(3, 30)])
    names = [t.name for t in program.model_proto.graph.initializer]
    assert names.count("tokens.weight") == 1 and "head.weight" not in names


class UNet(nn.Module):
    """Halves and doubles an image, with paddings that are computed of sizes."""

    def __init__(self):
        super().__init__()
        self.down, self.middle = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        first = self.down(x).relu()
        y = F.interpolate(self.middle(F.max_pool2d(first, 2)).relu(), scale_factor=2)
        high, wide = first.size(2) - y.size(2), first.size(3) - y.size(3)
        y = F.pad(y, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
        return self.out(torch.cat([first, y], 1)), x.mean((2, 3)) * x.shape[2] ** -0.5


def test_sizes_that_are_computed():
    check(UNet(), (torch.randn(1, 3, 8, 8),), {"in0": {0: "n", 2: "h", 3: "w"}},
          [(torch.randn(2, 3, 9, 13),), (torch.randn(1, 3, 12, 7),)])

    def f(x):
        rows, columns = x.shape[1:]
        grid = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), 2)
        return (grid, torch.eye(rows, columns), torch.zeros(rows * columns), x[:, :rows // 2], x.unfold(2, 3, 2),
                torch.full((columns,), rows), x.view(x.size(0), -1).topk(3)[0], x / rows, torch.cat([x[:, :1], x], 1))
    check(Call(f), (torch.randn(2, 6, 7),), {"in0": {0: "n", 1: "r", 2: "c"}},
          [(torch.randn(3, 10, 8),), (torch.randn(1, 5, 12),)])


def test_many_free_sizes():
    def joined(a, b, c):
        n, t1, size = a.shape
        t2 = b.shape[1]
        x = torch.cat([a, b], 1).view(n, -1, 2, size // 2).transpose(1, 2).reshape(n * 2, t1 + t2, size // 2)
        far = torch.arange(t1 + t2)[None, :] - torch.arange(t1 + t2)[:, None]
        outer = a.unsqueeze(2) * b.unsqueeze(1)
        return ((x @ x.transpose(1, 2)).view(n, 2, t1 + t2, t1 + t2).tril(), far.clamp(-2, 2), torch.zeros(t1 * t2),
                torch.zeros(n, c.shape[0]) + c, outer.reshape(n, t1 * t2, size), torch.full((n,), t1 + t2), x[:, t1:])

    def some(n, t1, t2, k):
        return torch.randn(n, t1, 4), torch.randn(n, t2, 4), torch.randn(k)
    free = {"in0": {0: "n", 1: "t1"}, "in1": {0: "n", 1: "t2"}, "in2": {0: "k"}}
    for example in ((2, 3, 5, 7), (1, 1, 1, 1)):
        check(Call(joined), some(*example), free, [some(3, 6, 2, 4), some(1, 4, 1, 1)])


def test_sizes_that_must_be_multiples():
    def windows(x, w=4):
        n, c, height, width = x.shape
        y = x.view(n, c, height // w, w, width // w, w).permute(0, 2, 4, 3, 5, 1).reshape(-1, w * w, c).softmax(-1)
        y = y.view(n, height // w, width // w, w, w, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, height, width)
        return y, y.roll((-2, -2), (2, 3))
    check(Call(windows), (torch.randn(1, 3, 8, 8),), {"in0": {0: "n", 2: "h", 3: "w"}},
          [(torch.randn(2, 3, 16, 12),), (torch.randn(1, 3, 4, 20),)])


def test_random_numbers_are_drawn_by_the_graph():
    program = torch.onnx.export(Call(lambda x: torch.randn_like(x) + torch.rand(x.shape) + x), (torch.zeros(100, 3),),
                                dynamic_shapes=({0: "n"},))
    kinds = [n.op_type for n in program.model_proto.graph.node]
    assert "RandomNormalLike" in kinds and "RandomUniformLike" in kinds
    first, second = (program(torch.zeros(2000, 3))[0].numpy() for _ in range(2))
    assert not np.array_equal(first, second) and abs(first.mean() - 0.5) < 0.1 and 0.8 < first.std() < 1.3


def test_dropout_while_training():
    net = nn.Dropout(0.25)
    program = torch.onnx.export(net, (torch.ones(4, 3),), training=torch.onnx.TrainingMode.TRAINING,
                                dynamic_shapes=({0: "n"},))
    y = program(torch.ones(4000, 3))[0].numpy()
    assert np.allclose(np.unique(y), [0, 4 / 3]) and abs((y == 0).mean() - 0.25) < 0.03
    assert [n.op_type for n in torch.onnx.export(net, (torch.ones(4, 3),)).model_proto.graph.node] == ["Identity"]


def test_transformer_layers():
    x, more = (torch.randn(2, 4, 8),), (torch.randn(3, 6, 8),)
    check(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2), x, BOTH, [more])
    check(Call(lambda m, x: m(x, x, x), nn.MultiheadAttention(8, 2, batch_first=True)), x, BOTH, [more])
    grouped = Call(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True))
    check(grouped, (torch.randn(2, 4, 3, 8), torch.randn(2, 2, 5, 8)),
          {"in0": {0: "n", 2: "t"}, "in1": {0: "n", 2: "s"}}, [(torch.randn(1, 4, 7, 8), torch.randn(1, 2, 2, 8))])
    decoder = nn.TransformerDecoderLayer(8, 2, 12, batch_first=True)
    check(decoder, (*x, torch.randn(2, 5, 8)), {"in0": {0: "n", 1: "t"}, "in1": {0: "n", 1: "s"}},
          [(*more, torch.randn(3, 2, 8))])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind):
    check(kind(4, 3, 2, batch_first=True, bidirectional=True), (torch.randn(2, 5, 4),), BOTH, [(torch.randn(3, 7, 4),)])
    check(kind(4, 3), (torch.randn(5, 2, 4),), {"in0": {0: "t", 1: "n"}}, [(torch.randn(2, 3, 4),)])
    program = check(kind(4, 3, bias=False), (torch.randn(5, 2, 4),))
    assert [n.op_type for n in program.model_proto.graph.node].count(kind.__name__) == 1


OPS = {
    "arithmetic": lambda x: (x + 1, 2 - x, x * x, x / 3, -x, x ** 2, x.abs() ** 0.5, x // 2, x % 2, torch.fmod(x, 2)),
    "functions": lambda x: (x.exp(), x.abs().log1p(), x.sin(), x.tanh(), x.sigmoid(), torch.erf(x), x.sign(),
                            x.trunc()),
    "activations": lambda x: (F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.leaky_relu(x), F.elu(x),
                              F.selu(x), F.hardswish(x), F.mish(x), F.softplus(x), F.relu6(x), F.glu(x, 3),
                              F.softshrink(x)),
    "comparisons": lambda x: (x > 0, x <= 0.5, x == x, x != 0, (x > 0) & ~(x > 1), torch.where(x > 0, x, -x)),
    "integers": lambda x: ((x * 10).long() // 3, (x * 10).long() % 3, (x * 10).int() + 1, (x > 0).long()),
    "reductions": lambda x: (x.sum(1), x.mean((1, 2), True), x.max(), x.amax(1), x.prod(1), x.logsumexp(1), x.std(1),
                             x.var(0), x.norm(dim=1), (x > 0).any(), (x > -9).all(1), x.argmax(1)),
    "shapes": lambda x: (x.transpose(1, 2), x.permute(0, 2, 3, 1), x.flatten(1), x.unsqueeze(0), x[:, :1].squeeze(1),
                         x[:, :1].expand(-1, 3, -1, -1), x.repeat(1, 2, 1, 1), x.movedim(1, 2), x.flip(1),
                         x.roll(1, 2)),
    "parts": lambda x: (x[0], x[:, 1:3], x[..., ::2], x[:, -1], x.split(1, 1), x.chunk(2, 3), x.unbind(1),
                        x.unfold(3, 2, 1), x.diagonal(0, 2, 3), x[:, [0, 2]], x[:, [0, 1], [2, 3]], x[x > 0]),
    "joining": lambda x: (torch.cat([x, x]), torch.stack([x, x], 1), torch.cat([x, x], -1)),
    "indices": lambda x: (x.gather(1, (x > 0).long()), x.index_select(1, torch.tensor([1, 0])), x.topk(2, 3), x.sort(1),
                          x.masked_fill(x > 0, 1.), (x > 0).nonzero(), F.one_hot(x.argmax(1), 3), x.cumsum(1),
                          torch.zeros_like(x).scatter(1, (x > 0).long(), x)),
    "in place": lambda x: (_set(x, 0, 1.), _set(x, (slice(None), slice(1, 2)), 2.), x.clone().add_(1).mul_(2),
                           _set(x, x > 0, 0.), _set(x, (slice(None), [0, 1]), 1.)),
    "products": lambda x: (x @ x, x @ x.transpose(-1, -2), torch.einsum("bchw,bdhw->bcd", x, x),
                           torch.bmm(x[:, 0], x[:, 1]), F.cosine_similarity(x, x + 1), F.normalize(x)),
    "pooling": lambda x: (F.avg_pool2d(x, 2), F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
                          F.max_pool2d(x, 3, 2, 1, ceil_mode=True), F.max_pool2d(x, 2, return_indices=True),
                          F.adaptive_avg_pool2d(x, (3, 5)), F.adaptive_max_pool2d(x, 3), F.max_pool1d(x[:, 0], 2)),
    "normalizations": lambda x: (F.layer_norm(x, (8,)), F.group_norm(x, 3), F.instance_norm(x), F.rms_norm(x, (8,)),
                                 F.local_response_norm(x, 2), F.softmax(x, 1), F.log_softmax(x, 3)),
    "images": lambda x: (F.interpolate(x, scale_factor=2, mode="bilinear"), F.interpolate(x, size=(5, 11)),
                         F.interpolate(x, size=(12, 12), mode="bicubic"), F.pad(x, (1, 2, 0, 1)),
                         F.pad(x, (1, 1, 2, 1), mode="reflect"), F.pad(x, (1, 1, 1, 1), mode="circular"),
                         F.pixel_shuffle(torch.cat([x, x[:, :1]], 1), 2), F.unfold(x, 2)),
    "convolutions": lambda x: (F.conv1d(x[:, 0], torch.ones(2, 8, 3)),
                               F.conv3d(x[:, :, None], torch.ones(1, 3, 1, 2, 2)),
                               F.conv_transpose2d(x, torch.ones(3, 2, 3, 3), stride=2, padding=1, output_padding=1),
                               F.conv2d(x, torch.ones(3, 1, 3, 3), groups=3, padding="same", dilation=2)),
    "losses": lambda x: (F.smooth_l1_loss(x, x + .3), F.huber_loss(x, x * 2), F.cross_entropy(x, (x[:, 0] > 0).long()),
                         F.binary_cross_entropy_with_logits(x, x.sigmoid()), F.mse_loss(x, x * 2)),
    "formulas": lambda x: (torch.sinc(x), torch.signbit(x), torch.special.entr(x.abs()), torch.logaddexp2(x, x)),
    "rarely": lambda x: (x.cumprod(2), torch.rot90(x, 1, [2, 3]), x.index_fill(1, torch.tensor([0, 2]), 5.),
                         torch.diag_embed(x[:, 0]), torch.tensordot(x, x, dims=([1, 2, 3], [1, 2, 3])),
                         x.masked_scatter(x > 0, torch.arange(1000.)), torch.cdist(x[:, 0], x[:, 1])),
    "types": lambda x: (x.double(), x.half() * 2, x.int() * 1.5, x.bool(), x.type(torch.int64)),
}


def _set(x, index, value):
    y = x.clone()
    y[index] = value
    return y


@pytest.mark.parametrize("name", OPS)
def test_ops(name):
    check(Call(OPS[name]), (torch.randn(2, 3, 8, 8),), BATCH, [(torch.randn(5, 3, 8, 8),)], tolerance=1e-3)


def test_the_reference_agrees():
    net = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4)).eval()
    x = torch.randn(2, 3)
    program = torch.onnx.export(net, (x,), dynamic_shapes=({0: "n"},))
    for given in (x, torch.randn(5, 3)):
        np.testing.assert_allclose(program.call_reference(given)[0].numpy(), net(given).detach().numpy(), rtol=1e-5,
                                   atol=1e-6)
    assert np.allclose(program(x)[0].numpy(), net(x).detach().numpy(), atol=1e-5)


def test_names_and_structures():
    class Two(nn.Module):
        def forward(self, first, pair, *, factor=2.0):
            return {"sum": first + pair[0], "rest": (pair[1] * factor, first)}
    x = torch.ones(2)
    program = torch.onnx.export(Two(), (x, [x * 2, x * 3]), kwargs={"factor": 4.0}, output_names=["s", "t"])
    graph = program.model_proto.graph
    assert [i.name for i in graph.input] == ["first", "pair_0", "pair_1"]
    assert [o.name for o in graph.output] == ["s", "t", "output_2"]
    assert [t.tolist() for t in program(x, [x * 2, x * 3])] == [[3, 3], [12, 12], [1, 1]]
    with pytest.raises(torch.onnx.OnnxExporterError, match="2 inputs|3 inputs"):
        program(x)


def test_files(tmp_path):
    net = nn.Linear(40, 30)
    path = tmp_path / "net.onnx"
    assert torch.onnx.export(net, torch.randn(1, 40), str(path), input_names=["x"], output_names=["y"],
                             dynamo=False, opset_version=11, do_constant_folding=True, export_params=True) is None
    model = onnx.load(str(path))
    assert [model.graph.input[0].name, model.graph.output[0].name] == ["x", "y"]
    program = torch.onnx.export(net, (torch.randn(1, 40),))
    program.save(tmp_path / "beside.onnx", external_data=True)
    assert (tmp_path / "beside.onnx.data").stat().st_size >= 4800
    assert (tmp_path / "beside.onnx").stat().st_size < 1200
    loaded = onnx.load(str(tmp_path / "beside.onnx"))
    weight = next(t for t in loaded.graph.initializer if t.name == "weight")
    assert np.array_equal(onnx.numpy_helper.to_array(weight), net.weight.detach().numpy())
    buffer = io.BytesIO()
    torch.onnx.export(net, (torch.randn(1, 40),), buffer, dynamo=False)
    onnx.checker.check_model(onnx.load_model_from_string(buffer.getvalue()))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beside.onnx", "beside.onnx.data", "net.onnx"]


def test_weights_as_inputs_and_left_out(tmp_path):
    net = nn.Linear(3, 2)
    x = torch.randn(1, 3)
    torch.onnx.export(net, (x,), tmp_path / "a", keep_initializers_as_inputs=True)
    torch.onnx.export(net, (x,), tmp_path / "b", export_params=False)
    a, b = (onnx.load(str(tmp_path / n)).graph for n in "ab")
    assert [i.name for i in a.input] == [i.name for i in b.input] == ["input", "weight", "bias"]
    assert len(a.initializer) == 2 and not b.initializer
    program = torch.onnx.export(net, (x,))
    program.apply_weights({"weight": torch.zeros(2, 3), "bias": torch.ones(2)})
    assert program(x)[0].tolist() == [[1, 1]]
    with pytest.raises(torch.onnx.OnnxExporterError, match="shape"):
        program.apply_weights({"weight": torch.zeros(3, 2)})


def test_modes():
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    net.train()
    net[1].eval()
    program = torch.onnx.export(net, (torch.randn(4, 3),))
    assert "BatchNormalization" in [n.op_type for n in program.model_proto.graph.node]
    assert net.training and not net[1].training and net[2].training
    assert all(p.grad is None for p in net.parameters())
    kinds = torch.onnx.TrainingMode
    program = torch.onnx.export(net, (torch.randn(4, 3),), training=kinds.PRESERVE)
    assert "BatchNormalization" not in [n.op_type for n in program.model_proto.graph.node]


def test_constants_are_folded():
    weight = nn.Parameter(torch.randn(3, 3))
    net = Call(lambda w, x: x @ (w[0].t() * 2 + torch.eye(3)), nn.ParameterList([weight]))
    for fold, count in ((True, 1), (False, 4)):
        program = check(net, (torch.randn(2, 3),), do_constant_folding=fold)
        assert len(program.model_proto.graph.node) == count


def test_being_in_an_export():
    seen = []

    def f(x):
        seen.append(torch.onnx.is_in_onnx_export())
        return x + 1
    torch.onnx.export(Call(f), (torch.ones(1),))
    assert seen == [True] and not torch.onnx.is_in_onnx_export()


def test_ops_without_a_mapping_are_named():
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError, match="'lgamma'.*register_custom_op_symbolic"):
        torch.onnx.export(Call(lambda x: torch.lgamma(x)), (torch.ones(2),))
    torch.onnx.export(Call(lambda x: (torch.lgamma(x), x + 1)[1]), (torch.ones(2),))      # nobody needs it
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError, match="complex"):
        torch.onnx.export(Call(lambda x: (x * 1j).real), (torch.ones(2),))
    from rushlight.onnx import register_custom_op_symbolic, unregister_custom_op_symbolic
    register_custom_op_symbolic("aten::lgamma", lambda g, x: g.op("my::LogGamma", x, kind_s="stirling", n_i=3), 18)
    try:
        program = torch.onnx.export(Call(lambda x: torch.lgamma(x)), (torch.ones(2),), custom_opsets={"my": 2})
    finally:
        unregister_custom_op_symbolic("aten::lgamma", 18)
    node, = [n for n in program.model_proto.graph.node if n.domain == "my"]
    assert node.op_type == "LogGamma" and {a.name for a in node.attribute} == {"kind", "n"}
    assert {o.domain: o.version for o in program.model_proto.opset_import} == {"": 18, "my": 2}
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError):
        torch.onnx.export(Call(lambda x: torch.lgamma(x)), (torch.ones(2),))


def test_ways_that_depend_on_sizes_are_refused():
    def unrolled(x):
        total = x[0]
        for k in range(1, x.shape[0]):
            total = total + x[k]
        return total
    check(Call(unrolled), (torch.randn(3, 2),))
    with pytest.raises(torch.onnx.OnnxExporterError, match="different ways for different sizes of batch"):
        torch.onnx.export(Call(unrolled), (torch.randn(3, 2),), input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    with pytest.raises(torch.onnx.OnnxExporterError, match="does not accept other sizes of n"):
        torch.onnx.export(nn.Linear(3, 2), (torch.randn(1, 3),), dynamic_shapes=({1: "n"},))
    with pytest.raises(torch.onnx.OnnxExporterError, match="opset_version=7"):
        torch.onnx.export(nn.Linear(3, 2), (torch.randn(1, 3),), opset_version=7)


def test_nodes_of_other_domains():
    def f(x):
        return torch.onnx.ops.symbolic("shop::Twice", (x,), {"k": [1, 2], "t": "a"}, dtype=torch.float32,
                                       shape=x.shape, version=3) + 1
    program = torch.onnx.export(Call(f), (torch.ones(2, 3),), dynamic_shapes=({0: "n"},))
    node = program.model_proto.graph.node[0]
    assert (node.domain, node.op_type) == ("shop", "Twice")
    assert f(torch.ones(2, 3)).tolist() == [[1.0] * 3] * 2


def test_modules_that_know_their_export():
    class Known(torch.onnx.ExportableModule):
        def forward(self, x):
            return x * 2

        def example_arguments(self):
            return (torch.ones(2, 3),), None

        def input_names(self):
            return ["data"]

        def dynamic_shapes(self):
            return ({0: "rows"},)
    graph = Known().to_onnx().model_proto.graph
    assert graph.input[0].name == "data" and graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"


def test_observed_calls():
    net = nn.Linear(3, 2)
    observer = torch.onnx.InputObserver()
    with observer(net):
        for n in (2, 5):
            net(torch.randn(n, 3))
    assert observer.num_obs() == 2 and "forward" not in vars(net)
    shapes = observer.infer_dynamic_shapes()
    assert shapes == ({0: "0_dim_0"},)
    program = torch.onnx.export(net, observer.infer_arguments(), dynamic_shapes=shapes)
    assert all(row["SUCCESS"] for row in observer.check_discrepancies(program))


def test_attention_and_rotation():
    q, k, v = torch.randn(2, 4, 3, 6), torch.randn(2, 2, 3, 6), torch.randn(2, 2, 3, 6)
    out, key, value, _ = torch.onnx.ops.attention(q, k, v, is_causal=True)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    np.testing.assert_allclose(out.numpy(), expected.numpy(), atol=1e-5)
    assert key.shape == k.shape and value.shape == v.shape
    angles = torch.arange(3.)[:, None] * torch.tensor([1.0, 0.1])
    x = torch.randn(1, 1, 3, 4)
    turned = torch.onnx.ops.rotary_embedding(x, angles.cos()[None], angles.sin()[None])
    a, b = x.numpy()[..., :2], x.numpy()[..., 2:]
    z = (a + 1j * b) * np.exp(1j * angles.numpy())
    np.testing.assert_allclose(turned.numpy(), np.concatenate([z.real, z.imag], -1), atol=1e-6)


def test_other_uses_of_a_program():
    program = torch.onnx.export(Call(lambda x: (x + 1).relu() * 1), (torch.ones(2, 3),), dynamic_shapes=({0: "n"},),
                                output_names=["y"], verify=True)
    inner = program.model_proto.graph.node[0].output[0]
    assert program.compute_values([inner], (torch.ones(1, 3),))[0].tolist() == [[2, 2, 2]]
    program.rename_axes({"n": "rows"})
    assert program.model_proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"
    program.optimize()
    onnx.checker.check_model(program.model_proto)
    assert "Relu" in repr(program)
