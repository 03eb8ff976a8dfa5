"""Write the operators' signatures that TorchScript archives rely on: ``python tools/make_signatures.py [out]``.

Asks an installed PyTorch which overloads its operators have, in which order they are tried, and keeps those that this
package can run. Names, argument types and defaults are the interface of the archive format: code in archives names no
overload, so that a reader has to choose the same one. Run it where both packages can be imported.
"""

import re
import sys
from pathlib import Path

import torch

from rushlight.jit import kernels

OUT = Path(__file__).parents[1] / "src/rushlight/jit/signatures.txt"
NOT = re.compile(r"Dimname|_backward|aten::_(foreach|cudnn|sparse|nested|fused|amp|test|mps|cslt|weight_|cufft|mkldnn)|"
                 r"aten::(cudnn|mkldnn|miopen|fbgemm|quantized|sym_constrain|to_here|owner|is_owner|confirmed|local_v)")
RESULT = re.compile(r"\(\w!\) (out|max|min|values|grid|[a-z_0-9]*out[0-9]*)\b.*\).*->")


def kept():
    """The signatures, in the order in which overloads are tried."""
    for schema in torch._C._jit_get_all_schemas():
        text = str(schema)
        name, overload = schema.name, schema.overload_name
        if NOT.search(text) and name not in kernels.FUNCTIONS or overload.endswith("out"):
            continue
        if "*," in text and RESULT.search(text.split("*,")[-1]):
            continue
        if kernels.known(name, overload):
            yield text.replace("SymInt", "int")


if __name__ == "__main__":
    lines = list(dict.fromkeys(kept()))
    Path(sys.argv[1] if len(sys.argv) > 1 else OUT).write_text("\n".join(lines) + "\n")
    print(len(lines), "signatures")
