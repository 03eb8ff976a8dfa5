"""Facts about the machine code is made for."""

from functools import cache


class Target:
    """A CPU to generate for.

    Attributes: ``triple``, ``cpu`` and ``features`` (LLVM's names), ``vector_bytes`` (width of the
    registers that kernels use: 64 with AVX-512, 32 with AVX2, else 16), ``has_scalef`` (whether it
    has AVX-512's multiplication by powers of two).
    """

    __slots__ = ("triple", "cpu", "features", "vector_bytes", "has_scalef")

    def __init__(self, triple, cpu, features, vector_bytes):
        self.triple, self.cpu, self.features = triple, cpu, features
        self.vector_bytes = vector_bytes
        self.has_scalef = vector_bytes == 64

    def lanes(self, itemsize):
        """Elements of ``itemsize`` bytes in a register."""
        return max(1, self.vector_bytes // itemsize)

    def key(self):
        """A text that changes whenever code for one target may not run or be best on another."""
        return f"{self.triple}|{self.cpu}|{self.features}|{self.vector_bytes}"


@cache
def host():
    """The CPU this process runs on."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    has = features.get
    if has("avx512f") and has("avx512bw") and has("avx512dq") and has("avx512vl"):
        width = 64
    elif has("avx2") and has("fma"):
        width = 32
    else:
        width = 16
    # Without this LLVM splits 512-bit vectors in halves on many CPUs.
    text = features.flatten() + (",-prefer-256-bit" if width == 64 else "")
    return Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), text, width)
