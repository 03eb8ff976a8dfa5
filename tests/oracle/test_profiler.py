"""The profiler's events beside those of a live PyTorch: names, counts and shapes."""

import pytest

import rushlight

torch = pytest.importorskip("torch")


def top(lib, work, **options):
    """[(name, shapes of tensors)] of the outermost events."""
    with lib.profiler.profile(activities=[lib.profiler.ProfilerActivity.CPU], **options) as prof:
        work()
    apart = "[memory]", "aten::broadcast_tensors"       # (the latter by the Python part of mse_loss)
    return [(e.name, [s for s in e.input_shapes or () if s], e.flops or 0) for e in prof.events()
            if e.cpu_parent is None and e.name not in apart]


def forward(lib):
    F = lib.nn.functional
    lib.manual_seed(0)
    x, w, b = lib.randn(4, 6), lib.randn(5, 6), lib.randn(5)
    image, kernel = lib.randn(2, 3, 8, 8), lib.randn(4, 3, 3, 3)
    tokens, table = lib.tensor([[1, 2], [0, 3]]), lib.randn(7, 6)
    target = lib.tensor([0, 1, 2, 1])

    def work():
        F.linear(x, w, b)
        x + x
        x * 2
        x - 1
        x / x
        -x
        x.relu()
        lib.tanh(x)
        x.sigmoid()
        F.gelu(x)
        x @ x.t()
        lib.mm(w, x.t())
        lib.cat([x, x], 1)
        lib.stack([x, x])
        x.view(2, 12)
        x.reshape(-1)
        x.transpose(0, 1)
        x.permute(1, 0)
        x.unsqueeze(0)
        x.sum()
        x.mean(1)
        x.max()
        x.argmax(1)
        x[0]
        x[:, 1:3] if False else x[1:3]
        x.double()
        x.exp_()
        F.softmax(x, 1)
        F.log_softmax(x, 1)
        F.layer_norm(x, (6,))
        F.embedding(tokens, table)
        F.cross_entropy(x, target)
        F.mse_loss(x, x)
        F.conv2d(image, kernel)
        F.max_pool2d(image, 2)
        F.avg_pool2d(image, 2)
        F.adaptive_avg_pool2d(image, 1)
        F.pad(image, (1, 1))
        lib.where(x > 0, x, x)
        x.clone()
        x.contiguous()
        x.topk(2)
        x.flatten()
        lib.einsum("ij,kj->ik", x, w)
        lib.zeros(3)
        lib.arange(3)
        x.sum().item()
        x.detach()
    return work


def test_names_and_shapes_of_ops():
    ours, theirs = (top(lib, forward(lib), record_shapes=True) for lib in (rushlight, torch))
    assert [e[0] for e in ours] == [e[0] for e in theirs]
    for mine, other in zip(ours, theirs):
        order = sorted if mine[0] == "aten::embedding" else list        # which takes its weight first there
        if mine[0] == "aten::einsum":                                   # whose operands are a list there
            continue
        assert order(mine[1]) == order(other[1]), mine[0]


def test_operation_counts():
    def total(lib):
        with lib.profiler.profile(with_flops=True) as prof:
            forward(lib)()
        return {e.key: e.flops for e in prof.key_averages() if e.flops and e.key != "aten::add"}
    assert total(rushlight) == total(torch)


def test_nodes_of_a_training_step():
    def nodes(lib):
        lib.manual_seed(0)
        net = lib.nn.Sequential(lib.nn.Conv2d(3, 4, 3), lib.nn.BatchNorm2d(4), lib.nn.ReLU(), lib.nn.MaxPool2d(2),
                                lib.nn.Flatten(), lib.nn.Linear(36, 5))
        optimizer = lib.optim.SGD(net.parameters(), lr=0.1)
        x, y = lib.randn(2, 3, 8, 8), lib.tensor([1, 4])
        with lib.profiler.profile() as prof:
            loss = lib.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return {e.key: e.count for e in prof.key_averages() if "Backward0" in e.key or "Accumulate" in e.key
                or "Optimizer" in e.key}
    ours, theirs = nodes(rushlight), nodes(torch)
    for name in list(theirs):
        if "TBackward0" in name:            # the transposed weight of addmm has a node of its own there
            del theirs[name]
    assert ours == theirs


def test_schedules_agree():
    for options in ({"wait": 1, "warmup": 1, "active": 2, "repeat": 2}, {"wait": 2, "warmup": 1, "active": 1},
                    {"wait": 1, "warmup": 1, "active": 2, "skip_first": 2, "skip_first_wait": 1},
                    {"wait": 2, "warmup": 1, "active": 2, "repeat": 2, "skip_first_wait": 1}):
        mine, other = (lib.profiler.schedule(**options) for lib in (rushlight, torch))
        assert [mine(i).name for i in range(16)] == [other(i).name for i in range(16)], options


def test_tables_agree():
    from torch.autograd import profiler_util as other

    from rushlight.autograd import profiler_util as mine
    for options in ({}, {"sort_by": "cpu_time_total"}, {"row_limit": 1}, {"time_unit": "ms"}, {"header": "Title"},
                    {"max_name_column_width": 12}, {"top_level_events_only": True}):
        texts = []
        for util in (mine, other):
            events = util.EventList([util.FunctionEvent(1, "aten::add", 1, 0, 1500.25),
                                     util.FunctionEvent(2, "aten::convolution", 1, 0, 2_500_000),
                                     util.FunctionEvent(3, "short", 1, 3, 3.5)])
            texts.append(events.table(**options))
        assert texts[0] == texts[1], options
