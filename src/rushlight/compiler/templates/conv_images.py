"""Convolution by 1 x 1 windows in the usual layout: a matrix product for each image, which is used as it stands.

    convolve(y, x, w, bias, plan[, finish]) -> whether it is left undone

        y[n, row, p] = sum_c w[row, c] x[n, c, p]  (+ bias[row])

The weights may be those of the adjoint, with rows and channels exchanged. ``plan`` is an int64 array of the words in
``FIELDS``, made by ``ops.nn.image_plans``; ``finish`` is that of ``conv_product``. It is left undone where the result
isn't of the type of the sums, for which there is no place here.
"""

import struct
from functools import cache

from rushlight.compiler.templates import entries, gemm_driver
from rushlight.compiler.templates.conv_job import FINISH, optional
from rushlight.runtime import cpu

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
    key = f"conv images|{dtype}|{cpu.vector_bytes()}"
    return entries.load(key, module_text, ["rl_convolve_images"], imports)[0]


def module_text():
    """The IR of the entry."""
    m = entries.new_module()
    f = m.function("rl_convolve_images", "ptr", entries.ENTRY)
    job = f.buffer(8 * gemm_driver.SIZE, 8)

    def put(value, name):
        f.store(value, job + 8 * gemm_driver.INDEX[name])

    for name in gemm_driver.FIELDS:
        put(f.value(0), name)
    for place, name in enumerate(POINTERS):
        put(entries.data_or_null(f, f.load("ptr", f.args[1] + 8 * place)), name)
    words = entries.data_of(f, f.args[1], len(POINTERS))
    sizes = {name: f.load("i64", words + 8 * place) for place, name in enumerate(FIELDS)}
    for name, value in sizes.items():
        put(value, name)
    for name, value in (("outer", 1), ("alpha", _ONE), ("factor", _ONE)):
        put(f.value(value), name)
    finish = optional(f, len(POINTERS) + 1)
    with f.if_(finish.ne(f.null)):
        function, apart = (f.load("i64", finish + 8 * FINISH.index(name)) for name in ("function", "apart"))
        with f.if_(apart.ne(0)):
            entries.answer(f, True)
        put(function, "finish")
        put(finish + 8 * len(FINISH), "context")
    f.call("void", "rl_prepare", sizes["m"], sizes["a_row"], sizes["n"], sizes["k"] * sizes["batch"])
    with entries.released(f):
        failed = f.call("i32", "rl_gemm_added", job)
    entries.done(f, failed)
    return m.text()
