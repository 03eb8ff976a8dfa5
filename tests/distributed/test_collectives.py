"""Collectives between real processes, against NumPy; both ways that data can take."""
# Functions run as programs of their own: see conftest for the names they find there.
# ruff: noqa: F821

import pytest


def collectives():
    begin()
    values = [np.random.default_rng(r).standard_normal(400_003) for r in range(size)]

    def of(r, n, dtype=torch.float32):
        return torch.from_numpy(values[r][:n]).to(dtype)
    others = [r for r in range(size) if r != rank]
    for n in (0, 1, 1000, 400_003):             # by everybody; in parts, in several pieces
        total = np.float32(values[0][:n])
        for r in range(1, size):
            total = total + np.float32(values[r][:n])
        x = of(rank, n)
        assert dist.all_reduce(x) is None and np.array_equal(x.numpy(), total)      # in the order of ranks, rounded so
        y = of(rank, n)
        dist.reduce(y, 1)
        assert np.array_equal(y.numpy(), total if rank == 1 else of(rank, n).numpy())
        z = of(rank, n)
        dist.broadcast(z, size - 1)
        assert torch.equal(z, of(size - 1, n))
        rows = [torch.zeros(n) for _ in range(size)]
        dist.all_gather(rows, of(rank, n))
        assert all(torch.equal(row, of(r, n)) for r, row in enumerate(rows))
        whole = torch.zeros(size, n)
        dist.all_gather_single(whole, of(rank, n))
        assert torch.equal(whole, torch.stack(rows))
        rows = [torch.zeros(n) for _ in range(size)] if rank == 1 else None
        dist.gather(of(rank, n), rows, 1)
        assert rank != 1 or all(torch.equal(row, of(r, n)) for r, row in enumerate(rows))
        out = torch.zeros(n)
        dist.scatter(out, [of(r, n) + 1 for r in range(size)] if rank == 0 else None, 0)
        assert torch.equal(out, of(rank, n) + 1)
        ins = [of(rank, n) * (r + 1) for r in range(size)]
        dist.reduce_scatter(out, ins)
        expected = of(0, n) * (rank + 1)
        for r in range(1, size):
            expected = expected + of(r, n) * (rank + 1)
        assert torch.equal(out, expected) and torch.equal(ins[rank], of(rank, n) * (rank + 1))
        dist.reduce_scatter_single(out, torch.cat(ins))
        assert torch.equal(out, expected)
        outs = [torch.zeros(n) for _ in range(size)]
        dist.all_to_all(outs, [of(rank, n) + r for r in range(size)])
        assert all(torch.equal(t, of(r, n) + rank) for r, t in enumerate(outs))
    # uneven parts
    sent = [rank + r for r in range(size)]
    got = torch.zeros(sum(rank + r for r in range(size)))
    dist.all_to_all_single(got, torch.full((sum(sent),), float(rank)), sent, sent)
    assert got.tolist() == [float(r) for r in range(size) for _ in range(rank + r)]
    # strided tensors, and several begun at a time
    t = of(rank, 6).view(2, 3).t()
    works = [dist.all_reduce(t, async_op=True), dist.all_reduce(u := of(rank, 5), async_op=True)]
    assert all(w.wait() and w.is_completed() and w.is_success() for w in works) and works[1].result()[0] is u
    assert torch.equal(t.t().reshape(-1)[:5], u) and works[0].get_future().wait()[0] is t
    a, b = of(rank, 3), of(rank, 4)
    with dist.distributed_c10d._coalescing_manager():
        dist.all_reduce(a)
        dist.all_reduce(b)
    assert torch.equal(a, u[:3]) and torch.equal(b[:3], a)
    objects = [None] * size
    dist.all_gather_object(objects, {"rank": rank, "x": "y" * rank})
    assert objects == [{"rank": r, "x": "y" * r} for r in range(size)]
    found = [None] * size if rank == 1 else None
    dist.gather_object((rank,), found, 1)
    assert rank != 1 or found == [(r,) for r in range(size)]
    both = ["a", [1, 2]] if rank == 0 else [None, None]
    dist.broadcast_object_list(both, 0)
    assert both == ["a", [1, 2]]
    one = [None]
    dist.scatter_object_list(one, [{r} for r in range(size)] if rank == 0 else None, 0)
    assert one == [{rank}]
    # messages
    right, left = (rank + 1) % size, (rank - 1) % size
    for n in (0, 3, 400_003):
        works = [dist.isend(of(rank, n), right, tag=5), dist.irecv(x := torch.zeros(n), left, tag=5)]
        assert all(w.wait() for w in works) and torch.equal(x, of(left, n)) and works[1].source_rank() == left
        for w in dist.batch_isend_irecv([dist.P2POp(dist.irecv, y := torch.zeros(n), left),
                                         dist.P2POp(dist.isend, of(rank, n), right)]):
            w.wait()
        assert torch.equal(y, x)
        if rank == 0:                           # tags keep messages apart, whatever order they come in
            dist.send(of(0, n), 1, tag=1)
            dist.send(of(0, n) + 1, 1, tag=2)
            sources = {dist.recv(torch.zeros(n), tag=3) for _ in others}
            assert sources == set(others)
        else:
            if rank == 1:
                dist.recv(b := torch.zeros(n), 0, tag=2)
                dist.recv(a := torch.zeros(n), 0, tag=1)
                assert torch.equal(b, a + 1)
            dist.send(of(rank, n), 0, tag=3)
    if rank == 0:
        dist.send_object_list(["x", 7], 1)
    elif rank == 1:
        assert dist.recv_object_list(got := [None, None]) == 0 and got == ["x", 7]
    dist.barrier()
    dist.monitored_barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("n, transport", [(2, None), (3, "tcp")])
