"""The tape of one call: which kernels ran on which windows of which memory, in order.

Recording happens while the call runs eagerly on its real data, forward, backward and optimizer alike, below autograd:
what is written down are kernels over arrays. Memory is known by the storages of tensors. A `Buffer` stands for the
memory of one storage: an argument's, that of a tensor older than the call (a parameter, say), or memory made by the
call. A `Window` is a typed, strided part of a buffer.

A tape may be that of a backward pass (`forward` is the tape of the forward pass): what it finds of the latter's memory
becomes arguments of its own, `saved`.

Ops that tell nothing show by what they leave: tensors made by nobody, versions raised by nobody. Such a tape has a
`failure` and is of no use.
"""

import os
import sys
from threading import get_ident
from weakref import ref

import numpy as np

from ..autograd.modes import state
from ..autograd.node import next_seq
from ..devices import sparse_coo
from ..tensor import watch
from ..tensor.storage import MetaArray
from ..tensor.tensor import Tensor, wrap
from .listening import Told, end
from .numbers import Live, Seen, places_of, plain, reads_of
from .unattended import calls_nobody

_ndarray = np.ndarray
ARGUMENT, OLDER, MADE, CONSTANT = "argument", "older", "made", "constant"
ANYTHING = object()
MOST = 20_000                                   # results of kernels in one program
NO_KERNELS = ("grad", "keep", "check")          # kinds of steps that compute nothing
_HOME = __file__[:__file__.rindex("capture")]
_OPS = f"{__name__.partition('.')[0]}.ops."


class Buffer:
    """Memory of one storage. `tensor`: one on it (None if MADE); `key`: index among the buffers of its origin.

    The storage is kept, so that its memory isn't used for another tensor while the tape is written. source: of a
    constant that the passes make, as `Step.source`.
    """

    __slots__ = ("origin", "tensor", "storage", "key", "initial", "written", "first", "raised", "source")

    def __init__(self, origin, tensor, key):
        self.origin, self.key = origin, key
        self.tensor = None if origin is MADE else tensor
        self.storage = tensor._storage.block()
        self.initial = None
        self.written = 0
        # (of memory that the call makes: kept once, see `Tape.keeps`)
        self.first = None if origin is MADE else tensor._storage
        self.raised = {}                        # id -> (storage, how often its version went up)

    def __repr__(self):
        return f"{self.origin}{self.key}"


class Window:
    """Part of a buffer: NumPy dtype, shape, strides and offset in elements, pending bits."""

    __slots__ = ("buffer", "dtype", "shape", "strides", "offset", "bits")

    def __init__(self, buffer, dtype, shape, strides, offset, bits):
        self.buffer, self.dtype, self.shape = buffer, dtype, shape
        self.strides, self.offset, self.bits = strides, offset, bits

    def key(self):
        """Equal for equal windows."""
        return id(self.buffer), self.dtype, self.shape, self.strides, self.offset, self.bits

    def __repr__(self):
        return f"{self.buffer!r}{list(self.shape)}"


class Step:
    """One kernel of a tape.

    kind: ``kernel`` (``call(*args)`` returns fresh arrays, `outs`), ``pointwise`` (``call(*outs, *args)``), ``into``
    (likewise, other kernels), ``write`` (``call(*outs, *args)`` changes them), ``grad`` (`call` is a leaf whose
    ``.grad`` becomes args[0]), ``draw`` (``call()`` returns an array), ``thunk`` (``call()`` does it all, or
    ``call(*args)`` if there is a detail), ``keep`` and ``check`` (see `decisions`).
    args: windows, lists of windows, and plain values. detail: of ``kernel``, (whether it returns a tuple, `direct`); of
    ``pointwise``, its launch; of ``into``, positions of operands that results may overwrite, as it goes by elements.
    reads, writes: the windows among the arguments and the results; touches: ids of the buffers that it writes, and of
    those that it reads. source: (function, values) of a step with parts that are made for its sizes:
    ``function(*values)`` gives the step, of values of other sizes its like (`unify`). A step stays as it is.
    """

    __slots__ = ("kind", "label", "call", "args", "outs", "detail", "reads", "writes", "touches", "source")

    def windows(self):
        """All windows among the arguments and results."""
        return [*self.reads, *self.writes]

    def __init__(self, kind, label, call, args, outs, detail=None, source=None):
        self.kind, self.label, self.call, self.args, self.outs, self.detail = kind, label, call, args, outs, detail
        self.source = source
        self.reads, self.writes = reads, writes = windows(args), windows(outs)
        self.touches = {id(w.buffer): None for w in writes}, {id(w.buffer): None for w in reads}

    def __repr__(self):
        if self.kind == "grad":
            return f"gradient{list(self.call._a.shape)} = {self.args[0]!r}"
        made = f"{', '.join(map(repr, self.outs))} = " if self.outs else ""
        return f"{made}{self.label}({', '.join(map(repr, self.args))})"


