"""Writing down what a small call does, as a program that ``plans`` runs.

While a Python function runs, an ``Observer`` hears of launches (``watch.launch``), of new tensors and of views. A
record whose kernel does more than to launch is called as a whole. What the observer does not understand, such as arrays
of unknown origin or numbers read from tensors, keeps the call in Python, as do warnings, which are for every call.
"""

import ctypes
import sys
import warnings
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
_MOST_FIXED = 1 << 13       # bytes of tensors whose contents are known: more are made as fast as they are copied
MOST_PLANS, MOST_FAILURES = 256, 16         # of a function; with more, or only failures, it is left to Python
_keep = []


class _Unfit(Exception):
    """The call can't be written down."""


class Observer:
    """A listener (``tensor.watch``) that makes a program of what it hears."""

    def __init__(self, given):
        self.values = list(given)
        self.steps = []                     # (launches, rec, arguments, outputs, kernel); views have no launches
        self.pending = []
        self.kept = []                      # what the program names by address
        self.fit = True
        self.thread = get_ident()
        self.given = len(self.values)
        blocks = {id(t._storage.block()) for t in self.values}
        # Where different operands share memory it is not known which one a kernel is given a part of.
        self.distinct = len(blocks) == len({id(t) for t in self.values})
        self.clear = True                   # nothing was heard of other threads

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
        self._step(rec, args, outs if type(outs) is tuple else (outs,), kernel if rec is not None else None)

    def constant(self, t):
        if not self.steps or not self.steps[-1][3] or self.steps[-1][3][0] is not t:
            self._step(None, (), (t,), _FIXED)

    def drawn(self, label, draw, t):
        if not self.pending:
            self.fail()
        self.constant(t)

    def true(self, test, tensors):
        """What ``watch.true`` is to answer; the program asks the same each time."""
        arrays = [t._a for t in tensors]
        answer = test(*arrays)
        if self.pending or any(t._bits & 3 for t in tensors):
            self.fail()
        elif not self.elsewhere():
            self.pending.append((test, arrays, answer))
            self._step(None, (), ())
        return bool(answer)

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
        self.steps.append((None, rec, args, outs, None))
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

    def _step(self, rec, args, outs, kernel=None):
        if self.elsewhere():
            return
        if not self.pending and kernel is None:
            self.fit = False
        self.steps.append((self.pending, rec, args, outs, kernel))
        self.pending = []
        self.values.extend(outs)

    def program(self, result, whole=False):
        """The words, or None; `result` is what the function gave. `whole`: with records' kernels as a whole."""
        if not self.fit or self.pending or len(self.values) > plans.MOST_VALUES:
            return None
        try:
            # What nothing asks for becomes no tensor: the second time it is known.
            used = _Program(self, whole)
            used.words(result)
            found = _Program(self, whole, used)
            words = found.words(result)
        except _Unfit:
            return None if whole else self.program(result, True)
        self.kept = found.kept
        return words

    def fixed(self):
        """Whether a program has tensors whose contents it knows."""
        return any(kernel is _FIXED and not launches for launches, *_, kernel in self.steps)


