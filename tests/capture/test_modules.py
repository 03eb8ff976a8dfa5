"""Compiled modules are modules still, and what happens to modules and optimizers between calls is seen."""

import copy
import gc
import io
import pickle
import sys
import threading
import weakref
from pathlib import Path

import pytest

import rushlight as torch
from rushlight import nn

sys.path.insert(0, str(Path(__file__).parent))

from against_eager import batch, compare, programs


def small(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), *more)


def training(model, optimizer):
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()
    return step


def used(m):
    f = torch.compile(m)
    for i in range(4):
        f(batch(i))
    return f


def test_copies_are_compiled_apart():
    f = used(small(nn.BatchNorm1d(4)))
    g = copy.deepcopy(f)
    assert type(g) is type(f) and g._orig_mod is not f._orig_mod and not programs(g)
    with torch.no_grad():
        g.get_parameter("0.weight").zero_()
    before = f._orig_mod[2].running_mean.clone()
    for i in range(4):
        assert torch.equal(g(batch(i)), copy.deepcopy(g._orig_mod)(batch(i)))
    assert torch.equal(before, f._orig_mod[2].running_mean) and programs(f) == programs(g) == 1


@pytest.mark.parametrize("way", ["pickle", "save"])
def test_stored(way):
    f = used(small())
    if way == "pickle":
        g = pickle.loads(pickle.dumps(f))
    else:
        file = io.BytesIO()
        torch.save(f, file)
        file.seek(0)
        g = torch.load(file, weights_only=False)
    assert type(g) is type(f)
    for i in range(4):
        assert torch.equal(f(batch(i)), g(batch(i)))


def test_attributes_are_the_modules():
    m = small(nn.Dropout(0.5))
    f = torch.compile(m)
    assert isinstance(f, nn.Module) and len(f) == 3 and next(f.parameters()) is m[0].weight
    assert list(f.state_dict()) == ["_orig_mod.0.weight", "_orig_mod.0.bias"]
    f.scale = 3
    assert m.scale == f.scale == 3
    del f.scale
    assert not hasattr(m, "scale") and not hasattr(f, "scale")
    f.eval()
    assert not m.training and not f.training and not m[2].training
    f.training = True
    assert m.training and not m[2].training
    f.load_state_dict({k: v * 0 for k, v in f.state_dict().items()})
    assert not m[0].weight.any()
    f.double()
    assert f(batch(0).double()).dtype is torch.float64


def test_hooks_of_the_compiled_module():
    seen = []

    def loop(compiled):
        f = compiled(small())
        outs = [f(batch(i)).detach() for i in range(4)]
        handle = f.register_forward_hook(lambda module, args, out: out * 2)
        other = f.register_forward_pre_hook(lambda module, args: seen.append(1))
        outs += [f(batch(i)).detach() for i in range(3)]
        handle.remove()
        other.remove()
        return outs + [f(batch(i)).detach() for i in range(3)]
    compare(loop)
    assert len(seen) == 6


def on_module(m, opt):
    return m[0].register_forward_hook(lambda module, args, out: out * 2)


def on_all(m, opt):
    return nn.modules.module.register_module_forward_hook(lambda module, args, out: out * 0.5)


def before_all(m, opt):
    return nn.modules.module.register_module_forward_pre_hook(lambda module, args: (args[0] * 2,))


def backward_of_module(m, opt):
    return m[1].register_full_backward_hook(lambda module, grads, outs: (grads[0] * 3,))


def on_tensor(m, opt):
    return m[0].weight.register_hook(lambda g: g * 5)


def after_accumulation(m, opt):
    return m[0].weight.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(2))


def before_steps(m, opt):
    def triple(optimizer, args, kwargs):
        m[0].weight.grad.mul_(3)
    return opt.register_step_pre_hook(triple)


