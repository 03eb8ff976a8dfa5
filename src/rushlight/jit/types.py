"""Types of the script language: tensors, numbers, strings, containers, classes, and how the two notations write them.

``str(t)`` is how graphs print a type (``Tensor?``, ``int[]``, ``Dict(str, Tensor)``), ``t.source()`` how code does
(``Optional[Tensor]``, ``List[int]``). Types of one kind and contents are equal; class types are equal by name.
"""


class Type:
    """A type without parts, such as ``int``."""

    __slots__ = ("name", "shown", "__weakref__")

    def __init__(self, name, shown=None):
        self.name, self.shown = name, shown or name

    def key(self):
        """What equal types share."""
        return self.name

    def source(self):
        """The type as code writes it."""
        return self.name

    def parts(self):
        """The types inside."""
        return ()

    def __str__(self):
        return self.shown

    __repr__ = __str__

    def __eq__(self, other):
        return self is other or isinstance(other, Type) and self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    @property
    def annotation_str(self):
        """The type as code writes it."""
        return self.source()

    def kind(self):
        """The name of the kind, ``TensorType`` for instance."""
        return type(self).__name__ if type(self) is not Type else self.name.capitalize() + "Type"

    def isSubtypeOf(self, other):
        """Whether values of this type may stand where `other` is expected."""
        return is_subtype(self, other)


TENSOR, INT, FLOAT, BOOL, STR = Type("Tensor"), Type("int"), Type("float"), Type("bool"), Type("str")
COMPLEX, NONE, DEVICE, SCALAR = Type("complex"), Type("NoneType"), Type("Device"), Type("number", "Scalar")
ANY, GENERATOR, FUNCTION = Type("Any"), Type("Generator"), Type("Function")
STORAGE, STREAM = Type("Storage"), Type("Stream")
UNSET = Type("Unset")               # of a variable that has no value yet on this path; takes any type
_CODES = ("ScalarType", "Layout", "MemoryFormat", "QScheme")      # kinds of int in signatures
NUMBERS = (INT, FLOAT, COMPLEX)


class Traced(Type):
    """A tensor whose dtype and sizes were seen as it was traced: prints them, is ``Tensor`` otherwise."""

    __slots__ = ()

    def __init__(self, shown):
        super().__init__("Tensor", shown)


class ListType(Type):
    """``List[T]``; `size` is how many a number given instead is repeated (``int[2]`` of signatures)."""

    __slots__ = ("element", "size")

    def __init__(self, element, size=None):
        self.element, self.size = element, size

    def key(self):
        return "list", self.element.key()

    def source(self):
        return f"List[{self.element.source()}]"

    def parts(self):
        return (self.element,)

    def __str__(self):
        inner = str(self.element)
        return f"{inner}[]"

    def getElementType(self):
        """The type of the elements."""
        return self.element


class OptionalType(Type):
    """``Optional[T]``."""

    __slots__ = ("element",)

    def __init__(self, element):
        self.element = element

    def key(self):
        return "optional", self.element.key()

    def source(self):
        return f"Optional[{self.element.source()}]"

    def parts(self):
        return (self.element,)

    def __str__(self):
        return f"{self.element}?"


class UnionType(Type):
    """``Union[A, B, ...]``."""

    __slots__ = ("members",)

    def __init__(self, members):
        self.members = tuple(members)

    def key(self):
        return ("union", *sorted(map(str, self.members)))

    def source(self):
        return f"Union[{', '.join(m.source() for m in self.members)}]"

    def parts(self):
        return self.members

    def __str__(self):
        return f"Union({', '.join(map(str, self.members))})"


class TupleType(Type):
    """``Tuple[A, B, ...]``; a NamedTuple has the names of its fields and a name, its class maybe."""

    __slots__ = ("elements", "fields", "qualified", "python", "defaults")

    def __init__(self, elements, fields=None, qualified=None, python=None, defaults=()):
        self.elements, self.fields, self.qualified = tuple(elements), fields, qualified
        self.python, self.defaults = python, defaults

    def key(self):
        return ("tuple", self.qualified, *(e.key() for e in self.elements))

    def source(self):
        if self.qualified:
            return self.qualified
        return f"Tuple[{', '.join(e.source() for e in self.elements)}]" if self.elements else "Tuple[()]"

    def parts(self):
        return self.elements

    def __str__(self):
        if self.fields:
            return f"NamedTuple({', '.join(f'{f} : {e}' for f, e in zip(self.fields, self.elements))})"
        return f"({', '.join(map(str, self.elements))})"


