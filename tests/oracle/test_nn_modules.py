"""Modules against a live PyTorch: seeded weights, outputs, gradients, constructor signatures."""

import inspect
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


def tensor(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(high, *shape):
    return np.random.default_rng(1).integers(0, high, shape)


# name, constructor arguments, forward arguments
CASES = [
    ("Linear", ((4, 3), {}), (tensor(5, 4),)),
    ("Bilinear", ((3, 4, 5), {}), (tensor(2, 3), tensor(2, 4, seed=1))),
    ("Conv1d", ((4, 6, 3), {"padding": "same", "padding_mode": "circular"}), (tensor(2, 4, 9),)),
    ("Conv2d", ((4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}), (tensor(2, 4, 7, 7),)),
    ("Conv2d", ((4, 6, 3), {"padding": (2, 1), "padding_mode": "reflect"}),
     (tensor(2, 4, 7, 7),)),
    ("Conv3d", ((2, 3, 2), {"bias": False}), (tensor(1, 2, 4, 4, 4),)),
    ("ConvTranspose1d", ((4, 6, 3), {"stride": 2, "output_padding": 1}), (tensor(2, 4, 5),)),
    ("ConvTranspose2d", ((4, 6, 3), {"stride": 2, "dilation": 2}), (tensor(2, 4, 5, 5),)),
    ("BatchNorm1d", ((4,), {}), (tensor(5, 4),)),
    ("BatchNorm2d", ((4,), {"momentum": None}), (tensor(5, 4, 3, 3),)),
    ("InstanceNorm2d", ((4,), {"affine": True, "track_running_stats": True}),
     (tensor(2, 4, 3, 3),)),
    ("LayerNorm", (((3, 4),), {}), (tensor(2, 3, 4),)),
    ("GroupNorm", ((2, 4), {}), (tensor(2, 4, 5),)),
    ("RMSNorm", ((4,), {}), (tensor(2, 4),)),
    ("LocalResponseNorm", ((2,), {}), (tensor(2, 4, 5, 5),)),
    ("CrossMapLRN2d", ((3,), {}), (tensor(1, 5, 3, 3),)),
    ("Embedding", ((7, 3), {"padding_idx": 1}), (ints(7, 4, 3),)),
    ("EmbeddingBag", ((7, 3), {"mode": "sum"}), (ints(7, 8), np.array([0, 3, 5]))),
    ("RNN", ((3, 4, 2), {"nonlinearity": "relu", "bidirectional": True}), (tensor(5, 2, 3),)),
    ("LSTM", ((3, 4, 2), {"proj_size": 2, "bidirectional": True}), (tensor(5, 2, 3),)),
    ("LSTM", ((3, 4), {"batch_first": True, "bias": False}), (tensor(5, 2, 3),)),
    ("GRU", ((3, 4, 2), {}), (tensor(5, 3),)),
    ("GRUCell", ((3, 4), {}), (tensor(5, 3),)),
    ("LSTMCell", ((3, 4), {}), (tensor(5, 3),)),
    ("MultiheadAttention", ((8, 2), {"add_bias_kv": True}),
     (tensor(5, 2, 8), tensor(4, 2, 8, seed=1), tensor(4, 2, 8, seed=2))),
    ("MultiheadAttention", ((8, 2), {"kdim": 3, "vdim": 6, "batch_first": True}),
     (tensor(2, 5, 8), tensor(2, 4, 3, seed=1), tensor(2, 4, 6, seed=2))),
    ("TransformerEncoderLayer", ((8, 2, 16, 0.0), {"norm_first": True}), (tensor(5, 2, 8),)),
    ("TransformerDecoderLayer", ((8, 2, 16, 0.0), {"activation": "gelu"}),
     (tensor(5, 2, 8), tensor(4, 2, 8, seed=1))),
    ("Transformer", ((8, 2, 1, 1, 16, 0.0), {"batch_first": True}),
     (tensor(2, 5, 8), tensor(2, 4, 8, seed=1))),
    ("PReLU", ((4,), {}), (tensor(2, 4),)),
    ("CosineSimilarity", ((), {}), (tensor(3, 4), tensor(3, 4, seed=1))),
    ("Upsample", ((), {"scale_factor": 2, "mode": "bilinear"}), (tensor(1, 2, 3, 3),)),
    ("AdaptiveLogSoftmaxWithLoss", ((8, 20, [4, 10]), {"div_value": 2.0}),
     (tensor(6, 8), ints(20, 6))),
    ("LinearCrossEntropyLoss", ((4, 5), {"out_features": (2,), "bias": True}),
     (tensor(3, 4), ints(5, 3, 2))),
    ("CrossEntropyLoss", ((), {"label_smoothing": 0.1}), (tensor(6, 5), ints(5, 6))),
    ("TripletMarginWithDistanceLoss", ((), {"swap": True}),
     (tensor(3, 4), tensor(3, 4, seed=1), tensor(3, 4, seed=2))),
    ("MaxPool2d", ((2,), {"return_indices": True}), (tensor(1, 2, 4, 4),)),
    ("AdaptiveAvgPool2d", (((2, None),), {}), (tensor(1, 2, 5, 4),)),
    ("Fold", (((4, 5), (2, 2)), {}), (tensor(1, 12, 12),)),
    ("ZeroPad2d", ((1,), {}), (tensor(1, 2, 3, 3),)),
]


def flat(value):
    if isinstance(value, (tuple, list)):
        return [leaf for each in value for leaf in flat(each)]
    return [] if value is None else [value]


def run(lib, name, ctor, inputs, training):
    """Weights, outputs, and gradients of the sum of squares of the outputs."""
    lib.manual_seed(0)
    module = getattr(lib.nn, name)(*ctor[0], **ctor[1]).train(training)
    args = [lib.from_numpy(x.copy()) for x in inputs]
    for x in args:
        if x.is_floating_point():
            x.requires_grad_(True)
    weights = [v.numpy().copy() for v in module.state_dict().values()]
    outputs = flat(module(*args))
    loss = sum((o * o).sum() for o in outputs if o.requires_grad)
    loss.backward()
    grads = [x.grad for x in [*args, *module.parameters()]]
    after = [v.numpy() for v in module.state_dict().values()]
    return (weights, [o.detach().numpy() for o in outputs],
            [None if g is None else g.numpy() for g in grads], after)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: CASES[i][0])
