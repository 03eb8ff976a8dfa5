"""Archives both ways with a live PyTorch, and the same refusals."""

import io
import sys
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch.jit")
pytestmark = pytest.mark.filterwarnings("ignore")

SOURCE = '''
import enum
from typing import Dict, List, NamedTuple, Optional, Tuple
import {package} as torch
import {package}.nn as nn
import {package}.nn.functional as F
from {package} import Tensor


class Mode(enum.Enum):
    ADD = 1
    MUL = 2


class Pair(NamedTuple):
    left: Tensor
    right: int


@torch.jit.script
class Counter:
    def __init__(self, start: int):
        self.n = start
        self.seen: List[int] = []

    def step(self, k: int) -> int:
        self.n += k
        self.seen.append(k)
        return self.n


def outer(x, items: List[int], limit: Optional[int] = None):
    c = Counter(2)
    for i, v in enumerate(items):
        if v < 0:
            continue
        if limit is not None and c.step(v) > limit:
            return x * i, c.n, "limit {{}}".format(limit)
        x = x + v
    while x.sum() < 10:
        x = x * 2 + 1
    return x, c.n, "done"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.5)
        self.rnn = nn.LSTM(4, 5, batch_first=True)
        self.heads = nn.ModuleList([nn.Linear(5, 2) for _ in range(2)])
        self.bias = nn.Parameter(torch.ones(2))
        self.steps = 2

    def forward(self, x, extra: Optional[Tensor] = None, mode: str = "mean") -> Tuple[Tensor, List[Tensor], Dict[str,
                                                                                                                 int]]:
        batch = x.size(0)
        x = self.pool(F.relu(self.norm(self.conv(x))))
        if self.training:
            x = self.drop(x)
        x = x.view(batch, 4, -1).transpose(1, 2)
        y, (h, c) = self.rnn(x)
        if extra is not None:
            y = y + extra
        outs: List[Tensor] = []
        sizes: Dict[str, int] = {{}}
        for i, head in enumerate(self.heads):
            z = head(y) + self.bias * i
            for _ in range(self.steps):
                if z.max().item() > 100:
                    break
                z = F.gelu(z) * 2
            sizes[f"head{{i}}"] = z.size(1)
            outs.append(z)
        y = y[:, -1] if mode == "last" else y.mean(dim=1)
        y[0] += 1
        return F.softmax(y, dim=-1), outs, sizes

    @torch.jit.export
    def pick(self, items: List[int], k: int) -> int:
        return sorted([i * k for i in items])[-1]
'''


def build(package):
    """The source as a module over one of the packages, as a file so that it can be compiled."""
    import importlib.util
    import tempfile
    from pathlib import Path
    name = f"jit_case_{package}"
    if name not in sys.modules:
        path = Path(tempfile.mkdtemp()) / f"{name}.py"
        path.write_text(SOURCE.format(package=package))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def numbers(out):
    """A nested result with arrays in the place of tensors."""
    if isinstance(out, (tuple, list)):
        return [numbers(o) for o in out]
    if isinstance(out, dict):
        return {k: numbers(v) for k, v in out.items()}
    return out.detach().numpy() if hasattr(out, "detach") else out


