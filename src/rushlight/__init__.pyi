"""Names of the public surface, for editors. Written by tools/make_stubs.py from the op table."""

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Iterator
from typing import Any

from . import amp as amp
from . import autograd as autograd
from . import backends as backends
from . import compat as compat
from . import cuda as cuda
from . import fft as fft
from . import linalg as linalg
from . import multiprocessing as multiprocessing
from . import nn as nn
from . import optim as optim
from . import overrides as overrides
from . import random as random
from . import return_types as return_types
from . import serialization as serialization
from . import special as special
from . import types as types
from . import utils as utils
from .autograd.modes import (
    no_grad as no_grad,
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    set_grad_enabled as set_grad_enabled,
)
from .devices import device as device
from .dtypes import dtype as dtype
from .dtypes import finfo as finfo
from .dtypes import iinfo as iinfo
from .tensor.geometry import Size as Size
from .version import __version__ as __version__

bfloat16: dtype
bool: dtype
cdouble: dtype
cfloat: dtype
chalf: dtype
complex128: dtype
complex32: dtype
complex64: dtype
double: dtype
float: dtype
float16: dtype
float32: dtype
float64: dtype
float8_e4m3fn: dtype
float8_e4m3fnuz: dtype
float8_e5m2: dtype
float8_e5m2fnuz: dtype
float8_e8m0fnu: dtype
half: dtype
int: dtype
int16: dtype
int32: dtype
int64: dtype
int8: dtype
long: dtype
short: dtype
uint16: dtype
uint32: dtype
uint64: dtype
uint8: dtype
e: _float
inf: _float
nan: _float
pi: _float
AcceleratorError: Any
Event: Any
Generator: Any
GradScaler: Any
OutOfMemoryError: Any
Stream: Any
SymBool: Any
SymFloat: Any
SymInt: Any
def are_deterministic_algorithms_enabled() -> Any:
    """Whether deterministic algorithms were asked for."""
autocast: Any
def autocast_decrement_nesting() -> Any:
    """Leave one level of contexts; returns how many remain."""
def autocast_increment_nesting() -> Any:
    """Enter one level of contexts; returns how many there are now."""
def clear_autocast_cache() -> Any:
    """Forget the casts of weights."""
def compile(model: Any = None, *, fullgraph: Any = False, dynamic: Any = None, backend: Any = None, mode: Any = None, options: Any = None, name: Any = None, disable: Any = False, recompile_limit: Any = None, isolate_recompiles: Any = False, shapes_spec: Any = None) -> Any:
    """A function or module that computes the same, faster: its kernels are captured once and run without Python."""
def cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ...) -> Any:
    """``true_fn(*operands)`` if `pred` (a bool, or a tensor of one element) else ``false_fn(*operands)``."""
default_generator: Any
def fork(func: Any, *args: Any, **kwargs: Any) -> Any:
    """A future of ``func(*args, **kwargs)``, which runs at once in this thread; an exception is kept for `wait`."""
def get_autocast_cpu_dtype(*args: Any) -> Any:
    """The same as ``get_autocast_dtype`` for 'cpu'."""
def get_autocast_dtype(device_type: Any) -> Any:
    """The type that products run in under autocast on a device type."""
def get_autocast_gpu_dtype(*args: Any) -> Any:
    """The same as ``get_autocast_dtype`` for 'cuda'."""
def get_deterministic_debug_mode() -> Any:
    """0, 1 or 2, see `set_deterministic_debug_mode`."""
def get_device_module(device: Any = None) -> Any:
    """The module of a device's type (``torch.cpu``, ``torch.cuda``); by default of the one that new tensors get."""
def get_float32_matmul_precision() -> Any:
    """The precision that ``set_float32_matmul_precision`` has set; 'highest' at first."""
def get_num_interop_threads() -> Any:
    """Threads for independent operations: as told, or the number of usable cores."""
def get_num_threads() -> Any:
    """Threads that work on a parallel job, the calling one included."""
def get_rng_state() -> Any:
    """The default generator's state, a uint8 tensor of 5056 elements."""
def initial_seed() -> Any:
    """The seed of the default generator."""
def is_anomaly_check_nan_enabled() -> _bool:
    """Whether anomaly detection checks for NaN."""
def is_anomaly_enabled() -> _bool:
    """Whether anomaly detection is on."""
def is_autocast_cache_enabled() -> _bool:
    """Whether casts of weights are kept until the outermost context ends."""
def is_autocast_cpu_enabled(*args: Any) -> _bool:
    """The same as ``is_autocast_enabled`` for 'cpu'."""
def is_autocast_enabled(device_type: Any = 'cuda') -> _bool:
    """Whether autocast is on for a device type in this thread."""
def is_deterministic_algorithms_warn_only_enabled() -> _bool:
    """Whether ops without a deterministic algorithm should warn rather than raise."""
def is_warn_always_enabled() -> _bool:
    """Whether warnings were asked for every time."""
def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: Any = None, mmap: Any = None, **pickle_load_args: Any) -> Any:
    """Load what `save` (or PyTorch's) wrote."""
def manual_seed(seed: Any) -> Any:
    """Seed the default generator and return it. See `Generator.manual_seed`."""
per_channel_affine: Any
per_channel_affine_float_qparams: Any
per_channel_symmetric: Any
per_tensor_affine: Any
per_tensor_symmetric: Any
qscheme: Any
def save(obj: Any, f: Any, pickle_module: Any = ..., pickle_protocol: Any = 2, _use_new_zipfile_serialization: Any = True, _disable_byteorder_record: Any = False) -> Any:
    """Save `obj` (tensors, modules, containers, anything picklable) as PyTorch's checkpoint format."""
def seed() -> Any:
    """Seed the default generators from the operating system's randomness; returns the seed."""
def set_anomaly_enabled(mode: Any, check_nan: Any = True) -> Any:
    """Switch anomaly mode on or off, and its check for NaN."""
def set_autocast_cache_enabled(enabled: Any) -> Any:
    """Choose whether casts of weights are kept until the outermost context ends."""
def set_autocast_cpu_dtype(*args: Any) -> Any:
    """The same as ``set_autocast_dtype`` for 'cpu'."""
def set_autocast_cpu_enabled(*args: Any) -> Any:
    """The same as ``set_autocast_enabled`` for 'cpu'."""
def set_autocast_dtype(device_type: Any, dtype: Any) -> Any:
    """Choose the type that products run in under autocast on a device type."""
def set_autocast_enabled(*args: Any, **kwargs: Any) -> Any:
    """``set_autocast_enabled(device_type, enabled)``; with one argument, the switch of ``cuda``."""
def set_autocast_gpu_dtype(*args: Any) -> Any:
    """The same as ``set_autocast_dtype`` for 'cuda'."""
def set_default_tensor_type(t: Any) -> Any:
    """Make the dtype of a tensor type, such as ``torch.DoubleTensor`` or its name, the default for floats."""
def set_deterministic_debug_mode(debug_mode: Any) -> Any:
    """The same as one setting: ``'default'`` (0), ``'warn'`` (1) or ``'error'`` (2)."""
def set_float32_matmul_precision(precision: Any) -> Any:
    """Allow float32 matrix products to be less precise where that is faster."""
def set_num_interop_threads(n: Any) -> Any:
    """Remember ``n`` for ``get_num_interop_threads``; may be called once."""
def set_num_threads(n: Any) -> Any:
    """Let ``n`` threads work on parallel jobs. Waits for the running job; 1 makes every job serial."""
def set_printoptions(precision: Any = None, threshold: Any = None, edgeitems: Any = None, linewidth: Any = None, profile: Any = None, sci_mode: Any = None) -> Any:
    """Set how tensors are printed."""
def set_rng_state(new_state: Any) -> Any:
    """Continue the default generator from `new_state`."""
def set_warn_always(b: Any) -> Any:
    """Ask for warnings every time; Python's warning filters decide here."""
def sym_float(a: Any) -> Any:
    """`a` as a float."""
def sym_int(a: Any) -> Any:
    """`a` as an int, rounded towards zero."""
def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """`t` if `b` else `f`, which are of one type."""
def sym_max(a: Any, b: Any) -> Any:
    """The larger one; a float if either is."""
def sym_min(a: Any, b: Any) -> Any:
    """The smaller one; a float if either is."""
def sym_not(a: Any) -> Any:
    """Whether `a` is false."""
def sym_sqrt(a: Any) -> Any:
    """The square root of a number."""
def sym_sum(args: Any) -> Any:
    """The sum."""
def typename(obj: Any) -> Any:
    """The name of an object's type: a tensor's ``type()``, else the class with its module."""
def use_deterministic_algorithms(mode: Any, *, warn_only: Any = False) -> Any:
    """Ask for deterministic algorithms; there are no others here."""
def vmap(func: Any, in_dims: Any = 0, out_dims: Any = 0, randomness: Any = 'error', *, chunk_size: Any = None) -> Any:
    """A function that maps `func` over a dimension of its tensor arguments, as one pass over whole batches."""
def wait(future: Any) -> Any:
    """The result of `future`, once it is there."""
def while_loop(cond_fn: Any, body_fn: Any, carried_inputs: Any) -> Any:
    """``carried_inputs = body_fn(*carried_inputs)`` while ``cond_fn(*carried_inputs)``; returns the last of them."""

