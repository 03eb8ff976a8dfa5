"""What code names, reads and stores, by its instructions and constants."""

import functools
import types

from .effects import _from_us


@functools.lru_cache(4096)
def global_names(code):
    """The names that code looks up among its globals (`co_names` has attributes, too)."""
    from dis import get_instructions
    return tuple(dict.fromkeys(i.argval for i in get_instructions(code)
                               if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")))


@functools.lru_cache(4096)
def imports(code):
    """The modules that code imports."""
    from dis import get_instructions
    return tuple(dict.fromkeys(i.argval for i in get_instructions(code) if i.opname == "IMPORT_NAME"))


_REVEALING = {"vars", "getattr", "dir", "globals", "locals", "eval", "exec", "attrgetter", "__dict__", "__getstate__",
              "__reduce_ex__", "__reduce__", "__getattribute__"}


@functools.lru_cache(4096)
def names_read(code):
    """The attributes and global names that code, and what is defined in it, reads; None where that can't be told."""
    from dis import get_instructions
    found = set()
    for i in get_instructions(code):
        if i.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER", "LOAD_GLOBAL", "LOAD_NAME", "IMPORT_FROM",
                                "LOAD_FROM_DICT", "DELETE_")):
            found.add(i.argval)
        elif i.opname.startswith("MATCH_CLASS"):
            return None
    inner = [names_read(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return None if None in inner or found & _REVEALING else found.union(*inner)


@functools.lru_cache(4096)
def keys_read(code):
    """The texts in code, and in what is defined in it, that aren't only keys under which it stores things."""
    from dis import get_instructions
    found, before = set(), None
    for i in get_instructions(code):
        if before is not None and i.opname != "STORE_SUBSCR":
            found.add(before)
        before = i.argval if i.opname.startswith("LOAD_CONST") and type(i.argval) is str else None
        held = code.co_consts[i.arg] if i.opname == "KW_NAMES" or i.opname.startswith("LOAD_CONST") else None
        if type(held) is tuple:
            found.update(x for x in held if type(x) is str)
    return found.union(*[keys_read(c) for c in code.co_consts if isinstance(c, types.CodeType)])


@functools.lru_cache(1)
def _names_of_modules():
    from ..nn import Module
    code = [f.__code__ for f in vars(Module).values() if isinstance(f, types.FunctionType)]
    return set(vars(Module())).union(vars(Module), *[all_names(c) for c in code])


def stores_only(owner, name, codes):
    """Whether code that is known stores an attribute of `owner` (or a global name, if that is a scope), plainly, and
    neither it nor anybody else reads it."""
    if not isinstance(owner, dict):
        cls, known = type(owner), object.__setattr__
        if any(_from_us(c) for c in cls.__mro__):
            from ..nn import Module
            if {c for c in cls.__mro__ if _from_us(c)} != {Module} or name in _names_of_modules():
                return False
            known = Module.__setattr__
        if cls.__setattr__ is not known or cls.__getattribute__ is not object.__getattribute__ or any(
                hasattr(type(vars(c)[name]), "__set__") for c in cls.__mro__ if name in vars(c)):
            return False
    found = [names_read(code) for code in codes]
    return None not in found and not any(name in names for names in found)


_NAMING = ("STORE_ATTR", "LOAD_CONST", "LOAD_GLOBAL", "STORE_GLOBAL", "STORE_DEREF")


def where(name, codes):
    """`` (at file:line)`` where code first names something (an attribute that is stored, a key, a global name)."""
    from dis import get_instructions
    for code in codes:
        for i in get_instructions(code):
            if i.argval == name and i.opname in _NAMING and isinstance(i.argval, str):
                return f" (at {code.co_filename}:{i.positions.lineno})"
    return ""


def all_names(code):
    """The names of globals and attributes in code and in what is defined in it."""
    names = set(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            names |= all_names(c)
    return names


def texts(code):
    """The texts among the constants of code and of what is defined in it."""
    found = {x for x in code.co_consts if type(x) is str}
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found |= texts(c)
    return found
