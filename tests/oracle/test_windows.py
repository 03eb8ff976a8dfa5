"""``torch.signal.windows`` beside an installed PyTorch."""

import inspect

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

NAMES = torch.signal.windows.__all__
SETTINGS = {
    "exponential": [{}, {"tau": .3}, {"tau": 7, "center": 2.5, "sym": False}],
    "gaussian": [{}, {"std": .2}, {"std": 9}],
    "general_cosine": [{"a": [.46, .23, .31]}, {"a": (1,)}, {"a": [.3, .2, .1, .1, .05]}],
    "general_hamming": [{}, {"alpha": .3}], "kaiser": [{}, {"beta": 0.}, {"beta": 3.}, {"beta": 50}],
}


def test_names_and_signatures():
    assert sorted(rushlight.signal.windows.__all__) == sorted(NAMES)
    for name in NAMES:
        ours, theirs = (inspect.signature(getattr(t.signal.windows, name)).parameters for t in (rushlight, torch))
        assert [(p.name, p.kind, str(p.default).replace("rushlight", "torch")) for p in ours.values()] == [
            (p.name, p.kind, str(p.default)) for p in theirs.values()], name


@pytest.mark.parametrize("name", NAMES)
def test_windows(name):
    for settings in SETTINGS.get(name, [{}]):
        for M in (0, 1, 2, 3, 4, 17, 100):
            for d in ("float32", "float64"):
                for sym in (True, False):
                    a, b = (getattr(t.signal.windows, name)(M, **{"sym": sym, **settings}, dtype=getattr(t, d))
                            for t in (rushlight, torch))
                    a, b = a.numpy(), b.numpy()
                    assert a.dtype == b.dtype and a.shape == b.shape
                    np.testing.assert_allclose(a, b, *((1e-5, 1e-5) if d == "float32" else (1e-12, 1e-13)))


CALLS = """
hann(-1)
bartlett(-2)
kaiser(-1)
hann(5, dtype=torch.int32)
gaussian(5, dtype=torch.half)
cosine(5, layout=torch.sparse_coo)
hann(5.)
hann('a')
hann(5, 3)
exponential(5, tau=0.)
exponential(1, tau=-1)
exponential(5, center=1)
gaussian(0, std=-1.)
kaiser(0, beta=-1.)
general_cosine(5, a=[])
general_cosine(5, a=3)
general_cosine(5, a=None)
general_cosine(5)
general_cosine(1, a=[])
general_hamming(5, alpha='x')
hann(5, requires_grad=True).requires_grad
gaussian(5, requires_grad=True).is_leaf
hann(torch.tensor(5)).shape
hann(5, device='meta').shape
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_results_and_errors(call):
    results = []
    for t in (rushlight, torch):
        try:
            results.append(str(eval("W." + call, {"W": t.signal.windows, "torch": t})))
        except Exception as e:
            text = str(e).split(" - got")[0]
            results.append((type(e), text if isinstance(e, ValueError) else ""))
    assert results[0] == results[1]
