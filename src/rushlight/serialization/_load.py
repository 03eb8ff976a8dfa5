"""`load`: a checkpoint file back to objects."""

import contextlib
import io
import mmap as memory_map
import os
import pickle
import struct
import sys

import numpy as np

import rushlight as torch
from rushlight.serialization import _names
from rushlight.serialization._allowed import StorageType, rule_for
from rushlight.serialization._archive import ArchiveReader
from rushlight.serialization._defaults import get_default_mmap_options, skips_data, unmarked_byteorder
from rushlight.serialization._locations import restorer, stays_off_memory
from rushlight.serialization._safe_globals import lookup
from rushlight.serialization._safe_unpickler import SafeUnpickler, UnsupportedGlobal, list_globals
from rushlight.serialization._save import LEGACY_MAGIC, LEGACY_PROTOCOL
from rushlight.serialization.rebuild import StorageView

_ADVICE = (
    "Weights only load failed. {message}\n"
    "To load this file, you have two options; do those steps only if you trust its source:\n"
    "  (1) `weights_only=False` runs any code that the file asks for.\n"
    "  (2) keep `weights_only=True` and allow what is named above with "
    "`torch.serialization.add_safe_globals`.")


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None,
         **pickle_load_args):
    """Load what `save` (or PyTorch's) wrote.

    Args:
        f: a path, or a file object that can read and seek.
        map_location: where storages go: a device or its name, a dict from saved to wanted names, or
            a function (storage, saved name) -> storage or None. None keeps the saved device.
        pickle_module: unpickler for ``weights_only=False``.
        weights_only: True (the default) builds tensors, plain containers and what
            `add_safe_globals` allows, and nothing else, whatever the file says. False runs the file's
            code: only for files you trust.
        mmap: map the file instead of reading it; bytes come in when touched, and changes stay in
            memory (unless `set_default_mmap_options` says otherwise). Needs a path.
        pickle_load_args: `encoding` for strings of Python 2 files.

    Raises pickle.UnpicklingError for what is not allowed, RuntimeError for a corrupt archive,
    EOFError for an empty file, and the usual OSErrors.
    """
    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    is_path = isinstance(f, (str, os.PathLike))
    if mmap and not is_path:
        raise ValueError("f must be a file path in order to use the mmap argument")
    _check_map_location(map_location)
    pickle_load_args.setdefault("encoding", "utf-8")
    options = _Options(map_location, weights_only, pickle_module or pickle, pickle_load_args)
    with _opened(f, is_path) as file:
        if _starts_with(file, b"PK\x03\x04"):
            return _load_archive(file, options, f if mmap else None)
        if mmap:
            raise RuntimeError("mmap can only be used with files saved with "
                               "`torch.save(_use_new_zipfile_serialization=True)`")
        return _load_legacy(file, options)


def get_unsafe_globals_in_checkpoint(f):
    """Names in a checkpoint that ``weights_only=True`` would refuse, as a sorted list."""
    with _opened(f, isinstance(f, (str, os.PathLike))) as file:
        if not _starts_with(file, b"PK\x03\x04"):
            raise ValueError("Expected input to be a checkpoint returned by torch.save "
                             "but got a file that is not a zip archive")
        data = ArchiveReader(file).read("data.pkl")
    return sorted(f"{module}.{name}" for module, name in list_globals(data)
                  if rule_for(module, name) is None and lookup(module, name) is None)


class _Options:
    """What `load` was asked for."""

    def __init__(self, map_location, weights_only, pickle_module, pickle_args):
        self.restore = restorer(map_location)
        self.discard = stays_off_memory(map_location)
        self.weights_only = weights_only
        self.pickle_module = pickle_module
        self.pickle_args = pickle_args

    def unpickle(self, data, persistent_load, position=0):
        """The object of one pickle in `data`, and where it ends."""
        if self.weights_only:
            reader = SafeUnpickler(data, persistent_load, position, self.pickle_args["encoding"])
            try:
                return reader.load(), reader.position
            except UnsupportedGlobal as error:
                raise pickle.UnpicklingError(_ADVICE.format(message=error)) from None
            except pickle.UnpicklingError as error:
                raise pickle.UnpicklingError(
                    f"Weights only load failed. The file is corrupt, or not a checkpoint: {error}"
                ) from None
        stream = io.BytesIO(data)
        stream.seek(position)
        reader = _trusting_unpickler(self.pickle_module)(stream, **self.pickle_args)
        reader.persistent_load = persistent_load
        return reader.load(), stream.tell()


