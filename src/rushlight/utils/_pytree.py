"""Trees of Python collections: taken apart into leaves and a spec, and put together again.

Lists, tuples, dicts, named tuples, ``OrderedDict``, ``defaultdict``, ``deque``, results with named fields, and classes
that were registered are nodes; everything else, None included, is a leaf. Dicts keep their insertion order.
"""

import functools
import json
from collections import OrderedDict, defaultdict, deque, namedtuple

from rushlight.tensor.geometry import Size
from rushlight.utils._pytree_keys import GetAttrKey, MappingKey, SequenceKey, key_get, keystr

PyTree = Context = object
FlattenFn = UnflattenFn = ToDumpableContextFn = FromDumpableContextFn = object
DumpableContext = object
NodeDef = namedtuple("NodeDef", "type flatten_fn unflatten_fn flatten_with_keys_fn")
_Serialized = namedtuple("_Serialized", "name dump load")

SUPPORTED_NODES = {}
SUPPORTED_SERIALIZED_TYPES = {}     # class -> _Serialized
SERIALIZED_TYPE_TO_PYTHON_TYPE = {}
CONSTANT_NODES = set()
_PROTOCOL = 1
_missing = object()


def register_pytree_node(cls, flatten_fn, unflatten_fn, *, serialized_type_name=None, to_dumpable_context=None,
                         from_dumpable_context=None, flatten_with_keys_fn=None):
    """Make instances of `cls` nodes.

    Args:
        flatten_fn: ``node -> (children, context)``; unflatten_fn: ``(children, context) -> node``.
        serialized_type_name: what `treespec_dumps` calls the class.
        to_dumpable_context, from_dumpable_context: context to JSON and back, both or neither.
        flatten_with_keys_fn: ``node -> ([(key, child), ...], context)``, for paths.

    ValueError when `cls` is registered already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    if (to_dumpable_context is None) != (from_dumpable_context is None):
        raise ValueError(f"Both to_dumpable_context and from_dumpable_context for {cls} must be None or registered.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)
    SUPPORTED_SERIALIZED_TYPES[cls] = _Serialized(serialized_type_name, to_dumpable_context, from_dumpable_context)
    if serialized_type_name is not None:
        SERIALIZED_TYPE_TO_PYTHON_TYPE[serialized_type_name] = cls


_register_pytree_node = register_pytree_node


def _deregister_pytree_node(cls):
    """Make instances of `cls` leaves again."""
    del SUPPORTED_NODES[cls]
    entry = SUPPORTED_SERIALIZED_TYPES.pop(cls)
    SERIALIZED_TYPE_TO_PYTHON_TYPE.pop(entry.name, None)
    CONSTANT_NODES.discard(cls)


def register_dataclass(cls, *, field_names=None, drop_field_names=None, serialized_type_name=None):
    """Make instances of a dataclass nodes, with their fields as children; fields that are None go to the context."""
    import dataclasses
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"register_dataclass(cls) expects `cls` to be a dataclass, got: {cls}")
    dropped = set(drop_field_names or ())
    names = [n for n in (field_names or [f.name for f in dataclasses.fields(cls) if f.init]) if n not in dropped]

    def flatten(node):
        present = [n for n in names if getattr(node, n) is not None]
        return [getattr(node, n) for n in present], [present, [n for n in names if n not in present]]

    def unflatten(children, context):
        present, absent = context
        return cls(**dict(zip(present, children)), **dict.fromkeys(absent))

    def with_keys(node):
        children, context = flatten(node)
        return [(GetAttrKey(n), c) for n, c in zip(context[0], children)], context
    register_pytree_node(cls, flatten, unflatten, serialized_type_name=serialized_type_name,
                         flatten_with_keys_fn=with_keys)


def register_constant(cls):
    """Make instances of `cls` nodes without children, which are part of the spec; they must have equality and hash."""
    if cls.__eq__ is object.__eq__:
        raise TypeError("register_constant(cls) expects `cls` to have a non-default `__eq__` implementation.")
    if cls.__hash__ is None:
        raise TypeError("register_constant(cls) expects `cls` to have a non-default `__hash__` implementation.")
    register_pytree_node(cls, lambda node: ([], node), lambda children, context: context,
                         flatten_with_keys_fn=lambda node: ([], node))
    CONSTANT_NODES.add(cls)


def is_constant_class(cls):
    """Whether `cls` was registered by `register_constant`."""
    return isinstance(cls, type) and cls in CONSTANT_NODES


def is_namedtuple_class(cls):
    """Whether `cls` was made by ``namedtuple`` or ``NamedTuple`` (or is a subclass of such a class)."""
    return (isinstance(cls, type) and issubclass(cls, tuple) and not is_structseq_class(cls)
            and isinstance(getattr(cls, "_fields", None), tuple) and all(isinstance(f, str) for f in cls._fields)
            and callable(getattr(cls, "_make", None)) and callable(getattr(cls, "_asdict", None)))


def is_namedtuple_instance(obj):
    """Whether `obj` is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj):
    """Whether `obj` is a named tuple, or a class of them."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_class(cls):
    """Whether `cls` is a tuple class of fixed length with named fields: a ``torch.return_types`` or of the system."""
    if not (isinstance(cls, type) and issubclass(cls, tuple)):
        return False
    return cls.__module__ == "torch.return_types" or (
        cls.__bases__ == (tuple,) and isinstance(cls.__dict__.get("n_fields"), int)
        and isinstance(cls.__dict__.get("n_sequence_fields"), int))


def is_structseq_instance(obj):
    """Whether `obj` is an instance of such a class."""
    return is_structseq_class(type(obj))


def is_structseq(obj):
    """Whether `obj` is such a class or an instance of one."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def _register_namedtuple(cls, *, serialized_type_name):
    """Say what `treespec_dumps` calls a class of named tuples."""
    SUPPORTED_SERIALIZED_TYPES[cls] = _Serialized(serialized_type_name, None, None)
    SERIALIZED_TYPE_TO_PYTHON_TYPE[serialized_type_name] = cls


