"""Results on the meta device: shapes, dtypes and layouts of tensors far too large to compute with."""

import pytest

import rushlight as torch
import rushlight.nn as nn
import rushlight.nn.functional as F


def meta(*shape, dtype=None, **options):
    return torch.empty(shape, dtype=dtype, device="meta", **options)


IMAGES, ROWS = (64, 64, 224, 224), (8, 4096, 5000)
CASES = [
    (lambda x: F.conv2d(x, meta(128, 2, 7, 7), stride=2, padding=3, groups=32), IMAGES, (64, 128, 112, 112)),
    (lambda x: F.conv_transpose2d(x, meta(64, 32, 4, 4), stride=2, padding=1), IMAGES, (64, 32, 448, 448)),
    (lambda x: F.avg_pool2d(x, 2), IMAGES, (64, 64, 112, 112)),
    (lambda x: F.batch_norm(x, meta(64), meta(64), training=True), IMAGES, IMAGES),
    (lambda x: F.group_norm(x, 32, meta(64), meta(64)), IMAGES, IMAGES),
    (lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect"), IMAGES, (64, 64, 231, 227)),
    (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), IMAGES, (64, 64, 448, 448)),
    (lambda x: F.unfold(x, 3, padding=1), IMAGES, (64, 576, 50176)),
    (lambda x: x.sum(), IMAGES, ()),
    (lambda x: x.softmax(-1), ROWS, ROWS),
    (lambda x: x.mean((0, 2), keepdim=True), ROWS, (1, 4096, 1)),
    (lambda x: x.max(-1).indices, ROWS, (8, 4096)),
    (lambda x: x.topk(50).values, ROWS, (8, 4096, 50)),
    (lambda x: torch.cat([x, x, meta(8, 7, 5000)], 1), ROWS, (8, 8199, 5000)),
    (lambda x: x[:, meta(300, dtype=torch.int64)], ROWS, (8, 300, 5000)),
    (lambda x: F.linear(x, meta(3000, 5000), meta(3000)), ROWS, (8, 4096, 3000)),
    (lambda x: torch.fft.rfft(x), ROWS, (8, 4096, 2501)),
    (lambda x: F.embedding(meta(32, 2048, dtype=torch.int64), x[0]), ROWS, (32, 2048, 5000)),
]


@pytest.mark.parametrize("f, size, want", CASES)
def test_shapes(f, size, want):
    out = f(meta(*size))
    assert out.is_meta and tuple(out.shape) == want


def test_what_can_not_be_told_is_refused():
    x = meta(*ROWS)
    for f in (lambda: x.masked_select(x > 0), lambda: torch.unique(x), lambda: F.one_hot(meta(9, dtype=torch.int64))):
        with pytest.raises(NotImplementedError, match="depends on data"):
            f()


def test_layouts():
    x = meta(64, 200, 300, 8).permute(0, 3, 1, 2)
    assert x.tanh().stride() == (x * 2).stride() == x.clone().stride() == x.stride()
    assert (x + meta(8, 1, 1)).stride() == x.stride() and (x > 0).dtype is torch.bool


def test_gradients():
    layer = nn.TransformerEncoderLayer(1024, 16, 4096, batch_first=True, device="meta")
    x = meta(64, 512, 1024, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.is_meta and x.grad.shape == x.shape
    assert all(p.grad.is_meta and p.grad.shape == p.shape for p in layer.parameters())
    x = meta(64, 3, 224, 224, requires_grad=True)
    w = meta(64, 3, 7, 7, requires_grad=True)
    F.max_pool2d(F.conv2d(x, w, stride=2, padding=3).relu(), 2).sum().backward()
    assert x.grad.shape == x.shape and w.grad.shape == w.shape
