"""Jacobians, Hessians and products with them, by reverse mode."""

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


def _strict(g, i, what):
    raise RuntimeError(f"The {what} of the user-provided function is independent of input {i}. This is "
                       "not allowed in strict mode.")


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
    for i, g in enumerate(gs):
        if g is None and strict:
            _strict(g, i, "output")
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
        if strict and len(live) < len(outs):
            raise RuntimeError("Output of the user-provided function is independent of the inputs. This "
                               "is not allowed in strict mode.")
        gs = _grad([outs[i] for i in live], xs, [us[i] for i in live], create_graph=True,
                   allow_unused=True) if live else [None] * len(xs)
        pairs = [(g, w) for g, w in zip(gs, v) if g is not None and g.requires_grad]
        ts = _grad([g for g, _ in pairs], us, [w for _, w in pairs], create_graph=create_graph,
                   allow_unused=True) if pairs else [None] * len(us)
        ts = [o.new_zeros(o.shape) if t is None else t for t, o in zip(ts, outs)]
    return (_unpack([_finish(o, create_graph) for o in outs], single_out),
            _unpack([_finish(t, create_graph) for t in ts], single_out))


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False,
             strategy="reverse-mode"):
    """The Jacobian: for each output and input a tensor of shape ``output.shape + input.shape``.

    Returned as a tensor, a tuple, or a tuple of tuples, after the structure of outputs and inputs.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ValueError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
                         'function has more outputs than inputs, "forward-mode" tends to be more '
                         'performant. Otherwise, prefer to use "reverse-mode".')
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError("torch.autograd.functional.jacobian: `create_graph=True` and "
                                      '`strategy="forward-mode"` are not supported together (yet). '
                                      'Please either set `create_graph=False` or '
                                      '`strategy="reverse-mode"`.')
        if not vectorize:
            raise NotImplementedError('torch.autograd.functional.jacobian: `strategy="forward-mode"` is '
                                      "only supported with `vectorize=True`.")
    from ..ops.registry import function
    stack = function("stack")
    with enable_grad():
        inputs, single_in = _as_tuple(inputs, "inputs", "jacobian")
        xs = _prepare(inputs, create_graph)
        outs, single_out = _as_tuple(func(*xs), "outputs of the user-provided function", "jacobian")
        result = []
        for i, o in enumerate(outs):
            rows = [[] for _ in xs]
            flat = o.reshape(-1)
            for j in range(o.numel()):
                if not o.requires_grad:
                    if strict:
                        raise RuntimeError(f"Output {i} of the user-provided function does not require "
                                           "gradients. The outputs must be computed in a differentiable "
                                           "manner from the input when running in strict mode.")
                    gs = [None] * len(xs)
                else:
                    gs = _grad((flat[j],), xs, create_graph=create_graph, retain_graph=True,
                               allow_unused=True)
                for k, g in enumerate(gs):
                    if g is None:
                        if strict:
                            raise RuntimeError(f"Output {i} of the user-provided function is "
                                               f"independent of input {k}. This is not allowed in "
                                               "strict mode.")
                        g = xs[k].new_zeros(xs[k].shape)
                    rows[k].append(g)
            result.append(tuple(
                _finish(stack(r).reshape(tuple(o.shape) + tuple(x.shape)), create_graph) if r else
                o.new_zeros(tuple(o.shape) + tuple(x.shape)) for r, x in zip(rows, xs)))
    if single_in and single_out:
        return result[0][0]
    if single_out:
        return result[0]
    if single_in:
        return tuple(r[0] for r in result)
    return tuple(result)


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False,
            outer_jacobian_strategy="reverse-mode"):
    """The Hessian of a scalar function: for inputs i, j a tensor ``inputs[i].shape + inputs[j].shape``."""
    inputs, single = _as_tuple(inputs, "inputs", "hessian")

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
            xs = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in xs)
        j = jacobian(scalar, xs, create_graph=True)
        return j
    h = jacobian(gradient, inputs, create_graph=create_graph, strict=strict)
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
        if strict and any(g is None for g in gs):
            _strict(None, [g is None for g in gs].index(True), "output")
        pairs = [(g, w) for g, w in zip(gs, v) if g is not None and g.requires_grad]
        hs = _grad([g for g, _ in pairs], xs, [w for _, w in pairs], create_graph=create_graph,
                   allow_unused=True) if pairs else [None] * len(xs)
        hs = [x.new_zeros(x.shape) if h is None else h for h, x in zip(hs, xs)]
    return (_finish(outs[0], create_graph),
            _unpack([_finish(h, create_graph) for h in hs], single_in))
