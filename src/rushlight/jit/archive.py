"""Writes and reads TorchScript archives: `save` and `load`.

An archive is a zip file (``serialization/_archive.py``): ``code/`` holds classes and functions as source, ``data.pkl``
the module with its attributes, ``data/`` and ``constants/`` the memory of tensors, ``extra/`` files that were added.
"""

import contextlib
import io
import os
import sys

import rushlight as torch
from rushlight.serialization._archive import ArchiveReader, ArchiveWriter
from rushlight.serialization._atomic import atomic_write
from rushlight.serialization._save import storage_bytes

from .pickles import Pickler, read_pickle
from .source import Dependencies, write_function
from .types import ClassType, EnumType, InterfaceType, TupleType

# Operators whose meaning changed: code that uses them is of a version that tells which is meant.
_CHANGED = ("torch.div(", "torch.div_(", "torch.full(", "torch.linspace(", "torch.logspace(", "torch.gelu(")
_PLAIN, _LATEST = b"3\n", b"10\n"


def save(m, f, _extra_files=None):
    """Write a compiled module as an archive. f: a path, or a file object; `_extra_files`: {name: text or bytes}."""
    if not hasattr(m, "_jit_type"):
        if hasattr(m, "_function"):
            return save_function(m._function, f, _extra_files)
        raise RuntimeError("torch.jit.save: expected a ScriptModule or a ScriptFunction, got " + type(m).__name__)
    return _to(f, lambda file, name: _write(m, file, name, _extra_files or {}))


def save_function(function, f, _extra_files=None):
    """Write a compiled function: a module whose ``forward`` it is."""
    from .functions import Function, Parameter
    from .script import wrap
    module = torch.nn.Module()
    t = ClassType("__torch__.PlaceholderModule", True, None)
    t.attributes |= {"training": _bool(), "_is_full_backward_hook": _optional_bool()}
    from .copying import copy_graph
    graph = copy_graph(function.graph)
    from .graph import Value
    graph.block_.params.insert(0, Value(t, None, graph.next(), "self"))
    t.methods["forward"] = Function("forward", t.name + ".forward", graph, [Parameter("self", t), *function.parameters],
                                    function.returns, t)
    return save(wrap(module, t), f, _extra_files)


def _bool():
    from .types import BOOL
    return BOOL


def _optional_bool():
    from .types import BOOL, OptionalType
    return OptionalType(BOOL)


def _to(f, write):
    if isinstance(f, (str, os.PathLike)):
        stem = os.path.splitext(os.path.basename(os.fspath(f)))[0]
        with atomic_write(f) as file:
            write(file, stem if stem and stem.isascii() else "archive")
        return
    write(f, "archive")
    with contextlib.suppress(AttributeError):
        f.flush()


def _write(module, file, name, extra):
    archive = ArchiveWriter(file, name)
    for key, content in extra.items():
        archive.write(f"extra/{key}", content.encode() if isinstance(content, str) else bytes(content or b""))
    deps = Dependencies()
    deps.type(module._jit_type)
    pickler = Pickler(deps)
    data = pickler.dump(module, module._jit_type)
    for i, storage in enumerate(pickler.storages):
        archive.write(f"data/{i}", storage_bytes(storage))
    archive.write("data.pkl", data)
    files = _code(deps)
    for path, text in files.items():
        archive.write(f"code/{path}", text.encode())
    constants = Pickler(deps)
    body = constants.dump_tuple(deps.constants)
    for i, storage in enumerate(constants.storages):
        archive.write(f"constants/{i}", storage_bytes(storage))
    archive.write("constants.pkl", body)
    changed = any(word in text for text in files.values() for word in _CHANGED)
    archive.write("version", _LATEST if changed else _PLAIN)
    archive.write("byteorder", sys.byteorder.encode())
    archive.write(".data/serialization_id", archive.serialization_id())
    archive.close()


def _code(deps):
    """{path: source} of everything that `deps` leads to."""
    files, done = {}, set()
    while True:
        todo = [(n, t) for n, t in (*deps.types.items(), *deps.functions.items()) if n not in done]
        if not todo:
            return {p: "\n".join(lines) + "\n" for p, lines in files.items()}
        for name, thing in todo:
            done.add(name)
            path = name.rpartition(".")[0].replace(".", "/") + ".py"
            lines = definition(thing, deps)
            files.setdefault(path, []).extend(lines)


