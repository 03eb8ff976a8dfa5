"""What all pipes share: functional forms, one iteration at a time, names in errors."""

import functools

from rushlight.utils.data.dataset import Dataset, IterableDataset

__all__ = ["DFIterDataPipe", "DataChunk", "IterDataPipe", "MapDataPipe", "functional_datapipe"]


class _Functional:
    """Finds pipes that were registered under a name: ``pipe.map(f)`` is ``Mapper(pipe, f)``."""

    def __getattr__(self, name):
        if not name.startswith("__") and name in type(self).functions:
            return functools.partial(type(self).functions[name], self)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @classmethod
    def register_function(cls, function_name, function):
        """Have ``pipe.function_name(...)`` call ``function(pipe, ...)``."""
        cls.functions[function_name] = function

    @classmethod
    def register_datapipe_as_function(cls, function_name, cls_to_register, enable_df_api_tracing=False):
        """Have ``pipe.function_name(...)`` make a `cls_to_register` on the pipe; Exception for a name that is taken."""
        if function_name in cls.functions:
            raise Exception(f"Unable to add DataPipe function name {function_name} as it is already taken")
        cls.functions[function_name] = cls_to_register

    def __repr__(self):
        return type(self).__qualname__

    __str__ = __repr__

    def __dir__(self):
        return sorted({*super().__dir__(), *type(self).functions})


class IterDataPipe(_Functional, IterableDataset):
    """A pipe to iterate over. Subclasses define ``__iter__``, and ``reset`` for what a new iteration begins with.

    A pipe has one iterator at a time: a new one makes the one before invalid (`fork` gives several).
    """

    functions = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__iter__" in cls.__dict__:
            cls.__iter__ = _guarded(cls.__dict__["__iter__"])

    def reset(self):
        """Forget what an iteration has left; called when a new one begins."""


def _guarded(original):
    @functools.wraps(original)
    def __iter__(self):
        if type(self).__iter__ is not __iter__:         # from a subclass, whose own form guards
            return original(self)
        number = self.__dict__["_iteration"] = self.__dict__.get("_iteration", 0) + 1
        self.reset()
        return _checked(self, original(self), number)
    return __iter__


def _checked(pipe, iterator, number):
    iterator = iter(iterator)
    while True:
        if pipe._iteration != number:
            raise RuntimeError("This iterator has been invalidated because another iterator has been created from the "
                               f"same IterDataPipe: {_described(pipe)}\nThis may be caused by multiple references to "
                               "the same IterDataPipe. We recommend using `.fork()` if that is necessary.")
        try:
            value = next(iterator)
        except StopIteration:
            return
        except Exception as error:
            told = "This exception is thrown by __iter__ of"
            if len(error.args) and told not in str(error.args[0]):
                error.args = (f"{error.args[0]}\n{told} {_described(pipe)}", *error.args[1:])
            raise
        yield value


def _described(pipe):
    def shown(value):
        return getattr(value, "__name__", None) or repr(value)
    fields = ", ".join(f"{k}={shown(v)}" for k, v in vars(pipe).items() if not k.startswith("_"))
    return f"{type(pipe).__name__}({fields})"


class DFIterDataPipe(IterDataPipe):
    """A pipe of data frames."""


class MapDataPipe(_Functional, Dataset):
    """A pipe with ``__getitem__`` (and ``__len__``), for keys or positions."""

    functions = {}


class DataChunk(list):
    """The elements of a batch."""

    def __init__(self, items):
        items = list(items)
        super().__init__(items)
        self.items = items

    def as_str(self, indent=""):
        """The elements as text, in brackets."""
        return indent + "[" + ", ".join(map(str, self)) + "]"

    def raw_iterator(self):
        """The elements."""
        yield from self.items


class functional_datapipe:
    """Decorator: a pipe class that is reached as a method of pipes under this name.

    Args:
        name (str): the method's name. Exception where it is taken.
        enable_df_api_tracing: accepted for compatibility.
    """

    def __init__(self, name, enable_df_api_tracing=False):
        self.name = name

    def __call__(self, cls):
        if not issubclass(cls, (IterDataPipe, MapDataPipe)):
            raise TypeError("`functional_datapipe` can only decorate IterDataPipe or MapDataPipe")
        kind = IterDataPipe if issubclass(cls, IterDataPipe) else MapDataPipe
        kind.register_datapipe_as_function(self.name, cls)
        return cls


def length_of(pipe, owner):
    """``len(pipe)``, with a TypeError that names the pipe which asks."""
    try:
        return len(pipe)
    except (TypeError, NotImplementedError):
        raise TypeError(f"{type(owner).__name__} instance doesn't have valid length") from None
