"""Loading with weights_only: nothing runs, nothing reads out of bounds, nothing crashes."""

import io
import os
import pickle
import random
import zipfile

import pytest

import rushlight as torch
from rushlight.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)

EXPECTED = (pickle.UnpicklingError, RuntimeError, EOFError, NotImplementedError, ValueError)


class Config:
    def __init__(self, width=3):
        self.width = width


class Command:
    def __reduce__(self):
        return os.system, ("exit 1",)


def saved(obj, **options):
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    return buffer.getvalue()


def load(data, **options):
    return torch.load(io.BytesIO(data), **options)


def rewritten(data, change):
    """The archive with ``change(record, bytes)`` for each record."""
    source, out = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name.partition("/")[2], source.read(name)))
    return out.getvalue()


def with_pickle(data, pickled):
    return rewritten(data, lambda name, old: pickled if name == "data.pkl" else old)


def replaced(data, old, new):
    assert old in zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl")
    return rewritten(data, lambda name, body: body.replace(old, new) if name == "data.pkl" else body)


@pytest.fixture(autouse=True)
def clean_globals():
    yield
    clear_safe_globals()


def test_calls_are_refused():
    with pytest.raises(pickle.UnpicklingError, match=r"system whose module (posix|nt) is blocked"):
        load(saved(Command()))


def test_unknown_classes_are_named_with_the_way_to_allow_them():
    data = saved({"config": Config(5)})
    name = f"{Config.__module__}.Config"
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(data)
    assert f"GLOBAL {name} was not an allowed global by default" in str(caught.value)
    assert f"torch.serialization.add_safe_globals([{name}])" in str(caught.value)
    assert get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == [name]


def test_allowed_classes():
    data = saved({"config": Config(5)})
    with safe_globals([Config]):
        assert load(data)["config"].width == 5
        assert get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []
    with pytest.raises(pickle.UnpicklingError):
        load(data)
    add_safe_globals([Config])
    assert get_safe_globals() == [Config] and load(data)["config"].width == 5
    clear_safe_globals()
    assert get_safe_globals() == []


def test_allowed_under_another_name():
    data = replaced(saved(Config(7)), b"\nConfig\n", b"\nOldName\n")
    with safe_globals([(Config, f"{Config.__module__}.OldName")]):
        assert load(data).width == 7
    with pytest.raises(TypeError, match="classes or functions"):
        add_safe_globals([3])


def test_whole_modules_need_trust():
    data = saved(torch.nn.Linear(2, 2))
    with pytest.raises(pickle.UnpicklingError, match="torch.nn.modules.linear.Linear"):
        load(data)
    with safe_globals([torch.nn.Linear, set, torch.nn.modules.linear.Linear]):
        assert load(data).weight.shape == (2, 2)


# One tensor of six floats; each change makes it reach outside its storage or lie about it.
SIX = {"x": None}


@pytest.mark.parametrize("old, new", [
    (b"K\x06\x85", b"K\x07\x85"),                           # seven elements
    (b"QK\x00K\x06\x85", b"QK\x01K\x06\x85"),               # offset 1
    (b"K\x01\x85", b"K\x02\x85"),                           # stride 2
    (b"K\x01\x85", b"J\xff\xff\xff\xff\x85"),               # stride -1
    (b"QK\x00K\x06", b"QJ\xff\xff\xff\xffK\x06"),           # offset -1
    (b"K\x06\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"),     # 2**63 - 1 elements
    (b"K\x06\x85", b"K\x06K\x06\x86"),                      # more sizes than strides
    (b"K\x06\x85", b"G\x40\x18\x00\x00\x00\x00\x00\x00\x85"),            # 6.0 elements
    (b"X\x01\x00\x00\x000q", b"X\x01\x00\x00\x007q"),       # a storage that isn't there
    (b"FloatStorage", b"DoubleStorage"),                    # twice the bytes
])
def test_windows_stay_inside_their_storage(old, new):
    data = saved({"x": torch.arange(6.)})
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        load(replaced(data, old, new))


