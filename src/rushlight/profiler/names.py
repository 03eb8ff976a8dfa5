"""What events are called: PyTorch's operator behind a public function, a kernel, an index."""

from rushlight.tensor.tensor import Tensor

# Public functions that are made of other ops in PyTorch, or no ops at all.
_NONE = frozenset("""
    asarray from_numpy frombuffer to_dlpack from_dlpack is_tensor is_storage is_floating_point is_complex is_nonzero
    unravel_index spmm dsmm unique lu svd_lowrank pca_lowrank lobpcg set_flush_denormal compiled_with_cxx11_abi
    softsign tanhshrink softmin lp_pool1d lp_pool2d lp_pool3d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices max_unpool1d fractional_max_pool2d_with_indices
    fractional_max_pool3d_with_indices local_response_norm normalize dropout1d dropout2d dropout3d gumbel_softmax
    gaussian_nll_loss triplet_margin_with_distance_loss multilabel_soft_margin_loss linear_cross_entropy
    _canonical_mask _none_or_dtype multi_head_attention_forward fold interpolate upsample upsample_nearest
    upsample_bilinear scaled_mm grouped_mm scaled_grouped_mm apply_ map_ map2_ const_data_ptr dim_order
    storage_type module_load grad_dtype xpu ipu mtia share_memory_ new __setitem__ numpy tolist dim size stride numel
    ndimension element_size is_contiguous is_same_size is_signed is_conj is_neg is_inference is_pinned is_set_to
    get_device nelement register_hook can_cast promote_types result_type is_distributed has_names type_as_
    broadcast_shapes vmap get_num_threads set_num_threads manual_seed
    """.split())
_NEW = frozenset("""DoubleTensor FloatTensor HalfTensor BFloat16Tensor ByteTensor CharTensor ShortTensor IntTensor
    LongTensor BoolTensor new_tensor""".split())
_RENAMED = {"cross_entropy": "cross_entropy_loss", "nll_loss": "nll_loss_nd", "logsigmoid": "log_sigmoid",
            "grid_sample": "grid_sampler", "affine_grid": "affine_grid_generator", "tensor": "lift_fresh",
            "unfold": "unfold", "H": "matrix_H", "T": "numpy_T", "to_sparse_coo": "to_sparse", "concat": "cat",
            "concatenate": "cat", "subtract": "sub", "divide": "div", "multiply": "mul"}
_RENAMED |= dict.fromkeys(
    "float double half bfloat16 int long short char byte bool cfloat cdouble type type_as".split(), "to")
_RENAMED |= dict.fromkeys(_NEW, "empty")
_PREFIX = {"torch.linalg": "linalg_", "torch.fft": "fft_", "torch.special": "special_"}
_OPERATORS = {"__add__": "add", "__radd__": "add", "__sub__": "sub", "__rsub__": "rsub", "__mul__": "mul",
              "__rmul__": "mul", "__truediv__": "div", "__rtruediv__": "div", "__mod__": "remainder",
              "__floordiv__": "floor_divide", "__matmul__": "matmul", "__rmatmul__": "matmul", "__pow__": "pow",
              "__rpow__": "pow", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge", "__eq__": "eq",
              "__ne__": "ne", "__neg__": "neg", "__abs__": "abs", "__invert__": "bitwise_not",
              "__and__": "__and__", "__or__": "__or__", "__xor__": "__xor__", "__iadd__": "add_", "__isub__": "sub_",
              "__imul__": "mul_", "__itruediv__": "div_", "__ifloordiv__": "floor_divide_", "__imod__": "remainder_",
              "__ipow__": "pow_", "__bool__": "is_nonzero"}


def of_function(namespace, name):
    """The event of a public function or method, or None."""
    if name in _NONE or name.startswith("_") and name not in _OPERATORS:
        return None
    if namespace in _PREFIX:
        return f"aten::{_PREFIX[namespace]}{name}"
    if namespace == "torch.nn.functional" and name == "unfold":
        return "aten::im2col"
    return f"aten::{_RENAMED.get(name) or _OPERATORS.get(name, name)}"


def of_index(index):
    """The event of ``x[index]``: the operator that reads by such an index."""
    items = index if type(index) is tuple else (index,)
    if any(isinstance(x, (Tensor, list)) or hasattr(x, "__array__") for x in items):
        return "aten::index"
    if any(type(x) is int for x in items):
        return "aten::select"
    if any(type(x) is slice for x in items):
        return "aten::slice"
    return "aten::unsqueeze" if any(x is None for x in items) else "aten::alias"


def of_store(index, value):
    """The event of ``x[index] = value``."""
    if of_index(index) == "aten::index":
        return "aten::index_put_"
    return "aten::copy_" if isinstance(value, Tensor) else "aten::fill_"


# Kernels that serve several operators, or go by another name.
_KERNELS = {
    "_matmul_tn": lambda args: "mm" if args[0].dim() == 2 else "bmm",
    "_matmul_nt": lambda args: "mm" if args[0].dim() == 2 else "bmm",
    "_matmul_fold": "mm",
    "linear": lambda args: "addmm" if args[2] is not None else "mm",
    "conv_input": "convolution_backward",
    "conv_weight": "convolution_backward",
    "convolution_transposed": "convolution",
    "_max_pool2d": "max_pool2d_with_indices",
    "max_poolscatter": "max_pool2d_with_indices_backward",
    "batch_norm_backward": "native_batch_norm_backward",
}
_DERIVED = {"relu": "threshold", "softplus": "softplus", "clamp": "clamp"}
COUNTED_ABOVE = frozenset(f"aten::{n}" for n in ("conv1d conv2d conv3d conv_transpose1d conv_transpose2d "
                                                 "conv_transpose3d").split())


def of_kernel(label, args, schema=""):
    """The event of a kernel; those of derivatives are told by their schema."""
    if schema.startswith("_derived"):
        return f"aten::{_DERIVED.get(label, label)}_backward"
    found = _KERNELS.get(label, label)
    return f"aten::{found(args) if callable(found) else found}"


_TYPES = {"float32": "float", "float64": "double", "int64": "long int", "int32": "int", "int16": "short int",
          "int8": "signed char", "uint8": "unsigned char", "bool": "bool", "bfloat16": "c10::BFloat16",
          "float16": "c10::Half", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}


def dtype_name(x):
    """The C++ type of a tensor's elements; of another argument, what traces call it."""
    if isinstance(x, Tensor):
        return _TYPES.get(x.dtype.name, x.dtype.name)
    if isinstance(x, (bool, int, float)):
        return "Scalar"
    if type(x) in (list, tuple):
        return "TensorList" if any(isinstance(y, Tensor) for y in x) else "ScalarList"
    return ""
