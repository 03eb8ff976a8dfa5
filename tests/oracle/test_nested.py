"""Nested tensors beside PyTorch's: what works there works here with the same values, gradients and layouts."""

import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(5)
PARTS = [RNG.standard_normal((n, 4)).astype(np.float32) for n in (2, 5, 3)]
MATRIX = RNG.standard_normal((6, 4)).astype(np.float32)

# Each is called with the library, a nested tensor of PARTS and the matrix.
COMMON = {
    "mul": lambda t, x, m: x * 2, "add": lambda t, x, m: x + x, "sub": lambda t, x, m: x - x * 0.5,
    "div": lambda t, x, m: x / 3, "neg": lambda t, x, m: -x, "square": lambda t, x, m: x * x,
    "relu": lambda t, x, m: x.relu(), "tanh": lambda t, x, m: x.tanh(), "sigmoid": lambda t, x, m: x.sigmoid(),
    "gelu": lambda t, x, m: t.nn.functional.gelu(x), "silu": lambda t, x, m: t.nn.functional.silu(x),
    "exp": lambda t, x, m: x.exp(), "abs": lambda t, x, m: x.abs(), "sin": lambda t, x, m: x.sin(),
    "clone": lambda t, x, m: x.clone(), "double": lambda t, x, m: x.double(), "half": lambda t, x, m: x.half(),
    "detach": lambda t, x, m: x.detach(), "softmax": lambda t, x, m: x.softmax(-1),
    "linear": lambda t, x, m: t.nn.functional.linear(x, m),
    "linear_bias": lambda t, x, m: t.nn.functional.linear(x, m, m[:, 0]),
    "layer_norm": lambda t, x, m: t.nn.functional.layer_norm(x, (4,)),
    "dropout_off": lambda t, x, m: t.nn.functional.dropout(x, 0.5, training=False),
    "padded": lambda t, x, m: t.nested.to_padded_tensor(x, -1.0),
    "padded_larger": lambda t, x, m: t.nested.to_padded_tensor(x, 0.5, (3, 7, 4)),
    "transpose": lambda t, x, m: x.transpose(1, 2), "select": lambda t, x, m: x.select(0, 1),
    "getitem": lambda t, x, m: x[2], "unbind": lambda t, x, m: x.unbind()[1],
    "unsqueeze": lambda t, x, m: x.unsqueeze(-1), "unflatten": lambda t, x, m: x.unflatten(-1, [2, 2]),
    "where_pos": lambda t, x, m: t.where(x > 0, x, -x), "zeros_like": lambda t, x, m: t.zeros_like(x),
    "ones_like": lambda t, x, m: t.ones_like(x), "numel": lambda t, x, m: x.numel(), "dim": lambda t, x, m: x.dim(),
    "size_last": lambda t, x, m: x.size(-1), "is_nested": lambda t, x, m: x.is_nested,
    "contiguous": lambda t, x, m: x.is_contiguous(), "layout": lambda t, x, m: str(x.layout),
    "sum_keep": lambda t, x, m: x.sum(-1, keepdim=True), "matmul": lambda t, x, m: x.matmul(m.t()),
    "cat": lambda t, x, m: t.cat([x, x], -1), "chunk": lambda t, x, m: x.chunk(2, -1)[1],
    "pow": lambda t, x, m: x.pow(2), "clamp": lambda t, x, m: x.clamp(-0.5, 0.5), "eq": lambda t, x, m: x == x,
    "masked_fill": lambda t, x, m: x.masked_fill(x > 0, 0.0), "mean": lambda t, x, m: x.mean(-1, keepdim=True),
    "rms_norm": lambda t, x, m: t.nn.functional.rms_norm(x, (4,)), "flatten": lambda t, x, m: x.flatten(0),
    "to_bfloat16": lambda t, x, m: x.to(t.bfloat16), "cumsum": lambda t, x, m: x.cumsum(0),
    "mismatch": lambda t, x, m: x + t.nested.nested_tensor([t.ones(1, 4)] * 3, layout=x.layout),
    "padded_small": lambda t, x, m: t.nested.to_padded_tensor(x, 0.0, (3, 4, 4)),
    "out_of_range": lambda t, x, m: x.select(0, 7), "wrong_linear": lambda t, x, m: t.nn.functional.linear(x, m.t()),
    "size": lambda t, x, m: x.size(1) if x.layout is t.strided else None,
}
JAGGED = {
    "values": lambda t, x, m: x.values(), "offsets": lambda t, x, m: x.offsets(),
    "lengths": lambda t, x, m: x.lengths(), "sum_ragged": lambda t, x, m: x.sum(1), "sum_all": lambda t, x, m: x.sum(),
    "mean_last": lambda t, x, m: x.mean(-1), "sum_last": lambda t, x, m: x.sum(-1),
    "attention": lambda t, x, m: t.nn.functional.scaled_dot_product_attention(
        *[x.unflatten(-1, [2, 2]).transpose(1, 2)] * 3).transpose(1, 2).flatten(-2),
    "argmax": lambda t, x, m: x.argmax(-1), "max": lambda t, x, m: x.amax(-1),
}


