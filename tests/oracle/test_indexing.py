"""Indexing, gather and scatter: the same values, shapes, strides, graph nodes and kinds of error as PyTorch."""

import pytest

import rushlight

from .compare import SETUP, agree, evaluate

torch = pytest.importorskip("torch")

CASES = r"""
m.gather(0,ix)
m.gather(1,ix)
m.gather(0,ix.int())
m.gather(0,ix.float())
m.gather(0,torch.tensor([[5]]))
m.gather(0,torch.tensor([0]))
m.gather(0,torch.zeros(4,5,dtype=L))
m.gather(2,ix)
m.gather(0,torch.empty(0,dtype=L))
torch.tensor(5.).gather(0,torch.tensor(0))
m.index_select(0,i)
m.index_select(1,torch.tensor(1))
m.index_select(0,torch.tensor([5]))
m.index_select(0,torch.tensor([[0]]))
m.index_select(0,torch.tensor([0.]))
m.index_select(0,torch.tensor([-1]))
torch.tensor(3.).index_select(0,torch.tensor([0]))
m.take(torch.tensor([0,5,-1]))
m.take(torch.tensor([[0,50]]))
m.take(torch.tensor([0]).int())
m.take_along_dim(torch.tensor([[0],[1],[2]]),1)
m.take_along_dim(torch.tensor([0,11]))
m.take_along_dim(torch.tensor([0]),1)
m.take_along_dim(torch.tensor([[0.]]),1)
m.masked_select(m>5)
m.masked_select(torch.tensor([True,False,True,False]))
m.masked_select(torch.tensor([1,0,1,0]))
m.masked_fill(m>5,-1)
m.masked_fill(torch.tensor([True,False,True,False]),-1)
m.masked_fill(m,1)
m.masked_fill(m>5,torch.tensor([1.,2.]))
m.masked_fill(m>5,torch.tensor(7))
m.long().masked_fill(m>5,1.7)
m.long().masked_fill(m>5,torch.tensor(1.7))
m[0].masked_fill(m>5,0)
m.clone().masked_fill_(m>5,3)
m.clone()[0].masked_fill_(m>5,3)
m.masked_scatter(m>5,torch.arange(20.))
m.masked_scatter(m>5,torch.arange(2.))
m.masked_scatter(m>5,torch.arange(20))
m.masked_scatter(m,torch.arange(20))
m.scatter(0,ix,torch.ones(2,4)*9)
m.scatter(0,ix,9)
m.scatter(0,ix,9,reduce='add')
m.scatter(0,ix,9,reduce='multiply')
m.scatter(0,ix,torch.ones(2,4)*9,reduce='add')
m.scatter(0,ix,9,reduce='foo')
m.scatter(0,ix,torch.ones(1,4))
m.scatter(0,ix,torch.ones(2,4).double())
m.scatter(0,torch.tensor([[9]]),1)
m.scatter(0,torch.tensor([9]),1)
m.clone().scatter_(1,torch.tensor([[0],[1],[2]]),-1.)
m.scatter_add(0,ix,torch.ones(2,4))
m.scatter_add(1,ix,torch.ones(2,4))
m.long().scatter_add(1,ix,torch.ones(2,4).long())
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'sum')
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'prod')
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'mean')
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'amax')
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'amin')
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'sum',include_self=False)
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'prod',include_self=False)
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'mean',include_self=False)
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'amax',include_self=False)
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'amin',include_self=False)
m.long().scatter_reduce(0,ix,torch.ones(2,4).long()*3,'mean')
m.scatter_reduce(0,ix,torch.ones(2,4)*3,'foo')
m.index_add(0,i,torch.ones(2,4))
m.index_add(0,i,torch.ones(2,4),alpha=3)
m.index_add(1,i,torch.ones(3,2))
m.index_add(0,i,torch.ones(2,3))
m.index_add(0,i,torch.ones(3,4))
m.index_add(0,torch.tensor([0,0]),torch.ones(2,4))
m.index_copy(0,i,torch.ones(2,4))
m.index_copy(0,i,torch.ones(2,4).double())
m.index_copy(0,torch.tensor([7]),torch.ones(1,4))
m.index_fill(0,i,3)
m.index_fill(1,i,torch.tensor(3.))
m.index_fill(0,torch.tensor([7]),3)
m.index_fill(0,i,torch.tensor([3.]))
m.index_reduce(0,i,torch.ones(2,4)*3,'prod')
m.index_reduce(0,i,torch.ones(2,4)*3,'mean')
m.index_reduce(0,i,torch.ones(2,4)*3,'amax')
m.index_reduce(0,i,torch.ones(2,4)*3,'amin',include_self=False)
m.put(torch.tensor([0,5]),torch.tensor([1.,2.]))
m.put(torch.tensor([0,0]),torch.tensor([1.,2.]),accumulate=True)
m.put(torch.tensor([0,50]),torch.tensor([1.,2.]))
m.clone().put_(torch.tensor([0,5]),torch.tensor([1.,2.]))
m.index_put((i,),torch.tensor(1.),accumulate=True)
m.index_put((torch.tensor([0,0]),),torch.ones(4),accumulate=True)
m.clone().index_put_((i,i),torch.tensor([1.,2.]))
m.clone().fill_diagonal_(7)
torch.zeros(5,2).fill_diagonal_(7,wrap=True)
torch.zeros(3).fill_diagonal_(7)
torch.select_scatter(m,torch.zeros(4),0,1)
torch.select_scatter(x,torch.zeros(3,4),0,1)
torch.slice_scatter(m,torch.zeros(1,4),0,1,2)
torch.slice_scatter(x,torch.zeros(1,3,4),0,1)
torch.diagonal_scatter(m,torch.zeros(3))
torch.diagonal_scatter(x,torch.zeros(4,2))
torch.as_strided_scatter(m,torch.zeros(2,2),(2,2),(1,2))
F.one_hot(torch.tensor([0,2,1]))
F.one_hot(torch.tensor([[0,2],[1,1]]),4)
F.one_hot(torch.tensor([5]),4)
F.one_hot(torch.tensor([-1]))
F.one_hot(torch.tensor([1.]))
F.one_hot(torch.empty(0,dtype=L),3)
torch.where(torch.tensor(True))
torch.nonzero(torch.tensor(3))
torch.argwhere(torch.tensor(3))
torch.take(m,torch.tensor([[0,1]]))
torch.bucketize(torch.tensor([1.,5.]),torch.tensor([0.,3.,6.]))
torch.index_copy(m,0,i,torch.ones(2,4))
torch.masked_select(m,m>3)
m.is_nonzero()
""".strip().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_indexing_like_pytorch(case):
    expected, found = evaluate(torch, case, SETUP), evaluate(rushlight, case, SETUP)
    assert agree(expected, found), f"PyTorch: {expected}\nRushlight: {found}"