def definition(thing, deps):
    """Lines that define a class or a function."""
    if isinstance(thing, ClassType):
        return _class(thing, deps)
    if isinstance(thing, TupleType):
        lines = [f"class {thing.qualified.rpartition('.')[2]}(NamedTuple):"]
        return lines + [f"  {f} : {deps.type(e)}" for f, e in zip(thing.fields, thing.elements)]
    if isinstance(thing, EnumType):
        from .graph import number, quoted
        lines = [f"class {thing.name.rpartition('.')[2]}(Enum):"]
        for m in thing.python:
            v = m.value
            lines.append(f"  {m.name} = "
                         f"{quoted(v) if isinstance(v, str) else number(v) if isinstance(v, float) else v}")
        return lines
    if isinstance(thing, InterfaceType):
        lines = [f"class {thing.name.rpartition('.')[2]}({'ModuleInterface' if thing.module else 'Interface'}):"]
        for name, (parameters, returns) in thing.methods.items():
            params = "".join(f",\n    {p.name}: {deps.type(p.type)}" for p in parameters)
            lines += [f"  def {name}(self{params}) -> {deps.type(returns)}:", "    pass"]
        return lines
    return write_function(thing, deps, None, thing.qualified.rpartition(".")[2])


def _class(t, deps):
    import keyword

    from .graph import quoted
    from .source import _Printer
    lines = [f"class {t.name.rpartition('.')[2]}" + ("(Module):" if t.module else ":")]
    if t.module:
        lines.append(f"  __parameters__ = [{''.join(quoted(p) + ', ' for p in t.parameters)}]")
        lines.append(f"  __buffers__ = [{''.join(quoted(b) + ', ' for b in t.buffers)}]")
    for name, kind in t.attributes.items():
        text = deps.type(kind)
        if name.isidentifier() and not keyword.iskeyword(name):
            lines.append(f"  {name} : {text}")
        else:
            lines.append(f"  __annotations__[{quoted(name)}] = {text}")
    from .annotations import type_of_value
    for name, value in t.constants.items():
        kind = type_of_value(value)
        if kind is None or not name.isidentifier():
            continue
        from .codes import code
        n = code(value) if not isinstance(value, (bool, int, float, str, tuple, list)) and value is not None else None
        lines.append(f"  {name} : Final[{deps.type(kind)}] = "
                     f"{_Printer(deps).literal(value if n is None else n, kind)}")
    for name in list(t.methods):
        method = t.methods[name]
        if not hasattr(method, "graph"):
            if name != "forward" or not t.module:
                continue
            method = t.method(name)
        if method.graph is None:
            continue
        shown = name.replace(".", "_")
        if not shown.isidentifier():
            continue
        lines += ["  " + x if x else x for x in write_function(method, deps, t, shown)]
    if len(lines) == 1:
        lines.append("  pass")
    return lines


# ---------------------------------------------------------------------------------------------------- reading


def load(f, map_location=None, _extra_files=None, _restore_shapes=False):
    """The module in an archive that `save` or PyTorch wrote.

    f: a path, or a file object with ``read`` and ``seek``. map_location: the device for its tensors, or a mapping.
    `_extra_files`: a dict whose keys name files in the archive; their contents are put in.
    The code in it is compiled for the script language and can do nothing else. ValueError for a path that is no file,
    RuntimeError for what is no archive.
    """
    if isinstance(f, (str, os.PathLike)):
        if not os.path.exists(f):
            raise ValueError(f"The provided filename {f} does not exist")
        if os.path.isdir(f):
            raise ValueError(f"The provided filename {f} is a directory")
        with open(f, "rb") as file:
            return _read(file, map_location, _extra_files)
    return _read(io.BytesIO(f.read()), map_location, _extra_files)


def _read(file, map_location, extra):
    from .loading import Importer, build
    archive = ArchiveReader(file)
    if "data.pkl" not in archive or "constants.pkl" not in archive:
        raise RuntimeError("PytorchStreamReader failed locating file constants.pkl: file not found: this is no "
                           "TorchScript archive (torch.load reads checkpoints)")
    tensors = _Memory(archive, map_location)
    constants = read_pickle(archive.read("constants.pkl"), tensors.of("constants"))
    importer = Importer(archive, list(constants))
    found = read_pickle(archive.read("data.pkl"), tensors.of("data"))
    module = build(found, importer)
    importer.compile_all()
    for key in extra or {}:
        record = f"extra/{key}"
        if record in archive:
            content = archive.read(record)
            try:
                extra[key] = content if isinstance(extra[key], bytes) and extra[key] else content.decode()
            except UnicodeDecodeError:
                extra[key] = content
    return module


class _Memory:
    """Storages of an archive by key, read once, on the device that `map_location` says."""

    def __init__(self, archive, map_location):
        from rushlight.serialization._locations import restorer
        self.archive, self.found = archive, {}
        self.restore = restorer(map_location)

    def of(self, folder):
        """A function of (dtype, key, location, count of elements) that gives the storage."""
        def storage(dtype, key, location, count):
            if (folder, key) not in self.found:
                data = self.archive.read(f"{folder}/{key}")
                if len(data) < count * dtype.itemsize:
                    raise RuntimeError(f"storage {key} has {len(data)} bytes where {count * dtype.itemsize} are "
                                       "expected")
                t = torch.empty(len(data), dtype=torch.uint8)
                if data:
                    import numpy as np
                    t.numpy()[:] = np.frombuffer(data, np.uint8)
                self.found[folder, key] = self.restore(t.untyped_storage(), location)
            return self.found[folder, key]
        return storage
