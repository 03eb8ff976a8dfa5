"""Flash attention that other packages bring: registered by name, activated on request."""

_registered = {}
_active = None              # (name, handle)


def register_flash_attention_impl(impl, *, register_fn):
    """Register ``register_fn()`` as what activates the implementation called `impl`.

    It replaces kernels (through ``torch.library``, for instance), and may return a handle whose ``remove()`` takes them
    away again.
    """
    _registered[impl] = register_fn


def list_flash_attention_impls():
    """Names of the implementations that can be activated, sorted."""
    return sorted(_registered)


def activate_flash_attention_impl(impl):
    """Activate a registered implementation; ValueError for other names."""
    global _active
    if impl not in _registered:
        raise ValueError(f"Unknown flash attention impl '{impl}'. Available implementations: "
                         f"{list_flash_attention_impls()}")
    if _active is not None:
        restore_flash_attention_impl()
    handle = _registered[impl]()
    if handle is not None:
        _active = impl, handle


def current_flash_attention_impl():
    """Name of the active implementation; None for this library's own, and for one that gave no handle."""
    return None if _active is None else _active[0]


def restore_flash_attention_impl(_raise_warn=True):
    """Go back to this library's own implementation; a warning where no other is active."""
    global _active
    if _active is None:
        if _raise_warn:
            import warnings
            warnings.warn("Trying to restore default FA2 impl when no custom impl was activated", stacklevel=2)
        return
    handle, _active = _active[1], None
    handle.remove()
