"""Gradients of first and second order of every differentiable op, by finite differences on PyTorch's samples."""

import re
import warnings

import pytest

import rushlight

from .database import find, function_of, ours

torch = pytest.importorskip("torch")
db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

# Without a fixed value, of layouts and devices that are not there, or not of tensors.
LEFT_OUT = re.compile(r"^_|empty|sparse|jiterator|_like$|^rand|normal|bernoulli|multinomial|uniform|cauchy|geometric|"
                      r"exponential|resize|dropout|rrelu|fractional|nested|ops\.aten|lowrank|set_|"
                      r"^(bfloat16|half|float|double|cfloat|cdouble|chalf)$")
# Where the two differences can't agree, or PyTorch's wrapper of the sample takes its own tensors only.
REASONS = {
    "digamma": "trigamma's derivative of negative numbers is NaN, as in PyTorch",
    "native_layer_norm": "mean and deviation have no gradients of their own, as in PyTorch",
    "linalg.norm-subgradients_at_zero": "not differentiable there",
    "cholesky_inverse": "PyTorch's wrapper",
    "nn.functional.triplet_margin_with_distance_loss": "PyTorch's distance",
    "nn.functional.multi_head_attention_forward": "its sample has dropout",
    "masked.cumsum": "PyTorch's wrapper",
    "masked.cumprod": "PyTorch's wrapper",
}
LARGEST = 400       # elements of all inputs


def name_of(op):
    return op.name + (f"-{op.variant_test_name}" if op.variant_test_name else "")


def smallest(op):
    """The sample with the fewest elements that has something to differentiate."""
    best, size = None, LARGEST + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n, s in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=True)):
            total = sum(t.numel() for t in leaves((s.input, s.args, s.kwargs)))
            wanted = sum(t.numel() for t in leaves((s.input, s.args, s.kwargs)) if t.requires_grad)
            if 1 < wanted and total < size:
                best, size = s, total
            if n > 40:
                break
    return best


def leaves(x):
    if isinstance(x, (torch.Tensor, rushlight.Tensor)):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for y in x for t in leaves(y)] if isinstance(x, (list, tuple)) else []


def exchanged(x, given):
    """`x` with the tensors that need gradients taken from the iterator `given`."""
    if isinstance(x, rushlight.Tensor):
        return next(given) if x.requires_grad else x
    if isinstance(x, (list, tuple)):
        return type(x)(exchanged(y, given) for y in x)
    if isinstance(x, dict):
        return {k: exchanged(v, given) for k, v in x.items()}
    return x


@pytest.mark.parametrize("op", [o for o in db if o.supports_autograd and not LEFT_OUT.search(o.name)],
                         ids=name_of)
def test_finite_differences(op):
    if name_of(op) in REASONS:
        pytest.skip(REASONS[name_of(op)])
    if find(op.name) is None or torch.float64 not in op.supported_dtypes("cpu"):
        pytest.skip("not there, or not for float64")
    sample = smallest(op)
    if sample is None:
        pytest.skip("no small sample")
    function, inputs = function_of(op), ours((sample.input, sample.args, sample.kwargs))
    wanted = [t for t in leaves(inputs) if t.requires_grad]

    def results(given):
        x, args, kwargs = exchanged(inputs, iter(given))
        result = op.gradcheck_wrapper(function, x, *args, **kwargs)
        if sample.output_process_fn_grad is not None:
            result = sample.output_process_fn_grad(result)
        return leaves(result if isinstance(result, (list, tuple)) else [result])

    def call(*given):
        return tuple(t for t, followed in zip(results(given), differentiable) if followed)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        differentiable = [t.requires_grad for t in results(wanted)]
        if not any(differentiable):
            pytest.skip("nothing to differentiate")
        assert rushlight.autograd.gradcheck(call, wanted, fast_mode=True, nondet_tol=op.gradcheck_nondet_tol)
        if op.supports_gradgrad:
            assert rushlight.autograd.gradgradcheck(call, wanted, fast_mode=True, atol=1e-4,
                                                    nondet_tol=op.gradcheck_nondet_tol)
