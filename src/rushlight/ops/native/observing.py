"""Writing down what a small call does, as a program that ``plans`` runs.

While a Python function runs, an ``Observer`` hears of launches (``watch.launch``), of new tensors and of views. What it
does not understand, such as arrays of unknown origin or numbers read from tensors, keeps the call in Python.
"""

import ctypes
from threading import get_ident
from types import BuiltinFunctionType, FunctionType

import numpy as np

from ... import random
from ...autograd.modes import state
from ...record import RECORDS, NoGradient
from ...tensor import watch
from ...tensor.geometry import Size
from ...tensor.tensor import Tensor
from . import entry, plans

_NUMBERS = (int, float, bool, type(None), str, bytes)
MOST_PLANS, MOST_FAILURES = 256, 16         # of a function; with more, or only failures, it is left to Python
_keep = []


class _Unfit(Exception):
    """The call can't be written down."""


class Observer:
    """A listener (``tensor.watch``) that makes a program of what it hears."""

    def __init__(self, given):
        self.values = list(given)
        self.steps = []                     # (words, rec, arguments, outputs)
        self.pending = []
        self.kept = []                      # what the program names by address
        self.fit = True
        self.thread = get_ident()
        self.given = len(self.values)
        blocks = {id(t._storage.block()) for t in self.values}
        # Where different operands share memory it is not known which one a kernel is given.
        self.clear = len(blocks) == len({id(t) for t in self.values})

    # ------------------------------------------------------------ what is heard

    def elsewhere(self):
        """Whether another thread speaks; what was heard is not relied on then."""
        if get_ident() == self.thread:
            return False
        self.clear = False
        return True

    def launched(self, kernel, operands):
        result = kernel(*operands)
        if not self.elsewhere():
            self.pending.append((kernel, operands, result))
        return result

    def made(self, t):
        pass

    def ran(self, label, kernel, args, outs, direct=None):
        rec = _records().get((label, kernel))
        self._step(rec, args, outs if type(outs) is tuple else (outs,))

    def constant(self, t):
        if not self.steps or self.steps[-1][3][0] is not t:
            self._step(None, (), (t,))

    def drawn(self, label, draw, t):
        self.constant(t)

    def pointwise(self, rec, launch, operands, scalars, out, fresh):
        if self.elsewhere():
            return
        if not fresh or launch.numpy or self.pending:
            self.fit = False
            return
        arrays = [x._a for x in operands if isinstance(x, Tensor)]
        self.pending.append((launch.kernel, (out._a, *arrays, *scalars), None))
        numbers = sum(not isinstance(x, Tensor) for x in operands)
        self._step(rec, (*operands, *scalars[numbers:]), (out,))

    def viewed(self, rec, args, outs):
        if self.elsewhere():
            return
        if args[0]._a.dtype != outs[0]._a.dtype or any(not t._a.size for t in outs):
            self.fit = False
        self.steps.append((None, rec, args, outs))
        self.values.extend(outs)

    def fail(self, *_):
        if not self.elsewhere():
            self.fit = False

    wrote = thunk = assigned = accumulated = read = aside = fail

    def number(self, t, value):
        self.fit = False
        return value

    def keeps(self, storage):
        return True

    # ------------------------------------------------------------ the program

    def _step(self, rec, args, outs):
        if self.elsewhere():
            return
        if not self.pending:
            self.fit = False
        self.steps.append((self.pending, rec, args, outs))
        self.pending = []
        self.values.extend(outs)

    def program(self, result):
        """The words, or None; `result` is what the function gave."""
        if not self.fit or self.pending or len(self.values) > plans.MOST_VALUES:
            return None
        try:
            # What nothing asks for becomes no tensor: the second time it is known.
            used = _Program(self, None)
            used.words(result)
            found = _Program(self, used.used)
            words = found.words(result)
        except _Unfit:
            return None
        self.kept = found.kept
        return words


