"""What back ends there are, and their switches."""


class _Backend:
    """Flags of one back end; absent ones say so."""

    def __init__(self, available, **flags):
        self._available = available
        self.__dict__.update(flags)

    def is_available(self):
        """Whether the back end can be used here."""
        return self._available

    def is_built(self):
        """Whether the back end is part of this package."""
        return self._available

    def version(self):
        """The back end's version; None when absent."""
        return None


class _CpuBackend(_Backend):
    def get_cpu_capability(self):
        """Vector instructions in use: AVX512, AVX2 or DEFAULT."""
        from ..runtime import cpu
        return "AVX512" if cpu.has("avx512f") else "AVX2" if cpu.has("avx2") else "DEFAULT"


cuda = _Backend(False, matmul=_Backend(False, allow_tf32=False))
cudnn = _Backend(False, enabled=False, benchmark=False, deterministic=False, allow_tf32=False)
mps = _Backend(False)
mkl = _Backend(False)
mkldnn = _Backend(False, enabled=False)
openmp = _Backend(False)
cpu = _CpuBackend(True)