# ---------------------------------------------------------------- nodes that are there from the start

def _sequence(cls, name, make, context=lambda x: None, **serialized):
    register_pytree_node(cls, lambda x: (list(x), context(x)), make, serialized_type_name=name,
                         flatten_with_keys_fn=lambda x: ([(SequenceKey(i), c) for i, c in enumerate(x)], context(x)),
                         **serialized)


def _mapping(cls, name, make, context=list, **serialized):
    register_pytree_node(cls, lambda d: (list(d.values()), context(d)), make, serialized_type_name=name,
                         flatten_with_keys_fn=lambda d: ([(MappingKey(k), v) for k, v in d.items()], context(d)),
                         **serialized)


def _load_default(data):
    import importlib
    module, name = data["default_factory_name"], data["default_factory_attr"]
    factory = None if name is None else getattr(importlib.import_module(module), name)
    return [factory, data["dict_context"]]


def _dump_default(context):
    f = context[0]
    return {"default_factory_name": getattr(f, "__module__", None), "default_factory_attr":
            getattr(f, "__qualname__", None), "dict_context": context[1]}


_sequence(tuple, "builtins.tuple", lambda c, _: tuple(c))
_sequence(list, "builtins.list", lambda c, _: list(c))
_mapping(dict, "builtins.dict", lambda c, keys: dict(zip(keys, c)))
register_pytree_node(
    namedtuple, lambda t: (list(t), type(t)), lambda c, cls: cls(*c), serialized_type_name="collections.namedtuple",
    flatten_with_keys_fn=lambda t: ([(GetAttrKey(n), v) for n, v in zip(t._fields, t)], type(t)))
_mapping(OrderedDict, "collections.OrderedDict", lambda c, keys: OrderedDict(zip(keys, c)))
_mapping(defaultdict, "collections.defaultdict", lambda c, context: defaultdict(context[0], zip(context[1], c)),
         lambda d: [d.default_factory, list(d)], to_dumpable_context=_dump_default,
         from_dumpable_context=_load_default)
_sequence(deque, "collections.deque", lambda c, maxlen: deque(c, maxlen=maxlen), lambda d: d.maxlen)
_sequence(Size, "torch.Size", lambda c, _: Size(c) if all(isinstance(i, int) for i in c) else tuple(c))


def _get_node_type(tree):
    cls = type(tree)
    if cls in SUPPORTED_NODES:
        return cls
    if is_namedtuple_class(cls):
        return namedtuple
    if cls.__module__ == "torch.return_types" and issubclass(cls, tuple):
        _sequence(cls, f"torch.return_types.{cls.__name__}", lambda c, _: cls(*c))
    return cls


