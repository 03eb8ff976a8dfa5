"""The native function that runs a compiled program: words for what Python would do between kernels.

    rl_program(*arguments)      a builtin over bytes that hold the address of a program's words

A program works on *registers*: its constants, the arguments of the call, then its variables. It begins with HEAD words:
the number of registers, of constants and of arguments, the address of the constants, and the most operands of a call.
Then come instructions: a code, the address of what follows the instruction, and

    CALL        to, callable, count, registers      to = callable(...)
    METHOD      to, function, self, count, ...      the same for a C function of METH_FASTCALL: no frame between
    MOVE        to, value                           to = value
    ARRAY       to, tensor                          the tensor's array
    NEW         to, descr, rank, sizes              a new array in C order
    WINDOW      to, array, shift, descr, rank, sizes, steps     its memory `shift` bytes on as another array
                                                    (descr 0: the array's own; steps 0: in C order)
    TURN        to, array                           dimensions in reverse order
    STORAGE     to, array                           a storage that owns the array
    TENSOR      to, array, dtype, storage, offset   a tensor without history
    GRAD        tensor, value                       tensor._grad = value
    VERSION     storage, number                     storage.version += number
    OWN         tensor, number                      the same for the tensor's storage
    PARTS       count, value, registers             the items of a tuple
    FREE        count, registers                    these variables are done with
    STOP        value                               where it is not true the program gives None
    TOGETHER    count, width, instructions          METHODs that don't need each other, on several threads
    RETURN      count, registers                    gives a list

Registers are numbers of bytes from the first one; a result of NOWHERE is dropped. Calls of TOGETHER run in threads
that aren't Python's, while the one that holds the interpreter's lock runs others of them: they must neither raise nor
let go of the lock, and give None. Before Python 3.12, where None's references are counted, nothing takes one away
meanwhile, so that increments lost between threads do no harm.
"""

from .entry import DATA, DESCR, DIMS, FLAGS, LIST_ITEMS, ND, SIZE, STRIDES, TUPLE_ITEMS
from .geometry import Writer

HEAD = 5
NOWHERE = -1
CODES = ("CALL", "METHOD", "MOVE", "ARRAY", "NEW", "WINDOW", "TURN", "STORAGE", "TENSOR", "GRAD", "VERSION", "OWN",
         "PARTS", "FREE", "STOP", "TOGETHER", "RETURN")
MOST_DIMS = 64                  # of an array, NumPy's limit
MOST_OPERANDS = 16              # of a call in TOGETHER
BYTES_ITEMS = 32                # PyBytesObject.ob_sval


def module(triple, offsets):
    """IR text of the entry, for the given slot offsets."""
    w = Writer(triple, offsets)
    w.m.globals.append("@PyExc_ValueError = external global ptr")
    _task(w)
    _Program(w).write()
    return w.m.text()


def _task(w):
    """void rl_together(context, begin, end): some calls of a TOGETHER; the context is registers and instructions."""
    f = w.m.function("rl_together", "void", [("ptr", "context"), ("i64", "begin"), ("i64", "end")], "internal")
    context, begin, end = f.args
    registers, first, width = f.load("ptr", context), f.load("ptr", context + 8), f.load("i64", context + 16)
    operands = f.buffer(8 * MOST_OPERANDS, 8)
    with f.range(begin, end) as k:
        at = first + k * width
        function, own, count = f.load("ptr", at + 24), f.load("ptr", at + 32), f.load("i64", at + 40)
        with f.range(count) as i:
            f.store(f.load("ptr", registers + f.load("i64", at + (i * 8 + 48))), operands + i * 8)
        f.call("ptr", function, own, operands, count)
    f.ret()


