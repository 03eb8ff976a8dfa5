"""Trees: apart and together, mapped, matched, with paths, and specs as text."""

import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

import rushlight as torch
import rushlight.utils._pytree as tree

Point = namedtuple("Point", "x y")
EVERY = {"b": [1, (2, 3)], "a": None, "c": Point(4, [5]), "d": OrderedDict(z=6, y=7), "e": defaultdict(list, q=[8]),
         "f": deque([9, 10], maxlen=4)}


class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b


@pytest.fixture
def pair():
    tree.register_pytree_node(Pair, lambda p: ([p.a, p.b], "ctx"), lambda c, _: Pair(*c),
                              serialized_type_name="Pair",
                              flatten_with_keys_fn=lambda p: ([(tree.GetAttrKey("a"), p.a),
                                                               (tree.GetAttrKey("b"), p.b)], "ctx"))
    yield Pair
    tree._deregister_pytree_node(Pair)


def test_apart_and_together():
    leaves, spec = tree.tree_flatten(EVERY)
    assert leaves == [1, 2, 3, None, 4, 5, 6, 7, 8, 9, 10]
    again = tree.tree_unflatten(leaves, spec)
    assert again == EVERY and again["f"].maxlen == 4 and again["e"].default_factory is list
    assert isinstance(again["c"], Point) and list(again["d"]) == ["z", "y"]
    assert (spec.num_leaves, spec.num_nodes, spec.num_children) == (11, 20, 6)
    assert leaves == tree.tree_leaves(EVERY) == list(tree.tree_iter(EVERY))
    with pytest.raises(ValueError, match="`leaves` has length 1 but the spec refers to a pytree that holds 11 items"):
        spec.unflatten([1])


def test_specs():
    spec = tree.tree_structure([1, (2, 3)])
    assert repr(spec) == "TreeSpec(list, None, [*,\n  TreeSpec(tuple, None, [*,\n    *])])"
    assert spec == tree.tree_structure([4, (5, 6)]) != tree.tree_structure([4, [5, 6]])
    assert hash(spec) == hash(tree.tree_structure([4, (5, 6)]))
    assert spec.child(0).is_leaf() and spec.children()[1].type is tuple
    assert tree.treespec_tuple([tree.treespec_leaf()]) == tree.tree_structure((1,))
    assert tree.treespec_dict(a=tree.LeafSpec()) == tree.tree_structure({"a": 1})


def test_maps():
    assert tree.tree_map(lambda x, y: (x, y), [1, {"a": 2}], [3, {"a": [4]}]) == [(1, 3), {"a": (2, [4])}]
    assert tree.tree_map_only(int, lambda x: x + 1, [1, 2.0, ("a", 3)]) == [2, 2.0, ("a", 4)]
    assert tree.tree_map_only(lambda x: x == 1, lambda x: 0, [1, 2]) == [0, 2]
    seen = []
    given = [1, [2]]
    assert tree.tree_map_(seen.append, given) is given and seen == [1, 2]
    assert tree.tree_all(bool, [1, [2]]) and not tree.tree_all(bool, [1, [0]]) and tree.tree_any(bool, [0, [1]])
    assert tree.tree_all_only(int, bool, [1, [0.0]]) and not tree.tree_any_only(int, bool, [0, [1.0]])
    assert tree.tree_flatten([1, [2, 3]], is_leaf=lambda x: x == [2, 3])[0] == [1, [2, 3]]


@pytest.mark.parametrize("other,text", [
    ([1, 2], "Node type mismatch; expected <class 'tuple'>, but got <class 'int'>"), ([1], "Node arity mismatch"),
    ([1, [2]], "Node type mismatch")])
def test_shapes_that_do_not_match(other, text):
    with pytest.raises(ValueError, match=text):
        tree.tree_map(lambda x, y: x, [1, (2,)], other)
    with pytest.raises(ValueError, match=r"Node keys mismatch; missing key\(s\): {'a'}; extra key\(s\): {'b'}"):
        tree.tree_map(lambda x, y: x, {"a": 1}, {"b": 1})


