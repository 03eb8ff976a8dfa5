"""What names mean while a function is compiled: values of the graph, or things that are there at compile time only."""


class Sugar:
    """Something that is no value of the graph."""

    __slots__ = ()

    def __repr__(self):
        return type(self).__name__


class Python(Sugar):
    """An object of Python: a module, function, class or constant."""

    __slots__ = ("value", "path")

    def __init__(self, value, path=None):
        self.value, self.path = value, path


class Operator(Sugar):
    """Operators of the table by name, and the value that the first argument is, if it was a method."""

    __slots__ = ("names", "self_value", "shown")

    def __init__(self, names, self_value=None, shown=None):
        self.names, self.self_value, self.shown = names, self_value, shown


class Method(Sugar):
    """A method of a value of a class."""

    __slots__ = ("value", "type", "name")

    def __init__(self, value, type, name):
        self.value, self.type, self.name = value, type, name


class Compiled(Sugar):
    """A compiled function; `bound` are values that come first."""

    __slots__ = ("function", "bound")

    def __init__(self, function, bound=()):
        self.function, self.bound = function, bound


class TypeName(Sugar):
    """A type of the script language as a callable."""

    __slots__ = ("type",)

    def __init__(self, type):
        self.type = type


class Special(Sugar):
    """A function that the compiler knows by itself (``len``, ``isinstance``)."""

    __slots__ = ("name", "more")

    def __init__(self, name, more=None):
        self.name, self.more = name, more


class Several(Sugar):
    """Some things in order, known at compile time: a container of modules, or arguments of ``zip``."""

    __slots__ = ("items", "keys", "value", "kind")

    def __init__(self, items, keys=None, value=None, kind="tuple"):
        self.items, self.keys, self.value, self.kind = items, keys, value, kind


class Iterated(Sugar):
    """Something to iterate over at run time: ``range``, ``enumerate``, ``zip``.

    length: makes a value with how many times; element: gives the element for the value of an index.
    """

    __slots__ = ("length", "element", "static")

    def __init__(self, length, element, static=None):
        self.length, self.element, self.static = length, element, static


class Namespace(Sugar):
    """A dotted name of an archive that leads to operators, types or functions."""

    __slots__ = ("path",)

    def __init__(self, path):
        self.path = path


class Undefined:
    """What a variable is after branches that do not agree: why, for the message."""

    __slots__ = ("message", "range")

    def __init__(self, message, range):
        self.message, self.range = message, range


class Frame:
    """Variables of a block."""

    __slots__ = ("block", "parent", "values", "refined", "declared")

    def __init__(self, block, parent):
        self.block, self.parent = block, parent
        self.values, self.refined, self.declared = {}, {}, {}

    def get(self, name):
        """What a name is, or None."""
        f = self
        while f is not None:
            if name in f.refined:
                return f.refined[name]
            if name in f.values:
                return f.values[name]
            f = f.parent
        return None

    def set(self, name, value):
        """Give a name another value in this block."""
        self.refined.pop(name, None)
        self.values[name] = value

    def declaration(self, name):
        """The annotated type of a name, or None."""
        f = self
        while f is not None:
            if name in f.declared:
                return f.declared[name]
            f = f.parent
        return None
