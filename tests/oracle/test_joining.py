"""Joining, repeating and padding: the same values, shapes, strides, graph nodes and kinds of error as PyTorch."""

import pytest

import rushlight

from .compare import SETUP, agree, evaluate

torch = pytest.importorskip("torch")

CASES = r"""
F.pad(x,(1,2,0,1))
F.pad(x,(-1,-1))
F.pad(x,(1,1),value=3)
F.pad(x,(1,))
F.pad(x,(1,1),'reflect')
F.pad(x,(1,2),'replicate')
F.pad(x[None],(1,2,1,1),'reflect')
F.pad(x[None],(1,2,1,1),'replicate')
F.pad(x[None,None],(1,2,1,1,1,0),'replicate')
F.pad(x[None,None],(1,2,1,1,1,0),'reflect')
F.pad(x,(5,1),'reflect')
F.pad(x,(1,1,1,1),'reflect')
F.pad(x,(1,1),'foo')
F.pad(m.long(),(1,1),value=2)
F.pad(x,(-10,0))
torch.constant_pad_nd(m,(1,1),2.)
m.repeat(2)
m.repeat(2,2)
m.repeat(1,2,2)
m.repeat(-1,2)
m.tile((2,))
torch.tile(m,(2,2))
m.repeat_interleave(2)
m.repeat_interleave(torch.tensor([1,0,2]),0)
torch.repeat_interleave(torch.tensor([1,2]))
m.repeat_interleave(torch.tensor([1,2]),0)
m.roll(1)
m.roll((1,2),(0,1))
m.roll(1,(0,1))
m.flip(0,1)
m.flip((0,0))
m.rot90(2)
m.rot90(3)
m.rot90(1,(0,0))
m.tril(1)
m.triu(-1)
torch.ones(3).tril()
m.clone().tril_()
torch.cat([m,m],1)
torch.cat([m,m.double()])
torch.cat([m,torch.tensor([])])
torch.cat([m,torch.zeros(2,3)])
torch.cat([m,torch.zeros(2)])
torch.cat([])
torch.cat([torch.tensor(1)])
torch.cat(m)
torch.cat([m,1])
torch.cat([m,m],out=torch.empty(6,4))
torch.stack([m,m],-1)
torch.stack([m,m[:2]])
torch.stack([m,m.double()])
torch.hstack([m[0],m[0]])
torch.vstack([m[0],m[0]])
torch.dstack([m[0],m[0]])
torch.column_stack([m[0],m[0]])
torch.block_diag(m,m[0],torch.tensor(3.))
torch.atleast_2d(torch.tensor(1.))
torch.atleast_3d(m)
torch.atleast_1d(torch.tensor(1),torch.tensor(2))
torch.concat([m,m]).shape
torch.concatenate([m,m]).shape
torch.row_stack([m,m]).shape
""".strip().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_joining_like_pytorch(case):
    expected, found = evaluate(torch, case, SETUP), evaluate(rushlight, case, SETUP)
    assert agree(expected, found), f"PyTorch: {expected}\nRushlight: {found}"