class _Program:
    """Writes ``rl_program``."""

    def __init__(self, w):
        self.w = w
        f = self.f = w.m.function("rl_program", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
        self.words = f.load("ptr", f.args[0] + BYTES_ITEMS)

    def write(self):
        f = self.f
        head = [f.load("i64", self.words + 8 * k) for k in range(HEAD)]
        count, constants, arguments, _, most = head
        self.fixed, self.count = constants + arguments, count
        with f.if_(f.args[2].ne(arguments)):
            f.call("void", "PyErr_SetString", f.load("ptr", f.symbol("PyExc_ValueError")),
                   f.string("a program was given another number of arguments"))
            f.ret(f.null)
        self.registers = f.emit("ptr", f"alloca i8, i64 {(count * 8).name}, align 16")
        self.operands = f.emit("ptr", f"alloca i8, i64 {(most * 8).name}, align 16")
        self.context = f.buffer(24, 8)
        self._copied(self.registers, f.load("ptr", self.words + 24), constants)
        self._copied(self.registers + constants * 8, f.args[1], arguments)
        with f.range(self.fixed, count) as k:
            f.store(f.null, self.registers + k * 8)
        self.at, self.result = f.var("ptr", self.words + 8 * HEAD), f.var("ptr", 0)
        f.label("next")
        self.here = self.at.get()
        self.at.set(f.load("ptr", self.here + 8))
        arms = " ".join(f"i64 {k}, label %arm{k}" for k in range(len(CODES)))
        f.terminate(f"switch i64 {f.load('i64', self.here).name}, label %end [ {arms} ]")
        for k, name in enumerate(CODES):
            f.lines.append(f"arm{k}:")
            f.open = True
            getattr(self, f"_{name.lower()}")()
            if f.open:
                f.terminate("br label %next")
        f.lines.append("end:")
        f.open = True
        with f.range(self.fixed, count) as k:
            f.call("void", "Py_DecRef", f.load("ptr", self.registers + k * 8))
        f.ret(self.result.get())

    def _copied(self, to, source, number):
        f = self.f
        with f.range(number) as k:
            f.store(f.load("ptr", source + k * 8), to + k * 8)

    # ------------------------------------------------------------ operands

    def word(self, k):
        return self.f.load("i64", self.here + 8 * (k + 2))

    def pointer(self, k):
        return self.f.load("ptr", self.here + 8 * (k + 2))

    def read(self, k):
        """The object in the register that word k names."""
        return self.f.load("ptr", self.registers + self.word(k))

    def put(self, value):
        """Give a new reference (null: end with the error) to the register of the first word."""
        f = self.f
        with f.if_(value.eq(0)):
            f.terminate("br label %end")
        to = self.word(0)
        with f.if_else(to.eq(NOWHERE)) as (nowhere, somewhere):
            with nowhere:
                f.call("void", "Py_DecRef", value)
            with somewhere:
                old = f.load("ptr", self.registers + to)
                f.store(value, self.registers + to)
                f.call("void", "Py_DecRef", old)

    def replace(self, place, value):
        """Put a reference that is given away in the place of another one."""
        f = self.f
        old = f.load("ptr", place)
        f.store(value, place)
        f.call("void", "Py_DecRef", old)

    def gather(self, first, count):
        f = self.f
        with f.range(count) as k:
            f.store(f.load("ptr", self.registers + f.load("i64", self.here + (k * 8 + 8 * (first + 2)))),
                    self.operands + k * 8)

    # ------------------------------------------------------------ instructions

    def _call(self):
        f, count = self.f, self.word(2)
        self.gather(3, count)
        self.put(f.call("ptr", "PyObject_Vectorcall", self.read(1), self.operands, count, f.null))

    def _method(self):
        f, count = self.f, self.word(3)
        self.gather(4, count)
        self.put(f.call("ptr", self.pointer(1), self.pointer(2), self.operands, count))

    def _move(self):
        value = self.read(1)
        self.f.call("void", "Py_IncRef", value)
        self.put(value)

    def _array(self):
        a = self.w.get(self.f, self.read(1), "_a")
        self.f.call("void", "Py_IncRef", a)
        self.put(a)

    def _new(self):
        f = self.f
        self.put(f.call("ptr", self.w.env(f, "rl_new_array"), self.pointer(1), self.word(2).cast("trunc", "i32"),
                        self.pointer(3)))

    def _window(self):
        f = self.f
        base, descr = self.read(1), f.var("ptr", self.pointer(3))
        with f.if_(descr.get().eq(0)):
            descr.set(f.load("ptr", base + DESCR))
        self._shown(base, descr.get(), self.word(4).cast("trunc", "i32"), self.pointer(5), self.pointer(6),
                    self.word(2))

    def _turn(self):
        f, base = self.f, self.read(1)
        rank = f.load("i32", base + ND).cast("sext", "i64")
        sizes, steps = f.buffer(8 * MOST_DIMS, 8), f.buffer(8 * MOST_DIMS, 8)
        for field, to in ((DIMS, sizes), (STRIDES, steps)):
            source = f.load("ptr", base + field)
            with f.range(rank) as k:
                f.store(f.load("i64", source + k * 8), to + (rank - k - 1) * 8)
        self._shown(base, f.load("ptr", base + DESCR), rank.cast("trunc", "i32"), sizes, steps, f.value(0))

    def _shown(self, base, descr, rank, sizes, steps, shift):
        f, w = self.f, self.w
        f.call("void", "Py_IncRef", descr)
        flags = (f.load("i32", base + FLAGS) & 0x500) | 1
        new = f.call("ptr", w.env(f, "PyArray_NewFromDescr"), w.env(f, "ndarray"), descr, rank, sizes, steps,
                     f.load("ptr", base + DATA) + shift, flags, f.null)
        with f.if_(new.ne(0)):
            f.call("void", "Py_IncRef", base)
            f.call("i32", w.env(f, "PyArray_SetBaseObject"), new, base)
        self.put(new)

    def _storage(self):
        f, w = self.f, self.w
        s = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Storage"), f.value(0))
        with f.if_(s.ne(0)):
            w.put_new(f, s, "Storage.owner", self.read(1))
            w.put_new(f, s, "Storage.version", w.env(f, "zero"))
            w.put_new(f, s, "Storage.root", w.env(f, "None_"))
            w.put_new(f, s, "Storage._bytes", w.env(f, "None_"))
        self.put(s)

    def _tensor(self):
        f, w = self.f, self.w
        t = f.call("ptr", "PyType_GenericAlloc", w.env(f, "Tensor"), f.value(0))
        with f.if_(t.ne(0)):
            for k, slot in enumerate(("_a", "dtype", "_storage", "_offset")):
                w.put_new(f, t, slot, self.read(k + 1))
            for slot in ("_out_nr", "_bits"):
                w.put_new(f, t, slot, w.env(f, "zero"))
            w.put_new(f, t, "_requires_grad", w.env(f, "False_"))
            for slot in ("_grad", "_grad_fn", "_view", "_meta"):
                w.put_new(f, t, slot, w.env(f, "None_"))
        self.put(t)

    def _grad(self):
        f, value = self.f, self.read(1)
        f.call("void", "Py_IncRef", value)
        self.replace(self.read(0) + self.w.offsets["_grad"], value)

    def _raise_version(self, storage):
        f = self.f
        place = storage + self.w.offsets["Storage.version"]
        new = f.call("ptr", "PyNumber_Add", f.load("ptr", place), self.read(1))
        with f.if_(new.eq(0)):
            f.terminate("br label %end")
        self.replace(place, new)

    def _version(self):
        self._raise_version(self.read(0))

    def _own(self):
        self._raise_version(self.w.get(self.f, self.read(0), "_storage"))

    def _parts(self):
        f = self.f
        items = f.call("ptr", "PySequence_Tuple", self.read(1))
        with f.if_(items.eq(0)):
            f.terminate("br label %end")
        count = self.word(0)
        with f.if_(f.load("i64", items + SIZE).ne(count)):
            f.call("void", "PyErr_SetString", f.load("ptr", f.symbol("PyExc_ValueError")),
                   f.string("a kernel gave another number of results than before"))
            f.call("void", "Py_DecRef", items)
            f.terminate("br label %end")
        with f.range(count) as k:
            to, x = f.load("i64", self.here + (k * 8 + 8 * 4)), f.load("ptr", items + (k * 8 + TUPLE_ITEMS))
            with f.if_(to.ne(NOWHERE)):
                f.call("void", "Py_IncRef", x)
                self.replace(self.registers + to, x)
        f.call("void", "Py_DecRef", items)

    def _free(self):
        f = self.f
        with f.range(self.word(0)) as k:
            self.replace(self.registers + f.load("i64", self.here + (k * 8 + 8 * 3)), f.null)

    def _stop(self):
        f, none = self.f, self.w.env(self.f, "None_")
        truth = f.call("i32", "PyObject_IsTrue", self.read(0))
        with f.if_(truth < 0):
            f.terminate("br label %end")
        with f.if_(truth.eq(0)):
            f.call("void", "Py_IncRef", none)
            self.result.set(none)
            f.terminate("br label %end")

    def _together(self):
        f = self.f
        count = self.word(0)
        f.store(self.registers, self.context)
        f.store(self.here + 8 * 4, self.context + 8)
        f.store(self.word(1), self.context + 16)
        f.call("void", "rl_parallel_for", f.symbol("rl_together"), self.context, f.value(0) - count)

    def _return(self):
        f, count = self.f, self.word(0)
        made = f.call("ptr", "PyList_New", count)
        self.result.set(made)
        with f.if_(made.ne(0)):
            items = f.load("ptr", made + LIST_ITEMS)
            with f.range(count) as k:
                x = f.load("ptr", self.registers + f.load("i64", self.here + (k * 8 + 8 * 3)))
                f.call("void", "Py_IncRef", x)
                f.store(x, items + k * 8)
        f.terminate("br label %end")
