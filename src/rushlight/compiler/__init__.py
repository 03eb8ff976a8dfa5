"""The kernel compiler: scalar formulas in, machine code for this CPU out.

What the op layer uses::

    from rushlight.compiler import scalar as s          # functions for formulas: s.exp, s.where ...
    from rushlight.compiler import (trace, derivative, substitute, evaluate, to_text,
                                    pointwise_kernel, reduce_kernel, scan_kernel, softmax_kernel)

**Formulas.** A formula is a Python function of scalars.  ``trace(formula, kinds, scalar_kinds)`` runs
it on symbolic scalars and returns a tuple of ``Expr`` (one an output).  An ``Expr`` has a *kind*:
``"f"`` (float), ``"i"`` (integer) or ``"b"`` (bool); ``kinds="ff"`` declares two float inputs.
``s.input(i, kind)`` and ``s.scalar(i, kind)`` are the leaves themselves, should you want to build
expressions without a function.  Expressions are hash-consed: equal expressions are one object.

    gelu, = trace(lambda x: 0.5 * x * (1 + s.erf(x * 0.7071067811865476)), "f")
    leaky, = trace(lambda x, slope: s.where(x > 0, x, x * slope), "f", "f")   # 1 input, 1 scalar

**Derivatives.** ``derivative(e, var, saved_output=None)`` is d e / d var as an ``Expr`` (or ``None``
when it is zero everywhere); occurrences of ``e`` itself in it are replaced by ``saved_output``.

    y = s.input(1, "f")
    derivative(s.tanh(x), x, saved_output=y)            # 1 - y * y

**NumPy.** ``evaluate(outputs, inputs, scalars=(), dtype=None)`` runs the DAG with NumPy (complex
dtypes; machines without llvmlite) and returns a tuple of arrays in the compute dtype.

**Pointwise kernels.** ``pointwise_kernel(outputs, in_dtypes, scalar_dtypes, out_dtypes,
compute_dtype)`` returns a ``Kernel`` (built once a process for equal arguments, and kept on disk).
Dtypes are names: ``bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 float16 bfloat16 float32
float64``.  ``compute_dtype`` is what "f" (or "i") expressions are computed in; with a floating
compute dtype "i" is int64, with an integer one "f" is float32 (float64 for 64-bit integers).

    k = pointwise_kernel(gelu, ["float32"], [], ["float32"], "float32")
    call = k.call                  # the CPython callable; k(...) works too and is a little slower
    call(out, x)                   # outputs, inputs, scalars, all positional; returns None

Inputs broadcast against the first output (right-aligned; a dimension of size 1 repeats); all outputs
have one shape.  Any strides.  An output may be exactly one of the inputs; other overlap is the
caller's to avoid.  Shapes and dtypes are the caller's promise: a mismatch of rank or shape that does
not broadcast raises ValueError, dtypes are checked by item size only.  Operands are exactly
``numpy.ndarray``.  Scalars are Python floats,
ints or bools.

``k.many([(out.., in..), ...], (scalar, ..))`` runs the kernel over a list of operand tuples in one
native call (a fused optimizer step: outputs ``p, m, v`` updated in place from ``p, m, v, grad``);
small sets are shared out among the threads.
``k.address`` is the C entry ``void (void **operands, i64 *strides, void *scalars, i64 n, i64
flags)`` for other native code: operands are outputs, then inputs; strides in bytes; scalars are
8-byte words (double or i64); flags 0.

**Reductions.** ``reduce_kernel(kind, in_dtypes, out_dtypes, scalar_dtypes=(), pre=None, post=None,
compute=None)`` with kind ``sum mean prod max min argmax argmin max_index min_index any all var_mean``.

    k = reduce_kernel("sum", "float32", "float32")
    k.call(out, x, 0b10)                     # outputs, inputs, bit mask of the reduced dims, scalars
    x = s.input(0)
    norm = reduce_kernel("sum", "float32", "float32", pre=x * x, post=s.sqrt(x))
    k = reduce_kernel("argmax", "float32", "int64")
    k = reduce_kernel("max_index", "float32", ["float32", "int64"])         # max(dim): two outputs
    k = reduce_kernel("var_mean", "float32", ["float32", "float32"], ["float64"])
    k.call(var, mean, x, mask, 1.0)                                         # correction
    k = reduce_kernel("sum", "int8", "int64", compute="int64")
    k = reduce_kernel("sum", ["float32"] * 2, "float32", pre=s.input(0) * s.input(1))  # broadcasts

Outputs have all dims (size 1 where reduced) or only the kept ones.  Any strides and dims; empty
reductions give the neutral element (the op layer refuses empty max).  Sums of float32 (and of 16-bit
floats, widened) add blocks of 16 numbers in float32 and the blocks in float64, which is rounded once:
the error before that is at most 15 * 2^-24 of the sum of magnitudes, however many there are.  Sums of
float64 are compensated.  Bits do not depend on threads.

**Row programs.** ``row_kernel(reductions, outputs, in_dtypes, out_dtypes, scalar_dtypes=(),
row_outputs=(), compute="float32")``: reductions along a row (a dim, or several that merge), then formulas
using their results ``row(i)``, in one kernel: softmax, normalizations and their gradients.

    x, w, b, eps = s.input(0), s.input(1), s.input(2), s.scalar(0)
    rstd = s.rsqrt(row(1) + eps)
    layer_norm = row_kernel([("mean", x), ("mean", s.square(x - row(0)))], [(x - row(0)) * rstd * w + b],
                            ["float32"] * 3, ["float32"] * 3, ["float64"], row_outputs=[row(0), rstd])
    layer_norm.call(y, mean, rstd, x, w, b, mask, 1e-5)       # mean, rstd: size 1 along the row

``softmax_kernel(kind, dtype, out_dtype=None)`` with kind ``softmax log_softmax softmax_backward
log_softmax_backward``: ``call(y, x, mask)`` and ``call(gx, g, y, mask)``, any strides.

**Scans.** ``scan_kernel(kind, in_dtype, out_dtype)``: ``call(out, x, mask)`` for ``cumsum cumprod
logcumsumexp``, ``call(values, indices, x, mask)`` for ``cummax cummin`` (int64 indices).

**Other native code.** ``compiler.engine.load(key, build, symbols, imports=None, level=1,
codegen_level=1)`` gives the addresses of functions in LLVM IR made by ``build()``, from the disk cache
if it is there: without importing llvmlite, in some 50 microseconds a module.
``compiler.codegen.builder`` writes IR in a structured way.

``available()`` says whether machine code can be made here (llvmlite is installed, CPython with the
usual object layout); without it the op layer uses ``evaluate``.
"""

