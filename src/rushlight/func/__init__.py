"""Function transforms: derivatives and batching of functions that take and return tensors, in any combination."""

from importlib import import_module as _import

_HOMES = {
    "grad": "reverse", "grad_and_value": "reverse", "vjp": "reverse",
    "jvp": "tangent_transforms", "linearize": "tangent_transforms",
    "vmap": "vmapping", "chunk_vmap": "vmapping", "debug_unwrap": "vmapping",
    "jacrev": "jacobians", "jacfwd": "jacobians", "hessian": "jacobians",
    "functional_call": "modules", "stack_module_state": "modules", "replace_all_batch_norm_modules_": "modules",
    "functionalize": "functionalization", "rearrange": "rearranging",
}
__all__ = ["debug_unwrap", "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev",
           "jvp", "linearize", "rearrange", "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap"]


def __getattr__(name):
    if name in _HOMES:
        value = globals()[name] = getattr(_import("." + _HOMES[name], __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