class DictType(Type):
    """``Dict[K, V]``."""

    __slots__ = ("of", "element")

    def __init__(self, of, element):
        self.of, self.element = of, element

    def key(self):
        return "dict", self.of.key(), self.element.key()

    def source(self):
        return f"Dict[{self.of.source()}, {self.element.source()}]"

    def parts(self):
        return self.of, self.element

    def __str__(self):
        return f"Dict({self.of}, {self.element})"


class FutureType(Type):
    """What `fork` returns: a T that comes later."""

    __slots__ = ("element", "word")

    def __init__(self, element, word="Future"):
        self.element, self.word = element, word

    def key(self):
        return self.word, self.element.key()

    def source(self):
        return f"{self.word}[{self.element.source()}]"

    def parts(self):
        return (self.element,)

    def __str__(self):
        return f"{self.word}[{self.element}]"


class EnumType(Type):
    """An enumeration: `python` is its class, `value` the type of all its values."""

    __slots__ = ("python", "value")

    def __init__(self, name, python, value):
        super().__init__(name, f"Enum<{name}>")
        self.python, self.value = python, value


class VariableType(Type):
    """A type that a signature leaves open (``t``)."""

    __slots__ = ()

    def key(self):
        return "variable", self.name


class CodeType(Type):
    """An int that stands for a dtype, a layout or a memory format in a signature."""

    __slots__ = ()

    def key(self):
        return "int"


class ClassType(Type):
    """A class: attributes by name in order, methods compiled when first asked for.

    attributes: {name: type}; constants: {name: value}; parameters, buffers: names among the attributes;
    methods: {name: `Function` or a callable that makes it}; module: whether it is a module.
    python: the Python class it was made from, if any; unused: {name: reason} of attributes that can't be scripted.
    """

    __slots__ = ("attributes", "constants", "parameters", "buffers", "methods", "module", "python", "unused",
                 "python_values", "hooks", "pre_hooks", "properties", "interface", "static", "lists", "fresh")

    def __init__(self, name, module=False, python=None):
        super().__init__(name)
        self.attributes, self.constants, self.parameters, self.buffers = {}, {}, [], []
        self.methods, self.module, self.python, self.unused, self.python_values = {}, module, python, {}, {}
        self.hooks, self.pre_hooks, self.properties, self.interface, self.static = [], [], {}, None, set()
        self.lists, self.fresh = {}, None

    def key(self):
        return "class", self.name, id(self)

    def method(self, name):
        """The compiled method, or None."""
        found = self.methods.get(name)
        if found is None:
            return None
        if not hasattr(found, "graph"):
            found = found()
            self.methods[name] = found
        return found

    def qualified_name(self):
        """The full name."""
        return self.name


class InterfaceType(Type):
    """A set of methods that classes may have: {name: signature}; `module`: of modules."""

    __slots__ = ("methods", "module", "python")

    def __init__(self, name, methods, module, python=None):
        super().__init__(name)
        self.methods, self.module, self.python = methods, module, python

    def key(self):
        return "interface", self.name


def optional(t):
    """``Optional[t]``, or `t` where it can be None already."""
    return t if t in (NONE, ANY) or isinstance(t, OptionalType) else OptionalType(t)


def plain(t):
    """`t` without what tracing saw."""
    return TENSOR if isinstance(t, Traced) else t


