"""Putting generated functions in the place of Python ones, and keeping their descriptors filled."""

import copyreg
import ctypes
import os
import sys
import threading
from types import BuiltinFunctionType

from ... import devices
from ...autograd import modes
from ...autograd.node import AccumulateGrad, Node, next_seq
from ...dtypes import BY_NP, bool_, dtype, float32, float64, int32, int64
from ...record import Record
from ...runtime.native import immortal
from ...tensor.geometry import Size
from ...tensor.storage import Storage
from ...tensor.tensor import Tensor, ViewInfo, wrap
from .. import dispatch
from ..registry import FUNCTIONS, LOCKS, METHODS
from . import along, entry, outs

_state = None
_lock = threading.RLock()    # one thread at a time puts functions in place
LOCKS.append(_lock)
_done = set()                # installers that have run
_waiting = []                # calls that other threads left for the main thread
ALL_DIMS = (1 << 63) - 1     # mask of reduced dimensions
_keep = []


class _State:
    """What is loaded: entry addresses, the environment table, descriptors by record."""

    __slots__ = ("entries", "table", "descriptors", "definitions")

    def found_table(self):
        """Address of the environment table."""
        return self.entries["rl_tensor_environment"]


def offset(cls, slot):
    """Byte offset of a slot, read from its member descriptor (PyMemberDescrObject, PyMemberDef)."""
    member = ctypes.c_void_p.from_address(id(cls.__dict__[slot]) + 40).value
    return ctypes.c_ssize_t.from_address(member + 16).value


def _offsets():
    out = {s: offset(Tensor, s) for s in ("_a", "dtype", "_storage", "_offset", "_requires_grad", "_grad",
                                           "_grad_fn", "_out_nr", "_view", "_meta", "_bits")}
    for cls, slots in ((Storage, ("owner", "version", "root", "_bytes")), (ViewInfo, (
            "base", "version", "no_grad", "multi")), (Node, ("edges", "saved", "seq", "outs", "ext")),
            (dispatch._Value, ("value",))):
        for s in slots:
            out[f"{cls.__name__}.{s}"] = offset(cls, s)
    from ..pointwise.core import Launch
    out["Node.plan"] = offset(dispatch.RecordNode, "plan")
    for cls, slots in ((dtype, ("zero", "category")), (Record, ("extra", "plans", "tensor_args", "_node"))):
        for s in slots:
            out[f"{cls.__name__}.{s}"] = offset(cls, s)
    out["Plan.fetch"] = offset(dispatch.Plan, "fetch")
    for s in ("kernel", "convert", "out", "out_np"):
        out[f"Launch.{s}"] = offset(Launch, s)
    return out


def _sound(offsets):
    """Whether the offsets read back what Python sees, so that generated code may rely on them."""
    import numpy as np

    a = np.zeros((2, 3), np.float32)
    t = wrap(a)

    def at(obj, name):
        return ctypes.c_void_p.from_address(id(obj) + offsets[name]).value
    return (at(t, "_a") == id(a) and at(t, "dtype") == id(t.dtype) and at(t, "_storage") == id(t._storage)
            and at(t, "_grad_fn") == id(None) and at(t, "_requires_grad") == id(False)
            and at(t._storage, "Storage.owner") == id(a)
            and ctypes.c_void_p.from_address(id(a) + entry.DESCR).value == id(a.dtype)
            and ctypes.c_int.from_address(id(a) + entry.ND).value == 2
            and ctypes.c_int.from_address(id(a) + entry.FLAGS).value & 1 == 1)


def ready():
    """Load the entries (once); False where this interpreter is not laid out as they expect."""
    global _state
    if _state is None:
        if threading.current_thread() is not threading.main_thread():
            return False            # generated functions serve the main thread, which loads them when it comes
        with _lock:
            _state = _load() or False
        while _waiting:
            call, *args = _waiting.pop()
            call(*args)
    return bool(_state)