class _Program:
    """The words for what an observer has heard. `before`: a program of all of it, which tells what is asked for."""

    def __init__(self, heard, whole, before=None):
        self.heard, self.whole, self.used, self.kept = heard, whole, set(), []
        self.wanted, self.fixes_sizes = (None, None) if before is None else (before.used, before.inner)
        self.numbers, self.count = {}, 0    # by id: the observer keeps the tensors
        for t in heard.values[:heard.given]:
            self._number(t)

    def words(self, result):
        words = []
        for launches, rec, args, outs, kernel in self.heard.steps:
            if launches is None:
                step = self._view(rec, args, outs)
            elif kernel is _FIXED and not launches:
                step = self._fixed(*outs)
            elif launches and (kernel is None or kernel is _FIXED or not self.whole):
                step = self._launches(launches, rec, args, outs)
            else:
                step = self._called(kernel, rec, args, outs)
            words += step[0], 8 * (len(step) + 1), *step[1:]
            if rec is not None:
                words += self._marks(outs)
        self.inner = set(self.used)         # values that later steps take
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
        if not self.heard.distinct:
            raise _Unfit
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
        if x.flags.c_contiguous and x.flags.writeable and x.size and not self.whole:
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
                out += plans.CONSTANT, self._keep(list(x) if type(x) is list else x)    # the caller may change his list
        return out

    def _recording(self, rec, args, outs):
        """(word of the record, number of arguments, their words); nothing where no output has a history."""
        wanted = [t for t in outs if t is not None and t._requires_grad]
        if not wanted:
            return 0, 0, []
        if rec is None or isinstance(rec.vjp, NoGradient) or any(
                t._grad_fn is None or getattr(type(t._grad_fn), "record", None) is not rec for t in wanted):
            raise _Unfit
        if any(t._grad_fn.ext is not None for t in wanted):
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
                if type(t) is not Tensor or not a.flags.c_contiguous or not a.size or t._bits & 3 or t._offset:
                    raise _Unfit
            if rec or self.wanted is None or id(t) in self.wanted:
                tensors.append(t)
            elif t is not None:
                arrays.append(t._a)
        arrays = [None if t is None else t._a for t in tensors] + arrays
        made = []
        for kernel, operands, found in launches:
            if len(operands) > plans.MOST_OPERANDS or type(found) not in _ANSWERS:
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

    def _marks(self, outs):
        """What Python wrote down in the nodes of a step's outputs."""
        words = []
        for node, t in {t._grad_fn: t for t in outs if t is not None and t._grad_fn is not None}.items():
            for name, x in getattr(node, "__dict__", {}).items():
                if type(x) is not bool:
                    raise _Unfit
                words += plans.MARK, 40, self.numbers[id(t)], self._keep(name), id(x)
        return words

    def _called(self, kernel, rec, args, outs):
        word, count, words = self._recording(rec, args, outs)
        operands = self._arguments(args)
        if len(args) > plans.MOST_OPERANDS or len(outs) > plans.MOST_OUTPUTS:
            raise _Unfit
        facts = []
        for t in outs:
            if t is None:
                facts += 0, 0, 0, 0
                continue
            a = t._a
            if type(t) is not Tensor or type(a) is not np.ndarray or not a.size or t._bits & 3 or t._offset:
                raise _Unfit
            # The sizes of what goes into no other step may depend on contents.
            free = self.fixes_sizes is not None and id(t) not in self.fixes_sizes and a.flags.c_contiguous
            facts += (self._keep(a.dtype), self._keep(t.dtype), -1 if free else a.ndim,
                      self._sizes((*a.shape, *a.strides)))
        for t in outs:
            self._number(t)
        several = rec.n_out != 1
        return [plans.CALL, word, len(outs), self._keep(kernel), count, several, len(operands) // 2, *facts, *operands,
                *words]

    def _fixed(self, t):
        a = t._a
        if type(t) is not Tensor or not a.flags.c_contiguous or not 0 < a.nbytes <= _MOST_FIXED or t._bits & 3 or \
                t._requires_grad or t._offset or t._view is not None:
            raise _Unfit
        self._number(t)
        numbers = a.copy()
        self.kept.append(numbers)
        return [plans.FIXED, self._keep(a.dtype), self._keep(t.dtype), a.ndim, self._sizes(a.shape),
                numbers.ctypes.data, a.nbytes]

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
            if any(s % item for s in a.strides) or t._bits & 3:
                raise _Unfit
        word, count, words = self._recording(rec, args, outs)
        for t in outs:
            self._number(t)
        kind = plans.MULTI if rec is not None and rec.extra else 0
        if all(t._view is None for t in outs):
            kind = plans.BARE
        return [plans.VIEW, word, source, len(outs), count, kind, int(x._requires_grad), *facts, *words]

    def _end(self, result):
        kind, items = type(result), result
        if isinstance(result, Tensor) or kind is bool:
            kind, items = None, (result,)
        elif kind is not list and not issubclass(kind, tuple) or not all(isinstance(t, Tensor) for t in items):
            raise _Unfit
        if kind is not None and kind not in (list, tuple) and not hasattr(kind, "_fields"):
            raise _Unfit
        words = [plans.END, 0 if kind is None else self._keep(kind), len(items)]
        for t in items:
            words += (plans.CONSTANT, id(t)) if type(t) is bool else (plans.VALUE, self._value(t))
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


_FIXED = object()           # stands for the kernel of tensors that depend on the description only
_ANSWERS = (type(None), bool, np.bool_)     # of launches; one object each
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


def _same(a, b, given):
    """Whether two results are the same to the bit, each in memory of its own or in that of the tensors given."""
    if type(a) is not type(b):
        return False
    if type(a) is bool:
        return a is b
    if not isinstance(a, Tensor):
        return len(a) == len(b) and all(_same(x, y, given) for x, y in zip(a, b, strict=True))
    place, other = (t._a.__array_interface__["data"][0] for t in (a, b))
    block = a._storage.block()
    shared = any(t._storage.block() is block for t in given)
    return (a.dtype is b.dtype and a._bits == b._bits and a._a.shape == b._a.shape and a._a.strides == b._a.strides
            and a._requires_grad == b._requires_grad and type(a._grad_fn) is type(b._grad_fn)
            and (place == other) is shared
            and (a._view is None) == (b._view is None) and a._a.tobytes() == b._a.tobytes())


