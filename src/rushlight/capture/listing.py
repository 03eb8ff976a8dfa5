"""The words of a native program, read back as text: an instruction a line, in the notation of ``ops.native.programs``.

    METHOD linear(w4, a0, w5, w6)
    v0 = WINDOW v2 + 64: float32 [32, 10] steps [40, 4]

``v0, v1 ...`` are the program's variables, which several values take turns in. Arguments, memory and functions have the
names of the program's Python text, kernels those of the steps that they do, other constants are values.
"""

import ctypes

import numpy as np

from ..dtypes import dtype
from ..ops.native.programs import CODES, HEAD, NOWHERE
from .tape import NO_KERNELS
from .words import fast


def listing(program):
    """The text of a program's words; of one that has none, the Python it runs."""
    if program.kept is None:
        return program.text
    return _Listing(program).text()


class _Listing:
    def __init__(self, program):
        self.block, _, self.constants, _ = program.kept
        self.arguments = list(program.arguments)
        self.names = {id(x): name for name, x in program.scope.items()}
        labels = {}
        for step, _ in program.marks:
            if step.kind not in NO_KERNELS:
                labels.setdefault(id(step.call), {})[step.label] = None
        self.names |= {i: "|".join(of) for i, of in labels.items()}
        self.kernels = {fast(c): self.constant(c) for c in self.constants if fast(c) is not None}

    def text(self):
        registers, constants, arguments, _, most = self.block[:HEAD]
        head = f"{len(self.block)} words: {constants} constants, {arguments} arguments, " \
               f"{registers - constants - arguments} variables, calls of {most} operands at most"
        return "\n".join([head, *self.lines(HEAD, len(self.block))])

    def lines(self, at, end):
        begin = ctypes.addressof(self.block)
        while at < end:
            following = (self.block[at + 1] - begin) // 8
            name, words = CODES[self.block[at]], self.block[at + 2:following]
            if name == "TOGETHER":
                count, width = words[:2]
                yield f"TOGETHER {count}"
                for k in range(count):
                    # Calls have places of one width; each begins with the code and a spare word.
                    call = words[2 + k * (width // 8) + 2:2 + (k + 1) * (width // 8)]
                    yield f"    {self.line('METHOD', call)}"
            else:
                yield self.line(name, words)
            at = following

    def line(self, name, words):
        at = self.place
        match name:
            case "CALL":
                return self.into(words[0], f"CALL {at(words[1])}({self.places(words[3:3 + words[2]])})")
            case "METHOD":
                kernel = self.kernels.get((words[1], words[2]), hex(words[1]))
                return self.into(words[0], f"METHOD {kernel}({self.places(words[4:4 + words[3]])})")
            case "NEW":
                return self.into(words[0], f"NEW {self.descr(words[1])} {_numbers(words[3], words[2])}")
            case "WINDOW":
                to, array, shift, descr, rank, sizes, steps = words
                order = f" steps {_numbers(steps, rank)}" if steps else ""
                kind = f"{self.descr(descr)} " if descr else ""
                return self.into(to, f"WINDOW {at(array)} + {shift}: {kind}{_numbers(sizes, rank)}{order}")
            case "TENSOR":
                return self.into(words[0], f"TENSOR {self.places(words[1:])}")
            case "MOVE" | "ARRAY" | "TURN" | "STORAGE":
                return self.into(words[0], f"{name} {at(words[1])}")
            case "PARTS":
                return f"{self.places(words[2:])} = PARTS {at(words[1])}"
            case "FREE" | "RETURN":
                return f"{name} {self.places(words[1:])}"
        return f"{name} {self.places(words)}"          # GRAD, VERSION, OWN, STOP

    def into(self, to, text):
        return text if to == NOWHERE else f"{self.place(to)} = {text}"

    def places(self, words):
        return ", ".join(map(self.place, words))

    def place(self, offset):
        if offset == NOWHERE:
            return "_"
        k = offset // 8
        if k < len(self.constants):
            return self.constant(self.constants[k])
        k -= len(self.constants)
        return self.arguments[k] if k < len(self.arguments) else f"v{k - len(self.arguments)}"

    def constant(self, x):
        if isinstance(x, (int, float, str, type(None), np.dtype, dtype)):
            return repr(x).removeprefix("torch.")
        return self.names.get(id(x)) or getattr(x, "__name__", None) or f"<{type(x).__name__}>"

    def descr(self, address):
        return str(next(x for x in self.constants if id(x) == address))


def _numbers(address, count):
    return list((ctypes.c_int64 * count).from_address(address)) if count else []