def same(a, b):
    if isinstance(b, list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    elif isinstance(b, np.ndarray):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    else:
        assert a == b


def carry(module, source, target):
    """A compiled module of one package as the other loads it."""
    buffer = io.BytesIO()
    source.jit.save(module, buffer)
    buffer.seek(0)
    return target.jit.load(buffer)


PAIRS = [(torch, rushlight), (rushlight, torch)]


@pytest.mark.parametrize("source, target", PAIRS, ids=["from torch", "to torch"])
@pytest.mark.parametrize("how", ["script", "trace"])
def test_modules_travel(source, target, how):
    case = build(source.__name__)
    source.manual_seed(0)
    net = case.Net().eval()
    x = source.randn(2, 3, 4, 4)
    made = source.jit.script(net) if how == "script" else source.jit.trace(net, x, strict=False, check_trace=False)
    other = carry(made, source, target)
    mine = target.from_numpy(x.numpy())
    same(numbers(other(mine)), numbers(made(x)))
    if how == "script":
        extra = source.randn(2, 4, 5)
        for args in (("last",), ("mean",)):
            same(numbers(other(mine, target.from_numpy(extra.numpy()), *args)), numbers(made(x, extra, *args)))
        assert other.pick([3, 1], 2) == made.pick([3, 1], 2) == 6
        other.train()
        assert other.drop.training
        other.eval()
    assert list(other.state_dict()) == list(made.state_dict())
    back = carry(other, target, source)
    same(numbers(back(x)), numbers(made(x)))


@pytest.mark.parametrize("source, target", PAIRS, ids=["from torch", "to torch"])
def test_control_flow_and_classes_travel(source, target):
    case = build(source.__name__)
    made = source.jit.script(case.outer)
    other = carry(made, source, target)
    for items, limit in (([1, 2, 3], None), ([1, -2, 30, 4], 10), ([], 1)):
        a = made(source.ones(2), items, limit)
        b = other(target.ones(2), items, limit)
        same(numbers(b), numbers(a))


LAYERS = ["Linear(4, 3)", "Conv2d(4, 2, 3, padding='same')", "ConvTranspose2d(4, 2, 3, stride=2)", "BatchNorm1d(4)",
          "InstanceNorm2d(4)", "GroupNorm(2, 4)", "LayerNorm(4)", "MaxPool2d(2, return_indices=True)",
          "AdaptiveAvgPool2d((2, 3))", "GELU()", "Embedding(5, 3)", "Sequential(source.nn.GRU(4, 3))",
          "MultiheadAttention(4, 2)",
          "TransformerEncoderLayer(4, 2, 8)", "Upsample(scale_factor=2.0, mode='bilinear')", "Softplus()", "GLU()"]


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_travel(layer):
    name = layer.partition("(")[0]
    shape = {"Linear": (2, 4), "BatchNorm1d": (3, 4), "LayerNorm": (2, 4), "Sequential": (3, 2, 4),
             "MultiheadAttention": (3, 2, 4), "TransformerEncoderLayer": (3, 2, 4)}.get(name, (2, 4, 6, 6))
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if name == "Embedding":
        data = np.array([[0, 4], [1, 2]])
    n = 3 if name == "MultiheadAttention" else 1
    for source, target in PAIRS:
        source.manual_seed(0)
        made = source.jit.script(eval(f"source.nn.{layer}").eval())
        other = carry(made, source, target)
        args = [source.from_numpy(data.copy())] * n
        same(numbers(other(*[target.from_numpy(data.copy())] * n)), numbers(made(*args)))


def test_signatures_are_those_of_pytorch():
    from rushlight.jit.signatures import _table
    live = {str(s).replace("SymInt", "int") for s in torch._C._jit_get_all_schemas()}
    ours = [line for lines in _table().values() for line in lines]
    assert len(ours) > 1500 and not [line for line in ours if line not in live]


REFUSED = {
    "undefined": "def f(x):\n    return nothing_here\n",
    "no method": "def f(x):\n    return x.frobnicate()\n",
    "one branch": "def f(x, n: int):\n    if n > 1:\n        y = x\n    return y\n",
    "two types": "def f(x, n: int):\n    if n > 1:\n        y = x\n    else:\n        y = 'a'\n    return y\n",
    "optional": "def f(x: Optional[Tensor]):\n    return x + 1\n",
    "try": "def f(x):\n    try:\n        return x\n    except ValueError:\n        return x\n",
    "starred": "def f(x, *args):\n    return x\n",
    "lambda": "def f(x):\n    g = lambda a: a\n    return g(x)\n",
    "yield": "def f(x):\n    yield x\n",
    "result": "def f(x) -> str:\n    return x\n",
    "attribute": "def f(x):\n    x.abc = 1\n    return x\n",
    "global": "K = 3\ndef f(x):\n    return x + K\n",
    "argument": "def f(x):\n    return torch.relu(x, 3)\n",
    "loop type": "def f(n: int):\n    k = 1\n    for i in range(n):\n        k = 'a'\n    return k\n",
    "comprehension if": "def f(n: List[int]):\n    return [i for i in n if i > 1]\n",
    "not iterable": "def f(n: int):\n    for i in n:\n        pass\n    return n\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_is_refused(name, tmp_path):
    import importlib.util
    kinds = []
    for package in (torch, rushlight):
        path = tmp_path / f"{package.__name__}_case.py"
        path.write_text(f"from typing import *\nimport {package.__name__} as torch\nfrom {package.__name__} import "
                        "Tensor\n"
                        + REFUSED[name])
        spec = importlib.util.spec_from_file_location(f"refused_{package.__name__}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.raises(Exception) as error:
            package.jit.script(module.f)
        kinds.append(error.type)
        assert "_case.py" in str(error.value)
    wanted = "NotSupportedError" if issubclass(kinds[0], torch.jit.frontend.FrontendError) else "RuntimeError"
    if wanted == "RuntimeError":
        assert issubclass(kinds[1], RuntimeError)
    else:
        assert issubclass(kinds[1], rushlight.jit.frontend.FrontendError)
