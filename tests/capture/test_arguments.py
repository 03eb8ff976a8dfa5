"""Arguments of all kinds: shared, aliased, changed, returned, empty, nested, and functions of all kinds."""

import collections
import copy
import dataclasses
import enum
import functools
import sys
from pathlib import Path

import pytest

import rushlight as torch

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs

CASES = {}


def case(captured=True):
    """A loop, and whether there are programs (None: either)."""
    def put(f):
        CASES[f.__name__] = f, captured
        return f
    return put


def calls(function, arguments, n=8):
    """A loop of n calls; the arguments of the i-th are looked at afterwards as well."""
    def loop(compiled):
        f, seen = compiled(function), []
        for i in range(n):
            given = arguments(i)
            result = f(*given)
            seen.append((result, [x for x in given if isinstance(x, (torch.Tensor, list, dict))],
                         [x._version for x in given if isinstance(x, torch.Tensor)]))
        return seen
    return loop


def changed(x, y):
    x.add_(1)
    return x * y


def changed_view(x):
    x.t()[1].add_(5)
    x[0] = 1
    return x


def one_or_both(i):
    x = batch(i)
    return x, x if i % 2 else batch(3)


def parts(i):
    x = batch(i, 8)
    return x[:4], x[4:] if i % 3 else x[2:6]


CASES["one_tensor_twice"] = calls(lambda x, y: x * 2 + y, one_or_both), True
CASES["one_tensor_twice_changed"] = calls(changed, one_or_both), True
WHOLE = batch(0, 40)
CASES["parts_of_one"] = calls(lambda a, b: a * b + 1, lambda i: (WHOLE[i:i + 4], WHOLE[30 - i:34 - i])), True
CASES["parts_that_overlap"] = calls(changed, parts), None
CASES["changed_in_place"] = calls(changed_view, lambda i: (batch(i),)), True
CASES["views_returned"] = calls(lambda x: (x, x.t(), x[1:], x.view(-1)), lambda i: (batch(i),)), True
CASES["results_that_share"] = calls(lambda x: ((y := x + 1), y, y.view(-1), [y[0]]), lambda i: (batch(i),)), True
CASES["strided"] = calls(lambda x: (x * 2, x.sum(0), x.reshape(-1)), lambda i: (batch(i, 6, 8)[::2, ::2],)), True
CASES["empty"] = calls(lambda x, y: (x @ y, x.sum(), torch.cat([x, x])),
                       lambda i: (torch.zeros(0, 3), torch.ones(3, 2))), True
CASES["nothing"] = calls(lambda *xs: torch.ones(2) * 3, lambda i: ()), True
CASES["dict"] = calls(lambda d: {"a": d["x"] + 1, "b": [d["y"], (1, None, "s")]}, lambda i: (
    {"x": batch(i), "y": batch(i + 1)} if i % 2 else {"y": batch(i), "x": batch(i)},)), True
CASES["list"] = calls(lambda xs: torch.stack(xs).sum(0), lambda i: ([batch(i + j) for j in range(2 + i % 2)],)), True
CASES["dict_changed"] = calls(lambda d: d.update(y=d["x"] * 2), lambda i: ({"x": batch(i)},)), False
CASES["dict_returned"] = calls(lambda d: d, lambda i: ({"x": batch(i)},)), False
CASES["dtypes"] = calls(lambda x, d: x.to(d) * 2, lambda i: (batch(i), (torch.float64, torch.bfloat16)[i % 2])), True
CASES["texts"] = calls(lambda x, how: getattr(x, how)(), lambda i: (batch(i), ("sum", "mean")[i % 2])), True
CASES["functions"] = calls(lambda x, f: f(x) + 1, lambda i: (batch(i), (torch.relu, torch.sin)[i % 2])), True
CASES["more_and_less"] = calls(lambda *xs: xs[0] * len(xs), lambda i: (batch(i), batch(i + 1))[:1 + i % 2]), True
CASES["generator"] = calls(lambda xs: sum(xs), lambda i: ((batch(i + j) for j in range(2)),)), None
CASES["yields"] = calls(lambda x: list((lambda: (yield x * 2))()), lambda i: (batch(i),)), None
CASES["partial"] = calls(functools.partial(lambda x, k: x * k, k=3), lambda i: (batch(i),)), True
CASES["leaf_made"] = calls(lambda x: x.detach().requires_grad_(), lambda i: (batch(i),)), True
CASES["data_replaced"] = calls(lambda x: setattr(x, "data", x * 2), lambda i: (batch(i),)), False

Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Both:
    a: object
    b: object = 2


