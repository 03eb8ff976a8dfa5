"""Functions that Python calls: from their arguments to tasks of the thread pool, and back.

An *entry* puts its arguments into a *context* of 64-bit words: data pointers of arrays, then ints, or the words of an
int64 array. Tasks read the context; each does the tiles [begin, end).

    PyObject *entry(PyObject *self, PyObject **args, ssize_t n)         ``ENTRY``
    void task(ptr context, i64 begin, i64 end)                          ``TASK``
"""

from contextlib import contextmanager

from rushlight.compiler import engine
from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.entry import DATA, DIMS, FLAGS, ND, TYPE
from rushlight.compiler.codegen.targets import host

TASK = [("ptr", "context"), ("i64", "begin"), ("i64", "end")]
ENTRY = [("ptr", "self"), ("ptr", "args"), ("i64", "n")]
PARALLEL_FROM = 1 << 15         # bytes (or so many steps) from which a job is shared out


def load(key, build, names, imports=None, level=1, codegen_level=1):
    """The functions ``names`` of the module whose text ``build()`` makes, as callables.

    The module may refer to what ``native.symbols`` has, and to ``imports``. ``key`` says what the text depends on.
    """
    from rushlight.runtime import native

    found = engine.load(key, build, list(names), native.symbols() | (imports or {}), level, codegen_level)
    return tuple(native.callable_from(found[name], name) for name in names)


def new_module():
    """An empty module for this machine."""
    return Module(host().triple)


def task(m, name):
    """Begin the task ``name``."""
    return m.function(name, "void", TASK, "internal", "nounwind")


def begin(m, name, arrays, words, more):
    """Begin the entry ``name`` of so many arrays (or None), then an array of words: (the function, its context).

    The context has ``more`` words, zeros, behind these.
    """
    f = m.function(name, "ptr", ENTRY)
    context = f.buffer(8 * (arrays + words + more), 8)
    read_arrays(f, context, arrays)
    read_words(f, context + 8 * arrays, arrays, words)
    for k in range(arrays + words, arrays + words + more):
        f.store(f.value(0), context + 8 * k)
    return f, context


# ---------------------------------------------------------------- arguments

def data_of(f, args, k):
    """The data pointer of the array that is argument ``k``."""
    return f.load("ptr", f.load("ptr", args + 8 * k) + DATA)


def data_or_null(f, array):
    """The data pointer of an array; null for None."""
    data = f.var("ptr", f.null)
    with f.if_(array.ne(f.external("_Py_NoneStruct"))):
        data.set(f.load("ptr", array + DATA))
    return data.get()


def int_of(f, args, k):
    """The Python int that is argument ``k`` (a number or a value)."""
    return f.call("i64", "PyLong_AsLongLong", f.load("ptr", args + (k * 8)))


def float_of(f, args, k):
    """The Python float that is argument ``k``, a double."""
    return f.call("double", "PyFloat_AsDouble", f.load("ptr", args + 8 * k))


def read_arrays(f, context, count):
    """Put the data pointers of the first ``count`` arguments, arrays or None, into a context."""
    for k in range(count):
        f.store(data_or_null(f, f.load("ptr", f.args[1] + 8 * k)), context + 8 * k)


def read_words(f, context, k, count):
    """Put ``count`` words of the int64 array that is argument ``k`` into a context."""
    words = data_of(f, f.args[1], k)
    with f.range(count) as i:
        f.store(f.load("i64", words + i * 8), context + i * 8)


def read_ints(f, context, k, count):
    """Put ``count`` Python ints, from argument ``k`` on, into a context."""
    for i in range(count):
        f.store(int_of(f, f.args[1], k + i), context + 8 * i)


def elements_of(f, array):
    """The number of an array's elements."""
    n, dims = f.var("i64", 1), f.load("ptr", array + DIMS)
    with f.range(f.load("i32", array + ND).cast("sext", "i64")) as d:
        n.set(n.get() * f.load("i64", dims + d * 8))
    return n.get()


