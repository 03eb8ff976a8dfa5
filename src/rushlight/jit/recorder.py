"""Records the calls that a function makes on its way as nodes of a graph."""

import enum
import sys
import warnings
from threading import get_ident

import rushlight as torch

from . import forms, kernels, signatures
from .codes import code
from .graph import Builder, Graph, Range, constant_type
from .signatures import REQUIRED
from .types import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    FUNCTION,
    INT,
    NONE,
    SCALAR,
    STR,
    TENSOR,
    CodeType,
    DictType,
    ListType,
    OptionalType,
    Traced,
    TupleType,
    VariableType,
    plain,
)

_HOME = __file__[:__file__.rindex("jit")]
_PREFIX = {"torch.linalg": "linalg_", "torch.special": "special_", "torch.fft": "fft_"}
_DUNDERS = {"__add__": "add", "__sub__": "sub", "__mul__": "mul", "__truediv__": "div", "__pow__": "pow",
            "__matmul__": "matmul", "__neg__": "neg", "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__gt__": "gt",
            "__le__": "le", "__ge__": "ge", "__and__": "__and__", "__or__": "__or__", "__xor__": "__xor__",
            "__invert__": "bitwise_not", "__mod__": "remainder", "__floordiv__": "floor_divide", "__abs__": "abs",
            "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_", "__iand__": "__iand__",
            "__ior__": "__ior__", "__ixor__": "__ixor__", "__lshift__": "__lshift__", "__rshift__": "__rshift__",
            "__radd__": "add", "__rmul__": "mul", "__rand__": "__and__", "__ror__": "__or__", "__ipow__": "pow_",
            "__imod__": "remainder_", "__ifloordiv__": "floor_divide_", "__pos__": "positive"}
_REFLECTED = {"__rpow__": "pow", "__rmatmul__": "matmul", "__rmod__": "remainder"}
_PROPERTIES = {"T": "numpy_T", "mT": "mT", "H": "matrix_H", "mH": "mH", "real": "real", "imag": "imag"}
_READS = {"__bool__": "boolean", "__float__": "float", "__int__": "integer", "__index__": "index", "item": "number",
          "tolist": "list", "numpy": "NumPy array", "__array__": "NumPy array"}
_CASTS = frozenset((
    "to float double half bfloat16 int long short char byte bool type cpu cuda type_as cfloat cdouble").split())
_PASS = frozenset(("requires_grad_", "retain_grad", "register_hook", "backward", "is_contiguous", "stride", "data_ptr",
                   "element_size", "storage_offset", "dim", "ndimension", "ndim", "untyped_storage", "has_names",
                   "storage", "share_memory_", "__repr__", "__format__", "__deepcopy__", "__hash__", "get_device",
                   "is_pinned", "nelement_", "names", "has_torch_function"))


class TracerWarning(Warning):
    """A trace may not do for other inputs what the function does."""

    @staticmethod
    def ignore_lib_warnings():
        """Silence warnings about the library's own modules."""
        warnings.filterwarnings("ignore", category=TracerWarning, module="torch.(?!jit)")


class TracedInt(int):
    """A size that a trace knows where it comes from: an int whose arithmetic is recorded."""

    def __new__(cls, value, recorder, source):
        new = int.__new__(cls, value)
        new.recorder, new.source, new._value = recorder, source, None
        return new

    def value(self):
        """The value of the graph, made when it is first used."""
        if self._value is None:
            self._value = self.source()
        return self._value

    def _with(self, op, other, result, swap=False):
        r = self.recorder
        if not r.active or not isinstance(other, int) or isinstance(other, bool):
            return result

        def make():
            pair = (r.number(other), self.value()) if swap else (self.value(), r.number(other))
            return r.emit_known(op, pair, INT)
        return TracedInt(result, r, make)

    def __reduce__(self):
        return int, (int(self),)


def _arithmetic():
    for name, op in (("add", "aten::add"), ("sub", "aten::sub"), ("mul", "aten::mul"), ("floordiv", "aten::floordiv"),
                     ("mod", "aten::remainder")):
        base, reflected = getattr(int, f"__{name}__"), getattr(int, f"__r{name}__")

        def forward(self, other, base=base, op=op):
            result = base(self, int(other) if type(other) is TracedInt else other)
            return result if result is NotImplemented else self._with(op, other, result)

        def backward(self, other, base=reflected, op=op):
            result = base(self, other)
            return result if result is NotImplemented else self._with(op, other, result, True)
        setattr(TracedInt, f"__{name}__", forward)
        setattr(TracedInt, f"__r{name}__", backward)


