"""What can be derived from the op table: every record has a gradient rule, references agree, gradients
agree with finite differences to second order."""

import inspect

import numpy as np
import pytest

import rushlight as torch
from rushlight.ops.registry import load
from rushlight.record import RECORDS, Joint, NoGradient

from .helpers import SAMPLES, array, tensor

load()
SAMPLED = sorted(k for k, r in RECORDS.items() if isinstance(r.samples, str) and r.samples in SAMPLES)
REFERENCED = [k for k in SAMPLED if isinstance(RECORDS[k].reference, str)]
# Steps, and positions next to them, have no finite difference worth checking.
SMOOTH = [k for k in SAMPLED if not isinstance(RECORDS[k].vjp, NoGradient)
          and "kinks" not in RECORDS[k].samples and not k.startswith(("nextafter", "heaviside"))]


def reference(name):
    """The function a record names as its reference."""
    if name.startswith("scipy.special."):
        return getattr(pytest.importorskip("scipy.special"), name.rpartition(".")[2])
    return getattr(np, name)


def test_the_table_is_not_empty():
    assert len(RECORDS) > 200
    assert len(SMOOTH) > 40


@pytest.mark.parametrize("key", sorted(k for k in RECORDS if not k.startswith("_derived")))
def test_every_record_says_how_gradients_are_found(key):
    r = RECORDS[key]
    if r.vjp is None:
        assert r.formula is not None, "only formulas are differentiated by themselves"
        return
    assert isinstance(r.vjp, (dict, Joint, NoGradient))
    names = {a.name for a in r.args}
    if isinstance(r.vjp, NoGradient):
        assert r.vjp.reason
    elif isinstance(r.vjp, dict):
        assert set(r.vjp) <= names, "a rule for an argument that does not exist"
        tensors = {r.args[i].name for i in r.tensor_args}
        assert set(r.vjp) <= tensors
    rules = r.vjp.values() if isinstance(r.vjp, dict) else [r.vjp.rule] if isinstance(r.vjp, Joint) else []
    for rule in rules:
        if hasattr(rule, "__code__"):
            for p in inspect.signature(rule).parameters:
                base = p.rpartition("_")[0]
                assert (p in names or base in names or p in ("needs", "gs", "out", "g")
                        or p.rstrip("0123456789") in ("g", "out", "maybe")), f"rule reads unknown {p}"


@pytest.mark.parametrize("key", REFERENCED)
def test_reference(key):
    r = RECORDS[key]
    f = reference(r.reference)
    for operands in SAMPLES[r.samples]():
        with np.errstate(all="ignore"):
            want = np.asarray(f(*operands))
        got = array(r.call(*[tensor(x) for x in operands]))
        assert got.shape == want.shape
        np.testing.assert_allclose(got.astype(want.dtype), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", REFERENCED)
def test_reference_in_float32(key):
    r = RECORDS[key]
    if "integer" in r.samples:
        pytest.skip("integer operands")
    operands = [np.asarray(x, np.float32) for x in SAMPLES[r.samples]()[0]]
    with np.errstate(all="ignore"):
        want = np.asarray(reference(r.reference)(*[x.astype(np.float64) for x in operands]))
    got = r.call(*[tensor(x) for x in operands])
    assert got.dtype is torch.float32 or got.dtype is torch.bool
    if got.dtype is torch.bool:
        np.testing.assert_array_equal(array(got), want)
    else:
        np.testing.assert_allclose(array(got), want, rtol=4e-6, atol=2e-6)


def not_equal_operands(operands):
    """Operands in which no two elements tie (extrema have kinks there)."""
    if len(operands) == 2:
        return operands[0] + 0.013, operands[1]
    return operands


@pytest.mark.parametrize("key", SMOOTH)
def test_gradcheck(key):
    from rushlight.autograd.gradcheck import gradcheck
    r = RECORDS[key]
    for operands in SAMPLES[r.samples]():
        ts = [tensor(np.asarray(x, np.float64), grad=True) for x in not_equal_operands(operands)]
        assert gradcheck(r.call, ts)


@pytest.mark.parametrize("key", SMOOTH)
def test_second_order(key):
    from rushlight.autograd.gradcheck import gradgradcheck
    r = RECORDS[key]
    operands = SAMPLES[r.samples]()[0]
    ts = [tensor(np.asarray(x, np.float64), grad=True) for x in not_equal_operands(operands)]
    assert gradgradcheck(r.call, ts)


@pytest.mark.parametrize("key", [k for k in SAMPLED if "integer" not in RECORDS[k].samples])
def test_meta_agrees_with_cpu(key):
    r = RECORDS[key]
    for operands in SAMPLES[r.samples]()[:2]:
        real = r.call(*[tensor(x) for x in operands])
        meta = r.call(*[tensor(x).to("meta") for x in operands])
        assert meta.shape == real.shape and meta.dtype is real.dtype
