"""Who writes and who reads each buffer of a list of steps."""

from ..tape import MADE, Buffer, Step, Window


class Flow:
    """writers, readers: id(buffer) -> indices of steps, in order. `visible`: ids of buffers that leave the call."""

    def __init__(self, steps, visible):
        self.steps, self.visible = steps, visible
        self.writers, self.readers = {}, {}
        for i, step in enumerate(steps):
            for table, touched in zip((self.writers, self.readers), step.touches):
                for b in touched:
                    if b in table:
                        table[b].append(i)
                    else:
                        table[b] = [i]

    def maker(self, w):
        """The index of the one step that writes the memory of a window that the call made; None if there are more."""
        if not isinstance(w, Window) or w.buffer.origin is not MADE:
            return None
        found = self.writers.get(id(w.buffer), ())
        return found[0] if len(found) == 1 else None

    def read(self, w):
        """Indices of the steps that read the memory of a window."""
        return self.readers.get(id(w.buffer), [])

    def only(self, w, i):
        """Whether step `i` alone reads the memory of `w`, which doesn't leave the call."""
        return self.read(w) == [i] and id(w.buffer) not in self.visible

    def still(self, w, first, last):
        """Whether nothing writes the memory of `w` from step `first` to before step `last`."""
        return not any(first <= i < last for i in self.writers.get(id(w.buffer), ()))


def dense(shape):
    """Strides of C order."""
    strides, n = [], 1
    for s in reversed(shape):
        strides.append(n)
        n *= s
    return tuple(reversed(strides))


def is_dense(w):
    """Whether a window is in C order, with no pending bits."""
    return isinstance(w, Window) and not w.bits and all(
        s == 1 or t == d for s, t, d in zip(w.shape, w.strides, dense(w.shape), strict=True))


def is_last(w):
    """Whether a window of images (n, c, *s) is dense with its channels behind, with no pending bits."""
    return isinstance(w, Window) and len(w.shape) > 2 and not w.bits and is_dense(behind(w))


def behind(w):
    """The window with its second dimension moved behind."""
    (n, c, *s), (a, b, *t) = w.shape, w.strides
    return Window(w.buffer, w.dtype, (n, *s, c), (a, *t, b), w.offset, w.bits)


def own(number):
    """A buffer of the program's own, which has that number."""
    b = Buffer.__new__(Buffer)
    b.origin, b.key, b.tensor, b.storage, b.initial, b.written = MADE, number, None, None, None, 0
    return b


def like(w, number):
    """A window of the same form on a new buffer, which has that number."""
    return Window(own(number), w.dtype, w.shape, w.strides, w.offset, w.bits)


def replaced(steps, at, drop):
    """The steps with `at` {index: steps in its place} and without the indices in `drop`."""
    found = []
    for i, step in enumerate(steps):
        if i in at:
            found.extend(at[i])
        elif i not in drop:
            found.append(step)
    return found


def with_windows(step, change):
    """The step with ``change(window)`` in the place of each window; itself if nothing changes."""
    def new(x):
        kind = type(x)
        if kind is Window:
            return change(x)
        return kind([new(y) for y in x]) if kind in (list, tuple) else with_windows(x, change) if kind is Step else x
    if all(change(w) is w for w in step.windows()):
        return step
    return Step(step.kind, step.label, step.call, [*map(new, step.args)], [*map(new, step.outs)], step.detail,
                new(step.source))


def renamed(step, names):
    """The step with other buffers in the place of those whose ids are in `names`."""
    if not names or all(names.keys().isdisjoint(touched) for touched in step.touches):
        return step

    def now(w):
        b = names.get(id(w.buffer))
        return w if b is None else Window(b, w.dtype, w.shape, w.strides, w.offset, w.bits)
    return with_windows(step, now)
