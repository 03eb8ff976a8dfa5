"""Compiles expressions: literals, operators, conditions with what they tell of types, subscripts and comprehensions."""

import ast

from . import signatures
from .calls import Calls
from .frontend import ErrorReport, NotSupportedError, UnsupportedNodeError
from .graph import Block, Value, constant_of
from .sugar import Frame, Iterated, Python, Several, Special, Sugar, Undefined
from .types import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    SCALAR,
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
    UnionType,
    is_subtype,
    optional,
    unify,
    union,
)

_NUMBERS = (INT, FLOAT, COMPLEX, SCALAR)
BINARY = {ast.Add: "aten::add", ast.Sub: "aten::sub", ast.Mult: "aten::mul", ast.Div: "aten::div",
          ast.FloorDiv: "aten::floordiv", ast.Mod: "aten::remainder", ast.Pow: "aten::pow", ast.MatMult: "aten::matmul",
          ast.BitAnd: "aten::__and__", ast.BitOr: "aten::__or__", ast.BitXor: "aten::__xor__",
          ast.LShift: "aten::__lshift__", ast.RShift: "aten::__rshift__", ast.Eq: "aten::eq", ast.NotEq: "aten::ne",
          ast.Lt: "aten::lt", ast.Gt: "aten::gt", ast.LtE: "aten::le", ast.GtE: "aten::ge"}
_MIRRORED = {"aten::lt": "aten::gt", "aten::gt": "aten::lt", "aten::le": "aten::ge", "aten::ge": "aten::le",
             "aten::eq": "aten::eq", "aten::ne": "aten::ne", "aten::add": "aten::add", "aten::mul": "aten::mul",
             "aten::__and__": "aten::__and__", "aten::__or__": "aten::__or__", "aten::__xor__": "aten::__xor__"}
_DUNDERS = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__", ast.Eq: "__eq__",
            ast.NotEq: "__ne__", ast.Lt: "__lt__", ast.Gt: "__gt__", ast.LtE: "__le__", ast.GtE: "__ge__",
            ast.Mod: "__mod__", ast.Pow: "__pow__", ast.FloorDiv: "__floordiv__", ast.MatMult: "__matmul__",
            ast.BitAnd: "__and__", ast.BitOr: "__or__", ast.BitXor: "__xor__"}
MOST = (1 << 63) - 1


class Condition:
    """A condition: a value or what is known at once, and types that variables have if it holds or not."""

    __slots__ = ("value", "static", "when_true", "when_false")

    def __init__(self, value=None, static=None, when_true=None, when_false=None):
        self.value, self.static = value, static
        self.when_true, self.when_false = when_true or {}, when_false or {}