def test_collectives(processes, n, transport):
    processes(collectives, n, transport)


def reductions():
    begin()
    floats = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
    integers = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
    rows = np.array([[3, 100, 7, 2], [5, 2, 1, 90], [6, 1, 2, 5]])[:size]
    R = dist.ReduceOp
    table = {"SUM": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum, "BAND": np.bitwise_and,
             "BOR": np.bitwise_or, "BXOR": np.bitwise_xor}
    for dtype in floats + integers:
        for name, function in table.items():
            t = torch.tensor(rows[rank].tolist()).to(dtype)
            if dtype in floats and name[0] == "B":
                raises(RuntimeError, "non-integral", dist.all_reduce, t, getattr(R, name))
                continue
            dist.all_reduce(t, getattr(R, name))
            expected = torch.from_numpy(function.reduce(rows, 0)).to(dtype)
            assert torch.equal(t, expected), (dtype, name, t, expected)
        t = torch.tensor(rows[rank].tolist()).to(dtype)
        if dtype in floats:
            dist.all_reduce(t, R.AVG)
            assert torch.equal(t, torch.from_numpy(rows.sum(0)).to(dtype) / size)
        else:
            raises(RuntimeError, "can't be cast", dist.all_reduce, t, R.AVG)
    b = torch.tensor([rank == 0, True, False])
    dist.all_reduce(b, R.BAND)
    assert b.tolist() == [False, True, False]
    c = torch.tensor([1 + 2j]) * (rank + 1)
    dist.all_reduce(c)
    assert c.item() == (1 + 2j) * sum(range(1, size + 1))
    raises(ValueError, "complex", dist.all_reduce, c, R.MAX)
    big = torch.arange(100_000.) + rank         # a factor, in parts
    dist.all_reduce(big, dist.distributed_c10d._make_nccl_premul_sum(0.5))
    assert torch.equal(big, (torch.arange(100_000.) * size + sum(range(size))) / 2)
    raises(TypeError, "ReduceOp", dist.all_reduce, big, "sum")
    dist.destroy_process_group()


def test_reductions(processes):
    processes(reductions)