class _Program:
    """The words for what an observer has heard. `wanted`: values that are asked for (None: all)."""

    def __init__(self, heard, wanted):
        self.heard, self.wanted, self.used, self.kept = heard, wanted, set(), []
        self.numbers, self.count = {}, 0    # by id: the observer keeps the tensors
        for t in heard.values[:heard.given]:
            self._number(t)

    def words(self, result):
        words = []
        for launches, rec, args, outs in self.heard.steps:
            step = self._view(rec, args, outs) if launches is None else self._launches(launches, rec, args, outs)
            words += step[0], 8 * (len(step) + 1), *step[1:]
        return words + self._end(result)

    def _number(self, t):
        self.numbers.setdefault(id(t), self.count)
        self.count += 1

    def _keep(self, x):
        self.kept.append(x)
        return id(x)

    def _sizes(self, numbers):
        block = (ctypes.c_int64 * max(len(numbers), 1))(*numbers)
        self.kept.append(block)
        return ctypes.addressof(block)

    def _value(self, t):
        if id(t) not in self.numbers:
            raise _Unfit
        self.used.add(id(t))
        return self.numbers[id(t)]

    def _operand(self, x, arrays):
        """The pair of words for what a kernel is given; `arrays` are those made in this step."""
        if type(x) is not np.ndarray:
            if type(x) not in _NUMBERS:
                raise _Unfit
            return plans.CONSTANT, self._keep(x)
        for k, a in enumerate(arrays):
            if a is x:
                return plans.OUTPUT, k
        known = [t for t in self.heard.values if t is not None and id(t) in self.numbers]
        for t in known:
            if t._a is x:
                return plans.VALUE, self._value(t)
        low, high = _extent(x)
        for kind, several in ((plans.OUTPUT, arrays), (plans.VALUE, known)):
            for k, y in enumerate(several):
                a = y if kind == plans.OUTPUT else y._a
                start, end = _extent(a)
                if start <= low and high <= end:
                    k = k if kind == plans.OUTPUT else self._value(y)
                    words = (kind, k, x.__array_interface__["data"][0] - a.__array_interface__["data"][0],
                             self._keep(x.dtype), x.ndim, self._sizes(x.shape), self._sizes(x.strides))
                    return plans.WINDOW, self._sizes(words)
        if x is random.default_generator._bytes or x.base is None and not x.flags.writeable:
            return plans.CONSTANT, self._keep(x)
        if x.flags.c_contiguous and x.flags.writeable and x.size:
            arrays.append(x)                # memory of the kernel's own; the trial shows whether it is
            return plans.OUTPUT, len(arrays) - 1
        raise _Unfit

    def _arguments(self, args):
        out = []
        for x in args:
            if isinstance(x, Tensor):
                out += plans.VALUE, self._value(x)
            elif type(x) in (list, tuple) and any(isinstance(y, Tensor) for y in x):
                out += plans.SEVERAL, self._sizes((len(x), *self._arguments(x)))
            else:
                out += plans.CONSTANT, self._keep(x)
        return out

    def _recording(self, rec, args, outs):
        """(word of the record, number of arguments, their words); nothing where no output has a history."""
        wanted = [t for t in outs if t is not None and t._requires_grad]
        if not wanted:
            return 0, 0, []
        if rec is None or isinstance(rec.vjp, NoGradient) or any(
                t._grad_fn is None or getattr(type(t._grad_fn), "record", None) is not rec for t in wanted):
            raise _Unfit
        if rec.kind == "pointwise" and len(args) > len(rec.tensor_args):
            raise _Unfit                    # parameters are known here as the kernel takes them
        words = self._arguments(args)
        return self._keep(rec), len(words) // 2, words

    def _launches(self, launches, rec, args, outs):
        rec, count, words = self._recording(rec, args, outs)
        tensors, arrays = [], []
        for t in outs:
            if t is not None:
                a = t._a
                if type(t) is not Tensor or not a.flags.c_contiguous or not a.size or t._bits or t._offset:
                    raise _Unfit
            if rec or self.wanted is None or id(t) in self.wanted:
                tensors.append(t)
            elif t is not None:
                arrays.append(t._a)
        arrays = [None if t is None else t._a for t in tensors] + arrays
        made = []
        for kernel, operands, found in launches:
            if len(operands) > plans.MOST_OPERANDS or found is not None and type(found) is not bool:
                raise _Unfit
            made += self._keep(kernel), id(found), len(operands)
            for x in operands:
                made += self._operand(x, arrays)
        if len(arrays) > plans.MOST_OUTPUTS:
            raise _Unfit
        facts = []
        for k, a in enumerate(arrays):
            if a is None:
                facts += 0, 0, 0, 0
            else:
                facts += (self._keep(a.dtype), self._keep(tensors[k].dtype) if k < len(tensors) else 0, a.ndim,
                          self._sizes(a.shape))
        for t in tensors:
            self._number(t)
        return [plans.KERNEL, rec, len(tensors), len(launches), count, len(arrays), *facts, *made, *words]

    def _view(self, rec, args, outs):
        x = args[0]
        source = self._value(x)
        item = x._a.itemsize
        facts = []
        if len(outs) > plans.MOST_OUTPUTS:
            raise _Unfit
        for t in outs:
            a = t._a
            facts += t._offset - x._offset, a.ndim, self._sizes(a.shape), self._sizes(a.strides)
            if any(s % item for s in a.strides):
                raise _Unfit
        word, count, words = self._recording(rec, args, outs)
        for t in outs:
            self._number(t)
        multi = rec is not None and bool(rec.extra)
        return [plans.VIEW, word, source, len(outs), count, multi, int(x._requires_grad), *facts, *words]

    def _end(self, result):
        kind, items = type(result), result
        if isinstance(result, Tensor):
            kind, items = None, (result,)
        elif kind is not list and not issubclass(kind, tuple) or not all(isinstance(t, Tensor) for t in items):
            raise _Unfit
        if kind is not None and kind not in (list, tuple) and not hasattr(kind, "_fields"):
            raise _Unfit
        words = [plans.END, 0 if kind is None else self._keep(kind), len(items)]
        for t in items:
            words += plans.VALUE, self._value(t)
        return words


