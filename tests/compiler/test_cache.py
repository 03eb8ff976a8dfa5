"""The disk cache and the image loader."""

import os
import subprocess
import sys

import pytest

from rushlight.compiler import available, cache

PROGRAM = """
import sys, numpy as np
from rushlight.compiler import engine, pointwise_kernel, scalar as s
x = np.arange(5, dtype="f4")
out = np.empty(5, "f4")
pointwise_kernel(s.erf(s.input(0)) + s.lgamma(s.input(0) + 1.5), ["float32"], [], ["float32"],
                 "float32")(out, x)
print(engine.statistics["compiled"], "llvmlite" in sys.modules, out.view("u4").tolist())
"""


def test_records_survive_and_damage_is_ignored(tmp_path):
    path = str(tmp_path / "a.pack")
    pack = cache.Pack(path)
    keys = [cache.key_of(f"kernel {i}") for i in range(5)]
    for i, key in enumerate(keys):
        pack.put(key, bytes([i]) * (100 + i))
    assert os.stat(path).st_mode & 0o777 == 0o600
    again = cache.Pack(path)
    assert [again.get(k) for k in keys] == [bytes([i]) * (100 + i) for i in range(5)]
    with open(path, "r+b") as file:
        file.seek(40)
        file.write(b"damage")
        file.truncate(os.path.getsize(path) - 10)
    hurt = cache.Pack(path)
    assert hurt.get(keys[0]) is None
    assert hurt.get(keys[2]) == b"\2" * 102
    assert hurt.get(keys[4]) is None
    assert hurt.get(cache.key_of("another")) is None
    hurt.put(keys[0], b"new")
    assert cache.Pack(path).get(keys[0]) == b"new"


def test_bounded_size(tmp_path):
    path = str(tmp_path / "a.pack")
    pack = cache.Pack(path, limit=10_000)
    for i in range(40):
        pack.put(cache.key_of(str(i)), bytes(1000))
    assert os.path.getsize(path) <= 10_000
    assert cache.Pack(path).get(cache.key_of("39")) is not None


def test_directory_must_be_private(tmp_path, monkeypatch):
    place = tmp_path / "cache"
    monkeypatch.setenv("RUSHLIGHT_CACHE", str(place))
    assert cache.directory() == str(place)
    assert os.stat(place).st_mode & 0o777 == 0o700
    os.chmod(place, 0o777)
    assert cache.directory() is None
    os.chmod(place, 0o700)
    link = tmp_path / "link"
    link.symlink_to(place)
    monkeypatch.setenv("RUSHLIGHT_CACHE", str(link))
    assert cache.directory() is None
    monkeypatch.setenv("RUSHLIGHT_CACHE", "off")
    assert cache.directory() is None


@pytest.mark.skipif(not available(), reason="needs llvmlite")
def test_second_process_compiles_nothing(tmp_path):
    place = tmp_path / "cache"
    environment = {**os.environ, "RUSHLIGHT_CACHE": str(place)}
    path = [os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))]
    environment["PYTHONPATH"] = os.pathsep.join([*path, environment.get("PYTHONPATH", "")])

    def run():
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, text=True,
                              capture_output=True, check=True)
        return done.stdout.split(maxsplit=2)

    first, second = run(), run()
    assert int(first[0]) > 0 and second[0] == "0"
    assert second[1] == "False"
    assert first[2] == second[2]
    for pack in place.glob("*.pack"):
        pack.write_bytes(pack.read_bytes()[:1000] + b"x" * 500)
    third = run()
    assert int(third[0]) > 0 and third[2] == first[2]