def _first(installer):
    """Whether `installer` is to run now: the entries are there and it has not run."""
    if not ready() or installer in _done:
        return False
    _done.add(installer)
    return True


def _load():
    from ...compiler import available
    if not available():
        return None
    offsets = _offsets()
    if not _sound(offsets):
        return None
    import numpy as np

    from ...runtime import native
    from . import modules
    symbols = {**native.symbols()}
    modules.load_together(offsets)
    found = modules.load("entry", offsets, ("rl_elementwise", "rl_reduce_along", "rl_view", "rl_select",
                                            "rl_tensor_environment"))
    table = (ctypes.c_uint64 * len(entry.ENVIRONMENT)).from_address(found["rl_tensor_environment"])
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    values = {"Tensor": id(Tensor), "Parameter": 1, "ndarray": id(np.ndarray), "Storage": id(Storage),
              "Value": id(dispatch._Value), "AccumulateGrad": id(AccumulateGrad), "ViewInfo": id(ViewInfo),
              "None_": id(None), "True_": id(True), "False_": id(False), "zero": id(0),
              "next_seq": id(next_seq), "plain": 0, "recording": 0, "bits": id(0), "thread": get(), "float": id(float),
              "int": id(int), "rl_new_array": symbols["rl_new_array"],
              "PyArray_NewFromDescr": symbols["PyArray_NewFromDescr"],
              "PyArray_SetBaseObject": symbols["PyArray_SetBaseObject"], "tuple": id(tuple),
              "dim": id(sys.intern("dim")), "keepdim": id(sys.intern("keepdim")), "list": id(list), "bool": id(bool),
              "BY_NP": id(BY_NP), "wrap": id(wrap), "attach": id(dispatch.attach), "multi": id(sys.intern("multi")),
              "general": 0, "Size": id(Size), "float32": id(float32.np), "float64": id(float64.np),
              "int64": id(int64.np), "int32": id(int32.np), "bool_": id(bool_.np),
              "devices": id(devices._DEFAULT), "CPU": id(devices.CPU), "default_dtype": 0, "default_descr": 0,
              "str": id(str), "dtype": id(dtype), "device": id(devices.device),
              "memory_format": id(devices.memory_format), "layout": id(devices.layout)}
    _keep.extend((wrap, dispatch.attach))
    for i, name in enumerate(entry.ENVIRONMENT):
        table[i] = values[name]
    s = _State()
    s.entries, s.table, s.descriptors, s.definitions = found, table, {}, {}
    words = found["rl_tensor_environment"]

    def serve_this_thread():
        table[entry.ENVIRONMENT.index("thread")] = get()
        modes.mirror((ctypes.c_uint64 * 3).from_address(words + 8 * entry.ENVIRONMENT.index("plain")))
    serve_this_thread()
    # The child of another thread's fork has that thread only; the old one's state may be reused.
    os.register_at_fork(after_in_child=serve_this_thread)
    return s


def intercept(fn, make, mark="intercepted"):
    """Put ``make(end)`` in the place of the Python function that ends the chain of `fn`; False if it has none.

    mark: attribute of ends that have been replaced by this caller before.
    """
    if type(fn) is not BuiltinFunctionType or type(fn.__self__).__name__ != "PyCapsule":
        return False
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    while True:
        words = (ctypes.c_uint64 * entry.DESC_WORDS).from_address(pointer(fn.__self__, None))
        fn = ctypes.cast(words[entry.FALLBACK], ctypes.py_object).value
        if type(fn) is not BuiltinFunctionType:
            break
    if not hasattr(fn, mark):
        fn = make(fn)
        setattr(fn, mark, True)
        _keep.append(fn)
        words[entry.FALLBACK] = id(fn)
    return True


def parameter_type(cls):
    """Tell generated code that instances of `cls` (nn.Parameter) are plain tensors."""
    global _parameter
    _parameter = cls
    if _state:
        _state.table[entry.ENVIRONMENT.index("Parameter")] = id(cls)


_parameter = None


class _MethodDef(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("doc", ctypes.c_char_p)]