# Every form of subscript, read and written.
SUBSCRIPT_SETUP = """
x=torch.arange(24.).reshape(2,3,4).requires_grad_()
y=torch.arange(24.).reshape(2,3,4)
v=torch.arange(5)
i=torch.tensor([0,1])
"""

SUBSCRIPTS = r"""
x[0]
x[:]
x[...]
x[None]
x[0,1]
x[0:1]
x[:,1:]
x[:,:]
x[...,0]
x[True]
x[False]
x[i]
x[:,i]
x[i,:,i]
x[0,:,i]
x[:,0,i]
x[[0,1]]
x[[0,1],[1,2]]
x[[[0,1],[1,2]]]
x[[slice(0,1),0]]
x[(0,1,2)]
x[torch.tensor(1)]
x[torch.tensor(True)]
x[x>5]
x[torch.tensor([True,False])]
x[torch.tensor([1,0],dtype=torch.uint8)]
x[torch.tensor([1,0],dtype=torch.int16)]
x[torch.tensor([1,0],dtype=torch.int32)]
x[torch.tensor([1.,0])]
x[1.0]
x['a']
x[2]
x[-3]
x[0,3]
x[0,0,0,0]
x[...,...]
x[::-1]
x[::0]
x[::2].shape
x[torch.tensor([5])]
x[torch.tensor([-3])]
x[torch.tensor([0,1]),torch.tensor([0,1,2])]
x[torch.tensor([True,False,True])]
x[np.array([0,1])]
x[np.int64(1)]
x[np.array(1)]
x[np.array([True,False])]
x[range(2)]
x[None,0,None]
x[torch.tensor([],dtype=torch.int64)]
x[[]]
x[:,[]]
x[torch.tensor([[0,1],[1,0]])].shape
x[0][0][0][0]
y[torch.tensor(0):torch.tensor(2)].shape
y[0.5:1]
y['a':]
v[None,:]
v[1,None]
y[:,:,i].stride()
y[:,i].stride()
y[i,:,i].stride()
torch.tensor(5)[0]
torch.tensor(5)[...]
torch.tensor(5)[None]
torch.tensor(5)[torch.tensor(True)]
torch.tensor(5)[torch.tensor(0)]
torch.tensor(5)[:]
x[(i,)]
x[i,None].shape
x[:,None,i].shape
x[i,None,i].shape
x[True,i].shape
x[i,True].shape
x[slice(None),True,i].shape
x[y>100].shape
x[0].T
x[0].t()
x[0].H
! z=y.clone(); z[0]=1; r=z
! z=y.clone(); z[0,0]=torch.tensor([[1.,2,3,4]]); r=z
! z=y.clone(); z[0]=torch.ones(2); r=z
! z=y.clone(); z[0]=torch.ones(3,4).double(); r=z
! z=y.clone(); z[5]=1; r=z
! z=y.clone(); z[i]=7; r=z
! z=y.clone(); z[i]=torch.ones(3,4); r=z
! z=y.clone(); z[i]=torch.ones(2); r=z
! z=y.clone(); z[z>5]=0; r=z
! z=y.clone(); z[z>5]=torch.ones(18); r=z
! z=y.clone(); z[z>5]=torch.ones(3); r=z
! z=y.clone(); z[i,:,i]=torch.ones(2,3); r=z
! z=y.clone(); z[...]=3; r=z
! z=y.clone(); z[None]=3; r=z
! z=y.clone(); z[:,::2]=3; r=z
! z=y.clone(); z[0]=1j; r=z
! z=y.clone(); z[0]=[1,2,3,4]; r=z
! z=y.clone(); z[0]=np.ones((3,4)); r=z
! z=y.clone(); z[i]=np.ones((3,4)); r=z
! z=y.clone(); z[0]='a'; r=z
! z=y.clone(); z[i]=torch.ones(3,4).double(); r=z
! z=y.clone(); z[torch.tensor([True,False])]=5; r=z
! z=y.clone(); z[True]=5; r=z
! z=y.clone(); z[False]=5; r=z
! z=y.clone(); z[0,0,0]=torch.tensor(5); r=z
! z=y.clone(); z[0,0,0]=torch.tensor([5]); r=z
! z=y.clone(); z[0,0,0]=torch.tensor([5,6]); r=z
! z=y.clone(); z[[0,1],[1,2]]=9; r=z
! z=y.clone(); z[[0,1]]=[[1,2,3,4]]; r=z
! z=y.clone(); z[0]=torch.ones(3,4).long(); r=z
! z=y.clone(); z[i]=torch.ones(3,4).long(); r=z
! z=y.clone(); z[z>5]=torch.tensor(2); r=z
! z=y.clone(); z[z>5]=2; r=z
! z=y.clone(); z[::-1]=2; r=z
! z=y.clone(); z[0]=None; r=z
""".strip().splitlines()


@pytest.mark.parametrize("case", SUBSCRIPTS)
def test_subscripts_like_pytorch(case):
    expected, found = evaluate(torch, case, SUBSCRIPT_SETUP), evaluate(rushlight, case, SUBSCRIPT_SETUP)
    assert agree(expected, found), f"PyTorch: {expected}\nRushlight: {found}"
