"""A tape as a function: straight Python code that calls the tape's kernels one after another.

Memory that the call makes and that nobody sees afterwards has fixed places, shared by what doesn't live at the same
time, if it is small: what is `LARGE` is allocated when it is first written and freed after its last use, so that it
takes no memory between calls. What leaves the call, its results and gradients, is fresh each time.
"""

import math
from contextlib import nullcontext

import numpy as np

from ..autograd.modes import state
from ..autograd.node import FREED, Node
from ..compiler import available
from ..ops.pointwise.core import strided_array
from ..runtime.allocator import empty
from ..runtime.threadpool import get_num_threads
from ..tensor.storage import make_storage
from ..tensor.tensor import assemble, make_view
from .decisions import number, restore
from .numbers import Live
from .numbers import text as wording
from .passes.direct import direct
from .passes.early import early
from .passes.epilogues import epilogues
from .passes.flow import Flow, dense, is_dense
from .passes.fuse import fuse
from .passes.horizontal import horizontal, sums
from .passes.image_prologues import image_prologues
from .passes.joined import joined
from .passes.layout import layouts
from .passes.norms import norms
from .passes.planned import convolutions, pack
from .passes.pools import pools
from .passes.prologues import prologues
from .passes.recompute import overwritable, recompute
from .passes.rename import rename
from .passes.schedule import schedule
from .passes.simplify import simplify
from .statements import TOGETHER, line
from .statements import text as python_of
from .tape import ARGUMENT, CONSTANT, MADE, OLDER, Window, rows_of, windows
from .unify import Trace
from .words import translated

_ndarray = np.ndarray
_U8 = np.dtype(np.uint8)
ALIGNMENT = 64
LARGE = 1 << 17             # bytes


class Spent(Node):
    """History of a result whose backward pass was part of the compiled call."""

    __slots__ = ()

    def apply(self, grads):
        raise RuntimeError(FREED)


def extent(w):
    """Elements from the first to the last of a window, included."""
    return 0 if 0 in w.shape else 1 + sum((s - 1) * t for s, t in zip(w.shape, w.strides))


class Arena:
    """Places for memory with known times of life: the first free stretch that is long enough."""

    def __init__(self):
        self.taken, self.size = [], 0           # taken: (begin, end, last step)

    def place(self, nbytes, first, last):
        """Offset of `nbytes` that are used from step `first` to step `last`."""
        nbytes = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        begin = 0
        for b, e, until in sorted(self.taken):
            if until < first:
                continue
            if b - begin >= nbytes:
                break
            begin = max(begin, e)
        self.taken = [t for t in self.taken if t[2] >= first]
        self.taken.append((begin, begin + nbytes, last))
        self.size = max(self.size, begin + nbytes)
        return begin


class Program:
    """``call(*arguments)`` runs it: a builtin function, or Python's where there is none.

    arguments, statements (see `statements`), scope: what it does, `text` in Python; marks: each step with the number of
    the line after it; map: (name, offset, bytes, first and last step) of what lies in the arena, which has
    `arena_bytes`; unified: whether its steps are those of programs of other sizes.
    """

    __slots__ = ("call", "arguments", "statements", "scope", "marks", "map", "arena_bytes", "kept", "tells", "unified")

    def __init__(self, arguments, statements, scope, marks, places, arena_bytes, unified):
        self.unified = unified
        self.arguments, self.statements, self.scope = arguments, statements, scope
        self.marks, self.map, self.arena_bytes = marks, places, arena_bytes
        found = translated(arguments, statements, scope) if available() else None
        self.call, self.kept = (python(self.text, scope), None) if found is None else found
        self.tells = False              # whether a profiler listens

    @property
    def text(self):
        return "\n    ".join([f"def run({', '.join(self.arguments)}):", *map(line, self.statements)])


def python(text, scope):
    """The text's function."""
    exec(compile(text, f"{__file__}: program", "exec"), scope)
    return scope["run"]


def stepwise(program, first, after, scope):
    """The program in Python, with the statement `first` before its first step and ``after(i)`` after step i."""
    head, *lines = program.text.split("\n")
    text, at = [first], 0

    def some(begin, end):
        # (What runs together elsewhere runs one after another here.)
        return [x.strip() for x in lines[begin:end] if x.strip() != TOGETHER]
    for i, (_, end) in enumerate(program.marks):
        text += [*some(at, end), after(i)]
        at = end
    text += some(at, None)
    return python(head + "\n    " + "\n    ".join(text), {**program.scope, **scope})


