"""Arguments of backward that were once ignored."""

import pytest

import rushlight as torch


def test_grad_variables_is_the_old_name_of_grad_tensors():
    w = torch.ones(2, requires_grad=True)
    with pytest.warns(FutureWarning, match="grad_variables"):
        torch.autograd.backward(w * 2, grad_variables=torch.tensor([1.0, 3.0]))
    assert w.grad.tolist() == [2, 6]
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match="not both"):
        torch.autograd.backward(w * 2, torch.ones(2), grad_variables=torch.ones(2))
