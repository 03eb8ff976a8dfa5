"""The source files that code is made of, as this process has loaded them.

    digest(paths) -> bytes       of the files' texts, which from then on are watched
    folder(path) -> [path]       the Python files of a folder
    sound() -> bool              whether every watched file that is loaded was loaded as it was digested

Code on disk belongs to the sources that its file's name digests. A process that has loaded some of them before or after
an edit must neither add code to theirs, which would be wrong for every later process, nor use it: its own callers may
be of another version. So it keeps code in memory only from then on. A file that is edited after it was loaded and
digested changes nothing.
"""

import os
import sys
import time
from hashlib import blake2b

from rushlight import runtime

_GRAIN = 10_000_000     # nanoseconds by which clocks of file systems may lag
_facts = {}             # path -> (time of change, size), of watched files
_sound = True
_seen = 0               # loaded modules that have been looked at


def folder(path):
    """The Python files of a folder, in order; none if there is no such folder."""
    if not os.path.isdir(path):
        return []
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".py")]


def digest(paths):
    """16 bytes that tell one state of the files from another."""
    global _sound
    total = blake2b(digest_size=16)
    for path in paths:
        with open(path, "rb") as file:
            facts = _of(os.fstat(file.fileno()))
            if _facts.setdefault(path, facts) != facts:
                _sound = False
            # One that was edited since the first module was loaded may have been loaded before. Times to come are
            # of wrong clocks.
            elif runtime.BEGUN - _GRAIN < facts[0] <= time.time_ns() + _GRAIN:
                _sound = False
            total.update(os.path.basename(path).encode() + b"\0" + file.read())
    _forget()
    return total.digest()


def sound():
    """Whether what is loaded of the watched files is what was digested."""
    global _sound, _seen
    count = len(sys.modules)
    if count != _seen and _sound:
        # Only a module that has been loaded since can be of a later edit. New ones come last.
        first = _seen if count > _seen else 0
        _seen = count
        for module in list(sys.modules.values())[first:]:
            known = _facts.get(getattr(module, "__file__", None))
            if known is not None and known != _now(module.__file__):
                _sound = False
    return _sound


def _forget():
    global _seen
    _seen = 0


def _of(facts):
    return facts.st_mtime_ns, facts.st_size


def _now(path):
    try:
        return _of(os.stat(path))
    except OSError:
        return None