def place_of_user():
    """`` (at file:line)`` of the innermost frame outside of this package; nothing if there is none."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_HOME):
        if frame.f_code.co_name == "_learn":
            return ""
        frame = frame.f_back
    return "" if frame is None else f" (at {frame.f_code.co_filename}:{frame.f_lineno})"


def windows(values):
    """The windows in a list of values, also those in lists; the last first."""
    found, lists = [], False
    for x in values:
        kind = type(x)
        if kind is Window:
            found.append(x)
        elif kind is list:
            lists = True
            found.append(x)
    if lists:
        found = [w for x in found for w in ((x,) if type(x) is Window else reversed(windows(x)))]
    found.reverse()
    return found


def _extent(t):
    """(first byte, byte after the last) of a tensor in its memory."""
    a = t._a
    begin = t._offset * a.itemsize
    return begin, begin + (a.itemsize + sum((n - 1) * s for n, s in zip(a.shape, a.strides)) if a.size else 0)


def _meet(t, other):
    (a, b), (c, d) = _extent(t), _extent(other)
    return a < d and c < b


def rows_of(t):
    """The tensors that a sparse gradient of rows is made of, (indices, values); None of any other tensor."""
    a = getattr(t, "_a", None)
    if getattr(a, "layout", None) is not sparse_coo:
        return None
    return a.whole[:2] if a.whole is not None else (a.indices, a.values)


_HEARD = []                                     # names of the methods of a tape that write down


def _unheard(listen):
    """A method of a listener in which nobody else listens to what Python calls, as that takes longer than the rest.

    It does nothing once the tape is of no use.
    """
    _HEARD.append(listen.__name__)
    if hasattr(sys, "monitoring"):              # (which asks users' code only)
        return listen

    def method(self, *args):
        profile = sys.getprofile()
        if type(profile) is not Told:
            return listen(self, *args)
        sys.setprofile(None)
        try:
            return listen(self, *args)
        finally:
            end(profile)
    return method


_DEPTH = 2 if hasattr(sys, "monitoring") else 3     # of frames between `Tape.made` and who made a tensor


def _nothing(*args):
    """In the place of methods that write down, once a tape is of no use."""


def _within(t, other):
    (a, b), (c, d) = _extent(t), _extent(other)
    return c <= a and b <= d


class Tape:
    """Listens to the ops of one call; see the module's text."""

    def __init__(self, arguments, forward=None):
        self.forward, self.saved = forward, []
        self.began = next_seq()
        self.thread = get_ident()
        self.steps, self.failure = [], None
        self.buffers = {}               # id(storage block) -> Buffer
        self.older, self.constants = [], []
        self.strides = {}               # (strides in bytes, size of an element) -> strides in elements
        self.pending = {}               # id(block) -> (tensor made by an op that hasn't said how, the op's code)
        self.versions = {}              # id(storage) -> (storage, version it has if all changes were told)
        self.made_count = 0
        self.arguments, self.given = list(arguments), list(arguments)
        self.reads = []                 # (tensor, how many steps there were) of numbers that were read
        self.numbers, self.conditions = [], []
        self.fetched = {}               # index of a read -> the number, for kernels that take it, see `groups`
        self.decisions = []             # (expression, outcome, how many steps there were), see `decisions`
        self.asking = None              # the function in C that is being called
        self.outside = None             # what the call tells the world, see `outside`
        self.groups = None              # numbers of optimizers' groups, see `groups`
        self.pinned = set()             # indices of arguments that the program knows parts of, by their offsets
        self.live = set()               # numbers of places that kernels take as operands
        self.entry = {}                 # id(leaf) -> (leaf, what its .grad has to be when the call begins)
        self.shared = {}                # id(block) -> [(tensor, buffer)] of arguments that lie in it apart
        for i, t in enumerate(arguments):
            block, b = id(t._storage.block()), Buffer(ARGUMENT, t, i)
            first = self.buffers.setdefault(block, b)
            if first is not b:
                others = self.shared.setdefault(block, [(first.tensor, first)])
                if any(_meet(t, x) for x, _ in others):
                    self.fail("two arguments share memory")
                others.append((t, b))
            self._know(t)

    def fail(self, why):
        """The tape is of no use, because of `why` (the first reason is kept)."""
        if self.failure is None:
            self.failure = why + place_of_user()
            for name in _HEARD:
                setattr(self, name, _nothing)
            for x in (self.steps, self.buffers, self.pending, self.shared, self.older, self.constants):
                x.clear()               # (which holds all the memory that the call has used so far)

    def meets(self, tensors):
        """Whether some of the tensors, arguments apart, lie in the memory of arguments."""
        given = {id(t) for t in self.arguments}
        return any(id(t._storage.block()) in self.buffers and id(t) not in given for t in tensors)

    def condition(self, expression, value, pinned):
        """The program holds only where an expression has that value; `pinned`: a number that was looked at."""
        if not any(c[0] == expression and c[1] == value and type(c[1]) is type(value) for c in self.conditions):
            self.conditions.append((expression, value, pinned))

    def decided(self, expression, outcome):
        """Python has decided by numbers of tensors."""
        self.decisions.append((expression, outcome, len(self.steps)))

    # ------------------------------------------------------------ listening

    def compute(self, rec, kernel, args, arrays):
        """What a kernel gives, computed while nobody listens, as in `_unheard`: there is no code of users in it."""
        profile = sys.getprofile()
        if type(profile) is not Told or not (kernel.__module__ or "").startswith(_OPS) or any(map(callable, args)):
            return kernel(*arrays)
        sys.setprofile(None)
        try:
            return kernel(*arrays)
        finally:
            end(profile)

    def unattended(self, backward, targets, gradients):
        """A backward pass that runs likewise, if it calls nothing of users."""
        profile = sys.getprofile()
        if type(profile) is not Told or get_ident() != self.thread or not calls_nobody(targets, gradients):
            return backward

        def run(*args):
            sys.setprofile(None)
            try:
                return backward(*args)
            finally:
                end(profile)
        return run

    @_unheard
    def made(self, t):
        if get_ident() == self.thread:
            self.pending[id(t._storage)] = t, sys._getframe(_DEPTH).f_code

    @_unheard
    def ran(self, label, kernel, args, outs, direct=None):
        if get_ident() != self.thread:
            return
        args = [self._argument(x) for x in args]
        many = type(outs) is tuple
        outs = [self._fresh(t) for t in (outs if many else (outs,))]
        self.steps.append(Step("kernel", label, kernel, args, outs, (many, direct)))

    @_unheard
    def pointwise(self, rec, launch, operands, scalars, out, fresh):
        if get_ident() != self.thread:
            return
        if launch.numpy:
            return self.fail(f"{rec.name} of complex numbers runs through NumPy")
        # Memory that changes comes first: what is met afterwards is as the change left it.
        out = self._fresh(out) if fresh else self._changed(out)
        args = [self._argument(x) for x in operands if isinstance(x, Tensor)]
        args.extend(scalars)
        kind, detail = "pointwise", launch
        for i, x in enumerate(x for x in operands if not isinstance(x, Tensor)):
            if type(x) is Seen:
                args[i - len(scalars)] = self._followed(x, scalars[i], launch.convert)
                if x.read:
                    kind, detail = "into", None         # (nothing moves it to before its number is there)
        self.steps.append(Step(kind, rec.name, launch.kernel, args, [out], detail))

    def _followed(self, x, value, convert):
        """An operand that the program computes anew, if it can."""
        if x.read and self.groups is None:      # (as in a backward pass)
            x.pin()
            return value
        self.live |= places_of(x.expression, set())
        for i in reads_of(x.expression, set()):
            self.groups.fetch(i)
        return Live(x.expression, convert)

    @_unheard
    def wrote(self, label, write, targets, args):
        if get_ident() != self.thread:
            return
        outs = [self._changed(t) for t in targets]
        self.steps.append(Step("write", label, write, [self._argument(x) for x in args], outs))

    @_unheard
    def drawn(self, label, draw, t):
        if get_ident() == self.thread:
            self.steps.append(Step("draw", label, draw, [], [self._fresh(t)]))

    @_unheard
    def thunk(self, label, call, reads, changes):
        if get_ident() != self.thread:
            return
        outs = [self._changed(t) for t in changes]
        args = [self._argument(x) if rows_of(x) is None else self.parts(x) for x in reads]
        self.steps.append(Step("thunk", label, call, args, outs))
        if self.groups is not None:
            self.groups.put_back()

    def settle(self):
        """An optimizer is about to look at the numbers of its groups."""
        if self.groups is not None:
            self.groups.settle()

    def current(self, label, values):
        """The numbers ``values()`` as they are at this point."""
        if self.groups is None or any(type(x) is not float for x in values()):
            self.fail(f"Python looks at numbers that change by themselves ({label})")
            return values()
        return [self.groups.reading(label, x, lambda i=i: values()[i]) for i, x in enumerate(values())]

    @_unheard
    def constant(self, t):
        if get_ident() != self.thread:
            return
        self.pending.pop(id(t._storage), None)
        block = t._storage.block()
        if id(block) in self.buffers or type(t._a) is not _ndarray:
            return
        b = self.buffers[id(block)] = Buffer(CONSTANT, t, len(self.constants))
        b.initial = block.bytes().copy()
        self.constants.append(b)
        self._know(t)

    @_unheard
    def assigned(self, leaf):
        if get_ident() == self.thread:
            self.entry.setdefault(id(leaf), (leaf, ANYTHING))
            self._gradient(leaf)

    @_unheard
    def accumulated(self, leaf, old):
        if get_ident() == self.thread:
            self.entry.setdefault(id(leaf), (leaf, old))
            if leaf._grad is not old:
                self._gradient(leaf)
            elif type(old._a) is not _ndarray:
                self.fail(f"gradients of the layout {old.layout} pile up")

    def _gradient(self, leaf):
        g = leaf._grad
        self.steps.append(Step("grad", "grad", leaf, [None] if g is None else self.parts(g), [], g))

    def parts(self, t):
        """The windows that tensor `t` is made of: two of sparse rows, one of others."""
        return [self.window(x) for x in rows_of(t) or (t,)]

    def read(self, t, what):
        if get_ident() == self.thread:
            self.fail(f"Python looks at the numbers of a tensor ({what})")

    def number(self, t, value):
        if get_ident() != self.thread or self.failure is not None:
            return value
        value = value if type(value) in (float, int, bool, complex) else float(value)
        if type(value) is complex or self.forward is not None:
            self.fail("Python looks at the number in a tensor (item)")
            return value
        self.window(t)
        self.reads.append((t, len(self.steps)))
        read = ("read", len(self.reads) - 1)
        if type(value) is bool:
            self.decided(read, value)
            return value
        return Seen(value, read, self, True)

    def truth(self, test, tensors):
        found = wrap(np.asarray(bool(test(*[t._a for t in tensors]))))
        self.ran("test", lambda *arrays: np.asarray(bool(test(*arrays))), tensors, found)
        return found.item()

    def aside(self, label, call, *numbers):
        self.settle()
        outer = watch.set_listener(None)
        state.special -= 1
        try:
            return call(*map(plain, numbers))
        finally:
            state.special += 1
            watch.set_listener(outer)
            if self.groups is None:
                self.fail(f"{label} in a backward pass") if numbers else self.thunk(label, call, (), ())
            else:
                self.groups.done(label, call, numbers)

    def only(self, keep):
        """Leave out the steps for which ``keep(step)`` is false."""
        kept = [bool(keep(s)) for s in self.steps]
        left = [0]                              # how many are left of the first so many
        for x in kept:
            left.append(left[-1] + x)
        self.steps[:] = [s for s, x in zip(self.steps, kept) if x]
        self.reads[:] = [(t, left[when]) for t, when in self.reads]
        self.decisions[:] = [(e, outcome, left[when]) for e, outcome, when in self.decisions]

    def written_since(self, t, when):
        """Whether memory of `t` was overwritten after step `when`."""
        b = self.buffer(t)
        return any(w is not None and w.buffer is b for s in self.steps[when:]
                   if s.kind in ("write", "pointwise", "thunk") for w in s.outs)

    # ------------------------------------------------------------ memory

    def keeps(self, storage):
        """Whether a buffer refers to the storage (once)."""
        return id(storage) in self.buffers

    def _know(self, t):
        s = t._storage
        if id(s) not in self.versions:
            self.versions[id(s)] = [ref(s), s.version]

    def buffer(self, t):
        """The buffer of tensor `t`."""
        s = t._storage
        block = s.block()
        pending = self.pending.get(id(s)) or self.pending.get(id(block))
        if pending is not None:
            name = f"{pending[1].co_name} ({os.path.basename(pending[1].co_filename)})"
            self.fail(f"an op that can't be captured made a tensor that is used: {name}")
        b = self.buffers.get(id(block))
        if b is None:
            b = self.buffers[id(block)] = self._met(t, id(block))
        elif id(block) in self.shared:
            b = next((b for x, b in self.shared[id(block)] if _within(t, x)), b)
            if not _within(t, b.tensor):
                self.fail("memory around arguments that share it is used")
        self._know(t)
        return b

    def _met(self, t, block):
        """The buffer of a tensor that this call didn't make; the forward pass of a backward pass may have."""
        before = None if self.forward is None else self.forward.heard(t, block)
        if before is not None and before.origin is not OLDER:
            self.arguments.append(t)
            self.saved.append(t)
            return Buffer(ARGUMENT, t, len(self.arguments) - 1)
        b = Buffer(OLDER, t, len(self.older))
        self.older.append(b)
        return b

    def heard(self, t, block):
        """The buffer of a tensor if this call, or one whose backward pass this is, knows it."""
        b = self.buffers.get(block)
        if b is None and self.forward is not None and self.forward.heard(t, block) is not None:
            b = self.buffer(t)
        return b

    def inherits(self, b):
        """Whether a buffer that is older than this backward pass is known to the passes before."""
        before = self.forward
        while before is not None and id(b.storage) not in before.buffers:
            before = before.forward
        return before is not None

    def window(self, t):
        """The window that tensor `t` is."""
        a = t._a
        if type(a) is not _ndarray:
            self.fail("meta tensors" if type(a) is MetaArray else f"a tensor of the layout {t.layout}")
            return None
        s, strides, item = t._storage, a.strides, a.itemsize
        b = self.buffers.get(id(s))             # (storages are kept: a tensor on one that is known isn't pending)
        if b is None or id(s) not in self.versions or self.shared:
            b = self.buffer(t)
        counts = self.strides.get((strides, item))
        if counts is None:
            counts = self.strides[strides, item] = tuple([s // item for s in strides])
        return Window(b, a.dtype, a.shape, counts, t._offset, t._bits & 3)

    def _argument(self, x):
        if isinstance(x, Tensor):
            return self.window(x)
        if type(x) in (list, tuple) and any(isinstance(y, Tensor) for y in x):
            return [self._argument(y) for y in x]
        return x.pin() if type(x) is Seen else x

    def _fresh(self, t):
        if t is None:
            return None
        key = id(t._storage)
        self.pending.pop(key, None)
        self.buffers[key] = Buffer(MADE, t, self.made_count)
        self.made_count += 1
        if self.made_count > MOST:
            self.fail(f"more than {MOST:,} kernels run")
        self._know(t)
        return self.window(t)

    def written(self):
        """Indices of the arguments whose memory the call changes."""
        return {b.key for b in self.buffers.values() if b.origin is ARGUMENT and b.written}

    def _changed(self, t):
        # Called when the version has gone up.
        s = t._storage
        if self.shared and id(s.block()) in self.shared:
            self.fail("one of two arguments that share memory is changed")
        seen = id(s) in self.versions
        w = self.window(t)
        if w is None:
            return None
        if seen:
            self.versions[id(s)][1] += 1
        b = w.buffer
        b.written += 1
        if b.origin is not MADE:
            _, n = b.raised.get(id(s), (None, 0))
            b.raised[id(s)] = s, n + 1
        return w

    # ------------------------------------------------------------ the call

    def __enter__(self):
        self.outer = watch.set_listener(self)
        state.special += 1
        return self

    def __exit__(self, *exc):
        state.special -= 1
        watch.set_listener(self.outer)
        for storage, version in self.versions.values():
            storage = storage()
            if storage is not None and storage.version != version:
                self.fail("an op that can't be captured changed a tensor in place")

    def let_go(self):
        """Forget tensors and memory once programs are made; the steps stay to be read."""
        for b in self.buffers.values():
            b.tensor = b.storage = b.initial = b.first = b.raised = None
        for s in self.steps:
            s.detail = None
        for x in (self.buffers, self.shared, self.older, self.constants, self.pending, self.versions, self.entry,
                  self.arguments, self.given, self.saved, self.reads, self.numbers):
            x.clear()
        self.forward = None

    def __str__(self):
        return "\n".join(map(repr, self.steps))
