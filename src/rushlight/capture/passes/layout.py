"""The order of images in memory, chosen for the program as a whole.

Images that the call makes and that nobody sees may lie in the usual order (n, c, *s), or with their channels behind.
Convolutions by single pixels and of channels by themselves, pooling and small images with many channels like the
latter, minimal filtering the former. Each step of a network of convolutions is one choice, each image that its maker
and its readers don't agree on one conversion: the cheapest choice is a cut (`cut`) of the costs of `layout_costs`.
It is made where it saves ``WORTH`` of the program, and ``LEAST``.

Images of arguments, of results and of what is older keep the order that they have; so do those that steps see in ways
that another order hasn't (flattened, say).
"""

import math

from ...ops.copy import copy_array
from ..tape import MADE, Step, Window, windows
from . import layout_costs as costs
from .cut import NEVER, Cut
from .flow import Flow, behind, dense, is_dense, is_last, like, with_windows
from .folding import folded
from .pixels import placed

WORTH, LEAST = 0.03, 1e4        # of the program, and nanoseconds
_CONVOLUTIONS = {"convolution": "forward", "conv_input": "input", "convolution_transposed": "input",
                 "conv_weight": "weight"}
_POOLS = ("_max_pool2d", "_max_pool3d", "max_poolscatter", "_avg_pool2d", "_avg_pool3d", "avg_pool_adjoint")
_NORMS = ("batch_norm", "batch_norm_backward")
_FREE = ("sum", "mean")                 # that read images in any order


def layouts(steps, visible, number):
    """The steps with images in the chosen orders; ``number()`` gives new buffers' numbers."""
    if not any(s.label in _CONVOLUTIONS for s in steps):
        return steps
    return _Choice(steps, visible, number).made()


class _Image:
    """A buffer that holds images of `shape` (n, c, *s); `last`: whether channels are behind, as recorded."""

    __slots__ = ("shape", "last", "maker", "readers", "members")

    def __init__(self, shape, last, maker, readers):
        self.shape, self.last, self.maker, self.readers = shape, last, maker, readers


def _strides(shape, last):
    if not last:
        return dense(shape)
    n, c, *s = shape
    a, *t, b = dense((n, *s, c))
    return (a, b, *t)


def _runs(w, shape, last):
    """The axes of `shape` that each dimension of a window goes along, with the first channel; or None."""
    order = [0, *range(2, len(shape)), 1] if last else list(range(len(shape)))
    strides = _strides(shape, last)
    order = [a for a in order if shape[a] > 1]
    step = strides[1]
    first = w.offset // step if shape[1] > 1 else 0
    if first * step != w.offset or first >= shape[1]:
        return None
    found, seen = [], set()
    for size, t in zip(w.shape, w.strides, strict=True):
        if size == 1:
            found.append(())
            continue
        end = next((i for i, a in enumerate(order) if strides[a] == t), None)
        if end is None:
            return None
        run, count = (order[end],), shape[order[end]]
        if run == (1,) and size <= count - first:
            count = size
        while count < size and end > 0:
            end -= 1
            run, count = (order[end], *run), count * shape[order[end]]
        if count != size or seen & set(run):
            return None
        seen |= set(run)
        found.append(run)
    if len(seen) != len(order) and not (1 not in seen and set(order) - seen == {1}):
        return None
    return tuple(found), first


def _placed(w, shape, last, to):
    """The window where the images lie in the order `to` instead of `last`; None where there is none."""
    found = _runs(w, shape, last)
    if found is None:
        return None
    order = [a for a in ([0, *range(2, len(shape)), 1] if to else range(len(shape))) if shape[a] > 1]
    strides, new = _strides(shape, to), []
    for run, t in zip(found[0], w.strides, strict=True):
        if not run:
            new.append(t)
            continue
        at = order.index(run[0])
        if tuple(order[at:at + len(run)]) != run:
            return None
        new.append(strides[run[-1]])
    return Window(w.buffer, w.dtype, w.shape, tuple(new), found[1] * strides[1], w.bits)


