"""NumPy's arrays of random numbers while a tape is written: they compute as arrays do, by kernels on the tape.

A `SeenArray` is no ndarray but claims to be; what functions in C ask of it comes by NumPy's protocols. Arithmetic,
conversions and reshaping are written down, and `from_numpy` and its likes give the tensor that the tape knows. Whoever
needs the numbers themselves gets no program.
"""

import numpy as np

from ..tensor.tensor import wrap
from .numbers import Seen, plain

_SHAPING = ("astype", "reshape", "copy", "flatten", "ravel", "transpose", "squeeze")
_KNOWN = ("shape", "ndim", "size", "dtype", "itemsize", "nbytes")
_UFUNCS = {"add", "subtract", "multiply", "divide", "power", "negative", "absolute", "exp", "log", "sqrt", "square",
           "minimum", "maximum", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "sin", "cos",
           "tanh", "floor", "ceil", "log1p", "expm1", "fabs", "sign", "rint"}


class SeenArray:
    """An array with its tensor, which shares its memory."""

    __slots__ = ("value", "tensor", "tape", "__weakref__")

    def __init__(self, value, tensor, tape):
        self.value, self.tensor, self.tape = value, tensor, tape

    __class__ = property(lambda self: np.ndarray)
    __hash__ = None

    def captured(self, dtype=None):
        """A tensor on the array's memory."""
        return self.tensor.detach()

    def _tell(self):
        """The array itself; there is no program."""
        self.tape.fail("Python looks at random numbers in an array of NumPy's")
        return self.value

    def _made(self, name, f, operands):
        """``f(*operands)``, which runs in the program as well; an array of the call's own."""
        if any(type(x) is Seen and x.tape is None for x in operands):
            return f(*[_itself(x) for x in operands])
        value = np.array(f(*map(_plain, operands)))
        args = [x.tensor if type(x) is SeenArray else self.tape._followed(x, x.value, _unchanged)
                if type(x) is Seen else x for x in operands]
        tensor = wrap(value)
        self.tape.ran(name, lambda *arrays: np.array(f(*arrays)), args, tensor)
        return SeenArray(value, tensor, self.tape)

    def __array_ufunc__(self, ufunc, method, *inputs, **more):
        plainly = all(isinstance(x, (int, float)) or type(x) is SeenArray for x in inputs)
        if method == "__call__" and not more and ufunc.__name__ in _UFUNCS and plainly:
            return self._made(ufunc.__name__, ufunc, inputs)
        self._tell()
        return getattr(ufunc, method)(*map(_plain, inputs), **more)

    def __array_function__(self, function, types, args, more):
        self._tell()
        return function(*_all_plain(args), **_all_plain(more))

    def __array__(self, dtype=None, copy=None):
        return np.array(self._tell(), dtype)

    def __len__(self):
        return len(self.value)

    def __getattr__(self, name):
        if name in _KNOWN:
            return getattr(self.value, name)
        real = getattr(self.value, name)
        if name in _SHAPING:
            def shaped(*args, **more):
                if all(isinstance(x, (int, str, tuple, type, np.dtype)) and type(x) is not Seen
                       for x in (*args, *more.values())):
                    return self._made(name, lambda a: getattr(a, name)(*args, **more), [self])
                return getattr(self._tell(), name)(*_all_plain(args), **_all_plain(more))
            return shaped
        self._tell()
        return real

    @property
    def T(self):
        return self._made("transpose", np.transpose, [self])

    def __getitem__(self, index):
        return self._tell()[_plain(index)]

    def __setitem__(self, index, value):
        self._tell()[_plain(index)] = _plain(value)

    def __iter__(self):
        return iter(self._tell())

    def __reduce_ex__(self, protocol):
        return self._tell().__reduce_ex__(protocol)


def _unchanged(x):
    return x


def _plain(x):
    return x.value if type(x) is SeenArray else plain(x)


def _itself(x):
    return x.value if type(x) in (SeenArray, Seen) else x


def _all_plain(x):
    if type(x) in (list, tuple):
        return type(x)(map(_all_plain, x))
    return {k: _all_plain(y) for k, y in x.items()} if type(x) is dict else _plain(x)


def _forwarded(name):
    def method(self, *args):
        return getattr(self._tell(), name)(*map(_plain, args))
    return method


def _computing(name, ufunc, turned):
    def method(self, *others):
        if any(not isinstance(x, (int, float, np.ndarray, np.generic)) for x in others):
            return NotImplemented
        return ufunc(*others, self) if turned else ufunc(self, *others)
    return method


for _name, _ufunc in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("truediv", np.divide),
                      ("pow", np.power), ("floordiv", np.floor_divide), ("mod", np.remainder)):
    setattr(SeenArray, f"__{_name}__", _computing(_name, _ufunc, False))
    setattr(SeenArray, f"__r{_name}__", _computing(_name, _ufunc, True))
    setattr(SeenArray, f"__i{_name}__", _forwarded(f"__i{_name}__"))
for _name, _ufunc in (("neg", np.negative), ("abs", np.absolute), ("lt", np.less), ("le", np.less_equal),
                      ("gt", np.greater), ("ge", np.greater_equal), ("eq", np.equal), ("ne", np.not_equal)):
    setattr(SeenArray, f"__{_name}__", _computing(_name, _ufunc, False))
for _name in ("__bool__", "__float__", "__int__", "__index__", "__contains__", "__repr__", "__str__", "__format__",
              "__matmul__", "__rmatmul__", "__and__", "__or__", "__xor__", "__invert__"):
    setattr(SeenArray, _name, _forwarded(_name))