_HOMES = {
    "Expr": "expr",
    "trace": "expr",
    "substitute": "expr",
    "to_text": "expr",
    "derivative": "derivative",
    "evaluate": "interpret",
    "pointwise_kernel": "pointwise",
    "reduce_kernel": "reduction",
    "kept": "rowwise",
    "row": "rowwise",
    "row_kernel": "rowwise",
    "scan_kernel": "scan",
    "softmax_kernel": "softmax",
    "available": "engine",
}


# What users reach as ``torch.compiler``; it stands above the op layer.
_OF_CAPTURE = {name: home for home, names in (
    ("compiled", "compile explain is_compiling is_dynamo_compiling is_exporting reset"),
    ("report", "report"),
    ("artifacts", "save_cache_artifacts load_cache_artifacts"),
    ("settings", "config"),
    ("stance", "set_stance cudagraph_mark_step_begin set_enable_guard_collectives"),
    ("marks", "disable allow_in_graph nested_compile_region assume_constant_result substitute_in_graph wrap_numpy "
              "load_compiled_function"),
    ("backends", "list_backends set_default_backend get_default_backend keep_portable_guards_unsafe "
                 "keep_tensor_guards_unsafe skip_all_guards_unsafe skip_guard_on_all_nn_modules_unsafe "
                 "skip_guard_on_globals_unsafe skip_guard_on_inbuilt_nn_modules_unsafe"),
) for name in names.split()}


def __getattr__(name):
    from importlib import import_module

    if name in _HOMES or name in _OF_CAPTURE:
        home = f"{__name__}.{_HOMES[name]}" if name in _HOMES else f"rushlight.capture.{_OF_CAPTURE[name]}"
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value
    if name in ("scalar", "expr"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_HOMES, *_OF_CAPTURE, "scalar", "expr"})
