"""A finishing function (see ``gemm_finish``) over results that a kernel has stored without it.

    finish_all(c, finish, sizes)

``c`` holds the sums, C order; ``finish`` is the int64 array of ``conv_product``, ``sizes`` the int64 (matrices, rows,
columns, rows to a tile). Tiles run on the pool.
"""

from functools import cache

from rushlight.compiler.codegen.builder import Module, Value
from rushlight.compiler.templates.conv_product import DATA, FINISH, TASK
from rushlight.compiler.templates.conv_tile import ITEM, builtin

_WORDS = ("c", "finish", "matrices", "rows", "columns", "step")


@cache
def kernel(type_):
    """The builtin function finish_all(c, finish, sizes) for sums of ``float`` or ``double``."""
    return builtin("conv finish", type_, lambda: module_text(type_), "rl_finish_all", kernel.__doc__)


def module_text(type_):
    """The IR of the entry and its task."""
    from rushlight.compiler.codegen.targets import host

    m, item = Module(host().triple), ITEM[type_]
    m.globals.append("@_Py_NoneStruct = external global i8")
    f = m.function("finish_task", "void", TASK, "internal", "nounwind")
    c, finish = (f.load("ptr", f.args[0] + 8 * i) for i in range(2))
    _, rows, columns, step = (f.load("i64", f.args[0] + 8 * (2 + i)) for i in range(4))
    function, first = f.load("ptr", finish), f.load("i64", finish + 16)
    each, pitch = (rows + step - 1) // step, columns * item
    with f.range(f.args[1], f.args[2]) as t:
        matrix, row = t // each, (t % each) * step
        f.call("void", function, finish + 8 * len(FINISH), c + (matrix * rows + row) * pitch, pitch, first + matrix,
               row, f.value(0), f.minimum(step, rows - row), columns)
    f.ret()
    f = m.function("rl_finish_all", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    job = f.buffer(8 * len(_WORDS))
    data = [f.load("ptr", f.load("ptr", f.args[1] + 8 * i) + DATA) for i in range(3)]
    for i in range(2):
        f.store(data[i], job + 8 * i)
    matrices, rows, columns, step = (f.load("i64", data[2] + 8 * i) for i in range(4))
    for i, word in enumerate((matrices, rows, columns, step)):
        f.store(word, job + 8 * (2 + i))
    state = f.call("ptr", "PyEval_SaveThread")
    f.call("void", "rl_parallel_for", Value(f, "@finish_task", "ptr"), job, matrices * ((rows + step - 1) // step))
    f.call("void", "PyEval_RestoreThread", state)
    none = Value(f, "@_Py_NoneStruct", "ptr")
    f.call("void", "Py_IncRef", none)
    f.ret(none)
    return m.text()
