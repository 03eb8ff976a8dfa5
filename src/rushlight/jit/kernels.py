"""What runs each operator: Python expressions, small functions on numbers, strings and containers, or the op table."""

import functools
import math

import rushlight as torch
from rushlight.library import aten

from . import kernels_attention, kernels_nn
from .codes import CODES

# Operators on numbers, strings and containers as expressions of their inputs; on tensors, too, unless in _NOT_TENSORS.
EXPRESSIONS = {
    "aten::add": "({0} + {1})", "aten::sub": "({0} - {1})", "aten::mul": "({0} * {1})", "aten::neg": "(-{0})",
    "aten::eq": "({0} == {1})", "aten::ne": "({0} != {1})", "aten::lt": "({0} < {1})", "aten::gt": "({0} > {1})",
    "aten::le": "({0} <= {1})", "aten::ge": "({0} >= {1})", "aten::__and__": "({0} & {1})", "aten::__or__": "({0} | "
                                                                                                            "{1})",
    "aten::__xor__": "({0} ^ {1})", "aten::__not__": "(not {0})", "aten::__is__": "({0} is {1})",
    "aten::__isnot__": "({0} is not {1})", "aten::__lshift__": "({0} << {1})", "aten::__rshift__": "({0} >> {1})",
    "aten::len": "len({0})", "aten::__getitem__": "{0}[{1}]", "aten::append": "_append({0}, {1})",
    "aten::__contains__": "({1} in {0})", "aten::matmul": "({0} @ {1})",
    "aten::Int": "int({0})", "aten::Float": "float({0})", "aten::Bool": "bool({0})", "aten::IntImplicit": "int({0})",
    "aten::FloatImplicit": "float({0})", "aten::ScalarImplicit": "{0}.item()", "aten::ComplexImplicit": "complex({0})",
    "aten::item": "{0}.item()", "prim::unchecked_cast": "{0}",
    "prim::unchecked_unwrap_optional": "{0}", "aten::dim": "{0}.dim()",
    "prim::device": "{0}.device", "prim::layout": "_code({0}.layout)", "prim::dtype": "_code({0}.dtype)",
    "prim::requires_grad": "{0}.requires_grad", "prim::is_cuda": "{0}.is_cuda", "prim::is_sparse": "{0}.is_sparse",
    "prim::is_quantized": "{0}.is_quantized", "prim::is_meta": "{0}.is_meta", "prim::is_mkldnn": "False",
    "prim::is_mps": "False", "prim::is_xpu": "False", "prim::is_ipu": "False", "prim::is_vulkan": "False",
    "prim::is_maia": "False", "prim::is_mtia": "False", "prim::is_sparse_csr": "({0}.layout == torch.sparse_csr)",
    "prim::is_nested": "{0}.is_nested", "prim::itemsize": "{0}.element_size()", "prim::nbytes": "{0}.nbytes",
    "prim::name": "None", "prim::data": "{0}.data", "prim::grad": "{0}.grad", "prim::type": "{0}.type",
    "prim::index": "{0}.index", "prim::NumToTensor": "torch.tensor({0})", "aten::numpy_T": "{0}.T",
    "aten::matrix_H": "{0}.H", "aten::is_leaf": "{0}.is_leaf", "aten::output_nr": "{0}.output_nr",
    "prim::EnumName": "{0}.name", "prim::EnumValue": "{0}.value", "prim::StringIndex": "{0}[{1}]",
    "aten::device": "torch.device({0})", "aten::ord": "ord({0})", "aten::chr": "chr({0})", "aten::hex": "hex({0})",
    "aten::oct": "oct({0})", "aten::bin": "bin({0})", "aten::str": "str({0})", "aten::_unwrap_optional": "_unwrap({0})",
    "aten::data": "{0}.data", "prim::id": "id({0})", "aten::is_scripting": "True", "aten::grad": "{0}.grad",
    "aten::requires_grad": "{0}.requires_grad", "aten::retains_grad": "{0}.retains_grad",
    "aten::is_grad_enabled": "torch.is_grad_enabled()", "aten::wait": "{0}.wait()",
    "aten::is_autocast_enabled": "torch.is_autocast_enabled()", "aten::has_torch_function": "False",
    "aten::is_autocast_cpu_enabled": "torch.is_autocast_enabled('cpu')", "prim::rangelist": "list(range({0}))",
    "aten::get": "{0}.get({*})",
}
# What has another way on tensors.
_NOT_TENSORS = frozenset(("aten::__getitem__", "aten::ord", "aten::chr", "aten::len"))
METHODS = frozenset((
    "lower upper strip lstrip rstrip split rsplit splitlines join replace startswith endswith find rfind rindex "
    "count index isalnum isalpha isdigit isdecimal isidentifier islower isnumeric isprintable isspace istitle isupper "
    "capitalize title swapcase center ljust rjust zfill expandtabs partition rpartition "
    "insert extend remove reverse clear copy update setdefault popitem pop").split())
