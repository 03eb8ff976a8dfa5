"""What `gradcheck` checks besides Jacobians by reverse mode: forward mode, projections, vmap, absent gradients."""

import numpy as np

from ..tensor.tensor import wrap
from .engine import grad as _grad
from .gradcheck import GradcheckError, _differentiable, _flat, _parts
from .modes import no_grad


def _floats(outs):
    return [o for o in _flat(outs) if o.dtype.category >= 2]


def _replaced(x, old, new):
    """Nested arguments with the tensor `old` replaced."""
    if x is old:
        return new
    return type(x)([_replaced(y, old, new) for y in x]) if isinstance(x, (tuple, list)) else x


def _pushed(func, inputs, directions, k):
    """The tangent of output `k` when the inputs move in `directions` (pairs of an input and a tensor), as a vector."""
    from . import forward_ad
    with forward_ad.dual_level(), no_grad():
        args = inputs
        for x, t in directions:
            args = _replaced(args, x, forward_ad.make_dual(x.detach().requires_grad_(), t))
        p, t = forward_ad.unpack_dual(_floats(func(*args))[k])
        if t is None:
            t = p.new_zeros(p.shape)
    return np.concatenate([part.resolve_conj().resolve_neg().numpy().reshape(-1) for part in _parts(t.detach())])


def forward_jacobians(func, inputs, xs, k, o):
    """For each input a tensor (parts of the output, elements): d part / d Re x + i d part / d Im x, by forward mode."""
    rows = o.numel() * (2 if o.dtype.is_complex else 1)
    found = []
    for x in xs:
        j = np.zeros((rows, x.numel()), np.complex128 if x.dtype.is_complex else np.float64)
        for c, index in enumerate(np.ndindex(x._a.shape)):
            for unit in (1, 1j) if x.dtype.is_complex else (1,):
                t = np.zeros(x._a.shape, x._a.dtype)
                t[index] = unit
                j[:, c] += unit * _pushed(func, inputs, [(x, wrap(t))], k)
        found.append(wrap(j))
    return found


# ---------------------------------------------------------------- one projection

def _unit(rng, shape, dtype):
    v = rng.random(shape)
    if dtype.is_complex:
        v = v + 1j * rng.random(shape)
    v = np.asarray(v)
    return v / (np.linalg.norm(v.reshape(-1)) or 1)


def compare_projections(func, inputs, xs, k, o, eps, atol, rtol, forward, backward):
    """Compare ``v^T J u`` for one random u of each input and one random v of the output."""
    rng = np.random.default_rng(0)
    v = _unit(rng, o._a.shape, o.dtype)
    seed = np.concatenate([v.real.reshape(-1), v.imag.reshape(-1)]) if o.dtype.is_complex else v.reshape(-1)
    gs = _grad((o,), xs, (wrap(np.asarray(v, o._a.dtype)),), retain_graph=True, allow_unused=True) if backward else xs
    for i, (x, g) in enumerate(zip(xs, gs)):
        u = _unit(rng, x._a.shape, x.dtype)
        numerical = float(seed @ _moved(func, inputs, x, u, k, eps))
        slack = atol * float(np.abs(u).sum() * np.abs(seed).sum())
        if forward:
            pushed = float(seed @ _pushed(func, inputs, [(x, wrap(np.asarray(u, x._a.dtype)))], k))
            _same(pushed, numerical, slack, rtol, k, i, "computed with forward mode ")
        if backward:
            a = np.zeros(()) if g is None else g.detach().resolve_conj().resolve_neg().numpy()
            _same(float((a.real * u.real + a.imag * u.imag).sum()), numerical, slack, rtol, k, i, "")


def _moved(func, inputs, x, u, k, eps):
    """The central difference of output `k` when input `x` moves along `u`."""
    data, old, found = x._a, x._a.copy(), []
    try:
        for step in (eps, -eps):
            data[...] = old + step * u
            with no_grad():
                outs = _floats(func(*inputs))
            found.append(np.concatenate([p.detach().numpy().reshape(-1) for p in _parts(outs[k])]).astype(np.float64))
    finally:
        data[...] = old
    return (found[0] - found[1]) / (2 * eps)


