"""Weak references that go by identity, and dictionaries with such keys: for tensors, whose ``==`` is elementwise."""

import weakref
from collections.abc import MutableMapping

import rushlight as torch

__all__ = ["TensorWeakRef", "WeakIdRef", "WeakIdKeyDictionary", "WeakTensorKeyDictionary"]


class WeakIdRef(weakref.ref):
    """A weak reference that equals another one exactly if both are to the same living object."""

    __slots__ = ("_id",)

    def __new__(cls, key, callback=None):
        return super().__new__(cls, key, callback)

    def __init__(self, key, callback=None):
        super().__init__(key, callback)
        self._id = id(key)

    def __hash__(self):
        return self._id

    def __eq__(self, other):
        if not isinstance(other, WeakIdRef):
            return NotImplemented
        a, b = self(), other()
        return self is other if a is None or b is None else a is b

    def __ne__(self, other):
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal


class WeakIdKeyDictionary(MutableMapping):
    """A mapping by the identity of its keys; an entry goes when its key does.

    Args:
        dict: entries to begin with.
        ref_type: what refers to the keys.
    """

    def __init__(self, dict=None, ref_type=WeakIdRef):
        self.data = {}
        self.ref_type = ref_type
        own = weakref.ref(self)

        def forget(ref):
            mapping = own()
            if mapping is not None:
                mapping.data.pop(ref, None)
        self._forget = forget
        if dict is not None:
            self.update(dict)

    def _ref(self, key):
        return self.ref_type(key, self._forget)

    def __getitem__(self, key):
        return self.data[self.ref_type(key)]

    def __setitem__(self, key, value):
        self.data[self._ref(key)] = value

    def __delitem__(self, key):
        del self.data[self.ref_type(key)]

    def __contains__(self, key):
        try:
            ref = self.ref_type(key)
        except TypeError:           # what can't be referred to is no key
            return False
        return ref in self.data

    def __len__(self):
        return sum(ref() is not None for ref in list(self.data))

    def __iter__(self):
        for ref in list(self.data):
            key = ref()
            if key is not None:
                yield key

    keys = __iter__

    def items(self):
        """(key, value) of all keys that live."""
        for ref, value in list(self.data.items()):
            key = ref()
            if key is not None:
                yield key, value

    def values(self):
        """Values of all keys that live."""
        for _, value in self.items():
            yield value

    def keyrefs(self):
        """The weak references to the keys."""
        return list(self.data)

    def popitem(self):
        """Take out the last entry: (key, value)."""
        while True:
            ref, value = self.data.popitem()
            key = ref()
            if key is not None:
                return key, value

    def copy(self):
        """A mapping of the same entries."""
        return type(self)(self, self.ref_type)

    __copy__ = copy

    def __deepcopy__(self, memo):
        from copy import deepcopy
        new = type(self)(None, self.ref_type)
        for key, value in self.items():
            new[key] = deepcopy(value, memo)
        return new

    def __or__(self, other):
        new = self.copy()
        new.update(other)
        return new

    def __ror__(self, other):
        new = type(self)(other, self.ref_type)
        new.update(self)
        return new

    def __ior__(self, other):
        self.update(other)
        return self

    def __eq__(self, other):
        if not isinstance(other, WeakIdKeyDictionary):
            return NotImplemented
        return {id(k): v for k, v in self.items()} == {id(k): v for k, v in other.items()}

    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x}>"


WeakTensorKeyDictionary = WeakIdKeyDictionary


class TensorWeakRef:
    """A weak reference to a tensor: call it for the tensor, or None when it is gone."""

    def __init__(self, tensor):
        if not isinstance(tensor, torch.Tensor):
            raise AssertionError(f"expected torch.Tensor, got {type(tensor)}")
        self.ref = weakref.ref(tensor)

    def __call__(self):
        return self.ref()
