"""Parameter groups, state, checkpoints, hooks and errors of optimizers."""

import copy
import pickle
import warnings

import pytest

import rushlight as torch
from rushlight.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

optim = torch.optim
NAMES = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "Muon", "NAdam",
    "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam",
]  # fmt: skip
DENSE = [name for name in NAMES if name not in ("SparseAdam", "LBFGS")]


def param(*shape, dtype=None):
    p = torch.ones(shape or (2, 2), dtype=dtype, requires_grad=True)
    p.grad = torch.full(shape or (2, 2), 0.5, dtype=dtype)
    return p


# ----- construction -----


@pytest.mark.parametrize("name", NAMES)
def test_what_params_may_not_be(name):
    cls = getattr(optim, name)
    with pytest.raises(ValueError, match="empty parameter list"):
        cls([])
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts"):
        cls(param())
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of the params is int"):
        cls([1])
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        cls([param() * 2])
    p, q = param(), param()
    if name != "LBFGS":
        with pytest.raises(ValueError, match="more than one parameter group"):
            cls([{"params": [p]}, {"params": [p]}])
    with pytest.raises(TypeError, match="organized in ordered collections"):
        cls([{"params": {p}}])
    with pytest.raises(ValueError, match="Some param names are missing"):
        cls([("p", p), q])
    with pytest.raises(ValueError, match="cannot add param group with names"):
        cls([{"params": [p]}, {"params": [("q", q)]}])
    with pytest.raises(ValueError, match="cannot add param group without names"):
        cls([{"params": [("q", q)]}, {"params": [p]}])
    with pytest.raises(TypeError, match="param_group must be a dict"):
        cls([p]).add_param_group([q])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        cls([p, p])
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        cls([p], lr=torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("SGD", {"lr": -1}, "Invalid learning rate: -1"),
        ("SGD", {"momentum": -0.5}, "Invalid momentum value: -0.5"),
        ("SGD", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ("Adam", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adam", {"eps": -1}, "Invalid epsilon value: -1"),
        ("Adam", {"betas": (1.0, 0.0)}, "Invalid beta parameter at index 0: 1.0"),
        ("Adam", {"betas": (0.0, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
        ("AdamW", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("RMSprop", {"alpha": -1}, "Invalid alpha value: -1"),
        ("RMSprop", {"momentum": -1.0}, "Invalid momentum value: -1.0"),
        ("Adagrad", {"lr_decay": -0.5}, "Invalid lr_decay value: -0.5"),
        ("Adagrad", {"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value"),
        ("Adadelta", {"rho": 1.1}, "Invalid rho value: 1.1"),
        ("Adamax", {"betas": (0.0, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
        ("NAdam", {"momentum_decay": -0.2}, "Invalid momentum_decay value: -0.2"),
        ("RAdam", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("Rprop", {"etas": (1.0, 0.5)}, "Invalid eta values: 1.0, 0.5"),
        ("ASGD", {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
        ("LBFGS", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adafactor", {"lr": -1}, "Learning rate should be >= 0 but is: -1"),
        ("Adafactor", {"eps": (-1e-30, 1e-3)}, "epsilon1 should be >= 0 but is: -1e-30"),
        ("Adafactor", {"eps": (None, -1)}, "epsilon2 should be >= 0 but is: -1"),
        ("Adafactor", {"d": 0.0}, "Clipping threshold d should be >= 1 but is: 0.0"),
        ("Adafactor", {"beta2_decay": 0.8}, "beta2_decay should be <= 0 but is: 0.8"),
        ("SparseAdam", {"lr": 0}, "Invalid learning rate: 0"),
        ("SparseAdam", {"eps": 0}, "Invalid epsilon value: 0"),
        ("Muon", {"momentum": -1}, "momentum should be >= 0 but is: -1"),
        ("Muon", {"weight_decay": -1}, "weight decay should be >= 0 but is: -1"),
        ("Muon", {"adjust_lr_fn": "x"}, "Adjust learning rate function x is not supported"),
    ],
)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError) as error:
        getattr(optim, name)([param()], **options)
    assert message in str(error.value)


def test_tensor_options():
    p = param()
    half = torch.tensor(0.5)
    with pytest.raises(ValueError, match="lr as a Tensor is not supported for capturable=False"):
        optim.Adam([p], lr=half, foreach=True)
    with pytest.raises(ValueError, match="betas must be either both floats or both Tensors"):
        optim.Adam([p], betas=(half, 0.9))
    with pytest.raises(ValueError, match=r"betas\[0\] as a Tensor is not supported"):
        optim.Adam([p], betas=(half, half), foreach=True)
    optim.Adam([p], lr=half, betas=(half, half)).step()
    assert p.max().item() < 1
    optim.SGD([p], lr=torch.tensor([0.1]), weight_decay=half).step()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_fused(name):
    cls = getattr(optim, name)
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        cls([param()], fused=True, foreach=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        cls([param()], fused=True, differentiable=True)
    optimizer = cls([param(dtype=torch.complex64)], fused=True)
    with pytest.raises(RuntimeError, match="requires all the params to be floating point"):
        optimizer.step()


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adadelta", "NAdam", "ASGD"])
def test_modes_refused_at_step(name):
    cls = getattr(optim, name)
    with pytest.raises(AssertionError, match="If capturable=True"):
        cls([param()], capturable=True).step()
    with pytest.raises(AssertionError, match="_foreach ops don't support autograd"):
        cls([param()], foreach=True, differentiable=True).step()


def test_shapes_and_dtypes_refused():
    with pytest.raises(ValueError, match="Muon only supports 2D parameters"):
        optim.Muon([param(3)])
    for name in ("Muon", "Adafactor"):
        with pytest.raises(RuntimeError, match="does not support complex parameters"):
            getattr(optim, name)([param(dtype=torch.complex64)]).step()
    with pytest.raises(ValueError, match="SparseAdam does not support complex parameters"):
        optim.SparseAdam([param(dtype=torch.complex64)])
    with pytest.raises(RuntimeError, match="does not support dense gradients"):
        optim.SparseAdam([param()]).step()
    with pytest.raises(ValueError, match="Number of steps must be less than 100"):
        optim.Muon([param()], ns_steps=100).step()
    with pytest.raises(ValueError, match="Coefficients must be a tuple of exactly 3 values"):
        optim.Muon([param()], ns_coefficients=(1, 2)).step()
    with pytest.raises(ValueError, match="per-parameter options"):
        optim.LBFGS([{"params": [param()]}, {"params": [param()]}])
    optimizer = optim.LBFGS([param()], line_search_fn="x")
    p = optimizer.param_groups[0]["params"][0]
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optimizer.step(lambda: (p * p).sum())


# ----- groups and their representation -----


def test_groups():
    p, q, r = param(), param(), param()
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5, "mine": 3}], lr=0.1)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]
    assert optimizer.param_groups[1]["mine"] == 3
    optimizer.add_param_group({"params": [r], "lr": 0.0})
    optimizer.step()
    assert torch.allclose(p, torch.full((2, 2), 0.95))
    assert torch.allclose(q, torch.full((2, 2), 0.75))
    assert torch.equal(r.detach(), torch.ones(2, 2))
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()
    assert torch.allclose(p, torch.full((2, 2), 0.85))
    named = optim.SGD([("w", p), ("b", q)], lr=0.1)
    assert named.param_groups[0]["param_names"] == ["w", "b"]
    assert len(optim.SGD(x for x in [p, q]).param_groups[0]["params"]) == 2


def test_repr():
    optimizer = optim.SGD([{"params": [param()]}, {"params": [param()], "lr": 0.5}], lr=0.1)
    assert repr(optimizer) == (
        "SGD (\n"
        "Parameter Group 0\n"
        "    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n"
        "    weight_decay: 0\n"
        "Parameter Group 1\n"
        "    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.5\n    maximize: False\n    momentum: 0\n    nesterov: False\n"
        "    weight_decay: 0\n"
        ")"
    )


def test_zero_grad():
    p = param()
    optimizer = optim.SGD([p])
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad and not grad.any()
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.step()
    assert torch.equal(p.detach(), torch.ones(2, 2))


def test_closure_has_gradients_and_its_loss_is_returned():
    p = param()
    with torch.no_grad():
        seen = optim.SGD([p]).step(lambda: torch.is_grad_enabled())
    assert seen is True
    assert optim.Adam([p]).step(closure=lambda: 7.5) == 7.5
    assert optim.Adam([p]).step() is None


# ----- state -----


@pytest.mark.parametrize("name", [*DENSE, "LBFGS"])
def test_checkpoints_resume(name):
    def start():
        p = torch.tensor([[1.0, -1.0], [0.5, 1.5]], requires_grad=True)
        options = {"momentum": 0.9} if name == "SGD" else {}
        return p, getattr(optim, name)([p], lr=0.01, **options)

    def steps(p, optimizer, count):
        def closure():
            optimizer.zero_grad()
            loss = ((p - 0.25) ** 4).sum()
            loss.backward()
            return loss

        for _ in range(count):
            if name == "LBFGS":
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()

    p, optimizer = start()
    steps(p, optimizer, 3)
    saved, value = copy.deepcopy(optimizer.state_dict()), p.detach().clone()
    steps(p, optimizer, 3)
    q, other = start()
    with torch.no_grad():
        q.copy_(value)
    other.load_state_dict(saved)
    steps(q, other, 3)
    assert torch.equal(p.detach(), q.detach())


def test_state_dict_is_plain():
    p = param()
    optimizer = optim.Adam([p], lr=0.1)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"][0]) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["state"][0]["step"].item() == 1.0
    assert state["state"][0]["step"].dtype == torch.float32
    assert state["param_groups"][0]["params"] == [0]
    assert state["state"][0]["exp_avg"] is optimizer.state[p]["exp_avg"]
    assert optim.SGD([param()]).state_dict()["state"] == {}


def test_load_state_dict_errors():
    optimizer = optim.Adam([param()])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(optim.Adam([param(), param()]).state_dict())
    two = optim.Adam([{"params": [param()]}, {"params": [param()]}])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(two.state_dict())


def test_loaded_state_takes_the_dtype_of_the_parameter():
    p = param()
    optimizer = optim.Adam([p])
    optimizer.step()
    q = param(dtype=torch.float64)
    other = optim.Adam([q])
    other.load_state_dict(optimizer.state_dict())
    assert other.state[q]["exp_avg"].dtype == torch.float64
    assert other.state[q]["step"].dtype == torch.float32
    assert other.state[q]["step"].item() == 1
    other.step()
    assert other.state[q]["step"].item() == 2


def test_old_checkpoints():
    """Options missing in a checkpoint get defaults, and a number as step count becomes a tensor."""
    p = param()
    optimizer = optim.Adam([p])
    state = {
        "state": {0: {"step": 3, "exp_avg": torch.zeros(2, 2), "exp_avg_sq": torch.zeros(2, 2)}},
        "param_groups": [{"params": [0], "lr": 0.5, "betas": (0.9, 0.99), "eps": 1e-8,
                          "weight_decay": 0}],
    }
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["amsgrad"] is False
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 4
    w = optim.AdamW([param()])
    w.load_state_dict(state)
    assert w.param_groups[0]["decoupled_weight_decay"] is True


def test_names_survive_loading():
    plain = optim.Adam([param()]).state_dict()
    named = optim.Adam([("w", param())])
    named.load_state_dict(plain)
    assert named.param_groups[0]["param_names"] == ["w"]


@pytest.mark.parametrize("name", NAMES)
def test_pickle_and_deepcopy(name):
    p = param()
    optimizer = getattr(optim, name)([p], lr=0.25)
    if name in DENSE:
        optimizer.step()
    for twin in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        assert repr(twin) == repr(optimizer)
        q = twin.param_groups[0]["params"][0]
        assert q is not p and torch.equal(q, p)
        if name in DENSE:
            q.grad = torch.full((2, 2), 0.5)
            twin.step()
            assert not torch.equal(q, p)


def test_float64_default_counts_in_float64():
    torch.set_default_dtype(torch.float64)
    try:
        p = param()
        optimizer = optim.Adam([p])
        optimizer.step()
        assert optimizer.state[p]["step"].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_swapping_parameters_and_state():
    p, q = param(), param()
    optimizer = optim.Adam([p], lr=0.1)
    with pytest.raises(RuntimeError, match="requires initialized optimizer state"):
        with optim.swap_in_optimizer_params_and_state(optimizer, {"q": q}, optimizer.state_dict()):
            pass
    optimizer.step()
    value, group = p.detach().clone(), optimizer.param_groups[0]
    other = copy.deepcopy(optimizer.state_dict())
    other["param_groups"][0]["lr"] = 5.0
    with optim.swap_in_optimizer_params_and_state(optimizer, {"q": q}, other):
        optimizer.step()
        group["lr"] = 7.0
    assert group is optimizer.param_groups[0] and group["lr"] == 0.1 and group["params"][0] is p
    assert torch.equal(p.detach(), value) and optimizer.state[p]["step"].item() == 1
    assert other["state"][0]["step"].item() == 2 and q.max().item() < -3
    with pytest.raises(RuntimeError, match="match optimizer.param_groups ordering"):
        with optim.swap_in_optimizer_params_and_state(optimizer, {}, other):
            pass
    with pytest.raises(RuntimeError, match="got extra keys"):
        extra = {**other, "state": {**other["state"], 3: {}}}
        with optim.swap_in_optimizer_params_and_state(optimizer, {"q": q}, extra):
            pass


# ----- hooks -----


def test_step_hooks():
    optimizer = optim.SGD([param()])
    calls = []
    handles = [
        optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("pre")),
        optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("post")),
        register_optimizer_step_pre_hook(lambda o, args, kwargs: calls.append("all pre")),
        register_optimizer_step_post_hook(lambda o, args, kwargs: calls.append("all post")),
    ]
    optimizer.step()
    assert calls == ["all pre", "pre", "post", "all post"]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(calls) == 4
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 9.0), {}))
    assert optimizer.step() == 9.0
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_hooks_of_users_optimizers():
    class Mine(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1})

        def step(self):
            return "stepped"

    mine, calls = Mine([param()]), []
    mine.register_step_post_hook(lambda o, args, kwargs: calls.append(args == (o,)))
    assert mine.step() == "stepped" and calls == [True]
    with pytest.raises(NotImplementedError):
        optim.Optimizer([param()], {}).step()


def test_state_dict_hooks():
    optimizer = optim.SGD([param()], lr=0.1)
    order = []
    optimizer.register_state_dict_pre_hook(lambda o: order.append(1))
    optimizer.register_state_dict_pre_hook(lambda o: order.append(0), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    state = optimizer.state_dict()
    assert order == [0, 1] and state["more"] == 1
    other = optim.SGD([param()], lr=0.7).state_dict()
    optimizer.register_load_state_dict_pre_hook(lambda o, state: other)
    optimizer.register_load_state_dict_post_hook(lambda o: order.append("loaded"))
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.7 and order[-1] == "loaded"


def test_no_warnings_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in DENSE:
            getattr(optim, name)([param()]).step()


def test_zero_grad_keeps_gradients_and_empties_them():
    ps = [torch.nn.Parameter(torch.ones(shape)) for shape in ((3, 4), (), (0, 2), (5,))]
    ps.append(torch.nn.Parameter(torch.ones(6, 4, dtype=torch.float64)))
    ps.append(torch.nn.Parameter(torch.ones(2, dtype=torch.complex64)))
    optimizer = torch.optim.SGD(ps, lr=0.1)
    for p in ps:
        p.grad = torch.full_like(p, float("nan"))
    ps[-2].grad = torch.full((4, 6), float("inf"), dtype=torch.float64).t()
    ps[0].grad.requires_grad_()
    before = [p.grad for p in ps]
    versions = [g._version for g in before]
    optimizer.zero_grad(set_to_none=False)
    assert all(p.grad is g for p, g in zip(ps, before, strict=True))
    assert all(bool((g == 0).all()) and not g.requires_grad for g in before)
    assert [g._version for g in before] == [v + 1 for v in versions]

    x = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.1)
    x.square().sum().backward(create_graph=True)
    grad = x.grad
    assert grad.grad_fn is not None
    optimizer.zero_grad(set_to_none=False)
    assert x.grad is grad and grad.grad_fn is None and grad.tolist() == [0, 0, 0]
