"""Independent small products become one native call, and sums of products are accumulated in place.

    q, k, v = x @ wq, x @ wk, x @ wv            one call; on the way back the gradients of the three weights likewise
    gq @ wq + gk @ wk + gv @ wv                 one product adds to what the one before has computed
    x + h @ w                                   the product adds to x

A call costs some tenths of a microsecond, and a small product has too little work to share: the tiles of all products
of a group are shared out together (``compiler.templates.gemm_group``). Each product is cut as it would be alone, so the
results are the same bits; but where k is so large that products are summed in blocks, what is added comes first.
"""

import math

from ...runtime.threadpool import get_num_threads
from ..tape import MADE, Step, Window, windows
from . import epilogues
from .flow import Flow, dense, is_dense, replaced
from .planned import is_product
from .schedule import LEAST, busiest, seconds

# Multiply-adds (and some for each element) of a product that is worth it: with more, one by one is as fast.
MOST_WORK = 1 << 23
# Of a matrix that few rows are multiplied with: it comes from memory, each thread's own part of it from its own cache.
FEW_ROWS, MANY_WEIGHTS = 4, 1 << 15
EVEN = 0.85                     # of the threads' time that products take, run whole, for being run so
REACH = 64                      # steps that are looked back over


class Term:
    """``c = a @ b (+ bias) (+ d)`` of windows; where `d` is `c`, it adds to the term before it in its step."""

    __slots__ = ("c", "a", "b", "bias", "d", "label")

    def __init__(self, c, a, b, bias, d, label):
        self.c, self.a, self.b, self.bias, self.d, self.label = c, a, b, bias, d, label


def terms(step):
    """The products that a step computes, of those that can be in a group; None for other steps."""
    made = getattr(step.args[-1], "products", None) if step.kind == "into" and step.args else None
    if made is not None:
        arrays = [*step.outs, *step.args]
        return [Term(*[None if i is None else arrays[i] for i in (p.c, p.a, p.b, p.bias, p.d)], p.label) for p in made]
    if not is_product(step) or len(step.args) > 3:
        return None
    a, b, bias = (*step.args, None)[:3]
    c = step.outs[0]
    if c.buffer.origin is not MADE or not all(_plain(x, c) for x in (a, b)) or \
            bias is not None and not (_plain(bias, c) and is_dense(bias) and len(bias.shape) == 1):
        return None
    term = Term(c, a, b, bias, None, step.label)
    (_, m, n, k), _, work = _form(term)
    if _native(c.dtype) is None or work > MOST_WORK or m <= FEW_ROWS and n * k >= MANY_WEIGHTS:
        return None
    return [term]


def _plain(x, c):
    return isinstance(x, Window) and not x.bits and x.dtype == c.dtype and 0 not in x.shape


def _native(dtype):
    from ...compiler.templates import gemm_group
    return gemm_group.group(dtype)


def _form(term):
    """(sizes, steps in bytes, work) of a product, batches over one matrix merged as the kernels do."""
    c, a, b, d = term.c, term.a, term.b, term.d
    item = c.dtype.itemsize
    m, n, k = *c.shape[-2:], a.shape[-1]
    batch = c.shape[0] if len(c.shape) == 3 else 1
    steps = {}
    for name, x in (("c", c), ("a", a), ("b", b), *([] if d is None else [("d", d)])):
        steps[f"{name}_row"], steps[f"{name}_col"] = (t * item for t in x.strides[-2:])
        steps[f"{name}_batch"] = x.strides[0] * item if len(x.shape) == 3 and x.shape[0] > 1 else 0
    if batch > 1 and not steps["b_batch"] and all(
            steps[f"{x}_batch"] == m * steps[f"{x}_row"] for x in ("c", "a", *("d",) * (d is not None))):
        m, batch = m * batch, 1
    for name in ("c_col", "d_col"):
        steps.pop(name, None)
    return (batch, m, n, k), steps, batch * (m * n * k + (m * n + m * k + k * n) * 4)