class Planned:
    """A function with plans: its descriptor and what that points to."""

    def __init__(self, fn, address, builtin, launches):
        self.launches = launches
        self.words = (ctypes.c_uint64 * entry.DESC_WORDS)()
        self.table = (ctypes.c_uint64 * (2 * plans.SLOTS))()
        self.seen = (ctypes.c_uint64 * plans.SLOTS)()
        self.plans, self.failures = {}, 0
        w = self.words
        w[entry.FALLBACK], w[plans.OBSERVE] = id(fn), id(_observe)
        w[plans.OUT] = id(sys.intern("out"))
        w[plans.TABLE], w[plans.SEEN] = ctypes.addressof(self.table), ctypes.addressof(self.seen)
        self.fn = fn
        self.twin = builtin(fn.__name__, address, w, fn.__doc__)
        _functions[ctypes.addressof(w)] = self
        _keep.append(self)

    def observe(self, key, description, names, args):
        fn = ctypes.cast(self.words[entry.FALLBACK], ctypes.py_object).value
        positional = args[:len(args) - len(names or ())]
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
        old, warn = watch.set_listener(observer), warnings.warn

        def warned(message, category=None, stacklevel=1, *args, **kwargs):
            observer.fail()
            warn(message, category, stacklevel + 1, *args, **kwargs)

        watch.observer = observer
        state.special += 1
        warnings.warn = warned
        try:
            result = fn(*positional, **named)
        finally:
            warnings.warn = warn
            state.special -= 1
            watch.observer = None
            watch.set_listener(old)
        if not observer.clear:
            return result
        program = observer.program(result, not self.launches)
        if len(self.plans) >= MOST_PLANS or self.failures > MOST_FAILURES and self.failures >= len(self.plans):
            self.words[plans.STOPPED] = 1
        count = len(description) // 8
        later = random.default_generator._bytes.copy()
        drew = not np.array_equal(numbers, later)
        if drew and observer.fixed():
            program = None
        # What the description names by address lives on.
        objects = []
        for x in args:
            _objects(x, objects)
        _keep.append((names, objects))
        good = False
        for again in (False, True):
            if again:
                program = observer.program(result, True) if program is not None else None
            words = [count, *[int.from_bytes(description[8 * k:8 * k + 8], "little") for k in range(count)],
                     plans.REFUSED, *(program or ())]
            plan = (ctypes.c_uint64 * len(words))(*[int(x) & 0xFFFFFFFFFFFFFFFF for x in words])
            _keep.append((plan, observer.kept))
            self.plans[description] = plan
            self._place(key, plan)
            if program is None:
                break
            if drew:
                random.default_generator._bytes[:] = numbers
            plan[count + 1] = plans.TRIAL
            tried = self._call(positional, named, names)
            good = plan[count + 1] == plans.TRIED and _same(result, tried, given)
            if drew:
                random.default_generator._bytes[:] = later
            plan[count + 1] = plans.READY if good else plans.REFUSED
            if good or not self.launches:
                break
        self.failures += not good
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
        key &= 0xFFFFFFFFFFFFFFFF
        first = key & (plans.SLOTS - 1)
        second = first ^ 1
        slot = second if self.table[2 * first + 1] and not self.table[2 * second + 1] else first
        for known in (first, second):       # in the place of an earlier one of the same description
            if self.table[2 * known] == key and self.table[2 * known + 1]:
                slot = known
        self.table[2 * slot], self.table[2 * slot + 1] = key, ctypes.addressof(plan)


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


