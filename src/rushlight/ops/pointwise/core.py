"""How a pointwise record runs: promotion, result layout, kernel, history.

One plan is kept for each combination of operand dtypes; Python numbers are runtime scalars of the
kernel. Complex dtypes run the same formula through NumPy.
"""

import numpy as np

from ... import dtypes
from ...autograd.modes import state
from ...dtypes import BOOL, FLOAT, INT, can_cast, result_type_of, scalar_name
from ...record import RECORDS, Record
from ...runtime.allocator import empty
from ...tensor import watch
from ...tensor.geometry import broadcast_shapes, is_dense, permuted_strides
from ...tensor.storage import MetaArray
from ...tensor.tensor import Tensor, resolve_bits, wrap
from ..dispatch import attach, check_devices, in_place_of_arrays, needs_grad
from ..inplace import apply, check, store
from ..registry import FUNCTIONS, INPLACE, METHODS

_ndarray = np.ndarray
_NUMBERS = (bool, int, float, complex)
# Ops whose operands may all be numbers.
_OF_NUMBERS = frozenset(("add", "sub", "mul", "div"))


def pointwise(schema, formula, *, promote="default", vjp=None, saves="self", **facts):
    """Declare a pointwise op; returns ``call(*operands, *params) -> Tensor``.

    formula: the scalar formula over all arguments in the schema's order (tensors first); params are
    numbers. promote: ``default`` (the operands' common type), ``float`` (integers become the default
    float), ``compare`` (computed in the common type, result bool), ``test`` (like compare, for one
    operand or operands seen as bool). vjp: as in ``record``; None derives it from the formula.
    saves: ``result`` to express derivatives by the saved output.
    """
    rec = Record(schema, "pointwise", vjp=vjp, formula=formula, promote=promote, saves=saves, **facts)
    rec.module = formula.__module__
    if vjp is None:
        for a in rec.args:
            if a.name == "g":           # in rules, g is the gradient that comes in
                a.name = "grad_output"
    n = len(rec.tensor_args)
    rec.extra = {}

    if n == len(rec.args):
        def call(*operands):
            native = rec.native
            return run(rec, operands, ()) if native is None else native(*operands)
    else:
        def call(*args):
            return run(rec, args[:n], args[n:])
    rec.call = call
    call.record = rec
    call.__name__ = call.__qualname__ = rec.name
    call.__doc__ = rec.doc
    return call


def _forget():
    """Drop all launches: they depend on the default dtype, which has changed."""
    for rec in RECORDS.values():
        if rec.kind == "pointwise":
            rec.extra.clear()


dtypes.on_default_change.append(_forget)


class Launch:
    """What one combination of operand types leads to: kernel, result type, scalar conversion."""

    __slots__ = ("kernel", "out_np", "compute", "convert", "outputs", "numpy", "out")


def _launched(launch, out, arrays, scalars):
    launch.kernel(out, *arrays, *scalars)
    return out