def _builtin(name, address, descriptor, doc=None):
    """A builtin function over `descriptor` (a ctypes array, kept alive)."""
    api = ctypes.pythonapi
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = api.PyCapsule_New(ctypes.addressof(descriptor), None, None)
    definition = immortal(_MethodDef(name.encode(), address, 0x82, doc.encode() if doc else None))
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
        ctypes.cast(api.PyCFunction_NewEx, ctypes.c_void_p).value)
    _keep.extend((descriptor, capsule))
    return new(ctypes.addressof(definition), capsule, None)


def _public_name(builtin):
    """What a pickle says of a builtin function: ours go by the names users import them by."""
    if type(builtin.__self__).__name__ == "PyCapsule":
        for ns in ("torch.nn.functional", "torch", *FUNCTIONS):
            for name, fn in FUNCTIONS[ns].items():
                if fn is builtin:
                    builtin.__module__ = ns.replace("torch", "rushlight", 1)
                    return name
        for name, method in METHODS.items():
            if getattr(method, "__func__", None) is builtin:
                builtin.__module__ = "rushlight"
                return f"Tensor.{name}"
    return builtin.__reduce__()


copyreg.pickle(BuiltinFunctionType, _public_name)


def _bound(builtin):
    """A descriptor that binds `builtin` as a method."""
    new = ctypes.pythonapi.PyInstanceMethod_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.py_object]
    return new(builtin)


def descriptor(rec, fallback, n):
    """A fresh descriptor for a record of `n` operands."""
    d = (ctypes.c_uint64 * entry.DESC_WORDS)()
    _keep.append(fallback)
    d[entry.FALLBACK], d[entry.OPERANDS] = id(fallback), n
    d[entry.IN_DESCR] = id(float32.np)
    _state.descriptors.setdefault(rec, []).append(d)
    return d


def elementwise(rec, fallback, name):
    """The generated function of a pointwise record without params; its kernels come by `fill`."""
    d = descriptor(rec, fallback, len(rec.tensor_args))
    d[entry.EXTRA] = id(rec)
    return _builtin(name, _state.entries["rl_elementwise"], d)


_PATTERNS = {(float32,): entry.KERNEL, (float32, float32): entry.KERNEL,
             (float32, float32, float32): entry.KERNEL,
             (float32, float32, float32, float32): entry.KERNEL,
             (float32, float): entry.KERNEL_RIGHT, (float32, int): entry.KERNEL_RIGHT,
             (float, float32): entry.KERNEL_LEFT, (int, float32): entry.KERNEL_LEFT}


def fill(rec, key, launch):
    """A kernel was made for the operand types `key`: let the generated functions use it."""
    word = _PATTERNS.get(key)
    if word is None or launch.kernel is None:
        return
    for d in _state.descriptors.get(rec, ()):
        if d[entry.OUT_DESCR] in (0, id(launch.out_np)):
            _keep.append(launch.kernel)
            d[entry.OUT_DESCR], d[entry.OUT_DTYPE] = id(launch.out_np), id(launch.out)
            d[word] = id(launch.kernel)
            if launch.out.category >= 2 and not isinstance(rec.vjp, dispatch.NoGradient):
                d[entry.NODE] = id(dispatch.node_class(rec))


_ALONG_CODES = {"dim": entry.DIM_TUPLE, "keepdim": entry.KEEPDIM}
_along = set()              # records of reductions along a dimension
_VIEW_CODES = {"self_shape": entry.SHAPE, "dim": entry.ZERO, "index": entry.INDEX}


