"""Functions that take the place of others wherever modules hold them by name."""

import sys


def rename(swapped):
    """Let modules that imported a function by name see the one in its place (op families keep theirs).

    swapped: {id of a function: (the function, the one in its place)}.
    """
    for name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", None)
        if name.startswith("rushlight.ops") or type(names) is not dict:
            continue
        for key, value in list(names.items()):
            pair = swapped.get(id(value))
            if pair is not None and pair[0] is value:
                names[key] = pair[1]