def groups():
    begin()
    g = dist.new_group([0, 2])
    if rank == 1:
        assert g == dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(g) == dist.get_world_size(g) == -1
    else:
        assert (dist.get_rank(g), dist.get_world_size(g)) == (rank // 2, 2)
        assert dist.get_process_group_ranks(g) == [0, 2] and dist.get_global_rank(g, 1) == 2
        assert dist.get_group_rank(g, 2) == 1
        x = torch.tensor([float(rank)])
        dist.all_reduce(x, group=g)
        dist.all_reduce(y := torch.ones(1), group=dist.group.WORLD)
        assert x.item() == 2
        dist.broadcast(x.fill_(rank), 2, group=g)
        assert x.item() == 2
        dist.broadcast(x.fill_(rank), group=g, group_src=0)
        assert x.item() == 0
    if rank == 1:
        dist.all_reduce(y := torch.ones(1))
    assert y.item() == 3
    raises(ValueError, "duplicate", dist.new_group, [0, 0])
    raises(ValueError, "out of range", dist.new_group, [0, 5])
    own, every = dist.new_subgroups_by_enumeration([[0, 1], [2]])
    assert dist.get_process_group_ranks(own) == ([2] if rank == 2 else [0, 1]) and len(every) == 2
    own, _ = dist.new_subgroups(1)
    assert dist.get_world_size(own) == 1
    dist.all_reduce(y, group=own)
    assert y.item() == 3
    pair = dist.new_group([1, 2], use_local_synchronization=True) if rank else None
    if rank:
        dist.all_reduce(y, group=pair)
        assert y.item() == 6
    backwards = dist.new_group([2, 1, 0], sort_ranks=False)
    assert dist.get_rank(backwards) == 2 - rank
    mesh = dist.init_device_mesh("cpu", (3, 1), mesh_dim_names=("a", "b"))
    assert mesh.shape == (3, 1) and mesh.get_coordinate() == (rank, 0) and mesh["a"].size() == 3
    assert repr(mesh["a"]) == "DeviceMesh((a=3), 'cpu', stride=(1,))"
    dist.all_reduce(z := torch.ones(1), group=mesh.get_group("a"))
    assert z.item() == 3 and mesh.get_local_rank("b") == 0
    half = dist.split_group(None, [[0, 1], [2]])
    assert dist.get_process_group_ranks(half) == ([2] if rank == 2 else [0, 1])
    dist.barrier()
    dist.destroy_process_group()
    assert not dist.is_initialized()
    begin()                                     # and again, on the same store
    dist.all_reduce(z)
    assert z.item() == 9
    dist.destroy_process_group()


def test_groups(processes):
    processes(groups, 3)


def alone():
    raises(ValueError, "not been initialized", dist.get_rank)
    raises(RuntimeError, "NCCL", dist.init_process_group, "nccl", store=dist.HashStore(), rank=0, world_size=1)
    raises(RuntimeError, "MPI", dist.init_process_group, "mpi", store=dist.HashStore(), rank=0, world_size=1)
    raises(NotImplementedError, "ucc", dist.init_process_group, "ucc", store=dist.HashStore(), rank=0, world_size=1)
    dist.init_process_group(store=dist.HashStore(), rank=0, world_size=1)
    x = torch.arange(3.)
    dist.all_reduce(x, dist.ReduceOp.AVG)
    dist.broadcast(x, 0)
    rows = [torch.zeros(3)]
    dist.all_gather(rows, x)
    dist.reduce_scatter(x, [rows[0] + 1])
    dist.barrier()
    dist.monitored_barrier()
    objects = [None]
    dist.all_gather_object(objects, 5)
    assert x.tolist() == [1, 2, 3] and objects == [5] and dist.get_backend() == "gloo"
    raises(ValueError, "twice", dist.init_process_group, store=dist.HashStore(), rank=0, world_size=1)
    raises(ValueError, "same as the rank", dist.send, x, 0)
    dist.destroy_process_group()


def test_a_job_of_one_process(processes):
    processes(alone, 1)


def plugin():
    class Doubling:
        def __init__(self, store, rank, size, timeout):
            self.facts = rank, size

        def rank(self):
            return self.facts[0]

        def size(self):
            return self.facts[1]

        def allreduce(self, tensors, op, async_op=False):
            for t in tensors:
                t.mul_(2)
    dist.Backend.register_backend("doubling", Doubling)
    raises(RuntimeError, "already exist", dist.Backend.register_backend, "doubling", Doubling)
    assert dist.is_backend_available("doubling") and dist.Backend.DOUBLING == "doubling"
    dist.init_process_group("doubling", store=dist.HashStore(), rank=0, world_size=4)
    x = torch.ones(2)
    dist.all_reduce(x)
    assert x.tolist() == [2, 2] and dist.get_backend() == "doubling" and dist.get_world_size() == 4
    dist.destroy_process_group()


def test_a_backend_of_ones_own(processes):
    processes(plugin, 1)
