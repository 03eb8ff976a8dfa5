"""Compiles calls: operators chosen by the types of arguments, functions, methods, constructors, and conversions."""

import ast
import enum

import rushlight as torch

from . import classes, forms, signatures
from .codes import code
from .frontend import ErrorReport
from .graph import Value, constant_of
from .signatures import REQUIRED, bind_variables, conversion, substitute
from .specials import Specials
from .sugar import Compiled, Iterated, Method, Namespace, Operator, Python, Several, Special, Sugar, TypeName
from .types import (
    ANY,
    BOOL,
    FLOAT,
    FUNCTION,
    INT,
    NONE,
    STR,
    TENSOR,
    ClassType,
    DictType,
    EnumType,
    FutureType,
    InterfaceType,
    ListType,
    OptionalType,
    TupleType,
    is_subtype,
)

_FIELDS = {"values", "indices", "eigenvalues", "eigenvectors", "sign", "logabsdet", "U", "S", "Vh", "Q", "R", "L",
           "LU", "pivots", "info", "solution", "residuals", "rank", "singular_values", "P", "V", "min", "max",
           "mantissa", "exponent", "logdet", "hist", "bin_edges", "result"}
# Attributes of tensors that are operators of one argument.
PROPERTIES = {"dtype": "prim::dtype", "device": "prim::device", "layout": "prim::layout", "shape": "aten::size",
              "requires_grad": "prim::requires_grad", "is_cuda": "prim::is_cuda", "is_sparse": "prim::is_sparse",
              "is_quantized": "prim::is_quantized", "is_meta": "prim::is_meta", "ndim": "aten::dim",
              "T": "aten::numpy_T",
              "mT": "aten::mT", "mH": "aten::mH", "H": "aten::matrix_H", "real": "aten::real", "imag": "aten::imag",
              "is_leaf": "aten::is_leaf", "grad": "prim::grad", "data": "prim::data", "itemsize": "prim::itemsize",
              "nbytes": "prim::nbytes", "name": "prim::name", "is_sparse_csr": "prim::is_sparse_csr",
              "is_mkldnn": "prim::is_mkldnn", "is_nested": "prim::is_nested", "output_nr": "aten::output_nr",
              "is_mps": "prim::is_mps", "is_xpu": "prim::is_xpu", "retains_grad": "aten::retains_grad"}
CASTS = {"float": 6, "double": 7, "half": 5, "bfloat16": 15, "int": 3, "long": 4, "short": 2, "char": 1, "byte": 0,
         "bool": 11, "cfloat": 9, "cdouble": 10}


