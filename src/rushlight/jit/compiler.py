"""Compiles the syntax tree of a function to a graph: statements, branches and loops (see expressions.py, too)."""

import ast

from . import exits
from .expressions import Expressions
from .frontend import ErrorReport, NotSupportedError, UnsupportedNodeError
from .functions import Function, Parameter
from .graph import Block, Builder, Graph, Value
from .sugar import Frame, Iterated, Python, Several, Special, Sugar, Undefined
from .types import (
    ANY,
    BOOL,
    INT,
    NONE,
    STR,
    TENSOR,
    UNSET,
    ClassType,
    DictType,
    ListType,
    OptionalType,
    TupleType,
    is_subtype,
    optional,
    unify,
)

MOST = (1 << 63) - 1


class Compiler(Expressions):
    """State of one compilation: the graph, the block that is being filled, the variables."""

    def __init__(self, resolver, source, owner=None, archive=False):
        self.graph = Graph()
        self.builder = Builder(self.graph)
        self.resolver, self.source, self.owner, self.archive = resolver, source, owner, archive
        self.frame = Frame(self.graph.block_, None)
        self.constants, self.constant_nodes = {}, []
        self.returns = None
        self.uninitialized = {}

    # ------------------------------------------------------------ a function

    def function(self, tree, name, qualified, types=None, returns=None, self_type=None, defaults=None):
        """Compile a definition. types: {name: type} that are known; returns: the annotated result, or None."""
        args = tree.args
        place = self.source.range
        if args.vararg or args.kwarg:
            raise NotSupportedError(place(args.vararg or args.kwarg), "Compiled functions can't take variable number "
                                    "of arguments or use keyword-only arguments with defaults")
        if any(d is not None for d in args.kw_defaults):
            raise NotSupportedError(place(args.kwonlyargs[0]), "Compiled functions can't take variable number of "
                                    "arguments or use keyword-only arguments with defaults")
        parameters = []
        every = [*args.posonlyargs, *args.args]
        own = defaults or {}
        for i, a in enumerate([*every, *args.kwonlyargs]):
            if i == 0 and self_type is not None:
                value = self.graph.block_.param(self_type, a.arg)
                self.frame.set(a.arg, value)
                parameters.append(Parameter(a.arg, self_type))
                continue
            t = (types or {}).get(a.arg)
            inferred = t is None
            t = TENSOR if inferred else t
            value = self.graph.block_.param(t, self.graph.unique(a.arg))
            self.frame.set(a.arg, value)
            self.frame.declared[a.arg] = t
            parameters.append(Parameter(a.arg, t, own.get(a.arg, ...), inferred, i >= len(every)))
        self.returns = returns
        body = exits.lower(tree.body)
        self.statements(body)
        result = self.frame.get(exits.RETURN)
        if isinstance(result, Undefined):
            raise ErrorReport(result.message, result.range)
        if result is None:
            t = returns or NONE
            result = self.constant(None) if t == NONE else self.unset(t)
        self.graph.block_.returns = [result]
        self.graph.block_.nodes[:0] = self.constant_nodes
        function = Function(name, qualified, self.graph, parameters, returns or result.type, self_type)
        from .cleaning import clean
        clean(self.graph)
        return function

    def statements(self, body):
        """Compile statements in order."""
        for s in body:
            if self.builder.block.ended:
                return
            getattr(self, "do_" + type(s).__name__, self.do_other)(s)

    def do_other(self, s):
        raise UnsupportedNodeError(self.source.range(s), s)

    def do_Pass(self, s):
        pass

    def do_FunctionDef(self, s):
        if not self.archive:
            return self.do_other(s)
        self.frame.set(s.name, Special("closure", s))

    def do_Expr(self, s):
        if isinstance(s.value, ast.Constant):
            return
        self.sugared(s.value)

    def do_Return(self, s):
        raise AssertionError("returns were lowered")

    # ------------------------------------------------------------ assignments

    def do_Assign(self, s):
        place = self.source.range(s)
        if getattr(s, "returns", False):
            return self.give_back(s)
        hint = None
        if getattr(s, "type_comment", None):
            hint = self.type_at(s.type_comment, place)
        if len(s.targets) == 1 and isinstance(s.targets[0], ast.Tuple) and isinstance(s.value, ast.Tuple) and not any(
                isinstance(e, ast.Starred) for e in (*s.value.elts, *s.targets[0].elts)) and len(
                s.value.elts) == len(s.targets[0].elts):
            values = [self.sugared(e) for e in s.value.elts]
            for target, value in zip(s.targets[0].elts, values):
                self.assign(target, value)
            return
        target = s.targets[0]
        declared = self.frame.declaration(target.id) if isinstance(target, ast.Name) else self.target_type(target)
        value = self.sugared(s.value, hint or declared)
        if hint is not None:
            value = self.convert(self.as_value(value, place), hint, place)
        for target in s.targets:
            self.assign(target, value, hint)

    def target_type(self, target):
        """The type that an attribute has, to read an empty list assigned to it."""
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            base = self.frame.get(target.value.id)
            if isinstance(base, Value) and isinstance(base.type, ClassType):
                return base.type.attributes.get(target.attr)
        return None

    def do_AnnAssign(self, s):
        place = self.source.range(s)
        if s.value is None:
            if isinstance(s.target, ast.Name):
                self.frame.declared[s.target.id] = self.type_of(s.annotation)
            return
        t = self.type_of(s.annotation)
        if isinstance(s.target, ast.Attribute) and self.declares_attribute(s.target, t):
            t = None
        value = self.sugared(s.value, t)
        if t is not None:
            value = self.convert(self.as_value(value, place), t, place, f"Variable '{ast.unparse(s.target)}' is "
                                                                        "annotated "
                                 f"with type {t.source()} but is being assigned to a value of type ")
            if isinstance(s.target, ast.Name) and isinstance(t, OptionalType):
                value = self.builder.one("prim::unchecked_cast", [value], t, place) if value.type != t else value
        self.assign(s.target, value, t)

    def declares_attribute(self, target, t):
        """Whether an annotated assignment to an attribute of self makes it (in the initialiser of a class)."""
        return False

    def do_AugAssign(self, s):
        place = self.source.range(s)
        load = ast.copy_location(self.as_load(s.target), s.target)
        current = self.sugared(load)
        if isinstance(current, Value) and isinstance(s.target, ast.Subscript):
            base = self.value(s.target.value)
            if base.type == TENSOR:
                return self.augment_part(s, current, place)
        value = self.value(s.value)
        current = self.as_value(current, place)
        name = self.AUGMENTED.get(type(s.op))
        if current.type == TENSOR and name is not None and not isinstance(s.target, ast.Subscript):
            out = self.operator([name], [current, value], {}, place)
        elif isinstance(current.type, ListType) and isinstance(s.op, ast.Add):
            if value.type == TENSOR or isinstance(value.type, TupleType):
                value = self.to_list(value, current.type, place)
            self.operator(["aten::extend"], [current, value], {}, place)
            out = current
            if isinstance(s.target, ast.Attribute):
                return
        else:
            out = self.binary(type(s.op), current, value, place)
        self.assign(s.target, out)

    def augment_part(self, s, current, place):
        value = self.value(s.value)
        name = self.AUGMENTED.get(type(s.op))
        simple = self.only_views(s.target.slice)
        if name is not None and simple:
            self.operator([name], [current, value], {}, place)
            return
        out = self.binary(type(s.op), current, value, place)
        self.assign(s.target, out)

    AUGMENTED = {ast.Add: "aten::add_", ast.Sub: "aten::sub_", ast.Mult: "aten::mul_", ast.Div: "aten::div_",
                 ast.BitAnd: "aten::__iand__", ast.BitOr: "aten::__ior__", ast.BitXor: "aten::__ixor__",
                 ast.Mod: "aten::remainder_", ast.FloorDiv: "aten::floor_divide_", ast.Pow: "aten::pow_",
                 ast.LShift: "aten::__ilshift__", ast.RShift: "aten::__irshift__"}

    @staticmethod
    def as_load(target):
        new = ast.parse(ast.unparse(target), mode="eval").body
        for n in ast.walk(new):
            ast.copy_location(n, target)
        return new

    def assign(self, target, value, declared=None):
        """Store a value in a name, attribute, part or tuple of such."""
        place = self.source.range(target)
        if isinstance(target, ast.Name):
            self.store(target.id, value, place, declared)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self.unpack(target.elts, value, place)
        elif isinstance(target, ast.Attribute):
            self.set_attribute(self.sugared(target.value), target.attr, value, place)
        elif isinstance(target, ast.Subscript):
            self.set_item(target, self.as_value(value, place), place)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value)
        else:
            raise UnsupportedNodeError(place, target)

    def store(self, name, value, place, declared=None):
        """Give a variable a value, of the type that it was declared or has in an outer block."""
        if isinstance(value, Several):
            value = self.as_value(value, place) if value.kind == "tuple" else value
        if declared is not None:
            self.frame.declared[name] = declared
        if isinstance(value, Value):
            wanted = self.frame.declaration(name)
            outer = self.frame.parent.get(name) if self.frame.parent is not None else None
            if wanted is None and isinstance(outer, Value) and outer.type is not UNSET:
                wanted = None
                fits = is_subtype(value.type, outer.type) or unify(value.type, outer.type) is not None
                if not fits and not name.startswith("#"):
                    raise ErrorReport(f"Variable '{name}' previously had type {outer.type.source()} but is now being "
                                      f"assigned to a value of type {value.type.source()}", place)
            elif wanted is not None and not is_subtype(value.type, wanted):
                if declared is None and self.frame.parent is None:
                    self.frame.declared.pop(name, None)         # at the same level a name may take another type
                else:
                    value = self.convert(value, wanted, place, f"Variable '{name}' previously had type "
                                         f"{wanted.source()} but is now being assigned to a value of type ")
            if value.name is None and value.node is not None and not name.startswith("#"):
                value.name = self.graph.unique(name)
        elif isinstance(value, Sugar) and self.frame.parent is not None and isinstance(
                self.frame.parent.get(name), Value):
            value = self.as_value(value, place)
        self.frame.set(name, value)

    def unpack(self, targets, value, place):
        """Assign the parts of a tuple or list to several targets."""
        if isinstance(value, Several):
            items = value.items
        else:
            value = self.as_value(value, place)
            if isinstance(value.type, TupleType):
                types = value.type.elements
                star = [i for i, t in enumerate(targets) if isinstance(t, ast.Starred)]
                if len(types) != len(targets) and not star or len(types) < len(targets) - 1:
                    raise ErrorReport(f"need {len(targets)} values to unpack but found {len(types)}" if
                                      len(types) < len(targets) else
                                      f"too many values to unpack: need {len(targets)} but found {len(types)}", place)
                items = list(self.builder.node("prim::TupleUnpack", [value], types, place)._outputs)
            elif isinstance(value.type, ListType) and any(isinstance(t, ast.Starred) for t in targets):
                return self.unpack_list(targets, value, place)
            elif isinstance(value.type, ListType):
                items = list(self.builder.node("prim::ListUnpack", [value], [value.type.element] * len(targets),
                                               place)._outputs)
            elif value.type == TENSOR:
                rows = self.operator(["aten::unbind"], [value], {}, place)
                items = list(self.builder.node("prim::ListUnpack", [rows], [TENSOR] * len(targets), place)._outputs)
            else:
                raise ErrorReport(f"'{value.type.source()}' object cannot be used as a tuple", place)
        star = [i for i, t in enumerate(targets) if isinstance(t, ast.Starred)]
        if star:
            i, after = star[0], len(targets) - star[0] - 1
            middle = Several(items[i:len(items) - after])
            items = [*items[:i], self.as_value(middle, place), *items[len(items) - after:]]
        if len(items) != len(targets):
            raise ErrorReport(f"Provided {len(items)} values for {len(targets)} targets", place)
        for t, x in zip(targets, items):
            self.assign(t, x)

    def unpack_list(self, targets, value, place):
        """Assign the parts of a list of any length, one of the targets being starred."""
        i = next(k for k, t in enumerate(targets) if isinstance(t, ast.Starred))
        after = len(targets) - i - 1

        def item(k):
            return self.operator(["aten::__getitem__"], [value, self.constant(k)], {}, place)
        parts = [item(k) for k in range(i)]
        stop = self.constant(-after if after else None)
        parts.append(self.operator(["aten::slice"], [value, self.constant(i), stop, self.constant(1)], {}, place))
        parts.extend(item(k - after) for k in range(after))
        for t, x in zip(targets, parts):
            self.assign(t, x)

    def give_back(self, s):
        """The value of a return."""
        place = self.source.range(s)
        if getattr(s, "implicit", False):
            place = None
        value = self.as_value(self.sugared(s.value, self.returns), place)
        if self.returns is not None:
            if s.implicit and not is_subtype(NONE, self.returns):
                raise ErrorReport(f"Function was not annotated as having type None, but does not return along all "
                                  f"paths: expected {self.returns.source()}", self.source.range(s))
            value = self.convert(value, self.returns, place, "Return value was annotated as having type "
                                 f"{self.returns.source()} but is actually of type ")
        self.frame.set(exits.RETURN, value)

    def unset(self, t):
        """A value of a type that nobody reads."""
        node = self.builder.node("prim::Uninitialized", [], [t])
        return node._outputs[0]

    # ------------------------------------------------------------ errors and effects

    def do_Raise(self, s):
        place = self.source.range(s)
        message, kind = self.constant("", place), None
        e = s.exc
        if e is not None:
            call = e if isinstance(e, ast.Call) else None
            name = ast.unparse(call.func if call else e)
            found = self.sugared(call.func if call else e)
            if isinstance(found, Python) and isinstance(found.value, type):
                cls = found.value
                kind = f"{cls.__module__}.{cls.__name__}"
            elif isinstance(found, Value):
                kind, call = None, None
                message = found if found.type == STR else message
            else:
                kind = name
            if call is not None and call.args:
                parts = [self.value(a) for a in call.args]
                message = parts[0] if len(parts) == 1 and parts[0].type == STR else self.operator(
                    ["aten::format"], [self.constant(" ".join(["{}"] * len(parts))), *parts], {}, place)
        self.builder.node("prim::RaiseException", [message, self.constant(kind)], [], place)
        self.builder.block.ended = True

    def do_Assert(self, s):
        place = self.source.range(s)

        def failed():
            prefix = self.constant("AssertionError: ", place)
            if s.msg is not None:
                m = self.value(s.msg)
                m = m if m.type == STR else self.operator(["aten::format"], [self.constant("{}"), m], {}, place)
                prefix = self.operator(["aten::add"], [prefix, m], {}, place)
            self.builder.node("prim::RaiseException", [prefix, self.constant(None)], [], place)
            self.builder.block.ended = True
        self.branches(s.test, lambda: None, failed, place, keep=True)

    def do_Delete(self, s):
        for t in s.targets:
            place = self.source.range(t)
            if isinstance(t, ast.Name):
                self.frame.set(t.id, Undefined(f"undefined value {t.id}", place))
            elif isinstance(t, ast.Subscript):
                self.operator(["aten::Delete"], [self.value(t.value), self.value(t.slice)], {}, place)
            else:
                raise UnsupportedNodeError(place, t)

    def do_With(self, s):
        place = self.source.range(s)
        entered = []
        for item in s.items:
            found = self.with_context(item, place)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, found[1])
            entered.append(found)
        self.statements(s.body)
        ended, self.builder.block.ended = self.builder.block.ended, False
        for leave, _ in reversed(entered):
            leave()
        self.builder.block.ended = ended

    # ------------------------------------------------------------ branches

    def do_If(self, s):
        self.branches(s.test, lambda: self.statements(s.body), lambda: self.statements(s.orelse), self.source.range(s))

    def inside(self, block, fill, refined=()):
        """Fill a nested block; its frame."""
        outer_block, outer = self.builder.block, self.frame
        self.builder.block, self.frame = block, Frame(block, outer)
        try:
            for name, (value, t) in refined:
                cast = self.builder.one("prim::unchecked_cast", [value], t)
                cast.name = self.graph.unique(name)
                self.frame.refined[name] = cast
            fill()
            return self.frame
        finally:
            self.builder.block, self.frame = outer_block, outer

    def branches(self, test, then, other, place, keep=False):
        """An if statement; keep: what the condition tells stays known afterwards if the other branch raises."""
        cond = self.condition(test)
        if cond.static is not None:
            for name, (value, t) in (cond.when_true if cond.static else cond.when_false).items():
                if value.type != t:
                    cast = self.builder.one("prim::unchecked_cast", [value], t, place)
                    self.frame.refined[name] = cast
            return then() if cond.static else other()
        node = self.builder.node("prim::If", [cond.value], [], place)
        blocks = [Block(self.graph, node), Block(self.graph, node)]
        node._blocks = blocks
        frames = [self.inside(blocks[0], then, cond.when_true.items()),
                  self.inside(blocks[1], other, cond.when_false.items())]
        self.join(node, frames, place)
        if blocks[0].ended != blocks[1].ended:
            for name, (value, t) in (cond.when_false if blocks[0].ended else cond.when_true).items():
                current = self.frame.get(name)
                if current is value and value.type != t:
                    cast = self.builder.one("prim::unchecked_cast", [value], t, place)
                    cast.name = self.graph.unique(name)
                    self.frame.refined[name] = cast
        return None

    def join(self, node, frames, place):
        """Variables that either branch assigned."""
        ended = [f.block.ended for f in frames]
        if all(ended):
            self.builder.block.ended = True
            return
        names = dict.fromkeys([*frames[0].values, *frames[1].values])
        for name in names:
            found = [f.get(name) for f in frames]
            if any(ended):
                alive = found[ended.index(False)]
                if alive is None or isinstance(alive, Undefined):
                    continue
                if not isinstance(alive, Value):
                    self.frame.set(name, alive)
                    continue
                joined = alive.type
            else:
                if found[0] is found[1]:
                    self.frame.set(name, found[0])
                    continue
                lost = next((x for x in found if isinstance(x, Undefined)), None)
                if None in found:
                    which = "true" if found[0] is None else "false"
                    self.frame.set(name, Undefined(f"{name} is not defined in the {which} branch", place))
                    continue
                if lost is not None:
                    self.frame.set(name, lost)
                    continue
                if not all(isinstance(x, Value) for x in found):
                    same = all(isinstance(x, Python) for x in found) and found[0].value is found[1].value
                    if same:
                        self.frame.set(name, found[0])
                        continue
                    for i, f in enumerate(frames):
                        found[i] = self.at_end(f, found[i], place)
                joined = unify(found[0].type, found[1].type)
                if joined is None and name == exits.RETURN and self.returns is None:
                    from .types import union
                    joined = union([found[0].type, found[1].type])
                if joined is None:
                    self.frame.set(name, Undefined(
                        f"Type mismatch: {name} is set to type {found[0].type.source()} in the true branch and type "
                        f"{found[1].type.source()} in the false branch", place))
                    continue
                wanted = self.frame.declaration(name)
                if wanted is not None and not is_subtype(joined, wanted):
                    joined = wanted
            out = Value(joined, node, self.graph.next())
            if not name.startswith("#"):
                out.name = self.graph.unique(name)
            node._outputs.append(out)
            for i, f in enumerate(frames):
                f.block.returns.append(self.unset_in(f.block, joined) if f.block.ended else
                                       self.settle(f, found[i], joined))
            self.frame.set(name, out)

    def at_end(self, frame, sugar, place):
        """A thing of compile time as a value at the end of a branch."""
        outer, self.builder.block = self.builder.block, frame.block
        try:
            return self.as_value(sugar, place)
        finally:
            self.builder.block = outer

    def settle(self, frame, value, t):
        """A value at the end of a branch, as type `t`; one that is not set yet becomes one of that type."""
        if value.type is UNSET:
            return self.unset_in(frame.block, t)
        return value

    def unset_in(self, block, t):
        outer, self.builder.block = self.builder.block, block
        try:
            return self.unset(t)
        finally:
            self.builder.block = outer

    # ------------------------------------------------------------ loops

    def do_While(self, s):
        place = self.source.range(s)
        self.loop(None, s, place, lambda: self.statements(s.body), lambda: self.condition_value(s.test))

    def do_For(self, s):
        place = self.source.range(s)
        found = self.iterate(self.sugared(s.iter), self.source.range(s.iter))
        if isinstance(found, list):
            return self.unroll(s, found, place)

        def fill(index):
            self.assign(s.target, found.element(index))
            self.statements(s.body)
        return self.loop(found.length(), s, place, fill, None)

    def unroll(self, s, items, place):
        """A loop over things that are known at compile time."""
        for item in items:
            def body(item=item):
                self.assign(s.target, item)
                self.statements(s.body)
            if s.go is None:
                body()
            else:
                go = ast.copy_location(ast.Name(s.go, ast.Load()), s)
                self.branches(go, body, lambda: None, place)

    def loop(self, trips, s, place, fill, again):
        """A ``prim::Loop``; again: gives the condition of a while loop."""
        if s.may_return and self.frame.get(exits.RETURN) is None:
            self.frame.set(exits.RETURN, self.unset(self.returns or UNSET))
        names = [n for n in exits.assigned([s]) if isinstance(self.frame.get(n), Value)]
        start = [self.frame.get(n) for n in names]
        types = [self.widest(n, v) for n, v in zip(names, start)]
        count = trips if trips is not None else self.constant(MOST)
        first = self.constant(True) if again is None else again()
        mark = len(self.builder.block.nodes)
        for _ in range(4):
            node = self.builder.node("prim::Loop", [], [], place)
            block = Block(self.graph, node)
            node._blocks = [block]
            index = block.param(INT)
            params = [block.param(t, None if n.startswith("#") else self.graph.unique(n))
                      for n, t in zip(names, types)]

            def body():
                for n, p in zip(names, params):
                    self.frame.values[n] = p
                fill(index) if again is None else fill()
                ended, self.builder.block.ended = self.builder.block.ended, False
                self.go_on = self.constant(True)
                if not ended:
                    self.go_on = self.next_condition(s, again, place)
            frame = self.inside(block, body)
            ends = [frame.get(n) for n in names]
            ends = [self.at_end(frame, e, place) if not isinstance(e, (Value, Undefined)) else e for e in ends]
            for n, e in zip(names, ends):
                if isinstance(e, Undefined):
                    raise ErrorReport(e.message, e.range or place)
            wider = [unify(t, e.type) if not is_subtype(e.type, t) or t is UNSET else t for t, e in zip(types, ends)]
            if wider == types or None in wider:
                break
            types = wider
            del self.builder.block.nodes[mark:]
        for n, t, e, w in zip(names, types, ends, wider):
            if w is None:
                raise ErrorReport(f"Variable '{n}' previously had type {t.source()} but is now being assigned to a "
                                  f"value of type {e.type.source()}", place)
        for v, t in zip(start, types):
            if v.type is UNSET:
                v.type = t
        node._inputs = [count, first, *start]
        block.returns = [self.go_on, *ends]
        for n, t in zip(names, types):
            out = Value(t, node, self.graph.next(), None if n.startswith("#") else self.graph.unique(n))
            node._outputs.append(out)
            self.frame.set(n, out)
        for n in frame.values:
            if n not in names and not n.startswith("#") and self.frame.get(n) is None:
                self.frame.set(n, Undefined(f"{n} is not defined outside of the loop: it is first set inside", place))

    def next_condition(self, s, again, place):
        go = self.frame.get(s.go) if s.go else None
        if again is None:
            return go if go is not None else self.constant(True)
        if go is None:
            return again()
        node = self.builder.node("prim::If", [go], [], place)
        node._blocks = [Block(self.graph, node), Block(self.graph, node)]
        values = []
        self.inside(node._blocks[0], lambda: values.append(again()))
        node._blocks[0].returns = [values[0]]
        node._blocks[1].returns = [self.constant(False)]
        out = Value(BOOL, node, self.graph.next())
        node._outputs.append(out)
        return out

    def widest(self, name, value):
        """The type with which a variable enters a loop."""
        declared = self.frame.declaration(name)
        if declared is not None and is_subtype(value.type, declared):
            return declared
        return value.type

    def iterate(self, it, place):
        """How to go over something: an `Iterated`, or a list of things known at compile time."""
        if isinstance(it, Several):
            if it.kind == "dict":
                return [Python(k) for k in it.keys]
            return list(it.items)
        if isinstance(it, Iterated):
            return it.static if it.static is not None else it
        value = self.as_value(it, place) if not isinstance(it, Value) else it
        t = value.type
        if isinstance(t, TupleType):
            return list(self.builder.node("prim::TupleUnpack", [value], t.elements, place)._outputs)
        if t == TENSOR:
            value = self.operator(["aten::unbind"], [value, self.constant(0)], {}, place)
            t = value.type
        if isinstance(t, DictType):
            value = self.operator(["aten::keys"], [value], {}, place)
            t = value.type
        if t == STR:
            return Iterated(lambda: self.operator(["aten::len"], [value], {}, place),
                            lambda i: self.operator(["aten::__getitem__"], [value, i], {}, place))
        if isinstance(t, ListType):
            return Iterated(lambda: self.operator(["aten::len"], [value], {}, place),
                            lambda i: self.operator(["aten::__getitem__"], [value, i], {}, place))
        if isinstance(t, ClassType):
            return self.iterate_class(value, t, place)
        raise ErrorReport(f"'{t.source()}' object is not iterable", place)


__all__ = ["ANY", "Compiler", "optional"]
