"""What the processor is and how much of it this process may use.

    features() -> frozenset[str]       LLVM's names: "avx2", "fma", "avx512f", "avx512-bf16"...
    vector_bytes() -> int              64 with AVX-512, 32 with AVX2, else 16
    caches() -> Caches                 bytes of L1 data, L2 and the share of L3, per core
    amx() -> bool                      whether this process may use AMX's tiles (bfloat16 and int8)
    usable_cores() -> int              affinity mask and cgroup limits taken into account
    physical_memory() -> int           bytes, cgroup limit taken into account

Everything is read from the operating system, without llvmlite, and remembered.

``RUSHLIGHT_CPU`` makes code as for a lesser CPU, to test what kernels do there: a level (``sse``, ``avx2``,
``avx512``, which is the common part of it; ``neon`` on AArch64), extensions to do without (``-avx512bf16``), or
both, with commas between. It can only take away.
"""

import os
import platform
import sys
from collections import namedtuple
from functools import cache

Caches = namedtuple("Caches", "l1d l2 l3")

_DEFAULT_CACHES = Caches(32 << 10, 512 << 10, 4 << 20)

# /proc/cpuinfo's spelling where LLVM's differs.
_LLVM_NAMES = {
    "pni": "sse3",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "avx512_bf16": "avx512bf16",
    "avx512_fp16": "avx512fp16",
    "avx512_vnni": "avx512vnni",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512_bitalg": "avx512bitalg",
    "avx512_vpopcntdq": "avx512vpopcntdq",
    "amx_tile": "amx-tile",
    "amx_bf16": "amx-bf16",
    "amx_int8": "amx-int8",
    "amx_fp16": "amx-fp16",
    "avx_vnni": "avxvnni",
    "asimd": "neon",
}


@cache
def machine() -> str:
    """The instruction set: ``"x86_64"``, ``"aarch64"`` or what the platform says."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


# What the levels of RUSHLIGHT_CPU do without: beginnings of names, and the names among them that stay.
_VECTOR_512 = ("avx512", "avx10", "amx", "avxvnni", "avxifma", "avxneconvert")
_LEVELS = {
    "sse": (("avx", "amx", "fma", "f16c", "vaes", "vpclmulqdq", "xop"), ()),
    "avx2": (_VECTOR_512, ()),
    "avx512": (_VECTOR_512, ("avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd")),
    "neon": (("sve", "sme"), ()),
}


@cache
def _restriction() -> tuple:
    """RUSHLIGHT_CPU as (beginnings of names to do without, names that stay, further names to do without)."""
    begin, keep, without = (), (), set()
    for word in filter(None, os.environ.get("RUSHLIGHT_CPU", "").split(",")):
        if word in _LEVELS:
            begin, keep = _LEVELS[word]
        elif word[0] == "-":
            without.add(word[1:])
        else:
            raise ValueError(f"RUSHLIGHT_CPU: {word!r} is neither one of {', '.join(_LEVELS)} nor -extension")
    return begin, keep, without


def masked(name: str) -> bool:
    """Whether RUSHLIGHT_CPU says to do without the extension ``name``."""
    begin, keep, without = _restriction()
    return name in without or (name.startswith(begin) and name not in keep)


@cache
def features() -> frozenset:
    """Instruction-set extensions to use on this CPU, by LLVM's names; empty where they aren't told."""
    # Under an emulator the file may still be the other machine's.
    field, names = "flags" if machine() == "x86_64" else "Features", ()
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith(field):
                    names = line.partition(":")[2].split()
                    break
    except OSError:
        return frozenset()
    return frozenset(name for name in (_LLVM_NAMES.get(name, name) for name in names) if not masked(name))


def has(*names: str) -> bool:
    """Whether the CPU has all of the extensions ``names``, and may use them."""
    return features().issuperset(names)


@cache
def vector_bytes() -> int:
    """Width of the vectors that kernels should use, in bytes."""
    if has("avx512f", "avx512dq", "avx512bw", "avx512vl"):
        return 64
    if has("avx2", "fma"):
        return 32
    return 16


_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18  # Linux on x86-64: asm/prctl.h


@cache
def amx() -> bool:
    """Whether this process may use AMX's tiles for bfloat16 and int8, together with AVX-512.

    Linux gives the room to save tiles only to processes that ask for it. What is granted holds for all
    threads, the running ones too, and for children of a fork.
    """
    if machine() != "x86_64" or not is_linux() or vector_bytes() != 64:
        return False
    if not has("amx-tile", "amx-bf16", "amx-int8"):
        return False
    import ctypes

    request = ctypes.CDLL(None).syscall
    request.restype = ctypes.c_long
    arguments = _ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA
    return request(*(ctypes.c_long(x) for x in arguments)) == 0


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


@cache
def caches() -> Caches:
    """Cache sizes in bytes that one core can count on (a shared L3 is divided by its sharers)."""
    found = {}
    for index in range(8):
        base = f"/sys/devices/system/cpu/cpu0/cache/index{index}/"
        level, kind, size = _read(base + "level"), _read(base + "type"), _read(base + "size")
        if not level or not size:
            break
        if kind == "Instruction":
            continue
        unit = {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1)
        nbytes = int(size.rstrip("KM")) * unit
        if level == "3":
            nbytes //= max(1, _count(_read(base + "shared_cpu_list")))
        found[level] = nbytes
    return Caches(
        found.get("1", _DEFAULT_CACHES.l1d),
        found.get("2", _DEFAULT_CACHES.l2),
        found.get("3", _DEFAULT_CACHES.l3),
    )


def _count(cpu_list: str) -> int:
    """Number of CPUs in a kernel list such as ``0-3,8``."""
    total = 0
    for part in filter(None, cpu_list.split(",")):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _cgroup_directories(controller: str):
    """The directories that limit this process for ``controller``, innermost first (v2, then v1)."""
    for line in _read("/proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            roots = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
        elif controller in names.split(","):
            roots = (f"/sys/fs/cgroup/{controller}", f"/sys/fs/cgroup/{names}")
        else:
            continue
        for root in roots:
            where = path
            while True:
                yield root + where.rstrip("/")
                if where in ("", "/"):
                    break
                where = os.path.dirname(where)


def cgroup_cpu_limit() -> float | None:
    """CPUs that the process's cgroups (v1 or v2, with their parents) allow; None for no limit."""
    limits = []
    for directory in _cgroup_directories("cpu"):
        quota, _, period = _read(directory + "/cpu.max").partition(" ")
        if not quota:
            quota = _read(directory + "/cpu.cfs_quota_us")
            period = _read(directory + "/cpu.cfs_period_us")
        try:
            if int(quota) > 0 and int(period) > 0:
                limits.append(int(quota) / int(period))
        except ValueError:
            continue  # "max", or no such file
    return min(limits, default=None)


def usable_cores() -> int:
    """Cores this process may keep busy: its affinity mask, cut down to the cgroup's CPU limit."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = cgroup_cpu_limit()
    if limit is not None:
        cores = min(cores, max(1, round(limit)))
    return max(1, cores)


@cache
def physical_memory() -> int:
    """Bytes of memory this process may count on: the machine's, cut down to the cgroup's limit."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        total = 4 << 30
    for directory in _cgroup_directories("memory"):
        for name in ("/memory.max", "/memory.limit_in_bytes"):
            text = _read(directory + name)
            if text.isdigit():
                total = min(total, int(text))
    return total


def is_linux() -> bool:
    """Whether futexes and cgroups are there."""
    return sys.platform.startswith("linux")
