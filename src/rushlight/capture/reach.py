"""The Python state that a call can reach.

What a function could read is taken wide: everything that can be reached from its arguments, closures, defaults and the
global names in its code and in the code of all functions it calls.
"""

import gc
import sys
import types
from collections import OrderedDict, deque
from importlib import import_module
from operator import attrgetter

from ..tensor.tensor import Tensor
from .codes import all_names, global_names, imports, keys_read, stores_only, texts, where
from .effects import _HOME, _MODULES, _ROOT, _from_us, _in_library
from .native_guard import identical
from .places import MISSING, PLAIN, look, mark, twin
from .sources import is_generator, is_numbers_only

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
_META, _OPTIMIZER, _MRO, _CODE, _DEFAULTS, _KEYWORDS = map(attrgetter, (
    "_meta", "optimizer", "__mro__", "__code__", "__defaults__", "__kwdefaults__"))
_METHODS = (types.FunctionType, classmethod, staticmethod, property)
_OF_SCHEDULERS = {"get_lr", "last_epoch", "base_lrs", "_last_lr", "_step_count", "state_dict"}
_OF_LOGGERS = {"level", "handlers", "parent", "disabled", "propagate", "filters", "manager", "root", "isEnabledFor",
               "getEffectiveLevel", "hasHandlers", "getChild", "raiseExceptions", "lastResort"}


