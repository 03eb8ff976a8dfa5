"""state_dict and load_state_dict: keys, errors, hooks, extra state, assign."""

import pytest

import rushlight as torch
from rushlight import nn


def test_tensors_are_views():
    m = nn.Linear(2, 2)
    state = m.state_dict()
    assert not state["weight"].requires_grad
    state["weight"].zero_()
    assert m.weight.abs().sum() == 0
    assert m.state_dict(keep_vars=True)["weight"] is m.weight


def test_metadata_and_prefix():
    m = nn.Sequential(nn.BatchNorm1d(2))
    state = m.state_dict(prefix="x.")
    assert list(state)[0] == "x.0.weight"
    assert state._metadata == {"x": {"version": 1}, "x.0": {"version": 2}}


def test_errors_are_collected():
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(2, 3).load_state_dict({"weight": torch.ones(3, 3), "foo": 1, "a.b": 2})
    assert str(caught.value) == (
        'Error(s) in loading state_dict for Linear:\n'
        '\tMissing key(s) in state_dict: "bias". \n'
        '\tUnexpected key(s) in state_dict: "foo", "a.b". \n'
        '\tsize mismatch for weight: copying a param with shape torch.Size([3, 3]) from '
        'checkpoint, the shape in current model is torch.Size([3, 2]).')


def test_result():
    m = nn.Linear(2, 3)
    assert repr(m.load_state_dict(m.state_dict())) == "<All keys matched successfully>"
    found = m.load_state_dict({"foo": 1}, strict=False)
    assert found.missing_keys == ["weight", "bias"] and found.unexpected_keys == ["foo"]
    assert repr(found) == (
        "_IncompatibleKeys(missing_keys=['weight', 'bias'], unexpected_keys=['foo'])")
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
        m.load_state_dict(3)


def test_assign():
    m = nn.Linear(2, 3)
    state = nn.Linear(2, 3).double().state_dict()
    m.load_state_dict(state, assign=True)
    assert m.weight.dtype == torch.float64 and isinstance(m.weight, nn.Parameter)
    assert m.weight.requires_grad


def test_scalars_of_old_checkpoints():
    m = nn.Module()
    m.p = nn.Parameter(torch.tensor(0.0))
    m.load_state_dict({"p": torch.ones(1)})
    assert m.p.item() == 1


def test_batch_norm_of_version_1():
    state = nn.BatchNorm1d(2).state_dict()
    del state["num_batches_tracked"], state._metadata
    assert nn.BatchNorm1d(2).load_state_dict(state).missing_keys == []


def test_extra_state():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    m = nn.Sequential(Counter())
    m[0].n = 5
    state = m.state_dict()
    assert state["0._extra_state"] == {"n": 5}
    other = nn.Sequential(Counter())
    other.load_state_dict(state)
    assert other[0].n == 5
    with pytest.raises(RuntimeError, match="_extra_state"):
        other.load_state_dict({})


def test_hooks():
    log = []
    m = nn.Linear(1, 1)
    m.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(("save", prefix, keep)))
    m.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(extra=1))
    m.register_load_state_dict_pre_hook(lambda m, state, *rest: state.pop("extra"))
    m.register_load_state_dict_post_hook(lambda m, keys: log.append(keys.missing_keys))
    state = m.state_dict()
    assert state["extra"] == 1
    m.load_state_dict(state)
    assert log == [("save", "", False), []]


def test_consume_prefix():
    state = nn.DataParallel(nn.Sequential(nn.Linear(1, 1))).state_dict()
    assert list(state) == ["module.0.weight", "module.0.bias"]
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["0.weight", "0.bias"]
    nn.Sequential(nn.Linear(1, 1)).load_state_dict(state)
