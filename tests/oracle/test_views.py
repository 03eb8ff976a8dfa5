"""Views: the same values, shapes, strides, graph nodes and kinds of error as PyTorch."""

import pytest

import rushlight

from .compare import SETUP, agree, evaluate

torch = pytest.importorskip("torch")

CASES = r"""
m.split(2,1)
m.split([1,3],1)
m.split([1,2],1)
m.chunk(3,1)
m.chunk(5)
m.tensor_split(3,1)
m.tensor_split([1,5],1)
m.hsplit(2)
m.hsplit(3)
m.vsplit([1])
m.dsplit(2)
m.unbind(1)
m.diagonal(1)
m.diagonal(-5)
m.diagonal(0,0,0)
torch.diag_embed(m)
torch.diag_embed(m,1,0,2)
torch.diagflat(m[0],1)
torch.diag(m[0],-1)
m.unfold(0,2,1)
m.unfold(1,5,1)
m.unfold(1,2,0)
torch.tensor(3.).unfold(0,1,1)
m.expand(2,-1,4).stride()
m.expand(3)
m.expand(5,4)
m.view(-1,6)
m.view(5,-1)
m.t().view(12)
m.view(2,-1,-1)
m.unflatten(1,(2,-1))
m.unflatten(1,(3,2))
m.squeeze(5)
m.unsqueeze(-4)
m.movedim((0,1),(1,0))
m.permute(0,0)
m.permute(0)
m.transpose(0,5)
x.t()
m.select(0,5)
m.narrow(0,1,3)
m.narrow(0,1,2)
m.narrow(0,torch.tensor(1),2)
m.as_strided((2,2),(1,3),1)
m.as_strided((20,),(1,))
m.view(torch.int32)
m.view(torch.int16).shape
m[:, :1].view(torch.int16)
m.numel(), m.dim(), m.size(), m.size(1), m.stride(0), m.nelement(), m.element_size()
torch.numel(m), torch.is_tensor(m), torch.is_floating_point(m)
torch.broadcast_tensors(m,m[0])[1].stride()
torch.broadcast_shapes((2,1),(3,))
torch.broadcast_shapes((2,),(3,))
torch.real(torch.tensor([1+2j]))
torch.imag(torch.tensor([1.]))
torch.view_as_complex(torch.ones(3))
torch.tensor([1+2j]).conj().view(torch.float32)
torch.view_as_real(torch.tensor([1+2j]).conj())
torch.tensor([1+2j]).conj().is_conj()
torch.tensor([1+2j]).conj().imag
torch.tensor([1+2j]).conj()*2
torch.tensor([1+2j]).H
torch.resolve_conj(torch.tensor([1+2j]).conj()).is_conj()
torch.tensor([[1+2j,3],[2,1]]).mH
torch.tensor([[1+2j,3],[2,1]]).adjoint()
torch.permute_copy(m,(1,0)).stride()
torch.select_copy(m,0,1)
torch.narrow_copy(m,0,1,1)
torch.view_copy(m,(12,))
torch.expand_copy(m,(2,3,4)).stride()
torch.detach_copy(m)
torch.split_copy(m,2)
torch.unbind_copy(m)
torch.swapaxes(m,0,1)
torch.moveaxis(m,0,1)
torch.adjoint(m)
torch.ravel(m).shape
torch.flatten(m,0,1).shape
torch.flatten(x,1).shape
torch.flatten(torch.tensor(1.)).shape
torch.unflatten(m,1,(2,2)).shape
torch.reshape(m,(2,6)).shape
torch.squeeze(m[None],0).shape
torch.squeeze(m[None],(0,1)).shape
torch.t(m).shape
m.new_tensor(3)
m.sum_to_size(1,4)
m.data_ptr()==m.data_ptr()
len(m)
[r.shape for r in m]
m.T.shape, m.mT.shape, m.H.shape
""".strip().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_views_like_pytorch(case):
    expected, found = evaluate(torch, case, SETUP), evaluate(rushlight, case, SETUP)
    assert agree(expected, found), f"PyTorch: {expected}\nRushlight: {found}"