def run(rec, operands, params, into=None):
    """Apply the record; the memory of `into` (a tensor of the result's shape) receives the result if given."""
    key = []
    arrays = []
    scalars = None
    shape = None
    same = True
    rg = meta = False
    for x in operands:
        if isinstance(x, Tensor):
            a = x._a
            if type(a) is not _ndarray:
                meta = True
            elif x._bits:
                a = resolve_bits(x)
            s = a.shape
            key.append(x.dtype if s else x.dtype.zero)
            arrays.append(a)
            if shape is None:
                shape = s
                strides = a.strides
            elif s != shape or a.strides != strides:
                same = False
            if x._requires_grad or (x._view is not None and needs_grad(x)):
                rg = True
        else:
            t = type(x)
            if t not in _NUMBERS:
                x, t = number(rec, x)
            key.append(t)
            if scalars is None:
                scalars = [x]
            else:
                scalars.append(x)
    if meta:
        own = in_place_of_arrays(arrays)
        if own is not None:
            return own.takeover(rec, (*operands, *params))
    if into is not None:
        key.append(into._a.dtype)
    told = operands
    if params:
        if watch.listener is not None and any(hasattr(p, "expression") for p in params):
            # (it looks at such numbers itself)
            told = *operands, *params
            params = [p.value if hasattr(p, "expression") else p for p in params]
        scalars = [*scalars, *params] if scalars else list(params)
        for p in params:
            if type(p) is complex:
                key.append(complex)
    key = tuple(key)
    launch = rec.extra.get(key)
    if launch is None:
        if not arrays:
            if rec.name in _OF_NUMBERS:
                operands = [FUNCTIONS["torch"]["tensor"](x) for x in scalars[:len(operands)]]
                return run(rec, operands, params, into)
            raise TypeError(f"{rec.name}(): argument 'input' (position 1) must be Tensor, not "
                            f"{type(operands[0]).__name__}")
        launch = plan(rec, key, operands, params, None if into is None else into._a)
    if scalars:
        convert = launch.convert
        scalars = [convert(v) for v in scalars]
    else:
        scalars = ()
    if meta:
        return _run_meta(rec, launch, operands, params, arrays, rg)
    if into is not None:
        out = into._a
    elif same and arrays[0].flags.c_contiguous:
        out = empty(shape, launch.out_np)
    else:
        out = result_array(arrays, launch.out_np)
    listener = watch.listener
    if launch.numpy:
        _evaluate(launch, out, arrays, scalars)
    elif listener is None or into is not None:
        launch.kernel(out, *arrays, *scalars)
    else:
        out = watch.computed(rec, _launched, operands, (launch, out, arrays, scalars))
    if into is not None:
        into._storage.version += 1
        if listener is not None:
            listener.pointwise(rec, launch, told, scalars, into, False)
        return None
    r = wrap(out)
    if listener is not None:
        listener.pointwise(rec, launch, told, scalars, r, True)
    if rg and state.grad:
        attach(rec, (*operands, *params) if told is operands else told, (r,))
    return r


def number(rec, x):
    """A NumPy scalar (or number-like) operand as a Python number; TypeError otherwise."""
    if watch.listener is not None and hasattr(x, "expression"):
        return x.value, type(x.value)           # the listener looks at such operands itself
    if isinstance(x, np.generic) or (isinstance(x, _NUMBERS)):
        v = x.item() if isinstance(x, np.generic) else complex(x) if isinstance(x, complex) else \
            float(x) if isinstance(x, float) else bool(x) if isinstance(x, bool) else int(x)
        return v, type(v)
    if hasattr(x, "__float__") and not hasattr(x, "shape") and not isinstance(x, str):
        return float(x), float
    raise TypeError(f"{rec.name}(): argument 'other' must be Tensor or Number, not {type(x).__name__}")


def result_array(arrays, np_dtype):
    """A fresh array of the broadcast shape, laid out as the operands are (TensorIterator's rule)."""
    key = tuple([(a.shape, a.strides, a.itemsize) for a in arrays])
    found = _layouts.get(key)
    if found is None:
        if len(_layouts) >= _MOST_LAYOUTS:
            _layouts.clear()
        found = _layouts[key] = _result_layout(arrays)
    shape, strides = found
    return empty(shape, np_dtype) if strides is None else strided_array(shape, strides, np_dtype)


_layouts, _MOST_LAYOUTS = {}, 4096      # of results, by shapes and strides of operands


