"""Random tensors print as the installed PyTorch prints them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rushlight.tensor import printing

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")
sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
import printing_cases


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_random_tensors(seed):
    rng = np.random.default_rng(seed)
    for _ in range(250):
        case = array, dtype, options, requires_grad = printing_cases.random_case(rng)
        try:
            printing.set_printoptions(profile="default")
            printing.set_printoptions(**options)
            text = printing.format_array(array, dtype="torch." + dtype, requires_grad=requires_grad)
        finally:
            printing.set_printoptions(profile="default")
        assert text == printing_cases.torch_text(case)
