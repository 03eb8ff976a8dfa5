"""What can go wrong in an export."""


class OnnxExporterError(RuntimeError):
    """A model can't be exported; the text says why and how to go on."""


class UnsupportedOperatorError(OnnxExporterError):
    """An op has no ONNX mapping (in this opset)."""


class SymbolicValueError(OnnxExporterError):
    """An argument of an op has to be known, but depends on the inputs' sizes."""


class OnnxExporterWarning(UserWarning):
    """What an exported model may not do as the original does."""


class TracerWarning(OnnxExporterWarning):
    """Python saw numbers of a tensor: the exported model keeps to the path that was taken."""


__all__ = ["OnnxExporterError", "OnnxExporterWarning", "SymbolicValueError", "TracerWarning",
           "UnsupportedOperatorError"]
