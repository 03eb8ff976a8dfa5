"""From LLVM IR to native symbols and CPython callables.

    load(name, ir, exports, imports={}, level=2) -> {export: address}
    callable_from(address, name, doc) -> builtin function (METH_FASTCALL)
    symbols() -> {name: address}       the runtime's own C ABI, for the imports of other modules
    available() -> bool                whether llvmlite can be imported here
    lock                               held while code is generated; ``os.fork`` waits for it

Loaded code lives until the process ends: workers may sleep in it, and arrays that outlive the interpreter's
modules are released through it.
"""

import ctypes
import os
import threading
from functools import cache

METH_FASTCALL = 0x80

lock = threading.RLock()
_forever = []

if hasattr(os, "register_at_fork"):
    # A child forked amid a compile would find this lock, and LLVM's, taken for ever.
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )


class _MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


@cache
def available() -> bool:
    """Whether native code can be generated (llvmlite is installed and the build has a GIL)."""
    import importlib.util
    import sysconfig

    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    return importlib.util.find_spec("llvmlite") is not None


@cache
def target_machine():
    """LLVM's description of this CPU; AVX-512 CPUs use their full vectors."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features.split(","):
        features += ",-prefer-256-bit"
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="pic"
    )


@cache
def _jit():
    import llvmlite.binding as llvm

    jit = llvm.create_lljit_compiler(target_machine())
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(jit))
    return jit


def compile_object(ir: str, level: int = 2) -> bytes:
    """Machine code (a relocatable object) of the module ``ir``, optimised at ``level`` (0 to 3)."""
    import llvmlite.binding as llvm

    machine = target_machine()
    module = llvm.parse_assembly(ir)
    module.verify()
    if level:
        options = llvm.create_pipeline_tuning_options(speed_level=level)
        options.loop_vectorization = False
        options.slp_vectorization = False
        options.loop_unrolling = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)


def link_object(name: str, code: bytes, exports, imports=None) -> dict:
    """Load the object ``code`` for the rest of the process; return the addresses of ``exports``.

    ``imports`` maps further symbols to addresses; the process's own symbols are always visible.
    """
    import llvmlite.binding as llvm

    with lock:
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol in exports:
            builder.export_symbol(symbol)
        for symbol, address in (imports or {}).items():
            builder.import_symbol(symbol, address)
        library = builder.link(_jit(), f"rushlight.{name}.{len(_forever)}")
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
        _forever.append(library)
        return {symbol: library[symbol] for symbol in exports}


def load(name: str, ir: str, exports, imports=None, level: int = 2) -> dict:
    """Compile the module ``ir`` and load it: ``link_object(name, compile_object(ir))``."""
    with lock:
        return link_object(name, compile_object(ir, level), exports, imports)


def callable_from(address: int, name: str, doc: str = "", module: str = "rushlight"):
    """The CPython function at ``address``: ``PyObject *f(PyObject *self, PyObject **args, ssize_t n)``."""
    definition = _MethodDef(name.encode(), address, METH_FASTCALL, doc.encode() or None)
    _forever.append(definition)
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.py_object]
    return new(ctypes.addressof(definition), None, module)


@cache
def numpy_api() -> dict:
    """Addresses from NumPy's C API table, under the names generated code uses for them."""
    import numpy as np

    core = np._core if hasattr(np, "_core") else np.core
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(core._multiarray_umath._ARRAY_API, None)
    entries = {
        "PyArray_Type": 2,
        "PyArray_NewFromDescr": 94,
        "PyArray_Empty": 184,
        "PyArray_SetBaseObject": 282,
    }
    return {
        name: ctypes.c_void_p.from_address(table + 8 * index).value
        for name, index in entries.items()
    }


def symbols() -> dict:
    """What generated code may declare and call: the thread pool's and the allocator's C ABI."""
    from rushlight.runtime import allocator, threadpool

    return {
        "rl_parallel_for": threadpool.parallel_for_address(),
        "rl_alloc": allocator.alloc_address(),
        "rl_scratch": allocator.scratch_address(),
        "rl_free": allocator.free_address(),
        "rl_new_array": allocator.new_array_address(),
        **numpy_api(),
    }
