"""Finishing functions of matrix products: formulas applied to pieces of C while they are cached.

    relu_plus = finishing(s.maximum(s.input(0), 0.0) + s.input(1), ["float32", "float32"], "float32")
    where = context(None, residual)
    multiply(c, a, b, bias=bias, finish=relu_plus, context=where)       # relu(a @ b + bias) + residual

The same without checks of its own, for calls that are made often (bias and context may be None and 0):

    gemm.kernel(dtype)(c, a, b, bias, 1.0, False, None, 0.0, relu_plus, ctypes.addressof(where))

``finishing(output, in_dtypes, out_dtype)`` is the address of a ``finish`` of ``gemm_driver`` that stores an
expression (see ``compiler``) of the finished sums, which are input 0, and of further matrices. It is the C ABI
that convolutions, recurrent cells and compiled graphs use; its context is an array of int64:

    the result's address, bytes from matrix to matrix and from row to row; an address of 0 stands for C itself
    then for each further input: address, bytes from matrix to matrix, from row to row, from column to column

Columns of the result are adjacent, those of an input adjacent or 0 bytes apart (a number for each row).
"""

import ctypes
import struct

import numpy as np

from rushlight.compiler import engine
from rushlight.compiler.codegen.lower import ITEMSIZE
from rushlight.compiler.expr import to_text
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.gemm_formula import Formula, Operand
from rushlight.runtime import cpu

AHEAD = 2                       # rows that are fetched ahead
_FINISH = (("ptr", "context"), ("ptr", "c"), ("i64", "c_row"), ("i64", "matrix"), ("i64", "row"), ("i64", "column"),
           ("i64", "rows"), ("i64", "columns"))


def finishing(output, in_dtypes, out_dtype) -> int:
    """Address of the finishing function that stores ``output`` as ``out_dtype``; dtypes are names."""
    in_dtypes = tuple(in_dtypes)
    key = f"gemm finish {cpu.vector_bytes()} {','.join(in_dtypes)} {out_dtype}: {to_text([output])}"
    return engine.load(key, lambda: module_text(output, in_dtypes, out_dtype), ["rl_finish"])["rl_finish"]


def module_text(output, in_dtypes, out_dtype) -> str:
    """LLVM IR of ``rl_finish``."""
    module = entries.new_module()
    f = module.function("rl_finish", "void", _FINISH, "", "nounwind")
    context, c, c_row, matrix, row, column, rows, columns = f.args

    def word(i, type_="i64"):
        return f.load(type_, context + 8 * i)
    out_size = ITEMSIZE[out_dtype]
    out, out_row = word(0, "ptr"), word(2)
    own = out.eq(0)
    out = f.select(own, c, out + (matrix * word(1) + row * out_row + column * out_size))
    out_row = f.select(own, c_row, out_row)
    more = []
    for i, dtype in enumerate(in_dtypes[1:]):
        address, by_matrix, by_row, by_column = (word(3 + 4 * i + j, "i64" if j else "ptr") for j in range(4))
        at = address + (matrix * by_matrix + row * by_row + column * by_column)
        more.append(Operand(dtype, at, by_row, by_column.eq(0)))

    def ahead(i, j):
        # Rows are short, so that no hardware prefetcher follows them.
        for o in more:
            f.prefetch(o.at + ((i + AHEAD) * o.by_row + j * ITEMSIZE[o.dtype]))
        f.prefetch(out + ((i + AHEAD) * out_row + j * out_size), 1)

    formula = Formula(output, out_dtype, "float64" if in_dtypes[0] == "float64" else "float32")
    formula.write(f, [Operand(in_dtypes[0], c, c_row), *more], rows, columns, out, out_row, ahead)
    f.ret()
    return module.text()


def context(out, *inputs):
    """The context for ``out`` (None for C) and ``inputs`` that broadcast to C; keep it and the arrays alive."""
    words = [0, 0, 0] if out is None else [out.ctypes.data, out.strides[0] if out.ndim > 2 else 0, out.strides[-2]]
    for x in inputs:
        if x.ndim > 3 or x.ndim and x.shape[-1] != 1 and x.strides[-1] != x.itemsize:
            raise ValueError("gemm: inputs of finishing functions have adjacent columns and up to 3 dimensions")
        steps = [0 if n == 1 else step for n, step in zip(x.shape, x.strides)]
        words += [x.ctypes.data, *[0] * (3 - x.ndim), *steps]
    return (ctypes.c_int64 * len(words))(*words)


def multiply(out, a, b, *, bias=None, row_bias=None, finish=0, context=None) -> None:
    """``out = a @ b + bias + row_bias[:, None]``, then ``finish``: matrices, or batches of out's rank of at most 3.

    float32 or float64, all of one dtype; ``bias`` (n) and ``row_bias`` (m) contiguous.
    """
    from rushlight.compiler.templates import gemm
    from rushlight.compiler.templates.gemm_driver import INDEX, SIZE

    m, n = out.shape[-2:]
    arrays = [x for x in (out, a, b, bias, row_bias) if x is not None]
    if len({x.dtype for x in arrays}) > 1:
        raise TypeError("gemm: arrays must be of one dtype")
    if (a.shape[-2:] != (m, b.shape[-2]) or b.shape[-1] != n or not 2 <= out.ndim <= 3
            or any(x.ndim not in (2, out.ndim) or x.shape[:-2] not in ((), (1,), out.shape[:-2]) for x in (a, b))
            or any(x is not None and (x.shape != (length,) or not x.flags.c_contiguous)
                   for x, length in ((bias, n), (row_bias, m)))
            or n > 1 and out.strides[-1] != out.itemsize):
        raise ValueError("gemm: shapes must be out (m, n), a (m, k), b (k, n), bias (n), row_bias (m)")
    where = 0 if context is None else ctypes.addressof(context)
    if row_bias is None:
        gemm.kernel(out.dtype)(out, a, b, bias, 1.0, False, None, 0.0, finish, where)
        return
    one = struct.unpack("q", struct.pack("d", 1.0))[0]
    words = {"outer": 1, "batch": out.shape[0] if out.ndim > 2 else 1, "m": m, "n": n, "k": a.shape[-1], "alpha": one,
             "finish": finish}
    for name, x in (("a", a), ("b", b), ("c", out)):
        words[name], words[f"{name}_row"] = x.ctypes.data, x.strides[-2]
        words[f"{name}_batch"] = x.strides[0] if x.ndim > 2 and x.shape[0] > 1 else 0
        if name != "c":
            words[f"{name}_col"] = x.strides[-1]
    for name, x in (("bias", bias), ("row_bias", row_bias)):
        words[name] = 0 if x is None else x.ctypes.data
    words["context"] = where
    job = (ctypes.c_int64 * SIZE)()
    for name, value in words.items():
        job[INDEX[name]] = value
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(gemm.fused_address(np.dtype(out.dtype)))
    if call(job):
        raise MemoryError("rushlight: can't allocate memory for packing in gemm")