class _Choice:
    """The images and the steps of a program, what they cost, and the steps in the cheapest order."""

    def __init__(self, steps, visible, number):
        self.steps, self.number = steps, number
        self.flow = Flow(steps, visible)
        self.images = {}                    # id(buffer) -> _Image
        self.nodes = {}                     # index of a step -> (cost in the usual order, channels-last)
        self.rest = 0.0                     # what other steps cost

    def made(self):
        self._find()
        if not self.images:
            return self.steps
        self._price()
        recorded = [self._recorded(i) for i in self.nodes]
        chosen = self._cut()
        before, after = self._cost(recorded), self._cost(chosen)
        if chosen == recorded or before - after < max(WORTH * (before + self.rest), LEAST):
            return folded(self.steps, self.flow.visible, self.number)
        steps = self._rewritten(dict(zip(self.nodes, chosen, strict=True)))
        return folded(steps, self.flow.visible, self.number)

    # ------------------------------------------------------------ images

    def _find(self):
        for step in self.steps:
            for w in _seen(step):
                self._note(w)
        todo = True
        while todo:                         # pointwise steps hand on what images are
            todo = False
            for step in self.steps:
                if step.kind == "pointwise" and len(step.outs) == 1:
                    shape = step.outs[0].shape
                    own = [w for w in (*step.outs, *step.args) if isinstance(w, Window) and w.shape == shape]
                    if any(self._is(w) for w in own):
                        todo |= 0 < sum(map(self._note, own))

    def _is(self, w):
        image = self.images.get(id(w.buffer))
        return image is not None and image.shape == w.shape

    def _note(self, w):
        """Whether a window shows that its buffer holds images, which wasn't known."""
        b = w.buffer
        if b.origin is not MADE or id(b) in self.images or id(b) in self.flow.visible or len(w.shape) < 4 or \
                w.offset or is_dense(w) and is_last(w) or not (is_dense(w) or is_last(w)):
            return False
        i = self.flow.maker(w)
        if i is None or self.steps[i].kind not in ("kernel", "pointwise"):
            return False
        outs = [o for o in windows(self.steps[i].outs) if o.buffer is b]
        last = is_last(w)
        if len(outs) != 1 or math.prod(outs[0].shape) != math.prod(w.shape) or outs[0].offset:
            return False
        image = _Image(w.shape, last, i, self.flow.read(w))
        self.images[id(b)] = image
        return True

    # ------------------------------------------------------------ costs

    def _price(self):
        for i, step in enumerate(self.steps):
            found = self._of(i, step)
            if found is not None:
                self.nodes[i] = found
            elif step.kind in ("kernel", "into", "pointwise"):
                self.rest += _guess(step)
        self.index = {i: k for k, i in enumerate(self.nodes)}
        for image in self.images.values():
            members, fixed = set(), set()
            for i in (image.maker, *image.readers):
                if i in self.index:
                    members.add(self.index[i])
                else:
                    fixed.add(self._kept(image, i))
            image.members = members, fixed

    def _kept(self, image, i):
        """The order in which a step without a choice takes an image."""
        step = self.steps[i]
        if step.label == "native_layer_norm" and i != image.maker:
            w = step.args[0]
            for to in (False, True):
                v = _placed(w, image.shape, image.last, to)
                if v is not None and is_dense(v):
                    return to
        return image.last

    def _of(self, i, step):
        """(cost in the usual order, cost channels-last) of a step that has the choice; else None."""
        mine = [w for w in step.windows() if id(w.buffer) in self.images]
        if not mine or not self._both(mine):
            return None
        if step.kind == "pointwise":
            return self._pointwise(step)
        if step.kind != "kernel":
            return None
        if step.label in _FREE:
            return self._free(step)
        if step.label in _CONVOLUTIONS:
            found = self._convolution(step)
        elif step.label in (*_NORMS, *_POOLS, "cat"):
            found = self._like(step)
        else:
            return None
        return None if found is None else self._bound(step, *found)

    def _both(self, mine):
        return all(not w.bits and None not in [_placed(w, x.shape, x.last, to) for to in (False, True)]
                   for w in mine for x in [self.images[id(w.buffer)]])

    def _bound(self, step, usual, last):
        """The costs with those of images that keep their order."""
        found = [usual, last]
        outs = {id(w.buffer) for w in windows(step.outs)}
        for w in _seen(step):
            if id(w.buffer) in self.images or is_dense(w) and is_last(w):
                continue
            for to in (False, True):
                if (is_last if to else is_dense)(w):
                    continue
                if id(w.buffer) in outs:
                    found[to] = NEVER
                elif step.label not in _CONVOLUTIONS or w.shape[1] >= 16:
                    found[to] += costs.conversion(costs.elements(w))
        return None if found == [NEVER, NEVER] else tuple(found)

    def _pointwise(self, step):
        if len(step.outs) != 1 or not self._is(step.outs[0]) and id(step.outs[0].buffer) in self.images:
            return None
        shape, n = step.outs[0].shape, costs.elements(step.outs[0])
        if len(shape) < 4:
            return None
        # (Normalizations of channels-last images take in the limits of their results.)
        found = [costs.other("limits" if step.label == "hardtanh" else "pointwise", n * len(step.windows()) / 2, to)
                 for to in (False, True)]
        outs = {id(w.buffer) for w in step.outs}
        for w in step.windows():
            if id(w.buffer) in self.images:
                if self.images[id(w.buffer)].shape != w.shape:
                    return None
            elif w.shape == shape:
                for to in (False, True):
                    if not (is_last if to else is_dense)(w):
                        found[to] = NEVER if id(w.buffer) in outs else found[to] + costs.conversion(n)
        return None if min(found) >= NEVER else tuple(found)

    def _free(self, step):
        n = costs.elements(step.args[0])
        return costs.other("sum", n, False), costs.other("sum", n, True)

    def _like(self, step):
        """Kernels whose results lie as their operands do."""
        if any(not (is_dense(w) or is_last(w)) for w in _seen(step)):
            return None
        label = step.label.replace("pool3d", "pool2d")
        if label == "_max_pool2d":
            x, y = (costs.elements(w) for w in (step.args[0], step.outs[0]))
            return tuple([costs.max_pool(x, y, *step.args[1:3], to) for to in (False, True)])
        if label == "batch_norm" and not step.args[5]:
            label = "evaluated"
        n = max((costs.elements(w) for w in _seen(step)), default=0)
        return costs.other(label, n, False), costs.other(label, n, True)

    def _convolution(self, step):
        map_ = _CONVOLUTIONS[step.label]
        x, y = (step.args[0], step.args[1]) if map_ == "weight" else (step.args[0], step.outs[0])
        w = step.outs[0].shape if map_ == "weight" else step.args[1].shape
        stride, padding, _, groups = step.args[-4:]
        image, out = (y, x) if map_ == "input" else (x, y)      # of the convolution itself
        kernel, rows, channels = w[2:], w[0] // groups, w[1]
        name = {2: "bfloat16", 4: "float32", 8: "float64"}.get(x.dtype.itemsize)
        pixels = math.prod(out.shape[2:])
        positions = out.shape[0] * pixels
        kind = costs.kind_of(map_, kernel, stride, padding, groups, rows, channels, positions, pixels, name)
        given = id(image.buffer) not in self.images and is_dense(image)
        macs = positions * math.prod(kernel) * channels * groups * (rows if kind == "depthwise" else costs.whole(rows))
        if kind == "depthwise" and name == "float64" or len(kernel) < 2:
            return None
        return tuple([costs.convolution(kind, map_, macs, costs.elements(image), costs.elements(out), to,
                                        name == "bfloat16", given) for to in (False, True)])

    # ------------------------------------------------------------ the choice

    def _recorded(self, i):
        """The order that a step has now: that of most of its images."""
        usual, last = self.nodes[i]
        if NEVER in (usual, last):
            return usual == NEVER
        own = [x.last for x in (self.images[id(w.buffer)] for w in self.steps[i].windows()
                                if id(w.buffer) in self.images)]
        made = [self.images[id(w.buffer)].last for w in windows(self.steps[i].outs) if id(w.buffer) in self.images]
        return (made or own)[0]

    def _cut(self):
        cut = Cut(len(self.nodes))
        for k, (usual, last) in enumerate(self.nodes.values()):
            cut.choice(k, usual, last)
        for image in self.images.values():
            members, fixed = image.members
            if len(members) + len(fixed) > 1:
                cut.group(members, costs.conversion(math.prod(image.shape)), fixed)
        return cut.sides(len(self.nodes))

    def _cost(self, sides):
        total = sum(c[s] for c, s in zip(self.nodes.values(), sides, strict=True))
        for image in self.images.values():
            members, fixed = image.members
            if len({*[sides[k] for k in members], *fixed}) > 1:
                total += costs.conversion(math.prod(image.shape))
        return total

    # ------------------------------------------------------------ the steps

    def _rewritten(self, sides):
        found, other = [], {}               # other: id(buffer) -> window of the images in the other order
        for i, step in enumerate(self.steps):
            def order(image, i=i):
                return sides[i] if i in sides else self._kept(image, i)

            def now(w, i=i):
                image = self.images.get(id(w.buffer))
                if image is None:
                    return w
                made = order(image, image.maker)
                to = order(image)
                placed = w if to == image.last else _placed(w, image.shape, image.last, to)
                if to == made:
                    return placed
                if id(w.buffer) not in other:
                    here = Window(w.buffer, w.dtype, image.shape, _strides(image.shape, made), 0, 0)
                    there = Window(w.buffer, w.dtype, image.shape, _strides(image.shape, to), 0, 0)
                    other[id(w.buffer)] = there = like(there, self.number())
                    found.append(Step("into", "layout", copy_array, [here], [there]))
                return Window(other[id(w.buffer)].buffer, w.dtype, placed.shape, placed.strides, placed.offset, 0)
            new = with_windows(step, now)
            if i in sides and step.kind == "kernel":        # (results of others lie as some operand does)
                new = _laid_out(new)
            found.append(new)
        return found


