"""ONNX: models as graphs that other programs run.

    torch.onnx.export(model, (x,), "model.onnx", input_names=["x"], dynamic_axes={"x": {0: "batch"}})

Writing files needs the package ``onnx`` (``pip install 'rushlight[onnx]'``), which is imported when it is used.
"""

from importlib import import_module as _import

_HOMES = {"export": "exporting", "is_in_onnx_export": "exporting", "TrainingMode": "exporting",
          "OperatorExportTypes": "exporting", "producer_name": "exporting", "producer_version": "exporting",
          "select_model_mode_for_export": "exporting", "ONNXProgram": "program", "OnnxExporterError": "errors",
          "ExportableModule": "extras", "InputObserver": "extras", "register_custom_op_symbolic": "custom",
          "unregister_custom_op_symbolic": "custom"}
_SUBMODULES = ("errors", "ops")
__all__ = [*_SUBMODULES]
__all__ += [name for name in _HOMES if name in (
    "export", "is_in_onnx_export", "OnnxExporterError", "ONNXProgram", "ExportableModule", "InputObserver")]


def __getattr__(name):
    if name in _HOMES:
        value = globals()[name] = getattr(_import("." + _HOMES[name], __name__), name)
        return value
    if name in _SUBMODULES:
        return _import("." + name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*_HOMES, *_SUBMODULES})