def fill_plan(rec, mask, plan):
    """A backward plan was made: let the generated functions save by it, if it is a simple one."""
    if not _state or rec not in _state.descriptors or mask > 15:
        return
    index = {rec.args[p].name: k for k, p in enumerate(rec.tensor_args)}
    codes = []
    for name in plan.names:
        if name in index:           # derived ops have inputs that are called "out"
            codes.append(index[name])
        elif name == "out":
            codes.append(entry.OUTPUT)
        elif rec.kind == "view" and name in _VIEW_CODES:
            codes.append(_VIEW_CODES[name])
        elif rec in _along and name in _ALONG_CODES:
            codes.append(_ALONG_CODES[name])
        elif name == "self_shape":
            codes.append(entry.SHAPE)
        else:
            return
    if len(codes) > entry.PLAN_WORDS - 2:
        return
    _keep.append(plan)
    for d in _state.descriptors[rec]:
        at = entry.PLANS + mask * entry.PLAN_WORDS
        d[at + 1] = len(codes)
        for i, c in enumerate(codes):
            d[at + 2 + i] = c
        d[at] = id(plan)


def adopt(rec, key, launch):
    """First float32 run of a record: make its generated functions and publish them."""
    if launch.kernel is None:
        return
    if not ready():
        if _state is None:
            _waiting.append((adopt, rec, key, launch))
        return
    with _lock:
        if _parameter is None and "rushlight.nn.parameter" in sys.modules:
            parameter_type(sys.modules["rushlight.nn.parameter"].Parameter)
        install_views()
        if key not in _PATTERNS:
            return
        if rec not in _state.descriptors:
            publish(rec)
        fill(rec, key, launch)
        for mask, plan in list(rec.plans.items()):
            fill_plan(rec, mask, plan)


def _plain(rec):
    """The readable path of a record as a function of its operands."""
    from ..pointwise.core import run

    def call(*operands):
        return run(rec, operands, ())
    return call


_UNBOUND = ("__add__", "__radd__", "__sub__", "__mul__", "__rmul__", "__truediv__", "__neg__", "__abs__",
            "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__")


def publish(rec):
    """Replace every public function of `rec` by its generated twin."""
    made = {}

    def twin(fn, name):
        got = made.get(fn)
        if got is None:
            got = made[fn] = elementwise(rec, fn, name)
        return got
    names = []
    for ns, table in FUNCTIONS.items():
        for name, fn in table.items():
            if getattr(fn, "record", None) is rec and not name.endswith("_"):
                table[name] = twin(fn, name)
                names.append((ns, name, fn))
    for name, fn in METHODS.items():
        if getattr(fn, "record", None) is rec and not name.endswith("_"):
            bound = _bound(twin(fn, name))
            METHODS[name] = bound
            setattr(Tensor, name, bound)
            names.append(("method", name, fn))
    for ns, name, fn in names:
        module = sys.modules.get({"torch": "rushlight"}.get(ns, ns.replace("torch", "rushlight", 1)))
        if module is not None and module.__dict__.get(name) is fn:
            setattr(module, name, made[fn])
    for dunder in _UNBOUND:
        op = Tensor.__dict__.get(dunder)
        if getattr(op, "record", None) is rec:
            setattr(Tensor, dunder, _bound(elementwise(rec, op, dunder)))
    rec.native = elementwise(rec, _plain(rec), rec.name)




def _serve(rec, address, fallback, kernel=None, extra=None, any_dtype=False):
    """A generated function for a record that is no pointwise one."""
    d = _described(rec, fallback, kernel, extra)
    if any_dtype:
        d[entry.IN_DESCR] = 0
    return _builtin(rec.name, _state.entries[address], d)


def _described(rec, fallback, kernel=None, extra=None):
    """A descriptor with its kernel and plans."""
    d = descriptor(rec, fallback, 1 if rec.kind == "view" else len(rec.tensor_args))
    d[entry.OUT_DESCR], d[entry.OUT_DTYPE] = id(float32.np), id(float32)
    if not isinstance(rec.vjp, dispatch.NoGradient):
        d[entry.NODE] = id(dispatch.node_class(rec))
    if kernel is not None:
        _keep.append(kernel)
        d[entry.KERNEL] = id(kernel)
    if extra is not None:
        _keep.append(extra)
        d[entry.EXTRA] = id(extra)
    for mask, plan in rec.plans.items():
        fill_plan(rec, mask, plan)
    return d


