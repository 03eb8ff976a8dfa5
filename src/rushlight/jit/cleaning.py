"""Tidies a compiled graph: results that nobody reads go, where making them changes nothing."""

from .graph import walk

PURE = frozenset((
    "prim::Constant", "prim::GetAttr", "prim::TupleConstruct", "prim::ListConstruct", "prim::DictConstruct",
    "prim::TupleUnpack", "prim::TupleIndex", "prim::ListUnpack", "prim::unchecked_cast", "prim::Uninitialized",
    "prim::dtype", "prim::device", "prim::layout", "prim::isinstance", "prim::NumToTensor", "aten::size", "aten::dim",
    "aten::__not__", "aten::__is__", "aten::__isnot__", "aten::len", "aten::__derive_index", "aten::__range_length",
    "aten::eq", "aten::ne", "aten::lt", "aten::gt", "aten::le", "aten::ge", "aten::Int", "aten::Float", "aten::Bool",
    "aten::__getitem__", "prim::min", "prim::max", "aten::format", "aten::device"))


def clean(graph):
    """Remove nodes without effect and without readers, and results of branches and loops that nobody reads."""
    while _pass(graph):
        pass


def _pass(graph):
    counts = {}
    blocks = [graph.block_]
    for n in walk(graph.block_):
        for v in n._inputs:
            counts[id(v)] = counts.get(id(v), 0) + 1
        blocks.extend(n._blocks)
        if n._kind == "prim::fork":
            pass
    for b in blocks:
        for v in b.returns:
            counts[id(v)] = counts.get(id(v), 0) + 1
    changed = False
    for b in blocks:
        kept = []
        for n in b.nodes:
            if n._kind == "prim::If":
                changed |= _trim_if(n, counts)
            elif n._kind == "prim::Loop":
                changed |= _trim_loop(n, counts)
            if not any(counts.get(id(v)) for v in n._outputs) and removable(n):
                changed = True
            else:
                kept.append(n)
        b.nodes[:] = kept
    return changed


def removable(n):
    """Whether a node only makes its results."""
    if n._kind == "prim::If":
        return all(removable(m) for b in n._blocks for m in b.nodes)
    if n._kind == "prim::Loop":
        from .graph import constant_of
        counted = constant_of(n._inputs[1]) == (True, True) and constant_of(n._blocks[0].returns[0]) == (True, True)
        return counted and all(removable(m) for b in n._blocks for m in b.nodes)
    return n._kind in PURE


def _trim_if(n, counts):
    dead = [i for i, v in enumerate(n._outputs) if not counts.get(id(v))]
    if not dead:
        return False
    for i in reversed(dead):
        del n._outputs[i]
        for b in n._blocks:
            del b.returns[i]
    return True


def _trim_loop(n, counts):
    """Carried variables that nobody reads, inside or after; those that never change are read from outside."""
    body, changed = n._blocks[0], False
    for i in range(len(n._outputs) - 1, -1, -1):
        param, result = body.params[i + 1], body.returns[i + 1]
        same = result is param
        reads = counts.get(id(param), 0)
        if not counts.get(id(n._outputs[i])) and (not reads or same and reads == 1):
            del n._outputs[i], n._inputs[i + 2], body.params[i + 1], body.returns[i + 1]
            changed = True
    return changed
