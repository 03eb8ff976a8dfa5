"""Marks in a float model for where values are to be quantized and dequantized: until then they pass unchanged."""

from rushlight.nn.modules.module import Module

__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]


class _Stub(Module):
    """Passes its input on; `qconfig`, where given, says how the place is to be quantized."""

    def __init__(self, qconfig=None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x):
        return x


class QuantStub(_Stub):
    """The place where a float tensor is to become a quantized one; passes it on until the model is converted.

    Args:
        qconfig: how to quantize there; without it that of the modules around holds.
    """


class DeQuantStub(_Stub):
    """The place where a quantized tensor is to become a float one; passes it on until the model is converted.

    Args:
        qconfig: how the module is to be treated; without it that of the modules around holds.
    """


class QuantWrapper(Module):
    """`module` between a `QuantStub` and a `DeQuantStub`: ``dequant(module(quant(x)))``.

    The parameters' names begin with ``module.``; the stubs have none. The mode (training or evaluation) and the
    `qconfig`, if any, are the module's.
    """

    def __init__(self, module):
        super().__init__()
        qconfig = getattr(module, "qconfig", None)
        self.add_module("quant", QuantStub(qconfig))
        self.add_module("dequant", DeQuantStub(qconfig))
        self.add_module("module", module)
        self.train(module.training)

    def forward(self, X):
        X = self.quant(X)
        X = self.module(X)
        return self.dequant(X)