class Writer:
    """Writes the function of one tape; `leaving` are the tensors in the call's result, in order."""

    def __init__(self, tape, leaving, spent, kin=None):
        self.tape, self.leaving, self.spent = tape, leaving, spent
        self.scope = {"math": math, "view": _view, "storage": make_storage, "assemble": assemble, "spent": _spent,
                      "resolved": _resolved, "part": _part, "asarray": np.asarray, "pending": _pending,
                      "number": number, "restore": restore, "leaf": _leaf, "sparse": _sparse,
                      "together": nullcontext()}
        self.undo = ""
        self.lines, self.names, self.fixed = [], {}, {}
        self.shape_of, self.visible, self.marks, self.gone = {}, set(), [], set()
        self.map = []
        self.steps = tape.steps
        self._scan()
        groups = self._unified(kin)
        if not state.grad:
            pack(self.steps, Flow(self.steps, self.visible))
        # Steps that run together are of one time.
        self.first_of, self.last_of = list(range(len(self.steps))), list(range(len(self.steps)))
        for first, last in groups:
            self.first_of[first:last + 1] = [first] * (last + 1 - first)
            self.last_of[first:last + 1] = [last] * (last + 1 - first)
        self._scan()

    def _unified(self, kin):
        """Take the steps of known programs of other sizes, or make the passes; (first, last) of those that run
        together."""
        trace = None if kin is None else Trace(self.steps, self.visible)
        found = None if kin is None else kin.unified(trace, self._number, self.tape.constants)
        self.unified = found is not None
        if self.unified:
            self.steps, groups = found
            return groups
        groups = self._passes()
        if kin is not None:
            kin.learned(trace, self.steps, groups)
        return groups

    def _passes(self):
        self.steps = simplify(rename(self.steps, self.visible, self._number), self.visible, self.tape.constants)
        self.steps = layouts(self.steps, self.visible, self._number)
        self.steps = norms(self.steps, self.visible)
        self.steps = pools(self.steps, self.visible, self._number)
        self.steps = sums(convolutions(direct(joined(self.steps, self.visible))), self.visible)
        self._scan()
        began = {}
        for step in self.steps:
            for touched in step.touches:
                for b in touched:
                    began.setdefault(b, step)
        self.steps = fuse(self.steps, self.visible, lambda step: began[id(step.outs[0].buffer)] is step)
        self.steps = recompute(early(self.steps, self.visible), self.visible, self._number)
        self.steps = prologues(self.steps, self.visible)
        self.steps = image_prologues(self.steps, self.visible, self._number)
        self.steps = horizontal(epilogues(self.steps, self.visible, self._number), self.visible)
        self.steps, groups = schedule(self.steps, get_num_threads())
        return groups

    def _number(self):
        self.tape.made_count += 1
        return self.tape.made_count - 1

    def _scan(self):
        """When each buffer is first and last used, and which leave the call."""
        self.first, self.last = {}, {}
        for i, step in enumerate(self.steps):
            for touched in step.touches:
                for b in touched:
                    self.first.setdefault(b, i)
                    self.last[b] = i
            if step.kind == "grad":
                self.visible |= {id(w.buffer) for w in step.reads}
        for t in self.leaving:
            self.visible.add(id(self.tape.buffer(t)))

    def name(self, value, hint="k"):
        """A name in the function's scope for an object."""
        key = id(value)
        if key not in self.names:
            n = f"{hint}{len(self.names)}"
            self.names[key] = n
            self.scope[n] = value
        return self.names[key]

    def write(self):
        """The `Program`: its call gives a list of the tensors that leave."""
        tape = self.tape
        arena = Arena()
        places = {}
        for i, step in enumerate(self.steps):
            for w in windows(step.outs) if step.kind in ("pointwise", "into") else ():
                b = id(w.buffer)
                nbytes = extent(w) * w.dtype.itemsize
                if w.buffer.origin is MADE and self.first[b] == i and b not in self.visible and nbytes < LARGE:
                    first, last = self.first_of[i], self.last_of[self.last[b]]
                    places[b] = arena.place(nbytes, first, last)
                    self.map.append((repr(w.buffer), places[b], nbytes, first, last))
        memory = empty((arena.size + ALIGNMENT,), _U8)
        start = -memory.ctypes.data % ALIGNMENT
        self.arena_bytes = arena.size
        for b, offset in places.items():
            self.fixed[b] = memory[start + offset:start + arena.size]
        for b in tape.constants:
            if b.written or id(b) in self.visible:
                self.lines.append(("set", self._base(b), f"{self.name(b.initial)}.copy()"))
            else:
                b.initial.flags.writeable = False
        lasting = self.visible | self.fixed.keys()
        for i, step in enumerate(self.steps):
            self.now, begin = i, len(self.lines)
            getattr(self, f"_{step.kind}")(step)
            if self.first_of[i] != self.last_of[i]:
                self._together(i, begin)
            for k in range(self.first_of[i], i + 1) if self.last_of[i] == i else ():
                for b in {id(w.buffer): w.buffer for w in self.steps[k].windows()}.values():
                    if b.origin is MADE and self.last[id(b)] == k and id(b) not in lasting:
                        self.lines.append(("free", self._base(b)))
            self.marks.append((step, len(self.lines)))
        for b in tape.buffers.values():
            for storage, n in b.raised.values() if b.origin in (ARGUMENT, OLDER) else ():
                if storage is b.first and b.origin is ARGUMENT:
                    self.lines.append(("given", f"a{b.key}", n))
                elif b.origin is OLDER:
                    self.lines.append(("changed", self.name(storage, "s"), n))
        results = [self._tensor(t) for t in self.leaving]
        self.lines.append(("return", results))
        arguments = [*[f"a{i}" for i in range(len(tape.arguments))], *[f"p{i}" for i in sorted(tape.live)]]
        return Program(arguments, self.lines, self.scope, self.marks, self.map, arena.size, self.unified)

    def _together(self, i, begin):
        """Put what step i needs before the block of the steps that run with it, and its call at the block's end."""
        *before, call = self.lines[begin:]
        if i == self.first_of[i]:
            self.block = begin + len(before)
            self.lines[begin:] = [*before, TOGETHER, ("beside", call[1])]
        else:
            self.lines[begin:] = [("beside", call[1])]
            self.lines[self.block:self.block] = before
            self.block += len(before)
            for k in range(self.first_of[i], i):
                self.marks[k] = self.marks[k][0], self.marks[k][1] + len(before)

    # ------------------------------------------------------------ steps

    def _pointwise(self, step):
        for out in windows(step.outs):
            b = out.buffer
            if b.origin is MADE and id(b) not in self.fixed and id(b) not in self.shape_of:
                taken = self._taken(step, out)
                self.lines.append(("set", self._base(b), self._fresh(out) if taken is None else self._base(taken)))
                self.shape_of[id(b)] = out
        args = [self._array(x) for x in (*step.outs, *step.args)]
        self.lines.append(("do", ("call", self.name(step.call), args)))

    def _taken(self, step, out):
        """A buffer that is of no use after a step that goes by elements: its result may take that operand's place."""
        for w in overwritable(step):
            b, made = w.buffer, self.shape_of.get(id(w.buffer))
            if b.origin is MADE and made is not None and id(b) not in self.visible and id(b) not in self.fixed and \
                    id(b) not in self.gone and self.last[id(b)] == self.now and self._alone(b) and \
                    w.key()[1:5] == out.key()[1:5] == made.key()[1:5] and \
                    all(o.key() == w.key() for o in windows(step.args) if o.buffer is b):
                self.gone.add(id(b))
                return b
        return None

    def _alone(self, b):
        """Whether none of the steps that run with this one knows the buffer."""
        return all(w.buffer is not b for k in range(self.first_of[self.now], self.last_of[self.now] + 1)
                   if k != self.now for w in self.steps[k].windows())

    def _fresh(self, w):
        n = 1
        dense = True
        for s, t in zip(reversed(w.shape), reversed(w.strides)):
            dense &= t == n or s == 1
            n *= s
        make = self.name(empty if dense else strided_array, "new")
        middle = () if dense else (("literal", w.strides),)
        return "call", make, [("literal", w.shape), *middle, self.name(w.dtype)]

    _into = _pointwise

    def _kernel(self, step):
        args = [self._array(a) for a in step.args]
        outs = step.outs
        names = [self._base(w.buffer) if w is not None else "_" for w in outs]
        for w in outs:
            if w is not None:
                self.shape_of[id(w.buffer)] = w
        call, many = ("call", self.name(step.call), args), bool(step.detail[0])
        self.lines.append(("parts", names, call, many) if many or len(names) != 1 else ("set", names[0], call))
        for n, w in zip(names, outs):
            if w is not None and w.shape == ():
                self.lines.append(("set", n, ("call", "asarray", [n])))     # kernels may give NumPy's scalars

    def _draw(self, step):
        w = step.outs[0]
        self.shape_of[id(w.buffer)] = w
        self.lines.append(("set", self._base(w.buffer), ("call", self.name(step.call), [])))

    def _write(self, step):
        args = [self._array(w) for w in (*step.outs, *step.args)]
        self.lines.append(("do", ("call", self.name(step.call), args)))

    def _thunk(self, step):
        given = step.args if step.detail is not None else ()
        self.lines.append(("do", ("call", self.name(step.call), [self._array(x) for x in given])))

    def _grad(self, step):
        leaf = self._object(step.call)
        w = step.args[0]
        self.lines.append(("gradient", leaf, ("literal", None) if w is None else self._tensor(step.detail)))

    def _keep(self, step):
        kept, lists = step.detail, [[], [], [], [], []]
        of = [[(python_of(self._plain(w)), ".copy()") for w in step.args],
              [(self._object(x), "._grad") for x in kept.leaves],
              [(self.name(g, "g"), ".state_bytes()") for g in kept.generators],
              [(self.name(s, "s"), ".version") for s in kept.storages],
              [(self.name(p, "q"), ".value") for p in kept.places]]
        for pairs, found in zip(of, lists):
            for x, how in pairs:
                n = f"was{sum(map(len, lists))}"
                self.lines.append(("set", n, f"{x}{how}"))
                found.append(f"({x}, {n}), ")
        self.undo = f"restore({', '.join('(' + ''.join(found) + ')' for found in lists)}); "

    def _check(self, step):
        check, n = step.detail, len(step.args) - step.detail.sized
        numbers = [*[f"number({python_of(self._array(w))})" for w in step.args[:n]], *[f"p{i}" for i in check.places]]
        tests = [f"{self._base(w.buffer)}.shape != {w.shape!r}" for w in step.args[n:]]
        if numbers:
            tests.append(f"not {self.name(check.holds)}({', '.join(numbers)})")
        self.lines.append(f"if {' or '.join(tests)}: {self.undo}return None")

    # ------------------------------------------------------------ values

    def _base(self, b):
        """The variable that holds the whole memory of a buffer."""
        return f"{b.origin[0]}_{b.key}"

    def _object(self, t):
        """An expression for a tensor that is older than the call."""
        for i, a in enumerate(self.tape.arguments):
            if a is t:
                return f"a{i}"
        return self.name(t, "t")

    def _array(self, x):
        """An expression for an argument of a kernel."""
        if type(x) is list:
            return "list", [self._array(y) for y in x]
        if type(x) is Live:
            name = lambda n: repr(n) if type(n) is int else self.name(n, "v")
            number = wording(x.expression, "p{}".format, lambda i: f"{self.name(self.tape.fetched)}[{i}]", name)
            return f"{self.name(x.convert)}({number})"
        if not isinstance(x, Window):
            return ("literal", x) if type(x) in (int, bool, type(None)) else self.name(x, "v")
        plain = self._plain(x)
        return ("call", "resolved", [plain, ("literal", x.bits)]) if x.bits else plain

    def _plain(self, w):
        b, key = w.buffer, w.key()
        if id(b) in self.fixed or b.origin is OLDER or b.origin is CONSTANT and not b.written and \
                id(b) not in self.visible:
            if key not in self.names:
                self.names[key] = n = f"w{len(self.names)}"
                self.scope[n] = self._lasting(w)
            return self.names[key]
        if b.origin is ARGUMENT:
            a = self.tape.arguments[b.key]
            if _is_window(a, w):
                return "array", f"a{b.key}"
            if a._a.itemsize == w.dtype.itemsize:
                return "within", f"a{b.key}", self.name(w.dtype), w.shape, w.strides, w.offset - a._offset
            return "call", "view", [f"a{b.key}._storage.bytes()", self.name(w.dtype), ("literal", w.shape),
                                    ("literal", w.strides), self._offset(w)]
        made = self.shape_of.get(id(b))
        if made is not None and made.key()[1:5] == w.key()[1:5]:
            return self._base(b)
        if made is not None and made.dtype == w.dtype and made.offset == w.offset:
            # The array's own methods take a tenth of the time of a new window.
            if w.shape == made.shape[::-1] and w.strides == made.strides[::-1]:
                return "turned", self._base(b)
            if 0 not in w.shape and w.shape != made.shape and is_dense(made) and w.strides == dense(w.shape) and \
                    not w.bits and extent(w) == extent(made):
                # (The strides of sizes 1 are results', too.)
                return "reshaped", self._base(b), w.shape
        return "window", self._base(b), self.name(w.dtype), w.shape, w.strides, w.offset

    def _offset(self, w):
        """Where a window begins: arguments may begin elsewhere in their memory in each call."""
        b = w.buffer
        if b.origin is not ARGUMENT:
            return "literal", w.offset
        t = self.tape.arguments[b.key]
        if t._a.itemsize != w.dtype.itemsize:
            self.tape.pinned.add(b.key)
            return "literal", w.offset
        return f"a{b.key}._offset + {w.offset - t._offset}"

    def _lasting(self, w):
        """The array of a window on memory that stays where it is."""
        b = w.buffer
        if id(b) in self.fixed:
            memory = self.fixed[id(b)]
        elif b.origin is CONSTANT:
            memory = b.initial
        else:
            memory = b.tensor._storage.bytes()
        return _view(memory, w.dtype, w.shape, w.strides, w.offset)

    def _tensor(self, t):
        """An expression that makes (or names) the tensor `t` of the recorded call."""
        rows = rows_of(t)
        if rows is not None:
            left_out = t._a.whole[2] if t._a.whole is not None else None
            more = [("literal", t._a.coalesced), ("literal", left_out)]
            return "call", "sparse", [("literal", t._a.shape), *map(self._tensor, rows), *more]
        b = self.tape.buffer(t)
        w = self.tape.window(t)
        if b.origin in (ARGUMENT, OLDER):
            base = b.tensor
            if t is base or any(t is a for a in self.tape.arguments):
                return self._object(t)
            made = "call", "part", [self._object(base), ("literal", w.shape), ("literal", w.strides), self._offset(w),
                                    self.name(t.dtype), ("literal", w.bits)]
            return self._history(t, made)
        s = f"s_{self._base(b)}"
        if s not in self.names:
            self.names[s] = s
            self.lines.append(("set", s, ("call", "storage", [self._base(b)])))
        made = "call", "assemble", [self._plain(w), self.name(t.dtype), s, ("literal", t._offset)]
        if w.bits:
            made = "call", "pending", [made, ("literal", w.bits)]
        return self._history(t, made)

    def _history(self, t, made):
        """The expression of a tensor with the history that `t` has."""
        if t._requires_grad and t.grad_fn is None:
            return "call", "leaf", [made]
        return ("call", "spent", [made]) if self.spent and t.grad_fn is not None else made