def before_all_steps(m, opt):
    from rushlight.optim.optimizer import register_optimizer_step_pre_hook

    def triple(optimizer, args, kwargs):
        m[0].weight.grad.mul_(3)
    return register_optimizer_step_pre_hook(triple)


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("hook", [on_module, on_all, before_all, backward_of_module, on_tensor, after_accumulation,
                                  before_steps, before_all_steps])
@pytest.mark.parametrize("whole", [True, False], ids=["step", "model"])
def test_hooks_that_come_and_go(hook, whole):
    def loop(compiled):
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        step = compiled(training(model, optimizer)) if whole else training(compiled(model), optimizer)
        seen = []
        for i in range(12):
            if i == 4:
                handle = hook(model, optimizer)
            if i == 8:
                handle.remove()
            seen.append((step(batch(i)), model[0].weight.detach().clone(), model[0].weight.grad.clone()))
        return seen
    f, = compare(loop)
    assert programs(f)


CHANGES = {}


def change(f):
    CHANGES[f.__name__] = f
    return f


@change
def frozen(i, m, opt):
    if i in (4, 8):
        m[0].requires_grad_(i == 8)


@change
def more_groups(i, m, opt):
    if i == 5:
        m.append(nn.Linear(4, 4))
        opt.add_param_group({"params": m[3].parameters(), "lr": 0.01})


@change
def settings_of_groups(i, m, opt):
    for group in opt.param_groups:
        group["lr"], group["weight_decay"], group["eps"] = 0.1 / (i + 1), 0.01 * i, 1e-8 * (i + 1)
        if i == 7:
            group["maximize"] = True
        if i == 9:
            group["betas"] = (0.5, 0.9)
        if i == 11:
            group["lr"] = torch.tensor(0.05)


@change
def states_loaded(i, m, opt):
    if i == 4:
        settings_of_groups.saved = copy.deepcopy((m.state_dict(), opt.state_dict()))
    elif i == 8:
        m.load_state_dict(settings_of_groups.saved[0])
        opt.load_state_dict(settings_of_groups.saved[1])
    elif i == 10:
        m.load_state_dict(settings_of_groups.saved[0], assign=True)


@change
def another_layer(i, m, opt):
    if i == 4:
        m[1] = nn.Tanh()


@change
def other_memory(i, m, opt):
    if i == 4:
        m[0].weight.data = torch.ones(4, 4)
    if i == 7:
        m[0].weight.grad = None


@change
def evaluated_between(i, m, opt):
    if i % 4 == 3:
        m.eval()
        with torch.no_grad():
            m(batch(i))
        m.train()


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CHANGES)
def test_changes_between_steps(name):
    def loop(compiled):
        torch.manual_seed(1)
        model = small(nn.Linear(4, 4))
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        step, seen = compiled(training(model, optimizer)), []
        for i in range(14):
            CHANGES[name](i, model, optimizer)
            seen.append((step(batch(i)), [p.detach().clone() for p in model.parameters()],
                         [p.grad is None or p.grad.clone() for p in model.parameters()]))
        return seen
    f, = compare(loop)
    assert programs(f)


def test_dtypes_change():
    def loop(compiled):
        m = small()
        f, seen = compiled(m), []
        for i in range(12):
            if i in (4, 8):
                m.to(torch.float64 if i == 4 else torch.float32)
            seen.append(f(batch(i).to(m[0].weight.dtype)).detach())
        return seen
    compare(loop)