def _step(found, whole=None):
    """One step for terms, those of a sum one after the other.

    whole: of windows that begin where others of the same memory do, {(buffer, dtype, offset): the one to hand over}.
    """
    from ...compiler.templates.gemm_group import Product, plan
    arrays, places = [], {}

    def place(w):
        key = w.key() if whole is None else (id(w.buffer), w.dtype, w.offset)
        if key not in places:
            places[key] = len(arrays)
            arrays.append(w if whole is None else whole.get(key, w))
        return places[key]
    for t in found:
        place(t.c)
    count = len(arrays)
    products = []
    for t in found:
        sizes, steps, _ = _form(t)
        numbers = [None if w is None else place(w) for w in (t.c, t.a, t.b, t.bias, t.d)]
        products.append(Product(*numbers, sizes, steps, t.label))
    labels = {}
    for t in found:
        label = t.label if t.d is None else f"{t.label}+add"
        labels[label] = labels.get(label, 0) + 1
    label = "group: " + ", ".join(f"{n} {name}" if n > 1 else name for name, n in labels.items())
    firsts = None if whole is None else [whole[key] for key in places if key in whole]
    source = _of, [[[t.c, t.a, t.b, t.bias, t.d, t.label] for t in found], firsts]
    return Step("into", label, _native(found[0].c.dtype), [*arrays[count:], plan(products)], arrays[:count],
                source=source)


def _of(found, firsts):
    """`_step` of what terms consist of, and of the windows to hand over."""
    whole = None if firsts is None else {(id(w.buffer), w.dtype, w.offset): w for w in firsts}
    return _step([Term(*parts) for parts in found], whole)


# ---------------------------------------------------------------- sums

def sums(steps, visible):
    """The steps with additions to results of small products as part of the products."""
    if not any(s.kind == "pointwise" and s.label == "add" for s in steps):
        return steps
    from .prologues import takes
    steps, drop, flow = list(steps), set(), Flow(steps, visible)
    made = {}                       # id(buffer) -> (where it is made, its terms)
    for i, step in enumerate(steps):
        if step.kind == "pointwise" and step.label == "add":
            found, used = _sum(flow, step, i, made)
            if found is None:
                continue
            drop.update(made.pop(id(c.buffer))[0] for c in used)
            steps[i] = _step(found)
        else:
            found = terms(step) if step.kind == "into" and len(step.outs) == 1 else None
            if found is None or flow.maker(step.outs[0]) != i or takes(flow, i, step) or \
                    math.prod(step.outs[0].shape) >= epilogues.LEAST_OF_PRODUCT:
                continue
        made[id(found[0].c.buffer)] = i, found
    return replaced(steps, {}, drop)


def _sum(flow, step, i, made):
    """The terms that step `i`, an addition, comes to, and the results that it adds; None where it isn't of products."""
    pair, out = windows(step.args), step.outs[0]
    if len(pair) != 2 or pair[0].buffer is pair[1].buffer or any(x != 1 for x in step.args if x not in pair) or \
            flow.maker(out) != i or not is_dense(out) or any(
                not is_dense(x) or x.dtype != out.dtype or x.shape != out.shape for x in pair):
        return None, ()

    def of(x):
        at, found = made.get(id(x.buffer), (None, None))
        if found is None or not flow.only(x, i) or x.offset != found[0].c.offset or not _same(x, found[0].c):
            return None
        used = [w for t in found for w in (t.a, t.b, t.bias, t.d) if w is not None and w is not t.c]
        return found if all(flow.still(w, at, i) for w in used) else None
    first, second = map(of, reversed(pair))
    if first is not None and second is not None and (len(second) > 1 or second[0].d is not None):
        first, second = second, first
    if first is not None and second is not None and len(second) == 1 and second[0].d is None and _alike(first, second):
        return _onto([*first, *second], out, first[0].d), (first[0].c, second[0].c)
    # What is added to a single product may be any array.
    first, other = (first, pair[0]) if first is not None else (second, pair[1])
    if first is None or len(first) > 1 or first[0].d is not None:
        return None, ()
    c = first[0].c
    (batch, m, n, _), _, _ = _form(first[0])
    shape = (m, n) if batch == 1 else c.shape
    return _onto(first, out, Window(other.buffer, other.dtype, shape, dense(shape), other.offset, 0)), (c,)


