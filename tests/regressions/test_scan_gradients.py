"""Second derivatives of running log-sums, whose first ones go through logarithms of signed parts."""

import rushlight as torch


def test_logcumsumexp_twice():
    torch.manual_seed(0)
    x = (torch.randn(2, 2, 3, dtype=torch.float64) * 9).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch.logcumsumexp(x, 0), x)
    assert torch.autograd.gradgradcheck(lambda x: torch.logcumsumexp(x, 0), x)
    assert torch.autograd.gradgradcheck(lambda x: torch.logcumsumexp(x, 2), x)