@pytest.mark.parametrize("switch", ["deterministic", "precision", "dtype", "grad"])
def test_switches(switch):
    """What a function can ask about is guarded."""
    def asks(x):
        y = x * 2 if torch.are_deterministic_algorithms_enabled() else x
        y = y + 1 if torch.get_float32_matmul_precision() == "high" else y
        return y * torch.zeros(4).add(3) if torch.is_grad_enabled() else y - torch.ones(4)

    def turn(on):
        if switch == "deterministic":
            torch.use_deterministic_algorithms(on)
        elif switch == "precision":
            torch.set_float32_matmul_precision("high" if on else "highest")
        elif switch == "dtype":
            torch.set_default_dtype(torch.float64 if on else torch.float32)
        else:
            torch.set_grad_enabled(not on)

    def loop(compiled):
        f, seen = compiled(asks), []
        for i in range(12):
            turn(i // 3 % 2 == 1)
            seen.append(f(batch(1)))
        turn(False)
        return seen
    x = batch(1)            # (made before the default type changes)
    assert x.dtype is torch.float32
    f, = compare(loop)
    assert programs(f) == 2


def test_tied_and_untied_weights():
    def loop(compiled):
        torch.manual_seed(0)
        m = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
        m[1].weight = m[0].weight
        f, seen = compiled(m), []
        for i in range(12):
            if i == 6:
                m[1].weight = nn.Parameter(torch.ones(4, 4))
            m.zero_grad()
            f(batch(i)).sum().backward()
            seen.append([p.grad.clone() for p in m.parameters()])
        return seen
    f, = compare(loop)
    assert programs(f) == 2


def test_compiled_twice_and_within():
    def loop(compiled):
        m = small()
        f, inner = compiled(compiled(m)), small(nn.Linear(4, 2))
        inner[0] = compiled(inner[0])
        step = compiled(training(inner, torch.optim.SGD(inner.parameters(), 0.1)))
        double = compiled(lambda x: x.sin() * 2)
        outer = compiled(lambda x: double(x) + double(x * 2))
        return [(f(batch(i)).detach(), step(batch(i)), outer(batch(i)), double(batch(i))) for i in range(6)]
    compare(loop)


def test_module_compile():
    m = small()
    plain = copy.deepcopy(m)
    m.compile()
    for i in range(5):
        assert torch.equal(m(batch(i)), plain(batch(i)))
    assert torch.equal(copy.deepcopy(m)(batch(1)), plain(batch(1)))
    assert torch.equal(pickle.loads(pickle.dumps(m))(batch(1)), plain(batch(1)))


def test_memory_is_let_go():
    m = small()
    f = used(m)
    there = weakref.ref(m)
    del m, f
    gc.collect()
    assert there() is None


@pytest.mark.parametrize("trained", [False, True])
def test_threads(trained):
    """Each thread gets its own results, whichever runs the program."""
    def loop(compiled):
        models = [small() for _ in range(3)]
        optimizers = [torch.optim.Adam(m.parameters(), 0.1) for m in models]
        f = compiled(lambda m, opt, x: training(m, opt)(x) if trained else m(x).detach())
        seen = {}

        def work(k):
            for i in range(16):
                seen[k, i] = f(models[k if trained else 0], optimizers[k], batch(100 * k + i, 3 + k % 2, 4))
        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return [seen[at] for at in sorted(seen)], models[0][0].weight
    compare(loop)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_leave_what_eager_ones_leave(error):
    def loop(compiled):
        m, state = small(), {"calls": 0}
        optimizer = torch.optim.SGD(m.parameters(), 0.1, momentum=0.9)

        @compiled
        def step(x):
            state["calls"] += 1
            optimizer.zero_grad()
            loss = m(x).square().mean()
            loss.backward()
            if state["calls"] in (1, 2, 3, 7):
                raise error
            optimizer.step()
            return loss.detach()
        seen = []
        for i in range(12):
            try:
                seen.append(step(batch(i)))
            except error:
                seen.append("raised")
            seen.append((m[0].weight.detach().clone(), m[0].weight.grad.clone(), dict(state)))
        return seen
    f, = compare(loop)
    assert programs(f)


def test_modes_and_names_are_the_modules():
    m = small()
    f = torch.compile(m)
    m.eval()
    assert not f.training
    f.train()
    assert m.training and f.training and m[0].training
    f.training = False
    assert not m.training
    m.extra = 3
    assert "extra" in dir(f) and f.extra == 3
    del f.extra
    assert not hasattr(m, "extra")
