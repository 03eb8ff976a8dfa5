"""The code of native calls: one module a group of functions, made when the first of them is put in place."""

import importlib
import os
from functools import cache, partial
from zlib import crc32

from ...compiler import ahead, engine
from ...compiler.codegen.targets import host

# Group -> the files that say what its code is; the first one's ``module`` writes it.
FILES = {
    "entry": ("entry", "along"), "views": ("geometry", "entry"), "facts": ("facts", "entry", "geometry"),
    "calls": ("calls", "entry", "geometry"), "making": ("making", "entry", "calls"),
    "contents": ("contents", "entry", "making"), "plans": ("plans", "entry", "calls", "geometry", "making"),
    "products": ("products", "entry"), "programs": ("programs", "entry", "geometry"),
}
# Those that are put in place together, in this order.
FIRST = ("entry", "views", "facts", "calls", "making", "contents", "plans")


@cache
def _checksum(file):
    with open(os.path.join(os.path.dirname(__file__), f"{file}.py"), "rb") as source:
        return crc32(source.read())


def specification(group, offsets):
    """The key and the text's function of a group; ``offsets`` are those of the slots of Python's objects."""
    def build():
        return importlib.import_module(f".{FILES[group][0]}", __package__).module(host().triple, offsets)

    version = " ".join(f"{_checksum(file):x}" for file in FILES[group])
    return f"tensor {group} {version} {sorted(offsets.items())}", build


def make(group, offsets):
    """Make the code of a group, unless it is there."""
    engine.prepare(*specification(group, offsets), level=0)


def load(group, offsets, names, table=None, more=None):
    """Addresses of ``names``; ``table`` is that of the environment, which the first group has, ``more`` of others."""
    imports = {**(more or {}), **({} if table is None else {"rl_tensor_environment": table})}
    return engine.load(*specification(group, offsets), names, imports, level=0)


def load_together(offsets):
    """Make what ``FIRST`` names, where it isn't on disk, before it is put in place bit by bit."""
    missing = [group for group in FIRST if not engine.known(specification(group, offsets)[0])]
    if missing:
        ahead.together([partial(make, group, offsets) for group in missing])