def test_equals_pytorch(case, training):
    found = run(rushlight, *CASES[case], training)
    expected = run(torch, *CASES[case], training)
    for kind, ours, theirs in zip(("weights", "outputs", "gradients", "state"), found, expected,
                                  strict=True):
        assert len(ours) == len(theirs), kind
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None) == (b is None), kind
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=kind)


def classes():
    for name in sorted(n for n in dir(torch.nn) if n[0].isupper()):
        kind = getattr(torch.nn, name)
        if inspect.isclass(kind) and issubclass(kind, torch.nn.Module):
            yield name


@pytest.mark.parametrize("name", list(classes()))
def test_constructor_arguments(name):
    def arguments(lib):
        found = inspect.signature(getattr(lib.nn, name).__init__).parameters.values()
        return [(p.name, p.kind, p.default if not callable(p.default) else p.default.__name__)
                for p in found]

    assert arguments(rushlight) == arguments(torch)


@pytest.mark.parametrize("name", list(classes()))
def test_forward_arguments(name):
    def arguments(lib):
        found = inspect.signature(getattr(lib.nn, name).forward).parameters.values()
        return [(p.name, p.kind, p.default) for p in found]

    assert arguments(rushlight) == arguments(torch)


def test_public_names():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for theirs, ours in ((torch.nn, rushlight.nn), (torch.nn.init, rushlight.nn.init),
                             (torch.nn.utils, rushlight.nn.utils),
                             (torch.nn.Module, rushlight.nn.Module)):
            names = [n for n in getattr(theirs, "__all__", dir(theirs)) if not n.startswith("_")]
            lacking = [n for n in names if not hasattr(ours, n)
                       and not inspect.ismodule(getattr(theirs, n))]
            typing_names = {"T_destination", "Callable", "Literal", "ParamSpec", "TypeVar"}
            assert set(lacking) <= typing_names


@pytest.mark.parametrize("case", [
    ("Linear", (2, 3)), ("LSTM", (2, 3, 2)), ("GRUCell", (2, 3)), ("BatchNorm2d", (4,)),
    ("Conv2d", (2, 3, 2)), ("MultiheadAttention", (8, 2)), ("Embedding", (3, 4)),
    ("AdaptiveLogSoftmaxWithLoss", (8, 20, (4, 10))), ("TransformerEncoderLayer", (8, 2, 16))],
    ids=lambda case: case[0])
def test_saved_modules_load_in_the_other_library(case, tmp_path):
    for writer, reader in ((rushlight, torch), (torch, rushlight)):
        writer.manual_seed(0)
        module = getattr(writer.nn, case[0])(*case[1])
        path = str(tmp_path / f"{writer.__name__}.pt")
        writer.save(module, path)
        loaded = reader.load(path, weights_only=False)
        assert type(loaded) is getattr(reader.nn, case[0]) and repr(loaded) == repr(module)
        for a, b in zip(loaded.state_dict().values(), module.state_dict().values(), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
