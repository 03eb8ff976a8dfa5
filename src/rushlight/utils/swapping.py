"""Exchanging two tensors while everybody keeps the objects they have."""

import weakref

__all__ = ["set_module", "swap_tensors"]

_SLOTS = ("_a", "dtype", "_storage", "_offset", "_requires_grad", "_grad", "_grad_fn", "_out_nr", "_view", "_meta",
          "_bits")


def swap_tensors(t1, t2):
    """Exchange what two tensors are: class, contents, gradient, history and attributes; each keeps its identity.

    RuntimeError where somebody holds a weak reference to one of them, or their classes have slots of different names.
    """
    for name, t in (("t1", t1), ("t2", t2)):
        if weakref.getweakrefcount(t):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    one, two = (_own_slots(type(t)) for t in (t1, t2))
    if one != two:
        raise RuntimeError(f"Cannot swap t1 and t2 if they have different slots: {sorted(one ^ two)}")
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    for name in (*_SLOTS, *one):
        a, b = getattr(t1, name, None), getattr(t2, name, None)
        setattr(t1, name, b)
        setattr(t2, name, a)
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__


def _own_slots(cls):
    """Slots of the subclasses of Tensor that `cls` is."""
    found = set()
    for k in cls.__mro__:
        if k.__name__ == "Tensor" and "_storage" in k.__dict__.get("__slots__", ()):
            break
        slots = k.__dict__.get("__slots__", ())
        found |= {slots} if isinstance(slots, str) else set(slots)
    return found - {"__dict__", "__weakref__"}


def set_module(obj, mod):
    """Have a function or class say that module `mod` (a name) is its home; TypeError for other names."""
    if not isinstance(mod, str):
        raise TypeError("The mod argument should be a string")
    obj.__module__ = mod
