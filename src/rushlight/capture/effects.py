"""Whether running a function again would do the same: what its Python read, what it changed, what it called.

A tape holds kernels only; everything that Python decided on the way is baked into it. A tape may stand for the call if

* the call changed no Python object that was there before (`State` is compared before and after), tensors, gradients and
  optimizers apart, which the tape knows about;
* it called nothing whose result can differ from call to call or that acts on the world (`Calls` sees every call of a
  function in C; Python functions are looked into);
* the values it could have read are still what they were: `State.guard` makes a function that tells.

What a function could have read is taken wide: everything that can be reached from its arguments, closures, defaults and
the global names in its code and in the code of all functions it called.
"""

import builtins
import functools
import gc
import math
import operator
import os
import sys
import types
from collections import OrderedDict, deque
from importlib import import_module

from ..tensor.tensor import Tensor
from .listening import begin, end

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_ROOT = __name__.partition(".")[0]
_HOME = __file__[:__file__.rindex("capture")]

_PURE_NAMES = {
    "abs", "all", "any", "bin", "callable", "chr", "divmod", "format", "getattr", "hasattr", "hash", "isinstance",
    "issubclass", "iter", "len", "max", "min", "ord", "pow", "repr", "round", "sorted", "sum", "setattr", "delattr",
    "vars", "__build_class__",
}
_PURE = {id(getattr(builtins, n)) for n in _PURE_NAMES}
_PURE |= {id(f) for m in (math, operator) for f in vars(m).values() if callable(f)}
# Changes of containers that were there before show in the comparison; others are the call's own.
_PURE_METHODS_OF = (str, bytes, tuple, int, float, complex, range, slice, list, dict, set, frozenset, type(None), type,
                    types.MappingProxyType)
_MODULES = ("math", "operator", "functools", "itertools", "typing", "types", "collections", "dataclasses", "contextlib",
            "copy", "enum", "abc", "warnings", "logging", "time", "random")


class Calls:
    """Sees what a call calls: code objects of users' Python functions, and functions in C that aren't known pure."""

    def __init__(self, tape=None, listing=None, originals=()):
        self.tape, self.listing, self.originals = tape, listing, dict(originals)
        if listing is not None:
            listing.originals = self.originals
        self.codes, self.impure = [], None
        self.outside = getattr(tape, "outside", None)
        if self.outside is not None:
            self.outside.calls = self
        self._seen = set()

    def __enter__(self):
        self.outer = sys.getprofile()
        begin(self._event, _HOME, self.listing is not None)
        return self

    def __exit__(self, *exc):
        end(self.outer)

    def _event(self, frame, event, arg):
        code = frame.f_code
        if (_kinds.get(code.co_filename) or _kind(code.co_filename)) == _OURS:
            if event == "call" and self.listing is not None:
                self.listing.called(frame)
            return
        if event == "call" and code in self._seen or _not_users(frame):
            return
        if event == "call":
            if code.co_name == "<module>" and frame.f_back.f_code.co_filename.startswith(_HOME):
                return                          # (code that we generate)
            code = self.originals.get(code, code)
            if code not in self._seen:
                self._seen.add(code)
                self.codes.append((code, frame.f_globals))
                if self.outside is not None:
                    self.outside.entered(code)
            return
        if self.tape is not None:
            self.tape.asking = arg if event == "c_call" else None
        if event == "c_call" and not _is_pure(arg) and arg != self._exit_call:
            if self.impure is not None:
                return self.outside and self.outside.reveal()
            name = getattr(arg, "__qualname__", arg)
            while _in_library(frame.f_code.co_filename) and frame.f_back is not None:
                frame = frame.f_back
            self.impure = f"{name} is called at {frame.f_code.co_filename}:{frame.f_lineno}"
            if self.outside is not None:
                self.outside.reveal()           # (it may look into anything)

    _exit_call = sys.setprofile


_declared = []


def declare_pure(f):
    """Take a function in C for pure from now on."""
    _declared.append(f)
    _PURE.add(id(f))


