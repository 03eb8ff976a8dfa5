"""Registration, attributes, traversal, conversion, pickling of modules."""

import copy
import pickle

import pytest

import rushlight as torch
from rushlight import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.plain = 3

    def forward(self, x):
        return self.fc(x) * self.scale


def test_attributes_register_themselves():
    net = Net()
    assert list(net.state_dict()) == ["scale", "seen", "fc.weight", "fc.bias"]
    assert [n for n, _ in net.named_parameters()] == ["scale", "fc.weight", "fc.bias"]
    assert [n for n, _ in net.named_buffers()] == ["seen", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "fc"]
    assert net.plain == 3 and "plain" in net.__dict__
    assert "scale" in dir(net) and "fc" in dir(net)


def test_assignment_rules():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'torch.FloatTensor' as parameter 'scale'"):
        net.scale = torch.ones(1)
    with pytest.raises(TypeError, match="cannot assign 'int' as child module 'fc'"):
        net.fc = 3
    with pytest.raises(TypeError, match="cannot assign 'str' as buffer 'seen'"):
        net.seen = "a"
    net.scale = None
    assert "scale" not in net.state_dict() and net.scale is None
    net.fc = nn.Parameter(torch.ones(2))
    assert list(net._modules) == [] and "fc" in net._parameters
    net.seen = torch.ones(5)
    assert net.state_dict()["seen"].shape == (5,)
    del net.seen
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'seen'"):
        net.seen


def test_buffer_class():
    m = nn.Module()
    m.a = nn.Buffer(torch.ones(2))
    m.b = nn.Buffer(torch.ones(2), persistent=False)
    assert isinstance(m.a, nn.Buffer) and not isinstance(m.a, nn.Parameter)
    assert list(m.state_dict()) == ["a"] and list(m._buffers) == ["a", "b"]


@pytest.mark.parametrize("value, text", [
    (lambda: nn.Linear(1, 1), "cannot assign module before Module.__init__"),
    (lambda: nn.Parameter(torch.ones(1)), "cannot assign parameters before Module.__init__"),
    (lambda: nn.Buffer(torch.ones(1)), "cannot assign buffer before Module.__init__"),
])
def test_assignment_before_init(value, text):
    class Early(nn.Module):
        def __init__(self):
            self.a = value()

    with pytest.raises(AttributeError, match=text):
        Early()


def test_names_are_checked():
    m = nn.Linear(2, 3)
    for register in (m.register_parameter, m.register_buffer):
        with pytest.raises(KeyError, match="name can.*t contain"):
            register("a.b", None)
        with pytest.raises(KeyError, match="be empty string"):
            register("", None)
        with pytest.raises(KeyError, match="already exists"):
            register("forward", None)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        m.add_module("x", 3)
    with pytest.raises(ValueError, match="non-leaf"):
        p = nn.Parameter(torch.ones(1)) * 2
        p._is_param = True
        m.register_parameter("p", p)


def test_missing_forward():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required'):
        nn.Module()(1)


def test_init_takes_no_arguments():
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'a'"):
        nn.Module(a=1)
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        nn.Module(1)


