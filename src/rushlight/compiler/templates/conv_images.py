"""Convolution by 1 x 1 windows in the usual layout: a matrix product for each image, which is used as it stands.

    convolve(y, x, w, bias, plan[, finish]) -> whether it is left undone

        y[n, row, p] = sum_c w[row, c] x[n, c, p]  (+ bias[row])

The weights may be those of the adjoint, with rows and channels exchanged. ``plan`` is an int64 array of the words in
``FIELDS``, made by ``ops.nn.image_plans``; ``finish`` is that of ``conv_product``. It is left undone where the result
isn't of the type of the sums, for which there is no place here.
"""

import struct
from functools import cache

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module, Value
from rushlight.compiler.templates import gemm_driver
from rushlight.compiler.templates.conv_product import FINISH, optional, read_arguments
from rushlight.runtime import cpu, native

POINTERS = ("c", "b", "a", "row_bias")          # of y, x, w and bias, as ``gemm_driver`` calls them
# Sizes, and bytes from image to image, row to row, channel to channel.
FIELDS = ("batch", "m", "n", "k", "a_row", "a_col", "b_batch", "b_row", "b_col", "c_batch", "c_row")
_ONE = struct.unpack("q", struct.pack("d", 1.0))[0]


@cache
def kernel(dtype):
    """The builtin function for "float32" or "float64"."""
    from rushlight.compiler.templates import gemm

    driver = gemm.driver(dtype)
    imports = {name: driver[name] for name in ("rl_prepare", "rl_gemm_added")}
    found = engine.load(f"conv images|{dtype}|{cpu.vector_bytes()}", module_text, ["rl_convolve_images"], imports)
    return native.callable_from(found["rl_convolve_images"], "rl_convolve_images", kernel.__doc__)


def module_text():
    """The IR of the entry."""
    from rushlight.compiler.codegen.targets import host

    m = Module(host().triple)
    m.globals += [f"@{name} = external global i8" for name in ("_Py_NoneStruct", "_Py_TrueStruct")]
    f = m.function("rl_convolve_images", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "count")])
    arrays, job = f.buffer(8 * len(POINTERS), 8), f.buffer(8 * gemm_driver.SIZE, 8)
    words = read_arguments(f, arrays, len(POINTERS))

    def put(value, name):
        f.store(value, job + 8 * gemm_driver.INDEX[name])

    for name in gemm_driver.FIELDS:
        put(f.value(0), name)
    for place, name in enumerate(POINTERS):
        put(f.load("ptr", arrays + 8 * place), name)
    sizes = {name: f.load("i64", words + 8 * place) for place, name in enumerate(FIELDS)}
    for name, value in sizes.items():
        put(value, name)
    for name, value in (("outer", 1), ("alpha", _ONE), ("factor", _ONE)):
        put(f.value(value), name)
    finish = optional(f, len(POINTERS) + 1)
    with f.if_(finish.ne(Value(f, "null", "ptr"))):
        function, apart = (f.load("i64", finish + 8 * FINISH.index(name)) for name in ("function", "apart"))
        with f.if_(apart.ne(0)):
            _give(f, "_Py_TrueStruct")
        put(function, "finish")
        put(finish + 8 * len(FINISH), "context")
    f.call("void", "rl_prepare", sizes["m"], sizes["a_row"], sizes["n"], sizes["k"] * sizes["batch"])
    state = f.call("ptr", "PyEval_SaveThread")
    failed = f.call("i32", "rl_gemm_added", job)
    f.call("void", "PyEval_RestoreThread", state)
    with f.if_(failed.ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    _give(f, "_Py_NoneStruct")
    return m.text()


def _give(f, name):
    """Return an object of the interpreter's."""
    found = Value(f, f"@{name}", "ptr")
    f.call("void", "Py_IncRef", found)
    f.ret(found)