def _same(analytical, numerical, slack, rtol, k, i, how):
    if not abs(analytical - numerical) <= slack + rtol * abs(numerical):
        raise GradcheckError(f"Jacobian {how}mismatch for output {k} with respect to input {i},\n"
                             f"numerical:{numerical}\nanalytical:{analytical}\n\nThese are one random projection of "
                             "the Jacobians (fast mode); without fast_mode all elements are compared and shown.\n")


# ---------------------------------------------------------------- other properties

def check_dtypes(outs, xs):
    """Gradients have the types of the inputs."""
    gs = _grad(outs, xs, [o.detach() * 0 + 1 for o in outs], retain_graph=True, allow_unused=True)
    for i, (g, x) in enumerate(zip(gs, xs)):
        if g is not None and g.dtype is not x.dtype:
            raise GradcheckError(f"Gradient has dtype mismatch: input {i} is {x.dtype}, its gradient {g.dtype}")


def check_batched(outs, xs):
    """A backward pass inside vmap gives what passes one by one give."""
    from ..ops.registry import function
    rng = np.random.default_rng(1)
    stack = function("stack")
    for k, o in enumerate(outs):
        seeds = [wrap(np.asarray(_unit(rng, o._a.shape, o.dtype), o._a.dtype)) for _ in range(2)]
        rows = [_grad((o,), xs, (s,), retain_graph=True, allow_unused=True) for s in seeds]
        try:
            together = _grad((o,), xs, (stack(seeds),), retain_graph=True, allow_unused=True, is_grads_batched=True)
        except RuntimeError as error:
            raise GradcheckError(f"While computing batched gradients, got: {error}") from error
        for i, g in enumerate(together):
            _same_batches(g, [r[i] for r in rows], f"For output {k} and input {i}:\n")


def check_batched_forward(func, inputs, xs):
    """Tangents inside vmap are those of passes one by one."""
    from ..func import jvp, vmap
    from ..ops.registry import function
    rng = np.random.default_rng(2)
    stack = function("stack")
    for i, x in enumerate(xs):
        ts = [wrap(np.asarray(_unit(rng, x._a.shape, x.dtype), x._a.dtype)) for _ in range(2)]

        def along(t, x=x):
            def called(y):
                return tuple(_floats(func(*_replaced(inputs, x, y.requires_grad_()))))
            return jvp(called, (x.detach(),), (t,))[1]
        with no_grad():
            rows = [along(t) for t in ts]
            try:
                together = vmap(along)(stack(ts))
            except RuntimeError as error:
                raise GradcheckError(f"While computing batched gradients, got: {error}") from error
        for k, g in enumerate(together):
            _same_batches(g, [r[k] for r in rows], f"For output {k} and input {i} in forward mode:\n")


def _same_batches(g, rows, where):
    for k, r in enumerate(rows):
        if g is None or r is None:
            if (g is None) != (r is None):
                raise GradcheckError(f"{where}one of the gradients computed with and without vmap is undefined")
            continue
        if g[k].numel() and not bool(((g[k] - r).abs() <= 1e-8 + 1e-5 * r.abs()).all()):
            raise GradcheckError(f"{where}gradients computed via vmap and one by one do not match:\n{g[k]}\n{r}")


def check_undefined(func, inputs):
    """Custom functions take None for the gradients of their outputs, and give None or zeros for nothing but None."""
    from .function import FunctionNode
    outs = _differentiable(_flat(func(*inputs)))
    for o in outs:
        node = o.grad_fn
        if not isinstance(node, FunctionNode):
            continue
        with no_grad():
            found = node.apply([None] * len(node.outs))
        for g in found:
            if g is not None and bool((g != 0).any()):
                raise GradcheckError("Expected all input grads to be undefined or zero when all output grads are "
                                     "undefined or zero. Please check that backward handles undefined output grads")


__all__ = ["check_batched", "check_batched_forward", "check_dtypes", "check_undefined", "compare_projections",
           "forward_jacobians"]
