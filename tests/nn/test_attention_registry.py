"""Implementations of attention that other packages bring."""

import pytest

from rushlight.nn import attention


def test_activation_and_return():
    log = []

    class Handle:
        def remove(self):
            log.append("removed")

    def register():
        log.append("registered")
        return Handle()
    attention.register_flash_attention_impl("Mine", register_fn=register)
    assert "Mine" in attention.list_flash_attention_impls() and attention.current_flash_attention_impl() is None
    attention.activate_flash_attention_impl("Mine")
    assert attention.current_flash_attention_impl() == "Mine"
    attention.restore_flash_attention_impl()
    assert attention.current_flash_attention_impl() is None and log == ["registered", "removed"]
    with pytest.warns(UserWarning, match="no custom impl"):
        attention.restore_flash_attention_impl()
    with pytest.raises(ValueError, match="Unknown flash attention impl"):
        attention.activate_flash_attention_impl("Nobody's")
