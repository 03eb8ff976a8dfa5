"""Attention without its matrix of weights: tiles of scores that never leave the cache, as generated code.

    forward(out, lse, q, k, v, mask, kept, words)
        s = scale * q k^T (+ mask),  lse = log sum_j exp s_j,  out = exp(s - lse) (* kept * keep_scale) v

for every batch and head. Queries go in chunks (a task each), a chunk past blocks of keys; of each block the row's
running maximum and sum are kept and what has been added up is scaled when the maximum grows (Milakov & Gimelshein,
arXiv:1805.02867; Dao et al., arXiv:2205.14135). With ``causal``, keys beyond a panel of queries are not looked at. A
row without any key left gives zeros and lse = -inf.

Strides are in bytes and arbitrary but for the last dimension of each array, which is adjacent. ``words`` is an int64
array of ``FIELDS``: sizes, strides of batch, head and position (a head of keys serves ``group`` heads of queries),
``kind`` of mask (0 none, 1 added, of the compute type, 2 booleans), the bits of the doubles scale and keep_scale
(where ``kept``, booleans in C order, is given), the queries of a chunk and the keys of a block. ``lse`` (batch, heads,
tq) is of the compute type: float32 for 16-bit floats. The bits depend on the block of keys alone.
"""

from functools import cache

from rushlight.compiler.codegen import math
from rushlight.compiler.codegen.builder import Module, Value, vector
from rushlight.compiler.codegen.lower import MEMORY, narrow, widen
from rushlight.compiler.codegen.targets import host
from rushlight.compiler.templates import tiles

_STRIDES = tuple(f"{array}_{level}" for array in ("q", "k", "v", "out", "mask") for level in ("b", "h", "t"))
SIZES = ("batch", "heads", "group", "tq", "tk", "d", "e", "kind", "causal", "scale", "keep_scale")
FIELDS = (*SIZES, *_STRIDES, "chunk", "chunks", "block")
ARRAYS = ("out", "lse", "q", "k", "v", "mask", "kept")
DATA = 16                       # PyArrayObject.data
TASK = [("ptr", "context"), ("i64", "begin"), ("i64", "end")]
_PARALLEL_FROM = 1 << 16        # multiply-adds
_INF = float("inf")


@cache
def kernel(dtype):
    """The forward function for a dtype's name."""
    return load("attention", dtype, module_text, "rl_attention")


def load(key, dtype, build, entry):
    """The entry of a module that multiplies by ``tiles`` and shares out tasks."""
    from rushlight.runtime import cpu, native

    known = native.symbols()
    imports = {s: known[s] for s in ("rl_parallel_for", "rl_scratch", "rl_free")}
    imports |= tiles.symbols(compute_type(dtype))
    found = native.load(f"{key} {dtype} {cpu.vector_bytes()}", lambda: build(dtype), [entry], imports, 1)
    return native.callable_from(found[entry], entry)


def compute_type(dtype):
    return "double" if dtype == "float64" else "float"


