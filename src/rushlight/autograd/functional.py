"""Jacobians, Hessians and products with them, by reverse mode or, where said, by forward mode."""

from .engine import grad as _grad
from .modes import enable_grad, state


def _as_tuple(x, what, fn):
    single = not isinstance(x, tuple)
    if single:
        x = (x,)
    for i, t in enumerate(x):
        if not hasattr(t, "_a"):
            if single:
                raise TypeError(f"The {what} given to {fn} must be either a Tensor or a tuple of "
                                f"Tensors but the given {what} has type {type(t)}.")
            raise TypeError(f"The {what} given to {fn} must be either a Tensor or a tuple of Tensors but "
                            f"the value at index {i} has type {type(t)}.")
    return x, single


def _prepare(inputs, create_graph):
    return tuple(t.view_as(t) if create_graph and t.requires_grad else
                 t.detach().requires_grad_() for t in inputs)


def _finish(x, create_graph):
    return x if create_graph else x.detach()


def _unpack(x, single):
    return x[0] if single else tuple(x)


def _check_v(v, ref, single_ref):
    if len(v) != len(ref):
        if single_ref:
            raise RuntimeError("The given v is invalid: it should be a single Tensor.")
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(ref)} but got {len(v)}.")
    for i, (a, b) in enumerate(zip(v, ref)):
        if a.shape != b.shape:
            prefix = f"Entry {i} in " if len(v) > 1 else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {b.size()} but got {a.size()}.")


def _check_strict(gs, create_graph, what="input"):
    """Strict mode refuses outputs, and Jacobians that stay in a graph, that don't depend on an input."""
    for i, g in enumerate(gs):
        if g is None:
            raise RuntimeError(f"The output of the user-provided function is independent of {what} {i}. This is "
                               "not allowed in strict mode.")
        if create_graph and not g.requires_grad:
            raise RuntimeError(f"The jacobian of the user-provided function is independent of {what} {i}. This is not "
                               "allowed in strict mode when create_graph=True.")


def _check_slopes(gs):
    for i, g in enumerate(gs):
        if g is None or not g.requires_grad:
            raise RuntimeError("While computing the hessian, found that the jacobian of the user-provided function "
                               f"with respect to input {i} is independent of the input. This is not allowed in strict "
                               "mode. You should ensure that your function is differentiable again and that the "
                               "jacobian depends on the inputs.")