def _replace(fn, twin, dunders=()):
    """Put `twin` where the public function `fn` stands."""
    bound = _bound(twin)
    outs.replaced(fn, twin)
    for ns, table in FUNCTIONS.items():
        for name, f in table.items():
            if f is fn:
                table[name] = twin
                module = sys.modules.get({"torch": "rushlight"}.get(ns, ns.replace("torch", "rushlight", 1)))
                if module is not None and module.__dict__.get(name) is fn:
                    setattr(module, name, twin)
    for name, f in METHODS.items():
        if f is fn:
            METHODS[name] = bound
            setattr(Tensor, name, bound)
    for name in dunders:
        setattr(Tensor, name, bound)


def install_views():
    """Generated ``view`` of sizes and ``x[i]``, for any dtype."""
    if not _first("views"):
        return
    from ..slicing import _select
    from ..views import _view
    view = METHODS.get("view")
    if view is not None:
        _replace(view, _serve(_view.record, "rl_view", view, any_dtype=True))
    for shape in (METHODS["reshape"], FUNCTIONS["torch"]["reshape"]):
        _replace(shape, _serve(_view.record, "rl_view", shape, any_dtype=True))
    getitem = METHODS["__getitem__"]
    _replace(getitem, _serve(_select.record, "rl_select", getitem, any_dtype=True), ("__getitem__",))
    from . import calls, contents, geometry, making, observing
    geometry.install(_state, _builtin, _bound, _replace, _offsets())
    calls.install(_state, _builtin, _offsets())
    making.install(_state, _builtin, _replace, _offsets())
    contents.install(_state, _builtin, _replace, _offsets())
    observing.install(_state, _builtin, _replace, _offsets())
    outs.install(_state, _builtin, _offsets())


def install_reduction(kind, kernel):
    """Generated ``x.sum()``, ``x.sum(dim)`` (or mean, amax, amin) of float32 tensors, once their kernel is there."""
    with _lock:
        if not ready():
            if _state is None:
                _waiting.append((install_reduction, kind, kernel))
            return
        if not _first(kind):
            return
        from .. import extrema, reduction
        for name, everything, some in {
            "sum": [("sum", reduction._sum_all, reduction._sum_dim)],
            "mean": [("mean", reduction._mean_all, reduction._mean_dim)],
            "prod": [("prod", reduction._prod_all, reduction._prod_dim)],
            "max": [("max", extrema._max_all, None), ("amax", None, extrema._amax)],
            "min": [("min", extrema._min_all, None), ("amin", None, extrema._amin)],
            "argmax": [("argmax", extrema._argmax, extrema._argmax)],
            "argmin": [("argmin", extrema._argmin, extrema._argmin)],
            "any": [("any", reduction._any, reduction._any)],
            "all": [("all", reduction._all, reduction._all)],
        }[kind]:
            _reduces(name, everything, some, kernel)


def _reduces(name, everything, some, kernel):
    """Generated functions of one name: over all elements, along dimensions (either may be None)."""
    second = None
    if some:
        _along.add(some.record)
        second = _described(some.record, METHODS[name], kernel)
    for fn in {METHODS[name], FUNCTIONS["torch"][name]}:
        first = _described(everything.record, fn, kernel, ALL_DIMS) if everything else _described(some.record, fn)
        first[along.SECOND] = ctypes.addressof(second) if some else 0
        first[along.RULES] = along.SEVERAL * (name in ("sum", "mean", "amax", "amin"))
        first[along.RULES] |= along.FILLED * name.endswith(("max", "min"))
        for d in (first, second) if some else (first,):
            if name.startswith("arg"):
                d[entry.OUT_DESCR], d[entry.OUT_DTYPE] = id(int64.np), id(int64)
            if name in ("any", "all"):
                d[entry.IN_DESCR] = d[entry.OUT_DESCR] = id(bool_.np)
                d[entry.OUT_DTYPE] = id(bool_)
        _replace(fn, _builtin(name, _state.entries["rl_reduce_along"], first))
