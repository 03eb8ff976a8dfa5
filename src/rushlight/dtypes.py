"""Element types, their NumPy twins, and the promotion lattice.

Promotion is PyTorch's: the operands fall in three priority groups (tensors with dimensions, 0-dim
tensors, Python numbers); a lower group only matters when its *category* (bool < integer < floating <
complex) is higher than that of every group above it.
"""

import numpy as np

BOOL, INT, FLOAT, COMPLEX = 0, 1, 2, 3


class dtype:
    """The type of a tensor's elements, e.g. ``torch.float32``."""

    __slots__ = ("name", "aliases", "itemsize", "category", "is_floating_point", "is_complex",
                 "is_signed", "_np", "_np_name", "abbr", "index", "zero")

    def __init__(self, name, itemsize, category, signed, np_name, abbr, aliases=(), among=None):
        self.name, self.itemsize, self.category = name, itemsize, category
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self.is_signed = signed
        self._np_name, self._np = np_name, None
        self.abbr, self.aliases = abbr, aliases
        among = ALL if among is None else among
        self.index = len(among)
        self.zero = "0-dim " + name     # stands for this dtype in dispatch keys of 0-dim operands
        among.append(self)

    @property
    def np(self):
        """The NumPy dtype that holds these elements (ml_dtypes' for the types NumPy lacks)."""
        d = self._np
        if d is None:
            d = self._np = _load_ml_dtype(self)
        return d

    def __repr__(self):
        return "torch." + self.name

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    @property
    def is_low_precision(self):
        """16 bits or fewer of floating point: computed in float32, rounded once."""
        return self.category == FLOAT and self.itemsize <= 2

    def to_real(self):
        """The real type with this type's precision."""
        return _TO_REAL.get(self, self)

    def to_complex(self):
        """The complex type with this type's precision."""
        c = _TO_COMPLEX.get(self)
        if c is None:
            raise RuntimeError(f"{self!r} has no complex counterpart")
        return c


def _by_name(name):
    """The dtype of that name, for unpickling."""
    return next(d for d in (*ALL, *QUANTIZED) if d.name == name)


ALL = []
QUANTIZED = []                  # types whose codes stand for multiples of a scale; no arrays have them by themselves
BY_NP = {}
dtype.__module__ = "torch"

uint8 = dtype("uint8", 1, INT, False, "uint8", "u8")
int8 = dtype("int8", 1, INT, True, "int8", "i8")
int16 = dtype("int16", 2, INT, True, "int16", "i16", ("short",))
int32 = dtype("int32", 4, INT, True, "int32", "i32", ("int",))
int64 = dtype("int64", 8, INT, True, "int64", "i64", ("long",))
float16 = dtype("float16", 2, FLOAT, True, "float16", "f16", ("half",))
float32 = dtype("float32", 4, FLOAT, True, "float32", "f32", ("float",))
float64 = dtype("float64", 8, FLOAT, True, "float64", "f64", ("double",))
complex32 = dtype("complex32", 4, COMPLEX, True, None, "c32", ("chalf",))
complex64 = dtype("complex64", 8, COMPLEX, True, "complex64", "c64", ("cfloat",))
complex128 = dtype("complex128", 16, COMPLEX, True, "complex128", "c128", ("cdouble",))
bool_ = dtype("bool", 1, BOOL, False, "bool", "b8")
bfloat16 = dtype("bfloat16", 2, FLOAT, True, None, "bf16")
float8_e5m2 = dtype("float8_e5m2", 1, FLOAT, True, None, "f8e5m2")
float8_e4m3fn = dtype("float8_e4m3fn", 1, FLOAT, True, None, "f8e4m3fn")
float8_e5m2fnuz = dtype("float8_e5m2fnuz", 1, FLOAT, True, None, "f8e5m2fnuz")
float8_e4m3fnuz = dtype("float8_e4m3fnuz", 1, FLOAT, True, None, "f8e4m3fnuz")
float8_e8m0fnu = dtype("float8_e8m0fnu", 1, FLOAT, False, None, "f8e8m0fnu")
uint16 = dtype("uint16", 2, INT, False, "uint16", "u16")
uint32 = dtype("uint32", 4, INT, False, "uint32", "u32")
uint64 = dtype("uint64", 8, INT, False, "uint64", "u64")

qint8 = dtype("qint8", 1, INT, True, None, "qi8", among=QUANTIZED)
quint8 = dtype("quint8", 1, INT, False, None, "qu8", among=QUANTIZED)
qint32 = dtype("qint32", 4, INT, True, None, "qi32", among=QUANTIZED)
quint4x2 = dtype("quint4x2", 1, INT, False, None, "qu4x2", among=QUANTIZED)
quint2x4 = dtype("quint2x4", 1, INT, False, None, "qu2x4", among=QUANTIZED)
for _d, _c in zip(QUANTIZED, (int8, uint8, int32, uint8, uint8)):
    _d._np = np.dtype(_c._np_name)