def _alike(first, second):
    """Whether products have results of the same rows and columns: what is a row of one may be the other's column."""
    (batch, *one, _), (many, *other, _) = (_form(x[0])[0] for x in (first, second))
    return batch == many and one == other and (batch == 1 or first[0].c.shape == second[0].c.shape)


def _same(x, c):
    return math.prod(x.shape) == math.prod(c.shape)


def _onto(found, out, d):
    """The terms as one sum in the place of `out`, which begins with `d`; they are alike, see `_alike`."""
    c, (batch, m, n, _) = found[0].c, _form(found[0])[0]
    shape = (m, n) if batch == 1 else c.shape
    c = Window(out.buffer, c.dtype, shape, dense(shape), out.offset, 0)
    return [Term(c, t.a, t.b, t.bias, c if j else d, t.label) for j, t in enumerate(found)]


# ---------------------------------------------------------------- groups

class _Group:
    """Steps of products that will be one."""

    def __init__(self, step, found):
        self.steps, self.terms = [step], list(found)
        self.writes, self.reads = map(set, step.touches)

    def add(self, step, found):
        self.steps.append(step)
        self.terms += found
        self.reads |= step.touches[1].keys()
        self.writes |= step.touches[0].keys()


def _reads(x):
    return x.reads if type(x) is _Group else x.touches[1].keys()


def _writes(x):
    return x.writes if type(x) is _Group else x.touches[0].keys()


def horizontal(steps, visible):
    """The steps with groups of independent small products as single calls."""
    from ...compiler.templates.gemm_group import MOST
    flow, items = Flow(steps, visible), []
    for i, step in enumerate(steps):
        found = terms(step)
        if found is None or any(flow.maker(t.c) != i for t in found):
            items.append(step)
            continue
        writes, reads = step.touches[0].keys(), step.touches[1].keys()

        def fits(x):
            return type(x) is _Group and len(x.terms) + len(found) <= MOST and not x.writes & reads and \
                x.terms[0].c.dtype == found[0].c.dtype
        # The earliest group that the step may be moved up to; else the latest that may be moved down to the step.
        here, j = None, len(items) - 1
        while j >= max(0, len(items) - REACH):
            here = items[j] if fits(items[j]) else here
            if _writes(items[j]) & (reads | writes):
                break
            j -= 1
        if here is not None:
            here.add(step, found)
            continue
        reads_between, writes_between = set(), set()
        for j in range(len(items) - 1, max(-1, len(items) - 1 - REACH), -1):
            x = items[j]
            if fits(x) and not reads_between & x.writes and not writes_between & (x.reads | x.writes):
                del items[j]
                x.add(step, found)
                items.append(x)
                break
            reads_between |= _reads(x)
            writes_between |= _writes(x)
        else:
            items.append(_Group(step, found))
    # Windows that begin alike have one address: the array that its kernel made is there already.
    whole = {(id(w.buffer), w.dtype, w.offset): w for step in steps for w in step.writes
             if flow.maker(w) is not None and not w.bits}
    found = []
    for x in items:
        if type(x) is not _Group:
            found.append(x)
        elif len(x.terms) == 1 or _even(x.steps):
            found += x.steps
        else:
            found.append(_step(x.terms, whole))
    return found


def _even(steps):
    """Whether steps are left to `schedule`, which runs them whole, side by side: as much for each thread, or such that
    others may join them, as they have no operand in common that says they are all."""
    threads = get_num_threads()
    if threads < 2 or any(len(s.outs) != 1 for s in steps):
        return False
    times = [seconds(s) for s in steps]
    if any(t is None or t < LEAST for t in times):
        return False
    common = set.intersection(*[{id(w.buffer) for w in s.args if w is not None} for s in steps])
    return not common or sum(times) > EVEN * threads * busiest(times, threads)
