"""What `save` and `load` do unless told otherwise: checksums, byte order, mapping flags, and skipping of data."""

import mmap
import sys
import warnings
from enum import Enum


class LoadEndianness(Enum):
    """Byte order of a file that does not tell its own."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


_crc32 = True
_endianness = None
_mmap_flags = getattr(mmap, "MAP_PRIVATE", None)
_skipping = 0


def get_crc32_options():
    """Whether `save` computes and writes the CRC-32 of each record (default True)."""
    return _crc32


def set_crc32_options(compute_crc32):
    """Say whether `save` computes and writes the CRC-32 of each record.

    Without it files are written quicker; zip programs call them damaged, while `load` takes the checksum 0 for none.
    """
    global _crc32
    _crc32 = bool(compute_crc32)


def get_default_load_endianness():
    """The byte order assumed for files without a mark: a `LoadEndianness`, or None for the machine's own."""
    return _endianness


def set_default_load_endianness(endianness):
    """Set the byte order assumed for files without a mark; TypeError for what is no `LoadEndianness` or None."""
    global _endianness
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _endianness = endianness


def unmarked_byteorder():
    """``"little"`` or ``"big"``: the order of bytes in files without a mark."""
    return {LoadEndianness.LITTLE: "little", LoadEndianness.BIG: "big"}.get(_endianness, sys.byteorder)


def get_default_mmap_options():
    """How ``load(..., mmap=True)`` maps a file: ``mmap.MAP_PRIVATE`` (the default) or ``mmap.MAP_SHARED``."""
    return _mmap_flags


class set_default_mmap_options:
    """Set how ``load(..., mmap=True)`` maps a file: as a function for good, as a context until its end.

    Args:
        flags: ``mmap.MAP_PRIVATE`` keeps changes in memory, ``mmap.MAP_SHARED`` writes them to the file.

    ValueError for other flags, RuntimeError on Windows, which has no such flags.
    """

    def __init__(self, flags):
        global _mmap_flags
        if sys.platform == "win32":
            raise RuntimeError("Changing the default mmap options is currently not supported for Windows")
        if flags not in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            raise ValueError("Invalid argument in function set_default_mmap_options, expected mmap.MAP_PRIVATE or "
                             f"mmap.MAP_SHARED, but got {flags}")
        self.prev, _mmap_flags = _mmap_flags, flags

    def __enter__(self):
        return None

    def __exit__(self, *exc):
        global _mmap_flags
        _mmap_flags = self.prev


class skip_data:
    """Context in which the bytes of storages are neither written nor read.

    `save` leaves room for them, to be filled later; `load` makes storages of the right size and leaves them as they
    come. materialize_fake_tensors: accepted for compatibility; there are no fake tensors here.
    """

    def __init__(self, materialize_fake_tensors=False):
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self):
        global _skipping
        _skipping += 1

    def __exit__(self, *exc):
        global _skipping
        _skipping -= 1


def skips_data():
    """Whether `skip_data` is on."""
    return _skipping > 0


def check_module_version_greater_or_equal(module, req_version_tuple, error_if_malformed=True):
    """Whether the version of `module` is at least the given one, number by number.

    A version with fewer parts than asked for, or with parts of another type, can't be compared: RuntimeError, or with
    ``error_if_malformed=False`` a warning and True.
    """
    try:
        parts = module.__version__.split(".")
        version = tuple(type(want)(parts[i]) for i, want in enumerate(req_version_tuple))
        return version >= req_version_tuple
    except (ValueError, IndexError, AttributeError) as error:
        text = (f"'{module.__name__}' module version string is malformed "
                f"'{getattr(module, '__version__', None)}' and cannot be compared with tuple {req_version_tuple}")
        if error_if_malformed:
            raise RuntimeError(text) from error
        warnings.warn(text + ", but continuing assuming that requirement is met", stacklevel=2)
        return True
