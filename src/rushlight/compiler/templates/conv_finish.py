"""A finishing function (see ``gemm_finish``) over results that a kernel has stored without it.

    finish_all(c, finish, sizes)

``c`` holds the sums, C order; ``finish`` is the int64 array of ``conv_product``, ``sizes`` the int64 (matrices, rows,
columns, rows to a tile). Tiles run on the pool.
"""

from functools import cache

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.conv_job import FINISH
from rushlight.compiler.templates.conv_tile import ITEM, builtin


@cache
def kernel(type_):
    """The builtin function finish_all(c, finish, sizes) for sums of ``float`` or ``double``."""
    return builtin("conv finish", type_, lambda: module_text(type_), "rl_finish_all")


def module_text(type_):
    """The IR of the entry and its task."""
    m, item = entries.new_module(), ITEM[type_]
    f = entries.task(m, "finish_task")
    c, finish = (f.load("ptr", f.args[0] + 8 * i) for i in range(2))
    _, rows, columns, step = (f.load("i64", f.args[0] + 8 * (2 + i)) for i in range(4))
    function, first = f.load("ptr", finish), f.load("i64", finish + 16)
    each, pitch = (rows + step - 1) // step, columns * item
    with f.range(f.args[1], f.args[2]) as t:
        matrix, row = t // each, (t % each) * step
        f.call("void", function, finish + 8 * len(FINISH), c + (matrix * rows + row) * pitch, pitch, first + matrix,
               row, f.value(0), f.minimum(step, rows - row), columns)
    f.ret()
    f, job = entries.begin(m, "rl_finish_all", 2, 4, 0)
    matrices, rows, step = (f.load("i64", job + 8 * i) for i in (2, 3, 5))
    with entries.released(f):
        entries.pool(f, "finish_task", job, matrices * ((rows + step - 1) // step))
    entries.none(f)
    return m.text()