def test_records_have_the_size_they_claim():
    data = rewritten(saved(torch.arange(6.)), lambda name, d: d[:8] if name == "data/0" else d)
    with pytest.raises(RuntimeError, match="record size .8 bytes. does not match expected size .24"):
        load(data)


def test_damaged_bytes_are_noticed():
    data = bytearray(saved(torch.arange(600.)))
    where = data.find(torch.arange(600.).numpy().tobytes()) + 100
    data[where] ^= 1
    with pytest.raises(RuntimeError, match="CRC-32"):
        load(bytes(data))


def test_truncated_files():
    data = saved({"x": torch.arange(600.)})
    for end in (1, 3, 30, 200, len(data) // 2, len(data) - 30):
        with pytest.raises(EXPECTED):
            load(data[:end])
    with pytest.raises(EOFError):
        load(b"")
    legacy = saved({"x": torch.arange(600.)}, _use_new_zipfile_serialization=False)
    for end in (1, 3, 30, 200, len(legacy) // 2, len(legacy) - 1):
        with pytest.raises(EXPECTED):
            load(legacy[:end])


@pytest.mark.parametrize("pickled", [
    b".", b"N", b"NN.", b"(.", b"(N.", b"0.", b"}K\x01s.", b"]N(e.", b"N]a.", b"}]Ns.", b"K\x01N\x86R.",
    b"h\x05.", b"\x80\x09N.", b"X\xff\xff\xff\x7fabc.", b"\x8b\xff\xff\xff\xffN.", b"K\x01Q.",
    b"(K\x01K\x02K\x03tQ.", b"cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.", b"cbuiltins\neval\n.",
    b"ctorch\nFloatStorage\n.", b"ctorch\nFloatStorage\n)R.", b"ctorch\nTensor\n)\x81.",
    b"ctorch._utils\n_rebuild_tensor_v2\n)R.", b"ccollections\nOrderedDict\nK\x01b.",
    b"ccollections\nOrderedDict\n)R}K\x01Nsb.", b"c__builtin__\nbytearray\n\x8a\x05\xff\xff\xff\xff\x01"
    b"\x85R.", b"c__builtin__\nset\n]]a\x85R.", b"ctorch\nfloat32\n)R.", b"i", b"\x82\x01.", b"\x97.",
    b"c" + b"a" * 5000 + b"\nb\n.", b"}(]Nu.", b"ctorch._utils\n_rebuild_parameter\n(K\x01\x88}tR.",
])
def test_malformed_pickles_are_errors(pickled):
    with pytest.raises(EXPECTED):
        load(with_pickle(saved(1), pickled))


def test_deep_nesting_is_no_crash():
    deep = b")" + b"\x85" * 200000
    assert isinstance(load(with_pickle(saved(1), deep + b".")), tuple)
    with pytest.raises(pickle.UnpicklingError, match="key"):
        load(with_pickle(saved(1), b"}" + deep + b"Ns."))


def test_attributes_of_tensors_can_not_replace_methods():
    tensor = torch.ones(1)
    tensor.note = 1
    data = replaced(saved(tensor), b"X\x04\x00\x00\x00note", b"X\x04\x00\x00\x00item")
    with pytest.raises(pickle.UnpicklingError, match="attribute 'item'"):
        load(data)


def mutated(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data))
        choice = rng.random()
        if choice < 0.6:
            data[at] = rng.randrange(256)
        elif choice < 0.8 and len(data) > 8:
            del data[at:at + rng.randrange(1, 5)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_mutations_load_or_raise_what_is_documented(seed):
    rng = random.Random(seed)
    obj = {"w": torch.arange(12.)[2:8:2], "m": torch.nn.Linear(2, 3).state_dict(), "s": {1, 2},
           "z": 1 + 2j, "b": b"x", "u": torch.ones(2, dtype=torch.uint16), "t": (1, [2])}
    archive, legacy = saved(obj), saved(obj, _use_new_zipfile_serialization=False)
    pickled = zipfile.ZipFile(io.BytesIO(archive)).read("archive/data.pkl")
    for _ in range(300):
        for data in (with_pickle(archive, mutated(pickled, rng)), mutated(archive, rng),
                     mutated(legacy, rng)):
            try:
                load(data)
            except EXPECTED:
                pass