def _is_pure(f):
    if id(f) in _PURE:
        return True
    module = getattr(f, "__module__", None) or ""
    if module.partition(".")[0] in (_ROOT, "torch"):
        return True
    owner = getattr(f, "__self__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        # Methods of classes taken from the class (list.append) say where they are from.
        owner = getattr(f, "__objclass__", None)
        return owner in _PURE_METHODS_OF
    if isinstance(owner, (Tensor, types.FunctionType)) or type(owner).__name__ == "PyCapsule":
        return True                             # (generated functions keep their parts in capsules)
    return isinstance(owner, _PURE_METHODS_OF) or _from_us(type(owner)) and f.__name__.startswith("__")


def _from_us(cls):
    return (cls.__module__ or "").partition(".")[0] in (_ROOT, "torch")


_LIBRARIES = tuple(f"site-packages{os.sep}{name}{os.sep}" for name in ("numpy", "scipy", "ml_dtypes", "llvmlite"))
_STANDARD = os.path.dirname(os.__file__) + os.sep


def _in_library(file):
    if file.startswith(_STANDARD) and "site-packages" not in file or file.startswith("<frozen"):
        return True
    return any(name in file for name in _LIBRARIES)


_OURS, _IMPORT, _LIBRARY, _USERS = 1, 2, 3, 4
_kinds = {}                                     # of files, which are met a hundred thousand times


def _kind(file):
    if file.startswith(_HOME):
        kind = _OURS
    elif file.startswith("<frozen importlib"):
        kind = _IMPORT
    else:
        kind = _LIBRARY if _in_library(file) else _USERS
    _kinds[file] = kind
    return kind


def _not_users(frame):
    """Whether a frame runs in an import, or in a library for us, who know what we call there."""
    library = True
    while frame is not None:
        file = frame.f_code.co_filename
        kind = _kinds.get(file) or _kind(file)
        if kind == _IMPORT:
            return True
        if kind == _OURS:
            return library
        library = library and kind == _LIBRARY
        frame = frame.f_back
    return False


_SETTINGS = {
    ".nn.modules._hooks": (
        "_global_backward_pre_hooks", "_global_backward_hooks", "_global_forward_pre_hooks", "_global_forward_hooks",
        "_global_forward_hooks_always_called", "_global_forward_hooks_with_kwargs",
        "_global_module_registration_hooks", "_global_parameter_registration_hooks"),
    ".optim.optimizer": ("_global_step_pre_hooks", "_global_step_post_hooks"),
    ".devices": ("_DEFAULT",),
    ".determinism": ("_on", "_warn_only", "_warn_always"),
    ".runtime.precision": ("_precision",),
    ".nn.attention": ("_allowed",),
    ".nn.attention.registry": ("_active",),
    ".nn.utils.parametrize": ("_cache_enabled",),
}
_METHODS = (types.FunctionType, classmethod, staticmethod, property)


class State:
    """The Python state that can be reached from `roots`: places with the plain values and identities they hold.

    changing: marks of places that calls are known to change. What is in such a place isn't looked into where no code
    reads it: attributes and global names that are only stored, items whose keys are.

    entries: (container, how, key, value); `how` is ``item`` (a dict's key), ``index`` (of a list), ``length`` (of a
    container), ``cell`` (a closure's contents), ``slot`` (of an object). tensors, optimizers, deques: what was met of
    these. inner: ids of containers that are (also) reached by ways other than these places; live: ids of those that
    optimizers and schedulers change by themselves while a program runs. known: those of the tensors `given` (the call's
    arguments) that are reached from elsewhere, too. unread: marks of places that nobody reads; stored: those among them
    that are items, which is certain once the call has been watched; looked: those in containers with stand-ins that
    the call did look at.
    """

    def __init__(self, roots, codes=(), given=(), changing=()):
        self.entries, self.tensors, self.optimizers, self.obstacle = [], [], [], None
        self.changing, self.unread, self.stored, self.looked, self.owners = changing, set(), set(), set(), {}
        self.deques, self.inner, self.live, self.group_numbers = [], set(), set(), []
        self._seen, self._keep = set(), []
        self._stack = list(roots)
        self.codes = [code for code, _ in codes]
        named = set().union(*[_all_names(code) for code, _ in codes]) if codes else set()
        self._groups_read = "param_groups" in named
        self._texts = set().union(*[_texts(code) for code, _ in codes]) if codes else set()
        self._schedules_read = bool(named & _OF_SCHEDULERS)
        self._loggers_read = bool(named & _OF_LOGGERS)
        for code, scope in codes:
            self.owners[id(scope)] = scope
            self._names(code, scope)
        self._settings()
        self._walk()
        self.known = [t for t in given if id(t) in self._seen]
        self._stack += given
        self._walk()
        self._groups()

    def _groups(self):
        """Numbers of optimizers' groups that the code names are inputs; the other values are as any."""
        for group in [g for x in self.optimizers for g in x.param_groups if id(g) in self._seen]:
            self.live |= {id(group), *[id(y) for y in group.values()]}
            self.group_numbers += [(group, key) for key, value in group.items() if type(value) in (int, float) and (
                key in self._texts or (id(group), "item", key) in self.changing)]
            self.group_numbers += [(group, key) for key, value in group.items() if type(value) is tuple and (
                id(group), "item", key) in self.changing and all(type(x) in (int, float) for x in value)]
        known = {(id(group), key) for group, key in self.group_numbers}
        if known:
            self.entries = [e for e in self.entries if e[1] != "item" or (id(e[0]), e[2]) not in known]

    def _walk(self):
        while self._stack:
            self._visit(self._stack.pop())

    def _settings(self):
        """What is set for all calls: hooks of all modules and optimizers, switches."""
        for name, attributes in _SETTINGS.items():
            scope = vars(import_module(name, _ROOT))
            for key in attributes:
                if isinstance(scope[key], (dict, list)):
                    self._visit(scope[key])
                else:
                    self.entries.append((scope, "item", key, scope[key]))

    def _names(self, code, scope):
        """The global names of a code object and of the functions defined in it."""
        for name in _global_names(code):
            if name in scope:
                self._place(scope, "item", name, scope[name])
        for name in _imports(code):
            if name in sys.modules and not _in_library(code.co_filename):
                self._stack.append(sys.modules[name])
        for c in code.co_consts:
            if isinstance(c, types.CodeType):
                self._names(c, scope)

    def _place(self, container, how, key, value):
        mark = (id(container), how, key)
        if mark in self._seen:
            return
        self._seen.add(mark)
        self.entries.append((container, how, key, value))
        if mark in self.changing and self._is_unread(container, how, key, value):
            self.unread.add(mark)
        elif not isinstance(value, _PLAIN):
            self._stack.append(value)

    def _is_unread(self, container, how, key, value):
        """Whether code stores things in a place, but nobody reads them."""
        if how != "item" or type(key) is not str or twin(value) is value:
            return False
        if id(container) not in self.owners:
            if type(value) not in (list, dict, tuple, OrderedDict) or any(key in _keys_read(c) for c in self.codes) or (
                    id(container), "looked", None) in self.changing:
                return False
            self.stored.add((id(container), how, key))
            return True
        return stores_only(self.owners[id(container)], key, self.codes)

    def _visit(self, x):
        if isinstance(x, _PLAIN) or id(x) in self._seen:
            return
        self._seen.add(id(x))
        self._keep.append(x)
        if isinstance(x, Tensor):
            self.tensors.append(x)
            if x._meta is not None:
                for hooks in (x._meta.hooks, x._meta.post_hooks, x._meta.node_post_hooks, x._meta.node_pre_hooks):
                    self._dict(hooks)
            if type(x) is Tensor and not x.__dict__:
                return
            self._dict(x.__dict__)
        elif isinstance(x, types.MethodDescriptorType):
            return
        elif isinstance(x, types.BuiltinFunctionType):
            if not isinstance(x.__self__, types.ModuleType):
                self._within([x.__self__])
        elif isinstance(x, types.FunctionType):
            self._function(x)
        elif isinstance(x, types.MethodType):
            self._stack += [x.__func__, x.__self__]
        elif isinstance(x, types.ModuleType):
            top = x.__name__.partition(".")[0]
            if top not in (_ROOT, "torch", *_MODULES) and not _is_users(x):
                self.obstacle = self.obstacle or f"the module {x.__name__} is used{where(x.__name__, self.codes)}"
        elif isinstance(x, type):
            self._class(x)
        elif isinstance(x, (list, tuple, set, frozenset)):
            self._sequence(x)
        elif type(x) is deque:
            self.deques.append(x)
            self._within(x)
        elif isinstance(x, dict):
            self._dict(x)
        elif hasattr(x, "param_groups") and hasattr(x, "zero_grad") and _from_us(type(x)):
            self._optimizer(x)
        elif getattr(getattr(type(x), "step", None), "runs_aside", False) and not self._schedules_read:
            self._stack.append(x.optimizer)
        elif type(x).__module__ == "logging" and not self._loggers_read and type(x).__name__.endswith("Logger"):
            return                              # (asked anew whenever something is told)
        elif type(x).__name__ == "OptimizedModule" and _from_us(type(x)):
            self._stack.append(x._orig_mod)
        elif type(x).__name__ == "Compiled" and _from_us(type(x)):
            self._stack += x.roots
            for name in vars(x).keys() - x.own - {"own"}:
                self._place(vars(x), "item", name, vars(x)[name])
        elif hasattr(x, "__dict__") or _slots(type(x)):
            if hasattr(type(x), "step") and getattr(type(x).step, "runs_aside", False):
                self.live |= {id(vars(x)), *[id(y) for y in vars(x).values()]}
            self._class(type(x))
            if hasattr(x, "__dict__"):
                self.owners.setdefault(id(vars(x)), x)
                self._dict(vars(x))
            for name in _slots(type(x)):
                value = getattr(x, name, MISSING)
                if value is not MISSING:
                    self._place(x, "slot", name, value)
        elif type(x).__module__ not in ("builtins", "typing") and not _from_us(type(x)):
            self.obstacle = self.obstacle or f"an object of {type(x).__module__}.{type(x).__qualname__} is used"
        elif hasattr(x, "__next__"):
            self.obstacle = self.obstacle or f"an iterator ({type(x).__name__}) older than the call is used"

    def _class(self, cls):
        """What the attributes of a user's class are; functions among them count when they are called."""
        for c in cls.__mro__:
            if c.__module__ == "builtins" or _from_us(c) or not _is_users(
                    sys.modules.get(c.__module__)):
                continue
            attributes = gc.get_referents(c.__dict__)[0]        # (the dict behind the read-only view)
            if id(attributes) in self._seen:
                continue
            self._seen.add(id(attributes))
            self.live.add(id(attributes))
            for name, value in attributes.items():
                if isinstance(value, _METHODS) or name == "forward":
                    self.entries.append((attributes, "item", name, value))
                elif not name.startswith("__") and name != "_abc_impl":
                    self._place(attributes, "item", name, value)

    def _function(self, f):
        if f.__dict__ and not f.__code__.co_filename.startswith(_HOME):
            self._dict(f.__dict__)
        if f.__code__.co_filename.startswith(_HOME):
            if f.__closure__ is None or _from_us(type(f)):
                return
        if f.__closure__:
            for cell in f.__closure__:
                value = look(cell, "cell", None)
                if value is not MISSING:
                    self._place(cell, "cell", None, value)
        self._stack += [x for x in (f.__defaults__, f.__kwdefaults__) if x]
        if not f.__code__.co_filename.startswith(_HOME):
            self._names(f.__code__, f.__globals__)

    def _sequence(self, x):
        if not isinstance(x, (tuple, frozenset)):
            self.entries.append((x, "length", None, len(x)))
        if isinstance(x, list):
            for i, y in enumerate(x):
                self._place(x, "index", i, y)
        else:
            self._within(x)

    def _within(self, values):
        """Values that are held in places that can't be given others."""
        self.inner |= {id(y) for y in values if isinstance(y, (list, dict, deque))}
        self._stack.extend(values)

    def _dict(self, d):
        self.entries.append((d, "length", None, len(d)))
        for key, value in d.items():
            if key == "_compiled_call_impl":
                continue                        # the same by other means
            if isinstance(key, _PLAIN):
                self._place(d, "item", key, value)
            else:
                self._stack += [key, value]

    def _optimizer(self, x):
        # Its numbers are read anew at each step; its tensors change by kernels.
        self.optimizers.append(x)
        self.entries += [(vars(x), "item", "param_groups", x.param_groups),
                         (x.param_groups, "length", None, len(x.param_groups))]
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            self._dict(vars(x).get(name, {}))
        for group in x.param_groups:
            self.entries.append((group["params"], "length", None, len(group["params"])))
            for i, p in enumerate(group["params"]):
                self._place(group["params"], "index", i, p)
            if self._groups_read:
                self._visit(group)

    # ------------------------------------------------------------

    def guard(self, entries):
        """A function that tells whether the places of `entries` hold what they held: straight code over them."""
        names, tests = {}, []

        def name(x):
            return names.setdefault(id(x), (f"x{len(names)}", x))[0]
        for container, how, key, value in entries:
            place = name(container)
            place = {"item": f"{place}.get({key!r}, missing)", "index": f"{place}[{key}]",
                     "length": f"len({place})", "cell": f"{place}.cell_contents",
                     "slot": f"getattr({place}, {key!r}, missing)"}[how]
            if isinstance(value, (bool, type(None), type(Ellipsis))):
                tests.append(f"{place} is {value!r}")
            elif type(value) in (int, str, bytes):
                tests.append(f"{place} == {value!r}")
            elif isinstance(value, (int, float, complex, str, bytes)):
                tests.append(f"same({place}, {name(value)})")
            else:
                tests.append(f"{place} is {name(value)}")
        # Lengths first: an index beyond the end must not be looked at.
        tests.sort(key=lambda t: not t.startswith("len("))
        scope = {n: x for n, x in names.values()}
        scope.update(missing=MISSING, same=same)
        text = " and\n        ".join(tests) or "True"
        arguments = "".join(f", {n}={n}" for n, _ in names.values())
        exec(f"def holds(*, missing=missing, same=same{arguments}):\n    return (\n        {text})", scope)
        return scope["holds"]


@functools.lru_cache(4096)
def _global_names(code):
    """The names that code looks up among its globals (`co_names` has attributes, too)."""
    from dis import get_instructions
    return tuple(dict.fromkeys(i.argval for i in get_instructions(code)
                               if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")))


def twin(x):
    """An equal object in the place of a text, list, dict or tuple; `x` itself if there is none."""
    if type(x) is str and len(x) > 1:
        return x[:1] + x[1:]
    if type(x) in (list, dict, OrderedDict):
        return type(x)(x)
    return (*x,) if type(x) is tuple and x else x


@functools.lru_cache(4096)
def _imports(code):
    """The modules that code imports."""
    from dis import get_instructions
    return tuple(dict.fromkeys(i.argval for i in get_instructions(code) if i.opname == "IMPORT_NAME"))


_REVEALING = {"vars", "getattr", "dir", "globals", "locals", "eval", "exec", "attrgetter", "__dict__", "__getstate__",
              "__reduce_ex__", "__reduce__", "__getattribute__"}


@functools.lru_cache(4096)
def names_read(code):
    """The attributes and global names that code, and what is defined in it, reads; None where that can't be told."""
    from dis import get_instructions
    found = set()
    for i in get_instructions(code):
        if i.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER", "LOAD_GLOBAL", "LOAD_NAME", "IMPORT_FROM",
                                "LOAD_FROM_DICT", "DELETE_")):
            found.add(i.argval)
        elif i.opname.startswith("MATCH_CLASS"):
            return None
    inner = [names_read(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return None if None in inner or found & _REVEALING else found.union(*inner)


@functools.lru_cache(4096)
def _keys_read(code):
    """The texts in code, and in what is defined in it, that aren't only keys under which it stores things."""
    from dis import get_instructions
    found, before = set(), None
    for i in get_instructions(code):
        if before is not None and i.opname != "STORE_SUBSCR":
            found.add(before)
        before = i.argval if i.opname.startswith("LOAD_CONST") and type(i.argval) is str else None
        held = code.co_consts[i.arg] if i.opname == "KW_NAMES" or i.opname.startswith("LOAD_CONST") else None
        if type(held) is tuple:
            found.update(x for x in held if type(x) is str)
    return found.union(*[_keys_read(c) for c in code.co_consts if isinstance(c, types.CodeType)])


@functools.lru_cache(1)
def _names_of_modules():
    from ..nn import Module
    code = [f.__code__ for f in vars(Module).values() if isinstance(f, types.FunctionType)]
    return set(vars(Module())).union(vars(Module), *[_all_names(c) for c in code])


def stores_only(owner, name, codes):
    """Whether code that is known stores an attribute of `owner` (or a global name, if that is a scope), plainly, and
    neither it nor anybody else reads it."""
    if not isinstance(owner, dict):
        cls, known = type(owner), object.__setattr__
        if any(_from_us(c) for c in cls.__mro__):
            from ..nn import Module
            if {c for c in cls.__mro__ if _from_us(c)} != {Module} or name in _names_of_modules():
                return False
            known = Module.__setattr__
        if cls.__setattr__ is not known or cls.__getattribute__ is not object.__getattribute__ or any(
                hasattr(type(vars(c)[name]), "__set__") for c in cls.__mro__ if name in vars(c)):
            return False
    found = [names_read(code) for code in codes]
    return None not in found and not any(name in names for names in found)


_NAMING = ("STORE_ATTR", "LOAD_CONST", "LOAD_GLOBAL", "STORE_GLOBAL", "STORE_DEREF")


def where(name, codes):
    """`` (at file:line)`` where code first names something (an attribute that is stored, a key, a global name)."""
    from dis import get_instructions
    for code in codes:
        for i in get_instructions(code):
            if i.argval == name and i.opname in _NAMING and isinstance(i.argval, str):
                return f" (at {code.co_filename}:{i.positions.lineno})"
    return ""


def _slots(cls):
    """Names of the slots that users' classes among the bases declare."""
    return [name for c in cls.__mro__ if c.__module__ != "builtins" and not _from_us(c) for name, member
            in c.__dict__.items() if type(member) is types.MemberDescriptorType]


def _all_names(code):
    names = set(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            names |= _all_names(c)
    return names


def _texts(code):
    """The texts among the constants of code and of what is defined in it."""
    found = {x for x in code.co_consts if type(x) is str}
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found |= _texts(c)
    return found


_OF_SCHEDULERS = {"get_lr", "last_epoch", "base_lrs", "_last_lr", "_step_count", "state_dict"}
_OF_LOGGERS = {"level", "handlers", "parent", "disabled", "propagate", "filters", "manager", "root", "isEnabledFor",
               "getEffectiveLevel", "hasHandlers", "getChild", "raiseExceptions", "lastResort"}


class _Missing:
    def __repr__(self):
        return "nothing"


MISSING = _Missing()


def look(container, how, key):
    """What a place holds; `MISSING` if there is none."""
    if how == "item":
        return container.get(key, MISSING)
    if how == "index":
        return container[key] if key < len(container) else MISSING
    if how == "length":
        return len(container)
    if how == "slot":
        return getattr(container, key, MISSING)
    if how == "part":
        outer, at, i, n = key
        return part(look(container, outer, at), i, n)
    try:
        return container.cell_contents
    except ValueError:
        return MISSING


def part(x, i, n):
    """Item i of a tuple of n; `MISSING` of all else."""
    return x[i] if type(x) is tuple and len(x) == n else MISSING


def put(container, how, key, value):
    """Put `value` in a place."""
    if how == "cell":
        container.cell_contents = value
    elif how == "slot":
        object.__setattr__(container, key, value)
    else:
        container[key] = value


def same(a, b):
    """Whether a place still holds what it held: the same object, or an equal plain value."""
    if a is b:
        return True
    if isinstance(b, (float, complex)):
        return type(a) is type(b) and (a == b and math.copysign(1, a.real) == math.copysign(1, b.real)
                                       or a != a and b != b)
    return type(a) is type(b) and isinstance(b, _PLAIN) and a == b


def short(x):
    """A value in a few words."""
    text = repr(x) if isinstance(x, (*_PLAIN, _Missing)) else f"a {type(x).__name__}"
    return text if len(text) < 40 else text[:37] + "..."


def _is_users(module):
    if module is None:
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__"
    return not ("site-packages" in file or file.startswith((sys.base_prefix, sys.prefix)))
