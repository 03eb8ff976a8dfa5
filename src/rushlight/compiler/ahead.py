"""Code made before it is asked for.

Where kernels are on disk nothing happens here. Once a program has to compile, a second thread makes what such programs
go on to need, while the first goes about its work: ``expect`` names the modules that say what that is. It is the code
that would be made a moment later, so neither results nor the order of effects depend on the thread. Where there
is one core, or llvmlite can't compile in two threads, all code is made when it is asked for.

A child after a fork has no such thread. A fork and the interpreter's end wait for the module that is being compiled,
and the others are dropped.
"""

import contextlib
import importlib
import os
import sys
import threading
from collections import deque

from rushlight.runtime import cpu, native

_sources = []       # names of modules that have not been asked yet
_expected = []      # (sign, functions to call), of signs that have not been seen
_queue = deque()    # functions to call
_thread = None


def expect(module):
    """Let the module named so say what is needed, once code is asked for that isn't there, or now if nothing is.

    It has ``EXPECTED``, pairs of a sign and functions to call.

    The sign is the name of a module of the package that a program has imported, or begins the key of code that it asks
    for. A function may be called in a thread of its own and only makes code.
    """
    from rushlight.compiler import engine

    _sources.append(module)
    if engine.cold():
        with native.lock:
            begin("")


def begin(key):
    """Start making what is expected of programs that ask for ``key``; called under the lock, when that isn't there."""
    if cpu.usable_cores() < 2 or threading.current_thread() is _thread:
        return
    while _sources:
        _expected.extend(importlib.import_module(_sources.pop()).EXPECTED)
    for entry in [e for e in _expected if key.startswith(e[0]) or e[0] in sys.modules]:
        _expected.remove(entry)
        _queue.extend(entry[1])
    _start()


def together(makers):
    """Call functions that make kernels that are needed now, in both threads."""
    with native.lock:
        left = deque(makers)
        _queue.extendleft(reversed(left))
        _start()
        # The two begin at different ends. Whatever the other one is at, who asks for it waits for it.
        while left:
            call = left.pop()
            if call in _queue:
                _queue.remove(call)
                call()


def _start():
    global _thread
    from rushlight.compiler import machine_code

    if _queue and _thread is None and cpu.usable_cores() > 1 and machine_code.concurrent():
        thread = threading.Thread(target=_work, name="rushlight-compiler", daemon=True)
        # None begins while the interpreter ends, or beyond a limit.
        with contextlib.suppress(RuntimeError):
            thread.start()
            _thread = thread


def _work():
    global _thread
    while True:
        # All of it under the lock, which is let go while LLVM works: a fork waits.
        with native.lock:
            if not _queue:
                _thread = None
                return
            # What can't be made says so when it is asked for.
            with contextlib.suppress(Exception):
                _queue.popleft()()


def _after_fork():
    global _thread
    _thread = None
    for kept in (_sources, _expected, _queue):
        kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
