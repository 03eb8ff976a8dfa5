"""``torch.jit``: compiled functions and modules, traces, and archives that PyTorch and LibTorch load.

`script` compiles Python source of the TorchScript language, `trace` records a call; both make the same graphs
(``graph.py``), which run as generated Python over the op table. `save` and `load` write and read TorchScript archives.
"""

from .script import (  # noqa: F401
    CompilationUnit,
    Error,
    RecursiveScriptModule,
    ScriptFunction,
    ScriptMethod,
    ScriptModule,
    TopLevelTracedModule,
    TracedModule,
    script,
)
from .words import (  # noqa: F401
    Attribute,
    Final,
    _active,
    _drop,
    _fork,
    _unwrap_optional,
    _wait,
    annotate,
    export,
    export_opnames,
    fork,
    ignore,
    interface,
    is_scripting,
    is_tracing,
    jit_isinstance,
    script_if_tracing,
    unused,
    wait,
)
from .words import jit_isinstance as isinstance

_LATE = {"load": "archive", "save": "archive", "trace": "tracing", "trace_module": "tracing",
         "TracerWarning": "tracing", "TracingCheckError": "tracing", "freeze": "freezing",
         "optimize_for_inference": "freezing", "run_frozen_optimizations": "freezing",
         "set_fusion_strategy": "settings", "enable_onednn_fusion": "settings", "onednn_fusion_enabled": "settings",
         "strict_fusion": "settings", "fuser": "settings", "optimized_execution": "settings",
         "last_executed_optimized_graph": "settings", "script_method": "settings"}

__all__ = ["Attribute", "CompilationUnit", "Error", "Future", "ScriptFunction", "ScriptModule", "annotate",
           "enable_onednn_fusion", "export", "export_opnames", "fork", "freeze", "ignore", "interface", "isinstance",
           "load", "onednn_fusion_enabled", "optimize_for_inference", "save", "script", "script_if_tracing",
           "set_fusion_strategy", "strict_fusion", "trace", "trace_module", "unused", "wait"]


def _tracing():
    """Whether compiled code is being recorded by a trace."""
    return bool(_active) and _active[-1].here()


def __getattr__(name):
    if name == "Future":
        from rushlight.futures import Future
        return Future
    if name in _LATE or name == "frontend":
        from importlib import import_module
        module = import_module(f".{_LATE.get(name, name)}", __name__)
        return module if name == "frontend" else getattr(module, name)
    raise AttributeError(f"module 'torch.jit' has no attribute {name!r}")
