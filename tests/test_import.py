"""What a fresh process loads with ``import rushlight``, and how long that takes."""

import json
import os
import subprocess
import sys

HEAVY = ("llvmlite", "scipy", "rich", "multiprocessing", "concurrent", "asyncio", "safetensors", "matplotlib",
         "dataclasses", "unittest", "pickle", "socket", "tempfile", "torch", "sklearn", "ssl", "http")


def fresh(code):
    """What a new interpreter prints for `code`, as JSON."""
    path = os.pathsep.join(p for p in sys.path if p)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                         env={**os.environ, "PYTHONPATH": path})
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def test_import_loads_only_the_core():
    added = fresh("import sys, json, numpy\nbefore = set(sys.modules)\nimport rushlight\n"
                  "print(json.dumps(sorted(set(sys.modules) - before)))")
    heavy = sorted({m.split(".")[0] for m in added} & set(HEAVY))
    assert not heavy
    assert "rushlight.nn" not in added and "rushlight.compiler" not in added


def test_import_is_quick():
    code = ("import time, json\nstart = time.perf_counter()\nimport numpy, ml_dtypes\n"
            "middle = time.perf_counter()\nimport rushlight\n"
            "print(json.dumps([middle - start, time.perf_counter() - middle]))")
    fresh(code)                                     # byte code is written
    ours = min(fresh(code)[1] for _ in range(3))
    assert ours < 0.25


def test_submodules_come_on_use():
    found = fresh("import sys, json, rushlight as torch\nout = ['rushlight.nn' in sys.modules]\ntorch.nn\n"
                  "out.append('rushlight.nn' in sys.modules)\nout.append(callable(torch.add))\n"
                  "print(json.dumps(out))")
    assert found == [False, True, True]


def test_unknown_names_raise():
    found = fresh("import json, rushlight as torch\n"
                  "def error(f):\n    try: f()\n    except Exception as e: return [type(e).__name__, str(e)]\n"
                  "print(json.dumps([error(lambda: torch.no_such_name), error(lambda: torch.Tensor.no_such_name),"
                  " hasattr(torch, 'cosh'), 'add' in dir(torch)]))")
    assert found == [["AttributeError", "module 'rushlight' has no attribute 'no_such_name'"],
                     ["AttributeError", "type object 'Tensor' has no attribute 'no_such_name'"], True, True]
