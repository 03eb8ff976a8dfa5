"""Code made before it is asked for.

Where kernels are on disk nothing happens here. Once a program has to compile, a second thread makes what such programs
go on to need, while the first goes about its work: modules say so with ``expect``. What is made is put where
``engine.load`` finds it and nothing else happens, so neither results nor the order of effects depend on the thread.
Where there is one core, or llvmlite can't compile in two threads, all code is made when it is asked for.

A child after a fork has no such thread and makes code as it needs it. The interpreter ends after the module being
compiled, and drops the others.
"""

import contextlib
import os
import sys
import threading
from collections import deque

from rushlight.runtime import cpu, native

_expected = []      # (name of a module of the package or None, function that gives specifications)
_queue = deque()    # specifications: the arguments of engine.prepare
_thread = None


def expect(specifications, using=None):
    """Let ``specifications()``, a list of arguments of ``engine.prepare``, be made once the program compiles anything.

    ``using`` names a module: what is needed only by programs that have imported it.
    """
    _expected.append((using, specifications))


def begin():
    """Start making what is expected; called under the lock, when code is compiled that was asked for."""
    wanted = [entry for entry in _expected if entry[0] is None or entry[0] in sys.modules]
    if not wanted or cpu.usable_cores() < 2:
        return
    for entry in wanted:
        _expected.remove(entry)
        _queue.append(entry[1])
    _start()


def together(specifications):
    """Make code that is needed now, in both threads."""
    from rushlight.compiler import engine

    left = deque(specifications)
    if len(left) > 1 and cpu.usable_cores() > 1 and any(not engine.known(entry[0]) for entry in left):
        with native.lock:
            _queue.extendleft(reversed(left))
            _start()
            # From the other end: the two meet.
            while _queue and left:
                entry = left.pop()
                if entry in _queue:
                    _queue.remove(entry)
                    engine.prepare(*entry)


def _start():
    global _thread
    from rushlight.compiler import machine_code

    if _thread is None and machine_code.concurrent():
        _thread = threading.Thread(target=_work, name="rushlight-compiler", daemon=True)
        _thread.start()


def _work():
    global _thread
    while True:
        # All of it under the lock, which is let go while LLVM works: a fork waits.
        with native.lock:
            if not _queue:
                _thread = None
                return
            entry = _queue.popleft()
            from rushlight.compiler import engine

            # What can't be made says so when it is asked for.
            with contextlib.suppress(Exception):
                if callable(entry):
                    _queue.extendleft(reversed(entry()))
                else:
                    engine.prepare(*entry)


def _after_fork():
    global _thread
    _thread = None
    _queue.clear()
    _expected.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
