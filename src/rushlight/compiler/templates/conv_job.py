"""What the entries and tasks of convolutions share: a job's words, memory, packed weights, finishing.

A convolution is called with arrays (or None) and a *plan*, an int64 array of words, which a module of ``ops.nn`` makes.
"""

from rushlight.compiler.templates import entries

FINISH = ("function", "apart", "first image")


class Layout:
    """The order of a job's words: arrays, the plan's words, then what is kept for the tasks, zeros at first."""

    def __init__(self, arrays, fields, own, pointers):
        self.counts = len(arrays), len(fields), len(own)
        self.pointers = {*arrays, *pointers}
        self.index = {name: k for k, name in enumerate((*arrays, *fields, *own))}

    def job(self, f, pointer):
        """The words of a job at an address."""
        return Job(f, pointer, self)

    def begin(self, m, name):
        """Begin the entry ``name``: (the function, the job with what it is called with)."""
        f, context = entries.begin(m, name, *self.counts)
        return f, self.job(f, context)


class Job:
    """A job's words by name; each is loaded once a function, where it is first asked for."""

    def __init__(self, f, pointer, layout):
        self.f, self.pointer, self.layout = f, pointer, layout
        self._found = {}

    def load(self, *names):
        """Load words here, for use in blocks that this one dominates."""
        for name in names:
            self._found[name] = self.f.load("ptr" if name in self.layout.pointers else "i64", self.at(name))

    def __getattr__(self, name):
        if name not in self._found:
            raise AttributeError(name)
        return self._found[name]

    def at(self, name):
        """The address of a word."""
        return self.pointer + 8 * self.layout.index[name]


def scratch(f, job, nbytes):
    """(block, its aligned memory) of this thread's; leaves the task where there is none."""
    return entries.scratch_or_leave(f, nbytes + 64, job.at("failed"))


def finish_piece(f, job, c, c_row, offset, row, rows, columns, item):
    """Call the finishing function for a piece of y; ``offset``: bytes from y to its first pixel in channel 0."""
    image, place = offset // job.y_image, offset % job.y_image
    f.call("void", job.finish, f.load("ptr", job.at("context")), c, c_row,
           f.load("i64", job.at("first_image")) + image, row, place // item, rows, columns)


def read_finish(f, job, count):
    """Store what argument ``count`` of an entry, if given, says of finishing into a job, whose words are 0."""
    words = optional(f, count)
    with f.if_(words.ne(f.null)):
        for at, name in ((0, "finish"), (16, "first_image")):
            f.store(f.load("i64", words + at), job.at(name))
        f.store(words + 8 * len(FINISH), job.at("context"))
        if "direct" in job.layout.index:
            with f.if_(f.load("i64", words + 8).ne(0)):
                f.store(f.value(0), job.at("direct"))


def optional(f, count):
    """The data of the array that is argument ``count`` of an entry; null where that is missing or None."""
    data = f.var("ptr", f.null)
    with f.if_(f.args[2] > count):
        data.set(entries.data_or_null(f, f.load("ptr", f.args[1] + 8 * count)))
    return data.get()


def run_packed(f, job, nbytes, pack, multiply, apart=None):
    """Pack into scratch memory of ``nbytes`` and multiply, or one of the two with memory that argument 6 names.

    Without y only weights are packed; with y and that argument, they are packed already. Where ``apart`` is not 0 the
    tasks of ``multiply`` pack what they need if there is no packed memory.
    """
    given, y = optional(f, 6), f.load("ptr", job.at("y"))
    with f.if_else(given.eq(f.null)) as (own, kept):
        with own:
            size = nbytes + 64
            if apart is not None:
                f.store(f.null, job.at("packed"))
                with f.if_(apart.ne(0)):
                    multiply()
                size = f.select(apart.ne(0), f.value(0), size)
            with f.if_(size.ne(0)), entries.with_scratch(f, size, job.at("failed")) as packed:
                f.store(packed, job.at("packed"))
                pack()
                multiply()
        with kept:
            f.store(given, job.at("packed"))
            with f.if_else(y.eq(f.null)) as (packing, multiplying):
                with packing:
                    pack()
                with multiplying:
                    multiply()