_CONTAINERS = frozenset(("clear", "copy", "pop", "index", "count", "remove", "insert", "extend", "reverse", "update",
                         "setdefault", "popitem", "split", "replace", "find"))


def _append(items, x):
    items.append(x)
    return items


def _code(value):
    return CODES[value]


def _unwrap(x):
    if x is None:
        raise RuntimeError("Unwrapping null optional")
    return x


def _format(text, *args):
    parts = text.split("{}")
    used = min(len(parts) - 1, len(args))
    if len(parts) - 1 > len(args):
        raise RuntimeError("Too few arguments for format string: " + text)
    out = [parts[0]]
    for i in range(used):
        out.append(shown(args[i]))
        out.append(parts[i + 1])
    return "".join(out)


def shown(x):
    """A value as ``format`` and ``print`` write it."""
    if isinstance(x, float) and not isinstance(x, bool):
        from .graph import number
        text = f"{x:.6g}"
        return text if any(c in text for c in ".en") else number(x)[:-1] + "."
    if isinstance(x, list):
        return "[" + ", ".join(map(shown_inside, x)) + "]"
    if isinstance(x, tuple):
        return "(" + ", ".join(map(shown_inside, x)) + ("," if len(x) == 1 else "") + ")"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{shown_inside(k)}: {shown_inside(v)}" for k, v in x.items()) + "}"
    return str(x)


def shown_inside(x):
    """A value inside a container as ``print`` writes it: strings have quotes."""
    return f"'{x}'" if isinstance(x, str) else shown(x)


def _print(*args):
    print(*map(shown, args))


def _slice(x, *args):
    if isinstance(x, torch.Tensor):
        return aten._slice(x, *args)
    start, end, step = (*args, None, None, None)[:3]
    return x[slice(start, end, 1 if step is None else step)]


def _extend(items, more):
    items.extend(more)
    return items


def _set_item(items, key, value):
    items[key] = value
    return items


def _delete(items, key):
    del items[key]


def _to_list(x, *rest):
    return x.tolist()