class Calls(Specials):
    """The part of the compiler that deals with calls, attributes and conversions."""

    # ------------------------------------------------------------ operators

    def operator(self, names, args, kwargs, place, method=None):
        """The result of the overload that fits: a value, several, or a None constant."""
        if method is not None and isinstance(method[1].type, ClassType):
            return self.call_method(method[1], method[1].type, method[0], args[1:], kwargs, place)
        candidates = [s for n in names for s in signatures.overloads(n)]
        for convert in (False, True):
            for s in candidates:
                found = self.match(s, args, kwargs, convert)
                if isinstance(found, tuple):
                    return self.emit(s, *found, place)
        raise ErrorReport(self.no_match(names, candidates, args, kwargs), place)

    def no_match(self, names, candidates, args, kwargs):
        if not candidates:
            return f"Unknown builtin op: {names[0]}"
        why = [(s, self.match(s, args, kwargs, True)) for s in candidates]
        if len(why) == 1:
            s, reason = why[0]
            return f"{s}:\n{reason}\n\nThe original call is"
        return ("Arguments for call are not valid.\nThe following variants are available:\n  \n  " +
                "\n  \n  ".join(f"{s}:\n  {reason}" for s, reason in why) + "\n\nThe original call is")

    def match(self, s, args, kwargs, convert):
        """(inputs with how they are converted, bindings), or why the signature does not fit."""
        if s.variadic:
            return [(a, "", ANY) for a in args], {}
        bound, inputs, used = {}, [], 0
        formals = s.arguments
        left = dict(kwargs)
        for i, f in enumerate(formals):
            if not f.kwonly and used < len(args):
                value = args[used]
                if f.name in left:
                    return f"Argument {f.name} specified twice in schema, submit a bug report!"
                bare = f.type.element if isinstance(f.type, OptionalType) else f.type
                if isinstance(bare, ListType) and bare.element == INT and value.type in (INT,) and (
                        len(args) - used > len([g for g in formals[i + 1:] if not g.kwonly and g.default is REQUIRED])
                        and not bare.size and not any(not g.kwonly for g in formals[i + 1:])):
                    rest = args[used:]
                    if all(a.type == INT or convert and a.type == TENSOR for a in rest):
                        inputs.append((rest, "gather", bare))
                        used = len(args)
                        continue
                used += 1
            elif f.name in left:
                value = left.pop(f.name)
            elif f.name == "self" and "input" in left:
                value = left.pop("input")
            elif f.default is not REQUIRED:
                inputs.append((f.default, "default", f.type))
                continue
            else:
                return f"Argument {f.name} not provided."
            fitted = self.fit(f, value, bound, convert)
            if isinstance(fitted, str):
                return fitted
            inputs.append(fitted)
        if used < len(args):
            return (f"Expected at most {len([f for f in formals if not f.kwonly])} arguments but found {len(args)} "
                    "positional arguments.")
        if left:
            return f"Unknown keyword argument '{next(iter(left))}'."
        return inputs, bound

    def fit(self, f, value, bound, convert):
        """(value, conversion, type) for a formal argument, or why not."""
        t = f.type
        actual = value.type
        if isinstance(actual, ListType) and self.empty_literal(value) and isinstance(
                t.element if isinstance(t, OptionalType) else t, ListType):
            return value, "retype", t.element if isinstance(t, OptionalType) else t
        if signatures._has_variable(t):
            before = dict(bound)
            got = bind_variables(t, actual, bound)
            if got is None:
                bound.clear()
                bound.update(before)
                return (f"Could not match type {actual.source()} to {t.source()} in argument '{f.name}'.")
            if isinstance(actual, TupleType) and isinstance(t, ListType):
                return value, "list", got
            return value, "", got
        how = conversion(t, actual, convert)
        if how is None and convert and isinstance(actual, ListType) and isinstance(t, ListType) and (
                actual.element == TENSOR and t.element == INT and value.node is not None
                and value.node._kind == "prim::ListConstruct"):
            return value, "elements", t
        if how is None:
            return (f"Expected a value of type '{_readable(t)}' for argument '{f.name}' but instead found type "
                    f"'{actual.source()}'.")
        return value, how, t

    @staticmethod
    def empty_literal(value):
        """Whether a value is ``[]`` without an annotation."""
        n = value.node
        return n is not None and n._kind == "prim::ListConstruct" and not n._inputs and value.type.element == TENSOR \
            and not n.attributes.get("_annotated")

    def emit(self, s, inputs, bound, place):
        values = [self.prepared(v, how, t, place) for v, how, t in inputs]
        if s.returns is None:
            raise ErrorReport(f"{s.name} can't be called by its signature", place)
        types = [substitute(r, bound) for r in s.returns]
        node = self.builder.node(s.name, values, types, place, (), s)
        if not types:
            return self.constant(None)
        if len(types) == 1:
            return node._outputs[0]
        return Several(list(node._outputs), _field_names(s))

    def prepared(self, v, how, t, place):
        """An argument as the operator takes it."""
        if how == "default":
            return self.default(v, t)
        if how == "":
            return v
        bare = t.element if isinstance(t, OptionalType) else t
        if how == "gather":
            items = [self.prepared(x, "" if x.type == INT else "aten::IntImplicit", INT, place) for x in v]
            return self.builder.one("prim::ListConstruct", items, ListType(INT), place)
        if how == "elements":
            items = [x if x.type == INT else self.builder.one("aten::IntImplicit", [x], INT, place)
                     for x in v.node._inputs]
            return self.builder.one("prim::ListConstruct", items, ListType(INT), place)
        if how == "retype":
            v.type = ListType(substitute(bare.element, {})) if not signatures._has_variable(bare) else v.type
            return v
        if how == "list":
            return self.to_list(v, bare, place)
        if how == "repeat":
            return self.builder.one("prim::ListConstruct", [v] * bare.size, ListType(bare.element), place)
        if how == "device":
            return self.builder.one("aten::device", [v], bare, place)
        out = {"aten::Int": INT, "aten::Float": FLOAT, "aten::IntImplicit": INT,
               "aten::FloatImplicit": FLOAT}.get(how, bare)
        return self.builder.one(how, [v], out, place)

    def default(self, v, t):
        bare = t.element if isinstance(t, OptionalType) else t
        if isinstance(v, list):
            items = [self.constant(x) for x in v]
            return self.builder.one("prim::ListConstruct", items, ListType(bare.element))
        if isinstance(v, str) and str(bare) in ("ScalarType", "Layout", "MemoryFormat", "int"):
            v = {"contiguous_format": 0, "preserve_format": 1, "strided": 0, "long": 4, "Mean": 1}.get(v, v)
        return self.constant(v)

    def to_list(self, v, t, place):
        """A tuple as a list."""
        if isinstance(v.type, ListType):
            return v
        items = list(v.node._inputs) if v.node is not None and v.node._kind == "prim::TupleConstruct" else list(
            self.builder.node("prim::TupleUnpack", [v], v.type.elements, place)._outputs)
        element = t.element if t is not None and not signatures._has_variable(t) else None
        if element is not None and element == INT:
            items = [x if x.type != TENSOR else self.builder.one("aten::IntImplicit", [x], INT, place) for x in items]
        if element is None:
            from .types import unify
            element = items[0].type if items else TENSOR
            for x in items[1:]:
                element = unify(element, x.type) or element
        return self.builder.one("prim::ListConstruct", items, ListType(substitute(element, {})), place)

    # ------------------------------------------------------------ values and conversions

    def as_value(self, x, place=None, hint=None):
        """A value of the graph for what is known at compile time."""
        if isinstance(x, Value):
            return x
        if isinstance(x, Several):
            if x.value is not None:
                return x.value
            if x.kind == "list":
                return self.list_of([self.as_value(i, place) for i in x.items], place)
            hints = hint.elements if isinstance(hint, TupleType) and len(hint.elements) == len(x.items) else [
                None] * len(x.items)
            items = [self.as_value(i, place) for i in x.items]
            items = [self.convert(v, h, place) if h is not None else v for v, h in zip(items, hints)]
            from .types import plain
            types = [h if h is not None else plain(v.type) for v, h in zip(items, hints)]
            fields = tuple(x.keys) if x.keys and x.kind == "tuple" else None
            return self.builder.one("prim::TupleConstruct", items, TupleType(types, fields), place)
        if isinstance(x, Python):
            return self.python_constant(x.value, place)
        if isinstance(x, Iterated):
            if x.static is not None:
                return self.list_of([self.as_value(i, place) for i in x.static], place)
            return self.iterated_list(x, place)
        if isinstance(x, Compiled) and not x.bound:
            return self.builder.one("prim::Constant", [], FUNCTION, place, name=x.function.name, _function=x.function)
        what = x.name if isinstance(x, Special) else type(x).__name__.lower()
        raise ErrorReport(f"'{what}' cannot be used as a value", place)

    def iterated_list(self, x, place):
        out = self.builder.one("prim::ListConstruct", [], ListType(INT), place)

        def fill(index):
            e = self.as_value(x.element(index), place)
            out.type = ListType(e.type)
            self.operator(["aten::append"], [out, e], {}, place)
        self.simple_loop(x.length(), fill, place)
        return out

    def python_constant(self, v, place, inside=False):
        """A Python object as a constant; `inside`: it was an attribute of a module, hence meant as one."""
        if self.archive:
            inside, v = True, getattr(v, "number", v)
        if v is None or isinstance(v, (bool, int, float, complex, str)) and inside:
            return self.constant(v, place)
        n = code(v)
        if n is not None:
            return self.constant(n, place)
        if isinstance(v, torch.device):
            return self.constant(v, place)
        if isinstance(v, enum.Enum):
            from .annotations import enum_type
            return self.constant(v, place, enum_type(type(v)))
        if inside and isinstance(v, (tuple, list)):
            items = [self.python_constant(i, place, True) for i in v]
            return self.as_value(Several(items), place) if isinstance(v, tuple) else self.list_of(items, place)
        if inside and isinstance(v, torch.Tensor):
            return self.constant(v, place)
        raise ErrorReport(f"python value of type '{type(v).__name__}' cannot be used as a value. Perhaps it is a "
                          "closed "
                          "over global variable? If so, please consider passing it in as an argument or use a local "
                          "varible instead." if not callable(v) else
                          f"Python function or type '{getattr(v, '__name__', v)}' cannot be used as a value", place)

    def convert(self, v, t, place, message=None):
        """A value as type `t`: unchanged where it is one; a tensor as a number, a tuple as a list."""
        if is_subtype(v.type, t):
            return v
        bare = t.element if isinstance(t, OptionalType) else t
        if isinstance(bare, ListType) and isinstance(v.type, ListType) and self.empty_literal(v):
            v.type = bare
            return v
        if isinstance(bare, DictType) and isinstance(v.type, DictType) and v.node is not None and (
                v.node._kind == "prim::DictConstruct" and not v.node._inputs):
            v.type = bare
            return v
        if v.type == TENSOR and bare in signatures.IMPLICIT:
            return self.builder.one(signatures.IMPLICIT[bare], [v], bare, place)
        if isinstance(v.type, TupleType) and isinstance(bare, ListType):
            if all(is_subtype(e, bare.element) or e == TENSOR and bare.element == INT for e in v.type.elements):
                return self.to_list(v, bare, place)
        if isinstance(v.type, TupleType) and isinstance(bare, TupleType) and v.node is not None and (
                v.node._kind == "prim::TupleConstruct" and len(v.type.elements) == len(bare.elements)):
            items = [self.convert(x, e, place) for x, e in zip(v.node._inputs, bare.elements)]
            return self.builder.one("prim::TupleConstruct", items, bare, place)
        if isinstance(bare, ListType) and bare.size and is_subtype(v.type, bare.element):
            return self.builder.one("prim::ListConstruct", [v] * bare.size, ListType(bare.element), place)
        if isinstance(bare, ListType) and isinstance(v.type, ListType) and v.node is not None and (
                v.node._kind == "prim::ListConstruct" and all(is_subtype(x.type, bare.element) or
                                                              isinstance(x.type, (TupleType, ListType))
                                                              for x in v.node._inputs)):
            items = [self.convert(x, bare.element, place) for x in v.node._inputs]
            return self.builder.one("prim::ListConstruct", items, ListType(bare.element), place)
        if v.type.__class__ is not None and str(v.type) == "Scalar" and bare in (INT, FLOAT):
            return self.operator(["aten::Int" if bare == INT else "aten::Float"], [v], {}, place)
        if v.type is ANY and self.archive:
            return v
        raise ErrorReport((message or f"Expected a value of type '{_readable(t)}' but instead found type '") +
                          v.type.source() + ("" if message else "'"), place)

    # ------------------------------------------------------------ attributes

    def attribute(self, base, name, place):
        """``base.name``."""
        if isinstance(base, Several):
            if base.keys and base.kind == "tuple" and name in base.keys:
                return base.items[list(base.keys).index(name)]
            if base.kind in ("dict", "module"):
                return self.container_attribute(base, name, place)
            base = self.as_value(base, place)
        if isinstance(base, Namespace):
            return self.resolver.dotted(base.path + "." + name, place)
        if isinstance(base, TypeName) and name == "__new__":
            return Special("create", base.type)
        if isinstance(base, TypeName) and isinstance(base.type, EnumType):
            return Python(base.type.python[name])
        if isinstance(base, Python):
            return self.python_attribute(base, name, place)
        if isinstance(base, Special) and base.name == "super":
            return Method(base.more[0], base.more[1], name)
        if not isinstance(base, Value):
            base = self.as_value(base, place)
        t = base.type
        if isinstance(t, ClassType):
            return self.class_attribute(base, t, name, place)
        if isinstance(t, InterfaceType):
            if name in t.methods:
                return Method(base, t, name)
            raise ErrorReport(f"interface '{t.name}' has no method '{name}'", place)
        if isinstance(t, TupleType) and t.fields and name in t.fields:
            i = t.fields.index(name)
            return self.builder.one("prim::TupleIndex", [base, self.constant(i)], t.elements[i], place)
        if isinstance(t, EnumType):
            if name == "value":
                return self.builder.one("prim::EnumValue", [base], t.value, place)
            if name == "name":
                return self.builder.one("prim::EnumName", [base], STR, place)
        if t == TENSOR and name in PROPERTIES:
            return self.operator([PROPERTIES[name]], [base], {}, place)
        if str(t) == "Device" and name in ("type", "index"):
            return self.builder.one(f"prim::{name}", [base], STR if name == "type" else OptionalType(INT), place)
        if isinstance(t, FutureType) and name == "wait":
            return Operator(["aten::wait"], base)
        if isinstance(t, DictType) and name == "values":
            return Operator(["aten::values"], base)
        if isinstance(t, OptionalType) and t.element == TENSOR:
            raise ErrorReport(f"'{t.source()}' object has no attribute or method '{name}'.", place)
        if t == TENSOR and name in CASTS:
            return Special("cast", (base, CASTS[name]))
        if t == TENSOR and name == "cpu":
            return Special("cast", (base, torch.device("cpu")))
        ops = [n for n in (f"aten::{name}", f"prim::{name}") if signatures.exists(n)]
        if ops or name == "tolist":
            return Operator(ops or ["prim::tolist"], base, name)
        shown = "Tensor (inferred)" if t == TENSOR else t.source()
        raise ErrorReport(f"'{shown}' object has no attribute or method '{name}'.", place)

    def python_attribute(self, base, name, place):
        v = base.value
        if v is forms.operators.aten:
            return Operator([f"aten::{name}"])
        if v is torch.ops or v is torch.ops.aten or v is torch.ops.prim:
            if v is torch.ops:
                return Python(getattr(torch.ops, name))
            return Operator([f"{'aten' if v is torch.ops.aten else 'prim'}::{name}"])
        if isinstance(v, type) and issubclass(v, enum.Enum) and name in v.__members__:
            return Python(v.__members__[name])
        try:
            found = getattr(v, name)
        except AttributeError:
            kind = "module" if type(v).__name__ == "module" else type(v).__name__
            raise ErrorReport(f"{kind} '{getattr(v, '__name__', v)}' has no attribute '{name}'"
                              if kind != "module" else f"module has no attribute '{name}'", place) from None
        if isinstance(found, (bool, int, float, complex, str, tuple)) and code(found) is None and type(
                v).__name__ == "module":
            return self.python_constant(found, place, True)
        if v is torch.nn.functional:
            form = forms.named(name)
            if form is not None:
                return form
        if type(v).__name__ == "module" and v.__name__.startswith("rushlight") and name not in (
                "einsum", "meshgrid", "broadcast_tensors", "block_diag", "cartesian_prod", "chain_matmul"):
            from .resolve import by_path
            operator = by_path(v, name)
            if operator is not None:
                return operator
        return self.resolver.sugar(found, name)

    # ------------------------------------------------------------ calls

    def spread(self, node):
        """The parts of a starred argument."""
        place = self.source.range(node)
        x = self.sugared(node)
        if isinstance(x, Several):
            return list(x.items)
        v = self.as_value(x, place)
        if isinstance(v.type, TupleType):
            return list(self.builder.node("prim::TupleUnpack", [v], v.type.elements, place)._outputs)
        raise ErrorReport("cannot use a starred list: its length is not known when compiling", place)

    def call(self, node, hint=None):
        """A call expression."""
        place = self.source.range(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and self.frame.get("super") is None:
            return self.super_value(place)
        callee = self.sugared(node.func)
        if isinstance(callee, Special):
            return self.special_call(callee, node, hint, place)
        args, kwargs = self.arguments(node)
        return self.call_sugar(callee, args, kwargs, place, hint)

    def arguments(self, node):
        """(positional arguments, {name: keyword argument}) of a call."""
        args = []
        for a in node.args:
            if isinstance(a, ast.Starred):
                args.extend(self.spread(a.value))
            else:
                args.append(self.sugared(a))
        if any(k.arg is None for k in node.keywords):
            from .frontend import NotSupportedError
            raise NotSupportedError(self.source.range(node), "keyword-arg expansion is not supported")
        return args, {k.arg: self.sugared(k.value) for k in node.keywords}

    def call_sugar(self, callee, args, kwargs, place, hint=None):
        """The result of calling anything."""
        if isinstance(callee, Operator):
            args = [self.as_value(a, place) for a in args]
            kwargs = {k: self.as_value(v, place) for k, v in kwargs.items()}
            return self.call_operator(callee, args, kwargs, place, hint)
        if isinstance(callee, Method):
            return self.call_method(callee.value, callee.type, callee.name, args, kwargs, place)
        if isinstance(callee, Compiled):
            return self.call_function(callee.function, [*callee.bound, *args], kwargs, place)
        if isinstance(callee, TypeName):
            return self.construct(callee.type, args, kwargs, place)
        if isinstance(callee, Value) and isinstance(callee.type, (ClassType, InterfaceType)):
            return self.call_instance(callee, args, kwargs, place)
        if isinstance(callee, Value) and callee.type is FUNCTION:
            function = callee.node.attributes["_function"]
            return self.call_function(function, args, kwargs, place)
        if isinstance(callee, Several) and callee.kind == "module" and callee.value is not None:
            return self.call_instance(callee.value, args, kwargs, place)
        if isinstance(callee, Python):
            return self.call_python(callee, args, kwargs, place)
        shown = callee.type.source() if isinstance(callee, Value) else repr(callee)
        raise ErrorReport(f"'{shown}' object is not callable", place)

    def call_operator(self, callee, args, kwargs, place, hint):
        base = callee.self_value
        names = callee.names
        if names == ["aten::values"]:
            of = base.type
            return self.builder.one("aten::values", [base], ListType(of.element), place)
        if names == ["prim::tolist"] or "prim::tolist" in names:
            if hint is None:
                raise ErrorReport("Expected type hint for result of tolist()", place)
            return self.builder.one("prim::tolist", [base], hint, place)
        if names == ["aten::format"] or names == ["aten::percentFormat"]:
            every = ([base] if base is not None else []) + args
            return self.builder.one(names[0], every, STR, place)
        if base is not None:
            args = [base, *args]
        return self.operator(names, args, kwargs, place)

    def call_function(self, function, args, kwargs, place):
        """``prim::CallFunction``."""
        values = self.bind(function.name, function.parameters, args, kwargs, place)
        if function.parameters and function.parameters[-1].name == "return_indices" and (
                constant_of(values[-1]) == (True, True)):
            function = forms.with_indices(function) or function
        returns = function.returns
        target = self.builder.one("prim::Constant", [], FUNCTION, None, name=function.name, _function=function)
        return self.builder.one("prim::CallFunction", [target, *values], returns, place)

    def bind(self, name, parameters, args, kwargs, place):
        """Arguments in the order of the parameters, converted, with defaults put in."""
        values, left = [], dict(kwargs)
        positional = [p for p in parameters if not p.kwonly]
        if len(args) > len(positional):
            raise ErrorReport(f"{name}() expected at most {len(positional)} argument(s) but received {len(args)} "
                              "argument(s)", place)
        for i, p in enumerate(parameters):
            if i < len(args) and not p.kwonly:
                v = self.as_value(args[i], place, p.type)
            elif p.name in left:
                v = self.as_value(left.pop(p.name), place, p.type)
            elif p.default is not ...:
                values.append(self.python_default(p, place))
                continue
            else:
                raise ErrorReport(f"{name}() is missing value for argument '{p.name}'", place)
            shown = "Tensor (inferred)" if p.inferred else p.type.source()
            values.append(self.convert(v, p.type, place, f"{name}() Expected a value of type '{shown}' for argument "
                                       f"'{p.name}' but instead found type: "))
        if left:
            raise ErrorReport(f"Unknown keyword argument '{next(iter(left))}'", place)
        return values

    def python_default(self, p, place):
        d = p.default
        if isinstance(p.type, ListType) or isinstance(p.type, OptionalType) and isinstance(p.type.element, ListType):
            bare = p.type.element if isinstance(p.type, OptionalType) else p.type
            if isinstance(d, (tuple, list)):
                return self.list_of([self.python_constant(x, place, True) for x in d], place, bare.element)
            if d is not None and bare.size:
                return self.list_of([self.python_constant(d, place, True)] * bare.size, place, bare.element)
        if isinstance(d, (tuple, list)):
            return self.convert(self.python_constant(d, place, True), p.type, place)
        return self.python_constant(d, place, True)

    def call_method(self, value, t, name, args, kwargs, place):
        """``prim::CallMethod``."""
        if isinstance(t, InterfaceType):
            parameters, returns = t.methods[name]
        else:
            if name in t.static:
                function = t.method(name)
                return self.call_function(function, args, kwargs, place)
            function = self.compiling(lambda: t.method(name), name, place)
            if function is None:
                raise ErrorReport(f"Tried to access nonexistent attribute or method '{name}' of type '{t.name}'.",
                                  place)
            if function.ignored is not None:
                return self.call_ignored(function, value, args, kwargs, place)
            name = function.name if isinstance(t, classes.Bases) else name
            parameters, returns = function.parameters[1:], function.returns
        values = self.bind(name, parameters, args, kwargs, place)
        return self.builder.one("prim::CallMethod", [value, *values], returns, place, name=name)


def _readable(t):
    return t.source()


def _field_names(s):
    """Names of the results of an operator, where it gives them."""
    text = s.text.rpartition(" -> ")[2]
    if not text.startswith("("):
        return None
    names = [p.rpartition(" ")[2] for p in signatures.split(text[1:-1])]
    return names if all(n.isidentifier() and n != "Tensor" for n in names) else None


__all__ = ["BOOL", "Calls", "NONE", "STR", "Sugar"]
