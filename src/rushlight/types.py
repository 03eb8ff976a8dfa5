"""Names for annotations (``torch.types``)."""

import os
from typing import IO, Any

from . import symbolic
from .devices import device
from .dtypes import dtype
from .tensor.geometry import Size
from .tensor.storage import UntypedStorage as Storage
from .tensor.tensor import Tensor

__all__ = ["Device", "FileLike", "Number", "Storage"]

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike | IO[bytes]
PySymType = symbolic.SymInt | symbolic.SymFloat | symbolic.SymBool
py_sym_types = (symbolic.SymInt, symbolic.SymFloat, symbolic.SymBool)

_TensorOrTensors = Tensor | tuple
_dtype, _size, _device = dtype, Size | list | tuple, device
_int, _float, _bool, _complex = int, float, bool, complex
_layout = Any
