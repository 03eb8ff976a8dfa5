"""Random arrays and print options, the texts of which are stored in `printing.json`.

`python tests/golden/printing_cases.py` (with PyTorch and ml_dtypes installed) writes it again.
"""

import base64
import json
import os
import zlib

import numpy as np

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "printing.json")
PLAIN = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16",
         "uint32", "uint64", "bool", "complex64", "complex128")  # fmt: skip
EXTENDED = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
            "float8_e8m0fnu")  # fmt: skip
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e20, 1e-9, 99999.5, 9.9999e-5, 0.99996, 1e8, 1.5]


def numpy_dtype(name):
    if name in EXTENDED:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def random_case(rng):
    """One case: (array, dtype name, print options, whether it requires a gradient)."""
    dtype = str(rng.choice(("float32",) * 8 + PLAIN + EXTENDED))
    rank = int(rng.integers(0, 5))
    largest = (4, 30, 12, 7, 4)[rank]
    shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.15 else 1, largest, rank))
    if rng.random() < 0.06:
        shape = (int(rng.integers(990, 1012)),)
    values = np.asarray(rng.standard_normal(shape))
    if rng.random() < 0.5:
        values = values * 10.0 ** int(rng.integers(-6, 10))
    if rng.random() < 0.3:
        values = np.round(values)
    if rng.random() < 0.3:
        values = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), values)
    if rng.random() < 0.1:
        values = rng.choice([np.nan, np.inf, -np.inf, 0.0], shape)
    values = np.asarray(values)
    if dtype.startswith("complex"):
        values = values + 1j * rng.permutation(values.ravel()).reshape(shape)
    options = {}
    if rng.random() < 0.35:
        options = {
            "precision": int(rng.integers(0, 8)),
            "linewidth": int(rng.integers(20, 150)),
            "edgeitems": int(rng.integers(0, 5)),
            "threshold": int(rng.integers(0, 60)),
            "sci_mode": [None, True, False][rng.integers(0, 3)],
        }
    elif rng.random() < 0.1:
        options = {"profile": str(rng.choice(["default", "short", "full"]))}
    with np.errstate(all="ignore"):
        if np.dtype(numpy_dtype(dtype)).kind in "iub":
            values = np.nan_to_num(values, nan=0, posinf=9, neginf=1)
            if dtype.startswith("u"):
                values = np.abs(values)
            values = values % 100 if numpy_dtype(dtype).itemsize == 1 else values
        array = values.astype(numpy_dtype(dtype))
    requires_grad = bool(rng.random() < 0.2) and dtype.startswith(("float", "bfloat", "complex"))
    return array, dtype, options, requires_grad


def torch_text(case):
    """What PyTorch prints."""
    import torch

    array, dtype, options, requires_grad = case
    data = torch.frombuffer(bytearray(array.tobytes()) or bytearray(1), dtype=torch.uint8)
    data = data[: array.nbytes].clone()
    tensor = data.view(getattr(torch, dtype)).reshape(array.shape)
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**options)
    try:
        return repr(tensor.requires_grad_(requires_grad))
    finally:
        torch.set_printoptions(profile="default")


def main():
    rng = np.random.default_rng(11)
    stored = []
    for _ in range(260):
        case = array, dtype, options, requires_grad = random_case(rng)
        stored.append({
            "data": base64.b85encode(zlib.compress(array.tobytes())).decode(),
            "dtype": dtype,
            "shape": array.shape,
            "options": options,
            "requires_grad": requires_grad,
            "text": torch_text(case),
        })  # fmt: skip
    with open(FILE, "w") as file:
        json.dump(stored, file, indent=0)
        file.write("\n")


def load():
    """The stored cases: (case, text)."""
    with open(FILE) as file:
        for entry in json.load(file):
            data = zlib.decompress(base64.b85decode(entry["data"]))
            yield entry, data, entry["text"]


if __name__ == "__main__":
    main()
