"""Every op of PyTorch's sample database, compiled and eager: the same bits, gradients included.

RUSHLIGHT_SWEEP gives the seconds an op may take (0.04 where it isn't set): samples are taken until they are over,
at least two. 30 seconds are enough for all 13,878 samples of float32.
"""

import os
import re
import time
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

SECONDS = float(os.environ.get("RUSHLIGHT_SWEEP", "0.04"))
# Not the same twice, or of layouts and devices that are not there; names that Rushlight lacks are skipped on the spot.
LEFT_OUT = re.compile(r"empty|sparse|jiterator|_like$|^rand|normal|bernoulli|multinomial|uniform|cauchy|geometric|"
                      r"exponential|resize|^to$|dropout|rrelu|fractional|lowrank|nested|_refs|masked\.|svd|eig|qr$|"
                      r"lobpcg|as_strided|set_|triplet_margin_with|multi_head|ops\.aten")


def find(name):
    target = rushlight
    for part in name.split("."):
        target = getattr(target, part, None)
        if target is None:
            return None
    return target


def ours(x):
    if isinstance(x, torch.Tensor):
        t = rushlight.from_numpy(np.array(x.detach().numpy()))
        return t.requires_grad_() if x.requires_grad else t
    if isinstance(x, torch.dtype):
        return getattr(rushlight, str(x).partition(".")[2])
    if isinstance(x, (list, tuple)):
        return type(x)(ours(y) for y in x)
    if isinstance(x, dict):
        return {k: ours(v) for k, v in x.items()}
    return x


def flat(x):
    if isinstance(x, (list, tuple)):
        return [y for z in x for y in flat(z)]
    return [x]


def tensors(x):
    if isinstance(x, dict):
        x = list(x.values())
    return [t for t in flat(x) if isinstance(t, rushlight.Tensor)]


def same(a, b):
    if isinstance(a, rushlight.Tensor):
        if a.dtype is not b.dtype or a.shape != b.shape or a.stride() != b.stride():
            return False
        x, y = a.numpy(force=True), b.numpy(force=True)
        return x.tobytes() == y.tobytes() or np.array_equal(x, y, equal_nan=True)
    return a == b


def outcome(call, inputs):
    """Results of a call, and gradients of what it was given."""
    result = flat(call())
    starts = [r for r in result if isinstance(r, rushlight.Tensor) and r.requires_grad]
    wanted = [t for t in inputs if t.requires_grad]
    if starts and wanted:
        grads = rushlight.autograd.grad(starts, wanted, [rushlight.ones_like(r) for r in starts], allow_unused=True)
        result += [g for g in grads if g is not None]
    return result


@pytest.fixture(scope="module")
def count(record_testsuite_property):
    """How many samples were compared, and how many of them ran as programs."""
    found = {"samples": 0, "programs": 0}
    yield found
    for name, number in found.items():
        record_testsuite_property(f"compiled {name}", number)
    print(f"\ncompiled ops: {found['samples']} samples compared, {found['programs']} of them as programs")


@pytest.mark.parametrize("op", [o for o in db if not LEFT_OUT.search(o.name)],
                         ids=lambda o: o.name + (f"-{o.variant_test_name}" if o.variant_test_name else ""))
def test_compiled_is_eager(op, count):
    function = find(op.name)
    if function is None or torch.float32 not in op.supported_dtypes("cpu"):
        pytest.skip("not there, or not for float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        samples = op.sample_inputs("cpu", torch.float32, requires_grad=op.supports_autograd)
        end = time.monotonic() + SECONDS
        for i, sample in enumerate(samples):
            if i > 1 and time.monotonic() > end:
                break
            if sample.kwargs.get("dropout_p"):
                continue
            try:
                args, kwargs = ours((sample.input, *sample.args)), ours(sample.kwargs)
                given = tensors(list(args)) + tensors(kwargs)
                want = outcome(lambda: function(*args, **kwargs), given)
            except (TypeError, RuntimeError, NotImplementedError, ValueError, AttributeError):
                continue                        # what eager mode refuses here is the conformance runner's matter
            compiled = rushlight.compile(lambda *a: function(*a, **kwargs))
            for _ in range(3):
                got = outcome(lambda: compiled(*args), given)
                assert len(want) == len(got) and all(map(same, want, got))
            count["samples"] += 1
            count["programs"] += bool(compiled.entries)