def _trusting_unpickler(pickle_module):
    class CheckpointUnpickler(pickle_module.Unpickler):
        def find_class(self, module, name):
            if module.partition(".")[0] != "torch":
                return super().find_class(module, name)
            rule = rule_for(module, name)
            if isinstance(rule, StorageType):
                return rule
            return _names.resolve(module, name)

    return CheckpointUnpickler


def _check_map_location(map_location):
    if map_location is not None and not callable(map_location) and \
            not isinstance(map_location, (str, dict, torch.device)):
        raise TypeError("map_location must be None, a device, a string, a dict or a function, "
                        f"got {type(map_location).__name__}")


@contextlib.contextmanager
def _opened(f, is_path):
    if is_path:
        with open(f, "rb") as file:
            yield file
        return
    for method in ("seek", "tell", "read"):
        if not hasattr(f, method):
            raise AttributeError(f"'{type(f).__name__}' object has no attribute '{method}'. You can "
                                 "only torch.load from a file that is seekable. Please pre-load "
                                 "the data into a buffer like io.BytesIO and try to load from it "
                                 "instead.")
    yield f


def _starts_with(file, magic):
    start = file.tell()
    head = file.read(len(magic))
    file.seek(start)
    return head == magic


def _storage_entry(pid, length):
    """The parts of a storage's persistent id, each of the right type."""
    if type(pid) is not tuple or len(pid) != length or pid[0] != "storage":
        raise pickle.UnpicklingError(f"expected the id of a storage, got {str(pid)[:80]}")
    _, kind, key, location, count = pid[:5]
    if type(key) is bytes and type(location) is bytes:          # files of Python 2
        key, location = key.decode("latin1"), location.decode("latin1")
    if not isinstance(kind, StorageType) or type(key) is not str or type(location) is not str \
            or type(count) is not int or count < 0:
        raise pickle.UnpicklingError("the id of a storage has parts of wrong types")
    return kind.dtype, key, location, count


def _typed(storage, dtype):
    return storage if dtype is None else StorageView(storage, dtype)


def _swap_bytes(array, dtype):
    """Reverse the byte order of each number in place."""
    width = 1 if dtype is None else dtype.itemsize // (2 if dtype.is_complex else 1)
    if width > 1:
        array.view(f"u{width}").byteswap(inplace=True)


# -- zip archives -------------------------------------------------------------------------------


def _load_archive(file, options, map_path):
    start = file.tell()
    if start:
        file = io.BytesIO(file.read())
    archive = ArchiveReader(file)
    if "constants.pkl" in archive and "data.pkl" not in archive.name:
        raise RuntimeError("this is a TorchScript archive: use torch.jit.load")
    order = archive.read("byteorder") if "byteorder" in archive else unmarked_byteorder().encode()
    swap = order != sys.byteorder.encode()
    if swap and order not in (b"little", b"big"):
        raise ValueError(f"Unknown endianness type in the checkpoint: {order[:20]!r}")
    mapping = _map_file(map_path) if map_path is not None else None
    storages = {}

    def persistent_load(pid):
        dtype, key, location, count = _storage_entry(pid, 5)
        nbytes = count * (dtype.itemsize if dtype else 1)
        if key not in storages:
            storage = _read_storage(archive, key, nbytes, mapping, swap and dtype, options)
            storages[key] = options.restore(storage, location)
        storage = storages[key]
        if storage.nbytes() != nbytes:
            raise RuntimeError(f"storage {key} has {storage.nbytes()} bytes where {nbytes} are "
                               "expected")
        return _typed(storage, dtype)

    return options.unpickle(archive.read("data.pkl"), persistent_load)[0]


