"""Devices, layouts and memory formats: small immutable facts about where and how data lies."""


class device:
    """Where a tensor lives: ``device('cpu')``, ``device('meta')``, ``device('cuda', 0)``.

    Raises RuntimeError for a type that PyTorch does not know.
    """

    __slots__ = ("type", "index")

    _KNOWN = ("cpu", "cuda", "meta", "mps", "xpu", "xla", "hpu", "mtia", "ipu", "lazy", "vulkan",
              "privateuseone")

    def __new__(cls, type="cpu", index=None):
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            index, type = type, "cuda"
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, int or torch.device, not "
                            f"{type.__class__.__name__}")
        name, sep, number = type.partition(":")
        if sep:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index because index was passed "
                                   f"explicitly: {type}")
            if not number.isdigit() or (len(number) > 1 and number[0] == "0"):
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        if name not in cls._KNOWN:
            if not name.isidentifier():
                raise RuntimeError(f"Invalid device string: '{type}'")
            raise RuntimeError("Expected one of " + ", ".join(cls._KNOWN[:-1]) +
                               f" device type at start of device string: {name}")
        if index is not None and index < -1:
            raise RuntimeError(f"Device index must not be negative, got {index}")
        if index == -1:
            index = None
        cached = _CACHE.get((name, index))
        if cached is None:
            cached = object.__new__(cls)
            cached.type, cached.index = name, index
            _CACHE[name, index] = cached
        return cached

    def __repr__(self):
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return hash((self.type, self.index))

    def __reduce__(self):
        return _device, ((self.type,) if self.index is None else (self.type, self.index))

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __enter__(self):
        _DEFAULT.append(self)
        return self

    def __exit__(self, *exc):
        _DEFAULT.pop()

    def __call__(self, func):
        def wrapper(*args, **kwargs):
            with self:
                return func(*args, **kwargs)
        wrapper.__wrapped__ = func
        wrapper.__name__ = getattr(func, "__name__", "wrapper")
        return wrapper


_CACHE = {}
device.__module__ = "torch"


def _device(*parts):
    """A device, for unpickling: the class itself goes by PyTorch's module name."""
    return device(*parts)

CPU = device("cpu")
META = device("meta")
_DEFAULT = [CPU]


def get_default_device():
    """The device that factory functions use when none is named."""
    return _DEFAULT[-1]


def set_default_device(device):
    """Set the device that factory functions use when none is named (None: the CPU)."""
    _DEFAULT[-1] = CPU if device is None else usable(device)


def usable(d):
    """`d` as a device on which tensors can be made here; raises for one that is absent.

    None means the default device; ``cpu:0`` is the CPU, as PyTorch spells it back.
    """
    if d is None:
        return _DEFAULT[-1]
    if d is CPU:
        return d
    d = device(d)
    t = d.type
    if t == "cpu" or t == "meta":
        return CPU if t == "cpu" else META
    if t == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    raise RuntimeError(f"Rushlight has no '{t}' back end: tensors live on 'cpu' or 'meta' here")


class _Named:
    """An enumeration member that prints as its PyTorch name and pickles by it."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return "torch." + self.name

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


class layout(_Named):
    """How a tensor's elements are organised: strided, or a sparse format."""
    __slots__ = ()


class memory_format(_Named):
    """Order of a dense tensor's dimensions in memory."""
    __slots__ = ()


layout.__module__ = memory_format.__module__ = "torch"


def _by_name(name):
    """The layout or memory format of that name, for unpickling."""
    return globals()[name]


strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
sparse_csc = layout("sparse_csc")
sparse_bsr = layout("sparse_bsr")
sparse_bsc = layout("sparse_bsc")
jagged = layout("jagged")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
