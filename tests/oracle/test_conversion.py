"""Conversions and in-place writes: the same values, shapes, strides, graph nodes and kinds of error as PyTorch."""

import pytest

import rushlight

from .compare import SETUP, agree, evaluate

torch = pytest.importorskip("torch")

CASES = r"""
m.clone().t_()
m.clone().unsqueeze_(0)
m.clone().transpose_(0,1).stride()
m.clone().resize_(2,2)
m.clone().resize_(4,4).shape
m.to('cuda')
m.cuda()
m.to(torch.float64,copy=True).dtype
m.to(m) is m
m.to('cpu') is m
m.to('cpu',torch.float64).dtype
m.to(device='meta').device
m.type()
m.type(torch.float64).dtype
m.type('torch.IntTensor').dtype
m.type('foo')
m.type_as(m.double()).dtype
m.half().dtype
m.bool()
m.char()
torch.tensor([1.7,-1.7,300.]).to(torch.uint8)
torch.tensor([1.5]).long()
m.bfloat16().dtype
m.contiguous(memory_format=torch.channels_last)
x[None].contiguous(memory_format=torch.channels_last).stride()
x[None].clone(memory_format=torch.channels_last).stride()
x[None].to(memory_format=torch.channels_last).stride()
x[None].contiguous(memory_format=torch.channels_last).double().stride()
x.transpose(0,2).clone().stride()
m.fill_(3)
m.clone().fill_(torch.tensor(3.))
m.clone().fill_(torch.tensor([3.]))
m.clone().long().fill_(3.7)
m.clone().zero_()
m.clone().copy_(torch.ones(4))
m.clone().copy_(torch.ones(5))
m.clone().copy_(torch.ones(2,3,4))
x.copy_(y)
x.fill_(1)
x.clone().fill_(1)
x.clone().zero_()
x.clone().copy_(y)
x.clone().double().copy_(x)
x.numpy()
x.detach().numpy().shape
m.double().view(torch.float32).shape
torch.tensor([3]).item(), torch.tensor(2.5).item(), torch.tensor(True).item()
torch.ones(2).item()
m.tolist()
torch.clone(m).shape
m.is_contiguous(), m.t().is_contiguous()
bool(torch.tensor(1))
""".strip().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_conversion_like_pytorch(case):
    expected, found = evaluate(torch, case, SETUP), evaluate(rushlight, case, SETUP)
    assert agree(expected, found), f"PyTorch: {expected}\nRushlight: {found}"
