"""From LLVM IR to native symbols and CPython callables.

    load(key, build, exports, imports={}, level=1) -> {export: address}
    callable_from(address, name, doc) -> builtin function (METH_FASTCALL)
    symbols() -> {name: address}       the runtime's own C ABI, for the imports of other modules
    available() -> bool                whether llvmlite can be imported here
    lock                               held while code is made or loaded; ``os.fork`` waits for it

Loaded code lives until the process ends: workers may sleep in it, and arrays that outlive the
interpreter's modules are released through it. Code itself is made by ``compiler.engine``, imported
on first use.
"""

import atexit
import contextlib
import ctypes
import os
import threading
import time
from functools import cache

METH_FASTCALL = 0x80


class _CodeLock:
    """Held while code is made or loaded; re-entrant.

    A thread that has LLVM at work lets others in (``apart``), but neither a fork nor the interpreter's end come before
    it is back: a child would have LLVM's own locks for ever, and LLVM must not be taken down under it.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._depth = 0         # how often its owner holds it
        self._apart = 0         # threads that are away
        self._forks = 0         # threads that wait for them; no other leaves meanwhile
        self._exiting = False

    def acquire(self):
        # Once the interpreter exits, the thread that takes it down is the last to get the lock: one that
        # compiles in a loop would take it again before a waiter wakes.
        if self._exiting and not self._lock._is_owned():
            threading.Event().wait()
        self._lock.acquire()
        self._depth += 1

    def release(self):
        self._depth -= 1
        self._lock.release()

    def wait(self):
        """Let others in until one of them reports a change; the caller holds the lock."""
        depth, self._depth = self._depth, 0
        self._changed.wait()
        self._depth = depth

    def report(self):
        """Wake those that wait; the caller holds the lock."""
        self._changed.notify_all()

    @contextlib.contextmanager
    def apart(self):
        """Let others in for the duration of the block; the caller holds the lock."""
        while self._forks:
            self.wait()
        depth = self._depth
        self._apart += 1
        for _ in range(depth):
            self.release()
        try:
            yield
        finally:
            # Also while the interpreter exits, which waits for this.
            for _ in range(depth):
                self._lock.acquire()
                self._depth += 1
            self._apart -= 1
            self.report()

    def before_fork(self):
        self.acquire()
        self._forks += 1
        while self._apart:
            self.wait()
        self._forks -= 1

    def after_fork(self):
        self.report()
        self.release()

    def in_child(self):
        """The thread that forked is alone: nobody else waits to fork, or to hear of a change."""
        self._forks = 0
        self._changed = threading.Condition(self._lock)
        self.release()

    def close(self):
        """Take the lock for good, as soon as the code that is being made is finished."""
        self._exiting = True
        end = time.monotonic() + 30
        self._lock.acquire(timeout=30)
        while self._apart and self._lock._is_owned() and self._changed.wait(end - time.monotonic()):
            pass

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()


lock = _CodeLock()

if hasattr(os, "register_at_fork"):
    # A child forked while another thread holds the lock would find it taken for ever.
    os.register_at_fork(before=lock.before_fork, after_in_parent=lock.after_fork, after_in_child=lock.in_child)


# LLVM must not be taken down under a daemon thread that compiles; nor may one begin again.
atexit.register(lock.close)


class _MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


def available() -> bool:
    """Whether native code can be generated and called here."""
    with lock:
        return _engine().available()


def _engine():
    # Imported under the lock: a child forked amid another thread's import could never import the
    # module itself.
    with lock:
        from rushlight.compiler import engine

        return engine


def load(key: str, build, exports, imports=None, level: int = 1) -> dict:
    """Load a module for the rest of the process; return addresses of its exports.

    ``build()`` makes its LLVM IR and is called only when the code for ``key`` is neither in memory nor on
    disk: the key says all that the text depends on besides the sources of ``compiler`` and ``runtime``.
    A text in place of ``build`` is a part of the key itself. ``imports`` maps further symbols to
    addresses; the process's own symbols are always visible.
    """
    if isinstance(build, str):
        text = build
        key, build = f"{key}|{text}", lambda: text
    return _engine().load(f"{key}|{level}", build, list(exports), imports, level)


def immortal(x):
    """`x`, which outlives the modules: functions look at their definitions when they end, in whatever order."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(x))
    return x


def callable_from(address: int, name: str, doc: str = "", module: str = "rushlight"):
    """The function ``PyObject *f(PyObject *self, PyObject **args, ssize_t n)`` at ``address``."""
    definition = immortal(_MethodDef(name.encode(), address, METH_FASTCALL, doc.encode() or None))
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
