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


class Host(Target):
    """The CPU this process runs on; LLVM is asked for its names only when code is made."""

    def __init__(self):
        from rushlight.runtime import cpu

        self.vector_bytes = cpu.vector_bytes()
        self.has_scalef = self.vector_bytes == 64

    def __getattr__(self, name):
        if name not in ("triple", "cpu", "features"):
            raise AttributeError(name)
        import llvmlite.binding as llvm

        from rushlight.runtime import cpu

        found = llvm.get_host_cpu_features()
        for feature in found:
            found[feature] = found[feature] and not cpu.masked(feature)
        # Without this LLVM splits 512-bit vectors in halves on many CPUs.
        self.features = found.flatten() + (",-prefer-256-bit" if self.vector_bytes == 64 else "")
        self.triple, self.cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
        return getattr(self, name)

    def key(self):
        """A text that changes whenever code made here may not run, or not be best, elsewhere."""
        from rushlight.runtime import cpu

        return f"{cpu.machine()}|{_model()}|{','.join(sorted(cpu.features()))}|{self.vector_bytes}"


def _model():
    try:
        with open("/proc/cpuinfo") as lines:
            wanted = ("vendor_id", "cpu family", "model\t", "stepping", "CPU part")
            found = [next((line for line in lines if line.startswith(wanted[0])), "")]
            for line in lines:
                if line.startswith(wanted):
                    found.append(line)
                if line == "\n":
                    break
        return "".join(found).replace("\t", "").replace("\n", ";")
    except OSError:
        return ""


@cache
def host():
    """The CPU this process runs on."""
    return Host()