def _laid_out(step):
    """A kernel's step whose fresh results lie as its windows say."""
    return Step(step.kind, step.label, Laid(step.call, step.outs, step.detail[0]), step.args, step.outs, step.detail,
                (_laid_out, [step]))


class Laid:
    """A kernel whose fresh results lie as windows say."""

    __slots__ = ("call", "wanted", "many")

    def __init__(self, call, outs, many):
        self.call, self.many = call, many
        self.wanted = [w and (w.shape, tuple([t * w.dtype.itemsize for t in w.strides])) for w in outs]

    def __call__(self, *args):
        found = self.call(*args)
        laid = tuple(map(_laid, found if self.many else (found,), self.wanted))
        return laid if self.many else laid[0]


def _laid(a, wanted):
    if wanted is None or a is None:
        return a
    shape, strides = wanted
    if all(n == 1 or s == t for n, s, t in zip(shape, a.strides, strides, strict=True)):
        return a
    from ...ops.pointwise.core import strided_array
    out = strided_array(shape, [s // a.itemsize for s in strides], a.dtype)
    copy_array(out, a)
    return out


def _seen(step):
    """The windows of a step that are images as (n, c, *s)."""
    if step.kind != "kernel":
        return []
    label = step.label
    if label == "conv_weight":
        return step.args[:2]
    if label in _CONVOLUTIONS:
        return [step.args[0], step.outs[0]]
    if label in _NORMS:
        return [w for w in (*step.args[:1 + (label != "batch_norm")], step.outs[0]) if len(w.shape) > 3]
    if label in _POOLS:
        return windows([*step.args, *step.outs])
    if label == "cat":
        return [w for w in windows([*step.args, *step.outs]) if len(w.shape) > 3]
    return []


def _guess(step):
    """About what a step without a choice costs."""
    if step.label in ("linear", "mm", "addmm", "_matmul_nt", "_matmul_tn", "_matmul_fold"):
        a, b = step.args[:2]
        out = step.outs[0]
        k = math.prod(a.shape) * math.prod(b.shape)
        return costs.product(math.isqrt(k * math.prod(out.shape)))
    return 1e3 + 0.1 * sum(math.prod(w.shape) for w in step.windows())


def turned(steps):
    """The steps with convolutions of channels-last images as calls into memory that is there, and with pointwise ones
    on such images as steps on images whose channels are behind."""
    return [_turned(s) or placed(s) or s for s in steps]


def _turned(step):
    if step.kind != "pointwise" or not step.outs or is_dense(step.outs[0]) or not is_last(step.outs[0]) or \
            any(len(w.shape) != len(step.outs[0].shape) for w in step.outs):
        return None
    rank = len(step.outs[0].shape)

    def turn(w):
        if len(w.shape) < 2 and math.prod(w.shape) == 1:
            return w
        lead = rank - len(w.shape)
        return behind(Window(w.buffer, w.dtype, (1,) * lead + w.shape, (0,) * lead + w.strides, w.offset, w.bits))
    return with_windows(step, turn)
