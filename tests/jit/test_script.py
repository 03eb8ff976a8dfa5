"""The compiler: statements, types and their refinement, containers, classes, and what it refuses."""

# The language has its own ways to write types.
# ruff: noqa: UP006, UP007, UP032, UP035, UP045



import enum
import math
from typing import Dict, Final, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn

Tensor = torch.Tensor


def compiled(fn, *args):
    """The result of the compiled function, after a comparison with the Python one."""
    made = torch.jit.script(fn)
    found, wanted = made(*args), fn(*args)
    _same(found, wanted)
    return found


def _same(a, b):
    if isinstance(b, Tensor):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
    elif isinstance(b, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            _same(x, y)
    elif isinstance(b, dict):
        assert list(a) == list(b)
        _same(list(a.values()), list(b.values()))
    else:
        assert a == b and type(a) is type(b)


def loops(x, n: int):
    total = 0
    for i in range(n):
        if i == 2:
            continue
        x = x * 2 + i
        if i > 4:
            break
        total += i
    while n > 0:
        n -= 1
        if n == 1:
            break
        total = total + n
    return x, total


def test_loops_with_breaks():
    for n in (0, 1, 3, 8):
        compiled(loops, torch.ones(2), n)


def search(items: List[int], wanted: int):
    for i, v in enumerate(items):
        for w in range(v):
            if w == wanted:
                return i, w
        if v > 100:
            return -1, v
    return -2, 0


def test_returns_inside_nested_loops():
    for args in (([1, 5, 3], 4), ([200], 500), ([], 1), ([1, 2], 9)):
        compiled(search, *args)


def branches(x, mode: str, deep: bool):
    if mode == "a":
        y = x + 1
    elif mode == "b":
        if deep:
            return x * 100
        y = x - 1
    else:
        raise ValueError("unknown mode " + mode)
    return y * 2


def test_branches_and_early_returns():
    for mode, deep in (("a", True), ("b", True), ("b", False)):
        compiled(branches, torch.arange(3.0), mode, deep)
    with pytest.raises(torch.jit.Error, match="ValueError: unknown mode c"):
        torch.jit.script(branches)(torch.ones(1), "c", False)


def by_value(x):
    if x.sum() > 0:
        return x * 2
    else:
        return x * 3


def test_both_branches_are_kept():
    for x in (torch.ones(2), -torch.ones(2)):
        compiled(by_value, x)


def refined(x: Optional[Tensor], y: Optional[Tensor] = None, n: Optional[int] = None):
    if x is None:
        return torch.zeros(1)
    if y is not None and y.dim() == x.dim():
        x = x + y
    if n is None:
        n = 3
    assert n > 0, f"n is {n}"
    z: Optional[Tensor] = None
    for i in range(n):
        z = x if z is None else z + i
    assert z is not None
    return z * n


def test_optional_refinement():
    one = torch.ones(2)
    for args in ((None,), (one,), (one, one), (one, None, 2), (one, torch.ones(1, 2), 1)):
        compiled(refined, *args)
    with pytest.raises(torch.jit.Error, match="AssertionError: n is 0"):
        torch.jit.script(refined)(one, None, 0)


def containers(x, names: List[str], table: Dict[str, Tensor]):
    parts = [x * i for i in range(3)]
    parts.append(x)
    a, (b, c) = 1, (2.5, "s")
    first, *rest = [4, 5, 6]
    table[names[0]] = x + a
    out = {k: v + b for k, v in table.items()}
    squares = [i * i for i in [1, 2, 3]]
    rest.extend(squares[1:])
    rest.reverse()
    pair = (first, rest[-1]) + (7,)
    text = "{}-{}".format(c, len(names)) + f"/{a}" + ("yes" if "q" in table else "no")
    flags = [n.startswith("n") for n in names]
    return torch.stack(parts), out, pair, text, flags, squares[-1], sorted([3, 1, 2]), sum(squares), rest


def test_containers():
    compiled(containers, torch.ones(2), ["n1", "m"], {"q": torch.zeros(2)})


def numbers(a: int, b: float, c: bool):
    d = a // 3 + a % 4 - abs(-a)
    e = a / 2 + b ** 2 + math.sqrt(b) + math.floor(b)
    g = min(a, 3) + max(a, d)
    h = not c or a > 3 and b < 2.0
    i = -a if c else +a
    return d, e, g, h, i, float(a), int(b), bool(a), 1 < a < 7, a << 2, a & 6, a ^ 3, round(b)


def test_numbers():
    made = torch.jit.script(numbers)
    for args in ((5, 2.25, True), (7, 1.5, False)):
        found, wanted = list(made(*args)), list(numbers(*args))
        found[12], wanted[12] = int(found[12]), int(wanted[12])     # round gives a float there
        assert found == wanted


def indexing(x, i: int, picked: List[int]):
    y = x.clone()
    y[0] = 5
    y[:, 1] = x[:, 0] * 2
    y[i] += 1
    y[x > 3] = -1.0
    z = x[..., None, i] + x[1:, None, :2][0]
    return y, z, x[picked], x[:, [0, 1]], x[-1], x[0, 1], x.shape, x.size(0), x[torch.tensor([0, 1])]


def test_tensor_subscripts():
    made = torch.jit.script(indexing)
    x = torch.arange(6.0).reshape(2, 3)
    for a, b in zip(made(x, 1, [1, 0]), indexing(x, 1, [1, 0])):
        if isinstance(b, Tensor):
            assert torch.equal(a, b)
        else:
            assert a == (list(b) if isinstance(b, torch.Size) else b)


def test_gradients_flow():
    def f(x, w):
        for i in range(3):
            x = torch.tanh(x @ w) * (i + 1)
        return x.sum()
    x, w = torch.randn(2, 2), torch.randn(2, 2, requires_grad=True)
    torch.jit.script(f)(x, w).backward()
    found = w.grad
    w.grad = None
    f(x, w).backward()
    assert torch.equal(found, w.grad)


class Point:
    def __init__(self, x: int, y: float = 0.5):
        self.x = x
        self.y = y
        self.seen: List[int] = []

    def move(self, dx: int) -> int:
        self.x += dx
        self.seen.append(self.x)
        return self.x

    @staticmethod
    def origin() -> int:
        return 0

    @property
    def double(self) -> int:
        return self.x * 2

    def __add__(self, other: "Point") -> "Point":
        return Point(self.x + other.x, self.y + other.y)


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Pair(NamedTuple):
    first: Tensor
    second: int


def use_classes(x, c: Color):
    p = Point(3)
    p.move(4)
    q = p + Point(1, y=2.0)
    pair = Pair(x, q.x)
    n = pair.second + pair[1] + p.double + Point.origin() + len(p.seen)
    if c == Color.RED:
        n = -n
    return pair.first * n, q.y, c.value, c.name, pair


def test_classes_enums_and_named_tuples():
    found = torch.jit.script(use_classes)(torch.ones(1), Color.RED)
    wanted = use_classes(torch.ones(1), Color.RED)
    assert torch.equal(found[0], wanted[0]) and found[1:4] == wanted[1:4]
    assert found[4].second == 8 and isinstance(found[4], Pair)


def unions(x: Union[int, str, List[float]]):
    if isinstance(x, int):
        return x + 1
    elif isinstance(x, str):
        return len(x)
    else:
        return len(x) * 10


def test_unions():
    for x in (4, "abc", [1.0, 2.0]):
        compiled(unions, x)


def helper(x, k: float = 2.0):
    return x * k


def calls(x):
    return helper(x) + helper(x, k=3.0) + F.relu(x) + torch.relu(x) + F.softmax(x, dim=0)


def test_calls_compile_functions():
    compiled(calls, torch.tensor([-1.0, 2.0]))


def test_a_comment_gives_types():
    def f(a, b):
        # type: (int, List[float]) -> float
        return a * b[0]
    assert torch.jit.script(f)(3, [0.5]) == 1.5


@torch.jit.ignore
def left(x: int) -> int:
    return int(np.int64(x) + 1)


def calls_python(x: int) -> int:
    return left(x) * 2


def test_ignored_functions_stay_in_python():
    assert torch.jit.script(calls_python)(3) == 8


def forked(x):
    futures = [torch.jit.fork(helper, x, float(i)) for i in range(3)]
    return [torch.jit.wait(f) for f in futures]


def test_fork_and_wait():
    found = torch.jit.script(forked)(torch.ones(1))
    assert [t.item() for t in found] == [0.0, 1.0, 2.0]


def quiet(x):
    with torch.no_grad():
        y = x * 2
    return y, x * 3


def test_no_grad_inside():
    y, z = torch.jit.script(quiet)(torch.ones(1, requires_grad=True))
    assert not y.requires_grad and z.requires_grad


# ---------------------------------------------------------------------------------------------------- modules


class Net(nn.Module):
    scale: Final[int]
    hidden: Optional[Tensor]

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 1), "b": nn.Identity()})
        self.block = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.register_buffer("count", torch.zeros(()))
        self.scale = 2
        self.hidden = None
        self.act = torch.tanh
        self.calls = 0

    def forward(self, x, add: Optional[Tensor] = None) -> Tuple[Tensor, Dict[str, Tensor]]:
        self.calls += 1
        self.count += 1
        if self.training:
            x = x * self.scale
        for i, layer in enumerate(self.layers):
            x = self.act(layer(x)) + i
        x = self.block(x)
        outs: Dict[str, Tensor] = {}
        for name, head in self.heads.items():
            outs[name] = head(x)
        if add is not None:
            x = x + add
        self.hidden = x
        return x, outs

    @torch.jit.export
    def first(self, x):
        return self.layers[0](x)

    @torch.jit.unused
    def unsupported(self, x: Tensor) -> Tensor:
        return np.asarray(x)

    @property
    def twice(self) -> int:
        return self.scale * 2


