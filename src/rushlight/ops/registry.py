"""Public names: what users reach as ``torch.name``, ``x.name``, ``x.name_`` and ``out=``.

Families register functions as they are imported; nothing is imported before the first name is asked
for, and derived forms (in-place, ``out=``) are made when they are first used.
"""

from _thread import RLock
from importlib import import_module

from ..record import RECORDS, REPEATED

FUNCTIONS = {}          # namespace -> {name: function}
METHODS = {}            # name -> function whose first argument is the tensor
INPLACE = {}            # name_ -> function
_loaded = _loading = False
_lock = RLock()
LOCKS = [_lock]         # what a fork waits for, so that no child finds it taken: in the order in which they are taken
_taken = []


def public(name=None, *, namespaces=("torch",), method=True, out=False, inplace=False):
    """Decorator: publish a function.

    namespaces: where it appears, e.g. ``("torch", "torch.nn.functional")``; method: also a Tensor method; out: accepts
    ``out=`` (or is ``into`` of ``out.with_out``); inplace: derive ``name_`` (method, and function in ``torch``).
    """
    def deco(fn):
        n = name or fn.__name__
        if inplace:
            from .inplace import derive
            g = derive(n, fn)
            INPLACE[n + "_"] = METHODS[n + "_"] = g
            FUNCTIONS.setdefault("torch", {})[n + "_"] = g
        f = fn
        if out:
            from .out import with_out
            f = with_out(n, fn, None if out is True else out)
        for ns in namespaces:
            FUNCTIONS.setdefault(ns, {})[n] = f
        if method:
            METHODS[n] = fn
        return fn
    return deco


def alias(new, old, *, namespaces=("torch",), method=True):
    """Publish `old` under a second name, with all the forms it has."""
    f = FUNCTIONS["torch"].get(old)
    for ns in namespaces:
        if f is not None:
            FUNCTIONS.setdefault(ns, {})[new] = f
    if method and old in METHODS:
        METHODS[new] = METHODS[old]
        if old + "_" in METHODS:
            METHODS[new + "_"] = METHODS[old + "_"]
            FUNCTIONS["torch"][new + "_"] = METHODS[old + "_"]


def load():
    """Import every family (once); threads that come meanwhile wait until all are there.

    What a family raises is raised, and again by the next call, which tries again: half a table would answer wrongly.
    """
    global _loaded, _loading
    if _loaded:
        return
    with _lock:
        if _loading or _loaded:     # a family asks while it is being imported, or another thread is done
            return
        _loading = True
        try:
            from ..compiler.ahead import expect
            from . import FAMILIES
            _hold_at_forks()
            expect("rushlight.compiler.first_use")
            for f in FAMILIES:
                import_module("." + f, __package__)
            from .operators import install
            install()
            expect("rushlight.ops.first_use")
            _loaded = True
        except BaseException:
            REPEATED.update(RECORDS)
            raise
        finally:
            _loading = False


def _hold_at_forks():
    """Let forks wait for `LOCKS`; registered after the lock of code, so these are taken first, as loading does."""
    import os
    if not _taken and hasattr(os, "register_at_fork"):
        _taken.append(())
        os.register_at_fork(before=_take, after_in_parent=_release, after_in_child=_release)


def _take():
    locks = tuple(LOCKS)
    for lock in locks:
        lock.acquire()
    _taken.append(locks)


def _release():
    for lock in reversed(_taken.pop()):
        lock.release()


def function(name, namespace="torch"):
    """The public function `name`; AttributeError if there is none."""
    load()
    try:
        return FUNCTIONS[namespace][name]
    except KeyError:
        raise AttributeError(f"module '{namespace}' has no attribute '{name}'") from None


def method(name):
    """The function behind the Tensor method `name`, or None."""
    load()
    return METHODS.get(name)
