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


DTYPES = [torch.float32, torch.float32, torch.float64, torch.int64, torch.int32, torch.bool, torch.bfloat16]
RESHAPES = [lambda x: x.t(), lambda x: x[1:], lambda x: x[:, ::2], lambda x: x.unsqueeze(0), lambda x: x.squeeze(),
            lambda x: x.flatten(), lambda x: x.expand(2, *x.shape), lambda x: x.narrow(-1, 0, max(1, x.shape[-1] - 1)),
            lambda x: x.chunk(2, 0)[0], lambda x: x.movedim(0, -1), lambda x: x.reshape(-1, 1), lambda x: x.diagonal(),
            lambda x: x.select(0, 0), lambda x: x.unfold(0, 1, 1), lambda x: x[..., None], lambda x: x.permute(1, 0)]
ANYWHERE = [lambda x: x + 1, lambda x: x * 2, lambda x: -x, lambda x: x.abs(), lambda x: x.clamp(-2, 2),
            lambda x: x.clone(), lambda x: x.sum(), lambda x: x.sum(0, keepdim=True), lambda x: x.amax(-1),
            lambda x: x.float().mean(), lambda x: x.argmax().to(x.dtype) + x, lambda x: x.cumsum(0), lambda x: x > 0,
            lambda x: x.to(torch.float64) / 3, lambda x: x.to(torch.float32).exp().clamp(max=9),
            lambda x: x.contiguous(), lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
            lambda x: x.float().softmax(0), lambda x: x.sort(0)[0],
            lambda x: x.double().sqrt().nan_to_num(0.5), lambda x: torch.cat([x, x], 0), lambda x: x.long() % 3]
TOGETHER = [torch.add, torch.mul, torch.maximum, lambda a, b: a - 0.5 * b, lambda a, b: a == b,
            lambda a, b: torch.stack([a, b]), lambda a, b: torch.where(b > 0, a, b),
            lambda a, b: a.float() / (b * b + 1)]
IN_PLACE = [lambda x: x.mul_(2), lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x.fill_(1),
            lambda x: x.clamp_(0, 1), lambda x: x.copy_(x.flip(0)), lambda x: x.abs_(),
            lambda x: x[..., 0].add_(1), lambda x: x.neg_()]


def mixed(seed):
    """A function of tensors of several dtypes and shapes, and a counter: views, changes in place, branches, loops."""
    r = random.Random(1000 + seed)
    shapes = [(r.randint(2, 5), r.randint(2, 5)) for _ in range(2)]
    dtypes = [r.choice(DTYPES) for _ in range(3)]
    plan = [(r.choice("aaabbvvvcn"), r.random(), r.random(), r.random(), r.randint(0, 3))
            for _ in range(r.randint(5, 18))]
    in_place_of_argument = r.random() < 0.4
    place = {"n": 0}

    def program(x, y, z):
        values = [x, y, z, x.clone()]
        place["n"] += 1
        if in_place_of_argument:
            IN_PLACE[0](z) if z.dtype != torch.bool else z.logical_not_()
        for kind, which, i, j, branch in plan:
            if place["n"] % 4 == branch and branch:
                continue                                        # control flow by a counter
            a, b = values[int(i * len(values))], values[int(j * len(values))]
            table = {"a": ANYWHERE, "b": TOGETHER, "v": RESHAPES, "c": IN_PLACE, "n": ANYWHERE}[kind]
            f = table[int(which * len(table))]
            try:
                for _ in range(1 + (kind == "n")):
                    if kind == "c":
                        a = a.clone()
                        f(a)
                    else:
                        a = f(a, b) if kind == "b" else f(a)
            except (RuntimeError, IndexError, TypeError, NotImplementedError, ValueError):
                continue                                        # refused: of another shape or dtype
            if a.numel() < 400 and a.ndim < 5:
                values.append(a)
        return values[-4:], place["n"], {"sum": values[-1].float().sum()}
    return program, shapes, dtypes, place


def argument(shape, dtype, g):
    x = torch.randn(shape, generator=g) * 3
    return x > 0 if dtype == torch.bool else x.to(dtype)


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("group", range(15))
def test_same_bits_of_mixed_programs(group):
    made = 0
    for seed in range(group * 12, group * 12 + 12):
        outcomes = []
        for compiled in (False, True):
            program, shapes, dtypes, place = mixed(seed)
            f = torch.compile(program) if compiled else program
            g = torch.Generator().manual_seed(seed)
            found = []
            for _ in range(7):
                args = [argument(shapes[k % 2], d, g) for k, d in enumerate(dtypes)]
                result = f(*args)
                found.append([*[t.clone() for t in result[0]], result[1], result[2]["sum"], *args, place["n"]])
            outcomes.append(found)
        made += bool(f.entries)
        for call, (want, got) in enumerate(zip(*outcomes, strict=True)):
            for a, b in zip(want, got, strict=True):
                if isinstance(a, int):
                    assert a == b, (seed, call)
                else:
                    assert a.dtype == b.dtype and a.stride() == b.stride(), (seed, call)
                    assert torch.equal(a.double().nan_to_num(7), b.double().nan_to_num(7)), (seed, call)
    assert made >= 8, "few of these programs are captured"


