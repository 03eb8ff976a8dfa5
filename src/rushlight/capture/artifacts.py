"""The machine code that a process has used, as bytes to start another process with."""

import sys
import warnings
import zlib
from hashlib import blake2b

from ..compiler import engine
from ..compiler.cache import key_of, sources_digest
from ..compiler.codegen.targets import host

_MAGIC = b"RLKA"
_NAME = 12                  # bytes of the environment's digest


class CacheInfo:
    """What artifacts hold: `artifacts` maps "kernel" to the keys of the kernels, as hexadecimal text."""

    def __init__(self, keys):
        self.artifacts = {"kernel": [key.hex() for key in keys]}

    def empty(self):
        """Whether there is nothing."""
        return not self.artifacts["kernel"]

    def __repr__(self):
        return f"CacheInfo({len(self.artifacts['kernel'])} kernels)"


def _environment():
    """What code belongs to: this CPU, this LLVM, this Python, these sources."""
    text = f"{host().key()}|{engine._llvm_version()}|{sys.implementation.cache_tag}|{sys.platform}"
    return blake2b(text.encode() + sources_digest(), digest_size=_NAME).digest()


def save_cache_artifacts():
    """(bytes, `CacheInfo`) with the machine code of all kernels that this process has used so far; None without any.

    The bytes are of use on a machine of the same kind with the same versions, and hold code that will run: take them
    from where you would take a program.
    """
    pack, found = engine._pack(), {}
    for text in list(engine._loaded):
        key = key_of(text)
        code = pack.get(key)
        if code is not None:
            found[key] = code
    if not found:
        return None
    body = b"".join(key + len(code).to_bytes(4, "little") + code for key, code in found.items())
    return b"".join((_MAGIC, _environment(), zlib.crc32(body).to_bytes(4, "little"), body)), CacheInfo(found)


def load_cache_artifacts(serialized_artifacts):
    """Put code that `save_cache_artifacts` gave where kernels are looked up, and on disk; returns its `CacheInfo`.

    None, with a warning, where the bytes are damaged or of another environment.
    """
    begin = len(_MAGIC) + _NAME + 4
    head, body = serialized_artifacts[:begin], serialized_artifacts[begin:]
    why = None
    if head[:4] != _MAGIC or len(head) < begin or zlib.crc32(body) != int.from_bytes(head[-4:], "little"):
        why = "they are damaged"
    elif head[4:4 + _NAME] != _environment():
        why = "they are of another CPU, version of LLVM or Python, or Rushlight"
    if why is not None:
        warnings.warn(f"load_cache_artifacts: nothing was loaded: {why}", stacklevel=2)
        return None
    pack, at, keys = engine._pack(), 0, []
    while at < len(body):
        key, length = body[at:at + 16], int.from_bytes(body[at + 16:at + 20], "little")
        at += 20 + length
        keys.append(key)
        if pack.get(key) is None:
            pack.put(key, body[at - length:at])
    return CacheInfo(keys)
