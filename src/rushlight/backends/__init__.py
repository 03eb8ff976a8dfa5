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


class _MatmulPrecision:
    """``fp32_precision`` of one back end's float32 products: "none", "ieee", "tf32" or "bf16".

    An instance's ``names`` say what ``set_float32_matmul_precision`` "highest", "high" and "medium" mean here.
    """

    def __init__(self, *names):
        self._names = names

    @property
    def fp32_precision(self):
        """The precision that ``torch.set_float32_matmul_precision`` has set, by this back end's name for it."""
        levels = ("highest", "high", "medium")
        return self._names[levels.index(_precision().get_float32_matmul_precision())]

    @fp32_precision.setter
    def fp32_precision(self, value):
        levels = {"none": "highest", "ieee": "highest", "tf32": "high", "bf16": "medium"}
        if value not in levels or value not in ("none", *self._names):
            raise RuntimeError(f"Unknown precision: {value}")
        _precision().set_float32_matmul_precision(levels[value])


class _CudaMatmul(_MatmulPrecision):
    """The same, with the older switch ``allow_tf32``."""

    @property
    def allow_tf32(self):
        """Whether float32 products may have less than the highest precision."""
        return self.fp32_precision == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, value):
        self.fp32_precision = "tf32" if value else "ieee"


def _precision():
    from ..runtime import precision

    return precision


cuda = _Backend(False, matmul=_CudaMatmul("ieee", "tf32", "tf32"))
cudnn = _Backend(False, enabled=False, benchmark=False, deterministic=False, allow_tf32=False)
mps = _Backend(False)
mkl = _Backend(False)
mkldnn = _Backend(False, enabled=False, matmul=_MatmulPrecision("ieee", "tf32", "bf16"))
openmp = _Backend(False)
cpu = _CpuBackend(True)
