"""Compiled functions: a graph, a signature, and the Python function generated from it."""

from .types import NONE, plain


class Parameter:
    """A parameter: name, type, and default (`...` if it has none)."""

    __slots__ = ("name", "type", "default", "inferred", "kwonly")

    def __init__(self, name, type, default=..., inferred=False, kwonly=False):
        self.name, self.type, self.default, self.inferred, self.kwonly = name, type, default, inferred, kwonly


class Function:
    """A function or method: qualified name, graph, parameters, type of the result.

    owner: the class of a method, whose first parameter is ``self``.
    """

    __slots__ = ("name", "qualified", "graph", "parameters", "returns", "owner", "_run", "python", "ignored",
                 "source_name", "doc", "__weakref__")

    def __init__(self, name, qualified, graph, parameters, returns, owner=None, python=None):
        self.name, self.qualified, self.graph, self.parameters = name, qualified, graph, parameters
        self.returns, self.owner, self.python, self._run, self.ignored = returns, owner, python, None, None
        self.source_name = name
        self.doc = None

    @property
    def run(self):
        """The Python function that does it."""
        if self._run is None:
            from .execution import make
            self._run = make(self)
        return self._run

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    def schema(self):
        """The signature as text."""
        from .graph import number, quoted
        parts = []
        starred = False
        for p in self.parameters:
            if p.kwonly and not starred:
                starred = True
                parts.append("*")
            text = f"{_written(p.type)} {p.name}"
            if p.default is not ...:
                d = p.default
                text += "=" + (number(d) if isinstance(d, float) else quoted(d) if isinstance(d, str) else str(d))
            parts.append(text)
        returns = self.returns
        shown = "()" if returns is None else str(plain(returns))
        if returns == NONE:
            shown = "NoneType"
        return f"{self.name}({', '.join(parts)}) -> {shown}"


def _written(t):
    t = plain(t)
    return t.name if hasattr(t, "attributes") else str(t)