FLOAT8 = frozenset((float8_e5m2, float8_e4m3fn, float8_e5m2fnuz, float8_e4m3fnuz, float8_e8m0fnu))

for _d in ALL:
    if _d._np_name is not None:
        _d._np = np.dtype(_d._np_name)
        BY_NP[_d._np] = _d

complex32._np = np.dtype([("re", np.float16), ("im", np.float16)])
BY_NP[complex32._np] = complex32

_TO_REAL = {complex32: float16, complex64: float32, complex128: float64}
_TO_COMPLEX = {float16: complex32, float32: complex64, float64: complex128, bfloat16: complex64,
               complex32: complex32, complex64: complex64, complex128: complex128}


def _load_ml_dtype(d):
    import ml_dtypes
    for x in ALL:
        if x._np is None:
            x._np = np.dtype(getattr(ml_dtypes, x.name))
            BY_NP[x._np] = x
    return d._np


def from_np(np_dtype):
    """The dtype of an array with the NumPy dtype `np_dtype`; TypeError where there is none."""
    d = BY_NP.get(np_dtype)
    if d is None:
        np_dtype = np.dtype(np_dtype)
        if np_dtype.type.__module__ == "ml_dtypes":
            _load_ml_dtype(bfloat16)
        d = BY_NP.get(np_dtype)
        if d is None and not np_dtype.isnative:
            raise ValueError(f"given numpy array has byte order different from the native byte order "
                             f"({np_dtype}). Conversion between byte orders is currently not supported.")
        if d is None:
            d = BY_NP.get(np.dtype(np_dtype.name)) if np_dtype.kind in "biufc" and \
                np_dtype.name in ("int64", "uint64", "int32", "uint32") else None
            if d is not None:
                BY_NP[np_dtype] = d
        if d is None:
            raise TypeError(
                f"can't convert np.ndarray of type {np_dtype.type.__module__}.{np_dtype.type.__name__}. "
                "The only supported types are: float64, float32, float16, complex64, complex128, "
                "int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool.")
    return d


# ---------------------------------------------------------------- default dtype

class _Default:
    __slots__ = ("float", "complex")


default = _Default()
default.float, default.complex = float32, complex64


def get_default_dtype():
    """The floating-point type of results made from Python floats and integers."""
    return default.float


def set_default_dtype(d):
    """Set the floating-point type of results made from Python numbers (also the complex one)."""
    if not isinstance(d, dtype):
        raise TypeError(f"invalid dtype object: only floating-point types are supported as the default "
                        f"type, got {d!r}")
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    default.float = d
    default.complex = d.to_complex()
    _RESULT_CACHE.clear()
    for clear in on_default_change:
        clear()


on_default_change = []          # callbacks that empty caches which depend on the default dtype


# ---------------------------------------------------------------- promotion

def _build_table():
    order = [uint8, int8, int16, int32, int64]
    table = {}
    reals = [float16, bfloat16, float32, float64]
    complexes = [complex32, complex64, complex128]
    for a in ALL:
        table[a, a] = a
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            if a is b:
                continue
            if uint8 in (a, b):
                o = b if a is uint8 else a
                table[a, b] = int16 if o is int8 else o
            else:
                table[a, b] = order[max(i, j)]
    ints = [*order, uint16, uint32, uint64]
    for d in ALL:
        table[bool_, d] = table[d, bool_] = d
    for f in reals + complexes:
        for i in ints:
            table[f, i] = table[i, f] = f
    for a in reals:
        for b in reals:
            if a is not b:
                table[a, b] = float32 if {a, b} == {float16, bfloat16} else \
                    (a if a.itemsize > b.itemsize else b)
    for f in reals:
        for c in complexes:
            r = c if f.itemsize * 2 <= c.itemsize else f.to_complex()
            if f is bfloat16 and c is complex32:
                r = complex64
            table[f, c] = table[c, f] = r
    for a in complexes:
        for b in complexes:
            table[a, b] = a if a.itemsize >= b.itemsize else b
    return table


_TABLE = _build_table()


def promote_types(a, b):
    """The smallest type that both `a` and `b` promote to."""
    try:
        return _TABLE[a, b]
    except KeyError:
        pass
    if not isinstance(a, dtype) or not isinstance(b, dtype):
        raise TypeError("promote_types(): expected two torch.dtype arguments")
    if a in QUANTIZED or b in QUANTIZED:
        raise RuntimeError("promoteTypes with quantized numbers is not handled yet; figure out what the correct rules "
                           f"should be, offending types: {scalar_name(a)} {scalar_name(b)}")
    if a in FLOAT8 or b in FLOAT8:
        raise RuntimeError(f"Promotion for Float8 Types is not supported, attempted to promote "
                           f"{scalar_name(a)} and {scalar_name(b)}")
    raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, attempted to "
                       f"promote {scalar_name(a)} and {scalar_name(b)}")


