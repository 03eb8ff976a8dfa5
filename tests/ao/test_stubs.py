"""Marks for quantization in float models."""

import copy
import pickle

import rushlight as torch
from rushlight.ao.quantization import DeQuantStub, QuantStub, QuantWrapper


def test_stubs_pass_values_on():
    x = torch.randn(3, requires_grad=True)
    for stub in (QuantStub(), DeQuantStub()):
        assert stub(x) is x and not list(stub.parameters()) and not hasattr(stub, "qconfig")
    assert QuantStub("how").qconfig == "how" and repr(QuantStub()) == "QuantStub()"


def test_wrapper():
    layer = torch.nn.Linear(2, 3)
    layer.qconfig = "how"
    w = QuantWrapper(layer.eval())
    x = torch.randn(4, 2)
    assert torch.equal(w(x), layer(x)) and not w.training and w.quant.qconfig == "how"
    assert list(w.state_dict()) == ["module.weight", "module.bias"]
    assert repr(w) == ("QuantWrapper(\n  (quant): QuantStub()\n  (dequant): DeQuantStub()\n"
                       "  (module): Linear(in_features=2, out_features=3, bias=True)\n)")
    for again in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert torch.equal(again(x), w(x))


def test_names():
    assert torch.quantization.QuantStub is torch.ao.quantization.QuantStub is QuantStub
