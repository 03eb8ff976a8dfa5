"""Weak references and dictionaries by identity."""

import copy

import pytest

import rushlight as torch
from rushlight.utils.weak import TensorWeakRef, WeakIdKeyDictionary, WeakIdRef, WeakTensorKeyDictionary


def test_references_go_by_identity():
    a, b = torch.ones(2), torch.ones(2)
    r, s = WeakIdRef(a), WeakIdRef(a)
    assert r == s and hash(r) == hash(s) and r != WeakIdRef(b) and r() is a
    del a
    assert r() is None and r == r and r != s


def test_entries_go_with_their_keys():
    a, b = torch.ones(2), torch.ones(2)
    d = WeakTensorKeyDictionary({a: 1})
    d[b] = 2
    assert d[a] == 1 and d[b] == 2 and len(d) == 2 and a in d and torch.ones(2) not in d and 3 not in d
    assert [k is a for k in d] == [True, False] and list(d.values()) == [1, 2]
    with pytest.raises(KeyError):
        d[torch.ones(2)]
    del b
    assert len(d) == 1 and len(d.keyrefs()) == 1
    assert d.setdefault(a, 5) == 1 and d.get(torch.ones(1), 7) == 7 and d.pop(a) == 1 and not d


def test_copies_and_unions():
    a, b = torch.ones(2), torch.ones(2)
    d, e = WeakIdKeyDictionary({a: [1]}), WeakIdKeyDictionary({b: [2]})
    assert d.copy() == d and copy.copy(d)[a] is d[a] and copy.deepcopy(d)[a] is not d[a]
    both = d | e
    assert len(both) == 2 and both[b] == [2] and len(d) == 1
    d |= e
    assert d == both and d.popitem()[0] is b


def test_tensor_references():
    a = torch.ones(2)
    r = TensorWeakRef(a)
    assert r() is a
    del a
    assert r() is None
    with pytest.raises(AssertionError):
        TensorWeakRef(object())
