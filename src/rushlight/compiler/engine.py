"""From LLVM IR text to addresses in this process.

``load(key, build, symbols)`` is the whole of it: code for the key comes from memory, from the disk
cache, or from LLVM (then ``build()`` makes the IR).  Generated code refers to no symbols of the
process: what it calls, it calls through a table of addresses (see ``entry.py``), apart from the
functions named in ``imports``.

One thread at a time makes or places code, but while LLVM works for one, others come in; who asks for code that is
being made waits for it.
"""

import contextlib
import ctypes
import os
import sys
import threading
from functools import cache

from rushlight.compiler import ahead, image
from rushlight.compiler.cache import key_of, open_pack
from rushlight.compiler.codegen.targets import host

# One lock for all that makes or loads code, so that a fork can wait for it.
from rushlight.runtime.native import lock as _lock

_HALVES = ("__truncsfhf2", "__truncdfhf2", "__extendhfsf2")
_loaded = {}
_making = set()     # keys of code that a thread is making or placing
_idle = []          # compilers that no thread works with
_only = threading.local()
_forever = []
if hasattr(os, "register_at_fork"):
    # A thread that waited for other code had begun with its own.
    os.register_at_fork(after_in_child=_making.clear)
statistics = {"compiled": 0, "loaded": 0, "from_disk": 0}


@cache
def available():
    """Whether machine code can be made and called here."""
    import importlib.util
    import sysconfig

    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        return False
    return importlib.util.find_spec("llvmlite") is not None


@cache
def _pack():
    abi = f"{sys.implementation.cache_tag}|{sys.platform}"
    return open_pack(f"{host().key()}|{_llvm_version()}|{abi}")


def _llvm_version():
    """What tells one llvmlite (and the LLVM inside it) from another, without importing it."""
    import importlib.util

    origin = importlib.util.find_spec("llvmlite").origin
    with open(os.path.join(os.path.dirname(origin), "_version.py")) as file:
        return file.read()


@cache
def _jit():
    import llvmlite.binding as llvm

    jit = llvm.create_lljit_compiler(_compiler().machine(1))
    # Code stays until the process ends: worker threads may run in it during shutdown.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(jit))
    return jit


@cache
def _compiler():
    """The JIT's, which no thread compiles with."""
    from rushlight.compiler.machine_code import Compiler

    return Compiler()


def compile_object(text, level=1, codegen_level=1):
    """A relocatable object of the module ``text``, by ``machine_code.Compiler.compile``."""
    with _lock:
        return _compile(text, level, codegen_level)


def assembly(text, level=1, codegen_level=1):
    """The same code as assembly, to read."""
    with _lock:
        return _compile(text, level, codegen_level, True)


def _compile(text, level, codegen_level, readable=False):
    compiler = _idle.pop() if _idle else None
    # What LLVM made is destroyed when ``compile`` returns, before the interpreter may end.
    with _lock.apart():
        if compiler is None:
            from rushlight.compiler.machine_code import Compiler

            compiler = Compiler()
        code = compiler.compile(text, level, codegen_level, readable)
    _idle.append(compiler)
    statistics["compiled"] += not readable
    return code


def link_object(code, symbols, imports=None):
    """Load an object for the rest of the process; returns {symbol: address}."""
    with _lock:
        return _link(code, symbols, imports)


def _link(code, symbols, imports):
    import llvmlite.binding as llvm

    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for symbol in symbols:
        builder.export_symbol(symbol)
    for symbol, address in (imports or {}).items():
        builder.import_symbol(symbol, address)
    library = builder.link(_jit(), f"kernel.{len(_forever)}")
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    _forever.append(library)
    statistics["loaded"] += 1
    return {symbol: library[symbol] for symbol in symbols}


def _support(name):
    """The address of a function that LLVM calls where the CPU has no instruction; None if we have none."""
    if name not in _HALVES:
        return None

    def build():
        from rushlight.compiler.codegen.halves import module_text

        return module_text(host().triple)

    return load("halves", build, _HALVES)[name]


def _place(stored, symbols, imports):
    """Load what the cache holds: an image ("I") or, where none could be made, an object ("O")."""
    if stored[:1] == b"O":
        return link_object(stored[1:], symbols, imports)
    statistics["loaded"] += 1
    found = image.load(stored[1:], imports, _support)
    return {symbol: found[symbol] for symbol in symbols}


def cold():
    """Whether nothing is on disk, though code can be made."""
    with _lock:
        return available() and not _pack().index


def known(key):
    """Whether there is code for a key, in memory or on disk."""
    return key in _loaded or key_of(key) in _pack().index


def load(key, build, symbols, imports=None, level=1, codegen_level=1):
    """Addresses of ``symbols`` in the code for ``key``.

    ``key`` is a text that determines the code; ``build()`` returns its LLVM IR and is called only if
    the code is neither in memory nor on disk.
    """
    if getattr(_only, "making", False):
        prepare(key, build, level, codegen_level)
        raise Made
    found = _loaded.get(key)
    if found is not None:
        return found
    with _lock:
        while key in _making:
            _lock.wait()
        found = _loaded.get(key)
        if found is not None:
            return found
        _making.add(key)
        try:
            digest = key_of(key)
            stored = _pack().get(digest)
            if stored is None:
                ahead.begin(key)
                stored = _make(build, level, codegen_level)
                found = _place(stored, symbols, imports)
                _pack().put(digest, stored)
            else:
                statistics["from_disk"] += 1
                found = _place(stored, symbols, imports)
            _loaded[key] = found
        finally:
            _making.discard(key)
            _lock.report()
        return found


class Made(Exception):
    """Code was made for a call that goes no further."""


@contextlib.contextmanager
def only_making():
    """In the block this thread makes the first code that is asked for, and with that the block ends.

    So a kernel's own function makes its code, while the kernel itself, of which there is to be one, is left to others.
    """
    _only.making = True
    try:
        yield
    except Made:
        pass
    finally:
        _only.making = False


def prepare(key, build, level=1, codegen_level=1):
    """Make the code for ``key`` unless it is there, or being made: ``load`` will find it."""
    with _lock:
        if key in _making or known(key):
            return
        _making.add(key)
        try:
            _pack().put(key_of(key), _make(build, level, codegen_level))
        finally:
            _making.discard(key)
            _lock.report()


def _make(build, level, codegen_level):
    code = _compile(build(), level, codegen_level)
    flat = image.flatten(code)
    return b"O" + code if flat is None else b"I" + flat
