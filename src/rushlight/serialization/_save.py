"""`save`: an object tree to a checkpoint file."""

import contextlib
import io
import os
import pickle
import struct
import sys

import rushlight as torch
from rushlight.serialization._archive import ALIGNMENT, ArchiveWriter
from rushlight.serialization._atomic import atomic_write
from rushlight.serialization._defaults import get_crc32_options, skips_data
from rushlight.serialization._pickling import StorageTable, make_pickler

DEFAULT_PROTOCOL = 2
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


def save(obj, f, pickle_module=pickle, pickle_protocol=DEFAULT_PROTOCOL,
         _use_new_zipfile_serialization=True, _disable_byteorder_record=False):
    """Save `obj` (tensors, modules, containers, anything picklable) as PyTorch's checkpoint format.

    Args:
        obj: what to save. Tensors that share storage share it after loading.
        f: a path, or a file object with `write`. A path is replaced in one step at the end: a crash
            leaves the old file.
        pickle_module: used if its pickler is written in Python (dill); else `pickle`.
        pickle_protocol: 2 is what every reader knows.

    Raises RuntimeError for a missing directory or for one storage saved under two dtypes.
    """
    if isinstance(f, (str, os.PathLike)):
        stem = os.path.splitext(os.path.basename(os.fspath(f)))[0]
        with atomic_write(f) as file:
            _write(obj, file, stem if stem and stem.isascii() else "archive", pickle_module,
                   pickle_protocol, _use_new_zipfile_serialization, _disable_byteorder_record)
        return
    if not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a "
                             "'write' attribute")
    _write(obj, f, "archive", pickle_module, pickle_protocol, _use_new_zipfile_serialization,
           _disable_byteorder_record)
    with contextlib.suppress(AttributeError):
        f.flush()


def _write(obj, file, name, pickle_module, protocol, zipped, no_byteorder):
    if zipped:
        _write_archive(obj, file, name, pickle_module, protocol, no_byteorder)
    elif skips_data():
        raise RuntimeError("Cannot use skip_data=True with _use_new_zipfile_serialization=False")
    else:
        _write_legacy(obj, file, pickle_module, protocol)


def _write_archive(obj, file, name, pickle_module, protocol, no_byteorder):
    stream, table = io.BytesIO(), StorageTable()
    make_pickler(stream, protocol, table, pickle_module).dump(obj)
    archive = ArchiveWriter(file, name, get_crc32_options())
    archive.write("data.pkl", stream.getbuffer())
    archive.write(".format_version", b"1")
    archive.write(".storage_alignment", str(ALIGNMENT).encode())
    if not no_byteorder:
        archive.write("byteorder", sys.byteorder.encode())
    for key, storage in enumerate(table.storages):
        if skips_data():
            archive.reserve(f"data/{key}", storage.nbytes())
        else:
            archive.write(f"data/{key}", storage_bytes(storage))
    archive.write("version", b"3\n")
    archive.write(".data/serialization_id", archive.serialization_id())
    archive.close()


def storage_bytes(storage):
    """The bytes of a storage as an array that shares them."""
    with torch.no_grad():
        view = torch.empty(0, dtype=torch.uint8)
        return view.set_(storage, 0, (storage.nbytes(),), (1,)).numpy()


def _write_legacy(obj, file, pickle_module, protocol):
    """The format before zip archives: pickles in a row, then each storage with its length."""
    stream, table = io.BytesIO(), StorageTable()
    make_pickler(stream, protocol, table, pickle_module, legacy=True).dump(obj)
    system = {"protocol_version": LEGACY_PROTOCOL, "little_endian": sys.byteorder == "little",
              "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for head in (LEGACY_MAGIC, LEGACY_PROTOCOL, system):
        pickle.dump(head, file, protocol=protocol)
    file.write(stream.getbuffer())
    keys = [str(key) for key in range(len(table.storages))]
    pickle.dump(keys, file, protocol=protocol)
    for storage in table.storages:
        itemsize = table.itemsize(storage)
        file.write(struct.pack("<q", storage.nbytes() // itemsize))
        file.write(memoryview(storage_bytes(storage)))
