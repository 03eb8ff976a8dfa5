"""Numbers that stand for dtypes, layouts and memory formats in the script language."""

import rushlight as torch

_NAMES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64",
          8: "complex32", 9: "complex64", 10: "complex128", 11: "bool", 12: "qint8", 13: "quint8", 14: "qint32",
          15: "bfloat16", 23: "float8_e5m2", 24: "float8_e4m3fn", 25: "float8_e5m2fnuz", 26: "float8_e4m3fnuz",
          27: "uint16", 28: "uint32", 29: "uint64"}
DTYPES = {code: getattr(torch, name) for code, name in _NAMES.items() if hasattr(torch, name)}
LAYOUTS = {0: torch.strided, 1: torch.sparse_coo, 2: torch.sparse_csr, 4: torch.sparse_csc, 5: torch.sparse_bsr,
           6: torch.sparse_bsc, 7: torch.jagged}
FORMATS = {0: torch.contiguous_format, 1: torch.preserve_format, 2: torch.channels_last, 3: torch.channels_last_3d}
CODES = {v: k for table in (DTYPES, LAYOUTS, FORMATS) for k, v in table.items()}


def code(value):
    """The number of a dtype, layout or memory format; None where it has none."""
    try:
        return CODES.get(value)
    except TypeError:
        return None


def dtype(n):
    """The dtype of a number; others as they are."""
    return DTYPES[n] if type(n) is int else n


def layout(n):
    """The layout of a number; others as they are."""
    return LAYOUTS[n] if type(n) is int else n


def memory_format(n):
    """The memory format of a number; others as they are."""
    return FORMATS[n] if type(n) is int else n
