"""Kernels made for AArch64 give right results in an emulator, which is fetched with apt-get where it is missing.

``RUSHLIGHT_QEMU`` names an emulator to use instead (qemu-aarch64). Without one, and without a Debian to get it from,
the tests are skipped and say so.
"""

import glob
import io
import os
import shutil
import subprocess
import sys
import tarfile

import pytest

from rushlight.compiler import available, cache

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))


@pytest.fixture(scope="module")
def emulator():
    for name in (os.environ.get("RUSHLIGHT_QEMU"), "qemu-aarch64-static", "qemu-aarch64"):
        found = name and shutil.which(name)
        if found:
            return found
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(home, "rushlight-tests")
    found = os.path.join(folder, "qemu-aarch64-static")
    if os.path.exists(found):
        return found
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("no qemu-aarch64 here and no apt-get to fetch it; RUSHLIGHT_QEMU may name one")
    os.makedirs(folder, exist_ok=True)
    # Nobody needs to be root for this: the package isn't installed.
    fetched = subprocess.run(["apt-get", "download", "qemu-user-static"], cwd=folder, capture_output=True, text=True)
    packages = glob.glob(os.path.join(folder, "qemu-user-static_*.deb"))
    if fetched.returncode or not packages:
        pytest.skip(f"apt-get can't fetch qemu-user-static: {fetched.stderr.strip()[-200:]}")
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", packages[0]], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        with archive.extractfile("./usr/bin/qemu-aarch64-static") as packed, open(f"{found}.part", "wb") as file:
            shutil.copyfileobj(packed, file)
    os.chmod(f"{found}.part", 0o755)
    os.replace(f"{found}.part", found)
    os.unlink(packages[0])
    return found


@pytest.mark.parametrize(("cpu", "features"), [("generic", "+neon"), ("neoverse-v1", "+sve")])
def test_kernels(emulator, cpu, features):
    program = os.path.join(os.path.dirname(__file__), "foreign.py")
    done = subprocess.run([sys.executable, program, emulator, cpu, features], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": SOURCE})
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert done.stdout.strip() == "5 of 5"
