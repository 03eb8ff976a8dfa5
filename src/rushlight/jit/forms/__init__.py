"""The network functions and layers as source that the compiler reads.

What runs in Python (``rushlight.nn``) is written for speed and checks arguments of any type; its forms here say the
same in the script language, in terms of operators. Compiled code, and archives, hold these.
"""

import functools
import inspect

import rushlight as torch

from . import operators  # noqa: F401

_LAYERS = ("basic", "recurrent", "attention")


@functools.cache
def _functions():
    """{name: form} of the functions of ``torch.nn.functional``, and {id of the Python function: name}."""
    from . import functional, functional_loss, functional_pooling
    forms = {}
    for module in (functional, functional_loss, functional_pooling):
        forms |= {n: f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    ids = {}
    for name in forms:
        public = getattr(torch.nn.functional, name, None)
        if public is not None and public is not getattr(torch, name, None):     # those go by the operator
            ids[id(public)] = name
    return forms, ids


def named(name):
    """The compiled form of a function of ``torch.nn.functional`` by its name, or None."""
    form = _functions()[0].get(name)
    return None if form is None or name.startswith("_") else _compiled(name)


def function(obj, name=None):
    """The compiled form of a function of ``torch.nn.functional``, or None."""
    if not callable(obj) or isinstance(obj, type):
        return None
    forms, ids = _functions()
    found = ids.get(id(obj)) or ids.get(id(getattr(obj, "__wrapped__", None)))
    if found is None:
        return None
    return _compiled(found)


def _compiled(name):
    from ..resolve import compile_function
    from ..sugar import Compiled
    return Compiled(compile_function(_functions()[0][name], name, f"__torch__.torch.nn.functional.{name}"))


def with_indices(function):
    """The form of a maximum pooling that also returns where the maxima were, for one that does not; None for others."""
    name = function.name + "_with_indices"
    return _compiled(name).function if "max_pool" in function.name and name in _functions()[0] else None


@functools.cache
def _layers():
    """{name of a class: its form}."""
    from importlib import import_module
    found = {}
    for name in _LAYERS:
        module = import_module(f"{__name__}.layers_{name}")
        found |= {n: c for n, c in vars(module).items() if isinstance(c, type) and c.__module__ == module.__name__}
    return found


def form_of(cls):
    """The form of one of the package's own layers, or None."""
    if not cls.__module__.startswith("rushlight.nn"):
        return None
    return _layers().get(cls.__name__)


def has(owner, name):
    """Whether the form of a class has a method of its own."""
    form = form_of(owner)
    return form is not None and name in vars(form)


def method(owner, fn, name):
    """The form of a method of one of the package's own layers, or None: it is compiled from its own source."""
    form = form_of(owner)
    if form is None:
        return None
    found = getattr(form, name, None)
    return found if inspect.isfunction(found) else None


def attributes(module):
    """{name: ("constant", value)} of what the forms of a layer's methods know at compile time; names to leave out."""
    form = None
    for cls in type(module).__mro__:
        form = form_of(cls)
        if form is not None:
            break
    if form is None:
        return {}
    make = vars(form).get("_constants")
    found = {n: ("constant", v) for n, v in make.__func__(module).items()} if make is not None else {}
    return found | {n: ("none", None) for n in vars(form).get("_left_out", ())}


def lists(module):
    """{name: names of attributes} of lists of parameters that forms read as one."""
    for cls in type(module).__mro__:
        form = form_of(cls)
        make = vars(form).get("_lists") if form is not None else None
        if make is not None:
            return make.__func__(module)
    return {}


@functools.cache
def context(obj):
    """The script class of ``no_grad`` or ``enable_grad``."""
    from . import contexts
    return {torch.no_grad: contexts.no_grad, torch.enable_grad: contexts.enable_grad}[obj]


def source_named(name):
    """The form of a function of ``torch.nn.functional`` by its name as Python can run it, or None."""
    return None if name.startswith("_") else _functions()[0].get(name)