# Functions that find their course by ``watch.true`` alone where it depends on contents, and make what their kernels are
# given by launches only, so that the trial gives no kernel numbers that Python had to write.
LAUNCHING = {
    "torch": """
        linspace full rand randn randint normal rand_like randn_like arange cdist pdist meshgrid broadcast_tensors
        normalize broadcast_to
    """.split(),
    "torch.nn.functional": """
        one_hot embedding layer_norm group_norm batch_norm softmax log_softmax rms_norm max_pool1d max_pool2d
        avg_pool1d avg_pool2d adaptive_avg_pool2d adaptive_avg_pool1d interpolate pad grid_sample glu normalize
        cosine_similarity pairwise_distance mse_loss l1_loss smooth_l1_loss huber_loss
        binary_cross_entropy_with_logits kl_div margin_ranking_loss
    """.split(),
    "torch.fft": """
        fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn
    """.split(),
    "method": """
        tril triu cumsum cumprod logcumsumexp cummax cummin topk sort gather index_select chunk split unbind narrow
        masked_fill flip roll bool half bfloat16 float double long int to type __getitem__ argsort kthvalue median
        take scatter scatter_add index_copy softmax log_softmax var std var_mean std_mean norm searchsorted
        bucketize new_full new_zeros new_ones clone movedim moveaxis diagonal broadcast_to expand_as unflatten
        unfold tensor_split hsplit vsplit repeat tile diff diag aminmax nansum count_nonzero outer
    """.split(),
}
# Others of that kind, whose records' kernels are called as a whole: such as do not consist of functions of the first
# kind, which serve themselves in fewer steps.
CALLING = {
    "torch": """
        addbmm addmm addmv addr baddbmm allclose argwhere bartlett_window bernoulli binomial bincount
        blackman_window block_diag cartesian_prod cholesky cholesky_inverse cholesky_solve column_stack combinations
        complex conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d corrcoef cov cross
        cumulative_trapezoid diag_embed diagflat diagonal_copy diagonal_scatter dist dsplit dstack einsum
        empty_permuted empty_strided expand_copy eye float_power frexp full_like gcd geqrf gradient grid_sampler_2d
        grid_sampler_3d hamming_window hann_window hash_tensor heaviside histc histogram hstack igamma igammac imag
        index_add index_fill index_put index_reduce inner isclose isin isreal istft kaiser_window kron lcm logdet
        logspace logsumexp lu lu_solve lu_unpack masked_scatter masked_select matrix_exp matrix_power mode msort
        multinomial nan_to_num nanmean nanmedian nanquantile narrow_copy native_batch_norm native_group_norm
        native_layer_norm nonzero_static nuclear_norm ormqr permute_copy pinverse poisson polar polygamma put qr
        quantile randint_like randperm ravel real renorm repeat_interleave resolve_conj rot90 row_stack
        scalar_tensor scatter_reduce select_copy select_scatter slice_copy slice_scatter slogdet split_copy
        split_with_sizes split_with_sizes_copy squeeze_copy stft svd t_copy take_along_dim tensordot trace
        transpose_copy trapezoid trapz triangular_solve tril_indices triu_indices unbind_copy unfold_copy unique
        unique_consecutive unravel_index unsafe_split unsqueeze_copy vander vdot view_as_complex view_as_real
        view_copy vstack where
    """.split(),
    "torch.linalg": """
        cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh householder_product inv inv_ex
        ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor lu_factor_ex lu_solve matrix_exp matrix_norm
        matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular svd svdvals
        tensorinv tensorsolve vander vecdot vector_norm
    """.split(),
    "torch.special": """
        airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx log_ndtr modified_bessel_i0 modified_bessel_i1
        modified_bessel_k0 modified_bessel_k1 multigammaln ndtri scaled_modified_bessel_k0 scaled_modified_bessel_k1
        spherical_bessel_j0 zeta chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v
        chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l
        legendre_polynomial_p shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u
        shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
    """.split(),
    "torch.nn.functional": """
        adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d affine_grid alpha_dropout
        avg_pool3d bilinear binary_cross_entropy channel_shuffle conv1d conv2d conv3d conv_transpose1d
        conv_transpose2d conv_transpose3d cosine_embedding_loss cross_entropy ctc_loss dropout2d embedding_bag fold
        fractional_max_pool2d fractional_max_pool3d gaussian_nll_loss gumbel_softmax hinge_embedding_loss
        instance_norm linear_cross_entropy local_response_norm lp_pool1d lp_pool2d max_pool3d max_unpool1d
        max_unpool2d max_unpool3d multilabel_margin_loss multilabel_soft_margin_loss nll_loss pixel_shuffle
        pixel_unshuffle poisson_nll_loss rrelu scaled_dot_product_attention soft_margin_loss softmin
        triplet_margin_loss unfold upsample_bilinear upsample_nearest
    """.split(),
    "torch.fft": """
        fftfreq hfft hfft2 hfftn ihfft ihfft2 ihfftn rfftfreq
    """.split(),
    "method": """
        byte short char cfloat cdouble new_empty reshape_as sum_to_size index_put
    """.split(),
}


def install(state_, builtin, replace, offsets):
    """Put the twins in place. The arguments are what ``install`` keeps: its state and helpers."""
    from .. import registry
    from . import modules

    found = modules.load("plans", offsets, ("rl_planned",), ctypes.addressof(state_.table))
    done = {}
    listed = [(where, names, functions is LAUNCHING) for functions in (LAUNCHING, CALLING)
              for key, names in functions.items() for where in ((key, "torch") if key == "method" else (key,))]
    for where, names, launches in listed:
        table = registry.METHODS if where == "method" else registry.FUNCTIONS.get(where, {})
        for name in names:
            fn = table.get(name)
            fn = getattr(fn, "__func__", fn)        # of methods that are generated functions
            if type(fn) is FunctionType and fn not in done:
                done[fn] = Planned(fn, found["rl_planned"], builtin, launches)
                replace(fn, done[fn].twin)
            elif type(fn) is BuiltinFunctionType:
                # Behind a generated function that serves other calls.
                words, fn = _last(fn)
                if fn not in done:
                    done[fn] = Planned(fn, found["rl_planned"], builtin, launches)
                    words[entry.FALLBACK] = id(done[fn].twin)
