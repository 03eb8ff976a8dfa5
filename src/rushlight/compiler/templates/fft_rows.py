"""Fourier transforms of rows, each in two passes.

    rows_kernel(element, n, kind, window)(out, x, twiddles, turns, window, rows, frames, frame_step, outer_step, scale)

A row of n = n1 n2 complex numbers is a matrix (n1, n2). The first pass transforms its columns, a column a lane, turns
the results by ``twiddles`` and transposes them; the second pass transforms the columns of what has become an (n2, n1)
matrix, whose order of rows is the result's (Bailey, "FFTs in external or hierarchical memory", 1989).
Kinds:

    forward, inverse    complex rows to complex rows
    half, full          2n real numbers, taken as n complex ones, to n + 1 coefficients of their spectrum or to all 2n
    real                n + 1 coefficients to 2n real numbers; imaginary parts of the first and last don't count
                        (Cooley, Lewis and Welch, "The fast Fourier transform algorithm", 1970)
    doubled, adjoint    half and real with coefficients, but for the first and the last, times two and times a half:
                        the adjoints of the other

Row r begins ``(r / frames) outer_step + (r % frames) frame_step`` bytes after x; with `window` (half, full) it is
multiplied by as many numbers. Results are in C order, times ``scale``. A row is one thread's work.
"""

from functools import cache

from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import entries
from rushlight.compiler.templates.fft_stages import ITEM, Lanes, cost, room, stages, write
from rushlight.compiler.templates.layout import Layout

LONGEST = 1024                  # rows of a pass
# The words kept are the last argument, a double, and whether memory was refused.
KEPT = ("scale", "failed")
_JOB = Layout(("out", "x", "twiddles", "turns", "window"), ("rows", "frames", "frame_step", "outer_step"), KEPT)