def test_shared_modules_and_parameters_are_listed_once():
    layer = nn.Linear(2, 2)
    both = nn.Sequential(layer, layer)
    assert [n for n, _ in both.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(both.named_parameters(remove_duplicate=False))) == 4
    assert [n for n, _ in both.named_modules()] == ["", "0"]
    assert list(both.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_lookups():
    net = nn.Sequential(Net())
    assert net.get_submodule("0.fc") is net[0].fc
    assert net.get_parameter("0.fc.weight") is net[0].fc.weight
    assert net.get_buffer("0.seen") is net[0].seen
    with pytest.raises(AttributeError, match="Net has no attribute `x`"):
        net.get_submodule("0.x")
    with pytest.raises(AttributeError, match="is not an nn.Module"):
        net.get_submodule("0.scale")
    with pytest.raises(AttributeError, match="is not a buffer"):
        net.get_buffer("0.scale")
    net.set_submodule("0.fc", nn.Linear(2, 1))
    assert net[0].fc.out_features == 1
    with pytest.raises(ValueError, match="without a target name"):
        net.set_submodule("", nn.ReLU())


def test_apply_visits_children_first():
    order = []
    nn.Sequential(nn.ReLU(), nn.Tanh()).apply(lambda m: order.append(type(m).__name__))
    assert order == ["ReLU", "Tanh", "Sequential"]


def test_train_and_eval():
    net = nn.Sequential(nn.Dropout(0.5))
    assert net.eval() is net and not net[0].training
    net.train()
    assert net[0].training
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train("yes")


def test_conversion_keeps_parameters():
    net = Net()
    weight, seen = net.fc.weight, net.seen
    assert net.double() is net
    assert net.fc.weight is weight and weight.dtype == torch.float64
    assert net.seen is not seen and net.seen.dtype == torch.float64
    net.to(torch.float32)
    assert weight.dtype == torch.float32
    net.to(torch.zeros(1, dtype=torch.float64))
    assert weight.dtype == torch.float64
    with pytest.raises(TypeError, match="only accepts floating point or complex dtypes"):
        net.to(torch.int32)


def test_conversion_takes_gradients_along():
    net = nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()
    net.double()
    assert net.weight.grad.dtype == torch.float64


def test_integer_buffers_are_not_cast():
    norm = nn.BatchNorm1d(2).half()
    assert norm.running_mean.dtype == torch.float16
    assert norm.num_batches_tracked.dtype == torch.int64


def test_meta_and_to_empty():
    layer = nn.Linear(2, 3, device="meta")
    assert layer.weight.device.type == "meta"
    layer.to_empty(device="cpu")
    assert layer.weight.device.type == "cpu" and isinstance(layer.weight, nn.Parameter)
    made = nn.utils.skip_init(nn.Linear, 2, 3)
    assert made.weight.device.type == "cpu" and made.weight.shape == (3, 2)


def test_requires_grad_and_zero_grad():
    net = Net()
    net(torch.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.fc.weight.grad.abs().sum() == 0
    net.zero_grad()
    assert net.fc.weight.grad is None
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_copies_and_pickles():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(other.fc.weight, nn.Parameter)
        assert other.fc.weight is not net.fc.weight
        assert torch.equal(other.fc.weight, net.fc.weight)
        other.fc.weight.data.zero_()
        assert net.fc.weight.abs().sum() > 0
        assert other(torch.ones(1, 2)).shape == (1, 3)


def test_pickles_of_old_versions_load():
    layer = nn.Linear(2, 3)
    state = dict(layer.__dict__)
    for name in list(state):
        if "hooks" in name and name not in ("_forward_hooks", "_backward_hooks"):
            del state[name]
    other = nn.Linear.__new__(nn.Linear)
    other.__setstate__(state)
    assert other(torch.ones(1, 2)).shape == (1, 3)


def test_parameter():
    p = nn.Parameter(torch.ones(2))
    assert isinstance(p, torch.Tensor) and p.requires_grad and p.is_leaf
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert type(p * 2) is torch.Tensor and type(p.detach()) is torch.Tensor
    assert nn.Parameter().shape == (0,)
    copied = copy.deepcopy(p)
    assert type(copied) is nn.Parameter and torch.equal(copied, p)
    with pytest.raises(RuntimeError, match="floating point and complex"):
        nn.Parameter(torch.ones(2, dtype=torch.int64))


def test_parameter_shares_memory():
    data = torch.zeros(2)
    p = nn.Parameter(data)
    data += 1
    assert p.tolist() == [1.0, 1.0]


def test_factory_kwargs():
    assert nn.factory_kwargs({"device": "cpu", "factory_kwargs": {"dtype": torch.float64}}) == {
        "device": "cpu", "dtype": torch.float64}
    with pytest.raises(TypeError, match="unexpected kwargs"):
        nn.factory_kwargs({"size": 3})


def test_modules_that_hold_functions_are_pickled():
    layer = nn.TransformerEncoderLayer(4, 2, 8, activation=torch.tanh)
    assert pickle.loads(pickle.dumps(layer)).activation is torch.tanh
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    assert pickle.loads(pickle.dumps(layer)).activation is nn.functional.relu


def test_tied_weights_stay_tied():
    embedding, out = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    out.weight = embedding.weight
    net = nn.Sequential(embedding, out)
    assert len(list(net.parameters())) == 1
    net.double()
    assert out.weight is embedding.weight and out.weight.dtype == torch.float64
    other = copy.deepcopy(net)
    assert other[0].weight is other[1].weight


def test_meta_modules_are_loaded_by_assignment():
    with torch.device("meta"):
        layer = nn.Linear(2, 3)
    with pytest.raises(NotImplementedError, match="to_empty"):
        layer.to("cpu")
    layer.load_state_dict(nn.Linear(2, 3).state_dict(), assign=True)
    assert layer(torch.ones(2)).shape == (3,)