def _extent(a):
    """[from, to) of the memory that an array shows."""
    low = high = a.__array_interface__["data"][0]
    for n, step in zip(a.shape, a.strides):
        if step > 0:
            high += (n - 1) * step
        else:
            low += (n - 1) * step
    return low, high + a.itemsize


_by_kernel = {}


def _records():
    """Records by name and kernel."""
    if len(_by_kernel) < len(RECORDS):
        for rec in RECORDS.values():
            if rec.kind == "kernel":
                _by_kernel[rec.name, rec.kernel] = rec
    return _by_kernel


def _tensors(x, found):
    """The tensors in the arguments, in the order in which ``plans`` meets them."""
    if isinstance(x, Tensor):
        found.append(x)
    elif type(x) in (list, tuple, Size):
        for y in x:
            _tensors(y, found)


def _objects(x, found):
    """The strings, dtypes and the like in the arguments."""
    if type(x) in (list, tuple, Size):
        for y in x:
            _objects(y, found)
    elif not isinstance(x, Tensor):
        found.append(x)


def _same(a, b):
    """Whether two results are the same to the bit, in memory of their own or as views of the same memory."""
    if type(a) is not type(b):
        return False
    if not isinstance(a, Tensor):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    place, other = (t._a.__array_interface__["data"][0] for t in (a, b))
    return (a.dtype is b.dtype and a._a.shape == b._a.shape and a._a.strides == b._a.strides
            and a._requires_grad == b._requires_grad and type(a._grad_fn) is type(b._grad_fn)
            and (place == other if a._view is not None else place != other or a is b)
            and (a._view is None) == (b._view is None) and a._a.tobytes() == b._a.tobytes())


class Planned:
    """A function with plans: its descriptor and what that points to."""

    def __init__(self, fn, address, builtin):
        self.words = (ctypes.c_uint64 * entry.DESC_WORDS)()
        self.table = (ctypes.c_uint64 * (2 * plans.SLOTS))()
        self.seen = (ctypes.c_uint64 * plans.SLOTS)()
        self.plans, self.failures = {}, 0
        w = self.words
        w[entry.FALLBACK], w[plans.OBSERVE] = id(fn), id(_observe)
        w[plans.TABLE], w[plans.SEEN] = ctypes.addressof(self.table), ctypes.addressof(self.seen)
        self.fn = fn
        self.twin = builtin(fn.__name__, address, w, fn.__doc__)
        _functions[ctypes.addressof(w)] = self
        _keep.append(self)

    def observe(self, key, description, names, args):
        fn = ctypes.cast(self.words[entry.FALLBACK], ctypes.py_object).value
        positional = args if names is None else args[:-len(names)]
        named = {} if names is None else dict(zip(names, args[len(positional):]))
        plan = self.plans.get(description)
        if plan is not None:
            self._place(key, plan)
            return fn(*positional, **named)
        given = []
        for x in args:
            _tensors(x, given)
        observer = Observer(given)
        numbers = random.default_generator._bytes.copy()
        old = watch.set_listener(observer)
        watch.observer = observer
        state.special += 1
        try:
            result = fn(*positional, **named)
        finally:
            state.special -= 1
            watch.observer = None
            watch.set_listener(old)
        if not observer.clear:
            return result
        program = observer.program(result)
        self.failures += program is None
        if len(self.plans) >= MOST_PLANS or self.failures > MOST_FAILURES and self.failures >= len(self.plans):
            self.words[plans.STOPPED] = 1
        count = len(description) // 8
        words = [count, *[int.from_bytes(description[8 * k:8 * k + 8], "little") for k in range(count)],
                 plans.REFUSED, *(program or ())]
        plan = (ctypes.c_uint64 * len(words))(*[int(x) & 0xFFFFFFFFFFFFFFFF for x in words])
        # What the description and the program name by address lives on.
        objects = []
        for x in args:
            _objects(x, objects)
        _keep.append((names, objects, observer.kept))
        self.plans[description] = plan
        self._place(key, plan)
        if program is not None:
            later = random.default_generator._bytes.copy()
            drew = not np.array_equal(numbers, later)
            if drew:
                random.default_generator._bytes[:] = numbers
            plan[count + 1] = plans.TRIAL
            again = self._call(positional, named, names)
            good = plan[count + 1] == plans.TRIED and _same(result, again)
            plan[count + 1] = plans.READY if good else plans.REFUSED
            self.failures += not good
            if drew:
                random.default_generator._bytes[:] = later
        return result

    def _call(self, positional, named, names):
        """The twin, called with the very tuple of names that a description holds."""
        vectorcall = ctypes.pythonapi.PyObject_Vectorcall
        vectorcall.restype = ctypes.py_object
        vectorcall.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        args = [*positional, *named.values()]
        words = (ctypes.c_void_p * max(len(args), 1))(*[id(x) for x in args])
        return vectorcall(self.twin, words, len(positional), None if names is None else id(names))

    def _place(self, key, plan):
        first = key & (plans.SLOTS - 1)
        slot = first if not self.table[2 * first + 1] or self.table[2 * (first ^ 1) + 1] else first ^ 1
        self.table[2 * slot], self.table[2 * slot + 1] = key & 0xFFFFFFFFFFFFFFFF, ctypes.addressof(plan)


