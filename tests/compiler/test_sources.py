"""Code on disk is only of the sources that this process has loaded: edits while it runs must not mix versions."""

import importlib
import os
import sys
import time

import pytest

from rushlight import runtime
from rushlight.compiler import cache, sources


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A folder of importable files written long ago, with the module's state of its own."""
    monkeypatch.setattr(sources, "_facts", {})
    monkeypatch.setattr(sources, "_sound", True)
    monkeypatch.setattr(sources, "_seen", 0)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("rl_first", "rl_second"):
        write(tmp_path / f"{name}.py", "x = 1\n", runtime.BEGUN - 10 ** 12)
    yield tmp_path
    for name in ("rl_first", "rl_second"):
        sys.modules.pop(name, None)


def write(path, text, when):
    path.write_text(text)
    os.utime(path, ns=(when, when))


def test_edit_after_loading_changes_nothing(watched):
    importlib.import_module("rl_first")
    sources.digest(sources.folder(str(watched)))
    assert sources.sound()
    write(watched / "rl_first.py", "x = 22\n", time.time_ns())
    importlib.import_module("rl_second")
    assert sources.sound()


def test_edit_between_digest_and_loading(watched):
    importlib.import_module("rl_first")
    sources.digest(sources.folder(str(watched)))
    assert sources.sound()
    write(watched / "rl_second.py", "x = 22\n", time.time_ns())
    assert sources.sound()          # nobody has loaded it
    importlib.import_module("rl_second")
    assert not sources.sound()


def test_edit_between_loading_and_digest(watched):
    importlib.import_module("rl_first")
    write(watched / "rl_first.py", "x = 22\n", time.time_ns())
    sources.digest(sources.folder(str(watched)))
    assert not sources.sound()


def test_digested_twice_with_an_edit_between(watched):
    one = sources.digest(sources.folder(str(watched)))
    assert sources.digest(sources.folder(str(watched))) == one and sources.sound()
    write(watched / "rl_second.py", "x = 2\n", runtime.BEGUN - 10 ** 12 + 5)
    assert sources.digest(sources.folder(str(watched))) != one
    assert not sources.sound()


def test_times_to_come_are_wrong_clocks(watched):
    write(watched / "rl_first.py", "x = 1\n", time.time_ns() + 3600 * 10 ** 9)
    sources.digest(sources.folder(str(watched)))
    assert sources.sound()


def test_pack_is_left_alone(tmp_path, monkeypatch):
    path, old, new = str(tmp_path / "a.pack"), cache.key_of("old"), cache.key_of("new")
    cache.Pack(path).put(old, b"of the digested sources")
    pack = cache.Pack(path)
    assert pack.get(old) == b"of the digested sources"
    before = os.path.getsize(path)
    monkeypatch.setattr(sources, "_sound", False)
    assert pack.get(old) is None
    pack.put(new, b"of others")
    assert pack.get(new) == b"of others"
    assert os.path.getsize(path) == before
