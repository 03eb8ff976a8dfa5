"""GradScaler: the scale's course, what steps do with infinities, states and errors."""

import copy
import pickle

import pytest

import rushlight as torch

inf = float("inf")


def setup(**kwargs):
    w = torch.nn.Parameter(torch.ones(3))
    return w, torch.optim.SGD([w], lr=1.0), torch.amp.GradScaler("cpu", **kwargs)


def turn(w, optimizer, scaler, factor):
    optimizer.zero_grad()
    scaler.scale((w * factor).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    return scaler.get_scale(), scaler._get_growth_tracker()


def test_course_of_the_scale():
    w, optimizer, scaler = setup(init_scale=8.0, growth_interval=2)
    course = [turn(w, optimizer, scaler, f) for f in (2.0, 2.0, inf, 1.0, inf, 1.0, 1.0)]
    assert course == [(8.0, 1), (16.0, 0), (8.0, 0), (8.0, 1), (4.0, 0), (4.0, 1), (8.0, 0)]
    assert torch.equal(w, torch.full((3,), 1.0 - 2 - 2 - 1 - 1 - 1))


def test_a_scale_that_would_overflow_stays():
    w, optimizer, scaler = setup(init_scale=3e38, growth_interval=1)
    assert turn(w, optimizer, scaler, 0.0) == (torch.tensor(3e38).item(), 0)


@pytest.mark.parametrize("bad", [inf, -inf, float("nan")])
def test_steps_with_bad_gradients_are_left_out(bad):
    w, optimizer, scaler = setup(init_scale=4.0)
    scaler.scale((w * torch.tensor([1.0, bad, 1.0])).sum()).backward()
    assert scaler.step(optimizer) is None
    assert torch.equal(w, torch.ones(3))
    scaler.update()
    assert scaler.get_scale() == 2.0


def test_finite_gradients_whose_sum_overflows_are_fine():
    w, optimizer, scaler = setup(init_scale=1.0)
    scaler.scale(w.sum()).backward()
    w.grad.fill_(3e38)
    optimizer.param_groups[0]["lr"] = 1e-38
    scaler.step(optimizer)
    assert torch.allclose(w, torch.full((3,), 1.0 - 3.0))


def test_unscale_before_the_step():
    w, optimizer, scaler = setup(init_scale=8.0)
    scaler.scale(w.sum() * 3).backward()
    assert torch.equal(w.grad, torch.full((3,), 24.0))
    scaler.unscale_(optimizer)
    assert torch.equal(w.grad, torch.full((3,), 3.0))
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert torch.equal(w, torch.full((3,), -2.0))
    with pytest.raises(RuntimeError, match="unscale_\\(\\) is being called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="step\\(\\) has already been called"):
        scaler.step(optimizer)
    scaler.update()
    scaler.unscale_(optimizer)


def test_one_scaler_and_two_optimizers():
    w, optimizer, scaler = setup(init_scale=4.0)
    v = torch.nn.Parameter(torch.ones(1))
    other = torch.optim.SGD([v], lr=1.0)
    scaler.scale(w.sum() + v.sum() * inf).backward()
    scaler.step(optimizer)
    scaler.step(other)
    scaler.update()
    assert torch.equal(w, torch.zeros(3)) and v.item() == 1.0 and scaler.get_scale() == 2.0


def test_misuse():
    w, optimizer, scaler = setup()
    for method in (scaler.step, scaler.unscale_):
        with pytest.raises(AssertionError, match="_scale is None"):
            method(optimizer)
    with pytest.raises(ValueError, match="outputs must be a Tensor"):
        scaler.scale(3)
    scaler.scale(torch.ones(1))
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(optimizer)
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: None)
    with pytest.raises(AssertionError, match="growth factor must be > 1"):
        torch.amp.GradScaler("cpu", growth_factor=0.5)
    with pytest.raises(AssertionError, match="backoff factor must be < 1"):
        torch.amp.GradScaler("cpu", backoff_factor=1.5)
    h = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    scaler.scale(h.float().sum()).backward()
    with pytest.raises(ValueError, match="unscale FP16 gradients"):
        scaler.unscale_(torch.optim.SGD([h], lr=0.1))


def test_nested_outputs():
    scaler = torch.amp.GradScaler("cpu", init_scale=5.0)
    a, (b,) = scaler.scale([torch.ones(1), (torch.ones(2),)])
    assert torch.equal(a, torch.full((1,), 5.0)) and torch.equal(b, torch.full((2,), 5.0))


def test_state_and_pickling():
    w, optimizer, scaler = setup(init_scale=8.0, growth_interval=2)
    turn(w, optimizer, scaler, 1.0)
    state = scaler.state_dict()
    assert state == {"scale": 8.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2,
                     "_growth_tracker": 1}
    fresh = torch.amp.GradScaler("cpu")
    fresh.load_state_dict(state)
    again = pickle.loads(pickle.dumps(scaler))
    for s in (fresh, again, copy.deepcopy(scaler)):
        assert s.state_dict() == state and turn(w, optimizer, s, 1.0) == (16.0, 0)
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        fresh.load_state_dict({})
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled"):
        pickle.dumps(scaler)


def test_a_disabled_scaler_passes_through():
    w, optimizer, scaler = setup(enabled=False)
    assert scaler.scale(w) is w and scaler.state_dict() == {} and scaler.get_scale() == 1.0
    w.sum().backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(w, torch.zeros(3))
    with pytest.warns(UserWarning, match="CUDA is not available"):
        assert not torch.amp.GradScaler().is_enabled()


def test_optimizers_that_take_scaled_gradients():
    class Own(torch.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure=None):
            seen.append((self.grad_scale.item(), self.found_inf.item()))

    seen = []
    w = torch.nn.Parameter(torch.ones(3))
    optimizer, scaler = Own([w], lr=1.0), torch.amp.GradScaler("cpu", init_scale=4.0)
    turn(w, optimizer, scaler, 1.0)
    turn(w, optimizer, scaler, inf)
    assert seen == [(4.0, 0.0), (4.0, 1.0)] and not hasattr(optimizer, "found_inf")
    assert scaler.get_scale() == 2.0