class Mode(enum.IntEnum):
    ADD = 1
    MULTIPLY = 2


CASES["named_tuple"] = calls(lambda p: Pair(p.second, p.first * 2), lambda i: (Pair(batch(i), batch(i + 1)),)), True
CASES["enumeration"] = calls(lambda x, m: x + m if m is Mode.ADD else x * m,
                             lambda i: (batch(i), Mode(1 + i % 2))), True


@case()
def a_weight_as_argument(compiled):
    """The argument may be the tensor that the function uses besides."""
    w = torch.ones(3, 4)

    @compiled
    def f(x):
        w.add_(x)
        return w + x
    return [(f(w if i % 3 == 2 else batch(i)), w.clone()) for i in range(9)]


@case()
def a_weight_as_argument_first(compiled):
    w = torch.ones(3, 4)

    @compiled
    def f(x):
        w.add_(x)
        return w + x
    return [(f(w if i < 4 else batch(i)), w.clone()) for i in range(9)]


@case()
def objects_that_change(compiled):
    both = Both(torch.zeros(3, 4), 0)

    @compiled
    def f(x):
        both.a = both.a + x
        both.b += 1
        return both.a * both.b
    return [(f(batch(i)), both.a, both.b) for i in range(8)]


@case()
def attributes_that_are_enumerated(compiled):
    both = Both(Mode.ADD, "u")

    @compiled
    def f(x):
        return x * int(both.a) if both.b == "u" else x - both.a
    seen = []
    for i in range(12):
        both.a, both.b = Mode(1 + i // 3 % 2), "uv"[i // 6]
        seen.append(f(batch(i)))
    return seen


@case()
def methods(compiled):
    class Scaled:
        def __init__(self, k):
            self.k = k

        @compiled
        def decorated(self, x):
            return x * self.k

        @property
        def more(self):
            return self.k + 1

        def plain(self, x):
            return x * self.more

    a, b = Scaled(2), Scaled(5)
    plain, seen = compiled(a.plain), []
    for i in range(8):
        if i == 5:
            a.k = 7
        seen.append((a.decorated(batch(i)), b.decorated(batch(i)), plain(batch(i))))
    return seen


@case()
def caught_errors(compiled):
    @compiled
    def f(x, y):
        try:
            if x.shape[0] > 3:
                raise ValueError("large")
            return x @ y
        except ValueError:
            return x * 2
        except RuntimeError:
            return x * 3
        finally:
            x.add_(1)
    return [f(batch(i, 3 + i % 2, 4), batch(i, 4 + i // 2 % 2, 2)) for i in range(16)]


@case()
def calls_itself(compiled):
    @compiled
    def f(x, n):
        return x * 2 if n == 0 else f(x + 1, n - 1) * f(x, 0)
    return [f(batch(i), i % 3) for i in range(12)]


@case()
def calls_during_backward(compiled):
    triple = compiled(lambda x: x * 3)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return triple(x)

        @staticmethod
        def backward(ctx, g):
            return triple(g)
    f, seen = compiled(lambda x: Function.apply(x).sum()), []
    for i in range(6):
        x = batch(i).requires_grad_()
        f(x).backward()
        seen.append(x.grad)
    return seen


@case()
def data_of_new_models(compiled):
    """Another model is another program; nothing of the first is used."""
    @compiled
    def step(model, optimizer, x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()
    seen = []
    for k in range(3):
        torch.manual_seed(k)
        model = torch.nn.Linear(4, 2)
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        seen += [(step(model, optimizer, batch(i)), copy.deepcopy(model.state_dict())) for i in range(5)]
    return seen


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_arguments(name):
    loop, captured = CASES[name]
    f = compare(loop)[0]
    if captured is not None and hasattr(f, "entries"):
        assert bool(programs(f)) == captured, (f.refusals, f.paths)


def test_what_is_given_stays_the_same_object():
    f, x, items = torch.compile(lambda x, items: (x, items)), batch(0), [batch(1)]
    for _ in range(5):
        a, b = f(x, items)
        assert a is x and b is items