def test_modules():
    torch.manual_seed(0)
    net = Net()
    made = torch.jit.script(net)
    x = torch.randn(2, 3)
    for mode in (True, False):
        net.train(mode)
        made.train(mode)
        for args in ((x,), (x, x)):
            _same(made(*args), net(*args))
    _same(made.first(x), net.first(x))
    assert made.calls == 4 and made.twice == 4 and made.hidden.shape == (2, 3)
    assert made.block[0].weight is net.block[0].weight
    assert list(made.state_dict()) == list(net.state_dict())
    assert made.count.item() == 8         # the buffer is shared
    assert "original_name=Net" in repr(made) and len(made.layers) == 2
    made.block[0].weight.data.zero_()
    assert net.block[0].weight.abs().sum() == 0


def test_equal_modules_share_a_type():
    a, b = torch.jit.script(nn.Linear(2, 3)), torch.jit.script(nn.Linear(2, 3))
    c = torch.jit.script(nn.Linear(3, 3))
    assert a._jit_type is b._jit_type is not c._jit_type


class Base(nn.Module):
    def forward(self, x):
        return x + 1


class Derived(Base):
    def forward(self, x):
        return super().forward(x) * 2


def test_super():
    assert torch.jit.script(Derived())(torch.ones(1)).item() == 4.0


