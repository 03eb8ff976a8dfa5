"""Numerical checks of gradients: finite differences against what backward computes.

Central differences ``(f(x + eps) - f(x - eps)) / (2 eps)`` in float64, element by element; for complex
inputs and outputs the real and imaginary parts are separate directions (Wirtinger convention of
PyTorch: the gradient is d/dRe + i d/dIm of a real loss).
"""

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

    Compares ``|analytical - numerical| <= atol + rtol * |numerical|``. Raises GradcheckError (or
    returns False with raise_exception=False). Inputs should be float64 or complex128.
    """
    try:
        _check(func, inputs, eps, atol, rtol, nondet_tol)
        if check_forward_ad:
            raise NotImplementedError("gradcheck(check_forward_ad=True): forward mode is not there yet")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(func, inputs, eps, atol, rtol, nondet_tol):
    inputs = (inputs,) if hasattr(inputs, "_a") else tuple(inputs)
    xs = [x for x in _leaves(inputs) if x.requires_grad]
    if not xs:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of "
                         "them have requires_grad=True.")
    for x in xs:
        if x.numel() > 1 and 0 in [s for s, n in zip(x.stride(), x.shape) if n > 1]:
            raise RuntimeError("The 0th input has a dimension with stride 0. gradcheck only supports "
                               "inputs that are non-overlapping to be able to compute the numerical "
                               "gradients correctly. You should call .contiguous on the input before "
                               "passing it to gradcheck.")
    outs = _differentiable(_flat(func(*inputs)))
    if not outs:
        for o in _flat(func(*inputs)):
            if o.dtype.category < 2:
                continue
            numerical = _numerical(func, inputs, xs, [o], eps)
            if any(abs(v) > 1e-12 for col in numerical for j in col for v in j.reshape(-1).tolist()):
                raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    for k, o in enumerate(outs):
        numerical = _numerical_one(func, inputs, xs, k, o, eps)
        analytical = _analytical(o, xs)
        again = _analytical(o, xs)
        for i, (a, b, n) in enumerate(zip(analytical, again, numerical)):
            if (a - b).abs().max().item() > nondet_tol if a.numel() else False:
                raise GradcheckError(f"Backward is not reentrant, i.e., running backward with same input "
                                     f"and grad_output multiple times gives different values, although "
                                     f"analytical gradient matches numerical gradient. The tolerance for "
                                     f"nondeterminism was {nondet_tol}.")
            diff = (a - n).abs()
            if a.numel() and not bool((diff <= atol + rtol * n.abs()).all()):
                raise GradcheckError(f"Jacobian mismatch for output {k} with respect to input {i},\n"
                                     f"numerical:{n}\nanalytical:{a}\n")


def _leaves(inputs):
    for x in inputs:
        if hasattr(x, "_a"):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from _leaves(x)


def _numerical(func, inputs, xs, outs, eps):
    return [_numerical_one(func, inputs, xs, k, o, eps) for k, o in enumerate(outs)]


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
    """`gradcheck` of the gradient of `func` with respect to its inputs and output gradients."""
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
                     raise_exception=raise_exception, nondet_tol=nondet_tol)