@cache
def halves(n, lanes):
    """(n1, n2) that cost least, or None where there are none."""
    best = None
    for a in range(2, min(n // 2, LONGEST) + 1):
        b = n // a
        if n % a or b > LONGEST or stages(a) is None or stages(b) is None:
            continue
        total = -(-b // lanes) * (cost(a) + 12 * a) + -(-a // lanes) * cost(b)
        if best is None or total < best[0]:
            best = total, (a, b)
    return None if best is None else best[1]


@cache
def rows_kernel(element, n, kind, window=False):
    """The callable for rows of n complex numbers; made where ``halves`` of n exist."""
    key = f"fft rows {element} {n} {kind} {window} {host().vector_bytes}"
    return entries.load(key, lambda: module_text(element, n, kind, window), ("rl_fft_rows",))[0]


def _up(n, by):
    return -(-n // by) * by


def module_text(element, n, kind, window):
    """The IR of the entry and its task."""
    m = entries.new_module()
    _Rows(m, element, n, kind, window).task()
    entry(m, "rl_fft_rows", _JOB, lambda job: (job.rows, job.rows * (n * 16)))
    return m.text()


def entry(m, name, layout, plan):
    """The function that hands a layout's arrays and ints and at the end a float to ``<name>_task``.

    ``plan(job)``: (tiles, work).
    """
    f, job = layout.begin(m, name)
    job.set(scale=entries.float_of(f, f.args[1], len(layout.arrays) + len(layout.numbers)))
    entries.share(f, f"{name}_task", job.pointer, *plan(job))
    entries.done(f, job.failed)


def task(m, name, element, layout):
    """The task's function and its words by name; ``scale`` is a vector, ``failed`` a place."""
    f = entries.task(m, f"{name}_task")
    v, job = Lanes(f, element), layout.words(f, f.args[0])
    known = layout.load(f, job.pointer)
    scale = f.load("double", job.at("scale"))
    known["scale"] = v.splat(scale if element == "double" else scale.cast("fptrunc", "float"))
    known["failed"] = job.at("failed")
    return f, v, known


class _Rows:
    """The task of one kernel being written."""

    def __init__(self, m, element, n, kind, window):
        self.n = n
        self.kind, self.alone = {"doubled": ("half", 0.5), "adjoint": ("real", 2.0)}.get(kind, (kind, 1))
        kind = self.kind
        self.f, self.v, known = task(m, "rl_fft_rows", element, _JOB)
        self.__dict__.update(known)
        self.windowed = window
        lanes, item = self.v.n, ITEM[element]
        self.n1, self.n2 = halves(n, lanes)
        # Rows of the second pass: the planes one after the other, and a line more, as powers of two share sets.
        self.plane = _up(self.n1, lanes) * item
        self.step = 2 * self.plane + 64
        # Planes of a whole row, with a vector before and after.
        self.flat = _up(n + 1, lanes) * item + 2 * self.v.bytes
        self.sizes = [_up(self.n2, lanes) * self.step, max(room(self.n1), room(self.n2)) * self.v.row,
                      _up(self.n1, lanes) * self.v.row, 2 * self.flat if kind in ("half", "full", "real") else 0]

    def task(self):
        f, v = self.f, self.v
        block, memory = entries.scratch_or_leave(f, f.value(sum(_up(s, 64) for s in self.sizes)), self.failed)
        places = []
        for s in self.sizes:
            places.append(memory)
            memory = memory + _up(s, 64)
        self.matrix, self.buffer, self.tile, flat = places
        self.spectrum = flat + v.bytes
        coefficient = 2 * v.item
        size = {"half": self.n + 1, "full": 2 * self.n}.get(self.kind, self.n) * coefficient
        # Half of the first and last coefficient goes in, or is left of it, where others count as they are.
        if self.alone != 1:
            self.scale = self.scale / self.alone
        with f.range(f.args[1], f.args[2]) as r:
            source = self.x + (r.udiv(self.frames) * self.outer_step + r.urem(self.frames) * self.frame_step)
            to = self.out + r * size
            if self.kind == "real":
                self.fold(source)
                self.first_pass(self.planes_at)
                self.second_pass(lambda k, x: self.put(to, k, x[::-1]))
            elif self.kind in ("half", "full"):
                self.first_pass(lambda k, mask: self.samples(source, k, mask))
                self.second_pass(self.put_planes)
                self.unfold(to)
            else:
                order = -1 if self.kind == "inverse" else 1
                self.first_pass(lambda k, mask: self.pairs(source, k, mask)[::order])
                self.second_pass(lambda k, x: self.put(to, k, x[::order]))
        f.call("void", "rl_free", block)
        f.ret()

    # ------------------------------------------------------------ passes

    def first_pass(self, get):
        f, v = self.f, self.v
        padded = _up(self.n2, v.n)
        with f.range(0, self.n2, step=v.n) as column:
            left = self.n2 - column if self.n2 % v.n else None

            def store(row, x):
                at = self.twiddles + (row * (2 * padded * v.item) + column * v.item)
                v.store_planes(v.math.mul(x, v.load(at), v.load(at + padded * v.item)), self.tile + row * v.row)
            write(v, self.n1, lambda row: get(row * self.n2 + column, left), store, self.buffer)
            with f.range(0, self.n1, step=v.n) as row:
                rows = [v.load_planes(self.tile + (row + i) * v.row) for i in range(v.n)]
                for part in (0, 1):
                    for i, column_of in enumerate(v.transpose([x[part] for x in rows])):
                        at = self.matrix + (column + i) * self.step + (row * v.item + part * self.plane)
                        f.store(column_of, at, align=v.item)

    def second_pass(self, put):
        f, v = self.f, self.v
        with f.range(0, self.n1, step=v.n) as column:
            self.mask = self.masks(self.n1 - column) if self.n1 % v.n else None

            def load(row):
                at = self.matrix + (row * self.step + column * v.item)
                return v.load(at), v.load(at + self.plane)
            write(v, self.n2, load, lambda row, x: put(row * self.n1 + column, x), self.buffer)

    # ------------------------------------------------------------ elements

    def masks(self, left):
        return self.v.first(left), self.v.first(left, True)

    def pairs(self, source, k, left):
        """Complex numbers from the k-th on."""
        v, at = self.v, source + k * (2 * self.v.item)
        return v.load_pairs(at) if left is None else v.apart(self.f.masked_load(v.pairs, at, v.first(left, True)))

    def samples(self, source, k, left):
        """Real numbers, two by two, in their window."""
        if not self.windowed:
            return self.pairs(source, k, left)
        a, b = self.pairs(source, k, left), self.pairs(self.window, k, left)
        return a[0] * b[0], a[1] * b[1]

    def planes_at(self, k, left):
        at = self.spectrum + k * self.v.item
        return self.v.load(at), self.v.load(at + self.flat)

    def put(self, to, k, x):
        v, at = self.v, to + k * (2 * self.v.item)
        x = x[0] * self.scale, x[1] * self.scale
        if self.mask is None:
            v.store_pairs(x, at)
        else:
            self.f.masked_store(v.together(x), at, self.mask[1])

    def put_planes(self, k, x):
        v, at = self.v, self.spectrum + k * self.v.item
        for part, plane in enumerate((at, at + self.flat)):
            if self.mask is None:
                v.store(x[part], plane)
            else:
                self.f.masked_store(x[part], plane, self.mask[0])

    # ------------------------------------------------------------ real numbers

    def turn_at(self, k):
        """exp(-2 pi i k / 2n) for lanes from k on."""
        v, at = self.v, self.turns + k * self.v.item
        return v.load(at), v.load(at + (_up(self.n + 1, v.n)) * v.item)

    def mirrored(self, k):
        at = self.spectrum + (self.n - (v := self.v).n + 1 - k) * v.item
        return v.reverse(v.load(at)), v.reverse(v.load(at + self.flat))

    def unfold(self, to):
        """The spectrum of 2n real numbers from that of n complex ones.

        With Z mirrored, the even numbers' spectrum is E = (Z[k] + conj Z[n - k]) / 2, the odd ones' is
        O = (Z[k] - conj Z[n - k]) / 2i; X[k] = E + w^k O and X[n + k] = E - w^k O.
        """
        f, v, n = self.f, self.v, self.n
        for plane in (self.spectrum, self.spectrum + self.flat):
            f.store(f.load(v.element, plane, align=v.item), plane + n * v.item, align=v.item)
        half = self.scale * 0.5
        both = self.kind == "full"
        last = n if both else n + 1
        with f.range(0, last, step=v.n) as k:
            at = self.spectrum + k * v.item
            (re, im), (mre, mim) = (v.load(at), v.load(at + self.flat)), self.mirrored(k)
            even = (re + mre) * half, (im - mim) * half
            odd = (im + mim) * half, (mre - re) * half
            odd = v.math.mul(odd, *self.turn_at(k))
            self.mask = self.masks(last - k) if last % v.n else None
            keep, self.scale = self.scale, f.value(1.0, v.vector)
            self.put(to, k, v.math.add(even, odd))
            if both:
                self.put(to, k + n, v.math.sub(even, odd))
            self.scale = keep
        if self.alone != 1:
            for at in (to, to + n * (2 * v.item)):
                f.store(f.load(v.element, at, align=v.item) * self.alone, at, align=v.item)

    def fold(self, source):
        """What n complex numbers' transform gives 2n real ones, real and imaginary parts exchanged.

        Y[k] = X[k] + conj X[n - k] + i w^-k (X[k] - conj X[n - k]).
        """
        f, v, n = self.f, self.v, self.n
        with f.range(0, n, step=v.n) as k:
            left = n - k if n % v.n else None
            a = self.pairs(source, k, left)
            at = source + (n - v.n + 1 - k) * (2 * v.item)
            if left is None:
                b = v.load_pairs(at)
            else:
                # The row's first numbers are not to be left on that side.
                b = v.apart(f.masked_load(v.pairs, at, ~v.first(v.n - 1 - n + k, True)))
            mre, mim = v.reverse(b[0]), v.reverse(b[1])
            c, s = self.turn_at(k)
            turned = v.math.mul((a[0] - mre, a[1] + mim), c, -s)
            place = self.spectrum + k * v.item
            v.store(a[1] - mim + turned[0], place)
            v.store(a[0] + mre - turned[1], place + self.flat)
        first, last = (f.load(v.element, source + k * (2 * v.item), align=v.item) * self.alone for k in (0, n))
        f.store(first - last, self.spectrum, align=v.item)
        f.store(first + last, self.spectrum + self.flat, align=v.item)
