"""Write expected.json: what PyTorch gives for every case. Run by hand where PyTorch is installed."""

import json

import torch
from support import HERE, cases, run

if __name__ == "__main__":
    found = {name: run(fn, torch) for name, fn in cases().items()}
    text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(found.items()))
    (HERE / "expected.json").write_text("{\n" + text + "\n}\n")
    for k, v in found.items():
        if isinstance(v, list) and v[:1] == ["RAISED"]:
            print(k, v)