@torch.jit.interface
class Shift(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class One(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Holder(nn.Module):
    part: Shift

    def __init__(self):
        super().__init__()
        self.part = One()

    def forward(self, x: Tensor) -> Tensor:
        return self.part.forward(x)


def test_interfaces():
    assert torch.jit.script(Holder())(torch.ones(1)).item() == 2.0


def test_hooks_and_training_of_compiled_modules():
    made = torch.jit.script(nn.Linear(2, 1))
    seen = []
    made.register_forward_hook(lambda m, args, out: seen.append(out.shape))
    opt = torch.optim.SGD(made.parameters(), lr=0.1)
    x, before = torch.ones(4, 2), None
    for _ in range(3):
        loss = (made(x) - 3).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        assert before is None or loss.item() < before
        before = loss.item()
    assert seen == [torch.Size([4, 1])] * 3


# ---------------------------------------------------------------------------------------------------- refusals


def undefined(x):
    return x + unknown_name      # noqa: F821


def one_branch(x, n: int):
    if n > 1:
        y = x
    return y


def mixed(x, n: int):
    if n > 1:
        y = x
    else:
        y = 1
    return y


def no_method(x):
    return x.frobnicate()


def not_refined(x: Optional[Tensor]):
    return x + 1


def wrong_result(x) -> str:
    return x


def changes_type(n: int):
    k = 1
    for i in range(n):
        k = "text"
    return k


@pytest.mark.parametrize("fn, message", [
    (undefined, "undefined value unknown_name"), (one_branch, "y is not defined in the false branch"),
    (mixed, "y is set to type Tensor in the true branch and type int in the false branch"),
    (no_method, "object has no attribute or method 'frobnicate'"),
    (not_refined, r"Expected a value of type 'Tensor' for argument 'self' but instead found type 'Optional\[Tensor\]'"),
    (wrong_result, "annotated as having type str but is actually of type Tensor"),
    (changes_type, "Variable 'k' previously had type int"),
])
def test_errors_name_the_fault_and_the_place(fn, message):
    with pytest.raises(RuntimeError, match=message) as error:
        torch.jit.script(fn)
    assert "test_script.py" in str(error.value) and "<--- HERE" in str(error.value)


def tries(x):
    try:
        return x
    except ValueError:
        return x


def starred(x, *more):
    return x


def imports(x):
    import os
    return x, os.name


@pytest.mark.parametrize("fn, message", [
    (tries, "try blocks aren't supported"), (starred, "can't take variable number of arguments"),
    (imports, "import statements aren't supported")])
def test_constructs_that_are_not_in_the_language(fn, message):
    with pytest.raises(torch.jit.frontend.NotSupportedError, match=message):
        torch.jit.script(fn)


def test_calls_are_checked():
    made = torch.jit.script(helper)
    with pytest.raises(RuntimeError, match="missing value for argument 'x'"):
        made()
    with pytest.raises(RuntimeError, match="Expected a value of type 'Tensor .inferred.' for argument 'x'"):
        made(1)
    with pytest.raises(RuntimeError, match="expected at most 2 argument"):
        made(torch.ones(1), 1.0, 2)
    with pytest.raises(RuntimeError, match="Unknown keyword argument 'z'"):
        made(torch.ones(1), z=1)
    assert made.schema == "helper(Tensor x, float k=2.) -> Tensor"


def test_graph_and_code_read_as_pytorch_writes_them():
    def f(x, n: int):
        y = x + 1
        if n > 2:
            y = y * n
        return y
    made = torch.jit.script(f)
    lines = [line.partition(" #")[0] for line in str(made.graph).splitlines()]
    assert lines == [
        "graph(%x.1 : Tensor,", "      %n.1 : int):", "  %2 : int = prim::Constant[value=1]()",
        "  %4 : int = prim::Constant[value=2]()", "  %y.1 : Tensor = aten::add(%x.1, %2, %2)",
        "  %5 : bool = aten::gt(%n.1, %4)", "  %y.5 : Tensor = prim::If(%5)", "    block0():",
        "      %y.3 : Tensor = aten::mul(%y.1, %n.1)", "      -> (%y.3)", "    block1():", "      -> (%y.1)",
        "  return (%y.5)"]
    assert made.code == ("def f(x: Tensor,\n    n: int) -> Tensor:\n  y = torch.add(x, 1)\n  if torch.gt(n, 2):\n"
                         "    y1 = torch.mul(y, n)\n    y0 = y1\n  else:\n    y0 = y\n  return y0\n")


def test_words_do_nothing_in_python():
    assert torch.jit.annotate(List[int], []) == [] and not torch.jit.is_scripting()
    assert torch.jit.isinstance([1, 2], List[int]) and not torch.jit.isinstance([1, "a"], List[int])
    assert torch.jit.export_opnames(torch.jit.script(nn.Linear(1, 1))) == ["aten::linear"]


def test_layers_agree_with_themselves():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    pooled = F.max_pool2d(x, 2, return_indices=True)
    cases = [(nn.MaxPool2d(2, return_indices=True), (x,)), (nn.MaxUnpool2d(2), pooled), (nn.InstanceNorm2d(4), (x,)),
             (nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"), (x,)), (nn.Upsample(size=(3, 9)), (x,)),
             (nn.GRU(6, 3, bidirectional=True), (x[0],)), (nn.MultiheadAttention(6, 2), (x[0], x[0], x[0])),
             (nn.TransformerDecoderLayer(6, 2, 8).eval(), (x[0], x[1])), (nn.CTCLoss(), (
                 x[0].log_softmax(-1), torch.ones(6, 2).long(), torch.full((6,), 4), torch.full((6,), 2)))]
    for layer, args in cases:
        _same(torch.jit.script(layer)(*args), layer(*args))
