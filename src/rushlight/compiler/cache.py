"""Machine code kept on disk, so that a kernel is compiled once a machine and not once a process.

One append-only *pack* file holds the objects of one environment (compiler sources, LLVM version, CPU
and its features, Python's ABI: all in the file's name), so starting a program with many kernels reads
one file.  A record is

    magic "RLK1" | u32 length | u32 CRC-32 of the object | 16-byte key | object

Writers append under a file lock.  A record that is cut short or damaged is ignored and compiled
again.  When a pack outgrows its bound the older half is dropped; packs of other environments that have
not been used for a month are removed.

The directory is ``$RUSHLIGHT_CACHE`` or ``$XDG_CACHE_HOME/rushlight`` or ``~/.cache/rushlight``.  It
holds code that will run, so it must belong to the user and be writable by nobody else; otherwise
nothing is read or written.
``RUSHLIGHT_CACHE=off`` keeps code in memory only.
"""

import os
import struct
import threading
import time
import zlib
from functools import cache
from hashlib import blake2b

from rushlight.compiler import sources

_HEADER = struct.Struct("<4sII16s")
_MAGIC = b"RLK1"
_MONTH = 30 * 86400.0


def directory():
    """The cache directory, made if needed; None when caching is off or the place is not safe."""
    chosen = os.environ.get("RUSHLIGHT_CACHE")
    if chosen == "off" or not hasattr(os, "getuid"):
        return None
    if not chosen:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        chosen = os.path.join(home, "rushlight")
    try:
        os.makedirs(chosen, mode=0o700, exist_ok=True)
        facts = os.lstat(chosen)
    except OSError:
        return None
    link = (facts.st_mode & 0o170000) != 0o040000
    if link or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        return None
    return chosen


@cache
def sources_digest():
    """A hash of the source files that make code, the compiler's and the runtime's, as this process found them."""
    top = os.path.dirname(os.path.abspath(__file__))
    folders = (top, os.path.join(top, "codegen"), os.path.join(top, "templates"),
               os.path.join(os.path.dirname(top), "runtime"))
    return sources.digest([path for folder in folders for path in sources.folder(folder)])


def key_of(text):
    """The key of a kernel specification."""
    return blake2b(text.encode(), digest_size=16).digest()


class Pack:
    """The objects of one environment.

    ``get(key)`` returns bytes or None; ``put(key, object)`` keeps them.  ``path`` None keeps nothing.
    """

    def __init__(self, path, limit=64 << 20):
        self.path, self.limit = path, limit
        self.index = {}
        self.own = {}           # what this process has made
        self.alone = False      # sources were edited: what is on disk is another version's
        self.lock = threading.Lock()
        self._read_index()

    def _read_index(self):
        """Enter the records of earlier runs."""
        if self.path is None:
            return
        try:
            with open(self.path, "rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
                    self.path = None
                    return
                data = file.read()
        except OSError:
            return
        at, view = 0, memoryview(data)
        while at + _HEADER.size <= len(data):
            magic, length, crc, key = _HEADER.unpack_from(data, at)
            stop = at + _HEADER.size + length
            if magic != _MAGIC or stop > len(data) or data[stop : stop + 4] not in (_MAGIC, b""):
                # Damaged or cut short: look for the next record. Objects themselves are checked when asked for.
                at = data.find(_MAGIC, at + 1)
                if at < 0:
                    break
                continue
            self.index[key] = (view[at + _HEADER.size : stop], crc)
            at = stop

    def get(self, key):
        """The object, or None if there is none, a damaged one, or one of other sources than those that are loaded."""
        if not (self.alone or sources.sound()):
            self._leave()
        code, crc = self.index.get(key, (b"", None))
        return bytes(code) if zlib.crc32(code) == crc else None

    def put(self, key, code):
        crc = zlib.crc32(code)
        with self.lock:
            if not (self.alone or sources.sound()):
                self._leave()
            self.index[key] = self.own[key] = code, crc
            if self.path is None:
                return
            record = _HEADER.pack(_MAGIC, len(code), crc, key) + code
            try:
                self._append(record)
            except OSError:
                # A full or read-only disk costs speed at the next start, nothing else.
                self.path = None

    def _leave(self):
        self.index, self.path, self.alone = dict(self.own), None, True

    def _append(self, record):
        import fcntl

        with open(self.path, "ab", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size + len(record) > self.limit:
                self._shrink()
                return
            file.write(record)

    def _shrink(self):
        """Rewrite the pack with the newer half of its records."""
        kept, total = [], 0
        for key, (code, crc) in reversed(self.index.items()):
            total += len(code) + _HEADER.size
            if total > self.limit // 2:
                break
            kept.append(b"".join((_HEADER.pack(_MAGIC, len(code), crc, key), code)))
        temporary = f"{self.path}.{os.getpid()}"
        with open(temporary, "wb", opener=_private) as file:
            file.write(b"".join(reversed(kept)))
        os.replace(temporary, self.path)


def _private(path, flags):
    return os.open(path, flags, 0o600)


def remove_stale(folder, now=None):
    """Remove packs that no program has opened for a month."""
    now = time.time() if now is None else now
    for name in os.listdir(folder):
        if name.endswith(".pack"):
            path = os.path.join(folder, name)
            try:
                if now - os.stat(path).st_mtime > _MONTH:
                    os.unlink(path)
            except OSError:
                continue


def open_pack(environment):
    """The pack for an environment described by a text."""
    folder = directory()
    if folder is None:
        return Pack(None)
    name = blake2b(environment.encode() + sources_digest(), digest_size=12).hexdigest()
    path = os.path.join(folder, f"{name}.pack")
    pack = Pack(path)
    if pack.index:
        try:
            os.utime(path)
        except OSError:
            pack.path = None
    else:
        remove_stale(folder)
    return pack