_SCALAR_NAMES = {"uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
                 "float16": "Half", "float32": "Float", "float64": "Double",
                 "complex32": "ComplexHalf", "complex64": "ComplexFloat",
                 "complex128": "ComplexDouble", "bool": "Bool", "bfloat16": "BFloat16",
                 "float8_e5m2": "Float8_e5m2", "float8_e4m3fn": "Float8_e4m3fn",
                 "float8_e5m2fnuz": "Float8_e5m2fnuz", "float8_e4m3fnuz": "Float8_e4m3fnuz",
                 "float8_e8m0fnu": "Float8_e8m0fnu", "uint16": "UInt16", "uint32": "UInt32",
                 "uint64": "UInt64", "qint8": "QInt8", "quint8": "QUInt8", "qint32": "QInt32",
                 "quint4x2": "QUInt4x2", "quint2x4": "QUInt2x4"}


def scalar_name(d):
    """PyTorch's scalar-type name (``Float``, ``Long``, ...), as its error messages spell it."""
    return _SCALAR_NAMES[d.name]


def of_number(x):
    """The dtype a Python (or NumPy) number has when a tensor is made of it."""
    t = type(x)
    if t is bool:
        return bool_
    if t is float:
        return default.float
    if t is int:
        return int64
    if t is complex:
        return default.complex
    if isinstance(x, (bool, np.bool_)):
        return bool_
    if isinstance(x, (int, np.integer)):
        return int64
    if isinstance(x, (float, np.floating)):
        return default.float
    if isinstance(x, (complex, np.complexfloating)):
        return default.complex
    raise TypeError(f"expected a number, got {type(x).__name__}")


def promote_groups(dims, zero_dims, numbers):
    """Result type of operands in three priority groups, each a dtype or None (already promoted)."""
    r = dims
    for lower in (zero_dims, numbers):
        if lower is None:
            continue
        if r is None:
            r = lower
        elif lower.category > r.category:
            if lower is numbers and lower.category == FLOAT:
                r = default.float
            elif lower is numbers and lower.category == COMPLEX:
                r = r.to_complex() if r.category == FLOAT else default.complex
            else:
                r = promote_types(r, lower)
    return r


_RESULT_CACHE = {}


def result_type_of(operands):
    """Promoted dtype of a sequence of tensors and Python numbers (PyTorch's ``result_type``)."""
    dims = zero = nums = None
    for x in operands:
        a = getattr(x, "_a", None)
        if a is None:
            d = of_number(x)
            nums = d if nums is None else promote_types(nums, d)
        elif a.ndim:
            d = x.dtype
            dims = d if dims is None or dims is d else promote_types(dims, d)
        else:
            d = x.dtype
            zero = d if zero is None or zero is d else promote_types(zero, d)
    return promote_groups(dims, zero, nums)


def can_cast(from_, to):
    """Whether a result of type `from_` may be written to a tensor of type `to`."""
    return not (from_.category > to.category) and not (
        from_.category == INT and to.category == BOOL) and not (
        from_.is_complex and not to.is_complex)


# ---------------------------------------------------------------- limits

class finfo:
    """Limits of a floating-point type: bits, eps, max, min, tiny, smallest_normal, resolution, dtype."""

    __slots__ = ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype")

    def __init__(self, type=None):
        d = default.float if type is None else type
        if d.is_complex:
            d = d.to_real()
        if not d.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to "
                            f"handle '{'torch.' + d.name}'")
        if d.itemsize < 4 and d is not float16:
            import ml_dtypes
            i = ml_dtypes.finfo(d.np)
        else:
            i = np.finfo(d.np)
        self.bits = d.itemsize * 8
        self.eps, self.max, self.min = float(i.eps), float(i.max), float(i.min)
        self.tiny = self.smallest_normal = float(i.smallest_normal)
        self.resolution = float(i.resolution)
        if d is bfloat16:
            self.resolution = 0.01
        self.dtype = d.name

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
                f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
                f"dtype={self.dtype})")

    def __eq__(self, other):
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self):
        return hash(("finfo", self.dtype))


class iinfo:
    """Limits of an integer type: bits, min, max, dtype."""

    __slots__ = ("bits", "min", "max", "dtype")

    def __init__(self, type):
        if type.category != INT:
            if type.category == BOOL:
                raise RuntimeError("Bool dtype is not supported by iinfo")
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                            f"'torch.{type.name}'")
        i = np.iinfo(type.np)
        self.bits, self.min, self.max, self.dtype = i.bits, int(i.min), int(i.max), type.name

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other):
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self):
        return hash(("iinfo", self.dtype))
