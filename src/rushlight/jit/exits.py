"""Statements without early exits: ``return``, ``break`` and ``continue`` in the middle become branches and flags.

What follows a branch that leaves goes into the other branch. A loop that is left early has a flag (``loop.go``, the
name of a variable that tells whether to go on); one with ``return`` inside has another that tells whether it returned.
Returned values are assigned to ``#return``.
"""

import ast

RETURN = "#return"


def lower(body):
    """The statements of a function's body, such that control leaves at their end only."""
    return _Lowering().block(list(body), None)


class _Loop:
    __slots__ = ("go", "returned", "outer")

    def __init__(self, go, returned, outer):
        self.go, self.returned, self.outer = go, returned, outer


def leaves(statement, loop=True):
    """Whether control may leave a statement other than by its end; loop: breaks count."""
    if isinstance(statement, ast.Return):
        return True
    if isinstance(statement, (ast.Break, ast.Continue)):
        return loop
    if isinstance(statement, (ast.If, ast.With)):
        return any(leaves(s, loop) for s in (*statement.body, *getattr(statement, "orelse", ())))
    if isinstance(statement, (ast.For, ast.While)):
        return any(leaves(s, False) for s in statement.body)
    return False


def always_leaves(body):
    """Whether no path reaches the end of the statements."""
    for s in body:
        if isinstance(s, (ast.Return, ast.Break, ast.Continue, ast.Raise)):
            return True
        if isinstance(s, ast.If) and always_leaves(s.body) and always_leaves(s.orelse):
            return True
        if isinstance(s, ast.With) and always_leaves(s.body):
            return True
    return False


class _Lowering:
    def __init__(self):
        self.count = 0

    def block(self, statements, loop):
        out = []
        for i, s in enumerate(statements):
            rest = statements[i + 1:]
            if isinstance(s, ast.Return):
                out.append(_assign(RETURN, s.value or ast.Constant(None), s, returns=True))
                self.leave(out, loop, s)
                return out
            if isinstance(s, ast.Break):
                out.append(_flag(loop.go, False, s))
                return out
            if isinstance(s, ast.Continue):
                return out
            if isinstance(s, ast.Raise):
                out.append(s)
                return out
            if isinstance(s, ast.If) and (leaves(s) or always_leaves([s]) or loop is None and (
                    always_leaves(s.body) or always_leaves(s.orelse))):
                out.append(self.branch(s, rest, loop))
                return out
            if isinstance(s, ast.With) and leaves(s):
                new = ast.With(s.items, self.block(s.body, loop))
                out.append(ast.copy_location(new, s))
                if always_leaves(s.body):
                    return out
                raise NotImplementedError("a with statement that returns on some paths only")
            if isinstance(s, (ast.For, ast.While)):
                inner = self.loop(s, loop, out)
                if inner is not None:
                    taken = []
                    self.leave(taken, loop, s)
                    new = ast.If(ast.copy_location(ast.Name(inner, ast.Load()), s), taken or [ast.Pass()],
                                 self.block(rest, loop))
                    out.append(ast.copy_location(new, s))
                    return out
                continue
            out.append(self.plain(s))
        if loop is None:
            out.append(_assign(RETURN, ast.Constant(None), statements[-1] if statements else None, returns=True,
                               implicit=True))
        return out

    def plain(self, s):
        """A statement that nothing leaves, with the loops inside made ready."""
        if isinstance(s, ast.If):
            return ast.copy_location(ast.If(s.test, self.inner(s.body), self.inner(s.orelse)), s)
        if isinstance(s, ast.With):
            return ast.copy_location(ast.With(s.items, self.inner(s.body)), s)
        return s

    def inner(self, statements):
        out = []
        for s in statements:
            if isinstance(s, (ast.For, ast.While)):
                self.loop(s, None, out)
            else:
                out.append(self.plain(s))
        return out

    def leave(self, out, loop, at):
        if loop is not None:
            out.append(_flag(loop.returned, True, at))
            out.append(_flag(loop.go, False, at))

    def branch(self, s, rest, loop):
        body_out, else_out = always_leaves(s.body), always_leaves(s.orelse)
        body = s.body if body_out else [*s.body, *rest]
        other = s.orelse if else_out else [*s.orelse, *rest]
        new = ast.If(s.test, self.block(body, loop) or [ast.Pass()], self.block(other, loop))
        return ast.copy_location(new, s)

    def loop(self, s, outer, out):
        """Append a loop; the name of the flag that tells that it returned, if it can."""
        if s.orelse:
            from .frontend import NotSupportedError
            raise NotSupportedError(None, "else branches of for loops aren't supported")
        returning = any(leaves(x, False) for x in s.body)
        breaking = returning or _breaks(s.body)
        self.count += 1
        go = f"#go{self.count}" if breaking else None
        returned = f"#returned{self.count}" if returning else None
        body = self.block(s.body, _Loop(go, returned, outer))
        if isinstance(s, ast.For):
            new = ast.For(s.target, s.iter, body, [], None)
        else:
            new = ast.While(s.test, body, [])
        new = ast.copy_location(new, s)
        new.go, new.may_return = go, returning
        if returned:
            out.append(_flag(returned, False, s))
        if go:
            out.append(_flag(go, True, s))
        out.append(new)
        return returned


def _breaks(body):
    for s in body:
        if isinstance(s, ast.Break):
            return True
        if isinstance(s, (ast.If, ast.With)) and _breaks([*s.body, *getattr(s, "orelse", ())]):
            return True
    return False


def _flag(name, value, at):
    return _assign(name, ast.Constant(value), at)


def _assign(name, value, at, returns=False, implicit=False):
    if at is not None and not hasattr(value, "lineno"):
        ast.copy_location(value, at)
    new = ast.Assign([ast.Name(name, ast.Store())], value, None)
    if at is not None:
        ast.copy_location(new, at)
    new.returns, new.implicit = returns, implicit
    return new


def assigned(statements):
    """Names that statements assign to, in order of first appearance."""
    found = {}
    for s in statements:
        for n in ast.walk(s):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
                found[n.id] = None
    return list(found)
