"""From a Python function to its syntax tree, with places in the source for messages, and the errors of that."""

import ast
import inspect
import textwrap

from .graph import Range


class FrontendError(Exception):
    """Source that the script language can't take; the message underlines it."""

    def __init__(self, source_range, msg):
        self.source_range, self.msg = source_range, msg
        super().__init__(str(self))

    def __str__(self):
        text = self.msg
        if self.source_range is not None:
            text += ":\n" + self.source_range.highlight()
        return text


class NotSupportedError(FrontendError):
    """A construct of Python that the script language does not have."""


class UnsupportedNodeError(NotSupportedError):
    """A kind of statement or expression that the script language does not have."""

    def __init__(self, source_range, node, reason=""):
        name = {"Await": "async definitions", "GeneratorExp": "generator expressions", "Lambda": "lambda expressions",
                "Yield": "generators", "YieldFrom": "generators", "Import": "import statements",
                "ImportFrom": "import statements", "Try": "try blocks", "Global": "global statements",
                "Nonlocal": "nonlocal statements", "ClassDef": "class definitions", "Set": "sets",
                "SetComp": "set comprehensions", "AsyncFor": "async for loops", "AsyncWith": "async with statements",
                "FunctionDef": "function definitions", "NamedExpr": "assignment expressions",
                "Starred": "starred expressions", "Match": "match statements"}.get(
                    type(node).__name__, type(node).__name__)
        super().__init__(source_range, f"{name} aren't supported" + (f" {reason}" if reason else ""))


class FrontendTypeError(FrontendError):
    """An annotation that can't be read."""


class ErrorReport(RuntimeError):
    """A compilation error: the message, then the source with the place underlined."""

    def __init__(self, message, source_range=None, calls=()):
        text = "\n" + message
        text += ":\n" + source_range.highlight() if source_range is not None else "\n"
        for name, place in calls:
            text += f"'{name}' is being compiled since it was called from '{place.name}'\n{place.highlight()}"
        super().__init__(text)
        self.message = message


class Source:
    """The tree of one function (or class), and ranges for its nodes."""

    def __init__(self, filename, lines, first_line, indent, name):
        self.filename, self.lines, self.first, self.indent, self.name = filename, lines, first_line, indent, name

    def range(self, node):
        """The place of a tree's node."""
        line = getattr(node, "lineno", None)
        if line is None:
            return None
        end = getattr(node, "end_col_offset", None)
        return Range(self.filename, self.first + line - 1, node.col_offset + self.indent,
                     end + self.indent if end is not None else None, _Shifted(self.lines, self.first), self.name,
                     self.first + (getattr(node, "end_lineno", None) or line) - 1)


class _Shifted:
    """Lines of a file of which only some are known, numbered as in the file."""

    __slots__ = ("lines", "first")

    def __init__(self, lines, first):
        self.lines, self.first = lines, first

    def __len__(self):
        return self.first - 1 + len(self.lines)

    def __getitem__(self, i):
        i -= self.first - 1
        return self.lines[i] if 0 <= i < len(self.lines) else ""


def source_of(obj, name=None):
    """(the tree of a function or class, its `Source`); OSError where the source is not to be had."""
    obj = inspect.unwrap(obj) if not inspect.isclass(obj) else obj
    try:
        lines, first = inspect.getsourcelines(obj)
        filename = inspect.getsourcefile(obj) or "<unknown>"
    except (OSError, TypeError) as error:
        raise OSError(f"Can't get source for {obj}. TorchScript requires source access in order to carry out "
                      "compilation, make sure original .py files are available.") from error
    text = "".join(lines)
    flat = textwrap.dedent(text)
    raw = text.splitlines()
    code = next((x for x in raw if x.strip() and not x.strip().startswith("#")), "")
    indent = len(code) - len(code.lstrip())
    try:
        tree = ast.parse(flat, type_comments=True)
    except SyntaxError:
        tree = ast.parse(flat)
    node = next((n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))), None)
    if node is None:
        lam = next((n for n in ast.walk(tree) if isinstance(n, ast.Lambda)), None)
        raise NotSupportedError(None if lam is None else Source(filename, raw, first, indent, name or "").range(lam),
                                "Expected a single top-level function")
    return node, Source(filename, raw, first, indent, name or getattr(obj, "__name__", ""))
