"""The Python state that a call can reach.

What a function could read is taken wide: everything that can be reached from its arguments, closures, defaults and the
global names in its code and in the code of all functions it calls.
"""

import gc
import sys
import types
from collections import OrderedDict, deque
from importlib import import_module

from ..tensor.tensor import Tensor
from .codes import all_names, global_names, imports, keys_read, stores_only, texts, where
from .effects import _HOME, _MODULES, _ROOT, _from_us, _in_library
from .places import MISSING, PLAIN, look, same, twin

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
_OF_SCHEDULERS = {"get_lr", "last_epoch", "base_lrs", "_last_lr", "_step_count", "state_dict"}
_OF_LOGGERS = {"level", "handlers", "parent", "disabled", "propagate", "filters", "manager", "root", "isEnabledFor",
               "getEffectiveLevel", "hasHandlers", "getChild", "raiseExceptions", "lastResort"}


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
        named = set().union(*[all_names(code) for code, _ in codes]) if codes else set()
        self._groups_read = "param_groups" in named
        self._texts = set().union(*[texts(code) for code, _ in codes]) if codes else set()
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
        for name in global_names(code):
            if name in scope:
                self._place(scope, "item", name, scope[name])
        for name in imports(code):
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
        elif not isinstance(value, PLAIN):
            self._stack.append(value)

    def _is_unread(self, container, how, key, value):
        """Whether code stores things in a place, but nobody reads them."""
        if how != "item" or type(key) is not str or twin(value) is value:
            return False
        if id(container) not in self.owners:
            if type(value) not in (list, dict, tuple, OrderedDict) or any(key in keys_read(c) for c in self.codes) or (
                    id(container), "looked", None) in self.changing:
                return False
            self.stored.add((id(container), how, key))
            return True
        return stores_only(self.owners[id(container)], key, self.codes)

    def _visit(self, x):
        if isinstance(x, PLAIN) or id(x) in self._seen:
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
            if isinstance(key, PLAIN):
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


def _slots(cls):
    """Names of the slots that users' classes among the bases declare."""
    return [name for c in cls.__mro__ if c.__module__ != "builtins" and not _from_us(c) for name, member
            in c.__dict__.items() if type(member) is types.MemberDescriptorType]


def _is_users(module):
    if module is None:
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__"
    return not ("site-packages" in file or file.startswith((sys.base_prefix, sys.prefix)))