def require_plain(f, array, elements=None):
    """Return False unless the object is an ndarray in C order (with so many elements)."""
    with f.if_(f.load("ptr", array + TYPE).ne(f.external("PyArray_Type"))):
        answer(f, False)
    wrong = (f.load("i32", array + FLAGS) & 1).eq(0)
    if elements is not None:
        wrong = wrong | elements_of(f, array).ne(elements)
    with f.if_(wrong):
        answer(f, False)


# ---------------------------------------------------------------- work

@contextmanager
def released(f, when=None):
    """What the block writes runs without the interpreter's lock (where ``when`` is true)."""
    if when is None:
        state = f.call("ptr", "PyEval_SaveThread")
        yield
        f.call("void", "PyEval_RestoreThread", state)
        return
    state = f.var("ptr", f.null)
    with f.if_(when):
        state.set(f.call("ptr", "PyEval_SaveThread"))
    yield
    with f.if_(when):
        f.call("void", "PyEval_RestoreThread", state.get())


def pool(f, name, context, tiles):
    """Run a task, by its name or as a pointer, over the tiles on the thread pool."""
    task_ = f.symbol(name) if isinstance(name, str) else name
    f.call("void", "rl_parallel_for", task_, context, f.value(tiles))


def here_or_pool(f, here, name, context, tiles):
    """Run a task over the tiles at once where ``here`` is true, else on the thread pool."""
    task_ = f.symbol(name) if isinstance(name, str) else name
    with f.if_else(here) as (alone, together):
        with alone:
            f.call("void", task_, context, f.value(0), tiles)
        with together:
            pool(f, task_, context, tiles)


def share(f, name, context, tiles, work, least=PARALLEL_FROM):
    """Run a task over the tiles: at once where there is less work than ``least``, else on the thread pool, without
    the interpreter's lock."""
    task_ = f.symbol(name) if isinstance(name, str) else name
    with f.if_else(work < least) as (small, large):
        with small:
            f.call("void", task_, context, f.value(0), tiles)
        with large, released(f):
            pool(f, task_, context, tiles)


def scratch(f, nbytes):
    """Aligned working memory: (block or null, its first byte or null)."""
    block = f.call("ptr", "rl_scratch", f.value(nbytes))
    data = f.var("ptr", f.null)
    with f.if_(block.ne(f.null)):
        data.set(f.load("ptr", block))
    return block, data.get()


def scratch_or_leave(f, nbytes, failed):
    """Aligned working memory of a task: (block, first byte). Without, the word ``failed`` is set and the task over."""
    block = f.call("ptr", "rl_scratch", nbytes)
    with f.if_(block.eq(f.null)):
        f.store(f.value(1), failed)
        f.ret()
    return block, f.load("ptr", block)


@contextmanager
def with_scratch(f, nbytes, failed):
    """What the block writes has aligned working memory, at what it is given; without, the word ``failed`` is set."""
    block = f.call("ptr", "rl_scratch", f.value(nbytes))
    with f.if_else(block.eq(f.null)) as (refused, given):
        with refused:
            f.store(f.value(1), failed)
        with given:
            yield f.load("ptr", block)
            f.call("void", "rl_free", block)


# ---------------------------------------------------------------- answers

def none(f):
    """Return None."""
    _return(f, "_Py_NoneStruct")


def answer(f, truth):
    """Return True or False."""
    _return(f, "_Py_TrueStruct" if truth else "_Py_FalseStruct")


def _return(f, name):
    value = f.external(name)
    f.call("void", "Py_IncRef", value)
    f.ret(value)


def no_memory(f, failed):
    """Raise MemoryError where the word ``failed`` isn't 0."""
    with f.if_(failed.ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))


def done(f, failed, truth=None):
    """Raise MemoryError where the word ``failed`` isn't 0, or return whether the word ``truth`` isn't, or None."""
    no_memory(f, failed)
    if truth is None:
        none(f)
    else:
        f.ret(f.call("ptr", "PyBool_FromLong", truth))
