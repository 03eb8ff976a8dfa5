"""The matrix product as a CPython function on NumPy arrays: argument checks, the job, the GIL.

``call(out, a, b[, bias[, alpha[, accumulate[, d, beta[, finish, context]]]]])`` takes matrices, batches of them, or
vectors: ``out`` (m) with ``a`` (m, k) and ``b`` (k), ``out`` () with ``a`` (k) and ``b`` (k). It reads
``PyArrayObject`` and ``PyArray_Descr`` fields directly, so that a small product costs little more than its arithmetic.
Everything unusual raises; nothing is converted. ``d`` may be None; ``finish`` and ``context`` are addresses (see
``gemm_finish``).
"""

from rushlight.compiler.templates import entries
from rushlight.compiler.templates.gemm_driver import INDEX, SIZE

# Offsets of CPython's and NumPy's object fields on 64-bit machines.
OB_TYPE, DATA, ND, DIMS, STRIDES, DESCR, FLAGS = 8, 16, 24, 32, 40, 56, 64
BYTE_ORDER, TYPE_NUM = 26, 28
WRITEABLE = 0x400

# Multiply-adds from which other Python threads may run meanwhile (about 10 us).
RELEASE_WORK = 500_000

_MESSAGES = {
    "count": ("PyExc_TypeError", "gemm() takes out, a, b, bias, alpha, accumulate, d, beta, finish, context"),
    "type": ("PyExc_TypeError", "gemm: out, a, b and bias must be arrays of the kernel's dtype"),
    "rank": ("PyExc_ValueError", "gemm: out must have up to 4 dimensions, a and b 2 or as many as out"),
    "shape": ("PyExc_ValueError", "gemm: shapes must be out (m, n), a (m, k), b (k, n), bias (n)"),
    "layout": (
        "PyExc_ValueError",
        "gemm: out must be writeable, with adjacent columns as d, bias adjacent",
    ),
    "memory": ("PyExc_MemoryError", "rushlight: can't allocate memory for packing in gemm"),
}


def write_entry(module, item, prefix, type_num, integer=False, added=False, prepared=False, finished=False,
                factors=()):
    """Add ``PyObject *{prefix}_call(PyObject *self, PyObject **args, ssize_t n)`` to the module.

    ``item`` is the elements' size in bytes, ``type_num`` NumPy's number of their dtype; alpha is a float, or an
    int of 64 bits for ``integer`` elements. ``added`` says that there is ``{prefix}_gemm_added``, which takes d,
    ``prepared`` that there is ``rl_prepare`` (see ``gemm_heights``), ``finished`` that the product calls ``finish``.
    ``factors`` are (NumPy's number of the type, its size in bytes) of A and of B where these aren't the result's.
    """
    entry = _Entry(module, item, prefix, type_num)
    entry.integer, entry.added, entry.prepared, entry.finished = integer, added, prepared, finished
    entry.factors = dict(zip("ab", factors))
    entry.write()