def _read_storage(archive, key, nbytes, mapping, swap_dtype, options):
    record = f"data/{key}"
    found = archive.size(record)
    if found != nbytes:
        raise RuntimeError(f"record size ({found} bytes) does not match expected size ({nbytes} "
                           f"bytes) for storage {key}")
    if options.discard:
        return torch.empty(nbytes, dtype=torch.uint8, device="meta").untyped_storage()
    if skips_data():
        return torch.empty(nbytes, dtype=torch.uint8).untyped_storage()
    if mapping is not None and nbytes and not swap_dtype:
        offset = archive.offset(record)
        if _maps_shared():
            archive.forget_checksum(record, mapping)
        view = memoryview(mapping)[offset:offset + nbytes]
        return torch.frombuffer(view, dtype=torch.uint8).untyped_storage()
    tensor = torch.empty(nbytes, dtype=torch.uint8)
    if nbytes:
        array = tensor.numpy()
        archive.read_into(record, array)
        if swap_dtype:
            _swap_bytes(array, swap_dtype)
    return tensor.untyped_storage()


def _map_file(path):
    """The file's bytes: changes stay in this process, unless the default is `mmap.MAP_SHARED`."""
    shared = _maps_shared()
    with open(path, "r+b" if shared else "rb") as file:
        return memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_WRITE if shared else memory_map.ACCESS_COPY)


def _maps_shared():
    return get_default_mmap_options() == getattr(memory_map, "MAP_SHARED", -1)


# -- the format before archives -----------------------------------------------------------------


def _load_legacy(file, options):
    """Magic number, protocol, system facts, the object, the keys, then each storage's bytes."""
    data = file.read()
    if not data:
        raise EOFError("Ran out of input: the file is empty")
    if len(data) > 262 and data[257:262] == b"ustar":
        raise NotImplementedError("loading the tar format of PyTorch before 0.1.10")
    pending = {}

    def no_storage(pid):
        raise pickle.UnpicklingError("a storage is out of place")

    def persistent_load(pid):
        if type(pid) is tuple and pid[:1] == ("module",):
            if options.weights_only:
                raise pickle.UnpicklingError("the file holds the source of a module")
            return pid[1]
        dtype, key, location, count = _storage_entry(pid, 6)
        if pid[5] is not None:
            raise NotImplementedError("views of storages in old checkpoints")
        nbytes = count * (dtype.itemsize if dtype else 1)
        if nbytes > len(data):
            raise RuntimeError(f"storage {key} claims {nbytes} bytes, more than the whole file")
        if key not in pending:
            storage = torch.empty(nbytes, dtype=torch.uint8).untyped_storage()
            pending[key] = (storage, options.restore(storage, location), dtype)
        if pending[key][0].nbytes() != nbytes:
            raise RuntimeError(f"storage {key} is given two sizes")
        return _typed(pending[key][1], dtype)

    magic, position = options.unpickle(data, no_storage)
    if magic != LEGACY_MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    protocol, position = options.unpickle(data, no_storage, position)
    if protocol != LEGACY_PROTOCOL:
        raise RuntimeError(f"Invalid protocol version: {protocol}")
    system, position = options.unpickle(data, no_storage, position)
    result, position = options.unpickle(data, persistent_load, position)
    keys, position = options.unpickle(data, no_storage, position)
    little = not isinstance(system, dict) or system.get("little_endian", True)
    swap = little != (sys.byteorder == "little")
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(pending):
        raise RuntimeError("corrupt checkpoint: its storages are not those its objects use")
    for key in keys:
        position = _fill_legacy(data, position, key, pending[str(key)], little, swap)
    return result


def _fill_legacy(data, position, key, entry, little, swap):
    storage, restored, dtype = entry
    itemsize = dtype.itemsize if dtype else 1
    nbytes = storage.nbytes()
    if position + 8 + nbytes > len(data):
        raise RuntimeError(f"the checkpoint ends inside storage {key}; it is truncated")
    count, = struct.unpack_from("<q" if little else ">q", data, position)
    if count * itemsize != nbytes and dtype is not None:
        raise RuntimeError(f"storage {key} has {count} elements where {nbytes // itemsize} are "
                           "expected")
    position += 8
    if restored.device.type == "cpu" and nbytes:
        array = torch.empty(0, dtype=torch.uint8).set_(restored, 0, (nbytes,), (1,)).numpy()
        array[:] = np.frombuffer(data, np.uint8, nbytes, position)
        if swap:
            _swap_bytes(array, dtype)
    return position + nbytes