def _result_layout(arrays):
    """(shape, strides in elements; None for C order) of a result."""
    first = arrays[0]
    shape = first.shape
    if len(arrays) == 1:
        if first.flags.c_contiguous:
            return shape, None
        item = first.itemsize
        strides = [s // item for s in first.strides]
        if not is_dense(shape, tuple(strides)):
            strides = permuted_strides(shape, tuple(strides))
    else:
        for a in arrays:
            if a.shape != shape:
                shape = broadcast_shapes(*[x.shape for x in arrays])
                break
        if len(shape) < 2 or all(a.flags.c_contiguous and (not a.ndim or a.shape == shape or a.size == 1)
                                 for a in arrays):
            return shape, None
        strides = _layout(arrays, shape)
    return shape, None if list(strides) == _in_order(shape) else tuple(strides)


def _in_order(shape):
    """The strides of C order."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return strides[::-1]


def _layout(arrays, shape):
    """Strides, in elements, of a result of that shape."""
    all_st = []
    n = len(shape)
    for a in arrays:
        item = a.itemsize
        st = [0] * (n - a.ndim)
        st += [0 if (d == 1 and shape[n - a.ndim + i] != 1) else s // item
               for i, (s, d) in enumerate(zip(a.strides, a.shape))]
        all_st.append(st)
    if all(a.shape == shape for a in arrays) and all(st == all_st[0] for st in all_st) and \
            is_dense(shape, all_st[0]):
        return all_st[0]
    return permuted_strides(shape, *all_st)


def strided_array(shape, strides, np_dtype):
    """A fresh dense array with the given element strides."""
    n = 1
    for s in shape:
        n *= s
    item = np_dtype.itemsize
    flat = empty((n * item,), _U8)
    return _ndarray(shape, np_dtype, flat, 0, tuple([s * item for s in strides]))


_U8 = np.dtype(np.uint8)


def _run_meta(rec, launch, operands, params, arrays, rg):
    check_devices(rec.name, arrays)
    shape = broadcast_shapes(*[a.shape for a in arrays])
    item = launch.out_np.itemsize
    r = wrap(MetaArray(shape, launch.out_np, tuple([s * item for s in _layout(arrays, shape)])))
    if rg and state.grad:
        attach(rec, (*operands, *params), (r,))
    return r


def compute_types(rec, common):
    """(type computed in, result type) for operands of the common type."""
    p = rec.promote
    if p == "float":
        if common.category < FLOAT:
            common = dtypes.default.float
        return common, common
    if p == "compare" or p == "test":
        return common, dtypes.bool_
    if p == "real" and common.is_complex:
        return common, common.to_real()
    return common, common


def plan(rec, key, operands, params, into):
    """Choose types and build the kernel for one combination of operands."""
    common = result_type_of(operands)
    compute, out = compute_types(rec, common)
    if rec.promote in ("default", "float") and any(type(p) is complex for p in params):
        if not compute.is_complex:
            compute = out = compute.to_complex() if compute.category == FLOAT else \
                dtypes.default.complex
    if into is not None:
        target = dtypes.from_np(into.dtype)
        if not can_cast(out, target):
            raise RuntimeError(f"result type {scalar_name(out)} can't be cast to the desired output "
                               f"type {scalar_name(target)}")
        out = target
    launch = Launch()
    launch.out, launch.out_np, launch.compute = out, out.np, compute
    launch.convert = _converter(rec, compute)
    launch.numpy = compute.is_complex or not _compiler_available()
    c = dtypes.float32 if compute.is_low_precision else dtypes.complex64 if compute is dtypes.complex32 else compute
    exprs, in_dtypes, scalar_dtypes = _trace(rec, operands, params, compute, c)
    launch.outputs = exprs
    launch.kernel = None
    if not launch.numpy:
        from ...compiler import pointwise_kernel
        launch.kernel = pointwise_kernel(exprs, in_dtypes, scalar_dtypes, [out.name], c.name).call
    rec.extra[key] = launch
    if not params and not launch.numpy:
        from ..native.install import adopt, install_views
        if into is None:
            adopt(rec, key, launch)
        else:
            install_views()
    return launch


def _trace(rec, operands, params, compute, c):
    from ...compiler.expr import input_, scalar
    kind = "f" if compute.category >= FLOAT else "i" if compute.category == INT else "b"
    args, in_dtypes, scalar_dtypes = [], [], []
    for x in operands:
        if isinstance(x, Tensor):
            args.append(input_(len(in_dtypes), kind))
            in_dtypes.append(x.dtype.name)
        else:
            args.append(scalar(len(scalar_dtypes), kind))
            scalar_dtypes.append(c.name)
    for p in params:
        args.append(scalar(len(scalar_dtypes), kind))
        scalar_dtypes.append(c.name)
    r = rec.formula(*args)
    r = r if isinstance(r, tuple) else (r,)
    return tuple(_as_expr(e, kind) for e in r), in_dtypes, scalar_dtypes


def _as_expr(e, kind):
    from ...compiler.expr import Expr, constant
    return e if isinstance(e, Expr) else constant(e, kind)


# Ops that see a number in the operands' 16-bit type, as PyTorch's do; others (products, clamp ...) use it as it is.
_ROUNDED = frozenset(("add", "sub", "rsub", "pow", "remainder", "fmod", "xlogy"))


def _rounder(np_type):
    def convert(v):
        with np.errstate(over="ignore"):
            return float(np_type(v))
    return convert


def _converter(rec, compute):
    if compute.category == FLOAT:
        if compute.is_low_precision and rec.name in _ROUNDED:
            return _rounder(compute.np.type)
        return float
    if compute.is_complex:
        return complex
    if compute.category == BOOL:
        return bool
    low, high = dtypes.iinfo(compute).min, dtypes.iinfo(compute).max
    if rec.promote == "compare":
        return int

    def to_int(v):
        v = int(v)
        if not low <= v <= high:            # wraps, as C's conversions do
            v = (v - low) % (high - low + 1) + low
        return v
    return to_int


def _compiler_available():
    from ...compiler import available
    return available()


def _evaluate(launch, out, arrays, scalars):
    from ...compiler import evaluate
    c = launch.compute
    if c is dtypes.complex32 or out.dtype.names or any(a.dtype.names for a in arrays):
        _evaluate_half_complex(launch, out, arrays, scalars)
        return
    value, = evaluate(launch.outputs, arrays, scalars, c.np)
    if value.dtype.kind == "c" and out.dtype.kind != "c":
        value = value.real if out.dtype.kind != "b" else value != 0
    with np.errstate(all="ignore"):
        np.copyto(out, value, casting="unsafe")


# ---------------------------------------------------------------- public forms

def publish(call, name=None, *, namespaces=("torch",), method=True, inplace=True, aliases=()):
    """Publish a pointwise op of one or two operands and no params: function, method, ``name_``, out=."""
    rec = call.record
    n = len(rec.tensor_args)
    name = name or rec.name
    if n == 1:
        def function(input, *, out=None):
            if out is None:
                return run(rec, (input,), ())
            return run_out(rec, (input,), (), out)
    else:
        def function(input, other, *, out=None):
            if out is None:
                return run(rec, (input, other), ())
            return run_out(rec, (input, other), (), out)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = rec.doc
    function.record = rec
    for ns in namespaces:
        for a in (name, *aliases):
            FUNCTIONS.setdefault(ns, {})[a] = function
    if method:
        for a in (name, *aliases):
            METHODS[a] = function
    if inplace:
        change = inplace_form(rec, name, function)
        for a in (name, *aliases):
            INPLACE[a + "_"] = METHODS[a + "_"] = change
            FUNCTIONS.setdefault("torch", {})[a + "_"] = change
    return function


def run_out(rec, operands, params, out):
    """``out=``: straight into the tensor when it fits, through a copy otherwise."""
    if _straight(rec, operands, out):
        run(rec, operands, params, out)
        return out
    from ..out import with_out
    return with_out(rec.name, lambda *xs: run(rec, xs[:len(operands)], params))(*operands, out=out)


def _straight(rec, operands, out):
    """Whether the result is what `out` is in shape and type, and nothing watches: then the kernel may write there."""
    if type(out) is not Tensor or watch.listener is not None or state.special or state.levels:
        return False
    a = out._a
    if type(a) is not _ndarray or out._bits & 3 or state.grad and needs_grad(out):
        return False
    common = shape = None
    numbers = False
    for k, x in enumerate(operands):
        if isinstance(x, Tensor):
            y = x._a
            if type(y) is not _ndarray or x._bits & 3 or state.grad and needs_grad(x):
                return False
            if shape is None:
                shape = y.shape
            elif y.shape != shape:
                shape = broadcast_shapes(shape, y.shape)
            if k or rec.name != "where":
                if common is None:
                    common = x.dtype
                elif x.dtype is not common:
                    return False
        elif type(x) is complex or type(x) not in _NUMBERS:
            return False
        else:
            numbers = True
    if common is None or shape != a.shape or numbers and common.category < FLOAT:
        return False
    promote = rec.promote
    if promote == "compare" or promote == "test":
        common = dtypes.bool_
    elif promote == "float" and common.category < FLOAT or promote == "real" and common.is_complex:
        return False
    return out.dtype is common and direct(out, operands)


def change(rec, t, others, params, name):
    """``t <- rec(t, *others, *params)`` over t's memory, with history."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{name}_(): argument 'input' (position 1) must be Tensor, not "
                        f"{type(t).__name__}")
    if state.grad or t._bits & 4:
        check(t)
        if needs_grad(t) or any(isinstance(x, Tensor) and needs_grad(x) for x in others):
            return apply(lambda x, *xs: run(rec, (x, *xs), params), t, others, {}, name)
    if not direct(t, others):
        if state.levels:
            return apply(lambda x, *xs: run(rec, (x, *xs), params), t, others, {}, name)
        store(t, run(rec, (t, *others), params), name)
        return t
    run(rec, (t, *others), params, t)
    return t


