"""Run a program with Rushlight on an emulated AArch64 machine.

    python tools/aarch64_python.py [--folder DIR] tests/compiler/sampled_ops.py

Fetches, once, into a folder of its own (300 MB): qemu-user and Debian's Python for arm64 with apt-get, the wheels of
NumPy, llvmlite and ml_dtypes for AArch64 with pip. Nothing is installed and nobody needs to be root, but it takes a
Debian or Ubuntu on x86-64 whose Python is 3.11 or newer. Emulation is 20 to 50 times slower, and compiling
a matrix product takes minutes; kernels are kept in the folder's own cache.
"""

import argparse
import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = ("libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 "
            "python3-minimal libpython3-stdlib").split()
WHEELS = ("numpy", "llvmlite", "ml_dtypes")


def apt(folder, *command):
    """apt-get for arm64 with lists and a cache of its own."""
    state, cache = os.path.join(folder, "state"), os.path.join(folder, "cache")
    for part in (os.path.join(state, "lists", "partial"), os.path.join(cache, "archives", "partial")):
        os.makedirs(part, exist_ok=True)
    open(os.path.join(state, "status"), "a").close()
    options = {"APT::Architecture": "arm64", "APT::Architectures": "arm64", "Dir::State": state,
               "Dir::State::status": os.path.join(state, "status"), "Dir::Cache": cache}
    if os.getuid() == 0:
        options["APT::Sandbox::User"] = "root"
    return subprocess.run(["apt-get", "-q", *(f"-o{k}={v}" for k, v in options.items()), *command], cwd=folder,
                          check=True, stdout=subprocess.PIPE, text=True).stdout


def unpack(folder, to):
    for package in glob.glob(os.path.join(folder, "*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, to], check=True)
        os.unlink(package)


def prepare(folder):
    """(emulator, root directory of arm64 files, directory of wheels), fetched if they are missing."""
    emulator = os.path.join(folder, "usr", "bin", "qemu-aarch64-static")
    root, site = os.path.join(folder, "root"), os.path.join(folder, "site")
    os.makedirs(root, exist_ok=True)
    if not os.path.exists(emulator):
        subprocess.run(["apt-get", "-q", "download", "qemu-user-static"], cwd=folder, check=True)
        unpack(folder, folder)
    if not glob.glob(os.path.join(root, "usr", "bin", "python3.*")):
        apt(folder, "update")
        # The version that is Debian's default decides the names of the packages.
        version = apt(folder, "--simulate", "install", "python3-minimal")
        version = next(w for w in version.split() if w.startswith("python3.") and w.endswith("-minimal"))
        names = [p for p in PACKAGES if "python3" not in p]
        apt(folder, "download", *names, version, f"lib{version}", f"lib{version.removesuffix('minimal')}stdlib")
        unpack(folder, root)
    if not os.path.isdir(site):
        python = max(glob.glob(os.path.join(root, "usr", "bin", "python3.*")), key=len)
        platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 27, 28)]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:",
                        "--target", site, "--python-version", python.rpartition("python")[2], *platforms,
                        "--platform=manylinux2014_aarch64", *WHEELS], check=True)
    return emulator, root, site


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    parser.add_argument("--folder", default=os.path.join(home, "rushlight-aarch64"))
    options, command = parser.parse_known_args()
    os.makedirs(options.folder, exist_ok=True)
    emulator, root, site = prepare(options.folder)
    python = max(glob.glob(os.path.join(root, "usr", "bin", "python3.*")), key=len)
    environment = {**os.environ, "PYTHONHOME": os.path.join(root, "usr"), "PYTHONDONTWRITEBYTECODE": "1",
                   "PYTHONPATH": os.pathsep.join([os.path.join(ROOT, "src"), site]),
                   "RUSHLIGHT_CACHE": os.path.join(options.folder, "kernels")}
    os.execve(emulator, [emulator, "-cpu", "max", "-L", root, python, *command], environment)


if __name__ == "__main__":
    main()