WRITES = [lambda y, v: y.mul_(1.5), lambda y, v: y.add_(v), lambda y, v: y.mul_(y.detach() > 0.3),
          lambda y, v: y.masked_fill_(y > 1, 0.25), lambda y, v: y[1].copy_(v[0]), lambda y, v: y.t()[0].mul_(2),
          lambda y, v: y.index_add_(0, torch.tensor([1, 1]), v[:2]), lambda y, v: y.clamp_(-1.5, 1.5),
          lambda y, v: y.tanh_(), lambda y, v: y.sub_(v.sum()), lambda y, v: y.index_fill_(1, torch.tensor([2]), 0.5),
          lambda y, v: y.__setitem__((slice(None), 1), v[:, 2]), lambda y, v: y.addcmul_(v, v, value=0.1),
          lambda y, v: y.copy_(v), lambda y, v: y[:, ::2].zero_(), lambda y, v: y.relu_(), lambda y, v: y.lerp_(v, 0.3),
          lambda y, v: y.__setitem__(y < -1, 0.125), lambda y, v: y.view(-1)[3:9].neg_(), lambda y, v: y.exp_()]
READS = [lambda y, v: y * v, lambda y, v: y + v.mean(), lambda y, v: y.square(), lambda y, v: (y > 0) * v,
         lambda y, v: y.sigmoid() * 2, lambda y, v: torch.where(y > v, y, v), lambda y, v: y.clone(),
         lambda y, v: y - y.sum(0), lambda y, v: y[:, [2, 1, 0]], lambda y, v: y.detach() + v, lambda y, v: y.abs() / 2]


def overwritten(seed):
    """A function of two (4, 3) tensors that need gradients: intermediate values, overwritten and read in any order."""
    r = random.Random(7000 + seed)
    plan = [(r.random() < 0.45, r.random(), r.random(), r.random()) for _ in range(r.randint(4, 12))]
    dtype = r.choice([torch.float32, torch.float32, torch.float64, torch.bfloat16])
    part = r.choice(["loss", "inside", "outside", "outside", "twice", "twice"])

    def values(x, v):
        found = [x * 2, v + x]
        for write, which, i, j in plan:
            a, b = found[int(i * len(found))], found[int(j * len(found))]
            if not write:
                found.append(READS[int(which * len(READS))](a, b))
            elif a is not b:
                WRITES[int(which * len(WRITES))](a, b.detach() if a.requires_grad and which < 0.3 else b)
        return sum(f.float().clamp(-20, 20).square().mean() for f in found)

    def inside(x, v):
        return torch.autograd.grad(values(x, v), (x, v), allow_unused=True)
    return values, inside, dtype, part


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("group", range(10))
def test_same_bits_of_overwritten_values(group):
    made = 0
    for seed in range(group * 30, group * 30 + 30):
        values, inside, dtype, part = overwritten(seed)
        run = inside if part == "inside" else values
        f = torch.compile(run)
        for call in range(4):
            g = torch.Generator().manual_seed(seed * 10 + call)
            x, v = [torch.randn(4, 3, generator=g).to(dtype).requires_grad_(part != "loss") for _ in "xv"]
            found = []
            for h in (run, f):
                try:
                    out = h(x, v)
                    if part == "outside":
                        out = [out, *torch.autograd.grad(out, (x, v), allow_unused=True)]
                    elif part == "twice":
                        first = torch.autograd.grad(out * out, (x, v), allow_unused=True, create_graph=True)
                        again = sum(g.square().sum() for g in first if g is not None)
                        out = [out, *first, *torch.autograd.grad(again, (x, v), allow_unused=True)]
                    found.append(flat(out) if isinstance(out, (list, tuple)) else [out])
                except RuntimeError as error:       # what a backward pass needs was overwritten
                    found.append(str(error)[:40])
            if isinstance(found[0], str):
                assert found[0] == found[1] or "overwritten" in found[1] or "modified" in found[1], (seed, call, found)
                continue
            for a, b in zip(*found, strict=True):
                assert (a is None) == (b is None), (seed, call)
                if a is None:
                    continue
                a, b = a.double().nan_to_num(7), b.double().nan_to_num(7)
                # Second derivatives are sums of terms that come in another order.
                error = (a - b).abs().max() if part == "twice" else float(not torch.equal(a, b))
                assert error <= (0.1 if dtype == torch.bfloat16 else 1e-4) * a.abs().max(), (seed, call, part)
        made += bool(f.entries)
    assert made >= 15