def inplace_form(rec, name, function):
    """``name_`` of a record without params."""
    def form(input, *others):
        return change(rec, input, others, (), name)
    form.__name__ = form.__qualname__ = name + "_"
    form.__doc__ = f"In-place version of :func:`{name}`."
    form.record = rec
    return form


def direct(t, others):
    """Whether a kernel may write over `t` while it reads the others.

    RuntimeError where `t` has one element in several places, or shares some elements but not all with another
    operand: what comes out would depend on the order of writing.
    """
    if type(t._a) is not _ndarray:
        return False
    shape = t._a.shape
    if 0 in t._a.strides and t._a.size > 1:
        from ...tensor.geometry import has_overlap
        if has_overlap(shape, t.stride()):
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor "
                               "refers to a single memory location. Please clone() the tensor before "
                               "performing the operation.")
    fits = not t._bits & 3
    for x in others:
        if isinstance(x, Tensor):
            if type(x._a) is not _ndarray and type(x._a) is not MetaArray:
                fits = False
            elif x is not t and x._storage.block() is t._storage.block() and (
                    x._a.strides != t._a.strides or x._offset != t._offset or x._a.shape != shape
                    or x._a.itemsize != t._a.itemsize):
                if partly_shared(t, x):
                    raise RuntimeError("unsupported operation: some elements of the input tensor and the "
                                       "written-to tensor refer to a single memory location. Please clone() the "
                                       "tensor before performing the operation.")
                fits = False
            elif x._a.shape != shape and broadcast_shapes(shape, x._a.shape) != shape:
                fits = False
    return fits


def partly_shared(t, x):
    """Whether two tensors on one storage, both dense, share memory without being the same window on it."""
    a, b = t._a, x._a
    if not a.size or not b.size or not (is_dense(a.shape, t.stride()) and is_dense(b.shape, x.stride())):
        return False
    start, other = t._offset * a.itemsize, x._offset * b.itemsize
    if start == other and a.nbytes == b.nbytes:
        return t.stride() != x.stride()
    return start < other + b.nbytes and other < start + a.nbytes


def _evaluate_half_complex(launch, out, arrays, scalars):
    """`_evaluate` where complex32 takes part: in complex64, rounded once."""
    from ...compiler import evaluate
    from ...tensor.halfcomplex import store, widened
    c = dtypes.complex64 if launch.compute is dtypes.complex32 else launch.compute
    value, = evaluate(launch.outputs, [widened(a) if a.dtype.names else a for a in arrays], scalars, c.np)
    if value.dtype.kind == "c" and not out.dtype.names and out.dtype.kind != "c":
        value = value.real if out.dtype.kind != "b" else value != 0
    if out.dtype.names:
        store(out, value)
        return
    with np.errstate(all="ignore"):
        np.copyto(out, value, casting="unsafe")