class Tensor:
    """A multi-dimensional array of one dtype that can record a graph for gradients."""
    dtype: Any
    def as_subclass(self, cls: Any) -> Any:
        """The same tensor as an instance of the Tensor subclass `cls`."""
    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: Any = False, inputs: Any = None) -> None:
        """Accumulate the gradient of this tensor (weighted by `gradient`) into the leaves' ``.grad``."""
    @property
    def data(self) -> Tensor:
        """The same memory without history; changes made through it aren't seen by autograd."""
    @data.setter
    def data(self, value: Any) -> None: ...
    def data_ptr(self) -> _int:
        """Address of the first element (0 where there is none)."""
    def detach(self) -> Tensor:
        """A tensor on the same memory without history; in-place changes are seen (and counted) by both."""
    def detach_(self) -> Tensor:
        """Forget this tensor's history."""
    @property
    def device(self) -> Any:
        """Where the elements lie."""
    def dim(self) -> _int:
        """Number of dimensions."""
    def element_size(self) -> _int:
        """Bytes an element."""
    def get_device(self) -> _int:
        """Device index; -1 on the CPU."""
    @property
    def grad(self) -> Any:
        """What ``backward`` added up for this leaf (or kept, after ``retain_grad``); None before that."""
    @grad.setter
    def grad(self, value: Any) -> None: ...
    @property
    def grad_fn(self) -> Any:
        """The node that computed this tensor, None for a leaf."""
    def is_complex(self) -> _bool:
        """Whether the dtype is one of complex numbers."""
    def is_conj(self) -> _bool:
        """Whether conjugation is pending on this view."""
    def is_contiguous(self, memory_format: Any = ...) -> _bool:
        """Whether the elements lie in the order of `memory_format` without gaps."""
    @property
    def is_cpu(self) -> Any: ...
    is_cuda: Any
    def is_floating_point(self) -> _bool:
        """Whether the dtype is one of real floating point numbers."""
    def is_inference(self) -> _bool:
        """Whether the tensor was made in inference mode."""
    is_ipu: Any
    @property
    def is_leaf(self) -> Any:
        """Whether no recorded operation made this tensor."""
    is_maia: Any
    @property
    def is_meta(self) -> Any: ...
    is_mkldnn: Any
    is_mps: Any
    is_mtia: Any
    def is_neg(self) -> _bool:
        """Whether negation is pending on this view."""
    @property
    def is_nested(self) -> Any: ...
    def is_pinned(self, device: Any = None) -> _bool:
        """Whether the memory is page-locked; none is."""
    @property
    def is_quantized(self) -> Any: ...
    def is_same_size(self, other: Any) -> _bool:
        """Whether both have the same shape."""
    def is_set_to(self, tensor: Any) -> _bool:
        """Whether both are the same window on the same storage."""
    def is_shared(self) -> _bool:
        """Whether other processes can see the memory."""
    def is_signed(self) -> _bool:
        """Whether the dtype has negative numbers."""
    @property
    def is_sparse(self) -> Any: ...
    @property
    def is_sparse_csr(self) -> Any: ...
    is_vulkan: Any
    is_xla: Any
    is_xpu: Any
    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
    @property
    def itemsize(self) -> Any:
        """Bytes an element."""
    @property
    def layout(self) -> Any: ...
    name: Any
    @property
    def names(self) -> Any: ...
    @property
    def nbytes(self) -> Any:
        """Bytes of all elements."""
    @property
    def ndim(self) -> _int:
        """Number of dimensions."""
    def ndimension(self) -> _int:
        """Number of dimensions."""
    def nelement(self) -> _int:
        """Number of elements."""
    def numel(self) -> _int:
        """Number of elements."""
    def numpy(self, *, force: Any = False) -> Any:
        """The values as an ndarray that shares memory."""
    @property
    def output_nr(self) -> Any:
        """Which of its node's results this tensor is."""
    def register_hook(self, hook: Any) -> Any:
        """Call ``hook(grad)`` when this tensor's gradient is computed; a result replaces it."""
    def register_post_accumulate_grad_hook(self, hook: Any) -> Any:
        """Call ``hook(param)`` after a gradient was accumulated into this leaf."""
    @property
    def requires_grad(self) -> _bool:
        """Whether operations on this tensor are recorded for gradients."""
    @requires_grad.setter
    def requires_grad(self, value: Any) -> None: ...
    def requires_grad_(self, requires_grad: Any = True) -> Tensor:
        """Set whether gradients are recorded for this leaf; returns the tensor."""
    def retain_grad(self) -> None:
        """Have ``.grad`` filled on this non-leaf tensor, too."""
    @property
    def retains_grad(self) -> Any: ...
    def set_(self, source: Any = None, storage_offset: Any = 0, size: Any = None, stride: Any = None) -> Tensor:
        """Make this tensor a window on another storage or tensor."""
    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
    def size(self, dim: Any = None) -> Any:
        """The shape, or the size of dimension `dim`."""
    def storage(self) -> Any:
        """The storage as elements of this dtype."""
    def storage_offset(self) -> _int:
        """Position of the first element in the storage, in elements."""
    def stride(self, dim: Any = None) -> Any:
        """Strides in elements, or the one of dimension `dim`."""
    def tolist(self) -> Any:
        """The values as nested lists (a number for 0 dimensions)."""
    def untyped_storage(self) -> Any:
        """The bytes this tensor shares with its views."""
    def H(self, *args: Any, **kwargs: Any) -> Any:
        """The conjugate transpose of a matrix (``x.H``)."""
    def T(self, *args: Any, **kwargs: Any) -> Any:
        """All dimensions in reverse order (``x.T``)."""
    def _coalesced_(self, coalesced: Any) -> Any:
        """Say that the positions are distinct and in ascending order (or not), in place."""
    def _conj(self) -> Any:
        """The complex conjugate as a view that is resolved when it is read; reals as they are."""
    def _dimI(self) -> Any:
        """The number of sparse dimensions; 0 of a dense tensor."""
    def _dimV(self) -> Any:
        """The number of dense dimensions; all of a dense tensor."""
    def _index_put_impl_(self, indices: Any, values: Any, accumulate: Any = False) -> Any:
        """``input[indices] = values`` (or ``+=``, repeated positions adding up) in place."""
    def _indices(self) -> Any:
        """The coordinates (sparse_dim, nnz), whether coalesced or not."""
    def _neg_view(self) -> Any:
        """The negative as a view that is resolved when it is read."""
    def _nnz(self) -> Any:
        """The number of values (of blocks in a blocked layout)."""
    def _values(self) -> Any:
        """The values (nnz, *dense sizes), whether coalesced or not, without history."""
    def abs(self, *, out: Any = None) -> Tensor:
        """|input|; of complex numbers the modulus."""
    def abs_(self) -> Tensor:
        """In-place version of :func:`abs`."""
    def absolute(self, *, out: Any = None) -> Tensor:
        """|input|; of complex numbers the modulus."""
    def absolute_(self) -> Tensor:
        """In-place version of :func:`abs`."""
    def acos(self, *, out: Any = None) -> Tensor:
        """Arc cosine, in [0, pi]."""
    def acos_(self, *others: Any) -> Tensor:
        """In-place version of :func:`acos`."""
    def acosh(self, *, out: Any = None) -> Tensor:
        """Inverse hyperbolic cosine."""
    def acosh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`acosh`."""
    def add(self, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
        """input + alpha * other."""
    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`add`."""
    def addbmm(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        """``beta * input + alpha * sum_k batch1[k] @ batch2[k]``."""
    def addbmm_(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`addbmm`; an input that had to be expanded takes the result's size."""
    def addcdiv(self, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
        """input + value * tensor1 / tensor2; integer quotients raise."""
    def addcdiv_(self, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
        """In-place version of :func:`addcdiv`."""
    def addcmul(self, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
        """input + value * tensor1 * tensor2."""
    def addcmul_(self, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
        """In-place version of :func:`addcmul`."""
    def addmm(self, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        """``beta * input + alpha * mat1 @ mat2``; with beta 0 the input's values don't matter."""
    def addmm_(self, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`addmm`."""
    def addmv(self, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        """``beta * input + alpha * mat @ vec``."""
    def addmv_(self, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`addmv`."""
    def addr(self, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        """``beta * input + alpha * outer(vec1, vec2)``."""
    def addr_(self, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`addr`."""
    def adjoint(self) -> Any:
        """The conjugate transpose of the last two dimensions."""
    def all(self, dim: Any = None, keepdim: Any = False) -> Any:
        """Whether all elements (along `dim`) are true, that is nonzero."""
    def allclose(self, other: Any, rtol: Any = ..., atol: Any = ..., equal_nan: Any = False) -> _bool:
        """Whether all elements are close (see isclose), as a Python bool."""
    def amax(self, dim: Any = ..., keepdim: Any = False) -> Tensor:
        """The largest element over `dim` (default: all); ties share the gradient."""
    def amin(self, dim: Any = ..., keepdim: Any = False) -> Tensor:
        """The smallest element over `dim` (default: all); ties share the gradient."""
    def aminmax(self, *, dim: Any = None, keepdim: Any = False) -> Any:
        """The named tuple (min, max) over `dim`, or over all elements."""
    def angle(self) -> Any:
        """Angle of complex numbers in radians; of real ones 0 or, if negative, pi."""
    def any(self, dim: Any = None, keepdim: Any = False) -> Any:
        """Whether any element (along `dim`) is true, that is nonzero."""
    def apply_(self, callable: Any) -> Tensor:
        """Replace every element ``v`` by ``callable(v)``."""
    def arccos(self, *, out: Any = None) -> Tensor:
        """Arc cosine, in [0, pi]."""
    def arccos_(self, *others: Any) -> Tensor:
        """In-place version of :func:`acos`."""
    def arccosh(self, *, out: Any = None) -> Tensor:
        """Inverse hyperbolic cosine."""
    def arccosh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`acosh`."""
    def arcsin(self, *, out: Any = None) -> Tensor:
        """Arc sine, in [-pi/2, pi/2]."""
    def arcsin_(self, *others: Any) -> Tensor:
        """In-place version of :func:`asin`."""
    def arcsinh(self, *, out: Any = None) -> Tensor:
        """Inverse hyperbolic sine."""
    def arcsinh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`asinh`."""
    def arctan(self, *, out: Any = None) -> Tensor:
        """Arc tangent, in [-pi/2, pi/2]."""
    def arctan2(self, other: Any, *, out: Any = None) -> Tensor:
        """Angle of the point (other, input) in [-pi, pi]."""
    def arctan2_(self, other: Any) -> Tensor:
        """In-place version of :func:`atan2`."""
    def arctan_(self, *others: Any) -> Tensor:
        """In-place version of :func:`atan`."""
    def arctanh(self, *, out: Any = None) -> Tensor:
        """Inverse hyperbolic tangent."""
    def arctanh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`atanh`."""
    def argmax(self, dim: Any = None, keepdim: Any = False) -> Tensor:
        """Position of the maximum along `dim`, or in the flattened tensor; of equal ones the first."""
    def argmin(self, dim: Any = None, keepdim: Any = False) -> Tensor:
        """Position of the minimum along `dim`, or in the flattened tensor; of equal ones the first."""
    def argsort(self, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any:
        """The indices (int64, in the input's shape) that sort along `dim`: ``input.gather(dim, argsort(input, dim))``."""
    def argwhere(self) -> Any:
        """Positions of the nonzero elements, one a row."""
    def as_strided(self, size: Any, stride: Any, storage_offset: Any = None) -> Any:
        """A view with the given sizes, strides and offset (in elements of the storage)."""
    def as_strided_(self, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
        """Change this tensor's sizes, strides and offset."""
    def as_strided_scatter(self, src: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
        """A copy with the elements of an ``as_strided`` window replaced by `src`."""
    def asin(self, *, out: Any = None) -> Tensor:
        """Arc sine, in [-pi/2, pi/2]."""
    def asin_(self, *others: Any) -> Tensor:
        """In-place version of :func:`asin`."""
    def asinh(self, *, out: Any = None) -> Tensor:
        """Inverse hyperbolic sine."""
    def asinh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`asinh`."""
    def atan(self, *, out: Any = None) -> Tensor:
        """Arc tangent, in [-pi/2, pi/2]."""
    def atan2(self, other: Any, *, out: Any = None) -> Tensor:
        """Angle of the point (other, input) in [-pi, pi]."""
    def atan2_(self, other: Any) -> Tensor:
        """In-place version of :func:`atan2`."""
    def atan_(self, *others: Any) -> Tensor:
        """In-place version of :func:`atan`."""
    def atanh(self, *, out: Any = None) -> Tensor:
        """Inverse hyperbolic tangent."""
    def atanh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`atanh`."""
    def baddbmm(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        """``beta * input + alpha * batch1 @ batch2`` for batches of matrices."""
    def baddbmm_(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`baddbmm`."""
    def bernoulli(self, p: Any = None, *, generator: Any = None) -> Tensor:
        """Ones with the probabilities in `input` (or with the one probability `p`), else zeros."""
    def bernoulli_(self, p: Any = ..., *, generator: Any = None) -> Tensor:
        """Fill with ones of probability `p` (a number, or a tensor that broadcasts), else zeros."""
    def bfloat16(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.bfloat16."""
    def bincount(self, weights: Any = None, minlength: Any = 0) -> Any:
        """How often each non-negative integer occurs, or the sum of its weights."""
    def bitwise_and(self, other: Any, *, out: Any = None) -> Tensor:
        """input & other."""
    def bitwise_and_(self, other: Any) -> Tensor:
        """In-place version of :func:`bitwise_and`."""
    def bitwise_left_shift(self, other: Any, *, out: Any = None) -> Tensor:
        """input << other; 0 for shifts out of range."""
    def bitwise_left_shift_(self, other: Any) -> Tensor:
        """In-place version of :func:`bitwise_left_shift`."""
    def bitwise_not(self, *, out: Any = None) -> Any:
        """~input: all bits (of bools the truth) inverted."""
    def bitwise_not_(self) -> Tensor:
        """In-place version of :func:`bitwise_not`."""
    def bitwise_or(self, other: Any, *, out: Any = None) -> Tensor:
        """input | other."""
    def bitwise_or_(self, other: Any) -> Tensor:
        """In-place version of :func:`bitwise_or`."""
    def bitwise_right_shift(self, other: Any, *, out: Any = None) -> Tensor:
        """input >> other, arithmetic on signed types."""
    def bitwise_right_shift_(self, other: Any) -> Tensor:
        """In-place version of :func:`bitwise_right_shift`."""
    def bitwise_xor(self, other: Any, *, out: Any = None) -> Tensor:
        """input ^ other."""
    def bitwise_xor_(self, other: Any) -> Tensor:
        """In-place version of :func:`bitwise_xor`."""
    def bmm(self, mat2: Any) -> Tensor:
        """The products of two batches of matrices, (b, n, m) and (b, m, p)."""
    def bool(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.bool."""
    def broadcast_to(self, *size: Any) -> Any:
        """``expand`` to the given shape."""
    def byte(self, memory_format: Any = None) -> Any:
        """This tensor converted to torch.uint8."""
    def cauchy_(self, median: Any = 0, sigma: Any = 1, *, generator: Any = None) -> Tensor:
        """Fill with Cauchy numbers of the given median and half width."""
    def ccol_indices(self) -> Any:
        """The ccol indices of a column compressed tensor."""
    def cdouble(self, memory_format: Any = None) -> Any:
        """This tensor converted to torch.complex128."""
    def ceil(self, *, out: Any = None) -> Tensor:
        """Smallest integer not below the input."""
    def ceil_(self) -> Tensor:
        """In-place version of :func:`ceil`."""
    def cfloat(self, memory_format: Any = None) -> Any:
        """This tensor converted to torch.complex64."""
    def chalf(self, memory_format: Any = None) -> Any:
        """This tensor converted to torch.complex32."""
    def char(self, memory_format: Any = None) -> Any:
        """This tensor converted to torch.int8."""
    def cholesky(self, upper: Any = False) -> Any:
        """The Cholesky factor (see linalg.cholesky)."""
    def cholesky_inverse(self, upper: Any = False) -> Any:
        """The inverse of ``L L^H`` (``U^H U`` if upper) from the factor."""
    def cholesky_solve(self, L: Any, upper: Any = False) -> Any:
        """The solution X of ``L L^H X = B`` (``U^H U X = B`` if upper)."""
    def chunk(self, chunks: Any, dim: Any = 0) -> Any:
        """At most `chunks` parts of equal size (the last may be smaller)."""
    def clamp(self, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
        """min(max(input, min), max) with numbers or tensors as bounds; NaN stays NaN."""
    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """In-place version of :func:`clamp`."""
    def clamp_max(self, max: Any, *, out: Any = None) -> Any:
        """min(input, max)."""
    def clamp_max_(self, max: Any) -> Tensor:
        """In-place version of :func:`clamp_max`."""
    def clamp_min(self, min: Any, *, out: Any = None) -> Any:
        """max(input, min)."""
    def clamp_min_(self, min: Any) -> Tensor:
        """In-place version of :func:`clamp_min`."""
    def clip(self, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
        """min(max(input, min), max) with numbers or tensors as bounds; NaN stays NaN."""
    def clip_(self, min: Any = None, max: Any = None) -> Tensor:
        """In-place version of :func:`clamp`."""
    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy, differentiable, dense in this tensor's dimension order unless a format is given."""
    def coalesce(self) -> Any:
        """Each position once, in ascending order, with the sum of its values."""
    def col_indices(self) -> Any:
        """The col indices of a row compressed tensor."""
    def combinations(self, r: Any = 2, with_replacement: Any = False) -> Any:
        """Combinations of `r` elements of a 1-D tensor, as rows."""
    def conj(self) -> Any:
        """The complex conjugate as a view that is resolved when it is read; reals as they are."""
    def conj_physical(self) -> Any:
        """The complex conjugate, computed at once; reals as they are."""
    def conj_physical_(self) -> Tensor:
        """In-place version of :func:`conj_physical`."""
    def const_data_ptr(self) -> Any:
        """Address of the first element, for reading."""
    def contiguous(self, memory_format: Any = ...) -> Tensor:
        """This tensor if it lies in the given order without gaps, else a copy that does."""
    def copy_(self, src: Any, non_blocking: Any = False) -> Tensor:
        """Copy the (broadcast) elements of `src` into this tensor, converting the dtype."""
    def copysign(self, other: Any, *, out: Any = None) -> Tensor:
        """|input| with the sign of `other`."""
    def copysign_(self, other: Any) -> Tensor:
        """In-place version of :func:`copysign`."""
    def corrcoef(self) -> Any:
        """Correlation coefficients of variables in rows: cov(input), each entry over both deviations."""
    def cos(self, *, out: Any = None) -> Tensor:
        """Cosine of an angle in radians."""
    def cos_(self, *others: Any) -> Tensor:
        """In-place version of :func:`cos`."""
    def cosh(self, *, out: Any = None) -> Tensor:
        """Hyperbolic cosine."""
    def cosh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`cosh`."""
    def count_nonzero(self, dim: Any = None) -> Any:
        """The number of nonzero elements (along `dim`) as int64."""
    def cov(self, *, correction: Any = 1, fweights: Any = None, aweights: Any = None) -> Any:
        """Covariance matrix of variables in rows, observations in columns."""
    def cpu(self, memory_format: Any = None) -> Tensor:
        """This tensor on the CPU."""
    def cross(self, other: Any, dim: Any = None) -> Any:
        """The cross product along `dim` (by default the first dimension of size 3)."""
    def crow_indices(self) -> Any:
        """The crow indices of a row compressed tensor."""
    def cuda(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """Raises: there is no CUDA back end."""
    def cummax(self, dim: Any) -> Any:
        """Running maximum along `dim` as the named tuple (values, indices); of equal ones the last."""
    def cummin(self, dim: Any) -> Any:
        """Running minimum along `dim` as the named tuple (values, indices); of equal ones the last."""
    def cumprod(self, dim: Any, *, dtype: Any = None) -> Tensor:
        """Products of the elements up to each position along `dim`; integers as int64."""
    def cumprod_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`cumprod`."""
    def cumsum(self, dim: Any, *, dtype: Any = None) -> Tensor:
        """Sums of the elements up to each position along `dim`; integers as int64."""
    def cumsum_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`cumsum`."""
    def deg2rad(self, *, out: Any = None) -> Tensor:
        """Degrees to radians."""
    def deg2rad_(self) -> Tensor:
        """In-place version of :func:`deg2rad`."""
    def dense_dim(self) -> Any:
        """The number of dense dimensions; all of a dense tensor."""
    def dequantize(self) -> Any:
        """The numbers that a quantized tensor stands for, float32; of a sequence, a tuple."""
    def det(self) -> Any:
        """The determinant of square matrices."""
    def diag(self, diagonal: Any = 0) -> Tensor:
        """A matrix with the vector on its diagonal, or the diagonal of a matrix (a copy)."""
    def diag_embed(self, offset: Any = 0, dim1: Any = -2, dim2: Any = -1) -> Any:
        """Matrices with the last dimension of `input` on a diagonal."""
    def diagflat(self, offset: Any = 0) -> Any:
        """A matrix with all elements of `input` on its diagonal."""
    def diagonal(self, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Tensor:
        """The diagonals of the planes of dimensions `dim1` and `dim2`, as the last dimension."""
    def diagonal_scatter(self, src: Any, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Any:
        """A copy with a diagonal replaced by `src`."""
    def diff(self, n: Any = 1, dim: Any = -1, prepend: Any = None, append: Any = None) -> Any:
        """n-th difference of neighbours along `dim`, of bools by xor."""
    def digamma(self, *, out: Any = None) -> Tensor:
        """Derivative of lgamma."""
    def digamma_(self) -> Tensor:
        """In-place version of :func:`digamma`."""
    def dim_order(self, *, ambiguity_check: Any = False) -> Any:
        """The dimensions from the one with the largest stride to the one with the smallest."""
    def dist(self, other: Any, p: Any = 2) -> Any:
        """The p-norm of input - other."""
    def div(self, other: Any, *, rounding_mode: Any = None, out: Any = None) -> Tensor:
        """input / other; rounded toward zero with ``'trunc'``, down with ``'floor'``."""
    def div_(self, other: Any, *, rounding_mode: Any = None) -> Tensor:
        """In-place version of :func:`div`."""
    def divide(self, other: Any, *, rounding_mode: Any = None, out: Any = None) -> Tensor:
        """input / other; rounded toward zero with ``'trunc'``, down with ``'floor'``."""
    def divide_(self, other: Any, *, rounding_mode: Any = None) -> Tensor:
        """In-place version of :func:`div`."""
    def dot(self, tensor: Any) -> Tensor:
        """The sum of products of two vectors (nothing is conjugated)."""
    def double(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.float64."""
    def dsplit(self, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
        """tensor_split along a fixed dimension; a number of parts must divide its size."""
    def eq(self, other: Any, *, out: Any = None) -> Tensor:
        """input == other, element by element."""
    def eq_(self, other: Any) -> Tensor:
        """In-place version of :func:`eq`."""
    def equal(self, other: Any) -> _bool:
        """Whether both have the same shape and the same elements, as a Python bool."""
    def erf(self, *, out: Any = None) -> Tensor:
        """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to input."""
    def erf_(self) -> Tensor:
        """In-place version of :func:`erf`."""
    def erfc(self, *, out: Any = None) -> Tensor:
        """1 - erf(input), accurate for large input."""
    def erfc_(self) -> Tensor:
        """In-place version of :func:`erfc`."""
    def erfinv(self, *, out: Any = None) -> Tensor:
        """Inverse of erf on (-1, 1)."""
    def erfinv_(self) -> Tensor:
        """In-place version of :func:`erfinv`."""
    def exp(self, *, out: Any = None) -> Tensor:
        """e ** input."""
    def exp2(self, *, out: Any = None) -> Tensor:
        """2 ** input."""
    def exp2_(self, *others: Any) -> Tensor:
        """In-place version of :func:`exp2`."""
    def exp_(self, *others: Any) -> Tensor:
        """In-place version of :func:`exp`."""
    def expand(self, *size: Any, implicit: Any = False) -> Tensor:
        """A view in which dimensions of size 1 are repeated without copying (-1 keeps a dimension)."""
    def expand_as(self, other: Any) -> Tensor:
        """``expand`` to the shape of `other`."""
    def expm1(self, *, out: Any = None) -> Tensor:
        """e ** input - 1, accurate near 0."""
    def expm1_(self, *others: Any) -> Tensor:
        """In-place version of :func:`expm1`."""
    def exponential_(self, lambd: Any = 1, *, generator: Any = None) -> Tensor:
        """Fill with exponential numbers of rate `lambd`."""
    def fill(self, value: Any) -> Any:
        """A copy with every element set to `value`."""
    def fill_(self, value: Any) -> Tensor:
        """Set every element to a number or the value of a 0-dim tensor."""
    def fill_diagonal_(self, fill_value: Any, wrap: Any = False) -> Tensor:
        """Write `fill_value` to the main diagonal (of a tall matrix repeatedly, if `wrap`)."""
    def fix(self, *, out: Any = None) -> Tensor:
        """The input without its fraction."""
    def fix_(self) -> Tensor:
        """In-place version of :func:`trunc`."""
    def flatten(self, start_dim: Any = 0, end_dim: Any = -1) -> Tensor:
        """Dimensions `start_dim` to `end_dim` merged into one."""
    def flip(self, *args: Any, dims: Any = None) -> Tensor:
        """Elements in reverse order along the given dimensions."""
    def fliplr(self) -> Any:
        """Columns in reverse order."""
    def flipud(self) -> Any:
        """Rows in reverse order."""
    def float(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.float32."""
    def float_power(self, exponent: Any, *, out: Any = None) -> Any:
        """input ** exponent in double precision (complex128 if either is complex)."""
    def float_power_(self, exponent: Any) -> Tensor:
        """In-place version of :func:`float_power`."""
    def floor(self, *, out: Any = None) -> Tensor:
        """Largest integer not above the input."""
    def floor_(self) -> Tensor:
        """In-place version of :func:`floor`."""
    def floor_divide(self, other: Any, *, out: Any = None) -> Tensor:
        """floor(input / other); integers stay integers, a zero among them raises."""
    def floor_divide_(self, other: Any) -> Tensor:
        """In-place version of :func:`floor_divide`."""
    def fmax(self, other: Any, *, out: Any = None) -> Tensor:
        """The larger of two elements; a NaN loses to a number."""
    def fmin(self, other: Any, *, out: Any = None) -> Tensor:
        """The smaller of two elements; a NaN loses to a number."""
    def fmod(self, other: Any, *, out: Any = None) -> Any:
        """Remainder of the division rounded toward zero; has the sign of `input`."""
    def fmod_(self, other: Any) -> Tensor:
        """In-place version of :func:`fmod`."""
    def frac(self, *, out: Any = None) -> Tensor:
        """input - trunc(input)."""
    def frac_(self) -> Tensor:
        """In-place version of :func:`frac`."""
    def frexp(self, *, out: Any = None) -> Any:
        """The named tuple (mantissa, exponent) with input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1."""
    def gather(self, dim: Any, index: Any, *, sparse_grad: Any = False) -> Tensor:
        """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: values picked along `dim`."""
    def gcd(self, other: Any) -> Any:
        """Greatest common divisor, not negative."""
    def gcd_(self, other: Any) -> Tensor:
        """In-place version of :func:`gcd`."""
    def ge(self, other: Any, *, out: Any = None) -> Tensor:
        """input >= other, element by element."""
    def ge_(self, other: Any) -> Tensor:
        """In-place version of :func:`ge`."""
    def geometric_(self, p: Any, *, generator: Any = None) -> Tensor:
        """Fill with the numbers of trials up to the first success of probability `p`."""
    def geqrf(self) -> Any:
        """The QR factorization as LAPACK stores it: R and Householder vectors in one matrix, and factors."""
    def ger(self, vec2: Any) -> Any:
        """All products of the elements of two vectors."""
    def grad_dtype(self, *args: Any, **kwargs: Any) -> Any:
        """The dtype of this tensor's gradient: its own."""
    def greater(self, other: Any, *, out: Any = None) -> Tensor:
        """input > other, element by element."""
    def greater_(self, other: Any) -> Tensor:
        """In-place version of :func:`gt`."""
    def greater_equal(self, other: Any, *, out: Any = None) -> Tensor:
        """input >= other, element by element."""
    def greater_equal_(self, other: Any) -> Tensor:
        """In-place version of :func:`ge`."""
    def gt(self, other: Any, *, out: Any = None) -> Tensor:
        """input > other, element by element."""
    def gt_(self, other: Any) -> Tensor:
        """In-place version of :func:`gt`."""
    def half(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.float16."""
    def hardshrink(self, *args: Any, **kwargs: Any) -> Any:
        """x where |x| > lambd, else 0."""
    def hash_tensor(self, dim: Any = ..., *, keepdim: Any = False, mode: Any = 0) -> Any:
        """The exclusive or over `dim` (default: all) of the elements' bits, widened to float64 or int64, as uint64."""
    def heaviside(self, values: Any, *, out: Any = None) -> Any:
        """0 for negative, `values` for zero, 1 for positive input."""
    def heaviside_(self, values: Any) -> Tensor:
        """In-place version of :func:`heaviside`."""
    def histc(self, bins: Any = 100, min: Any = 0, max: Any = 0) -> Any:
        """How many elements lie in each of `bins` equal parts of [min, max] (the data's range if equal)."""
    def histogram(self, bins: Any, *, range: Any = None, weight: Any = None, density: Any = False, out: Any = None) -> Any:
        """(hist, bin_edges) of the flattened input; `bins` a number or increasing edges."""
    def hsplit(self, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
        """tensor_split along a fixed dimension; a number of parts must divide its size."""
    def hypot(self, other: Any, *, out: Any = None) -> Tensor:
        """sqrt(input**2 + other**2) without overflow."""
    def hypot_(self, other: Any) -> Tensor:
        """In-place version of :func:`hypot`."""
    def i0(self, *, out: Any = None) -> Tensor:
        """Modified Bessel function, order 0."""
    def i0_(self) -> Tensor:
        """In-place version of :func:`i0`."""
    def igamma(self, other: Any) -> Any:
        """Regularized lower incomplete gamma function of a = input, x = other."""
    def igamma_(self, other: Any) -> Tensor:
        """In-place version of :func:`igamma`."""
    def igammac(self, other: Any) -> Any:
        """Regularized upper incomplete gamma function of a = input, x = other."""
    def igammac_(self, other: Any) -> Tensor:
        """In-place version of :func:`igammac`."""
    def imag(self, *args: Any, **kwargs: Any) -> Any:
        """A view of the imaginary parts."""
    def index_add(self, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> Any:
        """A copy with ``alpha * source`` added to the slices `index` of dimension `dim`."""
    def index_add_(self, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
        """Add ``alpha * source`` to the slices `index` of dimension `dim`."""
    def index_copy(self, dim: Any, index: Any, source: Any) -> Any:
        """A copy with the slices `index` of dimension `dim` replaced by those of `source`."""
    def index_copy_(self, dim: Any, index: Any, source: Any) -> Tensor:
        """Replace the slices `index` of dimension `dim` by those of `source`."""
    def index_fill(self, dim: Any, index: Any, value: Any) -> Any:
        """A copy with the slices `index` of dimension `dim` set to `value`."""
    def index_fill_(self, dim: Any, index: Any, value: Any) -> Tensor:
        """Set the slices `index` of dimension `dim` to `value`."""
    def index_put(self, indices: Any, values: Any, accumulate: Any = False) -> Any:
        """A copy of `input` with ``[indices]`` set to `values` (or increased by them)."""
    def index_put_(self, indices: Any, values: Any, accumulate: Any = False) -> Tensor:
        """``input[indices] = values`` (or ``+=``, repeated positions adding up) in place."""
    def index_reduce(self, dim: Any, index: Any, source: Any, reduce: Any, *, include_self: Any = True) -> Any:
        """Slices of `source` reduced (prod, mean, amax, amin) into the slices `index` of dimension `dim`."""
    def index_reduce_(self, dim: Any, index: Any, source: Any, reduce: Any, *, include_self: Any = True) -> Tensor:
        """In-place version of :func:`index_reduce`."""
    def index_select(self, dim: Any, index: Any) -> Tensor:
        """The slices of dimension `dim` at the positions `index` (a vector), copied."""
    def indices(self) -> Any:
        """The coordinates (sparse_dim, nnz) of a coalesced tensor."""
    def inner(self, other: Any) -> Any:
        """Sums of products over the last dimensions of both."""
    def int(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.int32."""
    def int_repr(self) -> Any:
        """The codes of a quantized tensor, as int8, uint8 or int32."""
    def inverse(self) -> Any:
        """Alias of linalg.inv."""
    def ipu(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """Raises: there is no IPU back end."""
    def is_coalesced(self) -> _bool:
        """Whether the positions are known to be distinct and in ascending order."""
    def is_nonzero(self) -> _bool:
        """Whether a one-element tensor is not zero."""
    def isclose(self, other: Any, rtol: Any = ..., atol: Any = ..., equal_nan: Any = False) -> Any:
        """|input - other| <= atol + rtol * |other|, or equal; NaN are close only with equal_nan."""
    def isfinite(self, *, out: Any = None) -> Tensor:
        """Whether the input is neither infinite nor NaN."""
    def isinf(self, *, out: Any = None) -> Tensor:
        """Whether the input (or either part) is infinite."""
    def isnan(self, *, out: Any = None) -> Tensor:
        """Whether the input is NaN (in either part)."""
    def isneginf(self, *, out: Any = None) -> Tensor:
        """Whether the input is -inf."""
    def isposinf(self, *, out: Any = None) -> Tensor:
        """Whether the input is +inf."""
    def isreal(self) -> Any:
        """Whether the imaginary part is zero; true for real types."""
    def istft(self, n_fft: Any, hop_length: Any = None, win_length: Any = None, window: Any = None, center: Any = True, normalized: Any = False, onesided: Any = None, length: Any = None, return_complex: Any = False) -> Any:
        """The signal whose `stft` is `input`, in the sense of least squares."""
    def kron(self, other: Any) -> Any:
        """The Kronecker product."""
    def kthvalue(self, k: Any, dim: Any = -1, keepdim: Any = False, *, out: Any = None) -> Any:
        """The k-th smallest element along `dim` (k counts from 1), as (values, indices)."""
    def lcm(self, other: Any) -> Any:
        """Least common multiple, not negative."""
    def lcm_(self, other: Any) -> Tensor:
        """In-place version of :func:`lcm`."""
    def ldexp(self, other: Any, *, out: Any = None) -> Tensor:
        """input * 2 ** other."""
    def ldexp_(self, other: Any) -> Tensor:
        """In-place version of :func:`ldexp`."""
    def le(self, other: Any, *, out: Any = None) -> Tensor:
        """input <= other, element by element."""
    def le_(self, other: Any) -> Tensor:
        """In-place version of :func:`le`."""
    def lerp(self, end: Any, weight: Any, *, out: Any = None) -> Any:
        """input + weight * (end - input), exact at both ends; all of one dtype."""
    def lerp_(self, end: Any, weight: Any) -> Tensor:
        """In-place version of :func:`lerp`."""
    def less(self, other: Any, *, out: Any = None) -> Tensor:
        """input < other, element by element."""
    def less_(self, other: Any) -> Tensor:
        """In-place version of :func:`lt`."""
    def less_equal(self, other: Any, *, out: Any = None) -> Tensor:
        """input <= other, element by element."""
    def less_equal_(self, other: Any) -> Tensor:
        """In-place version of :func:`le`."""
    def lgamma(self, *, out: Any = None) -> Tensor:
        """log |Gamma(input)|."""
    def lgamma_(self) -> Tensor:
        """In-place version of :func:`lgamma`."""
    def log(self, *, out: Any = None) -> Tensor:
        """Natural logarithm."""
    def log10(self, *, out: Any = None) -> Tensor:
        """Logarithm to base 10."""
    def log10_(self, *others: Any) -> Tensor:
        """In-place version of :func:`log10`."""
    def log1p(self, *, out: Any = None) -> Tensor:
        """log(1 + input), accurate near 0."""
    def log1p_(self, *others: Any) -> Tensor:
        """In-place version of :func:`log1p`."""
    def log2(self, *, out: Any = None) -> Tensor:
        """Logarithm to base 2."""
    def log2_(self, *others: Any) -> Tensor:
        """In-place version of :func:`log2`."""
    def log_(self, *others: Any) -> Tensor:
        """In-place version of :func:`log`."""
    def log_normal_(self, mean: Any = 1, std: Any = 2, *, generator: Any = None) -> Tensor:
        """Fill with ``exp(z)``, z normal with the given mean and standard deviation."""
    def log_softmax(self, dim: Any, dtype: Any = None) -> Tensor:
        """log(softmax(input)) along `dim`, without overflow."""
    def logaddexp(self, other: Any, *, out: Any = None) -> Any:
        """log(exp(input) + exp(other))."""
    def logaddexp2(self, other: Any, *, out: Any = None) -> Any:
        """log2(2**input + 2**other)."""
    def logcumsumexp(self, dim: Any) -> Any:
        """log of the sums of exp(input) up to each position along `dim`, without overflow."""
    def logdet(self) -> Any:
        """The logarithm of the determinant (NaN where it is negative)."""
    def logical_and(self, other: Any, *, out: Any = None) -> Tensor:
        """Whether input and other are both nonzero."""
    def logical_and_(self, other: Any) -> Tensor:
        """In-place version of :func:`logical_and`."""
    def logical_not(self, *, out: Any = None) -> Tensor:
        """Whether the input is zero."""
    def logical_not_(self, *others: Any) -> Tensor:
        """In-place version of :func:`logical_not`."""
    def logical_or(self, other: Any, *, out: Any = None) -> Tensor:
        """Whether input or other is nonzero."""
    def logical_or_(self, other: Any) -> Tensor:
        """In-place version of :func:`logical_or`."""
    def logical_xor(self, other: Any, *, out: Any = None) -> Tensor:
        """Whether exactly one of input and other is nonzero."""
    def logical_xor_(self, other: Any) -> Tensor:
        """In-place version of :func:`logical_xor`."""
    def logit(self, eps: Any = None, *, out: Any = None) -> Any:
        """log(x / (1 - x)), with x clamped to [eps, 1 - eps] when `eps` is given."""
    def logit_(self, eps: Any = None) -> Tensor:
        """In-place version of :func:`logit`."""
    def logsumexp(self, dim: Any, keepdim: Any = False) -> Tensor:
        """log(sum(exp(input))) over `dim` without overflow; integers in the default float type."""
    def long(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.int64."""
    def lt(self, other: Any, *, out: Any = None) -> Tensor:
        """input < other, element by element."""
    def lt_(self, other: Any) -> Tensor:
        """In-place version of :func:`lt`."""
    def lu(self, pivot: Any = True, get_infos: Any = False) -> Any:
        """Compact LU factorization and pivots (deprecated: linalg.lu_factor)."""
    def lu_solve(self, LU_data: Any, LU_pivots: Any) -> Any:
        """The solution of ``A X = B`` from the compact factorization of A (see linalg.lu_solve)."""
    def mH(self, *args: Any, **kwargs: Any) -> Any:
        """Transpose of the last two dimensions, conjugated for complex input."""
    def mT(self, *args: Any, **kwargs: Any) -> Any:
        """Transpose of the last two dimensions."""
    def map2_(self, x: Any, y: Any, callable: Any) -> Tensor:
        """Replace every element ``v`` by ``callable(v, w, u)``, w and u being those of `x` and `y`, which broadcast."""
    def map_(self, tensor: Any, callable: Any) -> Tensor:
        """Replace every element ``v`` by ``callable(v, w)``, w being that of `tensor`, which broadcasts."""
    def masked_fill(self, mask: Any, value: Any) -> Any:
        """A copy with `value` where `mask` is True."""
    def masked_fill_(self, mask: Any, value: Any) -> Tensor:
        """Write `value` where `mask` is True."""
    def masked_scatter(self, mask: Any, source: Any) -> Any:
        """A copy with consecutive elements of `source` where `mask` is True."""
    def masked_scatter_(self, mask: Any, source: Any) -> Tensor:
        """Write consecutive elements of `source` where `mask` is True."""
    def masked_select(self, mask: Any) -> Tensor:
        """The elements where `mask` is True, as a vector."""
    def matmul(self, other: Any) -> Tensor:
        """The matrix product by rank: dot, matrix with vector, matrices, or batches that broadcast."""
    def matrix_exp(self) -> Any:
        """The exponential of square matrices."""
    def matrix_power(self, n: Any) -> Any:
        """The n-th power of square matrices, of their inverses for negative n."""
    def max(self, dim: Any = None, keepdim: Any = False, *, other: Any = None, out: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
        """The maximum of all elements; with `dim` the named tuple (values, indices) along it, the first of equal ones; with a second tensor the elementwise maximum."""
    def maximum(self, other: Any, *, out: Any = None) -> Tensor:
        """The larger of two elements; NaN if either is NaN."""
    def mean(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Average over `dim`; integer tensors need a floating `dtype`."""
    def median(self, dim: Any = None, keepdim: Any = False, *, out: Any = None) -> Any:
        """The lower median of all elements, or along `dim` as (values, indices); NaN if there is one."""
    def min(self, dim: Any = None, keepdim: Any = False, *, other: Any = None, out: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
        """The minimum of all elements; with `dim` the named tuple (values, indices) along it, the first of equal ones; with a second tensor the elementwise minimum."""
    def minimum(self, other: Any, *, out: Any = None) -> Tensor:
        """The smaller of two elements; NaN if either is NaN."""
    def mm(self, mat2: Any) -> Tensor:
        """The product of two matrices."""
    def mode(self, dim: Any = -1, keepdim: Any = False, *, out: Any = None) -> Any:
        """The most frequent value along `dim` (the smallest of several), and its last position."""
    def module_load(self, other: Any, assign: Any = False) -> Any:
        """How ``load_state_dict`` puts `other` into this tensor: copied, or detached to stand for it (`assign`)."""
    def moveaxis(self, source: Any, destination: Any) -> Any:
        """Dimensions `source` moved to the positions `destination`, the others keeping their order."""
    def movedim(self, source: Any, destination: Any) -> Any:
        """Dimensions `source` moved to the positions `destination`, the others keeping their order."""
    def msort(self) -> Any:
        """The elements sorted along the first dimension, smallest first: ``sort(input, 0).values``."""
    def mtia(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """Raises: there is no MTIA back end."""
    def mul(self, other: Any, *, out: Any = None) -> Tensor:
        """input * other."""
    def mul_(self, *others: Any) -> Tensor:
        """In-place version of :func:`mul`."""
    def multinomial(self, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> Tensor:
        """`num_samples` indices a row, drawn with the weights in `input` (1-d or 2-d), as int64."""
    def multiply(self, other: Any, *, out: Any = None) -> Tensor:
        """input * other."""
    def multiply_(self, *others: Any) -> Tensor:
        """In-place version of :func:`mul`."""
    def mv(self, vec: Any) -> Any:
        """The product of a matrix and a vector."""
    def mvlgamma(self, p: Any) -> Any:
        """log of the multivariate gamma function of dimension `p`; input > (p - 1) / 2."""
    def mvlgamma_(self, p: Any) -> Tensor:
        """In-place version of :func:`mvlgamma`."""
    def nan_to_num(self, nan: Any = None, posinf: Any = None, neginf: Any = None, *, out: Any = None) -> Any:
        """NaN, +inf and -inf replaced: by 0 and the type's largest and smallest numbers unless told."""
    def nan_to_num_(self, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Tensor:
        """In-place version of :func:`nan_to_num`."""
    def nanmean(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
        """Average over `dim` of what is not NaN."""
    def nanmedian(self, dim: Any = None, keepdim: Any = False, *, out: Any = None) -> Any:
        """The lower median of what is not NaN."""
    def nanquantile(self, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Any:
        """The q-quantiles along `dim` of what is not NaN."""
    def nansum(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
        """Sum over `dim` with NaN counted as 0."""
    def narrow(self, dim: Any, start: Any, length: Any) -> Tensor:
        """`length` elements of dimension `dim` from `start` on."""
    def narrow_copy(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the view op ``narrow``, copied."""
    def ne(self, other: Any, *, out: Any = None) -> Tensor:
        """input != other, element by element."""
    def ne_(self, other: Any) -> Tensor:
        """In-place version of :func:`ne`."""
    def neg(self, *, out: Any = None) -> Tensor:
        """-input; bool tensors raise."""
    def neg_(self) -> Tensor:
        """In-place version of :func:`neg`."""
    def negative(self, *, out: Any = None) -> Tensor:
        """-input; bool tensors raise."""
    def negative_(self) -> Tensor:
        """In-place version of :func:`neg`."""
    def new(self, *args: Any, device: Any = None) -> Any:
        """The legacy constructor with this tensor's dtype."""
    def new_empty(self, *args: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False, layout: Any = None, pin_memory: Any = False, size: Any = None) -> Any:
        """An uninitialised tensor of the given shape. Dtype and device are this tensor's unless given."""
    def new_empty_strided(self, size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Any:
        """An uninitialised tensor with the given strides, of this tensor's dtype unless given."""
    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, layout: Any = None, pin_memory: Any = False) -> Any:
        """A tensor of the given shape filled with a number, of this tensor's dtype unless given."""
    def new_ones(self, *args: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False, layout: Any = None, pin_memory: Any = False, size: Any = None) -> Any:
        """A tensor of the given shape filled with 1. Dtype and device are this tensor's unless given."""
    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, layout: Any = None, pin_memory: Any = False) -> Any:
        """A new leaf with a copy of `data`, of this tensor's dtype and device unless given."""
    def new_zeros(self, *args: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False, layout: Any = None, pin_memory: Any = False, size: Any = None) -> Any:
        """A tensor of the given shape filled with 0. Dtype and device are this tensor's unless given."""
    def nextafter(self, other: Any, *, out: Any = None) -> Any:
        """The next floating-point number after `input` towards `other`."""
    def nextafter_(self, other: Any) -> Tensor:
        """In-place version of :func:`nextafter`."""
    def nonzero(self, *, as_tuple: Any = False) -> Any:
        """Positions of the nonzero elements: rows of an (n, dims) tensor, or a tuple of 1-D tensors."""
    def nonzero_static(self, *, size: Any, fill_value: Any = -1) -> Any:
        """``nonzero`` cut or filled with `fill_value` to exactly `size` rows."""
    def norm(self, p: Any = 'fro', dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Tensor:
        """The p-norm of the elements over `dim`; ``'fro'`` is 2, ``'nuc'`` the sum of singular values."""
    def normal_(self, mean: Any = 0, std: Any = 1, *, generator: Any = None) -> Tensor:
        """Fill with normal numbers of the given mean and standard deviation."""
    def not_equal(self, other: Any, *, out: Any = None) -> Tensor:
        """input != other, element by element."""
    def not_equal_(self, other: Any) -> Tensor:
        """In-place version of :func:`ne`."""
    def orgqr(self, input2: Any) -> Any:
        """Alias of linalg.householder_product."""
    def ormqr(self, input2: Any, input3: Any, left: Any = True, transpose: Any = False) -> Any:
        """The product of Q (all of it, from Householder reflections) with a matrix."""
    def outer(self, vec2: Any) -> Tensor:
        """All products of the elements of two vectors."""
    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in the given order."""
    def pin_memory(self, device: Any = None) -> Any:
        """Raises: there is no pinned-memory allocator."""
    def pinverse(self, rcond: Any = ...) -> Any:
        """The Moore-Penrose inverse (see linalg.pinv)."""
    def polygamma(self, n: Any) -> Any:
        """n-th derivative of digamma at this tensor."""
    def polygamma_(self, n: Any) -> Tensor: ...
    def positive(self) -> Any:
        """The input itself; bool tensors raise."""
    def pow(self, exponent: Any, *, out: Any = None) -> Any:
        """input ** exponent; either may be a number."""
    def pow_(self, exponent: Any) -> Tensor:
        """In-place version of :func:`pow`."""
    def prelu(self, weight: Any) -> Any:
        """input where positive, else weight * input; one weight, or one a channel (dimension 1)."""
    def prod(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Product over `dim` (an int) or of all elements; integers and bools as int64."""
    def put(self, index: Any, source: Any, accumulate: Any = False) -> Any:
        """A copy with elements of the flattened tensor replaced by (or increased by) `source`."""
    def put_(self, index: Any, source: Any, accumulate: Any = False) -> Tensor:
        """Replace (or increase) elements, addressed as in the flattened tensor."""
    def q_per_channel_axis(self) -> Any:
        """The dimension along which scales differ; RuntimeError for others."""
    def q_per_channel_scales(self) -> Any:
        """The scales of a tensor quantized per channel; RuntimeError for others."""
    def q_per_channel_zero_points(self) -> Any:
        """The codes of 0 of a tensor quantized per channel; RuntimeError for others."""
    def q_scale(self) -> Any:
        """The scale of a tensor quantized as a whole; RuntimeError for others."""
    def q_zero_point(self) -> Any:
        """The code of 0 of a tensor quantized as a whole; RuntimeError for others."""
    def qr(self, some: Any = True) -> Any:
        """Q and R of ``A = Q R`` (deprecated: linalg.qr)."""
    def qscheme(self) -> Any:
        """The scheme of a quantized tensor: ``torch.per_tensor_affine``, ``torch.per_channel_affine``, ..."""
    def quantile(self, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Any:
        """The q-quantiles along `dim`, NaN where the data have one; q comes first in the result's shape."""
    def rad2deg(self, *, out: Any = None) -> Tensor:
        """Radians to degrees."""
    def rad2deg_(self) -> Tensor:
        """In-place version of :func:`rad2deg`."""
    def random_(self, *args: Any, generator: Any = None, **kwargs: Any) -> Tensor:
        """Fill with integers uniform in ``[from, to)``; also ``random_(to)`` and ``random_()``."""
    def ravel(self) -> Any:
        """The elements as one dimension: a view if contiguous, else a copy."""
    def real(self, *args: Any, **kwargs: Any) -> Any:
        """A view of the real parts (reals as they are)."""
    def reciprocal(self, *, out: Any = None) -> Tensor:
        """1 / input."""
    def reciprocal_(self, *others: Any) -> Tensor:
        """In-place version of :func:`reciprocal`."""
    def record_stream(self, stream: Any) -> Any:
        """Tell the allocator that a stream uses this tensor: work is done when a call returns here."""
    def relu(self, *args: Any, **kwargs: Any) -> Tensor:
        """max(input, 0)."""
    def relu_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`relu`."""
    def remainder(self, other: Any, *, out: Any = None) -> Any:
        """Remainder of the division rounded down (Python's ``%``)."""
    def remainder_(self, other: Any) -> Tensor:
        """In-place version of :func:`remainder`."""
    def renorm(self, p: Any, dim: Any, maxnorm: Any) -> Any:
        """Slices along `dim` scaled down so that their p-norm is at most `maxnorm`."""
    def renorm_(self, p: Any, dim: Any, maxnorm: Any) -> Tensor:
        """In-place version of :func:`renorm`."""
    def repeat(self, *repeats: Any) -> Tensor:
        """The tensor tiled `repeats` times along each dimension."""
    def repeat_interleave(self, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
        """Every element (or slice of `dim`) repeated; `repeats` is a number or one number each."""
    def reshape(self, *shape: Any) -> Tensor:
        """The elements in row-major order in a new shape: a view where strides allow, else a copy."""
    def reshape_as(self, other: Any) -> Any:
        """``reshape`` to the shape of `other`."""
    def resize(self, *size: Any) -> Any:
        """A tensor on the same elements in another shape of equal size (deprecated)."""
    def resize_(self, *size: Any, memory_format: Any = None) -> Tensor:
        """Give this tensor another shape; its storage grows if it must, elements stay in storage order."""
    def resize_as(self, tensor: Any) -> Any:
        """``resize`` to the shape of another tensor."""
    def resize_as_(self, the_template: Any, *, memory_format: Any = None) -> Tensor:
        """``resize_`` to the shape of another tensor."""
    def resolve_conj(self) -> Any:
        """A tensor without pending conjugation: `input` itself, or a copy."""
    def resolve_neg(self) -> Any:
        """A tensor without pending negation: `input` itself, or a copy."""
    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """Elements moved cyclically by `shifts` along `dims` (of the flattened tensor without dims)."""
    def rot90(self, k: Any = 1, dims: Any = ...) -> Any:
        """Rotation by k quarter turns in the plane of two dimensions, from the first to the second."""
    def round(self, *, decimals: Any = 0, out: Any = None) -> Tensor:
        """Nearest integer, ties to even; with `decimals` the nearest multiple of 10 ** -decimals."""
    def round_(self, *, decimals: Any = 0) -> Tensor:
        """In-place version of :func:`round`."""
    def row_indices(self) -> Any:
        """The row indices of a column compressed tensor."""
    def rsqrt(self, *, out: Any = None) -> Tensor:
        """1 / sqrt(input)."""
    def rsqrt_(self, *others: Any) -> Tensor:
        """In-place version of :func:`rsqrt`."""
    def rsub(self, other: Any, *, alpha: Any = 1) -> Any:
        """other - alpha * input."""
    def scatter(self, dim: Any, index: Any, src: Any = None, *, reduce: Any = None, value: Any = None) -> Any:
        """A copy with ``[index[i][j]][j] = src[i][j]`` (for dim 0), `src` a tensor or a number."""
    def scatter_(self, dim: Any, index: Any, src: Any = None, *, reduce: Any = None, value: Any = None) -> Tensor:
        """``self[index[i][j]][j] = src[i][j]`` (for dim 0), `src` a tensor or a number."""
    def scatter_add(self, dim: Any, index: Any, src: Any) -> Any:
        """A copy with ``[index[i][j]][j] += src[i][j]`` (for dim 0), repeats adding up."""
    def scatter_add_(self, dim: Any, index: Any, src: Any) -> Tensor:
        """``self[index[i][j]][j] += src[i][j]`` (for dim 0), repeats adding up."""
    def scatter_reduce(self, dim: Any, index: Any, src: Any, reduce: Any, *, include_self: Any = True) -> Any:
        """Sources reduced (sum, prod, mean, amax, amin) into their positions, self's values included or not."""
    def scatter_reduce_(self, dim: Any, index: Any, src: Any, reduce: Any, *, include_self: Any = True) -> Tensor:
        """In-place version of :func:`scatter_reduce`."""
    def select(self, dim: Any, index: Any) -> Tensor:
        """The part of `input` at position `index` of dimension `dim`, which disappears."""
    def select_scatter(self, src: Any, dim: Any, index: Any) -> Any:
        """A copy with the slice at position `index` of dimension `dim` replaced by `src`."""
    def sgn(self, *, out: Any = None) -> Any:
        """input / |input|, 0 at 0: the sign, also of complex numbers."""
    def sgn_(self) -> Tensor:
        """In-place version of :func:`sgn`."""
    def share_memory_(self) -> Tensor:
        """Move the storage to memory that other processes can map, with all tensors on it; returns the tensor."""
    def short(self, memory_format: Any = None) -> Tensor:
        """This tensor converted to torch.int16."""
    def sigmoid(self, *, out: Any = None) -> Tensor:
        """1 / (1 + exp(-input))."""
    def sigmoid_(self, *others: Any) -> Tensor:
        """In-place version of :func:`sigmoid`."""
    def sign(self, *, out: Any = None) -> Tensor:
        """-1, 0 or 1; complex tensors raise (see sgn)."""
    def sign_(self) -> Tensor:
        """In-place version of :func:`sign`."""
    def signbit(self, *, out: Any = None) -> Tensor:
        """Whether the sign bit is set (-0.0 counts)."""
    def sin(self, *, out: Any = None) -> Tensor:
        """Sine of an angle in radians."""
    def sin_(self, *others: Any) -> Tensor:
        """In-place version of :func:`sin`."""
    def sinc(self, *, out: Any = None) -> Tensor:
        """sin(pi x) / (pi x), 1 at 0."""
    def sinc_(self, *others: Any) -> Tensor:
        """In-place version of :func:`sinc`."""
    def sinh(self, *, out: Any = None) -> Tensor:
        """Hyperbolic sine."""
    def sinh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`sinh`."""
    def slice_scatter(self, src: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
        """A copy with ``[start:end:step]`` of dimension `dim` replaced by `src`."""
    def slogdet(self) -> Any:
        """Sign (or phase) and logarithm of the absolute value of the determinant."""
    def smm(self, mat: Any) -> Any:
        """The product of a sparse and a dense matrix, as a sparse tensor."""
    def softmax(self, dim: Any, dtype: Any = None) -> Tensor:
        """exp(input) / sum(exp(input)) along `dim`, without overflow."""
    def sort(self, dim: Any = -1, descending: Any = False, stable: Any = None, *, out: Any = None) -> Any:
        """The named tuple (values, indices) sorted along `dim`; always stable, NaN last when ascending."""
    def sparse_dim(self) -> Any:
        """The number of sparse dimensions; 0 of a dense tensor."""
    def sparse_mask(self, mask: Any) -> Any:
        """The elements of this tensor where the sparse tensor `mask` has some."""
    def sparse_resize_(self, size: Any, sparse_dim: Any, dense_dim: Any) -> Tensor:
        """Give a COO tensor another shape, in place; see ``rushlight.sparse.shaping``."""
    def sparse_resize_and_clear_(self, size: Any, sparse_dim: Any, dense_dim: Any) -> Tensor:
        """Drop the elements of a COO tensor and give it another shape, in place."""
    def split(self, split_size: Any, dim: Any = 0) -> Any:
        """Consecutive parts of dimension `dim`, see `torch.split`."""
    def split_with_sizes(self, split_sizes: Any, dim: Any = 0) -> Any:
        """Consecutive parts of dimension `dim` of the given sizes."""
    def sqrt(self, *, out: Any = None) -> Tensor:
        """Square root."""
    def sqrt_(self, *others: Any) -> Tensor:
        """In-place version of :func:`sqrt`."""
    def square(self, *, out: Any = None) -> Any:
        """input * input."""
    def square_(self) -> Tensor:
        """In-place version of :func:`square`."""
    def squeeze(self, *dims: Any, dim: Any = ...) -> Tensor:
        """Without the dimensions of size 1 (all of them, or those among `dim`)."""
    def squeeze_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`squeeze`: this tensor's geometry changes."""
    def sspaddmm(self, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        """``beta * input + alpha * (mat1 @ mat2)`` of sparse `input` and `mat1`, as a sparse tensor."""
    def std(self, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Tensor:
        """Standard deviation over `dim`, with N - correction in the denominator."""
    def stft(self, n_fft: Any, hop_length: Any = None, win_length: Any = None, window: Any = None, center: Any = True, pad_mode: Any = 'reflect', normalized: Any = False, onesided: Any = None, return_complex: Any = None, align_to_window: Any = None) -> Any:
        """Fourier transforms of overlapping windows of a signal."""
    def storage_type(self) -> Any:
        """The class of storage that elements of this dtype had: ``torch.FloatStorage`` and so on."""
    def sub(self, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
        """input - alpha * other."""
    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`sub`."""
    def subtract(self, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
        """input - alpha * other."""
    def subtract_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """In-place version of :func:`sub`."""
    def sum(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Sum over `dim` (an int, several, or None for all); integers and bools are summed as int64."""
    def sum_to_size(self, *size: Any) -> Any:
        """The sum over dimensions so that the result has `size`, which must broadcast to the input's."""
    def svd(self, some: Any = True, compute_uv: Any = True) -> Any:
        """U, S and V with ``A = U diag(S) V^H`` (see linalg.svd)."""
    def swapaxes(self, axis0: Any, axis1: Any) -> Any:
        """Alias of transpose."""
    def swapaxes_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`swapaxes`: this tensor's geometry changes."""
    def swapdims(self, dim0: Any, dim1: Any) -> Any:
        """Alias of transpose."""
    def swapdims_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`swapdims`: this tensor's geometry changes."""
    def t(self) -> Tensor:
        """The transpose of a matrix; vectors and 0-dim tensors as they are."""
    def t_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`t`: this tensor's geometry changes."""
    def take(self, index: Any) -> Any:
        """Elements of the flattened tensor at the given positions, in the shape of `index`."""
    def take_along_dim(self, indices: Any, dim: Any = None) -> Any:
        """``gather`` with broadcasting of the other dimensions; without dim on the flattened tensors."""
    def tan(self, *, out: Any = None) -> Tensor:
        """Tangent of an angle in radians."""
    def tan_(self, *others: Any) -> Tensor:
        """In-place version of :func:`tan`."""
    def tanh(self, *, out: Any = None) -> Tensor:
        """Hyperbolic tangent."""
    def tanh_(self, *others: Any) -> Tensor:
        """In-place version of :func:`tanh`."""
    def tensor_split(self, indices_or_sections: Any, dim: Any = 0, *, indices: Any = None, sections: Any = None) -> Any:
        """Parts cut at given indices, or a number of parts as equal as possible."""
    def tile(self, *dims: Any) -> Any:
        """``repeat`` with missing leading counts taken as 1."""
    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Conversion to a dtype, a device, or those of another tensor; `input` itself if it conforms."""
    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """This tensor with all its elements; itself if it is dense."""
    def to_padded_tensor(self, padding: Any, output_size: Any = None) -> Any:
        """The components of a nested tensor in one dense tensor, filled up with `padding`."""
    def to_sparse(self, sparse_dim: Any = None, *, layout: Any = None, blocksize: Any = None, dense_dim: Any = None) -> Any:
        """This tensor in a sparse layout, by default coordinates of the elements that are not zero."""
    def to_sparse_bsc(self, blocksize: Any, dense_dim: Any = None) -> Any:
        """This tensor in the BSC layout."""
    def to_sparse_bsr(self, blocksize: Any, dense_dim: Any = None) -> Any:
        """This tensor in the BSR layout."""
    def to_sparse_coo(self) -> Any:
        """This tensor as coordinates and values."""
    def to_sparse_csc(self, dense_dim: Any = None) -> Any:
        """This tensor in the CSC layout."""
    def to_sparse_csr(self, dense_dim: Any = None) -> Any:
        """This tensor in the CSR layout."""
    def topk(self, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True, *, out: Any = None) -> Any:
        """The `k` largest (or smallest) elements along `dim` in order, as (values, indices)."""
    def trace(self) -> Any:
        """The sum of a matrix's diagonal."""
    def transpose(self, dim0: Any, dim1: Any) -> Tensor:
        """Dimensions `dim0` and `dim1` exchanged."""
    def transpose_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`transpose`: this tensor's geometry changes."""
    def triangular_solve(self, A: Any, upper: Any = True, transpose: Any = False, unitriangular: Any = False) -> Any:
        """The solution of a triangular system and a copy of A (deprecated: linalg.solve_triangular)."""
    def tril(self, diagonal: Any = 0) -> Tensor:
        """The lower triangle of each matrix, zeros elsewhere."""
    def tril_(self, diagonal: Any = 0) -> Tensor:
        """In-place version of :func:`tril`."""
    def triu(self, diagonal: Any = 0) -> Tensor:
        """The upper triangle of each matrix, zeros elsewhere."""
    def triu_(self, diagonal: Any = 0) -> Tensor:
        """In-place version of :func:`triu`."""
    def true_divide(self, other: Any, *, out: Any = None) -> Tensor:
        """input / other, of integers in the default float type."""
    def true_divide_(self, *others: Any) -> Tensor:
        """In-place version of :func:`true_divide`."""
    def trunc(self, *, out: Any = None) -> Tensor:
        """The input without its fraction."""
    def trunc_(self) -> Tensor:
        """In-place version of :func:`trunc`."""
    def type(self, dtype: Any = None, non_blocking: Any = False, **kwargs: Any) -> Any:
        """Without argument the type's name (``torch.FloatTensor``); else conversion to that type."""
    def type_as(self, other: Any) -> Tensor:
        """This tensor converted to the dtype and device of `other`."""
    def unbind(self, dim: Any = 0) -> Any:
        """All slices of dimension `dim`."""
    def unflatten(self, dim: Any, sizes: Any) -> Any:
        """Dimension `dim` split into several; one size may be -1."""
    def unfold(self, dimension: Any, size: Any, step: Any) -> Tensor:
        """All windows of `size` elements of a dimension, `step` apart, as a new last dimension."""
    def uniform_(self, *args: Any, generator: Any = None, **kwargs: Any) -> Tensor:
        """Fill with numbers uniform in ``[from, to)``: ``uniform_(from=0, to=1)``."""
    def unique(self, sorted: Any = True, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
        """Distinct values (or slices along `dim`) in order, with optional inverse positions and counts."""
    def unique_consecutive(self, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
        """The input without elements (or slices) equal to the one before."""
    def unsafe_chunk(self, chunks: Any, dim: Any = 0) -> Any:
        """``chunk`` whose parts are copies."""
    def unsafe_split(self, split_size: Any, dim: Any = 0) -> Any:
        """``split`` whose parts are copies."""
    def unsafe_split_with_sizes(self, split_sizes: Any, dim: Any = 0) -> Any:
        """``split_with_sizes`` whose parts are copies."""
    def unsqueeze(self, dim: Any) -> Tensor:
        """With a new dimension of size 1 at `dim`."""
    def unsqueeze_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place version of :func:`unsqueeze`: this tensor's geometry changes."""
    def values(self) -> Any:
        """The values of a sparse or nested tensor; gradients flow through."""
    def var(self, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Tensor:
        """Variance over `dim`: sum of |x - mean|^2 over (N - correction)."""
    def vdot(self, other: Any) -> Any:
        """The inner product of two vectors, the first conjugated."""
    def view(self, *shape: Any, dtype: Any = None, size: Any = None) -> Tensor:
        """The same memory in another shape (``-1`` is inferred) or, given a dtype, with another type."""
    def view_as(self, other: Any) -> Tensor:
        """``view`` in the shape of `other`."""
    def vsplit(self, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
        """tensor_split along a fixed dimension; a number of parts must divide its size."""
    def where(self, condition: Any, other: Any) -> Tensor:
        """`self` where the condition holds, else `other`."""
    def xlogy(self, other: Any, *, out: Any = None) -> Any:
        """input * log(other): 0 where input is 0, NaN where other is NaN."""
    def xlogy_(self, other: Any) -> Tensor:
        """In-place version of :func:`xlogy`."""
    def xpu(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """Raises: there is no XPU back end."""
    def zero_(self) -> Tensor:
        """Set every element to zero."""
    def __add__(self, other: Any) -> Tensor: ...
    def __radd__(self, other: Any) -> Tensor: ...
    def __iadd__(self, other: Any) -> Tensor: ...
    def __sub__(self, other: Any) -> Tensor: ...
    def __rsub__(self, other: Any) -> Tensor: ...
    def __isub__(self, other: Any) -> Tensor: ...
    def __mul__(self, other: Any) -> Tensor: ...
    def __rmul__(self, other: Any) -> Tensor: ...
    def __imul__(self, other: Any) -> Tensor: ...
    def __truediv__(self, other: Any) -> Tensor: ...
    def __rtruediv__(self, other: Any) -> Tensor: ...
    def __itruediv__(self, other: Any) -> Tensor: ...
    def __floordiv__(self, other: Any) -> Tensor: ...
    def __rfloordiv__(self, other: Any) -> Tensor: ...
    def __ifloordiv__(self, other: Any) -> Tensor: ...
    def __mod__(self, other: Any) -> Tensor: ...
    def __rmod__(self, other: Any) -> Tensor: ...
    def __imod__(self, other: Any) -> Tensor: ...
    def __pow__(self, other: Any) -> Tensor: ...
    def __rpow__(self, other: Any) -> Tensor: ...
    def __ipow__(self, other: Any) -> Tensor: ...
    def __matmul__(self, other: Any) -> Tensor: ...
    def __rmatmul__(self, other: Any) -> Tensor: ...
    def __imatmul__(self, other: Any) -> Tensor: ...
    def __and__(self, other: Any) -> Tensor: ...
    def __rand__(self, other: Any) -> Tensor: ...
    def __iand__(self, other: Any) -> Tensor: ...
    def __or__(self, other: Any) -> Tensor: ...
    def __ror__(self, other: Any) -> Tensor: ...
    def __ior__(self, other: Any) -> Tensor: ...
    def __xor__(self, other: Any) -> Tensor: ...
    def __rxor__(self, other: Any) -> Tensor: ...
    def __ixor__(self, other: Any) -> Tensor: ...
    def __lt__(self, other: Any) -> Tensor: ...
    def __le__(self, other: Any) -> Tensor: ...
    def __gt__(self, other: Any) -> Tensor: ...
    def __ge__(self, other: Any) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __abs__(self) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __getitem__(self, index: Any) -> Tensor: ...
    def __setitem__(self, index: Any, value: Any) -> None: ...
    def __len__(self) -> _int: ...
    def __iter__(self) -> Iterator[Tensor]: ...

def BFloat16Tensor(*args: Any, device: Any = None) -> Any: ...
def BoolTensor(*args: Any, device: Any = None) -> Any: ...
def ByteTensor(*args: Any, device: Any = None) -> Any: ...
def CharTensor(*args: Any, device: Any = None) -> Any: ...
def DoubleTensor(*args: Any, device: Any = None) -> Any: ...
def FloatTensor(*args: Any, device: Any = None) -> Any: ...
def HalfTensor(*args: Any, device: Any = None) -> Any: ...
def IntTensor(*args: Any, device: Any = None) -> Any: ...
def LongTensor(*args: Any, device: Any = None) -> Any: ...
def ShortTensor(*args: Any, device: Any = None) -> Any: ...
def _dirichlet_grad(x: Any, alpha: Any, total: Any) -> Any:
    """dx/dα / (1 - x) for coordinates x of Dirichlet vectors of parameters α = `alpha` with the sum `total`."""
def _empty_affine_quantized(size: Any, *, scale: Any = ..., zero_point: Any = 0, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, memory_format: Any = None) -> Any:
    """A quantized tensor whose codes are whatever the memory holds."""
def _empty_per_channel_affine_quantized(size: Any, *, scales: Any, zero_points: Any, axis: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, memory_format: Any = None) -> Any:
    """A quantized tensor with one meaning for each index of `axis`, whose codes are whatever the memory holds."""
def _int_mm(input: Tensor, mat2: Any) -> Any:
    """The product of an int8 or uint8 matrix and an int8 matrix in int32 (modulo 2**32)."""
def _make_per_channel_quantized_tensor(input: Tensor, scale: Any, zero_point: Any, axis: Any) -> Any:
    """A quantized tensor of integer codes as they are, with one meaning for each index of `axis`."""
def _make_per_tensor_quantized_tensor(input: Tensor, scale: Any, zero_point: Any) -> Any:
    """A quantized tensor of integer codes as they are."""
def _neg_view(input: Tensor) -> Any:
    """The negative as a view that is resolved when it is read."""
def _sample_dirichlet(input: Tensor, generator: Any = None) -> Any:
    """Dirichlet numbers along the last dimension, with the concentrations in `input`."""
def _scaled_mm(input: Tensor, mat2: Any, scale_a: Any, scale_b: Any, bias: Any = None, scale_result: Any = None, out_dtype: Any = None, use_fast_accum: Any = False) -> Any:
    """`scaled_mm` whose recipes follow from the shapes of the scales."""
def _standard_gamma(input: Tensor, generator: Any = None) -> Any:
    """Gamma numbers with the shape parameters in `input` (float32, float64) and scale 1."""
def _standard_gamma_grad(input: Tensor, output: Any) -> Any:
    """dx/da for gamma numbers x = `output` of the shape parameters a = `input`."""
def _unsafe_index(input: Tensor, indices: Any) -> Any:
    """``input[indices]`` for a list of index tensors."""
def abs(input: Tensor, *, out: Any = None) -> Tensor:
    """|input|; of complex numbers the modulus."""
def abs_(input: Tensor) -> Tensor:
    """In-place version of :func:`abs`."""
def absolute(input: Tensor, *, out: Any = None) -> Tensor:
    """|input|; of complex numbers the modulus."""
def absolute_(input: Tensor) -> Tensor:
    """In-place version of :func:`abs`."""
def acos(input: Tensor, *, out: Any = None) -> Tensor:
    """Arc cosine, in [0, pi]."""
def acos_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`acos`."""
def acosh(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse hyperbolic cosine."""
def acosh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`acosh`."""
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Any:
    """Mean over windows that divide the last 1 dimensions into `output_size` parts."""
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: Any = False) -> Any:
    """As adaptive_max_pool1d, with the position of each maximum."""
def add(input: Tensor, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input + alpha * other."""
def add_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`add`."""
def addbmm(input: Tensor, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * sum_k batch1[k] @ batch2[k]``."""
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
    """input + value * tensor1 / tensor2; integer quotients raise."""
def addcdiv_(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """In-place version of :func:`addcdiv`."""
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
    """input + value * tensor1 * tensor2."""
def addcmul_(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """In-place version of :func:`addcmul`."""
def addmm(input: Tensor, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * mat1 @ mat2``; with beta 0 the input's values don't matter."""
def addmm_(input: Tensor, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`addmm`."""
def addmv(input: Tensor, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * mat @ vec``."""
def addmv_(input: Tensor, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`addmv`."""
def addr(input: Tensor, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * outer(vec1, vec2)``."""
def addr_(input: Tensor, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`addr`."""
def adjoint(input: Tensor) -> Any:
    """The conjugate transpose of the last two dimensions."""
def affine_grid_generator(theta: Any, size: Any, align_corners: Any) -> Any:
    """`affine_grid` under its operator name."""
def alias_copy(input: Tensor) -> Any:
    """A copy, as `clone` in the standard layout makes it."""
def all(input: Tensor, dim: Any = None, keepdim: Any = False) -> Any:
    """Whether all elements (along `dim`) are true, that is nonzero."""
def allclose(input: Tensor, other: Any, rtol: Any = ..., atol: Any = ..., equal_nan: Any = False) -> _bool:
    """Whether all elements are close (see isclose), as a Python bool."""
def alpha_dropout(input: Tensor, p: Any, train: Any) -> Any:
    """`nn.functional.alpha_dropout` with all arguments given."""
def alpha_dropout_(input: Tensor, p: Any, train: Any) -> Tensor:
    """In-place version of :func:`alpha_dropout`."""
def amax(input: Tensor, dim: Any = ..., keepdim: Any = False) -> Tensor:
    """The largest element over `dim` (default: all); ties share the gradient."""
def amin(input: Tensor, dim: Any = ..., keepdim: Any = False) -> Tensor:
    """The smallest element over `dim` (default: all); ties share the gradient."""
def aminmax(input: Tensor, *, dim: Any = None, keepdim: Any = False, out: Any = None) -> Any:
    """The named tuple (min, max) over `dim`, or over all elements."""
def angle(input: Tensor) -> Any:
    """Angle of complex numbers in radians; of real ones 0 or, if negative, pi."""
def any(input: Tensor, dim: Any = None, keepdim: Any = False) -> Any:
    """Whether any element (along `dim`) is true, that is nonzero."""
def arange(*args: Any, start: Any = None, end: Any = None, step: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Tensor:
    """Values ``start, start + step, ...`` below `end`; int64 if all are integers, else default float."""
def arccos(input: Tensor, *, out: Any = None) -> Tensor:
    """Arc cosine, in [0, pi]."""
def arccos_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`acos`."""
def arccosh(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse hyperbolic cosine."""
def arccosh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`acosh`."""
def arcsin(input: Tensor, *, out: Any = None) -> Tensor:
    """Arc sine, in [-pi/2, pi/2]."""
def arcsin_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`asin`."""
def arcsinh(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse hyperbolic sine."""
def arcsinh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`asinh`."""
def arctan(input: Tensor, *, out: Any = None) -> Tensor:
    """Arc tangent, in [-pi/2, pi/2]."""
def arctan2(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """Angle of the point (other, input) in [-pi, pi]."""
def arctan2_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`atan2`."""
def arctan_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`atan`."""
def arctanh(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse hyperbolic tangent."""
def arctanh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`atanh`."""
def argmax(input: Tensor, dim: Any = None, keepdim: Any = False) -> Tensor:
    """Position of the maximum along `dim`, or in the flattened tensor; of equal ones the first."""
def argmin(input: Tensor, dim: Any = None, keepdim: Any = False) -> Tensor:
    """Position of the minimum along `dim`, or in the flattened tensor; of equal ones the first."""
def argsort(input: Tensor, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any:
    """The indices (int64, in the input's shape) that sort along `dim`: ``input.gather(dim, argsort(input, dim))``."""
def argwhere(input: Tensor) -> Any:
    """Positions of the nonzero elements, one a row."""
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    """A view with the given sizes, strides and offset (in elements of the storage)."""
def as_strided_(input: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
    """Change this tensor's sizes, strides and offset."""
def as_strided_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``as_strided``, copied."""
def as_strided_scatter(input: Tensor, src: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    """A copy with the elements of an ``as_strided`` window replaced by `src`."""
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory (and history) where dtype and device allow."""
def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: Any = None, requires_grad: Any = False) -> Any:
    """`obj` (tensor, array, DLPack or buffer provider, number, nested sequence) as a tensor."""
def asin(input: Tensor, *, out: Any = None) -> Tensor:
    """Arc sine, in [-pi/2, pi/2]."""
def asin_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`asin`."""
def asinh(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse hyperbolic sine."""
def asinh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`asinh`."""
def atan(input: Tensor, *, out: Any = None) -> Tensor:
    """Arc tangent, in [-pi/2, pi/2]."""
def atan2(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """Angle of the point (other, input) in [-pi, pi]."""
def atan2_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`atan2`."""
def atan_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`atan`."""
def atanh(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse hyperbolic tangent."""
def atanh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`atanh`."""
def atleast_1d(*tensors: Any) -> Any:
    """The tensors as views with at least 1 dimension."""
def atleast_2d(*tensors: Any) -> Any:
    """The tensors as views with at least 2 dimensions."""
def atleast_3d(*tensors: Any) -> Any:
    """The tensors as views with at least 3 dimensions."""
def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: Any = False, count_include_pad: Any = True) -> Any:
    """Mean of every window over the last dimension."""
def baddbmm(input: Tensor, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * batch1 @ batch2`` for batches of matrices."""
def baddbmm_(input: Tensor, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`baddbmm`."""
def bartlett_window(window_length: Any, periodic: Any = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """The triangle ``1 - |2 i / (n - 1) - 1|``."""
def batch_norm(input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: Any, momentum: Any, eps: Any, cudnn_enabled: Any = True) -> Tensor:
    """`nn.functional.batch_norm` with the argument order of ``torch.batch_norm``."""
def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """Ones with the probabilities in `input` (or with the one probability `p`), else zeros."""
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``input1^T W_k input2 + bias_k``: inputs (*, in1) and (*, in2), weight (out, in1, in2)."""
def binary_cross_entropy_with_logits(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', pos_weight: Any = None) -> Tensor:
    """-(p t log σ(x) + (1 - t) log(1 - σ(x))) from logits x, stably; averaged. p is `pos_weight`."""
def bincount(input: Tensor, weights: Any = None, minlength: Any = 0) -> Any:
    """How often each non-negative integer occurs, or the sum of its weights."""
def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """Numbers of successes in `count` trials of probability `prob` each."""
def bitwise_and(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input & other."""
def bitwise_and_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`bitwise_and`."""
def bitwise_left_shift(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input << other; 0 for shifts out of range."""
def bitwise_left_shift_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`bitwise_left_shift`."""
def bitwise_not(input: Tensor, *, out: Any = None) -> Any:
    """~input: all bits (of bools the truth) inverted."""
def bitwise_not_(input: Tensor) -> Tensor:
    """In-place version of :func:`bitwise_not`."""
def bitwise_or(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input | other."""
def bitwise_or_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`bitwise_or`."""
def bitwise_right_shift(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input >> other, arithmetic on signed types."""
def bitwise_right_shift_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`bitwise_right_shift`."""
def bitwise_xor(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input ^ other."""
def bitwise_xor_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`bitwise_xor`."""
def blackman_window(window_length: Any, periodic: Any = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """``0.42 - 0.5 cos(x) + 0.08 cos(2 x)`` with ``x = 2 pi i / (n - 1)``."""
def block_diag(*tensors: Any) -> Any:
    """A matrix with the given matrices along its diagonal."""
def bmm(input: Tensor, mat2: Any) -> Tensor:
    """The products of two batches of matrices, (b, n, m) and (b, m, p)."""
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of the given shapes broadcast to."""
def broadcast_tensors(*tensors: Any) -> Any:
    """The tensors expanded to their common shape."""
def broadcast_to(input: Tensor, size: Any) -> Any:
    """``expand`` to the given shape."""
def bucketize(input: Tensor, boundaries: Any, *, out_int32: Any = False, right: Any = False) -> Any:
    """The bucket of each element between sorted `boundaries`: see searchsorted."""
def can_cast(from_: Any, to: Any) -> Any:
    """Whether type promotion lets a value of the first dtype be written to the second."""
def cartesian_prod(*tensors: Any) -> Any:
    """All tuples with one element of each 1-D tensor, as rows."""
def cat(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Tensor:
    """The tensors joined along an existing dimension; other sizes must agree."""
def ccol_indices_copy(input: Tensor, *, out: Any = None) -> Any:
    """A copy of ``input.ccol_indices()``."""
def cdist(x1: Any, x2: Any, p: Any = ..., compute_mode: Any = 'use_mm_for_euclid_dist_if_necessary') -> Tensor:
    """p-norm distances between the rows of ``x1 (..., P, M)`` and ``x2 (..., R, M)``: (..., P, R)."""
def ceil(input: Tensor, *, out: Any = None) -> Tensor:
    """Smallest integer not below the input."""
def ceil_(input: Tensor) -> Tensor:
    """In-place version of :func:`ceil`."""
def celu(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Barron 2017."""
def celu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`celu`."""
def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of a chain of matrices (see linalg.multi_dot)."""
def channel_shuffle(input: Tensor, groups: Any) -> Any:
    """Interleave `groups` groups of channels. Zhang et al. arXiv:1707.01083."""
def cholesky(input: Tensor, upper: Any = False) -> Any:
    """The Cholesky factor (see linalg.cholesky)."""
def cholesky_inverse(L: Any, upper: Any = False) -> Any:
    """The inverse of ``L L^H`` (``U^H U`` if upper) from the factor."""
def cholesky_solve(B: Any, L: Any, upper: Any = False) -> Any:
    """The solution X of ``L L^H X = B`` (``U^H U X = B`` if upper)."""
def chunk(input: Tensor, chunks: Any, dim: Any = 0) -> Any:
    """At most `chunks` parts of equal size (the last may be smaller)."""
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """min(max(input, min), max) with numbers or tensors as bounds; NaN stays NaN."""
def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """In-place version of :func:`clamp`."""
def clamp_max(input: Tensor, max: Any, *, out: Any = None) -> Any:
    """min(input, max)."""
def clamp_max_(input: Tensor, max: Any) -> Tensor:
    """In-place version of :func:`clamp_max`."""
def clamp_min(input: Tensor, min: Any, *, out: Any = None) -> Any:
    """max(input, min)."""
def clamp_min_(input: Tensor, min: Any) -> Tensor:
    """In-place version of :func:`clamp_min`."""
def clip(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """min(max(input, min), max) with numbers or tensors as bounds; NaN stays NaN."""
def clip_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """In-place version of :func:`clamp`."""
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, differentiable, dense in this tensor's dimension order unless a format is given."""
def col2im(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """`nn.functional.fold` with all arguments given."""
def col_indices_copy(input: Tensor, *, out: Any = None) -> Any:
    """A copy of ``input.col_indices()``."""
def column_stack(tensors: Any) -> Any:
    """hstack in which vectors count as columns."""
def combinations(input: Tensor, r: Any = 2, with_replacement: Any = False) -> Any:
    """Combinations of `r` elements of a 1-D tensor, as rows."""
def compiled_with_cxx11_abi() -> Any:
    """Whether a C++ ABI of today was compiled against: there is no C++ here, so nothing older either."""
def complex(real: Any, imag: Any) -> Any:
    """``real + 1j * imag``."""
def concat(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Any:
    """The tensors joined along an existing dimension; other sizes must agree."""
def concatenate(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Any:
    """The tensors joined along an existing dimension; other sizes must agree."""
def conj(input: Tensor) -> Any:
    """The complex conjugate as a view that is resolved when it is read; reals as they are."""
def conj_physical(input: Tensor) -> Any:
    """The complex conjugate, computed at once; reals as they are."""
def conj_physical_(input: Tensor) -> Tensor:
    """In-place version of :func:`conj_physical`."""
def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Any:
    """A copy with borders of `value`; negative amounts cut off."""
def conv1d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """1-d convolution: input (n, c, l), weight (o, c/groups, k) -> (n, o, l')."""
def conv2d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """2-d convolution: input (n, c, h, w), weight (o, c/groups, kh, kw) -> (n, o, h', w')."""
def conv3d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """3-d convolution: input (n, c, d, h, w), weight (o, c/groups, kd, kh, kw)."""
def conv_tbc(input: Tensor, weight: Any, bias: Any, pad: Any = 0) -> Any:
    """1-d convolution over (time, batch, channels): weight (k, c, o)."""
def conv_transpose1d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any:
    """Transposed 1-d convolution: the adjoint of conv1d; weight (c, o/groups, k)."""
def conv_transpose2d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any:
    """Transposed 2-d convolution: the adjoint of conv2d; weight (c, o/groups, kh, kw)."""
def conv_transpose3d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any:
    """Transposed 3-d convolution: the adjoint of conv3d; weight (c, o/groups, kd, kh, kw)."""
def convolution(input: Tensor, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: Any, output_padding: Any, groups: Any) -> Any:
    """The general form behind conv1d to conv_transpose3d."""
def copysign(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """|input| with the sign of `other`."""
def copysign_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`copysign`."""
def corrcoef(input: Tensor) -> Any:
    """Correlation coefficients of variables in rows: cov(input), each entry over both deviations."""
def cos(input: Tensor, *, out: Any = None) -> Tensor:
    """Cosine of an angle in radians."""
def cos_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`cos`."""
def cosh(input: Tensor, *, out: Any = None) -> Tensor:
    """Hyperbolic cosine."""
def cosh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`cosh`."""
def cosine_embedding_loss(*args: Any, reduction: Any = 1, **kwargs: Any) -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1; averaged."""
def cosine_similarity(x1: Any, x2: Any, dim: Any = 1, eps: Any = ...) -> Any:
    """x1 · x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
def count_nonzero(input: Tensor, dim: Any = None) -> Any:
    """The number of nonzero elements (along `dim`) as int64."""
def cov(input: Tensor, *, correction: Any = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Covariance matrix of variables in rows, observations in columns."""
def cross(input: Tensor, other: Any, dim: Any = None) -> Any:
    """The cross product along `dim` (by default the first dimension of size 3)."""
def crow_indices_copy(input: Tensor, *, out: Any = None) -> Any:
    """A copy of ``input.crow_indices()``."""
def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: Any = 0, reduction: Any = 1, zero_infinity: Any = False) -> Any:
    """`nn.functional.ctc_loss` with a numeric reduction (0 none, 1 mean, 2 sum)."""
def cummax(input: Tensor, dim: Any) -> Any:
    """Running maximum along `dim` as the named tuple (values, indices); of equal ones the last."""
def cummin(input: Tensor, dim: Any) -> Any:
    """Running minimum along `dim` as the named tuple (values, indices); of equal ones the last."""
def cumprod(input: Tensor, dim: Any, *, dtype: Any = None) -> Tensor:
    """Products of the elements up to each position along `dim`; integers as int64."""
def cumsum(input: Tensor, dim: Any, *, dtype: Any = None) -> Tensor:
    """Sums of the elements up to each position along `dim`; integers as int64."""
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Any:
    """Running integral along `dim` by the trapezoidal rule; one element fewer than `y`."""
def deg2rad(input: Tensor, *, out: Any = None) -> Tensor:
    """Degrees to radians."""
def deg2rad_(input: Tensor) -> Tensor:
    """In-place version of :func:`deg2rad`."""
def dequantize(input: Tensor) -> Any:
    """The numbers that a quantized tensor stands for, float32; of a sequence, a tuple."""
def det(A: Any) -> Any:
    """The determinant of square matrices."""
def detach(input: Tensor) -> Tensor:
    """The same memory without history."""
def detach_copy(input: Tensor) -> Any:
    """A copy without history."""
def diag(input: Tensor, diagonal: Any = 0) -> Tensor:
    """A matrix with the vector on its diagonal, or the diagonal of a matrix (a copy)."""
def diag_embed(input: Tensor, offset: Any = 0, dim1: Any = -2, dim2: Any = -1) -> Any:
    """Matrices with the last dimension of `input` on a diagonal."""
def diagflat(input: Tensor, offset: Any = 0) -> Any:
    """A matrix with all elements of `input` on its diagonal."""
def diagonal(input: Tensor, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Tensor:
    """The diagonals of the planes of dimensions `dim1` and `dim2`, as the last dimension."""
def diagonal_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``diagonal``, copied."""
def diagonal_scatter(input: Tensor, src: Any, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Any:
    """A copy with a diagonal replaced by `src`."""
def diff(input: Tensor, n: Any = 1, dim: Any = -1, prepend: Any = None, append: Any = None) -> Any:
    """n-th difference of neighbours along `dim`, of bools by xor."""
def digamma(input: Tensor, *, out: Any = None) -> Tensor:
    """Derivative of lgamma."""
def digamma_(input: Tensor) -> Tensor:
    """In-place version of :func:`digamma`."""
def dist(input: Tensor, other: Any, p: Any = 2) -> Any:
    """The p-norm of input - other."""
def div(input: Tensor, other: Any, *, rounding_mode: Any = None, out: Any = None) -> Tensor:
    """input / other; rounded toward zero with ``'trunc'``, down with ``'floor'``."""
def div_(input: Tensor, other: Any, *, rounding_mode: Any = None) -> Tensor:
    """In-place version of :func:`div`."""
def divide(input: Tensor, other: Any, *, rounding_mode: Any = None, out: Any = None) -> Tensor:
    """input / other; rounded toward zero with ``'trunc'``, down with ``'floor'``."""
def divide_(input: Tensor, other: Any, *, rounding_mode: Any = None) -> Tensor:
    """In-place version of :func:`div`."""
def dot(input: Tensor, tensor: Any) -> Tensor:
    """The sum of products of two vectors (nothing is conjugated)."""
def dropout(input: Tensor, p: Any, train: Any) -> Tensor:
    """`nn.functional.dropout` with all arguments given."""
def dropout_(input: Tensor, p: Any, train: Any) -> Tensor:
    """In-place version of :func:`dropout`."""
def dsmm(input: Tensor, mat2: Any) -> Any: ...
def dsplit(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
    """tensor_split along a fixed dimension; a number of parts must divide its size."""
def dstack(tensors: Any) -> Any:
    """cat of at least three-dimensional tensors along the third dimension."""
def einsum(*args: Any) -> Tensor:
    """Sums of products by Einstein's convention: ``einsum('bij,bjk->bik', a, b)``."""
def embedding(weight: Any, indices: Any, padding_idx: Any = -1, scale_grad_by_freq: Any = False, sparse: Any = False) -> Tensor:
    """`nn.functional.embedding` with the argument order of ``torch.embedding``."""
def empty(*args: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False, memory_format: Any = None) -> Tensor:
    """An uninitialised tensor of the given shape."""
def empty_like(input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None, pin_memory: Any = False) -> Tensor:
    """Uninitialised, in the shape, dtype and layout of `input`."""
def empty_permuted(size: Any, physical_layout: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """An uninitialised dense tensor whose dimensions lie in memory in the given order."""
def empty_strided(size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """An uninitialised tensor with the given sizes and strides (in elements)."""
def eq(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input == other, element by element."""
def eq_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`eq`."""
def equal(input: Tensor, other: Any) -> _bool:
    """Whether both have the same shape and the same elements, as a Python bool."""
def erf(input: Tensor, *, out: Any = None) -> Tensor:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to input."""
def erf_(input: Tensor) -> Tensor:
    """In-place version of :func:`erf`."""
def erfc(input: Tensor, *, out: Any = None) -> Tensor:
    """1 - erf(input), accurate for large input."""
def erfc_(input: Tensor) -> Tensor:
    """In-place version of :func:`erfc`."""
def erfinv(input: Tensor, *, out: Any = None) -> Tensor:
    """Inverse of erf on (-1, 1)."""
def erfinv_(input: Tensor) -> Tensor:
    """In-place version of :func:`erfinv`."""
def exp(input: Tensor, *, out: Any = None) -> Tensor:
    """e ** input."""
def exp2(input: Tensor, *, out: Any = None) -> Tensor:
    """2 ** input."""
def exp2_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`exp2`."""
def exp_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`exp`."""
def expand_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``expand``, copied."""
def expm1(input: Tensor, *, out: Any = None) -> Tensor:
    """e ** input - 1, accurate near 0."""
def expm1_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`expm1`."""
def eye(n: Any, m: Any = None, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Tensor:
    """The n-by-m matrix with ones on the diagonal."""
def fake_quantize_per_channel_affine(input: Tensor, scale: Any, zero_point: Any, axis: Any, quant_min: Any, quant_max: Any) -> Any:
    """`fake_quantize_per_tensor_affine` with a scale and a zero point for each index of dimension `axis`."""
def fake_quantize_per_tensor_affine(input: Tensor, scale: Any, zero_point: Any, quant_min: Any, quant_max: Any) -> Any:
    """``(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``."""
def feature_alpha_dropout(input: Tensor, p: Any, train: Any) -> Any:
    """`nn.functional.feature_alpha_dropout` with all arguments given."""
def feature_alpha_dropout_(input: Tensor, p: Any, train: Any) -> Tensor:
    """In-place version of :func:`feature_alpha_dropout`."""
def feature_dropout(input: Tensor, p: Any, train: Any) -> Any:
    """`nn.functional.dropout2d` and its like with all arguments given."""
def fill(input: Tensor, value: Any) -> Any:
    """A copy with every element set to `value`."""
def fill_(input: Tensor, value: Any) -> Tensor:
    """Set every element to a number or the value of a 0-dim tensor."""
def fill_diagonal_(input: Tensor, fill_value: Any, wrap: Any = False) -> Tensor:
    """Write `fill_value` to the main diagonal (of a tall matrix repeatedly, if `wrap`)."""
def fix(input: Tensor, *, out: Any = None) -> Tensor:
    """The input without its fraction."""
def fix_(input: Tensor) -> Tensor:
    """In-place version of :func:`trunc`."""
def flatten(input: Tensor, start_dim: Any = 0, end_dim: Any = -1) -> Tensor:
    """Dimensions `start_dim` to `end_dim` merged into one."""
def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """Elements in reverse order along the given dimensions."""
def fliplr(input: Tensor) -> Any:
    """Columns in reverse order."""
def flipud(input: Tensor) -> Any:
    """Rows in reverse order."""
def float_power(input: Tensor, exponent: Any, *, out: Any = None) -> Any:
    """input ** exponent in double precision (complex128 if either is complex)."""
def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """In-place version of :func:`float_power`."""
def floor(input: Tensor, *, out: Any = None) -> Tensor:
    """Largest integer not above the input."""
def floor_(input: Tensor) -> Tensor:
    """In-place version of :func:`floor`."""
def floor_divide(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """floor(input / other); integers stay integers, a zero among them raises."""
def floor_divide_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`floor_divide`."""
def fmax(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """The larger of two elements; a NaN loses to a number."""
def fmin(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """The smaller of two elements; a NaN loses to a number."""
def fmod(input: Tensor, other: Any, *, out: Any = None) -> Any:
    """Remainder of the division rounded toward zero; has the sign of `input`."""
def fmod_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`fmod`."""
def frac(input: Tensor, *, out: Any = None) -> Tensor:
    """input - trunc(input)."""
def frac_(input: Tensor) -> Tensor:
    """In-place version of :func:`frac`."""
def frexp(input: Tensor, *, out: Any = None) -> Any:
    """The named tuple (mantissa, exponent) with input = mantissa * 2 ** exponent, 0.5 <= |mantissa| < 1."""
def frobenius_norm(input: Tensor, dim: Any = ..., keepdim: Any = False) -> Any:
    """The 2-norm of all elements of the matrices in `dim`."""
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: Any = None) -> Any:
    """A tensor on the memory of an object that offers ``__dlpack__``, or of a capsule, which is then used up."""
def from_file(filename: Any, shared: Any = None, size: Any = 0, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False) -> Any:
    """A 1-D tensor of `size` elements on the memory map of a file."""
def from_numpy(ndarray: Any) -> Tensor:
    """A tensor on the memory of the array: changes of one are seen in the other."""
def frombuffer(buffer: Any, *, dtype: Any, count: Any = -1, offset: Any = 0, requires_grad: Any = False) -> Any:
    """A 1-D tensor on the memory of an object with the buffer protocol; offset is in bytes."""
def full(size: Any, fill_value: Any, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False, names: Any = None) -> Tensor:
    """A tensor of the given shape filled with a number; the dtype is the number's unless given."""
def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None, pin_memory: Any = False) -> Tensor:
    """`fill_value` in the shape, dtype and layout of `input`."""
def gather(input: Tensor, dim: Any, index: Any, *, sparse_grad: Any = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: values picked along `dim`."""
def gcd(input: Tensor, other: Any) -> Any:
    """Greatest common divisor, not negative."""
def gcd_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`gcd`."""
def ge(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input >= other, element by element."""
def ge_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`ge`."""
def geqrf(input: Tensor) -> Any:
    """The QR factorization as LAPACK stores it: R and Householder vectors in one matrix, and factors."""
def ger(input: Tensor, vec2: Any) -> Any:
    """All products of the elements of two vectors."""
def get_device(input: Tensor) -> _int:
    """Device index of a tensor; -1 on the CPU."""
def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: Any = 1) -> Any:
    """Estimated partial derivatives of a sampled function, one tensor a dimension of `dim`."""
def greater(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input > other, element by element."""
def greater_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`gt`."""
def greater_equal(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input >= other, element by element."""
def greater_equal_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`ge`."""
def grid_sampler(input: Tensor, grid: Any, interpolation_mode: Any, padding_mode: Any, align_corners: Any) -> Any:
    """`grid_sample` with numeric modes (0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2 reflection)."""
def grid_sampler_2d(input: Tensor, grid: Any, interpolation_mode: Any, padding_mode: Any, align_corners: Any) -> Any:
    """`grid_sample` with numeric modes (0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2 reflection)."""
def grid_sampler_3d(input: Tensor, grid: Any, interpolation_mode: Any, padding_mode: Any, align_corners: Any) -> Any:
    """`grid_sample` with numeric modes (0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2 reflection)."""
def group_norm(input: Tensor, num_groups: Any, weight: Any = None, bias: Any = None, eps: Any = ..., cudnn_enabled: Any = True) -> Tensor:
    """Normalize groups of channels of every sample, then scale and shift every channel."""
def gru(*args: Any) -> Any:
    """gru over padded (input, hx, ...) or packed (data, batch_sizes, hx, ...) input."""
def gru_cell(input: Tensor, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of gru: input (n, i), hx (n, h) -> (n, h)."""
def gt(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input > other, element by element."""
def gt_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`gt`."""
def hamming_window(window_length: Any, periodic: Any = True, alpha: Any = ..., beta: Any = ..., *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """``alpha - beta cos(2 pi i / (n - 1))``."""
def hann_window(window_length: Any, periodic: Any = True, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """``0.5 - 0.5 cos(2 pi i / (n - 1))``; periodic: n is one more and the last value is dropped."""
def hardshrink(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """x where |x| > lambd, else 0."""
def hash_tensor(input: Tensor, dim: Any = ..., *, keepdim: Any = False, mode: Any = 0) -> Any:
    """The exclusive or over `dim` (default: all) of the elements' bits, widened to float64 or int64, as uint64."""
def heaviside(input: Tensor, values: Any, *, out: Any = None) -> Any:
    """0 for negative, `values` for zero, 1 for positive input."""
def heaviside_(input: Tensor, values: Any) -> Tensor:
    """In-place version of :func:`heaviside`."""
def hinge_embedding_loss(*args: Any, reduction: Any = 1, **kwargs: Any) -> Any:
    """x where target is 1, max(0, margin - x) where it is -1; averaged."""
def histc(input: Tensor, bins: Any = 100, min: Any = 0, max: Any = 0) -> Any:
    """How many elements lie in each of `bins` equal parts of [min, max] (the data's range if equal)."""
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Any = None, density: Any = False, out: Any = None) -> Any:
    """(hist, bin_edges) of the flattened input; `bins` a number or increasing edges."""
def histogramdd(input: Tensor, bins: Any, *, range: Any = None, weight: Any = None, density: Any = False) -> Any:
    """(hist, edges) of points with N coordinates in the last dimension."""
def hsplit(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
    """tensor_split along a fixed dimension; a number of parts must divide its size."""
def hspmm(*args: Any, **kwargs: Any) -> Any:
    """The product of a sparse (n, m) and a dense (m, p) matrix, as a hybrid sparse tensor whose elements are rows."""
def hstack(tensors: Any) -> Any:
    """cat along the second dimension (the first of vectors)."""
def hypot(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """sqrt(input**2 + other**2) without overflow."""
def hypot_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`hypot`."""
def i0(input: Tensor, *, out: Any = None) -> Tensor:
    """Modified Bessel function, order 0."""
def i0_(input: Tensor) -> Tensor:
    """In-place version of :func:`i0`."""
def igamma(input: Tensor, other: Any) -> Any:
    """Regularized lower incomplete gamma function of a = input, x = other."""
def igammac(input: Tensor, other: Any) -> Any:
    """Regularized upper incomplete gamma function of a = input, x = other."""
def im2col(input: Tensor, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """`nn.functional.unfold` with all arguments given."""
def imag(input: Tensor) -> Any:
    """A view of the imaginary parts of a complex tensor."""
def index_add(input: Tensor, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """A copy with ``alpha * source`` added to the slices `index` of dimension `dim`."""
def index_copy(input: Tensor, dim: Any, index: Any, source: Any) -> Any:
    """A copy with the slices `index` of dimension `dim` replaced by those of `source`."""
def index_fill(input: Tensor, dim: Any, index: Any, value: Any) -> Any:
    """A copy with the slices `index` of dimension `dim` set to `value`."""
def index_put(input: Tensor, indices: Any, values: Any, accumulate: Any = False) -> Any:
    """A copy of `input` with ``[indices]`` set to `values` (or increased by them)."""
def index_put_(input: Tensor, indices: Any, values: Any, accumulate: Any = False) -> Tensor:
    """``input[indices] = values`` (or ``+=``, repeated positions adding up) in place."""
def index_reduce(input: Tensor, dim: Any, index: Any, source: Any, reduce: Any, *, include_self: Any = True) -> Any:
    """Slices of `source` reduced (prod, mean, amax, amin) into the slices `index` of dimension `dim`."""
def index_select(input: Tensor, dim: Any, index: Any) -> Tensor:
    """The slices of dimension `dim` at the positions `index` (a vector), copied."""
def indices_copy(input: Tensor, *, out: Any = None) -> Any:
    """A copy of ``input.indices()``."""
def inner(input: Tensor, other: Any) -> Any:
    """Sums of products over the last dimensions of both."""
def instance_norm(input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: Any, momentum: Any, eps: Any, cudnn_enabled: Any = True) -> Any:
    """`nn.functional.instance_norm` with the argument order of ``torch.instance_norm``."""
def int_repr(input: Tensor) -> Any:
    """The codes of a quantized tensor, as int8, uint8 or int32."""
def inverse(input: Tensor) -> Any:
    """Alias of linalg.inv."""
def is_complex(input: Tensor) -> _bool: ...
def is_conj(input: Tensor) -> _bool:
    """Whether conjugation is pending on `input`."""
def is_floating_point(input: Tensor) -> _bool: ...
def is_inference(input: Tensor) -> _bool: ...
def is_neg(input: Tensor) -> _bool:
    """Whether negation is pending on `input`."""
def is_nonzero(input: Tensor) -> _bool:
    """Whether a one-element tensor is not zero."""
def is_signed(input: Tensor) -> _bool: ...
def is_storage(obj: Any) -> _bool:
    """Whether `obj` is a storage."""
def is_tensor(obj: Any) -> _bool:
    """Whether `obj` is a tensor."""
def isclose(input: Tensor, other: Any, rtol: Any = ..., atol: Any = ..., equal_nan: Any = False) -> Any:
    """|input - other| <= atol + rtol * |other|, or equal; NaN are close only with equal_nan."""
def isfinite(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the input is neither infinite nor NaN."""
def isin(elements: Any, test_elements: Any, *, assume_unique: Any = False, invert: Any = False) -> Any:
    """Whether each of `elements` is among `test_elements`; one of them may be a number."""
def isinf(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the input (or either part) is infinite."""
def isnan(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the input is NaN (in either part)."""
def isneginf(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the input is -inf."""
def isposinf(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the input is +inf."""
def isreal(input: Tensor) -> Any:
    """Whether the imaginary part is zero; true for real types."""
def istft(input: Tensor, n_fft: Any, hop_length: Any = None, win_length: Any = None, window: Any = None, center: Any = True, normalized: Any = False, onesided: Any = None, length: Any = None, return_complex: Any = False) -> Any:
    """The signal whose `stft` is `input`, in the sense of least squares."""
def kaiser_window(window_length: Any, periodic: Any = True, beta: Any = ..., *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """``I0(beta sqrt(1 - (2 i / (n - 1) - 1)^2)) / I0(beta)``."""
def kl_div(input: Tensor, target: Any, reduction: Any = 1, *, log_target: Any = False) -> Any:
    """Kullback-Leibler divergence with a numeric reduction (0 none, 1 mean, 2 sum)."""
def kron(input: Tensor, other: Any) -> Any:
    """The Kronecker product."""
def kthvalue(input: Tensor, k: Any, dim: Any = -1, keepdim: Any = False, *, out: Any = None) -> Any:
    """The k-th smallest element along `dim` (k counts from 1), as (values, indices)."""
def layer_norm(input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = ..., cudnn_enable: Any = True) -> Tensor:
    """Normalize over the last ``len(normalized_shape)`` dimensions, then scale and shift."""
def lcm(input: Tensor, other: Any) -> Any:
    """Least common multiple, not negative."""
def lcm_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`lcm`."""
def ldexp(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input * 2 ** other."""
def ldexp_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`ldexp`."""
def le(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input <= other, element by element."""
def le_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`le`."""
def lerp(input: Tensor, end: Any, weight: Any, *, out: Any = None) -> Any:
    """input + weight * (end - input), exact at both ends; all of one dtype."""
def lerp_(input: Tensor, end: Any, weight: Any) -> Tensor:
    """In-place version of :func:`lerp`."""
def less(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input < other, element by element."""
def less_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`lt`."""
def less_equal(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input <= other, element by element."""
def less_equal_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`le`."""
def lgamma(input: Tensor, *, out: Any = None) -> Tensor:
    """log |Gamma(input)|."""
def lgamma_(input: Tensor) -> Tensor:
    """In-place version of :func:`lgamma`."""
def linspace(start: Any, end: Any, steps: Any = None, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Tensor:
    """`steps` values evenly spaced from `start` to `end`, both included."""
def lobpcg(A: Any, k: Any = None, B: Any = None, X: Any = None, n: Any = None, iK: Any = None, niter: Any = None, tol: Any = None, largest: Any = None, method: Any = None, tracker: Any = None, ortho_iparams: Any = None, ortho_fparams: Any = None, ortho_bparams: Any = None) -> Any:
    """The `k` largest (or smallest) eigenvalues of ``A x = lambda B x`` and their vectors: (E, V)."""
def log(input: Tensor, *, out: Any = None) -> Tensor:
    """Natural logarithm."""
def log10(input: Tensor, *, out: Any = None) -> Tensor:
    """Logarithm to base 10."""
def log10_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`log10`."""
def log1p(input: Tensor, *, out: Any = None) -> Tensor:
    """log(1 + input), accurate near 0."""
def log1p_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`log1p`."""
def log2(input: Tensor, *, out: Any = None) -> Tensor:
    """Logarithm to base 2."""
def log2_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`log2`."""
def log_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`log`."""
def log_softmax(input: Tensor, dim: Any, dtype: Any = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow."""
def logaddexp(input: Tensor, other: Any, *, out: Any = None) -> Any:
    """log(exp(input) + exp(other))."""
def logaddexp2(input: Tensor, other: Any, *, out: Any = None) -> Any:
    """log2(2**input + 2**other)."""
def logcumsumexp(input: Tensor, dim: Any) -> Any:
    """log of the sums of exp(input) up to each position along `dim`, without overflow."""
def logdet(input: Tensor) -> Any:
    """The logarithm of the determinant (NaN where it is negative)."""
def logical_and(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """Whether input and other are both nonzero."""
def logical_and_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`logical_and`."""
def logical_not(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the input is zero."""
def logical_not_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`logical_not`."""
def logical_or(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """Whether input or other is nonzero."""
def logical_or_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`logical_or`."""
def logical_xor(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """Whether exactly one of input and other is nonzero."""
def logical_xor_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`logical_xor`."""
def logit(input: Tensor, eps: Any = None, *, out: Any = None) -> Any:
    """log(x / (1 - x)), with x clamped to [eps, 1 - eps] when `eps` is given."""
def logit_(input: Tensor, eps: Any = None) -> Tensor:
    """In-place version of :func:`logit`."""
def logspace(start: Any, end: Any, steps: Any = None, base: Any = ..., *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """``base ** linspace(start, end, steps)``."""
def logsumexp(input: Tensor, dim: Any, keepdim: Any = False) -> Tensor:
    """log(sum(exp(input))) over `dim` without overflow; integers in the default float type."""
def lstm(*args: Any) -> Any:
    """lstm over padded (input, hx, ...) or packed (data, batch_sizes, hx, ...) input."""
def lstm_cell(input: Tensor, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of an LSTM: input (n, i), hx = (h, c) each (n, h) -> (h, c)."""
def lt(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input < other, element by element."""
def lt_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`lt`."""
def lu(input: Tensor, pivot: Any = True, get_infos: Any = False) -> Any:
    """Compact LU factorization and pivots (deprecated: linalg.lu_factor)."""
def lu_solve(input: Tensor, LU_data: Any, LU_pivots: Any) -> Any:
    """The solution of ``A X = B`` from the compact factorization of A (see linalg.lu_solve)."""
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: Any = True, unpack_pivots: Any = True) -> Any:
    """P, L and U of a compact factorization; what is not asked for is empty."""
def margin_ranking_loss(*args: Any, reduction: Any = 1, **kwargs: Any) -> Any:
    """max(0, -t (x1 - x2) + margin), averaged."""
def masked_fill(input: Tensor, mask: Any, value: Any) -> Any:
    """A copy with `value` where `mask` is True."""
def masked_scatter(input: Tensor, mask: Any, source: Any) -> Any:
    """A copy with consecutive elements of `source` where `mask` is True."""
def masked_select(input: Tensor, mask: Any) -> Tensor:
    """The elements where `mask` is True, as a vector."""
def matmul(input: Tensor, other: Any) -> Tensor:
    """The matrix product by rank: dot, matrix with vector, matrices, or batches that broadcast."""
def matrix_exp(A: Any) -> Any:
    """The exponential of square matrices."""
def matrix_power(A: Any, n: Any) -> Any:
    """The n-th power of square matrices, of their inverses for negative n."""
def max(input: Tensor, dim: Any = None, keepdim: Any = False, *, other: Any = None, out: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """The maximum of all elements; with `dim` the named tuple (values, indices) along it, the first of equal ones; with a second tensor the elementwise maximum."""
def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """Largest value of every window over the last 1 dimension(s); NaN where one is in it."""
def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """(max_pool1d, positions): `max_pool1d` with ``return_indices=True``."""
def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Tensor:
    """Largest value of every window over the last 2 dimension(s); NaN where one is in it."""
def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """Largest value of every window over the last 3 dimension(s); NaN where one is in it."""
def maximum(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """The larger of two elements; NaN if either is NaN."""
def mean(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Average over `dim`; integer tensors need a floating `dtype`."""
def median(input: Tensor, dim: Any = None, keepdim: Any = False, *, out: Any = None) -> Any:
    """The lower median of all elements, or along `dim` as (values, indices); NaN if there is one."""
def meshgrid(*tensors: Any, indexing: Any = None) -> Any:
    """Coordinate grids (views) of 1-D tensors; indexing 'ij' (matrix) or 'xy' (first two swapped)."""
def min(input: Tensor, dim: Any = None, keepdim: Any = False, *, other: Any = None, out: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """The minimum of all elements; with `dim` the named tuple (values, indices) along it, the first of equal ones; with a second tensor the elementwise minimum."""
def minimum(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """The smaller of two elements; NaN if either is NaN."""
def mm(input: Tensor, mat2: Any) -> Tensor:
    """The product of two matrices."""
def mode(input: Tensor, dim: Any = -1, keepdim: Any = False, *, out: Any = None) -> Any:
    """The most frequent value along `dim` (the smallest of several), and its last position."""
def moveaxis(input: Tensor, source: Any, destination: Any) -> Any:
    """Dimensions `source` moved to the positions `destination`, the others keeping their order."""
def movedim(input: Tensor, source: Any, destination: Any) -> Any:
    """Dimensions `source` moved to the positions `destination`, the others keeping their order."""
def msort(input: Tensor) -> Any:
    """The elements sorted along the first dimension, smallest first: ``sort(input, 0).values``."""
def mul(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input * other."""
def mul_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`mul`."""
def multinomial(input: Tensor, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> Tensor:
    """`num_samples` indices a row, drawn with the weights in `input` (1-d or 2-d), as int64."""
def multiply(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input * other."""
def multiply_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`mul`."""
def mv(input: Tensor, vec: Any) -> Any:
    """The product of a matrix and a vector."""
def mvlgamma(input: Tensor, p: Any) -> Any:
    """log of the multivariate gamma function of dimension `p`; input > (p - 1) / 2."""
def mvlgamma_(input: Tensor, p: Any) -> Tensor:
    """In-place version of :func:`mvlgamma`."""
def nan_to_num(input: Tensor, nan: Any = None, posinf: Any = None, neginf: Any = None, *, out: Any = None) -> Any:
    """NaN, +inf and -inf replaced: by 0 and the type's largest and smallest numbers unless told."""
def nan_to_num_(input: Tensor, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Tensor:
    """In-place version of :func:`nan_to_num`."""
def nanmean(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    """Average over `dim` of what is not NaN."""
def nanmedian(input: Tensor, dim: Any = None, keepdim: Any = False, *, out: Any = None) -> Any:
    """The lower median of what is not NaN."""
def nanquantile(input: Tensor, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Any:
    """The q-quantiles along `dim` of what is not NaN."""
def nansum(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    """Sum over `dim` with NaN counted as 0."""
def narrow(input: Tensor, dim: Any, start: Any, length: Any) -> Tensor:
    """`length` elements of dimension `dim` from `start` on."""
def narrow_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``narrow``, copied."""
def native_batch_norm(input: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: Any, momentum: Any, eps: Any) -> Any:
    """(normalized, mean, 1/std); the last two are empty in evaluation."""
def native_channel_shuffle(input: Tensor, groups: Any) -> Any: ...
def native_dropout(input: Tensor, p: Any, train: Any) -> Any:
    """(dropped, mask) with a bool mask of what was kept."""
def native_group_norm(input: Tensor, weight: Any, bias: Any, N: Any, C: Any, HxW: Any, group: Any, eps: Any) -> Any:
    """(normalized, mean, 1/std) of `group_norm`."""
def native_layer_norm(input: Tensor, normalized_shape: Any, weight: Any, bias: Any, eps: Any) -> Any:
    """(normalized, mean, 1/std)."""
def ne(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input != other, element by element."""
def ne_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`ne`."""
def neg(input: Tensor, *, out: Any = None) -> Tensor:
    """-input; bool tensors raise."""
def neg_(input: Tensor) -> Tensor:
    """In-place version of :func:`neg`."""
def negative(input: Tensor, *, out: Any = None) -> Tensor:
    """-input; bool tensors raise."""
def negative_(input: Tensor) -> Tensor:
    """In-place version of :func:`neg`."""
def nextafter(input: Tensor, other: Any, *, out: Any = None) -> Any:
    """The next floating-point number after `input` towards `other`."""
def nextafter_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`nextafter`."""
def nonzero(input: Tensor, *, as_tuple: Any = False) -> Any:
    """Positions of the nonzero elements: rows of an (n, dims) tensor, or a tuple of 1-D tensors."""
def nonzero_static(input: Tensor, *, size: Any, fill_value: Any = -1) -> Any:
    """``nonzero`` cut or filled with `fill_value` to exactly `size` rows."""
def norm(input: Tensor, p: Any = 'fro', dim: Any = None, keepdim: Any = False, out: Any = None, dtype: Any = None) -> Tensor:
    """The p-norm of the elements over `dim`; ``'fro'`` is 2, ``'nuc'`` the sum of singular values."""
def norm_except_dim(v: Any, pow: Any = 2, dim: Any = 0) -> Any:
    """The p-norm over all dimensions but `dim` (-1: over all), kept as size 1."""
def normal(mean: Any, std: Any = ..., size: Any = None, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """Normal numbers: ``normal(mean, std)`` with tensors, or ``normal(mean, std, size)``."""
def not_equal(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input != other, element by element."""
def not_equal_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`ne`."""
def nuclear_norm(input: Tensor, dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Any:
    """Sum of the singular values of the matrices in two dimensions."""
def numel(input: Tensor) -> _int:
    """Number of elements."""
def one_hot(tensor: Any, num_classes: Any = -1) -> Tensor:
    """Unit vectors (int64, along a new last dimension) for class numbers."""
def ones(*args: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """A tensor of the given shape filled with 1."""
def ones_like(input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None, pin_memory: Any = False) -> Tensor:
    """Ones in the shape, dtype and layout of `input`."""
def orgqr(input: Tensor, input2: Any) -> Any:
    """Alias of linalg.householder_product."""
def ormqr(input: Tensor, input2: Any, input3: Any, left: Any = True, transpose: Any = False) -> Any:
    """The product of Q (all of it, from Householder reflections) with a matrix."""
def outer(input: Tensor, vec2: Any) -> Tensor:
    """All products of the elements of two vectors."""
def pairwise_distance(x1: Any, x2: Any, p: Any = ..., eps: Any = ..., keepdim: Any = False) -> Any:
    """The p-norm of ``x1 - x2 + eps`` over the last dimension."""
def pca_lowrank(A: Any, q: Any = None, center: Any = True, niter: Any = 2) -> Any:
    """Principal components: `svd_lowrank` of A with its columns' means taken off (unless ``center=False``)."""
def pdist(input: Tensor, p: Any = ...) -> Any:
    """p-norm distances between all pairs of rows, in the order of the upper triangle."""
def permute(input: Tensor, dims: Any) -> Tensor:
    """The dimensions in the given order."""
def permute_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``permute``, copied."""
def pinverse(input: Tensor, rcond: Any = ...) -> Any:
    """The Moore-Penrose inverse (see linalg.pinv)."""
def pixel_shuffle(input: Tensor, upscale_factor: Any) -> Any:
    """(*, c r², h, w) -> (*, c, h r, w r). Shi et al. arXiv:1609.05158."""
def pixel_unshuffle(input: Tensor, downscale_factor: Any) -> Any:
    """(*, c, h r, w r) -> (*, c r², h, w): the inverse of `pixel_shuffle`."""
def poisson(input: Tensor, generator: Any = None) -> Any:
    """Poisson numbers with the rates in `input`, in its dtype."""
def poisson_nll_loss(input: Tensor, target: Any, log_input: Any, full: Any, eps: Any, reduction: Any) -> Any:
    """Poisson loss with a numeric reduction (0 none, 1 mean, 2 sum)."""
def polar(abs: Any, angle: Any) -> Any:
    """``abs * cos(angle) + 1j * abs * sin(angle)``."""
def polygamma(n: Any, input: Tensor, *, out: Any = None) -> Any:
    """n-th derivative of digamma at `input`, n >= 0."""
def positive(input: Tensor) -> Any:
    """The input itself; bool tensors raise."""
def pow(input: Tensor, exponent: Any, *, out: Any = None) -> Any:
    """input ** exponent; either may be a number."""
def pow_(input: Tensor, exponent: Any) -> Tensor:
    """In-place version of :func:`pow`."""
def prelu(input: Tensor, weight: Any) -> Any:
    """input where positive, else weight * input; one weight, or one a channel (dimension 1)."""
def prod(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Product over `dim` (an int) or of all elements; integers and bools as int64."""
def put(input: Tensor, index: Any, source: Any, accumulate: Any = False) -> Any:
    """A copy with elements of the flattened tensor replaced by (or increased by) `source`."""
def q_per_channel_axis(input: Tensor) -> Any:
    """The dimension along which scales differ; RuntimeError for others."""
def q_per_channel_scales(input: Tensor) -> Any:
    """The scales of a tensor quantized per channel; RuntimeError for others."""
def q_per_channel_zero_points(input: Tensor) -> Any:
    """The codes of 0 of a tensor quantized per channel; RuntimeError for others."""
def q_scale(input: Tensor) -> Any:
    """The scale of a tensor quantized as a whole; RuntimeError for others."""
def q_zero_point(input: Tensor) -> Any:
    """The code of 0 of a tensor quantized as a whole; RuntimeError for others."""
def qr(input: Tensor, some: Any = True) -> Any:
    """Q and R of ``A = Q R`` (deprecated: linalg.qr)."""
def quantile(input: Tensor, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Any:
    """The q-quantiles along `dim`, NaN where the data have one; q comes first in the result's shape."""
def quantize_per_channel(input: Tensor, scales: Any, zero_points: Any, axis: Any, dtype: Any) -> Any:
    """`quantize_per_tensor` with a scale and a zero point for each index of `axis`."""
def quantize_per_tensor(input: Tensor, scale: Any, zero_point: Any, dtype: Any) -> Any:
    """Codes ``round(input / scale) + zero_point``, clamped to the range of `dtype` (quint8, qint8, qint32)."""
def quantize_per_tensor_dynamic(input: Tensor, dtype: Any, reduce_range: Any) -> Any:
    """`quantize_per_tensor` with scale and zero point chosen so that the range of the values is covered; `reduce_range`: by codes of a bit less."""
def quantized_batch_norm(input: Tensor, weight: Any, bias: Any, mean: Any, var: Any, eps: Any, output_scale: Any, output_zero_point: Any) -> Any:
    """`batch_norm` of a quantized tensor by given mean and variance, quantized with `output_scale` and `output_zero_point`."""
def quantized_max_pool1d(input: Tensor, kernel_size: Any, stride: Any = ..., padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False) -> Any:
    """`max_pool1d` of a quantized tensor (N, C, L) or (C, L): the greatest code of each window."""
def quantized_max_pool2d(input: Tensor, kernel_size: Any, stride: Any = ..., padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False) -> Any:
    """`max_pool2d` of a quantized tensor (N, C, H, W) or (C, H, W): the greatest code of each window."""
def rad2deg(input: Tensor, *, out: Any = None) -> Tensor:
    """Radians to degrees."""
def rad2deg_(input: Tensor) -> Tensor:
    """In-place version of :func:`rad2deg`."""
def rand(*args: Any, size: Any = None, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """Numbers uniform in [0, 1), in the given shape."""
def rand_like(input: Tensor, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False, memory_format: Any = None) -> Tensor:
    """Numbers uniform in [0, 1), in the shape, dtype and layout of `input`."""
def randint(*args: Any, low: Any = None, high: Any = None, size: Any = None, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """Integers uniform in ``[low, high)``, by ``randint(high, size)`` with low = 0."""
def randint_like(input: Tensor, *args: Any, low: Any = 0, high: Any = None, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False, memory_format: Any = None) -> Any:
    """Integers uniform in ``[low, high)``, in the shape, dtype and layout of `input`."""
def randn(*args: Any, size: Any = None, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """Standard normal numbers, in the given shape (complex: total variance one)."""
def randn_like(input: Tensor, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False, memory_format: Any = None) -> Tensor:
    """Standard normal numbers, in the shape, dtype and layout of `input`."""
def randperm(n: Any, *, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """A random permutation of ``0 ... n - 1``, int64 unless a dtype is given."""
def range(start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Any:
    """Values ``start, start + step, ...`` up to and including `end` (deprecated; see arange)."""
def ravel(input: Tensor) -> Any:
    """The elements as one dimension: a view if contiguous, else a copy."""
def real(input: Tensor) -> Any:
    """A view of the real parts of a complex tensor; a real tensor as it is."""
def reciprocal(input: Tensor, *, out: Any = None) -> Tensor:
    """1 / input."""
def reciprocal_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`reciprocal`."""
def relu(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """max(input, 0)."""
def relu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`relu`."""
def remainder(input: Tensor, other: Any, *, out: Any = None) -> Any:
    """Remainder of the division rounded down (Python's ``%``)."""
def remainder_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`remainder`."""
def renorm(input: Tensor, p: Any, dim: Any, maxnorm: Any) -> Any:
    """Slices along `dim` scaled down so that their p-norm is at most `maxnorm`."""
def renorm_(input: Tensor, p: Any, dim: Any, maxnorm: Any) -> Tensor:
    """In-place version of :func:`renorm`."""
def repeat_interleave(input: Tensor, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
    """Every element (or slice of `dim`) repeated; `repeats` is a number or one number each."""
def reshape(input: Tensor, shape: Any) -> Tensor:
    """The elements in row-major order in a new shape: a view where strides allow, else a copy."""
def resize_(input: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Give this tensor another shape; its storage grows if it must, elements stay in storage order."""
def resize_as_(input: Tensor, the_template: Any, *, memory_format: Any = None) -> Tensor:
    """``resize_`` to the shape of another tensor."""
def resolve_conj(input: Tensor) -> Any:
    """A tensor without pending conjugation: `input` itself, or a copy."""
def resolve_neg(input: Tensor) -> Any:
    """A tensor without pending negation: `input` itself, or a copy."""
def result_type(tensor1: Any, tensor2: Any) -> Any:
    """The dtype of an operation on the two operands (tensors or numbers)."""
def rms_norm(input: Tensor, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    """x / sqrt(mean(x**2) + eps) * weight over the last dimensions."""
def rnn_relu(*args: Any) -> Any:
    """rnn_relu over padded (input, hx, ...) or packed (data, batch_sizes, hx, ...) input."""
def rnn_relu_cell(input: Tensor, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of rnn_relu: input (n, i), hx (n, h) -> (n, h)."""
def rnn_tanh(*args: Any) -> Any:
    """rnn_tanh over padded (input, hx, ...) or packed (data, batch_sizes, hx, ...) input."""
def rnn_tanh_cell(input: Tensor, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of rnn_tanh: input (n, i), hx (n, h) -> (n, h)."""
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved cyclically by `shifts` along `dims` (of the flattened tensor without dims)."""
def rot90(input: Tensor, k: Any = 1, dims: Any = ...) -> Any:
    """Rotation by k quarter turns in the plane of two dimensions, from the first to the second."""
def round(input: Tensor, *, decimals: Any = 0, out: Any = None) -> Tensor:
    """Nearest integer, ties to even; with `decimals` the nearest multiple of 10 ** -decimals."""
def round_(input: Tensor, *, decimals: Any = 0) -> Tensor:
    """In-place version of :func:`round`."""
def row_indices_copy(input: Tensor, *, out: Any = None) -> Any:
    """A copy of ``input.row_indices()``."""
def row_stack(tensors: Any) -> Any:
    """cat of at least two-dimensional tensors along the first dimension."""
def rrelu(input: Tensor, lower: Any = ..., upper: Any = ..., training: Any = False, inplace: Any = False) -> Any:
    """Leaky relu with a slope drawn evenly from [lower, upper) for each negative element in training, their mean otherwise. Xu et al. 2015."""
def rrelu_(input: Tensor, lower: Any = ..., upper: Any = ..., training: Any = False) -> Tensor:
    """In-place version of :func:`rrelu`."""
def rsqrt(input: Tensor, *, out: Any = None) -> Tensor:
    """1 / sqrt(input)."""
def rsqrt_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`rsqrt`."""
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input."""
def scalar_tensor(s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Any:
    """A 0-dimensional tensor of the default dtype (unless given) with the value `s`."""
def scatter(input: Tensor, dim: Any, index: Any, src: Any = None, *, reduce: Any = None, value: Any = None) -> Any:
    """A copy with ``[index[i][j]][j] = src[i][j]`` (for dim 0), `src` a tensor or a number."""
def scatter_add(input: Tensor, dim: Any, index: Any, src: Any) -> Any:
    """A copy with ``[index[i][j]][j] += src[i][j]`` (for dim 0), repeats adding up."""
def scatter_reduce(input: Tensor, dim: Any, index: Any, src: Any, reduce: Any, *, include_self: Any = True) -> Any:
    """Sources reduced (sum, prod, mean, amax, amin) into their positions, self's values included or not."""
def searchsorted(sorted_sequence: Any, input: Tensor, *, out_int32: Any = False, right: Any = False, side: Any = None, sorter: Any = None) -> Any:
    """Where elements of `input` would go into the innermost dimension of a sorted sequence."""
def segment_reduce(data: Any, reduce: Any, *, lengths: Any = None, indices: Any = None, offsets: Any = None, axis: Any = 0, unsafe: Any = False, initial: Any = None) -> Any:
    """Reduce runs of `data` along `axis`: segment k is the next ``lengths[k]`` rows."""
def select(input: Tensor, dim: Any, index: Any) -> Tensor:
    """The part of `input` at position `index` of dimension `dim`, which disappears."""
def select_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``select``, copied."""
def select_scatter(input: Tensor, src: Any, dim: Any, index: Any) -> Any:
    """A copy with the slice at position `index` of dimension `dim` replaced by `src`."""
def selu(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Self-normalizing elu: scale * elu(input, alpha) with the constants of Klambauer et al. 2017."""
def selu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`selu`."""
def set_flush_denormal(mode: Any) -> Any:
    """Ask the CPU to treat numbers below the normal range as zero: False, it keeps computing with them here."""
def sgn(input: Tensor, *, out: Any = None) -> Any:
    """input / |input|, 0 at 0: the sign, also of complex numbers."""
def sgn_(input: Tensor) -> Tensor:
    """In-place version of :func:`sgn`."""
def sigmoid(input: Tensor, *, out: Any = None) -> Tensor:
    """1 / (1 + exp(-input))."""
def sigmoid_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`sigmoid`."""
def sign(input: Tensor, *, out: Any = None) -> Tensor:
    """-1, 0 or 1; complex tensors raise (see sgn)."""
def sign_(input: Tensor) -> Tensor:
    """In-place version of :func:`sign`."""
def signbit(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the sign bit is set (-0.0 counts)."""
def sin(input: Tensor, *, out: Any = None) -> Tensor:
    """Sine of an angle in radians."""
def sin_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`sin`."""
def sinc(input: Tensor, *, out: Any = None) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
def sinc_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`sinc`."""
def sinh(input: Tensor, *, out: Any = None) -> Tensor:
    """Hyperbolic sine."""
def sinh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`sinh`."""
def slice_copy(input: Tensor, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    """A copy of ``input[start:end:step]`` along dimension `dim`."""
def slice_scatter(input: Tensor, src: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    """A copy with ``[start:end:step]`` of dimension `dim` replaced by `src`."""
def slogdet(input: Tensor) -> Any:
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
def smm(input: Tensor, mat: Any) -> Any:
    """The product of a sparse and a dense matrix, as a sparse tensor."""
def softmax(input: Tensor, dim: Any, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`, without overflow."""
def sort(input: Tensor, dim: Any = -1, descending: Any = False, stable: Any = None, *, out: Any = None) -> Any:
    """The named tuple (values, indices) sorted along `dim`; always stable, NaN last when ascending."""
def sparse_bsc_tensor(*args: Any, **kwargs: Any) -> Any:
    """(ccol_indices, row_indices, values, size=None): `sparse_compressed_tensor` of compressed columns of blocks."""
def sparse_bsr_tensor(*args: Any, **kwargs: Any) -> Any:
    """(crow_indices, col_indices, values, size=None): `sparse_compressed_tensor` of compressed rows of blocks."""
def sparse_compressed_tensor(*args: Any, **kwargs: Any) -> Any:
    """(compressed_indices, plain_indices, values, size=None): a tensor from compressed rows or columns, by `layout`."""
def sparse_coo_tensor(*args: Any, **kwargs: Any) -> Any:
    """(indices, values, size=None): a tensor from coordinates, element ``values[k]`` at position ``indices[:, k]``."""
def sparse_csc_tensor(*args: Any, **kwargs: Any) -> Any:
    """(ccol_indices, row_indices, values, size=None): `sparse_compressed_tensor` of compressed columns."""
def sparse_csr_tensor(*args: Any, **kwargs: Any) -> Any:
    """(crow_indices, col_indices, values, size=None): `sparse_compressed_tensor` of compressed rows."""
def split(tensor: Any, split_size_or_sections: Any, dim: Any = 0) -> Any:
    """Consecutive parts of dimension `dim`: of one size (the last may be smaller), or of given sizes."""
def split_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``split``, copied."""
def split_with_sizes(input: Tensor, split_sizes: Any, dim: Any = 0) -> Any:
    """Consecutive parts of dimension `dim` of the given sizes."""
def split_with_sizes_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``split_with_sizes``, copied."""
def spmm(input: Tensor, mat2: Any) -> Any:
    """``input @ mat2``."""
def sqrt(input: Tensor, *, out: Any = None) -> Tensor:
    """Square root."""
def sqrt_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`sqrt`."""
def square(input: Tensor, *, out: Any = None) -> Any:
    """input * input."""
def square_(input: Tensor) -> Tensor:
    """In-place version of :func:`square`."""
def squeeze(input: Tensor, *dims: Any, dim: Any = ...) -> Tensor:
    """Without the dimensions of size 1 (all of them, or those among `dim`)."""
def squeeze_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``squeeze``, copied."""
def sspaddmm(input: Tensor, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * (mat1 @ mat2)`` of sparse `input` and `mat1`, as a sparse tensor."""
def stack(tensors: Any, dim: Any = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Tensor:
    """Standard deviation over `dim`, with N - correction in the denominator."""
def std_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Any:
    """(standard deviation, mean) over `dim`."""
def stft(input: Tensor, n_fft: Any, hop_length: Any = None, win_length: Any = None, window: Any = None, center: Any = True, pad_mode: Any = 'reflect', normalized: Any = False, onesided: Any = None, return_complex: Any = None, align_to_window: Any = None) -> Any:
    """Fourier transforms of overlapping windows of a signal."""
def sub(input: Tensor, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other."""
def sub_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`sub`."""
def subtract(input: Tensor, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other."""
def subtract_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of :func:`sub`."""
def sum(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Sum over `dim` (an int, several, or None for all); integers and bools are summed as int64."""
def svd(input: Tensor, some: Any = True, compute_uv: Any = True) -> Any:
    """U, S and V with ``A = U diag(S) V^H`` (see linalg.svd)."""
def svd_lowrank(A: Any, q: Any = 6, niter: Any = 2, M: Any = None) -> Any:
    """U (..., m, q), S (..., q) and V (..., n, q) with ``A - M`` about ``U diag(S) V^H``."""
def swapaxes(input: Tensor, axis0: Any, axis1: Any) -> Any:
    """Alias of transpose."""
def swapdims(input: Tensor, dim0: Any, dim1: Any) -> Any:
    """Alias of transpose."""
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and 0-dim tensors as they are."""
def t_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``t``, copied."""
def take(input: Tensor, index: Any) -> Any:
    """Elements of the flattened tensor at the given positions, in the shape of `index`."""
def take_along_dim(input: Tensor, indices: Any, dim: Any = None) -> Any:
    """``gather`` with broadcasting of the other dimensions; without dim on the flattened tensors."""
def tan(input: Tensor, *, out: Any = None) -> Tensor:
    """Tangent of an angle in radians."""
def tan_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`tan`."""
def tanh(input: Tensor, *, out: Any = None) -> Tensor:
    """Hyperbolic tangent."""
def tanh_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`tanh`."""
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Tensor:
    """A new leaf tensor with a copy of `data` (number, nested sequence, array or tensor)."""
def tensor_split(input: Tensor, indices_or_sections: Any, dim: Any = 0, *, indices: Any = None, sections: Any = None) -> Any:
    """Parts cut at given indices, or a number of parts as equal as possible."""
def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sum of products over the last `dims` of `a` and first of `b`, or over given pairs of dimensions."""
def threshold(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """input where it is above `threshold`, else `value`."""
def threshold_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In-place version of :func:`threshold`."""
def tile(input: Tensor, dims: Any) -> Any:
    """``repeat`` with missing leading counts taken as 1."""
def to_dlpack(tensor: Any) -> Any:
    """A DLPack capsule that shares the memory of `tensor`; each capsule can be used once."""
def topk(input: Tensor, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True, *, out: Any = None) -> Any:
    """The `k` largest (or smallest) elements along `dim` in order, as (values, indices)."""
def trace(input: Tensor) -> Any:
    """The sum of a matrix's diagonal."""
def transpose(input: Tensor, dim0: Any, dim1: Any) -> Tensor:
    """Dimensions `dim0` and `dim1` exchanged."""
def transpose_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``transpose``, copied."""
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Any:
    """Integral along `dim` by the trapezoidal rule, at positions `x` or spaced `dx` (default 1)."""
def trapz(y: Any, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Any:
    """Integral along `dim` by the trapezoidal rule, at positions `x` or spaced `dx` (default 1)."""
def triangular_solve(input: Tensor, A: Any, upper: Any = True, transpose: Any = False, unitriangular: Any = False) -> Any:
    """The solution of a triangular system and a copy of A (deprecated: linalg.solve_triangular)."""
def tril(input: Tensor, diagonal: Any = 0) -> Tensor:
    """The lower triangle of each matrix, zeros elsewhere."""
def tril_(input: Tensor, diagonal: Any = 0) -> Tensor:
    """In-place version of :func:`tril`."""
def tril_indices(row: Any, col: Any, offset: Any = 0, *, dtype: Any = None, device: Any = None, layout: Any = None, pin_memory: Any = False) -> Any:
    """Row and column indices (2, n) of the lower triangle of a row-by-col matrix."""
def triplet_margin_loss(*args: Any, reduction: Any = 1, **kwargs: Any) -> Any:
    """max(0, d(a, p) - d(a, n) + margin) with p-norm distances, averaged."""
def triu(input: Tensor, diagonal: Any = 0) -> Tensor:
    """The upper triangle of each matrix, zeros elsewhere."""
def triu_(input: Tensor, diagonal: Any = 0) -> Tensor:
    """In-place version of :func:`triu`."""
def triu_indices(row: Any, col: Any, offset: Any = 0, *, dtype: Any = None, device: Any = None, layout: Any = None, pin_memory: Any = False) -> Any:
    """Row and column indices (2, n) of the upper triangle of a row-by-col matrix."""
def true_divide(input: Tensor, other: Any, *, out: Any = None) -> Tensor:
    """input / other, of integers in the default float type."""
def true_divide_(input: Tensor, *others: Any) -> Tensor:
    """In-place version of :func:`true_divide`."""
def trunc(input: Tensor, *, out: Any = None) -> Tensor:
    """The input without its fraction."""
def trunc_(input: Tensor) -> Tensor:
    """In-place version of :func:`trunc`."""
def unbind(input: Tensor, dim: Any = 0) -> Any:
    """All slices of dimension `dim`."""
def unbind_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``unbind``, copied."""
def unflatten(input: Tensor, dim: Any, sizes: Any) -> Any:
    """Dimension `dim` split into several; one size may be -1."""
def unfold_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``unfold``, copied."""
def unique(input: Tensor, sorted: Any = True, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
    """Distinct values (or slices along `dim`) in order, with optional inverse positions and counts."""
def unique_consecutive(input: Tensor, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
    """The input without elements (or slices) equal to the one before."""
def unravel_index(indices: Any, shape: Any) -> Any:
    """Coordinates in a tensor of the given shape of positions in its flattened form."""
def unsafe_chunk(input: Tensor, chunks: Any, dim: Any = 0) -> Any:
    """``chunk`` whose parts are copies."""
def unsafe_split(input: Tensor, split_size: Any, dim: Any = 0) -> Any:
    """``split`` whose parts are copies."""
def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: Any = 0) -> Any:
    """``split_with_sizes`` whose parts are copies."""
def unsqueeze(input: Tensor, dim: Any) -> Tensor:
    """With a new dimension of size 1 at `dim`."""
def unsqueeze_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``unsqueeze``, copied."""
def values_copy(input: Tensor, *, out: Any = None) -> Any:
    """A copy of ``input.values()``."""
def vander(x: Any, N: Any = None, increasing: Any = False) -> Any:
    """The Vandermonde matrix of a 1-D tensor: columns are powers, falling unless `increasing`."""
def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Tensor:
    """Variance over `dim`: sum of |x - mean|^2 over (N - correction)."""
def var_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None) -> Any:
    """(variance, mean) over `dim`."""
def vdot(input: Tensor, other: Any) -> Any:
    """The inner product of two vectors, the first conjugated."""
def view_as_complex(input: Tensor) -> Any:
    """Pairs of reals along the last dimension as a complex tensor."""
def view_as_complex_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``view_as_complex``, copied."""
def view_as_real(input: Tensor) -> Any:
    """A complex tensor as pairs (real, imaginary) along a new last dimension."""
def view_as_real_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``view_as_real``, copied."""
def view_copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The result of the view op ``view``, copied."""
def vsplit(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
    """tensor_split along a fixed dimension; a number of parts must divide its size."""
def vstack(tensors: Any) -> Any:
    """cat of at least two-dimensional tensors along the first dimension."""
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Tensor:
    """`input` where the bool `condition` holds, else `other`; with `condition` alone the indices of its true elements, one tensor a dimension."""
def xlogy(input: Tensor, other: Any, *, out: Any = None) -> Any:
    """input * log(other): 0 where input is 0, NaN where other is NaN."""
def xlogy_(input: Tensor, other: Any) -> Tensor:
    """In-place version of :func:`xlogy`."""
def zero_(input: Tensor) -> Tensor:
    """Set every element to zero."""
def zeros(*args: Any, size: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: Any = False) -> Tensor:
    """A tensor of the given shape filled with 0."""
def zeros_like(input: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None, pin_memory: Any = False) -> Tensor:
    """Zeros in the shape, dtype and layout of `input`."""
