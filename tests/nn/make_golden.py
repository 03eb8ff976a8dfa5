"""Write golden/modules.json from an installed PyTorch: `python tests/nn/make_golden.py`."""

import json
import pathlib
import warnings

import torch
from module_cases import CASES, describe

warnings.simplefilter("ignore")
stored = {name: [describe(torch, name, args, kwargs) for args, kwargs in cases]
          for name, cases in CASES.items()}
path = pathlib.Path(__file__).parent / "golden" / "modules.json"
path.parent.mkdir(exist_ok=True)
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in stored.items())
path.write_text("{\n" + lines + "\n}\n")