def test_classes_of_ones_own(pair):
    leaves, spec = tree.tree_flatten(pair(1, [2]))
    assert leaves == [1, 2] and repr(spec).startswith("TreeSpec(Pair, ctx, [*,")
    twice = tree.tree_map(lambda x: 2 * x, pair(1, [2]))
    assert (twice.a, twice.b) == (2, [4])
    assert [tree.keystr(p) for p, _ in tree.tree_leaves_with_path(pair(1, [2]))] == [".a", ".b[0]"]
    assert tree.treespec_loads(tree.treespec_dumps(spec)) == spec
    with pytest.raises(ValueError, match="already registered as pytree node"):
        tree.register_pytree_node(pair, None, None)
    assert tree.tree_is_leaf(object()) and not tree.tree_is_leaf([])


def test_dataclasses_and_constants():
    @dataclasses.dataclass
    class Data:
        x: int
        y: object
        z: object = None

    @dataclasses.dataclass(frozen=True)
    class Fixed:
        k: int
    tree.register_dataclass(Data)
    tree.register_constant(Fixed)
    try:
        assert tree.tree_map(lambda v: v + 1, Data(1, [2])) == Data(2, [3])
        leaves, spec = tree.tree_flatten([Fixed(3), 1])
        assert leaves == [1] and spec.unflatten([5]) == [Fixed(3), 5]
        assert tree.is_constant_class(Fixed) and not tree.is_constant_class(Data)
    finally:
        tree._deregister_pytree_node(Data)
        tree._deregister_pytree_node(Fixed)
    with pytest.raises(TypeError, match="non-default `__eq__`"):
        tree.register_constant(Pair)


def test_results_with_names_are_nodes():
    r = torch.max(torch.tensor([[1.0, 3.0]]), 1)
    leaves, spec = tree.tree_flatten(r)
    assert len(leaves) == 2 and type(spec.unflatten(leaves)) is type(r)
    assert tree.is_structseq(r) and not tree.is_namedtuple(r) and tree.is_namedtuple(Point(1, 2))


def test_paths():
    paths = {tree.keystr(p): x for p, x in tree.tree_flatten_with_path(EVERY)[0]}
    assert paths["['b'][1][0]"] == 2 and paths["['c'].y[0]"] == 5 and paths["['e']['q'][0]"] == 8
    for path, leaf in tree.tree_leaves_with_path(EVERY):
        assert tree.key_get(EVERY, path) is leaf
    assert tree.tree_map_with_path(lambda p, x: tree.keystr(p), [1, {"a": 2}]) == ["[0]", {"a": "[1]['a']"}]


def test_text():
    spec = tree.tree_structure([1, (2, {"a": 3}), OrderedDict(z=6), defaultdict(list, q=1), deque([1], maxlen=3)])
    assert tree.treespec_loads(tree.treespec_dumps(spec)) == spec
    assert tree.treespec_dumps(tree.tree_structure([1])) == (
        '[1, {"type": "builtins.list", "context": "null", "children_spec": '
        '[{"type": null, "context": null, "children_spec": []}]}]')
    assert tree.treespec_pprint(tree.tree_structure([1, (2,), {"a": 3}])) == "[*, (*,), {'a': *}]"
    with pytest.raises(ValueError, match="Unknown protocol 99"):
        tree.treespec_dumps(spec, 99)
    with pytest.raises(NotImplementedError, match="namedtuple class"):
        tree.treespec_dumps(tree.tree_structure(Point(1, 2)))


def test_broadcast():
    spec = tree.tree_structure(([1, 2], 3))
    assert tree._broadcast_to_and_flatten(1, spec) == [1, 1, 1]
    assert tree._broadcast_to_and_flatten((1, 2), spec) == [1, 1, 2]
    assert tree._broadcast_to_and_flatten([1], spec) is None
