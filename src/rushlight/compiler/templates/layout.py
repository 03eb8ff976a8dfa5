"""Words in memory by name: what an entry leaves for its tasks, what a driver is told of its job.

A *layout* is the order of 64-bit words: data pointers of arrays, then numbers, then words that tasks and their entry
keep for themselves.
"""

from rushlight.compiler.templates import entries


class Layout:
    """``pointers`` are those of the words kept that hold addresses."""

    def __init__(self, arrays, numbers, kept=(), pointers=()):
        self.arrays, self.numbers, self.kept = tuple(arrays), tuple(numbers), tuple(kept)
        self.pointers = {*arrays, *pointers}
        self.names = (*self.arrays, *self.numbers, *self.kept)
        self.index = {name: k for k, name in enumerate(self.names)}

    def words(self, f, pointer):
        """The words at an address."""
        return Words(f, pointer, self)

    def load(self, f, pointer):
        """{name: word} of the arrays and numbers at an address, all loaded here."""
        words = self.words(f, pointer)
        return {name: getattr(words, name) for name in (*self.arrays, *self.numbers)}

    def room(self, f):
        """Words in memory of the function's own, not yet set."""
        return Words(f, f.buffer(8 * len(self.names), 8), self)

    def begin(self, m, name):
        """Begin the entry ``name``, called with arrays (or None), then Python ints: (the function, its words).

        The words that are kept are zeros.
        """
        f = m.function(name, "ptr", entries.ENTRY)
        job = self.room(f)
        entries.read_arrays(f, job.pointer, len(self.arrays))
        entries.read_ints(f, job.pointer + 8 * len(self.arrays), len(self.arrays), len(self.numbers))
        job.set(**dict.fromkeys(self.kept, 0))
        return f, job


class Words:
    """Words of a layout at an address. Each use of a name loads the word."""

    def __init__(self, f, pointer, layout):
        self.f, self.pointer, self.layout = f, pointer, layout

    def at(self, name):
        """The address of a word."""
        return self.pointer + 8 * self.layout.index[name]

    def __getattr__(self, name):
        if name not in self.layout.index:
            raise AttributeError(name)
        return self.f.load("ptr" if name in self.layout.pointers else "i64", self.at(name))

    def set(self, **values):
        """Store words."""
        for name, value in values.items():
            self.f.store(self.f.value(value), self.at(name))