def _last(fn):
    """(descriptor, Python function) at the end of the chain of a generated function."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    while type(fn) is BuiltinFunctionType:
        words = (ctypes.c_uint64 * entry.DESC_WORDS).from_address(pointer(fn.__self__, None))
        fn = ctypes.cast(words[entry.FALLBACK], ctypes.py_object).value
    return words, fn


_functions = {}


def _observe(address, key, description, names, args):
    return _functions[address].observe(key, description, names, args)


# Functions whose kernels are launched through ``watch.launch`` alone, or that make views.
FUNCTIONS = {
    "torch": ("linspace full rand randn randint normal rand_like randn_like arange "
              "cdist pdist meshgrid broadcast_tensors normalize broadcast_to").split(),
    "torch.nn.functional": ("one_hot embedding layer_norm group_norm batch_norm softmax log_softmax rms_norm "
                            "max_pool1d max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool2d adaptive_avg_pool1d "
                            "interpolate pad grid_sample glu normalize "
                            "cosine_similarity pairwise_distance mse_loss l1_loss smooth_l1_loss huber_loss "
                            "binary_cross_entropy_with_logits kl_div margin_ranking_loss").split(),
    "torch.fft": "fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn".split(),
    "method": ("tril triu cumsum cumprod logcumsumexp cummax cummin topk sort gather index_select chunk split unbind "
               "narrow masked_fill flip roll bool half bfloat16 float double long int to type __getitem__ argsort "
               "kthvalue median take scatter scatter_add index_copy softmax log_softmax var std var_mean "
               "std_mean norm searchsorted bucketize new_full new_zeros new_ones clone movedim moveaxis "
               "diagonal broadcast_to expand_as unflatten unfold as_strided tensor_split hsplit vsplit repeat "
               "tile diff diag aminmax nansum count_nonzero outer").split(),
}


def install(state_, builtin, replace, offsets):
    """Put the twins in place. The arguments are what ``install`` keeps: its state and helpers."""
    from .. import registry
    from . import modules

    found = modules.load("plans", offsets, ("rl_planned",), ctypes.addressof(state_.table))
    done = {}
    for where, names in (*FUNCTIONS.items(), ("torch", FUNCTIONS["method"])):
        table = registry.METHODS if where == "method" else registry.FUNCTIONS.get(where, {})
        for name in names:
            fn = table.get(name)
            fn = getattr(fn, "__func__", fn)        # of methods that are generated functions
            if type(fn) is FunctionType and fn not in done:
                done[fn] = Planned(fn, found["rl_planned"], builtin)
                replace(fn, done[fn].twin)
            elif type(fn) is BuiltinFunctionType:
                # Behind a generated function that serves other calls.
                words, fn = _last(fn)
                if fn not in done:
                    done[fn] = Planned(fn, found["rl_planned"], builtin)
                    words[entry.FALLBACK] = id(done[fn].twin)
