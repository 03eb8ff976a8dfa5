"""What defining a Tensor subclass does to everybody else's tensors: nothing."""

import rushlight as torch


class Marked(torch.Tensor):
    """A subclass that inherits the default ``__torch_function__``."""


def test_attributes_stay_attributes():
    z = torch.tensor([[1 + 2j, 3 - 1j]])
    assert z.real.tolist() == [[1, 3]] and z.imag.tolist() == [[2, -1]]
    assert z.mT.shape == z.T.shape == z.mH.shape == z.H.shape == (2, 1)
    z.real = torch.zeros(1, 2)
    assert z.tolist() == [[2j, -1j]]


def test_legacy_tensor_types_stay_types():
    assert isinstance(torch.FloatTensor([1.0]), torch.FloatTensor)


def test_attributes_of_the_subclass_keep_its_type():
    m = torch.ones(2, 3).as_subclass(Marked)
    assert type(m.mT) is Marked and m.mT.shape == (3, 2)
    assert type(m + 1) is Marked
