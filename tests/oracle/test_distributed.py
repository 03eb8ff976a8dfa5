"""Collectives, samplers and data parallel training beside live PyTorch's gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("PyTorch without gloo", allow_module_level=True)

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import datetime, json, sys, warnings
warnings.simplefilter("ignore")
rank, path, library = int(sys.argv[1]), sys.argv[2], sys.argv[3]
if library == "torch":
    import torch, torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
else:
    import rushlight as torch, rushlight.distributed as dist
    from rushlight import nn
    from rushlight.nn.parallel import DistributedDataParallel
found = {}

def note(name, function):
    try:
        found[name] = function()
    except Exception as error:
        found[name] = type(error).__name__

note("rank before", dist.get_rank)
dist.init_process_group("gloo", init_method="file://" + path, rank=rank, world_size=2,
                        timeout=datetime.timedelta(seconds=30))
R = dist.ReduceOp

def reduced(dtype, op):
    t = torch.tensor([[5, 3, 100], [6, 2, 3]][rank]).to(getattr(torch, dtype))
    dist.all_reduce(t, getattr(R, op))
    return t.tolist()

for dtype in ("float32", "float64", "float16", "bfloat16", "uint8", "int8", "int32", "int64"):
    for op in ("SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR"):
        if not (op == "AVG" and "int" in dtype):        # PyTorch fails after it has sent
            note(f"{dtype} {op}", lambda: reduced(dtype, op))
one = torch.ones(2)
# Errors that are found before anything is sent, so that both stay in step.
for name, call in {
        "no tensor": lambda: dist.all_reduce([1]), "operation": lambda: dist.all_reduce(one, "sum"),
        "root": lambda: dist.broadcast(one, 5), "no root": lambda: dist.broadcast(one),
        "two roots": lambda: dist.broadcast(one, 0, group_src=0), "length": lambda: dist.all_gather([one], one),
        "shape": lambda: dist.all_gather([one, torch.ones(3)], one),
        "dtype": lambda: dist.all_gather([one.double()] * 2, one), "self": lambda: dist.send(one, rank),
        "gather": lambda: dist.gather(one, None, rank), "scatter": lambda: dist.scatter(one, None, rank),
        "splits": lambda: dist.all_to_all_single(one, one, [1, 2], [1, 1]),
        "list": lambda: dist.all_to_all([one], [one, one]), "rows": lambda: dist.reduce_scatter(one, [one]),
        "p2p": lambda: dist.P2POp(dist.all_reduce, one, 0), "twice": lambda: dist.new_group([0, 0]),
        "range": lambda: dist.new_group([0, 9]),
        "again": lambda: dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1),
        "slices": lambda: dist.init_device_mesh("cpu", (1, 2))["x"],
        "names": lambda: dist.init_device_mesh("cpu", (2,), mesh_dim_names=("a", "b"))}.items():
    note(name, call)
note("facts", lambda: [dist.get_backend(), dist.get_world_size(), dist.get_process_group_ranks(dist.group.WORLD)])
mesh = dist.init_device_mesh("cpu", (1, 2), mesh_dim_names=("b", "a"))
note("mesh", lambda: [repr(mesh), repr(mesh["a"]), list(mesh.get_coordinate()), mesh.size(), mesh.mesh.tolist(),
                      mesh.get_local_rank("a")])
g = dist.new_group([1])
note("outside", lambda: [dist.get_rank(g), dist.get_world_size(g)])
def filled(kind):
    a, b = torch.zeros(2), torch.zeros(2)
    versions = [a._version]
    if kind == "all_gather":
        dist.all_gather([a, b], torch.ones(2) + rank)
    elif kind == "all_reduce":
        dist.all_reduce(a)
    return [a.tolist(), b.tolist(), a._version - versions[0]]
for kind in ("all_gather", "all_reduce"):
    note(kind, lambda: filled(kind))

torch.manual_seed(3)
x, y = torch.arange(24.).view(8, 3).sin(), torch.arange(16.).view(8, 2).cos()
net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_((torch.arange(float(p.numel())) + i + rank).cos().view(p.shape))
model = DistributedDataParallel(net)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(3):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x[rank::2]), y[rank::2]).backward()
    optimizer.step()
found["trained"] = {n: p.tolist() for n, p in model.state_dict().items()}
if rank == 0:
    print("FOUND" + json.dumps(found))
dist.barrier()
dist.destroy_process_group()
"""


def run(tmp_path, library):
    started = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / library), library], text=True,
                                env=dict(os.environ, PYTHONPATH=str(SOURCE)), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for rank in range(2)]
    outputs = [p.communicate(timeout=120) for p in started]
    assert [p.returncode for p in started] == [0, 0], outputs
    line = next(line for line in outputs[0][0].splitlines() if line.startswith("FOUND"))
    return json.loads(line[len("FOUND"):])


def test_two_processes(tmp_path):
    theirs, ours = run(tmp_path, "torch"), run(tmp_path, "rushlight")
    trained = [theirs.pop("trained"), ours.pop("trained")]
    assert ours == theirs
    assert list(trained[0]) == list(trained[1])
    for name, values in trained[0].items():
        torch.testing.assert_close(torch.tensor(trained[1][name]), torch.tensor(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n, replicas", [(11, 3), (12, 4), (1, 4), (0, 2), (100, 7)])
def test_sampler(n, replicas):
    from rushlight.utils.data import DistributedSampler
    for kwargs in ({}, {"shuffle": False}, {"drop_last": True}, {"seed": 7}):
        for rank in range(replicas):
            pair = [cls(range(n), replicas, rank, **kwargs)
                    for cls in (torch.utils.data.DistributedSampler, DistributedSampler)]
            for epoch in (0, 1):
                for s in pair:
                    s.set_epoch(epoch)
                try:
                    theirs = list(pair[0])
                except Exception as error:
                    with pytest.raises(type(error)):
                        list(pair[1])
                    continue
                assert list(pair[1]) == theirs and len(pair[1]) == len(pair[0])
