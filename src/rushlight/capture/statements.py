"""Statements of programs as tuples: written by `program`, turned into words by `words`, or into Python to be read.

Expressions:

    "name"                                              a variable, an argument, or an object of the program's scope
    "any other text"                                    Python
    ("literal", value)
    ("array", argument)                                 the array of a tensor
    ("turned", name)                                    name.T
    ("reshaped", name, shape)
    ("window", name, dtype, shape, strides, offset)     of memory whose array is known; in elements
    ("within", argument, dtype, shape, strides, shift)  of an argument's memory, from its beginning
    ("call", function, arguments)
    ("list", values)

Statements, besides Python's text:

    ("set", name, value), ("parts", names, value, comma), ("do", call), ("free", name), ("gradient", leaf, value),
    ("changed", storage, times), ("given", argument, times): versions go up, ("beside", call): with others at the same
    time, after `TOGETHER`, ("return", values)
"""

from functools import lru_cache

TOGETHER = "with together:"


@lru_cache(1024)
def code_of(text, name):
    """Python's code of a text in a file of that name; programs of other sizes have the same texts."""
    return compile(text, name, "exec")


def text(x):
    """An expression in Python."""
    if type(x) is str:
        return x
    kind = x[0]
    if kind == "literal":
        return repr(x[1])
    if kind == "call":
        return f"{x[1]}({', '.join(map(text, x[2]))})"
    if kind == "list":
        return f"[{', '.join(map(text, x[1]))}]"
    if kind == "array":
        return f"{x[1]}._a"
    if kind == "turned":
        return f"{x[1]}.T"
    if kind == "reshaped":
        return f"{x[1]}.reshape({x[2]!r})"
    _, name, dtype, shape, strides, offset = x
    if kind == "within":
        return f"view({name}._storage.bytes(), {dtype}, {shape!r}, {strides!r}, {name}._offset + {offset})"
    return f"view(storage({name}).bytes(), {dtype}, {shape!r}, {strides!r}, {offset})"


def line(x):
    """A statement in Python."""
    if type(x) is str:
        return x
    kind = x[0]
    if kind == "set":
        return f"{x[1]} = {text(x[2])}"
    if kind == "do":
        return text(x[1])
    if kind == "free":
        return f"{x[1]} = None"
    if kind == "gradient":
        return f"{x[1]}._grad = {text(x[2])}"
    if kind == "parts":
        return f"{', '.join(x[1])}{',' if x[3] else ''} = {text(x[2])}"
    if kind == "changed":
        return f"{x[1]}.version += {x[2]}"
    if kind == "given":
        return f"{x[1]}._storage.version += {x[2]}"
    if kind == "beside":
        return f"    {text(x[1])}"
    return f"return [{', '.join(map(text, x[1]))}]"
