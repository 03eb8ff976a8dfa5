"""The source keeps its shape: imports point to lower layers only, files stay small, every file parses alone."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "rushlight"

# From the ground up; a name stands for the module or package and what is below it, the longest match wins.
# Modules of one layer may import each other. Imports inside functions are free: that is how control flows
# the other way, and how costly packages are put off.
LAYERS = (
    ("version", "errors", "dtypes", "quantized.schemes", "devices", "record", "determinism", "symbolic", "futures",
     "accelerator", "absent", "functional", "monitor", "mps", "mtia", "xpu"),
    ("runtime", "tensor.geometry", "tensor.watch"),
    ("compiler",),
    ("autograd.modes", "autograd.node", "autograd.hooks", "autograd.engine"),
    ("tensor", "storage", "ops.operators", "ops.registry"),     # the class and the names that it looks up
    ("autograd", "overrides", "return_types"),
    ("randomness", "random"),
    ("ops",),
    ("linalg", "special", "fft", "_VF", "nn.functional", "backends", "cuda"),
    ("",),                          # ``import rushlight as torch``: what follows stands on the public surface
    ("utils.hooks", "utils.dlpack", "utils.checkpoint", "utils.selective_checkpoint", "utils._pytree",
     "utils._pytree_keys", "utils.weak", "sparse", "masked", "nested", "quantized"),
    ("amp", "cpu", "cuda.amp", "testing", "library", "naming", "overridable_names", "control_flow", "quasirandom",
     "types", "hub"),
    ("nn", "optim.fused", "func"),  # clipping gradients shares the kernels over many tensors
    ("optim", "distributions", "signal", "ao", "quantization"),
    ("capture",),
    ("utils", "multiprocessing", "serialization", "compat"),
    ("jit",),
    ("distributed", "nn.parallel.distributed"),
    ("profiler", "onnx"),
    ("datasets", "training"),
    ("cli", "__main__"),
)
LONGEST = 800
LONGER = {}                         # file -> lines it may have, with the reason beside it


def layer(name):
    """Index of the layer of a module, named below ``rushlight``."""
    best, found = -1, None
    for i, group in enumerate(LAYERS):
        for prefix in group:
            inside = name == prefix or prefix and name.startswith(prefix + ".")
            if inside and len(prefix) > best:
                best, found = len(prefix), i
    return found


def files():
    return sorted(p for p in SOURCE.rglob("*.py"))


def module(path):
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    """Names below ``rushlight`` that a file imports as it is loaded."""
    package = ["rushlight", *path.relative_to(SOURCE).parts[:-1]]
    found = []

    def visit(body):
        for n in body:
            if isinstance(n, ast.Import):
                found.extend(a.name for a in n.names)
            elif isinstance(n, ast.ImportFrom):
                base = package[:len(package) - n.level + 1] if n.level else []
                full = ".".join([*base, *([n.module] if n.module else [])])
                for a in n.names:
                    below = SOURCE.joinpath(*full.split(".")[1:], a.name)
                    is_module = below.is_dir() or below.with_suffix(".py").is_file()
                    found.append(f"{full}.{a.name}" if is_module else full)
            elif isinstance(n, (ast.If, ast.Try, ast.With, ast.ClassDef)):
                visit([*n.body, *getattr(n, "orelse", []), *getattr(n, "finalbody", [])])
    visit(ast.parse(path.read_text()).body)
    return sorted({n[len("rushlight"):].lstrip(".") for n in found
                   if n == "rushlight" or n.startswith("rushlight.")})


@pytest.mark.parametrize("path", files(), ids=module)
def test_imports_point_to_lower_layers(path):
    name = module(path)
    own = layer(name)
    assert own is not None, f"{name} is in no layer: add it to LAYERS"
    for other in imports(path):
        assert layer(other) is not None, f"{other} is in no layer: add it to LAYERS"
        assert layer(other) <= own, f"{name} imports {other or 'rushlight'}, which stands above it"


@pytest.mark.parametrize("path", files(), ids=module)
def test_a_file_is_one_idea(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGER.get(module(path), LONGEST)


def test_exceptions_are_needed():
    for name, limit in LONGER.items():
        path = SOURCE.joinpath(*name.split(".")).with_suffix(".py")
        assert LONGEST < len(path.read_text().splitlines()) <= limit


def test_every_family_exists():
    from rushlight.ops import FAMILIES
    for name in FAMILIES:
        path = SOURCE.joinpath("ops", *name.split("."))
        assert path.with_suffix(".py").is_file() or path.is_dir(), name
