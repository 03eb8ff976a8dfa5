"""Quantized tensors and fake quantization against PyTorch."""

import io

import pytest

import rushlight as ours

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")
NUMBERS = [float("inf"), -float("inf"), 1e5, -3.2, 0.05, 0.149, 0.15, 0.25, -0.35, 0.0, 7.0, 12.3]
DTYPES = ["qint8", "quint8", "qint32"]


def both(f):
    """The text of ``f(library)`` in both libraries, or the type of the exception."""
    found = []
    for m in (torch, ours):
        try:
            found.append(str(f(m)))
        except Exception as e:
            found.append(type(e).__name__)
    assert found[0] == found[1]
    return found[0]


def sample(m, dtype="quint8"):
    values = [[((7 * i + 13 * j) % 41) / 5 - 2 for j in range(6)] for i in range(4)]
    return m.quantize_per_tensor(m.tensor(values), 0.1, 20, getattr(m, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale, zero", [(0.1, 3), (0.25, 0), (1 / 3, -1), (0.037, 7)])
def test_codes(dtype, scale, zero):
    zero = abs(zero)
    halves = [(i - 20.5) * scale for i in range(41)]
    for numbers in (NUMBERS[2 * (dtype == "qint32"):] * 2, halves):         # infinite ones overflow in PyTorch
        both(lambda m: m.quantize_per_tensor(m.tensor(numbers), scale, zero, getattr(m, dtype)).int_repr())
        both(lambda m: m.quantize_per_tensor(m.tensor(numbers), scale, zero, getattr(m, dtype)))
        both(lambda m: m.quantize_per_channel(m.tensor(numbers[:12]).view(2, 6), m.tensor([scale, 2 * scale]),
                                              m.tensor([zero, zero + 1]), 0, getattr(m, dtype)))
        both(lambda m: m.quantize_per_channel(m.tensor(numbers[:12]).view(4, 3), m.tensor([scale, 2 * scale, 1.]),
                                              m.tensor([zero, zero + 2, 0]), 1, getattr(m, dtype)).dequantize())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("half", [False, True])
def test_dynamic(dtype, half):
    for t in ([-1., 2.], [1., 2.], [0., 0.], [-3., -1.], [1e-40, 0.], [1e-5, -2e-5], [0., 1e-6], [-1.7, .3, 2.9]):
        both(lambda m: m.quantize_per_tensor_dynamic(m.tensor(t), getattr(m, dtype), half).q_scale())
        both(lambda m: m.quantize_per_tensor_dynamic(m.tensor(t), getattr(m, dtype), half).q_zero_point())


CASES = [
    lambda m: sample(m)[1:3, ::2], lambda m: sample(m).t().contiguous().stride(), lambda m: sample(m).view(2, 12)[1],
    lambda m: sample(m)[1, 2].item(), lambda m: sample(m)[1].storage_offset(), lambda m: sample(m).chunk(2, 1)[1],
    lambda m: m.cat([sample(m), sample(m)[:1]]), lambda m: m.relu(sample(m)), lambda m: sample(m).clamp(-.5, 2.5),
    lambda m: sample(m).max(), lambda m: sample(m).min(), lambda m: m.sort(sample(m), descending=True),
    lambda m: m.sigmoid(sample(m)), lambda m: m.tanh(sample(m)), lambda m: sample(m) > 1., lambda m: sample(m).flip(0),
    lambda m: sample(m) == sample(m), lambda m: sample(m).equal(sample(m)),
    lambda m: m.equal(sample(m), sample(m)[:1]),
    lambda m: sample(m).index_select(1, m.tensor([0, 3])), lambda m: sample(m).copy_(m.ones(4, 6)),
    lambda m: sample(m).fill_(.5), lambda m: sample(m).masked_fill(sample(m) > 1., 0.),
    lambda m: m.empty_like(sample(m)).shape,
    lambda m: m.quantized_max_pool2d(sample(m).view(1, 2, 3, 4), [2, 2], [1, 1], [1, 1]),
    lambda m: m.quantized_max_pool1d(sample(m).view(2, 2, 6), [2]),
    lambda m: m.nn.functional.max_pool2d(sample(m).view(1, 2, 3, 4), 2),
    lambda m: m.quantized_batch_norm(sample(m).view(1, 2, 3, 4), m.tensor([1., 2.]), m.tensor([0., 1.]),
                                     m.tensor([.1, .2]), m.tensor([1., 2.]), 1e-5, .2, 2),
    lambda m: m.zeros(4, 6).copy_(sample(m)), lambda m: sample(m).sum(), lambda m: sample(m).q_per_channel_axis(),
    lambda m: m.ones(2).int_repr(), lambda m: sample(m).requires_grad_(), lambda m: m.zeros_like(sample(m)),
    lambda m: sample(m).float(), lambda m: sample(m).numpy(), lambda m: m.dequantize([sample(m), m.ones(1).half()]),
    lambda m: m.quantize_per_tensor(m.ones(1), .1, 300, m.quint8), lambda m: m.promote_types(m.qint8, m.float32),
    lambda m: m.quantize_per_tensor(m.ones(1).double(), .1, 0, m.quint8),
    lambda m: m.quantize_per_tensor([m.ones(2), m.ones(3)], m.tensor([.1, .2]), m.tensor([0, 1]), m.quint8),
    lambda m: sample(m).qscheme(), lambda m: sample(m).is_quantized, lambda m: sample(m).element_size(),
    lambda m: m._make_per_channel_quantized_tensor(m.ones(1, 2, dtype=m.int8), m.tensor([.1]), m.tensor([0]), 0)[0],
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_ops(case):
    both(CASES[case])


def test_writes_through_views():
    def f(m):
        a = sample(m)
        a[0, 0] = 1.
        a[1].fill_(.5)
        a[2, 1:3] = m.tensor([.3, .4])
        return a
    both(f)


def test_checkpoints():
    def tensors(m):
        channels = m.quantize_per_channel(m.arange(6.).view(2, 3), m.tensor([.1, .2]), m.tensor([0, 5]), 0, m.qint8)
        return {"a": sample(m), "b": sample(m, "qint32")[1:, 2:], "c": channels, "d": m.qint8, "e": m.per_tensor_affine}
    for writer, reader in ((torch, ours), (ours, torch), (ours, ours)):
        buffer = io.BytesIO()
        writer.save(tensors(writer), buffer)
        buffer.seek(0)
        assert str(reader.load(buffer)) == str(tensors(reader))


FAKE = [
    lambda m, x: m.fake_quantize_per_tensor_affine(x, .1, 2, 0, 255),
    lambda m, x: m.fake_quantize_per_tensor_affine(x, .5, -1, -8, 7),
    lambda m, x: m.fake_quantize_per_tensor_affine(x, m.tensor(.1), m.tensor(2, dtype=m.int32), 0, 255),
    lambda m, x: m.fake_quantize_per_channel_affine(x[3:].view(3, 3), m.tensor([.1, .2, 1.]),
                                                    m.tensor([2, 7, 0], dtype=m.int32), 1, 0, 255),
    lambda m, x: m.fake_quantize_per_tensor_affine(x, .1, 300, 0, 255),
    lambda m, x: m.fake_quantize_per_tensor_affine(x, .1, 0, 255, 0),
    lambda m, x: m.fake_quantize_per_tensor_affine(x.long(), .1, 0, 0, 255),
    lambda m, x: m.fake_quantize_per_channel_affine(x, m.ones(3), m.zeros(3, dtype=m.int32), 0, 0, 255),
    lambda m, x: m.fake_quantize_per_channel_affine(x, m.ones(12), m.zeros(12, dtype=m.int64), 0, 0, 255),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("case", range(len(FAKE)))
def test_fake_quantize(case, dtype):
    numbers = [float("nan"), *NUMBERS[:2], *NUMBERS[3:]]
    both(lambda m: FAKE[case](m, m.tensor(numbers, dtype=getattr(m, dtype))))


@pytest.mark.parametrize("case", range(4))
def test_fake_quantize_gradients(case):
    def f(m):
        x = m.tensor(NUMBERS, requires_grad=True)
        y = FAKE[case](m, x)
        g, = m.autograd.grad((y * y).sum(), x)
        return type(y.grad_fn).__name__, g.tolist()
    both(f)