def plain(t, y):
    """The result as NumPy arrays (a list of components) and what else counts of it."""
    if not isinstance(y, t.Tensor):
        return y
    y = y.detach()
    if y.is_nested:
        return ["nested", str(y.dtype).rpartition(".")[2], str(y.layout).rpartition(".")[2],
                *(v.double().numpy() for v in y.unbind())]
    return ["dense", str(y.dtype).rpartition(".")[2], y.double().numpy()]


def outcome(t, fn, layout):
    tensors = [t.tensor(p) for p in PARTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(t, fn(t, t.nested.nested_tensor(tensors, layout=getattr(t, layout)), t.tensor(MATRIX)))
        except Exception as error:
            return error


def check(found, wanted):
    if isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), found
        assert found[:2] == wanted[:2]
        for a, b in zip(found[2:], wanted[2:], strict=True):
            if isinstance(a, str):
                assert a == b
            else:
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)
    else:
        assert found == wanted


CASES = [(layout, name, fn) for layout in ("strided", "jagged") for name, fn in COMMON.items()]
CASES += [("jagged", name, fn) for name, fn in JAGGED.items()]


@pytest.mark.parametrize("layout, fn", [(layout, fn) for layout, _, fn in CASES], ids=[f"{a}-{b}" for a, b, _ in CASES])
def test_results(layout, fn):
    wanted, found = outcome(torch, fn, layout), outcome(rushlight, fn, layout)
    if isinstance(wanted, Exception):
        # What PyTorch refuses may work here; refusals are of its kind.
        if isinstance(found, Exception):
            assert isinstance(found, (type(wanted), NotImplementedError)), (found, wanted)
        return
    check(found, wanted)


def gradients(t, layout, leaf):
    tensors = [t.tensor(p).requires_grad_() for p in PARTS]
    weight = t.tensor(MATRIX).requires_grad_()
    make = t.nested.nested_tensor if leaf else t.nested.as_nested_tensor
    x = make(tensors, layout=getattr(t, layout), **({"requires_grad": True} if leaf else {}))
    y = t.nn.functional.linear(t.nn.functional.layer_norm(x * 2, (4,), weight[0], weight[1]).relu(), weight)
    padded = t.nested.to_padded_tensor(y, 0.0)
    (padded * t.arange(6.0)).sum().backward()
    given = x.grad.unbind() if leaf else [v.grad for v in tensors]
    return [weight.grad.numpy(), *(g.numpy() for g in given)]


@pytest.mark.parametrize("leaf", [False, True])
@pytest.mark.parametrize("layout", ["strided", "jagged"])
def test_gradients(layout, leaf):
    for a, b in zip(gradients(rushlight, layout, leaf), gradients(torch, layout, leaf), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_count():
    """How many of PyTorch's results are met, of those that it gives."""
    total = met = 0
    for layout, name, fn in CASES:
        wanted = outcome(torch, fn, layout)
        if not isinstance(wanted, Exception):
            total += 1
            try:
                check(outcome(rushlight, fn, layout), wanted)
                met += 1
            except AssertionError:
                print(layout, name)
    print(f"nested tensors: {met} of {total} results agree")
    assert met == total
