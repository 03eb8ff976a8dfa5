"""Write ``tools/op_dtypes.txt``: which dtypes each op takes, for ``docs/op_coverage.md``.

    python tools/make_dtypes.py [regex]       needs PyTorch 2.13 and expecttest

For each op of PyTorch's sample database and each of its dtypes the first sample runs in Rushlight. A line is the op,
the dtypes that work, and behind ``-`` those of PyTorch's that don't.
"""

import re
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "oracle")]

import torch  # noqa: E402
from database import find, function_of, ours  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

OUT = ROOT / "tools" / "op_dtypes.txt"
# In the order in which they are listed.
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex32",
          "complex64", "complex128")
LEFT_OUT = re.compile(r"^_|jiterator|ops\.aten|^sparse\.sampled|\._refs")


def works(op, function, dtype):
    """Whether the op's first sample of a dtype runs; None if it has none."""
    for sample in op.sample_inputs("cpu", dtype):
        try:
            x, args, kwargs = ours((sample.input, sample.args, sample.kwargs))
            function(x, *args, **kwargs)
        except Exception:
            return False
        return True
    return None


def line(op):
    """The op's line, or None for what can't be called."""
    function = function_of(op) if find(op.name) is not None else None
    if function is None:
        return None
    taken, refused = [], []
    supported = op.supported_dtypes("cpu")
    for name in DTYPES:
        dtype = getattr(torch, name)
        if dtype in supported:
            found = works(op, function, dtype)
            if found is not None:
                (taken if found else refused).append(name)
    return " ".join([op.name, *taken, *(["-", *refused] if refused else [])])


def main():
    warnings.simplefilter("ignore")
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    found = {}
    for op in op_db:
        if wanted.search(op.name) and not LEFT_OUT.search(op.name) and op.name not in found:
            text = line(op)
            if text:
                found[op.name] = text
                print(text, file=sys.stderr)
    OUT.write_text("".join(found[name] + "\n" for name in sorted(found)))


if __name__ == "__main__":
    main()