def _view(memory, dtype, shape, strides, offset):
    item = dtype.itemsize
    if 0 in shape:
        offset = 0
    return _ndarray(shape, dtype, memory, offset * item, tuple([s * item for s in strides]))


def _part(base, shape, strides, offset, dtype, bits):
    """A view of a tensor older than the call, among the call's results."""
    t = make_view(base, shape, strides, offset, dtype)
    t._bits = base._bits & ~3 | bits
    return t


def _pending(t, bits):
    t._bits |= bits
    return t


def _resolved(a, bits):
    if bits & 1:
        a = np.conjugate(a)
    return np.negative(a) if bits & 2 else a


def _spent(t):
    node = Spent()
    node.edges, node.saved, node.ext, node.seq, node.outs = (), None, None, 0, ((t._a.shape, t.dtype),)
    t._grad_fn, t._requires_grad = node, True
    return t


def _sparse(*args):
    """A gradient of sparse rows."""
    from ..sparse.gradients import rows
    return rows(*args)


def _leaf(t):
    t._requires_grad = True
    return t


def _is_window(t, w):
    a = t._a
    item = a.itemsize
    return a.dtype == w.dtype and a.shape == w.shape and tuple([s // item for s in a.strides]) == w.strides and \
        t._offset == w.offset


def program(tape, leaving, spent=True, kin=None):
    """The function of a tape, which returns the tensors `leaving` (their histories all `spent`, or none).

    kin: what is known of the programs of other sizes (`unify.Kin`).
    """
    return Writer(tape, leaving, spent, kin).write()