class _Entry:
    def __init__(self, module, item, prefix, type_num):
        self.module, self.item, self.prefix, self.type_num = module, item, prefix, type_num
        for kind, (error, message) in _MESSAGES.items():
            text = message.encode()
            module.globals.append(
                f'@text_{kind} = internal constant [{len(text) + 1} x i8] c"{message}\\00"'
            )
            line = f"@{error} = external global ptr"
            if line not in module.globals:
                module.globals.append(line)

    def field(self, object_, offset, type_="ptr"):
        return self.f.load(type_, object_ + offset)

    def fail(self, kind):
        f = self.f
        error = f.load("ptr", self.f.symbol(_MESSAGES[kind][0]))
        f.call("void", "PyErr_SetString", error, self.f.symbol(f"text_{kind}"))
        f.ret(f.null)

    def require(self, condition, kind):
        with self.f.if_(~condition):
            self.fail(kind)

    def check_array(self, array, name=""):
        """An ndarray (no subclass) of the dtype in native byte order."""
        self.require(self.field(array, OB_TYPE).eq(self.f.external("PyArray_Type")), "type")
        descr = self.field(array, DESCR)
        ours = self.field(descr, TYPE_NUM, "i32").eq(self.factors.get(name, (self.type_num,))[0])
        native = self.field(descr, BYTE_ORDER, "i8").ne(ord(">"))
        self.require(ours & native, "type")

    def number(self, at):
        """The factor at an address of arguments."""
        f, null = self.f, self.f.null
        convert = "PyLong_AsLongLong" if self.integer else "PyFloat_AsDouble"
        factor = f.call("i64" if self.integer else "double", convert, f.load("ptr", at))
        with f.if_(factor.eq(-1)):
            with f.if_(f.call("ptr", "PyErr_Occurred").ne(null)):
                f.ret(null)
        return factor

    def put(self, value, name):
        """Store a word of the job."""
        self.f.store(value, self.job + 8 * INDEX[name])

    def word(self, name):
        """A word of the job."""
        return self.f.load("i64", self.job + 8 * INDEX[name])

    def operand(self, name, array, rank, leading):
        """Put an operand's place and strides into the job: ((rows, columns), sizes of the leading dimensions).

        ``leading`` holds those of C, which the others' are or which they are broadcast to.
        """
        f, item = self.f, self.factors[name][1] if name in self.factors else self.item
        nd, vectors = self.field(array, ND, "i32"), rank < 2
        # Without matrices: out () of a (k) and b (k), or out (m) of a (m, k) and b (k).
        alone = {"c": nd < 2, "a": nd.eq(1) & rank.eq(0) | nd.eq(2) & rank.eq(1), "b": nd.eq(1)}[name]
        self.require(f.select(vectors, alone, nd.eq(2) | (nd.eq(rank) & ~vectors)), "rank")
        last = nd.cast("sext", "i64") * 8
        dims, strides = self.field(array, DIMS) + last, self.field(array, STRIDES) + last
        size = [f.var("i64", 1) for _ in range(2)]
        step = [f.var("i64", item) for _ in range(2)]
        # A vector of a is a row, others are columns.
        place = 1 if name == "a" else 0
        with f.if_else(nd >= 2) as (matrix, vector):
            with matrix:
                for q, offset in enumerate((-16, -8)):
                    size[q].set(self.field(dims, offset, "i64"))
                    step[q].set(self.field(strides, offset, "i64"))
            with vector, f.if_(nd.eq(1)):
                size[place].set(self.field(dims, -8, "i64"))
                step[place].set(self.field(strides, -8, "i64"))
        (rows, columns), (row, column) = ([x.get() for x in pair] for pair in (size, step))
        self.put(self.field(array, DATA), name)
        self.put(row, f"{name}_row")
        if name != "c":
            self.put(column, f"{name}_col")
        lead = {}
        for level, offset in (("batch", -24), ("outer", -32)):
            step, size = f.var("i64", 0), f.var("i64", 1)
            with f.if_(nd > (2 if level == "batch" else 3)):
                size.set(self.field(dims, offset, "i64"))
                with f.if_(size.get().ne(1)):
                    step.set(self.field(strides, offset, "i64"))
            self.put(step.get(), f"{name}_{level}")
            lead[level] = size.get()
            if name == "c":
                self.put(lead[level], level)
            else:
                self.require(lead[level].eq(1) | lead[level].eq(leading[level]), "shape")
        if name == "c":
            adjacent = column.eq(item) | (columns <= 1) | rows.eq(0) | (lead["batch"] * lead["outer"]).eq(0)
            self.require(adjacent & (self.field(array, FLAGS, "i32") & WRITEABLE).ne(0), "layout")
        return (rows, columns), lead

    def bias(self, array, n):
        """The data of a bias of n elements."""
        self.check_array(array)
        self.require(self.field(array, ND, "i32").eq(1), "shape")
        self.require(self.field(self.field(array, DIMS), 0, "i64").eq(n), "shape")
        stride = self.field(self.field(array, STRIDES), 0, "i64")
        self.require(stride.eq(self.item) | (n <= 1), "layout")
        return self.field(array, DATA)

    def addend(self, d, rank, sizes, leading):
        """Strides of D: sizes as out's, but for 1 in place of the rows or a leading size."""
        f, (m, n) = self.f, sizes
        nd = self.field(d, ND, "i32")
        self.require(nd.eq(2) | (nd.eq(rank) & (nd > 2)), "rank")
        last = nd.cast("sext", "i64") * 8
        dims, strides = self.field(d, DIMS) + last, self.field(d, STRIDES) + last
        rows = self.field(dims, -16, "i64")
        self.require((rows.eq(m) | rows.eq(1)) & self.field(dims, -8, "i64").eq(n), "shape")
        self.require(self.field(strides, -8, "i64").eq(self.item) | (n <= 1), "layout")
        self.put(f.select(rows.eq(1), f.value(0), self.field(strides, -16, "i64")), "d_row")
        for level, offset in (("batch", -24), ("outer", -32)):
            step = f.var("i64", 0)
            with f.if_(nd > (2 if level == "batch" else 3)):
                size = self.field(dims, offset, "i64")
                self.require(size.eq(1) | size.eq(leading[level]), "shape")
                with f.if_(size.ne(1)):
                    step.set(self.field(strides, offset, "i64"))
            self.put(step.get(), f"d_{level}")

    def options(self, args, count, out, rank, sizes, leading):
        """Put what may follow the operands into the job: bias, alpha, beta, D and its factor, a finishing function."""
        f, none, number = self.f, self.f.external("_Py_NoneStruct"), "i64" if self.integer else "double"
        bias, alpha, beta = f.var("ptr", f.null), f.var(number, 1), f.var("i64", 0)
        with f.if_(count > 3):
            given = f.load("ptr", args + 24)
            with f.if_(given.ne(none)):
                bias.set(self.bias(given, sizes[1]))
        with f.if_(count > 4):
            alpha.set(self.number(args + 32))
        with f.if_(count > 5):
            truth = f.call("i32", "PyObject_IsTrue", f.load("ptr", args + 40))
            with f.if_(truth < 0):
                f.ret(f.null)
            beta.set(truth.cast("sext", "i64"))
        if self.added:
            factor, added = f.var(number, 1), f.var("ptr", f.null)
            for level in ("row", "batch", "outer"):
                self.put(self.word(f"c_{level}"), f"d_{level}")
            with f.if_(beta.get().ne(0)):
                added.set(self.field(out, DATA))
            with f.if_(count > 6):
                d = f.load("ptr", args + 48)
                with f.if_(d.ne(none)):
                    self.check_array(d)
                    self.addend(d, rank, sizes, leading)
                    added.set(self.field(d, DATA))
                    factor.set(self.number(args + 56))
            self.put(added.get(), "d")
            self.put(factor.get(), "factor")
        self.put(bias.get(), "bias")
        for name in ("row_bias", "finish", "context"):
            self.put(f.value(0), name)
        if self.finished:
            with f.if_(count > 8):
                for name, place in (("finish", 64), ("context", 72)):
                    address = f.call("i64", "PyLong_AsLongLong", f.load("ptr", args + place))
                    with f.if_(address.eq(-1) & f.call("ptr", "PyErr_Occurred").ne(f.null)):
                        f.ret(f.null)
                    self.put(address, name)
        self.put(alpha.get(), "alpha")
        self.put(beta.get(), "beta")

    def write(self):
        """``{prefix}_call``: the arguments are checked and become a job, which is done."""
        f = self.f = self.module.function(f"{self.prefix}_call", "ptr", entries.ENTRY)
        _, args, count = f.args
        most = count.eq(8) | count.eq(10 if self.finished else 8) if self.added else count.eq(6)
        self.require((count >= 3) & ((count <= 6) | most), "count")
        arrays = [f.load("ptr", args + 8 * i) for i in range(3)]
        for name, array in zip("cab", arrays, strict=True):
            self.check_array(array, name)
        self.job = f.buffer(8 * SIZE)
        rank = self.field(arrays[0], ND, "i32")
        self.require(rank <= 4, "rank")
        (m, n), leading = self.operand("c", arrays[0], rank, None)
        ((am, k), _), ((bk, bn), _) = (self.operand(x, a, rank, leading) for x, a in zip("ab", arrays[1:], strict=True))
        self.require(am.eq(m) & bk.eq(k) & bn.eq(n), "shape")
        for size, name in ((m, "m"), (n, "n"), (k, "k")):
            self.put(size, name)
        self.options(args, count, arrays[0], rank, (m, n), leading)

        if self.prepared:
            # A batch over one B may become one product of all rows.
            whole = self.word("b_batch").eq(0) & leading["outer"].eq(1)
            count = leading["batch"] * leading["outer"]
            f.call("void", "rl_prepare", f.select(whole, m * count, m), self.word("a_row"), n,
                   f.select(whole, k, k * count), declare=self.prepared == "import")
        with entries.released(f, m * n * k * leading["batch"] * leading["outer"] >= RELEASE_WORK):
            product = f"{self.prefix}_gemm_added" if self.added else f"{self.prefix}_gemm"
            failed = f.call("i32", product, self.job)
        with f.if_(failed.ne(0)):
            self.fail("memory")
        entries.none(f)
