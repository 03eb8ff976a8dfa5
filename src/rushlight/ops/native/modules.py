"""The code of native calls: one module a group of functions, made when the first of them is put in place."""

import importlib
import os
from functools import cache, partial

from ...compiler import ahead, engine, sources
from ...compiler.codegen.targets import host

# Group -> the file whose ``module`` writes it, with what the others have.
WRITERS = {
    "entry": "entry", "views": "geometry", "facts": "facts", "calls": "calls", "making": "making",
    "contents": "contents", "plans": "plans", "outs": "outs", "products": "products", "programs": "programs",
}
_FILES = (*WRITERS.values(), "along", "pointwise")
# Those that are put in place together, in this order.
FIRST = ("entry", "views", "facts", "calls", "making", "contents", "plans", "outs")


@cache
def _version():
    here = os.path.dirname(__file__)
    return sources.digest([os.path.join(here, f"{file}.py") for file in _FILES]).hex()


def specification(group, offsets):
    """The key and the text's function of a group; ``offsets`` are those of the slots of Python's objects."""
    def build():
        return importlib.import_module(f".{WRITERS[group]}", __package__).module(host().triple, offsets)

    return f"tensor {group} {_version()} {sorted(offsets.items())}", build


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
