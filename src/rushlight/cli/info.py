"""``rushlight info``: what runs here."""

import importlib.metadata
import platform

_NOTABLE = ("avx2", "fma", "avx512f", "avx512bf16", "avx512fp16", "amx-bf16", "amx-int8", "neon",
            "sve")
_PACKAGES = ("numpy", "llvmlite", "ml_dtypes", "scipy", "safetensors", "rich", "matplotlib")


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def run():
    """The command; returns the exit status."""
    import rushlight as torch
    from rushlight.compiler import cache
    from rushlight.runtime import cpu

    features = [name for name in _NOTABLE if name in cpu.features()]
    rows = [
        ("rushlight", torch.__version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", _cpu_name()),
        ("features", " ".join(features) or "none known"),
        ("cores", f"{cpu.usable_cores()} usable"),
        ("threads", str(torch.get_num_threads())),
        ("memory", f"{cpu.physical_memory() / 2**30:.1f} GiB"),
        ("cache", str(cache.directory() or "off")),
        *((package, _version(package)) for package in _PACKAGES),
    ]
    for name, value in rows:
        print(f"{name:<12} {value}")
    return 0
