"""Which public functions ``__torch_function__`` sees, and what they are called."""

import inspect

import rushlight as torch

from . import overrides
from .ops import registry

_NAMESPACES = {"torch": "torch", "torch.nn.functional": "torch.nn.functional", "torch.linalg": "torch.linalg",
               "torch.fft": "torch.fft", "torch.special": "torch.special"}
# They make tensors, or take none.
_IGNORED = frozenset("""
    arange as_tensor asarray bartlett_window blackman_window broadcast_shapes can_cast empty empty_permuted
    empty_strided eye from_file from_numpy frombuffer full hamming_window hann_window is_storage is_tensor kaiser_window
    linspace logspace normal ones promote_types rand randint randn randperm range result_type scalar_tensor
    set_flush_denormal sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor sparse_coo_tensor sparse_csc_tensor
    sparse_csr_tensor sym_constrain_range tensor tril_indices triu_indices vander zeros compiled_with_cxx11_abi
    fft_fftfreq fft_rfftfreq fftfreq rfftfreq upsample upsample_bilinear upsample_nearest handle_torch_function
    get_device_module new_empty new_empty_strided new_full new_ones new_tensor new_zeros as_subclass
    """.split())


def _module(name):
    m = torch
    for part in name.split(".")[1:]:
        m = getattr(m, part)
    return m


def _public(ns):
    """(name, function) of a namespace, as users reach them."""
    overrides.activate()
    module = _module(ns)
    for name in sorted(registry.FUNCTIONS.get(ns, ())):
        if not name.startswith("_"):
            yield name, getattr(module, name)


def ignored():
    """See `overrides.get_ignored_functions`."""
    found = {f for ns in _NAMESPACES for name, f in _public(ns) if name in _IGNORED and not isinstance(f, type)}
    found |= {getattr(torch.Tensor, n) for n in _IGNORED if callable(getattr(torch.Tensor, n, None))}
    found |= {getattr(torch, n) for n in ("load", "save", "manual_seed", "get_default_dtype", "set_default_dtype",
                                          "is_grad_enabled", "set_printoptions", "typename", "cond", "compile")}
    return found | {torch.Tensor.__torch_function__.__func__, torch.Tensor.__init__, torch.Tensor.__new__,
                    torch.Tensor.__hash__, torch.Tensor.__iter__}


def overridable():
    """See `overrides.get_overridable_functions`."""
    found = {}
    for ns in _NAMESPACES:
        found[_module(ns)] = [f for name, f in _public(ns) if name not in _IGNORED and callable(f)
                              and not isinstance(f, type)]
    methods = found[torch.Tensor] = []
    seen = set()
    for name in sorted({*registry.METHODS, *overrides._body(), *_operators()}):
        value = inspect.getattr_static(torch.Tensor, name, None) or registry.METHODS.get(name)
        if name in _IGNORED or name.startswith("_") and not name.startswith("__") or value is None:
            continue
        if isinstance(value, property):
            getter = value.__get__
            found[value] = [getter]
        elif callable(value) and id(value) not in seen:
            seen.add(id(value))
            methods.append(getattr(torch.Tensor, name))
    return found


def _operators():
    from .ops.operators import dunders
    return dunders()


def testing():
    """See `overrides.get_testing_overrides`."""
    return {f: _minus_one(f) for functions in overridable().values() for f in functions}


def _minus_one(f):
    """``lambda <parameters of f>: -1``."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return lambda *args, **kwargs: -1
    defaults, parts, starred = {}, [], False
    for p in parameters:
        text = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        if p.kind is p.VAR_POSITIONAL:
            starred = True
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        if p.default is not p.empty:
            defaults[f"default_{p.name}"] = p.default
            text += f"=default_{p.name}"
        parts.append(text)
    return eval(f"lambda {', '.join(parts)}: -1", defaults)


def _property_names():
    return {id(value): name for name, value in torch.Tensor.__dict__.items() if isinstance(value, property)}


def name_of(f):
    """See `overrides.resolve_name`."""
    if getattr(f, "__name__", None) == "__get__" and isinstance(getattr(f, "__self__", None), property):
        name = _property_names().get(id(f.__self__))
        return None if name is None else f"torch.Tensor.{name}.__get__"
    name = getattr(f, "__name__", None)
    if not isinstance(name, str) or isinstance(f, type):
        return None
    for ns in _NAMESPACES:
        if registry.FUNCTIONS.get(ns, {}).get(name) is f:
            return f"{ns}.{name}"
    for candidate in (name, *_operators(), "__pos__"):
        if getattr(torch.Tensor, candidate, None) is f:
            return f"torch.Tensor.{candidate}"
    for ns in _NAMESPACES:                                  # published under another name than its own
        for other, g in registry.FUNCTIONS.get(ns, {}).items():
            if g is f:
                return f"{ns}.{other}"
    for other, g in registry.METHODS.items():
        if g is f or getattr(g, "__func__", None) is f:
            return f"torch.Tensor.{other}"
        if isinstance(g, property) and g.fget is f:
            return f"torch.Tensor.{other}.__get__"
    return None


def of_tensor(func):
    """See `overrides.is_tensor_method_or_property`."""
    name = name_of(func)
    return name is not None and name.startswith("torch.Tensor.")