def is_subtype(a, b):
    """Whether a value of type `a` may stand where `b` is expected."""
    if a is b or b is ANY or a == b or a is UNSET:
        return True
    if isinstance(b, OptionalType):
        return a == NONE or is_subtype(a.element if isinstance(a, OptionalType) else a, b.element)
    if isinstance(b, UnionType):
        if isinstance(a, UnionType):
            return all(is_subtype(m, b) for m in a.members)
        if isinstance(a, OptionalType):
            return is_subtype(NONE, b) and is_subtype(a.element, b)
        return any(is_subtype(a, m) for m in b.members)
    if b == SCALAR:
        return a in NUMBERS or isinstance(a, UnionType) and all(m in NUMBERS for m in a.members)
    if isinstance(a, TupleType) and isinstance(b, TupleType):
        return (b.qualified is None or a.qualified == b.qualified) and len(a.elements) == len(b.elements) and all(
            is_subtype(x, y) for x, y in zip(a.elements, b.elements))
    if isinstance(b, InterfaceType):
        return isinstance(a, ClassType) and all(m in a.methods for m in b.methods)
    if isinstance(a, ListType) and isinstance(b, ListType):
        return b.element is ANY
    return False


def unify(a, b, wide=True):
    """The smallest type that holds values of both, or None. wide: ``Optional`` may be made."""
    if a is UNSET:
        return b
    if b is UNSET or is_subtype(b, a):
        return plain(a) if a != b else a
    if is_subtype(a, b):
        return b
    if wide and a == NONE:
        return optional(b)
    if wide and b == NONE:
        return optional(a)
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):
        inner = unify(a.element if isinstance(a, OptionalType) else a,
                      b.element if isinstance(b, OptionalType) else b, wide)
        return None if inner is None else optional(inner)
    if isinstance(a, TupleType) and isinstance(b, TupleType) and len(a.elements) == len(b.elements) and not (
            a.qualified or b.qualified):
        inner = [unify(x, y, wide) for x, y in zip(a.elements, b.elements)]
        return None if None in inner else TupleType(inner)
    return None


def union(members):
    """The type of values of any of the types."""
    flat = []
    for m in members:
        for x in m.members if isinstance(m, UnionType) else (m.element, NONE) if isinstance(m, OptionalType) else (m,):
            if x not in flat:
                flat.append(x)
    if len(flat) == 1:
        return flat[0]
    if NONE in flat and len(flat) == 2:
        return OptionalType(next(x for x in flat if x != NONE))
    return UnionType(flat)


_WORDS = {"Tensor": TENSOR, "int": INT, "SymInt": INT, "float": FLOAT, "bool": BOOL, "str": STR, "complex": COMPLEX,
          "Scalar": SCALAR, "number": SCALAR, "NoneType": NONE, "None": NONE, "Device": DEVICE, "Any": ANY,
          "Generator": GENERATOR, "Function": FUNCTION, "Storage": STORAGE, "Stream": STREAM, "AnyClassType": ANY,
          "AnyEnumType": ANY, **{w: CodeType(w) for w in _CODES}}


def read_notation(text):
    """The type that a signature or a graph writes as `text`."""
    return _Notation(text).whole()


class _Notation:
    """Reads types as signatures write them."""

    def __init__(self, text):
        self.text, self.at = text.replace(" ", ""), 0

    def whole(self):
        t = self.read()
        if self.at != len(self.text):
            raise RuntimeError(f"unknown type {self.text!r}")
        return t

    def word(self):
        start = self.at
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "_."):
            self.at += 1
        return self.text[start:self.at]

    def items(self, end):
        found = []
        while self.text[self.at] != end:
            found.append(self.read())
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1
        return found

    def read(self):
        if self.text[self.at:self.at + 1] == "(":
            self.at += 1
            t = TupleType(self.items(")"))
        else:
            word = self.word()
            follow = self.text[self.at:self.at + 1]
            if word == "Dict":
                self.at += 1
                t = DictType(*self.items(")"))
            elif word in ("Future", "Await", "RRef"):
                self.at += 1
                t = FutureType(self.items(")")[0], word)
            else:
                t = _WORDS.get(word) or VariableType(word)
                if follow == "(":                                   # aliasing, which types do not tell
                    self.at = self.text.index(")", self.at) + 1
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == "[":
                end = self.text.index("]", self.at)
                size = self.text[self.at + 1:end]
                t, self.at = ListType(t, int(size) if size else None), end + 1
            elif c == "?":
                t, self.at = OptionalType(t), self.at + 1
            elif c == "(":
                self.at = self.text.index(")", self.at) + 1
            else:
                break
        return t
