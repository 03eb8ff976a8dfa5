"""Stand-in for PyTorch: after ``install_as_torch()``, ``import torch`` finds Rushlight."""

import importlib
import importlib.abc
import importlib.util
import sys


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Resolves ``torch`` and ``torch.x.y`` to ``rushlight`` and ``rushlight.x.y``."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torch" or fullname.startswith("torch."):
            ours = "rushlight" + fullname[5:]
            try:
                found = importlib.util.find_spec(ours)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return None
            return importlib.util.spec_from_loader(fullname, self, is_package=found.submodule_search_locations
                                                   is not None)
        return None

    def create_module(self, spec):
        return importlib.import_module("rushlight" + spec.name[5:])

    def exec_module(self, module):
        """The module is complete already; only its name in ``sys.modules`` is new."""


_finder = None


def install_as_torch():
    """Make ``import torch`` and ``import torch.anything`` give Rushlight's modules; returns rushlight.

    RuntimeError when the real PyTorch has been imported already.
    """
    global _finder
    import rushlight
    loaded = sys.modules.get("torch")
    if loaded is not None and loaded is not rushlight:
        raise RuntimeError("install_as_torch(): PyTorch itself is loaded already; call this before anything "
                           "imports torch")
    if _finder is None:
        _finder = _Finder()
        sys.meta_path.insert(0, _finder)
    sys.modules["torch"] = rushlight
    return rushlight


def uninstall():
    """Let ``import torch`` find what is installed again."""
    global _finder
    if _finder is not None:
        sys.meta_path.remove(_finder)
        _finder = None
        for name in [n for n in sys.modules if n == "torch" or n.startswith("torch.")]:
            if sys.modules[name] is sys.modules.get("rushlight" + name[5:]):
                del sys.modules[name]
