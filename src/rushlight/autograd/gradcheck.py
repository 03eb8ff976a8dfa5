"""Numerical checks of gradients: finite differences against what backward computes.

Central differences ``(f(x + eps) - f(x - eps)) / (2 eps)`` in float64, element by element; for complex
inputs and outputs the real and imaginary parts are separate directions (Wirtinger convention of
PyTorch: the gradient is d/dRe + i d/dIm of a real loss).
"""

from ..devices import strided
from .engine import grad as _grad
from .modes import enable_grad, no_grad


class GradcheckError(RuntimeError):
    """A gradient that differs from finite differences."""


def _flat(x):
    if hasattr(x, "_a"):
        return (x,)
    return tuple(t for t in x if hasattr(t, "_a"))


def _differentiable(outs):
    return tuple(o for o in outs if o.dtype.category >= 2 and o.requires_grad)


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True,
              nondet_tol=0.0, check_undefined_grad=True, check_grad_dtypes=False,
              check_batched_grad=False, check_batched_forward_grad=False, check_forward_ad=False,
              check_backward_ad=True, fast_mode=False, masked=None):
    """Whether the gradients of `func` at `inputs` match finite differences.

    Compares ``|analytical - numerical| <= atol + rtol * |numerical|``. Inputs should be float64 or complex128.
    check_backward_ad, check_forward_ad: which mode is compared; fast_mode: compare one random projection ``v^T J u`` of
    the Jacobian instead of all its elements; check_batched_grad, check_batched_forward_grad: whether the mode gives
    the same inside ``vmap``; check_undefined_grad: whether custom functions take None for gradients of outputs;
    check_grad_dtypes: whether gradients have the inputs' types; nondet_tol: by how much two passes may differ.
    Raises GradcheckError (or returns False with raise_exception=False).
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    try:
        _check(func, inputs, eps, atol, rtol, nondet_tol, fast_mode, check_forward_ad, check_backward_ad,
               check_undefined_grad, check_grad_dtypes, check_batched_grad, check_batched_forward_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(inputs):
    xs = [x for x in _leaves(inputs) if x.requires_grad]
    if not xs:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of "
                         "them have requires_grad=True.")
    for i, x in enumerate(xs):
        if x.dtype.name not in ("float64", "complex128"):
            import warnings
            warnings.warn(f"Input #{i} requires gradient and is not a double precision floating point or complex. This "
                          "check will likely fail if all the inputs are not of double precision floating point or "
                          "complex.", UserWarning, stacklevel=4)
        if x.numel() > 1 and 0 in [s for s, n in zip(x.stride(), x.shape) if n > 1]:
            raise RuntimeError(f"The {i}th input has a dimension with stride 0. gradcheck only supports "
                               "inputs that are non-overlapping to be able to compute the numerical "
                               "gradients correctly. You should call .contiguous on the input before "
                               "passing it to gradcheck.")
    return xs


def _check(func, inputs, eps, atol, rtol, nondet_tol, fast, forward, backward, undefined, dtypes, batched,
           batched_forward):
    inputs = (inputs,) if hasattr(inputs, "_a") else tuple(inputs)
    xs = _check_inputs(inputs)
    floats = [o for o in _flat(func(*inputs)) if o.dtype.category >= 2]
    outs = {k: o for k, o in enumerate(floats) if o.requires_grad}
    if any(o.layout is not strided for o in outs.values()):
        raise ValueError("Sparse output is not supported at gradcheck yet. Please call to_dense(masked_grad=...) on "
                         "the output of fn for gradcheck.")
    if not outs:
        for k, o in enumerate(floats):
            if any(abs(v) > 1e-12 for j in _numerical_one(func, inputs, xs, k, o, eps) for v in j.reshape(-1).tolist()):
                raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    from . import gradcheck_modes as modes
    for k, o in outs.items():
        if fast:
            modes.compare_projections(func, inputs, xs, k, o, eps, atol, rtol, forward, backward)
            continue
        numerical = _numerical_one(func, inputs, xs, k, o, eps)
        if forward:
            _compare(modes.forward_jacobians(func, inputs, xs, k, o), numerical, k, atol, rtol,
                     "computed with forward mode ")
        if backward:
            analytical = _analytical(o, xs)
            _compare(analytical, numerical, k, atol, rtol)
            for a, b in zip(analytical, _analytical(o, xs)):
                if (a - b).abs().max().item() > nondet_tol if a.numel() else False:
                    raise GradcheckError(f"Backward is not reentrant, i.e., running backward with same input and "
                                         f"grad_output multiple times gives different values, although analytical "
                                         f"gradient matches numerical gradient. The tolerance for nondeterminism was "
                                         f"{nondet_tol}.")
    if backward and dtypes:
        modes.check_dtypes(list(outs.values()), xs)
    if batched:
        modes.check_batched(list(outs.values()), xs)
    if batched_forward:
        modes.check_batched_forward(func, inputs, xs)
    if backward and undefined:
        modes.check_undefined(func, inputs)


def _compare(analytical, numerical, k, atol, rtol, how=""):
    for i, (a, n) in enumerate(zip(analytical, numerical)):
        if a.numel() and not bool(((a - n).abs() <= atol + rtol * n.abs()).all()):
            raise GradcheckError(f"Jacobian {how}mismatch for output {k} with respect to input {i},\n"
                                 f"numerical:{n}\nanalytical:{a}\n")


def _leaves(inputs):
    for x in inputs:
        if hasattr(x, "_a"):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from _leaves(x)


def _parts(o):
    """The directions in which an output is watched: itself, or real and imaginary part."""
    if o.dtype.is_complex:
        return o.real.clone(), o.imag.clone()
    return (o.clone(),)


def _numerical_one(func, inputs, xs, k, o, eps):
    """For each input a tensor (out parts · numel, in numel): d part / d Re x + i d part / d Im x."""
    import numpy as np

    from ..tensor.tensor import wrap

    def value():
        with no_grad():
            outs = [t for t in _flat(func(*inputs)) if t.dtype.category >= 2]
            return np.concatenate([p.detach().numpy().reshape(-1) for p in _parts(outs[k])])
    m = o.numel() * (2 if o.dtype.is_complex else 1)
    result = []
    for x in xs:
        j = np.zeros((m, x.numel()), np.complex128 if x.dtype.is_complex else np.float64)
        data = x._a
        for c, index in enumerate(np.ndindex(data.shape)):
            old = data[index].copy()
            for step in ((eps, 1), (1j * eps, 1j)) if x.dtype.is_complex else ((eps, 1),):
                h, unit = step
                data[index] = old + h
                up = value()
                data[index] = old - h
                down = value()
                data[index] = old
                j[:, c] += unit * (up - down) / (2 * eps)
        result.append(wrap(j))
    return result


def _analytical(o, xs):
    """The same from backward, one row an element of each part of the output."""
    import numpy as np

    from ..tensor.tensor import wrap
    rows = [[] for _ in xs]
    for unit in (1, 1j) if o.dtype.is_complex else (1,):
        for index in np.ndindex(o._a.shape):
            seed = np.zeros(o._a.shape, o._a.dtype)
            seed[index] = unit
            gs = _grad((o,), xs, (wrap(seed),), retain_graph=True, allow_unused=True)
            for r, g, x in zip(rows, gs, xs):
                r.append(np.zeros(x.numel()) if g is None else
                         g.detach().resolve_conj().resolve_neg().numpy().reshape(-1))
    return [wrap(np.stack(r)) if r else wrap(np.zeros((0, x.numel()))) for r, x in zip(rows, xs)]


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3,
                  gen_non_contig_grad_outputs=False, raise_exception=True, nondet_tol=0.0,
                  check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
                  check_fwd_over_rev=False, check_rev_over_rev=True, fast_mode=False, masked=False):
    """`gradcheck` of the gradient of `func` with respect to its inputs and output gradients.

    check_rev_over_rev, check_fwd_over_rev: which mode differentiates the gradient; the rest as for `gradcheck`.
    """
    import numpy as np

    from ..tensor.tensor import wrap
    inputs = (inputs,) if hasattr(inputs, "_a") else tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = []
        for o in _differentiable(_flat(func(*inputs))):
            r = rng.standard_normal(o._a.shape)
            if o.dtype.is_complex:
                r = r + 1j * rng.standard_normal(o._a.shape)
            grad_outputs.append(wrap(np.asarray(r, o._a.dtype)).requires_grad_())
    else:
        grad_outputs = list(_flat(grad_outputs))
    n = len(grad_outputs)

    def gradient(*args):
        ins, gouts = args[:-n] if n else args, args[-n:] if n else ()
        with enable_grad():
            outs = _differentiable(_flat(func(*ins)))
            xs = [x for x in _leaves(ins) if x.requires_grad]
            gs = _grad(outs, xs, gouts, create_graph=True, allow_unused=True)
        return tuple(g for g in gs if g is not None)
    return gradcheck(gradient, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception, nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad,
                     check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad and check_rev_over_rev,
                     check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev, fast_mode=fast_mode)


def _private(name):
    import warnings
    warnings.warn(f"`{name}` was part of PyTorch's private API and not meant to be exposed; use gradcheck.",
                  FutureWarning, stacklevel=3)


def get_numerical_jacobian(fn, inputs, target=None, eps=1e-3, grad_out=1.0):
    """Finite differences of the first output of ``fn(inputs)``: for each target a matrix (inputs, outputs), real."""
    _private("get_numerical_jacobian")
    if grad_out != 1.0:
        raise ValueError("Expected grad_out to be 1.0. get_numerical_jacobian no longer supports values of grad_out "
                         "!= 1.0.")
    xs = [x for x in _leaves(inputs if target is None else target) if x.requires_grad]
    return tuple(_real_jacobians(lambda *_: fn(inputs), inputs, xs, eps))


def _real_jacobians(call, inputs, xs, eps):
    out = _flat(call(*inputs))[0]
    if out.dtype.is_complex or any(x.dtype.is_complex for x in xs):
        raise NotImplementedError("Jacobians of complex functions: use gradcheck")
    return [j.T for j in _numerical_one(call, inputs, xs, 0, out, eps)]


def get_numerical_jacobian_wrt_specific_input(fn, input_idx, inputs, outputs, eps, input=None, is_forward_ad=False):
    """Finite differences with respect to one input: for each output a matrix (input, output), real."""
    x = inputs[input_idx] if input is None else input
    found = []
    for k, o in enumerate(outputs):
        if o.dtype.is_complex or x.dtype.is_complex:
            raise NotImplementedError("Jacobians of complex functions: use gradcheck")
        found.append(_numerical_one(fn, inputs, [x], k, o, eps)[0].T)
    return tuple(found)


def get_analytical_jacobian(inputs, output, nondet_tol=0.0, grad_out=1.0):
    """(Jacobians (input, output) by backward, whether two passes agree, whether sizes do, whether types do)."""
    _private("get_analytical_jacobian")
    if grad_out != 1.0:
        raise ValueError("Expected grad_out to be 1.0. get_analytical_jacobian no longer supports values of grad_out "
                         "!= 1.0.")
    xs = [x for x in _leaves(inputs) if x.requires_grad]
    first, second = _analytical(output, xs), _analytical(output, xs)
    same = all(not a.numel() or (a - b).abs().max().item() <= nondet_tol for a, b in zip(first, second))
    return tuple([j.T for j in first]), same, True, True


__all__ = ["GradcheckError", "get_analytical_jacobian", "get_numerical_jacobian",
           "get_numerical_jacobian_wrt_specific_input", "gradcheck", "gradgradcheck"]