def _check_outputs(outs):
    for i, o in enumerate(outs):
        if not o.requires_grad:
            raise RuntimeError(f"Output {i} of the user-provided function does not require gradients. The outputs must "
                               "be computed in a differentiable manner from the input when running in strict mode.")


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), v^T · J): the product of `v` with the Jacobian of `func` at `inputs`."""
    with enable_grad():
        inputs, single_in = _as_tuple(inputs, "inputs", "vjp")
        xs = _prepare(inputs, create_graph)
        outs, single_out = _as_tuple(func(*xs), "outputs of the user-provided function", "vjp")
        if v is not None:
            v, _ = _as_tuple(v, "v", "vjp")
            _check_v(v, outs, single_out)
        elif len(outs) != 1 or outs[0].numel() != 1:
            raise RuntimeError("The vector v can only be None if the user-provided function returns a "
                               "single Tensor with a single element.")
        gs = _products(outs, xs, v, create_graph, strict)
    return (_unpack([_finish(o, create_graph) for o in outs], single_out),
            _unpack([_finish(g, create_graph) for g in gs], single_in))


def _products(outs, xs, v, create_graph, strict):
    live = [i for i, o in enumerate(outs) if o.requires_grad]
    if not live:
        if strict:
            raise RuntimeError("The output of the user-provided function is independent of all inputs. "
                               "This is not allowed in strict mode.")
        return [x.new_zeros(x.shape) for x in xs]
    gs = _grad([outs[i] for i in live], xs, None if v is None else [v[i] for i in live],
               create_graph=create_graph, retain_graph=True, allow_unused=True)
    if strict:
        _check_strict(gs, create_graph)
    return [x.new_zeros(x.shape) if g is None else g for g, x in zip(gs, xs)]


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), J · v), by differentiating the vjp with respect to its cotangent."""
    with enable_grad():
        inputs, single_in = _as_tuple(inputs, "inputs", "jvp")
        xs = _prepare(inputs, create_graph)
        if v is not None:
            v, _ = _as_tuple(v, "v", "jvp")
            _check_v(v, inputs, single_in)
        elif len(inputs) != 1 or inputs[0].numel() != 1:
            raise RuntimeError("The vector v can only be None if the input to the user-provided function "
                               "is a single Tensor with a single element.")
        else:
            v = tuple(x.new_ones(x.shape) for x in xs)
        outs, single_out = _as_tuple(func(*xs), "outputs of the user-provided function", "jvp")
        us = [o.new_zeros(o.shape).requires_grad_() for o in outs]
        live = [i for i, o in enumerate(outs) if o.requires_grad]
        if strict:
            _check_outputs(outs)
        gs = _grad([outs[i] for i in live], xs, [us[i] for i in live], create_graph=True,
                   allow_unused=True) if live else [None] * len(xs)
        pairs = [(g, w) for g, w in zip(gs, v) if g is not None and g.requires_grad]
        ts = _grad([g for g, _ in pairs], us, [w for _, w in pairs], create_graph=create_graph,
                   allow_unused=True) if pairs else [None] * len(us)
        if strict:
            _check_strict(ts, create_graph)
        ts = [o.new_zeros(o.shape) if t is None else t for t, o in zip(ts, outs)]
    return (_unpack([_finish(o, create_graph) for o in outs], single_out),
            _unpack([_finish(t, create_graph) for t in ts], single_out))


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False,
             strategy="reverse-mode"):
    """The Jacobian: for each output and input a tensor of shape ``output.shape + input.shape``.

    Returned as a tensor, a tuple, or a tuple of tuples, after the structure of outputs and inputs. vectorize: compute
    all rows at once inside ``vmap``; strategy ``"forward-mode"``: columns by forward mode, also all at once.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
                             'function has more outputs than inputs, "forward-mode" tends to be more '
                             'performant. Otherwise, prefer to use "reverse-mode".')
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError("torch.autograd.functional.jacobian: `create_graph=True` and "
                                      '`strategy="forward-mode"` are not supported together (yet). '
                                      'Please either set `create_graph=False` or '
                                      '`strategy="reverse-mode"`.')
        if strict:
            raise RuntimeError('torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are '
                               "not supported together (yet). Please either set `strict=False` or "
                               '`strategy="reverse-mode"`.')
        if not vectorize:
            raise NotImplementedError("Computing Jacobian using forward-AD or forward-over-reverse Hessian is only "
                                      "implemented for `vectorize=True`.")
        return _by_columns(func, inputs)
    with enable_grad():
        inputs, single_in = _as_tuple(inputs, "inputs", "jacobian")
        xs = _prepare(inputs, create_graph)
        outs, single_out = _as_tuple(func(*xs), "outputs of the user-provided function", "jacobian")
        if strict:
            _check_outputs(outs)
            if vectorize:
                raise RuntimeError("torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
                                   "supported together. Please either set `strict=False` or `vectorize=False`.")
        rows = _all_rows if vectorize else _row_by_row
        result = rows(outs, xs, create_graph, strict)
        result = [tuple([_finish(b, create_graph) for b in blocks]) for blocks in result]
    return _arranged(result, single_in, single_out)


def _arranged(result, single_in, single_out):
    if single_in and single_out:
        return result[0][0]
    if single_out:
        return result[0]
    if single_in:
        return tuple(r[0] for r in result)
    return tuple(result)


def _row_by_row(outs, xs, create_graph, strict):
    """Blocks of the Jacobian, one backward pass an element of the outputs."""
    from ..ops.registry import function
    stack = function("stack")
    result = []
    for i, o in enumerate(outs):
        rows = [[] for _ in xs]
        flat = o.reshape(-1)
        for j in range(o.numel()):
            gs = _grad((flat[j],), xs, create_graph=create_graph, retain_graph=True,
                       allow_unused=True) if o.requires_grad else [None] * len(xs)
            for k, g in enumerate(gs):
                if g is None:
                    if strict:
                        raise RuntimeError(f"Output {i} of the user-provided function is independent of input {k}. "
                                           "This is not allowed in strict mode.")
                    g = xs[k].new_zeros(xs[k].shape)
                rows[k].append(g)
        result.append([stack(r).reshape(tuple(o.shape) + tuple(x.shape)) if r else
                       o.new_zeros(tuple(o.shape) + tuple(x.shape)) for r, x in zip(rows, xs)])
    return result


def _all_rows(outs, xs, create_graph, strict):
    """Blocks of the Jacobian, all rows in one backward pass inside vmap."""
    from ..func.jacobians import _basis
    basis, sizes = _basis(outs)
    live = [k for k, o in enumerate(outs) if o.requires_grad and o.numel()]
    found = _grad([outs[k] for k in live], xs, [basis[k] for k in live], create_graph=create_graph, retain_graph=True,
                  allow_unused=True, is_grads_batched=True) if live else [None] * len(xs)
    total = sum(sizes)
    columns = [(x.new_zeros((total, *x.shape)) if g is None else g).split(sizes) for g, x in zip(found, xs)]
    return [[c[k].reshape(tuple(o.shape) + tuple(x.shape)) for c, x in zip(columns, xs)] for k, o in enumerate(outs)]


def _by_columns(func, inputs):
    """The Jacobian by forward mode, all columns in one pass inside vmap."""
    from ..func import vmap
    from ..func.jacobians import _basis
    from .forward_ad import dual_level, make_dual, unpack_dual
    inputs, single_in = _as_tuple(inputs, "inputs", "jacobian")
    basis, sizes = _basis(inputs)
    shapes = []

    def push(tangents):
        with dual_level():
            outs = func(*[make_dual(x.detach(), t) for x, t in zip(inputs, tangents)])
            outs, single = _as_tuple(outs, "outputs of the user-provided function", "jacobian")
            parts = [unpack_dual(o) for o in outs]
            shapes.extend([single, *[tuple(o.shape) for o in outs]])
            return [p.new_zeros(p.shape) if t is None else t for p, t in parts]
    found = vmap(push)(list(basis))
    single_out, *shapes = shapes
    result = []
    for t, shape in zip(found, shapes):
        blocks = t.detach().movedim(0, -1).split(sizes, -1)
        result.append(tuple([b.reshape(shape + tuple(x.shape)) for b, x in zip(blocks, inputs)]))
    return _arranged(result, single_in, single_out)


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False,
            outer_jacobian_strategy="reverse-mode"):
    """The Hessian of a scalar function: for inputs i, j a tensor ``inputs[i].shape + inputs[j].shape``.

    vectorize, outer_jacobian_strategy: how the gradient is differentiated (see `jacobian`).
    """
    inputs, single = _as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def scalar(*xs):
        out = func(*xs)
        o, one = _as_tuple(out, "outputs of the user-provided function", "hessian")
        if not one:
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if o[0].numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a "
                               "single element")
        return out.squeeze()

    def gradient(*xs):
        if state.grad:
            xs = tuple(x if x.requires_grad else x.requires_grad_() if outer_jacobian_strategy == "forward-mode" else
                       x.detach().requires_grad_() for x in xs)
        j = jacobian(scalar, xs, create_graph=True)
        if strict:
            _check_slopes(j)
        return j
    h = jacobian(gradient, inputs, create_graph=create_graph, strict=strict, vectorize=vectorize,
                 strategy=outer_jacobian_strategy)
    return h[0][0] if single else h


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), v^T · H) of a scalar function."""
    return _second(func, inputs, v, create_graph, strict, "vhp")


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), H · v) of a scalar function."""
    return _second(func, inputs, v, create_graph, strict, "hvp")


def _second(func, inputs, v, create_graph, strict, name):
    with enable_grad():
        inputs, single_in = _as_tuple(inputs, "inputs", name)
        xs = _prepare(inputs, create_graph)
        if v is not None:
            v, _ = _as_tuple(v, "v", name)
            _check_v(v, inputs, single_in)
        elif len(inputs) != 1 or inputs[0].numel() != 1:
            raise RuntimeError("The vector v can only be None if the input to the user-provided function "
                               "is a single Tensor with a single element.")
        else:
            v = tuple(x.new_ones(x.shape) for x in xs)
        outs, single_out = _as_tuple(func(*xs), "outputs of the user-provided function", name)
        if not single_out or outs[0].numel() != 1:
            raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a "
                               "single element")
        gs = _grad(outs, xs, create_graph=True, allow_unused=True) if outs[0].requires_grad else \
            [None] * len(xs)
        if strict:
            _check_strict(gs, False)
            _check_slopes(gs)
        pairs = [(g, w) for g, w in zip(gs, v) if g is not None and g.requires_grad]
        hs = _grad([g for g, _ in pairs], xs, [w for _, w in pairs], create_graph=create_graph,
                   allow_unused=True) if pairs else [None] * len(xs)
        hs = [x.new_zeros(x.shape) if h is None else h for h, x in zip(hs, xs)]
    return (_finish(outs[0], create_graph),
            _unpack([_finish(h, create_graph) for h in hs], single_in))
