"""Random programs, compiled and eager: the same bits."""

import random

import pytest

import rushlight as torch

UNARY = [torch.sin, torch.tanh, torch.relu, torch.sigmoid, torch.exp, torch.neg, torch.abs, torch.square,
         lambda x: x * 0.5 + 1, lambda x: x.clamp(-1, 1), lambda x: torch.where(x > 0, x, 0.1 * x),
         lambda x: x.double().mul(0.3).float(), lambda x: (x > 0.2).float() + x,
         lambda x: torch.softmax(x, -1), lambda x: x - x.mean(-1, keepdim=True), lambda x: x / (x.abs().sum() + 1)]
BINARY = [torch.add, torch.sub, torch.mul, torch.maximum, lambda a, b: a / (b * b + 1), lambda a, b: a * (a > b),
          lambda a, b: torch.lerp(a, b, 0.3), lambda a, b: torch.addcmul(a, a, b, value=0.5)]
VIEWS = [lambda x: x.t().contiguous().t(), lambda x: x.flip(0), lambda x: x.reshape(-1).view(x.shape),
         lambda x: torch.cat([x[:2], x[2:]]), lambda x: x.roll(1, 0), lambda x: x @ x.t() @ x * 0.1]
CHANGES = [lambda x: x.mul_(0.9), lambda x: x[1].add_(1), lambda x: x[:, ::2].sub_(0.5), lambda x: x[0].copy_(x[1]),
           lambda x: x.t()[0].zero_(), lambda x: x.clamp_(-2, 2), lambda x: x.select(1, 1).fill_(0.25)]


def build(seed):
    """A function of two (4, 6) tensors and one parameter: random ops with loops and branches on its counts."""
    r = random.Random(seed)
    plan = []
    for _ in range(r.randint(4, 14)):
        kind = r.choice("uuubbbvc")
        table = {"u": UNARY, "b": BINARY, "v": VIEWS, "c": CHANGES}[kind]
        plan.append((kind, r.randrange(len(table)), r.random(), r.random(), r.randint(1, 2)))
    backward = r.random() < 0.6

    def program(x, y, w):
        values = [x * w, y + w[0], x - y * w[1]]
        for kind, which, i, j, times in plan:
            for _ in range(times):
                a, b = values[int(i * len(values))], values[int(j * len(values))]
                if kind == "c":
                    a = a.clone()
                    CHANGES[which](a)
                elif kind == "b":
                    a = BINARY[which](a, b)
                else:
                    a = (UNARY if kind == "u" else VIEWS)[which](a)
                if a.ndim == 2 and a.shape[0] == 4:
                    values.append(a)
        loss = sum(v.square().mean() for v in values[-3:])
        if backward:
            w.grad = None
            loss.backward()
            return loss.detach(), w.grad, values[-1].detach()
        return loss.detach(), values[-1].detach(), [v.detach() for v in values[-2:]]
    return program


def flat(x):
    return [y for z in x for y in flat(z)] if isinstance(x, (tuple, list)) else [x]


@pytest.mark.filterwarnings("error:compile")
@pytest.mark.parametrize("group", range(10))
def test_same_bits(group):
    for seed in range(group * 12, group * 12 + 12):
        program = build(seed)
        w = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_()
        compiled = torch.compile(lambda x, y, program=program, w=w: program(x, y, w))
        for i in range(4):
            torch.manual_seed(seed + i)
            x, y = torch.randn(4, 6), torch.randn(6, 4).t()
            want = flat(program(x, y, w))
            got = flat(compiled(x, y))
            for a, b in zip(want, got, strict=True):
                assert torch.equal(a.nan_to_num(7), b.nan_to_num(7)) and a.stride() == b.stride(), (seed, i)
        assert compiled.entries, (seed, compiled.refusals)
