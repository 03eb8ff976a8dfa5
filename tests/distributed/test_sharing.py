"""Collectives with gradients, and optimizers that share state or work."""
# Functions run as programs of their own: see conftest for the names they find there.
# ruff: noqa: F821


def gradients():
    import rushlight.distributed.nn.functional as F
    begin()
    x = torch.tensor([1., 2.], requires_grad=True)

    def gradient(y):
        return torch.autograd.grad(((rank + 1) * y).sum(), x)[0].tolist()
    assert gradient(F.all_reduce(x)) == [3, 3]
    rows = F.all_gather(x)
    assert gradient(rows[0] + 2 * rows[1]) == [3 * (rank + 1)] * 2
    assert gradient(F.broadcast(x, 1)) == ([3, 3] if rank else [0, 0])
    assert gradient(F.reduce(x, 1)) == [2, 2]
    assert gradient(F.all_to_all_single(torch.empty(2), x)) == [1, 2]
    assert gradient(F.reduce_scatter(torch.empty(1), list(x.split(1)))) == [1, 2]
    assert gradient(F.scatter(list(x.split(1)), 0)) == ([0, 0] if rank else [1, 2])
    rows = F.gather(x, 0)
    assert gradient((rows[0] + 2 * rows[1]) / (rank + 1)) == [rank + 1] * 2


def test_gradients(processes):
    processes(gradients)


def optimizers():
    import copy

    from rushlight.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
    from rushlight.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
    begin()

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).pow(2).sum().backward()
        optimizer.step()
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    two = copy.deepcopy(one)
    whole = torch.optim.Adam(one.parameters(), lr=0.01)
    shared = ZeroRedundancyOptimizer(two.parameters(), torch.optim.Adam, lr=0.01)
    for _ in range(3):
        step(one, whole)
        step(two, shared)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters()))
    assert len(shared.optim.state) == 2
    raises(RuntimeError, "not been consolidated", shared.state_dict)
    shared.consolidate_state_dict(1)
    if rank == 1:
        found, expected = shared.state_dict(), whole.state_dict()
        assert found["param_groups"] == expected["param_groups"]
        for i, state in expected["state"].items():
            assert all(torch.equal(state[k], found["state"][i][k]) for k in state)
    again = ZeroRedundancyOptimizer(two.parameters(), torch.optim.Adam, lr=0.5)
    again.load_state_dict(copy.deepcopy(whole.state_dict()))
    step(one, whole)
    step(two, again)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters()))
    w = nn.Parameter(torch.ones(1) * rank)
    local = PostLocalSGDOptimizer(torch.optim.SGD([w], lr=1.), PeriodicModelAverager(2, warmup_steps=1))
    found = []
    for _ in range(3):
        w.grad = torch.ones(1)
        local.step()
        found.append(w.item())
    assert found == [rank - 1, -1.5, -2.5] and local.state_dict()["step"] == 3


def test_optimizers(processes):
    processes(optimizers)