class Expressions(Calls):
    """The part of the compiler that makes values of expressions."""

    def value(self, node, hint=None):
        """The value of an expression."""
        return self.as_value(self.sugared(node, hint), self.source.range(node), hint)

    def sugared(self, node, hint=None):
        """What an expression is: a value, or something known at compile time."""
        name = "ex_" + type(node).__name__
        fn = getattr(self, name, None)
        if fn is None:
            raise UnsupportedNodeError(self.source.range(node), node)
        if hint is not None and name in ("ex_List", "ex_Dict", "ex_ListComp", "ex_Tuple", "ex_DictComp", "ex_Call",
                                         "ex_IfExp", "ex_BinOp"):
            return fn(node, hint)
        return fn(node)

    def constant(self, value, place=None, type=None):
        """A constant, made once."""
        from .graph import constant_type
        t = type or constant_type(value)
        key = (str(t), id(value) if hasattr(value, "_storage") else repr(value), getattr(t, "name", None))
        found = self.constants.get(key)
        if found is None:
            block, self.builder.block = self.builder.block, _Sink(self.constant_nodes)
            found = self.constants[key] = self.builder.constant(value, place, t)
            self.builder.block = block
            found.node.owner = self.graph.block_
        return found

    # ------------------------------------------------------------ literals and names

    def ex_Constant(self, node):
        if node.value is Ellipsis:
            return Special("...")
        if isinstance(node.value, bytes):
            raise UnsupportedNodeError(self.source.range(node), node)
        return self.constant(node.value, self.source.range(node))

    def ex_Name(self, node):
        found = self.frame.get(node.id)
        if found is None:
            found = self.resolver(node.id, self.source.range(node))
        if found is None:
            raise ErrorReport(f"undefined value {node.id}", self.source.range(node))
        if isinstance(found, Undefined):
            raise ErrorReport(found.message + (f":\n{found.range.highlight()}and was used here" if found.range else ""),
                              self.source.range(node))
        return found

    def ex_Attribute(self, node):
        return self.attribute(self.sugared(node.value), node.attr, self.source.range(node))

    def ex_Call(self, node, hint=None):
        return self.call(node, hint)

    def ex_Tuple(self, node, hint=None):
        hints = hint.elements if isinstance(hint, TupleType) and len(hint.elements) == len(node.elts) else ()
        items = []
        for i, e in enumerate(node.elts):
            if isinstance(e, ast.Starred):
                items.extend(self.spread(e.value))
            else:
                items.append(self.sugared(e, hints[i] if hints else None))
        return Several(items)

    def ex_List(self, node, hint=None):
        while isinstance(hint, OptionalType):
            hint = hint.element
        element = hint.element if isinstance(hint, ListType) else None
        place = self.source.range(node)
        items = []
        for e in node.elts:
            if isinstance(e, ast.Starred):
                items.extend(self.spread(e.value))
            else:
                items.append(self.sugared(e, element))
        items = [self.as_value(i, place) for i in items]
        return self.list_of(items, place, element)

    def list_of(self, items, place, element=None):
        """A list of values; element: the wanted type."""
        if element is None:
            for v in items:
                joined = v.type if element is None else unify(element, v.type, True)
                if joined is None:
                    joined = union([element, v.type])
                element = joined
            element = TENSOR if element is None else element
        else:
            wider = [v for v in items if not is_subtype(v.type, element)]
            if wider and not self.archive:
                items = [self.convert(v, element, place, f"List type annotation `List[{element.source()}]` did not "
                                      "match the types of the given list elements: ") for v in items]
        from .types import plain
        return self.builder.one("prim::ListConstruct", items, ListType(plain(element)), place)

    def ex_Dict(self, node, hint=None):
        while isinstance(hint, OptionalType):
            hint = hint.element
        place = self.source.range(node)
        if any(k is None for k in node.keys):
            raise NotSupportedError(place, "Dict expansion (e.g. `{**dict}`) is not supported")
        kh, vh = (hint.of, hint.element) if isinstance(hint, DictType) else (None, None)
        pairs = [(self.value(k, kh), self.value(v, vh)) for k, v in zip(node.keys, node.values)]
        return self.dict_of(pairs, hint if isinstance(hint, DictType) else None, place)

    def dict_of(self, pairs, hint, place):
        """A dict of pairs of values."""
        if hint is None:
            keys = pairs[0][0].type if pairs else STR
            values = None
            for _, v in pairs:
                values = v.type if values is None else unify(values, v.type) or union([values, v.type])
            hint = DictType(keys, values if values is not None else TENSOR)
        else:
            pairs = [(self.convert(k, hint.of, place), self.convert(v, hint.element, place)) for k, v in pairs]
        return self.builder.one("prim::DictConstruct", [x for p in pairs for x in p], hint, place)

    def ex_JoinedStr(self, node):
        text, values = "", []
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += part.value
                continue
            if part.conversion not in (-1, 115, 114):
                raise NotSupportedError(self.source.range(node), "Don't support conversion in JoinedStr")
            if part.format_spec is not None:
                raise NotSupportedError(self.source.range(node), "Don't support formatting in JoinedStr")
            text += "{}"
            values.append(self.value(part.value))
        return self.operator(["aten::format"], [self.constant(text), *values], {}, self.source.range(node))

    # ------------------------------------------------------------ operators

    def ex_UnaryOp(self, node):
        place = self.source.range(node)
        if isinstance(node.op, ast.Not):
            return self.condition_value(node)
        x = self.value(node.operand)
        known, v = constant_of(x)
        if isinstance(node.op, ast.USub):
            if known and isinstance(v, (int, float)) and not isinstance(v, bool):
                return self.constant(-v, place)
            return self.operator(["aten::neg"], [x], {}, place, method=("__neg__", x))
        if isinstance(node.op, ast.UAdd):
            return x
        return self.operator(["aten::bitwise_not"], [x], {}, place, method=("__invert__", x))

    def ex_BinOp(self, node, hint=None):
        place = self.source.range(node)
        if hint is not None and not isinstance(hint, ListType):
            hint = None
        left, right = self.sugared(node.left, hint), self.sugared(node.right, hint)
        if isinstance(left, Several) and isinstance(right, Several) and isinstance(node.op, ast.Add):
            return Several([*left.items, *right.items])
        left, right = self.as_value(left, place), self.as_value(right, place)
        if isinstance(node.op, ast.Add) and isinstance(left.type, TupleType) and isinstance(right.type, TupleType):
            parts = [list(self.builder.node("prim::TupleUnpack", [v], v.type.elements, place)._outputs)
                     for v in (left, right)]
            return Several([*parts[0], *parts[1]])
        return self.binary(type(node.op), left, right, place)

    def binary(self, op, a, b, place):
        """``a op b``."""
        name = BINARY[op]
        for v, other, order in ((a, b, (a, b)), (b, a, (b, a))):
            if isinstance(v.type, (ClassType, InterfaceType)) and v is a:
                method = _DUNDERS.get(op)
                if method is not None and method in getattr(v.type, "methods", ()):
                    return self.call_method(v, v.type, method, [other], {}, place)
        if op is ast.Mod and a.type == STR:
            values = list(self.builder.node("prim::TupleUnpack", [b], b.type.elements, place)._outputs) if isinstance(
                b.type, TupleType) else [b]
            return self.builder.one("aten::percentFormat", [a, *values], STR, place)
        if a.type == TENSOR and op is ast.FloorDiv:
            name = "aten::floor_divide"
        if b.type == TENSOR and a.type in _NUMBERS:
            if name in _MIRRORED:
                name, a, b = _MIRRORED[name], b, a
            elif op is ast.Sub:
                return self.operator(["aten::rsub"], [b, a], {}, place)
            elif op is ast.Div:
                return self.operator(["aten::mul"], [self.operator(["aten::reciprocal"], [b], {}, place), a], {}, place)
            elif op is ast.FloorDiv:
                turned = self.operator(["aten::tensor"], [a], {}, place)
                return self.operator(["aten::floor_divide"], [turned, b], {}, place)
        return self.operator([name], [a, b], {}, place)

    def ex_Compare(self, node):
        c = self.comparison(node, self.source.range(node))
        if c.static is not None and c.value is None:
            return self.constant(c.static, self.source.range(node))
        return c.value

    def ex_BoolOp(self, node):
        return self.condition_value(node)

    def ex_IfExp(self, node, hint=None):
        place = self.source.range(node)
        cond = self.condition(node.test)
        if cond.static is not None:
            return self.sugared(node.body if cond.static else node.orelse, hint)
        found = []
        branch = self.builder.node("prim::If", [cond.value], [], place)
        branch._blocks = [Block(self.graph, branch), Block(self.graph, branch)]
        for b, e, refined in zip(branch._blocks, (node.body, node.orelse), (cond.when_true, cond.when_false)):
            self.inside(b, lambda e=e: found.append(self.value(e, hint)), refined.items())
        t = unify(found[0].type, found[1].type)
        if t is None:
            if hint is None:
                t = union([found[0].type, found[1].type])
            else:
                t = hint
        for b, v in zip(branch._blocks, found):
            b.returns = [v]
        out = Value(t, branch, self.graph.next())
        branch._outputs.append(out)
        return out

    # ------------------------------------------------------------ conditions

    def condition_value(self, node):
        """A condition as a value."""
        cond = self.condition(node)
        if cond.static is not None and cond.value is None:
            return self.constant(cond.static, self.source.range(node))
        return cond.value

    def condition(self, node):
        """What a condition is, and what it tells of the types of variables."""
        place = self.source.range(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            c = self.condition(node.operand)
            if c.static is not None:
                return Condition(None, not c.static, c.when_false, c.when_true)
            return Condition(self.operator(["aten::__not__"], [c.value], {}, place), None, c.when_false, c.when_true)
        if isinstance(node, ast.BoolOp):
            return self.logical(node, place)
        if isinstance(node, ast.Compare):
            c = self.comparison(node, place)
            if c.value is not None and c.value.type != BOOL:
                c.value = self.as_bool(c.value, place)
            return c
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            fn = self.sugared(node.func)
            if isinstance(fn, Special) and fn.name == "isinstance":
                return self.instance_check(node, place)
            if isinstance(fn, Special) and fn.name in ("is_scripting", "hasattr", "is_tracing", "static_true",
                                                       "static_false"):
                known = self.special_call(fn, node, None, place)
                return Condition(None, constant_of(known)[1])
        found = self.sugared(node)
        if isinstance(found, Python) and isinstance(found.value, bool):
            return Condition(None, found.value)
        value = self.as_value(found, place)
        known, v = constant_of(value)
        if known and isinstance(v, bool):
            return Condition(value, v)
        return Condition(self.as_bool(value, place))

    def as_bool(self, value, place):
        """A value as a bool."""
        if value.type == BOOL:
            return value
        if isinstance(value.type, (ListType, DictType)) or value.type == STR:
            raise ErrorReport(f"Could not cast value of type {value.type.source()} to bool", place)
        if isinstance(value.type, OptionalType) or value.type == NONE:
            raise ErrorReport(f"Could not cast value of type {value.type.source()} to bool", place)
        if isinstance(value.type, ClassType) and "__bool__" in value.type.methods:
            return self.call_method(value, value.type, "__bool__", [], {}, place)
        return self.operator(["aten::Bool"], [value], {}, place)

    def logical(self, node, place):
        conjunction = isinstance(node.op, ast.And)
        first = self.condition(node.values[0])
        rest = node.values[1:]
        for i in range(len(rest)):
            first = self.two(first, rest[i], conjunction, place)
        return first

    def two(self, first, second, conjunction, place):
        """``first and second``, or ``or``: the second is looked at only if the first leaves it open."""
        known = first.when_true if conjunction else first.when_false
        if first.static is not None:
            if first.static != conjunction:
                return first
            outer = self.frame
            self.frame = Frame(self.builder.block, outer)
            self.frame.refined.update(self.cast(known, place))
            try:
                c = self.condition(second)
            finally:
                self.frame = outer
            return _merge(first, c, conjunction, c.value, c.static)
        node = self.builder.node("prim::If", [first.value], [], place)
        node._blocks = [Block(self.graph, node), Block(self.graph, node)]
        found = []
        active = node._blocks[0 if conjunction else 1]

        def fill():
            found.append(self.condition(second))
            found.append(self.condition_of(found[0]))
        self.inside(active, fill, known.items())
        c = found[0]
        if c.static is not None:
            parent = self.builder.block
            parent.nodes.remove(node)
            value, static = (first.value, None) if c.static == conjunction else (None, c.static)
            return _merge(first, c, conjunction, value, static)
        active.returns = [found[1]]
        node._blocks[1 if conjunction else 0].returns = [self.constant(not conjunction)]
        out = Value(BOOL, node, self.graph.next())
        node._outputs.append(out)
        return _merge(first, c, conjunction, out, None)

    def cast(self, known, place):
        found = {}
        for name, (value, t) in known.items():
            found[name] = self.builder.one("prim::unchecked_cast", [value], t, place)
        return found

    def condition_of(self, c):
        return c.value if c.value is not None else self.constant(c.static)

    def comparison(self, node, place):
        result = None
        left = node.left
        for i, (op, right) in enumerate(zip(node.ops, node.comparators)):
            c = self.compare(left, op, right, place)
            if result is None:
                result = c
            else:
                both = [self.as_bool(self.condition_of(x), place) for x in (result, c)]
                result = Condition(self.operator(["aten::__and__"], both, {}, place))
            left = right
        return result

    def compare(self, left, op, right, place):
        if isinstance(op, (ast.Is, ast.IsNot)):
            return self.identity(left, isinstance(op, ast.Is), right, place)
        if isinstance(op, (ast.In, ast.NotIn)):
            container, item = self.sugared(right), self.sugared(left)
            if isinstance(container, Several) and container.kind in ("dict", "module"):
                key = constant_of(self.as_value(item, place))[1]
                return Condition(None, (key in container.keys) == isinstance(op, ast.In))
            container, item = self.as_value(container, place), self.as_value(item, place)
            if isinstance(container.type, TupleType):
                container = self.to_list(container, None, place)
            if isinstance(container.type, ClassType):
                value = self.call_method(container, container.type, "__contains__", [item], {}, place)
            elif container.type == TENSOR:
                value = self.operator(["aten::any"], [self.operator(["aten::eq"], [container, item], {}, place)], {},
                                      place)
                value = self.as_bool(value, place)
            else:
                value = self.operator(["aten::__contains__"], [container, item], {}, place)
            if isinstance(op, ast.NotIn):
                value = self.operator(["aten::__not__"], [value], {}, place)
            return Condition(value)
        a, b = self.sugared(left), self.sugared(right)
        a, b = self.as_value(a, place), self.as_value(b, place)
        name = BINARY[type(op)]
        if isinstance(a.type, EnumType) and a.type == b.type:
            return Condition(self.builder.one(name, [a, b], BOOL, place))
        if isinstance(a.type, TupleType) and isinstance(b.type, TupleType):
            a, b = self.to_list(a, None, place), self.to_list(b, None, place)
        if isinstance(a.type, TupleType) and isinstance(b.type, ListType):
            a = self.to_list(a, None, place)
        if isinstance(b.type, TupleType) and isinstance(a.type, ListType):
            b = self.to_list(b, None, place)
        known_a, va = constant_of(a)
        known_b, vb = constant_of(b)
        if known_a and known_b and not self.archive and isinstance(va, (int, float, str)) and isinstance(
                vb, (int, float, str)):
            import operator as o
            fn = {"eq": o.eq, "ne": o.ne, "lt": o.lt, "gt": o.gt, "le": o.le, "ge": o.ge}[name[6:]]
            return Condition(None, fn(va, vb))
        value = self.binary(type(op), a, b, place)
        return Condition(self.as_bool(value, place) if value.type != TENSOR else value)

    def identity(self, left, positive, right, place):
        a, b = self.sugared(left), self.sugared(right)
        a, b = self.as_value(a, place), self.as_value(b, place)
        if a.type == NONE and b.type != NONE:
            a, b, left = b, a, right
        if b.type == NONE:
            if a.type == NONE:
                return Condition(None, positive)
            if not is_subtype(NONE, a.type):
                return Condition(None, not positive)
            value = self.operator(["aten::__is__" if positive else "aten::__isnot__"], [a, b], {}, place)
            name = left.id if isinstance(left, ast.Name) and isinstance(self.frame.get(left.id), Value) else None
            if name is None:
                return Condition(value)
            some = without(a.type, NONE)
            known, unknown = {name: (a, some)}, {}
            return Condition(value, None, unknown if positive else known, known if positive else unknown)
        value = self.operator(["aten::__is__" if positive else "aten::__isnot__"], [a, b], {}, place)
        return Condition(value)

    def instance_check(self, node, place):
        """``isinstance``: decided by types, or at run time for unions and Any."""
        found = self.as_value(self.sugared(node.args[0]), place)
        wanted = self.types_of_check(node.args[1])
        t = found.type
        members = list(t.members) if isinstance(t, UnionType) else [t.element, NONE] if isinstance(
            t, OptionalType) else [t]
        if str(t) == "Any":
            members = None
        if members is not None:
            yes = [m for m in members if any(fits(m, w) for w in wanted)]
            if len(yes) == len(members):
                return Condition(None, True)
            if not yes:
                return Condition(None, False)
            rest = [m for m in members if m not in yes]
        else:
            yes, rest = [w for w in wanted if not isinstance(w, str)], None
        value = self.builder.one("prim::isinstance", [found], BOOL, place)
        value.node.attributes["types"] = yes
        name = node.args[0].id if isinstance(node.args[0], ast.Name) else None
        if name is None or not yes:
            return Condition(value)
        return Condition(value, None, {name: (found, union(yes))}, {name: (found, union(rest))} if rest else {})

    def types_of_check(self, node):
        if isinstance(node, ast.Tuple):
            return [t for e in node.elts for t in self.types_of_check(e)]
        if isinstance(node, ast.Name) and node.id in ("list", "tuple", "dict") and self.frame.get(node.id) is None:
            return [node.id]
        if isinstance(node, ast.Attribute) and node.attr in ("List", "Tuple", "Dict"):
            return [node.attr.lower()]
        return [self.type_of(node)]

    # ------------------------------------------------------------ subscripts

    def ex_Subscript(self, node):
        place = self.source.range(node)
        base = self.sugared(node.value)
        if isinstance(base, Several):
            return self.pick(base, node.slice, place)
        if isinstance(base, Python):
            if base.value.__class__.__module__ == "typing" or isinstance(base.value, type):
                return Special("type", self.type_of(node))
            base = self.as_value(base, place)
        if isinstance(base, Sugar):
            base = self.as_value(base, place)
        return self.subscript(base, node.slice, place)

    def pick(self, base, index, place):
        """Part of something known at compile time."""
        if isinstance(index, ast.Slice):
            bounds = [None if x is None else constant_of(self.value(x)) for x in (index.lower, index.upper, index.step)]
            if any(b is not None and not b[0] for b in bounds):
                raise ErrorReport("tuple slice indices must be integer constants", place)
            cut = slice(*[None if b is None else b[1] for b in bounds])
            return Several(base.items[cut], None, None, base.kind if base.kind == "list" else "tuple")
        key = self.value(index)
        known, k = constant_of(key)
        if base.kind in ("dict", "module") and isinstance(k, str):
            if k not in base.keys:
                raise ErrorReport(f"Key Error, {k}", place)
            return base.items[list(base.keys).index(k)]
        if not known:
            if base.kind == "tuple":
                return self.subscript(self.as_value(base, place), index, place)
            raise ErrorReport("Expected integer literal for index. ModuleList/Sequential indexing is only supported "
                              "with integer literals. Enumeration is supported, e.g. 'for index, v in "
                              "enumerate(self): ...'", place)
        try:
            return base.items[k]
        except IndexError:
            raise ErrorReport(f"Tuple index {k} out of range for a tuple of {len(base.items)} elements" if
                              base.kind == "tuple" else f"Index {k} out of range [0, {len(base.items)})",
                              place) from None

    def subscript(self, base, index, place):
        """``base[index]``."""
        t = base.type
        if t == TENSOR:
            return self.tensor_subscript(base, index, place)
        if isinstance(t, TupleType):
            if isinstance(index, ast.Slice):
                parts = Several(list(self.builder.node("prim::TupleUnpack", [base], t.elements, place)._outputs))
                return self.pick(parts, index, place)
            key = self.value(index)
            known, k = constant_of(key)
            if not known:
                if all(e == t.elements[0] for e in t.elements):
                    return self.builder.one("prim::TupleIndex", [base, key], t.elements[0], place)
                raise ErrorReport("tuple index must be a compile time constant", place)
            if not -len(t.elements) <= k < len(t.elements):
                raise ErrorReport("Tuple index out of range", place)
            return self.builder.one("prim::TupleIndex", [base, key], t.elements[k], place)
        if isinstance(index, ast.Slice):
            if isinstance(t, ClassType):
                raise ErrorReport(f"'{t.name}' object can't be sliced", place)
            bounds = [self.constant(None) if x is None else self.value(x) for x in (index.lower, index.upper)]
            step = self.constant(1) if index.step is None else self.value(index.step)
            return self.operator(["aten::slice"], [base, *bounds, step], {}, place)
        if isinstance(t, ClassType):
            return self.call_method(base, t, "__getitem__", [self.value(index)], {}, place)
        if isinstance(t, OptionalType):
            raise ErrorReport(f"'{t.source()}' object is not subscriptable", place)
        return self.operator(["aten::__getitem__"], [base, self.value(index)], {}, place)

    @staticmethod
    def only_views(index):
        """Whether a subscript is certainly made of slices and integer literals."""
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        for p in parts:
            if isinstance(p, ast.Slice) or isinstance(p, ast.Constant) and (
                    p.value is None or p.value is Ellipsis or type(p.value) is int):
                continue
            if isinstance(p, ast.UnaryOp) and isinstance(p.operand, ast.Constant):
                continue
            return False
        return True

    def tensor_subscript(self, x, index, place, last=None):
        """``x[index]``: selections and slices, then indexing by tensors. last: called with what is left to index."""
        if isinstance(index, ast.Slice) or not isinstance(index, ast.Tuple):
            parts = [index]
        else:
            parts = index.elts
        read = []
        for p in parts:
            if isinstance(p, ast.Slice):
                read.append(p)
                continue
            v = self.sugared(p)
            if isinstance(v, Special) and v.name == "...":
                read.append(Ellipsis)
                continue
            if isinstance(v, Several) and len(parts) == 1:
                if v.kind == "tuple":
                    return self.tensor_subscript_values(x, [self.as_value(i, place) for i in v.items], place, last)
            v = self.as_value(v, place)
            if isinstance(v.type, TupleType) and len(parts) == 1:
                items = list(self.builder.node("prim::TupleUnpack", [v], v.type.elements, place)._outputs)
                return self.tensor_subscript_values(x, items, place, last)
            read.append(v)
        return self.tensor_subscript_values(x, read, place, last)

    def tensor_subscript_values(self, x, read, place, last=None):
        dim, gathered = 0, {}
        for i, p in enumerate(read):
            if p is Ellipsis:
                rest = sum(1 for q in read[i + 1:] if q is Ellipsis or not isinstance(q, Value) or q.type != NONE)
                dim = -rest
                continue
            if isinstance(p, ast.Slice):
                low, high = (self.constant(None) if b is None else self.value(b) for b in (p.lower, p.upper))
                step = self.constant(1) if p.step is None else self.value(p.step)
                x = self.operator(["aten::slice"], [x, self.constant(dim), low, high, step], {}, place)
                dim += 1
            elif p.type == INT:
                x = self.operator(["aten::select"], [x, self.constant(dim), p], {}, place)
                dim += dim < 0
            elif p.type == NONE:
                x = self.operator(["aten::unsqueeze"], [x, self.constant(dim if dim >= 0 else dim - 1)], {}, place)
                dim += dim >= 0
            else:
                if isinstance(p.type, ListType) or p.type in (BOOL, SCALAR):
                    p = self.operator(["aten::tensor"], [p], {}, place)
                elif p.type != TENSOR and not (isinstance(p.type, OptionalType) and p.type.element == TENSOR):
                    raise ErrorReport(f"Unsupported operation: indexing tensor with unsupported index type "
                                      f"'{p.type.source()}'. Only ints, slices, lists and tensors are supported", place)
                gathered[dim] = p
                dim += 1
        if not gathered:
            return last(x, None) if last else x
        if any(d < 0 for d in gathered):
            raise ErrorReport("Ellipses followed by tensor indexing is currently not supported", place)
        none = self.constant(None)
        entries = [gathered.get(d, none) for d in range(max(gathered) + 1)]
        indices = self.builder.one("prim::ListConstruct", entries, ListType(optional(TENSOR)), place)
        if last:
            return last(x, indices)
        return self.operator(["aten::index"], [x, indices], {}, place)

    def set_item(self, target, value, place):
        """``base[index] = value``."""
        base = self.value(target.value)
        t = base.type
        if t == TENSOR:
            return self.set_part(base, target.slice, value, place)
        if isinstance(t, ClassType):
            return self.call_method(base, t, "__setitem__", [self.value(target.slice), value], {}, place)
        if isinstance(target.slice, ast.Slice):
            raise ErrorReport("Sliced lists can't be assigned to", place)
        if isinstance(t, (ListType, DictType)):
            value = self.convert(value, t.element, place)
        return self.operator(["aten::_set_item"], [base, self.value(target.slice), value], {}, place)

    def set_part(self, base, index, value, place):
        def last(x, indices):
            v = value
            if v.type in _NUMBERS or v.type == BOOL:
                kind = self.builder.one("prim::dtype", [x], INT, place)
                where = self.builder.one("prim::device", [x], DEVICE, place)
                v = self.operator(["aten::tensor"], [v], {"dtype": kind, "device": where}, place)
            if indices is None:
                return self.operator(["aten::copy_"], [x, v, self.constant(False)], {}, place)
            return self.operator(["aten::index_put_"], [x, indices, v, self.constant(False)], {}, place)
        return self.tensor_subscript(base, index, place, last)

    # ------------------------------------------------------------ comprehensions

    def ex_ListComp(self, node, hint=None):
        place = self.source.range(node)
        if len(node.generators) != 1:
            raise NotSupportedError(place, "Only a single generator is currently supported")
        g = node.generators[0]
        if g.ifs:
            raise NotSupportedError(place, "Comprehension ifs are not supported yet")
        it = self.iterate(self.sugared(g.iter), place)
        element = hint.element if isinstance(hint, ListType) else None
        if isinstance(it, list):
            found = []
            for item in it:
                outer, self.frame = self.frame, Frame(self.builder.block, self.frame)
                self.assign(g.target, item)
                found.append(self.value(node.elt, element))
                self.frame = outer
            return self.list_of(found, place, element)
        out = self.builder.one("prim::ListConstruct", [], ListType(element or TENSOR), place)

        def fill(index):
            self.assign(g.target, it.element(index))
            v = self.value(node.elt, element)
            if element is None:
                from .types import plain
                out.type = ListType(plain(v.type))
            self.operator(["aten::append"], [out, v], {}, place)
        self.simple_loop(it.length(), fill, place)
        return out

    def ex_DictComp(self, node, hint=None):
        place = self.source.range(node)
        if len(node.generators) != 1 or node.generators[0].ifs:
            raise NotSupportedError(place, "Comprehension ifs are not supported yet")
        g = node.generators[0]
        it = self.iterate(self.sugared(g.iter), place)
        if isinstance(it, list):
            pairs = []
            for item in it:
                outer, self.frame = self.frame, Frame(self.builder.block, self.frame)
                self.assign(g.target, item)
                pairs.append((self.value(node.key), self.value(node.value)))
                self.frame = outer
            return self.dict_of(pairs, hint if isinstance(hint, DictType) else None, place)
        out = self.builder.one("prim::DictConstruct", [], hint if isinstance(hint, DictType) else DictType(STR, TENSOR),
                               place)

        def fill(index):
            self.assign(g.target, it.element(index))
            k, v = self.value(node.key), self.value(node.value)
            if not isinstance(hint, DictType):
                out.type = DictType(k.type, v.type)
            self.operator(["aten::_set_item"], [out, k, v], {}, place)
        self.simple_loop(it.length(), fill, place)
        return out

    def simple_loop(self, trips, fill, place):
        """A loop that carries nothing."""
        node = self.builder.node("prim::Loop", [trips, self.constant(True)], [], place)
        block = Block(self.graph, node)
        node._blocks = [block]
        index = block.param(INT)
        self.inside(block, lambda: fill(index))
        block.returns = [self.constant(True)]


class _Sink:
    """Stands for a block while constants are made."""

    __slots__ = ("nodes",)

    def __init__(self, nodes):
        self.nodes = nodes


def without(t, part):
    """A type without one of its members."""
    if isinstance(t, OptionalType):
        return t.element if part == NONE else t
    if isinstance(t, UnionType):
        return union([m for m in t.members if m != part])
    return t


def fits(t, wanted):
    """Whether values of a type pass an ``isinstance`` check."""
    if wanted == "list":
        return isinstance(t, ListType)
    if wanted == "tuple":
        return isinstance(t, TupleType)
    if wanted == "dict":
        return isinstance(t, DictType)
    return is_subtype(t, wanted)


def _merge(a, b, conjunction, value, static):
    """What holds of variables when ``a and b`` (or ``a or b``) does."""
    if conjunction:
        return Condition(value, static, {**a.when_true, **b.when_true}, {})
    return Condition(value, static, {}, {**a.when_false, **b.when_false})


__all__ = ["Expressions", "FutureType", "Iterated", "MOST", "signatures"]
