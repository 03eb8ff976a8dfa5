"""From LLVM IR text to addresses in this process.

``load(key, build, symbols)`` is the whole of it: code for the key comes from memory, from the disk
cache, or from LLVM (then ``build()`` makes the IR).  Generated code refers to no symbols of the
process: what it calls, it calls through a table of addresses (see ``entry.py``), apart from the
functions named in ``imports``.
"""

import ctypes
import os
import sys
from functools import cache

from rushlight.compiler import image
from rushlight.compiler.cache import key_of, open_pack
from rushlight.compiler.codegen.targets import host

# One lock for all that makes or loads code, so that a fork can wait for it.
from rushlight.runtime.native import lock as _lock

_HALVES = ("__truncsfhf2", "__truncdfhf2", "__extendhfsf2")
_loaded = {}
_forever = []
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
def _machine(level):
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = host()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
    )


@cache
def _jit():
    import llvmlite.binding as llvm

    jit = llvm.create_lljit_compiler(_machine(1))
    # Code stays until the process ends: worker threads may run in it during shutdown.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(jit))
    return jit


def compile_object(text, level=1, codegen_level=1):
    """A relocatable object of the module ``text``.

    ``level`` is the pass pipeline's (0 to 3); vectorization is never LLVM's: kernels spell it out.
    """
    with _lock:
        return _compile(text, level, codegen_level)


def assembly(text, level=1, codegen_level=1):
    """The same code as assembly, to read."""
    with _lock:
        return _compile(text, level, codegen_level, True)


def _compile(text, level, codegen_level, readable=False):
    # A frame of its own: what LLVM made is destroyed before the lock is let go, so that the interpreter,
    # which takes the lock to exit, never ends under it.
    import llvmlite.binding as llvm

    machine = _machine(codegen_level)
    module = llvm.parse_assembly(text)
    if level == 1:
        # Kernels spell out their vectors: this is all they need, in a tenth of the O1
        # pipeline's time.
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(1))
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        passes.add_loop_rotate_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        passes.run(module, builder)
    elif level:
        options = llvm.create_pipeline_tuning_options(speed_level=level)
        options.loop_vectorization = False
        options.slp_vectorization = False
        options.loop_unrolling = False
        options.loop_interleaving = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    if readable:
        return machine.emit_assembly(module)
    statistics["compiled"] += 1
    return machine.emit_object(module)


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


def known(key):
    """Whether there is code for a key, in memory or on disk."""
    return key in _loaded or key_of(key) in _pack().index


def load(key, build, symbols, imports=None, level=1, codegen_level=1):
    """Addresses of ``symbols`` in the code for ``key``.

    ``key`` is a text that determines the code; ``build()`` returns its LLVM IR and is called only if
    the code is neither in memory nor on disk.
    """
    found = _loaded.get(key)
    if found is not None:
        return found
    with _lock:
        found = _loaded.get(key)
        if found is not None:
            return found
        digest = key_of(key)
        stored = _pack().get(digest)
        if stored is None:
            code = compile_object(build(), level, codegen_level)
            flat = image.flatten(code)
            stored = b"O" + code if flat is None else b"I" + flat
            found = _place(stored, symbols, imports)
            _pack().put(digest, stored)
        else:
            statistics["from_disk"] += 1
            found = _place(stored, symbols, imports)
        _loaded[key] = found
        return found
