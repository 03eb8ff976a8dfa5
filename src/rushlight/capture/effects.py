"""Whether running a function again would do the same: what its Python read, what it changed, what it called.

A tape holds kernels only; everything that Python decided on the way is baked into it. A tape may stand for the call if

* the call changed no Python object that was there before (`reach.State` is compared before and after), tensors,
  gradients and optimizers apart, which the tape knows about;
* it called nothing whose result can differ from call to call or that acts on the world (`Calls` sees every call of a
  function in C; Python functions are looked into);
* the values it could have read are still what they were: `State.guard` makes a function that tells.
"""

import builtins
import math
import operator
import os
import sys
import types

from ..tensor.tensor import Tensor
from .listening import begin, end

_ROOT = __name__.partition(".")[0]
_HOME = __file__[:__file__.rindex("capture")]

_PURE_NAMES = {
    "abs", "all", "any", "bin", "callable", "chr", "divmod", "format", "getattr", "hasattr", "hash", "isinstance",
    "issubclass", "iter", "len", "max", "min", "ord", "pow", "repr", "round", "sorted", "sum", "setattr", "delattr",
    "vars", "__build_class__",
}
_PURE = {id(getattr(builtins, n)) for n in _PURE_NAMES}
_PURE |= {id(f) for m in (math, operator) for f in vars(m).values() if callable(f)}
# Changes of containers that were there before show in the comparison; others are the call's own.
_PURE_METHODS_OF = (str, bytes, tuple, int, float, complex, range, slice, list, dict, set, frozenset, type(None), type,
                    types.MappingProxyType)
_MODULES = ("math", "operator", "functools", "itertools", "typing", "types", "collections", "dataclasses", "contextlib",
            "copy", "enum", "abc", "warnings", "logging", "time", "random")


class Calls:
    """Sees what a call calls: code objects of users' Python functions, and functions in C that aren't known pure."""

    def __init__(self, tape=None, listing=None, originals=()):
        self.tape, self.listing, self.originals = tape, listing, dict(originals)
        if listing is not None:
            listing.originals = self.originals
        self.codes, self.impure = [], None
        self.outside = getattr(tape, "outside", None)
        if self.outside is not None:
            self.outside.calls = self
        self._seen, self._known = set(), {}     # codes; those that were met, by their ids

    def __enter__(self):
        self.outer = begin(self._event, _HOME, self.listing is not None)
        return self

    def __exit__(self, *exc):
        end(self.outer)

    def _event(self, frame, event, arg):
        code = frame.f_code
        if (_kinds.get(code.co_filename) or _kind(code.co_filename)) == _OURS:
            if event == "call" and self.listing is not None:
                self.listing.called(frame)
            return
        if event == "call" and id(code) in self._known or _not_users(frame):
            return
        if event == "call" and _NUMPY in code.co_filename:
            return                              # (it keeps nothing that a call's results depend on)
        if event == "call":
            if code.co_name == "<module>" and frame.f_back.f_code.co_filename.startswith(_HOME):
                return                          # (code that we generate)
            self._known[id(code)] = code
            code = self.originals.get(code, code)
            if code not in self._seen:
                self._seen.add(code)
                self.codes.append((code, frame.f_globals))
                if self.outside is not None:
                    self.outside.entered(code)
            return
        if self.tape is not None:
            self.tape.asking = arg if event == "c_call" else None
        if event == "c_call" and not _is_pure(arg) and arg != self._exit_call:
            if self.impure is not None:
                return self.outside and self.outside.reveal()
            name = getattr(arg, "__qualname__", arg)
            while _in_library(frame.f_code.co_filename) and frame.f_back is not None:
                frame = frame.f_back
            self.impure = f"{name} is called at {frame.f_code.co_filename}:{frame.f_lineno}"
            if self.outside is not None:
                self.outside.reveal()           # (it may look into anything)

    _exit_call = sys.setprofile


_declared = []


def declare_pure(f):
    """Take a function in C for pure from now on."""
    _declared.append(f)
    _PURE.add(id(f))


def _is_pure(f):
    if id(f) in _PURE:
        return True
    module = getattr(f, "__module__", None) or ""
    if module.partition(".")[0] in (_ROOT, "torch"):
        return True
    owner = getattr(f, "__self__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        # Methods of classes taken from the class (list.append) say where they are from.
        owner = getattr(f, "__objclass__", None)
        return owner in _PURE_METHODS_OF
    if isinstance(owner, (Tensor, types.FunctionType)) or type(owner).__name__ == "PyCapsule":
        return True                             # (generated functions keep their parts in capsules)
    return isinstance(owner, _PURE_METHODS_OF) or _from_us(type(owner)) and f.__name__.startswith("__")


def _from_us(cls):
    return (cls.__module__ or "").partition(".")[0] in (_ROOT, "torch")


_NUMPY = f"site-packages{os.sep}numpy{os.sep}"
_LIBRARIES = tuple(f"site-packages{os.sep}{name}{os.sep}" for name in ("numpy", "scipy", "ml_dtypes", "llvmlite"))
_STANDARD = os.path.dirname(os.__file__) + os.sep


def _in_library(file):
    if file.startswith(_STANDARD) and "site-packages" not in file or file.startswith("<frozen"):
        return True
    return any(name in file for name in _LIBRARIES)


_OURS, _IMPORT, _LIBRARY, _USERS = 1, 2, 3, 4
_kinds = {}                                     # of files, which are met a hundred thousand times


def _kind(file):
    if file.startswith(_HOME):
        kind = _OURS
    elif file.startswith("<frozen importlib"):
        kind = _IMPORT
    else:
        kind = _LIBRARY if _in_library(file) else _USERS
    _kinds[file] = kind
    return kind


def _not_users(frame):
    """Whether a frame runs in an import, or in a library for us, who know what we call there."""
    library = True
    while frame is not None:
        file = frame.f_code.co_filename
        kind = _kinds.get(file) or _kind(file)
        if kind == _IMPORT:
            return True
        if kind == _OURS:
            return library
        library = library and kind == _LIBRARY
        frame = frame.f_back
    return False
