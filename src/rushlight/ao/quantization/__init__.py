"""``torch.ao.quantization`` (and ``torch.quantization``): marks in a model for where numbers become codes and back."""

from .stubs import DeQuantStub, QuantStub, QuantWrapper

__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]