class Reach:
    """What can be reached from `roots` and by code: places with the plain values and identities they hold.

    changing: marks of places that calls are known to change. What is in such a place isn't looked into where no code
    reads it: attributes and global names that are only stored, items whose keys are.

    entries: (container, how, key, value), see `places`; varying: those in `changing`, with their marks; steady: the
    others. tensors, optimizers, deques: what was met of these; objects: all that was. inner: ids of containers that are
    (also) reached by ways other than these places; live: ids of those that optimizers and schedulers change by
    themselves while a program runs. known: those of the tensors `given` (the call's arguments) that are reached from
    elsewhere, too. unread: marks of places that nobody reads; stored: those among them that are items.

    A later walk finds the same if all that this one has looked at is as it was: the entries, and what no program asks
    for, in `shape` (more entries), `facts` (function, object, what it gives) and `sets`. whole: whether that is all.
    members: ids of older tensors of the latest program, what it asked of them, and the check (`native_guard.members`).
    """

    def __init__(self, roots, codes, given, changing):
        self.entries, self.tensors, self.optimizers, self.obstacle = [], [], [], None
        self.changing, self.unread, self.stored, self.owners = changing, set(), set(), {}
        self.deques, self.inner, self.live, self.group_numbers = [], set(), set(), []
        self.begin = _begin(roots, codes, changing)
        self.shape, self.facts, self.sets, self.whole = [], [], [], True
        self.objects, self._seen, self._made, self.members = [], set(), {}, (None, None, None)
        self._stack = list(roots)
        self.codes = [code for code, _ in codes]
        named = set().union(*[all_names(code) for code in self.codes])
        self._groups_read = "param_groups" in named
        self._texts = set().union(*[texts(code) for code in self.codes])
        self._schedules_read = bool(named & _OF_SCHEDULERS)
        self._loggers_read = bool(named & _OF_LOGGERS)
        for code, scope in codes:
            self.owners[id(scope)] = scope
            self._names(code, scope)
        self._settings()
        self._walk()
        self.known = [t for t in given if id(t) in self._seen]
        special = [t for t in given if id(t) not in self._seen and not is_bare(t)]
        if special:
            self.whole = False
            self._stack += special
            self._walk()
        self._groups()
        self._kinds = [type(group[key]) for group, key in self.group_numbers]
        self.varying, self.steady = [], []
        for entry in self.entries:
            at = mark(entry)
            if at in changing:
                self.varying.append((at, entry))
            else:
                self.steady.append(entry)

    def again(self, roots, codes, given, changing):
        """What another walk would find in the `varying` places, if all else is as it was; None if it may not be."""
        if not self.whole or self.begin != _begin(roots, codes, changing) or not all(map(is_bare, given)):
            return None
        varying = [(at, (c, how, key, look(c, how, key))) for at, (c, how, key, _) in self.varying]
        if any(type(e[3]) is not type(was[3]) for (_, e), (_, was) in zip(varying, self.varying)) or any(
                type(group.get(key)) is not kind for (group, key), kind in zip(self.group_numbers, self._kinds)):
            return None
        if not self.check()() or not self.once(_alike)() or any(f(x) is not y for f, x, y in self.facts) or any(
                x != y for x, y in self.sets):
            return None
        return varying

    def once(self, make):
        """What ``make(self)`` gives, made when it is first asked for."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def check(self):
        """A function that tells whether the `steady` places hold the very objects that they held."""
        return self.once(_steady)

    def marks(self):
        """The marks of the `steady` places."""
        return self.once(_marks)

    def stays(self):
        """Whether to keep this for later calls: it holds nothing that calls replace or throw away."""
        return self.whole and self.obstacle is None and all(
            type(e[3]) in (int, float, bool, type(None)) for _, e in self.varying) and all(
            type(group[key]) is not tuple for group, key in self.group_numbers)

    def met(self, x):
        """Whether an object was met."""
        return id(x) in self._seen

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
                    self.shape.append((scope, "item", key, scope[key]))
                    self._visit(scope[key])
                else:
                    self.entries.append((scope, "item", key, scope[key]))

    def _names(self, code, scope):
        """The global names of a code object and of the functions defined in it."""
        for name in global_names(code):
            if name in scope and is_numbers_only(code, name, scope[name]):
                self.entries.append((scope, "item", name, scope[name]))
            elif name in scope:
                self._place(scope, "item", name, scope[name])
            else:
                self.shape.append((scope, "item", name, MISSING))
        for name in imports(code):
            module = sys.modules.get(name, MISSING)
            self.shape.append((sys.modules, "item", name, module))
            if module is not MISSING and not _in_library(code.co_filename):
                self._stack.append(module)
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
        elif not isinstance(value, PLAIN) and not (is_generator(value) and id(container) not in self.live):
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
        self.objects.append(x)
        if isinstance(x, Tensor):
            self.tensors.append(x)
            self.facts.append((_META, x, x._meta))
            if x._meta is not None:
                for hooks in (x._meta.hooks, x._meta.post_hooks, x._meta.node_post_hooks, x._meta.node_pre_hooks):
                    self._dict(hooks)
            if type(x) is Tensor and not x.__dict__:
                self.shape.append((x.__dict__, "length", None, 0))
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
            self.whole = False
            self.deques.append(x)
            self._within(x)
        elif isinstance(x, dict):
            self._dict(x)
        elif hasattr(x, "param_groups") and hasattr(x, "zero_grad") and _from_us(type(x)):
            self._optimizer(x)
        elif getattr(getattr(type(x), "step", None), "runs_aside", False) and not self._schedules_read:
            self.facts.append((_OPTIMIZER, x, x.optimizer))
            self._stack.append(x.optimizer)
        elif type(x).__module__ == "logging" and not self._loggers_read and type(x).__name__.endswith("Logger"):
            return                              # (asked anew whenever something is told)
        elif type(x).__name__ == "OptimizedModule" and _from_us(type(x)):
            self._stack.append(x._orig_mod)
        elif type(x).__name__ == "Compiled" and _from_us(type(x)):
            self._stack += x.roots
            self.shape.append((vars(x), "length", None, len(vars(x))))
            for name in vars(x).keys() - x.own - {"own"}:
                self._place(vars(x), "item", name, vars(x)[name])
        elif hasattr(x, "__dict__") or _slots(type(x)):
            if hasattr(type(x), "step") and getattr(type(x).step, "runs_aside", False):
                self.live |= {id(vars(x)), *[id(y) for y in vars(x).values()]}
            self._class(type(x))
            self.facts.append((type, x, type(x)))
            if hasattr(x, "__dict__"):
                self.facts.append((vars, x, vars(x)))
                self.owners.setdefault(id(vars(x)), x)
                self._dict(vars(x))
            for name in _slots(type(x)):
                value = getattr(x, name, MISSING)
                if value is not MISSING:
                    self._place(x, "slot", name, value)
                else:
                    self.whole = False
        elif type(x).__module__ not in ("builtins", "typing") and not _from_us(type(x)):
            self.obstacle = self.obstacle or f"an object of {type(x).__module__}.{type(x).__qualname__} is used"
        elif hasattr(x, "__next__"):
            self.obstacle = self.obstacle or f"an iterator ({type(x).__name__}) older than the call is used"

    def _class(self, cls):
        """What the attributes of a user's class are; functions among them count when they are called."""
        if cls.__module__ != "builtins" and not _from_us(cls):
            self.facts.append((_MRO, cls, cls.__mro__))
        for c in cls.__mro__:
            if c.__module__ == "builtins" or _from_us(c) or not _is_users(
                    sys.modules.get(c.__module__)):
                continue
            attributes = gc.get_referents(c.__dict__)[0]        # (the dict behind the read-only view)
            if id(attributes) in self._seen:
                continue
            self._seen.add(id(attributes))
            self.live.add(id(attributes))
            self.shape.append((attributes, "length", None, len(attributes)))
            for name, value in attributes.items():
                if isinstance(value, _METHODS) or name == "forward":
                    self.entries.append((attributes, "item", name, value))
                elif not name.startswith("__") and name != "_abc_impl":
                    self._place(attributes, "item", name, value)

    def _function(self, f):
        if f.__dict__ and not f.__code__.co_filename.startswith(_HOME):
            self._dict(f.__dict__)
        elif not f.__dict__:
            self.shape.append((f.__dict__, "length", None, 0))
        if f.__code__.co_filename.startswith(_HOME):
            if f.__closure__ is None or _from_us(type(f)):
                return
        if f.__closure__:
            for cell in f.__closure__:
                value = look(cell, "cell", None)
                if value is not MISSING:
                    self._place(cell, "cell", None, value)
                else:
                    self.shape.append((cell, "cell", None, MISSING))
        self.facts += [(_CODE, f, f.__code__), (_DEFAULTS, f, f.__defaults__), (_KEYWORDS, f, f.__kwdefaults__)]
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
            if isinstance(x, set) and x:
                self.whole = self.whole and all(isinstance(y, PLAIN) for y in x)
                self.sets.append((x, set(x)))
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
                self.whole = False
                self._stack += [key, value]

    def _optimizer(self, x):
        # Its numbers are read anew at each step; its tensors change by kernels.
        self.optimizers.append(x)
        self.entries += [(vars(x), "item", "param_groups", x.param_groups),
                         (x.param_groups, "length", None, len(x.param_groups))]
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            self._dict(vars(x).get(name, {}))
            self.shape.append((vars(x), "item", name, vars(x).get(name, MISSING)))
        for k, group in enumerate(x.param_groups):
            self.shape += [(x.param_groups, "index", k, group), (group, "item", "params", group["params"])]
            self.entries.append((group["params"], "length", None, len(group["params"])))
            for i, p in enumerate(group["params"]):
                self._place(group["params"], "index", i, p)
            if self._groups_read:
                self._visit(group)


def _begin(roots, codes, changing):
    """Where a walk begins; the ids are of objects that it keeps."""
    return [*map(id, roots), len(changing), *[id(x) for pair in codes for x in pair]]


def _steady(reach):
    return identical(reach.steady)


def _alike(reach):
    return identical(reach.shape)


def _marks(reach):
    return set(map(mark, reach.steady))


def is_bare(t):
    """Whether a tensor is nothing but a tensor, without hooks and attributes."""
    return type(t) is Tensor and t._meta is None and not t.__dict__


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
