"""The type stubs parse, say what the op table says, and are up to date."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUBS = {"torch": ROOT / "src/rushlight/__init__.pyi", "torch.nn.functional": ROOT / "src/rushlight/nn/functional.pyi"}


def definitions(body):
    return {n.name: n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize("namespace", STUBS)
def test_every_function_of_the_table_is_there(namespace):
    from rushlight.ops.registry import FUNCTIONS, load
    load()
    there = definitions(ast.parse(STUBS[namespace].read_text()).body)
    missing = [n for n in FUNCTIONS[namespace] if not n.startswith("_") and n not in there]
    assert not missing, f"missing {missing[:10]}: run tools/make_stubs.py"


def test_every_method_is_there():
    from rushlight.ops.registry import METHODS, load
    load()
    tree = definitions(ast.parse(STUBS["torch"].read_text()).body)
    there = definitions(tree["Tensor"].body)
    assert not [n for n in METHODS if not n.startswith("__") and n not in there]


def test_parameters_and_docs():
    there = definitions(ast.parse(STUBS["torch"].read_text()).body)
    add = there["add"]
    assert [a.arg for a in add.args.args] == ["input", "other"]
    assert [a.arg for a in add.args.kwonlyargs][:1] == ["alpha"]
    assert ast.get_docstring(add)
    method = definitions(there["Tensor"].body)["add"]
    assert [a.arg for a in method.args.args][:2] == ["self", "other"]
    assert ast.unparse(method.returns) == "Tensor"


def test_regenerating_gives_the_same():
    out = subprocess.run([sys.executable, str(ROOT / "tools/make_stubs.py"), "--check"], capture_output=True,
                         text=True, timeout=120)
    assert out.returncode == 0, out.stdout + out.stderr
