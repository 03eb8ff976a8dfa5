"""`DistributedDataParallel`: training by several processes is training by one."""
# Functions run as programs of their own: see conftest for the names they find there.
# ruff: noqa: F821


def training():
    from rushlight.nn.parallel import DistributedDataParallel as DDP
    begin()

    def net(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    torch.manual_seed(5)
    x, y = torch.randn(12, 6), torch.randn(12, 3)
    mine = slice(rank * 12 // size, (rank + 1) * 12 // size)
    for cap, view in ((None, False), (0.0005, True), (0.0005, False)):
        whole, model = net(0), DDP(net(rank), bucket_cap_mb=cap, gradient_as_bucket_view=view)
        assert [*model.state_dict()][0] == "module.0.weight"
        assert len(model.reducer.buckets) == (1 if cap is None else 2)
        optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (whole, model)]
        for i in range(4):
            for o, m, s in zip(optimizers, (whole, model), (slice(None), mine)):
                o.zero_grad(set_to_none=i % 2 == 0)
                nn.functional.mse_loss(m(x[s]), y[s]).backward()
                o.step()
        for a, b in zip(whole.parameters(), model.parameters()):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        found = [None] * size                   # the same bits everywhere
        dist.all_gather_object(found, [p.detach().numpy().tobytes() for p in model.parameters()])
        assert all(f == found[0] for f in found)


def test_training(processes):
    processes(training)


def details():
    import copy

    from rushlight.distributed.algorithms.ddp_comm_hooks import default_hooks
    from rushlight.nn.parallel import DistributedDataParallel as DDP
    begin()

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(2, 2) for _ in range(3))

        def forward(self, x, both):
            return self.a(x) + self.b(x) if both else self.a(x)
    model = DDP(Branches(), find_unused_parameters=True)
    for _ in range(2):
        model.zero_grad()
        model(torch.ones(1, 2) * (rank + 1), rank == 0).sum().backward()
        assert model.module.a.weight.grad.tolist() == [[1.5, 1.5]] * 2
        assert model.module.b.weight.grad.tolist() == [[0.5, 0.5]] * 2      # zero where it was not used
        assert model.module.c.weight.grad is None                          # used nowhere
    model = DDP(Branches())
    model(torch.ones(1, 2), False).sum().backward()
    raises(RuntimeError, "Expected to have finished reduction", model, torch.ones(1, 2), False)
    # without synchronization gradients add up here
    model = DDP(nn.Linear(1, 1))
    x = torch.ones(1, 1) * (rank + 1)
    with model.no_sync():
        model(x).sum().backward()
    assert model.module.weight.grad.item() == rank + 1
    model(x).sum().backward()
    assert model.module.weight.grad.item() == 3
    # a shared parameter, and one used twice
    tied = nn.Linear(2, 2, bias=False)
    model = DDP(nn.Sequential(tied, tied))
    model(torch.ones(1, 2)).sum().backward()
    # buffers are rank 0's
    model = DDP(nn.BatchNorm1d(1))
    model(torch.tensor([[0.], [2. * rank]]))
    model(torch.tensor([[0.], [0.]]))
    assert model.module.running_mean.item() == 0
    # statistics of all processes
    torch.manual_seed(0)
    x = torch.randn(6, 3, 4)
    one = nn.Sequential(nn.BatchNorm1d(3), nn.Conv1d(3, 2, 1))
    two = DDP(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(one)))
    for _ in range(2):
        one(x).pow(2).mean().backward()
        two(x[rank::2]).pow(2).mean().backward()
    for (name, a), b in zip(one.named_parameters(), two.parameters()):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(two.module[0].running_var, one[0].running_var)
    torch.testing.assert_close(two.module[0].running_mean, one[0].running_mean)
    # a compiled step still communicates
    model = DDP(nn.Linear(1, 1, bias=False))

    @torch.compile
    def step(x):
        model.zero_grad()
        model(x).sum().backward()
    for i in range(5):
        step(torch.ones(1, 1) * (rank + i))
        assert model.module.weight.grad.item() == i + 0.5
    # hooks
    seen = []

    def hook(state, bucket):
        seen.append((state, bucket.index(), bucket.is_last(), [tuple(g.shape) for g in bucket.gradients()]))
        future = torch.futures.Future()
        future.set_result(bucket.buffer() * 0 + 7)
        return future
    model = DDP(nn.Linear(2, 3), bucket_cap_mb=1e-5)
    model.register_comm_hook("s", hook)
    model(torch.ones(1, 2)).sum().backward()
    assert seen == [("s", 0, False, [(3,)]), ("s", 1, True, [(3, 2)])]
    assert model.module.weight.grad.tolist() == [[7, 7]] * 3
    raises(RuntimeError, "only be called once", model.register_comm_hook, None, hook)
    raises(TypeError, "callable", model.register_comm_hook, None, 3)
    for h in (default_hooks.allreduce_hook, default_hooks.fp16_compress_hook, default_hooks.bf16_compress_hook,
              default_hooks.bf16_compress_wrapper(default_hooks.allreduce_hook)):
        model = DDP(nn.Linear(1, 2))
        model.register_comm_hook(None, h)
        model(torch.ones(4, 1) * (rank + 1)).sum().backward()
        assert model.module.weight.grad.tolist() == [[6.], [6.]] and model.module.weight.grad.dtype == torch.float32
    # errors
    raises(RuntimeError, "any parameter that requires a gradient", DDP, nn.ReLU())
    raises(ValueError, "device_ids", DDP, nn.Linear(1, 1), device_ids=[0])
    raises(RuntimeError, "does not match", DDP, nn.Linear(2 + rank, 2))
    # different numbers of inputs
    model = DDP(nn.Linear(1, 1, bias=False))
    grads = []
    with model.join():
        for _ in range(2 + rank):
            model.zero_grad()
            model(torch.ones(2, 1)).sum().backward()
            grads.append(model.module.weight.grad.item())
    assert grads == [2, 2, 1][:2 + rank]
    with model.join(divide_by_initial_world_size=False):
        for _ in range(1 + rank):
            model.zero_grad()
            model(torch.ones(2, 1)).sum().backward()
    assert model.module.weight.grad.item() == 2
    try:
        with model.join(throw_on_early_termination=True):
            for _ in range(1 + rank):
                model(torch.ones(2, 1)).sum().backward()
    except RuntimeError as error:
        assert "exhausted" in str(error)
    else:
        raise AssertionError


def test_details(processes):
    processes(details)


def test_sampler():
    from rushlight.utils.data import DistributedSampler
    # as PyTorch 2.13 gives them
    assert [list(DistributedSampler(range(11), 3, r)) for r in range(3)] == [[10, 3, 2, 7], [0, 5, 1, 6], [4, 8, 9, 10]]
    assert [list(DistributedSampler(range(11), 3, r, shuffle=False)) for r in range(3)] == [
        [0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 0]]
    assert [list(DistributedSampler(range(11), 3, r, drop_last=True)) for r in range(3)] == [
        [10, 3, 2], [0, 5, 1], [4, 8, 9]]
