"""Which implementation `scaled_dot_product_attention` may use."""

from contextlib import contextmanager
from enum import IntEnum

from rushlight.nn.attention.registry import (
    activate_flash_attention_impl,
    current_flash_attention_impl,
    list_flash_attention_impls,
    register_flash_attention_impl,
    restore_flash_attention_impl,
)

__all__ = ["SDPBackend", "activate_flash_attention_impl", "current_flash_attention_impl", "list_flash_attention_impls",
           "register_flash_attention_impl", "restore_flash_attention_impl", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """Implementations of attention; this library chooses by itself and has one numeric result."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __repr__(self):
        return f"<SDPBackend.{self.name}: {self.value}>"

    def __str__(self):
        return f"SDPBackend.{self.name}"


_allowed = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
            SDPBackend.CUDNN_ATTENTION]


def _cur_sdpa_kernel_backends(with_priority=False):
    """The implementations allowed now."""
    return list(_allowed)


@contextmanager
def sdpa_kernel(backends, set_priority=False):
    """Within the context, allow these implementations only.

    Args:
        backends: one `SDPBackend` or several.
        set_priority: take them in the given order.

    Raises:
        TypeError: where it is neither.
    """
    global _allowed
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend "
                             "instances")
    chosen = [backends] if isinstance(backends, SDPBackend) else list(dict.fromkeys(backends))
    previous = _allowed
    _allowed = chosen
    try:
        yield {}
    finally:
        _allowed = previous
