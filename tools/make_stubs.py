"""Write the type stubs of the public surface from the op table, so that editors complete names.

``python tools/make_stubs.py`` writes ``src/rushlight/__init__.pyi`` and ``nn/functional.pyi``;
``--check`` says by its exit code whether they are what it would write. A test runs the latter.
"""

import enum
import inspect
import keyword
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "rushlight"
sys.path.insert(0, str(SOURCE.parent))

HEADER = '''"""Names of the public surface, for editors. Written by tools/make_stubs.py from the op table."""

'''
# torch.int, torch.bool and torch.float hide the builtins.
BUILTINS = '''from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
'''
# Results by name, where no record tells; all other public functions of the table give Tensor or Any.
TENSORS = frozenset("""
    sum mean prod var std norm softmax log_softmax cat stack reshape flatten permute transpose squeeze unsqueeze
    expand repeat to clone contiguous zeros ones full empty rand randn randint arange linspace eye tensor as_tensor
    from_numpy zeros_like ones_like full_like empty_like rand_like randn_like where gather index_select
    masked_select mm bmm matmul dot einsum conv1d conv2d conv3d linear max_pool2d avg_pool2d layer_norm batch_norm
    group_norm dropout embedding cross_entropy mse_loss nll_loss l1_loss relu gelu silu pad interpolate narrow
    select argmax argmin amax amin cumsum cumprod logsumexp roll flip tril triu diag diagonal outer cdist
    float double half bfloat16 int long short bool cpu detach type_as view_as expand_as t view clamp
    normalize one_hot scaled_dot_product_attention binary_cross_entropy binary_cross_entropy_with_logits
    adaptive_avg_pool2d randperm normal bernoulli multinomial unfold fold
""".split())
OTHERS = {"item": "Any", "tolist": "Any", "numel": "_int", "dim": "_int", "size": "Any", "stride": "Any",
          "storage_offset": "_int", "data_ptr": "_int", "element_size": "_int", "ndimension": "_int",
          "nelement": "_int", "backward": "None", "numpy": "Any", "is_tensor": "_bool", "allclose": "_bool",
          "equal": "_bool", "retain_grad": "None", "get_device": "_int"}
CONTEXTS = ("no_grad", "enable_grad", "inference_mode", "set_grad_enabled")
MODULES = ("amp", "autograd", "backends", "compat", "cuda", "fft", "linalg", "multiprocessing", "nn", "optim",
           "overrides", "random", "return_types", "serialization", "special", "types", "utils")


def returns(name, function):
    """The annotation of a result."""
    if name in OTHERS:
        return OTHERS[name]
    if name.startswith("is_") and not name.endswith("_"):
        return "_bool"
    record = getattr(function, "record", None)
    if record is not None and record.n_out == 1 or name in TENSORS or name.endswith("_") and name[0] != "_":
        return "Tensor"
    return "Any"


def default(value):
    """The default of a parameter as a stub writes it."""
    return repr(value) if value is None or type(value) in (bool, int, str) else "..."


def parameters(function, method):
    """The parameters of a function; a method's first is called self."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ("self, " if method else "") + "*args: Any, **kwargs: Any"
    if method and (not found or found[0].kind in (0, 1) and not found[0].name.startswith("args")):
        found = found[1:]
    parts = ["self"] if method else []
    star = False
    for p in found:
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: Any")
            star = True
            continue
        if p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: Any")
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        name = p.name + "_" if keyword.iskeyword(p.name) else p.name
        type_ = "Tensor" if p.name in ("input", "other") and p.default is p.empty else "Any"
        if p.name == "other":
            type_ = "Any"
        parts.append(f"{name}: {type_}" + ("" if p.default is p.empty else f" = {default(p.default)}"))
    if method and not any(x.startswith("*args") for x in parts) and not _plain_order(parts):
        return "self, *args: Any, **kwargs: Any"
    return ", ".join(parts)


def _plain_order(parts):
    """Whether no parameter without default follows one with a default (before the star)."""
    seen = False
    for x in parts:
        if x.startswith("*"):
            return True
        if " = " in x:
            seen = True
        elif seen and x != "self":
            return False
    return True


def first_line(function):
    """The first sentence of a docstring, on one line."""
    text = inspect.getdoc(function) or ""
    line = text.partition("\n\n")[0].replace("\n", " ").strip()
    return line.replace("\\", "\\\\").replace('"', "'")


def definition(name, function, indent="", method=False):
    """The lines of one stub."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return ""
    if isinstance(function, enum.EnumMeta):
        members = "".join(f"    {m.name} = {m.value!r}\n" for m in function)
        return f'class {name}({function.__base__.__name__}):\n    """{first_line(function)}"""\n{members}'
    head = f"{indent}def {name}({parameters(function, method)}) -> {returns(name, function)}:"
    doc = first_line(function)
    return f'{head}\n{indent}    """{doc}"""\n' if doc else f"{head} ...\n"


