"""Names in checkpoints: PyTorch's, whatever our modules are called.

Files name classes and functions as PyTorch does, so that both libraries read them. This module
translates: what to write for an object of ours, and what a name in a file means here.
"""

import importlib
import sys

import rushlight as torch

# Storage classes that name their element type; other types are saved untyped with the dtype beside.
TYPED_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64, "QInt8Storage": torch.qint8, "QUInt8Storage": torch.quint8,
    "QInt32Storage": torch.qint32,
}
STORAGE_OF_DTYPE = {dtype: name for name, dtype in TYPED_STORAGES.items()}

REBUILD_MODULE = "rushlight.serialization.rebuild"


class GlobalRef:
    """A global by name only; pickles as that name. Made by `global_ref`, one for each name."""

    __slots__ = ("module", "name")

    def __init__(self, module, name):
        self.module = module
        self.name = name

    def __call__(self, *args):          # pickle wants what it names in a reduction to be callable
        raise TypeError(f"{self.module}.{self.name} is only a name")


_refs = {}


def global_ref(module, name):
    """The `GlobalRef` of ``module.name``."""
    ref = _refs.get((module, name))
    if ref is None:
        ref = _refs[module, name] = GlobalRef(module, name)
    return ref


def name_in_file(module, qualname):
    """PyTorch's ``(module, name)`` for a class or function of ours."""
    if module == REBUILD_MODULE:
        home = "torch._tensor" if qualname == "_rebuild_from_type_v2" else "torch._utils"
        return home, qualname
    if qualname == "Tensor":
        return "torch", qualname
    if qualname == "Parameter":
        return "torch.nn.parameter", qualname
    return "torch" + module.removeprefix("rushlight"), qualname


def is_ours(obj, module, qualname):
    """Whether the class or function `obj`, which says it is ``module.qualname``, is Rushlight's.

    Public classes of ours say they are torch's. They are ours unless PyTorch itself is imported and
    has that very object there.
    """
    root = (module or "").partition(".")[0]
    if root != "torch":
        return root == "rushlight"
    there = sys.modules.get(module)
    for part in qualname.split("."):
        there = getattr(there, part, None)
    return there is not obj or sys.modules["torch"] is sys.modules.get("rushlight")


def resolve(module, name):
    """Our object for the name ``module.name`` in a file; raises AttributeError if there is none.

    A file's module is tried under ``rushlight``, then the packages around it, because PyTorch's
    inner modules may have another place here.
    """
    if (module, name) == ("torch.serialization", "_get_layout"):
        return lambda text: getattr(torch, text.removeprefix("torch."))
    if (module, name) == ("torch.torch_version", "TorchVersion"):
        return str
    if module in ("torch._utils", "torch._tensor", "torch.tensor") and name.startswith("_rebuild"):
        return getattr(importlib.import_module(REBUILD_MODULE), name)
    parts = module.split(".")
    for depth in range(len(parts), 0, -1):
        path = ".".join(["rushlight", *parts[1:depth]])
        try:
            home = importlib.import_module(path)
        except ModuleNotFoundError:
            continue
        value = home
        for part in name.split("."):
            value = getattr(value, part, None)
        if value is not None:
            return value
    raise AttributeError(f"the file refers to {module}.{name}, which Rushlight does not have")
