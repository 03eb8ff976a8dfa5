"""Parameters in shares: training gives what one process with whole parameters gets, and memory is given back."""
# Functions run as programs of their own: see conftest for the names they find there.
# ruff: noqa: F821


def training():
    import copy

    from rushlight.distributed.fsdp import FullyShardedDataParallel, fully_shard
    begin()
    torch.manual_seed(0)
    x, y = torch.randn(12, 5), torch.randn(12, 3)
    mine = slice(rank * 12 // size, (rank + 1) * 12 // size)

    def linear(module, recurse, nonwrapped_numel):
        return recurse or isinstance(module, nn.Linear)
    for kind in range(4):
        torch.manual_seed(1)
        one = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 7), nn.Tanh(), nn.Linear(7, 3))
        two = copy.deepcopy(one)
        if kind < 2:
            for m in two[::2]:
                fully_shard(m, reshard_after_forward=kind == 0)
            assert fully_shard(two) is two and isinstance(two, nn.Sequential)
        else:
            two = FullyShardedDataParallel(two, auto_wrap_policy=linear if kind == 3 else None)
        rows = -(-7 // size)
        assert [*two.parameters()][0].shape[0] == min(rows, 7 - rank * rows)
        a, b = (torch.optim.AdamW(m.parameters(), lr=0.05) for m in (one, two))
        for _ in range(3):
            a.zero_grad()
            b.zero_grad()
            nn.functional.mse_loss(one(x), y).backward()
            nn.functional.mse_loss(two(x[mine]), y[mine]).backward()
            norms = [nn.utils.clip_grad_norm_(m.parameters(), 0.3) for m in (one, two)]
            torch.testing.assert_close(*norms)
            a.step()
            b.step()
        if kind < 2:
            full = {name: p.full_tensor() for name, p in two.named_parameters()}
        else:
            full = two.state_dict()
        assert list(full) == list(one.state_dict())
        for name, p in one.named_parameters():
            torch.testing.assert_close(full[name], p.detach(), rtol=1e-4, atol=1e-5)
    two.load_state_dict({name: p * 0 + 1 for name, p in full.items()})
    assert all((p == 1).all() for p in two.parameters())
    with FullyShardedDataParallel.summon_full_params(two):
        assert two.module[0].weight.shape == (7, 5)
        with torch.no_grad():
            two.module[0].weight.copy_(torch.arange(35.).view(7, 5))
    assert torch.equal(two.state_dict()["0.weight"], torch.arange(35.).view(7, 5))


def test_training(processes):
    processes(training)


def details():
    import gc
    import weakref

    from rushlight.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from rushlight.distributed.fsdp.sharding import ShardGroup
    begin()
    made = []
    gather = ShardGroup.gather

    def counted(self):
        found = gather(self)
        made.append([weakref.ref(t._storage) for t in found])
        return found
    ShardGroup.gather = counted
    for keep in (False, True):
        made.clear()
        model = fully_shard(nn.Linear(4, 4), reshard_after_forward=not keep)
        x = torch.ones(1, 4, requires_grad=True)
        out = model(x)
        gc.collect()
        assert [r() is not None for r in made[0]] == [keep, False]          # the weight alone is needed in backward
        out.sum().backward()
        assert len(made) == (1 if keep else 2) and x.grad is not None
        del out
        gc.collect()
        assert all(r() is None for refs in made for r in refs)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, output_dtype=torch.float32)
    model = fully_shard(nn.Linear(4, 4), mp_policy=policy)
    y = model(torch.ones(1, 4))
    y.sum().backward()
    assert y.dtype == model.weight.grad.dtype == torch.float32 and model.weight.grad.shape == (2, 4)
    model.zero_grad()
    model.set_requires_gradient_sync(False)
    model(torch.ones(1, 4)).sum().backward()
    assert model.weight.grad is None
    model.set_requires_gradient_sync(True)
    model(torch.ones(1, 4) * 2).sum().backward()
    assert model.weight.grad.tolist() == [[3.] * 4] * 2
    model.unshard()
    assert model.weight.shape == (4, 4)
    model.reshard()
    assert model.weight.shape == (2, 4)
    raises(ValueError, "applied", fully_shard, model)
    raises(NotImplementedError, "shard_placement_fn", fully_shard, nn.Linear(2, 2), shard_placement_fn=len)


def test_details(processes):
    processes(details)