def tensor_class():
    """``class Tensor`` with its own attributes and the methods of the op table."""
    from rushlight.ops.registry import METHODS
    from rushlight.tensor.tensor import Tensor
    lines = ["class Tensor:\n",
             '    """A multi-dimensional array of one dtype that can record a graph for gradients."""\n',
             "    dtype: Any\n"]
    own = {n: v for n, v in vars(Tensor).items() if not n.startswith("_")}
    for name, value in sorted(own.items()):
        if name in METHODS or name in ("dtype",):
            continue
        if callable(value):
            lines.append(definition(name, value, "    ", method=True))
        elif isinstance(value, property):
            doc = first_line(value)
            kind = {"shape": "Size", "T": "Tensor", "mT": "Tensor", "H": "Tensor", "mH": "Tensor", "real": "Tensor",
                    "imag": "Tensor", "data": "Tensor", "ndim": "_int", "requires_grad": "_bool"}.get(name, "Any")
            body = f'\n        """{doc}"""\n' if doc else " ...\n"
            lines.append(f"    @property\n    def {name}(self) -> {kind}:{body}")
            if value.fset:
                lines.append(f"    @{name}.setter\n    def {name}(self, value: Any) -> None: ...\n")
        else:
            lines.append(f"    {name}: Any\n")
    for name, function in sorted(METHODS.items()):
        if not name.startswith("__"):
            lines.append(definition(name, function, "    ", method=True))
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
        for n in (f"__{name}__", f"__r{name}__", f"__i{name}__"):
            lines.append(f"    def {n}(self, other: Any) -> Tensor: ...\n")
    for name in ("lt", "le", "gt", "ge"):
        lines.append(f"    def __{name}__(self, other: Any) -> Tensor: ...\n")
    lines += [f"    def __{n}__(self) -> Tensor: ...\n" for n in ("neg", "abs", "invert", "pos")]
    lines.append("    def __getitem__(self, index: Any) -> Tensor: ...\n")
    lines.append("    def __setitem__(self, index: Any, value: Any) -> None: ...\n")
    lines += ["    def __len__(self) -> _int: ...\n", "    def __iter__(self) -> Iterator[Tensor]: ...\n"]
    return "".join(lines)


def surface():
    """The text of ``__init__.pyi``."""
    import rushlight
    from rushlight import dtypes
    from rushlight.ops.registry import FUNCTIONS, load
    load()
    table = FUNCTIONS["torch"]
    lines = [HEADER, BUILTINS, "from collections.abc import Iterator\nfrom typing import Any\n\n"]
    present = [m for m in MODULES if (SOURCE / m).is_dir() or (SOURCE / f"{m}.py").is_file()]
    lines += [f"from . import {m} as {m}\n" for m in present]
    lines.append("from .autograd.modes import (\n" + "".join(f"    {n} as {n},\n" for n in CONTEXTS) + ")\n")
    lines.append("from .devices import device as device\nfrom .dtypes import dtype as dtype\n"
                 "from .dtypes import finfo as finfo\nfrom .dtypes import iinfo as iinfo\n"
                 "from .tensor.geometry import Size as Size\nfrom .version import __version__ as __version__\n\n")
    names = sorted({n for d in dtypes.ALL for n in (d.name, *d.aliases)})
    lines += [f"{n}: dtype\n" for n in names]
    lines += [f"{n}: _float\n" for n in ("e", "inf", "nan", "pi")]
    done = {*names, *present, *CONTEXTS, "device", "dtype", "finfo", "iinfo", "Size", "Tensor"}
    for name, home in sorted(rushlight._HOMES.items()):
        value = getattr(rushlight, name, None)
        if callable(value) and not isinstance(value, type):
            lines.append(definition(name, value))
            done.add(name)
        elif value is not None:
            lines.append(f"{name}: Any\n")
            done.add(name)
    lines.append("\n" + tensor_class() + "\n")
    lines += [definition(n, f) for n, f in sorted(table.items()) if n not in done and not n.startswith("__")]
    return "".join(lines)


def functional():
    """The text of ``nn/functional.pyi``."""
    from rushlight.ops.registry import FUNCTIONS, load
    load()
    table = FUNCTIONS["torch.nn.functional"]
    imports = "from enum import IntEnum\nfrom typing import Any\n\nfrom .. import Tensor\n\n"
    return HEADER + BUILTINS + imports + "".join(
        definition(n, f) for n, f in sorted(table.items()) if not n.startswith("_"))


def main(argv):
    wanted = {SOURCE / "nn" / "functional.pyi": functional(), SOURCE / "__init__.pyi": surface()}
    if "--check" in argv:
        stale = [p for p, text in wanted.items() if not p.is_file() or p.read_text() != text]
        for p in stale:
            print(f"{p} is out of date: run tools/make_stubs.py")
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
