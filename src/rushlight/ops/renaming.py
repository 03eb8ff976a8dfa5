"""Functions that take the place of others wherever modules hold them by name."""

import sys


def rename(swapped, families=False):
    """Let modules that imported a function by name see the one in its place: op families, or all others.

    swapped: {id of a function: (the function, the one in its place)}.
    """
    for name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", None)
        if name.startswith("rushlight.ops") is not families or type(names) is not dict:
            continue
        for key, value in list(names.items()):
            pair = swapped.get(id(value))
            if pair is not None and pair[0] is value:
                names[key] = pair[1]


def within(functions, swapped):
    """Let what `functions` have captured be the function in its place: the cells of their closures."""
    for fn in functions:
        for cell in getattr(fn, "__closure__", None) or ():
            try:
                value = cell.cell_contents
            except ValueError:              # (an empty cell)
                continue
            pair = swapped.get(id(value))
            if pair is not None and pair[0] is value:
                cell.cell_contents = pair[1]