def tree_is_leaf(tree, is_leaf=None):
    """Whether `tree` is a leaf: no node, or one that `is_leaf` says is to be taken whole."""
    return is_leaf is not None and is_leaf(tree) or _get_node_type(tree) not in SUPPORTED_NODES


# ---------------------------------------------------------------- specs

class TreeSpec:
    """The shape of a tree: a node's class, its context, and the specs of its children; a leaf's has no class."""

    __slots__ = ("type", "_context", "_children", "num_nodes", "num_leaves", "num_children")

    def __init__(self, type, context=None, children_specs=()):
        self.type, self._context, self._children = type, context, list(children_specs)
        self.num_children = len(self._children)
        self.num_nodes = 1 + sum(c.num_nodes for c in self._children)
        self.num_leaves = 1 if type is None else sum(c.num_leaves for c in self._children)

    @property
    def context(self):
        """What besides the children makes the node."""
        return self._context

    @property
    def children_specs(self):
        """The specs of the children."""
        return self._children

    def children(self):
        """The specs of the children, as a new list."""
        return self._children.copy()

    def child(self, index):
        """The spec of one child."""
        return self._children[index]

    def is_leaf(self):
        """Whether this is the spec of a leaf."""
        return self.type is None

    def __eq__(self, other):
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return self is other or (self.type, self.num_children) == (other.type, other.num_children) and \
            self._context == other._context and self._children == other._children

    def __hash__(self):
        context = self._context
        if self.type in (dict, OrderedDict, defaultdict):
            context = repr(context)
        try:
            return hash((self.type, context, tuple(self._children)))
        except TypeError:
            return hash((self.type, repr(context), tuple(self._children)))

    def __repr__(self, indent=0):
        if self.type is None:
            return "*"
        indent += 2
        parts = [c.__repr__(indent) for c in self._children]
        return f"TreeSpec({self.type.__name__}, {self._context}, [{(',' + chr(10) + ' ' * indent).join(parts)}])"

    def unflatten(self, leaves):
        """The tree of this shape with the given leaves; ValueError where their number is wrong."""
        leaves = leaves if isinstance(leaves, (list, tuple)) else list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a "
                             f"pytree that holds {self.num_leaves} items ({self}).")
        return self._build(iter(leaves))

    def _build(self, leaves):
        if self.type is None:
            return next(leaves)
        children = [c._build(leaves) for c in self._children]
        return SUPPORTED_NODES[self.type].unflatten_fn(children, self._context)

    def flatten_up_to(self, tree):
        """The parts of `tree` at the leaves of this spec; ValueError where `tree` has another shape above them."""
        found = []
        self._parts(tree, found)
        return found

    def _parts(self, tree, found):
        if self.type is None:
            found.append(tree)
            return
        kind = _get_node_type(tree)
        mappings = (dict, OrderedDict, defaultdict)
        if kind is not self.type and not (kind in mappings and self.type in mappings):
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {type(tree)!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        children = list(children)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if kind in mappings:
            keys = self._context[1] if self.type is defaultdict else self._context
            missing, more = set(keys) - set(tree), set(tree) - set(keys)
            if missing or more:
                raise ValueError("Node keys mismatch" + (f"; missing key(s): {missing}" if missing else "")
                                 + (f"; extra key(s): {more}" if more else "") + ".")
            children = [tree[k] for k in keys]
        elif context != self._context and self.type is not deque:
            raise ValueError(f"Node context mismatch for custom node type {self.type!r}.")
        for spec, child in zip(self._children, children):
            spec._parts(child, found)


PyTreeSpec = TreeSpec


class LeafSpec(TreeSpec):
    """The spec of a leaf."""

    __slots__ = ()

    def __init__(self):
        super().__init__(None)

    __hash__ = TreeSpec.__hash__


_LEAF = LeafSpec()


def treespec_leaf():
    """The spec of a leaf."""
    return _LEAF


def treespec_tuple(iterable=()):
    """The spec of a tuple of trees of given specs."""
    return TreeSpec(tuple, None, list(iterable))


def treespec_dict(mapping=(), **kwargs):
    """The spec of a dict of trees of given specs."""
    d = dict(mapping, **kwargs)
    return TreeSpec(dict, list(d), list(d.values()))


# ---------------------------------------------------------------- apart and together

def tree_flatten(tree, is_leaf=None):
    """(leaves, spec) of `tree`; `is_leaf` says which nodes to take whole."""
    leaves = []
    return leaves, _flatten(tree, leaves, is_leaf)


def _flatten(tree, leaves, is_leaf):
    if is_leaf is not None and is_leaf(tree):
        leaves.append(tree)
        return _LEAF
    node = SUPPORTED_NODES.get(_get_node_type(tree))
    if node is None:
        leaves.append(tree)
        return _LEAF
    children, context = node.flatten_fn(tree)
    return TreeSpec(node.type, context, [_flatten(c, leaves, is_leaf) for c in children])


def tree_unflatten(leaves, treespec):
    """The tree of the given spec and leaves."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError("Expected `treespec` to be an instance of PyTreeSpec but got item of type "
                        f"{type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree, is_leaf=None):
    """The leaves, one after another."""
    if tree_is_leaf(tree, is_leaf):
        yield tree
        return
    for child in SUPPORTED_NODES[_get_node_type(tree)].flatten_fn(tree)[0]:
        yield from tree_iter(child, is_leaf)


def tree_leaves(tree, is_leaf=None):
    """The leaves."""
    return list(tree_iter(tree, is_leaf))


def tree_structure(tree, is_leaf=None):
    """The spec."""
    return tree_flatten(tree, is_leaf)[1]


def arg_tree_leaves(*args, **kwargs):
    """The leaves of all arguments."""
    return [leaf for a in (*args, *kwargs.values()) for leaf in tree_iter(a)]


def tree_map(func, tree, *rests, is_leaf=None):
    """The tree of ``func(leaf, *parts of the others at its place)``."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec._build(iter([func(*xs) for xs in zip(leaves, *[spec.flatten_up_to(r) for r in rests])]))


def tree_map_(func, tree, *rests, is_leaf=None):
    """Call `func` as `tree_map` does, for what it does to the leaves; returns `tree`."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for xs in zip(leaves, *[spec.flatten_up_to(r) for r in rests]):
        func(*xs)
    return tree


def _test(of):
    if isinstance(of, (type, tuple)) or type(of).__name__ == "UnionType":
        return lambda x: isinstance(x, of)
    if callable(of):
        return of
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def map_only(of, /):
    """Decorator: a function of leaves of type `of` (or that it is true of) becomes one of all leaves."""
    test = _test(of)

    def deco(func):
        return functools.wraps(func)(lambda x: func(x) if test(x) else x)
    return deco


def tree_map_only(of, /, func, tree, is_leaf=None):
    """`tree_map` over the leaves of type `of` (or that it is true of); others stay."""
    return tree_map(map_only(of)(func), tree, is_leaf=is_leaf)


def tree_map_only_(of, /, func, tree, is_leaf=None):
    """`tree_map_` over the leaves of type `of` (or that it is true of)."""
    return tree_map_(map_only(of)(func), tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    """Whether `pred` is true of every leaf."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None):
    """Whether `pred` is true of a leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(of, /, pred, tree, is_leaf=None):
    """Whether `pred` is true of every leaf of type `of`."""
    test = _test(of)
    return all(pred(x) for x in tree_iter(tree, is_leaf) if test(x))


def tree_any_only(of, /, pred, tree, is_leaf=None):
    """Whether `pred` is true of a leaf of type `of`."""
    test = _test(of)
    return any(pred(x) for x in tree_iter(tree, is_leaf) if test(x))


def _broadcast_to_and_flatten(tree, treespec, is_leaf=None):
    """The leaves of `tree` repeated to fill `treespec`, whose beginning its shape must be; None where it is not."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf() or _get_node_type(tree) is not treespec.type:
        return None
    children, context = SUPPORTED_NODES[treespec.type].flatten_fn(tree)
    children = list(children)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    found = []
    for child, spec in zip(children, treespec._children):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found


# ---------------------------------------------------------------- paths

def tree_flatten_with_path(tree, is_leaf=None):
    """([(path, leaf), ...], spec): a path is a tuple of keys, see `keystr`."""
    return list(_with_path(tree, (), is_leaf)), tree_structure(tree, is_leaf)


def tree_leaves_with_path(tree, is_leaf=None):
    """[(path, leaf), ...]."""
    return list(_with_path(tree, (), is_leaf))


def _with_path(tree, path, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    node = SUPPORTED_NODES[_get_node_type(tree)]
    if node.flatten_with_keys_fn is None:
        raise ValueError(f"Did not find a flatten_with_keys_fn for type: {node.type}. Please pass a "
                         "flatten_with_keys_fn argument to register_pytree_node.")
    for key, child in node.flatten_with_keys_fn(tree)[0]:
        yield from _with_path(child, (*path, key), is_leaf)


def tree_map_with_path(func, tree, *rests, is_leaf=None):
    """The tree of ``func(path, leaf, *parts of the others at its place)``."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    paths, leaves = [p for p, _ in pairs], [x for _, x in pairs]
    return spec.unflatten([func(*xs) for xs in zip(paths, leaves, *[spec.flatten_up_to(r) for r in rests])])


# ---------------------------------------------------------------- specs as text

def treespec_dumps(treespec, protocol=None):
    """The spec as JSON; NotImplementedError for classes without a name there."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError("Expected `treespec` to be an instance of PyTreeSpec but got item of type "
                        f"{type(treespec)}.")
    _check_protocol(_PROTOCOL if protocol is None else protocol)
    return json.dumps([_PROTOCOL, _to_json(treespec)])


def _check_protocol(protocol):
    if protocol != _PROTOCOL:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [{_PROTOCOL}]")


def _to_json(spec):
    if spec.is_leaf():
        return {"type": None, "context": None, "children_spec": []}
    context = spec.context
    if spec.type is namedtuple:
        if context not in SUPPORTED_SERIALIZED_TYPES:
            raise NotImplementedError(f"Can't serialize TreeSpec of namedtuple class {context} because we didn't "
                                      "register a serializated_type_name. Please register using "
                                      "`_register_namedtuple`.")
        text = json.dumps(SUPPORTED_SERIALIZED_TYPES[context].name)
    else:
        entry = SUPPORTED_SERIALIZED_TYPES[spec.type]
        if entry.name is None:
            raise NotImplementedError(f"No registered serialization name for {spec.type} found. Please update your "
                                      "_register_pytree_node call with a `serialized_type_name` kwarg.")
        try:
            text = json.dumps(context if entry.dump is None else entry.dump(context))
        except TypeError as error:
            raise TypeError("Unable to serialize context. Please make the context json dump-able, or register a "
                            "custom serializer using _register_pytree_node.") from error
    return {"type": SUPPORTED_SERIALIZED_TYPES[spec.type].name, "context": text,
            "children_spec": [_to_json(c) for c in spec._children]}


def treespec_loads(serialized):
    """The spec from its JSON."""
    protocol, data = json.loads(serialized)
    _check_protocol(protocol)
    return _from_json(data)


def _from_json(data):
    if data["type"] is None:
        return _LEAF
    if data["type"] not in SERIALIZED_TYPE_TO_PYTHON_TYPE:
        raise NotImplementedError(f"Cannot find a registered class for the serialized type {data['type']!r}")
    cls = SERIALIZED_TYPE_TO_PYTHON_TYPE[data["type"]]
    context = json.loads(data["context"])
    if cls is namedtuple:
        context = SERIALIZED_TYPE_TO_PYTHON_TYPE[context]
    elif SUPPORTED_SERIALIZED_TYPES[cls].load is not None:
        context = SUPPORTED_SERIALIZED_TYPES[cls].load(context)
    return TreeSpec(cls, context, [_from_json(c) for c in data["children_spec"]])


class _Star:
    def __repr__(self):
        return "*"


def treespec_pprint(treespec):
    """The spec as the tree's repr with ``*`` for leaves."""
    return repr(treespec.unflatten([_Star()] * treespec.num_leaves))


__all__ = [
    "PyTree", "Context", "FlattenFn", "UnflattenFn", "DumpableContext", "ToDumpableContextFn",
    "FromDumpableContextFn", "PyTreeSpec", "TreeSpec", "LeafSpec", "keystr", "key_get", "register_pytree_node",
    "tree_is_leaf", "tree_flatten", "tree_flatten_with_path", "tree_unflatten", "tree_iter", "tree_leaves",
    "tree_leaves_with_path", "tree_structure", "tree_map", "tree_map_with_path", "tree_map_", "tree_map_only",
    "tree_map_only_", "tree_all", "tree_any", "tree_all_only", "tree_any_only", "treespec_dumps", "treespec_loads",
    "treespec_pprint", "is_namedtuple", "is_namedtuple_class", "is_namedtuple_instance", "is_structseq",
    "is_structseq_class", "is_structseq_instance"]