_arithmetic()


class Recorder:
    """The graph of one traced call, and which value each tensor is."""

    def __init__(self, root=None, strict=True):
        self.graph = Graph()
        self.builder = Builder(self.graph)
        self.values, self.kept, self.paths, self.modules = {}, [], {}, {}
        self.busy, self.active, self.root, self.strict = False, True, root, strict
        self.calls, self.scope = [], ""
        self.self_value, self.thread = None, get_ident()
        self.origins = {}               # id of a value -> dotted name of the parameter that it is
        self.types = {}

    def here(self):
        """Whether this is the thread that is recorded."""
        return get_ident() == self.thread

    # ------------------------------------------------------------ values

    def bind(self, tensor, value):
        """`tensor` is `value` from now on."""
        self.values[id(tensor)] = value
        self.kept.append(tensor)
        return value

    def shown(self, t):
        """The type of a tensor as traces print it."""
        try:
            word = {torch.float32: "Float", torch.float64: "Double", torch.int64: "Long", torch.int32: "Int",
                    torch.bool: "Bool", torch.float16: "Half", torch.bfloat16: "BFloat16", torch.int16: "Short",
                    torch.int8: "Char", torch.uint8: "Byte", torch.complex64: "ComplexFloat",
                    torch.complex128: "ComplexDouble"}[t.dtype]
            sizes = "".join(f"{int(s)}, " for s in tuple.__iter__(t._a.shape if hasattr(t._a, "shape") else ()))
            strides = [s // t._a.itemsize for s in t._a.strides]
            steps = f"strides=[{', '.join(map(str, strides))}], " if sizes else ""
            return Traced(f"{word}({sizes}{steps}requires_grad={int(t.requires_grad)}, device={t.device})")
        except (KeyError, AttributeError):
            return TENSOR

    def value(self, t):
        """The value of a tensor: one that was recorded, a parameter of the module, or a constant."""
        found = self.values.get(id(t))
        if found is not None:
            return found
        path = self.paths.get(id(t))
        if path is not None:
            owner, _, name = path.rpartition(".")
            out = self.top("prim::GetAttr", [self.module(owner)], TENSOR, name=name)
            out.name = self.graph.unique(name)
            self.origins[id(out)] = path
            return self.bind(t, out)
        if t.requires_grad:
            raise RuntimeError("Cannot insert a Tensor that requires grad as a constant. Consider making it a "
                               "parameter "
                               f"or input, or detaching the gradient\nTensor:\n{t}")
        return self.bind(t, self.constant(t.detach(), TENSOR))

    def module(self, path):
        """The value of a submodule."""
        if not path:
            return self.self_value
        if path not in self.modules:
            owner, _, name = path.rpartition(".")
            base = self.module(owner)
            out = self.top("prim::GetAttr", [base], self.types[path], name=name)
            out.name = self.graph.unique(name)
            self.modules[path] = out
        return self.modules[path]

    def top(self, kind, inputs, type, **attributes):
        """A node at the head of the graph."""
        head = self.__dict__.setdefault("head", [])
        block, self.builder.block = self.builder.block, _Head(head)
        out = self.builder.one(kind, inputs, type, None, **attributes)
        self.builder.block = block
        out.node.owner = self.graph.block_
        return out

    def constant(self, v, t=None):
        """A constant, at the place where it is used."""
        return self.builder.constant(v, self.place(), t)

    def number(self, n):
        """The value of an int."""
        return n.value() if type(n) is TracedInt else self.constant(int(n))

    def emit_known(self, op, inputs, out):
        """A node of an operator on numbers."""
        for s in signatures.overloads(op):
            if [a.type for a in s.arguments] == [v.type for v in inputs]:
                return self.builder.one(op, inputs, out, self.place(), s)
        return self.builder.one(op, inputs, out, self.place())

    @staticmethod
    def place():
        """The place in the user's source."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(_HOME):
            frame = frame.f_back
        return None if frame is None else Range(frame.f_code.co_filename, frame.f_lineno, 0)

    # ------------------------------------------------------------ calls

    def quietly(self, fn, *args, **kwargs):
        """Run something without recording."""
        before, self.busy = self.busy, True
        try:
            return fn(*args, **kwargs)
        finally:
            self.busy = before

    def aloud(self, fn, *args):
        """Run something that is recorded, from where nothing is."""
        before, self.busy = self.busy, False
        try:
            return fn(*args)
        finally:
            self.busy = before

    def call(self, space, name, original, args, kwargs):
        """A call of a public function or method."""
        if space == "property":
            return self.property(name, original, args[0])
        if space == "method":
            if name in _READS:
                return self.read(name, original, args, kwargs)
            if name in ("size", "numel", "nelement", "__len__"):
                return self.sizes(name, original, args, kwargs)
            if name == "__iter__":
                warnings.warn("Iterating over a tensor might cause the trace to be incorrect. Passing a tensor of "
                              "different shape won't change the number of iterations executed (and might lead to "
                              "errors "
                              "or silently give incorrect results).", TracerWarning, stacklevel=3)
                return iter(self.emit("unbind", torch.unbind, (args[0], 0), {}))
            if name in ("__getitem__", "__setitem__"):
                return self.indexed(name, original, args)
            if name in _CASTS:
                return self.cast(name, original, args, kwargs)
            if name in _PASS:
                return self.quietly(original, *args, **kwargs)
            if name in ("__rsub__", "__rtruediv__", "__rfloordiv__"):
                return self.reflected(name, original, args)
            if name in _REFLECTED:
                return self.emit(_REFLECTED[name], original, args, kwargs, (args[1], args[0]))
            return self.emit(_DUNDERS.get(name, name), original, args, kwargs)
        if space == "torch.nn.functional":
            form = forms.source_named(name)
            if form is not None:
                return self.by_form(name, form, args, kwargs, original)
            return self.emit(name, original, args, kwargs)
        if name in ("meshgrid", "broadcast_tensors", "block_diag", "cartesian_prod", "atleast_1d", "atleast_2d",
                    "atleast_3d") and args and isinstance(args[0], torch.Tensor):
            flat = (list(args),)
            return self.emit(name, original, args, kwargs, flat if name[:7] != "atleast" or len(args) > 1 else args)
        if name == "einsum":
            rest = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
            return self.emit(name, original, args, kwargs, (args[0], list(rest)))
        return self.emit(_PREFIX.get(space, "") + name, original, args, kwargs)

    def by_form(self, name, form, args, kwargs, original):
        """A function of ``torch.nn.functional`` as its form in the script language does it."""
        from .binding import bind
        compiled = forms.named(name).function
        try:
            values = bind(compiled, args, kwargs)
        except RuntimeError:
            return self.emit(name, original, args, kwargs)
        if name in ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
                    "adaptive_max_pool3d") and values[-1]:
            bare = name if name.startswith("adaptive") else name + "_with_indices"
            return self.emit(bare, original, args, kwargs, tuple(
                v if v is not None else [] for v in values[:-1]), {})
        return self.aloud(form, *values)

    def call_operator(self, name, args, kwargs):
        """A call of ``torch.ops.aten.name``."""
        return self.emit(name, kernels.tensor_function(f"aten::{name}"), args, kwargs)

    def emit(self, name, original, args, kwargs, shown=None, named=None):
        """Run a call and record it as an operator. shown: the arguments as the operator takes them."""
        given = args if shown is None else shown
        names = kwargs if named is None else named
        involved = self.involves(given) or self.involves(names.values())
        found = self.choose(f"aten::{name}", given, names)
        out = self.quietly(original, *args, **kwargs)
        if found is None:
            if involved and self.involves([out], True):
                raise NotImplementedError(f"tracing {name}: no operator of the script language fits this call of it "
                                          "with "
                                          f"{', '.join(type(a).__name__ for a in given)}")
            return out
        if not involved and not self.has_tensor(out):
            return out
        s, inputs = found
        if any(r not in (TENSOR,) and not _tensors_only(r) for r in s.returns) and not self.has_tensor(out):
            return out
        node = self.write(s, inputs)
        return self.results(node, s, out)

    def involves(self, values, results=False):
        """Whether some of the values are tensors (results), or tensors that the trace knows, or traced sizes."""
        for v in values:
            if isinstance(v, torch.Tensor):
                if results or id(v) in self.values or id(v) in self.paths:
                    return True
            elif type(v) is TracedInt:
                return True
            elif isinstance(v, (list, tuple)) and self.involves(v, results):
                return True
        return False

    @staticmethod
    def has_tensor(out):
        if isinstance(out, torch.Tensor):
            return True
        return isinstance(out, (list, tuple)) and any(isinstance(o, torch.Tensor) for o in out)

    # ------------------------------------------------------------ choosing an operator

    def choose(self, op, args, kwargs):
        """(signature, {position: (value, type)}) of the overload that fits, or None."""
        candidates = signatures.overloads(op)
        for s in candidates:
            found = self.match(s, args, kwargs)
            if found is not None:
                return s, found
        return None

    def match(self, s, args, kwargs):
        if s.variadic:
            return None
        out, used, left = [], 0, dict(kwargs)
        for i, f in enumerate(s.arguments):
            if not f.kwonly and used < len(args):
                v = args[used]
                bare = f.type.element if isinstance(f.type, OptionalType) else f.type
                if isinstance(bare, ListType) and bare.element == INT and isinstance(v, int) and not bare.size and (
                        not any(not g.kwonly for g in s.arguments[i + 1:])):
                    v = list(args[used:])
                    used = len(args)
                else:
                    used += 1
            elif f.name in left:
                v = left.pop(f.name)
            elif f.name == "self" and "input" in left:
                v = left.pop("input")
            elif f.default is not REQUIRED:
                out.append((f.default, f.type))
                continue
            else:
                return None
            if not suits(v, f.type):
                return None
            out.append((v, f.type))
        for k in list(left):
            if k in ("out", "inplace", "generator", "memory_format", "pin_memory", "layout") and left[k] in (None,
                                                                                                             False):
                left.pop(k)
        return None if used < len(args) or left else out

    def write(self, s, inputs):
        """Append the node of an operator; its inputs are made of what the arguments were."""
        values = [self.argument(v, t) for v, t in inputs]
        node = self.builder.node(s.name, values, [plain(_fixed(r)) for r in s.returns], self.place(), (), s)
        node.scope = self.scope
        return node

    def argument(self, v, t):
        """The value of an argument for a formal type."""
        bare = t.element if isinstance(t, OptionalType) else t
        if v is None:
            return self.constant(None)
        if isinstance(bare, ListType) and not isinstance(v, torch.Tensor):
            if not isinstance(v, (list, tuple)):
                v = [v] * (bare.size or 1)
            items = [self.argument(x, bare.element) for x in v]
            element = bare.element if not isinstance(bare.element, VariableType) else (
                plain(items[0].type) if items else TENSOR)
            return self.builder.one("prim::ListConstruct", items, ListType(_fixed(element)), self.place())
        if isinstance(v, torch.Tensor):
            value = self.value(v)
            op = signatures.IMPLICIT.get(bare)
            return value if op is None else self.builder.one(op, [value], bare, self.place())
        if type(v) is TracedInt:
            if bare == TENSOR:
                return self.builder.one("prim::NumToTensor", [v.value()], TENSOR, self.place(),
                                        signatures.overload("prim::NumToTensor", "Scalar"))
            if bare == FLOAT:
                return self.emit_known("aten::Float", (v.value(),), FLOAT)
            return v.value()
        if isinstance(bare, CodeType) or code(v) is not None and not isinstance(v, (int, float, str, bool)):
            n = code(v)
            if isinstance(v, str):
                n = {"contiguous_format": 0, "preserve_format": 1}.get(v, 0)
            return self.constant(n if n is not None else v)
        if isinstance(v, bool) or isinstance(v, str) and bare != DEVICE:
            return self.constant(v)
        if isinstance(v, torch.device) or bare == DEVICE:
            return self.constant(torch.device(v))
        if bare == FLOAT and isinstance(v, (int, float)):
            return self.constant(float(v))
        if bare == TENSOR:
            return self.constant(torch.tensor(v))
        if constant_type(v) is None:
            if hasattr(v, "item"):
                return self.constant(v.item())
            raise NotImplementedError(f"tracing a call with an argument of type {type(v).__name__}")
        return self.constant(v)

    def results(self, node, s, out):
        """Let the results of a call be the outputs of a node."""
        outs = node._outputs
        if len(outs) == 1:
            v = outs[0]
            if isinstance(out, torch.Tensor):
                v.type = self.shown(out)
                self.bind(out, v)
            elif isinstance(v.type, ListType) and isinstance(out, (list, tuple)):
                parts = self.builder.node("prim::ListUnpack", [v], [self.shown(o) for o in out], self.place())
                for o, p in zip(out, parts._outputs):
                    self.bind(o, p)
            return out
        items = out if isinstance(out, (list, tuple)) else (out,)
        flat = []
        for o in items:
            flat.extend(o if isinstance(o, (list, tuple)) else (o,))
        for o, v in zip(flat, outs):
            if isinstance(o, torch.Tensor):
                v.type = self.shown(o)
                self.bind(o, v)
        return out

    # ------------------------------------------------------------ what is no plain operator

    def read(self, name, original, args, kwargs):
        what = _READS[name]
        t = args[0]
        if id(t) in self.values:
            warnings.warn(f"Converting a tensor to a Python {what} might cause the trace to be incorrect. We can't "
                          "record "
                          "the data flow of Python values, so this value will be treated as a constant in the future. "
                          "This means that the trace might not generalize to other inputs!", TracerWarning,
                          stacklevel=3)
        return self.quietly(original, *args, **kwargs)

    def property(self, name, original, t):
        out = self.quietly(original, t)
        if name == "shape":
            return self.size_of(t, out)
        if name in _PROPERTIES:
            found = self.choose(f"aten::{_PROPERTIES[name]}", (t,), {})
            return self.results(self.write(*found), found[0], out)
        if name == "data" and id(t) in self.values:
            self.bind(out, self.value(t))
        return out

    def size_of(self, t, out):
        if id(t) not in self.values:
            return out
        return torch.Size([TracedInt(n, self, lambda i=i: self.size_value(t, i)) for i, n in enumerate(out)])

    def size_value(self, t, i):
        return self.builder.one("aten::size", [self.value(t), self.constant(i)], INT, self.place(),
                                signatures.overload("aten::size", "int"))

    def sizes(self, name, original, args, kwargs):
        t = args[0]
        out = self.quietly(original, *args, **kwargs)
        if id(t) not in self.values:
            return out
        if name == "size":
            if isinstance(out, int):
                dim = args[1] if len(args) > 1 else kwargs["dim"]
                return TracedInt(out, self, lambda: self.size_value(t, int(dim)))
            return self.size_of(t, out)
        if name == "__len__":
            warnings.warn("Using len to get tensor shape might cause the trace to be incorrect. Recommended usage "
                          "would "
                          "be tensor.shape[0]. Passing a tensor of different shape might lead to errors or silently "
                          "give "
                          "incorrect results.", TracerWarning, stacklevel=3)
            return out
        return TracedInt(out, self, lambda: self.builder.one("aten::numel", [self.value(t)], INT, self.place(),
                                                             signatures.overload("aten::numel", "")))

    def cast(self, name, original, args, kwargs):
        t = args[0]
        if name == "type" and len(args) == 1 and not kwargs:
            return self.quietly(original, *args, **kwargs)
        if name == "type_as":
            return self.emit(name, original, args, kwargs)
        out = self.quietly(original, *args, **kwargs)
        if out is t or not isinstance(out, torch.Tensor):
            return out
        if out.dtype is t.dtype and out.device == t.device:
            return self.results(self.write(*self.choose("aten::clone", (t,), {})), None, out)
        found = self.choose("aten::to", (t, out.dtype), {})
        return self.results(self.write(*found), found[0], out)

    def reflected(self, name, original, args):
        t, other = args
        if name == "__rsub__":
            return self.emit("rsub", original, args, {})
        if name == "__rtruediv__":
            out = self.quietly(original, *args)
            inverse = self.write(*self.choose("aten::reciprocal", (t,), {}))._outputs[0]
            s = signatures.overload("aten::mul", "Scalar" if not isinstance(other, torch.Tensor) else "Tensor")
            node = self.builder.node("aten::mul", [inverse, self.argument(other, s.arguments[1].type)], [TENSOR],
                                     self.place(), (), s)
            return self.results(node, s, out)
        return self.emit("floor_divide", original, args, {}, (torch.tensor(other), t))

    def indexed(self, name, original, args):
        """``x[index]`` and ``x[index] = value``, as selections, slices and indexing by tensors."""
        t, index = args[0], args[1]
        parts = list(index) if isinstance(index, tuple) else [index]
        out = self.quietly(original, *args)
        v = self.value(t)
        dim, gathered = 0, {}
        for i, p in enumerate(parts):
            if p is Ellipsis:
                dim = self.ellipsis(t, parts, i, dim)
            elif p is None:
                v = self.step("unsqueeze", v, dim)
                dim += 1
            elif isinstance(p, slice):
                if p != slice(None) or name == "__setitem__" and len(parts) == 1:
                    v = self.step("slice", v, dim, 0 if p.start is None else p.start,
                                  (1 << 63) - 1 if p.stop is None else p.stop, 1 if p.step is None else p.step)
                dim += 1
            elif isinstance(p, int) and not isinstance(p, bool):
                v = self.step("select", v, dim, p)
            elif isinstance(p, (torch.Tensor, list, bool)):
                gathered[dim] = p if isinstance(p, torch.Tensor) else self.quietly(torch.tensor, p)
                dim += max(1, gathered[dim].dim()) if gathered[dim].dtype == torch.bool else 1
            else:
                raise NotImplementedError(f"tracing an index of type {type(p).__name__}")
        indices = None
        if gathered:
            entries = [self.value(gathered[d]) if d in gathered else self.constant(None)
                       for d in range(max(gathered) + 1)]
            indices = self.builder.one("prim::ListConstruct", entries, ListType(OptionalType(TENSOR)), self.place())
        if name == "__getitem__":
            if indices is not None:
                v = self.builder.one("aten::index", [v, indices], TENSOR, self.place(),
                                     signatures.overload("aten::index", "Tensor"))
            elif v is self.value(t):
                v = self.step("alias", v)
            v.type = self.shown(out)
            self.bind(out, v)
            return out
        value = args[2]
        value = value if isinstance(value, torch.Tensor) else self.quietly(torch.tensor, value, dtype=t.dtype)
        given = self.value(value)
        no = self.constant(False)
        if indices is None:
            s = signatures.overload("aten::copy_", "")
            self.builder.one("aten::copy_", [v, given, no], TENSOR, self.place(), s)
        else:
            s = signatures.overload("aten::index_put_", "")
            self.builder.one("aten::index_put_", [v, indices, given, no], TENSOR, self.place(), s)
        return out

    @staticmethod
    def ellipsis(t, parts, i, dim):
        """The dimension after an ellipsis."""
        rest = 0
        for q in parts[i + 1:]:
            if q is None:
                continue
            rest += q.dim() if isinstance(q, torch.Tensor) and q.dtype == torch.bool else 1
        before = sum((q.dim() if isinstance(q, torch.Tensor) and q.dtype == torch.bool else 1)
                     for q in parts[:i] if q is not None)
        return dim + t.dim() - before - rest

    def step(self, name, v, *args):
        """An operator on a value and ints."""
        overload = {"slice": "Tensor", "select": "int"}.get(name, "")
        s = signatures.overload(f"aten::{name}", overload)
        return self.builder.one(f"aten::{name}", [v, *[self.number(a) for a in args]], TENSOR, self.place(), s)

    # ------------------------------------------------------------ modules and compiled functions

    def call_module(self, module, original, args, kwargs):
        """A call of a module: what it records is noted as its own."""
        path = self.paths.get(("module", id(module)))
        if path is None:
            return original(module, *args, **kwargs)
        outer = self.scope
        self.scope = "__module" + (f".{path}" if path else "")
        start = len(self.graph.block_.nodes)
        given = self.tensors((*args, *kwargs.values()))
        inputs = [self.values[id(t)] for t in given if id(t) in self.values]
        try:
            out = original(module, *args, **kwargs)
        finally:
            self.scope = outer
        self.calls.append((path, self.graph.block_.nodes[start:], inputs))
        return out

    def tensors(self, values):
        """All tensors in nested containers."""
        found = []
        for v in values:
            if isinstance(v, torch.Tensor):
                found.append(v)
            elif isinstance(v, (list, tuple)):
                found.extend(self.tensors(v))
            elif isinstance(v, dict):
                found.extend(self.tensors(v.values()))
        return found

    def call_compiled(self, f, owner, args, kwargs):
        """A call of a compiled function or method."""
        from .binding import bind
        from .script import run
        values = bind(f, args, kwargs, 0 if owner is None else 1)
        inputs = [self.packed(v, p.type) for v, p in zip(values, f.parameters[0 if owner is None else 1:])]
        out = self.quietly(run, f, values if owner is None else [owner, *values])
        if owner is None:
            target = self.builder.one("prim::Constant", [], FUNCTION, None, name=f.name, _function=f)
            made = self.builder.one("prim::CallFunction", [target, *inputs], f.returns, self.place())
        else:
            path = self.paths.get(("module", id(owner)))
            if path is None:
                raise RuntimeError("a compiled module that is no submodule of what is traced was called")
            made = self.builder.one("prim::CallMethod", [self.module(path), *inputs], f.returns, self.place(),
                                    name=f.name)
        self.spread(made, out)
        return out

    def packed(self, v, t):
        """A nested value as a value of the graph."""
        bare = t.element if isinstance(t, OptionalType) else t
        if isinstance(v, tuple) and isinstance(bare, TupleType):
            items = [self.packed(x, e) for x, e in zip(v, bare.elements)]
            return self.builder.one("prim::TupleConstruct", items, bare, self.place())
        if isinstance(v, dict):
            parts = [y for k, x in v.items() for y in (self.constant(k), self.packed(x, bare.element))]
            return self.builder.one("prim::DictConstruct", parts, bare, self.place())
        if isinstance(v, enum.Enum):
            from .annotations import enum_type
            return self.constant(v, enum_type(type(v)))
        return self.argument(v, t)

    def spread(self, value, out):
        """Let the tensors in a nested result be parts of a value."""
        t = value.type
        if isinstance(out, torch.Tensor):
            self.bind(out, value)
        elif isinstance(t, TupleType) and isinstance(out, tuple):
            parts = self.builder.node("prim::TupleUnpack", [value], t.elements, self.place())._outputs
            for o, p in zip(out, parts):
                self.spread(p, o)
        elif isinstance(t, ListType) and isinstance(out, list) and t.element == TENSOR:
            parts = self.builder.node("prim::ListUnpack", [value], [TENSOR] * len(out), self.place())._outputs
            for o, p in zip(out, parts):
                self.spread(p, o)
        elif isinstance(t, DictType):
            for k, o in out.items():
                s = signatures.overload("aten::__getitem__", "Dict_str")
                self.spread(self.builder.one("aten::__getitem__", [value, self.constant(k)], t.element, self.place(),
                                             s),
                            o)


class _Head:
    __slots__ = ("nodes",)

    def __init__(self, nodes):
        self.nodes = nodes


def _fixed(t):
    return INT if isinstance(t, CodeType) else t


def _tensors_only(t):
    return t == TENSOR or isinstance(t, ListType) and t.element == TENSOR


def suits(v, t):
    """Whether a Python value may be given where a signature has type `t`."""
    if isinstance(t, OptionalType):
        return v is None or suits(v, t.element)
    if isinstance(t, VariableType):
        return True
    if t == TENSOR:
        return isinstance(v, torch.Tensor)
    if isinstance(t, ListType):
        if isinstance(v, (list, tuple)):
            return all(suits(x, t.element) for x in v)
        return bool(t.size) and t.element in (INT, FLOAT, BOOL) and suits(v, t.element) and not isinstance(v,
                                                                                                           torch.Tensor)
    if isinstance(t, CodeType):
        return code(v) is not None and not isinstance(v, (int, str))
    if t == INT:
        return isinstance(v, int) and not isinstance(v, bool) or isinstance(v, torch.Tensor) and v.dim() == 0 and (
            not v.dtype.is_floating_point) or type(v).__name__ in ("int64", "int32")
    if t == FLOAT:
        return isinstance(v, (int, float)) and not isinstance(v, bool)
    if t == SCALAR:
        return isinstance(v, (int, float, complex, bool)) or type(v).__module__ == "numpy"
    if t == BOOL:
        return isinstance(v, bool)
    if t == STR:
        return isinstance(v, str)
    if t == COMPLEX:
        return isinstance(v, complex)
    if t == DEVICE:
        return isinstance(v, (torch.device, str))
    if t == NONE:
        return v is None
    return False


__all__ = ["Recorder", "TracedInt", "TracerWarning"]