def _range_length(low, high, step):
    if step == 0:
        raise RuntimeError("range() arg 3 must not be zero")
    return max(0, -(-(high - low) // step) if step > 0 else -((high - low) // -step) if low > high else 0)


def _tensor(data, dtype=None, device=None, requires_grad=False):
    return torch.tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def _index(x, indices):
    return x[tuple([slice(None) if i is None else i for i in indices])]


def _index_put_(x, indices, values, accumulate=False):
    index = tuple([slice(None) if i is None else i for i in indices])
    if accumulate:
        if any(i is None for i in indices):
            raise NotImplementedError("index_put_ with accumulate where dimensions are left out")
        return x.index_put_(tuple(indices), values, True)
    x[index] = values
    return x


def _index_put(x, indices, values, accumulate=False):
    return _index_put_(x.clone(), indices, values, accumulate)


def _sorted(items, key=None):
    return sorted(items)


def _sort(items, *args, **options):
    if isinstance(items, list):
        return items.sort(reverse=bool(args and args[0]))
    return torch.sort(items, *args, **options)


def _list(x):
    return list(x)


def _dict(x=()):
    return dict(x)


def _items(x):
    return list(x.items())


def _keys(x):
    return list(x.keys())


def _minimum(*args):
    return min(*args)


def _maximum(*args):
    return max(*args)


def _warn(message, stacklevel=2):
    import warnings
    warnings.warn(str(message), stacklevel=3)


def _divmod(a, b):
    return divmod(a, b)


def _modf(x):
    return math.modf(x)


def _manual_seed(seed):
    torch.manual_seed(seed)


def _complex(a, b=0):
    return complex(a, b) if not isinstance(a, torch.Tensor) else complex(a)


def _size_if_not_equal(a, b):
    return None if a == b else a


def _percent(text, args):
    return text % args


def _tensor_to_list(x):
    return x.tolist()


def _as_tensor(x, dtype=None, device=None):
    return torch.as_tensor(x, dtype=dtype, device=device)


def _autocast_dtype(kind):
    return CODES[torch.get_autocast_dtype(kind)]


def _promote(a, b):
    from .codes import dtype
    return CODES[torch.promote_types(dtype(a), dtype(b))]


def _set_data(x, data):
    x.data = data


FUNCTIONS = {
    "aten::format": _format, "prim::Print": _print, "aten::slice": _slice, "aten::_set_item": _set_item,
    "aten::Delete": _delete, "prim::tolist": _to_list, "aten::__range_length": _range_length, "aten::tensor": _tensor,
    "aten::index": _index, "aten::index_put_": _index_put_, "aten::index_put": _index_put, "aten::sorted": _sorted,
    "aten::list": _list, "aten::dict": _dict, "aten::items": _items, "aten::keys": _keys, "aten::sort": _sort,
    "prim::min": _minimum, "prim::max": _maximum, "aten::warn": _warn, "aten::divmod": _divmod, "aten::modf": _modf,
    "aten::manual_seed": _manual_seed, "aten::Complex": _complex, "aten::_size_if_not_equal": _size_if_not_equal,
    "aten::percentFormat": _percent, "aten::__derive_index": lambda i, start, step: start + i * step,
    "aten::_tensor_to_list": _tensor_to_list, "aten::as_tensor": _as_tensor, "prim::abs": abs,
    "aten::get_autocast_dtype": _autocast_dtype, "aten::promote_types": _promote, "aten::set_data": _set_data,
    "aten::_shape_as_tensor": lambda x: torch.tensor(list(x.shape)), "aten::set_grad_enabled": torch.set_grad_enabled,
    "aten::_get_tracing_state": lambda: False, "aten::split": lambda x, *a: (
        x.split(*a) if isinstance(x, str) else list(torch.split(x, *a))),
    "aten::__round_to_zero_floordiv": lambda a, b: int(a / b),
    "aten::__interpolate": lambda *a, **k: torch.nn.functional.interpolate(*a, **k),
    "aten::seed": torch.seed if hasattr(torch, "seed") else None, "aten::initial_seed": lambda: torch.initial_seed(),
    **kernels_nn.FUNCTIONS, **kernels_attention.FUNCTIONS,
}


# On numbers: functions of `math`, and what differs from Python's operators.
def _div(a, b):
    return a / b


NUMBERS = {
    "aten::add_": _extend, "aten::div": _div, "aten::floordiv": lambda a, b: a // b, "aten::remainder": lambda a,
    b: a % b,
    "aten::pow": lambda a, b: a ** b if isinstance(a, complex) or isinstance(b, complex) else float(a) ** b,
    "aten::floor": math.floor, "aten::ceil": math.ceil, "aten::round": lambda x: float(round(x)),
    "aten::fmod": math.fmod, "aten::mathremainder": math.remainder, "aten::gcd": math.gcd,
    "aten::factorial": math.factorial,
    "aten::abs": abs, "aten::real": lambda x: x.real, "aten::imag": lambda x: x.imag, "aten::fabs": math.fabs,
    "aten::frexp": math.frexp, "aten::ldexp": math.ldexp, "aten::polar": lambda r, t: complex(r * math.cos(t),
                                                                                             r * math.sin(t)),
    "aten::angle": lambda x: math.atan2(complex(x).imag, complex(x).real), "aten::any": any, "aten::all": all,
    "aten::sum": sum, "aten::hash": hash, "aten::is_floating_point": None, "aten::gamma": math.gamma,
    **{f"aten::{n}": getattr(math, n) for n in (
        "exp expm1 log10 log1p sqrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf erfc lgamma "
        "copysign degrees radians isnan isinf isfinite").split()},
    "aten::log": lambda x, *base: math.log(x, *base), "aten::__upsample": None,
}


def known(name, overload):
    """Whether an operator can be run."""
    if name in EXPRESSIONS or name in FUNCTIONS and FUNCTIONS[name] is not None or NUMBERS.get(name) is not None:
        return True
    if name.startswith("aten::") and (name[6:] in METHODS or aten._public(name[6:]) is not None):
        return True
    return name in STRUCTURE


# Operators that the generated code spells out by itself.
STRUCTURE = frozenset(("prim::RaiseException", "prim::TupleUnpack", "prim::TupleIndex", "prim::Uninitialized"))


@functools.cache
def tensor_function(name):
    """What runs an operator on tensors, as a function of its arguments in order; keyword-only ones by name."""
    fn = FUNCTIONS.get(name)
    if fn is not None:
        return fn
    public = aten._public(name[6:]) if name.startswith("aten::") else None
    if public is None:
        raise NotImplementedError(f"the operator {name} is not in the op table")
    bare = name[6:]
    from rushlight.ops import registry
    for home in aten._HOMES:
        if bare in registry.FUNCTIONS.get(home, ()) and bare not in aten._OWN:
            return _Late(registry.FUNCTIONS[home], bare)
    return public


class _Late:
    """A public function, looked up at each call: a generated one may take its place."""

    __slots__ = ("table", "name")

    def __init__(self, table, name):
        self.table, self.name = table, name

    def __call__(self, *args, **kwargs):
        return self.table[self.name](*args, **kwargs)


def number_function(name):
    """What runs an operator on numbers, strings and containers."""
    return FUNCTIONS.get(name) or NUMBERS.get(name)
