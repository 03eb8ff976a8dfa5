"""Margins between the labels of rows and their other classes.

    margins_kernel(element)(terms, slopes, keep, wrong, x, labels, rows, classes)

For each row of x (rows, classes): terms = sum over labels t and classes i that are no label of max(0, 1 - x_t + x_i) /
classes, and slopes (rows, classes), the derivative of that. A row's labels (rows, classes) int64 end at the first -1;
one outside of -1 ... classes - 1 makes the int64 ``wrong`` 1. ``keep``: memory of x's shape for who is no label. A NaN
is in no margin.
"""

from functools import cache

from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.fft_stages import Lanes
from rushlight.compiler.templates.layout import Layout

_JOB = Layout(("terms", "slopes", "keep", "wrong", "x", "labels"), ("rows", "classes"))


@cache
def margins_kernel(element):
    """The callable for "float" or "double"."""
    return entries.load(f"margins {element} {host().vector_bytes}", lambda: module_text(element), ("rl_margins",))[0]


def module_text(element):
    """The IR of the entry and its task; a tile is a row."""
    m = entries.new_module()
    f = entries.task(m, "rl_margins_task")
    v = Lanes(f, element)
    base = _JOB.load(f, f.args[0])
    classes = base["classes"]
    zero, one = f.value(0.0, v.vector), f.value(1.0, v.vector)
    with f.range(f.args[1], f.args[2]) as row:
        x, slopes, keep = (base[name] + row * classes * v.item for name in ("x", "slopes", "keep"))
        labels = base["labels"] + row * classes * 8

        def each(body):
            whole = classes & -v.n
            with f.range(0, whole, step=v.n) as i:
                body(i, v.load, v.store)
            with f.if_(whole < classes):
                mask = v.first(classes - whole)
                body(whole, lambda at: f.masked_load(v.vector, at, mask), lambda y, at: f.masked_store(y, at, mask))

        def begin(i, load, store):
            store(one, keep + i * v.item)
            store(zero, slopes + i * v.item)
        each(begin)
        # Labels behind the first -1 don't count, but have to be right.
        count, going = f.var("i64", 0), f.var("i1", True)
        with f.range(classes) as k:
            label = f.load("i64", labels + k * 8)
            with f.if_((label < -1) | (label >= classes)):
                f.store(f.value(1), base["wrong"])
                f.ret()
            going.set(going.get() & (label >= 0))
            with f.if_(going.get()):
                f.store(f.value(0.0, v.element), keep + label * v.item)
                count.set(count.get() + 1)
        total = f.var("double", 0.0)
        with f.range(count.get()) as k:
            label = f.load("i64", labels + k * 8)
            above = v.splat(f.value(1.0, v.element) - f.load(v.element, x + label * v.item))
            summed, number = f.var(v.vector, zero), f.var(v.vector, zero)

            def compare(i, load, store, above=above, summed=summed, number=number):
                at = i * v.item
                margin, free = load(x + at) + above, load(keep + at)
                hit = f.select(margin > 0.0, free, zero)
                summed.set(summed.get() + f.select(hit > 0.0, margin, zero))
                number.set(number.get() + hit)
                store(load(slopes + at) + hit, slopes + at)
            each(compare)
            both = [_across(f, v, t.get()) for t in (summed, number)]
            wide = both[0] if v.element == "double" else both[0].cast("fpext", "double")
            total.set(total.get() + wide)
            at = slopes + label * v.item
            f.store(f.load(v.element, at, align=v.item) - both[1], at, align=v.item)
        number = classes.cast("sitofp", "double")
        mean = total.get() / number
        f.store(mean if v.element == "double" else mean.cast("fptrunc", "float"), base["terms"] + row * v.item)
        share = v.splat(classes.cast("sitofp", v.element))
        each(lambda i, load, store: store(load(slopes + i * v.item) / share, slopes + i * v.item))
    f.ret()
    f, job = _JOB.begin(m, "rl_margins")
    rows = job.rows
    entries.share(f, "rl_margins_task", job.pointer, rows, rows * job.classes * 8)
    entries.none(f)
    return m.text()


def _across(f, v, x):
    """The sum of a vector's lanes, in pairs."""
    width = v.n
    while width > 2:
        width //= 2
        x = f.shuffle(x, x, range(width)) + f.shuffle(x, x, range(width, 2 * width))
    return f.extract(x, 0) + f.extract(x, 1)
