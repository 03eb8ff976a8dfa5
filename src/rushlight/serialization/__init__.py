"""Saving and loading: PyTorch's checkpoint format, safely, and safetensors.

``save`` and ``load`` read and write what PyTorch 2.13 does. Loading runs none of a file's code
unless ``weights_only=False`` says so.
"""

import importlib

_HOMES = {
    "save": "save", "load": "load",
    "add_safe_globals": "safe_globals", "get_safe_globals": "safe_globals",
    "clear_safe_globals": "safe_globals", "safe_globals": "safe_globals",
    "get_unsafe_globals_in_checkpoint": "load",
    "register_package": "locations", "default_restore_location": "locations",
    "location_tag": "locations",
    "LoadEndianness": "defaults", "get_crc32_options": "defaults", "set_crc32_options": "defaults",
    "get_default_load_endianness": "defaults", "set_default_load_endianness": "defaults",
    "get_default_mmap_options": "defaults", "set_default_mmap_options": "defaults", "skip_data": "defaults",
    "check_module_version_greater_or_equal": "defaults",
}
_SUBMODULES = ("safetensors", "rebuild")

__all__ = [*_HOMES, "safetensors"]


def __getattr__(name):
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}._{_HOMES[name]}")
        value = globals()[name] = getattr(module, name)
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOMES, *_SUBMODULES])
