"""What ran in a checkpointed region the first time and when it was recomputed, for error messages."""

import traceback

from rushlight.utils.selective_checkpoint import _Listener, operator_of


class _Log(_Listener):
    """Writes down each op with the place in the program it came from."""

    def __init__(self, title):
        self.title, self.ops = title, []

    def compute(self, rec, kernel, args, arrays):
        shown = ", ".join(f"{x.dtype!r}".removeprefix("torch.") + str(list(x.shape)) if hasattr(x, "_storage") else
                          repr(x) for x in args)
        self.ops.append((f"{operator_of(rec, args)}({shown})", "".join(traceback.format_stack()[:-3])))
        return kernel(*arrays)

    def text(self):
        """The ops with the stacks they were called from."""
        return "\n".join(f"{op}   ({i + 1} of {len(self.ops)} in {self.title})\n\n{stack}\n"
                         for i, (op, stack) in enumerate(self.ops))

    def names(self):
        """The ops alone."""
        return "\n".join(op for op, _ in self.ops)


class logging_contexts:
    """Contexts that log the ops of both runs, and the report of what they heard."""

    def __init__(self):
        self.first, self.again = _Log("original"), _Log("recompute")

    def contexts(self):
        """The pair for ``context_fn``."""
        return self.first, self.again

    def report(self):
        """Both lists, with stacks, and then without."""
        return ("An error happened while unpacking tensors; dumping logs of latest computation\nbecause you passed "
                "`debug=True` to `torch.utils.checkpoint.checkpoint()`.\n\n"
                f"1. Stack traces of the operators that ran in the original forward\n\n{self.first.text()}\n"
                f"2. Stack traces of the operators that ran during recomputation\n\n{self.again.text()}\n"
                f"3. Log of operators in the original forward and recomputation\n\nOriginal:\n{self.first.names()}\n\n"
                f"Recomputed:\n{self.again.names()}")
