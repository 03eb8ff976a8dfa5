"""Checksums, byte order, mapping flags, room for data, versions of modules."""

import io
import mmap
import types
import zipfile

import pytest

import rushlight as torch
from rushlight import serialization as s


def test_checksums_can_be_left_out():
    assert s.get_crc32_options() is True
    s.set_crc32_options(False)
    try:
        buffer = io.BytesIO()
        torch.save(torch.arange(6.), buffer)
    finally:
        s.set_crc32_options(True)
    assert {info.CRC for info in zipfile.ZipFile(buffer).infolist()} == {0}
    buffer.seek(0)
    assert torch.load(buffer).tolist() == [0, 1, 2, 3, 4, 5]


def test_damage_is_still_found():
    buffer = io.BytesIO()
    torch.save(torch.arange(6.), buffer)
    raw = bytearray(buffer.getvalue())
    at = raw.index(torch.arange(6.).numpy().tobytes())
    raw[at] ^= 1
    with pytest.raises(RuntimeError, match="CRC-32"):
        torch.load(io.BytesIO(raw))


def test_skip_data_leaves_room(tmp_path):
    path = tmp_path / "m.pth"
    t = torch.arange(6.)
    with s.skip_data():
        torch.save({"t": t}, path)
        with pytest.raises(RuntimeError, match="skip_data"):
            torch.save(t, io.BytesIO(), _use_new_zipfile_serialization=False)
    assert torch.load(path)["t"].tolist() == [0] * 6
    info = zipfile.ZipFile(path).getinfo("m/data/0")
    assert info.file_size == 24
    with s.set_default_mmap_options(mmap.MAP_SHARED):
        torch.load(path, mmap=True)["t"].copy_(t)           # the room is filled in place
    assert torch.load(path)["t"].tolist() == [0, 1, 2, 3, 4, 5]
    with s.skip_data():
        got = torch.load(path)["t"]
    assert got.shape == (6,) and got.dtype is torch.float32


def test_mapped_writes_reach_the_file_when_shared(tmp_path):
    path = tmp_path / "m.pth"
    torch.save(torch.arange(3.), path)
    torch.load(path, mmap=True)[0] = 7
    assert torch.load(path).tolist() == [0, 1, 2]
    assert s.get_default_mmap_options() == mmap.MAP_PRIVATE
    with s.set_default_mmap_options(mmap.MAP_SHARED):
        assert s.get_default_mmap_options() == mmap.MAP_SHARED
        torch.load(path, mmap=True)[0] = 7
    assert s.get_default_mmap_options() == mmap.MAP_PRIVATE
    assert torch.load(path).tolist() == [7, 1, 2]
    with pytest.raises(ValueError, match="MAP_PRIVATE"):
        s.set_default_mmap_options(99)


def test_byte_order_of_unmarked_files():
    assert s.get_default_load_endianness() is None
    buffer = io.BytesIO()
    torch.save(torch.tensor([1, 256]), buffer, _disable_byteorder_record=True)
    s.set_default_load_endianness(s.LoadEndianness.BIG)
    try:
        buffer.seek(0)
        assert torch.load(buffer).tolist() == [1 << 56, 1 << 48]
    finally:
        s.set_default_load_endianness(None)
    buffer.seek(0)
    assert torch.load(buffer).tolist() == [1, 256]
    with pytest.raises(TypeError):
        s.set_default_load_endianness("big")


def test_versions_of_modules():
    m = types.ModuleType("m")
    m.__version__ = "1.10.0+cpu"
    at_least = s.check_module_version_greater_or_equal
    assert at_least(m, (1, 9)) and at_least(m, (1, 10)) and not at_least(m, (1, 11)) and not at_least(m, (2,))
    with pytest.raises(RuntimeError, match="malformed"):
        at_least(m, (1, 10, 0))
    with pytest.warns(UserWarning, match="malformed"):
        assert at_least(m, (1, 10, 0), error_if_malformed=False)
