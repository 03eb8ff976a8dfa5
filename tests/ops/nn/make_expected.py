"""Write expected.json: what PyTorch gives for every case. Run by hand where PyTorch is installed."""

import json
from pathlib import Path

import torch
from nn_cases import CASES, ERRORS, error, evaluate


def rounded(x):
    if isinstance(x, float):
        return float(f"{x:.12g}")
    return [rounded(y) for y in x] if isinstance(x, list) else x


if __name__ == "__main__":
    cases = {}
    for n, (code, _) in enumerate(CASES):
        try:
            cases[code] = {k: rounded(v) for k, v in evaluate(torch, n).items()}
        except Exception as e:
            print("fails in PyTorch:", code, type(e).__name__, str(e)[:200])
    errors = {code: error(torch, code) for code in ERRORS}
    for code, name in errors.items():
        if name is None:
            print("no error in PyTorch:", code)
    text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in cases.items())
    Path(__file__).with_name("expected.json").write_text(
        '{"cases": {\n' + text + '\n},\n"errors": ' + json.dumps(errors, indent=0) + "}\n")