class Job:
    """A task's function: element types, the words of the job by name, vector idioms."""

    def __init__(self, f, dtype, arrays, fields, context=None):
        self.f, self.dtype = f, dtype
        self.element = compute_type(dtype)
        self.item = tiles.ITEM[self.element]
        self.memory = MEMORY[dtype]
        self.size = 2 if dtype in ("bfloat16", "float16") else self.item
        self.shape = tiles.shape(self.element)
        self.lanes, self.mr, self.nr = self.shape.lanes, self.shape.mr, self.shape.nr
        self.vector = vector(self.element, self.lanes)
        self.context = f.args[0] if context is None else context
        self.failed = 8 * (len(arrays) + len(fields))
        for k, name in enumerate((*arrays, *fields)):
            setattr(self, name, f.load("ptr" if name in arrays else "i64", self.context + 8 * k))

    @property
    def half(self):
        return self.size == 2

    def number(self, bits):
        """A word that holds a double, as a vector of equal elements."""
        value = bits.cast("bitcast", "double")
        value = value if self.element == "double" else value.cast("fptrunc", "float")
        return self.f.splat(value, self.lanes)

    def iota(self):
        lanes = self.lanes
        return Value(self.f, "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">", f"<{lanes} x i32>")

    def below(self, n):
        """The lanes before the n-th."""
        return self.iota() < self.f.splat(n.cast("trunc", "i32"), self.lanes)

    def load(self, place):
        return self.f.load(self.vector, place, align=self.item)

    def store(self, value, place):
        self.f.store(value, place, align=self.item)

    def masked_store(self, value, place, mask):
        f = self.f
        kind = value.type
        element = kind[1:-1].split(" x ")[1]
        short = {"float": "f32", "double": "f64", "half": "f16"}.get(element, element)
        name = f"llvm.masked.store.v{self.lanes}{short}.p0"
        f.module.declared[name] = f"declare void @{name}({kind}, ptr, {mask.type})"
        f.line(f"call void @{name}({kind} {value.name}, ptr align 1 {place.name}, {mask.type} {mask.name})")

    def larger(self, a, b):
        """The greater; the second where either is NaN."""
        return self.f.select(a > b, a, b)

    def across(self, value, combine):
        """One vector's elements combined by a tree, as a scalar."""
        f, width = self.f, self.lanes
        while width > 2:
            half = width // 2
            value = combine(f.shuffle(value, value, range(half)), f.shuffle(value, value, range(half, width)))
            width = half
        return combine(f.extract(value, 0), f.extract(value, 1))

    def row_bytes(self, n):
        """Bytes of a row of n elements in scratch memory: whole vectors and one more, so that rows don't alias."""
        lanes = self.lanes
        return ((n + (lanes - 1)) & -lanes) * self.item + 64

    def exp(self, x):
        """exp of numbers that aren't much above zero; -inf gives 0."""
        f, form = self.f, math.format_of(x)
        x = math.clamp(f, x, form.exp_range[0], None)
        i, n, r, p = math._exp_reduced(f, x)
        return math.scale(f, f.fma(r * r, p, r) + 1.0, i, n)

    def scratch(self, nbytes):
        """Memory of this thread's, aligned; returns from the function if there is none."""
        f = self.f
        block = f.call("ptr", "rl_scratch", nbytes)
        with f.if_(block.eq(Value(f, "null", "ptr"))):
            f.store(f.value(1), self.context + self.failed)
            f.ret()
        return block, f.load("ptr", block)

    def turned(self, src, stride, n, depth, dst):
        """Strips of a matrix's transpose: n rows of ``depth`` elements become columns."""
        f, width = self.f, self.nr
        with f.range(0, n, step=width) as first:
            f.call("void", "rl_strip", src + first * stride, stride, f.value(self.item), depth,
                   f.minimum(n - first, f.value(width)), f.value(width), dst + first * depth * self.item, declare=False)

    def fetch(self, src, stride, rows, n, dst, to):
        """Rows of n elements of memory as rows of the compute type, ``to`` bytes apart."""
        self.f.call("void", "rl_fetch", src, stride, rows, n, dst, to, declare=False)

    def product(self, m, n, k, a, ars, acs, b, brs, bss, c, crs, beta):
        f = self.f
        f.call("void", "rl_block", *(f.value(x) for x in (m, n, k, a, ars, acs, b, brs, bss, c, crs, beta)),
               declare=False)


def write_rows(m, dtype):
    """rl_fetch(src, stride, rows, n, dst, to) and rl_put, which goes the other way.

    What follows a fetched row up to a whole vector is zero; nothing past a row is written by ``rl_put``.
    """
    params = [("ptr", "src"), ("i64", "stride"), ("i64", "rows"), ("i64", "n"), ("ptr", "dst"), ("i64", "to")]
    for name in ("rl_fetch", "rl_put"):
        f = m.function(name, "void", params, "internal", "nounwind")
        src, stride, rows, n, dst, to = f.args
        j = Job(f, dtype, (), (), src)
        kind, whole = vector(j.memory, j.lanes), n & -j.lanes
        fetching = name == "rl_fetch"
        tail = j.below(n - whole)
        with f.range(rows) as r:
            here, there = src + r * stride, dst + r * to

            def move(at, mask=None):
                if fetching:
                    place = here + at * j.size
                    x = f.load(kind, place, align=j.size) if mask is None else f.masked_load(kind, place, mask)
                    j.store(widen(x, dtype), there + at * j.item)
                else:
                    x, place = narrow(f, j.load(here + at * j.item), dtype), there + at * j.size
                    if mask is None:
                        f.store(x, place, align=j.size)
                    else:
                        j.masked_store(x, place, mask)

            with f.range(0, whole, step=j.lanes) as at:
                move(at)
            with f.if_(whole < n):
                move(whole, tail)
        f.ret()


def score_rows(j, s, pitch, rows, limit, own, mask, block_row):
    """Each row's scores in place: scaled, masked, -inf from the row's own limit on.

    ``own(r)`` is the number of keys row r may see here, ``mask`` the place of the mask of row 0 (its rows are
    ``mask_t`` bytes apart). ``block_row(r, place, loop)`` is called once a row; ``loop(body)`` runs body(offset,
    vector of scores, lanes that count) over the row's vectors.
    """
    f = j.f
    scale, none = j.number(j.scale), f.value(-_INF, j.vector)
    with f.range(rows) as r:
        place, seen, at = s + r * pitch, own(r), mask + r * j.mask_t

        def loop(body):
            def vectors(kind):
                with f.range(0, limit, step=j.lanes) as c:
                    x = j.load(place + c * j.item) * scale
                    valid = j.below(seen - c)
                    if kind == 1:
                        x = x + f.masked_load(j.vector, at + c * j.item, valid)
                    elif kind == 2:
                        valid = valid & f.masked_load(vector("i8", j.lanes), at + c, valid).ne(0)
                    body(c, f.select(valid, x, none), valid)
            with f.if_else(j.kind.eq(0)) as (plain, other):
                with plain:
                    vectors(0)
                with other, f.if_else(j.kind.eq(1)) as (added, chosen):
                    with added:
                        vectors(1)
                    with chosen:
                        vectors(2)
        block_row(r, place, loop)


def keeping(j, h, i, first):
    """The factors of dropout: (place of row 0's first byte, factor(place, lanes))."""
    f = j.f
    place = j.kept + ((h * j.tq + i) * j.tk + first)
    scale, zero = j.number(j.keep_scale), f.value(0.0, j.vector)

    def factor(at, valid):
        return f.select(f.masked_load(vector("i8", j.lanes), at, valid).ne(0), scale, zero)
    return place, factor


def module_text(dtype):
    """The IR of the entry and its task."""
    m = new_module()
    write_rows(m, dtype)
    _task(m, dtype)
    write_entry(m, "rl_attention", ARRAYS, FIELDS, lambda j: (j.batch * j.heads * j.chunks,
                                                              j.batch * j.heads * j.tq * j.tk * (j.d + j.e)), dtype)
    return m.text()


def new_module():
    m = Module(host().triple)
    m.globals.append("@_Py_NoneStruct = external global i8")
    tiles.declare(m)
    return m


def _task(m, dtype):
    """Tile: a chunk of queries of one head."""
    f = m.function("rl_attention_task", "void", TASK, "internal", "nounwind")
    j = Job(f, dtype, ARRAYS, FIELDS)
    item, mr, nr, lanes = j.item, j.mr, j.nr, j.lanes
    q_pitch, v_pitch, s_pitch = j.row_bytes(j.d), j.row_bytes(j.e), j.row_bytes(j.block)
    each = -(-mr // lanes) * lanes * item           # bytes of a panel's maxima
    strips = (j.block + (nr - 1)) & -nr
    sizes = {"kt": strips * j.d * item, "vs": j.block * v_pitch, "qs": q_pitch * mr, "s": s_pitch * mr,
             "stats": (j.chunk.udiv(mr) + 1) * (2 * each)}
    if j.half:
        sizes |= {"ks": j.block * q_pitch, "acc": j.chunk * v_pitch}
    total = f.value(0)
    places = {}
    for name, nbytes in sizes.items():
        places[name] = total
        total = total + ((nbytes + 63) & -64)
    block, base = j.scratch(total)
    kt, vs, qs, s, stats = (base + places[n] for n in ("kt", "vs", "qs", "s", "stats"))
    causal = j.causal.ne(0)
    maxima, sums, scales = (f.buffer(each) for _ in range(3))
    null = Value(f, "null", "ptr")
    dropped = j.kept.ne(null)
    none, zero = f.value(-_INF, j.vector), f.value(0.0, j.vector)
    with f.range(f.args[1], f.args[2]) as tile:
        bh = tile.udiv(j.chunks)
        b, h = bh.udiv(j.heads), bh.urem(j.heads)
        hk = h.udiv(j.group)
        q, k = j.q + (b * j.q_b + h * j.q_h), j.k + (b * j.k_b + hk * j.k_h)
        v, out = j.v + (b * j.v_b + hk * j.v_h), j.out + (b * j.out_b + h * j.out_h)
        mask, lse = j.mask + (b * j.mask_b + h * j.mask_h), j.lse + bh * j.tq * item
        q0 = tile.urem(j.chunks) * j.chunk
        q1 = f.minimum(q0 + j.chunk, j.tq)
        end = f.select(causal, f.minimum(j.tk, q1), j.tk)
        with f.range(0, end, step=j.block) as key:
            keys = f.minimum(j.block, end - key)
            if j.half:
                j.fetch(k + key * j.k_t, j.k_t, keys, j.d, base + places["ks"], q_pitch)
                j.turned(base + places["ks"], q_pitch, keys, j.d, kt)
            else:
                j.turned(k + key * j.k_t, j.k_t, keys, j.d, kt)
            j.fetch(v + key * j.v_t, j.v_t, keys, j.e, vs, v_pitch)
            first = f.splat(key.eq(0), lanes)
            with f.range(q0, q1, step=mr) as i:
                rows = f.minimum(f.value(mr), q1 - i)
                most = f.select(causal, f.minimum(end, i + rows), end)      # keys this panel sees in all
                limit = f.minimum(keys, most - key)
                with f.if_(limit > 0):
                    j.fetch(q + i * j.q_t, j.q_t, rows, j.d, qs, q_pitch)
                    j.product(rows, limit, j.d, qs, q_pitch, item, kt, nr * item, j.d * (nr * item), s, s_pitch, 0)
                    panel = stats + (i - q0).udiv(mr) * (2 * each)
                    kept, factor = keeping(j, bh, i, key)

                    def own(r):
                        return f.select(causal, f.minimum(limit, i + r + 1 - key), limit)

                    def softmax(r, place, loop):
                        top = f.var(j.vector, none)

                        def maximum(c, x, valid):
                            j.store(x, place + c * item)
                            top.set(j.larger(x, top.get()))
                        loop(maximum)
                        old = f.select(key.eq(0), f.value(-_INF, j.element), f.load(j.element, panel + r * item))
                        new = j.larger(j.across(top.get(), j.larger), old)
                        f.store(new, maxima + r * item)
                        base_ = f.splat(f.select(new.eq(-_INF), f.value(0.0, j.element), new), lanes)
                        total = f.var(j.vector, zero)

                        def weights(drop):
                            at, seen = kept + r * j.tk, own(r)
                            with f.range(0, limit, step=lanes) as c:
                                p = j.exp(j.load(place + c * item) - base_)
                                total.set(total.get() + p)
                                if drop:
                                    p = p * factor(at + c, j.below(seen - c))
                                j.store(p, place + c * item)
                        with f.if_else(dropped) as (some, whole):
                            with some:
                                weights(True)
                            with whole:
                                weights(False)
                        f.store(j.across(total.get(), lambda a, b: a + b), sums + r * item)
                    score_rows(j, s, s_pitch, rows, limit, own, mask + (i * j.mask_t + key * _mask_item(j)), softmax)
                    _update(j, panel, maxima, sums, scales, first, each)
                    if j.half:
                        to, to_pitch = base + places["acc"] + (i - q0) * v_pitch, v_pitch
                    else:
                        to, to_pitch = out + i * j.out_t, j.out_t
                    with f.if_(key > 0):
                        _scale_rows(j, to, to_pitch, rows, scales)
                    beta = f.emit("i64", f"zext i1 {(key > 0).name} to i64")
                    j.product(rows, j.e, limit, s, s_pitch, item, vs, v_pitch, nr * item, to, to_pitch, beta)
                    with f.if_(key + limit >= most):
                        _finish(j, panel, scales, lse + i * item, rows, each)
                        _scale_rows(j, to, to_pitch, rows, scales)
                        if j.half:
                            f.call("void", "rl_put", to, to_pitch, rows, j.e, out + i * j.out_t, j.out_t,
                                   declare=False)
    f.call("void", "rl_free", block)
    f.ret()


def _mask_item(j):
    """Bytes of an element of the mask."""
    return j.f.select(j.kind.eq(2), j.f.value(1), j.f.value(j.item))


def _update(j, panel, maxima, sums, scales, first, each):
    """A panel's running maxima and sums, and the factors for what has been added up so far."""
    f, step = j.f, j.lanes * j.item
    zero, none = f.value(0.0, j.vector), f.value(-_INF, j.vector)
    for at in range(0, each, step):
        old, new = f.select(first, none, j.load(panel + at)), j.load(maxima + at)
        factor = j.exp(old - f.select(new.eq(-_INF), zero, new))
        total = f.select(first, zero, j.load(panel + (each + at)))
        j.store(f.fma(total, factor, j.load(sums + at)), panel + (each + at))
        j.store(new, panel + at)
        j.store(factor, scales + at)


def _finish(j, panel, scales, lse, rows, each):
    """log of the sum, and the factors that make sums means."""
    f, lanes = j.f, j.lanes
    for at in range(0, each, lanes * j.item):
        top, total = j.load(panel + at), j.load(panel + (each + at))
        empty = total.eq(0.0)
        j.store(f.select(empty, f.value(0.0, j.vector), 1.0 / total), scales + at)
        j.masked_store(top + math.log(f, total), lse + at, j.below(rows - at // j.item))


def _scale_rows(j, place, pitch, rows, scales):
    """Rows of e elements times their factors; skipped where that is 1."""
    f, lanes = j.f, j.lanes
    whole = j.e & -lanes
    tail = j.below(j.e - whole)
    with f.range(rows) as r:
        factor = f.load(j.element, scales + r * j.item)
        with f.if_(factor.compare("une", "ne", 1.0)):
            row, by = place + r * pitch, f.splat(factor, lanes)
            with f.range(0, whole, step=lanes) as c:
                j.store(j.load(row + c * j.item) * by, row + c * j.item)
            with f.if_(whole < j.e):
                at = row + whole * j.item
                j.masked_store(f.masked_load(j.vector, at, tail) * by, at, tail)


def write_entry(m, name, arrays, fields, plan, dtype):
    """PyObject *name(self, args, n): the arrays (or None), then the words; ``plan(job)``: (tiles, multiply-adds)."""
    f = m.function(name, "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n")])
    args, none = f.args[1], Value(f, "@_Py_NoneStruct", "ptr")
    count = len(arrays) + len(fields)
    context = f.buffer(8 * (count + 1), 8)
    for k in range(len(arrays)):
        array, data = f.load("ptr", args + 8 * k), f.var("ptr", Value(f, "null", "ptr"))
        with f.if_(array.ne(none)):
            data.set(f.load("ptr", array + DATA))
        f.store(data.get(), context + 8 * k)
    words = f.load("ptr", f.load("ptr", args + 8 * len(arrays)) + DATA)
    for k in range(len(fields)):
        f.store(f.load("i64", words + 8 * k), context + 8 * (len(arrays) + k))
    f.store(f.value(0), context + 8 * count)
    tiles_, work = plan(Job(f, dtype, arrays, fields, context))
    task = Value(f, f"@{name}_task", "ptr")
    with f.if_else(work < _PARALLEL_FROM) as (small, large):
        with small:
            f.call("void", task, context, f.value(0), tiles_)
        with large:
            state = f.call("ptr", "PyEval_SaveThread")
            f.call("void", "rl_parallel_for", task, context, tiles_)
            f.call("void", "PyEval_RestoreThread", state)
    with f.if_(f.load("i64", context + 8 * count).ne(0)):
        f.ret(f.call("ptr", "PyErr_NoMemory"))
    f.call("void", "Py_IncRef", none)
    f.ret(none)
