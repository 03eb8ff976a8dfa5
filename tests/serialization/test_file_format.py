"""The bytes of checkpoints: records, alignment, names, and writing in one step."""

import io
import os
import pickletools
import signal
import subprocess
import sys
import textwrap
import zipfile

import pytest

import rushlight as torch
from rushlight.serialization._archive import ALIGNMENT, ArchiveWriter


def saved(obj, path):
    torch.save(obj, path)
    return zipfile.ZipFile(path)


def test_records(tmp_path):
    archive = saved({"a": torch.arange(3.), "b": torch.ones(2)}, tmp_path / "model.pth")
    assert archive.testzip() is None
    assert [name.partition("/")[2] for name in archive.namelist()] == [
        "data.pkl", ".format_version", ".storage_alignment", "byteorder", "data/0", "data/1",
        "version", ".data/serialization_id"]
    assert {name.partition("/")[0] for name in archive.namelist()} == {"model"}
    assert archive.read("model/version") == b"3\n"
    assert archive.read("model/byteorder") == sys.byteorder.encode()
    assert archive.read("model/data/0") == torch.arange(3.).numpy().tobytes()


def test_records_are_aligned(tmp_path):
    path = tmp_path / "m.pth"
    archive = saved([torch.ones(n) for n in range(1, 9)], path)
    raw = path.read_bytes()
    for info in archive.infolist():
        start = info.header_offset
        name, extra = (int.from_bytes(raw[start + at:start + at + 2], "little") for at in (26, 28))
        assert (start + 30 + name + extra) % ALIGNMENT == 0
        assert info.compress_type == zipfile.ZIP_STORED


def test_names_are_pytorchs(tmp_path):
    archive = saved({"w": torch.nn.Parameter(torch.ones(1)), "h": torch.ones(1, dtype=torch.uint16),
                     "d": torch.float32, "s": torch.Size([1])}, tmp_path / "m.pth")
    names = {argument for opcode, argument, _ in pickletools.genops(archive.read("m/data.pkl"))
             if opcode.name == "GLOBAL"}
    assert names == {"torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor_v2",
                     "torch._utils _rebuild_tensor_v3", "torch FloatStorage", "torch uint16",
                     "torch.storage UntypedStorage", "collections OrderedDict", "torch float32",
                     "torch Size"}


def test_equal_contents_make_equal_files():
    files = []
    for _ in range(2):
        buffer = io.BytesIO()
        torch.save({"x": torch.arange(4)}, buffer)
        files.append(buffer.getvalue())
    assert files[0] == files[1]


def test_an_archive_with_many_records():
    buffer = io.BytesIO()
    writer = ArchiveWriter(buffer, "a")
    for i in range(70000):
        writer.write(f"data/{i}", b"x")
    writer.close()
    archive = zipfile.ZipFile(buffer)
    assert len(archive.namelist()) == 70000 and archive.read("a/data/69999") == b"x"


def test_foreign_byte_order_is_swapped():
    buffer = io.BytesIO()
    tensors = {"i": torch.tensor([1, 256], dtype=torch.int32), "z": torch.tensor([1 + 2j])}
    torch.save(tensors, buffer)
    source = zipfile.ZipFile(buffer)
    swapped = io.BytesIO()
    width = {"archive/data/0": 4, "archive/data/1": 4}
    with zipfile.ZipFile(swapped, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name in width:
                data = b"".join(data[i:i + 4][::-1] for i in range(0, len(data), 4))
            if name == "archive/byteorder":
                data = b"big" if sys.byteorder == "little" else b"little"
            target.writestr(name, data)
    swapped.seek(0)
    out = torch.load(swapped)
    assert out["i"].tolist() == [1, 256] and out["z"].tolist() == [1 + 2j]


class Explosive:
    def __reduce__(self):
        raise OSError("the disk is full")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.pth"
    torch.save([1], path)
    with pytest.raises(OSError, match="disk is full"):
        torch.save([torch.ones(10), Explosive()], path)
    assert torch.load(path) == [1] and os.listdir(tmp_path) == ["m.pth"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.pth"
    torch.save([1], path)
    script = textwrap.dedent(f"""
        import os, signal
        import rushlight as torch
        from rushlight.serialization import _archive
        def die(self, record, data, write=_archive.ArchiveWriter.write):
            write(self, record, data)
            if record == "data/0":
                self.file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        _archive.ArchiveWriter.write = die
        torch.save([torch.ones(100000)], {str(path)!r})
    """)
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(path) == [1]


def test_links_are_followed_and_modes_kept(tmp_path):
    real, link = tmp_path / "real.pth", tmp_path / "link.pth"
    torch.save([1], real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    torch.save([2], link)
    assert link.is_symlink() and torch.load(real) == [2]
    assert os.stat(real).st_mode & 0o777 == 0o640


def test_devices_are_written_directly():
    torch.save([1], os.devnull)
    assert not os.path.isfile(os.devnull)
