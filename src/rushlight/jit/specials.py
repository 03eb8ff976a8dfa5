"""Compiles calls of what the compiler itself knows: Python's built-in functions, ``torch.jit``'s words, classes."""

import ast

from . import classes, signatures
from .frontend import ErrorReport
from .graph import Value, constant_of
from .sugar import Compiled, Iterated, Method, Operator, Several, Special, TypeName
from .types import (
    ANY,
    BOOL,
    FLOAT,
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

_SIMPLE = {"abs": ["prim::abs"], "round": ["aten::round"], "ord": ["aten::ord"], "chr": ["aten::chr"],
           "hex": ["aten::hex"], "oct": ["aten::oct"], "bin": ["aten::bin"], "divmod": ["aten::divmod"],
           "sorted": ["aten::sorted"], "str": ["aten::str"], "any": ["aten::any"], "all": ["aten::all"],
           "sum": ["aten::sum"], "id": ["prim::id"], "hash": ["aten::hash"]}


class Specials:
    """Calls that are not simply an operator, a function or a method."""

    # ------------------------------------------------------------ types

    def type_of(self, node):
        """The type that an annotation's tree means."""
        return self.resolver.type_of(node, self.source.range(node))

    def type_at(self, text, place):
        """The type that a comment gives."""
        return self.resolver.type_of(ast.parse(text.strip(), mode="eval").body, place)

    # ------------------------------------------------------------ known functions

    def special_call(self, fn, node, hint, place):
        """A call of something that the compiler knows."""
        name = fn.name
        own = getattr(self, "call_" + name, None)
        if own is not None:
            return own(node, hint, place, fn)
        args, kwargs = self.arguments(node)
        if name in _SIMPLE:
            args = [self.as_value(a, place) for a in args]
            if name in ("any", "all", "sum") and isinstance(args[0].type, TupleType):
                args[0] = self.to_list(args[0], None, place)
            if isinstance(args[0].type, ClassType):
                return self.call_method(args[0], args[0].type, f"__{name}__", args[1:], {}, place)
            return self.operator(_SIMPLE[name], args, {k: self.as_value(v, place) for k, v in kwargs.items()}, place)
        raise ErrorReport(f"'{name}' can't be called here", place)

    def call_len(self, node, hint, place, fn):
        x = self.sugared(node.args[0])
        if isinstance(x, Several):
            return self.constant(len(x.items), place)
        if isinstance(x, Iterated):
            return self.constant(len(x.static)) if x.static is not None else x.length()
        x = self.as_value(x, place)
        if isinstance(x.type, TupleType):
            return self.constant(len(x.type.elements), place)
        if isinstance(x.type, ClassType):
            found = self.container_items(x, x.type)
            if found is not None:
                return self.constant(len(found.items), place)
            return self.call_method(x, x.type, "__len__", [], {}, place)
        return self.operator(["aten::len"], [x], {}, place)

    def call_range(self, node, hint, place, fn):
        args = [self.value(a) for a in node.args]
        args = [a if a.type == INT else self.operator(["aten::Int"], [a], {}, place) for a in args]
        if len(args) == 1:
            return Iterated(lambda: args[0], lambda i: i)
        step = args[2] if len(args) == 3 else self.constant(1)
        return Iterated(lambda: self.operator(["aten::__range_length"], [args[0], args[1], step], {}, place),
                        lambda i: self.operator(["aten::__derive_index"], [i, args[0], step], {}, place))

    def call_enumerate(self, node, hint, place, fn):
        found = self.iterate(self.sugared(node.args[0]), place)
        first = self.value(node.args[1]) if len(node.args) > 1 else next(
            (self.value(k.value) for k in node.keywords), None)
        if isinstance(found, list):
            start = 0 if first is None else constant_of(first)[1]
            return Iterated(None, None, [Several([self.constant(start + i), x]) for i, x in enumerate(found)])

        def element(i):
            n = i if first is None else self.operator(["aten::add"], [i, first], {}, place)
            return Several([n, found.element(i)])
        return Iterated(found.length, element)

    def call_zip(self, node, hint, place, fn):
        found = [self.iterate(self.sugared(a), place) for a in node.args]
        if any(isinstance(f, list) for f in found):
            n = min(len(f) for f in found if isinstance(f, list))

            def at(f, i):
                return f[i] if isinstance(f, list) else f.element(self.constant(i))
            return Iterated(None, None, [Several([at(f, i) for f in found]) for i in range(n)])

        def length():
            lengths = [f.length() for f in found]
            out = lengths[0]
            for other in lengths[1:]:
                out = self.builder.one("prim::min", [out, other], INT, place,
                                       schema=signatures.overload("prim::min", "int"))
            return out
        return Iterated(length, lambda i: Several([f.element(i) for f in found]))

    def call_reversed(self, node, hint, place, fn):
        found = self.iterate(self.sugared(node.args[0]), place)
        if isinstance(found, list):
            return Iterated(None, None, found[::-1])
        x = self.value(node.args[0])
        copy = self.operator(["aten::list"], [x], {}, place)
        self.operator(["aten::reverse"], [copy], {}, place)
        return copy

    def call_print(self, node, hint, place, fn):
        self.builder.node("prim::Print", [self.value(a) for a in node.args], [], place)
        return self.constant(None)

    def call_int(self, node, hint, place, fn):
        return self.cast_to("aten::Int", "__int__", INT, node, place)

    def call_float(self, node, hint, place, fn):
        return self.cast_to("aten::Float", "__float__", FLOAT, node, place)

    def call_bool(self, node, hint, place, fn):
        return self.cast_to("aten::Bool", "__bool__", BOOL, node, place)

    def call_complex(self, node, hint, place, fn):
        return self.operator(["aten::Complex"], [self.value(a) for a in node.args], {}, place)

    def cast_to(self, op, method, t, node, place):
        x = self.value(node.args[0])
        if x.type == t:
            return x
        if isinstance(x.type, ClassType):
            return self.call_method(x, x.type, method, [], {}, place)
        known, v = constant_of(x)
        if known and isinstance(v, str) and op == "aten::Float" and not self.archive:
            return self.constant(float(v), place)
        return self.operator([op], [x], {}, place)

    def call_list(self, node, hint, place, fn):
        if not node.args:
            return self.list_of([], place, hint.element if isinstance(hint, ListType) else None)
        x = self.sugared(node.args[0])
        if isinstance(x, Several):
            return self.list_of([self.as_value(i, place) for i in x.items], place)
        if isinstance(x, Iterated):
            return self.as_value(x, place)
        if isinstance(x.type, TupleType):
            return self.to_list(x, None, place)
        if x.type == TENSOR:
            return self.operator(["aten::unbind"], [x, self.constant(0)], {}, place)
        if isinstance(x.type, DictType):
            return self.operator(["aten::keys"], [x], {}, place)
        return self.operator(["aten::list"], [x], {}, place)

    def call_dict(self, node, hint, place, fn):
        if not node.args:
            pairs = [(self.constant(k.arg), self.value(k.value)) for k in node.keywords]
            return self.dict_of(pairs, hint if isinstance(hint, DictType) else None, place)
        x = self.sugared(node.args[0], hint)
        if isinstance(x, Iterated):
            x = self.as_value(x, place)
        if isinstance(x.type, ListType) and isinstance(x.type.element, TupleType):
            k, v = x.type.element.elements
            out = self.builder.one("prim::DictConstruct", [], DictType(k, v), place)

            def fill(index):
                pair = self.operator(["aten::__getitem__"], [x, index], {}, place)
                a, b = self.builder.node("prim::TupleUnpack", [pair], [k, v], place)._outputs
                self.operator(["aten::_set_item"], [out, a, b], {}, place)
            self.simple_loop(self.operator(["aten::len"], [x], {}, place), fill, place)
            return out
        return self.operator(["aten::dict"], [x], {}, place)

    def call_tuple(self, node, hint, place, fn):
        x = self.sugared(node.args[0])
        if isinstance(x, Several):
            return Several(list(x.items))
        x = self.as_value(x, place)
        if isinstance(x.type, TupleType):
            return x
        if isinstance(x.type, ListType):
            n = hint.elements if isinstance(hint, TupleType) else None
            count = len(n) if n is not None else len(x.node._inputs) if (
                x.node is not None and x.node._kind == "prim::ListConstruct") else None
            if count is not None:
                return Several(list(self.builder.node("prim::ListUnpack", [x], [x.type.element] * count,
                                                      place)._outputs))
        raise ErrorReport("cannot statically infer the expected size of a list in this context", place)

    def call_min(self, node, hint, place, fn, op="prim::min"):
        args = [self.value(a) for a in node.args]
        if len(args) == 1 and isinstance(args[0].type, TupleType):
            args[0] = self.to_list(args[0], None, place)
        if any(a.type == TENSOR for a in args):
            op = "aten::" + op[6:]
        out = args[0]
        if len(args) == 1:
            return self.operator([op], args, {}, place)
        for a in args[1:]:
            out = self.operator([op], [out, a], {}, place)
        return out

    def call_max(self, node, hint, place, fn):
        return self.call_min(node, hint, place, fn, "prim::max")

    def call_isinstance(self, node, hint, place, fn):
        c = self.instance_check(node, place)
        return c.value if c.value is not None else self.constant(c.static, place)

    def call_hasattr(self, node, hint, place, fn):
        base, name = self.sugared(node.args[0]), constant_of(self.value(node.args[1]))[1]
        if isinstance(base, Value) and isinstance(base.type, ClassType):
            t = base.type
            found = name in t.attributes or name in t.methods or name in t.constants or name in t.properties
            return self.constant(found, place)
        try:
            self.attribute(base, name, place)
        except ErrorReport:
            return self.constant(False, place)
        return self.constant(True, place)

    def call_getattr(self, node, hint, place, fn):
        base = self.sugared(node.args[0])
        known, name = constant_of(self.value(node.args[1]))
        if not known or not isinstance(name, str):
            raise ErrorReport("getattr's second argument must be a string literal", place)
        if len(node.args) == 3 and isinstance(base, Value) and isinstance(base.type, ClassType):
            t = base.type
            if name not in t.attributes and name not in t.methods and name not in t.constants:
                return self.sugared(node.args[2])
        return self.attribute(base, name, place)

    def call_annotate(self, node, hint, place, fn):
        t = self.type_of(node.args[0])
        x = self.value(node.args[1], t)
        v = self.convert(x, t, place, f"expected an expression of type {t.source()} but found ")
        if v.node is not None and v.node._kind in ("prim::ListConstruct", "prim::DictConstruct"):
            v.node.attributes["_annotated"] = True
            if not v.node._inputs:
                v.type = t.element if isinstance(t, OptionalType) else t
        return v if v.type == t else self.builder.one("prim::unchecked_cast", [v], t, place) if (
            isinstance(t, OptionalType)) else v

    def call_unchecked_cast(self, node, hint, place, fn):
        return self.builder.one("prim::unchecked_cast", [self.value(node.args[1])], self.type_of(node.args[0]), place)

    def call_uninitialized(self, node, hint, place, fn):
        return self.unset(self.type_of(node.args[0]))

    def call_unwrap_optional(self, node, hint, place, fn):
        x = self.value(node.args[0])
        if not isinstance(x.type, OptionalType):
            return x
        return self.builder.one("aten::_unwrap_optional", [x], x.type.element, place)

    def call_is_scripting(self, node, hint, place, fn):
        return self.constant(True, place)

    def call_is_tracing(self, node, hint, place, fn):
        return self.constant(False, place)

    def call_static_true(self, node, hint, place, fn):
        return self.constant(True, place)

    def call_static_false(self, node, hint, place, fn):
        return self.constant(False, place)

    def call_none(self, node, hint, place, fn):
        return self.constant(None, place)

    def call_first(self, node, hint, place, fn):
        return self.sugared(node.args[0])

    def call_is_tensor(self, node, hint, place, fn):
        return self.constant(self.value(node.args[0]).type == TENSOR, place)

    def call_type(self, node, hint, place, fn):
        t = fn.more
        if t is None:
            raise ErrorReport("type() is not supported", place)
        args, kwargs = self.arguments(node)
        return self.construct(t, args, kwargs, place)

    def call_warn(self, node, hint, place, fn):
        args, kwargs = self.arguments(node)
        message = self.as_value(args[0], place)
        self.builder.node("aten::warn", [message, self.constant(2)], [], place, (), signatures.overload("aten::warn",
                                                                                                        ""))
        return self.constant(None)

    def call_tensors(self, node, hint, place, fn):
        """An operator that takes a list of tensors where Python's function takes any number of them."""
        args, kwargs = self.arguments(node)
        if len(args) == 1 and not (isinstance(args[0], Value) and args[0].type == TENSOR):
            items = self.as_value(args[0], place)
        else:
            items = self.list_of([self.as_value(a, place) for a in args], place)
        return self.operator([fn.more], [items], {k: self.as_value(v, place) for k, v in kwargs.items()}, place)

    def call_einsum(self, node, hint, place, fn):
        args, kwargs = self.arguments(node)
        args = [self.as_value(a, place) for a in args]
        rest = args[1] if len(args) == 2 and isinstance(args[1].type, ListType) else self.list_of(args[1:], place)
        return self.operator(["aten::einsum"], [args[0], rest], {}, place)

    def call_fork(self, node, hint, place, fn):
        args, kwargs = self.arguments(node)
        from .forking import fork
        return fork(self, args, kwargs, place)

    def call_awaitable(self, node, hint, place, fn):
        args, kwargs = self.arguments(node)
        return self.call_sugar(args[0], args[1:], kwargs, place)

    def call_wait(self, node, hint, place, fn):
        x = self.value(node.args[0])
        return self.operator(["aten::wait"], [x], {}, place)

    def call_inner_isinstance(self, node, hint, place, fn):
        return self.call_isinstance(node, hint, place, fn)

    def call_cast(self, node, hint, place, fn):
        """``x.float()`` and its like."""
        base, target = fn.more
        return self.operator(["aten::to"], [base, self.constant(target), self.constant(False), self.constant(False)],
                             {},
                             place)

    def call_create(self, node, hint, place, fn):
        return self.builder.one("prim::CreateObject", [], fn.more, place)

    def call_dict_values(self, node, hint, place, fn):
        x = self.value(node.args[0])
        return self.builder.one("aten::values", [x], ListType(x.type.element), place)

    def call_raise_exception(self, node, hint, place, fn):
        args = [self.value(a) for a in node.args]
        if len(args) == 1:
            args.append(self.constant(None))
        self.builder.node("prim::RaiseException", args, [], place)
        if not self.archive:
            self.builder.block.ended = True
        return self.constant(None)

    # ------------------------------------------------------------ Python objects

    def call_python(self, callee, args, kwargs, place):
        """A call of a Python object: a class, or a function that is compiled now."""
        v = callee.value
        if isinstance(v, type):
            t = classes.callable_type(v)
            if t is None:
                raise ErrorReport(f"Class {v.__name__} can't be used in TorchScript", place)
            return self.construct(t, args, kwargs, place)
        function = self.compiling(lambda: self.resolver.function(v, place), getattr(v, "__name__", str(v)), place)
        if function is None:
            shown = getattr(v, "__name__", type(v).__name__)
            raise ErrorReport(f"Python builtin <{v!r}> is currently not supported in Torchscript" if callable(v) else
                              f"'{shown}' object is not callable", place)
        if function.ignored is not None:
            return self.call_ignored(function, None, args, kwargs, place)
        return self.call_function(function, args, kwargs, place)

    def call_ignored(self, function, value, args, kwargs, place):
        """A function that stays in Python, or raises if it is called."""
        parameters = function.parameters[1:] if value is not None else function.parameters
        values = self.bind(function.name, parameters, args, kwargs, place)
        if function.ignored == "unused":
            self.builder.node("prim::RaiseException", [self.constant(
                f"torch.jit.unused function {function.name} was called: it was compiled to raise"),
                self.constant(None)],
                [], place)
            return self.unset(function.returns)
        inputs = ([value] if value is not None else []) + values
        return self.builder.one("^" + function.name, inputs, function.returns, place, _python=function.python)

    def compiling(self, make, name, place):
        """What `make` compiles; errors in it tell that it was compiled for this call."""
        from .resolve import STACK
        STACK.append((name, place))
        try:
            return make()
        finally:
            STACK.pop()

    def construct(self, t, args, kwargs, place):
        """An object of a type."""
        if isinstance(t, TupleType):
            fields = t.fields or [str(i) for i in range(len(t.elements))]
            from .functions import Parameter
            defaults = t.defaults or (...,) * len(fields)
            parameters = [Parameter(f, e, d) for f, e, d in zip(fields, t.elements, defaults)]
            values = self.bind(t.qualified or "tuple", parameters, args, kwargs, place)
            return self.builder.one("prim::TupleConstruct", values, t, place)
        if isinstance(t, ClassType):
            out = self.builder.one("prim::CreateObject", [], t, place)
            self.call_method(out, t, "__init__", args, kwargs, place)
            return out
        if isinstance(t, EnumType):
            raise ErrorReport("Enum constructors can't be called: use its members", place)
        if isinstance(t, ListType) and len(args) == 1:
            return self.convert(self.as_value(args[0], place), t, place)
        if isinstance(t, (ListType, DictType)) and not args:
            kind = "prim::ListConstruct" if isinstance(t, ListType) else "prim::DictConstruct"
            return self.builder.one(kind, [], t, place)
        raise ErrorReport(f"'{t.source()}' can't be called", place)

    def call_instance(self, value, args, kwargs, place):
        """A call of a module or of an object: its ``forward``, between hooks, or ``__call__``."""
        t = value.type
        if not getattr(t, "module", False):
            return self.call_method(value, t, "__call__", args, kwargs, place)
        if isinstance(t, ClassType) and (t.hooks or t.pre_hooks):
            return self.hooked(value, t, args, kwargs, place)
        return self.call_method(value, t, "forward", args, kwargs, place)

    def hooked(self, value, t, args, kwargs, place):
        """``forward`` with the hooks that were registered before scripting."""
        function = t.method("forward")
        values = self.bind("forward", function.parameters[1:], args, kwargs, place)
        packed = self.as_value(Several(values), place)
        for name in t.pre_hooks:
            changed = self.call_method(value, t, name, [packed], {}, place)
            if changed.type == NONE:
                continue
            if not isinstance(changed.type, TupleType):
                changed = self.as_value(Several([changed]), place)
            packed = changed
        values = list(self.builder.node("prim::TupleUnpack", [packed], packed.type.elements, place)._outputs)
        out = self.call_method(value, t, "forward", values, {}, place)
        for name in t.hooks:
            changed = self.call_method(value, t, name, [packed, out], {}, place)
            out = out if changed.type == NONE else changed
        return out

    # ------------------------------------------------------------ objects of classes

    def class_attribute(self, value, t, name, place):
        """An attribute, method or constant of an object."""
        if name in t.attributes:
            return self.get_attribute(value, t, name, place)
        if name in t.lists:
            return self.list_of([self.get_attribute(value, t, n, place) for n in t.lists[name]], place)
        if name in t.properties:
            return self.call_method(value, t, t.properties[name][0], [], {}, place)
        if name in t.constants:
            return self.python_constant(t.constants[name], place, True)
        if name in t.python_values:
            return self.resolver.sugar(t.python_values[name], name)
        found = self.container_items(value, t)
        if found is not None and name in ("items", "keys", "values"):
            return Special("container", (found, name))
        if name in t.methods:
            return Method(value, t, name)
        if t.fresh is not None and t.fresh(name):
            return Method(value, t, name)
        extra = t.unused.get(name)
        if extra is None and t.python is not None and t.module and callable(getattr(t.python, name, None)):
            if classes.late_method(t, name):
                return Method(value, t, name)
        if t.module:
            shown = t.name.rpartition(".")[2]
            raise ErrorReport(f"Module '{shown}' has no attribute '{name}' {extra or ''}", place)
        raise ErrorReport(f"Tried to access nonexistent attribute or method '{name}' of type '{t.name}'. Did you "
                          "forget "
                          "to initialize an attribute in __init__()?", place)

    def get_attribute(self, value, t, name, place):
        """A ``prim::GetAttr``."""
        kind = t.attributes[name]
        out = self.builder.one("prim::GetAttr", [value], kind, None, name=name)
        if isinstance(kind, ClassType) and kind.module:
            found = self.container_items(out, kind)
            if found is not None:
                return found
        return out

    def container_items(self, value, t):
        """What a container of modules or parameters holds, as a `Several`; None for other objects."""
        kind = classes.container_kind(t)
        if kind is None:
            return None
        keys = classes.container_keys(t, kind)
        items = [_Part(self, value, t, k) for k in keys]
        return Several(_Lazy(items), keys, value, kind)

    def container_attribute(self, base, name, place):
        """An attribute of a container of modules."""
        if name in ("items", "keys", "values") and base.kind == "dict":
            return Special("container", (base, name))
        return self.class_attribute(base.value, base.value.type, name, place)

    def call_container(self, node, hint, place, fn):
        base, name = fn.more
        keys = [self.constant(k) for k in base.keys]
        if name == "keys":
            return Several(keys)
        if name == "values":
            return Several(list(base.items))
        return Several([Several([k, v]) for k, v in zip(keys, base.items)])

    def iterate_class(self, value, t, place):
        found = self.container_items(value, t)
        if found is not None:
            return self.iterate(found, place)
        if "__len__" in t.methods and "__getitem__" in t.methods:
            return Iterated(lambda: self.call_method(value, t, "__len__", [], {}, place),
                            lambda i: self.call_method(value, t, "__getitem__", [i], {}, place))
        raise ErrorReport(f"'{t.name}' object is not iterable", place)

    def set_attribute(self, base, name, x, place):
        """``base.name = x``."""
        if isinstance(base, Several) and base.value is not None:
            base = base.value
        if not isinstance(base, Value) or not isinstance(base.type, ClassType):
            shown = "Tensor (inferred)" if isinstance(base, Value) and base.type == TENSOR else (
                base.type.source() if isinstance(base, Value) else repr(base))
            if isinstance(base, Value) and base.type == TENSOR and name in ("requires_grad", "data", "grad"):
                v = self.as_value(x, place)
                self.operator([f"aten::{name}_" if name == "requires_grad" else "aten::set_data"], [base, v], {}, place)
                return
            raise ErrorReport(f"Tried to set an attribute: {name} on a non-class: {shown}", place)
        t = base.type
        value = self.as_value(x, place)
        if name in t.properties and t.properties[name][1]:
            self.call_method(base, t, t.properties[name][1], [value], {}, place)
            return
        if name not in t.attributes:
            if self.initialising(t):
                t.attributes[name] = value.type
            else:
                raise ErrorReport(f"Tried to set nonexistent attribute: {name}. Did you forget to initialize it in "
                                  "__init__()?", place)
        wanted = t.attributes[name]
        if self.initialising(t) and wanted == NONE and value.type != NONE:
            wanted = t.attributes[name] = OptionalType(value.type)
        if not is_subtype(value.type, wanted):
            value = self.convert(value, wanted, place, f"Wrong type for attribute assignment. Expected "
                                                       f"{wanted.source()} "
                                 "but got ")
        self.builder.node("prim::SetAttr", [base, value], [], place, name=name)

    def initialising(self, t):
        """Whether this is the initialiser of class `t`."""
        return getattr(self, "initialises", None) is t

    def declares_attribute(self, target, t):
        base = self.frame.get(target.value.id) if isinstance(target.value, ast.Name) else None
        if isinstance(base, Value) and self.initialising(base.type) and target.attr not in base.type.attributes:
            base.type.attributes[target.attr] = t
        return False

    def super_value(self, place):
        """``super()``: the methods of the base classes on this object."""
        self_value = self.graph.block_.params[0]
        t = self_value.type
        return Special("super", (self_value, classes.base_view(t, self.owner), None))

    def with_context(self, item, place):
        """(what to do at the end, the value of ``as``) of entering a context."""
        manager = self.sugared(item.context_expr)
        if isinstance(manager, Special) and manager.name == "null":
            return (lambda: None), manager
        value = self.as_value(manager, place)
        if not isinstance(value.type, ClassType) or "__enter__" not in value.type.methods:
            raise ErrorReport(f"{value.type.source()} does not define __enter__ and __exit__", place)
        entered = self.call_method(value, value.type, "__enter__", [], {}, place)
        none = self.constant(None)

        def leave():
            self.call_method(value, value.type, "__exit__", [none, none, none], {}, place)
        return leave, entered


class _Part:
    """An entry of a container that becomes a value when it is used."""

    __slots__ = ("compiler", "value", "type", "key")

    def __init__(self, compiler, value, type, key):
        self.compiler, self.value, self.type, self.key = compiler, value, type, key

    def get(self):
        return self.compiler.get_attribute(self.value, self.type, self.key, None)


class _Lazy:
    """A list of parts that makes values as they are taken."""

    __slots__ = ("parts",)

    def __init__(self, parts):
        self.parts = parts

    def __len__(self):
        return len(self.parts)

    def __iter__(self):
        return iter([p.get() for p in self.parts])

    def __getitem__(self, i):
        return _Lazy(self.parts[i]) if isinstance(i, slice) else self.parts[i].get()


__all__ = ["ANY", "Compiled", "FutureType", "InterfaceType", "Operator", "STR", "Specials", "TypeName"]
